"""What a finding is made from: the catalog, what was asked for, and where everything goes."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog, Role, Table
from ansible_collections.dbops.multischema.plugins.module_utils.configuration import Configuration
from ansible_collections.dbops.multischema.plugins.module_utils.path_changes import PathChange, path_changes
from ansible_collections.dbops.multischema.plugins.module_utils.placement import Group, Placed
from ansible_collections.dbops.multischema.plugins.module_utils.reading import Readings
from ansible_collections.dbops.multischema.plugins.module_utils.routine_verdicts import Verdicts, judge
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name, qualified

MEMBERSHIP_OPTIONS_SINCE = 160000  # GRANT … WITH INHERIT, SET


@dataclass(frozen=True)
class Situation:
    """Everything that a check may look at."""

    catalog: Catalog
    configuration: Configuration
    placed: Placed
    readings: Readings = field(default_factory=Readings)

    @cached_property
    def moves(self) -> list[tuple[Group, Table, str]]:
        """Every table that moves, with its group and target schema."""
        return [(g, table, g.schema) for g in self.placed.moving for table in g.members if g.schema is not None]

    @cached_property
    def targets(self) -> frozenset[str]:
        """Schemas that receive something."""
        return frozenset([*(target for _, _, target in self.moves), *(move.schema for move in self.placed.types)])

    @cached_property
    def path_changes(self) -> tuple[PathChange, ...]:
        """What becomes of the search paths that the configuration speaks of."""
        return path_changes(self.catalog, self.configuration, self.placed)

    @cached_property
    def verdicts(self) -> Verdicts:
        """What becomes of the routines."""
        return judge(self.catalog, self.moves, self.placed.types, self.readings, self.configuration.repair_routines)

    def may_act_as(self, owner: str) -> bool:
        """Whether the connected role has the rights of ``owner``."""
        server, role = self.catalog.server, self.catalog.role(owner)
        return server.superuser or server.user == owner or (role is not None and role.mover_is_member)

    def may_give_to(self, owner: Role) -> bool:
        """Whether the connected role may make objects that belong to ``owner``, and go on working with them."""
        server = self.catalog.server
        return server.superuser or server.user == owner.name or (owner.mover_can_become and owner.mover_is_member)

    def membership(self, owner: str) -> str:
        """SQL that gives the connected role the rights of ``owner``, with what a membership that is there already lacks."""
        server, role = self.catalog.server, self.catalog.role(owner)
        user, name = Name(server.user).as_string(), Name(owner).as_string()
        if role is None or not role.mover_belongs:
            return f"GRANT {name} TO {user}"
        if server.version_num < MEMBERSHIP_OPTIONS_SINCE:
            return f"ALTER ROLE {user} INHERIT"
        return f"GRANT {name} TO {user} WITH INHERIT TRUE, SET TRUE"


def table_name(table: Table) -> str:
    """As a person reads and writes it."""
    return qualified(table.schema, table.name)
