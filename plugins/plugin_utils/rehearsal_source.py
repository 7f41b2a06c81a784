"""What a rehearsal's copy is made of: the newest backup that counts, as it would be restored, or a dump of the live database."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog
from ansible_collections.dbops.multischema.plugins.module_utils.checks import count_of
from ansible_collections.dbops.multischema.plugins.module_utils.configuration import Configuration
from ansible_collections.dbops.multischema.plugins.module_utils.errors import MultischemaError
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Plan
from ansible_collections.dbops.multischema.plugins.module_utils.rehearsal import BACKUP, COPY, RestoredBackup
from ansible_collections.dbops.multischema.plugins.module_utils.rehearsal_plan import differing_shapes, differing_steps, step_digests
from ansible_collections.dbops.multischema.plugins.plugin_utils.planning import plan_now

if TYPE_CHECKING:
    from ansible_collections.dbops.multischema.plugins.plugin_utils.rehearsing import Seen

SHOWN = 4  # changes that a message names
TAKE_ONE = (
    "Take a new backup (playbooks/backup.yml) and rehearse again, or rehearse on a copy of the database as it is: rehearsal_source: copy"
)


class NotFromABackup(MultischemaError):
    """The copy was to be restored from a backup, and that cannot be."""


def no_backup(why: str) -> NotFromABackup:
    """There is none that counts."""
    return NotFromABackup(
        f"{why[:1].upper()}{why[1:]}.", "What is rehearsed on has to be proved, and of this very database.", f"{TAKE_ONE}."
    )


class Maker(Protocol):
    """Who makes copies."""

    def backup(self) -> RestoredBackup | str:
        """The newest backup that preflight would accept; a text says why there is none."""

    def make(self, backup: str = "") -> Mapping[str, Any]:
        """Make a copy, of a backup where its name is given: ``name``, and ``notes`` on what is not as in the original."""

    def drop(self) -> None:
        """Drop it."""

    def observe_copy(self) -> Seen:
        """Read it."""


@dataclass(frozen=True)
class CopySource:
    """One choice.

    :param wanted: `AUTO`, `COPY` or `BACKUP`.
    :param part: what goes on from here on takes the time of the copy; it is told what that is.
    """

    maker: Maker
    wanted: str
    part: Callable[[str], contextlib.AbstractContextManager[None]]

    def make(self, plan: Plan, configuration: Configuration) -> tuple[Mapping[str, Any], RestoredBackup | None]:
        """The copy.

        :param plan: of the live database.
        :returns: what was made; which backup it was restored from, None for none.
        :raises NotFromABackup: when it was to be one, and cannot be.
        """
        why = ""
        if self.wanted != COPY:
            try:
                return self._restored(plan, configuration)
            except Exception as error:  # whatever it is, the database itself can still be copied, unless that is not wanted
                if self.wanted == BACKUP:
                    raise
                why = " ".join((error.found if isinstance(error, MultischemaError) else str(error).partition("\nWhy: ")[0]).split())
        with self.part("The live database is dumped and restored into a new one; it is only read"):
            made = self.maker.make()
        return {**made, "notes": [*made["notes"], *([f"The copy was made of the live database: {why}"] if why else [])]}, None

    def _restored(self, plan: Plan, configuration: Configuration) -> tuple[Mapping[str, Any], RestoredBackup]:
        found = self.maker.backup()
        if isinstance(found, str):
            raise no_backup(found)
        with self.part(f"The backup {found.name}, {found.age} old, is restored into a new database; the live one is only read"):
            made = self.maker.make(found.name)
            try:
                self._require_no_changes(plan, configuration, found)
            except BaseException:
                self.maker.drop()
                raise
        return made, found

    def _require_no_changes(self, plan: Plan, configuration: Configuration, found: RestoredBackup) -> None:
        changes = self._changes(plan, configuration)
        if changes:
            more = f"; and {len(changes) - SHOWN} more" if len(changes) > SHOWN else ""
            since = f"since the backup {found.name} was taken, {found.age} ago"
            raise NotFromABackup(
                f"The database has changed {since}: {'; '.join(changes[:SHOWN])}{more}.",
                "A rehearsal on it would be of another plan than the one that is to be applied.",
                f"{TAKE_ONE}.",
            )

    def _changes(self, plan: Plan, configuration: Configuration) -> Sequence[str]:
        """What is not in the backup as it is in the database, as far as it decides what is done."""
        seen = self.maker.observe_copy()
        if seen.entries:
            return [f"a migration had begun when it was taken ({count_of(len(seen.entries), 'step')} done)"]
        return self._differences(plan, seen.catalog, configuration)

    @staticmethod
    def _differences(plan: Plan, copied: Catalog, configuration: Configuration) -> list[str]:
        steps = differing_steps(step_digests(plan), step_digests(plan_now(copied, [], configuration)), "the present plan", "the backup's")
        return [*differing_shapes(plan.catalog, copied), *steps]
