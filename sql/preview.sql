--
-- kg_preview(): the body that a row would be sent as; and kg_send_test() for
-- every kind of event.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set refused :abs_srcdir '/sql/include/refused.sql'
\set ECHO none
\i :refused
\set ECHO all
\t on
\a
SET client_min_messages = warning;
CREATE SCHEMA preview;
SET search_path = preview, public;
CREATE TABLE orders (id bigint, org text, state text, total numeric(12,2), note jsonb, hook text, PRIMARY KEY (org, id));
SELECT count(*) FROM kg_watch('orders', 'shop.order', 'id', 'state', 'hook', 'org',
	'{"id": "id", "state": "state", "total": "total", "note": "note", "hook": "hook", "t": "$type", "was": "$previous_status", "n": "$sequence", "o": "$org_id"}');
SELECT kg_set_secret('acme', 'the secret of acme, long enough'), kg_set_secret('beta', 'the secret of beta, long enough');
INSERT INTO orders VALUES (7, 'acme', 'paid', 12.5, '{"b": 1, "a": [2]}', 'https://m.example/'), (7, 'beta', 'new', 1, NULL, NULL),
	(8, 'acme', 'new', 3, NULL, NULL), (9, 'bare', 'new', 4, NULL, NULL), (10, 'acme', NULL, 5, NULL, NULL),
	(11, 'acme', 'new', 5, '{"n": 1e400}', NULL);
-- as it is queued, except for the number; signed; and nothing is enqueued by it
SELECT kg_verify(kg_preview('orders', '7', 'acme'), 'the secret of acme, long enough'), count(*) FROM kgwebhook.queue;
SELECT kg_preview('orders', '7', 'acme')::jsonb - '{timestamp,signature,n}'::text[] = payload - 'n' AS same,
	(kg_preview('orders', '7', 'acme')::jsonb ->> 'n')::bigint = s.last_value + 1 AS next_number
  FROM kgwebhook.queue, kgwebhook.delivery_id_seq s;
SELECT kg_preview('orders', '7', 'beta')::jsonb - '{timestamp,signature,n}'::text[];
SELECT kg_verify(kg_preview('orders', '8'), 'the secret of acme, long enough');
-- what is not committed, and a renamed column
BEGIN;
ALTER TABLE orders RENAME COLUMN id TO order_no;
UPDATE orders SET state = 'sent' WHERE order_no = 8;
SELECT kg_preview('orders', '8')::jsonb - '{timestamp,signature,n}'::text[];
ROLLBACK;
-- without a secret
SET client_min_messages = notice;
SELECT kg_preview('orders', '9')::jsonb - '{timestamp,n}'::text[], kg_preview('orders', '9') LIKE '%"timestamp":%';
SET client_min_messages = warning;
-- errors
SELECT pg_temp.refused('SELECT kg_preview(''orders'', ''7'')');
SELECT pg_temp.refused('SELECT kg_preview(''orders'', ''12'')');
SELECT pg_temp.refused('SELECT kg_preview(''orders'', ''8'', ''beta'')');
SELECT pg_temp.refused('SELECT kg_preview(''orders'', ''no number'')');
SELECT pg_temp.refused('SELECT kg_preview(''orders'', ''10'')');
SELECT pg_temp.refused('SELECT kg_preview(''orders'', ''11'')');
SELECT pg_temp.refused('SELECT kg_preview(''pg_class'', ''1'')');
SELECT pg_temp.refused('SELECT kg_preview(NULL, ''1'')');
SELECT pg_temp.refused('SELECT kg_preview(''orders'', NULL)');
-- by the index, at any size; a type without an operator is compared by its text
CREATE TABLE many (id text PRIMARY KEY, status text);
INSERT INTO many SELECT i, 'new' FROM generate_series(1, 20000) i;
ANALYZE many;
SELECT count(*) FROM kg_watch('many', 'many', 'id', 'status', NULL, NULL, '{"id": "id"}');
BEGIN;
SELECT pg_stat_get_xact_numscans('many'::regclass) AS before \gset
SELECT kg_preview('many', '20000') LIKE '{"id":"20000",%';
SELECT pg_stat_get_xact_numscans('many'::regclass) - :before AS sequential_scans;
ROLLBACK;
CREATE TABLE points (id point, status text);
INSERT INTO points VALUES ('(1,2)', 'new');
SELECT count(*) FROM kg_watch('points', 'point', 'id', 'status', NULL, NULL, '{"id": "id"}');
SELECT kg_preview('points', '(1,2)') LIKE '{"id":"(1,2)",%';
-- partitions, whose columns have other numbers
CREATE TABLE parts (x int, id text, status text, org text) PARTITION BY LIST (org);
CREATE TABLE parts_a (org text, status text, id text, x int);
ALTER TABLE parts ATTACH PARTITION parts_a FOR VALUES IN ('acme');
SELECT count(*) FROM kg_watch('parts', 'part', 'id', 'status', NULL, 'org', '{"id": "id", "x": "x", "s": "status"}');
INSERT INTO parts VALUES (5, 'p', 'new', 'acme');
SELECT kg_preview('parts', 'p')::jsonb - '{timestamp,signature}'::text[];
SELECT pg_temp.refused('SELECT kg_preview(''parts_a'', ''p'')');
-- the column is gone
CREATE TABLE gone (id text, status text, name text);
SELECT count(*) FROM kg_watch('gone', 'gone', 'id', 'status', NULL, NULL, '{"name": "name"}');
INSERT INTO gone VALUES ('g', 'new', 'x');
ALTER TABLE gone DROP COLUMN name;
SELECT pg_temp.refused('SELECT kg_preview(''gone'', ''g'')');
ALTER TABLE gone DROP COLUMN id;
SELECT pg_temp.refused('SELECT kg_preview(''gone'', ''g'')');

