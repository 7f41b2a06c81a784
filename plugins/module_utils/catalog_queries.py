"""The catalog queries, each one read-only statement over ``pg_catalog``.

Parameters: ``source`` (schema name), ``scope`` (array of schema names: source and targets). Names come from
https://www.postgresql.org/docs/current/catalogs.html. All run on PostgreSQL 13 to 18.
"""

from __future__ import annotations

SERVER = """
SELECT current_setting('server_version_num')::int AS version_num, current_setting('server_version') AS version,
       current_database() AS database, d.oid::bigint AS database_oid, current_user AS "user",
       (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) AS superuser,
       has_database_privilege(current_user, d.oid, 'CREATE') AS create_on_database,
       EXISTS (SELECT FROM pg_catalog.pg_shdepend s JOIN pg_catalog.pg_roles r ON r.oid = s.refobjid
                WHERE r.rolname = 'PUBLIC' AND s.refclassid = 'pg_catalog.pg_authid'::regclass AND s.dbid IN (0, d.oid))
         AS role_called_public
  FROM pg_catalog.pg_database d WHERE d.datname = current_database()
"""

# pg_control_system() may be revoked from ordinary roles on managed services.
SYSTEM_IDENTIFIER = """
SELECT CASE WHEN has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')
            THEN (SELECT system_identifier::text FROM pg_catalog.pg_control_system()) ELSE '' END
"""

SETTINGS = """
SELECT name, setting FROM pg_catalog.pg_settings
 WHERE name IN ('deadlock_timeout', 'max_locks_per_transaction', 'max_connections', 'max_prepared_transactions',
                'default_transaction_read_only', 'wal_level', 'event_triggers', 'session_replication_role')
 ORDER BY name
"""

SCHEMAS = """
SELECT n.oid::bigint, n.nspname, pg_get_userbyid(n.nspowner), obj_description(n.oid, 'pg_namespace'),
       has_schema_privilege(current_user, n.oid, 'CREATE'),
       (SELECT count(*) FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid),
       COALESCE((SELECT json_agg(json_build_array(COALESCE(r.rolname, 'PUBLIC'), a.privilege_type, a.is_grantable)
                        ORDER BY r.rolname NULLS FIRST, a.privilege_type)
                   FROM aclexplode(n.nspacl) a LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
                  WHERE a.grantee <> n.nspowner), '[]'),
       EXISTS (SELECT FROM aclexplode(COALESCE(n.nspacl, acldefault('n', n.nspowner))) a
                WHERE a.grantee = 0 AND a.privilege_type = 'USAGE'),
       has_schema_privilege(current_user, n.oid, 'USAGE')
  FROM pg_catalog.pg_namespace n WHERE n.nspname = ANY(%(scope)s) ORDER BY n.nspname
"""

# Tables of the scope.
TABLES = """
WITH scope AS (
  SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
   WHERE n.nspname = ANY(%(scope)s) AND c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't'
), extension AS (
  SELECT d.objid, e.extname FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
   WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.deptype = 'e'
)
SELECT c.oid::bigint, n.nspname, c.relname, c.relkind, pg_get_userbyid(c.relowner), c.relpersistence, c.relispartition,
       c.relrowsecurity, extension.extname, c.reltuples::bigint, greatest(c.relpages, 0)::bigint * current_setting('block_size')::bigint,
       obj_description(c.oid, 'pg_class'), t.typname, at.typname,
       (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
       (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND (a.atthasdef OR a.attidentity <> '')),
       (SELECT array_agg(i.inhparent::bigint ORDER BY i.inhseqno) FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid),
       c.relacl IS NOT NULL,
       CASE c.relreplident WHEN 'f' THEN true WHEN 'n' THEN false
            ELSE EXISTS (SELECT FROM pg_catalog.pg_index x WHERE x.indrelid = c.oid AND x.indisvalid
                            AND CASE c.relreplident WHEN 'i' THEN x.indisreplident ELSE x.indisprimary END) END
  FROM scope JOIN pg_catalog.pg_class c ON c.oid = scope.oid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_type t ON t.oid = c.reltype
  LEFT JOIN pg_catalog.pg_type at ON at.oid = t.typarray
  LEFT JOIN extension ON extension.objid = c.oid
 ORDER BY c.oid
"""

