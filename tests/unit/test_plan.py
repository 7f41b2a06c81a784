"""A plan goes through a file and comes back the same, and a file that was edited is refused."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog
from ansible_collections.dbops.multischema.plugins.module_utils.errors import PlanRefused
from ansible_collections.dbops.multischema.plugins.module_utils.plain import from_plain, pack, to_plain, unpack
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Plan, plan_from_dict, plan_to_dict, step_from_dict
from tests.unit.builders import catalog, configuration, grant, plan, server, statistics, table
from tests.unit.test_rewind import FULL, STEPS, WANTED

PLAN = plan(FULL, WANTED, environment="staging", host="db1", made_at="2026-01-05T03:00:00+00:00", version="0.1.0")
DOCUMENT: dict[str, Any] = json.loads(json.dumps(plan_to_dict(PLAN)))


def read(document: Any) -> Plan:
    return plan_from_dict(document, "artifacts/plan.json")


def test_a_plan_survives_its_file() -> None:
    again = read(json.loads(json.dumps(DOCUMENT, ensure_ascii=False, indent=1)))
    assert again.digest == PLAN.digest
    assert again.steps == PLAN.steps
    assert again.findings == PLAN.findings
    assert again.placements == PLAN.placements
    assert again.catalog == PLAN.catalog
    assert (again.environment, again.host, again.made_at, again.version) == ("staging", "db1", "2026-01-05T03:00:00+00:00", "0.1.0")


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.id)
def test_a_step_survives_the_journal(step: Any) -> None:
    again = step_from_dict(json.loads(json.dumps(to_plain(step))))
    assert again == replace(step, detail=json.loads(json.dumps(to_plain(step.detail))))
    assert hash(again) == hash(step)


def set_in(*path: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def edit(document: dict[str, Any]) -> None:
        for key in path[:-1]:
            document = document[key]
        assert document[path[-1]] != value
        document[path[-1]] = value

    return edit


def drop(*path: Any) -> Callable[[dict[str, Any]], None]:
    def edit(document: dict[str, Any]) -> None:
        for key in path[:-1]:
            document = document[key]
        del document[path[-1]]

    return edit


def edit_catalog(document: dict[str, Any]) -> None:
    found = from_plain(Catalog, unpack(document["catalog"]))
    document["catalog"] = pack(replace(found, tables=found.tables[1:]))


EDITS = {
    "another statement": set_in("steps", 0, "do", 0, value="DROP SCHEMA x"),
    "another undo": set_in("steps", 0, "undo", 0, value="SELECT 1"),
    "a step less": drop("steps", -1),
    "steps in another order": lambda d: d["steps"].reverse(),
    "another title": set_in("steps", 0, "title", value="Nothing special"),
    "a lock less": drop("steps", -1, "locks", 0),
    "another member": set_in("steps", -1, "members", 0, "oid", value=1),
    "a finding less": drop("findings", 0),
    "a finding accepted": set_in("findings", 0, "accepted", value="because I say so"),
    "a finding milder": set_in("findings", 0, "severity", value="auto"),
    "another placement rule": set_in("configuration", "placement", 0, "tables", 0, value="x"),
    "an accepted finding": set_in("configuration", "accept", value=[{"finding": "a", "object": "b", "reason": "c"}]),
    "another database": set_in("server", "database", value="production"),
    "another server": set_in("server", "system_identifier", value="1"),
    "another status": set_in("status", value="empty"),
    "another digest": set_in("digest", value="0" * 64),
    "another summary": set_in("summary", "tables_moving", value=0),
    "another catalog": edit_catalog,
    "a table placed elsewhere": set_in("placements", 0, "schema", value="elsewhere"),
    "a table of no step": set_in("placements", 0, "step", value="move:public.x"),
    "another reason": set_in("placements", 0, "why", value="no reason"),
    "a foreign key less": drop("foreign_keys", 0),
    "a key more": lambda d: d.update(note="read and approved"),
    "a key less": drop("summary"),
    "an unknown key in a step": lambda d: d["steps"][0].update(priority=1),
    "a step cut off": drop("steps", 0, "undo"),
    "no catalog": set_in("catalog", value=""),
    "a catalog that is cut": lambda d: d.update(catalog=d["catalog"][:-20]),
    "steps that are none": set_in("steps", value=None),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_file_is_refused(name: str) -> None:
    document = copy.deepcopy(DOCUMENT)
    EDITS[name](document)
    with pytest.raises(PlanRefused) as caught:
        read(document)
    assert "artifacts/plan.json" in caught.value.found
    assert "plan.yml" in caught.value.remedy


def test_a_new_checksum_does_not_make_another_plan_of_it() -> None:
    document = copy.deepcopy(DOCUMENT)
    document["steps"][0]["do"][0] = "DROP SCHEMA x"
    content = {key: value for key, value in document.items() if key != "checksum"} | {"catalog": unpack(document["catalog"])}
    document["checksum"] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    with pytest.raises(PlanRefused):
        read(document)


@pytest.mark.parametrize("document", [{}, {"format": 0}, {**DOCUMENT, "format": 2}, {"format": 1}])
def test_what_is_no_plan_of_this_format_is_refused(document: Any) -> None:
    with pytest.raises(PlanRefused):
        read(document)


def test_a_catalog_compressed_by_another_zlib_is_still_the_same_plan() -> None:
    text = zlib.decompress(base64.b64decode(DOCUMENT["catalog"][1:]))
    other = "." + base64.b64encode(zlib.compress(text, 9)).decode()
    assert other != DOCUMENT["catalog"]
    assert read({**DOCUMENT, "catalog": other}).digest == PLAN.digest


# --- the digest ---

BASE = catalog(table("a", statistics=(statistics("s"),)), table("b"))


def digest(seen: Catalog = BASE, **values: Any) -> str:
    return plan(seen, configuration(**values)).digest


def with_a(**changes: Any) -> Catalog:
    return replace(BASE, tables=(replace(BASE.tables[0], **changes), BASE.tables[1]))


def test_the_digest_does_not_count_when_where_and_by_which_version_it_was_made() -> None:
    later = plan(BASE, made_at="2027-01-01", environment="production", host="db9", version="9.9")
    assert later.digest == digest()


@pytest.mark.parametrize("change", [{"rows_estimate": 10**9}, {"bytes_estimate": 10**12}, {"comment": "It is new"}])
def test_the_digest_does_not_count_estimates_and_comments(change: dict[str, Any]) -> None:
    assert digest(with_a(**change)) == digest()


@pytest.mark.parametrize(
    "change",
    [
        {"owner": "other"},
        {"acl": grant("web")},
        {"structure": {"columns": "c2"}},
        {"statistics": ()},
        {"indexes": ()},
        {"row_security": True},
        {"oid": 1},
    ],
)
def test_the_digest_counts_what_the_tables_are(change: dict[str, Any]) -> None:
    assert digest(with_a(**change)) != digest()


def test_the_digest_counts_what_is_asked_for() -> None:
    keep = digest(keep=["b"])
    assert len({digest(), keep, digest(compatibility_views=False), digest(rules={"other": "*"}), digest(unplaced="keep")}) == 5
    assert digest(replace(BASE, server=server(database_oid=1))) != digest()
    assert digest(replace(BASE, server=server(system_identifier="1"))) != digest()


def test_the_digest_counts_findings() -> None:
    made = plan(BASE)
    assert made.findings
    accepted = tuple(replace(finding, accepted="because") for finding in made.findings)
    assert len({made.digest, replace(made, findings=()).digest, replace(made, findings=accepted).digest}) == 3


def test_the_digest_counts_steps() -> None:
    made = plan(BASE)
    step = replace(made.steps[-1], do=("SELECT 1",))
    assert replace(made, steps=(*made.steps[:-1], step)).digest != made.digest


# --- figures ---


def test_the_summary_counts() -> None:
    seen = catalog(
        table("a", rows_estimate=5, bytes_estimate=1000), table("b", rows_estimate=-1, bytes_estimate=24), table("kept", bytes_estimate=7)
    )
    summary = plan(seen, configuration({"one": ["a", "b"], "spare": "kept"}, keep=["kept"])).summary()
    assert summary["tables_moving"] == 2
    assert summary["tables_staying"] == 1
    assert summary["bytes_moving"] == 1024
    assert summary["rows_moving_estimate"] == 5
    assert summary["by_schema"] == {"one": 2, "spare": 0}
    assert (summary["phase1_steps"], summary["phase2_steps"]) == (3, 2)
    assert summary["refusals"] == summary["accepted"] == 0


def test_the_summary_counts_refusals_and_what_was_accepted() -> None:
    parent = catalog(table("orders"), table("old_orders", parents=["orders"]))
    entry = {"finding": "inheritance_only", "object": "public.orders", "reason": "checked"}
    assert plan(parent).summary()["refusals"] == 1
    accepted = plan(parent, configuration(accept=[entry])).summary()
    assert (accepted["refusals"], accepted["accepted"], accepted["findings"]["refuse"]) == (0, 1, 1)
