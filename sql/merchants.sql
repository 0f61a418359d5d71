--
-- Merchants' roles: what is an organization's own, and nothing else.
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
ALTER SEQUENCE kgwebhook.delivery_id_seq RESTART;
CREATE ROLE kgw_acme;
CREATE ROLE kgw_acme_app IN ROLE kgw_acme;
CREATE ROLE kgw_beta;
CREATE ROLE kgw_gateway;
CREATE ROLE kgw_both IN ROLE kgw_acme, kgw_beta;
CREATE ROLE kgw_support;
CREATE ROLE kgw_trickster IN ROLE kgw_acme;
CREATE SCHEMA merchants;
GRANT ALL ON SCHEMA merchants TO kgw_acme, kgw_trickster;
GRANT EXECUTE ON FUNCTION pg_temp.refused(text) TO PUBLIC;
SET search_path = merchants, public;

--
-- Granting
--
SELECT pg_temp.refused($$SELECT kg_grant_org('kgw_acme', NULL)$$);
SELECT pg_temp.refused($$SELECT kg_grant_org('kgw_acme', '')$$);
SELECT pg_temp.refused($$SELECT kg_grant_org(NULL, 'acme')$$);
SELECT pg_temp.refused($$SELECT kg_grant_org('kgw_nobody', 'acme')$$);
SELECT pg_temp.refused(format('SELECT kg_grant_org(%L, %L)', current_user, 'acme'));
SELECT kg_grant_org('kgw_acme', 'acme');
SELECT kg_grant_org('kgw_acme', 'acme');
SELECT pg_temp.refused($$SELECT kg_grant_org('kgw_acme', 'beta')$$);
SELECT pg_temp.refused($$SELECT kg_grant_gateway('kgw_acme')$$);
SELECT kg_grant_org('kgw_beta', 'beta');
SELECT kg_grant_gateway('kgw_gateway');
SELECT pg_temp.refused($$SELECT kg_grant_org('kgw_gateway', 'acme')$$);
SELECT pg_temp.refused($$SELECT kg_revoke_org('kgw_beta', 'acme')$$);
SELECT pg_temp.refused($$SELECT kg_revoke_gateway('kgw_beta')$$);
GRANT USAGE ON SCHEMA kgwebhook TO kgw_support;
GRANT SELECT ON kgwebhook.deliveries, kgwebhook.delivery_log, kgwebhook.dead_letter, kgwebhook.subscriptions TO kgw_support;
GRANT EXECUTE ON FUNCTION kg_explain(bigint), kg_redeliver(bigint) TO kgw_support;

-- a delivery of each kind for both, under equal identifiers
CREATE TABLE pays (id text, status text, url text, org_id text);
SELECT count(*) FROM kg_watch('pays', 'pay', 'id', 'status', 'url');
INSERT INTO pays VALUES ('1', 'new', 'https://a.example/', 'acme'), ('1', 'new', 'https://b.example/', 'beta');

INSERT INTO kgwebhook.dead_letter (delivery_id, webhook_id, org_id, event, kind, object_id, url, destination, payload,
		attempts, next_attempt_at, enqueued_at, xid, reason)
	SELECT n, 'msg_' || n, org_id, 'pay.new', 'pay', '2', 'https://dead.example/' || org_id, 'https://dead.example:443', '{}',
	       1, now(), now(), '1', 'secret of ' || org_id
	  FROM (VALUES (103, 'acme'), (104, 'beta')) v (n, org_id);
INSERT INTO kgwebhook.delivery_log (delivery_id, webhook_id, org_id, event, kind, object_id, url, destination, attempt, outcome,
		final, request_body, started_at)
	SELECT n, 'msg_' || n, org_id, 'pay.new', 'pay', '3', 'https://log.example/' || org_id, 'https://log.example:443',
	       1, 'acknowledged', true, '{"of": "' || org_id || '"}', now()
	  FROM (VALUES (105, 'acme'), (106, 'beta')) v (n, org_id);
