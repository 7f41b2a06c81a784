"""What the plan notices: one small function for each kind of finding.

A check takes the `Situation` and yields findings. To add one, write the function beside its kind (objects, rights, views, limits
of views, what is outside, routines, replication) and list it here.

Severities: ``refuse`` stops before anything is touched and says the way out; ``warn`` is reported; ``auto`` is something
that would go wrong with a bare ``ALTER TABLE`` and that the plan takes care of.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Callable

from ansible_collections.dbops.multischema.plugins.module_utils import findings_limits as limits
from ansible_collections.dbops.multischema.plugins.module_utils import findings_objects as objects
from ansible_collections.dbops.multischema.plugins.module_utils import findings_outside as outside
from ansible_collections.dbops.multischema.plugins.module_utils import findings_paths as paths
from ansible_collections.dbops.multischema.plugins.module_utils import findings_replication as replication
from ansible_collections.dbops.multischema.plugins.module_utils import findings_rights as rights
from ansible_collections.dbops.multischema.plugins.module_utils import findings_routines as routines
from ansible_collections.dbops.multischema.plugins.module_utils import findings_text as text
from ansible_collections.dbops.multischema.plugins.module_utils import findings_types as types
from ansible_collections.dbops.multischema.plugins.module_utils import findings_views as views
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Finding
from ansible_collections.dbops.multischema.plugins.module_utils.situation import Situation

CHECKS: tuple[Callable[[Situation], Iterator[Finding]], ...] = (
    outside.dumps_by_name,
    outside.monitoring_by_name,
    outside.statement_statistics,
    objects.large_trees,
    objects.collisions,
    objects.statistics_objects,
    objects.shared_sequences,
    objects.extension_tables,
    objects.migration_tools,
    rights.rights_to_move,
    rights.rights_in_schemas,
    rights.rights_on_database,
    rights.usage_on_schemas,
    rights.schema_owners,
    rights.application_roles,
    rights.role_called_public,
    views.inheritance_parents,
    views.column_privileges,
    views.row_security,
    views.view_owners,
    views.default_privileges_on_views,
    views.grants_passed_on,
    views.partitions_by_name,
    views.no_columns,
    limits.defaults_in_updates,
    limits.serial_sequences,
    limits.introspection,
    limits.limits,
    routines.event_triggers,
    routines.names_in_routines,
    routines.trigger_schemas,
    routines.catalog_queries,
    routines.dynamic_sql,
    routines.unread_routines,
    routines.row_types,
    routines.repairs,
    text.expressions,
    text.jobs,
    text.remote_tables,
    replication.leaving,
    replication.joining,
    replication.filters,
    replication.all_tables,
    replication.subscribers,
    replication.slots,
    replication.subscriptions,
    types.types_stay,
    types.types_move,
    types.type_collisions,
    types.rights_on_types,
    paths.paths_set,
    paths.paths_left,
    paths.paths_overridden,
    paths.ambiguous_names,
    paths.creation_schemas,
    paths.extensions_lost,
)
