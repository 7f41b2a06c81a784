"""Rehearse without Ansible, the way the action plugin does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from psycopg2 import sql

from ansible_collections.dbops.multischema.plugins.module_utils.access import find_bare, reach, shut_out
from ansible_collections.dbops.multischema.plugins.module_utils.backup_acceptance import Demand, hours
from ansible_collections.dbops.multischema.plugins.module_utils.backup_shelf import choose
from ansible_collections.dbops.multischema.plugins.module_utils.client_tools import RESTORING, ClientTools, tools_for
from ansible_collections.dbops.multischema.plugins.module_utils.connection import parse_url
from ansible_collections.dbops.multischema.plugins.module_utils.copied_backup import restoring_from
from ansible_collections.dbops.multischema.plugins.module_utils.copy_picture import Picture, take_picture
from ansible_collections.dbops.multischema.plugins.module_utils.copying import TOOLS, drop_copy, make_copy, new_name
from ansible_collections.dbops.multischema.plugins.module_utils.database_identity import identity_of
from ansible_collections.dbops.multischema.plugins.module_utils.identity import read_identities, view_problems
from ansible_collections.dbops.multischema.plugins.module_utils.journal import Journal
from ansible_collections.dbops.multischema.plugins.module_utils.rehearsal import GIVEN, SCRATCH, Rehearsal, RestoredBackup
from ansible_collections.dbops.multischema.plugins.module_utils.relocation_slice import Slice, StopSign, run_slice
from ansible_collections.dbops.multischema.plugins.module_utils.sealed_document import digest_of
from ansible_collections.dbops.multischema.plugins.module_utils.view_renewal import OTHER_COLUMNS, view_changes
from ansible_collections.dbops.multischema.plugins.plugin_utils.rehearsing import Rehearsing, Request, Seen
from tests.integration.core import Core
from tests.integration.databases import Target

PACE = {"lock_timeout_ms": 50, "deadline_s": 30.0, "workers": 1, "probe": False, "max_replay_lag_s": 0.0}


class Nobody:
    """Does not look at how far long work is, and lets it go on."""

    def say(self, **_figures: Any) -> None:
        """Hear nothing."""

    def check(self) -> None:
        """Let it go on."""


@dataclass
class CoreStage:
    """A database and its copy, on one server.

    :param given: a copy that somebody has made.
    :param shelf: where backups of it are.
    """

    core: Core
    given: Target | None = None
    name: str = ""
    shelf: Path | None = None

    @property
    def origin(self) -> str:
        """Whose the copy is."""
        return GIVEN if self.given else SCRATCH

    @property
    def tools(self) -> ClientTools:
        """The server's own programs."""
        with self.core.connect() as database:
            return tools_for(database, TOOLS, "" if self.core.target.mover is None else str(self.core.target.server.bin_dir))

    @property
    def copied(self) -> Core:
        """The same for the copy."""
        return replace(self.core, target=self.given or replace(self.core.target, name=self.name))

    def observe_live(self) -> Seen:
        """Read the live database."""
        return _seen(self.core)

    def observe_copy(self) -> Seen:
        """Read the copy."""
        return _seen(self.copied)

    def backup(self) -> RestoredBackup | str:
        """The newest backup that counts."""
        if self.shelf is None:
            return "there is no backup"
        with self.core.connect() as database:
            demand = Demand(identity_of(database), datetime.now(UTC), timedelta(hours=24))
        judgements, found = choose(self.shelf, demand)
        if found is None:
            return "; ".join(judgement.refusal for judgement in judgements)
        return RestoredBackup(found.name, digest_of(found), found.ended_at, hours(demand.now - found.ended))

    def make(self, backup: str = "") -> Mapping[str, Any]:
        """Make the copy."""
        self.name = new_name(self.core.target.name)
        restored = None
        if backup:
            assert self.shelf is not None
            with self.core.connect() as database:
                tools = tools_for(database, RESTORING, str(self.core.target.server.bin_dir))
            restored = restoring_from(self.shelf / backup, tools, Nobody(), jobs=2, age_identity="")
        made = make_copy(parse_url(self.core.url()), self.name, self.tools, Nobody(), restored)
        return {"name": made.name, "notes": list(made.notes)}

    def drop(self) -> None:
        """Drop the copy."""
        with self.core.connect() as database:
            drop_copy(database, self.name)

    def where(self) -> str:
        """Where it is."""
        return parse_url(self.copied.url()).label

    def picture(self, with_schema: bool) -> Picture:
        """Read all of it."""
        return take_picture(parse_url(self.copied.url()), self.tools, with_schema, Nobody())

    def work(self, slice_: Mapping[str, Any]) -> dict[str, Any]:
        """Do a slice on the copy."""
        copied = self.copied
        return run_slice(copied.connect, Slice(**slice_), copied.pace, 1, StopSign(slice_["seconds"]))

    def evidence(self, wanted: Mapping[str, Any]) -> Mapping[str, Any]:
        """As the module verification_info reads it."""
        configuration = self.core.configuration
        source = configuration.source_schema
        with self.copied.connect() as database:
            identities = read_identities(database, wanted["oids"], wanted["statistics"])
            views = [problem for problem in view_problems(database, source, wanted["views"]) if problem[1] != OTHER_COLUMNS]
            views += view_changes(database, source, wanted["views"])
            barred = shut_out(database, source, wanted["tables"])
            old = [(source, name) for name in wanted["view_names"]]
            reached = [reach(database, role, configuration.target_names, wanted["tables"], old) for role in configuration.application_roles]
            found = [find_bare(database, role, path, wanted["tables"]) for role, path in wanted["paths"].items()]
        return {
            "identities": identities,
            "views": views,
            "shut_out": barred,
            "reach": [vars(item) for item in reached],
            "found": [vars(item) for item in found],
        }


def _seen(core: Core) -> Seen:
    catalog, entries = core.observe()
    with core.connect() as database:
        journal = Journal(database)
        lease = journal.lease() if journal.exists() else None
    return Seen(catalog, entries, {"lease": None if lease is None else {**vars(lease), "live": lease.live}})


def rehearsing(core: Core, given: Target | None = None, shelf: Path | None = None, **changes: Any) -> Rehearsing:
    """A rehearsal, to be run."""
    request = Request(core.configuration, "production", "shop", "0", {"user": "u", "machine": "m"}, PACE, **changes)
    return Rehearsing(CoreStage(core, given, shelf=shelf), request, core.said.append)


def rehearse(core: Core, given: Target | None = None) -> Rehearsal:
    """Rehearse a migration."""
    return rehearsing(core, given).run()


def copies(target: Target) -> list[str]:
    """Databases of the server that look like copies."""
    return [name for (name,) in target.rows("SELECT datname FROM pg_database WHERE datname ~ '_rehearsal_' ORDER BY 1")]


def allow_copies(target: Target) -> None:
    """What an ordinary role needs besides the rights of the migration: a database of its own for the copy."""
    if target.mover is not None:
        replace(target, owner=None).execute(sql.SQL("ALTER ROLE {} CREATEDB").format(sql.Identifier(target.mover.user)))
