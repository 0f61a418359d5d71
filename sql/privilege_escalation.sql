--
-- Hijacks: a role that may make types, functions, operators, triggers and tables
-- must not get code run by the extension's owner, nor events signed for a table
-- that nobody allowed was asked about.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set refused :abs_srcdir '/sql/include/refused.sql'
\set ECHO none
\i :refused
\set ECHO all
\t on
\a
CREATE ROLE kgw_mallory;
CREATE ROLE kgw_alice;
CREATE ROLE kgw_writer;
CREATE SCHEMA hijack;
GRANT ALL ON SCHEMA hijack TO kgw_mallory, kgw_alice, kgw_writer;
GRANT EXECUTE ON FUNCTION kg_watch(regclass, text, name, name, name, name, jsonb, name, name), kg_unwatch(regclass)
	TO kgw_mallory, kgw_alice;
SET search_path = hijack, public;

--
-- Code in a type: to_jsonb() uses a cast to json, which a type's owner makes
--
SET ROLE kgw_mallory;
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TYPE pair AS (a int, b mood);
CREATE TYPE span AS RANGE (subtype = int4);
CREATE DOMAIN pair_domain AS pair;
CREATE FUNCTION tell(what text) RETURNS json LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('DateStyle', 'German', false);
	RAISE '% ran as %, superuser: %', what, current_user, current_setting('is_superuser');
END $$;
CREATE FUNCTION tell(mood) RETURNS json LANGUAGE sql AS $$ SELECT hijack.tell('enum') $$;
CREATE FUNCTION tell(span) RETURNS json LANGUAGE sql AS $$ SELECT hijack.tell('range') $$;
CREATE CAST (mood AS json) WITH FUNCTION tell(mood);
CREATE CAST (span AS json) WITH FUNCTION tell(span);
CREATE TABLE traps (id text, status text, url text, moods mood[], pair pair, span span, domain pair_domain);
SELECT count(*) FROM kg_watch('traps', 'trap', 'id', 'status', 'url', NULL);
GRANT INSERT ON traps TO kgw_writer;
SET ROLE kgw_writer;
INSERT INTO traps VALUES ('array', 's', 'https://m.example/', '{good}', NULL, NULL, NULL);
INSERT INTO traps VALUES ('composite', 's', 'https://m.example/', NULL, '(1,bad)', NULL, NULL);
INSERT INTO traps VALUES ('range', 's', 'https://m.example/', NULL, NULL, '[1,2]', NULL);
INSERT INTO traps VALUES ('domain', 's', 'https://m.example/', NULL, NULL, NULL, '(1,bad)');
SELECT current_user;
RESET ROLE;
SELECT object_id, problem FROM kgwebhook.queue ORDER BY delivery_id;
-- nothing that it sets is left behind
SHOW DateStyle;
-- and no way out of that role
SET ROLE kgw_mallory;
CREATE OR REPLACE FUNCTION tell(what text) RETURNS json LANGUAGE plpgsql AS $$
BEGIN
	SET ROLE NONE;
	RETURN '1';
END $$;
SET ROLE kgw_writer;
INSERT INTO traps VALUES ('way out', 's', 'https://m.example/', NULL, '(1,bad)', NULL, NULL);
RESET ROLE;
SELECT problem FROM kgwebhook.queue ORDER BY delivery_id DESC LIMIT 1;
-- a new owner of the table is who it runs as
SET ROLE kgw_mallory;
CREATE OR REPLACE FUNCTION tell(what text) RETURNS json LANGUAGE plpgsql AS $$
BEGIN
	RAISE 'ran as %', current_user;
