--
-- A transition is seen in whatever shape it comes, and once: rows that move
-- between partitions, partitions that come and go, tables that are altered,
-- dropped, truncated.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set refused :abs_srcdir '/sql/include/refused.sql'
\set ECHO none
\i :refused
\set ECHO all
CREATE SCHEMA shapes;
SET search_path = shapes, public;
\t on
\a
CREATE FUNCTION pg_temp.take() RETURNS TABLE (event text, object_id text, payload jsonb, problem text)
LANGUAGE sql AS $$
	WITH taken AS (DELETE FROM kgwebhook.queue RETURNING *)
	SELECT event, object_id, payload - '{event_id,occurred_at}'::text[] AS payload, problem FROM taken ORDER BY delivery_id
$$;

-- three levels; no two of them number their columns alike
CREATE TABLE pay (region text, id text, status text, url text, note text) PARTITION BY LIST (region);
CREATE TABLE pay_eu PARTITION OF pay FOR VALUES IN ('eu');
CREATE TABLE pay_us (gone int, url text, note text, status text, gone2 int, id text, region text);
ALTER TABLE pay_us DROP COLUMN gone, DROP COLUMN gone2;
ALTER TABLE pay ATTACH PARTITION pay_us FOR VALUES IN ('us');
CREATE TABLE pay_asia (status text, region text, id text, note text, url text) PARTITION BY LIST (region);
CREATE TABLE pay_jp PARTITION OF pay_asia FOR VALUES IN ('jp');
ALTER TABLE pay ATTACH PARTITION pay_asia FOR VALUES IN ('jp', 'cn');
SELECT count(*) FROM kg_watch('pay', 'pay', 'id', 'status', 'url', NULL, '{"id": "id", "status": "status", "region": "region"}');
INSERT INTO pay SELECT r, r || '1', 'new', 'https://m.example/' FROM unnest(ARRAY['eu', 'us', 'jp']) r;
SELECT * FROM pg_temp.take();

--
-- Moving to another partition: an event if the status changes, else none
--
UPDATE pay SET region = 'us' WHERE id = 'eu1';
UPDATE pay SET region = 'jp', note = 'moved' WHERE id = 'us1';
UPDATE pay SET region = 'eu' WHERE id = 'jp1';
SELECT * FROM pg_temp.take();
UPDATE pay SET region = CASE region WHEN 'eu' THEN 'us' WHEN 'us' THEN 'jp' ELSE 'eu' END;
SELECT * FROM pg_temp.take();
UPDATE pay SET region = 'eu', status = 'paid' WHERE id = 'eu1';
SELECT * FROM pg_temp.take();
UPDATE pay SET region = CASE region WHEN 'eu' THEN 'us' WHEN 'us' THEN 'jp' ELSE 'eu' END,
               status = CASE id WHEN 'us1' THEN 'paid' ELSE status END;
SELECT * FROM pg_temp.take();
-- there and back in one transaction, and in a savepoint that is rolled back
BEGIN;
UPDATE pay SET region = 'eu' WHERE id = 'eu1';
UPDATE pay SET region = 'us' WHERE id = 'eu1';
SAVEPOINT s;
UPDATE pay SET region = 'jp', status = 'lost' WHERE id = 'eu1';
ROLLBACK TO s;
UPDATE pay SET region = 'jp' WHERE id = 'eu1';
SAVEPOINT s;
UPDATE pay SET region = 'eu' WHERE id = 'eu1';
RELEASE s;
UPDATE pay SET region = 'us', status = 'kept' WHERE id = 'eu1';
COMMIT;
SELECT tableoid::regclass, id, status FROM pay WHERE id = 'eu1';
SELECT * FROM pg_temp.take();
-- from NULL, and to NULL
UPDATE pay SET region = 'jp', status = NULL WHERE id = 'eu1';
SELECT * FROM pg_temp.take();
UPDATE pay SET region = 'eu' WHERE id = 'eu1';
SELECT * FROM pg_temp.take();
UPDATE pay SET region = 'us', status = 'again' WHERE id = 'eu1';
SELECT * FROM pg_temp.take();
-- MERGE
MERGE INTO pay USING (VALUES ('eu1', 'eu', 'again'), ('us1', 'us', 'merged'), ('m', 'jp', 'new')) s(id, region, status)
   ON pay.id = s.id
 WHEN MATCHED THEN UPDATE SET region = s.region, status = s.status
 WHEN NOT MATCHED THEN INSERT (id, region, status, url) VALUES (s.id, s.region, s.status, 'https://m.example/');