SELECT setval('kgwebhook.delivery_id_seq', 200);
SELECT kg_set_secret('acme', 'the secret of acme, long enough'), kg_set_secret('beta', 'the secret of beta, long enough');
SELECT kg_subscribe('beta', 'https://sub.example/beta');

--
-- What a role sees
--
PREPARE seen AS
	SELECT 'deliveries', string_agg(delivery_id || ' ' || org_id, ', ' ORDER BY delivery_id) FROM kgwebhook.deliveries
	UNION ALL SELECT 'log', string_agg(delivery_id || ' ' || org_id, ', ' ORDER BY delivery_id) FROM kgwebhook.delivery_log
	UNION ALL SELECT 'dead', string_agg(delivery_id || ' ' || org_id, ', ' ORDER BY delivery_id) FROM kgwebhook.dead_letter
	UNION ALL SELECT 'subscriptions', string_agg(subscription_id || ' ' || org_id, ', ' ORDER BY subscription_id) FROM kgwebhook.subscriptions;
EXECUTE seen;
SET ROLE kgw_support;
EXECUTE seen;
SET ROLE kgw_acme;
EXECUTE seen;
SET ROLE kgw_acme_app;
EXECUTE seen;
SET ROLE kgw_beta;
EXECUTE seen;
-- the setting is nothing to it
SET kgwebhook.org_id = 'acme';
EXECUTE seen;
SET ROLE kgw_gateway;
EXECUTE seen;
SET kgwebhook.org_id = 'beta';
EXECUTE seen;
RESET kgwebhook.org_id;
EXECUTE seen;
SELECT pg_temp.refused('SELECT kg_redeliver(105)');
-- who inherits two of them is neither
SET ROLE kgw_both;
EXECUTE seen;
SELECT pg_temp.refused('SELECT kg_redeliver(105)');
RESET ROLE;
-- a merchant's role whose row is missing sees nothing, and not everything
BEGIN;
DELETE FROM kgwebhook.organization_role;
SET ROLE kgw_acme;
EXECUTE seen;
SELECT pg_temp.refused('SELECT kg_redeliver(105)');
ROLLBACK;
-- nor one that the policy does not name
BEGIN;
DROP POLICY kgwebhook_own_organization ON kgwebhook.delivery_log;
SET ROLE kgw_acme;
SELECT count(*) FROM kgwebhook.delivery_log;
SET ROLE kgw_support;
SELECT count(*) FROM kgwebhook.delivery_log;
ROLLBACK;
-- a policy of one's own shows it nothing more
BEGIN;
CREATE POLICY open ON kgwebhook.delivery_log USING (true);
SET ROLE kgw_acme;
SELECT count(*) FROM kgwebhook.delivery_log;
ROLLBACK;

--
-- What is not there for it
--
SET ROLE kgw_acme;
SELECT r, pg_temp.refused(format('SELECT * FROM kgwebhook.%s', r)) FROM unnest(ARRAY[
	'queue', 'secret', 'signing_key', 'watch', 'paused', 'subscription', 'all_deliveries', 'own_deliveries', 'delivery_log_default',
	'destinations', 'stats', 'pending', 'unacknowledged', 'organization_role', 'role_organization', 'amendment']) r;
SELECT f, pg_temp.refused(format('SELECT %s', f)) FROM unnest(ARRAY[
	'kg_pause()', 'kg_forget(''acme'', ''1'')', 'kg_replay(''acme'', ''https://m.example/'', now())', 'kg_recover(now())', 'kg_status()', 'kg_dashboard()', 'kg_amend(1, ''{}'')', 'kg_create_secret(''acme'')',
	'kg_set_secret(''acme'', ''x'')', 'kg_fingerprints()', 'kg_grant_org(''kgw_acme'', ''beta'')', 'kgwebhook.kg_redeliver(105)',
	'kgwebhook.kg_explain(106)', 'kgwebhook.scope()', 'kgwebhook.caller()', 'kgwebhook.requeue(''{106}'', ''{now}'')']) f;
