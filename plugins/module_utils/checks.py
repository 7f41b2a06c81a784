"""A check and its verdict, for preflight and verification alike."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

PASS = "pass"  # noqa: S105  a verdict
WARN = "warn"
FAIL = "fail"
_SIGNS = {PASS: "ok  ", WARN: "WARN", FAIL: "FAIL"}
WIDTH = 92  # what is left of 100 columns below Ansible's own indentation


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: what was seen, and what to do where it is not as it should be."""

    name: str
    status: str
    detail: str
    remedy: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def passed(checks: Iterable[Check]) -> bool:
    """Whether nothing failed; warnings do not count."""
    return all(check.status != FAIL for check in checks)


def wrap(text: str, indent: str = "", first: str | None = None) -> list[str]:
    """Lines that fit the terminal; line breaks of the text are kept."""
    lines: list[str] = []
    for number, part in enumerate(text.splitlines() or [""]):
        head = first if number == 0 and first is not None else indent
        lines += textwrap.wrap(
            part, WIDTH, initial_indent=head, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        ) or [head.rstrip()]
    return lines


def wrap_message(text: str) -> str:
    """A message of several lines, each folded to the terminal's width and indented as it began."""
    lines: list[str] = []
    for line in text.splitlines():
        indent = line[: len(line) - len(line.lstrip(" "))]
        lines += wrap(line.strip(), indent=indent + "  ", first=indent) if len(line) > WIDTH else [line]
    return "\n".join(lines)


def count_of(number: int, word: str) -> str:
    """``1 step``, ``2 steps``."""
    return f"{number} {word}" + ("" if number == 1 else "s")


def report(checks: Iterable[Check]) -> list[str]:
    """One line a check, more where something is to be done; failures first."""
    order = {FAIL: 0, WARN: 1, PASS: 2}
    lines = []
    for check in sorted(checks, key=lambda c: order[c.status]):
        lines += wrap(f"{check.name}: {check.detail}", indent="     ", first=f"{_SIGNS[check.status]} ")
        if check.remedy and check.status != PASS:
            lines += wrap(f"→ {check.remedy}", indent="       ", first="     ")
    return lines
