--
-- Who may what.  An ordinary role that may write a watched table needs no
-- right on anything of ours, and gets none by it.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set refused :abs_srcdir '/sql/include/refused.sql'
\set ECHO none
\i :refused
\set ECHO all
CREATE ROLE kgw_clerk;
CREATE ROLE kgw_owner;
CREATE ROLE kgw_monitor IN ROLE pg_monitor;
CREATE SCHEMA privileges;
GRANT USAGE ON SCHEMA privileges TO kgw_clerk, kgw_monitor;
GRANT ALL ON SCHEMA privileges TO kgw_owner;
SET search_path = privileges, public;
\t on
\a
SELECT kg_create_payment_intents();
GRANT SELECT, INSERT, UPDATE ON payment_intents TO kgw_clerk;
SELECT kg_set_secret('default', 'a secret of at least 24 bytes');

--
-- The clerk
--
SET ROLE kgw_clerk;
INSERT INTO payment_intents (payment_intent_id, callback_url) VALUES ('a', 'https://m.example/');
UPDATE payment_intents SET status = 'success';
SELECT pg_temp.refused('UPDATE payment_intents SET status = ''pending''') LIMIT 1;
SELECT f, pg_temp.refused(format('SELECT %s', f)) FROM unnest(ARRAY[
	'kg_watch(''payment_intents'')', 'kg_unwatch(''payment_intents'')', 'kg_create_payment_intents(''x'')',
	'kg_create_transfers(''x'')', 'kg_create_secret()', 'kg_set_secret(''a'', ''b'')',
	'kg_send_test(''https://m.example/'')', 'kg_examine(''https://m.example/'', ''default'')', 'kg_replay(''default'', ''https://m.example/'', now())', 'kg_pause()', 'kg_resume()',
	'kg_purge()', 'kg_expire_intents(''payment_intents'')', 'kg_schedule_maintenance()', 'kg_unschedule_maintenance()', 'kg_status()', 'kg_dashboard()']) f;
SELECT pg_temp.refused('SELECT kgwebhook.worker_stats()');
SELECT pg_temp.refused('SELECT kgwebhook.create_log_partitions()');
SELECT pg_temp.refused('SELECT kgwebhook.drop_log_partitions()');
SELECT pg_temp.refused('SELECT kgwebhook.reindex_queue()');
SELECT pg_temp.refused('SELECT kgwebhook.report_unacknowledged()');
SELECT r, pg_temp.refused(format('SELECT * FROM kgwebhook.%s', r)) FROM unnest(ARRAY[
	'queue', 'delivery_log', 'dead_letter', 'secret', 'watch', 'paused', 'deliveries', 'destinations', 'stats',
	'pending', 'failures', 'latency', 'unacknowledged']) r;
SELECT pg_temp.refused('INSERT INTO kgwebhook.queue DEFAULT VALUES');
SELECT pg_temp.refused('DELETE FROM kgwebhook.secret');
-- the receivers' three are anyone's
SELECT kg_canonical_json('{"b": 1, "a": 2}'), kg_verify(kg_sign('{}', 's'), 's');
-- our triggers are not to be had on another table
CREATE TEMP TABLE mine (payment_intent_id text, status text, callback_url text, org_id text);
SELECT pg_temp.refused('CREATE TRIGGER t AFTER INSERT ON mine FOR EACH ROW EXECUTE FUNCTION kgwebhook.enqueue()');
RESET ROLE;
-- not even with the schema's name in reach
GRANT USAGE ON SCHEMA kgwebhook TO kgw_clerk;
SET ROLE kgw_clerk;
SELECT pg_temp.refused('CREATE TRIGGER t AFTER INSERT ON mine FOR EACH ROW EXECUTE FUNCTION kgwebhook.enqueue()');
SELECT r, pg_temp.refused(format('SELECT * FROM kgwebhook.%s', r)) FROM unnest(ARRAY[
	'queue', 'delivery_log', 'dead_letter', 'secret', 'watch', 'paused', 'deliveries', 'destinations', 'stats',
	'pending', 'failures', 'latency', 'unacknowledged']) r;
