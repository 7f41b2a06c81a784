"""The statements of the sample's application, by the names it has always used.

Each action is what one request would send; those of one worker touch no row that another worker changes, so that
any error comes from outside. Statement kinds that PostgreSQL refuses on a view stay out.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

Row = tuple[object, ...]


class Session(Protocol):
    """What an action may do with its connection."""

    def query(self, statement: str, *arguments: object) -> list[Row]:
        """Run one statement and return its rows, if it has any."""

    def begin(self) -> None:
        """Open a transaction; ``commit()`` ends it. Outside, each statement is one of its own."""

    def commit(self) -> None:
        """Commit."""


@dataclass
class Context:
    """What one worker knows of the data: how much there is, and which part of it is its own.

    ``random`` is seeded by the worker's number: runs differ in timing only. ``run`` tells the rows of one run from
    those of an earlier one in the same database.
    """

    worker: int
    workers: int
    run: int
    limits: dict[str, int]
    random: random.Random
    serial: Iterator[int] = field(default_factory=itertools.count)

    def any(self, table: str) -> int:
        """Return the id of some row, for reading."""
        return self.random.randint(1, self.limits[table])

    def own(self, table: str) -> int:
        """Return the id of a row that only this worker changes."""
        slots = max(1, (self.limits[table] - self.worker) // self.workers)
        return self.worker + self.workers * self.random.randrange(slots) + 1

    def fresh(self) -> str:
        """Return a text that no other row holds."""
        return f"{self.run}-{self.worker}-{next(self.serial)}"


Action = Callable[[Session, Context], None]


def browse_courses(session: Session, context: Context) -> None:
    """Catalog, search and figures."""
    course = context.any("courses")
    session.query("SELECT * FROM public.courses WHERE id = $1", course)
    session.query("SELECT code, title, tags FROM course_catalog WHERE id = $1", course)
    session.query("SELECT id FROM courses WHERE search @@ plainto_tsquery('simple', $1) LIMIT 5", f"subject {course}")
    session.query("SELECT title, enrollments FROM course_popularity WHERE course_id = $1", course)
    session.query('SELECT t.label FROM "_CourseToTag" AS ct JOIN "Tag" AS t ON t.id = ct."B" WHERE ct."A" = $1 ORDER BY 1', course)
    session.query("SELECT title, position FROM course_materials WHERE course_id = $1 ORDER BY position", course)


def read_student(session: Session, context: Context) -> None:
    """Joins from the school to the users and tenants."""
    student = context.any("students")
    session.query(
        "SELECT s.full_name, u.email, u.role, t.slug FROM public.students AS s"
        ' JOIN public."User" AS u ON u.id = s.user_id JOIN public.tenants AS t ON t.id = s.tenant_id WHERE s.id = $1',
        student,
    )
    session.query("SELECT code, term, average FROM student_transcript WHERE student_id = $1", student)
    session.query("SELECT student_average($1)", student)
    session.query(
        'SELECT g."Final Grade", g."Closed?" FROM "Grade Book" AS g WHERE g."Student" = $1 ORDER BY g."Section"',
        student,
    )
    session.query("SELECT count(*) FILTER (WHERE present), count(*) FROM attendance WHERE student_id = $1", student)


def log_in(session: Session, context: Context) -> None:
    """The definer function, and a session that comes and goes."""
    session.query("SELECT user_id, user_role FROM find_login($1)", f"USER{context.any('User')}@example.org")
    (token,) = session.query("INSERT INTO login_sessions (user_id, ip) VALUES ($1, '10.1.2.3') RETURNING token", context.any("User"))[0]
    session.query("UPDATE public.login_sessions SET last_seen_at = now() WHERE token = $1", token)
    session.query("DELETE FROM login_sessions WHERE token = $1", token)


def view_pages(session: Session, context: Context) -> None:
    """Rows that find their partition: a month, another month, the default one; and the day's figures."""
    tenant, path = context.any("tenants"), f"/courses/{context.any('courses')}"
    for when in ("2025-08-15 12:00+00", "2026-03-01 00:00+00", "2031-01-01 00:00+00"):
        session.query("INSERT INTO page_views (tenant_id, path, viewed_at) VALUES ($1, $2, $3)", tenant, path, when)
    session.query(
        "INSERT INTO public.events (tenant_id, kind, properties, occurred_at) VALUES"
        " ($1, 'lesson_opened', '{}', '2026-02-02'), ($1, 'checkout', '{\"via\": \"web\"}', '2026-02-02'),"
        " ($1, 'checkout', '{}', DEFAULT)",
        tenant,
    )
    session.query(
        "INSERT INTO daily_stats AS s (day, tenant_id, metric, value) VALUES ('2026-07-01', $1, 'visits', 1)"
        " ON CONFLICT (day, tenant_id, metric) DO UPDATE SET value = s.value + excluded.value, updated_at = now()"
        " RETURNING value",
        tenant,
    )
    session.query("CALL record_visit($1, '2026-07-02')", tenant)