-- another's number, and one that is nobody's
SELECT f, pg_temp.refused(format('SELECT %s', f)) FROM unnest(ARRAY[
	'kg_redeliver(2)', 'kg_redeliver(104)', 'kg_redeliver(106)', 'kg_redeliver(999)',
	'kg_unsubscribe(1)', 'kg_unsubscribe(999)', 'kg_pause_subscription(1)', 'kg_pause_subscription(999)',
	'kg_update_subscription(1, events => ''{e.*}'')', 'kg_update_subscription(999, events => ''{e.*}'')', 'kg_resume_subscription(1)', 'kg_resume_subscription(999)',
	'kg_subscribe(''beta'', ''https://sub.example/beta'')', 'kg_subscribe(''nobody'', ''https://sub.example/beta'')',
	'kg_send_test(NULL, ''beta'')', 'kg_send_test(NULL, ''nobody'')',
	'kg_examine(''http://10.0.0.7/'', ''beta'')', 'kg_examine(NULL, ''beta'')', 'kg_examine(''http://10.0.0.7/'', ''nobody'')',
	'kg_examine(''ftp://10.0.0.7/'', ''acme'')', 'kg_examine(''http://10.0.0.7/'', NULL)',
	'kg_rotate_secret(''beta'')', 'kg_rotate_secret(''nobody'')', 'kg_cancel_rotation(''beta'')', 'kg_cancel_rotation(''nobody'')', 'kg_jwks(''beta'')', 'kg_jwks(''nobody'')', 'kg_sign_http(''beta'')', 'kg_sign_http(''nobody'')', 'kg_sign_http(''acme'', 1)', 'kg_sign_http(''acme'', 999)',
	'kg_events_since(''beta'')', 'kg_events_since(''nobody'')', 'kg_events_since(''acme'', ''1~2'')', 'kg_events_since(''acme'', NULL, 0)',
	'kg_dashboard(''beta'')', 'kg_dashboard(''nobody'')', 'kg_redeliver_object(''1'', ''beta'')', 'kg_redeliver_object(''1'', ''nobody'')', 'kg_explain(''1'', ''beta'')',
	'kg_explain(''1'', ''nobody'')']) f;
SELECT kg_explain(n) FROM unnest(ARRAY[2, 104, 106, 999]) n;
-- its own, also where others have the identifier
SELECT kg_redeliver(d) FROM unnest(ARRAY[1, 105]) d;
SELECT kg_redeliver_object('1');
SELECT regexp_replace(kg_explain('1'), '\d{4}-\d\d-\d\d [0-9:+]*', '(time)', 'g');
SELECT object_id, event, kg_verify(body, 'the secret of acme, long enough') FROM kg_events_since('acme');
SELECT kg_subscribe('acme', 'https://sub.example/acme') AS own \gset
SELECT url, state, pending FROM kgwebhook.subscriptions;
SELECT kg_update_subscription(:own, 'https://sub.example/acme/2');
SELECT url FROM kgwebhook.subscriptions;
SELECT kg_pause_subscription(:own);
SELECT state FROM kgwebhook.subscriptions;
SELECT kg_resume_subscription(:own), kg_unsubscribe(:own);
SELECT kg_rotate_secret('acme') LIKE 'whsec_%' AS rotated, kg_cancel_rotation('acme');
SELECT kg_jwks('acme');
RESET ROLE;
SELECT delivery_id, org_id FROM kgwebhook.queue ORDER BY 1;
-- what its receiver has asked to be left alone with is fetched like everything else
BEGIN;
UPDATE kgwebhook.queue SET not_before = now() + interval '1 hour';
SELECT object_id, event FROM kg_events_since('acme');
ROLLBACK;

