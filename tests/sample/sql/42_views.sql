-- Views, one upon another, and a materialized view.
SET ROLE app_owner;

CREATE VIEW active_students AS
SELECT s.id, s.tenant_id, s.full_name, u.email, s.mentor_id
FROM students AS s LEFT JOIN "User" AS u ON u.id = s.user_id
WHERE s.status = 'active';

CREATE VIEW student_transcript AS
SELECT s.id AS student_id, s.full_name, c.code, c.title, cs.term, e.status,
       round(sum(g.weighted) / nullif(sum(g.weight), 0), 2) AS average
FROM active_students AS s
JOIN enrollments AS e ON e.student_id = s.id
JOIN course_sections AS cs ON cs.id = e.section_id
JOIN courses AS c ON c.id = cs.course_id
LEFT JOIN grades AS g ON g.student_id = e.student_id AND g.section_id = e.section_id
-- Grouped by primary keys alone: this ties the view to those constraints.
GROUP BY s.id, s.full_name, c.id, cs.id, e.id;

CREATE VIEW course_catalog WITH (security_barrier = true) AS
SELECT c.id, c.tenant_id, c.code, c.title, c.credits, d.name AS department,
       array(SELECT t.label FROM "_CourseToTag" AS ct JOIN "Tag" AS t ON t.id = ct."B"
             WHERE ct."A" = c.id ORDER BY t.label) AS tags
FROM courses AS c JOIN departments AS d ON d.id = c.department_id;

CREATE VIEW open_orders WITH (security_invoker = true) AS
SELECT o.id, o.tenant_id, o.user_id, o.status, o.total, count(i.id) AS items
FROM "order" AS o LEFT JOIN "OrderItem" AS i ON i."orderId" = o.id
WHERE o.status IN ('pending', 'paid')
GROUP BY o.id;

RESET ROLE;

GRANT SELECT ON tenants, "order", invoices, payments, enrollments, course_sections, courses TO analytics_owner;
SET ROLE analytics_owner;

CREATE VIEW revenue_by_month AS
SELECT i.tenant_id, date_trunc('month', i.issued_on)::date AS month, sum(p.amount) AS revenue
FROM invoices AS i JOIN payments AS p ON p.invoice_id = i.id
GROUP BY i.tenant_id, date_trunc('month', i.issued_on);

CREATE MATERIALIZED VIEW course_popularity AS
SELECT c.id AS course_id, c.tenant_id, c.title, count(e.id) AS enrollments,
       count(e.id) FILTER (WHERE e.status = 'completed') AS completed
FROM courses AS c
LEFT JOIN course_sections AS cs ON cs.course_id = c.id
LEFT JOIN enrollments AS e ON e.section_id = cs.id
GROUP BY c.id;
CREATE UNIQUE INDEX course_popularity_course_idx ON course_popularity (course_id);
CREATE INDEX course_popularity_rank_idx ON course_popularity (tenant_id, enrollments DESC);

RESET ROLE;
