"""The view that keeps a moved table's old name working.

Two shapes. The usual one runs with the rights of whoever asks (``security_invoker``), so row security and table
privileges stay those of the caller. A table with column privileges and no row security gets a view that runs as the
table's owner with the same column privileges instead: an invoker's view reads every column, and a role that may see only
some of them could not use it at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog, ColumnDefault, Table
from ansible_collections.dbops.multischema.plugins.module_utils.privileges import (
    all_table_privileges,
    defaults_for_new_tables,
    grant_on_relation,
    touched_by_defaults,
)
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import (
    Name,
    comma,
    fragment,
    nothing,
    role,
    server_text,
    statement,
)

SECURITY_INVOKER_SINCE = 150000


def copied_defaults(table: Table) -> list[ColumnDefault]:
    """The defaults that a view can have as well: those whose text no move changes.

    INSERT through the view takes the table's own default for all others, and UPDATE … SET c = DEFAULT writes NULL.
    """
    return [default for default in table.defaults if default.expression]


@dataclass(frozen=True)
class CompatibilityView:
    """What decides the view over one moved table."""

    catalog: Catalog
    table: Table
    target: str
    defaults: bool = False  # whether the view carries those of the table's columns

    @property
    def as_owner(self) -> bool:
        """Whether the view runs with its owner's rights.

        Never on a foreign table, which would be read with the owner's user mapping, and never for an owner who has given up a
        right, which everyone would lose by the old name.
        """
        return bool(self.table.column_grants) and not self.table.row_security and self.table.kind != "f" and self.owner_has_all

    @property
    def owned_by_table_owner(self) -> bool:
        """Whether the view can be given to the table's owner: a superuser may, others only if that role may create here."""
        server, owner = self.catalog.server, self.catalog.role(self.table.owner)
        if self.table.owner == server.user or server.superuser:
            return True
        return owner is not None and owner.mover_can_become and owner.creates_in_source

    @property
    def owner_has_all(self) -> bool:
        """Whether the table's owner has kept every privilege on it; a view that runs as the owner depends on that."""
        if self.table.acl is None:
            return True
        own = {grant.privilege for grant in self.table.acl if grant.grantee == self.table.owner}
        return own == all_table_privileges(self.catalog.server.version_num)

    def statements(self) -> list[str]:
        """SQL that makes the view with exactly the table's privileges, to be run after the table has moved."""
        server, table = self.catalog.server, self.table
        view = Name(table.schema, table.name)
        options = nothing()
        if server.version_num >= SECURITY_INVOKER_SINCE and not self.as_owner:
            options = fragment("WITH (security_invoker=true) ")
        made = [
            statement("CREATE VIEW {} {}AS SELECT * FROM {}", view, options, Name(self.target, table.name)),
        ]
        made += [
            statement("ALTER VIEW {} ALTER COLUMN {} SET DEFAULT {}", view, Name(default.column), server_text(default.expression))
            for default in (copied_defaults(table) if self.defaults else ())
        ]
        owner = server.user
        if self.owned_by_table_owner:
            owner = table.owner
            if owner != server.user:
                made.append(statement("ALTER VIEW {} OWNER TO {}", view, Name(owner)))
        return made + self._privileges(view, owner)

    def _privileges(self, view: Name, owner: str) -> list[str]:
        """Exactly the table's privileges, whatever default privileges have just put on the view."""
        table, user = self.table, self.catalog.server.user
        touched = touched_by_defaults(self.catalog, user, table.schema)
        leaked = defaults_for_new_tables(self.catalog, user, table.schema) - {owner}
        own = [grant for grant in table.acl or () if grant.grantee == table.owner]
        made = []
        if leaked:
            made.append(statement("REVOKE ALL ON {} FROM {}", view, comma(role(name) for name in sorted(leaked))))
        if owner == table.owner and not self.owner_has_all:
            made.append(statement("REVOKE ALL ON {} FROM {}", view, Name(owner)))
            made.extend(grant_on_relation(view, own))
        elif owner == table.owner and touched:
            made.append(statement("GRANT ALL ON {} TO {}", view, Name(owner)))
        elif owner != table.owner:
            made.append(statement("GRANT ALL ON {} TO {}", view, Name(owner)) if touched else "")
            # An owner may grant what it owns to others; on a view that it does not own it needs the option.
            everything = [statement("GRANT ALL ON {} TO {} WITH GRANT OPTION", view, Name(table.owner))]
            made.extend(everything if self.owner_has_all else grant_on_relation(view, [replace(grant, grantable=True) for grant in own]))
        others = [grant for grant in (*(table.acl or ()), *table.column_grants) if grant.grantee not in (owner, table.owner)]
        made.extend(grant_on_relation(view, [grant for grant in others if grant.column is None]))
        made.extend(grant_on_relation(view, [grant for grant in others if grant.column is not None]))
        return [line for line in made if line]
