--
-- The tables and views that users rely on: names and types to the letter, and
-- what the views make of rows.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set refused :abs_srcdir '/sql/include/refused.sql'
\set ECHO none
\i :refused
\set ECHO all
\t on
\a
-- what the contract lists; more columns are welcome
CREATE TEMP TABLE promised (relation text, columns text);
INSERT INTO promised VALUES
('queue', 'delivery_id bigint, webhook_id text, org_id text, event text, object_id text, url text, destination text, payload jsonb, attempts integer, next_attempt_at timestamp with time zone, enqueued_at timestamp with time zone'),
('delivery_log', 'attempt_id bigint, delivery_id bigint, webhook_id text, org_id text, event text, object_id text, url text, destination text, attempt integer, outcome text, final boolean, response_status integer, response_body text, error text, request_body text, started_at timestamp with time zone, duration_ms double precision, is_test boolean'),
('dead_letter', 'delivery_id bigint, webhook_id text, org_id text, event text, object_id text, url text, destination text, payload jsonb, attempts integer, next_attempt_at timestamp with time zone, enqueued_at timestamp with time zone, reason text, died_at timestamp with time zone');
SELECT relation, c AS missing
  FROM promised, unnest(string_to_array(columns, ', ')) c
EXCEPT
SELECT r.relname, a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
  FROM pg_class r JOIN pg_attribute a ON a.attrelid = r.oid
 WHERE r.relnamespace = 'kgwebhook'::regnamespace AND a.attnum > 0;
-- dead_letter has all that the queue has
SELECT attname, atttypid::regtype FROM pg_attribute WHERE attrelid = 'kgwebhook.queue'::regclass AND attnum > 0
EXCEPT
SELECT attname, atttypid::regtype FROM pg_attribute WHERE attrelid = 'kgwebhook.dead_letter'::regclass
ORDER BY 1;
\t off
\a
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) AS type
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
 WHERE c.relnamespace = 'kgwebhook'::regnamespace AND c.relkind = 'v' AND a.attnum > 0
 ORDER BY c.relname COLLATE "C", a.attnum;
\t on
\a

--
-- deliveries: one row a delivery
--
BEGIN;
INSERT INTO kgwebhook.queue (delivery_id, webhook_id, org_id, event, object_id, url, destination, payload, attempts, next_attempt_at)
VALUES (-1, 'msg_1', 'o', 'e.new', 'never tried', 'https://m/', 'https://m:443', '{}', 0, '2024-01-01'),
       (-2, 'msg_2', 'o', 'e.new', 'tried twice', 'https://m/', 'https://m:443', '{}', 2, '2024-01-02'),
       (-6, 'msg_6', 'o', 'e.new', 'without secret', 'https://m/', 'https://m:443', '{}', 1, 'infinity');
INSERT INTO kgwebhook.dead_letter (delivery_id, webhook_id, org_id, event, object_id, url, destination, payload, attempts, next_attempt_at, enqueued_at, xid, reason)
VALUES (-3, 'msg_3', 'o', 'e.new', 'given up', 'https://m/', 'https://m:443', '{}', 1, '2024-01-03', '2024-01-01', '3', 'all attempts failed'),
       (-7, 'msg_7', 'o', 'e.new', 'never tried and given up', 'https://m/', 'https://m:443', '{}', 0, '2024-01-03', '2024-01-01', '3', 'too old');
