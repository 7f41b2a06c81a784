"""The catalog queries for what is text: routines, their wiring, expressions with names in them, jobs, foreign tables.

Parameters as in `catalog_queries.py`. Node trees are searched as text for the few functions that turn text into a relation, so that of
thousands of defaults only those come across that matter.
"""

from __future__ import annotations

_OWN = """
  JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace JOIN pg_catalog.pg_language l ON l.oid = p.prolang
 WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' AND n.nspname <> 'multischema_journal'
   AND l.lanname NOT IN ('c', 'internal')
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid
                      AND d.deptype = 'e')
"""

# Routines of the whole database may name a table; those of extensions and of PostgreSQL itself do not count.
ROUTINES = f"""
SELECT p.oid::bigint, n.nspname, p.proname,
       -- Types without their schemas: this text must not change when the row type of an argument moves.
       quote_ident(n.nspname) || '.' || quote_ident(p.proname) || '(' ||
         COALESCE((SELECT string_agg(quote_ident(t.typname), ', ' ORDER BY u.place)
                     FROM unnest(p.proargtypes) WITH ORDINALITY u(type, place)
                     JOIN pg_catalog.pg_type t ON t.oid = u.type), '') || ')',
       CASE WHEN {{parsed}} THEN '' ELSE p.prosrc END,
       (SELECT array_agg(DISTINCT t.typrelid::bigint) FROM unnest(p.proargtypes) a(type)
          JOIN pg_catalog.pg_type e ON e.oid = a.type
          JOIN pg_catalog.pg_type t ON t.oid IN (e.oid, e.typelem) AND t.typtype = 'c'),
       l.lanname, p.prokind, (SELECT substr(c, 13) FROM unnest(p.proconfig) c WHERE c LIKE 'search\\_path=%%'), p.prosecdef,
       pg_get_userbyid(p.proowner),
       CASE WHEN p.prorettype IN ('pg_catalog.trigger'::regtype, 'pg_catalog.event_trigger'::regtype, 'pg_catalog.void'::regtype)
            THEN p.prorettype::regtype::text ELSE '' END,
       p.proretset,
       COALESCE((SELECT c.oid FROM pg_catalog.pg_type t LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
                   JOIN pg_catalog.pg_class c ON c.oid = COALESCE(e.typrelid, t.typrelid) AND c.relkind IN ('r', 'p', 'f')
                  WHERE t.oid = p.prorettype), 0)::bigint,
       (SELECT json_agg(json_build_array(COALESCE(p.proargmodes[u.place], 'i'), COALESCE(p.proargnames[u.place], ''),
                                         CASE WHEN c.oid IS NULL AND y.oid IS NULL THEN tn.nspname ELSE '' END, t.typname,
                                         COALESCE(c.oid, 0)::bigint, COALESCE(y.oid, 0)::bigint)
                        ORDER BY u.place)
          FROM unnest(COALESCE(p.proallargtypes, p.proargtypes::oid[])) WITH ORDINALITY u(type, place)
          JOIN pg_catalog.pg_type t ON t.oid = u.type JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace
          LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
          LEFT JOIN pg_catalog.pg_class c ON c.oid = COALESCE(e.typrelid, t.typrelid) AND c.relkind IN ('r', 'p', 'f')
               AND tn.nspname = ANY(%(scope)s)
          LEFT JOIN pg_catalog.pg_type y ON y.oid = COALESCE(e.oid, t.oid) AND tn.nspname = ANY(%(scope)s)
               AND (y.typtype IN ('e', 'd', 'r') OR (y.typtype = 'c' AND EXISTS (SELECT FROM pg_catalog.pg_class s
                                                                                   WHERE s.oid = y.typrelid AND s.relkind = 'c'))))
  FROM pg_catalog.pg_proc p {_OWN}
 ORDER BY p.oid
"""

AGGREGATES = """
SELECT DISTINCT p.proname FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
 WHERE p.prokind = 'a' AND n.nspname <> 'pg_catalog' ORDER BY 1
"""

