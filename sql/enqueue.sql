--
-- One delivery for each committed transition with a URL, in the transaction
-- of the role that changed the status; and nothing that fails that transaction.
--
CREATE SCHEMA enqueue;
SET search_path = enqueue, public;
SET TimeZone = 'UTC';
\t on
\a
SELECT kg_create_payment_intents();

-- what has been queued since the last look
CREATE FUNCTION pg_temp.take() RETURNS TABLE (event text, object_id text, problem text)
LANGUAGE sql AS $$
	WITH taken AS (DELETE FROM kgwebhook.queue RETURNING *)
	SELECT event, object_id, problem FROM taken ORDER BY delivery_id
$$;

--
-- INSERT and UPDATE
--
INSERT INTO payment_intents (payment_intent_id, org_id, callback_url, fiat_amount, order_data)
VALUES ('a', 'acme', 'https://M.example/hook?x=1', '300.0', '{"z": 1.50, "a": []}');
SELECT webhook_id ~ '^msg_[0-9a-f]{32}$', org_id, event, object_id, url, destination, attempts,
       next_attempt_at = enqueued_at, now() - enqueued_at BETWEEN '0' AND '1 minute', xid < pg_current_xact_id(), problem
  FROM kgwebhook.queue;
SELECT jsonb_pretty(payload) FROM kgwebhook.queue;
SELECT * FROM pg_temp.take();
UPDATE payment_intents SET status = 'success', received_crypto_amount = 0.10 WHERE payment_intent_id = 'a';
-- the same status again, or another column, is no transition
UPDATE payment_intents SET status = 'success' WHERE payment_intent_id = 'a';
UPDATE payment_intents SET group_key = 'g' WHERE payment_intent_id = 'a';
UPDATE payment_intents SET status = status, callback_url = 'https://other.example/';
SELECT * FROM pg_temp.take();
-- the URL is that of the new row
UPDATE payment_intents SET status = 'refunded', callback_url = 'http://127.0.0.1:8080/';
SELECT url, destination FROM kgwebhook.queue;
SELECT * FROM pg_temp.take();
DELETE FROM payment_intents;
SELECT * FROM pg_temp.take();

--
-- Many rows in one statement; each has an id of its own
--
COPY payment_intents (payment_intent_id, callback_url)
FROM PROGRAM 'i=0; while [ $i -lt 10000 ]; do printf "pi_%d\\thttps://m%d.example/\\n" $i $((i % 10)); i=$((i + 1)); done';
SELECT count(*), count(DISTINCT webhook_id), count(DISTINCT object_id), count(DISTINCT destination),
       count(DISTINCT xid), max(delivery_id) - min(delivery_id) + 1
  FROM kgwebhook.queue;
WITH taken AS (DELETE FROM kgwebhook.queue) SELECT 'taken';
UPDATE payment_intents SET status = 'success';
SELECT count(*), count(DISTINCT object_id), min(event), max(event) FROM kgwebhook.queue;
WITH taken AS (DELETE FROM kgwebhook.queue) SELECT 'taken';
TRUNCATE payment_intents;

--
-- MERGE, ON CONFLICT, CTEs
--
INSERT INTO payment_intents (payment_intent_id, callback_url)
SELECT unnest(ARRAY['a', 'b', 'c', 'd']), 'https://m.example/';
SELECT count(*) FROM pg_temp.take();
MERGE INTO payment_intents p
USING (VALUES ('a', 'success'), ('b', 'pending'), ('e', 'pending')) s(id, status) ON p.payment_intent_id = s.id
WHEN MATCHED THEN UPDATE SET status = s.status
WHEN NOT MATCHED THEN INSERT (payment_intent_id, status, callback_url) VALUES (s.id, s.status, 'https://m.example/');
SELECT * FROM pg_temp.take() ORDER BY object_id;
INSERT INTO payment_intents (payment_intent_id, callback_url)
VALUES ('b', 'https://m.example/'), ('c', 'https://m.example/'), ('f', 'https://m.example/')
ON CONFLICT (payment_intent_id) DO UPDATE SET status = CASE excluded.payment_intent_id WHEN 'b' THEN 'expired' ELSE 'pending' END;
SELECT * FROM pg_temp.take();
INSERT INTO payment_intents (payment_intent_id, callback_url) VALUES ('b', 'https://m.example/') ON CONFLICT DO NOTHING;
WITH u AS (UPDATE payment_intents SET status = 'cancelled' WHERE payment_intent_id = 'c' RETURNING 1),
     i AS (INSERT INTO payment_intents (payment_intent_id, callback_url) VALUES ('g', 'https://m.example/') RETURNING 1)
