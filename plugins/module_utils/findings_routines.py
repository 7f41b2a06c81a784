"""Findings about routines, which name tables and sequences in their text, where no catalog links them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from ansible_collections.dbops.multischema.plugins.module_utils import reading as r
from ansible_collections.dbops.multischema.plugins.module_utils.moved_names import SEQUENCE, TABLE, USER_TYPE
from ansible_collections.dbops.multischema.plugins.module_utils.plan import AUTO, REFUSE, WARN, Finding
from ansible_collections.dbops.multischema.plugins.module_utils.routine_effects import FAILS, Effect, catalog_answer_changes
from ansible_collections.dbops.multischema.plugins.module_utils.routine_verdicts import Verdict, names_routine
from ansible_collections.dbops.multischema.plugins.module_utils.situation import Situation, table_name
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name

SHOWN = 5
_WORD = re.compile(r"\w+")


def _list(items: Iterable[str]) -> str:
    found = list(dict.fromkeys(items))
    return "; ".join(found[:SHOWN]) + (f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else "")


def _lines(effects: Sequence[Effect]) -> str:
    return _list(
        f"line {e.reference.line}: {e.written}, {e.why}" + (" (a handler catches the error, so nothing is said)" if e.swallowed else "")
        for e in sorted(effects, key=lambda e: e.reference.line)
    )


def _called(verdict: Verdict) -> str:
    return f" It is called by {_list(verdict.callers)}." if verdict.callers else " Nothing in the catalog is known to call it."


def _path(s: Situation, target: str) -> str:
    return f"ALTER ROUTINE … SET search_path = {Name(target).as_string()}, {Name(s.catalog.source_schema).as_string()}"


def _remedy(verdict: Verdict, effects: Sequence[Effect]) -> str:
    """What to write, and the entry that lets the plan do it."""
    bare = [e for e in effects if e.reference.schema is None]
    words = []
    if bare and verdict.path:
        words.append(
            f"List {verdict.routine.signature!r} in multischema_repair_routines: it gets SET search_path = {', '.join(verdict.path)}, "
            "and the rollback takes that back"
        )
    elif bare and verdict.obstacle:
        words.append(f"A search_path of its own is no way out: {verdict.obstacle}")
    qualified = [e for e in effects if e.reference.schema is not None] or (bare if not verdict.path else [])
    if qualified:
        said = _list(f"{e.instead} instead of {e.written} (line {e.reference.line})" for e in qualified)
        targets = ", ".join(dict.fromkeys(Name(e.moved.target).as_string() for e in qualified))
        words.append(
            f"Write {said} once it has moved; or name it without a schema and give the routine SET search_path = {targets}, "
            f"{Name(qualified[0].moved.schema).as_string()}, which works before and after"
        )
    return "; ".join(words) + "."


def _texts(verdict: Verdict, effects: Sequence[Effect], what: str, refused: bool) -> tuple[str, str, str]:
    """Object, reason and remedy of a finding."""
    way_out = " Or accept the finding." if refused else ""
    return verdict.routine.signature, f"{what} {_lines(effects)}.{_called(verdict)}", _remedy(verdict, effects) + way_out


def _sorted(verdict: Verdict) -> tuple[list[Effect], list[Effect], list[Effect], list[Effect]]:
    """Uses of sequences, of tables without a view, other failures, and changed answers."""
    sequences: list[Effect] = []
    missing: list[Effect] = []
    failures: list[Effect] = []
    changes: list[Effect] = []
    for effect in verdict.effects:
        if effect.outcome == FAILS and effect.moved.kind == SEQUENCE:
            sequences.append(effect)
        elif effect.outcome == FAILS and not effect.moved.view and effect.moved.kind in (TABLE, USER_TYPE):
            missing.append(effect)
        else:
            (failures if effect.outcome == FAILS else changes).append(effect)
    return sequences, missing, failures, changes


def names_in_routines(s: Situation) -> Iterator[Finding]:
    """What each routine names, and what becomes of it."""
    for verdict in s.verdicts.routines.values():
        sequences, missing, failures, changes = _sorted(verdict)
        wired = bool(verdict.callers)
        severity = REFUSE if wired else WARN
        if sequences:
            texts = _texts(verdict, sequences, "It names sequences that move with their tables, so it fails:", wired)
            yield Finding("sequence_named", severity, *texts, acceptable=wired)
        if missing:
            texts = _texts(
                verdict, missing, "It names tables or types by a name under which nothing will stand, so it fails:", refused=True
            )
            yield Finding("routine_without_view", REFUSE, *texts, acceptable=True)
        if failures:
            texts = _texts(verdict, failures, "It does what fails once the tables have moved:", wired)
            yield Finding("routine_breaks", severity, *texts, acceptable=wired)
        if changes:
            yield Finding("routine_changes", WARN, *_texts(verdict, changes, "It goes on, and answers something else:", refused=False))
        if verdict.repair:
            yield Finding(
                "routine_repaired",
                AUTO,
                verdict.routine.signature,
                f"It gets SET search_path = {', '.join(verdict.path)} in phase 2, and finds what it names: {_lines(verdict.repaired)}.",
            )


def trigger_schemas(s: Situation) -> Iterator[Finding]:
    """A trigger's TG_TABLE_SCHEMA is the new schema, also when the write came through the view."""
    moving = {table.oid: (table, target) for _, table, target in s.moves}
    for verdict in s.verdicts.routines.values():
        notes = verdict.reading.noted(r.TABLE_SCHEMA)
        on = [moving[w.relation] for w in verdict.routine.wiring if w.kind == "trigger" and w.relation in moving]
        if not notes or not on:
            continue
        tables = _list(f"{table_name(table)} ({target})" for table, target in on)
        yield Finding(
            "trigger_schema",
            WARN,
            verdict.routine.signature,
            f"It reads {_list(f'{note.detail} (line {note.line})' for note in notes)}, which is the new schema from then on, also for "
            f"writes by the old name: {tables}. What it writes, compares or puts together with it changes.",
            "Compare TG_TABLE_NAME alone, or TG_RELID, which stays; or expect both schemas.",
        )


