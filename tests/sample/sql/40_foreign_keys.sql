-- After the data, as pg_restore does: one check of each whole table instead of one for each row.
ALTER TABLE tenants ADD FOREIGN KEY (country) REFERENCES countries;
ALTER TABLE subscriptions
    ADD FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE,
    ADD FOREIGN KEY (plan_id) REFERENCES plans;
ALTER TABLE "User" ADD CONSTRAINT "User_tenantId_fkey"
    FOREIGN KEY ("tenantId") REFERENCES tenants ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE user_profiles ADD FOREIGN KEY (user_id) REFERENCES "User" ON DELETE CASCADE;
ALTER TABLE memberships
    ADD FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE,
    ADD FOREIGN KEY (user_id) REFERENCES "User" ON DELETE CASCADE;
ALTER TABLE invitations
    ADD FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE,
    ADD FOREIGN KEY (invited_by) REFERENCES "User" ON DELETE SET NULL;
ALTER TABLE "ApiKey" ADD CONSTRAINT "ApiKey_tenantId_fkey" FOREIGN KEY ("tenantId") REFERENCES tenants ON DELETE CASCADE;
ALTER TABLE login_sessions ADD FOREIGN KEY (user_id) REFERENCES "User" ON DELETE CASCADE;
ALTER TABLE feature_flags ADD FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE;
ALTER TABLE notifications ADD FOREIGN KEY (user_id) REFERENCES "User" ON DELETE CASCADE;

ALTER TABLE departments
    ADD FOREIGN KEY (tenant_id) REFERENCES tenants,
    ADD FOREIGN KEY (parent_id) REFERENCES departments;
ALTER TABLE teachers
    ADD FOREIGN KEY (user_id) REFERENCES "User",
    ADD FOREIGN KEY (department_id) REFERENCES departments;
ALTER TABLE students
    ADD FOREIGN KEY (tenant_id) REFERENCES tenants,
    ADD FOREIGN KEY (user_id) REFERENCES "User" ON DELETE SET NULL,
    ADD FOREIGN KEY (mentor_id) REFERENCES students DEFERRABLE INITIALLY IMMEDIATE;
ALTER TABLE student_guardians
    ADD FOREIGN KEY (student_id) REFERENCES students ON DELETE CASCADE,
    ADD FOREIGN KEY (guardian_id) REFERENCES guardians ON DELETE CASCADE;
ALTER TABLE courses
    ADD FOREIGN KEY (tenant_id) REFERENCES tenants,
    ADD FOREIGN KEY (department_id) REFERENCES departments;
ALTER TABLE course_sections
    ADD FOREIGN KEY (course_id) REFERENCES courses ON DELETE CASCADE,
    ADD FOREIGN KEY (teacher_id) REFERENCES teachers;
ALTER TABLE "_CourseToTag"
    ADD CONSTRAINT "_CourseToTag_A_fkey" FOREIGN KEY ("A") REFERENCES courses ON DELETE CASCADE ON UPDATE CASCADE,
    ADD CONSTRAINT "_CourseToTag_B_fkey" FOREIGN KEY ("B") REFERENCES "Tag" ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE enrollments
    ADD FOREIGN KEY (student_id) REFERENCES students ON DELETE CASCADE,
    ADD FOREIGN KEY (section_id) REFERENCES course_sections;
ALTER TABLE lessons
    ADD FOREIGN KEY (section_id) REFERENCES course_sections ON DELETE CASCADE,
    ADD FOREIGN KEY (prerequisite_id) REFERENCES lessons ON DELETE SET NULL;
ALTER TABLE assignments ADD FOREIGN KEY (section_id) REFERENCES course_sections ON DELETE CASCADE;
ALTER TABLE submissions
    ADD FOREIGN KEY (assignment_id) REFERENCES assignments ON DELETE CASCADE,
    ADD FOREIGN KEY (student_id) REFERENCES students ON DELETE CASCADE;
ALTER TABLE grades
    ADD FOREIGN KEY (student_id, section_id) REFERENCES enrollments (student_id, section_id) ON DELETE CASCADE,
    ADD FOREIGN KEY (assignment_id) REFERENCES assignments,
    ADD FOREIGN KEY (graded_by) REFERENCES teachers ON DELETE SET NULL;
ALTER TABLE "Grade Book" ADD CONSTRAINT "Grade Book enrollment"
    FOREIGN KEY ("Student", "Section") REFERENCES enrollments (student_id, section_id) ON DELETE CASCADE;