END $$;
RESET ROLE;
ALTER TABLE traps OWNER TO kgw_alice;
SET ROLE kgw_writer;
INSERT INTO traps VALUES ('new owner', 's', 'https://m.example/', NULL, '(1,bad)', NULL, NULL);
RESET ROLE;
SELECT problem FROM kgwebhook.queue ORDER BY delivery_id DESC LIMIT 1;
DELETE FROM kgwebhook.queue;
-- nor does it become a superuser who looks at a body
SELECT pg_temp.refused('SELECT kg_preview(''traps'', ''new owner'')');
CREATE TABLE mines (id text, status text);
INSERT INTO mines VALUES ('mine', 's');
ALTER TABLE mines OWNER TO kgw_mallory;
SET ROLE kgw_mallory;
SELECT count(*) FROM kg_watch('mines', 'mine', 'id', 'status', NULL, NULL);
CREATE FUNCTION mine(text) RETURNS bool LANGUAGE plpgsql STABLE AS $$ BEGIN RAISE 'ran as %', current_user; END $$;
ALTER TABLE mines ENABLE ROW LEVEL SECURITY;
ALTER TABLE mines FORCE ROW LEVEL SECURITY;
CREATE POLICY mine ON mines USING (hijack.mine(id));
RESET ROLE;
SELECT pg_temp.refused('SELECT kg_preview(''mines'', ''mine'')');
DROP TABLE mines;

-- a trigger of a table's owner, when a superuser has its intents expire
SET ROLE kgw_mallory;
CREATE TABLE due (payment_intent_id text, status text, callback_url text, org_id text, payment_deadline timestamptz);
CREATE FUNCTION who() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'ran as %', current_user; END $$;
CREATE TRIGGER who BEFORE UPDATE ON due FOR EACH ROW EXECUTE FUNCTION who();
SELECT count(*) FROM kg_watch('due');
INSERT INTO due VALUES ('late', 'pending', 'https://m.example/', 'o', now() - interval '1 day');
RESET ROLE;
SELECT pg_temp.refused('SELECT kg_expire_intents(''due'')');
DROP TRIGGER who ON due;
SELECT kg_expire_intents('due'), current_user;
DELETE FROM kgwebhook.queue;

