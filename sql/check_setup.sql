--
-- kg_check_setup(): every item of the check list, each seen done and not done as far
-- as a server without a worker and a network can have it.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set refused :abs_srcdir '/sql/include/refused.sql'
\set ECHO none
\i :refused
\set ECHO all
CREATE SCHEMA setup;
SET search_path = setup, public;
\t on
\a
CREATE FUNCTION pg_temp.item(which text) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT line FROM kg_check_setup() s,
	       unnest(ARRAY[s.ok::text, regexp_replace(s.detail, '[0-9]{4}-.*|[0-9:]{8}', 'TIME.'), 'REMEDY ' || s.remedy]) line
	 WHERE s.item = which AND line IS NOT NULL
$$;
SELECT item FROM kg_check_setup();
-- what is not done has a remedy, and what is done has none
SELECT item FROM kg_check_setup() WHERE ok IS NULL OR detail IS NULL OR (remedy IS NULL) <> ok;

-- the server: the worker is off here, and so is fsync
SELECT pg_temp.item('worker');
SELECT pg_temp.item('settings in force');
-- the file is read each time: a value that waits for a restart is seen without a reload
ALTER SYSTEM SET kgwebhook.workers = 2;
SELECT ok, detail LIKE 'kgwebhook.workers, %postgresql.auto.conf, line %: %.', remedy FROM kg_check_setup() WHERE item = 'settings in force';
ALTER SYSTEM RESET kgwebhook.workers;
SELECT ok FROM kg_check_setup() WHERE item = 'settings in force';
SELECT pg_temp.item('durability');
SELECT pg_temp.item('archive or standby');

-- what is watched
SELECT pg_temp.item('watched tables');
SELECT kg_create_payment_intents(), kg_create_transfers();
SELECT pg_temp.item('watched tables');
ALTER TABLE transfers DISABLE TRIGGER kgwebhook_enqueue;
SELECT pg_temp.item('watched tables');
ALTER TABLE transfers ENABLE REPLICA TRIGGER kgwebhook_enqueue;
SELECT ok FROM kg_check_setup() WHERE item = 'watched tables';
ALTER TABLE transfers ENABLE ALWAYS TRIGGER kgwebhook_enqueue;
SELECT ok FROM kg_check_setup() WHERE item = 'watched tables';

-- who looks after it
SELECT pg_temp.item('role of the person on call');
CREATE ROLE kgw_on_call LOGIN;
SELECT ok FROM kg_check_setup() WHERE item = 'role of the person on call';
GRANT pg_monitor TO kgw_on_call;
SELECT pg_temp.item('role of the person on call');