SELECT pg_temp.refused('SELECT kgwebhook.worker_stats()');
DROP TABLE mine;
RESET ROLE;
REVOKE USAGE ON SCHEMA kgwebhook FROM kgw_clerk;
SELECT event, object_id FROM kgwebhook.queue ORDER BY delivery_id;

-- objects under our functions' names in the writer's path are not ours
SET ROLE kgw_owner;
CREATE FUNCTION privileges.pg_current_xact_id() RETURNS xid8 LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$;
CREATE FUNCTION privileges.now() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$;
CREATE FUNCTION privileges.to_jsonb(anyelement) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$;
RESET ROLE;
SET ROLE kgw_clerk;
SET search_path = privileges, pg_catalog, public;
UPDATE payment_intents SET status = 'refunded';
RESET ROLE;
SET search_path = privileges, public;
SELECT event FROM kgwebhook.queue ORDER BY delivery_id DESC LIMIT 1;
DELETE FROM kgwebhook.queue;

--
-- The owner of a table, to whom kg_watch() was granted, and nothing else
--
GRANT EXECUTE ON FUNCTION kg_watch(regclass, text, name, name, name, name, jsonb, name, name), kg_unwatch(regclass),
	kg_create_payment_intents(text) TO kgw_owner;
SET ROLE kgw_owner;
CREATE TABLE own (payment_intent_id text, status text, callback_url text, org_id text);
SELECT count(*) FROM kg_watch('own');
SELECT kg_create_payment_intents('own_intents');
INSERT INTO own VALUES ('1', 'new', 'https://m.example/', 'o');
INSERT INTO own_intents (payment_intent_id, callback_url) VALUES ('2', 'https://m.example/');
SELECT pg_temp.refused('SELECT count(*) FROM kg_watch(''payment_intents'')');
SELECT pg_temp.refused('SELECT kg_unwatch(''payment_intents'')');
SELECT pg_temp.refused('SELECT * FROM kgwebhook.watch');
SELECT current_user, pg_temp.refused('SELECT kg_create_payment_intents(''public.own_intents'')');
SELECT kg_unwatch('own');
SELECT pg_temp.refused('SELECT count(*) FROM kg_watch(''no such thing'')');
RESET ROLE;
SELECT relname, relowner::regrole FROM pg_class WHERE relnamespace = 'privileges'::regnamespace AND relkind = 'r' ORDER BY 1;
SELECT event, object_id FROM kgwebhook.queue ORDER BY delivery_id;

--
-- Who monitors sees what is going on, and no payload
--
SET ROLE kgw_monitor;
SELECT event, object_id, state FROM kgwebhook.deliveries ORDER BY delivery_id;
SELECT queue_depth FROM kgwebhook.stats;
SELECT destination, state, pending FROM kgwebhook.destinations WHERE pending > 0;
SELECT object_id, waits_for FROM kgwebhook.pending ORDER BY delivery_id;
SELECT object_id, state, fiat_amount FROM kgwebhook.unacknowledged ORDER BY object_id;
SELECT count(*) FROM kgwebhook.failures;
SELECT count(*) FROM kgwebhook.latency;
SELECT r, pg_temp.refused(format('SELECT * FROM kgwebhook.%s', r)) FROM unnest(ARRAY[
	'queue', 'delivery_log', 'delivery_log_default', 'dead_letter', 'secret', 'watch', 'paused']) r;
SELECT pg_temp.refused('SELECT kg_send_test(''https://m.example/'')');
SELECT column_name FROM information_schema.columns
 WHERE table_schema = 'kgwebhook' AND table_name IN ('deliveries', 'destinations', 'stats', 'pending', 'failures', 'latency', 'unacknowledged')
   AND column_name IN ('payload', 'request_body', 'response_body', 'secret');
RESET ROLE;

SET client_min_messages = warning;
DROP SCHEMA privileges CASCADE;
DELETE FROM kgwebhook.watch;
DELETE FROM kgwebhook.queue;
DELETE FROM kgwebhook.secret;
DROP OWNED BY kgw_clerk, kgw_owner, kgw_monitor;
DROP ROLE kgw_clerk, kgw_owner, kgw_monitor;
