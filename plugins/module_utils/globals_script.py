"""The roles that ``pg_dumpall --globals-only`` has written, as statements that can be run on a scratch server."""

from __future__ import annotations

import re
from collections.abc import Iterator

COMPLETE = "-- PostgreSQL database cluster dump complete"
# What ends a quoted text: E'…' knows backslashes, '…' and "…" double their quote.
_PIECE = re.compile(r"""[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|;|[^;'"\-eE]+|.""", re.DOTALL)
_TABLESPACE = re.compile(r"(?:CREATE|ALTER|COMMENT ON|GRANT .* ON|REVOKE .* ON) TABLESPACE ", re.DOTALL)


def is_complete(script: str) -> bool:
    """Whether the script has the line that pg_dumpall writes last; a script that was cut off has not."""
    return COMPLETE in script.splitlines()


def statements(script: str) -> Iterator[str]:
    """The statements of a script, without comments and psql's own commands (``\\restrict``)."""
    text = "\n".join(line for line in script.splitlines() if not line.startswith(("\\restrict ", "\\unrestrict ", "\\connect ")))
    parts: list[str] = []
    for match in _PIECE.finditer(text):
        piece = match[0]
        if piece == ";":
            found, parts = "".join(parts).strip(), []
            if found:
                yield found
        elif not piece.startswith("--"):
            parts.append(piece)


def for_a_scratch_server(script: str, first_role: str) -> Iterator[str]:
    """What makes the roles on a server of our own.

    Without tablespaces, whose directories are those of the original; without the creation of the first superuser, who is there;
    and without settings of that role, under which we work ourselves.

    :param first_role: the name of the first superuser, in the script as on the scratch server.
    """
    names = {first_role, '"' + first_role.replace('"', '""') + '"'}
    for text in statements(script):
        if _TABLESPACE.match(text) or any(text == f"CREATE ROLE {name}" or text.startswith(f"ALTER ROLE {name} ") for name in names):
            continue
        yield text
