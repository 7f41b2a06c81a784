"""A backup's directory, held against its manifest: is everything there, as it was written, and readable for its owner alone?

A hash proves that a file is what was written, not that it can be restored; `backup_verification.py` tries that.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import (
    CUSTOM,
    DIRECTORY,
    GLOBALS,
    MANIFEST,
    PG_DUMP,
    PLAIN,
    Manifest,
    NotAManifest,
    parse_manifest,
)
from ansible_collections.dbops.multischema.plugins.module_utils.errors import BackupRefused
from ansible_collections.dbops.multischema.plugins.module_utils.pgbackrest import Stanza

PARTIAL = ".partial"
ENCRYPTED = ".age"
TABLE_OF_CONTENTS = "dump/toc.dat"  # of a dump in directory format
DUMPS = {DIRECTORY: TABLE_OF_CONTENTS, CUSTOM: "dump.custom", PLAIN: "dump.sql"}
CHUNK = 1 << 20  # bytes read at once
MOST_SHOWN = 8
_OTHERS = stat.S_IRWXG | stat.S_IRWXO

_TAKE_ANOTHER = "Take a new backup (playbooks/backup.yml), and find out what has become of this one."


@dataclass(frozen=True)
class Problem:
    """One thing that is not as it has to be."""

    found: str
    why: str
    remedy: str


def dump_file(manifest: Manifest) -> str:
    """The file that a restore begins with, relative to the backup."""
    return DUMPS[manifest.dump_format] + (ENCRYPTED if manifest.recipients else "")


def globals_file(manifest: Manifest) -> str:
    """The file with roles and tablespaces, relative to the backup."""
    return GLOBALS + (ENCRYPTED if manifest.recipients else "")


def read_backup(directory: Path) -> Manifest:
    """The manifest of a backup; the files beside it are another question (`file_problems`).

    :raises BackupRefused: when there is none, it is not finished, or its manifest cannot be believed.
    """
    if directory.name.startswith(".") and directory.name.endswith(PARTIAL):
        raise BackupRefused(
            f"{directory} is not finished.",
            "A backup gets its final name when everything in it is complete; this one is being written, or what wrote it was ended.",
            "Wait until it is done, or take a new one (playbooks/backup.yml); the next run removes what is left of this one.",
        )
    problem = next(_problems_of(directory, directory.name, folder=True), None) or next(
        _problems_of(directory / MANIFEST, MANIFEST, folder=False), None
    )
    if problem is not None:
        raise BackupRefused(f"{directory}: {problem.found}", problem.why, problem.remedy)
    try:
        manifest = parse_manifest((directory / MANIFEST).read_bytes())
    except (NotAManifest, OSError) as error:
        raise BackupRefused(
            f"{directory}: the manifest is refused: {error}",
            "It says which files there are, of which database, and what they have to hold; without it nothing of that can be proved.",
            _TAKE_ANOTHER,
        ) from error
    if manifest.name != directory.name:
        raise BackupRefused(
            f"{directory} has the manifest of another backup, {manifest.name}.",
            "A directory that was renamed, or mixed from two, is not what was written.",
            f"Give it its own name again ({manifest.name}) if it was only renamed; otherwise take a new one (playbooks/backup.yml).",
        )
    return manifest


def file_problems(directory: Path, manifest: Manifest, *, hashes: bool = True, seen: Callable[[int], None] | None = None) -> list[Problem]:
    """What is not as the manifest says; nothing where the backup is whole.

    :param hashes: whether every file is read; otherwise only looked at.
    :param seen: is told how many bytes have been read, each time.
    """
    problems = list(_incomplete(manifest))
    expected = {file.path: file for file in manifest.files}
    there = dict(_walk(directory))
    for path, found in sorted(there.items()):
        folder = stat.S_ISDIR(found.st_mode)
        if path not in expected and path != MANIFEST and not (folder and any(name.startswith(path + "/") for name in expected)):
            problems.append(Problem(f"{path} is not in the manifest", "Somebody has put it there since.", "Remove it, if it is nothing."))
        problems += _problems_of(directory / path, path, folder=folder)
    for path, file in sorted(expected.items()):
        if path not in there:
            problems.append(Problem(f"{path} is missing ({file.size} bytes)", "What was in it cannot be restored.", _TAKE_ANOTHER))
        elif stat.S_ISREG(there[path].st_mode):
            problems += _other_content(directory / path, path, file.size, file.sha256 if hashes else "", seen)
    return problems


def require_intact(directory: Path, *, hashes: bool = True, seen: Callable[[int], None] | None = None) -> Manifest:
    """The manifest of a backup whose files are all as they were written.

    :raises BackupRefused: saying everything that is not.
    """
    manifest = read_backup(directory)
    problems = file_problems(directory, manifest, hashes=hashes, seen=seen)
    if problems:
        raise BackupRefused(
            f"{directory} is not what was written: {listed(p.found for p in problems)}.", problems[0].why, problems[0].remedy
        )
    return manifest


def listed(texts: Iterable[str]) -> str:
    """Some of many, in one line."""
    found = list(texts)
    more = len(found) - MOST_SHOWN
    return "; ".join(found[:MOST_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write the manifest anew, at once: whoever reads it meanwhile, or after a crash, reads the old one or the new one."""
    # Beside the backup, not in it: a file that a crash leaves behind there would make the backup one that has a file too many.
    beside = directory.parent / f".{directory.name}.{secrets.token_hex(4)}.manifest"
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(manifest.to_bytes())
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(beside, directory / MANIFEST)
    finally:
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def backups_below(folder: Path) -> list[Path]:
    """The directories that are backups or call themselves so, newest first; none where there is no such folder."""
    try:
        names = [entry.name for entry in os.scandir(folder)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise BackupRefused(
            f"{folder} cannot be read: {error.strerror}.",
            "The backups of this database are looked for there.",
            "Say in backup_directory where they are, or let the user that runs this read it.",
        ) from error
    return [folder / name for name in sorted(names, reverse=True) if not name.startswith(".")]


def _incomplete(manifest: Manifest) -> Iterator[Problem]:
    """What every backup has, and this one has not."""
    paths = {file.path for file in manifest.files}
    if manifest.engine != PG_DUMP:
        gone = Stanza.of(manifest.extra[manifest.engine]["stanza"]).label_problem(manifest.label)
        if gone:
            yield Problem(gone, "The files of this backup are pgbackrest's, and without them there is nothing to restore.", _TAKE_ANOTHER)
        return
    if dump_file(manifest) not in paths:
        yield Problem(f"there is no {dump_file(manifest)} in the manifest", "Without it there is nothing to restore.", _TAKE_ANOTHER)
    if globals_file(manifest) not in paths:
        yield Problem(
            f"there is no {globals_file(manifest)} in the manifest",
            "Roles are not part of a dump: on another server its objects would have no owners, and nobody their rights.",
            _TAKE_ANOTHER,
        )


def _walk(directory: Path, below: str = "") -> Iterator[tuple[str, os.stat_result]]:
    """Everything in the directory by its path, links not followed."""
    try:
        entries = sorted(os.scandir(directory / below), key=lambda entry: entry.name)
    except OSError:
        return  # its mode says so already
    for entry in entries:
        path = f"{below}/{entry.name}" if below else entry.name
        found = entry.stat(follow_symlinks=False)
        yield path, found
        if stat.S_ISDIR(found.st_mode):
            yield from _walk(directory, path)


def _problems_of(path: Path, name: str, *, folder: bool) -> Iterator[Problem]:
    """What is wrong with one entry as the file system has it."""
    try:
        found = path.lstat()
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        yield Problem(
            f"there is no {name}" if missing else f"{name} cannot be read ({error.strerror})",
            "The manifest is written last, so what has none is not a finished backup."
            if name == MANIFEST
            else "What is not there proves nothing.",
            _TAKE_ANOTHER if missing else f"Let {_user(os.geteuid())} read {path}.",
        )
        return
    kind = stat.S_ISDIR if folder else stat.S_ISREG
    if not kind(found.st_mode):
        link = "a symbolic link" if stat.S_ISLNK(found.st_mode) else "no " + ("directory" if folder else "file")
        yield Problem(
            f"{name} is {link}",
            "A backup holds files and directories only: what a link leads to can be changed from elsewhere.",
            "Put the file itself there, as it was written, or take a new backup (playbooks/backup.yml).",
        )
        return
    mode, wanted = stat.S_IMODE(found.st_mode), 0o700 if folder else 0o600
    if found.st_uid != os.geteuid():
        yield Problem(
            f"{name} belongs to {_user(found.st_uid)}, and this runs as {_user(os.geteuid())}",
            "Whoever owns it may change it at any time.",
            f"Run as {_user(found.st_uid)} (multischema_become_user), or chown it if you know where it comes from.",
        )
    if mode & _OTHERS:
        yield Problem(
            f"{name} is open to others (mode {mode:04o})",
            "A backup holds all rows, and the passwords of roles.",
            f"chmod {wanted:04o} {path}, and think of who may have read it, or written to it.",
        )
    needed = stat.S_IRUSR | (stat.S_IXUSR if folder else 0)
    if mode & needed != needed or not os.access(path, os.R_OK | (os.X_OK if folder else 0)):
        yield Problem(f"{name} is not readable (mode {mode:04o})", "What cannot be read cannot be restored.", f"chmod {wanted:04o} {path}")


def _other_content(path: Path, name: str, size: int, sha256: str, seen: Callable[[int], None] | None) -> Iterator[Problem]:
    there = path.stat().st_size
    if there != size:
        yield Problem(
            f"{name} is empty, and has been {size} bytes" if not there else f"{name} has {there} bytes, and was written with {size}",
            "It was cut off, or replaced, since it was written.",
            _TAKE_ANOTHER,
        )
    elif sha256:
        try:
            other = _sha256(path, seen) != sha256
        except OSError as error:
            yield Problem(f"{name} cannot be read ({error.strerror})", "What cannot be read cannot be restored.", _TAKE_ANOTHER)
            return
        if other:
            yield Problem(f"{name} has another SHA-256 than when it was written", "Its content has changed on disk.", _TAKE_ANOTHER)


def _sha256(path: Path, seen: Callable[[int], None] | None) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for chunk in iter(lambda: stream.read(CHUNK), b""):
            digest.update(chunk)
            if seen is not None:
                seen(len(chunk))
    return digest.hexdigest()


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
