"""Findings, each with a database that has it and similar ones that have not."""

from __future__ import annotations

from tests.unit.finding_cases import objects, outside, rights, views

CASES = [*objects.CASES, *rights.CASES, *views.CASES, *outside.CASES]
