--
-- Subscriptions: what kg_subscribe() refuses, who gets which event, and what
-- the views and functions for operators make of an event with several receivers.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set refused :abs_srcdir '/sql/include/refused.sql'
\set ECHO none
\i :refused
\set ECHO all
\t on
\a
SET DateStyle = 'ISO';
SET TimeZone = 'UTC';
ALTER SEQUENCE kgwebhook.subscription_id_seq RESTART;

--
-- At the door
--
SELECT pg_temp.refused($$SELECT kg_subscribe(NULL, 'https://p.example/')$$);
SELECT pg_temp.refused($$SELECT kg_subscribe('', 'https://p.example/')$$);
SELECT pg_temp.refused($$SELECT kg_subscribe(repeat('o', 256), 'https://p.example/')$$);
SELECT pg_temp.refused($$SELECT kg_subscribe('acme', NULL)$$);
SELECT url, pg_temp.refused(format('SELECT kg_subscribe(%L, %L)', 'acme', url))
  FROM unnest(ARRAY['', 'nonsense', 'ftp://p.example/', 'https://u:p@p.example/',
                    'https://p.example:22/', E'https://p.example/\n']) url;
SELECT pg_temp.refused($$SELECT kg_subscribe('acme', 'https://p.example/', NULL)$$);
SELECT pg_temp.refused($$SELECT kg_subscribe('acme', 'https://p.example/', '{}')$$);
SELECT pg_temp.refused($$SELECT kg_subscribe('acme', 'https://p.example/', array_fill('*'::text, ARRAY[101]))$$);
SELECT pg_temp.refused($$SELECT kg_subscribe('acme', 'https://p.example/', '{*,NULL}')$$);
SELECT event, pg_temp.refused(format('SELECT kg_subscribe(%L, %L, ARRAY[%L])', 'acme', 'https://p.example/', event))
  FROM unnest(ARRAY['', 'payment_intent', '*.*', ' *', 'e.a ', E'e.\ta']) event;
SELECT pg_temp.refused($$SELECT kg_subscribe('acme', 'https://p.example/', ARRAY['e.' || repeat('a', 199)])$$);
SELECT pg_temp.refused($$SELECT kg_subscribe('acme', 'https://p.example/', '{*}', repeat('a', 1001))$$);
SELECT count(*) FROM kgwebhook.subscription;
-- no name is looked up, and what is longest is accepted
BEGIN;
SELECT kg_subscribe(repeat('o', 255), 'https://no.such.name.invalid/' || repeat('a', 2048 - 29),
	array_fill('e.' || repeat('a', 198), ARRAY[10, 10]), repeat('d', 1000));
SELECT length(org_id), length(url), destination, array_dims(events), length(description) FROM kgwebhook.subscription;
ROLLBACK;
-- one too many
BEGIN;
SELECT count(kg_subscribe('many', 'https://p.example/' || n)) FROM generate_series(1, 100) n;
SELECT pg_temp.refused($$SELECT kg_subscribe('many', 'https://p.example/101')$$);
SELECT kg_subscribe('others', 'https://p.example/101') IS NOT NULL AS others;
ROLLBACK;

--
-- Changing one
--
BEGIN;
SELECT kg_subscribe('acme', 'https://p.example/') AS it, kg_subscribe('acme', 'https://q.example/') AS other \gset
CREATE FUNCTION pg_temp.update(arguments text) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT pg_temp.refused(format('SELECT kg_update_subscription(%s)', arguments)) $$;
SELECT pg_temp.update('NULL');
SELECT pg_temp.update('0');
SELECT pg_temp.update(:it || $$, 'ftp://p.example/'$$);
SELECT pg_temp.update(:it || $$, events => '{}'$$);
SELECT pg_temp.update(:it || $$, description => repeat('a', 1001)$$);
SELECT regexp_replace(pg_temp.update(:it || $$, 'https://q.example/'$$), 'subscription \d+', 'subscription (n)');
UPDATE kgwebhook.subscription SET failing_since = now(), paused_at = now() WHERE subscription_id = :it;
INSERT INTO kgwebhook.queue (webhook_id, org_id, event, object_id, url, destination, payload, subscription_id)
	SELECT 'msg', 'acme', 'e.a', 'o', url, destination, '{}', subscription_id FROM kgwebhook.subscription;