--
-- Its page
--
UPDATE kgwebhook.dead_letter SET reason = 'not tried again: </td> of kgwebhook.retry_schedule';
UPDATE kgwebhook.queue SET attempts = 2 WHERE object_id = '1';
INSERT INTO kgwebhook.delivery_log (delivery_id, webhook_id, org_id, event, kind, object_id, url, destination, attempt, outcome,
		final, response_status, response_body, error, request_body, started_at, duration_ms)
	SELECT n, 'msg_' || n, org_id, 'pay.new', 'pay', '4', 'https://log.example/' || org_id || '?q', 'https://log.example:443',
	       1, outcome, true, 500, 'answer </details> of ' || org_id, 'newer ones waited for kgwebhook.max_hold',
	       '{"of":"' || org_id || '","signature":"' || repeat('0', 64) || '"}', now(), 12.3
	  FROM (VALUES (107, 'acme', 'rejected'), (108, 'beta', 'rejected'), (109, 'acme', 'superseded')) v (n, org_id, outcome);
SET ROLE kgw_acme;
SELECT kg_dashboard('acme') AS page \gset
SELECT substring(:'page' FROM '<title>[^<]*</title>');
SELECT word, :'page' LIKE '%' || word || '%' AS said FROM unnest(ARRAY['https://a.example/', 'https://log.example/acme', 'of acme',
	'answer &lt;/details&gt; of acme', '&lt;/td&gt; of the retry schedule', 'tried 2 times', 'a newer status of the object went first',
	'50 % of 2', '{&quot;of&quot;:&quot;acme&quot;}',
	'beta', 'b.example', 'kgwebhook.', '00000000', '</td> of', 'http-equiv="Content-Security-Policy"']) word;
SELECT kg_dashboard(NULL) IS NULL AS none;
RESET ROLE;
SELECT kg_dashboard('beta') LIKE '%b.example%' AS operator, kg_dashboard('nobody') LIKE '%Everything was received%' AS nobody;
DELETE FROM kgwebhook.delivery_log WHERE object_id = '4';

--
-- Ways around
--
-- a condition that looks at each row
SET ROLE kgw_trickster;
CREATE FUNCTION merchants.look(text) RETURNS bool LANGUAGE plpgsql COST 0.0001 AS $$
BEGIN
	IF $1 LIKE '%beta%' THEN RAISE WARNING 'seen: %', $1; END IF;
	RETURN true;
END $$;
SELECT count(*) FROM kgwebhook.delivery_log WHERE look(request_body);
SELECT count(*) FROM kgwebhook.dead_letter WHERE look(reason);
SELECT count(*) FROM kgwebhook.deliveries WHERE look(url);
SELECT count(*) FROM kgwebhook.subscriptions WHERE look(url);
-- an operator that the planner asks about the most common values
RESET ROLE;
BEGIN;
INSERT INTO kgwebhook.queue (webhook_id, org_id, event, kind, object_id, url, destination, payload)
	SELECT 'msg_q' || n, 'beta', 'pay.new', 'pay', n, 'https://common.example/beta', 'https://common.example:443', '{}' FROM generate_series(1, 9) n;
INSERT INTO kgwebhook.dead_letter (delivery_id, webhook_id, org_id, event, kind, object_id, url, destination, payload,
		attempts, next_attempt_at, enqueued_at, xid, reason)
	SELECT 300 + n, 'msg_d' || n, 'beta', 'pay.new', 'pay', n, 'https://common.example/beta', 'https://common.example:443', '{}',
	       1, now(), now(), '1', 'secret of beta' FROM generate_series(1, 9) n;
INSERT INTO kgwebhook.delivery_log (delivery_id, webhook_id, org_id, event, kind, object_id, url, destination, attempt, outcome,
		final, started_at)
	SELECT 400 + n, 'msg_l' || n, 'beta', 'pay.new', 'pay', n, 'https://common.example/beta', 'https://common.example:443',
	       1, 'acknowledged', true, now() FROM generate_series(1, 9) n;
INSERT INTO kgwebhook.subscription (org_id, url, destination, events, description)
	SELECT 'beta', 'https://sub.example/beta/' || n, 'https://sub.example:443', '{*}', 'of beta' FROM generate_series(1, 9) n;