SELECT * FROM pg_temp.take() ORDER BY object_id;
-- moves and a creation in one statement
CREATE TABLE pay_cn PARTITION OF pay_asia FOR VALUES IN ('cn');
WITH u AS (UPDATE pay SET region = 'us' WHERE id = 'eu1' RETURNING *),
     v AS (UPDATE pay SET region = 'eu', status = 'both' WHERE id = 'us1' RETURNING *)
INSERT INTO pay VALUES ('cn', 'c', 'new', 'https://m.example/');
SELECT * FROM pg_temp.take() ORDER BY object_id;
-- ON CONFLICT can't move a row; PostgreSQL says so itself
ALTER TABLE pay_us ADD UNIQUE (id);
SELECT pg_temp.refused($$INSERT INTO pay_us (region, id, status) VALUES ('us', 'eu1', 'x') ON CONFLICT (id) DO UPDATE SET region = 'eu'$$);
INSERT INTO pay_us (region, id, status) VALUES ('us', 'eu1', 'x') ON CONFLICT (id) DO UPDATE SET status = 'conflict';
SELECT * FROM pg_temp.take();

--
-- What was deleted and inserted in one transaction never was away (see moved.sql)
--
SELECT tableoid::regclass, id, status FROM pay ORDER BY id;
BEGIN;
DELETE FROM pay WHERE id = 'eu1';
INSERT INTO pay VALUES ('eu', 'eu1', 'conflict', 'https://m.example/');
COMMIT;
SELECT * FROM pg_temp.take();
WITH d AS (DELETE FROM pay WHERE id = 'eu1' RETURNING *)
INSERT INTO pay SELECT 'us', id, status, url FROM d;
SELECT * FROM pg_temp.take();
-- also after a move in the same transaction
BEGIN;
UPDATE pay SET region = 'eu' WHERE id = 'eu1';
DELETE FROM pay WHERE id = 'eu1';
INSERT INTO pay VALUES ('us', 'eu1', 'conflict', 'https://m.example/');
COMMIT;
SELECT * FROM pg_temp.take();
MERGE INTO pay USING (VALUES ('eu1', 'd'), ('n', 'i')) s(id, what) ON pay.id = s.id
 WHEN MATCHED THEN DELETE
 WHEN NOT MATCHED THEN INSERT (id, region, status, url) VALUES (s.id, 'eu', 'conflict', 'https://m.example/');
SELECT * FROM pg_temp.take();
-- under another identifier it is another object
UPDATE pay SET region = 'us', id = 'n2' WHERE id = 'n';
SELECT * FROM pg_temp.take();
UPDATE pay SET id = 'n3' WHERE id = 'n2';
UPDATE pay SET id = 'n4', status = 'renamed' WHERE id = 'n3';
SELECT * FROM pg_temp.take();

