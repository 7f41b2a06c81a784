"""The catalog queries about search paths and bare names; see `catalog_queries.py` for their conventions."""

from __future__ import annotations

# Settings of roles and databases are shared between databases; those of other databases do not count.
PATH_SETTINGS = """
SELECT r.rolname, s.setdatabase <> 0, substr(c.entry, length('search_path=') + 1)
  FROM pg_catalog.pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) AS c(entry)
  LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
 WHERE c.entry LIKE 'search\\_path=%' AND (s.setrole = 0 OR r.oid IS NOT NULL)
   AND s.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
 ORDER BY r.rolname NULLS FIRST, 2
"""

# What a session falls back to, and whether a role or the database of this session gives that, and not the server.
SESSION_PATH = """
SELECT p.reset_val, p.boot_val, EXISTS (
         SELECT FROM pg_catalog.pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) AS c(entry)
          WHERE c.entry LIKE 'search\\_path=%'
            AND s.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
            AND s.setrole IN (0, (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = session_user)))
  FROM pg_catalog.pg_settings p WHERE p.name = 'search_path'
"""

MAY_READ_FILES = "SELECT has_function_privilege('pg_catalog.pg_show_all_file_settings()', 'EXECUTE')"
FILE_PATH = "SELECT setting FROM pg_catalog.pg_file_settings WHERE name = 'search_path' AND applied ORDER BY seqno DESC LIMIT 1"

OWNS_DATABASE = """
SELECT pg_has_role(current_user, datdba, 'USAGE') FROM pg_catalog.pg_database WHERE datname = current_database()
"""

# Who may ALTER ROLE … SET: the role itself, a superuser, CREATEROLE; since PostgreSQL 16 that needs ADMIN on the role too.
PATH_USERS = """
SELECT r.rolname, r.rolsuper,
       me.rolsuper OR r.oid = me.oid OR (me.rolcreaterole AND NOT r.rolsuper AND {admin}),
       ARRAY(SELECT o.rolname::text FROM pg_catalog.pg_roles o WHERE o.rolname = ANY(%(users)s) AND pg_has_role(r.oid, o.oid, 'USAGE')
              ORDER BY 1),
       ARRAY(SELECT n.nspname::text FROM pg_catalog.pg_namespace n WHERE n.nspname = ANY(%(schemas)s)
                AND has_schema_privilege(r.oid, n.oid, 'USAGE') ORDER BY 1),
       ARRAY(SELECT n.nspname::text FROM pg_catalog.pg_namespace n WHERE n.nspname = ANY(%(schemas)s)
                AND has_schema_privilege(r.oid, n.oid, 'CREATE') ORDER BY 1)
  FROM pg_catalog.pg_roles r, pg_catalog.pg_roles me
 WHERE me.rolname = current_user AND r.rolname = ANY(%(users)s) ORDER BY r.rolname
"""
HAS_ADMIN = "pg_has_role(me.oid, r.oid, 'USAGE WITH ADMIN OPTION')"

