--
-- A subscription's filter: what it takes, what it judges, and that no row fails by it.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set refused :abs_srcdir '/sql/include/refused.sql'
\set ECHO none
\i :refused
\set ECHO all
\t on
\a
SET client_min_messages = warning;
CREATE SCHEMA filters;
SET search_path = filters, public;
CREATE TYPE mood AS ENUM ('new', 'done');
CREATE TYPE pair AS (a int, b text);
CREATE TABLE orders (id text PRIMARY KEY, status mood, hook text, org_id text DEFAULT 'acme', amount numeric, cents money, n int, big int8,
	yes bool, rate float8, any_json jsonb, text_json json, list int8[], both_of pair, currency text);
SELECT count(*) FROM kg_watch('orders', 'order', 'id', 'status', 'hook',
	payload => '{"id": "id", "status": "status", "amount": "amount", "cents": "cents", "n": "n", "big": "big", "yes": "yes", "rate": "rate",
	             "any": "any_json", "json": "text_json", "list": "list", "pair": "both_of", "currency": "currency", "type": "$type", "before": "$previous_status"}');
CREATE TABLE parcels (id text, status text, org_id text DEFAULT 'acme');
SELECT count(*) FROM kg_watch('parcels', 'parcel', 'id', 'status', NULL);
SELECT kg_watch_shape('orders', 'v2', '{"id": "id", "sum": "amount"}');

--
-- At the door
--
SELECT filter, pg_temp.refused(format('SELECT kg_subscribe(%L, %L, %L, filter => %L)', 'acme', 'https://f.example/', '{order.*}', filter))
  FROM unnest(ARRAY['[]', '"x"', 'null', '{"none": 1}', '{"timestamp": 1}', '{"signature": "x"}', '{"sum": "1"}', '{"amount": 300}', '{"cents": [1.5, "2"]}',
	'{"big": 1}', '{"n": "1"}', '{"yes": "true"}', '{"rate": "1.5"}', '{"status": "gone"}', '{"status": ["new", "gone"]}', '{"list": "1"}',
	'{"list": ["1"]}', '{"pair": "x"}', '{"currency": []}', '{"currency": {"in": ["EUR"]}}', '{"currency": [["EUR"]]}', '{"any": {}}',
	'{"id": null}']) filter;
-- only what it gets counts: a parcel can be gone, and has no currency
SELECT events, filter, pg_temp.refused(format('SELECT kg_subscribe(%L, %L, %L, filter => %L)', 'acme', 'https://f.example/' || md5(filter || events), events, filter))
  FROM unnest(ARRAY['{*}', '{parc*}', '{parcel.gone}', '{*.gone}', '{order.*,ord*.x}', '{p.*}']) events, unnest(ARRAY['{"status": "gone"}', '{"currency": "EUR"}']) filter;
DELETE FROM kgwebhook.subscription;
SELECT pg_temp.refused(format('SELECT kg_subscribe(%L, %L, filter => %L)', 'acme', 'https://f.example/', filter))
  FROM (VALUES (jsonb_build_object('currency', (SELECT jsonb_agg(n::text) FROM generate_series(1, 101) n))),
               ((SELECT jsonb_object_agg('m' || n, '1') FROM generate_series(1, 21) n)),
               (jsonb_build_object('currency', repeat('x', 8000)))) v (filter);
SELECT pg_temp.refused($$SELECT kg_subscribe('acme', 'https://f.example/', shape => 'v2', filter => '{"amount": "1"}')$$);
SELECT count(*) FROM kgwebhook.subscription;