# Everything in the catalog that calls a routine by its OID. An index with an expression stands for its table.
WIRING = f"""
WITH own AS (SELECT p.oid FROM pg_catalog.pg_proc p {_OWN}), wired AS (
  SELECT d.classid, d.objid, d.objsubid, d.refobjid AS routine
    FROM pg_catalog.pg_depend d JOIN own ON own.oid = d.refobjid WHERE d.refclassid = 'pg_catalog.pg_proc'::regclass
), use AS (
  SELECT routine, 'trigger' AS kind, t.tgname::text AS name, t.tgrelid AS relation
    FROM wired JOIN pg_catalog.pg_trigger t ON classid = 'pg_catalog.pg_trigger'::regclass AND t.oid = objid
   WHERE NOT t.tgisinternal AND t.tgparentid = 0
  UNION ALL
  SELECT routine, CASE WHEN c.conrelid = 0 THEN 'domain check' ELSE 'check' END, c.conname, c.conrelid
    FROM wired JOIN pg_catalog.pg_constraint c ON classid = 'pg_catalog.pg_constraint'::regclass AND c.oid = objid
  UNION ALL
  SELECT routine, 'default', a.attname, f.adrelid
    FROM wired JOIN pg_catalog.pg_attrdef f ON classid = 'pg_catalog.pg_attrdef'::regclass AND f.oid = objid
    JOIN pg_catalog.pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum
  UNION ALL
  SELECT routine, 'index', i.relname, x.indrelid
    FROM wired JOIN pg_catalog.pg_index x ON classid = 'pg_catalog.pg_class'::regclass AND x.indexrelid = objid
    JOIN pg_catalog.pg_class i ON i.oid = objid WHERE NOT i.relispartition
  UNION ALL
  SELECT routine, 'policy', p.polname, p.polrelid
    FROM wired JOIN pg_catalog.pg_policy p ON classid = 'pg_catalog.pg_policy'::regclass AND p.oid = objid
  UNION ALL
  SELECT routine, CASE v.relkind WHEN 'm' THEN 'materialized view' WHEN 'v' THEN 'view' ELSE 'rule' END, v.relname, v.oid
    FROM wired JOIN pg_catalog.pg_rewrite r ON classid = 'pg_catalog.pg_rewrite'::regclass AND r.oid = objid
    JOIN pg_catalog.pg_class v ON v.oid = r.ev_class
  UNION ALL
  SELECT routine, 'event trigger', e.evtname, 0
    FROM wired JOIN pg_catalog.pg_event_trigger e ON classid = 'pg_catalog.pg_event_trigger'::regclass AND e.oid = objid
)
SELECT use.routine::bigint, use.kind, use.name, use.relation::bigint, COALESCE(n.nspname, ''), COALESCE(c.relname, ''), 0::bigint
  FROM use LEFT JOIN pg_catalog.pg_class c ON c.oid = use.relation LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
UNION
SELECT w.routine::bigint, 'routine', p.proname, 0, '', '', p.oid::bigint
  FROM wired w JOIN pg_catalog.pg_proc p ON w.classid = 'pg_catalog.pg_proc'::regclass AND p.oid = w.objid
 ORDER BY 1, 2, 4, 3
"""

# 1079 is regclass(text), 3495 to_regclass, 1665 pg_get_serial_sequence, 2205 the type regclass.
_NAMES = "LIKE ANY (ARRAY['%%:funcid 1079 %%', '%%:funcid 3495 %%', '%%:funcid 1665 %%', '%%COERCEVIAIO%%:resulttype 2205 %%'])"