ANALYZE kgwebhook.queue, kgwebhook.dead_letter, kgwebhook.delivery_log, kgwebhook.subscription;
SET ROLE kgw_trickster;
CREATE FUNCTION merchants.same(text, text) RETURNS bool LANGUAGE plpgsql AS $$
BEGIN
	IF $1 LIKE '%beta%' THEN RAISE WARNING 'seen: %', $1; END IF;
	RETURN $1 = $2;
END $$;
CREATE OPERATOR merchants.=== (FUNCTION = merchants.same, LEFTARG = text, RIGHTARG = text, RESTRICT = eqsel);
SELECT count(*) FROM kgwebhook.delivery_log WHERE url === 'x' OR org_id === 'x';
SELECT count(*) FROM kgwebhook.dead_letter WHERE url === 'x' OR org_id === 'x';
SELECT count(*) FROM kgwebhook.deliveries WHERE url === 'x' OR org_id === 'x';
SELECT count(*) FROM kgwebhook.subscriptions WHERE description === 'x' OR org_id === 'x';
SELECT count(*) FROM kgwebhook.my_organization WHERE look(org_id) OR org_id === 'x';
RESET ROLE;
ROLLBACK;
SET ROLE kgw_trickster;
-- a function of a merchant's acts for the merchant, also when a superuser runs it
CREATE FUNCTION merchants.trap() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS $$ SELECT public.kg_redeliver(106) $$;
CREATE FUNCTION merchants.peep() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS $$ SELECT count(*) FROM kgwebhook.deliveries WHERE org_id = 'beta' $$;
RESET ROLE;
SELECT pg_temp.refused('SELECT merchants.trap()');
SELECT merchants.peep();
-- and one of the operator's acts for the operator
CREATE FUNCTION merchants.serve(n bigint) RETURNS bigint LANGUAGE sql SECURITY DEFINER AS $$ SELECT public.kg_redeliver(n) $$;
SET ROLE kgw_acme;
SELECT merchants.serve(106);
SELECT pg_temp.refused('SELECT kg_redeliver(106)');
-- an error inside leaves nothing behind
SELECT pg_temp.refused('SELECT kg_redeliver(999)');
RESET ROLE;
SELECT kg_redeliver(106);
-- names of its own in the path
SET ROLE kgw_acme;
CREATE FUNCTION merchants.pg_has_role(name, oid, text) RETURNS bool LANGUAGE sql AS 'SELECT true';
CREATE FUNCTION merchants.scope() RETURNS text LANGUAGE sql AS 'SELECT NULL::text';
CREATE VIEW merchants.my_organization AS SELECT 'beta'::text AS org_id;
SET search_path = merchants, pg_catalog, public;
EXECUTE seen;
SELECT pg_temp.refused('SELECT kg_redeliver(106)');
SELECT kgwebhook.own_organization();
RESET ROLE;
SET search_path = merchants, public;

--
-- Revoking
--
SELECT kg_revoke_org('kgw_acme', 'acme');
SET ROLE kgw_acme;
SELECT pg_temp.refused('SELECT kg_redeliver(105)');
SELECT pg_temp.refused('SELECT FROM kgwebhook.delivery_log');
RESET ROLE;
SET ROLE kgw_beta;
EXECUTE seen;
RESET ROLE;
SELECT kg_revoke_org('kgw_beta', 'beta'), kg_revoke_gateway('kgw_gateway');
SELECT count(*) FROM pg_policy WHERE polrelid = 'kgwebhook.delivery_log'::regclass AND polname = 'kgwebhook_own_organization';
SET client_min_messages = warning;
DROP SCHEMA merchants CASCADE;
DROP OWNED BY kgw_support;
DROP ROLE kgw_acme, kgw_acme_app, kgw_beta, kgw_gateway, kgw_both, kgw_support, kgw_trickster;
DELETE FROM kgwebhook.watch;
DELETE FROM kgwebhook.queue;
DELETE FROM kgwebhook.dead_letter;
DELETE FROM kgwebhook.delivery_log;
DELETE FROM kgwebhook.secret;
DELETE FROM kgwebhook.subscription;