_OF_SCOPE = """
  JOIN pg_catalog.pg_class c ON c.oid = {oid}
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname = ANY(%(scope)s) AND c.relkind IN ('r', 'p', 'f')
"""

TABLE_GRANTS = """
SELECT c.oid::bigint, COALESCE(r.rolname, 'PUBLIC'), a.privilege_type, bool_or(a.is_grantable), NULL::text
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 CROSS JOIN LATERAL aclexplode(c.relacl) a LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
 WHERE n.nspname = ANY(%(scope)s) AND c.relkind IN ('r', 'p', 'f') GROUP BY 1, 2, 3
UNION ALL
SELECT c.oid::bigint, COALESCE(r.rolname, 'PUBLIC'), a.privilege_type, bool_or(a.is_grantable), att.attname::text
  FROM pg_catalog.pg_attribute att JOIN pg_catalog.pg_class c ON c.oid = att.attrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 CROSS JOIN LATERAL aclexplode(att.attacl) a LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
 WHERE n.nspname = ANY(%(scope)s) AND c.relkind IN ('r', 'p', 'f') AND att.attacl IS NOT NULL AND NOT att.attisdropped
 GROUP BY 1, 2, 3, 5
 ORDER BY 1, 5 NULLS FIRST, 2, 3
"""

# Whoever has a grant option may pass a privilege on; such grants hang on each other by their grantors.
FURTHER_GRANTORS = """
SELECT g.oid::bigint, array_agg(DISTINCT pg_get_userbyid(g.grantor)::text ORDER BY pg_get_userbyid(g.grantor)::text) FROM (
  SELECT c.oid, c.relowner, a.grantor FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
   CROSS JOIN LATERAL aclexplode(c.relacl) a WHERE n.nspname = ANY(%(scope)s) AND c.relkind IN ('r', 'p', 'f')
  UNION
  SELECT c.oid, c.relowner, a.grantor FROM pg_catalog.pg_attribute att JOIN pg_catalog.pg_class c ON c.oid = att.attrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace CROSS JOIN LATERAL aclexplode(att.attacl) a
   WHERE n.nspname = ANY(%(scope)s) AND c.relkind IN ('r', 'p', 'f') AND att.attacl IS NOT NULL AND NOT att.attisdropped
) g WHERE g.grantor <> g.relowner GROUP BY g.oid
"""

INDEXES = f"""
SELECT x.indrelid::bigint, ic.oid::bigint, ic.relname FROM pg_catalog.pg_index x
  {_OF_SCOPE.format(oid="x.indrelid")} JOIN pg_catalog.pg_class ic ON ic.oid = x.indexrelid ORDER BY 1, 3
"""

# Sequences that a column owns: deptype a for serial and OWNED BY, i for identity. They move with the table.
SEQUENCES = f"""
SELECT d.refobjid::bigint, s.oid::bigint, s.relname, att.attname, d.deptype = 'i'
  FROM pg_catalog.pg_depend d
  {_OF_SCOPE.format(oid="d.refobjid")}
  JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'
  JOIN pg_catalog.pg_attribute att ON att.attrelid = d.refobjid AND att.attnum = d.refobjsubid
 WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
   AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
 ORDER BY 1, 3
"""

STATISTICS = """
SELECT s.stxrelid::bigint, s.oid::bigint, n.nspname, s.stxname, pg_get_userbyid(s.stxowner)
  FROM pg_catalog.pg_statistic_ext s JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace
  JOIN pg_catalog.pg_class c ON c.oid = s.stxrelid JOIN pg_catalog.pg_namespace cn ON cn.oid = c.relnamespace
 WHERE n.nspname = ANY(%(scope)s) OR cn.nspname = ANY(%(scope)s) ORDER BY 1, 2
"""

