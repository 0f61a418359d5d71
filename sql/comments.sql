--
-- What the extension consists of: every object says what it is for, nothing
-- runs SQL on a search_path of someone else's, and nothing is open to PUBLIC
-- but the three functions for receivers.
--
-- (Version 18 makes the row type of a table a member, too.)
CREATE TEMP VIEW member AS
	SELECT d.classid, d.objid, d.classid::regclass::text AS catalog,
	       pg_describe_object(d.classid, d.objid, 0) AS name
	  FROM pg_depend d
	  JOIN pg_extension e ON e.oid = d.refobjid
	 WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
	   AND e.extname = 'kgwebhook'
	   AND NOT EXISTS (SELECT FROM pg_type t
	                    WHERE d.classid = 'pg_type'::regclass AND t.oid = d.objid
	                      AND (t.typrelid <> 0 OR t.typelem <> 0));

-- a partition repeats its parent's columns and indexes
CREATE TEMP VIEW relation AS
	SELECT c.oid, c.relkind, c.relispartition
	  FROM member m JOIN pg_class c ON c.oid = m.objid
	 WHERE m.classid = 'pg_class'::regclass;

-- the queries below look at something
SELECT catalog, count(*) > 0 AS some FROM member GROUP BY catalog ORDER BY catalog COLLATE "C";

SELECT name AS member_without_comment
  FROM member
 WHERE obj_description(objid, catalog::name) IS NULL
 ORDER BY name COLLATE "C";

SELECT r.oid::regclass AS relation, a.attname AS column_without_comment
  FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid
 WHERE r.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT r.relispartition
   AND a.attnum > 0 AND NOT a.attisdropped
   AND col_description(r.oid, a.attnum) IS NULL
 ORDER BY 1, a.attnum;

SELECT i.indexrelid::regclass AS index_without_comment
  FROM relation r JOIN pg_index i ON i.indrelid = r.oid
  JOIN pg_class c ON c.oid = i.indexrelid
 WHERE NOT c.relispartition
   AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = i.indexrelid)
   AND obj_description(i.indexrelid, 'pg_class') IS NULL
 ORDER BY 1;

SELECT t.tgrelid::regclass AS relation, t.tgname AS trigger_without_comment
  FROM relation r JOIN pg_trigger t ON t.tgrelid = r.oid
 WHERE NOT t.tgisinternal AND obj_description(t.oid, 'pg_trigger') IS NULL
 ORDER BY 1, 2;

--
-- Functions: whose rights they run with, and on which search_path.  Those that
-- have none pinned either run no SQL (enqueue(), the receivers' three,
-- installed(), log_retention(), and those that merchants' roles may call, which call
-- their implementation), or create or update a table as the caller would.  The names in
-- events_between() were looked up when it was created.
--
SELECT p.pronamespace::regnamespace AS schema, p.proname,
       CASE WHEN p.prosecdef THEN 'definer' ELSE 'invoker' END AS rights,
       array_to_string(p.proconfig, ', ') AS settings,
       p.provolatile AS volatile, p.proparallel AS parallel, p.proisstrict AS strict
  FROM member m JOIN pg_proc p ON p.oid = m.objid
 WHERE m.classid = 'pg_proc'::regclass
 ORDER BY p.pronamespace::regnamespace::text COLLATE "C", p.proname COLLATE "C",
          pg_get_function_identity_arguments(p.oid) COLLATE "C";

SELECT p.proname AS definer_on_a_foreign_path
  FROM member m JOIN pg_proc p ON p.oid = m.objid
 WHERE m.classid = 'pg_proc'::regclass
   AND p.prosecdef AND NOT 'search_path=pg_catalog, pg_temp' = ANY (coalesce(p.proconfig, '{}'));

--
-- Rights
--
SELECT p.proname AS public_may_execute
  FROM member m JOIN pg_proc p ON p.oid = m.objid
 WHERE m.classid = 'pg_proc'::regclass
   AND has_function_privilege('public', p.oid, 'EXECUTE')
 ORDER BY p.proname COLLATE "C";

SELECT c.oid::regclass AS relation, a.privilege_type AS granted_to_public
  FROM relation r JOIN pg_class c ON c.oid = r.oid, aclexplode(c.relacl) a
 WHERE a.grantee = 0
UNION ALL
SELECT a.attrelid::regclass, x.privilege_type
  FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid, aclexplode(a.attacl) x
 WHERE x.grantee = 0;

SELECT a.grantee::regrole, n.nspname AS schema, a.privilege_type AS granted
  FROM pg_namespace n, aclexplode(n.nspacl) a
 WHERE n.nspname = 'kgwebhook' AND a.grantee <> n.nspowner
 ORDER BY 1::text COLLATE "C", 3;

SELECT a.grantee::regrole, c.oid::regclass AS relation, a.privilege_type AS granted
  FROM relation r JOIN pg_class c ON c.oid = r.oid, aclexplode(c.relacl) a
 WHERE a.grantee <> c.relowner
 ORDER BY c.relname COLLATE "C", 3;

--
-- What is dumped with the data, and what isn't logged (nothing)
--
SELECT c.oid::regclass AS dumped
  FROM pg_extension e, unnest(e.extconfig) x JOIN pg_class c ON c.oid = x
 WHERE e.extname = 'kgwebhook'
 ORDER BY c.relname COLLATE "C";

SELECT c.oid::regclass AS not_logged
  FROM relation r JOIN pg_class c ON c.oid = r.oid
 WHERE c.relpersistence <> 'p';