SELECT count(*) FROM u, i;
SELECT * FROM pg_temp.take() ORDER BY object_id;

--
-- Transactions
--
BEGIN;
UPDATE payment_intents SET status = 'success' WHERE payment_intent_id = 'd';
UPDATE payment_intents SET status = 'refunded' WHERE payment_intent_id = 'd';
UPDATE payment_intents SET status = 'cancelled' WHERE payment_intent_id = 'e';
UPDATE payment_intents SET status = 'refunded' WHERE payment_intent_id = 'e';
COMMIT;
SELECT count(DISTINCT xid), count(DISTINCT webhook_id), count(DISTINCT enqueued_at) FROM kgwebhook.queue;
SELECT * FROM pg_temp.take();

BEGIN;
UPDATE payment_intents SET status = 'success' WHERE payment_intent_id = 'f';
SELECT count(*) FROM kgwebhook.queue;
ROLLBACK;
SELECT * FROM pg_temp.take();

BEGIN;
UPDATE payment_intents SET status = 'success' WHERE payment_intent_id = 'f';
SAVEPOINT one;
UPDATE payment_intents SET status = 'refunded' WHERE payment_intent_id = 'f';
SAVEPOINT two;
UPDATE payment_intents SET status = 'success' WHERE payment_intent_id = 'g';
RELEASE two;
ROLLBACK TO one;
SAVEPOINT three;
UPDATE payment_intents SET status = 'expired' WHERE payment_intent_id = 'g';
RELEASE three;
COMMIT;
-- rows of subtransactions carry the transaction's own id
SELECT count(DISTINCT xid) FROM kgwebhook.queue;
SELECT * FROM pg_temp.take();

-- an error takes the delivery with it
DO $$
BEGIN
	UPDATE payment_intents SET status = 'refunded' WHERE payment_intent_id = 'g';
	RAISE division_by_zero;
EXCEPTION WHEN division_by_zero THEN
	UPDATE payment_intents SET status = 'success' WHERE payment_intent_id = 'g';
END $$;
SELECT * FROM pg_temp.take();

BEGIN;
INSERT INTO payment_intents (payment_intent_id, callback_url) VALUES ('prepared', 'https://m.example/');
PREPARE TRANSACTION 'kgw_enqueue';
SELECT * FROM pg_temp.take();
COMMIT PREPARED 'kgw_enqueue';
SELECT * FROM pg_temp.take();
BEGIN;
UPDATE payment_intents SET status = 'success' WHERE payment_intent_id = 'prepared';
PREPARE TRANSACTION 'kgw_enqueue';
ROLLBACK PREPARED 'kgw_enqueue';
SELECT * FROM pg_temp.take();

-- committed without waiting for the disk, it is queued anyway
SET synchronous_commit = off;
UPDATE payment_intents SET status = 'success' WHERE payment_intent_id = 'prepared';
RESET synchronous_commit;
SELECT * FROM pg_temp.take();

-- what a replica applies was someone else's event
SET session_replication_role = replica;
UPDATE payment_intents SET status = 'refunded' WHERE payment_intent_id = 'prepared';
RESET session_replication_role;
SELECT * FROM pg_temp.take();

