--
-- bench/operate.sql
--	  What the row "operate" is measured on: a month of :attempts attempts, :waiting
--	  deliveries that wait, and a tenth as many dead letters.
--
-- 500 organizations, the largest with some percent of the traffic; 1,000
-- destinations; three events an object; one attempt of fifty is refused and made
-- again; one of 500 is superseded.  Of what waits, six of ten are for one
-- receiver that is down, and the rest for a hundred others.
--
SET client_min_messages = warning;
-- vacuumed below; and nothing is to fall into the measurement
ALTER SYSTEM SET autovacuum = off;
SELECT pg_reload_conf();

SELECT count(kgwebhook.create_log_partition(d::date))
  FROM generate_series((now() AT TIME ZONE 'UTC')::date - 29, (now() AT TIME ZONE 'UTC')::date, interval '1 day') d;

CREATE FUNCTION pg_temp.org(i int8) RETURNS text LANGUAGE sql IMMUTABLE AS
	$$ SELECT 'm' || (500 * (i * 7919 % 1000 / 1000.0) ^ 2)::int $$;

INSERT INTO kgwebhook.delivery_log (attempt_id, delivery_id, webhook_id, org_id, event, kind, object_id, url, destination,
	attempt, outcome, final, response_status, response_body, error, request_body, started_at, duration_ms)
SELECT i, i + bad::int, 'msg_' || (i + bad::int), o, 'payment_intent.success', 'payment_intent', 'pi_' || i / 3,
	   'https://hooks' || o || '-' || i % 2 || '.example/webhooks/payments', 'https://hooks' || o || '-' || i % 2 || '.example:443',
	   CASE WHEN i % 50 = 1 THEN 2 ELSE 1 END,
	   CASE WHEN bad THEN 'rejected' WHEN i % 500 = 7 THEN 'superseded' ELSE 'acknowledged' END, NOT bad,
	   CASE WHEN bad THEN 503 WHEN i % 500 <> 7 THEN 200 END, CASE WHEN bad THEN 'try later' ELSE 'ok' END,
	   CASE WHEN bad THEN 'HTTP status 503' END, '{"data": "' || repeat('x', 380) || i || '"}',
	   now() - interval '29 days' * (1 - i / :attempts::float8), 20 + i % 50
  FROM (SELECT i, i % 50 = 0 AS bad, pg_temp.org((i + (i % 50 = 0)::int) / 3) AS o FROM generate_series(1, :attempts::int8) i) a;

INSERT INTO kgwebhook.queue (delivery_id, webhook_id, org_id, event, kind, object_id, url, destination, payload, attempts,
	next_attempt_at, enqueued_at, refused_at)
SELECT :attempts + i, 'msg_q' || i, CASE WHEN down THEN 'm3' ELSE pg_temp.org(i / 3) END, 'payment_intent.success', 'payment_intent', 'pi_q' || i / 3,
	   host || '/webhooks/payments', host || ':443',
	   jsonb_build_object('payment_intent_id', 'pi_q' || i / 3, 'status', 'success', 'payment_chain_id', '56', 'symbol', 'USDT',
		   'fiat_amount', '300.0', 'fiat_currency', 'USD', 'crypto_amount', '300.0', 'received_crypto_amount', '300.0',
		   'payment_tx_hash', '0x5c504ed432cb51138bcf09aa5e8a410dd4a1e204ef84bfed1be16dfba1b22060',
		   'order_data', '{"order": "2026-000123", "region": "eu"}', 'callback_url', host || '/webhooks/payments'),
	   CASE WHEN down AND i % 3 = 0 THEN 3 ELSE 0 END, CASE WHEN down AND i % 3 = 0 THEN now() + interval '1 hour' ELSE now() - interval '20 min' END,
	   now() - interval '5 hours' * (1 - i / :waiting::float8), NULL
  FROM (SELECT i, i % 10 < 6 AS down, CASE WHEN i % 10 < 6 THEN 'https://down.example' ELSE 'https://slow' || i % 1000 / 10 || '.example' END AS host
		  FROM generate_series(1, :waiting::int8) i) q;

-- what is tried again has its attempts in the log
INSERT INTO kgwebhook.delivery_log (attempt_id, delivery_id, webhook_id, org_id, event, kind, object_id, url, destination,
	attempt, outcome, final, error, request_body, started_at, duration_ms)
SELECT :attempts + row_number() OVER (ORDER BY delivery_id), delivery_id, webhook_id, org_id, event, kind, object_id, url, destination,
	   attempts, 'unreachable', false, 'the connection was refused', '{"data": "' || repeat('x', 380) || '"}', enqueued_at, 3
  FROM (SELECT * FROM kgwebhook.queue WHERE attempts > 0 ORDER BY delivery_id LIMIT :waiting / 20) tried;

INSERT INTO kgwebhook.dead_letter (delivery_id, webhook_id, org_id, event, kind, object_id, url, destination, payload, attempts,
	next_attempt_at, enqueued_at, xid, reason, died_at)
SELECT :attempts + :waiting + i, 'msg_d' || i, pg_temp.org(i / 3), 'payment_intent.success', 'payment_intent', 'pi_d' || i / 3,
	   'https://gone' || i % 50 || '.example/webhooks', 'https://gone' || i % 50 || '.example:443',
	   '{"fiat_amount": "300.0", "fiat_currency": "USD"}', 12, now() - interval '10 days' * (i / (:waiting / 10.0)), now() - interval '10 days' * (i / (:waiting / 10.0)) - interval '3 days',
	   pg_current_xact_id(), 'gave up after 12 attempts: HTTP status 404', now() - interval '10 days' * (i / (:waiting / 10.0))
  FROM generate_series(1, :waiting / 10) i;

SELECT setval('kgwebhook.attempt_id_seq', (SELECT max(attempt_id) FROM kgwebhook.delivery_log)), setval('kgwebhook.delivery_id_seq', :attempts + 2 * :waiting);
