"""Several databases, batch after batch: a failure in one stops further batches where that is asked for, and the same command goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.core import Core
from tests.integration.databases import Target, new_database
from tests.integration.head_start import ready_with
from tests.integration.placements import SHOP, SHOP_SQL
from tests.integration.playbooks import Playbooks, Run, to_yaml
from tests.support.servers import Server

pytestmark = [pytest.mark.playbook, pytest.mark.majors(18), pytest.mark.no_role("which hosts a play goes on to, batch after batch")]
NAMES = ("a", "b", "c")


@pytest.fixture
def databases(server: Server) -> Iterator[dict[str, Target]]:
    """Three small databases on one server, by the name of their host."""
    found = {name: new_database(server) for name in NAMES}
    for target in found.values():
        target.execute(SHOP_SQL)
    yield found
    for target in found.values():
        target.drop()


@pytest.fixture
def fleet(databases: dict[str, Target], tmp_path: Path) -> Playbooks:
    """One inventory for the three of them."""
    values: dict[str, Any] = {f"multischema_{name}": value for name, value in SHOP.items()}
    playbooks = Playbooks(tmp_path / "fleet", databases["a"], values | {"multischema_accept": [], "multischema_application_roles": []})
    del playbooks.connection["multischema_login_db"]
    playbooks.configure(**values, multischema_accept=[], multischema_application_roles=[], multischema_probe=False)
    common = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    lines = "\n".join(f"    {name}: {{multischema_login_db: {target.name}}}" for name, target in databases.items())
    (playbooks.inventory / "hosts.yml").write_text(f"databases:\n  hosts:\n{lines}\n")
    (playbooks.inventory / "group_vars" / "databases.yml").write_text(to_yaml(common).replace("!unsafe ", ""))
    return playbooks


def _moved(databases: dict[str, Target]) -> str:
    """The databases whose tables have moved."""
    query = "SELECT to_regclass('sales.orders') IS NOT NULL"
    return "".join(name for name, target in databases.items() if target.value(query))


def _failed(run: Run) -> str:
    return "".join(name for name, counts in sorted(run.results["stats"].items()) if counts["failures"])


def test_a_failure_stops_further_batches_where_that_is_asked_for(fleet: Playbooks, databases: dict[str, Target]) -> None:
    files = {name: fleet.artifacts / "sandbox" / name / "plan.json" for name in NAMES}
    for name, target in databases.items():
        ready_with(Core(target, SHOP), files[name])
    plan = files["b"]
    aside = plan.rename(plan.with_suffix(".aside"))
    stopped = fleet.run("phase2", multischema_serial=2, multischema_max_fail_percentage=0)
    assert stopped.rc != 0
    assert (_failed(stopped), _moved(databases)) == ("b", "a"), "c was to wait until somebody has looked"
    gone_on = fleet.run("phase2", multischema_serial=2)
    assert (_failed(gone_on), _moved(databases)) == ("b", "ac"), "one of two has failed, which nobody has forbidden"
    aside.rename(plan)
    again = fleet.run("phase2", multischema_serial=1).ok()
    assert (_failed(again), _moved(databases)) == ("", "abc")


def test_a_batch_size_in_the_inventory_is_refused_for_it_would_have_no_effect(fleet: Playbooks, databases: dict[str, Target]) -> None:
    with (fleet.inventory / "group_vars" / "databases.yml").open("a") as file:
        file.write("multischema_serial: 1\n")
    refused = fleet.run("phase1")
    assert refused.rc != 0
    assert "add  -e multischema_serial=1  to the command" in refused.output
    assert databases["a"].value("SELECT to_regnamespace('multischema_journal') IS NULL")
