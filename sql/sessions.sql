--
-- What is sent doesn't depend on who has written the row: every type there is, alone,
-- in arrays and in composites, under every setting that formats.
--
CREATE SCHEMA sessions;
SET search_path = sessions, public;
SET client_min_messages = warning;
\t on
\a
SELECT format('CREATE EXTENSION IF NOT EXISTS %I CASCADE', name)
  FROM pg_available_extensions
 WHERE name IN ('isn', 'hstore', 'citext', 'cube', 'earthdistance', 'ltree', 'seg', 'lo', 'intarray', 'pg_trgm', 'btree_gist') \gexec
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TYPE cashrange AS RANGE (subtype = money, multirange_type_name = cashmultirange);
CREATE DOMAIN price AS numeric(12,2);
CREATE DOMAIN till AS money;
CREATE TABLE "Some class" (a int);
-- a type whose cast sets what it likes, and one that reads what is set
CREATE TYPE a_setting AS ENUM ('x');
CREATE TYPE b_reading AS ENUM ('x');
CREATE FUNCTION to_json_setting(a_setting) RETURNS json LANGUAGE plpgsql
	SET timezone = 'Asia/Tokyo' SET datestyle = 'German' SET intervalstyle = 'iso_8601' SET extra_float_digits = -5 SET bytea_output = 'escape' AS $$
BEGIN
	PERFORM set_config('timezone', 'Asia/Kolkata', false);
	RETURN '"set"';
END $$;
CREATE FUNCTION to_json_reading(b_reading) RETURNS json LANGUAGE sql AS $$
	SELECT to_json(ARRAY['2026-01-02 03:04:05+00'::timestamptz::text, '1 day'::interval::text, '\xff'::bytea::text, 1.5::money::text,
	                     to_char(1234.5, '9G999D9L'), to_char(date '2026-03-01', 'TMMonth'), 'pg_class'::regclass::text]) $$;
CREATE CAST (a_setting AS json) WITH FUNCTION to_json_setting(a_setting);
CREATE CAST (b_reading AS json) WITH FUNCTION to_json_reading(b_reading);

