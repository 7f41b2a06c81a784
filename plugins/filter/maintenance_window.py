"""Whether changes are allowed now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

DOCUMENTATION = r"""
name: maintenance_window
short_description: Whether a maintenance window is open
version_added: 0.1.0
description:
  - Compares a window, given by its start and its end, with the time now.
  - Never fails; a window that cannot be read has the state V(malformed).
positional: _input
options:
  _input:
    description:
      - A mapping with C(start) and C(end) in ISO 8601 with a zone. Empty or absent means that there is no window.
    type: dict
    required: true
  now:
    description: The time to compare with, in ISO 8601 with a zone. The current time by default.
    type: str
"""

EXAMPLES = r"""
- name: Refuse outside the window
  ansible.builtin.fail:
    msg: "{{ window.refusal }}"
  when: window.refusal | length > 0
  vars:
    window: "{{ multischema_maintenance_window | default({}) | dbops.multischema.maintenance_window }}"
"""

RETURN = r"""
_value:
  description:
    - C(state) is V(none), V(open), V(early), V(late) or V(malformed).
    - C(text) says it in a sentence; empty where there is no window.
    - C(refusal) says why nothing may be changed now and what to do; empty where it may.
  type: dict
"""

NAME = "multischema_maintenance_window"
EXAMPLE = f'{NAME}: {{start: "2026-03-01T22:00:00+01:00", end: "2026-03-02T04:00:00+01:00"}}'


@dataclass(frozen=True)
class Window:
    """What is to be said about a window at one instant."""

    state: str
    text: str = ""
    refusal: str = ""


class Malformed(Exception):
    """A window that cannot be read; the message says what is wrong with it."""


def _instant(key: str, value: Any) -> datetime:
    """Read one end of the window; YAML may have made a datetime of it already."""
    if isinstance(value, datetime):
        found = value
    else:
        try:
            found = datetime.fromisoformat(str(value).strip())
        except ValueError:
            raise Malformed(f"its {key} is {str(value)!r}, which is not a time in ISO 8601") from None
    if found.tzinfo is None:
        raise Malformed(f"its {key} is {str(value)!r}, which has no time zone (+01:00, or Z for UTC)")
    return found


def _duration(span: timedelta) -> str:
    """Say a duration as a person does: ``2 d 3 h``, ``1 h 5 min``, ``40 s``."""
    seconds = int(span.total_seconds())
    parts = [(seconds // 86400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "min")]
    said = [f"{number} {unit}" for number, unit in parts if number][:2]
    return " ".join(said) or f"{seconds} s"


def _refusal(window: Window, remedy: str) -> Window:
    why = "Why: changes are allowed only inside the window that was agreed on."
    return Window(window.state, window.text, f"The maintenance window {window.text}.\n{why}\nWhat to do: {remedy}")


def _read(value: Any) -> tuple[datetime, datetime]:
    if not isinstance(value, Mapping):
        raise Malformed(f"it is {value!r} and not a mapping with start and end")
    unknown = sorted(str(key) for key in value if key not in ("start", "end"))
    if unknown:
        raise Malformed(f"it has the unknown key {', '.join(unknown)}")
    for key in ("start", "end"):
        if value.get(key) in (None, ""):
            raise Malformed(f"it has no {key}")
    start, end = _instant("start", value["start"]), _instant("end", value["end"])
    if end <= start:
        raise Malformed(f"its end, {end.isoformat()}, is not after its start, {start.isoformat()}")
    return start, end


def maintenance_window(value: Any, now: str | datetime | None = None) -> dict[str, str]:
    """See DOCUMENTATION."""
    if not value:
        return asdict(Window("none"))
    moment = datetime.now(UTC).replace(microsecond=0) if now is None else _instant("now", now)
    try:
        start, end = _read(value)
    except Malformed as error:
        text = f"cannot be read: {error}"
        return asdict(_refusal(Window("malformed", text), f"write it like this:\n  {EXAMPLE}"))
    span = f"from {start.isoformat()} to {end.isoformat()}"
    here = moment.astimezone(start.tzinfo).isoformat()
    if moment < start:
        early = Window("early", f"{span} is not open yet: it is {here}, and it opens in {_duration(start - moment)}")
        return asdict(_refusal(early, f"start again in the window, or change {NAME}; --check is allowed at any time."))
    if moment >= end:
        late = Window("late", f"{span} is over: it is {here}, and it closed {_duration(moment - end)} ago")
        return asdict(_refusal(late, f"agree on another one and write it to {NAME}; --check is allowed at any time."))
    return asdict(Window("open", f"{span} is open: {_duration(end - moment)} left"))


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Any]:
        """Names and functions."""
        return {"maintenance_window": maintenance_window}