--
-- A table under a watched one's name, partitions, children, copies
--
SET ROLE kgw_alice;
CREATE TABLE paid (payment_intent_id text, status text, callback_url text, org_id text);
SELECT count(*) FROM kg_watch('paid');
ALTER TABLE paid RENAME TO paid_before;
RESET ROLE;
SET ROLE kgw_mallory;
CREATE TABLE paid (payment_intent_id text, status text, callback_url text, org_id text);
INSERT INTO paid VALUES ('under its name', 's', 'https://m.example/', 'o');
CREATE TABLE child () INHERITS (paid);
SELECT pg_temp.refused('CREATE TABLE stolen () INHERITS (paid_before)');
SELECT pg_temp.refused('CREATE TRIGGER t AFTER INSERT ON paid FOR EACH ROW EXECUTE FUNCTION kgwebhook.enqueue()');
SELECT pg_temp.refused('ALTER TRIGGER kgwebhook_enqueue ON paid_before RENAME TO mine');
SELECT pg_temp.refused('SELECT count(*) FROM kg_watch(''paid_before'')');
SELECT pg_temp.refused('SELECT kg_unwatch(''paid_before'')');
DROP TABLE child;
RESET ROLE;
SET ROLE kgw_alice;
INSERT INTO paid_before VALUES ('by its owner', 's', 'https://m.example/', 'o');
CREATE TABLE parts (payment_intent_id text, status text, callback_url text, org_id text) PARTITION BY LIST (org_id);
SELECT count(*) FROM kg_watch('parts');
CREATE TABLE parts_a PARTITION OF parts FOR VALUES IN ('a');
RESET ROLE;
SET ROLE kgw_mallory;
SELECT pg_temp.refused('ALTER TABLE parts ATTACH PARTITION paid FOR VALUES IN (''o'')');
SELECT pg_temp.refused('CREATE TABLE parts_m PARTITION OF parts FOR VALUES IN (''m'')');
RESET ROLE;
SET ROLE kgw_alice;
SELECT pg_temp.refused('ALTER TABLE parts ATTACH PARTITION paid FOR VALUES IN (''o'')');
-- what is detached isn't watched any more
INSERT INTO parts VALUES ('while attached', 's', 'https://m.example/', 'a');
ALTER TABLE parts DETACH PARTITION parts_a;
INSERT INTO parts_a VALUES ('detached', 's', 'https://m.example/', 'a');
CREATE TABLE copied (LIKE paid_before INCLUDING ALL);
INSERT INTO copied VALUES ('copied', 's', 'https://m.example/', 'o');
RESET ROLE;
SELECT object_id FROM kgwebhook.queue ORDER BY delivery_id;
-- a trigger that a superuser made by hand serves no table that isn't watched
CREATE TRIGGER t AFTER INSERT ON paid FOR EACH ROW EXECUTE FUNCTION kgwebhook.enqueue();
SET ROLE kgw_mallory;
SELECT pg_temp.refused('INSERT INTO paid VALUES (''by hand'', ''s'', ''https://m.example/'', ''o'')');
DROP TABLE paid;
-- a trigger that already has our name
CREATE TABLE named (payment_intent_id text, status text, callback_url text, org_id text);
CREATE FUNCTION quiet() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER kgwebhook_enqueue AFTER INSERT ON named FOR EACH ROW EXECUTE FUNCTION quiet();
SELECT pg_temp.refused('SELECT count(*) FROM kg_watch(''named'')');
RESET ROLE;
SELECT count(*) FROM kgwebhook.watch WHERE relation = 'named'::regclass;
-- who has no business there doesn't get to wait for a lock, either
SET ROLE kgw_mallory;
BEGIN;
SELECT pg_temp.refused('SELECT count(*) FROM kg_watch(''paid_before'')');
SELECT mode FROM pg_locks WHERE relation = 'paid_before'::regclass AND pid = pg_backend_pid() AND mode LIKE 'Share%';
COMMIT;
RESET ROLE;
DELETE FROM kgwebhook.queue;

--
-- Names: every operator and function of pg_catalog that takes the common types
-- is there once more, in a schema that comes before it and with a trap in it.
-- Everything of ours is called by a role that was granted it all.
--
CREATE SCHEMA trap;
GRANT ALL ON SCHEMA trap TO kgw_mallory;
GRANT USAGE ON SCHEMA trap TO kgw_writer;
CREATE TEMP TABLE common AS
	SELECT unnest(ARRAY['text', 'name', 'bool', 'int4', 'int8', 'float8', 'oid', 'regclass', 'timestamptz',
		'interval', 'jsonb', 'xid8', 'bytea', 'anyelement', '"any"', 'anycompatible', 'text[]', 'name[]',
		'int8[]', 'anyarray', 'cstring', 'int2', 'numeric']::regtype[]) AS type;
GRANT SELECT ON common TO kgw_mallory;
SET ROLE kgw_mallory;
CREATE FUNCTION trap.spring(what text) RETURNS int LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
	RAISE 'trapped by % as %', what, current_user USING ERRCODE = 'XX666';
END $$;
DO $$
DECLARE
	f record;