--
-- NULLs, and triggers of the user's
--
CREATE TABLE own (id text, status text, callback_url text, org_id text, amount numeric);
SELECT count(*) FROM kg_watch('own', 'own', 'id');
INSERT INTO own VALUES ('no url', 's', NULL, 'o');
INSERT INTO own VALUES ('no status', NULL, 'https://m.example/', 'o');
INSERT INTO own VALUES (NULL, 's', 'https://m.example/', 'o');
INSERT INTO own VALUES ('no org', 's', 'https://m.example/', NULL);
INSERT INTO own VALUES ('', '', '', '');
SELECT org_id, event, object_id, url, destination, payload - '{event_id,occurred_at}'::text[] AS payload, problem FROM kgwebhook.queue ORDER BY delivery_id;
SELECT count(*) FROM pg_temp.take();
UPDATE own SET status = 't' WHERE id = 'no status';
UPDATE own SET status = NULL WHERE id = 'no status';
UPDATE own SET callback_url = 'https://m.example/' WHERE id = 'no url';
UPDATE own SET status = 't' WHERE id = 'no url';
SELECT * FROM pg_temp.take();
TRUNCATE own;

-- a BEFORE trigger decides what the status is
CREATE FUNCTION own_before() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.status := CASE WHEN NEW.amount > 100 THEN 'review' ELSE NEW.status END;
	RETURN NEW;
END $$;
CREATE TRIGGER own_before BEFORE INSERT OR UPDATE ON own FOR EACH ROW EXECUTE FUNCTION own_before();
INSERT INTO own VALUES ('a', 'new', 'https://m.example/', 'o', 1000), ('b', 'new', 'https://m.example/', 'o', 1);
UPDATE own SET amount = 2000 WHERE id = 'a';
UPDATE own SET amount = 3000 WHERE id = 'b';
SELECT * FROM pg_temp.take();
DROP TRIGGER own_before ON own;

-- any URL is queued: the delivery, not the payment, is what fails
INSERT INTO own SELECT u, 's', u, 'o' FROM unnest(ARRAY['nonsense', 'ftp://x/', 'https://user@x/', E'https://x/\n', 'http://x/', 'https://X:8443']) u;
SELECT url, destination, problem FROM kgwebhook.queue ORDER BY delivery_id;
SELECT count(*) FROM pg_temp.take();
TRUNCATE own;

--
-- How columns are written
--
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE DOMAIN cents AS bigint;
CREATE DOMAIN label AS varchar(10);
CREATE TYPE pair AS (a int, b text);
CREATE TABLE kinds (
	id uuid, status mood, callback_url text,
	i2 smallint, i4 int, i8 bigint, num numeric, num2 numeric(10,2), dom cents,
	f4 real, f8 float8, yes boolean, txt text, vc label, ch char(5), nm name,
	ts timestamp, tz timestamptz, d date, t time, iv interval,
	ip inet, raw bytea, j json, jb jsonb, ints int[], times timestamptz[], texts text[], comp pair, r int4range);
SELECT count(*) FROM kg_watch('kinds', 'kind', 'id', org_column => NULL);
INSERT INTO kinds VALUES (
	'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'sad', 'https://m.example/',
	-32768, 2147483647, 9223372036854775807, 12345678901234567890.1234567890, 300.1, 99,
	0.1, 0.30000000000000004, true, E'line\nquote"\\ é 😂', 'ten', 'ab', 'n',
	'2024-02-29 23:59:59.5', '2024-02-29 23:59:59.123456+02', '2024-02-29', '12:00', '1 day 2 hours',
	'10.0.0.1/8', '\x00ff', '{"b": 1.0, "a": {"x": 1}}', '{"b": 1.0, "aa": {"x": [null, 1e2]}}',
	'{1,NULL,3}', '{2024-02-29 23:59:59+02}', '{a,"b c"}', '(1,x)', '[1,5)');
SELECT k, v FROM kgwebhook.queue, jsonb_each(payload - '{event_id,occurred_at}'::text[]) e(k, v) ORDER BY k COLLATE "C";
SELECT event, object_id, problem FROM kgwebhook.queue;
SELECT count(*) FROM pg_temp.take();

