"""Plans made by hand, for tests of what shows a plan: no server, no planner."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog, ForeignKey, Server
from ansible_collections.dbops.multischema.plugins.module_utils.plan import (
    Finding,
    Lock,
    Member,
    Placement,
    Plan,
    Step,
    plan_to_dict,
)
from ansible_collections.dbops.multischema.plugins.module_utils.retired_schemas import retire
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import qualified

SERVER = Server(160004, "16.4 (Debian 16.4-1)", "campus", 16391, "7423519823451234567", "migrator", False)
HOSTILE = (
    'a"; DROP TABLE x; --',
    "<script>alert(1)</script>",
    "*/ DROP TABLE x; /*",
    "two\nlines; DROP TABLE x",
    "carriage\rDROP TABLE x",
    "' onload='alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "back\\slash :name",
    "over\u202eride",
    "Kursübersicht 课程",
)


@dataclass
class Draft:
    """A plan in the making; :meth:`document` is what ``plan.json`` would hold."""

    schemas: tuple[str, ...] = ("tenant_shared", "tenant_kct")
    server: Server = SERVER
    environment: str = "staging"
    steps: list[Step] = field(default_factory=list)
    placements: list[Placement] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    keys: list[ForeignKey] = field(default_factory=list)
    comments: Mapping[str, str] = field(default_factory=dict)
    catalog: Catalog | None = None

    def _oid(self) -> int:
        return 20000 + len(self.placements)

    def oid(self, name: str) -> int:
        """The OID that a table of this draft has."""
        return next(p.oid for p in self.placements if p.name == name)

    def create_schemas(self) -> None:
        """Phase 1: every schema and who may use it."""
        for name in self.schemas:
            target = qualified(name, "x")[:-2]
            self.steps.append(
                Step(
                    f"create_schema:{name}",
                    1,
                    "create_schema",
                    f"Create schema {target}",
                    (f"CREATE SCHEMA {target}",),
                    (retire(name),),
                    detail={"schema": name},
                )
            )
            self.steps.append(
                Step(
                    f"grant_usage:{name}",
                    1,
                    "grant_usage",
                    f"Let app_web, reporting use schema {target}",
                    (f"GRANT USAGE ON SCHEMA {target} TO app_web, reporting",),
                    (f"REVOKE USAGE ON SCHEMA {target} FROM app_web, reporting",),
                    detail={"schema": name, "roles": ["app_web", "reporting"]},
                )
            )

    def stay(self, name: str, why: str = "no rule names it", size: int = 8192, rows: int = -1, kind: str = "table") -> None:
        """A table that stays."""
        self.placements.append(Placement(self._oid(), name, kind, "public", why, None, rows, size))

    def move(
        self,
        name: str,
        schema: str,
        *,
        size: int = 8192,
        rows: int = 10,
        why: str = "rule 1 (*)",
        partitions: Iterable[str] = (),
        view: bool = True,
        kind: str = "",
    ) -> None:
        """A table, or a tree of partitions, that moves in one step."""
        names = [name, *partitions]
        step = f"move:{qualified('public', name)}"
        members = []
        for i, member in enumerate(names):
            tree = "partitioned table" if len(names) > 1 and i == 0 else "partition" if i else kind or "table"
            share = 0 if tree == "partitioned table" else size // max(1, len(names) - 1)
            members.append(Member(self._oid(), "p" if tree == "partitioned table" else "r", member, view=view))
            members.append(Member(90000 + self._oid(), "i", f"{member}_pkey"))
            self.placements.append(Placement(self._oid(), member, tree, schema, why, step, rows, share))
        old, new = partial(qualified, "public"), partial(qualified, schema)
        target = new("x")[:-2]
        self.steps.append(
            Step(
                step,
                2,
                "move_tables",
                f"Move {old(name)} to {target}",
                (
                    f"LOCK TABLE {old(name)} IN ACCESS EXCLUSIVE MODE",
                    *(f"ALTER TABLE {old(n)} SET SCHEMA {target}" for n in names),
                    *(
                        text
                        for n in names
                        if view
                        for text in (
                            f"CREATE VIEW {old(n)} WITH (security_invoker=true) AS SELECT * FROM {new(n)}",
                            f"GRANT SELECT, INSERT, UPDATE, DELETE ON {old(n)} TO app_web",
                            f"GRANT SELECT ON {old(n)} TO reporting",
                        )
                    ),
                ),
                (
                    *(f"DROP VIEW {old(n)}" for n in names if view),
                    *(f"ALTER TABLE {new(n)} SET SCHEMA public" for n in names),
                ),
                tuple(Lock(old(n)) for n in names),
                tuple(members),
                {"from": "public", "to": schema, "publications": []},
            )
        )

    def key(self, child: str, parent: str) -> None:
        """A foreign key."""
        self.keys.append(ForeignKey(f"{child}_{parent}_fkey", self.oid(child), self.oid(parent)))

    def plan(self) -> Plan:
        """The plan as the planner would make it."""
        configuration = {
            "schemas": [{"name": n, "owner": None, "comment": self.comments.get(n)} for n in self.schemas],
            "placement": [{"schema": n, "tables": ["*"], "compatibility_view": None} for n in self.schemas],
            "source_schema": "public",
            "keep": [],
            "unplaced": "refuse",
            "accept": [],
            "compatibility_views": True,
            "application_roles": ["app_web"],
        }
        return Plan(
            self.server,
            configuration,
            tuple(self.steps),
            tuple(self.findings),
            tuple(self.placements),
            tuple(self.keys),
            self.catalog or Catalog(self.server, "public"),
            self.environment,
            "db1.example",
            "2025-11-23T01:30:00+00:00",
            "1.0.0",
        )

    def document(self) -> dict[str, Any]:
        """The content of ``plan.json``."""
        return plan_to_dict(self.plan())


def campus() -> Draft:
    """A learning platform with a shop: 47 tables, three target schemas, one partition tree."""
    draft = Draft(
        schemas=("tenant_shared", "tenant_kct", "tenant_shop"),
        comments={
            "tenant_shared": "What every tenant needs",
            "tenant_kct": "Courses",
            "tenant_shop": "Orders, payments",
        },
    )
    draft.create_schemas()
    mb = 1024 * 1024
    shared = "tenants users roles user_roles sessions api_keys feature_flags audit_log email_templates countries"
    courses = (
        "courses course_sections lessons lesson_assets enrollments enrollment_progress assignments submissions grades "
        "certificates quizzes quiz_questions quiz_attempts quiz_answers instructors instructor_payout_agreements "
        "discussion_threads discussion_posts"
    )
    shop = "products product_variants carts cart_items orders order_items payments refunds coupons invoices shipments"
    for number, names in enumerate((shared, courses, shop)):
        for i, name in enumerate(names.split()):
            rows = (i * 7919 % 23 + 1) * 1217 * (10 ** (i % 4))
            draft.move(
                name,
                draft.schemas[number],
                size=rows * 210 // (1 + i % 3),
                rows=rows,
                why=f"rule {number + 1} ({name})",
            )
    months = [f"page_views_2025_{month:02d}" for month in range(1, 7)]
    draft.move("page_views", "tenant_kct", size=9300 * mb, rows=61_000_000, why="rule 2 (page_views*)", partitions=months)
    draft.stay("_prisma_migrations", "bookkeeping table of a migration tool", 65536, 118)
    draft.stay("spatial_ref_sys", "belongs to extension postgis", 7 * mb, 8500)
    draft.stay("tmp_import_2023", "multischema_keep names tmp_*", 120 * mb)
    for child, parent in (
        ("users", "tenants"),
        ("enrollments", "users"),
        ("enrollments", "courses"),
        ("submissions", "users"),
        ("orders", "users"),
        ("order_items", "orders"),
        ("order_items", "products"),
        ("products", "courses"),
        ("payments", "orders"),
        ("certificates", "users"),
        ("invoices", "tenants"),
        ("tmp_import_2023", "courses"),
    ):
        draft.key(child, parent)
    draft.findings += [
        Finding(
            "backup_by_schema",
            "warn",
            "public",
            "pg_dump -n public ends without an error and without these rows: it no longer sees the moved tables.",
            "Dump the whole database, or name every target schema with -n.",
        ),
        Finding(
            "search_path_pinned",
            "warn",
            "function public.close_month()",
            "It pins search_path = public, so it finds the tables only through their compatibility views.",
            "ALTER FUNCTION public.close_month() SET search_path = tenant_shop, tenant_shared, public\nbefore finalize.yml.",
        ),
        Finding(
            "text_routine",
            "refuse",
            "function public.rebuild_grades()",
            "Its text names public.grades in dynamic SQL that the catalog cannot follow.",
            "Change it to tenant_kct.grades, or accept the finding text_routine for it.",
            True,
            "Retired in March, nobody calls it (checked pg_stat_user_functions; J. Meyer)",
        ),
        Finding("publication_by_schema", "auto", "publication cdc", "It publishes public; the moved tables are added."),
        Finding("usage_missing", "auto", "role reporting", "It reads moved tables and gets USAGE on their schemas."),
    ]
    return draft


def refused() -> Draft:
    """The same, with findings that stop it."""
    draft = campus()
    draft.findings += [
        Finding(
            "collision",
            "refuse",
            "tenant_shop.orders",
            "A table orders is there already. Moving another one in fails in the middle of the night, after its locks "
            "were waited for; renaming either of them is a decision that no tool should make.",
            "Rename or drop tenant_shop.orders, or place public.orders elsewhere.",
        ),
        *(
            Finding(
                "unplaced_table",
                "refuse",
                f"public.legacy_{name}",
                "No rule of multischema_placement names this table, so nobody has decided where it belongs.",
                f"Add 'legacy_{name}' to a rule, or to multischema_keep to leave it in public; "
                "multischema_unplaced: keep leaves all such tables where they are.",
            )
            for name in ("users", "orders")
        ),
        Finding(
            "text_routine",
            "refuse",
            "function public.nightly()",
            "Its text names public.orders in dynamic SQL that the catalog cannot follow.",
            "Change it to tenant_shop.orders, or accept the finding text_routine for it.",
            True,
        ),
    ]
    return draft


def large(tables: int, schemas: int = 3) -> Draft:
    """Many tables with realistic names and sizes."""
    draft = Draft(schemas=tuple(f"tenant_{n:02d}" for n in range(schemas)))
    draft.create_schemas()
    for n in range(tables):
        if n % 50 == 49:
            draft.stay(f"legacy_{n:05d}", size=n * 4096)
        else:
            draft.move(f"customer_events_{n:05d}", draft.schemas[n % schemas], size=(n * 7919 % 9973) * 65536, rows=n * 100)
    names = [p.name for p in draft.placements]
    draft.keys += [ForeignKey(f"{names[n]}_fkey", 20000 + n, 20000 + (n * 31 + 1) % len(names)) for n in range(0, len(names), 7)]
    return draft


def hostile() -> Draft:
    """Names that try to break out of whatever shows them, as tables, schemas, roles, findings and server facts."""
    server = Server(160004, "16.4 <b>", HOSTILE[1], 1, "7", HOSTILE[0], False)
    draft = Draft(schemas=('tenant <i>x</i> & "y"', "new\nline"), server=server, environment="st'aging; rm -rf")
    draft.create_schemas()
    for n, name in enumerate(HOSTILE):
        draft.move(name, draft.schemas[n % 2], size=8192 * (n + 1), rows=n, why=f"rule 1 ({name})")
        draft.findings.append(Finding("collision", "refuse", name, f"It is {name}.", f"Write {name}.", True))
        draft.findings.append(Finding("text_routine", "warn", name, f"It is {name}.", f"Write {name}."))
        draft.findings.append(Finding("fixed", "auto", name, f"It is {name}."))
        draft.findings.append(Finding("known", "refuse", name, f"It is {name}.", "", True, f"because {name}"))
        if n:
            draft.keys.append(ForeignKey(name, 20000 + n, 20000 + n - 1))
    draft.stay("</svg><svg onload=alert(1)>", why="<img src=x onerror=alert(1)>")
    return draft
