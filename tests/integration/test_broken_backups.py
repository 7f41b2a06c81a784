"""Whatever is wrong with a backup, it is refused in words; and a backup that is whole is accepted, whatever is in it."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.backup_acceptance import Demand
from ansible_collections.dbops.multischema.plugins.module_utils.backup_files import read_backup
from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import BY_RESTORE, CUSTOM, DIRECTORY, PLAIN, Manifest
from ansible_collections.dbops.multischema.plugins.module_utils.backup_shelf import choose
from ansible_collections.dbops.multischema.plugins.module_utils.backup_verification import Trial, verify
from ansible_collections.dbops.multischema.plugins.module_utils.errors import MultischemaError
from ansible_collections.dbops.multischema.plugins.module_utils.restoring import SurroundingsFailed
from tests.integration import backups
from tests.integration.broken_backups import CORPUS, Breakage, Patient, encrypt, flip, substitute
from tests.integration.databases import Target, new_database
from tests.support.programs import require_age
from tests.support.servers import Server

pytestmark = [pytest.mark.majors(18), pytest.mark.no_role("files and a scratch database are looked at, never the database itself")]
FLIPS = int(os.environ.get("MULTISCHEMA_BACKUP_FLIPS", "12"))
FLIPS_SEED = int(os.environ.get("MULTISCHEMA_BACKUP_SEED", "1"))
MAKE = (
    "CREATE TABLE public.orders (id serial PRIMARY KEY, customer text NOT NULL, state varchar(9) CHECK (state IN ('new', 'paid')), "
    "at timestamptz, paid numeric)",
    "INSERT INTO public.orders (customer, state, at, paid) SELECT 'customer ' || n, 'new', '2030-01-05 03:00+01', n / 7.0 "
    "FROM generate_series(1, 40) n",
    "CREATE INDEX orders_customer ON public.orders (customer)",
    "CREATE VIEW public.new_orders AS SELECT * FROM public.orders WHERE state IN ('new', 'paid')",
    "CREATE TABLE public.empty (a int)",
    "ALTER TABLE public.orders OWNER TO broken_owner",
    "GRANT SELECT ON public.orders TO broken_owner, broken_reader",
    "SELECT lo_from_bytea(0, 'large')",
)


@dataclass(frozen=True)
class Shelf:
    """A database with proved backups of it in each format, and backups of another one."""

    target: Target
    ours: Mapping[str, Path]
    theirs: Mapping[str, Path]


@pytest.fixture(scope="module")
def made() -> dict[int, Shelf]:
    """What `intact` has made, for each version."""
    return {}


@pytest.fixture
def intact(server: Server, made: dict[int, Shelf], tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """Made once for each server: what breaks one takes a copy."""
    if server.major not in made:
        for role in ("broken_owner", "broken_reader"):
            server.execute(f"CREATE ROLE {role}")
        target, other = new_database(server), new_database(server)
        target.execute(*MAKE)
        other.execute("CREATE TABLE public.others AS SELECT n, repeat('x', 900) AS x FROM generate_series(1, 9) n")
        root = tmp_path_factory.mktemp("backups")
        # Not compressed: a row that was changed in the file is then a row that was changed, not a broken file.
        options = {DIRECTORY: ["-Z0"], CUSTOM: ["-Z0"], PLAIN: []}
        ours = {form: backups.take(target, root / form, form, *options[form]) for form in backups.FORMATS}
        theirs = {form: backups.take(other, root / f"other-{form}", form, *options[form]) for form in backups.FORMATS}
        for directory in ours.values():
            assert verify(directory, BY_RESTORE, backups.trial(server))[0].proved
        made[server.major] = Shelf(target, ours, theirs)
    return made[server.major]


@dataclass(frozen=True)
class Trying:
    """How a backup is looked at: verified first or not, and how much later."""

    tried: bool = True
    throwaway: bool = False
    hours: float = 0.0
    key: str = ""


def refusal(server: Server, directory: Path, target: Target, how: Trying = Trying()) -> str:
    """What is said against a backup: by verifying it, and by looking for one that counts; nothing where it is accepted."""
    said = list(_verified(server, directory, how)) if how.tried else []
    demand = Demand(backups.identity(target), datetime.now(UTC) + timedelta(hours=how.hours), timedelta(hours=24))
    judgements, accepted = choose(directory.parent, demand)
    if accepted is not None:
        assert not said, f"it is accepted, although {said}"
        return ""
    return "\n".join([*said, *(judgement.refusal for judgement in judgements)])


def _verified(server: Server, directory: Path, how: Trying) -> tuple[str, ...]:
    trial = backups.trial(server, identity_file=how.key)
    try:
        manifest, _ = verify(directory, BY_RESTORE, Trial(trial.restoring) if how.throwaway else trial, again=True)
    except MultischemaError as error:
        return (f"{error.found} {error.why} {error.remedy}",) if error.why and error.remedy else ("it says not what to do",)
    assert manifest.verdict is not None
    return manifest.verdict.differences


def copied(directory: Path, to: Path) -> Path:
    """A copy to break."""
    to.mkdir()
    return Path(shutil.copytree(directory, to / directory.name, symlinks=True))


@pytest.mark.parametrize("breakage", CORPUS.breakages, ids=lambda breakage: breakage.name)
def test_a_broken_backup_is_refused_with_the_reason(breakage: Breakage, server: Server, intact: Shelf, tmp_path: Path) -> None:
    if breakage.only_root and os.geteuid() != 0:
        pytest.skip(reason="only root can give a file away")
    target, ours, theirs = intact.target, intact.ours, intact.theirs
    patient = Patient(copied(ours[breakage.dump_format], tmp_path / "shelf"), theirs[breakage.dump_format])
    breakage.do(patient)
    if breakage.forged:
        patient.fit()
    (directory,) = (tmp_path / "shelf").glob("*T*")
    said = refusal(server, directory, target, Trying(breakage.tried, breakage.throwaway, breakage.hours))
    assert re.search(breakage.words, said), said


def test_the_corpus_has_at_least_twenty_kinds() -> None:
    assert len({breakage.name for breakage in CORPUS.breakages}) >= 20


@pytest.mark.parametrize("form", backups.FORMATS)
@pytest.mark.parametrize("throwaway", [False, True], ids=["named server", "throwaway server"])
def test_an_intact_backup_is_accepted(form: str, throwaway: bool, server: Server, intact: Shelf, tmp_path: Path) -> None:
    target, ours = intact.target, intact.ours
    assert refusal(server, copied(ours[form], tmp_path / "shelf"), target, Trying(throwaway=throwaway)) == ""


# --- bytes at random places ---


@pytest.mark.parametrize("number", range(FLIPS))
def test_a_flipped_byte_with_a_fitting_hash_is_refused_or_makes_no_difference(
    number: int, server: Server, intact: Shelf, tmp_path: Path
) -> None:
    """What makes none is known by the script that pg_restore makes of the archive: its lines are the same, but for its head."""
    target, ours, theirs = intact.target, intact.ours, intact.theirs
    dice = random.Random(FLIPS_SEED * 1000 + number)  # noqa: S311  no secret
    form = dice.choice([DIRECTORY, CUSTOM])
    patient = Patient(copied(ours[form], tmp_path / "shelf"), theirs[form])
    path = dice.choice([patient.dump, patient.data])
    position = dice.randrange(path.stat().st_size)
    flip(path, position)
    patient.fit(verdict=None)
    said = refusal(server, patient.directory, target)
    if not said:
        assert as_script(server, patient.dump, form) == as_script(server, ours[form] / patient.dump.relative_to(patient.directory), form), (
            f"byte {position} of {path.name} (seed {FLIPS_SEED}, {number})"
        )


def as_script(server: Server, dump: Path, form: str) -> list[bytes]:
    """All that an archive does. Not its comments, no rows of a table that has none, and in any order: a flipped byte may put one table in
    front of another."""
    source = dump.parent if form == DIRECTORY else dump
    done = subprocess.run([server.bin_dir / "pg_restore", "-f", "-", source], capture_output=True, check=True)
    skipped = (b"--", b"\\restrict ", b"\\unrestrict ")
    script = re.sub(rb"^COPY .* FROM stdin;\n\\\.\n", b"", done.stdout, flags=re.MULTILINE)
    return sorted(line for line in script.splitlines() if line and not line.startswith(skipped))


# --- encrypted ---


def encrypted(directory: Path, manifest: Manifest, keys: Path) -> None:
    """Encrypt a backup to a new key, `keys/right`; `keys/wrong` is another one."""
    require_age()
    keys.mkdir()
    for name in ("right", "wrong"):
        subprocess.run(["age-keygen", "-o", str(keys / name)], check=True, capture_output=True)
    recipient = subprocess.run(["age-keygen", "-y", str(keys / "right")], check=True, capture_output=True, text=True).stdout.strip()
    for file in manifest.files:
        encrypt(directory / file.path, recipient)
    backups.rehashed(directory, replace(manifest, recipients=(recipient,)))


@pytest.mark.parametrize("form", [CUSTOM, PLAIN])
def test_an_encrypted_backup_is_accepted_with_its_key_and_refused_with_another(
    form: str, server: Server, intact: Shelf, tmp_path: Path
) -> None:
    target, ours = intact.target, intact.ours
    directory = copied(ours[form], tmp_path / "shelf")
    encrypted(directory, read_backup(directory), tmp_path / "keys")
    right, wrong = str(tmp_path / "keys/right"), str(tmp_path / "keys/wrong")
    assert refusal(server, directory, target, Trying(throwaway=True, key=right)) == ""
    with pytest.raises(SurroundingsFailed, match="cannot be decrypted with the key"):
        verify(directory, BY_RESTORE, backups.trial(server, identity_file=wrong), again=True)
    assert refusal(server, directory, target, Trying(key=right)) == "", "a wrong key says nothing about the backup"
    path = directory / f"dump.{'sql' if form == PLAIN else 'custom'}.age"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    backups.rehashed(directory, read_backup(directory))
    assert "age says" in refusal(server, directory, target, Trying(key=right))
    path.write_bytes(whole)
    flip(path, len(whole) - 40)
    backups.rehashed(directory, read_backup(directory))
    assert "age says" in refusal(server, directory, target, Trying(key=right))


def test_without_a_key_nothing_is_said_about_the_backup(server: Server, intact: Shelf, tmp_path: Path) -> None:
    ours = intact.ours
    directory = copied(ours[CUSTOM], tmp_path / "shelf")
    encrypted(directory, replace(read_backup(directory), verdict=None), tmp_path / "keys")
    before = read_backup(directory)
    with pytest.raises(SurroundingsFailed, match="backup_age_identity"):
        verify(directory, BY_RESTORE, backups.trial(server))
    assert read_backup(directory) == before


# --- nothing is left, nothing is touched ---


def test_a_refused_backup_leaves_no_scratch_database_behind(server: Server, intact: Shelf, tmp_path: Path) -> None:
    target, ours, theirs = intact.target, intact.ours, intact.theirs
    patient = Patient(copied(ours[PLAIN], tmp_path / "shelf"), theirs[PLAIN])
    substitute(patient.dump, rb"CREATE INDEX", b"CREATE INDEXX")
    patient.fit()
    assert "psql says" in refusal(server, patient.directory, target)
    assert target.rows("SELECT datname FROM pg_database WHERE datname LIKE 'multischema_scratch%'") == []