--
-- Triggers of the user's on the way
--
-- one that swallows the row: it went, until it is inserted again
CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN CASE WHEN NEW.note = 'swallow' THEN NULL ELSE NEW END; END $$;
CREATE TRIGGER swallow BEFORE INSERT ON pay_cn FOR EACH ROW EXECUTE FUNCTION swallow();
INSERT INTO pay VALUES ('eu', 's1', 'new', 'https://m.example/', 'swallow'), ('eu', 's2', 'new', 'https://m.example/', 'keep');
SELECT count(*) FROM pg_temp.take();
WITH u AS (UPDATE pay SET region = 'cn' WHERE id IN ('s1', 's2'))
INSERT INTO pay VALUES ('cn', 's3', 'new', 'https://m.example/');
SELECT * FROM pg_temp.take();
BEGIN;
INSERT INTO pay VALUES ('eu', 's1', 'new', 'https://m.example/', 'swallow');
SELECT count(*) FROM pg_temp.take();
UPDATE pay SET region = 'cn' WHERE id = 's1';
INSERT INTO pay VALUES ('cn', 's1', 'new', 'https://m.example/');
COMMIT;
SELECT * FROM pg_temp.take();
-- one that moves another row in between, and one that changes the status
CREATE FUNCTION in_between() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF OLD.id = 's2' THEN UPDATE pay SET region = 'us' WHERE id = 's3'; END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER zz_in_between AFTER DELETE ON pay_cn FOR EACH ROW EXECUTE FUNCTION in_between();
CREATE FUNCTION before() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.status := 'arrived in ' || NEW.region; RETURN NEW; END $$;
CREATE TRIGGER before BEFORE INSERT ON pay_jp FOR EACH ROW EXECUTE FUNCTION before();
UPDATE pay SET region = 'eu' WHERE id = 's2';
SELECT tableoid::regclass, id FROM pay WHERE id IN ('s2', 's3') ORDER BY id;
SELECT * FROM pg_temp.take();
UPDATE pay SET region = 'jp' WHERE id = 's2';
SELECT * FROM pg_temp.take();
-- an error between the halves takes all of it back
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE division_by_zero; END $$;
CREATE TRIGGER zz_fail AFTER DELETE ON pay_jp FOR EACH ROW EXECUTE FUNCTION fail();
DO $$
BEGIN
	BEGIN
		UPDATE pay SET region = 'eu' WHERE id = 's2';
	EXCEPTION WHEN division_by_zero THEN
		INSERT INTO pay VALUES ('us', 's2', 'arrived in jp', 'https://m.example/');
	END;
END $$;
SELECT * FROM pg_temp.take();
DROP TRIGGER zz_fail ON pay_jp;
DELETE FROM pay WHERE id = 's2';
DELETE FROM pay;
SELECT * FROM pg_temp.take();

--
-- Partitions that come and go
--
CREATE TABLE pay_later PARTITION OF pay FOR VALUES IN ('later');
CREATE TABLE pay_rest PARTITION OF pay DEFAULT;
CREATE TABLE pay_sub PARTITION OF pay FOR VALUES IN ('sub') PARTITION BY LIST (id);
CREATE TABLE pay_sub_a PARTITION OF pay_sub FOR VALUES IN ('a');
CREATE TABLE pay_old (region text, id text, status text, url text, note text);
INSERT INTO pay_old VALUES ('old', 'o', 'new', 'https://m.example/');
ALTER TABLE pay ATTACH PARTITION pay_old FOR VALUES IN ('old');
SELECT * FROM pg_temp.take();
INSERT INTO pay VALUES ('later', 'l', 'new', 'https://m.example/'), ('anywhere', 'r', 'new', 'https://m.example/'),
                       ('sub', 'a', 'new', 'https://m.example/');