# Defaults of columns that are not generated (an identity has none). A text that names a relation, or a type of our schemas,
# would read differently once that has moved: it is left out, but for a constant, which needs no type. Sequences are given by OID.
_CONSTANT = r"""^(E?'(?:[^']|'')*')::(?:"[^"]+"|\w+)(?:\.(?:"[^"]+"|\w+))?(?:\[\])*$"""
DEFAULTS = f"""
SELECT d.adrelid::bigint, a.attname,
       CASE WHEN bool_or(r.oid IS NOT NULL) THEN ''
            WHEN bool_or(tn.oid IS NOT NULL) THEN COALESCE(substring(pg_get_expr(d.adbin, d.adrelid), $re${_CONSTANT}$re$), '')
            ELSE pg_get_expr(d.adbin, d.adrelid) END,
       NOT a.attnotnull, COALESCE(array_agg(r.oid::bigint ORDER BY r.oid) FILTER (WHERE r.relkind = 'S'), '{{}}')
  FROM pg_catalog.pg_attrdef d
  {_OF_SCOPE.format(oid="d.adrelid")}
  JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum AND a.attgenerated = ''
  LEFT JOIN pg_catalog.pg_depend x ON x.classid = 'pg_catalog.pg_attrdef'::regclass AND x.objid = d.oid AND x.deptype = 'n'
       AND x.refclassid IN ('pg_catalog.pg_class'::regclass, 'pg_catalog.pg_type'::regclass)
  LEFT JOIN pg_catalog.pg_type t ON x.refclassid = 'pg_catalog.pg_type'::regclass AND t.oid = x.refobjid
  LEFT JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace AND tn.nspname = ANY(%(scope)s)
  LEFT JOIN pg_catalog.pg_class r ON r.oid = CASE WHEN t.oid IS NULL THEN x.refobjid ELSE t.typrelid END
 GROUP BY d.adrelid, d.adnum, a.attname, a.attnotnull, d.adbin ORDER BY d.adrelid, d.adnum
"""

TRAITS = f"""
SELECT k.conrelid::bigint, CASE WHEN bool_or(k.contype = 'p') THEN ARRAY['named_key', 'primary_key'] ELSE ARRAY['named_key'] END
  FROM pg_catalog.pg_constraint k
  {_OF_SCOPE.format(oid="k.conrelid")} WHERE k.contype IN ('p', 'u', 'x') GROUP BY 1 ORDER BY 1
"""

