--
-- kg_create_payment_intents(), kg_create_transfers(), kg_watch(), kg_unwatch()
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set refused :abs_srcdir '/sql/include/refused.sql'
\set ECHO none
\i :refused
\set ECHO all
CREATE SCHEMA setup;
SET search_path = setup, public;

--
-- The ready-made tables
--
SELECT kg_create_payment_intents();
\d payment_intents
SELECT kg_create_transfers();
\d transfers
\t on
\a
SELECT relation, event, id_column, status_column, url_column, org_column, payload FROM kgwebhook.watch ORDER BY event;

-- made where the caller's search_path or the name itself says
SELECT kg_create_payment_intents('public.kgw_elsewhere');
DROP TABLE public.kgw_elsewhere;
SELECT kg_create_payment_intents('MixedCase');
SELECT kg_create_payment_intents('"MixedCase"');
SELECT kg_create_payment_intents('"an ""odd"" name; -- 1.2"');
SELECT kg_create_transfers('"select"');
CREATE SCHEMA "Other Schema";
SELECT kg_create_transfers('"Other Schema"."T"');
INSERT INTO "Other Schema"."T" (transfer_id, callback_url) VALUES ('tr_1', 'https://m.example/');
INSERT INTO "an ""odd"" name; -- 1.2" (payment_intent_id, callback_url) VALUES ('pi_1', 'https://m.example/');
SELECT event, object_id FROM kgwebhook.queue ORDER BY delivery_id;

-- they are nobody's but the caller's
SELECT c.relname FROM pg_depend d JOIN pg_class c ON c.oid = d.objid
 WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_extension'::regclass
   AND c.relnamespace = 'setup'::regnamespace;
BEGIN;
DROP EXTENSION kgwebhook;
SELECT count(*) FROM payment_intents;
SELECT tgname FROM pg_trigger WHERE tgrelid = 'payment_intents'::regclass AND NOT tgisinternal;
INSERT INTO payment_intents (status) VALUES ('whatever') RETURNING status;
ROLLBACK;