SELECT * FROM pg_temp.take();
UPDATE pay SET region = 'later' WHERE id <> 'l';
UPDATE pay SET region = 'sub' WHERE id = 'a';
SELECT * FROM pg_temp.take();
UPDATE pay SET region = 'sub', status = 'old' WHERE id = 'a';
UPDATE pay_later SET status = 'by its own name' WHERE id = 'r';
COPY pay_later FROM STDIN;
later	copied	new	https://m.example/	\N
\.
SELECT * FROM pg_temp.take();
ALTER TABLE pay DETACH PARTITION pay_later;
ALTER TABLE pay DETACH PARTITION pay_rest;
ALTER TABLE pay DETACH PARTITION pay_old CONCURRENTLY;
UPDATE pay_later SET status = 'on its own';
INSERT INTO pay_old VALUES ('old', 'o2', 'new', 'https://m.example/');
DELETE FROM pay_later;
SELECT * FROM pg_temp.take();
ALTER TABLE pay ATTACH PARTITION pay_old FOR VALUES IN ('old');
UPDATE pay SET status = 'back' WHERE id = 'o2';
SELECT * FROM pg_temp.take();
-- a watched table that becomes a partition of one that isn't stays watched
CREATE TABLE whole (LIKE pay) PARTITION BY LIST (region);
CREATE TABLE whole_2 PARTITION OF whole FOR VALUES IN ('2');
CREATE TABLE whole_1 (LIKE pay);
SELECT count(*) FROM kg_watch('whole_1', 'whole', 'id', 'status', 'url', NULL, '{"id": "id"}');
ALTER TABLE whole ATTACH PARTITION whole_1 FOR VALUES IN ('1');
INSERT INTO whole VALUES ('1', 'w1', 'new', 'https://m.example/'), ('2', 'w2', 'new', 'https://m.example/');
UPDATE whole SET region = '1' WHERE id = 'w2';
SELECT * FROM pg_temp.take();
-- two watched tables under one roof: to the one that a row comes to it is new
CREATE TABLE whole_p (LIKE pay) PARTITION BY LIST (region);
CREATE TABLE whole_p3 PARTITION OF whole_p FOR VALUES IN ('3');
SELECT count(*) FROM kg_watch('whole_p', 'p', 'id', 'status', 'url', NULL, '{"id": "id"}');
ALTER TABLE whole ATTACH PARTITION whole_p FOR VALUES IN ('3');
UPDATE whole SET region = '3' WHERE id = 'w1';
UPDATE whole SET region = '1' WHERE id = 'w1';
SELECT * FROM pg_temp.take();
ALTER TABLE whole DETACH PARTITION whole_p;
-- of two that are watched, one can't become a partition of the other, and none is watched twice
ALTER TABLE pay ATTACH PARTITION whole_p FOR VALUES IN ('3');
SELECT count(*) FROM kg_watch('whole', 'whole', 'id', 'status', 'url', NULL, '{"id": "id"}');
BEGIN;
SELECT kg_unwatch('whole_p');
ALTER TABLE pay ATTACH PARTITION whole_p FOR VALUES IN ('3');
SELECT kg_unwatch('whole_1');
SELECT count(*) FROM kg_watch('whole', 'whole', 'id', 'status', 'url', NULL, '{"id": "id"}');
SELECT count(*) FROM kg_watch('whole', 'whole', 'id', 'status', 'url', NULL, '{"id": "id"}');
INSERT INTO whole VALUES ('1', 'w4', 'new', 'https://m.example/');
INSERT INTO pay VALUES ('3', 'w5', 'new', 'https://m.example/');
SELECT * FROM pg_temp.take();
ROLLBACK;

