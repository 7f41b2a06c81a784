"""A server whose WAL goes to a repository of pgbackrest: made for a test, as an administrator would make it."""

from __future__ import annotations

import pwd
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.host import RELOCATION_ROOT, Account
from tests.support.servers import Server, ServerError, find_binaries

STANZA = "shop"
PROGRAM = "pgbackrest"
ROOM = 1 << 30  # bytes
MAJORS = (15, 17)  # of the distribution's PostgreSQL, whose pgbackrest knows it


def _quick_disk() -> str:
    """Where syncing costs nothing, if there is room: pgbackrest syncs every file that it writes."""
    memory = Path("/dev/shm")  # noqa: S108 - a directory of its own is made there
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > ROOM else str(RELOCATION_ROOT)


def known_major() -> int | str:
    """A version that the distribution's pgbackrest works with; or why there is none here."""
    if shutil.which(PROGRAM) is None:
        return "pgbackrest is not installed here (apt-get install pgbackrest)"
    found = [major for major in MAJORS if find_binaries(major) is not None]
    return found[0] if found else f"PostgreSQL {' or '.join(map(str, MAJORS))} is not installed here, and pgbackrest may not know another"


class Archived:
    """As a context manager: a server, a repository, and the stanza between them; all of it is removed on exit.

    Args:
        major: of the server; the distribution's pgbackrest has to know it.
        settings: of the server, on top of those that send WAL away.
        options: of pgbackrest's configuration, on top of what it needs.
    """

    def __init__(self, major: int = 15, settings: Mapping[str, str] | None = None, options: Mapping[str, str] | None = None) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="multischema-stanza-", dir=_quick_disk()))
        self.config = self.root / "pgbackrest.conf"
        self.repository = self.root / "repo"
        self.scratch = self.root / "scratch"
        self._options = dict(options or {})
        self._account = Account()
        archiving = {"archive_mode": "on", "archive_command": f"{shutil.which(PROGRAM)} {self.words} archive-push %p"}
        self.server = Server(major=major, fsync=False, settings={**archiving, "max_connections": "60", **(settings or {})})

    @property
    def words(self) -> str:
        """What says which stanza is meant."""
        return f"--config={self.config} --stanza={STANZA}"

    def __enter__(self) -> Self:
        try:
            self.prepare()
            self.run("stanza-create")
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.remove()

    def prepare(self) -> None:
        """Start the server, and configure pgbackrest for it; there is no stanza yet."""
        self.server.start()
        self._let_the_owner_in()
        self.configure()

    def knows_the_server(self) -> bool:
        """Make the stanza, if pgbackrest can read what a server of this version has written."""
        try:
            self.run("stanza-create")
        except ServerError as error:
            if "VersionNotSupportedError" not in str(error):
                raise
            return False
        return True

    def remove(self) -> None:
        """Stop the server and remove everything."""
        self.server.remove()
        shutil.rmtree(self.root, ignore_errors=True)

    def configure(self, **options: str) -> None:
        """Write pgbackrest's configuration; it stands in nobody's way elsewhere on this machine."""
        for name in ("repo", "lock", "spool", "log", "scratch"):
            (self.root / name).mkdir(exist_ok=True)
        general = {
            "repo1-path": self.repository,
            "lock-path": self.root / "lock",
            "spool-path": self.root / "spool",
            "log-path": self.root / "log",
            "start-fast": "y",
            "repo1-retention-full": "2",
            "compress-type": "lz4",
            "archive-timeout": "60",
            "job-retry": "0",  # a file that is broken stays so
            **self._options,
            **{name.replace("_", "-"): value for name, value in options.items()},
        }
        here = {"pg1-path": self.server.data_dir, "pg1-port": self.server.port, "pg1-socket-path": self.server.socket_dir}
        lines = ["[global]", *_lines(general), f"[{STANZA}]", *_lines(here)]
        self.config.write_text("\n".join(lines) + "\n")
        self.own(self.root, *self.root.rglob("*"))

    def run(self, *arguments: str) -> str:
        """Run pgbackrest as the server's owner."""
        return self._account.run([PROGRAM, f"--config={self.config}", f"--stanza={STANZA}", *arguments])

    def _let_the_owner_in(self) -> None:
        """By the socket, which is in a directory of the owner's, without a password."""
        file = self.server.data_dir / "pg_hba.conf"
        file.write_text("local all all trust\n" + file.read_text())
        self.server.execute("SELECT pg_reload_conf()")

    def left_behind(self) -> list[str]:
        """What is left of throwaway servers."""
        return sorted(path.name for path in self.scratch.iterdir())

    def own(self, *paths: Path) -> None:
        """Make files the owner's."""
        self._account.own(*paths)

    @property
    def owner(self) -> str:
        """Whose the server is."""
        return pwd.getpwuid(self.server.data_dir.stat().st_uid).pw_name


def _lines(options: Mapping[str, object]) -> list[str]:
    return [f"{name}={value}" for name, value in options.items()]