# Everything that is looked for along the path, by what it is called there. Operators of one name are rivals where their operands
# are of the same categories (numbers, texts …), for then one may be taken for the other's operands; types of users are each their own.
SHARED_NAMES = """
WITH scope AS (
  SELECT oid, nspname FROM pg_catalog.pg_namespace WHERE nspname = ANY(%(schemas)s)
), named AS (
  SELECT 'relation' AS kind, c.relname::text AS name, c.relnamespace AS space, c.oid AS oid, quote_ident(c.relname) AS label,
         0 AS least, 0 AS most
    FROM pg_catalog.pg_class c
  UNION ALL
  SELECT 'type', t.typname, t.typnamespace, CASE t.typrelid WHEN 0 THEN t.oid ELSE t.typrelid END, quote_ident(t.typname), 0, 0
    FROM pg_catalog.pg_type t WHERE NOT (t.typelem <> 0 AND t.typlen = -1)
  UNION ALL
  SELECT 'routine', p.proname, p.pronamespace, p.oid, NULL,
         p.pronargs - p.pronargdefaults, CASE p.provariadic WHEN 0 THEN p.pronargs ELSE 100 END
    FROM pg_catalog.pg_proc p
  UNION ALL
  SELECT 'operator', concat_ws(' ', CASE l.typcategory WHEN 'U' THEN l.typname ELSE l.typcategory::text END, o.oprname,
                               CASE r.typcategory WHEN 'U' THEN r.typname ELSE r.typcategory::text END),
         o.oprnamespace, o.oid, concat_ws(' ', l.typname, o.oprname, r.typname), 0, 0
    FROM pg_catalog.pg_operator o LEFT JOIN pg_catalog.pg_type l ON l.oid = o.oprleft LEFT JOIN pg_catalog.pg_type r ON r.oid = o.oprright
  UNION ALL
  SELECT 'operator class', a.amname || ' ' || c.opcname, c.opcnamespace, c.oid, quote_ident(c.opcname) || ' for ' || a.amname, 0, 0
    FROM pg_catalog.pg_opclass c JOIN pg_catalog.pg_am a ON a.oid = c.opcmethod
  UNION ALL
  SELECT 'collation', collname, collnamespace, oid, quote_ident(collname), 0, 0 FROM pg_catalog.pg_collation
  UNION ALL
  SELECT 'text search configuration', cfgname, cfgnamespace, oid, quote_ident(cfgname), 0, 0 FROM pg_catalog.pg_ts_config
  UNION ALL
  SELECT 'text search dictionary', dictname, dictnamespace, oid, quote_ident(dictname), 0, 0 FROM pg_catalog.pg_ts_dict
), here AS (
  SELECT kind, name, scope.nspname, named.oid, label, least, most FROM named JOIN scope ON scope.oid = named.space
), several AS (
  SELECT kind, name FROM here GROUP BY kind, name HAVING count(DISTINCT nspname) > 1
)
-- The signature is put together at the end: of thousands of routines few have a name that others have.
SELECT kind, name, nspname, oid::bigint,
       COALESCE(label, quote_ident(name) || '(' || COALESCE((SELECT string_agg(quote_ident(t.typname), ', ' ORDER BY u.place)
         FROM pg_catalog.pg_proc p CROSS JOIN LATERAL unnest(p.proargtypes) WITH ORDINALITY u(type, place)
         JOIN pg_catalog.pg_type t ON t.oid = u.type WHERE p.oid = here.oid), '') || ')'),
       least, most
  FROM here JOIN several USING (kind, name) ORDER BY 1, 2, 3, 4
"""

EXTENSION_USES = """
WITH RECURSIVE used AS (
  SELECT DISTINCT a.attrelid AS relation, a.atttypid AS type FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p', 'f')
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname = ANY(%(scope)s)
   WHERE a.attnum > 0 AND NOT a.attisdropped
  UNION
  SELECT used.relation, inner_type.oid FROM used JOIN pg_catalog.pg_type t ON t.oid = used.type
    JOIN pg_catalog.pg_type inner_type ON inner_type.oid IN (t.typelem, t.typbasetype)
)
SELECT e.extname, n.nspname, array_agg(DISTINCT used.relation::bigint ORDER BY used.relation::bigint)
  FROM used JOIN pg_catalog.pg_type t ON t.oid = used.type JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
  JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e'
  JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_catalog.pg_extension'::regclass
 GROUP BY e.extname, n.nspname ORDER BY 1, 2
"""

PINNED_ROUTINES = """
SELECT quote_ident(n.nspname) || '.' || quote_ident(p.proname) || '(' || COALESCE((
         SELECT string_agg(quote_ident(t.typname), ', ' ORDER BY u.place)
           FROM unnest(p.proargtypes) WITH ORDINALITY u(type, place) JOIN pg_catalog.pg_type t ON t.oid = u.type), '') || ')',
       substr(c.entry, length('search_path=') + 1)
  FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace CROSS JOIN LATERAL unnest(p.proconfig) AS c(entry)
 WHERE c.entry LIKE 'search\\_path=%' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' ORDER BY 1
"""
