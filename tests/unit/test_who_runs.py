"""The rule that decides as whom integration tests run, and that what they grant is what the README lists."""

from __future__ import annotations

import re

import pytest

from tests.integration.movers import RIGHTS
from tests.integration.who_runs import MAJORS, ORDINARY, SUPERUSER, Says, Undecided, cases
from tests.unit.repository import ROOT

BOTH = ("server", "mover", "empty")


def test_a_test_that_says_nothing_runs_as_both_on_every_version_once() -> None:
    assert cases(Says(), BOTH) == [(15, SUPERUSER), (18, SUPERUSER), (16, ORDINARY)]
    assert sorted(major for major, _ in cases(Says(), BOTH)) == sorted(MAJORS)


def test_a_test_with_versions_of_its_own_runs_as_an_ordinary_role_on_the_newest_of_them() -> None:
    assert cases(Says(majors=(15, 18)), BOTH) == [(15, SUPERUSER), (18, SUPERUSER), (18, ORDINARY)]
    assert cases(Says(majors=(16,)), BOTH) == [(16, SUPERUSER), (16, ORDINARY)]
    assert cases(Says(majors=(18,), ordinary=(15, 16)), BOTH) == [(18, SUPERUSER), (15, ORDINARY), (16, ORDINARY)]


def test_a_test_that_would_run_as_superuser_alone_has_to_say_why() -> None:
    reason = "an extension that only a superuser can make"
    assert cases(Says(majors=(18,), reason=reason), ("server",)) == [(18, SUPERUSER)]
    assert cases(Says(reason=reason), BOTH) == [(major, SUPERUSER) for major in MAJORS]
    assert cases(Says(reason=reason), ("server_pool",)) == []
    for says, fixtures in (
        (Says(), ("server", "tmp_path")),
        (Says(majors=(18,)), ("server_pool",)),
        (Says(), ()),
        (Says(majors=()), BOTH),
        (Says(ordinary=()), BOTH),
        (Says(reason=""), BOTH),
        (Says(reason="superuser"), BOTH),
        (Says(reason=reason, ordinary=(18,)), BOTH),
    ):
        with pytest.raises(Undecided):
            cases(says, fixtures)


NAMES = {"database": "shop", "mover": "migrator", "owners": "shop_owner", "source": "public"}
# Besides: to be able to act as the application; no test of phases 1 and 2 or of the rollback has it.
OF_VERIFY = "GRANT shop_web TO migrator"
NEEDED = ("login", "membership", "database", "source")


def test_the_readme_lists_exactly_the_rights_that_an_ordinary_role_has_in_the_tests() -> None:
    section = (ROOT / "README.md").read_text().partition("## Rights of the migrating role")[2].partition("\n## ")[0]
    (block,) = re.findall(r"```sql\n(.*?)```", section, re.DOTALL)
    lines = dict(re.split(r"; +-- ", line) for line in block.splitlines())
    granted = {text.format(**NAMES): name for name, text in RIGHTS.items()}
    assert list(lines) == [*granted, OF_VERIFY]
    comfort = {granted.get(statement) for statement, remark in lines.items() if remark.startswith("comfort")}
    assert comfort == {"monitor", None}
    assert [granted[statement] for statement in list(lines)[:4]] == list(NEEDED), "the text says: the first four"
    assert "needs the first four" in section