SELECT kg_update_subscription(:it, events => '{e.*}', description => 'first');
SELECT url, events, description, failing_since IS NULL AS healthy FROM kgwebhook.subscription WHERE subscription_id = :it;
-- its own URL is no other's; a new one has not failed, and gets what waits
SELECT kg_update_subscription(:it, 'https://p.example/');
SELECT failing_since IS NULL AS healthy FROM kgwebhook.subscription WHERE subscription_id = :it;
SELECT kg_update_subscription(:it, 'https://new.example:8443/');
SELECT url, destination, events, description, failing_since IS NULL AS healthy, paused_at IS NULL AS runs
  FROM kgwebhook.subscription WHERE subscription_id = :it;
SELECT url, destination FROM kgwebhook.queue ORDER BY delivery_id;
ROLLBACK;

--
-- Who gets what
--
ALTER SEQUENCE kgwebhook.subscription_id_seq RESTART;
CREATE TABLE orders (id text PRIMARY KEY, state text, hook text, org text);
SELECT count(*) FROM kg_watch('orders', 'order', 'id', 'state', 'hook', 'org');
CREATE TABLE bare (id text PRIMARY KEY, state text);
SELECT count(*) FROM kg_watch('bare', 'bare.thing', 'id', 'state', NULL, NULL);
CREATE FUNCTION pg_temp.queued() RETURNS SETOF text LANGUAGE sql AS $$
	SELECT format('%s %s %s: %s', q.object_id, q.event, coalesce(q.subscription_id::text, '-'), q.url)
	  FROM kgwebhook.queue q ORDER BY q.delivery_id $$;

-- there are none
INSERT INTO orders VALUES ('none', 'paid', NULL, 'acme'), ('own', 'paid', 'https://own.example/', 'acme');
INSERT INTO bare VALUES ('none', 'new');
SELECT * FROM pg_temp.queued();
DELETE FROM kgwebhook.queue;

SELECT kg_subscribe('acme', 'https://all.example/hook', description => 'everything');
SELECT kg_subscribe('acme', 'https://paid.example/hook', '{order.paid,order.ref*}');
SELECT kg_subscribe('acme', 'https://any.example/hook', '{*.paid}');
SELECT kg_subscribe('zenith', 'https://all.example/hook', '{order.*}');
SELECT kg_subscribe('default', 'https://default.example/hook', '{bare.*}');
SELECT pg_temp.refused($$SELECT kg_subscribe('acme', 'https://all.example/hook', '{order.paid}')$$);
SELECT subscription_id, org_id, url, destination, events, description, state, reason, since, pending
  FROM kgwebhook.subscriptions ORDER BY 1;

INSERT INTO orders VALUES
	('a', 'paid', NULL, 'acme'),
	('b', 'refunded', 'https://own.example/', 'acme'),
	('c', 'repaid', NULL, 'acme'),
	('d', 'paid', 'https://all.example/hook', 'acme'),
	('e', 'paid', 'nonsense', 'zenith'),
	('f', 'paid', NULL, 'nobody'),
	('g', 'paid', NULL, NULL),
	('h', 'paid', NULL, repeat('o', 300));
INSERT INTO bare VALUES ('i', 'new');
UPDATE orders SET hook = hook;
SELECT * FROM pg_temp.queued();
-- one event: one webhook-id, one payload; a delivery each
SELECT object_id, count(*), count(DISTINCT webhook_id), count(DISTINCT payload), count(DISTINCT delivery_id)
  FROM kgwebhook.queue GROUP BY object_id ORDER BY object_id;
SELECT count(DISTINCT webhook_id) FROM kgwebhook.queue;
SELECT pending FROM kgwebhook.subscriptions ORDER BY subscription_id;
DELETE FROM kgwebhook.queue;

-- the writer's session hears of every change, by whatever way it comes
UPDATE kgwebhook.subscription SET events = '{order.late}' WHERE subscription_id = 1;
UPDATE orders SET state = 'late' WHERE id = 'a';
SELECT kg_unsubscribe(1);
UPDATE orders SET state = 'later' WHERE id = 'a';
SELECT * FROM pg_temp.queued();
DELETE FROM kgwebhook.queue;
BEGIN;
SELECT kg_subscribe('acme', 'https://mine.example/');
SAVEPOINT s;
SELECT kg_unsubscribe(2);
UPDATE orders SET state = 'paid' WHERE id = 'a';
ROLLBACK TO s;
UPDATE orders SET state = 'paid' WHERE id = 'b';
COMMIT;
SELECT * FROM pg_temp.queued();
DELETE FROM kgwebhook.queue;
TRUNCATE kgwebhook.subscription;
UPDATE orders SET state = 'truncated' WHERE id = 'a';
SELECT * FROM pg_temp.queued();

