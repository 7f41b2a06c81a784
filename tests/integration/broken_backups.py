"""Ways to break a backup.

Most come twice: as an accident, which the hashes show, and with the hashes made to fit, so that only a restore can tell.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from ansible_collections.dbops.multischema.plugins.module_utils.backup_files import DUMPS, write_manifest
from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import (
    BY_CHECKSUM,
    BY_RESTORE,
    CUSTOM,
    DIRECTORY,
    FORMAT,
    GLOBALS,
    MANIFEST,
    PLAIN,
    Manifest,
    Verdict,
    parse_manifest,
)
from ansible_collections.dbops.multischema.plugins.module_utils.database_identity import DatabaseIdentity
from tests.integration.backups import rehashed

FOREIGN_UID = 65533


@dataclass(frozen=True)
class Patient:
    """A backup that is about to be broken.

    :param directory: it.
    :param other: an intact one of another database, of the same format.
    """

    directory: Path
    other: Path

    @property
    def manifest(self) -> Manifest:
        """As it is now."""
        return parse_manifest((self.directory / MANIFEST).read_bytes())

    @property
    def dump(self) -> Path:
        """The file that a restore begins with."""
        return self.directory / DUMPS[self.manifest.dump_format]

    @property
    def data(self) -> Path:
        """The largest file with rows in it."""
        if self.manifest.dump_format != DIRECTORY:
            return self.dump
        return max(self.directory.glob("dump/[0-9]*.dat"), key=lambda path: path.stat().st_size)

    def fit(self, **changes: object) -> None:
        """Make the manifest fit what is there now; what was proved stays proved."""
        rehashed(self.directory, self.manifest, **changes)


@dataclass(frozen=True)
class Breakage:
    """One way.

    :param words: what the refusal has to say, as a regular expression.
    :param forged: whether the manifest is made to fit afterwards.
    :param tried: whether it is verified anew before it is judged; otherwise the verdict of the intact backup stands in it.
    :param throwaway: whether it takes a server of its own to see it.
    :param hours: how old the backup is when it is judged.
    :param only_root: whether only root can break it so.
    """

    name: str
    words: str
    do: Callable[[Patient], object]
    dump_format: str = DIRECTORY
    forged: bool = False
    tried: bool = True
    throwaway: bool = False
    hours: float = 0.0
    only_root: bool = False


@dataclass
class Corpus:
    """All of them, in the order in which they are written down."""

    breakages: list[Breakage] = field(default_factory=list)

    def way(self, words: str, **options: object) -> Callable[[Callable[[Patient], object]], Callable[[Patient], object]]:
        """List a function that breaks a backup; its name says how."""

        def listed(do: Callable[[Patient], object]) -> Callable[[Patient], object]:
            self.breakages.append(Breakage(do.__name__, words, do, **options))  # type: ignore[arg-type]
            return do

        return listed


CORPUS = Corpus()
way = CORPUS.way


def flip(path: Path, position: int) -> None:
    """Change one byte."""
    data = bytearray(path.read_bytes())
    data[position] ^= 0xFF
    path.write_bytes(data)


def substitute(path: Path, pattern: bytes, replacement: bytes) -> None:
    """Change what matches, which has to be there."""
    data, count = re.subn(pattern, replacement, path.read_bytes())
    assert count, f"{pattern!r} is not in {path}"
    path.write_bytes(data)


@way("bytes, and was written with")
def a_file_is_cut_off(patient: Patient) -> None:
    os.truncate(patient.data, patient.data.stat().st_size // 2)


@way("has another SHA-256")
def a_byte_of_the_rows_is_flipped(patient: Patient) -> None:
    flip(patient.data, patient.data.stat().st_size // 3)


@way("has another SHA-256")
def a_byte_of_the_table_of_contents_is_flipped(patient: Patient) -> None:
    flip(patient.dump, patient.dump.stat().st_size // 3)


@way("has another SHA-256", tried=False)
def a_byte_is_flipped_after_it_was_proved(patient: Patient) -> None:
    flip(patient.data, 20)


@way(r"dump/\d+\.dat is missing")
def a_file_is_missing(patient: Patient) -> None:
    patient.data.unlink()


@way(r"globals\.sql is missing", tried=False)
def the_globals_are_missing(patient: Patient) -> None:
    (patient.directory / GLOBALS).unlink()


@way(r"there is no globals\.sql in the manifest", forged=True)
def it_was_made_without_globals(patient: Patient) -> None:
    (patient.directory / GLOBALS).unlink()


@way(r"there is no dump/toc\.dat in the manifest", forged=True)
def it_was_made_without_a_dump(patient: Patient) -> None:
    shutil.rmtree(patient.directory / "dump")


@way(r"is empty, and has been \d+ bytes")
def a_file_is_empty(patient: Patient) -> None:
    os.truncate(patient.data, 0)


@way("bytes, and was written with|another SHA-256")
def a_file_is_of_another_backup(patient: Patient) -> None:
    shutil.copyfile(Patient(patient.other, patient.other).data, patient.data)


@way(r"dump/notes\.txt is not in the manifest")
def a_file_was_added(patient: Patient) -> None:
    (patient.directory / "dump/notes.txt").write_text("restored on Monday")
    (patient.directory / "dump/notes.txt").chmod(0o600)


@way("is a symbolic link")
def a_file_is_a_link(patient: Patient) -> None:
    data, elsewhere = patient.data, patient.directory.parent / "elsewhere"
    shutil.move(data, elsewhere)
    data.symlink_to(elsewhere)


@way("is a symbolic link")
def the_manifest_is_a_link(patient: Patient) -> None:
    elsewhere = patient.directory.parent / "manifest"
    shutil.move(patient.directory / MANIFEST, elsewhere)
    (patient.directory / MANIFEST).symlink_to(elsewhere)


@way("is a symbolic link")
def the_directory_is_a_link(patient: Patient) -> None:
    elsewhere = patient.directory.parent.parent / "elsewhere"
    patient.directory.rename(elsewhere)
    patient.directory.symlink_to(elsewhere)


@way(r"is not readable \(mode 0000\)")
def a_file_cannot_be_read(patient: Patient) -> None:
    patient.data.chmod(0)


@way(r"is open to others \(mode 0640\)")
def a_file_can_be_read_by_others(patient: Patient) -> None:
    patient.data.chmod(0o640)


@way(r"is open to others \(mode 0755\)")
def the_directory_can_be_entered_by_others(patient: Patient) -> None:
    patient.directory.chmod(0o755)


@way(f"belongs to user {FOREIGN_UID}", only_root=True)
def a_file_belongs_to_somebody_else(patient: Patient) -> None:
    os.chown(patient.data, FOREIGN_UID, FOREIGN_UID)


@way("is not finished")
def it_was_never_finished(patient: Patient) -> None:
    patient.directory.rename(patient.directory.parent / f".{patient.directory.name}.partial")


@way("there is no manifest")
def the_manifest_is_missing(patient: Patient) -> None:
    (patient.directory / MANIFEST).unlink()


@way("it was edited since it was written")
def the_manifest_was_edited(patient: Patient) -> None:
    substitute(patient.directory / MANIFEST, rb'"passed": true', b'"passed": false')


@way("it cannot be read")
def the_manifest_is_cut_off(patient: Patient) -> None:
    os.truncate(patient.directory / MANIFEST, 400)


@way("it cannot be read")
def the_manifest_is_no_manifest(patient: Patient) -> None:
    (patient.directory / MANIFEST).write_text("[]")


@way(f"format {FORMAT + 1}; this version reads")
def it_is_of_a_newer_format(patient: Patient) -> None:
    substitute(patient.directory / MANIFEST, b'"format": %d' % FORMAT, b'"format": %d' % (FORMAT + 1))


@way("has the manifest of another backup")
def the_manifest_is_of_another_backup(patient: Patient) -> None:
    shutil.copyfile(patient.other / MANIFEST, patient.directory / MANIFEST)


@way("names a file outside")
def the_manifest_names_a_file_elsewhere(patient: Patient) -> None:
    first, *rest = patient.manifest.files
    write_manifest(patient.directory, replace(patient.manifest, files=(replace(first, path="../../etc/passwd"), *rest)))


# --- what it is of, when, and what is known of it ---


@way("it is of another database, elsewhere", tried=False)
def it_is_of_another_database(patient: Patient) -> None:
    patient.fit(database=replace(patient.manifest.database, oid=1, name="elsewhere"))


@way("of another server", tried=False)
def it_is_of_another_server(patient: Patient) -> None:
    patient.fit(database=DatabaseIdentity("4711", patient.manifest.database.oid, patient.manifest.database.name))


@way("it is 25 h old, and may be 24 h", tried=False, hours=25)
def it_is_too_old(_: Patient) -> None:
    pass


@way("from the future", tried=False, hours=-2)
def it_is_from_the_future(_: Patient) -> None:
    pass


@way("nobody has restored it", tried=False)
def nobody_has_tried_it(patient: Patient) -> None:
    patient.fit(verdict=None)


@way("tried and failed: public.orders is missing", tried=False)
def it_was_tried_and_failed(patient: Patient) -> None:
    patient.fit(verdict=Verdict(BY_RESTORE, "2030-01-05T03:00:00Z", passed=False, differences=("public.orders is missing (3 rows)",)))


@way("only its checksums were compared", tried=False)
def only_its_checksums_were_compared(patient: Patient) -> None:
    patient.fit(verdict=Verdict(BY_CHECKSUM, "2030-01-05T03:00:00Z", passed=True))


# --- the hashes fit ---


@way("public.orders: 40 rows recorded, 20 restored|pg_restore says", forged=True)
def a_file_was_cut_off_before_it_was_hashed(patient: Patient) -> None:
    os.truncate(patient.data, patient.data.stat().st_size // 2)


@way("pg_restore says", forged=True, dump_format=CUSTOM)
def an_archive_was_cut_off_before_it_was_hashed(patient: Patient) -> None:
    os.truncate(patient.dump, patient.dump.stat().st_size * 9 // 10)


@way("it does not end with the line that pg_dump writes last|psql says", forged=True, dump_format=PLAIN)
def a_script_was_cut_in_half_before_it_was_hashed(patient: Patient) -> None:
    os.truncate(patient.dump, patient.dump.stat().st_size // 2)


@way("it does not end with the line that pg_dump writes last", forged=True, dump_format=PLAIN)
def a_script_was_cut_between_two_statements(patient: Patient) -> None:
    text = patient.dump.read_bytes()
    patient.dump.write_bytes(text[: text.rindex(b"\n\n", 0, text.index(b"CREATE INDEX")) + 2])


@way("pg_restore says", forged=True)
def a_file_went_missing_before_it_was_hashed(patient: Patient) -> None:
    patient.data.unlink()


@way("rows recorded|pg_restore says", forged=True)
def a_file_was_empty_before_it_was_hashed(patient: Patient) -> None:
    os.truncate(patient.data, 0)


@way(r"public\.orders: 40 rows as recorded, but their content differs", forged=True)
def a_row_was_changed(patient: Patient) -> None:
    substitute(patient.data, rb"customer 7\t", b"customer 8\t")


@way(r"public\.orders: 40 rows as recorded, but their content differs", forged=True, dump_format=PLAIN)
def a_row_was_changed_in_a_script(patient: Patient) -> None:
    substitute(patient.dump, rb"customer 7\t", b"customer 8\t")


@way(r"public\.orders: 40 rows recorded, 39 restored", forged=True)
def a_row_was_taken_out(patient: Patient) -> None:
    substitute(patient.data, rb"7\tcustomer 7\t.*\n", b"")


@way("the schema differs", forged=True, dump_format=PLAIN)
def an_index_was_taken_out(patient: Patient) -> None:
    substitute(patient.dump, rb"CREATE INDEX [^;]+;", b"")


@way("the schema differs", forged=True, dump_format=PLAIN)
def a_right_was_given_to_somebody_else(patient: Patient) -> None:
    substitute(patient.dump, rb"GRANT SELECT ON TABLE public.orders TO \w+;", b"GRANT SELECT ON TABLE public.orders TO PUBLIC;")


@way(r"sequence public\.orders_id_seq: at 40 recorded, at 41 restored", forged=True, dump_format=PLAIN)
def a_sequence_stands_elsewhere(patient: Patient) -> None:
    substitute(patient.dump, rb"'public.orders_id_seq', 40, true", b"'public.orders_id_seq', 41, true")


@way("large objects: 1 recorded, 1 restored, with other content", forged=True, dump_format=PLAIN)
def a_large_object_was_changed(patient: Patient) -> None:
    substitute(patient.dump, rb"\\x6c61726765", rb"\\x4c61726765")


@way("rows recorded|is missing", forged=True)
def it_is_the_dump_of_another_database(patient: Patient) -> None:
    shutil.rmtree(patient.directory / "dump")
    shutil.copytree(patient.other / "dump", patient.directory / "dump")


@way(r"globals\.sql is cut off", forged=True, throwaway=True)
def the_globals_were_cut_off(patient: Patient) -> None:
    path = patient.directory / GLOBALS
    os.truncate(path, path.stat().st_size // 2)


@way(r'pg_restore says: .*role "\w+" does not exist', forged=True, throwaway=True)
def the_globals_lack_an_owner(patient: Patient) -> None:
    substitute(patient.directory / GLOBALS, rb"(CREATE|ALTER) ROLE broken_owner[^;]*;", b"")


@way("pg_restore says", forged=True, dump_format=CUSTOM)
def the_format_is_not_what_the_manifest_says(patient: Patient) -> None:
    patient.dump.write_bytes(b"-- a script\n" * 100)


def encrypt(path: Path, recipient: str) -> None:
    """Put a file's ciphertext in its place."""
    subprocess.run(["age", "-r", recipient, "-o", f"{path}.age", str(path)], check=True)
    Path(f"{path}.age").chmod(0o600)
    path.unlink()
