--
-- A role that is given one organization's log by a policy of one's own; and the extension goes on as before.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set refused :abs_srcdir '/sql/include/refused.sql'
\set ECHO none
\i :refused
\set ECHO all
\t on
\a
BEGIN;
SET client_min_messages = warning;
CREATE FUNCTION pg_temp.log(org text) RETURNS void LANGUAGE sql AS $$
	INSERT INTO kgwebhook.delivery_log (delivery_id, webhook_id, org_id, event, object_id, url, destination,
		attempt, outcome, final, started_at)
	VALUES (1, 'msg_1', org, 'payment_intent.success', 'of ' || org, 'https://m.example/', 'https://m.example:443',
		1, 'acknowledged', true, now()) $$;
SELECT pg_temp.log(org) FROM unnest(ARRAY['acme', 'zenith', 'acme']) org;

-- a policy by the role's name
CREATE ROLE merchants;
GRANT USAGE ON SCHEMA kgwebhook TO merchants;
GRANT SELECT ON kgwebhook.delivery_log TO merchants;
CREATE POLICY own_organization ON kgwebhook.delivery_log AS RESTRICTIVE
    FOR SELECT TO merchants USING ('merchant_' || org_id = current_user);
CREATE ROLE merchant_acme IN ROLE merchants;
CREATE ROLE merchant_nobody IN ROLE merchants;
CREATE SCHEMA shop;
GRANT USAGE ON SCHEMA shop TO merchants;
CREATE VIEW shop.my_attempts WITH (security_invoker) AS
    SELECT object_id, event, attempt, outcome, response_status, error, started_at
      FROM kgwebhook.delivery_log;
GRANT SELECT ON shop.my_attempts TO merchants;

SET ROLE merchant_acme;
SELECT org_id, object_id FROM kgwebhook.delivery_log;
SELECT object_id, outcome FROM shop.my_attempts;
SELECT count(*) FROM kgwebhook.delivery_log WHERE org_id = 'zenith';
-- no function that leaks what it is given gets to see another's row
CREATE FUNCTION pg_temp.leak(text) RETURNS bool LANGUAGE plpgsql COST 0.0001 AS $$
BEGIN
	IF $1 <> 'acme' THEN RAISE 'leaked %', $1; END IF;
	RETURN true;
END $$;
SELECT count(*) FROM kgwebhook.delivery_log WHERE pg_temp.leak(org_id);
SELECT count(*) FROM shop.my_attempts WHERE pg_temp.leak(substr(object_id, 4));
-- nor anything around the policy
SELECT r, pg_temp.refused(format('SELECT * FROM kgwebhook.%s', r)) FROM unnest(ARRAY[
	'delivery_log_default', 'deliveries', 'queue', 'dead_letter', 'secret', 'destinations', 'stats']) r;
SELECT pg_temp.refused('INSERT INTO kgwebhook.delivery_log SELECT * FROM kgwebhook.delivery_log');
SELECT pg_temp.refused('DELETE FROM kgwebhook.delivery_log');
SELECT pg_temp.refused('ALTER TABLE kgwebhook.delivery_log DISABLE ROW LEVEL SECURITY');
SELECT pg_temp.refused('TABLE kgwebhook.delivery_log') FROM (SELECT set_config('row_security', 'off', true)) s;
SET LOCAL row_security = on;
RESET ROLE;
SET ROLE merchant_nobody;
SELECT count(*) FROM kgwebhook.delivery_log;
RESET ROLE;

-- the extension itself isn't held back, not even by force
ALTER TABLE kgwebhook.delivery_log FORCE ROW LEVEL SECURITY;
ALTER TABLE kgwebhook.queue ENABLE ROW LEVEL SECURITY;
ALTER TABLE kgwebhook.queue FORCE ROW LEVEL SECURITY;
SELECT kg_set_secret('zenith', 'a secret of at least 24 bytes') IS NOT NULL AS set;
CREATE ROLE kgw_operator;
GRANT EXECUTE ON FUNCTION kg_send_test(text, text, text) TO kgw_operator;
SELECT kg_create_payment_intents('shop.payments');
GRANT INSERT ON shop.payments TO kgw_operator;
GRANT USAGE ON SCHEMA shop TO kgw_operator;
SET ROLE kgw_operator;
SELECT outcome, error FROM kg_send_test('http://10.0.0.7/', 'zenith');
INSERT INTO shop.payments (payment_intent_id, org_id, callback_url) VALUES ('p', 'zenith', 'https://m.example/');
RESET ROLE;
SELECT org_id, count(*) FROM kgwebhook.delivery_log GROUP BY org_id ORDER BY org_id;
SELECT object_id FROM kgwebhook.queue;
SET ROLE merchant_acme;
SELECT count(*) FROM kgwebhook.delivery_log;
RESET ROLE;

-- A trigger of the log would never fire
CREATE FUNCTION on_attempt() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
SELECT pg_temp.refused('CREATE TRIGGER own AFTER INSERT ON kgwebhook.delivery_log FOR EACH ROW EXECUTE FUNCTION on_attempt()');
SELECT pg_temp.refused('CREATE TRIGGER own AFTER INSERT ON kgwebhook.delivery_log_default EXECUTE FUNCTION on_attempt()');
CREATE TRIGGER own AFTER INSERT ON kgwebhook.dead_letter FOR EACH ROW EXECUTE FUNCTION on_attempt();
DROP FUNCTION on_attempt CASCADE;
ROLLBACK;