BEGIN
	FOR f IN SELECT p.oid, p.proname, pg_get_function_identity_arguments(p.oid) AS arguments,
	                pg_get_function_result(p.oid) AS result
	           FROM pg_proc p
	          WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND p.pronargs > 0
	            AND NOT EXISTS (SELECT FROM unnest(p.proargtypes) a WHERE a NOT IN (SELECT type FROM common))
	            AND p.prorettype <> ALL ('{internal,trigger,event_trigger,cstring}'::regtype[])
	            AND p.proargmodes IS NULL AND p.proname !~ '^pg_(get|stat|temp|describe)'
	LOOP
		BEGIN
			EXECUTE format('CREATE FUNCTION trap.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L', f.proname, f.arguments,
				f.result, format('BEGIN PERFORM trap.spring(%L); END', f.oid::regprocedure));
		EXCEPTION WHEN invalid_function_definition OR undefined_object OR feature_not_supported THEN
			NULL;			-- what plpgsql has no form for
		END;
	END LOOP;
	CREATE FUNCTION trap.now() RETURNS timestamptz LANGUAGE plpgsql AS 'BEGIN PERFORM trap.spring(''now()''); END';
	FOR f IN SELECT o.oid, o.oprname, o.oprleft::regtype AS l, o.oprright::regtype AS r, o.oprresult::regtype AS result,
	                'operator_' || o.oid AS function
	           FROM pg_operator o
	          WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND o.oprkind = 'b'
	            AND o.oprleft IN (SELECT type FROM common) AND o.oprright IN (SELECT type FROM common)
	LOOP
		BEGIN
			EXECUTE format('CREATE FUNCTION trap.%I(%s, %s) RETURNS %s LANGUAGE plpgsql AS %L', f.function, f.l, f.r,
				f.result, format('BEGIN PERFORM trap.spring(%L); END', f.oid::regoperator));
			EXECUTE format('CREATE OPERATOR trap.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = trap.%I)', f.oprname,
				f.l, f.r, f.function);
		EXCEPTION WHEN invalid_function_definition OR feature_not_supported OR syntax_error THEN
			NULL;
		END;
	END LOOP;
END $$;
CREATE VIEW trap.queue AS SELECT trap.spring('queue');
CREATE VIEW trap.secret AS SELECT trap.spring('secret');
CREATE VIEW trap.watch AS SELECT trap.spring('watch');
CREATE VIEW trap.delivery_log AS SELECT trap.spring('delivery_log');
CREATE DOMAIN trap.text AS pg_catalog.int4;
CREATE DOMAIN trap.jsonb AS pg_catalog.int4;
CREATE DOMAIN trap."numeric" AS pg_catalog.int4;
RESET ROLE;
SELECT count(*) > 200 AS many_functions FROM pg_proc WHERE pronamespace = 'trap'::regnamespace;
SELECT count(*) > 100 AS many_operators FROM pg_operator WHERE oprnamespace = 'trap'::regnamespace;

