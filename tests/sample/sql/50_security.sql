-- Privileges beyond the default ones, row-level security, and what leaves by logical replication.

-- Reporting sees who the users are, but neither address nor password.
REVOKE SELECT ON "User" FROM reporting;
GRANT SELECT (id, "tenantId", role, "createdAt") ON "User" TO reporting;
REVOKE ALL ON "ApiKey", login_sessions, messages, student_notes FROM reporting;
REVOKE ALL ON "ApiKey" FROM app_worker;
GRANT SELECT ON countries, plans TO PUBLIC;
GRANT SELECT, REFERENCES ON tenants TO app_worker WITH GRANT OPTION;
GRANT TRUNCATE ON login_sessions TO app_worker;

-- The web front end writes what it observes and reads only the figures.
GRANT INSERT ON page_views, events TO app_web;
GRANT SELECT, INSERT, UPDATE ON daily_stats TO app_web;
GRANT SELECT ON experiments, experiment_assignments, course_popularity, revenue_by_month TO app_web;
-- The default privileges of analytics_owner know nothing of sequences: identity columns need none.
GRANT USAGE ON SEQUENCE audit_log_id_seq TO app_worker;
-- log_change() runs as the owner of the application's tables.
GRANT INSERT ON audit_log TO app_owner;
GRANT USAGE ON SEQUENCE audit_log_id_seq TO app_owner;
-- revenue() and record_visit() run as their caller, student_average() as well.
GRANT SELECT, INSERT, UPDATE ON daily_stats TO app_owner;
GRANT EXECUTE ON FUNCTION student_average(integer), section_enrollment_count(integer) TO reporting;

ALTER TABLE messages ENABLE ROW LEVEL SECURITY;
CREATE POLICY messages_of_tenant ON messages TO app_web
    USING (tenant_id = current_setting('app.tenant_id', true)::integer)
    WITH CHECK (tenant_id = current_setting('app.tenant_id', true)::integer);
CREATE POLICY messages_for_worker ON messages FOR SELECT TO app_worker USING (true);

ALTER TABLE student_notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY notes_of_tenant ON student_notes TO app_web
    USING (EXISTS (SELECT FROM students AS s WHERE s.id = student_notes.student_id
                   AND s.tenant_id = current_setting('app.tenant_id', true)::integer));
CREATE POLICY notes_not_confidential ON student_notes AS RESTRICTIVE FOR SELECT TO app_web
    USING (NOT confidential OR current_setting('app.may_read_confidential', true) = 'on');

CREATE PUBLICATION accounting FOR TABLE "order", invoices (id, number, order_id, tenant_id, status, total);
CREATE PUBLICATION warehouse FOR TABLE stock_levels WITH (publish = 'insert, update, delete');
