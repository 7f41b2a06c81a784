"""The plan page: the whole plan as one HTML file that a careful person reads before production is touched.

Verdict first, then what stands in the way, then what will happen, then how to go back and on. The file loads nothing,
and its content security policy lets only its own script and style work, so that no name in a database could ever do
anything.
"""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import RELATION_KINDS, TABLE_KINDS
from ansible_collections.dbops.multischema.plugins.module_utils.plan import AUTO, REFUSE, WARN
from ansible_collections.dbops.multischema.plugins.plugin_utils.folded import fold
from ansible_collections.dbops.multischema.plugins.plugin_utils.plan_drawing import colours, draw
from ansible_collections.dbops.multischema.plugins.plugin_utils.plan_facts import (
    Document,
    blocking,
    count_text,
    crossings,
    kind_text,
    known_bytes,
    known_rows,
    listing,
    moving,
    rows_text,
    schema_order,
    sentence,
    size_text,
    source_schema,
    staying,
    verdict,
    visible,
    yaml_text,
)

SQL_STEPS = 200  # steps whose SQL the page shows; a longer plan has the rest in plan.sql
LOCKS_SHOWN = 30  # per step
FINDINGS_OPEN = 12  # texts of one kind; the others are folded
FOLDED_FROM = 5  # findings with the same text
CROSSINGS_OPEN = 40
ACCEPT_LINES = 40
PHASES = {1: "Schemas and privileges", 2: "Tables"}
PHASE_PLAYBOOKS = {1: "phase1_schema_creation.yml", 2: "phase2_table_migration.yml"}
MEMBER_KINDS = {**RELATION_KINDS, "s": "statistics object"}


def _show(value: object) -> object:
    """What every expression of the template passes through: nothing that hides in a name stays hidden."""
    return visible(value) if type(value) is str else value


def _prose(text: str) -> Markup:
    """Text whose own line breaks are kept."""
    return escape(visible(text, keep="\n"))


def _sql(statements: Iterable[str]) -> Markup:
    return escape(visible("".join(f"{statement};\n" for statement in statements), keep="\n\t"))


def _hash(text: str) -> str:
    """A source of a content security policy: the hash of an inline script or style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=_show,
    )
    environment.filters.update(prose=_prose, sql=_sql, csp_hash=_hash, size=size_text, rows=rows_text, kind=kind_text, amount=count_text)
    return environment


def _accept_snippet(findings: list[Mapping[str, Any]]) -> str:
    """What to write in the inventory to live with findings; JSON strings are YAML strings too."""
    lines = [f'  - {{finding: {f["id"]}, object: {yaml_text(f["object"])}, reason: "why you accept it"}}' for f in findings[:ACCEPT_LINES]]
    return "\n".join(["multischema_accept:", *lines])


def _texts(group: list[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Findings, each with the names of others that are told by the same text; a few are shown one by one all the same."""
    for one in fold(group):
        if len(one.members) >= FOLDED_FROM:
            yield {**one.first, "others": one.objects[1:]}
        else:
            yield from ({**finding, "others": []} for finding in one.members)