-- a payment doesn't fail because of a subscription, whatever it is made of
INSERT INTO kgwebhook.subscription (subscription_id, org_id, url, destination, events)
VALUES (7, 'acme', '', '', '{{*,NULL},{NULL,NULL}}'), (8, 'acme', repeat('u', 2000), '', '{}'),
       (9, 'acme', 'https://x/', '', array_fill(repeat('e', 1000), ARRAY[1000]));
UPDATE orders SET state = 'odd' WHERE id = 'a';
SELECT * FROM pg_temp.queued();
DELETE FROM kgwebhook.queue;
DELETE FROM kgwebhook.subscription;

-- a role that may write the table needs no right on anything of ours
CREATE ROLE kgw_clerk;
GRANT UPDATE, SELECT ON orders TO kgw_clerk;
SELECT kg_subscribe('acme', 'https://all.example/hook') AS all \gset
SET ROLE kgw_clerk;
UPDATE orders SET state = 'clerk' WHERE id = 'a';
SELECT pg_temp.refused('TABLE kgwebhook.subscription');
SELECT pg_temp.refused('TABLE kgwebhook.subscriptions');
SELECT pg_temp.refused(format('SELECT %s', call)) FROM unnest(ARRAY[
	'kg_subscribe(''acme'', ''https://p.example/'')', 'kg_unsubscribe(1)',
	'kg_pause_subscription(1)', 'kg_resume_subscription(1)', 'kgwebhook.subscription_accepts(1)']) call;
RESET ROLE;
DROP OWNED BY kgw_clerk;
DROP ROLE kgw_clerk;
SELECT url FROM kgwebhook.queue;
DELETE FROM kgwebhook.queue;
DELETE FROM kgwebhook.subscription;

--
-- Pausing, resuming, removing
--
ALTER SEQUENCE kgwebhook.subscription_id_seq RESTART;
SELECT kg_subscribe('acme', 'https://all.example/hook'), kg_subscribe('acme', 'https://other.example/hook');
SELECT pg_temp.refused(format('SELECT %s(%s)', f, 99)) FROM unnest(ARRAY[
	'kg_unsubscribe', 'kg_pause_subscription', 'kg_resume_subscription']) f;
SELECT pg_temp.refused(format('SELECT %s(NULL)', f)) FROM unnest(ARRAY[
	'kg_unsubscribe', 'kg_pause_subscription', 'kg_resume_subscription']) f;
SELECT kg_resume_subscription(1);
SELECT kg_pause_subscription(1), kg_pause_subscription(1);
UPDATE kgwebhook.subscription SET disabled_at = '2024-01-01 12:00:00.5', disabled_reason = 'the receiver answered 410 Gone',
	failing_since = '2024-01-01' WHERE subscription_id = 2;
SELECT subscription_id, state, reason, since > now() - interval '1 minute' AS just_now FROM kgwebhook.subscriptions ORDER BY 1;
UPDATE kgwebhook.subscription SET failing_since = '2024-01-01', paused_at = NULL WHERE subscription_id = 1;
SELECT subscription_id, state, reason, since FROM kgwebhook.subscriptions WHERE subscription_id = 1;
UPDATE kgwebhook.subscription SET paused_at = '2024-01-02' WHERE subscription_id = 1;
-- both are still enqueued for: nothing is lost by a pause
INSERT INTO orders VALUES ('p', 'new', 'https://own.example/', 'acme');
SELECT * FROM pg_temp.queued();
SELECT subscription_id, waits_for FROM kgwebhook.pending ORDER BY delivery_id;
SELECT state, why, subscription_id FROM kg_reconcile() ORDER BY delivery_id;
SELECT regexp_replace(kg_explain(delivery_id), 'Delivery \d+| at [0-9-]+ [0-9:+]+', '', 'g') FROM kgwebhook.queue ORDER BY delivery_id;
SELECT kg_resume_subscription(1);
SELECT kg_resume_subscription(2);
SELECT subscription_id, state, reason, since FROM kgwebhook.subscriptions ORDER BY 1;
DELETE FROM kgwebhook.queue;