-- the ends of the ranges
INSERT INTO kinds (id, status, callback_url, num, f4, f8, ts, tz)
VALUES (gen_random_uuid(), 'sad', 'https://m.example/', 'NaN', 'NaN', 'NaN', 'infinity', '-infinity'),
       (gen_random_uuid(), 'sad', 'https://m.example/', 'Infinity', 'Infinity', '-Infinity', '9999-12-31 23:59:59.999999', '0001-01-01 00:00+00'),
       (gen_random_uuid(), 'sad', 'https://m.example/', 1e30, 3.4028235e38, 1.7976931348623157e308, '10000-01-01', '0001-12-31 00:00+00 BC'),
       (gen_random_uuid(), 'sad', 'https://m.example/', 1e-20, 1.4e-45, 5e-324, '1970-01-01 00:00:00.000001', '1999-12-31 23:59:59.99+00'),
       (gen_random_uuid(), 'sad', 'https://m.example/', -0.0, '-0', 1e23, '2000-01-01', '2000-01-01 00:00+00'),
       (gen_random_uuid(), 'sad', 'https://m.example/', 300.00, 16777216, 9007199254740993, NULL, NULL);
SELECT payload -> 'num', payload -> 'ts', payload -> 'tz' FROM kgwebhook.queue ORDER BY delivery_id;
SELECT kg_canonical_json(payload -> 'f4'), kg_canonical_json(payload -> 'f8') FROM kgwebhook.queue ORDER BY delivery_id;
SELECT count(*) FROM pg_temp.take();

-- the same in every session, whatever its settings
TRUNCATE kinds;
INSERT INTO kinds (id, status, callback_url, f4, f8, ts, tz, d, iv, raw, times)
SELECT 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'happy', 'https://m.example/', 0.1, 0.30000000000000004,
       '10000-02-03 04:05:06', '2024-02-03 04:05:06+00', '2024-02-03', '1 year 2 days 03:04:05', '\x00ff', '{2024-02-03 04:05:06+00}';
SET DateStyle = 'German';
SET TimeZone = 'Asia/Kathmandu';
SET IntervalStyle = 'iso_8601';
SET extra_float_digits = 0;
SET bytea_output = 'escape';
INSERT INTO kinds SELECT * FROM kinds;
SHOW DateStyle;
SHOW TimeZone;
SELECT 0.1::float8 + 0.2::float8, '\x00ff'::bytea, '2024-02-03 04:05:06+00'::timestamptz;
RESET DateStyle;
SET TimeZone = 'UTC';
RESET IntervalStyle;
RESET extra_float_digits;
RESET bytea_output;
SELECT count(*), count(DISTINCT payload - '{event_id,occurred_at}'::text[]) FROM kgwebhook.queue;
SELECT jsonb_strip_nulls(payload - '{event_id,occurred_at}'::text[]) FROM kgwebhook.queue LIMIT 1;
SELECT count(*) FROM pg_temp.take();

--
-- What can't be written is the delivery's problem, not the payment's
--
CREATE TABLE fragile (id int PRIMARY KEY, status text, callback_url text, org_id text, doc json, other text);
SELECT count(*) FROM kg_watch('fragile', 'fragile', 'id');
INSERT INTO fragile VALUES (1, 'new', 'https://m.example/', 'o', '{"nul": "\u0000"}', 'kept');
INSERT INTO fragile VALUES (2, 'new', 'https://m.example/', 'o', '{"ok": 1}', 'kept');
INSERT INTO fragile VALUES (3, 'new', 'https://m.example/', 'o', '{"a": 1, "a": 2}', 'kept');
INSERT INTO fragile VALUES (4, 'new', 'https://m.example/', 'o', '{"half": "\ud800"}', 'kept');
SELECT object_id, payload - '{event_id,occurred_at}'::text[] AS payload, problem FROM kgwebhook.queue ORDER BY delivery_id;
SELECT count(*) FROM fragile;
SELECT count(*) FROM pg_temp.take();
-- also inside of a savepoint that is rolled back
BEGIN;
SAVEPOINT s;
INSERT INTO fragile VALUES (5, 'new', 'https://m.example/', 'o', '{"nul": "\u0000"}');
ROLLBACK TO s;
INSERT INTO fragile VALUES (6, 'new', 'https://m.example/', 'o', '{"nul": "\u0000"}');
COMMIT;
SELECT id FROM fragile WHERE id > 4;
SELECT * FROM pg_temp.take();

