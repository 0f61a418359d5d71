--
-- Rows that go and come back in one transaction, as partition managers move them:
-- an event if the status is another one then, and else none.
--
CREATE SCHEMA moving;
SET search_path = moving, public;
\t on
\a
CREATE FUNCTION pg_temp.take() RETURNS TABLE (events text)
LANGUAGE sql AS $$
	WITH taken AS (DELETE FROM kgwebhook.queue RETURNING *)
	SELECT coalesce(string_agg(org_id || ' ' || object_id || ' ' || event || coalesce(' ' || problem, ''), ', ' ORDER BY delivery_id), 'nothing') FROM taken
$$;
CREATE TABLE pay (id int, org text DEFAULT 'o', day int, status text, url text DEFAULT 'https://m.example/') PARTITION BY LIST (day);
CREATE TABLE pay_rest PARTITION OF pay DEFAULT;
CREATE TABLE pay_1 (status text, gone int, day int, url text DEFAULT 'https://m.example/', org text DEFAULT 'o', id int);
ALTER TABLE pay_1 DROP COLUMN gone;
ALTER TABLE pay ATTACH PARTITION pay_1 FOR VALUES IN (1);
SELECT count(*) FROM kg_watch('pay', 'pay', 'id', 'status', 'url', 'org', '{"id": "id"}');
INSERT INTO pay (id, day, status) SELECT i, 2, 'new' FROM generate_series(1, 4) i;
SELECT * FROM pg_temp.take();