ALTER TABLE attendance
    ADD FOREIGN KEY (student_id) REFERENCES students ON DELETE CASCADE,
    ADD FOREIGN KEY (lesson_id) REFERENCES lessons ON DELETE CASCADE;
ALTER TABLE rooms ADD FOREIGN KEY (tenant_id) REFERENCES tenants;
ALTER TABLE room_bookings
    ADD FOREIGN KEY (room_id) REFERENCES rooms ON DELETE CASCADE,
    ADD FOREIGN KEY (section_id) REFERENCES course_sections ON DELETE SET NULL;
ALTER TABLE course_materials ADD FOREIGN KEY (course_id) REFERENCES courses ON DELETE CASCADE;
ALTER TABLE video_materials ADD FOREIGN KEY (course_id) REFERENCES courses ON DELETE CASCADE;
ALTER TABLE document_materials ADD FOREIGN KEY (course_id) REFERENCES courses ON DELETE CASCADE;
ALTER TABLE messages
    ADD FOREIGN KEY (tenant_id) REFERENCES tenants,
    ADD FOREIGN KEY (sender_id) REFERENCES "User",
    ADD FOREIGN KEY (recipient_id) REFERENCES "User";
ALTER TABLE student_notes
    ADD FOREIGN KEY (tenant_id) REFERENCES tenants,
    ADD FOREIGN KEY (student_id) REFERENCES students ON DELETE CASCADE,
    ADD FOREIGN KEY (author_id) REFERENCES teachers ON DELETE SET NULL;
ALTER TABLE certificates
    ADD FOREIGN KEY (student_id) REFERENCES students,
    ADD FOREIGN KEY (course_id) REFERENCES courses;

ALTER TABLE product_categories ADD FOREIGN KEY (parent_id) REFERENCES product_categories;
ALTER TABLE products
    ADD FOREIGN KEY (category_id) REFERENCES product_categories,
    ADD FOREIGN KEY (course_id) REFERENCES courses ON DELETE SET NULL;
ALTER TABLE product_prices ADD FOREIGN KEY (product_id) REFERENCES products ON DELETE CASCADE;
ALTER TABLE stock_levels ADD FOREIGN KEY (product_id) REFERENCES products ON DELETE CASCADE;
ALTER TABLE carts
    ADD FOREIGN KEY (user_id) REFERENCES "User",
    ADD FOREIGN KEY (coupon) REFERENCES coupons ON UPDATE CASCADE;
ALTER TABLE cart_items
    ADD FOREIGN KEY (cart_id) REFERENCES carts ON DELETE CASCADE,
    ADD FOREIGN KEY (product_id) REFERENCES products;
ALTER TABLE "order"
    ADD FOREIGN KEY (tenant_id) REFERENCES tenants,
    ADD FOREIGN KEY (user_id) REFERENCES "User";
-- Items may be written before their order within a transaction.
ALTER TABLE "OrderItem"
    ADD CONSTRAINT "OrderItem_orderId_fkey" FOREIGN KEY ("orderId") REFERENCES "order"
        ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    ADD CONSTRAINT "OrderItem_productId_fkey" FOREIGN KEY ("productId") REFERENCES products;
ALTER TABLE invoices
    ADD FOREIGN KEY (order_id) REFERENCES "order",
    ADD FOREIGN KEY (tenant_id) REFERENCES tenants;
ALTER TABLE payments ADD FOREIGN KEY (invoice_id) REFERENCES invoices;
ALTER TABLE refunds ADD FOREIGN KEY (payment_id, payment_region) REFERENCES payments (id, region);
ALTER TABLE shipments ADD FOREIGN KEY (order_id) REFERENCES "order" ON DELETE CASCADE;
ALTER TABLE product_reviews
    ADD FOREIGN KEY (product_id) REFERENCES products ON DELETE CASCADE,
    ADD FOREIGN KEY (user_id) REFERENCES "User" ON DELETE CASCADE;

ALTER TABLE page_views ADD FOREIGN KEY (tenant_id) REFERENCES tenants;
ALTER TABLE events ADD FOREIGN KEY (tenant_id) REFERENCES tenants;
ALTER TABLE daily_stats ADD FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE;
ALTER TABLE experiment_assignments
    ADD FOREIGN KEY (experiment_id) REFERENCES experiments ON DELETE CASCADE,
    ADD FOREIGN KEY (user_id) REFERENCES "User" ON DELETE CASCADE;
