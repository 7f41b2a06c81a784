"""The plan script: it runs what it says, stops where it must, and no name gets out of a comment."""

from __future__ import annotations

import json
import re

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.plan import Finding
from ansible_collections.dbops.multischema.plugins.module_utils.retired_schemas import drop_step
from ansible_collections.dbops.multischema.plugins.module_utils.step_transaction import of_step
from ansible_collections.dbops.multischema.plugins.plugin_utils import plan_script
from tests.support.plan_documents import HOSTILE, SERVER, Draft, campus, hostile, large, refused

# The pieces that PostgreSQL's and psql's lexers tell apart (psqlscan.l): a line comment ends at \n or \r.
LEXER = re.compile(
    r"(?P<comment>--[^\n\r]*)|(?P<escaped>[eE]'(?:[^'\\]|\\.|'')*')|(?P<string>'(?:[^']|'')*')"
    r'|(?P<name>"(?:[^"]|"")*")|(?P<semicolon>;)|(?P<meta>\\[^\n]*)|(?P<other>[^;]|\n)',
    re.DOTALL,
)


def statements(script: str) -> list[str]:
    """What psql would send, one by one, with every meta-command as an entry of its own."""
    found, current = [], ""
    for match in LEXER.finditer(script):
        if match["comment"]:
            continue
        if match["meta"] and not current.strip():
            found.append(match[0])
        elif match["semicolon"]:
            found.append(current.strip())
            current = ""
        else:
            current += match[0]
    assert not current.strip(), current
    return found


def render(draft: Draft, **options: int) -> str:
    return plan_script.render(json.loads(json.dumps(draft.document())), **options)


def expected(draft: Draft, timeout_ms: int = 50) -> list[str]:
    return [sql for step in draft.plan().steps for sql in of_step(step, False, timeout_ms).statements]


def without_refusals(draft: Draft) -> Draft:
    draft.findings = [f for f in draft.findings if f.severity != "refuse"]
    return draft


@pytest.mark.parametrize("draft", [campus(), without_refusals(hostile()), large(300)], ids=["campus", "hostile", "large"])
def test_it_runs_every_step_as_one_transaction_and_nothing_else(draft: Draft) -> None:
    found = statements(render(draft))
    assert found[:3] == [
        r"\set ON_ERROR_STOP on",
        "SET client_encoding = 'UTF8'",
        "SET standard_conforming_strings = on",
    ]
    assert found[3].startswith(("DO '", "DO E'"))
    assert found[4:] == expected(draft)


def test_the_lock_timeout_is_a_parameter() -> None:
    assert statements(render(campus(), lock_timeout_ms=200))[4:] == expected(campus(), 200)


def test_the_head_says_what_it_is() -> None:
    draft = campus()
    head = render(draft).split("\\set")[0]
    assert all(line.startswith("--") for line in head.splitlines() if line)
    assert "READY: plan for database campus" in head
    assert draft.plan().digest in head
    assert SERVER.system_identifier in head
    assert "for reading and reviewing" in head
    assert "leaves no journal" in " ".join(head.replace("--", "").split())


def test_each_step_has_its_title_and_locks_above_it() -> None:
    text = " ".join(line[3:] for line in render(campus()).splitlines() if line.startswith("-- "))
    assert "Step 46 of 46: Move public.page_views to tenant_kct move:public.page_views; locks: ACCESS EXCLUSIVE on " in text
    assert "Phase 1: schemas and privileges (6 steps)" in text
    assert "Phase 2: tables (40 steps)" in text
    assert "create_schema:tenant_kct; locks: none on tables" in text


def test_the_undo_is_there_in_reverse_and_never_runs() -> None:
    draft = campus()
    script = render(draft)
    undo = script[script.index("How it is undone") :]
    assert all(line.startswith("--") for line in undo.splitlines()[1:])
    lines = [line[3:] for line in undo.splitlines()]
    steps = draft.plan().steps
    last = [drop_step(step.detail["schema"]) for step in steps if step.kind == "create_schema"]
    assert last
    wanted = [f"{sql};" for step in [*reversed(steps), *last] for sql in ("BEGIN", "SET LOCAL lock_timeout = 50", *step.undo, "COMMIT")]
    assert [line for line in lines if line in set(wanted)] == wanted


def test_the_undo_of_a_name_with_a_newline_can_be_uncommented() -> None:
    draft = Draft()
    draft.move("two\nlines", "tenant_kct")
    undo = render(draft).split("How it is undone")[1].split("-- Undo step 1:")[1].splitlines()[1:]
    assert statements("\n".join(line[3:] for line in undo)) == [
        "BEGIN",
        "SET LOCAL lock_timeout = 50",
        'DROP VIEW public."two\nlines"',
        'ALTER TABLE tenant_kct."two\nlines" SET SCHEMA public',
        "COMMIT",
    ]


def test_characters_that_would_hide_or_end_a_comment_are_shown_there() -> None:
    script = render(without_refusals(hostile()))
    comments = [match[0] for match in LEXER.finditer(script) if match["comment"]]
    assert not [text for text in comments if re.search("[\r\u202e\u2028\x85]", text)]
    assert "invisible characters in names are shown as symbols here" in script
    assert any("carriage⟨CR⟩DROP" in text for text in comments)


def test_a_refused_plan_names_its_refusals_and_stops_before_the_first_step() -> None:
    script = render(refused())
    head = " ".join(script.split("\\set")[0].replace("--", "").split())
    assert "REFUSED because of 4 findings: plan for database campus" in head
    assert "REFUSED collision: tenant_shop.orders" in head
    assert "To go on: Rename or drop tenant_shop.orders" in head
    guard = statements(script)[3]
    assert "RAISE EXCEPTION ''the plan is refused because of 4 findings" in guard
    assert "the plan is refused" not in statements(render(campus()))[3]


def test_the_guard_knows_the_database_whatever_its_name() -> None:
    for name in HOSTILE:
        draft = without_refusals(hostile())
        draft.server = SERVER.__class__(**{**vars(SERVER), "database": name})
        found = statements(render(draft))
        assert found[4:] == expected(draft)
        quoted = name.replace("'", "''").replace("\\", "\\\\")
        inner = ("E" if "\\" in name else "") + f"'{quoted}'"
        body = inner.replace("'", "''")
        assert f"current_database() <> {body.replace(chr(92), chr(92) * 2)} THEN RAISE EXCEPTION" in found[3]


def test_an_empty_plan_is_a_comment() -> None:
    script = render(Draft())
    assert "NOTHING TO DO" in script
    assert statements(script) == []


def test_a_long_reason_is_wrapped() -> None:
    draft = Draft(findings=[Finding("x", "refuse", "y", "word " * 100 + "\n; DROP TABLE z", "fix\nit")])
    script = render(draft)
    assert max(map(len, script.splitlines())) <= 100
    assert statements(script) == []
