--
-- Members of a payload that no column holds, and what kg_watch() answers.
--
CREATE SCHEMA computed;
SET search_path = computed, public;
-- a payload of one's own
CREATE TABLE bills (id int, org text, state text, url text DEFAULT 'https://m.example/');
SELECT * FROM kg_watch('bills', 'bill', 'id', 'state', 'url', 'org',
	'{"id": "id", "t": "$type", "e": "$event_id", "at": "$occurred_at", "was": "$previous_status", "n": "$sequence", "o": "$org_id", "again": "$sequence"}');
SELECT count(kg_subscribe('o', 'https://s.example/', '{bill.*}'));
INSERT INTO bills VALUES (1, 'o', 'new'), (2, NULL, 'new');
UPDATE bills SET state = 'paid' WHERE id = 1;
SELECT object_id, event, payload->>'t' = event AS type, payload->>'e' = webhook_id AS event_id, payload->'was' AS was, payload->>'o' AS org,
	   payload->>'at' ~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$' AS rfc3339,
	   (payload->>'at')::timestamptz BETWEEN enqueued_at AND clock_timestamp() AS at,
	   payload->'n' = payload->'again' AS again, jsonb_typeof(payload->'n') AS n
  FROM kgwebhook.queue ORDER BY delivery_id;
-- one event, one body; the next event, a larger number
SELECT event, count(*), count(DISTINCT webhook_id), count(DISTINCT payload) FROM kgwebhook.queue WHERE object_id = '1' GROUP BY event ORDER BY min(delivery_id);
SELECT bool_and((p.payload->>'n')::bigint > (n.payload->>'n')::bigint) FROM kgwebhook.queue p, kgwebhook.queue n
 WHERE p.object_id = '1' AND n.object_id = '1' AND p.event = 'bill.paid' AND n.event = 'bill.new';
DELETE FROM kgwebhook.queue;
-- the same in any session
SET timezone = 'Asia/Kolkata';
SET datestyle = 'German';
UPDATE bills SET state = 'sent' WHERE id = 1;
SELECT abs(extract(epoch FROM (payload->>'at')::timestamptz - clock_timestamp())) < 600, payload->>'at' LIKE '%Z' FROM kgwebhook.queue;
RESET timezone;
RESET datestyle;
DELETE FROM kgwebhook.queue;
-- a trigger of the user's moves the row on before its first event is made
CREATE FUNCTION move_on() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE bills SET state = NEW.state || '+' WHERE id = NEW.id;
	RETURN NULL;
END $$;
CREATE TRIGGER a_move_on AFTER UPDATE ON bills FOR EACH ROW WHEN (length(NEW.state) < 7) EXECUTE FUNCTION move_on();
UPDATE bills SET state = 'late' WHERE id = 1;
SELECT event, payload->>'was' AS was, count(*), count(DISTINCT payload) AS bodies,
	   bool_and((payload->'n') = payload->'again') AS again,
	   min((payload->>'n')::bigint) > lag(min((payload->>'n')::bigint)) OVER (ORDER BY min(delivery_id)) AS rises,
	   min((payload->>'n')::bigint) = min(delivery_id) AS first_number
  FROM kgwebhook.queue GROUP BY 1, 2 ORDER BY min(delivery_id);
DELETE FROM kgwebhook.queue;
-- by default
CREATE TABLE orders (id int, org_id text, status text, callback_url text DEFAULT 'https://m.example/', "event_id" text DEFAULT 'mine');
SELECT * FROM kg_watch('orders', 'order', 'id');
INSERT INTO orders VALUES (1, 'o', 'new');
SELECT payload - 'occurred_at' AS payload, payload ? 'occurred_at' AS occurred_at FROM kgwebhook.queue;
-- columns of these names that come later are not sent, and nothing is in their way
ALTER TABLE orders ADD COLUMN "timestamp" text DEFAULT 'x', ADD COLUMN signature text DEFAULT 'y', ADD COLUMN type text DEFAULT 'z';
INSERT INTO orders VALUES (2, 'o', 'new');
SELECT payload - 'occurred_at' AS payload, problem FROM kgwebhook.queue WHERE object_id = '2';
DELETE FROM kgwebhook.queue;
-- a payment intent's stays what it is
SELECT count(*) FROM (SELECT kg_create_payment_intents('intents')) s;
INSERT INTO intents (payment_intent_id, callback_url) VALUES ('i', 'https://m.example/');
SELECT jsonb_object_keys(payload) FROM kgwebhook.queue;
CREATE TABLE small (payment_intent_id text, org_id text, status text, callback_url text);
SELECT * FROM kg_watch('small');
SELECT kg_watch('bills', 'bill', 'id', 'state', 'url', 'org', '{"n": "$number"}');
SET client_min_messages = warning;
-- in this order: the worker reads what is there again when a subscription goes
DELETE FROM kgwebhook.queue;
SELECT count(kg_unsubscribe(subscription_id)) FROM kgwebhook.subscription;
DROP SCHEMA computed CASCADE;
