"""Drive the core without Ansible, the way the action plugins do: for matrices of cases that playbooks are too slow for."""

from __future__ import annotations

import faulthandler
import os
import signal
import tempfile
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog
from ansible_collections.dbops.multischema.plugins.module_utils.catalog_reader import read_catalog
from ansible_collections.dbops.multischema.plugins.module_utils.checks import Check
from ansible_collections.dbops.multischema.plugins.module_utils.configuration import Configuration, read_configuration
from ansible_collections.dbops.multischema.plugins.module_utils.connection import parse_url
from ansible_collections.dbops.multischema.plugins.module_utils.drift import pending
from ansible_collections.dbops.multischema.plugins.module_utils.identity import read_identities, view_problems
from ansible_collections.dbops.multischema.plugins.module_utils.journal import Entry, Journal
from ansible_collections.dbops.multischema.plugins.module_utils.lock_budget import locks_at_once
from ansible_collections.dbops.multischema.plugins.module_utils.plain import to_plain
from ansible_collections.dbops.multischema.plugins.module_utils.plan import PHASE_SCHEMAS, PHASE_TABLES, Plan, step_from_dict
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.relocation import Pace
from ansible_collections.dbops.multischema.plugins.module_utils.relocation_slice import Slice, StopSign, run_slice
from ansible_collections.dbops.multischema.plugins.module_utils.rollback_plan import WayBack, plan_rollback
from ansible_collections.dbops.multischema.plugins.module_utils.verification import Evidence, verify_tables
from ansible_collections.dbops.multischema.plugins.module_utils.view_renewal import OTHER_COLUMNS, know_again, view_changes
from ansible_collections.dbops.multischema.plugins.plugin_utils.lease_holder import this_process
from ansible_collections.dbops.multischema.plugins.plugin_utils.planning import plan_now
from ansible_collections.dbops.multischema.plugins.plugin_utils.progress import Progress
from ansible_collections.dbops.multischema.plugins.plugin_utils.slices import Slices
from tests.integration.databases import Target
from tests.integration.evidence import JOURNAL

CHILD_LIMIT_S = 240.0  # for a process that is to die; reached only when something is wrong


def _say_where_and_die(said: IO[str]) -> None:
    """The end of a process that stands still."""
    faulthandler.dump_traceback(file=said)
    os._exit(1)


