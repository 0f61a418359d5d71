/*
 * scripts/site/catalog.sql
 *		The page of the site that is made of the catalog, as Markdown.
 *
 * What people call or read is there: functions for people, settings, tables and views
 * with their columns.  Functions that only the extension's own code calls are not.
 */
\pset tuples_only on
\pset format unaligned
\pset footer off

CREATE FUNCTION pg_temp.cell(content text) RETURNS text LANGUAGE sql
    AS $$ SELECT replace(replace(replace(replace(coalesce(content, ''), '|', '\|'), '<', '&lt;'), '*', '\*'), e'\n', ' ') $$;
CREATE FUNCTION pg_temp.code(content text) RETURNS text LANGUAGE sql
    AS $$ SELECT CASE WHEN coalesce(content, '') = '' THEN '' ELSE '`' || replace(content, '|', '\|') || '`' END $$;
/* Of many, each has a line of its own. */
CREATE FUNCTION pg_temp.arguments(function oid) RETURNS text LANGUAGE sql
    AS $$ SELECT CASE WHEN length(a) <= 60 THEN a ELSE e'\n        ' || replace(a, ', ', e',\n        ') END
            FROM pg_get_function_arguments(function) a $$;

SELECT format(e'# Catalog\n\nEach function, setting, table and view of version %s, as the server describes it.\n'
              'The [reference](../README.md#sql-reference) says more of most, and has their errors.\n', e.extversion)
  FROM pg_extension e WHERE e.extname = 'kgwebhook';

SELECT e'## Functions\n';
SELECT format(e'### %s\n\n    %s(%s) → %s\n\n%s.\n', f.proname, f.proname, pg_temp.arguments(f.oid), pg_get_function_result(f.oid),
              pg_temp.cell(upper(left(f.about, 1)) || substr(f.about, 2)))
  FROM (SELECT p.oid, p.proname, obj_description(p.oid, 'pg_proc') AS about
          FROM pg_depend d JOIN pg_proc p ON p.oid = d.objid JOIN pg_extension e ON e.oid = d.refobjid
         WHERE d.classid = 'pg_proc'::regclass AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
           AND e.extname = 'kgwebhook' AND p.pronamespace = e.extnamespace) f
 ORDER BY f.proname, pg_get_function_arguments(f.oid);

SELECT e'## Settings\n\n| setting | default | takes effect | meaning |\n|---|---|---|---|';
SELECT format('| %s | %s | %s | %s |', pg_temp.code(s.name),
              pg_temp.code(CASE WHEN s.unit = 'ms' AND s.vartype = 'integer' THEN s.boot_val || ' ms' WHEN s.unit IS NULL THEN s.boot_val
                                ELSE concat_ws(' ', s.boot_val, s.unit) END),
              CASE s.context WHEN 'postmaster' THEN 'on restart' WHEN 'user' THEN 'at any time' ELSE 'on reload' END,
              pg_temp.cell(s.short_desc))
  FROM pg_settings s WHERE s.name LIKE 'kgwebhook.%' ORDER BY s.name COLLATE "C";
SELECT '';

SELECT e'## Tables and views\n';
SELECT format(e'### kgwebhook.%s\n\n%s.\n\n| column | type | meaning |\n|---|---|---|\n%s\n', c.relname,
              pg_temp.cell(upper(left(obj_description(c.oid, 'pg_class'), 1)) || substr(obj_description(c.oid, 'pg_class'), 2)),
              (SELECT string_agg(format('| %s | %s | %s |', pg_temp.code(a.attname), pg_temp.code(format_type(a.atttypid, a.atttypmod)),
                                        pg_temp.cell(col_description(c.oid, a.attnum))), e'\n' ORDER BY a.attnum)
                 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped))
  FROM pg_depend d JOIN pg_class c ON c.oid = d.objid JOIN pg_extension e ON e.oid = d.refobjid
 WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
   AND e.extname = 'kgwebhook' AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
 ORDER BY c.relname;