-- a foreign partition
CREATE EXTENSION postgres_fdw;
\set ECHO none
SELECT format('CREATE SERVER shapes_here FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host %L, port %L, dbname %L)',
              split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port'), current_database()) \gexec
\set ECHO all
CREATE USER MAPPING FOR CURRENT_USER SERVER shapes_here;
CREATE TABLE there (LIKE pay);
CREATE FOREIGN TABLE pay_far PARTITION OF pay FOR VALUES IN ('far')
	SERVER shapes_here OPTIONS (schema_name 'shapes', table_name 'there');
INSERT INTO pay VALUES ('far', 'f', 'new', 'https://m.example/'), ('us', 'g', 'new', 'https://m.example/'), ('us', 'h', 'new', 'https://m.example/');
UPDATE pay SET region = 'far' WHERE region = 'us' AND id = 'g';
UPDATE pay SET region = 'far', status = 'far away' WHERE region = 'us' AND id = 'h';
UPDATE pay SET status = 'seen from afar' WHERE id = 'f';
SELECT * FROM pg_temp.take();
SET client_min_messages = warning;
DROP SERVER shapes_here CASCADE;
DROP EXTENSION postgres_fdw;
RESET client_min_messages;

--
-- Tables that are renamed, altered
--
CREATE SCHEMA shapes2;
ALTER TABLE pay RENAME COLUMN status TO state;
ALTER TABLE pay RENAME TO paid;
ALTER TABLE paid SET SCHEMA shapes2;
ALTER TABLE pay_us SET SCHEMA shapes2;
INSERT INTO shapes2.paid VALUES ('us', 'x', 'new', 'https://m.example/');
UPDATE shapes2.paid SET region = 'eu' WHERE id = 'x';
UPDATE shapes2.paid SET region = 'us', state = 'paid' WHERE id = 'x';
SELECT * FROM pg_temp.take();
ALTER TABLE shapes2.paid ALTER COLUMN state TYPE varchar(20), ADD COLUMN more int DEFAULT 7, DROP COLUMN note;
UPDATE shapes2.paid SET region = 'eu', state = 'altered' WHERE id = 'x';
SELECT * FROM pg_temp.take();
SELECT relation FROM kgwebhook.watch WHERE event = 'pay';
-- without its status only creations are known
ALTER TABLE shapes2.paid DROP COLUMN state;
UPDATE shapes2.paid SET region = 'us' WHERE id = 'x';
INSERT INTO shapes2.paid (region, id, url) VALUES ('eu', 'y', 'https://m.example/');
SELECT * FROM pg_temp.take();

--
-- A replica's changes are someone else's events, unless they are asked for
--
CREATE TABLE applied (id text, status text, url text, region text) PARTITION BY LIST (region);
CREATE TABLE applied_1 PARTITION OF applied FOR VALUES IN ('1');
CREATE TABLE applied_2 PARTITION OF applied FOR VALUES IN ('2');
SELECT count(*) FROM kg_watch('applied', 'applied', 'id', 'status', 'url', NULL, '{"id": "id"}');
SET session_replication_role = replica;
INSERT INTO applied VALUES ('a', 'new', 'https://m.example/', '1');
UPDATE applied SET status = 'paid';
SELECT * FROM pg_temp.take();
ALTER TABLE applied ENABLE ALWAYS TRIGGER kgwebhook_enqueue;
INSERT INTO applied VALUES ('b', 'new', 'https://m.example/', '1');
UPDATE applied SET region = '2';
UPDATE applied SET region = '1', status = 'paid';
SELECT * FROM pg_temp.take();
RESET session_replication_role;
INSERT INTO applied VALUES ('c', 'new', 'https://m.example/', '1');
ALTER TABLE applied ENABLE REPLICA TRIGGER kgwebhook_enqueue;
INSERT INTO applied VALUES ('d', 'new', 'https://m.example/', '1');
SELECT * FROM pg_temp.take();

--
-- TRUNCATE is no event, and takes nothing back
--
ALTER TABLE applied ENABLE TRIGGER kgwebhook_enqueue;
INSERT INTO applied VALUES ('t', 'new', 'https://m.example/', '2');
TRUNCATE applied;
INSERT INTO applied VALUES ('t', 'new', 'https://m.example/', '2');
BEGIN;
TRUNCATE applied;
ROLLBACK;
UPDATE applied SET status = 'paid', region = '1';
SELECT * FROM pg_temp.take();
DROP TABLE applied;

--
-- Tables that cannot be watched, or not any more
--
CREATE UNLOGGED TABLE quick (id text, status text, url text);
SELECT pg_temp.refused('SELECT count(*) FROM kg_watch(''quick'', ''q'', ''id'', ''status'', ''url'', NULL)');
CREATE TABLE half (id text, status text, url text) PARTITION BY LIST (id);
CREATE UNLOGGED TABLE half_a PARTITION OF half FOR VALUES IN ('a');
SELECT pg_temp.refused('SELECT count(*) FROM kg_watch(''half'', ''h'', ''id'', ''status'', ''url'', NULL)');
ALTER TABLE half_a SET LOGGED;
SELECT count(*) FROM kg_watch('half', 'h', 'id', 'status', 'url', NULL);
CREATE TABLE one (id text, status text, url text);
SELECT count(*) FROM kg_watch('one', 'one', 'id', 'status', 'url', NULL);
CREATE TABLE child (id text, status text, url text);
SELECT c, pg_temp.refused(c) FROM unnest(ARRAY[
	'ALTER TABLE one SET UNLOGGED', 'ALTER TABLE half_a SET UNLOGGED',
	'CREATE UNLOGGED TABLE half_b PARTITION OF half FOR VALUES IN (''b'')',
	'ALTER TABLE half ATTACH PARTITION quick FOR VALUES IN (''c'')',
	'CREATE TABLE more () INHERITS (one)', 'CREATE TEMP TABLE more () INHERITS (one)',
	'CREATE SCHEMA shapes3 CREATE TABLE more () INHERITS (shapes.one)',
	'ALTER TABLE child INHERIT one', 'ALTER TABLE one INHERIT child']) c;
-- others may
CREATE TABLE grandchild () INHERITS (child);
CREATE UNLOGGED TABLE quick2 (LIKE quick);
ALTER TABLE quick SET LOGGED;
ALTER TABLE half ATTACH PARTITION quick FOR VALUES IN ('c');
INSERT INTO half VALUES ('c', 'new', 'https://m.example/');
SELECT * FROM pg_temp.take();
SELECT kg_unwatch('one');
ALTER TABLE one INHERIT child;
SELECT pg_temp.refused('SELECT count(*) FROM kg_watch(''one'', ''one'', ''id'', ''status'', ''url'', NULL)');

--
-- DROP: nothing stays behind in kgwebhook.watch
--
CREATE VIEW watched AS SELECT event FROM kgwebhook.watch WHERE event IN ('pay', 'whole', 'p', 'h', 'one', 'd') ORDER BY event;
SELECT * FROM watched;
BEGIN;
DROP TABLE half;
SELECT * FROM watched;
ROLLBACK;
DROP TABLE half_a;
SELECT * FROM watched;
INSERT INTO half VALUES ('c', 'new', 'https://m.example/');
SELECT * FROM pg_temp.take();
DROP TABLE whole;
SELECT * FROM watched;
-- by who owns the table and has no right on ours
CREATE ROLE kgw_dropper;
CREATE TABLE dropped (id text, status text, url text);
SELECT count(*) FROM kg_watch('dropped', 'd', 'id', 'status', 'url', NULL);
ALTER TABLE dropped OWNER TO kgw_dropper;
GRANT USAGE ON SCHEMA shapes TO kgw_dropper;
SELECT * FROM watched;
SET ROLE kgw_dropper;
DROP TABLE shapes.dropped;
RESET ROLE;
SELECT * FROM watched;
REVOKE USAGE ON SCHEMA shapes FROM kgw_dropper;
DROP ROLE kgw_dropper;
-- a new table of that name starts from scratch
CREATE TABLE dropped (id text, status text, url text);
INSERT INTO dropped VALUES ('1', 'new', 'https://m.example/');
SELECT * FROM pg_temp.take();
BEGIN;
SET LOCAL session_replication_role = replica;
SET LOCAL client_min_messages = warning;
DROP SCHEMA shapes2 CASCADE;
SELECT * FROM watched;
ROLLBACK;
SELECT * FROM watched;
SET client_min_messages = warning;
DROP SCHEMA shapes, shapes2 CASCADE;
SELECT relation FROM kgwebhook.watch w WHERE NOT EXISTS (SELECT FROM pg_class WHERE oid = w.relation);
SELECT event FROM kgwebhook.watch WHERE event IN ('pay', 'whole', 'p', 'h', 'one', 'd', 'applied', 'kept');
