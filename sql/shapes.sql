--
-- Named shapes of a watched table: who has not asked for one sees no change.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set refused :abs_srcdir '/sql/include/refused.sql'
\set ECHO none
\i :refused
\set ECHO all
\t on
\a
SET client_min_messages = warning;
CREATE SCHEMA shapes;
SET search_path = shapes, public;
CREATE TABLE orders (id text PRIMARY KEY, state text, hook text, org_id text DEFAULT 'acme', amount numeric, seq int, note json);
CREATE TABLE parcels (id text PRIMARY KEY, state text, org_id text DEFAULT 'acme');
SELECT count(*) FROM kg_watch('orders', 'order', 'id', 'state', 'hook', payload => '{"id": "id", "n": "seq"}');
SELECT count(*) FROM kg_watch('parcels', 'parcel', 'id', 'state', NULL);
CREATE FUNCTION pg_temp.queued() RETURNS SETOF text LANGUAGE sql AS $$
	SELECT format('%s %s: %s%s', q.event, coalesce(q.subscription_id::text, '-'), q.payload - '{event_id,occurred_at}'::text[],
	              ' ' || q.problem)
	  FROM kgwebhook.queue q ORDER BY q.delivery_id $$;

--
-- At the door
--
SELECT call, pg_temp.refused(format('SELECT kg_watch_shape(%s)', call)) FROM unnest(ARRAY[
	$$NULL, 'v2', '{}'$$, $$'orders', NULL, '{}'$$, $$'orders', '', '{}'$$, $$'orders', 'v 2', '{}'$$,
	$$'pg_class', 'v2', '{}'$$, $$'orders', 'v2', '[]'$$, $$'orders', 'v2', '{"a": 1}'$$, $$'orders', 'v2', '{"a": "none"}'$$,
	$$'orders', 'v2', '{"a": "$none"}'$$, $$'orders', 'v2', '{"timestamp": "id"}'$$, $$'orders', 'v2', NULL$$]) call;
SELECT pg_temp.refused($$SELECT kg_subscribe('acme', 'https://v2.example/', shape => 'v2')$$);
SELECT kg_watch_shape('orders', 'v2', '{"order": "id", "amount": "amount", "n": "$sequence", "type": "$type"}');
SELECT pg_temp.refused($$SELECT kg_subscribe('acme', 'https://v2.example/', shape => 'v3')$$);

--
-- Who gets what: one event, one webhook-id
--
ALTER SEQUENCE kgwebhook.subscription_id_seq RESTART;
SELECT kg_subscribe('acme', 'https://own.example/', shape => ''), kg_subscribe('acme', 'https://v2.example/', '{order.*,parcel.*}', shape => 'v2');
SELECT subscription_id, shape FROM kgwebhook.subscriptions ORDER BY 1;
INSERT INTO orders (id, state, hook, amount, seq) VALUES ('1', 'new', 'https://object.example/', 10.50, 7);
INSERT INTO parcels VALUES ('1', 'sent');
SELECT regexp_replace(q, '"n": \d+, "type"', '"n": (n), "type"') FROM pg_temp.queued() q;
SELECT event, count(*), count(DISTINCT webhook_id), count(DISTINCT payload),
       min((payload ->> 'n')::int8) FILTER (WHERE payload ? 'order') = min(delivery_id) AS sequence
  FROM kgwebhook.queue GROUP BY event ORDER BY event;
DELETE FROM kgwebhook.queue;

-- a shape that changes changes nobody who has not asked; nor does the table's own payload change a shape
SELECT kg_watch_shape('orders', 'v2', '{"order": "id"}');
UPDATE orders SET state = 'paid';
SELECT * FROM pg_temp.queued();
DELETE FROM kgwebhook.queue;
SELECT count(*) FROM kg_watch('orders', 'order', 'id', 'state', 'hook', payload => '{"key": "id"}');
UPDATE orders SET state = 'packed';
SELECT * FROM pg_temp.queued();
DELETE FROM kgwebhook.queue;

-- a transaction that reverses the order of an object's events keeps each receiver's shape
SELECT kg_watch_shape('orders', 'v2', '{"order": "id", "n": "$sequence"}');
SELECT count(*) FROM kg_watch('orders', 'order', 'id', 'state', 'hook', payload => '{"id": "id", "n": "seq"}');
CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	UPDATE shapes.orders SET state = 'late' WHERE id = NEW.id AND NEW.state = 'early'; RETURN NULL; END $$;
CREATE TRIGGER a_first AFTER UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION again();
UPDATE orders SET state = 'early';
SELECT event, subscription_id, payload ->> 'n' = '7' AS own_column, payload -> 'n' = to_jsonb(min(delivery_id) OVER (PARTITION BY event)) AS sequence
  FROM kgwebhook.queue ORDER BY delivery_id;
DROP TRIGGER a_first ON orders;
DELETE FROM kgwebhook.queue;

-- a column that is renamed is found, by the numbers of the time when the shape was made; one that is gone is one receiver's problem
SELECT kg_watch_shape('orders', 'v2', '{"order": "id", "amount": "amount", "note": "note"}');
ALTER TABLE orders RENAME amount TO total;
UPDATE orders SET state = 'renamed', note = '{"a": 1}';
SELECT * FROM pg_temp.queued();
DELETE FROM kgwebhook.queue;
ALTER TABLE orders DROP note;
UPDATE orders SET state = 'dropped';
SELECT * FROM pg_temp.queued();
DELETE FROM kgwebhook.queue;
SELECT kg_watch_shape('orders', 'v2', '{"order": "id", "amount": "total"}');