EXPRESSIONS = f"""
WITH found AS (
  SELECT 'default' AS kind, a.attname::text AS name, f.adrelid AS relation, pg_get_expr(f.adbin, f.adrelid) AS txt
    FROM pg_catalog.pg_attrdef f JOIN pg_catalog.pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum
   WHERE f.adbin::text {_NAMES}
  UNION ALL
  SELECT CASE WHEN k.conrelid = 0 THEN 'domain check' ELSE 'check' END, k.conname, k.conrelid, pg_get_expr(k.conbin, k.conrelid)
    FROM pg_catalog.pg_constraint k WHERE k.contype = 'c' AND k.conbin::text {_NAMES}
  UNION ALL
  SELECT 'policy', p.polname, p.polrelid, concat_ws(' AND ', pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
    FROM pg_catalog.pg_policy p WHERE concat(p.polqual, p.polwithcheck) {_NAMES}
  UNION ALL
  SELECT 'trigger condition', t.tgname, t.tgrelid, substring(pg_get_triggerdef(t.oid) FROM ' WHEN \\((.*)\\) EXECUTE ')
    FROM pg_catalog.pg_trigger t WHERE t.tgqual::text {_NAMES} AND t.tgparentid = 0
  UNION ALL
  SELECT CASE WHEN c.relkind IN ('v', 'm') THEN 'view' ELSE 'rule' END, r.rulename, r.ev_class,
         CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid)
              ELSE regexp_replace(pg_get_ruledef(r.oid), '^.* DO (INSTEAD )?', '') END
    FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
   -- Below are the rules of PostgreSQL's own views, made by initdb (FirstNormalObjectId in access/transam.h); to search their trees as
   -- well would take half of the time that reading a small catalog takes.
   WHERE r.oid >= 16384 AND r.ev_action::text {_NAMES}
)
SELECT f.kind, f.name, f.relation::bigint, COALESCE(n.nspname, ''), COALESCE(c.relname, ''), f.txt
  FROM found f LEFT JOIN pg_catalog.pg_class c ON c.oid = f.relation LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE f.txt IS NOT NULL
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = f.relation
                      AND d.deptype = 'e')
 ORDER BY 1, 3, 2
"""

# Tables that hold work or metadata as text: of pg_cron, pg_partman, Hasura, pgAgent, Graphile and pg-boss. Known by their names, because
# they need not be in the schema that their makers chose. (table, column, expression that says which row)
JOB_COLUMNS = (
    ("job", "command", "jobid"),
    ("part_config", "parent_table", "parent_table"),
    ("part_config", "template_table", "parent_table"),
    ("part_config_sub", "sub_parent", "sub_parent"),
    ("hdb_metadata", "metadata", "id"),
    ("hdb_table", "table_name", "table_name"),
    ("pga_jobstep", "jstcode", "jstname"),
)

JOB_TABLES = """
SELECT n.nspname, c.relname, w.col, w.row
  FROM unnest(%(job_tables)s::text[], %(job_columns)s::text[], %(job_rows)s::text[]) w(tab, col, row)
  JOIN pg_catalog.pg_class c ON c.relname = w.tab AND c.relkind IN ('r', 'p', 'f')
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE')
   AND EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attname = w.col AND NOT a.attisdropped)
   AND EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attname = w.row AND NOT a.attisdropped)
 ORDER BY 1, 2, 3
"""

# Only names come across, not what may be megabytes of text. Names that stand for themselves in the text, as words or in quotes.
MENTIONS = r"""
SELECT {row}::text, array_agg(DISTINCT c.relname::text ORDER BY c.relname::text)
  FROM {table} t
 CROSS JOIN LATERAL (SELECT m[1] AS word FROM regexp_matches(t.{column}::text, '(\w+)', 'g') m
                      UNION SELECT replace(m[1], '""', '"') FROM regexp_matches(t.{column}::text, '"((?:[^"]|"")+)"', 'g') m) w
  JOIN pg_catalog.pg_class c ON c.relname = w.word AND c.relkind IN ('r', 'p', 'f', 'S')
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname = ANY(%(scope)s)
 GROUP BY 1 ORDER BY 1
"""

REMOTE_TABLES = """
SELECT n.nspname, c.relname, s.srvname, COALESCE(o.dbname, ''), r.sch, r.tab
  FROM pg_catalog.pg_foreign_table f JOIN pg_catalog.pg_class c ON c.oid = f.ftrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_foreign_server s ON s.oid = f.ftserver
 CROSS JOIN LATERAL (SELECT COALESCE(max(substr(x, 13)) FILTER (WHERE x LIKE 'schema\\_name=%%'), n.nspname) AS sch,
                            COALESCE(max(substr(x, 12)) FILTER (WHERE x LIKE 'table\\_name=%%'), c.relname) AS tab
                       FROM unnest(f.ftoptions) x) r
 CROSS JOIN LATERAL (SELECT max(substr(x, 8)) AS dbname FROM unnest(s.srvoptions) x WHERE x LIKE 'dbname=%%') o
 WHERE r.sch = %(source)s ORDER BY 1, 2
"""
