--
-- Subscriptions that have to answer a challenge first: what is refused, who may ask for one,
-- and what is in the queue of it.
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
CREATE ROLE kgw_challenged;
CREATE ROLE kgw_nobody;
SELECT kg_grant_org('kgw_challenged', 'acme');

BEGIN;
SELECT kg_subscribe('acme', 'https://p.example/', verify => true) AS it \gset
SELECT kg_subscribe('acme', 'https://q.example/') AS plain \gset
SELECT kg_subscribe('rival', 'https://r.example/', verify => true) AS theirs \gset
CREATE FUNCTION pg_temp.challenge(subscription_id bigint) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT regexp_replace(r, 'subscription \d+|at \d.*', 'subscription (n)')
	  FROM pg_temp.refused(format('SELECT kg_send_challenge(%L)', subscription_id)) r $$;

-- a delivery as any, with nothing in it that could be returned
SELECT org_id, event, kind, object_id = webhook_id AS named_by_its_id, url, destination,
       payload - '{event_id,occurred_at,subscription_id}'::text[] AS payload,
       payload ->> 'event_id' = webhook_id AS event_id, subscription_id = :it OR subscription_id = :theirs AS whose
  FROM kgwebhook.queue ORDER BY delivery_id;
SELECT state, reason, pending, verify, verified_at FROM kgwebhook.subscriptions ORDER BY subscription_id;

-- another one: the subscription waits for this, and no other
SELECT challenge AS former FROM kgwebhook.subscription WHERE subscription_id = :it \gset
SELECT kg_send_challenge(:it) AS number \gset
SELECT max(delivery_id) = :number AS its_number FROM kgwebhook.queue;
SELECT s.challenge = q.webhook_id AS waits_for_it, s.challenge = :'former' AS for_the_former
  FROM kgwebhook.subscription s JOIN kgwebhook.queue q USING (subscription_id) WHERE subscription_id = :it ORDER BY delivery_id;

-- refused
SELECT pg_temp.challenge(NULL);
SELECT pg_temp.challenge(0);
SELECT pg_temp.challenge(:plain);
UPDATE kgwebhook.subscription SET challenge = NULL, verified_at = '2026-01-02 03:04:05.6+00' WHERE subscription_id = :it;
SELECT pg_temp.challenge(:it);
UPDATE kgwebhook.subscription SET disabled_at = now(), disabled_reason = 'why' WHERE subscription_id = :it;
SELECT pg_temp.challenge(:it);
UPDATE kgwebhook.subscription SET disabled_at = NULL, disabled_reason = NULL, challenge = 'msg_x', verified_at = NULL, paused_at = now() WHERE subscription_id = :it;
SELECT kg_send_challenge(:it) IS NOT NULL AS sent;

-- another URL has not answered; the same one has
UPDATE kgwebhook.subscription SET challenge = NULL, verified_at = now(), paused_at = NULL WHERE subscription_id = :it;
SELECT kg_update_subscription(:it, 'https://p.example/');
SELECT state, verified_at IS NULL FROM kgwebhook.subscriptions WHERE subscription_id = :it;
SELECT kg_update_subscription(:it, 'https://p.example/2');
SELECT state, verified_at IS NULL FROM kgwebhook.subscriptions WHERE subscription_id = :it;
SELECT url FROM kgwebhook.queue q WHERE webhook_id = (SELECT challenge FROM kgwebhook.subscription WHERE subscription_id = :it);
-- asked for or not
SELECT kg_update_subscription(:it, verify => false);
SELECT state, verify FROM kgwebhook.subscriptions WHERE subscription_id = :it;
SELECT kg_update_subscription(:plain, verify => true);
SELECT state, verify FROM kgwebhook.subscriptions WHERE subscription_id = :plain;
-- what was given ends with it, and is asked for again
UPDATE kgwebhook.subscription SET verify = true, challenge = NULL, verified_at = now() WHERE subscription_id = :it;
SELECT kg_update_subscription(:it, verify => false);
SELECT kg_update_subscription(:it, verify => true);
SELECT state, verified_at IS NULL FROM kgwebhook.subscriptions WHERE subscription_id = :it;

-- whose it is
SELECT subscription_id AS unknown FROM (SELECT max(subscription_id) + 1000 AS subscription_id FROM kgwebhook.subscription) s \gset
SET ROLE kgw_challenged;
SELECT pg_temp.challenge(:theirs) AS theirs, pg_temp.challenge(:unknown) AS unknown;
SELECT kg_send_challenge(:plain) IS NOT NULL AS own;
SELECT regexp_replace(pg_temp.refused(format('SELECT kg_update_subscription(%s, verify => true)', :theirs)), 'subscription \d+', 'subscription (n)');
SELECT pg_temp.refused($$SELECT kg_subscribe('rival', 'https://s.example/', verify => true)$$);
SELECT count(*) FROM kgwebhook.subscriptions WHERE subscription_id = :theirs;
SET ROLE kgw_nobody;
SELECT pg_temp.refused(format('SELECT kg_send_challenge(%s)', :plain));
RESET ROLE;
-- not for the platform's tests either, which go to who is active
SELECT pg_temp.refused($$SELECT kg_send_test(org_id => 'rival')$$);
ROLLBACK;

SELECT count(*) FROM kgwebhook.queue WHERE event = 'endpoint.challenge';
SELECT kg_revoke_org('kgw_challenged', 'acme');
DROP ROLE kgw_challenged, kgw_nobody;