def catalog_queries(s: Situation) -> Iterator[Finding]:
    """Routines that ask the catalog for what stands in the source schema."""
    names, source = s.verdicts.effects.names, s.catalog.source_schema
    for verdict in s.verdicts.routines.values() if s.moves else ():
        changed = [(note, catalog_answer_changes(note, names, source)) for note in verdict.reading.noted(r.CATALOG)]
        lines = [f"line {note.line}: {why}" for note, why in changed if why]
        if lines:
            yield Finding(
                "catalog_query",
                WARN,
                verdict.routine.signature,
                f"It asks the catalog what stands in {source}, and may be answered otherwise: {_list(lines)}.{_called(verdict)}",
                f"Ask for the target schemas too ({', '.join(sorted(s.targets))}), and for the kind of relation that is meant.",
            )


def dynamic_sql(s: Situation) -> Iterator[Finding]:
    """SQL that is put together at run time, or handed to another session, cannot be read."""
    for verdict in s.verdicts.routines.values() if s.moves else ():
        notes = sorted(verdict.reading.noted(r.DYNAMIC), key=lambda note: note.line)
        if notes:
            yield Finding(
                "dynamic_sql",
                WARN,
                verdict.routine.signature,
                "It runs SQL that is put together at run time or handed to another session: "
                f"{_list(f'line {note.line}: {note.detail}' for note in notes)}. Which tables that names cannot be read.{_called(verdict)}",
                "Read these lines; what is named by the old name goes on through the views, TRUNCATE and the like do not.",
            )


def unread_routines(s: Situation) -> Iterator[Finding]:
    """Another language, or a syntax that the parser does not know: only words can be looked for."""
    for verdict in s.verdicts.routines.values() if s.moves else ():
        if not verdict.reading.problem:
            continue
        routine = verdict.routine
        named = s.verdicts.effects.names.words(_WORD.findall(routine.source))
        if named:
            listed = _list(f"{moved.kind} {moved.name} (to {moved.target})" for moved in named)
            what = f"Only its words were looked at; among them are names of what moves: {listed}."
        else:
            what = "Only its words were looked at; no name of what moves is among them."
        lost = [moved for moved in named if moved.kind == TABLE and not moved.view]
        yield Finding(
            "routine_unread",
            REFUSE if lost else WARN,
            routine.signature,
            f"It could not be read: {verdict.reading.problem}. {what}{_called(verdict)}",
            "Read it, or try it on a copy after the move" + ("; then accept the finding routine_unread." if lost else "."),
            acceptable=bool(lost),
        )


