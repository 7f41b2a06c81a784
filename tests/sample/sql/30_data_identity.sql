-- Rows are computed from their number alone: two loads are equal row for row. :name stands for a count (sizes.py).
INSERT INTO countries VALUES
    ('AT', 'Austria', 'EUR'), ('BR', 'Brazil', 'BRL'), ('CA', 'Canada', 'CAD'), ('CH', 'Switzerland', 'CHF'),
    ('DE', 'Germany', 'EUR'), ('FR', 'France', 'EUR'), ('GB', 'United Kingdom', 'GBP'), ('JP', 'Japan', 'JPY'),
    ('NL', 'Netherlands', 'EUR'), ('US', 'United States', 'USD');

INSERT INTO plans (code, monthly_price, seats) VALUES
    ('starter', 29, 100), ('school', 199, 1500), ('district', 899, 20000);

INSERT INTO tenants (slug, name, country, address, settings, created_at)
SELECT 'tenant-' || i, 'Tenant ' || i, c.code,
       ROW (i || ' Main Street', 'Town ' || i, lpad(i::text, 5, '0'), c.code)::postal_address,
       jsonb_build_object('theme', (ARRAY['light', 'dark'])[mod(i, 2) + 1], 'weekStart', mod(i, 7)),
       timestamptz '2024-01-01' + i * interval '3 days'
FROM generate_series(1, :tenants) AS i
JOIN (SELECT code, row_number() OVER (ORDER BY code) AS n FROM countries) AS c ON c.n = mod(i, 10) + 1
ORDER BY i;

INSERT INTO subscriptions (tenant_id, plan_id, period)
SELECT t, mod(t + y, 3) + 1, daterange(make_date(2023 + y, 1, 1), make_date(2024 + y, 1, 1))
FROM generate_series(1, :tenants) AS t, generate_series(1, 3) AS y ORDER BY t, y;

INSERT INTO "User" ("tenantId", email, "passwordHash", "displayName", role, "createdAt", "updatedAt")
SELECT mod(i, :tenants) + 1, 'user' || i || '@example.org', 'argon2$' || md5('password ' || i),
       CASE WHEN i <= :teachers THEN 'Teacher ' ELSE 'Student ' END || lpad(i::text, 5, '0'),
       (CASE WHEN i <= 5 THEN 'ADMIN' WHEN i <= :teachers THEN 'TEACHER' ELSE 'STUDENT' END)::"Role",
       timestamp '2024-06-01' + i * interval '7 minutes', timestamp '2025-06-01' + i * interval '11 minutes'
FROM generate_series(1, :teachers + :students) AS i;

INSERT INTO user_profiles (user_id, address, phone, locale, preferences, bio)
SELECT i, ROW ('Street ' || i, 'Town', lpad(mod(i, 99999)::text, 5, '0'), 'DE')::postal_address,
       '+49 30 ' || lpad(i::text, 7, '0'), (ARRAY['en', 'de', 'fr'])[mod(i, 3) + 1],
       jsonb_build_object('newsletter', mod(i, 4) = 0), CASE WHEN mod(i, 5) = 0 THEN 'About user ' || i END
FROM generate_series(1, :teachers + :students) AS i WHERE mod(i, 2) = 0;

INSERT INTO memberships (tenant_id, user_id, roles, since)
SELECT mod(i, :tenants) + 1, i,
       CASE WHEN i <= :teachers THEN '{TEACHER,GUARDIAN}' ELSE '{STUDENT}' END::"Role"[], date '2025-01-01' + mod(i, 300)
FROM generate_series(1, :teachers + :students) AS i;

INSERT INTO invitations (id, tenant_id, email, role, invited_by, expires_at)
SELECT md5('invitation ' || i)::uuid, mod(i, :tenants) + 1, 'invited' || i || '@example.org', 'STUDENT',
       mod(i, :teachers) + 1, timestamptz '2026-01-01' + i * interval '1 hour'
FROM generate_series(1, :tenants * 10) AS i;

INSERT INTO "ApiKey" (id, "tenantId", "keyHash", scopes, "createdAt")
SELECT 'key_' || i, mod(i, :tenants) + 1, decode(md5('key ' || i), 'hex'), '{read,"write all"}', timestamp '2025-02-01'
FROM generate_series(1, :tenants * 2) AS i;

INSERT INTO login_sessions (token, user_id, ip, created_at, last_seen_at)
SELECT md5('session ' || i)::uuid, mod(i * 7, :teachers + :students) + 1, inet '10.0.0.0' + i,
       timestamptz '2026-05-01' + i * interval '1 minute', timestamptz '2026-05-02' + i * interval '1 minute'
FROM generate_series(1, :students / 3) AS i;

INSERT INTO feature_flags (tenant_id, flag, enabled, updated_at)
SELECT t, flag, mod(t, 2) = 0, timestamptz '2026-01-01'
FROM generate_series(1, :tenants) AS t, unnest(ARRAY['shop', 'video', 'beta_gradebook', 'sso']) AS flag;

INSERT INTO notifications (user_id, channels, subject, payload, created_at, read_at)
SELECT mod(i * 13, :teachers + :students) + 1,
       CASE mod(i, 3) WHEN 0 THEN '{IN_APP}' WHEN 1 THEN '{EMAIL,PUSH}' ELSE '{SMS}' END::"NotificationChannel"[],
       'Notification ' || i, jsonb_build_object('course', mod(i, :courses) + 1),
       timestamptz '2025-07-01' + i * interval '5 minutes',
       CASE WHEN mod(i, 3) > 0 THEN timestamptz '2025-07-02' + i * interval '5 minutes' END
FROM generate_series(1, :notifications) AS i;

INSERT INTO job_queue (kind, payload, run_after, done_at)
SELECT (ARRAY['send_mail', 'render_certificate', 'sync_stock'])[mod(i, 3) + 1], jsonb_build_object('n', i),
       timestamptz '2026-01-01' + i * interval '1 minute',
       CASE WHEN mod(i, 2) = 0 THEN timestamptz '2026-01-02' + i * interval '1 minute' END
FROM generate_series(1, :notifications / 10) AS i;

INSERT INTO _prisma_migrations (id, checksum, finished_at, migration_name, started_at, applied_steps_count)
SELECT md5(name)::uuid::text, md5(name) || md5('2' || name), timestamptz '2025-03-01 10:00:01',
       name, timestamptz '2025-03-01 10:00:00', 1
FROM unnest(ARRAY['20250301100000_init', '20250412081500_shop', '20250830120000_gradebook']) AS name;