def _by_kind(findings: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Findings grouped by what they are about, those that no one can accept first; the same text is there once."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for finding in findings:
        groups.setdefault(finding["id"], []).append(finding)
    found = []
    for name, group in groups.items():
        texts = list(_texts(group))
        shown = texts[:FINDINGS_OPEN] if len(texts) > FINDINGS_OPEN + 1 else texts
        acceptable = [f for f in group if f["acceptable"] and f["severity"] == REFUSE and f["accepted"] is None]
        found.append(
            {
                "id": name,
                "count": len(group),
                "open": shown,
                "folded": texts[len(shown) :],
                "folded_count": sum(1 + len(text["others"]) for text in texts[len(shown) :]),
                "acceptable": bool(acceptable),
                "accept": _accept_snippet(acceptable) if acceptable else "",
                "accept_missing": max(0, len(acceptable) - ACCEPT_LINES),
            }
        )
    return sorted(found, key=lambda group: bool(group["acceptable"]))


def _locks(step: Mapping[str, Any]) -> list[dict[str, Any]]:
    modes: dict[str, list[str]] = {}
    for lock in step["locks"]:
        modes.setdefault(lock["mode"], []).append(lock["object"])
    return [{"mode": mode, "objects": objects[:LOCKS_SHOWN], "more": max(0, len(objects) - LOCKS_SHOWN)} for mode, objects in modes.items()]


def _takes(step: Mapping[str, Any]) -> str:
    """What a step moves, by kind: ``1 table, 2 indexes and 1 sequence``."""
    kinds = Counter(MEMBER_KINDS.get(member["kind"], "object") for member in step["members"])
    plurals = {"index": "indexes", "partitioned index": "partitioned indexes"}
    return listing(count_text(number, kind, plurals.get(kind, "")) for kind, number in kinds.items())


def _phases(document: Document) -> list[dict[str, Any]]:
    phases: dict[int, list[dict[str, Any]]] = {}
    for number, step in enumerate(document["steps"], 1):
        detailed = number <= SQL_STEPS
        shown = {"number": number, "step": step, "locks": _locks(step) if detailed else [], "takes": _takes(step)}
        phases.setdefault(step["phase"], []).append(shown)
    return [
        {
            "number": phase,
            "title": PHASES.get(phase, ""),
            "count": len(steps),
            "detailed": [s for s in steps if s["number"] <= SQL_STEPS],
            "listed": [s for s in steps if s["number"] > SQL_STEPS],
        }
        for phase, steps in phases.items()
    ]


def _lock_facts(document: Document) -> dict[str, Any]:
    steps = document["steps"]
    locks = {(lock["mode"], lock["object"]) for step in steps for lock in step["locks"]}
    modes = Counter(mode for mode, _ in locks)
    number, widest = max(enumerate(steps, 1), key=lambda pair: len(pair[1]["locks"]), default=(0, {"locks": []}))
    return {
        "modes": listing(f"{mode} on {count_text(number, 'relation')}" for mode, number in modes.most_common()),
        "widest": number,
        "widest_locks": len(widest["locks"]),
        "phases": listing(
            f"{sum(1 for s in steps if s['phase'] == phase):,} in phase {phase} ({title.lower()})"
            for phase, title in PHASES.items()
            if any(s["phase"] == phase for s in steps)
        ),
    }


def _old_names(document: Document) -> dict[str, int]:
    members = [m for step in document["steps"] for m in step["members"] if m["kind"] in TABLE_KINDS]
    views = sum(1 for member in members if member["view"])
    return {"views": views, "without": len(members) - views}


def _schemas(document: Document, palette: Mapping[str, str]) -> list[dict[str, Any]]:
    source = source_schema(document)
    figures: dict[str, list[int]] = {}  # tables, rows, bytes, tables with an estimate
    for p in document["placements"]:
        figure = figures.setdefault(p["schema"], [0, 0, 0, 0])
        figure[0] += 1
        figure[3] += p["rows_estimate"] >= 0
        figure[1] += known_rows(p)
        figure[2] += known_bytes(p)
    listed = {s["name"]: s for s in document["configuration"]["schemas"]}
    created = {s["detail"].get("schema") for s in document["steps"] if s["kind"] == "create_schema"}
    rows = []
    for name in [*schema_order(document), source]:
        tables, estimate, size, estimated = figures.get(name, (0, 0, 0, 0))
        entry = listed.get(name, {})
        rows.append(
            {
                "name": name,
                "colour": palette[name],
                "tables": tables,
                "rows": estimate if estimated or not tables else -1,
                "size": size,
                "owner": entry.get("owner") or "",
                "comment": entry.get("comment") or "",
                "state": "source; these stay" if name == source else "created" if name in created else "exists already",
            }
        )
    return rows


def _commands(document: Document) -> dict[str, Any]:
    environment = document["environment"]
    inventory = shlex.quote(f"inventory/{visible(environment)}") if environment else "inventory/<environment>"
    playbook = f"ansible-playbook -i {inventory} playbooks/"
    phases = [p for p in PHASE_PLAYBOOKS if any(step["phase"] == p for step in document["steps"])]
    return {
        "limit": f"--limit {shlex.quote(visible(document['host']))}" if document["host"] else "",
        "plan": playbook + "plan.yml",
        "rollback": playbook + "rollback.yml",
        "verify": playbook + "verify.yml",
        "phases": [(p, PHASES[p], playbook + PHASE_PLAYBOOKS[p]) for p in phases],
    }


def render(document: Mapping[str, Any], lock_timeout_ms: int = 50) -> str:
    """The plan as one self-contained HTML page.

    :param document: the content of ``plan.json`` (`plan.plan_to_dict`).
    :param lock_timeout_ms: milliseconds that a statement waits for a lock, for the text.
    :returns: the text of ``plan.html``.
    """
    findings = document["findings"]
    palette = colours(document)
    numbers = {step["id"]: number for number, step in enumerate(document["steps"], 1)}
    steps = len(document["steps"])
    moved = sorted(moving(document), key=lambda p: (p["schema"], p["name"]))
    return (
        _environment()
        .get_template("plan_page.html.j2")
        .render(
            d=document,
            source=source_schema(document),
            verdict=verdict(document),
            sentence=sentence(document),
            state="refused" if blocking(document) else "ready" if steps else "empty",
            refused=_by_kind(blocking(document)),
            accepted=[f for f in findings if f["accepted"] is not None],
            warnings=_by_kind([f for f in findings if f["severity"] == WARN and f["accepted"] is None]),
            automatic=_by_kind([f for f in findings if f["severity"] == AUTO and f["accepted"] is None]),
            refusals=len(blocking(document)),
            warning_count=sum(1 for f in findings if f["severity"] == WARN and f["accepted"] is None),
            automatic_count=sum(1 for f in findings if f["severity"] == AUTO and f["accepted"] is None),
            locks=_lock_facts(document),
            lock_timeout_ms=lock_timeout_ms,
            old_names=_old_names(document),
            drawing=draw(document) if moved else None,
            palette=palette,
            schemas=_schemas(document, palette),
            crossings=crossings(document),
            crossings_open=CROSSINGS_OPEN,
            moved=moved,
            stay=sorted(staying(document), key=lambda p: str(p["name"])),
            numbers=numbers,
            phases=_phases(document),
            steps=steps,
            sql_steps=SQL_STEPS,
            commands=_commands(document),
        )
    )