-- one value of each type
CREATE FUNCTION a_value(type text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	v text;
BEGIN
	FOREACH v IN ARRAY ARRAY['1234.50', '[1.50,2.50)', '{[1.50,2.50)}', '"Some class"', '0.1', '12', 'true', 'x', 'good', '2026-01-02 03:04:05.678+02', '1 year 2 days 03:04:05', '01:02:03+02', '\xff00',
		'978-0-393-04002-9', '977-1436-452-00-8', '036000291452', 'M-2306-7118-7', '<a>1</a>', '{"a": 1.50}', '(0.1,2)', '(0.1,2),(3,4)', '((0.1,2),3)', '[(0.1,2),(3,4)]', '{0.1,2,3}', '((1,2),(3,0.1),(5,6))',
		'127.0.0.1', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', '101', '[1,3)', '{[1,3)}', '["2026-01-02 03:04:05+02",)', '{["2026-01-02 03:04:05+02",)}', '[2026-01-02,)', '{[2026-01-02,)}',
		'0/A', '10:20:10,14', '(0,1)', '$."a"', 'a', '=r/' || current_user, 'english', 'simple', '+(int4,int4)', 'int4pl', 'int4pl(int4,int4)', '"C"',
		'00000000-0000-0000-0000-000000000001', ',,,,,', '"a"=>"1"', current_user, 'sessions', 'postgres'] LOOP
		BEGIN
			EXECUTE format('SELECT %L::%s::text', v, type);
			RETURN v;
		EXCEPTION WHEN OTHERS THEN NULL;
		END;
	END LOOP;
	RETURN NULL;
END $$;
CREATE TABLE samples AS
	SELECT row_number() OVER (ORDER BY t.oid)::int AS n, y.type, a_value(y.type) AS value,
	       EXISTS (SELECT FROM pg_type a WHERE a.typelem = t.oid AND a.typcategory = 'A' AND a.typarray = 0) AS has_array
	  FROM pg_type t JOIN pg_namespace s ON s.oid = t.typnamespace,
	   LATERAL (SELECT CASE t.typname WHEN 'bpchar' THEN 'character(12)' ELSE format_type(t.oid, NULL) END AS type) y
	 WHERE t.typtype IN ('b', 'e', 'r', 'm', 'd') AND t.typcategory <> 'A' AND s.nspname IN ('pg_catalog', 'public', 'sessions');
-- which have no value in the list: those that accept no input at all
SELECT type FROM samples WHERE value IS NULL AND type NOT IN ('pg_node_tree', 'pg_ndistinct', 'pg_dependencies', 'pg_mcv_list', 'pg_brin_bloom_summary', 'pg_brin_minmax_multi_summary',
	'earth', 'gtsvector', 'ghstore', 'gtrgm', 'ltree_gist', 'intbig_gkey', 'gbtreekey4', 'gbtreekey8', 'gbtreekey16', 'gbtreekey32', 'gbtreekey_var', 'gbtreekey2') ORDER BY type;
DELETE FROM samples WHERE value IS NULL;
SELECT count(*) > 80 FROM samples;

\set ECHO none
SELECT format('CREATE TYPE whole AS (%s)', string_agg(format('c%s %s', n, type), ', ' ORDER BY n)) FROM samples \gexec
SELECT format('CREATE TABLE everything (id char(8), status char(10), url char(60), org char(10), %s, w whole, ww whole[])',
              string_agg(format('c%s %s', n, type) || CASE WHEN has_array THEN format(', a%s %s[]', n, type) ELSE '' END, ', ' ORDER BY n)) FROM samples \gexec
SELECT count(*) > 0 FROM kg_watch('everything', 'every', 'id', 'status', 'url', 'org',
	(SELECT jsonb_object_agg(attname, attname) - 'status' FROM pg_attribute WHERE attrelid = 'everything'::regclass AND attnum > 0));
SELECT format('INSERT INTO everything (id, status, url, org, %s) VALUES (''A1'', ''new'', ''https://m.example/'', ''acme'', %s)',
              string_agg(format('c%s', n) || CASE WHEN has_array THEN format(', a%s', n) ELSE '' END, ', ' ORDER BY n),
              string_agg(format('%L::%s', value, type) || CASE WHEN has_array THEN format(', ARRAY[%L::%s, NULL]', value, type) ELSE '' END, ', ' ORDER BY n)) FROM samples \gexec
SELECT format('UPDATE everything SET status = ''all'', w = ROW(%1$s), ww = ARRAY[ROW(%1$s)::whole]', string_agg(format('c%s', n), ', ' ORDER BY n)) FROM samples \gexec
\set ECHO all

-- the same row by sessions with other settings
CREATE TABLE settings (name text, value text);
INSERT INTO settings VALUES ('timezone', 'America/New_York'), ('timezone', 'Asia/Kolkata'), ('datestyle', 'German'), ('datestyle', 'SQL, MDY'), ('datestyle', 'Postgres, DMY'),
	('intervalstyle', 'iso_8601'), ('intervalstyle', 'postgres_verbose'), ('intervalstyle', 'sql_standard'), ('extra_float_digits', '-15'), ('extra_float_digits', '3'),
	('bytea_output', 'escape'), ('xmloption', 'document'), ('xmlbinary', 'hex'), ('search_path', 'sessions, public'), ('search_path', 'public, pg_temp, pg_catalog, sessions'),
	('search_path', ''), ('quote_all_identifiers', 'on'), ('lc_monetary', 'POSIX'), ('lc_numeric', 'POSIX'), ('lc_time', 'POSIX'), ('array_nulls', 'off'), ('transform_null_equals', 'on'), ('backslash_quote', 'on');
CREATE FUNCTION under(setting text, new_value text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	old text := current_setting(setting);
BEGIN
	PERFORM set_config(setting, new_value, false);
	UPDATE sessions.everything SET status = 's' || (SELECT pg_catalog.count(*) FROM kgwebhook.queue);
	PERFORM set_config(setting, old, false);
END $$;
SELECT count(under(name, value)) FROM settings;
SELECT count(*) = (SELECT count(*) + 1 FROM settings), count(DISTINCT payload - '{event_id,occurred_at}'::text[]), count(problem) FROM kgwebhook.queue WHERE event <> 'every.new';
SELECT DISTINCT quote_literal(org_id), quote_literal(object_id), quote_literal(url), problem FROM kgwebhook.queue;
-- if not, where they differ
SELECT DISTINCT key, value FROM kgwebhook.queue, jsonb_each(payload - '{event_id,occurred_at}'::text[])
 WHERE event <> 'every.new' AND key IN (SELECT key FROM kgwebhook.queue, jsonb_each(payload - '{event_id,occurred_at}'::text[]) WHERE event <> 'every.new' GROUP BY key HAVING count(DISTINCT value) > 1)
 ORDER BY key;
SELECT event FROM kgwebhook.queue ORDER BY delivery_id LIMIT 3;
-- the elements of an array and the members of a composite are as the column is
SELECT s.type, payload -> ('c' || n) AS "column", payload -> ('a' || n) AS "array", payload #> ARRAY['w', 'c' || n] AS member, payload #> ARRAY['ww', '0', 'c' || n] AS members
  FROM samples s, kgwebhook.queue
 WHERE event = 'every.all'
   AND (has_array AND payload -> ('a' || n) IS DISTINCT FROM jsonb_build_array(payload -> ('c' || n), NULL)
     OR payload -> ('c' || n) IS DISTINCT FROM payload #> ARRAY['w', 'c' || n] OR payload -> ('c' || n) IS DISTINCT FROM payload #> ARRAY['ww', '0', 'c' || n]);
SELECT s.type, payload -> ('c' || n) FROM samples s, kgwebhook.queue
 WHERE event = 'every.all' AND s.type IN ('money', 'till', 'cashrange', 'cashmultirange', 'numeric', 'price', 'bigint', 'integer', 'numrange', 'nummultirange', 'character(12)', 'regclass', 'timestamp with time zone',
	'tstzrange', 'double precision', 'json', 'jsonb', 'hstore', 'bytea', 'interval', 'a_setting', 'b_reading') ORDER BY s.type;
DELETE FROM kgwebhook.queue;

-- money, and what can be in it
CREATE TABLE tills (id int, status text, url text, m money, ms money[], r cashrange, rs cashmultirange, n numeric[], b bigint[]);
SELECT count(*) FROM kg_watch('tills', 'till', 'id', 'status', 'url', NULL, '{"m": "m", "ms": "ms", "r": "r", "rs": "rs", "n": "n", "b": "b"}');
INSERT INTO tills SELECT i, 'new', 'https://m.example/', m::money, ARRAY[[m::money, NULL], [NULL, m::money * -1]], cashrange(m::money, NULL), cashmultirange(cashrange(NULL, m::money, '[]')),
                         '{}', '{9007199254740993,NULL}' FROM (VALUES (1, '-92233720368547758.08'), (2, '92233720368547758.07'), (3, '0.05'), (4, '-0.05'), (5, '0'), (6, NULL)) v(i, m) WHERE i > 1;
SELECT payload - '{event_id,occurred_at}'::text[] AS payload, problem FROM kgwebhook.queue ORDER BY delivery_id;
INSERT INTO tills VALUES (7, 'new', 'https://m.example/', '-92233720368547758.08', '{}', 'empty', '{}', '{{1.50,2},{NULL,NaN}}', '[0:1]={1,2}');
SELECT payload - '{event_id,occurred_at}'::text[] AS payload, problem FROM kgwebhook.queue ORDER BY delivery_id DESC LIMIT 1;

DROP SCHEMA sessions CASCADE;
DELETE FROM kgwebhook.queue;