-- who may: who may read the table, or the queue
CREATE ROLE kgw_looker;
GRANT USAGE ON SCHEMA preview TO kgw_looker;
GRANT EXECUTE ON FUNCTION kg_preview(regclass, text, text, text) TO kgw_looker;
SET ROLE kgw_looker;
SELECT pg_temp.refused('SELECT kg_preview(''orders'', ''8'')');
RESET ROLE;
GRANT SELECT ON orders TO kgw_looker;
SET ROLE kgw_looker;
SELECT kg_preview('orders', '8') LIKE '%"signature":%';
RESET ROLE;
ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
SET ROLE kgw_looker;
SELECT pg_temp.refused('SELECT kg_preview(''orders'', ''8'')');
RESET ROLE;
REVOKE SELECT ON orders FROM kgw_looker;
GRANT SELECT ON kgwebhook.queue TO kgw_looker;
SET ROLE kgw_looker;
SELECT kg_preview('orders', '8') LIKE '%"signature":%';
RESET ROLE;
ALTER TABLE orders DISABLE ROW LEVEL SECURITY;

--
-- kg_send_test(): any kind; the address is a blocked one
--
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TABLE moods (id bigint, at timestamptz, org text, mood mood, amount numeric, url text, tags text[]);
SELECT count(*) FROM kg_watch('moods', 'mood', 'id', 'mood', 'url', 'org',
	'{"id": "id", "mood": "mood", "at": "at", "org": "org", "amount": "amount", "url": "url", "tags": "tags", "t": "$type", "n": "$sequence", "was": "$previous_status"}');
ALTER TABLE moods RENAME COLUMN amount TO sum;
SELECT kind, event, regexp_replace(object_id, '[0-9a-f]{32}', '*'), outcome, request_body::jsonb - '{timestamp,signature}'::text[]
  FROM kg_send_test('http://10.0.0.7/', 'acme', 'mood.bad');
SELECT kind, event, regexp_replace(object_id, '[0-9a-f]{32}', '*'), request_body::jsonb - '{timestamp,signature}'::text[]
  FROM kg_send_test('http://10.0.0.7/', 'acme', 'shop.order.shipped');
SELECT kg_verify(request_body, 'the secret of acme, long enough') FROM kg_send_test('http://10.0.0.7/', 'acme', 'shop.order.shipped');
SELECT event FROM kg_send_test('http://10.0.0.7/', 'acme', 'payment_intent.expired');
-- of the same members and JSON types as what the table sends
INSERT INTO moods VALUES (1, now(), 'acme', 'good', 1.5, 'https://m.example/', '{a}');
SELECT e.key, jsonb_typeof(e.value), jsonb_typeof(t.value)
  FROM kgwebhook.queue q CROSS JOIN LATERAL jsonb_each(q.payload) e
  FULL JOIN (SELECT x.* FROM kg_send_test('http://10.0.0.7/', 'acme', 'mood.good') s,
                    jsonb_each(s.request_body::jsonb - '{timestamp,signature}'::text[]) x) t ON t.key = e.key
 WHERE q.kind = 'mood' AND jsonb_typeof(e.value) IS DISTINCT FROM jsonb_typeof(t.value);
