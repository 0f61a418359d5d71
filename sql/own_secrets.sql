--
-- A subscription's own secret: it signs instead of the organization's, and is kept, rotated and shown like that.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set refused :abs_srcdir '/sql/include/refused.sql'
\set ECHO none
\i :refused
\set ECHO all
\t on
\a
SET client_min_messages = warning;
CREATE SCHEMA own_secrets;
SET search_path = own_secrets, public;
ALTER SEQUENCE kgwebhook.subscription_id_seq RESTART;
CREATE TABLE orders (id text PRIMARY KEY, state text, hook text, org_id text DEFAULT 'acme');
SELECT count(*) FROM kg_watch('orders', 'order', 'id', 'state', 'hook');
SELECT kg_subscribe('acme', 'https://shared.example/'), kg_subscribe('acme', 'https://own.example/'), kg_subscribe('rival', 'https://rival.example/');
SELECT kg_create_secret('acme') AS shared, kg_create_secret('rival') AS rivals, kg_create_secret(2) AS own \gset
SELECT :'own' LIKE 'whsec\_%' AS is_secret, :'own' <> :'shared' AS another;
SELECT subscription_id, own_secret FROM kgwebhook.subscriptions ORDER BY 1;
SELECT org_id, subscription_id, secret = CASE subscription_id WHEN 2 THEN :'own' ELSE :'shared' END AS kept FROM kgwebhook.secret WHERE org_id = 'acme' ORDER BY 2;
SELECT org_id, subscription_id, secret, fingerprint = kg_fingerprint(CASE subscription_id WHEN 2 THEN :'own' ELSE :'shared' END) AS known
  FROM kg_fingerprints('acme');

--
-- At the door
--
SELECT call, pg_temp.refused(format('SELECT %s', call)) FROM unnest(ARRAY[
	'kg_create_secret(2)', 'kg_create_secret(99)', 'kg_create_secret(NULL::bigint)', 'kg_rotate_secret(1)', 'kg_rotate_secret(99)',
	'kg_rotate_secret(2, ''-1 s'')', 'kg_cancel_rotation(2)', 'kg_cancel_rotation(1)', 'kg_drop_secret(1)', 'kg_drop_secret(99)']) call;
-- what looks like a number is an organization, where it is a text
SELECT pg_temp.refused($$SELECT kg_rotate_secret('2')$$);

--
-- Who signs: one body, by the receiver's own
--
CREATE FUNCTION pg_temp.signed_by(org text, subscription int8, secrets text[]) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT DISTINCT coalesce((SELECT string_agg(n::text, ',') FROM unnest(secrets) WITH ORDINALITY s (s, n)
	                           WHERE kg_verify(e.body, s) = 'valid'), 'none')
	  FROM kg_events_since(org, subscription_id => subscription) e $$;
INSERT INTO orders VALUES ('1', 'paid', 'https://object.example/');
SELECT pg_temp.signed_by('acme', NULL, ARRAY[:'shared', :'own']) AS org, pg_temp.signed_by('acme', 1, ARRAY[:'shared', :'own']) AS first,
       pg_temp.signed_by('acme', 2, ARRAY[:'shared', :'own']) AS second;
-- rotation, and what it does not touch
SELECT kg_rotate_secret(2, '1 hour', '1 hour') AS next \gset
SELECT pg_temp.refused($$SELECT kg_rotate_secret(2)$$) LIKE '55000  a rotation of subscription 2 is under way' AS twice LIMIT 1;
SELECT subscription_id, secret, fingerprint = kg_fingerprint(CASE WHEN subscription_id IS NULL THEN :'shared' WHEN secret = 'next' THEN :'next' ELSE :'own' END) AS known,
       signs_from > now() AS later FROM kg_fingerprints('acme');
SELECT pg_temp.signed_by('acme', 2, ARRAY[:'shared', :'own', :'next']);
SELECT kg_cancel_rotation(2);
SELECT kg_rotate_secret(2, '0') AS next \gset
SELECT pg_temp.signed_by('acme', 2, ARRAY[:'shared', :'own', :'next']) AS second, pg_temp.signed_by('acme', 1, ARRAY[:'shared', :'own', :'next']) AS first;
SELECT next_secret IS NOT NULL FROM kgwebhook.secret WHERE org_id = 'acme' ORDER BY subscription_id;
RESET client_min_messages;
SELECT kg_cancel_rotation(2);
SET client_min_messages = warning;
-- the organization's can be changed, and made: each is by itself
SELECT kg_set_secret('acme', :'rivals');
SELECT pg_temp.signed_by('acme', 1, ARRAY[:'rivals', :'own']) AS first, pg_temp.signed_by('acme', 2, ARRAY[:'rivals', :'own']) AS second;

