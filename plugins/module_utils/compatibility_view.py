"""The view that keeps a moved table's old name working.

Two shapes. The usual one runs with the rights of whoever asks (``security_invoker``), so row security and table
privileges stay those of the caller. A table with column privileges and no row security gets a view that runs as the
table's owner with the same column privileges instead: an invoker's view reads every column, and a role that may see only
some of them could not use it at all.
"""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog, Table
from ansible_collections.dbops.multischema.plugins.module_utils.privileges import (
    all_table_privileges,
    defaults_for_new_tables,
    grant_on_relation,
)
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import (
    Name,
    comma,
    fragment,
    keyword,
    nothing,
    role,
    statement,
)

SECURITY_INVOKER_SINCE = 150000


@dataclass(frozen=True)
class CompatibilityView:
    """What decides the view over one moved table."""

    catalog: Catalog
    table: Table
    target: str

    @property
    def as_owner(self) -> bool:
        """Whether the view runs with its owner's rights."""
        return bool(self.table.column_grants) and not self.table.row_security

    @property
    def owned_by_table_owner(self) -> bool:
        """Whether the view can be given to the table's owner: a superuser may, others only if that role may create here."""
        server, owner = self.catalog.server, self.catalog.role(self.table.owner)
        if self.table.owner == server.user or server.superuser:
            return True
        return owner is not None and owner.mover_is_member and owner.creates_in_source

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
        owner = server.user
        if self.owned_by_table_owner:
            owner = table.owner
            if owner != server.user:
                made.append(statement("ALTER VIEW {} OWNER TO {}", view, Name(owner)))
        return made + self._privileges(view, owner)

    def _privileges(self, view: Name, owner: str) -> list[str]:
        table, everything = self.table, all_table_privileges(self.catalog.server.version_num)
        # What default privileges have just given to others is taken back before the table's own list is copied.
        leaked = defaults_for_new_tables(self.catalog, self.catalog.server.user, table.schema) - {owner}
        made = []
        if leaked:
            made.append(statement("REVOKE ALL ON {} FROM {}", view, comma(role(name) for name in sorted(leaked))))
        acl = table.acl
        if acl is None and owner != table.owner:
            made.append(statement("GRANT ALL ON {} TO {}", view, Name(table.owner)))
        if acl is not None:
            own = [grant for grant in acl if grant.grantee == owner]
            if owner == table.owner and {grant.privilege for grant in own} != everything:
                made.append(statement("REVOKE {} ON {} FROM {}", keyword("ALL"), view, Name(owner)))
                made.extend(grant_on_relation(view, own))
            made.extend(grant_on_relation(view, [grant for grant in acl if grant.grantee != owner]))
        made.extend(grant_on_relation(view, [grant for grant in table.column_grants if grant.grantee != owner]))
        return made