-- what is called, and as what; what is not named here is called with NULLs
CREATE TEMP TABLE calls (name name, call text);
INSERT INTO calls VALUES
	('kg_canonical_json', $$ public.kg_canonical_json('{"a": [1, "x"]}') $$),
	('kg_sign', $$ public.kg_sign('{"a": 1}', 'secret') $$),
	('kg_verify', $$ public.kg_verify('{"a":1,"timestamp":1,"signature":"00"}', 'secret') $$),
	('kg_create_secret', $$ public.kg_create_secret('hijack') $$),
	('kg_set_secret', $$ public.kg_set_secret('hijack', 'a secret of at least 24 bytes') $$),
	('explain_missing_secret', $$ kgwebhook.explain_missing_secret('hijack') $$),
	('kg_fingerprints', $$ (SELECT pg_catalog.count(*) FROM public.kg_fingerprints()) $$),
	('fingerprint', $$ kgwebhook.fingerprint('hijack', false) $$),
	('kg_fingerprint', $$ public.kg_fingerprint('secret') $$),
	('crowd', $$ kgwebhook.crowd('https://a', 'hijack', NULL, 'https://a/', '2026-01-01') $$),
	('undecryptable', $$ kgwebhook.undecryptable('hijack') $$),
	('kg_rotate_secret', $$ public.kg_rotate_secret('hijack') $$),
	('kg_drop_secret', $$ public.kg_drop_secret((SELECT pg_catalog.max(subscription_id) FROM kgwebhook.subscriptions)) $$),
	('kg_cancel_rotation', $$ public.kg_cancel_rotation('hijack') $$),
	('kg_create_signing_key', $$ public.kg_create_signing_key('hijack') $$),
	('kg_rotate_signing_key', $$ public.kg_rotate_signing_key('hijack') $$),
	('kg_cancel_key_rotation', $$ public.kg_cancel_key_rotation('hijack') $$),
	('add_signing_key', $$ kgwebhook.add_signing_key('hijack', '2000-01-01'::pg_catalog.timestamptz) $$),
	('later_by', $$ kgwebhook.later_by('span', '1 hour'::pg_catalog.interval, '2000-01-01'::pg_catalog.timestamptz) $$),
	('kg_sign_http', $$ public.kg_sign_http('hijack') $$),
	('kg_set_client_certificate', $$ public.kg_set_client_certificate('hijack', NULL) $$),
	('kg_set_headers', $$ public.kg_set_headers((SELECT pg_catalog.max(subscription_id) FROM kgwebhook.subscriptions), '{"X-A": "b"}') $$),
	('kg_jwks', $$ public.kg_jwks('hijack') $$),
	('kg_create_payment_intents', $$ public.kg_create_payment_intents('hijack.intents') $$),
	('kg_create_transfers', $$ public.kg_create_transfers('hijack.moves') $$),
	('kg_watch', $$ public.kg_watch('hijack.own', 'own', 'id', 'status', 'url', 'org', '{"id": "id"}') $$),
	('kg_watch_shape', $$ public.kg_watch_shape('hijack.own', 'v2', '{"id": "id"}') $$),
	('write_shape', $$ kgwebhook.write_shape('hijack.own'::pg_catalog.regclass, 'v2', '{"id": "id"}') $$),
	('check_shape', $$ kgwebhook.check_shape('v2') $$),
	('set_options', $$ kgwebhook.set_options((SELECT pg_catalog.max(subscription_id) FROM kgwebhook.subscriptions), 'v2', '{"status": "x"}', 5) $$),
	('check_filter', $$ kgwebhook.check_filter('{"status": "x"}', 'v2', '{*}') $$),
	('filter_notes', $$ (SELECT pg_catalog.count(*) FROM kgwebhook.filter_notes('hijack.own'::pg_catalog.regclass, NULL)) $$),
	('kg_unwatch', $$ public.kg_unwatch('hijack.own') $$),
	('kg_send_test', $$ public.kg_send_test('http://10.0.0.7/', 'hijack') $$),
	('kg_examine', $$ public.kg_examine('http://10.0.0.7/', 'hijack') $$),
	('kg_replay', $$ public.kg_replay('hijack', 'http://10.0.0.7/', '-infinity') $$),
	('recorded_events', $$ (SELECT pg_catalog.count(*) FROM kgwebhook.recorded_events('hijack', '-infinity', 10, NULL)) $$),
	('kg_preview', $$ public.kg_preview('hijack.own', 'x') $$),
	('preview_events', $$ (SELECT pg_catalog.count(*) FROM kgwebhook.preview_events('hijack.own'::pg_catalog.regclass, 'x', 'o', 1, NULL)) $$),
	('preview_event', $$ (SELECT pg_catalog.count(*) FROM kgwebhook.preview_event('hijack.own', 'x', 'o', NULL)) $$),
	('check_preview', $$ kgwebhook.check_preview('hijack.own') $$),
	('watch_notes', $$ (SELECT pg_catalog.count(*) FROM kgwebhook.watch_notes('hijack.own'::pg_catalog.regclass, 'own', '{a}', '{o}')) $$),
	('test_event', $$ (SELECT pg_catalog.count(*) FROM kgwebhook.test_event('own.x', 'msg_1', 'o', NULL, 'v2')) $$),
	('test_statuses', $$ kgwebhook.test_statuses('own') $$),
	('kg_events_since', $$ public.kg_events_since('hijack') $$),
	('signed_bodies', $$ kgwebhook.signed_bodies('hijack', '{"{}"}', 0) $$),
	('note_removed', $$ kgwebhook.note_removed('kgwebhook.delivery_log_default', pg_catalog.now()) $$),
	('kg_dashboard', $$ pg_catalog.concat(public.kg_dashboard(), public.kg_dashboard('hijack')) $$),
	('tell_endpoint', $$ kgwebhook.tell_endpoint((SELECT pg_catalog.max(subscription_id) FROM kgwebhook.subscriptions), 'endpoint.failing', 'why') $$),
	('kg_update_subscription', $$ public.kg_update_subscription((SELECT pg_catalog.max(subscription_id) FROM kgwebhook.subscriptions), 'https://b.example/') $$),
	('kg_forget', $$ public.kg_forget('hijack', 'x') $$),
	('value_schema', $$ kgwebhook.value_schema('pg_catalog.int8[]'::pg_catalog.regtype) $$),
	('known_statuses', $$ kgwebhook.known_statuses('hijack.intents', 'status') $$),
	('kg_grant_org', $$ public.kg_grant_org('kgw_alice', 'hijack') $$),
	('kg_grant_gateway', $$ public.kg_grant_gateway('kgw_mallory') $$),
	('check_organization', $$ kgwebhook.check_organization('hijack') $$),
	('challenge', $$ kgwebhook.challenge((SELECT pg_catalog.max(subscription_id) FROM kgwebhook.subscriptions)) $$),
	('set_verify', $$ kgwebhook.set_verify((SELECT pg_catalog.max(subscription_id) FROM kgwebhook.subscriptions), true) $$),
	('kg_send_challenge', $$ public.kg_send_challenge((SELECT pg_catalog.max(subscription_id) FROM kgwebhook.subscriptions)) $$),
	('kg_require_consent', $$ public.kg_require_consent('hijack') $$),
	('lacks_consent', $$ kgwebhook.lacks_consent('hijack', 'https://a.example/') $$),
	('lock_subscription', $$ kgwebhook.lock_subscription((SELECT pg_catalog.max(subscription_id) FROM kgwebhook.subscriptions)) $$),
	('kg_subscribe', $$ public.kg_subscribe('hijack', 'https://hijack.example/', '{*}', 'mine') $$),
	('kg_amend', $$ public.kg_amend(0, '{"a": 1}') $$),
	('kg_pause_subscription', $$ public.kg_pause_subscription((SELECT pg_catalog.max(subscription_id) FROM kgwebhook.subscriptions)) $$),
	('kg_resume_subscription', $$ public.kg_resume_subscription((SELECT pg_catalog.max(subscription_id) FROM kgwebhook.subscriptions)) $$),
	('kg_unsubscribe', $$ public.kg_unsubscribe((SELECT pg_catalog.max(subscription_id) FROM kgwebhook.subscriptions)) $$),
	('subscription_accepts', $$ kgwebhook.subscription_accepts(1) $$),
	('deliveries_of', $$ kgwebhook.deliveries_of('x', 'hijack', 'own') $$),
	('kg_redeliver_object', $$ public.kg_redeliver_object('x', 'hijack', 'own') $$),
	('kg_explain', $$ public.kg_explain('x', 'hijack', 'own') $$),
	('kg_announce', $$ public.kg_announce('2000-01-01'::pg_catalog.timestamptz) $$),
	('kg_pause', $$ public.kg_pause('http://hijack.example:80') $$),
	('kg_resume', $$ public.kg_resume('http://hijack.example:80') $$);