-- more than a body may have; compressed or not
INSERT INTO fragile VALUES (7, 'new', 'https://m.example/', 'o', NULL, repeat('x', 1048577));
INSERT INTO fragile VALUES (8, 'new', 'https://m.example/', 'o', NULL, repeat('x', 1048000));
SELECT object_id, length((payload - '{type,event_id,occurred_at}'::text[])::text), problem FROM kgwebhook.queue ORDER BY delivery_id;
SELECT count(*) FROM pg_temp.take();

-- a column that kg_watch() was told of, and that is gone
SELECT count(*) FROM kg_watch('fragile', 'fragile', 'id', payload => '{"id": "id", "document": "doc", "more": "other"}');
ALTER TABLE fragile DROP COLUMN other;
UPDATE fragile SET status = 'old', doc = NULL WHERE id = 2;
UPDATE fragile SET status = 'old' WHERE id = 1;
SELECT object_id, payload - '{event_id,occurred_at}'::text[] AS payload, problem FROM kgwebhook.queue ORDER BY delivery_id;
SELECT count(*) FROM pg_temp.take();
-- one that the default payload never named, or that is new, is no matter
SELECT count(*) FROM kg_watch('fragile', 'fragile', 'id');
ALTER TABLE fragile DROP COLUMN doc, ADD COLUMN born int DEFAULT 7;
UPDATE fragile SET status = 'older' WHERE id = 2;
SELECT object_id, payload - '{event_id,occurred_at}'::text[] AS payload, problem FROM kgwebhook.queue;
SELECT count(*) FROM pg_temp.take();
ALTER TABLE fragile DROP COLUMN id;
UPDATE fragile SET status = 'oldest' WHERE born = 7 AND status = 'older';
SELECT object_id, payload - '{event_id,occurred_at}'::text[] AS payload, problem FROM kgwebhook.queue;
SELECT count(*) FROM pg_temp.take();

SET client_min_messages = warning;
DROP SCHEMA enqueue CASCADE;
DELETE FROM kgwebhook.watch;
DELETE FROM kgwebhook.queue;

-- a status, an organization and a URL of any length cost an invalid delivery, and no payment
CREATE TABLE long_texts (id int, org text, status text, url text);
SELECT count(*) FROM kg_watch('long_texts', 'long', 'id', 'status', 'url', 'org', '{"id": "id", "was": "$previous_status"}');
INSERT INTO long_texts VALUES (1, 'o', repeat('é', 512), 'https://m.example/'), (2, 'o', repeat('é', 512) || 'x', 'https://m.example/'),
	(3, 'o', repeat('x', 3000000), 'https://m.example/'), (4, 'o', 'new', 'https://m.example/' || repeat('x', 3000000)), (5, repeat('x', 3000000), 'new', 'https://m.example/');
UPDATE long_texts SET status = 'paid' WHERE id = 3;
SELECT object_id, octet_length(event), octet_length(url), octet_length(org_id), octet_length(payload::text), problem FROM kgwebhook.queue ORDER BY delivery_id;
-- one that is as long, and another
UPDATE long_texts SET status = repeat('x', 2000) WHERE id = 1;
UPDATE long_texts SET status = repeat('x', 1999) || 'y' WHERE id = 1;
UPDATE long_texts SET status = repeat('x', 1999) || 'y' WHERE id = 1;
SELECT count(*) FROM kgwebhook.queue WHERE object_id = '1';
SELECT count(*) FROM pg_temp.take();
SELECT kg_unwatch('long_texts');
DROP TABLE long_texts;
-- an identifier too long for the log's index could never be settled
CREATE TABLE long_ids (id text, status text, url text);
SELECT count(*) FROM kg_watch('long_ids', 'order', 'id', 'status', 'url', NULL);
INSERT INTO long_ids VALUES (repeat('é', 512), 'fits', 'https://m.example/'),
                            (repeat('é', 512) || 'x', 'too long', 'https://m.example/');
SELECT event, octet_length(object_id), problem FROM kgwebhook.queue
 WHERE event IN ('order.fits', 'order.too long') ORDER BY delivery_id;
DELETE FROM kgwebhook.queue WHERE event IN ('order.fits', 'order.too long');
SELECT kg_unwatch('long_ids');
DROP TABLE long_ids;
