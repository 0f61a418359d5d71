--
-- A column of whatever type: no type fails or crashes the write, and none is
-- left out of the payload without a reason.  Neither does a cast of a
-- user's, which runs in the midst of it.
--
CREATE SCHEMA types;
SET search_path = types, public;
SET client_min_messages = warning;
\t on
\a
CREATE FUNCTION pg_temp.take() RETURNS TABLE (object_id text, payload jsonb, problem text)
LANGUAGE sql AS $$
	WITH taken AS (DELETE FROM kgwebhook.queue RETURNING *)
	SELECT object_id, payload - '{event_id,occurred_at}'::text[] AS payload, problem FROM taken ORDER BY delivery_id
$$;

--
-- Types that are passed by value, of each length and alignment, and beside them
-- one that is not; with domains and arrays
--
CREATE TYPE v1; CREATE TYPE v2; CREATE TYPE v4; CREATE TYPE v8; CREATE TYPE ref;
SELECT format('CREATE FUNCTION %1$s_in(cstring) RETURNS %1$s LANGUAGE internal IMMUTABLE STRICT AS %2$L', n, f || 'in'),
       format('CREATE FUNCTION %1$s_out(%1$s) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS %2$L', n, f || 'out'),
       format('CREATE TYPE %1$s (INPUT = %1$s_in, OUTPUT = %1$s_out, LIKE = %2$s)', n, l)
  FROM (VALUES ('v1', 'bool', 'bool'), ('v2', 'int2', 'int2'), ('v4', 'int4', 'int4'), ('v8', 'int8', 'int8'), ('ref', 'name', 'name')) t(n, f, l) \gexec
SELECT typname, typlen, typbyval, typalign FROM pg_type WHERE typname IN ('v1', 'v2', 'v4', 'v8', 'ref') ORDER BY typlen;
CREATE DOMAIN dv1 AS v1; CREATE DOMAIN dv2 AS v2; CREATE DOMAIN dv4 AS v4; CREATE DOMAIN dv8 AS v8;
CREATE DOMAIN dclass AS regclass; CREATE DOMAIN dint AS int; CREATE DOMAIN ddint AS dint;
CREATE TYPE pair AS (a v2, b v8, c regtype);
CREATE TABLE t (id text, status text, url text, a v1, b v2, c v4, d v8, e ref, da dv1, db dv2, dc dv4, dd dv8,
	aa v1[], ab v2[], ac v4[], ad dv8[], p pair, ap pair[], r regclass, y regtype, dr dclass, di ddint, o oid, ch "char", x xid);
SELECT count(*) FROM kg_watch('t', 't', 'id', 'status', 'url', NULL,
	(SELECT jsonb_object_agg(attname, attname) FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 3));
INSERT INTO t VALUES ('1', 'new', 'https://m.example/', 't', '-2', '-4', '-8', 'name', 'f', '2', '4', '8',
	'{t,f}', '{-2,2}', '{-4,NULL}', '{8}', '(-2,-8,text)', ARRAY['(2,8,int4)'::pair, NULL],
	'pg_class', 'numeric', 'pg_type', 7, 4294967295, 'c', '4294967295');
SELECT jsonb_pretty(payload), problem FROM pg_temp.take();
-- as what identifies the object, says its status, or where it is called
CREATE TABLE names (id v8, status v2, url text);
SELECT count(*) FROM kg_watch('names', 'n', 'id', 'status', 'url', NULL, '{"id": "id"}');
INSERT INTO names VALUES ('-8', '1', 'https://m.example/');
UPDATE names SET status = '2';
SELECT object_id, event, payload - '{event_id,occurred_at}'::text[] AS payload, problem FROM kgwebhook.queue ORDER BY delivery_id;
SELECT count(*) FROM pg_temp.take();

