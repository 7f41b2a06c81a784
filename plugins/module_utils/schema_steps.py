"""The kinds of steps of phase 1: schemas, the right to use them, and default privileges.

Every kind of step is one class with two faces: ``build`` makes a `Step`, and ``rewind`` takes the effect of done steps
out of a later observation, so that a catalog read in the middle of a migration can be compared with the planned one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import (
    Catalog,
    DefaultPrivileges,
    Grant,
    Schema,
)
from ansible_collections.dbops.multischema.plugins.module_utils.configuration import TargetSchema
from ansible_collections.dbops.multischema.plugins.module_utils.plan import PHASE_SCHEMAS, Step
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.privileges import by_grantee, grant_option
from ansible_collections.dbops.multischema.plugins.module_utils.retired_schemas import inside, retire
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import (
    Name,
    Text,
    comma,
    keyword,
    role,
    statement,
)

# pg_default_acl.defaclobjtype → the word that ALTER DEFAULT PRIVILEGES uses.
DEFAULT_ACL_OBJECTS = {"r": "TABLES", "S": "SEQUENCES", "f": "ROUTINES", "T": "TYPES"}

# A GRANT by someone who may not grant is only a warning in PostgreSQL.
_NOT_USED = """
SELECT r FROM unnest(%(roles)s) AS r
 WHERE NOT has_schema_privilege(CASE r WHEN 'PUBLIC' THEN 'public' ELSE r END, %(schema)s, 'USAGE')
"""


class CreateSchema:
    """Create a target schema that is not there yet. Its undo takes the name away; the end of the rollback drops what is left."""

    kind = "create_schema"

    @staticmethod
    def build(target: TargetSchema) -> Step:
        """The step for one listed schema."""
        name = Name(target.name)
        do = [
            statement("CREATE SCHEMA {} AUTHORIZATION {}", name, Name(target.owner))
            if target.owner
            else statement("CREATE SCHEMA {}", name)
        ]
        if target.comment:
            do.append(statement("COMMENT ON SCHEMA {} IS {}", name, Text(target.comment)))
        return Step(
            id=f"create_schema:{target.name}",
            phase=PHASE_SCHEMAS,
            kind=CreateSchema.kind,
            title=f"Create schema {name.as_string()}" + (f", owned by {target.owner}" if target.owner else ""),
            do=tuple(do),
            undo=(retire(target.name),),
            detail={"schema": target.name},
        )

    @staticmethod
    def problems(database: Database, step: Step, undo: bool) -> list[str]:
        """What others have put into a schema that goes away."""
        return [f"{what} was put there meanwhile" for what in inside(database, step.detail["schema"])] if undo else []

    @staticmethod
    def rewind(catalog: Catalog, steps: Sequence[Step]) -> Catalog:
        """The catalog as if the schemas had not been created."""
        created = {step.detail["schema"] for step in steps}
        return replace(
            catalog,
            schemas=tuple(schema for schema in catalog.schemas if schema.name not in created),
            default_privileges=tuple(entry for entry in catalog.default_privileges if entry.schema not in created),
        )


class GrantUsage:
    """Give the roles that use the tables the right to reach the schema."""

    kind = "grant_usage"

    @staticmethod
    def build(schema: str, roles: Iterable[str]) -> Step:
        """One step for all roles of one schema."""
        names = sorted(roles)
        grantees = comma(role(name) for name in names)
        return Step(
            id=f"grant_usage:{schema}",
            phase=PHASE_SCHEMAS,
            kind=GrantUsage.kind,
            title=f"Let {', '.join(names)} use schema {Name(schema).as_string()}",
            do=(statement("GRANT USAGE ON SCHEMA {} TO {}", Name(schema), grantees),),
            undo=(statement("REVOKE USAGE ON SCHEMA {} FROM {}", Name(schema), grantees),),
            detail={"schema": schema, "roles": names},
        )

    @staticmethod
    def problems(database: Database, step: Step, undo: bool) -> list[str]:
        """Roles that the grant has not reached."""
        if undo:
            return []
        missing = database.rows(_NOT_USED, {"roles": step.detail["roles"], "schema": step.detail["schema"]})
        return [f"{name} still may not use {step.detail['schema']}" for (name,) in missing]

    @staticmethod
    def rewind(catalog: Catalog, steps: Sequence[Step]) -> Catalog:
        """The catalog without these grants."""
        gone = {(step.detail["schema"], name, "USAGE") for step in steps for name in step.detail["roles"]}

        def without(schema: Schema) -> Schema:
            left = tuple(g for g in schema.grants if (schema.name, g.grantee, g.privilege) not in gone)
            return replace(schema, grants=left)

        return replace(catalog, schemas=tuple(without(schema) for schema in catalog.schemas))


class CopyDefaultPrivileges:
    """Give future objects of a target what ``ALTER DEFAULT PRIVILEGES`` gives them in the source schema."""

    kind = "default_privileges"

    @staticmethod
    def build(entry: DefaultPrivileges, schema: str, missing: Iterable[Grant]) -> Step:
        """One step per role, object type and target schema; ``missing`` are the grants that the target lacks."""
        grants = sorted(missing, key=lambda g: (g.grantee, g.privilege))
        objects = keyword(DEFAULT_ACL_OBJECTS[entry.object_type])
        prefix = statement("ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA {}", Name(entry.role), Name(schema))
        do, undo = [], []
        for grantee, grantable, found in by_grantee(grants):
            what = (comma(keyword(grant.privilege) for grant in found), objects, role(grantee))
            do.append(prefix + " " + statement("GRANT {} ON {} TO {} {}", *what, grant_option(grantable)))
            undo.append(prefix + " " + statement("REVOKE {} ON {} FROM {}", *what))
        return Step(
            id=f"default_privileges:{schema}:{entry.role}:{entry.object_type}",
            phase=PHASE_SCHEMAS,
            kind=CopyDefaultPrivileges.kind,
            title=f"Copy the default privileges of {entry.role} for {DEFAULT_ACL_OBJECTS[entry.object_type].lower()} "
            f"to schema {Name(schema).as_string()}",
            do=tuple(do),
            undo=tuple(reversed(undo)),
            detail={
                "schema": schema,
                "role": entry.role,
                "object_type": entry.object_type,
                "grants": [[grant.grantee, grant.privilege] for grant in grants],
            },
        )

    @staticmethod
    def rewind(catalog: Catalog, steps: Sequence[Step]) -> Catalog:
        """The catalog without the copied entries."""
        gone = {
            (step.detail["schema"], step.detail["role"], step.detail["object_type"], grantee, privilege)
            for step in steps
            for grantee, privilege in step.detail["grants"]
        }

        def entries() -> Iterator[DefaultPrivileges]:
            for entry in catalog.default_privileges:
                key = (entry.schema, entry.role, entry.object_type)
                left = tuple(g for g in entry.grants if (*key, g.grantee, g.privilege) not in gone)
                if left or not entry.grants:
                    yield replace(entry, grants=left)

        return replace(catalog, default_privileges=tuple(entries()))
