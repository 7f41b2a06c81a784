"""Names and globs, as rules write them."""

from __future__ import annotations

import fnmatch

GLOB_CHARACTERS = "*?["


def is_glob(pattern: str) -> bool:
    """Whether a pattern may match more than one name."""
    return any(character in pattern for character in GLOB_CHARACTERS)


def matches(pattern: str, name: str) -> bool:
    """Case-sensitive: names in PostgreSQL are. A name that holds glob characters matches itself."""
    return pattern == name or (is_glob(pattern) and fnmatch.fnmatchcase(name, pattern))
