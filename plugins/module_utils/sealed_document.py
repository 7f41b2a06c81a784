"""A JSON document that carries a digest of itself, so that an edited one is known.

That guards against mistakes, not against somebody who computes a new digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any, Protocol, TypeVar

TIME = "%Y-%m-%dT%H:%M:%SZ"  # ISO 8601, in UTC
_UTC = timezone.utc
_ENVELOPE = ("format", "kind", "digest")


class Sealed(Protocol):
    """What such a document is read into."""

    def to_bytes(self) -> bytes:
        """The file, by :func:`sealed`."""


Found = TypeVar("Found", bound=Sealed)


def utc_now() -> str:
    """This moment, as a document writes it."""
    return datetime.now(_UTC).strftime(TIME)


def moment(text: str) -> datetime:
    """When that was.

    :raises ValueError: when it is written otherwise.
    """
    return datetime.strptime(text, TIME).replace(tzinfo=_UTC)


def canonical(document: Mapping[str, Any]) -> bytes:
    """JSON with sorted keys, so that the same content is the same bytes."""
    return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def sealed(kind: str, version: int, content: Mapping[str, Any]) -> bytes:
    """The file, its digest in it.

    :param version: of its format.
    """
    document = {"format": version, "kind": kind, **content}
    return canonical({**document, "digest": hashlib.sha256(canonical(document)).hexdigest()})


def digest_of(document: Sealed) -> str:
    """The digest that such a document carries."""
    return str(json.loads(document.to_bytes())["digest"])


def unsealed(data: bytes, kind: str, version: int, read: Callable[[dict[str, Any]], Found], wrong: type[Exception]) -> Found:
    """Read such a file.

    :param read: makes of its content what writes the same bytes again; what it is read for later has to be readable by then.
    :param wrong: raised, saying what is wrong, when it is none, of another format, or was edited.
    """
    try:
        document = json.loads(data)
        if document["kind"] != kind or document["format"] != version:
            raise wrong(f"it is of kind {document['kind']!r}, format {document['format']!r}; this version reads {kind!r}, {version}")
        found = read({key: value for key, value in document.items() if key not in _ENVELOPE})
        same = found.to_bytes() == data
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise wrong(f"it cannot be read ({type(error).__name__}: {error})") from error
    if not same:
        raise wrong("it was edited since it was written: its digest is not that of its content")
    return found
