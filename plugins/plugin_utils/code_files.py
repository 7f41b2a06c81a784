"""The code that a migration runs: which files it is made of, and their digests."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

# Wherever the collection is, in a checkout or installed: the same files, so the same digests.
COLLECTION_ROOT = Path(__file__).resolve().parents[2]
# ``meta`` decides by its redirects which plugin is meant.
FOLDERS = ("meta", "playbooks", "plugins", "roles")


def _is_leftover(name: str) -> bool:
    """What Python and editors leave behind, and Ansible never loads by itself."""
    return name == "__pycache__" or name.startswith(".") or name.endswith(("~", ".pyc"))


def _files(folder: Path, entered: frozenset[Path]) -> Iterator[Path]:
    """Every file below a folder; links are followed, for Ansible follows them too."""
    if not folder.is_dir() or folder.resolve() in entered:
        return
    within = entered | {folder.resolve()}
    for entry in sorted(os.scandir(folder), key=lambda item: item.name):
        if _is_leftover(entry.name):
            continue
        if entry.is_dir():
            yield from _files(Path(entry.path), within)
        elif entry.is_file():
            yield Path(entry.path)


def read_code(root: Path = COLLECTION_ROOT) -> dict[str, str]:
    """SHA-256 of every file that takes part, by its path within the collection."""
    found = {}
    for name in FOLDERS:
        for path in _files(root / name, frozenset()):
            found[path.relative_to(root).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found