# What the catalog stores about a table's parts, in forms that do not contain the names of schemas: expressions as node
# trees, other objects as OIDs. A move leaves all of it alone, an ALTER does not. Parse locations are taken out because
# they say nothing and pg_get_expr does not show them.
STRUCTURE = """
WITH scope AS (
  SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
   WHERE n.nspname = ANY(%(scope)s) AND c.relkind IN ('r', 'p', 'f')
), part AS (
  SELECT a.attrelid AS oid, 'columns' AS part, a.attnum::bigint AS ord,
         concat_ws('|', a.attname, a.atttypid, a.atttypmod, a.attnotnull, a.attidentity, a.attgenerated, a.attcollation,
                   a.attstorage, a.attisdropped, a.attislocal, a.attinhcount, a.attoptions, a.attfdwoptions, d.adbin) AS txt
    FROM scope JOIN pg_catalog.pg_attribute a ON a.attrelid = scope.oid AND a.attnum > 0
    LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  UNION ALL
  SELECT c.conrelid, 'constraints', c.oid::bigint,
         concat_ws('|', c.conname, c.contype, c.condeferrable, c.condeferred, c.convalidated, c.conindid, c.conparentid,
                   c.confrelid, c.confupdtype, c.confdeltype, c.confmatchtype, c.conislocal, c.connoinherit, c.conkey,
                   c.confkey, c.conexclop, c.conbin)
    FROM scope JOIN pg_catalog.pg_constraint c ON c.conrelid = scope.oid AND c.conparentid = 0
  UNION ALL
  SELECT x.indrelid, 'indexes', x.indexrelid::bigint,
         concat_ws('|', i.relname, i.relam, i.reloptions, i.reltablespace, x.indisunique, x.indisprimary, x.indisvalid,
                   x.indisreplident, x.indisclustered, x.indkey, x.indcollation, x.indclass, x.indoption, x.indexprs, x.indpred)
    FROM scope JOIN pg_catalog.pg_index x ON x.indrelid = scope.oid JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
  UNION ALL
  SELECT t.tgrelid, 'triggers', t.oid::bigint,
         concat_ws('|', t.tgname, t.tgfoid, t.tgtype, t.tgenabled, t.tgconstraint, t.tgdeferrable, t.tginitdeferred,
                   t.tgattr, t.tgargs, t.tgqual, t.tgoldtable, t.tgnewtable)
    FROM scope JOIN pg_catalog.pg_trigger t ON t.tgrelid = scope.oid AND NOT t.tgisinternal
  UNION ALL
  SELECT p.polrelid, 'policies', p.oid::bigint,
         concat_ws('|', p.polname, p.polcmd, p.polpermissive, p.polroles, p.polqual, p.polwithcheck)
    FROM scope JOIN pg_catalog.pg_policy p ON p.polrelid = scope.oid
  UNION ALL
  SELECT r.ev_class, 'rules', r.oid::bigint,
         concat_ws('|', r.rulename, r.ev_type, r.ev_enabled, r.is_instead, r.ev_qual, r.ev_action)
    FROM scope JOIN pg_catalog.pg_rewrite r ON r.ev_class = scope.oid
  UNION ALL
  SELECT c.oid, 'options', 0,
         concat_ws('|', c.reloptions, c.reltablespace, c.relam, c.relreplident, c.relforcerowsecurity, c.reloftype,
                   c.relpersistence, c.relpartbound, p.partstrat, p.partattrs, p.partclass, p.partcollation, p.partexprs)
    FROM scope JOIN pg_catalog.pg_class c ON c.oid = scope.oid
    LEFT JOIN pg_catalog.pg_partitioned_table p ON p.partrelid = c.oid
)
SELECT oid::bigint, part, md5(string_agg(regexp_replace(txt, ':location -?\\d+', '', 'g'), E'\\n' ORDER BY ord))
  FROM part GROUP BY oid, part ORDER BY oid, part
"""

RELATIONS = """
SELECT c.oid::bigint, n.nspname, c.relname, c.relkind
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY(%(scope)s) ORDER BY c.oid
"""

# Elsewhere, so that a name can be looked up on a search_path with more schemas than ours.
NAMESAKES = """
SELECT c.oid::bigint, n.nspname, c.relname, c.relkind
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname <> ALL(%(scope)s) AND n.nspname NOT IN ('information_schema', 'multischema_journal') AND n.nspname !~ '^pg_'
   AND c.relname IN (SELECT o.relname FROM pg_catalog.pg_class o JOIN pg_catalog.pg_namespace s ON s.oid = o.relnamespace
                      WHERE s.nspname = ANY(%(scope)s))
 ORDER BY c.oid
"""

TYPES = """
SELECT t.oid::bigint, n.nspname, t.typname, t.typtype
  FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
 WHERE n.nspname = ANY(%(scope)s) AND n.nspname <> %(source)s ORDER BY t.oid
"""

# A digest of what view "v" with rule "r" says, which does not change when what it reads is renamed or moves, nor with where in its
# text something stands. Since version 17 the server does not keep that place, and there is nothing to be searched for.
VIEW_DEFINITION = (
    "md5(concat_ws('|', CASE WHEN current_setting('server_version_num')::int >= 170000 THEN r.ev_action::text "
    "ELSE regexp_replace(r.ev_action::text, ':location -?\\d+', '', 'g') END, v.reloptions))"
)