def shop(session: Session, context: Context) -> None:
    """From the cart to the paid invoice in one transaction; the order's total is checked at its commit."""
    product = context.own("products")
    (cart,) = session.query("INSERT INTO carts (user_id) VALUES ($1) RETURNING id", context.any("User"))[0]
    session.query(
        "INSERT INTO cart_items (cart_id, product_id, quantity) VALUES ($1, $2, 2)"
        " ON CONFLICT (cart_id, product_id) DO UPDATE SET quantity = cart_items.quantity + excluded.quantity",
        cart,
        product,
    )
    session.query("SELECT cart_total($1)", cart)
    session.begin()
    (order,) = session.query(
        'INSERT INTO public."order" (tenant_id, user_id, status, total)'
        " SELECT $1, k.user_id, 'paid', (SELECT sum(i.quantity * p.price) FROM cart_items AS i"
        " JOIN products AS p ON p.id = i.product_id WHERE i.cart_id = k.id)"
        " FROM carts AS k WHERE k.id = $2 RETURNING id",
        context.any("tenants"),
        cart,
    )[0]
    session.query(
        'INSERT INTO "OrderItem" ("orderId", "productId", quantity, "unitPrice")'
        " SELECT $1, i.product_id, i.quantity, p.price FROM cart_items AS i JOIN products AS p ON p.id = i.product_id"
        ' WHERE i.cart_id = $2 RETURNING "lineTotal"',
        order,
        cart,
    )
    session.query(
        "UPDATE stock_levels SET quantity = quantity - 2 WHERE product_id = $1 AND warehouse = 'north' RETURNING quantity - reserved",
        product,
    )
    invoice, total = session.query(
        "INSERT INTO invoices (order_id, tenant_id, status, total) SELECT id, tenant_id, 'paid', total"
        ' FROM "order" WHERE id = $1 RETURNING id, total',
        order,
    )[0]
    region = context.random.choice(("eu", "us", "jp"))
    session.query("INSERT INTO payments (region, invoice_id, amount) VALUES ($1, $2, $3) RETURNING id", region, invoice, total)
    session.query("UPDATE public.carts SET closed_at = now() WHERE id = $1", cart)
    session.commit()
    session.query("DELETE FROM carts WHERE id = $1", cart)


def ship(session: Session, context: Context) -> None:
    """An update that fires the audit trigger, and a payment that changes its partition."""
    order = context.own("order")
    session.query("UPDATE \"order\" SET status = 'shipped' WHERE id = $1 RETURNING updated_at", order)
    session.query(
        'SELECT o.id, u.email, count(i.id) FROM "order" AS o JOIN "User" AS u ON u.id = o.user_id'
        ' LEFT JOIN "OrderItem" AS i ON i."orderId" = o.id WHERE o.id = $1 GROUP BY o.id, u.email',
        order,
    )
    session.query(
        "UPDATE payments SET region = CASE region WHEN 'eu' THEN 'us' WHEN 'us' THEN 'eu' ELSE region END"
        " FROM invoices AS i WHERE i.id = payments.invoice_id AND i.order_id = $1"
        " AND NOT EXISTS (SELECT FROM refunds AS r WHERE r.payment_id = payments.id)",
        order,
    )
    session.query("SELECT * FROM revenue($1, '2026-01-01')", context.any("tenants"))