SELECT pg_temp.refused('SELECT kg_create_payment_intents()');
SELECT pg_temp.refused('SELECT kg_create_payment_intents(''no_such_schema.t'')');
SELECT pg_temp.refused('SELECT kg_create_payment_intents('''')');
SELECT pg_temp.refused('SELECT kg_create_payment_intents(''a.b.c.d'')');
SELECT pg_temp.refused('SELECT kg_create_payment_intents(''pg_temp.t'')');
SELECT pg_temp.refused('SELECT kg_create_payment_intents(''kgwebhook.t'')');
SELECT kg_create_payment_intents(NULL) IS NULL;
SELECT relname FROM pg_class WHERE relnamespace IN ('kgwebhook'::regnamespace, 'setup'::regnamespace) AND relname = 't';

DROP TABLE "MixedCase", mixedcase, "an ""odd"" name; -- 1.2", "select", "Other Schema"."T", transfers;
DROP SCHEMA "Other Schema";
DELETE FROM kgwebhook.watch w WHERE NOT EXISTS (SELECT FROM pg_class WHERE oid = w.relation);
DELETE FROM kgwebhook.queue;

--
-- kg_watch(): a table of the user's own
--
CREATE TABLE orders (
	order_no int PRIMARY KEY, state text, hook text, tenant text,
	total numeric(12,2), note text, extra jsonb);

-- what the defaults name isn't there
SELECT pg_temp.refused('SELECT count(*) FROM kg_watch(''orders'')');
SELECT pg_temp.refused('SELECT count(*) FROM kg_watch(''orders'', id_column => ''order_no'')');
SELECT pg_temp.refused('SELECT count(*) FROM kg_watch(''orders'', id_column => ''order_no'', status_column => ''state'')');
SELECT pg_temp.refused('SELECT count(*) FROM kg_watch(''orders'', id_column => ''order_no'', status_column => ''state'', url_column => ''hook'')');

-- every argument by name; another event's payload is every column but the
-- organization's
SELECT count(*) FROM kg_watch(relation => 'orders', event => 'order', id_column => 'order_no',
                status_column => 'state', url_column => 'hook', org_column => 'tenant');
INSERT INTO orders VALUES (1, 'any status at all', 'https://m.example/', 'acme', 12.5, NULL, '{"k": [1]}');
SELECT org_id, event, object_id, url, payload - '{event_id,occurred_at}'::text[] AS payload, problem FROM kgwebhook.queue;
DELETE FROM kgwebhook.queue;

-- calling it again replaces the row; the mapping names members and columns
SELECT count(*) FROM kg_watch('orders', 'order.v2', 'order_no', 'state', 'hook', 'tenant',
                '{"id": "order_no", "amount": "total", "again": "total", "état": "state"}');
UPDATE orders SET state = 'paid';
SELECT org_id, event, object_id, url, payload - '{event_id,occurred_at}'::text[] AS payload, problem FROM kgwebhook.queue;
SELECT relation, event, id_column, status_column, url_column, org_column, payload FROM kgwebhook.watch WHERE relation = 'orders'::regclass;
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'orders'::regclass;
DELETE FROM kgwebhook.queue;

-- without an organization's column it is the default one's; as is NULL
SELECT count(*) FROM kg_watch('orders', 'order', 'order_no', 'state', 'hook', NULL, '{"id": "order_no"}');
UPDATE orders SET state = 'sent';
SELECT count(*) FROM kg_watch('orders', 'order', 'order_no', 'state', 'hook', 'tenant', '{"id": "order_no"}');
UPDATE orders SET state = 'back', tenant = NULL;
SELECT org_id, event FROM kgwebhook.queue ORDER BY delivery_id;
DELETE FROM kgwebhook.queue;

-- without a URL's column nobody is called (there are no subscriptions)
SELECT count(*) FROM kg_watch('orders', 'order', 'order_no', 'state', NULL, 'tenant');
UPDATE orders SET state = 'lost';
SELECT count(*) FROM kgwebhook.queue;

-- a payment intent's default payload: A1's members, those that there are
CREATE TABLE intents (symbol text, payment_intent_id bigint, unrelated text, state text,
                      callback_url text, org_id text, order_data json, fiat_amount money);
SELECT count(*) FROM kg_watch('intents', status_column => 'state');
INSERT INTO intents VALUES ('BTC', 9007199254740993, 'x', 'new', 'https://m.example/', 'o', '{"b": 1, "a": 2}', NULL);
SELECT object_id, payload - '{event_id,occurred_at}'::text[] AS payload FROM kgwebhook.queue;
DELETE FROM kgwebhook.queue;

-- mistakes
SELECT pg_temp.refused('SELECT count(*) FROM kg_watch(NULL)');
SELECT pg_temp.refused('SELECT count(*) FROM kg_watch(''orders'', NULL)');
SELECT pg_temp.refused('SELECT count(*) FROM kg_watch(''orders'', ''order'', NULL)');
SELECT pg_temp.refused('SELECT count(*) FROM kg_watch(''orders'', ''order'', ''order_no'', NULL)');
SELECT pg_temp.refused('SELECT count(*) FROM kg_watch(''no_such_table'')');
SELECT pg_temp.refused('SELECT count(*) FROM kg_watch(''orders'', ''order'', ''order_no'', ''state'', ''url'', ''tenant'')');
SELECT pg_temp.refused('SELECT count(*) FROM kg_watch(''orders'', ''order'', ''order_no'', ''state'', ''hook'', ''org'')');
SELECT pg_temp.refused('SELECT count(*) FROM kg_watch(''orders'', ''order'', ''ctid'', ''state'', ''hook'', ''tenant'')');
SELECT pg_temp.refused('SELECT count(*) FROM kg_watch(''orders'', '''', ''order_no'', ''state'', ''hook'', ''tenant'')');
SELECT pg_temp.refused('SELECT count(*) FROM kg_watch(''orders'', E''a\r\nb'', ''order_no'', ''state'', ''hook'', ''tenant'')');
SELECT pg_temp.refused('SELECT count(*) FROM kg_watch(''orders'', ''bestellung-ä'', ''order_no'', ''state'', ''hook'', ''tenant'')');
SELECT pg_temp.refused('SELECT count(*) FROM kg_watch(''orders'', ''order'', ''order_no'', ''state'', ''hook'', ''tenant'', ''[]'')');
SELECT pg_temp.refused('SELECT count(*) FROM kg_watch(''orders'', ''order'', ''order_no'', ''state'', ''hook'', ''tenant'', ''"id"'')');
SELECT pg_temp.refused('SELECT count(*) FROM kg_watch(''orders'', ''order'', ''order_no'', ''state'', ''hook'', ''tenant'', ''{"id": 1}'')');
SELECT pg_temp.refused('SELECT count(*) FROM kg_watch(''orders'', ''order'', ''order_no'', ''state'', ''hook'', ''tenant'', ''{"id": ["order_no"]}'')');
SELECT pg_temp.refused('SELECT count(*) FROM kg_watch(''orders'', ''order'', ''order_no'', ''state'', ''hook'', ''tenant'', ''{"id": {"a": "order_no"}}'')');
SELECT pg_temp.refused('SELECT count(*) FROM kg_watch(''orders'', ''order'', ''order_no'', ''state'', ''hook'', ''tenant'', ''{"id": "order_nr"}'')');
SELECT pg_temp.refused('SELECT count(*) FROM kg_watch(''orders'', ''order'', ''order_no'', ''state'', ''hook'', ''tenant'', ''{"signature": "note"}'')');
CREATE TABLE clock (id int, status text, "timestamp" timestamptz);
SELECT pg_temp.refused('SELECT count(*) FROM kg_watch(''clock'', ''tick'', ''id'', url_column => NULL, org_column => NULL)');
SELECT relation, event FROM kgwebhook.watch WHERE relation = 'orders'::regclass OR relation = 'clock'::regclass;