--
-- Headers of its own: which are refused, and that no value is repeated by it
--
CREATE FUNCTION pg_temp.headers(headers jsonb, others text DEFAULT '') RETURNS SETOF text LANGUAGE sql AS $$
	SELECT pg_temp.refused(format('SELECT kg_set_headers(2, %L %s)', headers, others)) $$;
SELECT h, pg_temp.headers(h) FROM unnest(ARRAY['[]', '"x"', '{"Host": "hidden"}', '{"webhook_id": "hidden"}', '{"hidden value": "X"}',
	'{"X": 1}', '{"X": null}', '{"X": {"y": "hidden"}}', '{"X": "hid\r\nHost: den"}', '{"X": "hidden\u00e9"}', '{"X": ""}',
	'{"X-A": "hidden", "x-a": "hidden"}']::jsonb[]) h;
SELECT pg_temp.headers((SELECT jsonb_object_agg('X-' || n, 'v') FROM generate_series(1, 21) n));
SELECT pg_temp.headers(jsonb_build_object('X', repeat('v', 4093)));
SELECT pg_temp.headers(NULL, $$, username => 'hidden'$$);
SELECT pg_temp.headers(NULL, $$, password => 'hidden'$$);
SELECT pg_temp.headers(NULL, $$, username => 'hid:den', password => ''$$);
SELECT pg_temp.headers(NULL, $$, bearer_token => 'hid den'$$);
SELECT pg_temp.headers(NULL, $$, bearer_token => ''$$);
SELECT pg_temp.headers(NULL, $$, bearer_token => repeat('x', 5000)$$);
SELECT pg_temp.headers('{"authorization": "hidden"}', $$, bearer_token => 'hidden'$$);
SELECT pg_temp.headers(NULL, $$, username => 'u', password => 'hidden', bearer_token => 'hidden'$$);
SELECT pg_temp.refused('SELECT kg_set_headers(NULL)');
SELECT pg_temp.refused('SELECT kg_set_headers(99)');
SELECT header_names FROM kgwebhook.subscriptions ORDER BY subscription_id;
-- as many and as long as may be; credentials in whatever characters, and without the line ends that encode() has
SELECT kg_set_headers(1, (SELECT jsonb_object_agg('X-' || n, repeat('v', 195)) FROM generate_series(1, 20) n));
SELECT cardinality(header_names) FROM kgwebhook.subscriptions WHERE subscription_id = 1;
SELECT kg_set_headers(1, NULL, repeat('u', 100), repeat('é', 100));
SELECT lines = 'Authorization: Basic ' || replace(encode(convert_to(repeat('u', 100) || ':' || repeat('é', 100), 'UTF8'), 'base64'), E'\n', '') || E'\n' AS basic, header_names
  FROM kgwebhook.request_header JOIN kgwebhook.subscription USING (subscription_id);
SELECT kg_set_headers(1, '{"X-Tenant": "acme"}', bearer_token => 'token');
SELECT subscription_id, destination, lines FROM kgwebhook.request_header;
-- an object's own URL that is the subscription's gets the event once, with the headers
DELETE FROM kgwebhook.queue;
INSERT INTO orders VALUES ('headers', 'paid', 'https://shared.example/');
SELECT subscription_id, url FROM kgwebhook.queue ORDER BY delivery_id;
-- they stay at their host, and go with it
SELECT kg_update_subscription(1, 'https://shared.example/other', '{order.*}');
SELECT header_names FROM kgwebhook.subscriptions WHERE subscription_id = 1;
RESET client_min_messages;
SELECT kg_update_subscription(1, 'http://shared.example/other');
SELECT kg_set_headers(1, '{"X-Tenant": "acme"}');
SELECT kg_update_subscription(1, 'https://shared.example/');
SET client_min_messages = warning;
SELECT s.header_names, count(h.lines) FROM kgwebhook.subscription s LEFT JOIN kgwebhook.request_header h USING (subscription_id) WHERE subscription_id = 1 GROUP BY 1;
SELECT kg_set_headers(1, '{"X-Tenant": "acme"}'), kg_set_headers(1);
SELECT count(*) FROM kgwebhook.request_header;
SELECT count(kg_set_headers(n, '{"X-Tenant": "acme"}')) FROM unnest(ARRAY[2, 3]) n;

