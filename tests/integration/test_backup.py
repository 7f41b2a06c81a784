"""A backup holds what its snapshot held, byte for byte; and there is one, or there is nothing."""

from __future__ import annotations

import hashlib
import subprocess
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils import client_tools
from ansible_collections.dbops.multischema.plugins.module_utils.background import Progress, poll
from ansible_collections.dbops.multischema.plugins.module_utils.backup_files import write_manifest
from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import BY_RESTORE, Verdict
from ansible_collections.dbops.multischema.plugins.module_utils.backup_trial import Figures, make_trial
from ansible_collections.dbops.multischema.plugins.module_utils.client_tools import DUMPING, find_tools
from ansible_collections.dbops.multischema.plugins.module_utils.connection import parse_url
from ansible_collections.dbops.multischema.plugins.module_utils.content import compare_content
from ansible_collections.dbops.multischema.plugins.module_utils.content_reader import ContentReader
from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError, MultischemaError
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.sealed_document import utc_now
from ansible_collections.dbops.multischema.plugins.module_utils.watch import Watch
from tests.integration.databases import PATIENCE_S, Target, wait_until
from tests.integration.probes import Background
from tests.integration.taking import DUMP, SCHEMA, Backups, Held, files_holding, modes
from tests.support.programs import require_age


def test_what_is_restored_from_a_directory_is_what_was_recorded(sample: Target, tmp_path: Path) -> None:
    require_whole(Backups(sample, tmp_path / "backups"))


@pytest.mark.majors(18)
@pytest.mark.parametrize("dump_format", ["custom", "plain"])
def test_what_is_restored_from_one_file_is_what_was_recorded(sample: Target, tmp_path: Path, dump_format: str) -> None:
    require_whole(Backups(sample, tmp_path / "backups", dump_format=dump_format))


