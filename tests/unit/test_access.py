"""What a role of the application can reach is asked as that role, and the role is always given back."""

from __future__ import annotations

from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.access import BATCH, reach
from tests.unit.fake_database import FakeDatabase, refusal

TABLES = [("tenant", "orders"), ("tenant", "users")]
MAY: dict[str, Any] = {"pg_has_role": [(True,)], "has_table_privilege": TABLES, "has_schema_privilege": [(True,)]}
OLD = [("public", "orders"), ("public", "secret")]


class Guarded(FakeDatabase):
    """Refuses every query that names one of these tables."""

    def __init__(self, answers: dict[str, Any], *closed: str) -> None:
        super().__init__(answers)
        self.closed = closed

    def rows(self, query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        found = super().rows(query, parameters)
        if "LIMIT 0" in query and any(f"{name} " in query for name in self.closed):
            raise refusal("42501", "permission denied")
        return found


def tried(database: FakeDatabase) -> list[str]:
    return [query for query in database.sent if "LIMIT 0" in query]


def test_a_role_that_reaches_everything() -> None:
    database = Guarded(MAY)
    found = reach(database, "web", ["tenant", "empty"], [1, 2], OLD)
    assert (found.tables, found.problems, found.skipped) == ({"tenant": 2, "empty": 0}, (), "")
    assert tried(database) == [
        "(SELECT 1 FROM tenant.orders LIMIT 0) UNION ALL (SELECT 1 FROM tenant.users LIMIT 0)",
        "(SELECT 1 FROM public.orders LIMIT 0)",
    ], "old names only of tables that the role may read"


def test_the_role_is_taken_by_its_quoted_name_and_given_back() -> None:
    database = Guarded(MAY)
    reach(database, "Web Role", ["tenant"], [1], [])
    assert database.sent[-1] == "RESET ROLE"
    assert 'SET ROLE "Web Role"' in database.sent


def test_the_one_table_that_is_closed_is_found_among_many() -> None:
    names = [("tenant", f"t{n}") for n in range(BATCH * 2 + 7)]
    database = Guarded({**MAY, "has_table_privilege": names}, "tenant.t63")
    found = reach(database, "web", ["tenant"], [1], [])
    assert found.problems == ("tenant.t63: permission denied",)
    assert len(tried(database)) < 20
    assert database.sent[-1] == "RESET ROLE"


def test_every_closed_table_is_named_by_new_and_old_name() -> None:
    found = reach(Guarded(MAY, "tenant.users", "public.orders"), "web", ["tenant"], [1], OLD)
    assert found.problems == ("tenant.users: permission denied", "public.orders: permission denied")


def test_a_schema_that_the_role_may_not_use_is_named() -> None:
    found = reach(Guarded({**MAY, "has_schema_privilege": [(False,)]}), "web", ["tenant", "empty"], [1], [])
    assert found.problems == ("no USAGE on schema tenant", "no USAGE on schema empty")


def test_a_role_that_does_not_exist_is_a_problem() -> None:
    assert reach(Guarded({}), "web", ["tenant"], [1], []).problems == ("role web does not exist",)


def test_a_role_that_cannot_be_taken_is_skipped_with_the_reason() -> None:
    assert "not a member" in reach(Guarded({**MAY, "pg_has_role": [(False,)]}), "web", ["tenant"], [1], []).skipped
    database = Guarded(MAY)

    def refuse(statement: str) -> None:
        if statement.startswith("SET ROLE"):
            raise refusal("42501", "permission denied to set role")

    database.on_execute = refuse
    found = reach(database, "web", ["tenant"], [1], [])
    assert (found.problems, found.skipped) == ((), "cannot act as it: permission denied to set role")
    assert database.sent[-1] == "RESET ROLE"
