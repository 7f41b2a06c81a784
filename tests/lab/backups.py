"""The backups that a scenario has taken on its hosts."""

from __future__ import annotations

from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import MANIFEST, Manifest, parse_manifest
from tests.lab.configure import temporary_directory
from tests.lab.hosts import Host


def found(host: Host, scenario: str, *words: str) -> list[str]:
    """What lies among them.

    :param words: what is looked for, as ``find`` takes it.
    """
    return host.exec("find", f"{temporary_directory(scenario)}/backups", *words).split()


def manifest(host: Host, scenario: str) -> Manifest:
    """Of the one backup that there is."""
    paths = found(host, scenario, "-name", MANIFEST)
    assert len(paths) == 1, paths
    return parse_manifest(host.exec("cat", paths[0]).encode())


def endings(of: Manifest) -> set[str]:
    """By what the names of the files that hold rows end: ``.zst``."""
    return {name.rpartition(".dat")[2] for file in of.files if ".dat" in (name := file.path) and not name.endswith("toc.dat")}