-- kinds of relation
CREATE VIEW a_view AS SELECT * FROM orders;
CREATE MATERIALIZED VIEW a_matview AS SELECT * FROM orders;
CREATE SEQUENCE a_sequence;
CREATE TEMP TABLE a_temp (payment_intent_id int, status text, callback_url text, org_id text);
CREATE TABLE a_parent (payment_intent_id int, status text, callback_url text, org_id text);
CREATE TABLE a_child () INHERITS (a_parent);
CREATE TABLE a_whole (payment_intent_id int, status text, callback_url text, org_id text) PARTITION BY LIST (org_id);
CREATE TABLE a_part PARTITION OF a_whole DEFAULT;
SELECT r, pg_temp.refused(format('SELECT count(*) FROM kg_watch(%L)', r))
  FROM unnest(ARRAY['a_view', 'a_matview', 'a_sequence', 'a_temp', 'a_parent', 'a_child', 'a_part',
                    'pg_class', 'kgwebhook.queue']) r;
SELECT count(*) FROM kg_watch('a_whole');
INSERT INTO a_whole VALUES (1, 'new', 'https://m.example/', 'o');
CREATE TABLE a_later (org_id text, gone int, callback_url text, payment_intent_id int, status text);
ALTER TABLE a_later DROP COLUMN gone;
ALTER TABLE a_whole ATTACH PARTITION a_later FOR VALUES IN ('later');
INSERT INTO a_whole VALUES (2, 'new', 'https://m.example/', 'later');
UPDATE a_later SET status = 'old';
SELECT org_id, event, object_id, payload - '{event_id,occurred_at}'::text[] AS payload FROM kgwebhook.queue ORDER BY delivery_id;
DELETE FROM kgwebhook.queue;
SELECT pg_temp.refused('SELECT kg_unwatch(''a_part'')');
SELECT kg_unwatch('a_whole');
UPDATE a_whole SET status = 'unseen';
SELECT count(*) FROM kgwebhook.queue;

--
-- kg_unwatch(): what is queued stays queued, and the table stays as it was
--
SELECT count(*) FROM kg_watch('orders', 'order', 'order_no', 'state', 'hook', 'tenant');
UPDATE orders SET state = 'seen';
SELECT kg_unwatch('orders');
UPDATE orders SET state = 'unseen';
SELECT event FROM kgwebhook.queue;
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'orders'::regclass;
SELECT pg_temp.refused('SELECT kg_unwatch(''orders'')');
SELECT kg_unwatch('payment_intents');
INSERT INTO payment_intents (payment_intent_id, callback_url) VALUES ('a', 'https://m.example/');
SELECT pg_temp.refused('UPDATE payment_intents SET status = ''refunded''');
SELECT count(*) FROM kgwebhook.queue;
DELETE FROM kgwebhook.queue;

-- rolled back, they never happened
BEGIN;
SELECT count(*) FROM kg_watch('orders', 'order', 'order_no', 'state', 'hook', 'tenant');
UPDATE orders SET state = 'in transaction';
SELECT count(*) FROM kgwebhook.queue;
ROLLBACK;
UPDATE orders SET state = 'afterwards';
SELECT count(*) FROM kgwebhook.queue;

-- a trigger by hand doesn't make a watched table
CREATE TRIGGER by_hand AFTER INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION kgwebhook.enqueue();
SELECT pg_temp.refused('UPDATE orders SET state = ''x''');
DROP TRIGGER by_hand ON orders;
CREATE TRIGGER by_hand BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION kgwebhook.enqueue();
SELECT pg_temp.refused('INSERT INTO orders VALUES (2)');
DROP TRIGGER by_hand ON orders;
CREATE TRIGGER by_hand AFTER UPDATE ON orders EXECUTE FUNCTION kgwebhook.enqueue();
SELECT pg_temp.refused('UPDATE orders SET state = ''x''');
DROP TRIGGER by_hand ON orders;
CREATE TRIGGER by_hand BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION kgwebhook.check_transition('no such kind');
SELECT pg_temp.refused('UPDATE orders SET state = ''x''');
DROP TRIGGER by_hand ON orders;
SELECT pg_temp.refused('SELECT kgwebhook.enqueue()');

SET client_min_messages = warning;
DROP SCHEMA setup CASCADE;
DELETE FROM kgwebhook.watch;
DELETE FROM kgwebhook.queue;
