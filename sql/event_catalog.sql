--
-- kg_event_catalog(): what it says of a kind is what its bodies have.
--
\t on
\a
SET client_min_messages = warning;
CREATE SCHEMA catalog;
SET search_path = catalog, public;
SELECT kg_create_payment_intents();
CREATE TYPE mood AS ENUM ('new', 'done');
CREATE DOMAIN sum AS numeric NOT NULL;
CREATE TYPE record_pair AS (a int, b text);
CREATE TABLE kinds (id int PRIMARY KEY, status mood NOT NULL, org_id text, amount sum, big int8, small int2, rate float8, yes bool,
	at timestamptz, on_day date, which uuid, any_json jsonb, list int8[], words text[], pair record_pair);
SELECT count(*) FROM kg_watch('kinds', 'kind', 'id', 'status', NULL);
CREATE TABLE bare (id text, state text);
SELECT count(*) FROM kg_watch('bare', 'bare', 'id', 'state', NULL, NULL, '{"what": "$type", "n": "$sequence", "before": "$previous_status"}');

SELECT c ->> 'kind', c ->> 'table', c -> 'events' FROM jsonb_array_elements(kg_event_catalog()) c;
SELECT c ->> 'kind', m ->> 'member', m ->> 'source', m ->> 'type', m ->> 'nullable', m -> 'example'
  FROM jsonb_array_elements(kg_event_catalog()) WITH ORDINALITY AS c (c, n), jsonb_array_elements(c -> 'members') WITH ORDINALITY AS m (m, k)
 WHERE c ->> 'kind' <> 'payment_intent' ORDER BY n, k;
SELECT jsonb_pretty(c -> 'schema') FROM jsonb_array_elements(kg_event_catalog()) c WHERE c ->> 'kind' = 'bare';
-- the members and JSON types of what is enqueued
SELECT kg_subscribe('o', 'https://m.example/') > 0 AS subscribed;
INSERT INTO kinds VALUES (1, 'new', 'o', 1.50, 2, 3, 4.5, true, now(), '2026-11-23', gen_random_uuid(), '{}', '{1}', '{a}', '(1,b)');
INSERT INTO payment_intents (payment_intent_id, org_id, fiat_amount, order_data) VALUES ('p', 'o', 300.0, '{}');
SELECT q.kind, e.key, jsonb_typeof(e.value), known.properties -> e.key AS said
  FROM kgwebhook.queue q
  CROSS JOIN LATERAL (SELECT c -> 'schema' -> 'properties' AS properties FROM jsonb_array_elements(kg_event_catalog()) c
                       WHERE c ->> 'kind' = q.kind) known
  CROSS JOIN LATERAL jsonb_each(q.payload) e
 WHERE NOT coalesce(known.properties -> e.key = '{}'
                    OR coalesce(known.properties -> e.key -> 'type', '["string", "null"]') @> to_jsonb(jsonb_typeof(e.value))
                    OR known.properties -> e.key ->> 'type' = 'integer' AND jsonb_typeof(e.value) = 'number'
                    OR known.properties -> e.key -> 'type' @> '"integer"' AND jsonb_typeof(e.value) = 'number', false);
SELECT q.kind, p.k AS not_sent
  FROM kgwebhook.queue q
  CROSS JOIN LATERAL (SELECT c -> 'schema' -> 'properties' AS properties FROM jsonb_array_elements(kg_event_catalog()) c
                       WHERE c ->> 'kind' = q.kind) known
  CROSS JOIN LATERAL jsonb_object_keys(known.properties - 'timestamp' - 'signature') p (k)
 WHERE NOT q.payload ? p.k;
-- a merchant isn't told about tables and columns
CREATE ROLE kgw_merchant;
SELECT kg_grant_org('kgw_merchant', 'o');
SET ROLE kgw_merchant;
SELECT count(*), bool_or(c ? 'table') AS tables, bool_or(m ? 'source') AS sources
  FROM jsonb_array_elements(public.kg_event_catalog()) c, jsonb_array_elements(c -> 'members') m;
RESET ROLE;
SELECT kg_revoke_org('kgw_merchant', 'o');
DROP ROLE kgw_merchant;
DROP SCHEMA catalog CASCADE;
DELETE FROM kgwebhook.queue;
DELETE FROM kgwebhook.subscription;