-- within the transaction, undone with it, and in a partition
BEGIN;
SELECT kg_watch_shape('orders', 'v2', '{"within": "id"}');
UPDATE orders SET state = 'within';
SELECT * FROM pg_temp.queued();
ROLLBACK;
UPDATE orders SET state = 'after';
SELECT * FROM pg_temp.queued();
DELETE FROM kgwebhook.queue;
CREATE TABLE parts (id text, state text, day int, org_id text DEFAULT 'acme') PARTITION BY LIST (day);
CREATE TABLE part_1 (org_id text DEFAULT 'acme', day int, state text, id text);
SELECT count(*) FROM kg_watch('parts', 'part', 'id', 'state', NULL);
SELECT kg_watch_shape('parts', 'v3', '{"which": "id", "day": "day"}');
ALTER TABLE parts ATTACH PARTITION part_1 FOR VALUES IN (1);
SELECT pg_temp.refused($$SELECT kg_watch_shape('part_1', 'v3', '{"which": "id"}')$$);
SELECT kg_update_subscription(1, shape => 'v3');
INSERT INTO parts VALUES ('p', 'new', 1);
SELECT * FROM pg_temp.queued();
DELETE FROM kgwebhook.queue;

--
-- What shows it: preview, catalog, test events, fetched events
--
SELECT kg_preview('orders', '1', shape => 'v2')::jsonb - 'timestamp' AS v2, kg_preview('orders', '1')::jsonb - 'timestamp' AS own;
SELECT pg_temp.refused($$SELECT kg_preview('orders', '1', shape => 'v3')$$);
SELECT c ->> 'kind', s.key, m ->> 'member', m ->> 'source', m ->> 'type'
  FROM jsonb_array_elements(kg_event_catalog()) c, jsonb_each(c -> 'shapes') s, jsonb_array_elements(s.value -> 'members') m ORDER BY 1, 2, 3;
SELECT c ->> 'kind', c ? 'shapes' FROM jsonb_array_elements(kg_event_catalog()) c ORDER BY 1;
SELECT s, (kgwebhook.test_event('order.paid', 'msg_1', 'acme', NULL, s)).payload FROM unnest(ARRAY[NULL, 'v2', 'v3']) s;
SELECT kg_create_payment_intents() AS made;
SELECT kg_watch_shape('payment_intents', 'v2', '{"id": "payment_intent_id", "state": "status", "amount": "fiat_amount"}');
SELECT s, (kgwebhook.test_event('success', 'msg_1', 'acme', NULL, s)).payload FROM unnest(ARRAY[NULL, 'v2']) s;
SELECT kg_create_secret('acme') IS NOT NULL, kg_create_secret('rival') IS NOT NULL;
UPDATE orders SET state = 'fetched';
UPDATE parcels SET state = 'fetched';
SELECT event, body::jsonb - '{timestamp,signature,event_id,occurred_at}'::text[] FROM kg_events_since('acme');
SELECT event, body::jsonb - '{timestamp,signature,event_id,occurred_at}'::text[] FROM kg_events_since('acme', subscription_id => 2);
SELECT pg_temp.refused($$SELECT kg_events_since('rival', subscription_id => 2)$$), pg_temp.refused($$SELECT kg_events_since('acme', subscription_id => 99)$$);
DELETE FROM kgwebhook.queue;

--
-- A merchant's role chooses one for its own, and makes none
--
CREATE ROLE kgw_shaped;
CREATE ROLE kgw_maker;
SELECT kg_grant_org('kgw_shaped', 'acme');
GRANT USAGE ON SCHEMA shapes TO kgw_shaped, kgw_maker;
GRANT EXECUTE ON FUNCTION kg_watch_shape(regclass, text, jsonb) TO kgw_maker;
SET ROLE kgw_shaped;
SELECT public.kg_update_subscription(1, shape => 'v2');
SELECT subscription_id, shape FROM kgwebhook.subscriptions ORDER BY 1;
SELECT pg_temp.refused($$SELECT public.kg_watch_shape('shapes.orders', 'v2', '{}')$$);
SET ROLE kgw_maker;
SELECT pg_temp.refused($$SELECT public.kg_watch_shape('shapes.orders', 'v2', '{}')$$);
RESET ROLE;
SELECT kg_revoke_org('kgw_shaped', 'acme');
DROP OWNED BY kgw_shaped, kgw_maker;
DROP ROLE kgw_shaped, kgw_maker;

--
-- Taking one away
--
SELECT pg_temp.refused($$SELECT kg_watch_shape('orders', 'v2', NULL)$$);
SELECT kg_update_subscription(1, shape => ''), kg_update_subscription(2, shape => '', events => '{order.*}');
SELECT kg_watch_shape('orders', 'v2', NULL), kg_watch_shape('payment_intents', 'v2', NULL);
SELECT shape, relation FROM kgwebhook.shape;
UPDATE orders SET state = 'own';
SELECT * FROM pg_temp.queued();
DELETE FROM kgwebhook.queue;
-- with its table, or with the watch; who asked for it is named when the table is watched again
SELECT kg_watch_shape('parcels', 'v4', '{"what": "id"}'), kg_update_subscription(1, shape => 'v4');
SELECT kg_unwatch('parcels');
SELECT note FROM kg_watch('parcels', 'parcel', 'id', 'state', NULL) WHERE note LIKE '%shape%';
DROP TABLE parts;
SELECT count(*) FROM kgwebhook.shape;
DROP SCHEMA shapes CASCADE;
SELECT count(*) FROM kgwebhook.watch;
DELETE FROM kgwebhook.queue;
DELETE FROM kgwebhook.subscription;
DELETE FROM kgwebhook.secret;
