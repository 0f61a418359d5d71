--
-- A watched table whose columns are renamed or dropped later: events go on,
-- or become invalid, but are never lost in silence.
--
CREATE TABLE renamed_orders (
    id text PRIMARY KEY, state text, hook text, org text, amount numeric, note text);
SELECT count(*) FROM kg_watch('renamed_orders', 'order', 'id', 'state', 'hook', 'org',
                '{"id": "id", "state": "state", "amount": "amount", "note": "note"}');

ALTER TABLE renamed_orders RENAME COLUMN state TO status;
ALTER TABLE renamed_orders RENAME COLUMN hook TO callback;
ALTER TABLE renamed_orders RENAME COLUMN amount TO total;
ALTER TABLE renamed_orders RENAME TO orders_renamed;
INSERT INTO orders_renamed VALUES ('o1', 'open', 'https://m.example/', 'acme', 12.50, 'n');
UPDATE orders_renamed SET status = 'paid';
SELECT event, url, org_id, payload - '{event_id,occurred_at}'::text[] AS payload, problem FROM kgwebhook.queue ORDER BY delivery_id;
TRUNCATE kgwebhook.queue;

-- names that change places are still told apart
ALTER TABLE orders_renamed RENAME COLUMN total TO x;
ALTER TABLE orders_renamed RENAME COLUMN note TO total;
ALTER TABLE orders_renamed RENAME COLUMN x TO note;
UPDATE orders_renamed SET status = 'swapped';
SELECT payload - '{event_id,occurred_at}'::text[] AS payload, problem FROM kgwebhook.queue;
TRUNCATE kgwebhook.queue;

-- a dropped column of the payload, the URL, the status: payments commit
ALTER TABLE orders_renamed DROP COLUMN note;
UPDATE orders_renamed SET status = 'less';
ALTER TABLE orders_renamed DROP COLUMN callback;
UPDATE orders_renamed SET status = 'no url';
ALTER TABLE orders_renamed DROP COLUMN status;
INSERT INTO orders_renamed (id) VALUES ('o2');
UPDATE orders_renamed SET total = 'no transition';
SELECT event, object_id, url, payload - '{event_id,occurred_at}'::text[] AS payload, problem FROM kgwebhook.queue ORDER BY delivery_id;

-- watching it again fixes it
ALTER TABLE orders_renamed ADD COLUMN status text, ADD COLUMN callback text;
SELECT count(*) FROM kg_watch('orders_renamed', 'order', 'id', 'status', 'callback', 'org', '{"id": "id"}');
TRUNCATE kgwebhook.queue;
UPDATE orders_renamed SET status = 'solved', callback = 'https://m.example/' WHERE id = 'o2';
SELECT event, payload - '{event_id,occurred_at}'::text[] AS payload, problem FROM kgwebhook.queue;
TRUNCATE kgwebhook.queue;
DROP TABLE orders_renamed;
DELETE FROM kgwebhook.watch WHERE event = 'order';

-- the schema of the extension is renamed: no function of ours names it in its body
SELECT p.oid::regprocedure AS names_it
  FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'kgwebhook'
  JOIN pg_proc p ON p.oid = d.objid
 WHERE d.classid = 'pg_proc'::regclass AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
   AND p.prosrc ~ format('\m"?%s"?\.', e.extnamespace::regnamespace);
INSERT INTO kgwebhook.queue (webhook_id, org_id, event, kind, object_id, url, destination, payload)
VALUES ('msg_r', 'acme', 'order.new', 'order', 'r1', 'https://m.example/', 'https://m.example:443', '{}');
BEGIN;
ALTER SCHEMA public RENAME TO elsewhere;
SET LOCAL search_path = elsewhere;
SELECT split_part(kg_explain('r1'), E'\n', 1) ~ 'order.new of order r1 of organization acme' AS explains;
SELECT count(*) > 0 AS has_status FROM kg_status();
SELECT length(kg_dashboard()) > 0 AS has_page;
SELECT count(*) FROM kg_reconcile();
SELECT count(*) > 0 AS has_functions FROM kgwebhook.merchant_functions();
SELECT count(*) FROM kg_redeliver_object('r1');
SELECT kg_recover('-infinity', dry_run => true);
ROLLBACK;
DELETE FROM kgwebhook.queue;