def require_whole(backups: Backups) -> None:
    """Take one, look at its files, restore it, and compare."""
    manifest = backups.take()
    assert backups.names() == [manifest.name]
    directory = backups.directory / manifest.name
    assert modes(directory) == {"d700", "f600"}
    for file in manifest.files:
        data = (directory / file.path).read_bytes()
        assert (file.size, file.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert {file.path for file in manifest.files} == {
        path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()
    } - {"manifest.json"}
    with backups.restored(manifest) as copy:
        assert list(compare_content(manifest.content, backups.content(copy))) == []


@pytest.mark.majors(18)
def test_rows_that_are_written_meanwhile_are_in_the_dump_and_the_digests_or_in_neither(sample: Target, tmp_path: Path) -> None:
    sample.execute("CREATE TABLE public.written (id serial PRIMARY KEY, body text)")
    enough = threading.Event()

    def write() -> None:
        with sample.session() as connection, connection.cursor() as cursor:
            while not enough.is_set():
                cursor.execute("INSERT INTO public.written (body) SELECT repeat('x', 100) FROM generate_series(1, 20)")
                cursor.execute("UPDATE public.written SET body = body || 'y' WHERE id % 7 = 0 AND length(body) < 200")

    writer = Background(write)
    backups = Backups(sample, tmp_path / "backups")
    manifests = []
    try:
        for _ in range(2):
            before = count_written(sample)
            wait_until(partial(more_written, sample, before), "somebody writes")
            manifests.append(backups.take())
    finally:
        enough.set()
        writer.finish()
    for manifest in manifests:
        with backups.restored(manifest) as copy:
            assert list(compare_content(manifest.content, backups.content(copy))) == []
    rows = [next(table.rows for table in manifest.content.tables if table.name == "written") for manifest in manifests]
    assert 0 < rows[0] < rows[1]


def count_written(target: Target) -> int:
    return int(target.value("SELECT count(*) FROM public.written"))


def more_written(target: Target, before: int) -> bool:
    return count_written(target) > before


@pytest.mark.majors(18)
def test_what_is_done_once_the_snapshot_is_taken_is_in_no_part_of_the_backup(empty: Target, tmp_path: Path) -> None:
    """Neither in the dump nor in the digest of the schema, whichever of the two looks later."""
    empty.execute("CREATE TABLE public.written (id int)", "INSERT INTO public.written VALUES (1)")
    for number, which in enumerate((DUMP, SCHEMA)):
        held = Held(Backups(empty, tmp_path / f"backups{number}"), tmp_path / f"programs{number}", which)
        job = held.begin()
        empty.execute("INSERT INTO public.written VALUES (2)", f"CREATE FUNCTION public.later{number}() RETURNS int RETURN 1")
        held.go_on()
        result = poll(job, PATIENCE_S).result
        assert result is not None
        manifest = held.backups.read(result["name"])
        assert [table.rows for table in manifest.content.tables] == [1 + number]
        with held.backups.restored(manifest) as copy:
            assert list(compare_content(manifest.content, held.backups.content(copy))) == []


@pytest.mark.majors(18)
@pytest.mark.no_role("a snapshot, whoever has taken it")
def test_the_rows_are_those_of_the_snapshot_however_late_they_are_read(empty: Target) -> None:
    empty.execute("CREATE TABLE public.written (id int)")
    with empty.session() as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SELECT pg_export_snapshot()")
        (snapshot,) = cursor.fetchone() or ("",)
        empty.execute("INSERT INTO public.written VALUES (1)")
        with ContentReader(lambda: Database(parse_url(empty.superuser_url)), snapshot, lambda: "") as reader:
            assert [table.rows for table in reader.result().tables] == [0]


@pytest.mark.majors(18)
def test_the_server_s_own_programs_are_found_by_whoever_may_ask_for_them(
    empty: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is in PATH. An ordinary role may not read pg_config: it is told what to do, and sees no error of the server's."""
    monkeypatch.setattr(client_tools, "_directories", lambda _: [])
    backups = Backups(empty, tmp_path / "backups", tools_directory="")
    if empty.mover is not None:
        with pytest.raises(MultischemaError, match=r"no pg_dump and pg_dumpall of version 18 .* this role may not ask it \(pg_config\)"):
            backups.take()
        assert backups.names() == []
        replace(empty, owner=None).execute(f'GRANT EXECUTE ON FUNCTION pg_catalog.pg_config() TO "{empty.mover.user}"')
    manifest = backups.take()
    assert manifest.tools["pg_dump"].split(".")[0] == "18"
    trial = make_trial(
        manifest,
        {"method": BY_RESTORE, "scratch_directory": str(tmp_path), "jobs": 1},
        parse_url(empty.url()),
        Figures(Progress(tmp_path, PATIENCE_S), manifest),
        Watch(lambda: None),
    )
    assert trial is not None
    assert trial.restoring.tools.directory == empty.server.bin_dir.resolve()


@pytest.mark.majors(16, 18)
def test_every_compression_that_this_pg_dump_has_is_written_and_every_other_refused(empty: Target, tmp_path: Path) -> None:
    empty.execute("CREATE TABLE public.t (body text)", "INSERT INTO public.t SELECT repeat('x', 1000) FROM generate_series(1, 100)")
    backups = Backups(empty, tmp_path / "backups", dump_format="custom")
    tools = find_tools(empty.server.major * 10000, DUMPING, str(empty.server.bin_dir))
    for compression in ("none", "gzip:1", "gzip:9", "lz4", "zstd:3"):
        if tools.can_compress_by(compression.partition(":")[0]):
            manifest = backups.take(compression=compression)
            assert manifest.compression == compression
            assert (manifest.size > 100_000) == (compression == "none")
            with backups.restored(manifest) as copy:
                assert list(compare_content(manifest.content, backups.content(copy))) == []
        else:
            with pytest.raises(ConfigurationError, match="cannot do that"):
                backups.take(compression=compression)
    assert backups.take().compression == ("zstd:3" if tools.can_compress_by("zstd") else "gzip:6")


@pytest.mark.majors(18)
@pytest.mark.parametrize("dump_format", ["custom", "plain"])
def test_of_an_encrypted_backup_nothing_on_disk_is_plain(empty: Target, tmp_path: Path, dump_format: str) -> None:
    require_age()
    secret = "a row that nobody else may read"
    empty.execute("CREATE TABLE public.t (body text)")
    empty.rows("INSERT INTO public.t SELECT %s || n FROM generate_series(1, 200) n", (secret,))
    key = tmp_path / "key.txt"
    subprocess.run(["age-keygen", "-o", str(key)], check=True, capture_output=True)
    recipient = key.read_text().partition("public key: ")[2].split()[0]
    backups = Backups(empty, tmp_path / "backups", dump_format=dump_format, compression="" if dump_format == "plain" else "none")
    open_one = backups.take()
    assert files_holding(backups.directory / open_one.name, secret.encode()), "this would not see it"
    manifest = backups.take(recipients=(recipient,))
    assert manifest.recipients == (recipient,)
    directory = backups.directory / manifest.name
    for text in (secret, "CREATE TABLE", "CREATE ROLE"):
        assert files_holding(directory, text.encode()) == []
    assert {file.path for file in manifest.files} == {f"dump.{'sql' if dump_format == 'plain' else 'custom'}.age", "globals.sql.age"}
    assert modes(directory) == {"d700", "f600"}
    for file in manifest.files:
        done = subprocess.run(["age", "--decrypt", "-i", str(key), str(directory / file.path)], check=True, capture_output=True)
        (tmp_path / file.path.removesuffix(".age")).write_bytes(done.stdout)
    assert b"CREATE ROLE" in (tmp_path / "globals.sql").read_bytes()
    dump = next(path for path in tmp_path.glob("dump.*"))
    with backups.restored(manifest, dump) as copy:
        assert list(compare_content(manifest.content, backups.content(copy))) == []


@pytest.mark.majors(18)
def test_roles_come_along_with_their_passwords_where_this_role_may_read_them(empty: Target, tmp_path: Path) -> None:
    manifest = Backups(empty, tmp_path / "backups").take()
    text = (tmp_path / "backups" / manifest.name / "globals.sql").read_text()
    assert f"CREATE ROLE {empty.server.user}" in text
    superuser = empty.mover is None
    assert manifest.extra["role_passwords"] is superuser
    assert ("PASSWORD" in text) is superuser


@pytest.mark.majors(18)
@pytest.mark.no_role("how backups are counted, not what is in them")
def test_retention_keeps_the_newest_few_and_the_newest_proved_one(empty: Target, tmp_path: Path) -> None:
    backups = Backups(empty, tmp_path / "backups")
    proved = backups.take()
    write_manifest(backups.directory / proved.name, proved.judged(Verdict(BY_RESTORE, utc_now(), passed=True)))
    (backups.directory / "20000101T000000Z-x-0000").mkdir()
    kept = [backups.take(), backups.take()]
    wait_until(lambda: utc_now() > kept[-1].ended_at, "two of one second have no order")
    newest = backups.take(keep_count=1)
    assert backups.names() == sorted(["20000101T000000Z-x-0000", proved.name, newest.name])
    assert not {manifest.name for manifest in kept} & set(backups.names())