# Views anywhere that read a table or view of the scope. The rule's node tree refers to relations by OID; the options count, because
# CREATE OR REPLACE VIEW without security_invoker takes it away without a word.
VIEWS = f"""
SELECT v.oid::bigint, vn.nspname, v.relname, v.relkind, array_agg(DISTINCT d.refobjid::bigint ORDER BY d.refobjid::bigint),
       {VIEW_DEFINITION}
  FROM pg_catalog.pg_rewrite r
  JOIN pg_catalog.pg_class v ON v.oid = r.ev_class AND v.relkind IN ('v', 'm')
  JOIN pg_catalog.pg_namespace vn ON vn.oid = v.relnamespace
  JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = r.oid
       AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid <> v.oid
  JOIN pg_catalog.pg_class c ON c.oid = d.refobjid AND c.relkind IN ('r', 'p', 'f', 'v', 'm')
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname = ANY(%(scope)s)
 GROUP BY v.oid, vn.nspname, v.relname, v.relkind, v.reloptions, r.ev_action::text ORDER BY v.oid
"""

# What PostgreSQL would name when DROP VIEW fails: dependents of the view itself and of its row and array type.
DEPENDENTS = """
WITH view AS (
  SELECT c.oid, c.reltype, t.typarray FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_type t ON t.oid = c.reltype WHERE n.nspname = %(source)s AND c.relkind = 'v'
)
SELECT view.oid::bigint, COALESCE(pg_describe_object('pg_catalog.pg_class'::regclass, r.ev_class, 0),
                                  pg_describe_object(d.classid, d.objid, 0))
  FROM view JOIN pg_catalog.pg_depend d ON (d.refclassid, d.refobjid) IN (('pg_catalog.pg_class'::regclass, view.oid),
       ('pg_catalog.pg_type'::regclass, view.reltype), ('pg_catalog.pg_type'::regclass, view.typarray))
  LEFT JOIN pg_catalog.pg_rewrite r ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND r.oid = d.objid
 WHERE d.deptype IN ('n', 'a') AND r.ev_class IS DISTINCT FROM view.oid AND d.classid <> 'pg_catalog.pg_attrdef'::regclass
 GROUP BY 1, 2 ORDER BY 1, 2
"""

CONTENTS = """
SELECT n.nspname, d.objid::bigint, pg_describe_object(d.classid, d.objid, 0)
  FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_namespace n ON n.oid = d.refobjid
 WHERE d.refclassid = 'pg_catalog.pg_namespace'::regclass AND d.deptype = 'n'
   AND n.nspname = ANY(%(scope)s) AND n.nspname <> %(source)s ORDER BY 1, 2
"""

FOREIGN_KEYS = f"""
SELECT k.conname, k.conrelid::bigint, k.confrelid::bigint FROM pg_catalog.pg_constraint k
  {_OF_SCOPE.format(oid="k.conrelid")} WHERE k.contype = 'f' AND k.conparentid = 0 ORDER BY k.conrelid, k.conname
"""

DEFAULT_PRIVILEGES = """
SELECT pg_get_userbyid(d.defaclrole), n.nspname, d.defaclobjtype,
       COALESCE(json_agg(json_build_array(COALESCE(r.rolname, 'PUBLIC'), a.privilege_type, a.is_grantable)
                         ORDER BY r.rolname NULLS FIRST, a.privilege_type) FILTER (WHERE a.privilege_type IS NOT NULL), '[]')
  FROM pg_catalog.pg_default_acl d LEFT JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace
  LEFT JOIN LATERAL aclexplode(d.defaclacl) a ON true LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
 WHERE d.defaclnamespace = 0 OR n.nspname = ANY(%(scope)s)
 GROUP BY d.oid, 1, 2, 3 ORDER BY 1, 2 NULLS FIRST, 3
"""

