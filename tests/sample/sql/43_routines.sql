-- Functions and a procedure. Those with text bodies name tables in every usual way: bare, qualified, with a pinned path.
SET ROLE app_owner;

CREATE FUNCTION student_average(student integer) RETURNS numeric
LANGUAGE sql STABLE AS $$
    SELECT round(sum(weighted) / nullif(sum(weight), 0), 2) FROM grades WHERE student_id = student
$$;

-- Parsed once, at creation: its references are to the tables themselves.
CREATE FUNCTION section_enrollment_count(section integer) RETURNS bigint
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT count(*) FROM enrollments WHERE section_id = section AND status = 'active';
END;

CREATE FUNCTION enroll_student(student integer, section integer) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    enrollment_id public.enrollments.id%TYPE;
    seats integer;
BEGIN
    SELECT capacity - public.section_enrollment_count(section) INTO seats
    FROM public.course_sections WHERE id = section;
    IF seats <= 0 THEN
        RAISE EXCEPTION 'section % is full', section USING ERRCODE = 'check_violation';
    END IF;
    INSERT INTO public.enrollments (student_id, section_id) VALUES (student, section)
    ON CONFLICT (student_id, section_id) DO UPDATE SET status = 'active'
    RETURNING id INTO enrollment_id;
    RETURN enrollment_id;
END
$$;

-- Logging in needs the password hash, which the roles of the application may not read by themselves.
CREATE FUNCTION find_login(login text, OUT user_id integer, OUT password_hash text, OUT user_role "Role")
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT id, "passwordHash", role FROM "User" WHERE lower(email::text) = lower(login)
$$;

CREATE FUNCTION cart_total(cart uuid) RETURNS numeric
LANGUAGE plpgsql STABLE SET search_path = '' AS $$
DECLARE
    total numeric;
BEGIN
    SELECT coalesce(sum(i.quantity * p.price), 0) * (1 - coalesce(max(c.percent_off), 0) / 100) INTO total
    FROM public.carts AS k
    LEFT JOIN public.cart_items AS i ON i.cart_id = k.id
    LEFT JOIN public.products AS p ON p.id = i.product_id
    LEFT JOIN public.coupons AS c ON c.code = k.coupon
    WHERE k.id = cart;
    RETURN round(total, 2);
END
$$;

CREATE FUNCTION revenue(tenant integer, since date) RETURNS TABLE (month date, amount numeric)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY EXECUTE format('SELECT month, revenue FROM %I WHERE tenant_id = $1 AND month >= $2 ORDER BY month',
        'revenue_by_month') USING tenant, since;
END
$$;

CREATE PROCEDURE record_visit(visited_tenant integer, visit_day date)
LANGUAGE sql AS $$
    INSERT INTO daily_stats AS s (day, tenant_id, metric, value) VALUES (visit_day, visited_tenant, 'visits', 1)
    ON CONFLICT (day, tenant_id, metric) DO UPDATE SET value = s.value + 1, updated_at = now()
$$;

CREATE FUNCTION set_updated_at() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;

-- The role that writes need not be allowed to write the audit trail itself.
CREATE FUNCTION log_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    before jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END;
    after jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END;
BEGIN
    INSERT INTO audit_log (table_name, operation, row_id, changes, actor)
    VALUES (TG_TABLE_NAME, TG_OP, coalesce(after, before) ->> 'id',
            jsonb_build_object('before', before, 'after', after) - 'passwordHash', session_user);
    RETURN NULL;
END
$$;

CREATE FUNCTION log_bulk_enrollment() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO audit_log (table_name, operation, changes, actor)
    SELECT TG_TABLE_NAME, TG_OP, jsonb_build_object('rows', count(*), 'sections', count(DISTINCT section_id)), session_user
    FROM added HAVING count(*) > 0;
    RETURN NULL;
END
$$;

CREATE FUNCTION check_order_total() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    expected numeric;
    found numeric;
BEGIN
    SELECT o.total, coalesce(sum(i."lineTotal"), 0) INTO expected, found
    FROM public."order" AS o LEFT JOIN public."OrderItem" AS i ON i."orderId" = o.id
    WHERE o.id = NEW.id GROUP BY o.id, o.total;
    IF expected <> found THEN
        RAISE EXCEPTION 'order % says %, its items add up to %', NEW.id, expected, found
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END
$$;

RESET ROLE;
