--
-- A publication FOR ALL TABLES, as tools for change capture make one: PostgreSQL
-- refuses to delete from a published table without a replica identity.
--
SET client_min_messages = warning;
CREATE TEMP VIEW without_identity AS
	SELECT c.oid::regclass AS relation FROM pg_class c
	 WHERE c.relnamespace = 'kgwebhook'::regnamespace AND c.relkind IN ('r', 'p')
	   AND (c.relreplident = 'n'
	        OR c.relreplident = 'd' AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)
	        OR c.relreplident = 'i' AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisreplident))
	 ORDER BY c.relname COLLATE "C";

-- made before the extension
BEGIN;
SET LOCAL client_min_messages = error;
CREATE PUBLICATION everything FOR ALL TABLES;
DROP EXTENSION kgwebhook CASCADE;
CREATE EXTENSION kgwebhook;
SELECT count(*) FROM kgwebhook.instance;
ROLLBACK;

-- made after it: everything that deletes or updates goes on
BEGIN;
SET LOCAL client_min_messages = error;
CREATE PUBLICATION everything FOR ALL TABLES;
SELECT kgwebhook.create_log_partitions();
SELECT kgwebhook.create_log_partition((now() AT TIME ZONE 'UTC')::date - 1);
SELECT kgwebhook.create_log_partition((now() AT TIME ZONE 'UTC')::date - 40);
SELECT count(*) >= 5 AS days FROM pg_inherits WHERE inhparent = 'kgwebhook.delivery_log'::regclass;
SELECT * FROM without_identity;
INSERT INTO kgwebhook.delivery_log (delivery_id, webhook_id, org_id, event, object_id, url, destination, attempt, outcome, final, started_at)
	SELECT -i, 'msg_' || i, 'default', 'e.new', 'published' || i, 'https://m.example/', 'https://m.example:443',
	       1, 'acknowledged', true, now() - age
	  FROM unnest(ARRAY[interval '41 days', '40 days', '1 day', '23 hours', '1 second']) WITH ORDINALITY a (age, i);
-- a day that stands in the default partition is moved to its own
SELECT kgwebhook.create_log_partition((now() AT TIME ZONE 'UTC')::date - 41);
SELECT kgwebhook.drop_log_partitions();
SELECT count(*) FROM kgwebhook.delivery_log WHERE object_id LIKE 'published%';
SELECT kg_purge('12 hours');
SELECT kg_purge('0');
UPDATE kgwebhook.instance SET database = 0;
SELECT kg_adopt();
SELECT kg_pause('https://m.example:443'), kg_resume('https://m.example:443');
SELECT kg_create_secret('published') IS NOT NULL AS made;
SELECT kg_rotate_secret('published') IS NOT NULL AS made;
DELETE FROM kgwebhook.secret WHERE org_id = 'published';
SELECT kg_create_signing_key('published') LIKE 'whpk_%' AS made, kg_rotate_signing_key('published') LIKE 'whpk_%' AS rotated;
SELECT kg_cancel_key_rotation('published');
DELETE FROM kgwebhook.signing_key WHERE org_id = 'published';
SELECT kg_subscribe('published', 'https://m.example/') AS subscription \gset
SELECT kg_pause_subscription(:subscription), kg_resume_subscription(:subscription), kg_unsubscribe(:subscription);
CREATE TABLE published_orders (id text PRIMARY KEY, status text, callback_url text);
DO $$ BEGIN PERFORM kg_watch('published_orders', 'order', 'id', org_column => NULL); END $$;
INSERT INTO published_orders VALUES ('1', 'new', 'https://m.example/');
UPDATE published_orders SET status = 'paid';
UPDATE kgwebhook.queue SET next_attempt_at = now() WHERE object_id = '1';
DELETE FROM kgwebhook.queue WHERE object_id = '1';
SELECT kg_unwatch('published_orders');
ROLLBACK;