--
-- An object's own URL that is the subscription's gets the event once, as the subscription does
--
DELETE FROM kgwebhook.queue;
INSERT INTO orders VALUES ('2', 'paid', 'https://own.example/'), ('3', 'paid', 'https://shared.example/');
SELECT object_id, subscription_id, url FROM kgwebhook.queue ORDER BY delivery_id;
DELETE FROM kgwebhook.queue;

--
-- A merchant's role: its own only, and another's is not there
--
CREATE ROLE kgw_owner;
SELECT kg_grant_org('kgw_owner', 'acme');
SET ROLE kgw_owner;
SELECT public.kg_create_secret(1) LIKE 'whsec\_%' AS made, public.kg_rotate_secret(1) LIKE 'whsec\_%' AS rotated;
SELECT public.kg_cancel_rotation(1), public.kg_drop_secret(1);
SELECT subscription_id, own_secret FROM kgwebhook.subscriptions ORDER BY 1;
SELECT call, pg_temp.refused(format('SELECT public.%s', call)) FROM unnest(ARRAY[
	'kg_create_secret(3)', 'kg_create_secret(98)', 'kg_rotate_secret(3)', 'kg_cancel_rotation(3)', 'kg_drop_secret(3)', 'kg_drop_secret(98)',
	'kg_create_secret(''rival'')', 'kg_fingerprints()', 'kg_set_headers(3)', 'kg_set_headers(98)']) call;
SELECT public.kg_set_headers(2, '{"X-Mine": "yes"}');
SELECT subscription_id, header_names FROM kgwebhook.subscriptions ORDER BY 1;
SELECT pg_temp.refused('TABLE kgwebhook.secret');
SELECT pg_temp.refused('TABLE kgwebhook.request_header');
SELECT kgw.own FROM (SELECT count(*) AS own FROM kgwebhook.subscriptions) kgw;
RESET ROLE;
SELECT kg_revoke_org('kgw_owner', 'acme');
DROP OWNED BY kgw_owner;
DROP ROLE kgw_owner;

--
-- It goes: by hand, and with its subscription
--
SELECT kg_create_secret(1) IS NOT NULL AS made;
SELECT kg_drop_secret(1), kg_unsubscribe(2);
SELECT org_id, subscription_id FROM kgwebhook.secret ORDER BY 1, 2;
SELECT org_id, subscription_id FROM kgwebhook.request_header ORDER BY 1, 2;
SELECT kg_subscribe('acme', 'https://again.example/') AS another, kg_create_secret('loner') IS NOT NULL AS x \gset
SELECT kg_create_secret(:another) IS NOT NULL AS made;
DELETE FROM kgwebhook.subscription;
SELECT org_id, subscription_id FROM kgwebhook.secret ORDER BY 1, 2;
-- what has nothing of its own touches no table of keys, which would have all workers forget them
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'touched: %', TG_TABLE_NAME; RETURN NULL; END $$;
CREATE TRIGGER tell AFTER DELETE ON kgwebhook.secret FOR EACH STATEMENT EXECUTE FUNCTION tell();
CREATE TRIGGER tell AFTER DELETE ON kgwebhook.http_signature FOR EACH STATEMENT EXECUTE FUNCTION tell();
CREATE TRIGGER tell AFTER DELETE ON kgwebhook.client_certificate FOR EACH STATEMENT EXECUTE FUNCTION tell();
SELECT kg_create_signing_key('loner') IS NOT NULL AS made;
SELECT kg_subscribe('loner', 'https://loner.example/') AS bare, kg_subscribe('loner', 'https://signed.example/') AS signed \gset
SELECT kg_sign_http('loner', :signed);
-- the subscription's row knows: an own URL that is the same is sent what is the subscription's own
SELECT own_identity FROM kgwebhook.subscription WHERE org_id = 'loner' ORDER BY subscription_id;
BEGIN;
SELECT kg_sign_http('loner', :signed, false);
SELECT own_identity FROM kgwebhook.subscription WHERE org_id = 'loner' ORDER BY subscription_id;
ROLLBACK;
SELECT kg_unsubscribe(:bare);
SELECT kg_unsubscribe(:signed);
SELECT count(*) FROM kgwebhook.http_signature;
DELETE FROM kgwebhook.signing_key;
DROP SCHEMA own_secrets CASCADE;
DELETE FROM kgwebhook.queue;
DELETE FROM kgwebhook.secret;
