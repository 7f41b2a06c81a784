-- 364 days from 2025-07-01 on, so that the default partitions start nearly empty.
INSERT INTO page_views (tenant_id, user_id, path, referrer, duration_ms, viewed_at)
SELECT mod(i, :tenants) + 1, CASE WHEN mod(i, 4) > 0 THEN mod(i * 7, :teachers + :students) + 1 END,
       '/courses/' || mod(i * 3, :courses) + 1, CASE WHEN mod(i, 6) = 0 THEN 'https://search.example/' END,
       mod(i * 37, 60000), timestamptz '2025-07-01' + (i * 364.0 / :page_views) * interval '1 day'
FROM generate_series(1, :page_views) AS i;
INSERT INTO page_views (tenant_id, path, viewed_at) VALUES (1, '/imported', timestamptz '2024-12-31 23:00');

INSERT INTO events (tenant_id, user_id, kind, properties, occurred_at)
SELECT mod(i, :tenants) + 1, mod(i * 11, :teachers + :students) + 1,
       (ARRAY['lesson_opened', 'quiz_finished', 'cart_opened', 'checkout'])[mod(i, 4) + 1],
       jsonb_build_object('course', mod(i, :courses) + 1, 'score', mod(i, 101)),
       timestamptz '2025-07-01' + (i * 364.0 / :events) * interval '1 day'
FROM generate_series(1, :events) AS i;

INSERT INTO daily_stats (day, tenant_id, metric, value, updated_at)
SELECT date '2025-07-01' + d, t, 'visits', mod(d * 31 + t * 7, 5000), timestamptz '2026-06-30'
FROM generate_series(0, :days - 1) AS d, generate_series(1, :tenants) AS t;

INSERT INTO audit_log (table_name, operation, row_id, changes, actor, logged_at)
SELECT (ARRAY['User', 'order', 'grades'])[mod(i, 3) + 1], (ARRAY['INSERT', 'UPDATE'])[mod(i, 2) + 1], i::text,
       jsonb_build_object('note', 'change ' || i), 'app_web', timestamptz '2025-07-01' + i * interval '8 minutes'
FROM generate_series(1, :audit_entries) AS i;

INSERT INTO experiments (name, variants, started_on)
SELECT 'experiment ' || i, '{control,treatment}', date '2026-01-01' + i FROM generate_series(1, 6) AS i;
INSERT INTO experiment_assignments (experiment_id, user_id, variant)
SELECT mod(u, 6) + 1, u, (ARRAY['control', 'treatment'])[mod(u / 6, 2) + 1]
FROM generate_series(1, :teachers + :students) AS u;

INSERT INTO funnel_steps VALUES
    ('purchase', 1, 'cart_opened'), ('purchase', 2, 'checkout'),
    ('learning', 1, 'lesson_opened'), ('learning', 2, 'quiz_finished');

-- One wide document per month: kept out of line (TOAST), because such text hardly compresses.
INSERT INTO report_snapshots (name, taken_on, document)
SELECT 'month', make_date(2025, m, 1),
       jsonb_build_object('lines', (SELECT jsonb_agg(md5(m || ':' || n)) FROM generate_series(1, :report_lines) AS n))
FROM generate_series(1, 12) AS m;
