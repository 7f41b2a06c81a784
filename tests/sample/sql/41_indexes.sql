-- Indexes and extended statistics.
CREATE INDEX user_email_lower_idx ON "User" (lower(email::text));
CREATE INDEX "User_tenantId_role_idx" ON "User" ("tenantId", role) INCLUDE ("displayName");
CREATE INDEX notifications_unread_idx ON notifications (user_id, created_at DESC) WHERE read_at IS NULL;
CREATE INDEX job_queue_ready_idx ON job_queue (run_after, id) WHERE done_at IS NULL;
CREATE INDEX students_tenant_idx ON students (tenant_id, status);
CREATE INDEX courses_search_idx ON courses USING gin (search);
CREATE INDEX "_CourseToTag_B_index" ON "_CourseToTag" ("B");
CREATE INDEX enrollments_section_idx ON enrollments (section_id) INCLUDE (student_id, status);
CREATE INDEX lessons_section_idx ON lessons (section_id, starts_at);
CREATE INDEX submissions_student_idx ON submissions (student_id, submitted_at DESC);
CREATE INDEX submissions_attachments_idx ON submissions USING gin (attachments jsonb_path_ops);
CREATE INDEX attendance_absent_idx ON attendance (lesson_id) WHERE NOT present;
CREATE INDEX messages_recipient_idx ON messages (recipient_id, sent_at);
CREATE INDEX products_category_idx ON products (category_id) WHERE NOT discontinued;
CREATE INDEX products_colour_idx ON products ((attributes ->> 'colour'));
CREATE INDEX cart_items_product_idx ON cart_items (product_id);
CREATE INDEX order_user_idx ON "order" (user_id, placed_at DESC);
CREATE INDEX order_open_idx ON "order" (placed_at) WHERE status IN ('pending', 'paid');
CREATE INDEX invoices_tenant_idx ON invoices (tenant_id, issued_on);
CREATE INDEX payments_invoice_idx ON payments (invoice_id);
CREATE INDEX page_views_tenant_idx ON page_views (tenant_id, viewed_at);
CREATE INDEX page_views_path_idx ON page_views USING hash (path);
CREATE INDEX events_user_idx ON events (user_id, occurred_at);
CREATE INDEX audit_log_logged_at_brin ON audit_log USING brin (logged_at);

CREATE STATISTICS enrollments_student_section (dependencies, ndistinct) ON student_id, section_id FROM enrollments;
CREATE STATISTICS order_tenant_status (mcv) ON tenant_id, status FROM "order";
CREATE STATISTICS page_views_hour ON (date_trunc('hour', viewed_at AT TIME ZONE 'UTC')), tenant_id FROM page_views;