--
-- Every type there is, those of contrib included
--
SELECT format('CREATE EXTENSION IF NOT EXISTS %I CASCADE', name)
  FROM pg_available_extensions
 WHERE name IN ('isn', 'hstore', 'citext', 'cube', 'earthdistance', 'ltree', 'seg', 'lo', 'intarray', 'pg_trgm', 'btree_gist')
 ORDER BY name \gexec
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE FUNCTION a_value(type text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	v text;
BEGIN
	FOREACH v IN ARRAY ARRAY['1', '1-1-1', '9780393040029', '977-1436-452-00-8', '036000291452', 'M-2306-7118-7', 'pg_class', 'good', '<a>1</a>', '{}',
		'(1,2)', '((1,2),3)', '[(1,2),(3,4)]', '{1,2,3}', '((1,2),(3,4),(5,6))', '127.0.0.1', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05',
		'2026-01-02', '01:02:03', '1 day', '01', '[1,2)', 'empty', '0/0', '10:20:10,14', '(0,1)', '$."a"', 'a', 'true', '=r/postgres',
		'english', 'simple', '+(int4,int4)', 'int4pl', 'int4pl(int4,int4)', '"C"', '00000000-0000-0000-0000-000000000000', ',,', '(,)', '{"a": 1}', 'YES', current_user, 'types', '(1,1),(0,0)', '(0,0,0)', 'a=>1', '(1,2,text)', '(0,0,6378168)'] LOOP
		BEGIN
			EXECUTE format('SELECT %L::%s', v, type);
			RETURN v;
		EXCEPTION WHEN OTHERS THEN
			NULL;
		END;
	END LOOP;
	RETURN NULL;
END $$;
-- those that nothing can be written to: PostgreSQL's own, internal ones
CREATE TABLE tried AS
SELECT format_type(oid, NULL) AS type, typarray <> 0 AS has_array, a_value(format_type(oid, NULL)) AS value
  FROM pg_type y
 WHERE typtype IN ('b', 'd', 'e', 'r', 'm') AND typelem = 0 OR typname IN ('point', 'box', 'lseg', 'name', 'oidvector', 'int2vector', 'line', 'pair');
SELECT type FROM tried WHERE value IS NULL AND type !~ '^gbtreekey|^pg_(node_tree|ndistinct|dependencies|mcv_list|ddl_command|brin_)|gtrgm|gtsvector|ltree_gist|intbig_gkey|ghstore' ORDER BY type COLLATE "C";
SELECT count(*) > 100 FROM tried WHERE value IS NOT NULL;
DO $$
DECLARE
	v record;
BEGIN
	FOR v IN SELECT * FROM tried WHERE value IS NOT NULL LOOP
		EXECUTE format('CREATE TABLE one (id text, status text, url text, v %s, a %s)', v.type,
			CASE WHEN v.has_array THEN v.type || '[]' ELSE 'text' END);
		PERFORM kg_watch('one', 'one', 'id', 'status', 'url', NULL, '{"v": "v", "a": "a"}');
		EXECUTE format('INSERT INTO one SELECT %L, ''new'', ''https://m.example/'', v, %s FROM (SELECT %L::%s AS v) i',
			v.type, CASE WHEN v.has_array THEN 'ARRAY[v, NULL]' ELSE '''x''' END, v.value, v.type);
		UPDATE one SET status = 'paid';
		DROP TABLE one;
	END LOOP;
END $$;
SELECT count(*) = 2 * (SELECT count(*) FROM tried WHERE value IS NOT NULL) FROM kgwebhook.queue;
SELECT object_id, problem, payload - '{event_id,occurred_at}'::text[] AS payload FROM kgwebhook.queue
 WHERE problem IS NOT NULL OR jsonb_typeof(payload -> 'v') IS NULL OR payload -> 'v' = 'null' OR payload -> 'a' IS NULL ORDER BY delivery_id;
SELECT count(*) > 0 FROM pg_temp.take();

--
-- A cast of the table's owner that changes the table, and writes to it, while
-- its row is being read: what is known of the table must outlive that
--
CREATE TYPE odd AS ENUM ('x');
CREATE TABLE changing (id text, status text, url text, n1 bigint, n2 bigint, n3 bigint, c odd[], z1 text, z2 text, z3 text);
CREATE FUNCTION odd_json(odd) RETURNS json LANGUAGE plpgsql AS $$
BEGIN
	IF current_setting('types.depth', true) = '1' THEN RETURN '1'; END IF;
	PERFORM set_config('types.depth', '1', true);
	ALTER TABLE types.changing RENAME COLUMN n1 TO a_much_longer_name_than_it_was_before_0123456789_0123456789;
	INSERT INTO types.changing(id, status, url, c) VALUES ('inner', 'new', NULL, NULL);
	INSERT INTO types.changing(id, status, url, c) VALUES ('inner2', 'new', 'https://m.example/', NULL);
	RETURN '2';
END $$;
CREATE CAST (odd AS json) WITH FUNCTION odd_json(odd);
SELECT count(*) FROM kg_watch('changing', 'changing', 'id', 'status', 'url', NULL);
INSERT INTO changing VALUES ('outer', 'new', 'https://m.example/', 1, 2, 3, ARRAY['x']::odd[], 'z1', 'z2', 'z3');
SELECT * FROM pg_temp.take() ORDER BY object_id;
-- again and again, each time from within the other
CREATE OR REPLACE FUNCTION odd_json(odd) RETURNS json LANGUAGE plpgsql AS $$
DECLARE
	depth int := current_setting('types.depth', true)::int;
BEGIN
	IF depth = 20 THEN RETURN '1'; END IF;
	PERFORM set_config('types.depth', (depth + 1)::text, true);
	EXECUTE format('ALTER TABLE types.changing RENAME COLUMN y%s TO y%s', depth, depth + 1);
	INSERT INTO types.changing(id, status, url, c) VALUES ('inner' || depth, 'new', 'https://m.example/', ARRAY['x']::types.odd[]);
	RETURN '2';
END $$;
ALTER TABLE changing RENAME COLUMN z1 TO y0;
SET types.depth = 0;
INSERT INTO changing VALUES ('outer', 'new', 'https://m.example/', 1, 2, 3, ARRAY['x']::odd[], 'z1', 'z2', 'z3');
SELECT count(*), max(problem), count(DISTINCT object_id) FROM pg_temp.take();

--
-- A cast that is cancelled, where the application catches that: the payment goes
-- with its event, or stays away with it
--
CREATE TYPE slow AS ENUM ('x');
CREATE FUNCTION slow_json(slow) RETURNS json LANGUAGE plpgsql AS $$
BEGIN
	IF current_setting('types.raise', true) = 'sleep' THEN PERFORM pg_sleep(600);
	ELSE RAISE EXCEPTION USING ERRCODE = current_setting('types.raise'); END IF;
	RETURN '1';
END $$;
CREATE CAST (slow AS json) WITH FUNCTION slow_json(slow);
CREATE TABLE cars (id text, status text, url text, s slow[]);
SELECT count(*) FROM kg_watch('cars', 'car', 'id', 'status', 'url', NULL, '{"id": "id", "s": "s"}');
INSERT INTO cars VALUES ('c1', 'new', 'https://m.example/', NULL);
SELECT count(*) FROM pg_temp.take();
CREATE FUNCTION pay(what text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('types.raise', what, true);
	BEGIN
		UPDATE cars SET status = 'paid', s = '{x}';
	EXCEPTION WHEN query_canceled OR admin_shutdown OR SQLSTATE '57XYZ' THEN
		RETURN 'nothing was changed';
	END;
	RETURN 'paid';
END $$;
SET client_min_messages = notice;
SELECT w, pay(w) FROM unnest(ARRAY['57014', '57P01', '57XYZ']) w;
SELECT status, (SELECT count(*) FROM kgwebhook.queue) FROM cars;
BEGIN;
SET LOCAL statement_timeout = '300ms';
SELECT pay('sleep');
COMMIT;
SELECT status, (SELECT count(*) FROM kgwebhook.queue) FROM cars;
-- in no transaction block, and then none is open
SET statement_timeout = '300ms';
SELECT pay('sleep');
RESET statement_timeout;
SELECT now() = statement_timestamp();
SELECT status, (SELECT count(*) FROM kgwebhook.queue) FROM cars;
-- whatever else the cast raises is the delivery's problem
SELECT pay('40001'), pay('22012');
SELECT status FROM cars;
SELECT * FROM pg_temp.take();

-- a cast that has nothing to say of a value says null
CREATE TYPE silent AS ENUM ('x');
CREATE FUNCTION silent_json(silent) RETURNS json LANGUAGE sql AS 'SELECT NULL::json';
CREATE CAST (silent AS json) WITH FUNCTION silent_json(silent);
CREATE TABLE quiet (id text, status text, url text, s silent, ss silent[]);
SELECT count(*) FROM kg_watch('quiet', 'quiet', 'id', 'status', 'url', NULL, '{"id": "id", "s": "s", "ss": "ss"}');
INSERT INTO quiet VALUES ('q', 'new', 'https://m.example/', 'x', '{x,NULL}');
SELECT * FROM pg_temp.take();

-- a generated column that is virtual (PostgreSQL 18) is not in the row that a trigger sees
DO $$
DECLARE
    told text;
BEGIN
    IF current_setting('server_version_num')::int < 180000 THEN
        RETURN;
    END IF;
    EXECUTE 'CREATE TABLE doubled (id int PRIMARY KEY, state text, hook text, n int,
                 twice int GENERATED ALWAYS AS (n * 2) VIRTUAL, thrice int GENERATED ALWAYS AS (n * 3) STORED)';
    SELECT string_agg(w.note, ' ') INTO told FROM kg_watch('doubled', 'doubled', 'id', 'state', 'hook', NULL) w;
    ASSERT told ~ 'warning: column "twice" is not sent: it is a virtual generated column', told;
    EXECUTE 'INSERT INTO doubled VALUES (1, ''new'', ''https://m.example/'', 7)';
    SELECT q.payload::text INTO told FROM kgwebhook.queue q WHERE q.kind = 'doubled' AND q.problem IS NULL;
    ASSERT told ~ '"thrice": 21' AND told !~ 'twice', told;
    BEGIN
        PERFORM kg_watch('doubled', 'doubled', 'id', 'state', 'hook', NULL, '{"t": "twice"}');
        RAISE 'a virtual column is not refused';
    EXCEPTION WHEN feature_not_supported THEN
        GET STACKED DIAGNOSTICS told = MESSAGE_TEXT;
        ASSERT told = 'column "twice" of table "doubled" is virtual', told;
    END;
    DELETE FROM kgwebhook.queue WHERE kind = 'doubled';
    EXECUTE 'DROP TABLE doubled';
END $$;

SET client_min_messages = warning;
DROP SCHEMA types CASCADE;
DROP EXTENSION IF EXISTS earthdistance, cube, isn, hstore, citext, ltree, seg, lo, intarray, pg_trgm, btree_gist CASCADE;