--
-- Who gets what
--
ALTER SEQUENCE kgwebhook.subscription_id_seq RESTART;
CREATE FUNCTION pg_temp.who(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	got text;
BEGIN
	EXECUTE statement;
	SELECT string_agg(coalesce(subscription_id::text, '-') || CASE WHEN problem IS NOT NULL THEN '!' ELSE '' END, ' ' ORDER BY delivery_id) INTO got FROM kgwebhook.queue;
	DELETE FROM kgwebhook.queue;
	RETURN got;
END $$;
SELECT kg_subscribe('acme', 'https://1.example/', filter => '{"currency": ["EUR", "USD"]}'),
       kg_subscribe('acme', 'https://2.example/', filter => '{"amount": "300.0"}'),
       kg_subscribe('acme', 'https://3.example/', filter => '{"n": 1.0, "yes": true}'),
       kg_subscribe('acme', 'https://4.example/', filter => '{"currency": null, "status": "done"}'),
       kg_subscribe('acme', 'https://5.example/', filter => '{"any": [1, "x", null]}'),
       kg_subscribe('acme', 'https://6.example/', shape => 'v2', filter => '{"sum": "300.0"}'),
       kg_subscribe('acme', 'https://7.example/', filter => '{}'),
       kg_subscribe('acme', 'https://8.example/', filter => '{"cents": "1.50", "big": "9007199254740993"}'),
       kg_subscribe('acme', 'https://9.example/', filter => '{"type": "order.done", "before": ["new"]}');
SELECT subscription_id, shape, filter FROM kgwebhook.subscriptions ORDER BY 1;
SELECT pg_temp.who($$INSERT INTO orders (id, status, hook, currency, amount) VALUES ('a', 'new', 'https://object.example/', 'EUR', 300.0)$$);
SELECT pg_temp.who($$INSERT INTO orders (id, status, currency, amount) VALUES ('b', 'new', 'GBP', 300)$$);
SELECT pg_temp.who($$INSERT INTO orders (id, status, n, yes) VALUES ('c', 'new', 1, true)$$);
SELECT pg_temp.who($$INSERT INTO orders (id, status, n, yes, any_json) VALUES ('d', 'new', 1, false, '"x"')$$);
SELECT pg_temp.who($$INSERT INTO orders (id, status, any_json) VALUES ('e', 'new', '["x"]')$$);
SELECT pg_temp.who($$INSERT INTO orders (id, status, cents, big) VALUES ('f', 'new', 1.5::numeric::money, 9007199254740993)$$);
SELECT pg_temp.who($$UPDATE orders SET status = 'done' WHERE id = 'f'$$);
-- a table without the member makes no event for it
SELECT pg_temp.who($$INSERT INTO parcels VALUES ('p', 'sent')$$);
-- nobody wants it
SELECT kg_unsubscribe(7);
SELECT pg_temp.who($$INSERT INTO orders (id, status) VALUES ('g', 'new')$$);
SELECT pg_temp.who($$INSERT INTO parcels VALUES ('q', 'sent')$$);
-- where it is the object's own URL, it gets it, as the object's or as its own
SELECT pg_temp.who($$INSERT INTO orders (id, status, hook) VALUES ('h', 'new', 'https://1.example/'), ('i', 'new', 'https://6.example/')$$);

--
-- Whatever the row and the table of filters hold, the payment is made
--
SELECT pg_temp.who($$INSERT INTO orders (id, status, currency, text_json) VALUES ('j', 'new', repeat('x', 2000000), '{"a": 1}')$$);
SELECT pg_temp.who($$INSERT INTO orders (id, status, text_json) VALUES ('k', 'new', '{"\u0000": 1}')$$);
SELECT pg_temp.who($$INSERT INTO orders (id, status, amount, rate) VALUES ('l', 'new', 'NaN', 'Infinity')$$);
UPDATE kgwebhook.subscription SET filter = (ARRAY['[]', '"x"', 'null', '{"currency": {"a": ["EUR"]}}', '{"currency": [["EUR"], {}]}',
	'{"amount": 300, "none": true}', NULL, '{"list": ["1"]}', '{"currency": [null, "EUR", 1e300, true]}'])[subscription_id]::jsonb;
SELECT pg_temp.who($$INSERT INTO orders (id, status, currency, list, any_json) VALUES ('m', 'new', 'EUR', '{1}', '{"a": [[[]]]}')$$);
-- in one transaction with events that come in another order, and savepoints
DELETE FROM kgwebhook.subscription;
-- a rate limit: what it may be
SELECT r, pg_temp.refused(format('SELECT kg_subscribe(%L, %L, rate_limit => %s)', 'acme', 'https://rate.example/', r))
  FROM unnest(ARRAY['-1', '0.009', '10001', '''NaN''', '''Infinity''']) r;
BEGIN;
SELECT kg_subscribe('acme', 'https://rate.example/', rate_limit => 0.5) AS limited \gset
SELECT kg_update_subscription(:limited, 'https://rate.example/', description => 'as it was');
SELECT rate_limit FROM kgwebhook.subscriptions WHERE subscription_id = :limited;
SELECT kg_update_subscription(:limited, rate_limit => 10000);
SELECT rate_limit FROM kgwebhook.subscriptions WHERE subscription_id = :limited;
SELECT kg_update_subscription(:limited, rate_limit => 0);
SELECT rate_limit FROM kgwebhook.subscriptions WHERE subscription_id = :limited;
-- an object's own URL that is a limited subscription's gets the event once, as the subscription does
SELECT kg_update_subscription(:limited, rate_limit => 1);
DELETE FROM kgwebhook.queue;
INSERT INTO orders (id, status, hook) VALUES ('limited', 'new', 'https://rate.example/');
SELECT subscription_id = :limited AS the_subscription FROM kgwebhook.queue WHERE url = 'https://rate.example/';
ROLLBACK;
SELECT kg_subscribe('acme', 'https://only.example/', filter => '{"status": "done"}') AS only \gset
BEGIN;
SAVEPOINT s;
INSERT INTO orders (id, status) VALUES ('n', 'new');
UPDATE orders SET status = 'done' WHERE id = 'n';
ROLLBACK TO s;
INSERT INTO orders (id, status) VALUES ('n', 'new');
DELETE FROM orders WHERE id = 'n';
INSERT INTO orders (id, status) VALUES ('n', 'done');
COMMIT;
SELECT event FROM kgwebhook.queue;
DELETE FROM kgwebhook.queue;

--
-- Changing it, and what it is about
--
SELECT kg_update_subscription(:only, filter => '{"amount": "1"}');
SELECT pg_temp.refused(format('SELECT kg_update_subscription(%s, shape => %L)', :only, 'v2'));
SELECT kg_update_subscription(:only, shape => 'v2', filter => '{"sum": "1"}');
SELECT shape, filter FROM kgwebhook.subscriptions;
SELECT kg_update_subscription(:only, shape => '', filter => '{}');
SELECT shape, filter FROM kgwebhook.subscriptions;
SELECT kg_update_subscription(:only, filter => '{"currency": "EUR"}');
SELECT regexp_replace(note, '\d+$', '(n)') FROM kg_watch('orders', 'order', 'id', 'status', 'hook', payload => '{"id": "id"}') WHERE note LIKE '%filter%';
SELECT note FROM kg_watch('orders', 'order', 'id', 'status', 'hook', payload => '{"id": "id", "currency": "currency"}') WHERE note LIKE '%filter%';
SELECT kg_watch_shape('orders', 'v2', '{"id": "id", "money": "currency"}');
SELECT kg_update_subscription(:only, shape => 'v2', filter => '{"money": "EUR"}');
\set VERBOSITY terse
SELECT format('ALTER SEQUENCE kgwebhook.subscription_id_seq RESTART; UPDATE kgwebhook.subscription SET subscription_id = 1 WHERE subscription_id = %s', :only) AS renumber \gset
:renumber;
SELECT kg_watch_shape('orders', 'v2', '{"id": "id"}');
-- a payload that stands in a column can have any member
CREATE TABLE outbox (id text, status text, org_id text DEFAULT 'acme', document jsonb);
SELECT count(*) > 0 AS watched FROM kg_watch('outbox', 'out', 'id', 'status', NULL, payload_column => 'document');
SELECT kg_update_subscription(1, events => '{out.*}', shape => '', filter => '{"what": ["a", 1]}');
SELECT pg_temp.refused($$SELECT kg_update_subscription(1, filter => '{"what": {"in": ["a"]}}')$$);
INSERT INTO outbox VALUES ('1', 'new', 'acme', '{"what": "a"}'), ('2', 'new', 'acme', '{"what": "b"}'), ('3', 'new', 'acme', '{"other": "a"}'), ('4', 'new', 'acme', '{"what": 1.0}');
SELECT object_id, problem FROM kgwebhook.queue ORDER BY delivery_id;
DELETE FROM kgwebhook.queue;
-- nor is its column's content taken for what it no longer is
ALTER TABLE outbox ALTER document TYPE text USING document::text;
INSERT INTO outbox VALUES ('5', 'new', 'acme', '{"what": "a"}');
ALTER TABLE outbox ALTER document TYPE int8 USING 1;
INSERT INTO outbox VALUES ('6', 'new', 'acme', 7);
SELECT object_id, payload, problem FROM kgwebhook.queue ORDER BY delivery_id;
DELETE FROM kgwebhook.queue;
-- other events have to fit the filter, too
SELECT pg_temp.refused($$SELECT kg_update_subscription(1, events => '{parcel.*}')$$);
-- a member of the default whose column is gone keeps nothing from who filters by it
CREATE TABLE letters (id text, status text, org_id text DEFAULT 'acme', currency text);
SELECT count(*) FROM kg_watch('letters', 'letter', 'id', 'status', NULL);
SELECT kg_update_subscription(1, events => '{letter.*}', filter => '{"currency": "EUR"}');
SELECT pg_temp.who($$INSERT INTO letters VALUES ('1', 'new', 'acme', 'USD')$$);
ALTER TABLE letters DROP COLUMN currency;
SELECT pg_temp.who($$INSERT INTO letters VALUES ('2', 'new', 'acme')$$);
DROP SCHEMA filters CASCADE;
DELETE FROM kgwebhook.subscription;