SELECT pg_temp.refused('SELECT kg_send_test(''http://10.0.0.7/'', ''acme'', ''mood.ugly'')');
SELECT pg_temp.refused('SELECT kg_send_test(''http://10.0.0.7/'', ''acme'', ''mood.'')');
SELECT pg_temp.refused('SELECT kg_send_test(''http://10.0.0.7/'', ''acme'', ''paid'')');
SELECT pg_temp.refused('SELECT kg_send_test(''http://10.0.0.7/'', ''acme'', ''order.shipped'')');
SELECT pg_temp.refused('SELECT kg_send_test(''http://10.0.0.7/'', ''acme'', '''')');
-- two tables of a kind: the statuses of both
SELECT count(*) FROM (SELECT kg_create_transfers('moves')) s;
SELECT pg_temp.refused('SELECT kg_send_test(''http://10.0.0.7/'', ''acme'', ''transfer.sent'')');
CREATE TYPE leg AS ENUM ('sent', 'success');
CREATE TABLE legs (id text, status leg);
SELECT count(*) FROM kg_watch('legs', 'transfer', 'id', 'status', NULL, NULL);
SELECT request_body::jsonb - '{timestamp,signature,event_id,occurred_at,id}'::text[] FROM kg_send_test('http://10.0.0.7/', 'acme', 'transfer.sent');
SELECT pg_temp.refused('SELECT kg_send_test(''http://10.0.0.7/'', ''acme'', ''transfer.lost'')');

--
-- kg_watch(): what the table's rows and triggers are
--
CREATE TABLE noted (id text, status char(6), org text, note text);
INSERT INTO noted VALUES ('1', 'paid', 'acme', ''), ('2', 'new', 'nobody', ''), ('3', NULL, 'silent', ''), ('4', 'new', NULL, '');
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER a_after AFTER UPDATE ON noted FOR EACH ROW EXECUTE FUNCTION nothing();
CREATE TRIGGER z_before BEFORE INSERT ON noted FOR EACH ROW EXECUTE FUNCTION nothing();
-- these are after ours, of statements, of deletes only, or off
CREATE TRIGGER z_after AFTER UPDATE ON noted FOR EACH ROW EXECUTE FUNCTION nothing();
CREATE TRIGGER a_statement BEFORE UPDATE ON noted EXECUTE FUNCTION nothing();
CREATE TRIGGER a_delete BEFORE DELETE ON noted FOR EACH ROW EXECUTE FUNCTION nothing();
CREATE TRIGGER a_disabled BEFORE UPDATE ON noted FOR EACH ROW EXECUTE FUNCTION nothing();
ALTER TABLE noted DISABLE TRIGGER a_disabled;
SELECT * FROM kg_watch('noted', 'noted', 'id', 'status', NULL, 'org', '{"id": "id"}');
SELECT * FROM kg_watch('noted', 'noted', 'id', 'status', NULL, NULL, '{"id": "id"}') WHERE note LIKE '%organization%';
INSERT INTO noted SELECT i, i, 'org' || i FROM generate_series(10, 40) i;
SELECT note FROM kg_watch('noted', 'noted', 'id', 'status', NULL, 'org', '{"id": "id"}') WHERE note ~ 'more';
-- a table that cannot be read is watched, and nothing of its owner's runs as a superuser
CREATE ROLE kgw_owner;
GRANT ALL ON SCHEMA preview TO kgw_owner;
CREATE FUNCTION who(text) RETURNS bool LANGUAGE plpgsql STABLE AS $$ BEGIN RAISE 'ran as %', current_user; END $$;
ALTER TABLE noted ENABLE ROW LEVEL SECURITY;
ALTER TABLE noted FORCE ROW LEVEL SECURITY;
CREATE POLICY who ON noted USING (who(id));
ALTER TABLE noted OWNER TO kgw_owner;
SELECT note FROM kg_watch('noted', 'noted', 'id', 'status', NULL, 'org', '{"id": "id"}') WHERE note LIKE '%read%';
SELECT kgwebhook.known_statuses('noted', 'status') IS NULL, event FROM kgwebhook.watch WHERE relation = 'noted'::regclass;

DROP SCHEMA preview CASCADE;
DROP ROLE kgw_owner;
REVOKE ALL ON kgwebhook.queue FROM kgw_looker;
REVOKE ALL ON FUNCTION kg_preview(regclass, text, text, text) FROM kgw_looker;
DROP ROLE kgw_looker;
DELETE FROM kgwebhook.queue;
DELETE FROM kgwebhook.delivery_log;
DELETE FROM kgwebhook.secret WHERE org_id IN ('acme', 'beta');