CREATE TEMP VIEW called AS
	SELECT p.oid, p.proname, n.nspname,
	       coalesce((SELECT call FROM calls c WHERE c.name = p.proname),
	                format('%I.%I(%s)', n.nspname, p.proname,
	                       (SELECT string_agg(format('NULL::%s', format_type(a, NULL)), ', ')
	                          FROM unnest(p.proargtypes) a))) AS call
	  FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
	  JOIN pg_proc p ON p.oid = d.objid JOIN pg_namespace n ON n.oid = p.pronamespace
	 WHERE d.classid = 'pg_proc'::regclass AND d.refclassid = 'pg_extension'::regclass
	   AND d.deptype = 'e' AND e.extname = 'kgwebhook' AND p.prorettype <> 'trigger'::regtype;
GRANT SELECT ON called, calls TO kgw_writer;
CREATE FUNCTION pg_temp.try(call text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL search_path = trap, pg_catalog, pg_temp;
	BEGIN
		EXECUTE 'SELECT ' OPERATOR(pg_catalog.||) call;
	EXCEPTION WHEN OTHERS THEN
		RETURN CASE WHEN SQLSTATE OPERATOR(pg_catalog.=) 'XX666' THEN SQLERRM END;
	END;
	RETURN NULL;
END $$;
-- the trap works
SELECT pg_temp.try('lower(''a''::pg_catalog.text)'), pg_temp.try('''a''::pg_catalog.text = ''a''');
DO $$
DECLARE
	f regprocedure;
BEGIN
	FOR f IN SELECT oid FROM called LOOP
		EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO kgw_writer', f);
	END LOOP;
END $$;
GRANT USAGE ON SCHEMA kgwebhook TO kgw_writer;
GRANT SELECT ON kgwebhook.deliveries, kgwebhook.destinations, kgwebhook.stats, kgwebhook.subscriptions TO kgw_writer;
SELECT kg_subscribe('hijack', 'https://other.example/') > 0 AS another;
SET ROLE kgw_writer;
CREATE TABLE hijack.own (id text, status text, url text, org text, extra int[], at timestamptz, number numeric);
SET client_min_messages = warning;
SELECT proname, trap FROM called, LATERAL pg_temp.try(call) AS trap WHERE trap IS NOT NULL ORDER BY proname;
-- they did something
SELECT relname FROM pg_class WHERE relnamespace = 'hijack'::regnamespace AND relname IN ('intents', 'moves') ORDER BY 1;
SELECT count(*) FROM kg_watch('hijack.own', 'own', 'id', 'status', 'url', 'org');
-- triggers and views
SELECT pg_temp.try($$ 1; INSERT INTO hijack.own VALUES ('a', 's', 'https://m.example/', 'o', '{1}', pg_catalog.clock_timestamp(), 1.5) $$),
	pg_temp.try($$ 1; UPDATE hijack.own SET status = 't' $$),
	pg_temp.try($$ 1; INSERT INTO hijack.intents (payment_intent_id, callback_url, order_data)
		VALUES ('b', 'https://m.example/', '{"a": 1}') $$),
	pg_temp.try($$ 1; UPDATE hijack.intents SET status = 'success' $$),
	pg_temp.try('* FROM kgwebhook.deliveries'),
	pg_temp.try('* FROM kgwebhook.destinations'),
	pg_temp.try('* FROM kgwebhook.stats'),
	pg_temp.try('* FROM kgwebhook.subscriptions'),
	pg_temp.try('* FROM public.kg_status()'),
	pg_temp.try('public.kg_dashboard() IS NULL');
RESET ROLE;
SELECT event, object_id, problem FROM kgwebhook.queue ORDER BY delivery_id;
SELECT org_id FROM kgwebhook.secret WHERE org_id = 'hijack';

SELECT kg_revoke_org('kgw_alice', 'hijack'), kg_revoke_gateway('kgw_mallory');
DROP SCHEMA hijack, trap CASCADE;
DELETE FROM kgwebhook.watch;
DELETE FROM kgwebhook.queue;
DELETE FROM kgwebhook.secret;
DELETE FROM kgwebhook.paused;
DELETE FROM kgwebhook.subscription;
DELETE FROM kgwebhook.delivery_log;
DELETE FROM kgwebhook.removed_events;
DROP OWNED BY kgw_mallory, kgw_alice, kgw_writer;
DROP ROLE kgw_mallory, kgw_alice, kgw_writer;