PUBLICATIONS = """
SELECT p.oid::bigint, p.pubname, pg_get_userbyid(p.pubowner), p.puballtables, p.pubupdate OR p.pubdelete, p.pubviaroot
  FROM pg_catalog.pg_publication p ORDER BY p.pubname
"""

# Row filters, column lists and schema publications came with PostgreSQL 15.
PUBLICATION_TABLES = """
SELECT r.prpubid::bigint, r.prrelid::bigint, {filtered} FROM pg_catalog.pg_publication_rel r ORDER BY 1, 2
"""

PUBLICATION_SCHEMAS = """
SELECT pn.pnpubid::bigint, n.nspname FROM pg_catalog.pg_publication_namespace pn
  JOIN pg_catalog.pg_namespace n ON n.oid = pn.pnnspid WHERE n.nspname = ANY(%(scope)s) ORDER BY 1, 2
"""

SLOTS = """
SELECT s.slot_name::text, s.plugin::text, s.active FROM pg_catalog.pg_replication_slots s
 WHERE s.slot_type = 'logical' AND s.database = current_database() AND NOT s.temporary ORDER BY 1
"""

# subconninfo is for superusers only; the rest is for everyone.
SUBSCRIPTIONS = """
SELECT s.subname::text, pg_get_userbyid(s.subowner)::text, s.subenabled,
       ARRAY(SELECT r.srrelid::bigint FROM pg_catalog.pg_subscription_rel r WHERE r.srsubid = s.oid ORDER BY 1)
  FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid AND d.datname = current_database() ORDER BY 1
"""

EVENT_TRIGGERS = """
SELECT e.evtname, e.evtevent, quote_ident(n.nspname) || '.' || quote_ident(p.proname), e.evtenabled <> 'D', p.oid::bigint
  FROM pg_catalog.pg_event_trigger e JOIN pg_catalog.pg_proc p ON p.oid = e.evtfoid
  JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace ORDER BY e.evtname
"""

EXTENSIONS = """
SELECT e.extname, n.nspname, e.extversion FROM pg_catalog.pg_extension e
  JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace ORDER BY e.extname
"""

# Who has whose rights without SET ROLE, as far as there are memberships; every role has its own.
ROLES = """
WITH RECURSIVE has(member, role) AS (
  SELECT oid, oid FROM pg_catalog.pg_roles
  UNION SELECT h.member, m.roleid FROM has h JOIN pg_catalog.pg_auth_members m ON m.member = h.role {inherited}
), source AS (
  SELECT oid, nspowner, nspacl FROM pg_catalog.pg_namespace WHERE nspname = %(source)s
), door AS (
  SELECT nspowner AS role FROM source
  UNION SELECT a.grantee FROM source, aclexplode(source.nspacl) a WHERE a.privilege_type = 'USAGE'
), used_for AS (
  SELECT d.role, array_agg(DISTINCT o.rolname::text ORDER BY o.rolname::text) AS names
    FROM door d JOIN has mine ON mine.role = d.role JOIN has other ON other.member = mine.member AND other.role <> d.role
    JOIN pg_catalog.pg_roles o ON o.oid = other.role
   WHERE o.rolname = ANY(%(roles)s) GROUP BY d.role
)
SELECT r.rolname, r.rolcanlogin, r.rolsuper, pg_has_role(current_user, r.oid, 'USAGE'), pg_has_role(current_user, r.oid, {become}),
       COALESCE(has_schema_privilege(r.oid, s.oid, 'USAGE'), false), COALESCE(has_schema_privilege(r.oid, s.oid, 'CREATE'), false),
       pg_has_role(current_user, r.oid, 'MEMBER'), COALESCE(used_for.names, '{{}}')
  FROM pg_catalog.pg_roles r LEFT JOIN source s ON true LEFT JOIN used_for ON used_for.role = r.oid
 WHERE r.rolname = ANY(%(roles)s) ORDER BY r.rolname
"""
