"""The kind of step of phase 2: one table, or one tree of tables, in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ansible_collections.dbops.multischema.plugins.module_utils.bare_names import names_before
from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog, Publication, Table
from ansible_collections.dbops.multischema.plugins.module_utils.compatibility_view import CompatibilityView
from ansible_collections.dbops.multischema.plugins.module_utils.placement import Group
from ansible_collections.dbops.multischema.plugins.module_utils.plan import PHASE_TABLES, Lock, Member, Step
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import (
    Name,
    comma,
    qualified,
    statement,
)


def _lockable(catalog: Catalog, table: Table) -> bool:
    """Whether ``LOCK TABLE`` is allowed: not for foreign tables, and not for an owner who has given up writing.

    Without it the ALTER takes the same lock, under the same ``lock_timeout``.
    """
    if table.kind == "f":
        return False
    if catalog.server.superuser or table.acl is None:
        return True
    mine = {grant.privilege for grant in table.acl if grant.grantee in (table.owner, catalog.server.user)}
    return bool(mine & {"UPDATE", "DELETE", "TRUNCATE", "MAINTAIN"})


def lock_statement(catalog: Catalog, schema: str, tables: Iterable[Table]) -> Iterator[str]:
    """One ``LOCK TABLE`` for a list of roots, which recurses to their partitions and children."""
    names = [Name(schema, table.name) for table in tables if _lockable(catalog, table)]
    if names:
        yield statement("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", comma(names))


def _roots(tables: Sequence[Table]) -> tuple[Table, ...]:
    inside = {table.oid for table in tables}
    return tuple(table for table in tables if not inside.intersection(table.parents))


@dataclass(frozen=True)
class Return:
    """What a move is undone from: as planned, or as it is found when the day has come."""

    source: str
    target: str
    tables: Sequence[Table]
    views: Sequence[str]
    publications: Sequence[tuple[str, str]]  # (publication, table)
    statistics: Mapping[int, Sequence[str]]  # by OID of the table

    def statements(self, catalog: Catalog) -> tuple[str, ...]:
        """The SQL, in order.

        A reader locks the view and then the tables behind it, and so does this: the other way round each would wait for the
        other, until ``lock_timeout`` ends it. All views of a tree come first, and by ``DROP VIEW``, which locks nothing but
        the view: ``LOCK TABLE`` of a view locks the tables behind it as well, those of other views of the tree among them.
        """
        undo = [statement("DROP VIEW {}", comma(Name(self.source, name) for name in self.views))] if self.views else []
        undo += lock_statement(catalog, self.target, _roots(self.tables))
        for publication, name in self.publications:
            undo.append(statement("ALTER PUBLICATION {} DROP TABLE ONLY {}", Name(publication), Name(self.target, name)))
        for table in self.tables:
            undo.append(statement("ALTER TABLE {} SET SCHEMA {}", Name(self.target, table.name), Name(self.source)))
            for name in self.statistics.get(table.oid, ()):
                undo.append(statement("ALTER STATISTICS {} SET SCHEMA {}", Name(self.target, name), Name(self.source)))
        return tuple(undo)


def publishable(table: Table) -> bool:
    """Whether a publication of its schema publishes it: foreign, unlogged and temporary tables are left out."""
    return table.kind != "f" and table.persistence == "p"


def published_by(publication: Publication, catalog: Catalog) -> frozenset[int]:
    """OIDs of the tables whose changes a publication publishes, partitions of those that it names among them."""
    tables, named = catalog.by_oid(), frozenset(publication.tables)

    def published(table: Table) -> bool:
        if publication.all_tables or table.oid in named or table.schema in publication.schemas:
            return True
        return table.is_partition and any(published(tables[oid]) for oid in table.parents if oid in tables)

    return frozenset(table.oid for table in catalog.tables if publishable(table) and published(table))


def publications_left(catalog: Catalog, table: Table, target: str) -> list[Publication]:
    """Publications that hold the table only because they publish its schema, and would lose it without a word.

    One that publishes the target schema as well keeps it by itself.
    """
    return [
        publication
        for publication in catalog.publications
        if table.schema in publication.schemas
        and target not in publication.schemas
        and table.oid not in publication.tables
        and publishable(table)
    ]


def _members(group: Group, source: str) -> tuple[Member, ...]:
    members = []
    for table in group.members:
        members.append(Member(table.oid, table.kind, table.name, view=group.view))
        members.extend(Member(index.oid, "i", index.name) for index in table.indexes)
        members.extend(Member(sequence.oid, "S", sequence.name) for sequence in table.sequences)
        members.extend(Member(s.oid, "s", s.name) for s in table.statistics if s.schema == source)
    return tuple(members)


def _statistics_of(table: Table, schema: str) -> list[str]:
    return [stats.name for stats in table.statistics if stats.schema == schema]


def children_elsewhere(catalog: Catalog) -> dict[int, list[int]]:
    """Partitions and children that stand outside the source schema, by the OID of their parent."""
    found: dict[int, list[int]] = {}
    for table in catalog.tables:
        for parent in table.parents if table.schema != catalog.source_schema else ():
            found.setdefault(parent, []).append(table.oid)
    return found


def _settled(source: str, group: Group, elsewhere: Mapping[int, list[int]]) -> list[int]:
    """What belongs to the tables and stood elsewhere before: a rollback must leave it there."""
    below = [oid for member in group.members for oid in elsewhere.get(member.oid, ())]
    return sorted(below + [s.oid for member in group.members for s in member.statistics if s.schema != source])


class MoveTables:
    """Move a group of tables, with what belongs to them, and leave views under the old names."""

    kind = "move_tables"

    @staticmethod
    def build(catalog: Catalog, group: Group, elsewhere: Mapping[int, list[int]] | None = None) -> Step:
        """The step for one group that leaves the source schema.

        :param elsewhere: from :func:`children_elsewhere`, where it has been made for all groups at once.
        """
        elsewhere = children_elsewhere(catalog) if elsewhere is None else elsewhere
        source, target = catalog.source_schema, group.schema or ""
        do = [*lock_statement(catalog, source, _roots(group.members))]
        views: list[str] = []
        published: list[tuple[Publication, Table]] = []
        for table in group.members:
            do.append(statement("ALTER TABLE {} SET SCHEMA {}", Name(source, table.name), Name(target)))
            for name in _statistics_of(table, source):
                do.append(statement("ALTER STATISTICS {} SET SCHEMA {}", Name(source, name), Name(target)))
            for publication in publications_left(catalog, table, target):
                do.append(statement("ALTER PUBLICATION {} ADD TABLE ONLY {}", Name(publication.name), Name(target, table.name)))
                published.append((publication, table))
            if group.view:
                views.extend(CompatibilityView(catalog, table, target, group.view_defaults).statements())
        way_back = Return(
            source,
            target,
            tables=group.members,
            views=[table.name for table in group.members] if group.view else [],
            publications=[(publication.name, table.name) for publication, table in published],
            statistics={table.oid: _statistics_of(table, source) for table in group.members},
        )
        return Step(
            id=f"move:{qualified(source, group.root.name)}",
            phase=PHASE_TABLES,
            kind=MoveTables.kind,
            title=_title(group, source, target),
            do=(*do, *views),
            undo=way_back.statements(catalog),
            locks=tuple(Lock(qualified(source, m.name)) for m in group.members)
            + tuple(Lock(qualified(source, s.name)) for m in group.members for s in m.sequences),
            members=_members(group, source),
            detail={
                "from": source,
                "to": target,
                "publications": [[publication.name, table.oid] for publication, table in published],
                "settled": _settled(source, group, elsewhere),
            },
        )

    @staticmethod
    def rewind(catalog: Catalog, steps: Sequence[Step]) -> Catalog:
        """The catalog as if these tables still stood in the source schema under their own names."""
        source = catalog.source_schema
        moved = {member.oid for step in steps for member in step.members}
        # An index or sequence that was made on a moved table since belongs to it like those that moved with it.
        for table in catalog.tables:
            if table.oid in moved:
                moved.update(index.oid for index in table.indexes)
                moved.update(sequence.oid for sequence in table.sequences)
        views = {member.name for step in steps for member in step.members if member.view}
        types = {(t.schema, name) for t in catalog.tables if t.oid in moved for name in (t.row_type, t.array_type)}
        added = {(name, oid) for step in steps for name, oid in step.detail["publications"]}

        def ours(schema: str, name: str, kind: str) -> bool:
            return kind == "v" and schema == source and name in views

        return replace(
            catalog,
            tables=tuple(_back(t, moved, source) for t in catalog.tables),
            relations=tuple(
                replace(r, schema=source) if r.oid in moved else r for r in catalog.relations if not ours(r.schema, r.name, r.kind)
            ),
            types=tuple(t for t in catalog.types if (t.schema, t.name) not in types),
            statistics=tuple(replace(s, schema=source) if s.oid in moved else s for s in catalog.statistics),
            views=tuple(v for v in catalog.views if not ours(v.schema, v.name, v.kind)),
            shared_names=names_before(
                catalog.shared_names, moved, source, {r.oid for r in catalog.relations if ours(r.schema, r.name, r.kind)}
            ),
            publications=tuple(
                replace(p, tables=tuple(oid for oid in p.tables if (p.name, oid) not in added)) for p in catalog.publications
            ),
        )


def _back(table: Table, moved: set[int], source: str) -> Table:
    if table.oid not in moved:
        return table
    statistics = tuple(replace(s, schema=source) if s.oid in moved else s for s in table.statistics)
    return replace(table, schema=source, statistics=statistics)


def _title(group: Group, source: str, target: str) -> str:
    name = qualified(source, group.root.name)
    more = len(group.members) - 1
    return f"Move {name}" + (f" with {more} member{'s' if more > 1 else ''}" if more else "") + f" to {Name(target).as_string()}"