def study(session: Session, context: Context) -> None:
    """Enrolment by function, work handed in, a grade changed."""
    student, section = context.own("students"), context.any("course_sections")
    session.query("SELECT enroll_student($1, $2)", student, section)
    session.query("SELECT section_enrollment_count($1)", section)
    session.query(
        "INSERT INTO submissions (assignment_id, student_id, body) SELECT a.id, $1, $2 FROM assignments AS a"
        " WHERE a.section_id = $3 ORDER BY a.id LIMIT 1"
        " ON CONFLICT (assignment_id, student_id) DO UPDATE SET body = excluded.body, submitted_at = now()"
        " RETURNING id",
        student,
        "A second answer. " * 300,
        section,
    )
    session.query("UPDATE public.grades SET score = 100 - score WHERE student_id = $1 RETURNING weighted", student)
    session.query(
        "INSERT INTO attendance AS a (student_id, lesson_id, present) VALUES ($1, $2, true)"
        " ON CONFLICT (student_id, lesson_id) DO UPDATE SET present = NOT a.present",
        student,
        context.any("lessons"),
    )
    session.query("UPDATE students SET status = 'active' WHERE id = $1 RETURNING updated_at > created_at", student)


def talk(session: Session, context: Context) -> None:
    """Row-level security: the tenant is a setting of the transaction."""
    tenant = context.any("tenants")
    session.begin()
    session.query("SELECT set_config('app.tenant_id', $1, true)", str(tenant))
    session.query(
        "INSERT INTO messages (tenant_id, sender_id, recipient_id, body) VALUES ($1, $2, $3, 'Hello') RETURNING id",
        tenant,
        context.any("User"),
        context.any("User"),
    )
    rows = session.query("SELECT DISTINCT tenant_id FROM public.messages")
    session.query("SELECT count(*) FROM student_notes")
    session.commit()
    if rows != [(tenant,)]:
        raise AssertionError(f"row-level security of messages lets tenant {tenant} see {rows}")


def work_queue(session: Session, context: Context) -> None:
    """A background job: taken under lock, done, followed by the next."""
    session.begin()
    taken = session.query("SELECT id, kind FROM job_queue WHERE done_at IS NULL ORDER BY run_after, id LIMIT 1 FOR UPDATE SKIP LOCKED")
    for job, kind in taken:
        session.query("UPDATE job_queue SET done_at = now(), attempts = attempts + 1 WHERE id = $1", job)
        session.query("INSERT INTO public.job_queue (kind, payload) VALUES ($1, DEFAULT) RETURNING id, ticket", kind)
    session.commit()
    session.query(
        "DELETE FROM job_queue WHERE done_at < now() - interval '10 seconds' AND id % $1 = $2",
        context.workers,
        context.worker,
    )


def notify(session: Session, context: Context) -> None:
    """Enum arrays, jsonb, a data-modifying CTE."""
    user, tenant = context.own("User"), context.any("tenants")
    session.query(
        "INSERT INTO notifications (user_id, channels, subject, payload) VALUES ($1, '{EMAIL,IN_APP}', $2, '{\"n\": 1}') RETURNING id",
        user,
        context.fresh(),
    )
    session.query(
        "SELECT id, subject FROM notifications WHERE user_id = $1 AND read_at IS NULL"
        " AND 'EMAIL' = ANY (channels) ORDER BY created_at DESC LIMIT 10",
        user,
    )
    session.query(
        "WITH seen AS (UPDATE public.notifications SET read_at = now() WHERE user_id = $1 AND read_at IS NULL"
        " RETURNING id)"
        " SELECT count(*) FROM seen",
        user,
    )
    session.query('UPDATE "User" SET "updatedAt" = now() WHERE id = $1 RETURNING "displayName"', user)
    session.query("SELECT slug, (address).city, settings ->> 'theme' FROM tenants WHERE id = $1", tenant)


# app_worker is the only one that may change analytics' tables; everything else comes from the web front end.
WEB_ACTIONS: tuple[Action, ...] = (browse_courses, read_student, log_in, view_pages, shop, ship, study, talk, notify)
WORKER_ACTIONS: tuple[Action, ...] = (work_queue, notify, ship, study, read_student)