INSERT INTO kgwebhook.delivery_log (delivery_id, webhook_id, org_id, event, object_id, url, destination, attempt, outcome, final, response_status, error, started_at, is_test)
VALUES (-2, 'msg_2', 'o', 'e.new', 'tried twice', 'https://m/', 'https://m:443', 1, 'timed_out', false, NULL, 'no answer', '2024-01-01', false),
       (-2, 'msg_2', 'o', 'e.new', 'tried twice', 'https://m/', 'https://m:443', 2, 'rejected', false, 500, 'status 500', '2024-01-02', false),
       (-6, 'msg_6', 'o', 'e.new', 'without secret', 'https://m/', 'https://m:443', 1, 'invalid', false, NULL, 'no secret', '2024-01-02', false),
       (-3, 'msg_3', 'o', 'e.new', 'given up', 'https://m/', 'https://m:443', 1, 'rejected', true, 410, 'gone', '2024-01-02', false),
       (-4, 'msg_4', 'o', 'e.new', 'arrived', 'https://m/', 'https://m:443', 1, 'rejected', false, 503, 'status 503', '2024-01-01', false),
       (-4, 'msg_4', 'o', 'e.new', 'arrived', 'https://m/', 'https://m:443', 2, 'acknowledged', true, 200, NULL, '2024-01-02', false),
       (-5, 'msg_5', 'o', 'e.new', 'overtaken', 'https://m/', 'https://m:443', 1, 'superseded', true, NULL, 'a newer one went', '2024-01-02', false),
       (-8, 'msg_8', 'o', 'e.new', 'a test', 'https://m/', 'https://m:443', 1, 'acknowledged', true, 200, NULL, '2024-01-02', true);
SET LOCAL TimeZone = 'UTC';
SET LOCAL DateStyle = 'ISO';
SELECT delivery_id, object_id, state, attempts, last_outcome, last_status, last_error, last_attempt_at::date, next_attempt_at::date,
       enqueued_at IS NOT NULL AS enqueued
  FROM kgwebhook.deliveries WHERE delivery_id < 0 ORDER BY delivery_id DESC;
-- one that is queued again is one delivery still, before and after it has arrived once more
INSERT INTO kgwebhook.delivery_log (delivery_id, webhook_id, org_id, event, object_id, url, destination, attempt, outcome, final, response_status, request_body, started_at)
VALUES (-9, 'msg_9', 'o', 'e.new', 'wanted twice', 'https://m/', 'https://m:443', 1, 'acknowledged', true, 200, '{"a":1}', '2024-01-02');
SELECT * FROM kgwebhook.requeue('{-9}', ARRAY[now()]);
SELECT state, attempts FROM kgwebhook.deliveries WHERE delivery_id = -9;
WITH gone AS (DELETE FROM kgwebhook.queue q WHERE q.delivery_id = -9 RETURNING q.*)
INSERT INTO kgwebhook.delivery_log (delivery_id, webhook_id, org_id, event, object_id, url, destination, attempt, outcome, final, response_status, started_at)
SELECT g.delivery_id, g.webhook_id, g.org_id, g.event, g.object_id, g.url, g.destination, 2, 'acknowledged', true, 200, '2024-01-03' FROM gone g;
SELECT state, attempts FROM kgwebhook.deliveries WHERE delivery_id = -9;
-- the log knows no other outcomes
SELECT pg_temp.refused($$INSERT INTO kgwebhook.delivery_log (delivery_id, webhook_id, org_id, event, object_id, url, destination, attempt, outcome, final, started_at)
VALUES (-10, 'msg_10', 'o', 'e.new', 'x', 'https://m/', 'https://m:443', 1, 'delivered', true, '2024-01-01')$$) LIMIT 1;
SELECT queue_depth >= 3 AS waiting, dead_letters >= 2 AS dead, oldest_pending_age = '0' AS just_now FROM kgwebhook.stats;
ROLLBACK;
SELECT count(*) FROM kgwebhook.deliveries WHERE delivery_id < 0;

