--
-- Figures and answers that do not read the whole backlog.
--
\t on
\a
BEGIN;
INSERT INTO kgwebhook.queue (delivery_id, webhook_id, org_id, event, kind, object_id, url, destination, payload, next_attempt_at)
SELECT n, 'msg_' || n, CASE WHEN n > 29990 THEN 'keyless' ELSE 'acme' END, 'e.new', 'e', 'o' || n / 3,
	   CASE WHEN n > 29990 THEN 'https://b/' ELSE 'https://a/' END, CASE WHEN n > 29990 THEN 'https://b:443' ELSE 'https://a:443' END,
	   '{"fiat_amount": "2", "fiat_currency": "USD"}',
	   CASE WHEN n > 29990 THEN 'infinity' ELSE now() + interval '1 hour' END
  FROM generate_series(1, 30000) n;
ANALYZE kgwebhook.queue;

-- some rows stand for all; a destination with few has all of them
SELECT destination, pending, count(*), round(sum(stands_for)) FROM kgwebhook.backlog GROUP BY 1, 2 ORDER BY 1;
SELECT waits_for, deliveries FROM kgwebhook.waiting ORDER BY 1;
SELECT destination, pending FROM kgwebhook.destinations ORDER BY 1;
SELECT state, fiat_currency, objects BETWEEN 9900 AND 10100 AS objects, amount BETWEEN 19800 AND 20200 AS amount, exact FROM kgwebhook.at_stake();
SELECT count(*) FROM kgwebhook.pending WHERE waits_for = 'secret' AND org_id = 'keyless';

-- up to 20,000 they are exact
DELETE FROM kgwebhook.queue WHERE delivery_id <= 15000;
SELECT count(*), sum(stands_for) FROM kgwebhook.backlog;
SELECT waits_for, deliveries FROM kgwebhook.waiting WHERE deliveries > 0 ORDER BY 1;
SELECT state, fiat_currency, objects, amount, exact FROM kgwebhook.at_stake();

-- one object, one organization, the latest: by an index
CREATE FUNCTION pg_temp.reads_all(query text) RETURNS bool LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (ANALYZE, TIMING OFF, COSTS OFF, SUMMARY OFF) ' || query LOOP
		IF line ~ 'Seq Scan on queue' AND line !~ 'never executed' OR substring(line FROM 'rows=([0-9]+)')::int > 5000 THEN RETURN true; END IF;
	END LOOP;
	RETURN false;
END $$;
ANALYZE kgwebhook.queue;
SELECT v, a, pg_temp.reads_all(format('SELECT * FROM kgwebhook.%s %s', v, a))
  FROM unnest(ARRAY['deliveries', 'pending', 'unacknowledged']) v,
	   unnest(ARRAY['WHERE object_id = ''o7777''', 'WHERE org_id = ''keyless''', 'ORDER BY delivery_id DESC LIMIT 20']) a ORDER BY 1, 2;
SELECT pg_temp.reads_all('SELECT * FROM kgwebhook.destinations WHERE destination = ''https://b:443''');

-- several organizations at one host: each has its own figures
TRUNCATE kgwebhook.queue;
INSERT INTO kgwebhook.delivery_log (delivery_id, webhook_id, org_id, event, kind, object_id, url, destination, attempt, outcome, final, started_at, duration_ms)
SELECT n, 'msg_s' || n, org, 'e.new', 'e', 's' || n, 'https://c/' || org, 'https://c:443', 1, 'acknowledged', true, now() - interval '1 minute', 14000
  FROM generate_series(1, 5) n, unnest(ARRAY['idle', 'slow']) org;
INSERT INTO kgwebhook.queue (delivery_id, webhook_id, org_id, event, kind, object_id, url, destination, payload, attempts, attempts_before, next_attempt_at)
SELECT n, 'msg_c' || n, 'slow', 'e.new', 'e', 'slow' || n, 'https://c/slow', 'https://c:443', '{}', 0, 0, now() + interval '1 hour'
  FROM generate_series(1, 3) n;
INSERT INTO kgwebhook.queue (delivery_id, webhook_id, org_id, event, kind, object_id, url, destination, payload, attempts, attempts_before, next_attempt_at)
VALUES (11, 'msg_11', 'recovered', 'e.new', 'e', 'r', 'https://d/', 'https://d:443', '{}', 4, 4, now() + interval '1 hour'),
       (12, 'msg_12', 'second', 'e.new', 'e', 'b', 'https://d/second', 'https://d:443', '{}', 4, 4, now() + interval '1 hour'),
       (13, 'msg_13', 'second', 'e.new', 'e', 'c', 'https://d/second', 'https://d:443', '{}', 5, 4, now() + interval '1 hour');
INSERT INTO kgwebhook.delivery_log (delivery_id, webhook_id, org_id, event, kind, object_id, url, destination, attempt, outcome, final, response_status, error, started_at, duration_ms)
SELECT delivery_id, webhook_id, org_id, event, kind, object_id, url, destination, attempts, 'rejected', false, 500, 'answered with status 500', now() - interval '1 minute', 5
  FROM kgwebhook.queue WHERE attempts > 0;
SELECT finding FROM kgwebhook.slow_findings();
-- what was queued again and not tried since says nothing about its receiver
SELECT regexp_replace(finding, 'since [0-9:]+', 'since ...') FROM kgwebhook.receiver_findings();

-- more than are counted
INSERT INTO kgwebhook.dead_letter (delivery_id, webhook_id, org_id, event, kind, object_id, url, destination, payload, attempts, next_attempt_at, enqueued_at, xid, reason)
SELECT n, 'msg_d' || n, 'acme', 'e.new', 'e', 'd' || n, 'https://a/', 'https://a:443', '{}', 12, now(), now(), pg_current_xact_id(),
	   'gave up after 12 attempts: answered with status 404' FROM generate_series(1, 20001) n;
SELECT finding FROM kgwebhook.dead_letter_findings();
ROLLBACK;
