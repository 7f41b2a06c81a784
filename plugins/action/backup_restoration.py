"""Control-node side of backup_restoration: look ahead, begin, ask again and again, say how to go back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import PGBACKREST
from ansible_collections.dbops.multischema.plugins.module_utils.backup_preflight import size_text
from ansible_collections.dbops.multischema.plugins.module_utils.checks import count_of, wrap
from ansible_collections.dbops.multischema.plugins.module_utils.module_options import BACKUP_RESTORED, Spec
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name
from ansible_collections.dbops.multischema.plugins.plugin_utils.backup_folder import for_module
from ansible_collections.dbops.multischema.plugins.plugin_utils.database_action import DatabaseAction
from ansible_collections.dbops.multischema.plugins.plugin_utils.restore_progress import restore_progress

SLICE_S = 4.0


class ActionModule(DatabaseAction):
    """The work goes on by itself on the host; each call of the module asks for it."""

    CONFIGURED = False
    OPTIONS: ClassVar[Spec] = BACKUP_RESTORED

    def work(self) -> dict[str, Any]:
        """Restore, or say what would happen."""
        options = {**for_module(self), "seconds": SLICE_S}
        result = self.module("backup_restoration", options)
        while result.get("running"):
            self.say(restore_progress(result["figures"]))
            result = self.module("backup_restoration", {**options, "job": result["job"]})
        lines = _would(result) if self._task.check_mode else _has(result)
        report = [part for line in lines for part in wrap(line, indent="  ", first="")]
        return {key: result[key] for key in ("changed", "name", "database", "kept", "last") if key in result} | {"report": report}


def _would(prospect: Mapping[str, Any]) -> Iterator[str]:
    kept = Name(prospect["kept"]).as_string()
    yield (
        f"{prospect['name']} takes the place of the database {prospect['database']}: {count_of(prospect['tables'], 'table')} with "
        f"{prospect['rows']:,} rows, as they were on {prospect['ended_at']}."
        if not prospect["until"]
        else f"{prospect['name']} is recovered to {prospect['until']}, and takes the place of the database {prospect['database']}."
    )
    if prospect["engine"] == PGBACKREST:
        yield (
            "That is a backup of a whole cluster: it is recovered in a throwaway server on the host, and this one database is taken from "
            "there. The other databases of the live cluster are not touched."
        )
    yield f"What was written since then is in the old database only; it is kept under a name like {kept} and takes no connections."
    yield "It is restored beside the live one and compared first; nothing of the live one is touched before both are renamed."
    sessions = prospect["sessions"]
    if sessions:
        more = f", and {len(sessions) - 5} more" if len(sessions) > 5 else ""
        yield f"{count_of(len(sessions), 'session')} will be ended then: {'; '.join(sessions[:5])}{more}."
    room = "" if prospect["free"] is None else f"; {size_text(prospect['free'])} are free there"
    yield f"The live database takes {size_text(prospect['size'])} on the server, and will be there twice{room}."
    yield from prospect["notes"]


def _has(result: Mapping[str, Any]) -> Iterator[str]:
    live, kept, aside = (Name(name).as_string() for name in (result["database"], result["kept"], result["database"] + "_restored"))
    yield f"{result['name']} was restored and compared in {result['seconds']:.1f} s, and is the database {live} now."
    if result["engine"] == PGBACKREST:
        until = result["until"] or "the recorded instant"
        last = f"the last transaction in it was committed on {result['last']}" if result["last"] else "no transaction came after the backup"
        yield f"It was recovered to {until}; {last}. It has {count_of(result['tables'], 'table')} with {result['rows']:,} rows."
    yield f"The old one is kept as {kept}. When nobody needs it any more: DROP DATABASE {kept};"
    yield "To go back, in another database of the server and with nobody connected to these two:"
    yield "  BEGIN;"
    yield f"  ALTER DATABASE {live} RENAME TO {aside};"
    yield f"  ALTER DATABASE {kept} RENAME TO {live};"
    yield f"  ALTER DATABASE {live} ALLOW_CONNECTIONS true;"
    yield "  COMMIT;"
    yield "To PostgreSQL this is a new database: before a migration it needs a new backup (playbooks/backup.yml)."