--
-- pending, failures, latency, unacknowledged: what a person on call asks
--
BEGIN;
INSERT INTO kgwebhook.queue (delivery_id, webhook_id, org_id, event, object_id, url, destination, payload, attempts, next_attempt_at, enqueued_at)
VALUES (1001, 'm1', 'o', 'e.new', 'due', 'https://m/', 'https://m:443', '{"fiat_amount": "300.0", "fiat_currency": "USD"}', 0, now() - interval '1 s', now() - interval '2 h'),
       (1002, 'm2', 'o', 'e.new', 'to be retried', 'https://m/', 'https://m:443', '{"fiat_amount": 12.5, "fiat_currency": "EUR"}', 1, now() + interval '1 h', now()),
       (1003, 'm3', 'o', 'e.new', 'without secret', 'https://m/', 'https://m:443', '{"fiat_amount": "a lot"}', 1, 'infinity', now()),
       (1004, 'm4', 'o', 'e.new', 'paused', 'https://p/', 'https://p:443', '[]', 0, now(), now()),
       (1005, 'm5', 'o', 'e.old', 'has a newer one', 'https://m/', 'https://m:443', '{"fiat_amount": "1"}', 0, now(), now()),
       (1006, 'm6', 'o', 'e.new', 'has a newer one', 'https://m/', 'https://m:443', '{"fiat_amount": "2"}', 0, now(), now()),
       (1007, 'm7', 'o', 'e.new', 'newer was acknowledged', 'https://m/', 'https://m:443', '{"fiat_amount": "3"}', 1, now(), now()),
       (1009, 'm9', 'o', 'e.new', 'sent again after 200', 'https://m/', 'https://m:443', '{"fiat_amount": "4"}', 1, now(), now());
INSERT INTO kgwebhook.paused (destination) VALUES ('https://p:443');
INSERT INTO kgwebhook.dead_letter (delivery_id, webhook_id, org_id, event, object_id, url, destination, payload, attempts, next_attempt_at, enqueued_at, xid, reason)
VALUES (1010, 'm10', 'o', 'e.new', 'given up', 'https://m/', 'https://m:443', '{"fiat_amount": "7.50", "fiat_currency": "USD"}', 1, now(), now(), '3', 'gone');
INSERT INTO kgwebhook.delivery_log (delivery_id, webhook_id, org_id, event, object_id, url, destination, attempt, outcome, final, response_status, error, request_body, started_at, duration_ms, is_test)
VALUES (1008, 'm8', 'o', 'e.newer', 'newer was acknowledged', 'https://m/', 'https://m:443', 1, 'acknowledged', true, 200, NULL, NULL, now(), 10, false),
       (1009, 'm9', 'o', 'e.new', 'sent again after 200', 'https://m/', 'https://m:443', 1, 'acknowledged', true, 200, NULL, NULL, now(), 20, false),
       (1011, 'm11', 'o', 'e.new', 'superseded', 'https://m/', 'https://m:443', 1, 'rejected', false, 500, 'HTTP 500', '{"fiat_amount": "9.99", "fiat_currency": "GBP"}', now(), 1000, false),
       (1011, 'm11', 'o', 'e.new', 'superseded', 'https://m/', 'https://m:443', 2, 'superseded', true, NULL, 'a newer one went', NULL, now(), NULL, false),
       (1012, 'm12', 'o', 'e.new', 'superseded, then acknowledged', 'https://m/', 'https://m:443', 1, 'superseded', true, NULL, 'a newer one went', NULL, now(), NULL, false),
       (1013, 'm13', 'o', 'e.newer', 'superseded, then acknowledged', 'https://m/', 'https://m:443', 1, 'acknowledged', true, 200, NULL, NULL, now(), 30, false),
       (1014, 'm14', 'o', 'e.new', 'slow', 'https://n/', 'https://n:443', 1, 'timed_out', true, NULL, 'no answer', NULL, now() - interval '59 min', 15000, false),
       (1014, 'm14', 'o', 'e.new', 'slow', 'https://n/', 'https://n:443', 1, 'unreachable', true, NULL, 'no such name', NULL, now() - interval '61 min', 1, false),
       (1015, 'm15', 'o', 'e.new', 'a test', 'https://n/', 'https://n:443', 1, 'rejected', true, 500, 'HTTP 500', NULL, now(), 1, true),
       (1016, 'm16', 'o', 'e.new', 'long ago', 'https://n/', 'https://n:443', 1, 'acknowledged', true, 200, NULL, NULL, now() - interval '25 h', 1, false);