-- a partition is made out of the default's rows
CREATE TABLE staging (LIKE pay INCLUDING DEFAULTS);
BEGIN;
WITH gone AS (DELETE FROM pay_rest WHERE day = 2 RETURNING *) INSERT INTO staging SELECT * FROM gone;
CREATE TABLE pay_2 PARTITION OF pay FOR VALUES IN (2);
INSERT INTO pay SELECT * FROM staging;
COMMIT;
SELECT * FROM pg_temp.take();
-- in one statement, of several rows, one of which changes its status
WITH gone AS (DELETE FROM pay WHERE day = 2 RETURNING *)
INSERT INTO pay SELECT id, org, 1, CASE id WHEN 3 THEN 'paid' ELSE status END, url FROM gone;
SELECT * FROM pg_temp.take();
SELECT tableoid::regclass, count(*) FROM pay GROUP BY 1 ORDER BY 1;
-- copied first, deleted then
BEGIN;
INSERT INTO pay SELECT id, org, 2, status, url FROM pay_1;
DELETE FROM pay_1;
COMMIT;
SELECT * FROM pg_temp.take();
BEGIN;
INSERT INTO pay SELECT id, org, 1, CASE id WHEN 2 THEN 'paid' ELSE status END, url FROM pay_2;
UPDATE pay SET status = 'sent' WHERE day = 1 AND id = 4;
SAVEPOINT s;
DELETE FROM pay_2;
ROLLBACK TO s;
DELETE FROM pay_2;
COMMIT;
SELECT * FROM pg_temp.take();
-- what isn't deleted after all is there twice, and has been announced
BEGIN;
INSERT INTO pay SELECT id, org, 2, status, url FROM pay_1 WHERE id = 1;
SAVEPOINT s;
DELETE FROM pay_1 WHERE id = 1;
ROLLBACK TO s;
COMMIT;
SELECT * FROM pg_temp.take();
DELETE FROM pay_2;
-- moved on and on, forth and back, with savepoints
BEGIN;
DELETE FROM pay WHERE id = 1;
INSERT INTO pay (id, day, status) VALUES (1, 2, 'new');
UPDATE pay SET day = 3 WHERE id = 1;
SAVEPOINT s;
DELETE FROM pay WHERE id = 1;
INSERT INTO pay (id, day, status) VALUES (1, 4, 'lost');
ROLLBACK TO s;
DELETE FROM pay WHERE id = 1;
INSERT INTO pay (id, day, status) VALUES (1, 4, 'new');
COMMIT;
SELECT * FROM pg_temp.take();
BEGIN;
UPDATE pay SET status = 'paid' WHERE id = 1;
DELETE FROM pay WHERE id = 1;
INSERT INTO pay (id, day, status) VALUES (1, 4, 'new');
DELETE FROM pay WHERE id = 1;
INSERT INTO pay (id, day, status) VALUES (1, 4, 'new');
COMMIT;
SELECT * FROM pg_temp.take();
-- a DELETE that was taken back leaves no trace, also where the row is then changed or locked
BEGIN;
SAVEPOINT s;
DELETE FROM pay WHERE id IN (1, 2);
ROLLBACK TO s;
UPDATE pay SET url = url WHERE id = 1;
SELECT id FROM pay WHERE id = 2 FOR UPDATE;
INSERT INTO pay (id, day, status) VALUES (1, 5, 'new'), (2, 5, 'paid');
SELECT * FROM pg_temp.take();
ROLLBACK;
-- in another transaction it is new
DELETE FROM pay WHERE id = 1;
INSERT INTO pay (id, day, status) VALUES (1, 4, 'new');
SELECT * FROM pg_temp.take();
-- another organization's is another object, and so is one of another kind
BEGIN;
DELETE FROM pay WHERE id = 1;
INSERT INTO pay (id, org, day, status) VALUES (1, 'p', 4, 'new');
COMMIT;
SELECT * FROM pg_temp.take();
-- made and deleted, and nothing else: it was made
BEGIN;
INSERT INTO pay (id, day, status) VALUES (8, 4, 'new');
UPDATE pay SET url = url WHERE id = 8;
DELETE FROM pay WHERE id = 8;
COMMIT;
SELECT * FROM pg_temp.take();
-- a table of several rows an object: who can say which it was
BEGIN;
INSERT INTO pay (id, day, status) VALUES (9, 1, 'new');
INSERT INTO pay (id, day, status) VALUES (9, 2, 'paid');
COMMIT;
SELECT * FROM pg_temp.take();
BEGIN;
DELETE FROM pay WHERE id = 9;
INSERT INTO pay (id, day, status) VALUES (9, 2, 'paid');
COMMIT;
SELECT * FROM pg_temp.take();
-- the new row first, then several old ones: which one it repeats nobody can say
DELETE FROM pay WHERE id = 9;
INSERT INTO pay (id, day, status) VALUES (9, 1, 'new'), (9, 2, 'paid'), (9, 3, 'sent');
SELECT * FROM pg_temp.take();
BEGIN;
INSERT INTO pay (id, day, status) VALUES (9, 4, 'new');
DELETE FROM pay WHERE id = 9 AND day < 4;
COMMIT;
SELECT * FROM pg_temp.take();
INSERT INTO pay (id, day, status) VALUES (9, 1, 'paid'), (9, 2, 'sent');
SELECT * FROM pg_temp.take();
-- whatever savepoints take back of it
BEGIN;
SAVEPOINT a;
INSERT INTO pay (id, day, status) VALUES (9, 5, 'new');
DELETE FROM pay WHERE id = 9 AND day = 4;
ROLLBACK TO a;
DELETE FROM pay WHERE id = 9 AND day IN (1, 2);
INSERT INTO pay (id, day, status) VALUES (9, 5, 'new');
DELETE FROM pay WHERE id = 9 AND day = 4;
SAVEPOINT b;
SELECT * FROM pg_temp.take();
ROLLBACK TO b;
ROLLBACK;
BEGIN;
INSERT INTO pay (id, day, status) VALUES (9, 5, 'new');
DELETE FROM pay WHERE id = 9 AND day = 4;
SAVEPOINT b;
DELETE FROM pay WHERE id = 9 AND day = 1;
ROLLBACK TO b;
SAVEPOINT c;
SELECT * FROM pg_temp.take();
ROLLBACK TO c;
DELETE FROM pay WHERE id = 9 AND day IN (1, 2);
SELECT * FROM pg_temp.take();
ROLLBACK;
-- one for one: the second is news
BEGIN;
INSERT INTO pay (id, day, status) VALUES (9, 5, 'new');
INSERT INTO pay (id, day, status) VALUES (9, 6, 'new');
DELETE FROM pay WHERE id = 9 AND day = 4;
SELECT * FROM pg_temp.take();
ROLLBACK;
-- an UPDATE's event is no repetition of another row
BEGIN;
UPDATE pay SET status = 'paid' WHERE id = 9 AND day = 4;
DELETE FROM pay WHERE id = 9 AND day = 1;
SELECT * FROM pg_temp.take();
ROLLBACK;
-- the partition that it was in goes, or is emptied: it is new, and nothing fails
BEGIN;
DELETE FROM pay_1;
TRUNCATE pay_1;
DELETE FROM pay_2;
DROP TABLE pay_2;
INSERT INTO pay (id, day, status) VALUES (2, 1, 'paid'), (9, 1, 'paid');
COMMIT;
SELECT * FROM pg_temp.take();
-- a table of its own, and from there into one that is partitioned, of the same kind
CREATE TABLE plain (id char(8) PRIMARY KEY, status text, url text DEFAULT 'https://m.example/');
SELECT count(*) FROM kg_watch('plain', 'plain', 'id', 'status', 'url', NULL, '{"id": "id"}');
INSERT INTO plain VALUES ('a', 'new'), ('b', 'new'), ('c', 'new');
BEGIN;
CREATE TEMP TABLE fresh AS SELECT id, CASE id WHEN 'b' THEN 'paid' ELSE status END AS status FROM plain;
INSERT INTO fresh VALUES ('d', 'new');
DELETE FROM plain;
INSERT INTO plain SELECT * FROM fresh;
COMMIT;
SELECT * FROM pg_temp.take();
CREATE TABLE parts (half int, id text, status text, url text) PARTITION BY LIST (half);
CREATE TABLE parts_1 PARTITION OF parts DEFAULT;
SELECT count(*) FROM kg_watch('parts', 'plain', 'id', 'status', 'url', NULL, '{"id": "id"}');
WITH gone AS (DELETE FROM plain RETURNING *) INSERT INTO parts SELECT 1, id, status, url FROM gone;
SELECT * FROM pg_temp.take();
-- by a trigger of the user's, in the midst of others
CREATE FUNCTION refresh() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM parts WHERE id = 'b';
	INSERT INTO parts VALUES (1, 'b', 'refreshed', 'https://m.example/');
	RETURN NULL;
