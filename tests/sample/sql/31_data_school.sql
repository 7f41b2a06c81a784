INSERT INTO departments (tenant_id, parent_id, name)
SELECT mod(i - 1, :tenants) + 1, CASE WHEN i > :tenants THEN mod(i - 1, :tenants) + 1 END, 'Department ' || i
FROM generate_series(1, :tenants * 4) AS i;

INSERT INTO teachers (user_id, department_id, hired_on, salary)
SELECT i, mod(i, :tenants * 4) + 1, date '2015-08-01' + mod(i * 17, 3000), 38000 + mod(i * 311, 30000)
FROM generate_series(1, :teachers) AS i;

INSERT INTO students (tenant_id, user_id, full_name, birth_date, mentor_id, status, created_at, updated_at)
SELECT mod(i, :tenants) + 1, :teachers + i, 'Student ' || lpad(i::text, 5, '0'), date '2005-01-01' + mod(i * 3, 3000),
       CASE WHEN i > 10 AND mod(i, 3) = 0 THEN i - 10 END,
       CASE mod(i, 40) WHEN 0 THEN 'graduated' WHEN 1 THEN 'left' ELSE 'active' END,
       timestamptz '2025-01-01' + i * interval '9 minutes', timestamptz '2025-06-01' + i * interval '9 minutes'
FROM generate_series(1, :students) AS i;

INSERT INTO guardians (full_name, email, phone)
SELECT 'Guardian ' || lpad(i::text, 5, '0'), 'guardian' || i || '@example.org', '+49 40 ' || lpad(i::text, 7, '0')
FROM generate_series(1, :students / 2) AS i;

INSERT INTO student_guardians (student_id, guardian_id, relation)
SELECT i, mod(i, :students / 2) + 1, (ARRAY['parent', 'grandparent'])[mod(i, 2) + 1]
FROM generate_series(1, :students) AS i;

INSERT INTO courses (tenant_id, department_id, code, title, description, credits)
SELECT mod(i, :tenants) + 1, mod(i, :tenants * 4) + 1, 'C-' || lpad(i::text, 4, '0'), 'Course ' || i,
       'An introduction to subject ' || i || ', with exercises and a final project.', mod(i, 6) + 3
FROM generate_series(1, :courses) AS i;

INSERT INTO course_sections (course_id, teacher_id, term, capacity)
SELECT c, mod(c * 2 + t, :teachers) + 1, (ARRAY['2025 autumn', '2026 spring'])[t + 1], 500
FROM generate_series(1, :courses) AS c, generate_series(0, 1) AS t ORDER BY c, t;

INSERT INTO "Tag" (label) SELECT 'tag ' || i FROM generate_series(1, 40) AS i;
INSERT INTO "_CourseToTag" ("A", "B")
SELECT c, mod(c + k * 11, 40) + 1 FROM generate_series(1, :courses) AS c, generate_series(1, 2) AS k;

INSERT INTO enrollments (student_id, section_id, status, enrolled_on)
SELECT s, mod(s * 7 + k * 13, :courses * 2) + 1,
       (ARRAY['active', 'active', 'completed', 'withdrawn'])[mod(s + k, 4) + 1]::enrollment_status,
       date '2025-08-01' + mod(s + k, 30)
FROM generate_series(1, :students) AS s, generate_series(0, 3) AS k ORDER BY s, k;

INSERT INTO lessons (section_id, prerequisite_id, starts_at, minutes, topic)
SELECT section, CASE WHEN n > 1 THEN (section - 1) * 5 + n - 1 END,
       timestamptz '2025-09-01 08:00' + mod(section, 200) * interval '1 day' + n * interval '1 hour',
       45 + mod(n, 2) * 45, 'Lesson ' || n || ' of section ' || section
FROM generate_series(1, :courses * 2) AS section, generate_series(1, 5) AS n ORDER BY section, n;

INSERT INTO assignments (section_id, title, max_points, due_at, rubric)
SELECT section, 'Assignment ' || n, 100, timestamptz '2025-10-01' + mod(section * n, 200) * interval '1 day',
       jsonb_build_object('style', 30, 'content', 70)
FROM generate_series(1, :courses * 2) AS section, generate_series(1, 3) AS n ORDER BY section, n;