SELECT object_id, age, attempts, waits_for FROM kgwebhook.pending ORDER BY delivery_id;
SELECT reason, outcome, response_status, attempts, deliveries, destinations, now() - first_at AS first, now() - last_at AS last
  FROM kgwebhook.failures ORDER BY reason COLLATE "C";
SELECT destination, attempts, acknowledged, p50_ms, round(p95_ms) AS p95_ms, round(p99_ms) AS p99_ms, max_ms FROM kgwebhook.latency ORDER BY destination;
SELECT object_id, event, state, attempts, isfinite(next_attempt_at) AS again, fiat_amount, fiat_currency
  FROM kgwebhook.unacknowledged ORDER BY delivery_id;
-- it and kg_reconcile() are of one mind
SELECT delivery_id, object_id, state FROM kgwebhook.unacknowledged EXCEPT SELECT delivery_id, object_id, state FROM kg_reconcile();
SELECT delivery_id, object_id, state FROM kg_reconcile() EXCEPT SELECT delivery_id, object_id, state FROM kgwebhook.unacknowledged;
-- whatever is made up: few objects, and every state of a delivery and of its log
CREATE FUNCTION pg_temp.make_up(seed float8) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM setseed(seed);
	TRUNCATE kgwebhook.queue, kgwebhook.dead_letter, kgwebhook.delivery_log;
	CREATE TEMP TABLE made ON COMMIT DROP AS
	SELECT i AS id, 'm' || i AS webhook_id, 'x' || (random() * 6)::int AS object_id, 'o' || (random() * 0.7)::int AS org_id, 'k' || (random() * 0.7)::int AS kind,
		   'https://u' || (random() * 0.7)::int || '/' AS url, (random() * 4)::int AS place, (random() * 3)::int AS attempts,
		   now() - random() * interval '2 days' AS at, (random() * 0.7)::int AS attempts_before
	  FROM generate_series(1, 100) i;
	INSERT INTO kgwebhook.queue (delivery_id, webhook_id, org_id, event, kind, object_id, url, destination, payload, attempts, enqueued_at, attempts_before)
	SELECT id, webhook_id, org_id, 'e', kind, object_id, url, 'd', '{}', greatest(attempts, attempts_before), at, attempts_before FROM made WHERE place <= 1;
	INSERT INTO kgwebhook.dead_letter (delivery_id, webhook_id, org_id, event, kind, object_id, url, destination, payload, attempts, next_attempt_at, enqueued_at, xid, reason, attempts_before)
	SELECT id, webhook_id, org_id, 'e', kind, object_id, url, 'd', '{}', attempts, now(), at, '3', 'gone', attempts_before FROM made WHERE place = 2;
	INSERT INTO kgwebhook.delivery_log (delivery_id, webhook_id, org_id, event, kind, object_id, url, destination, attempt, outcome, final, started_at, is_test, queued_again, request_body)
	SELECT id, webhook_id, org_id, 'e', kind, object_id, url, 'd', a, (ARRAY['acknowledged', 'rejected', 'superseded', 'superseded', 'unreachable'])[1 + (random() * 4 + 0 * id * a)::int],
		   random() < 0.5, at + (random() * 2.2 - 1.3) * interval '1 day', random() < 0.1, CASE WHEN random() < 0.1 THEN true END, '{}'
	  FROM made, generate_series(1, 3) a WHERE a <= attempts;
END $$;
CREATE FUNCTION pg_temp.compare(seed float8, OUT open int8, OUT differ int8) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_temp.make_up(seed);
	SELECT count(*), count(*) FILTER (WHERE u IS NULL OR r IS NULL) INTO open, differ
	  FROM (SELECT object_id, org_id, kind, url, delivery_id, state FROM kgwebhook.unacknowledged) u
	  FULL JOIN (SELECT object_id, org_id, kind, url, delivery_id, state FROM kg_reconcile('9 days')) r ON r = u;
	DROP TABLE made;