END $$;
CREATE TRIGGER a_refresh AFTER UPDATE ON parts FOR EACH ROW WHEN (NEW.id = 'a') EXECUTE FUNCTION refresh();
UPDATE parts SET status = 'updated';
SELECT * FROM pg_temp.take();
-- many at once, with a purge of as many that stay away
INSERT INTO parts SELECT 1, 'm' || i, 'new', 'https://m.example/' FROM generate_series(1, 20000) i;
SELECT length(events) > 20000 FROM pg_temp.take();
BEGIN;
DELETE FROM parts WHERE id LIKE 'm%';
INSERT INTO parts SELECT 1, 'm' || i, CASE WHEN i % 2000 = 0 THEN 'paid' ELSE 'new' END, 'https://m.example/' FROM generate_series(1, 10000) i;
COMMIT;
SELECT * FROM pg_temp.take();
-- subscribers and counters: what is withdrawn is withdrawn for all
SELECT count(*) FROM kg_subscribe('default', 'https://s.example/', '{plain.*}');
BEGIN;
INSERT INTO parts SELECT 2, id, status, url FROM parts WHERE id IN ('a', 'c');
DELETE FROM parts WHERE id IN ('a', 'c') AND half = 1;
INSERT INTO parts VALUES (1, 'z', 'new', 'https://m.example/');
COMMIT;
SELECT * FROM pg_temp.take();

SET client_min_messages = warning;
SELECT count(kg_unsubscribe(subscription_id)) FROM kgwebhook.subscription;
DROP SCHEMA moving CASCADE;
DELETE FROM kgwebhook.queue;