class MortalDatabase(Database):
    """A connection whose process kills itself with SIGKILL when it is about to send its n-th message."""

    lives = -1  # of the process: messages that it may still send; negative for no end
    _lock = threading.Lock()  # several workers count together

    def execute(self, statement: str, parameters: Any = None) -> int:
        """Count, then send."""
        self._count()
        return super().execute(statement, parameters)

    def rows(self, query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        """Count, then send."""
        self._count()
        return super().rows(query, parameters)

    @staticmethod
    def _count() -> None:
        with MortalDatabase._lock:
            if MortalDatabase.lives == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            MortalDatabase.lives -= 1


@dataclass
class Core:
    """One migration of one database.

    :param values: the configuration, as in the inventory without the prefix.
    """

    target: Target
    values: Mapping[str, Any]
    pace: Pace = field(default_factory=lambda: Pace(50, 30.0))
    user: str | None = None
    password: str | None = None
    said: list[str] = field(default_factory=list)
    accepted_back: frozenset[tuple[str, str]] = frozenset()

    @property
    def configuration(self) -> Configuration:
        """Normalized."""
        return read_configuration(self.values)

    def connect(self) -> Database:
        """A connection of the core's own kind."""
        return MortalDatabase(parse_url(self.url()), "test")

    def url(self) -> str:
        """Where to connect."""
        return self.target.url(self.user, self.password)

    def stop_sign(self, seconds: float, window_s: float | None) -> StopSign:
        """What ends a slice."""
        return StopSign(seconds, window_s)

    def observe(self) -> tuple[Catalog, list[Entry]]:
        """The catalog as it is, and the journal."""
        configuration = self.configuration
        with self.connect() as database:
            journal = Journal(database)
            entries = journal.done() if journal.exists() else []
            names = [*configuration.target_names]
            catalog = read_catalog(database, configuration.source_schema, names, configuration.named_roles)
            return know_again(database, catalog, entries), entries

    def plan(self) -> Plan:
        """What is planned now, journaled steps taken back."""
        return self._decided()[0]

    def left(self) -> list[str]:
        """Ids of the steps that are not done."""
        return [step["id"] for step in self._decided()[1]]

    def apply(self, workers: int = 1) -> Slices:
        """Do everything that is left, both phases; as one run, unless there are several workers."""
        return self.applying(workers)()

    def applying(self, workers: int = 1) -> Callable[[], Slices]:
        """Decide what is left; what is returned does it."""
        plan, left = self._decided()
        assert not plan.refusals, plan.refusals
        if workers == 1:
            return lambda: self.work("phase2", plan.digest, left)
        schemas = [step for step in left if step["phase"] == PHASE_SCHEMAS]
        tables = [step for step in left if step["phase"] == PHASE_TABLES]

        def both() -> Slices:
            # As the playbooks do it: several workers take tables only.
            self.work("phase1", plan.digest, schemas)
            return self.work("phase2", plan.digest, tables, workers)

        return both

    def verify(self) -> list[Check]:
        """What verify.yml would say of phase 2, without the application's roles."""
        catalog, entries = self.observe()
        steps = [entry.step for entry in entries]
        members = [member for step in steps for member in step.members]
        plan = plan_now(catalog, steps, self.configuration)
        source = self.configuration.source_schema
        views = [member.oid for member in members if member.view]
        with self.connect() as database:
            statistics = [member.oid for member in members if member.kind == "s"]
            identities = read_identities(database, [member.oid for member in members if member.kind != "s"], statistics)
            problems = [problem for problem in view_problems(database, source, views) if problem[1] != OTHER_COLUMNS]
            problems += view_changes(database, source, views)
        return verify_tables(Evidence(catalog, plan, entries, identities, problems))

    def way_back(self) -> WayBack:
        """The rollback, decided."""
        catalog, entries = self.observe()
        return plan_rollback(catalog, entries, self.accepted_back)

    def roll_back(self) -> Slices:
        """Undo everything, and remove the journal."""
        return self.rolling_back()()

    def rolling_back(self) -> Callable[[], Slices]:
        """Decide what is to be undone; what is returned does it."""
        way = self.way_back()
        assert not way.refusals, way.refusals
        items = [{"seq": entry.seq, "step": to_plain(step)} for entry, step in way.steps]

        def undo() -> Slices:
            work = self.work("rollback", "", items)
            assert work.journal is not None
            work.drop_journal()
            return work

        return undo

    def work(self, door: str, digest: str, items: list[Any], workers: int = 1) -> Slices:
        """One run, cut into slices as in a playbook, but without Ansible between them."""

        def call(work: Mapping[str, Any]) -> dict[str, Any]:
            return run_slice(self.connect, Slice(**work), self.pace, workers, self.stop_sign(work["seconds"], work.get("window_s")))

        common = {
            "run": f"test-{os.urandom(4).hex()}",
            "door": door,
            "plan_digest": digest,
            "operator": this_process(),
            "version": "0",
            "accepted": [],
        }
        steps = [step_from_dict(item.get("step", item)) for item in items]
        work = Slices(
            call,
            common,
            items,
            Progress(self.said.append, len(items), "done"),
            self.said.append,
            most_locks=locks_at_once(steps, workers),
        )
        work.run()
        return work

    def _decided(self) -> tuple[Plan, list[Any]]:
        """What is planned now, and the steps of it that are not done; the catalog is read once for both."""
        catalog, entries = self.observe()
        done = [entry.step for entry in entries]
        plan = plan_now(catalog, done, self.configuration)
        return plan, [to_plain(step) for step in pending(plan, done)]

    # --- dying ---

    @staticmethod
    def killed_after(statements: int, work: Callable[[], object]) -> bool:
        """Do ``work`` in a process of its own that dies before it sends one more statement than given.

        :returns: whether it was killed; false when the work was done before that.
        :raises AssertionError: when the process failed otherwise.
        """
        with tempfile.TemporaryFile("w+") as said:
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    watchdog = threading.Timer(CHILD_LIMIT_S, _say_where_and_die, (said,))
                    watchdog.daemon = True
                    watchdog.start()
                    MortalDatabase.lives = statements
                    work()
                    status = 0
                except BaseException:
                    traceback.print_exc(file=said)
                    said.flush()
                finally:
                    os._exit(status)
            _, ended = os.waitpid(child, 0)
            if os.WIFSIGNALED(ended):
                assert os.WTERMSIG(ended) == signal.SIGKILL
                return True
            said.seek(0)
            assert os.WEXITSTATUS(ended) == 0, f"the work failed without being killed:\n{said.read()}"
            return False

    def expire_lease(self) -> None:
        """Let the time pass that a killed run's lease lasts; where there is one."""
        if self.target.value(f"SELECT to_regclass('{JOURNAL}.lease')") is not None:
            self.target.rows(f"UPDATE {JOURNAL}.lease SET expires_at = clock_timestamp() - interval '1 s'")
