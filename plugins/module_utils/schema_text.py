"""The schema of a database as pg_dump writes it, without what is new in every dump."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator

# A random key (since 17.6 and its like), and versions and times in comments.
_EVERY_TIME = (b"\\restrict ", b"\\unrestrict ", b"-- Dumped ", b"-- Started on ", b"-- Completed on ")
_HEADER = re.compile(rb"-- (?:Data for )?Name: .*; Type: ([^;]+); Schema: ")
# Kinds of entries that --schema-only leaves out.
_DATA = {b"TABLE DATA", b"SEQUENCE SET", b"BLOBS", b"BLOB", b"LARGE OBJECT", b"BLOB METADATA", b"MATERIALIZED VIEW DATA"}


def lasting(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines that another dump of the same schema has too."""
    return (line for line in lines if not line.startswith(_EVERY_TIME))


def digest(lines: Iterable[bytes]) -> str:
    """SHA-256 of a schema, each line with its end."""
    found = hashlib.sha256()
    for line in lasting(lines):
        found.update(line)
    return found.hexdigest()


def without_data(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a plain dump that ``--schema-only`` would have written too."""
    held: list[bytes] = []  # a comment that may be the head of an entry
    data = False
    for line in lines:
        if line == b"--\n" and not held:
            held = [line]
            continue
        if held:
            held.append(line)
            match = _HEADER.match(line)
            if match:
                data = match[1] in _DATA
            elif len(held) == 2:
                data = data and not line.startswith(b"-- PostgreSQL database dump complete")
            if len(held) < 3:
                continue
            if not data:
                yield from held
            held = []
            continue
        if not data:
            yield line
    yield from held
