"""A backup holds what its snapshot held, byte for byte; and there is one, or there is nothing."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.content import compare_content
from tests.integration.databases import Target
from tests.integration.taking import Backups, modes

FORMATS = ("directory", "custom", "plain")


@pytest.mark.parametrize("dump_format", FORMATS)
def test_what_is_restored_is_what_was_recorded(sample: Target, tmp_path: Path, dump_format: str) -> None:
    backups = Backups(sample, tmp_path / "backups", dump_format=dump_format)
    manifest = backups.take()
    assert backups.names() == [manifest.name]
    directory = tmp_path / "backups" / manifest.name
    assert modes(directory) == {"d700", "f600"}
    for file in manifest.files:
        data = (directory / file.path).read_bytes()
        assert (file.size, file.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert {file.path for file in manifest.files} == {
        path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()
    } - {"manifest.json"}
    with backups.restored(manifest) as copy:
        assert list(compare_content(manifest.content, backups.content(copy))) == []


def test_rows_that_are_written_meanwhile_are_in_the_dump_and_the_digests_or_in_neither(sample: Target, tmp_path: Path) -> None:
    sample.execute("CREATE TABLE public.written (id serial PRIMARY KEY, body text)")
    enough = threading.Event()

    def write() -> None:
        with sample.session() as connection, connection.cursor() as cursor:
            while not enough.is_set():
                cursor.execute("INSERT INTO public.written (body) SELECT repeat('x', 100) FROM generate_series(1, 20)")
                cursor.execute("UPDATE public.written SET body = body || 'y' WHERE id % 7 = 0 AND length(body) < 200")

    writer = threading.Thread(target=write)
    writer.start()
    backups = Backups(sample, tmp_path / "backups")
    try:
        manifests = [backups.take() for _ in range(2)]
    finally:
        enough.set()
        writer.join()
    for manifest in manifests:
        with backups.restored(manifest) as copy:
            assert list(compare_content(manifest.content, backups.content(copy))) == []
    rows = [next(table.rows for table in manifest.content.tables if table.name == "written") for manifest in manifests]
    assert 0 <= rows[0] < rows[1]