-- secrets: whose, how they are kept, who reads them
SELECT pg_temp.item('signing secrets');
INSERT INTO payment_intents (org_id, callback_url) VALUES ('acme', 'https://m.example/');
SELECT kg_subscribe('duck''s', 'https://m.example/') > 0 AS subscribed;
SELECT pg_temp.item('signing secrets');
SELECT kg_set_secret('acme', 'a secret of at least 24 bytes'), kg_set_secret('duck''s', 'another of at least 24 bytes');
SELECT pg_temp.item('signing secrets');
-- a subscription's own secret is enough for it, and is no other organization's
SELECT kg_subscribe('loner', 'https://m.example/') AS loner, kg_create_signing_key('loner') IS NOT NULL AS x \gset
SELECT kg_create_secret(:loner) IS NOT NULL AS own;
SELECT pg_temp.item('signing secrets');
-- taken back: a DELETE would have the worker, which is disabled, learn where the rest of the queue goes
BEGIN;
INSERT INTO payment_intents (org_id, callback_url) VALUES ('loner', 'https://m.example/');
SELECT pg_temp.item('signing secrets');
INSERT INTO payment_intents (org_id, callback_url) VALUES ('loner', 'https://own.example/');
SELECT ok, detail FROM kg_check_setup() WHERE item = 'signing secrets';
ROLLBACK;
SELECT kg_drop_secret(:loner);
SELECT pg_temp.item('signing secrets');
SELECT kg_unsubscribe(:loner);
SELECT pg_temp.item('key file');
UPDATE kgwebhook.secret SET secret = 'x', encrypted = true WHERE org_id = 'acme';
SELECT pg_temp.item('key file');
UPDATE kgwebhook.secret SET secret = 'a secret of at least 24 bytes', encrypted = false WHERE org_id = 'acme';
SELECT pg_temp.item('readers of secrets');
GRANT SELECT (secret) ON kgwebhook.secret TO kgw_on_call;
SELECT pg_temp.item('readers of secrets');
REVOKE SELECT (secret) ON kgwebhook.secret FROM kgw_on_call;
GRANT SELECT ON kgwebhook.client_certificate TO kgw_on_call;
SELECT pg_temp.item('readers of secrets');
REVOKE SELECT ON kgwebhook.client_certificate FROM kgw_on_call;
GRANT pg_read_all_data TO kgw_on_call;
SELECT ok FROM kg_check_setup() WHERE item = 'readers of secrets';
REVOKE pg_read_all_data FROM kgw_on_call;
SET client_min_messages = error;
CREATE PUBLICATION kgw_everything FOR ALL TABLES;
RESET client_min_messages;
SELECT pg_temp.item('readers of secrets');
DROP PUBLICATION kgw_everything;
SET client_min_messages = error;
CREATE PUBLICATION kgw_keys FOR TABLE kgwebhook.signing_key;
RESET client_min_messages;
SELECT ok, detail FROM kg_check_setup() WHERE item = 'readers of secrets';
DROP PUBLICATION kgw_keys;
SELECT ok FROM kg_check_setup() WHERE item = 'readers of secrets';

-- the network: this server allows http and loopback
SELECT pg_temp.item('https only');
SELECT pg_temp.item('private networks');
SELECT pg_temp.item('certificate authorities');
SELECT pg_temp.item('a first delivery');
INSERT INTO kgwebhook.delivery_log (delivery_id, webhook_id, org_id, event, object_id, url, destination, attempt, outcome, final, started_at, is_test)
VALUES (1, 'msg_1', 'acme', 'e', 'o', 'http://m.example/', 'http://m.example:80', 1, 'acknowledged', true, now(), false),
       (2, 'msg_2', 'acme', 'e', 'o', 'https://m.example/', 'https://m.example:443', 1, 'rejected', false, now(), false);
SELECT ok FROM kg_check_setup() WHERE item = 'a first delivery';
INSERT INTO kgwebhook.delivery_log (delivery_id, webhook_id, org_id, event, object_id, url, destination, attempt, outcome, final, started_at, is_test)
VALUES (3, 'msg_3', 'acme', 'e', 'o', 'https://m.example/', 'https://m.example:443', 1, 'acknowledged', true, now(), true);
SELECT pg_temp.item('a first delivery');
SELECT pg_temp.item('retention');

-- it shows no secret, and is the owner's alone until it is granted
SELECT count(*) FROM kg_check_setup() s WHERE s::text LIKE '%least 24 bytes%';
SET ROLE kgw_on_call;
SELECT pg_temp.refused('SELECT kg_check_setup()');
RESET ROLE;
GRANT EXECUTE ON FUNCTION kg_check_setup() TO kgw_on_call;
SET ROLE kgw_on_call;
SELECT count(*) > 10 FROM public.kg_check_setup();
RESET ROLE;
REVOKE EXECUTE ON FUNCTION kg_check_setup() FROM kgw_on_call;

SET client_min_messages = warning;
DROP SCHEMA setup CASCADE;
REVOKE pg_monitor FROM kgw_on_call;
DROP ROLE kgw_on_call;
DELETE FROM kgwebhook.watch;
DELETE FROM kgwebhook.queue;
DELETE FROM kgwebhook.secret;
DELETE FROM kgwebhook.signing_key;
DELETE FROM kgwebhook.subscription;
DELETE FROM kgwebhook.delivery_log;
DELETE FROM kgwebhook.removed_events;