--
-- Which of them have it: each receiver for itself
--
BEGIN;
CREATE FUNCTION pg_temp.logged(delivery int8, url text, subscription int8, outcome text) RETURNS void LANGUAGE sql AS $$
	INSERT INTO kgwebhook.delivery_log (delivery_id, webhook_id, org_id, event, object_id, url, destination, attempt,
		outcome, final, started_at, request_body, subscription_id)
	VALUES (delivery, 'msg_1', 'acme', 'order.paid', 'x', url, 'https://one.example:443', 1, outcome, true, now(), '{}', subscription) $$;
CREATE FUNCTION pg_temp.died(delivery int8, url text, subscription int8) RETURNS void LANGUAGE sql AS $$
	SELECT pg_temp.logged(delivery, url, subscription, 'rejected');
	INSERT INTO kgwebhook.dead_letter (delivery_id, webhook_id, org_id, event, object_id, url, destination, payload, attempts,
		next_attempt_at, enqueued_at, xid, reason, subscription_id)
	VALUES (delivery, 'msg_1', 'acme', 'order.paid', 'x', url, 'https://one.example:443', '{}', 1, now(), now(), '3',
		'gave up', subscription) $$;
-- the object's own URL has it, and has the next one; subscription 1 has neither, 2 only the older, 99 was removed
SELECT pg_temp.logged(-9, 'https://one.example/own', NULL, 'acknowledged'), pg_temp.died(-8, 'https://one.example/1', 1),
       pg_temp.logged(-7, 'https://one.example/2', 2, 'acknowledged'), pg_temp.died(-6, 'https://one.example/99', 99);
SELECT pg_temp.logged(-5, 'https://one.example/own', NULL, 'acknowledged'), pg_temp.died(-4, 'https://one.example/1', 1),
       pg_temp.died(-3, 'https://one.example/2', 2);
SELECT delivery_id, url, subscription_id FROM kgwebhook.unacknowledged ORDER BY 1;
SELECT delivery_id, url, subscription_id, why FROM kg_reconcile() ORDER BY 1;
SELECT delivery_id, state, subscription_id FROM kgwebhook.deliveries ORDER BY 1;
SELECT delivery_id, overtaken, accepted FROM kgwebhook.undelivered('-infinity', now(), NULL, NULL) ORDER BY 1;
SELECT regexp_replace(kg_explain(d), ' at [0-9-]+ [0-9:+]+', '', 'g') FROM unnest(ARRAY[-6, -4]) d;
-- 1 is disabled: its receiver takes nothing, so nothing is sent again
UPDATE kgwebhook.subscription SET disabled_at = '2024-01-01', disabled_reason = 'the receiver answered 410 Gone' WHERE subscription_id = 1;
SELECT regexp_replace(kg_explain(-4), ' at [0-9-]+ [0-9:+]+', '', 'g');
SELECT kg_recover('-infinity', dry_run => true);
SELECT kg_recover('-infinity');
SELECT delivery_id, subscription_id, attempts, attempts_before FROM kgwebhook.queue ORDER BY 1;
SELECT pg_temp.refused(format('SELECT kg_redeliver(%s)', d)) FROM unnest(ARRAY[-8, -6]) d;
SELECT * FROM kg_redeliver_object('x');
-- enabled again, it gets what it has missed; each goes into the queue with its subscription
SELECT kg_resume_subscription(1);
SELECT kg_recover('-infinity'), kg_recover('-infinity');
SELECT delivery_id, subscription_id FROM kgwebhook.queue ORDER BY 1;
SELECT delivery_id FROM kgwebhook.dead_letter ORDER BY 1;
ROLLBACK;

-- a test without a URL
SELECT pg_temp.refused('SELECT kg_send_test()');
SELECT kg_set_secret('acme', 'a secret of at least 24 bytes') IS NOT NULL AS set;
SELECT kg_pause_subscription(2);
BEGIN;
UPDATE kgwebhook.subscription SET url = 'http://10.0.0.7/' || subscription_id, destination = 'http://10.0.0.7:80';
SELECT kg_subscribe('acme', 'https://10.0.0.7/3') IS NOT NULL;
SELECT subscription_id, url, destination, outcome, is_test, final FROM kg_send_test(NULL, 'acme');
SELECT count(DISTINCT webhook_id), count(DISTINCT object_id), count(DISTINCT delivery_id) FROM kgwebhook.delivery_log;
ROLLBACK;
UPDATE kgwebhook.subscription SET paused_at = now();
SELECT pg_temp.refused('SELECT kg_send_test(NULL, ''acme'')');

DROP TABLE orders, bare;
DELETE FROM kgwebhook.subscription;
DELETE FROM kgwebhook.secret;
DELETE FROM kgwebhook.queue;