END $$;
SELECT sum(c.open) > 400 AS many, sum(c.differ) AS differ FROM generate_series(1, 30) i, LATERAL pg_temp.compare(i / 31.0) c;
ROLLBACK;

-- kg_reconcile() tells objects apart by this, also where all their names together are the same
SELECT kgwebhook.first_of_object(o, k, i, u) AS first, o, k, i, u
  FROM (SELECT * FROM (VALUES (1, 'a', 'b', 'c', 'd'), (2, 'ab', '', 'c', 'd'), (3, 'a', 'bc', '', 'd'), (4, 'b', 'a', 'c', 'd'), (5, 'a', 'b', 'c', 'd'),
						(6, '', '', '', ''), (7, 'a', 'b', 'cd', ''), (8, '', '', '', '')) v (n, o, k, i, u) ORDER BY n OFFSET 0) v
 WHERE kgwebhook.first_of_object(o, k, i, u) OR n IN (5, 8);
SELECT count(*), min(n), max(n) FROM (SELECT n FROM generate_series(1, 200000) n ORDER BY n OFFSET 0) v
 WHERE kgwebhook.first_of_object('org' || n % 50, 'kind', 'object' || n % 40000, 'https://u/');

--
-- Queries over the views are not compiled, whatever they are estimated to cost; others are
--
SET jit = on; SET jit_above_cost = 0;
CREATE FUNCTION pg_temp.is_compiled(query text) RETURNS bool LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN ' || query LOOP
		IF line LIKE 'JIT:%' THEN RETURN true; END IF;
	END LOOP;
	RETURN false;
END $$;
SELECT pg_temp.is_compiled('SELECT * FROM pg_class WHERE relpages + 1 > 2') = pg_jit_available() AS others_are;
SELECT v FROM unnest('{deliveries,pending,waiting,destinations,unacknowledged,stats,delivery_log}'::text[]) v
 WHERE pg_temp.is_compiled('SELECT * FROM kgwebhook.' || v);
RESET jit; RESET jit_above_cost;

--
-- stats: the worker is there and disabled
--
DO $$
BEGIN
	FOR i IN 1 .. 6000 LOOP
		EXIT WHEN (SELECT worker_state = 'disabled' FROM kgwebhook.stats);
		PERFORM pg_sleep(0.01);
	END LOOP;
END $$;
SELECT count(*), min(worker_state), min(workers), min(in_flight), min(last_error), min(since) < now() FROM kgwebhook.stats;
SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'kgwebhook%' AND datname = current_database();
SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'kgwebhook launcher%';

-- enqueued counts what was committed
CREATE TABLE counted (payment_intent_id int, status text, callback_url text, org_id text);
SELECT count(*) FROM kg_watch('counted');
SELECT enqueued AS before FROM kgwebhook.stats \gset
INSERT INTO counted SELECT n, 'new', 'https://m.example/', 'o' FROM generate_series(1, 5) n;
BEGIN;
INSERT INTO counted SELECT n, 'new', 'https://m.example/', 'o' FROM generate_series(1, 7) n;
ROLLBACK;
BEGIN;
INSERT INTO counted SELECT n, 'new', 'https://m.example/', 'o' FROM generate_series(1, 20) n;
SAVEPOINT s;
INSERT INTO counted SELECT n, 'new', 'https://m.example/', 'o' FROM generate_series(1, 300) n;
ROLLBACK TO s;
SAVEPOINT t;
INSERT INTO counted SELECT n, 'new', 'https://m.example/', 'o' FROM generate_series(1, 4000) n;
RELEASE t;
COMMIT;
SELECT enqueued - :before AS enqueued, queue_depth, oldest_pending_age BETWEEN '0' AND '1 minute' FROM kgwebhook.stats;
DROP TABLE counted;
DELETE FROM kgwebhook.watch;
DELETE FROM kgwebhook.queue;
SELECT queue_depth, oldest_pending_age IS NULL FROM kgwebhook.stats;