def row_types(s: Situation) -> Iterator[Finding]:
    """A function of a table's row cannot be called with a row of the view, which has a type of its own."""
    moving = {table.oid: (group, table, target) for group, table, target in s.moves}
    for routine in s.catalog.routines:
        for oid in routine.row_types:
            if oid not in moving or not moving[oid][0].view:
                continue
            _, table, target = moving[oid]
            yield Finding(
                "row_type_argument",
                WARN,
                routine.signature,
                f"It takes rows of {table_name(table)}. Statements that hand it a row of the old name fail, because that is a view then, "
                "with a row type of its own; calls with the table itself go on.",
                f"Look for {routine.name}( in the application, and let it use {Name(target, table.name).as_string()} "
                f"({_path(s, target)}); calls in other routines are reported with these.",
            )


def repairs(s: Situation) -> Iterator[Finding]:
    """What a person has listed to be repaired, and cannot be or need not be."""
    for pattern, count in s.verdicts.chosen.items():
        listed = [v for v in s.verdicts.routines.values() if v.chosen and pattern in _patterns_of(s, v)]
        if count == 0 or (not any(v.repair for v in listed) and not any(v.obstacle for v in listed)):
            yield Finding(
                "repair_needless",
                REFUSE if count == 0 else WARN,
                f"multischema_repair_routines: {pattern}",
                "No routine is called so." if count == 0 else "What it names needs no repair, or none that a search_path could do.",
                "Correct the entry; names, globs and signatures are case-sensitive." if count == 0 else "Remove the entry.",
            )
        for verdict in listed:
            if verdict.obstacle:
                yield Finding(
                    "repair_impossible",
                    REFUSE,
                    verdict.routine.signature,
                    f"multischema_repair_routines lists it, and {verdict.obstacle}.",
                    "Remove the entry, and change the routine itself.",
                )
            elif verdict.repair and not s.may_act_as(verdict.routine.owner):
                yield Finding(
                    "repair_not_owner",
                    REFUSE,
                    verdict.routine.signature,
                    f"multischema_repair_routines lists it; it belongs to {verdict.routine.owner}, and {s.catalog.server.user} may not "
                    "alter it.",
                    f"GRANT {Name(verdict.routine.owner).as_string()} TO {Name(s.catalog.server.user).as_string()}.",
                )


def _patterns_of(s: Situation, verdict: Verdict) -> list[str]:
    return [pattern for pattern in s.verdicts.chosen if names_routine(pattern, verdict.routine)]


def event_triggers(s: Situation) -> Iterator[Finding]:
    """Event triggers run inside our transactions; one that names a table in the text of its function fails when it moves."""
    for trigger in s.catalog.event_triggers:
        if not trigger.enabled or not s.moves:
            continue
        verdict = s.verdicts.routines.get(trigger.routine)
        named = _planned_tables(s, verdict) if verdict is not None else []
        disable = f"ALTER EVENT TRIGGER {Name(trigger.name).as_string()} DISABLE for the window, if it may"
        for table in named:
            yield Finding(
                "event_trigger_table",
                REFUSE,
                table,
                f"The function {trigger.function}() of event trigger {trigger.name} names it, and runs in the middle of its own move, "
                "when neither name stands for it.",
                f"Add {table.rpartition('.')[2]} to multischema_keep; or {disable}, and accept the finding event_trigger_table.",
                acceptable=True,
            )
        if not named:
            yield Finding(
                "event_trigger",
                WARN,
                trigger.name,
                f"Event trigger on {trigger.event}: {trigger.function}() runs inside every step, and can slow it down or veto it.",
                f"Read the function; {disable}.",
            )


def _planned_tables(s: Situation, verdict: Verdict) -> list[str]:
    names = s.verdicts.effects.names
    if verdict.reading.problem:
        found = names.words(_WORD.findall(verdict.routine.source))
    else:
        found = [m for m in (names.named(ref, verdict.routine.search_path) for ref in verdict.reading.references) if m is not None]
    return sorted({table_name(moved.table) for moved in found if moved.table is not None})