-- Two rows in a hundred are essays long enough for TOAST.
INSERT INTO submissions (assignment_id, student_id, submitted_at, body, attachments)
SELECT (e.section_id - 1) * 3 + n, e.student_id, timestamptz '2025-10-01' + mod(e.id * 3 + n, 240) * interval '1 day',
       CASE WHEN mod(e.id, 50) = 0
            THEN (SELECT string_agg(md5(e.id::text || '-' || w), ' ') FROM generate_series(1, 90) AS w)
            ELSE 'Answer to assignment ' || n END,
       CASE WHEN mod(e.id, 10) = 0 THEN '[{"file": "essay.pdf"}]' ELSE '[]' END::jsonb
FROM enrollments AS e, generate_series(1, 3) AS n
WHERE mod(e.id * 3 + n, 9) < 7 ORDER BY e.id, n;

INSERT INTO grades (student_id, section_id, assignment_id, score, weight, graded_by, graded_at, updated_at)
SELECT e.student_id, e.section_id, (e.section_id - 1) * 3 + n, 40 + mod(e.id * 7 + n, 61), n,
       mod(e.section_id, :teachers) + 1, t, t
FROM enrollments AS e, generate_series(1, 2) AS n,
     LATERAL (SELECT timestamptz '2025-11-01' + mod(e.id + n, 200) * interval '1 day' AS t) AS graded
ORDER BY e.id, n;

INSERT INTO "Grade Book" ("Section", "Student", "Final Grade", "Closed?")
SELECT section_id, student_id, 50 + mod(id, 51), true FROM enrollments WHERE status = 'completed' ORDER BY id;

INSERT INTO attendance (student_id, lesson_id, present, minutes_late)
SELECT e.student_id, (e.section_id - 1) * 5 + n, mod(e.id + n, 12) <> 0, CASE WHEN mod(e.id + n, 7) = 1 THEN 5 ELSE 0 END
FROM enrollments AS e, generate_series(1, 3) AS n ORDER BY e.id, n;

INSERT INTO rooms (tenant_id, name, seats)
SELECT mod(i, :tenants) + 1, 'Room ' || i, 12 + mod(i, 5) * 8 FROM generate_series(1, :tenants * 3) AS i;

INSERT INTO room_bookings (room_id, section_id, during)
SELECT room, mod(room * 5 + n, :courses * 2) + 1,
       tstzrange(timestamptz '2026-02-01 08:00' + n * interval '1 hour', timestamptz '2026-02-01 09:00' + n * interval '1 hour')
FROM generate_series(1, :tenants * 3) AS room, generate_series(0, 20) AS n;

INSERT INTO course_materials (course_id, title, position)
SELECT c, 'Reading list', 0 FROM generate_series(1, :courses) AS c;
INSERT INTO video_materials (course_id, title, position, duration_seconds)
SELECT c, 'Lecture', 1, 1800 + mod(c, 900) FROM generate_series(1, :courses) AS c;
INSERT INTO document_materials (course_id, title, position, pages, content)
SELECT c, 'Handout', 2, mod(c, 40) + 1, decode(md5(c::text), 'hex') FROM generate_series(1, :courses) AS c;

INSERT INTO messages (tenant_id, sender_id, recipient_id, body, sent_at)
SELECT mod(i, :tenants) + 1, mod(i * 3, :teachers) + 1, :teachers + mod(i * 5, :students) + 1, 'Message ' || i,
       timestamptz '2025-09-01' + i * interval '15 minutes'
FROM generate_series(1, :students) AS i;

INSERT INTO student_notes (tenant_id, student_id, author_id, note, confidential, created_at)
SELECT mod(i, :tenants) + 1, i, mod(i, :teachers) + 1, 'Note ' || i, mod(i, 10) = 0, timestamptz '2026-01-01'
FROM generate_series(1, :students / 2) AS i;

INSERT INTO certificates (student_id, course_id, issued_on)
SELECT DISTINCT ON (e.student_id, s.course_id) e.student_id, s.course_id, date '2026-02-01'
FROM enrollments AS e JOIN course_sections AS s ON s.id = e.section_id
WHERE e.status = 'completed' AND mod(e.id, 3) = 0 ORDER BY e.student_id, s.course_id;
