"""The program pgbackrest: which stanza it is asked about, as whom it runs, and its words when it refuses.

Nothing here creates a stanza or writes its configuration. What it prints never holds a passphrase: it writes ``<redacted>`` itself.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.errors import MultischemaError
from ansible_collections.dbops.multischema.plugins.module_utils.program_run import Program
from ansible_collections.dbops.multischema.plugins.module_utils.scratch_server import server_identity
from ansible_collections.dbops.multischema.plugins.module_utils.stanza import NotInfo, StanzaInfo, parse_info, stanza_names, unsound

PGBACKREST = "pgbackrest"
FULL, DIFF, INCR = "full", "diff", "incr"
_PREFIX = re.compile(r"^(?:P\d\d\s+)?(?:ERROR|WARN|HINT|INFO|DETAIL): ?")
_TOO_NEW = "VersionNotSupportedError"
_UNKNOWN = "[037]"  # of an option that is missing, as it is for a stanza that is not configured
_STOPPED = "[062]"  # pgbackrest's code for a stop file
_MOST_SAID = 900  # characters


class StanzaRefused(MultischemaError):
    """pgbackrest, or the stanza, cannot be used as it is."""


@dataclass(frozen=True)
class Stanza:
    """Which stanza, and how it is reached.

    :param config: pgbackrest's configuration file; empty for its default.
    :param repo: number of the repository.
    :param program: the program; found in ``PATH`` by default.
    """

    name: str
    config: str = ""
    repo: int = 1
    program: str = ""

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Stanza:
        """As a manifest has it (`to_dict`)."""
        return cls(**{name: options[name] for name in ("name", "config", "repo", "program")})

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    def command(self, *arguments: str, with_repo: bool = True) -> list[str]:
        """A command line; its first argument is the command, options follow.

        :raises StanzaRefused: where the program is not there.
        """
        options = [f"--config={self.config}"] if self.config else []
        options += [f"--repo={self.repo}"] if with_repo else []
        return [self.path, *arguments, *options, f"--stanza={self.name}", "--log-level-console=off"]

    @property
    def path(self) -> str:
        """Of the program.

        :raises StanzaRefused: where it is not there.
        """
        path = shutil.which(self.program or PGBACKREST)
        if path is None:
            raise StanzaRefused(
                f"backup_engine is pgbackrest, and there is no program {self.program or PGBACKREST} on this host.",
                "It takes the backup; nothing of it is installed from here.",
                "Install and configure it (apt-get install pgbackrest; a stanza, archive_command), set backup_pgbackrest_program to "
                "where it is, or take backups by pg_dump (backup_engine: pg_dump).",
            )
        return path

    def ask(self, *arguments: str, with_repo: bool = True) -> str:
        """Run a short command. :returns: what it writes.

        :raises StanzaRefused: with its own words, where it fails.
        """
        return self._asked([*self.command(*arguments, with_repo=with_repo), "--log-level-stderr=warn"])

    def _asked(self, command: Sequence[str]) -> str:
        identity: Any = server_identity()
        done: subprocess.CompletedProcess[str] = subprocess.run(  # noqa: S603  a list of arguments, no shell
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            cwd="/",
            env=environment(),
            **identity,
        )
        if done.returncode:
            raise self.refused(command[1], (done.stderr or done.stdout).splitlines() or [f"exit code {done.returncode}"])
        return done.stdout

    def refused(self, command: str, said: Sequence[str]) -> StanzaRefused:
        """Its words, for a person."""
        text = " ".join(words(said).split())[:_MOST_SAID]
        remedy = "See to what it says; `pgbackrest check` by hand shows it again."
        if "'start' command" in text or "stop file" in text:
            remedy = f"See to what it says. Where somebody has stopped it: pgbackrest --stanza={self.name} start."
        return StanzaRefused(f"pgbackrest {command} of the stanza {self.name} has failed: {text}", "", remedy)

    def info(self) -> StanzaInfo:
        """What is in the repository.

        :raises StanzaRefused: where it cannot be asked, or there is no such stanza.
        """
        try:
            found = parse_info(self.ask("info", "--output=json", with_repo=False), self.name, self.repo)
        except NotInfo as error:
            raise StanzaRefused(str(error), "", "Correct backup_pgbackrest_repo, or pgbackrest's configuration.") from error
        if found.missing:
            raise self._no_stanza(found)
        return found

    def _no_stanza(self, found: StanzaInfo) -> StanzaRefused:
        there = stanza_names(
            self._asked([word for word in self.command("info", "--output=json", with_repo=False) if "--stanza" not in word])
        )
        others = ", ".join(name for name in there if name != self.name)
        more = ""
        with contextlib.suppress(StanzaRefused):
            try:
                self.ask("check", "--no-archive-check", with_repo=False)
            except StanzaRefused as error:  # it may be more precise
                more = "" if _UNKNOWN in error.found else f"\n{error.found}"
        if _TOO_NEW in more:
            return StanzaRefused(
                f"This pgbackrest ({self.version()}) does not know the server's version of PostgreSQL.{more}",
                "Each release of pgbackrest knows the versions of PostgreSQL that there were by then.",
                "Install a newer pgbackrest, or take backups by pg_dump (backup_engine: pg_dump).",
            )
        return StanzaRefused(
            f"There is no stanza {self.name} in pgbackrest's repository {self.repo} ({found.message})."
            + (f" There is: {others}." if others else "")
            + more,
            "An existing stanza is used; none is made from here, because that is a decision about where WAL goes.",
            f"Correct backup_stanza, or configure it and run: pgbackrest --stanza={self.name} stanza-create",
        )

    def version(self) -> str:
        """Of the program."""
        return self._asked([self.path, "version"]).strip().removeprefix("pgBackRest ")

    def require_allowed(self) -> None:
        """Writes nothing.

        :raises StanzaRefused: where somebody has stopped pgbackrest for this stanza; WAL is not archived either then.
        """
        try:
            self.ask("expire", "--dry-run")
        except StanzaRefused as error:  # what else it says a backup will say better
            if _STOPPED in error.found:
                raise

    def check(self) -> None:
        """Have pgbackrest see that WAL arrives in the repository; all that was written until now is there then.

        :raises StanzaRefused: where it does not.
        """
        self.ask("check", with_repo=False)

    def verify(self, label: str) -> list[str]:
        """Have pgbackrest read every file of a backup. :returns: what is wrong, in words."""
        with_set = "--set" in self._asked([self.path, "help", "verify"])
        chosen = [f"--set={label}"] if with_set else []
        return unsound(self.ask("verify", "--output=text", "--verbose", *chosen), label)

    @contextlib.contextmanager
    def running(self, command: Sequence[str], heard: Callable[[str], bool], inherited: Sequence[int] = ()) -> Iterator[Program]:
        """A long command at work, by `command`; at the end of the block it has ended.

        :param heard: is given each line that it says, and returns whether that is of no more interest.
        """
        whole = [*command, "--log-level-stderr=detail"]
        with Program(whole, environment(), inherited=inherited, identity=server_identity(), heard=heard) as program:
            yield program

    def label_problem(self, label: str) -> str:
        """Why a backup that was recorded cannot be restored any more; empty where it can, as far as the repository says."""
        try:
            info = self.info()
        except MultischemaError as error:
            return error.found
        found = info.find(label)
        if found is None:
            there = ", ".join(one.label for one in info.labels[-3:]) or "none"
            return f"pgbackrest has no backup {label} any more: it has expired, or was removed (the newest there: {there})"
        return f"pgbackrest found pages with wrong checksums when it took {label}" if found.error else ""


def environment() -> dict[str, str]:
    """Of pgbackrest: nothing of the caller's that would change what it means."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "PGBACKREST"))}
    return {**kept, "LC_ALL": "C"}


def words(said: Sequence[str]) -> str:
    """What it says of its trouble, without what it says of everything else."""
    trouble, inside = [], False
    for line in said:
        if _PREFIX.match(line):
            inside = line.startswith(("ERROR", "WARN")) or " ERROR:" in line[:12]
        if inside:
            text = line.strip()
            trouble.append(text.replace("HINT: ", "(hint) ", 1) if text.startswith("HINT") else _PREFIX.sub("", text))
    return " ".join(trouble) or " ".join(line.strip() for line in said)
