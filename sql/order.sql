--
-- Within a transaction, an object's events have the order in which the versions
-- of its row were made, whatever triggers and functions do in between.
--
CREATE SCHEMA ordering;
SET search_path = ordering, public;
\t on
\a
CREATE FUNCTION pg_temp.take() RETURNS TABLE (object_id text, events text)
LANGUAGE sql AS $$
	WITH taken AS (DELETE FROM kgwebhook.queue RETURNING *)
	SELECT object_id, string_agg(split_part(event, '.', 2), ' ' ORDER BY delivery_id)
	  FROM taken GROUP BY object_id, url ORDER BY object_id
$$;
CREATE TABLE orders (id int PRIMARY KEY, state text, hook text DEFAULT 'https://m.example/');
SELECT count(*) FROM kg_watch('orders', 'order', 'id', 'state', 'hook', NULL, '{"state": "state"}');

-- a trigger that sorts before ours and moves the row on
CREATE FUNCTION settle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.state = 'paid' THEN UPDATE orders SET state = 'settled' WHERE id = NEW.id; END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER auto_settle AFTER INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION settle();
INSERT INTO orders VALUES (1, 'new'), (2, 'paid'), (3, 'new');
UPDATE orders SET state = 'paid' WHERE id <> 2;
SELECT * FROM pg_temp.take();
-- the transaction's first event is the newer one, and goes to several receivers
SELECT kg_subscribe('default', 'https://s.example/', '{order.*}') > 0;
UPDATE orders SET state = 'paid' WHERE id = 1;
SELECT * FROM pg_temp.take();
SET client_min_messages = warning;
SELECT kg_unsubscribe(max(subscription_id)) IS NOT NULL FROM kgwebhook.subscription;
RESET client_min_messages;
DROP TRIGGER auto_settle ON orders;
-- several rows at once, also by one that sorts after ours
CREATE FUNCTION settle_all() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE orders SET state = 'settled' WHERE state = 'paid';
	UPDATE orders SET state = 'archived' WHERE state = 'settled';
	RETURN NULL;
END $$;
CREATE TRIGGER a_settle_all AFTER UPDATE ON orders FOR EACH ROW WHEN (NEW.state = 'paid') EXECUTE FUNCTION settle_all();
UPDATE orders SET state = 'paid';
SELECT * FROM pg_temp.take();
ALTER TRIGGER a_settle_all ON orders RENAME TO z_settle_all;
UPDATE orders SET state = 'paid';
SELECT * FROM pg_temp.take();
-- a deferred constraint trigger comes last anyway
DROP TRIGGER z_settle_all ON orders;
CREATE CONSTRAINT TRIGGER a_deferred AFTER INSERT OR UPDATE ON orders DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION settle();
BEGIN;
UPDATE orders SET state = 'paid';
UPDATE orders SET state = 'sent';
SET CONSTRAINTS ALL IMMEDIATE;
UPDATE orders SET state = 'paid' WHERE id = 1;
COMMIT;
SELECT * FROM pg_temp.take();
DROP TRIGGER a_deferred ON orders;
-- a function in the midst of a statement that has made the row
CREATE FUNCTION on_and_on(object int, word text) RETURNS int LANGUAGE sql AS $$
	UPDATE orders SET state = word WHERE id = object;
	UPDATE orders SET state = word || '2' WHERE id = object RETURNING id $$;
WITH made AS (INSERT INTO orders VALUES (4, 'new'), (5, 'new') RETURNING id),
     moved AS (UPDATE orders SET state = 'changed' WHERE id < 3 RETURNING id)
SELECT on_and_on(id, 'on') FROM (TABLE made UNION ALL TABLE moved) t ORDER BY id;
SELECT * FROM pg_temp.take();
-- a savepoint that takes the nested change back, and one that keeps it
CREATE FUNCTION in_a_savepoint() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	BEGIN
		UPDATE orders SET state = 'nested' WHERE state = 'outer';
		IF NEW.id % 2 = 0 THEN RAISE division_by_zero; END IF;
	EXCEPTION WHEN division_by_zero THEN NULL;
	END;
	RETURN NULL;
END $$;
CREATE TRIGGER a_savepoint AFTER UPDATE ON orders FOR EACH ROW WHEN (NEW.state = 'outer') EXECUTE FUNCTION in_a_savepoint();
UPDATE orders SET state = 'outer' WHERE id IN (2, 4);
UPDATE orders SET state = 'outer' WHERE id IN (1, 3);
SELECT * FROM pg_temp.take();
BEGIN;
SAVEPOINT s;
UPDATE orders SET state = 'outer' WHERE id IN (1, 3);
ROLLBACK TO s;
UPDATE orders SET state = 'outer' WHERE id IN (1, 4);
COMMIT;
SELECT * FROM pg_temp.take();
DROP TABLE orders;

--
-- At random: triggers before and after ours, a partitioned table, savepoints, all
-- kinds of statements.  Each version counts itself, so its events have to count, too.
--
CREATE TABLE things (id int, half int, n int, state text, url text, note text, PRIMARY KEY (id, half)) PARTITION BY LIST (half);
CREATE TABLE things_0 PARTITION OF things FOR VALUES IN (0);
CREATE TABLE things_1 PARTITION OF things FOR VALUES IN (1);
SELECT count(*) FROM kg_watch('things', 'thing', 'id', 'state', 'url', NULL, '{"n": "n"}');
SELECT count(*) FROM (SELECT kg_subscribe('default', 'https://s.example/' || i, '{thing.*}') FROM generate_series(1, 2) i) s;
CREATE FUNCTION counts() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.state := 's' || NEW.n; RETURN NEW; END $$;
CREATE TRIGGER counts BEFORE INSERT OR UPDATE ON things FOR EACH ROW EXECUTE FUNCTION counts();
CREATE FUNCTION pick(most int) RETURNS int LANGUAGE sql AS $$ SELECT floor(random() * most)::int $$;
CREATE FUNCTION step(object int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	UPDATE things SET n = n + 1 WHERE id = object;
	RETURN object;
END $$;
CREATE PROCEDURE act() LANGUAGE plpgsql AS $$
DECLARE
	a int := pick(6);
	b int := pick(6);
BEGIN
	CASE pick(8)
	WHEN 0 THEN UPDATE things SET n = n + 1 WHERE id IN (a, b);
	WHEN 1 THEN UPDATE things SET n = n + 1, half = 1 - half WHERE id IN (a, b);
	WHEN 2 THEN UPDATE things SET note = 'no event' WHERE id IN (a, b);
	WHEN 3 THEN
		MERGE INTO things t USING (VALUES (a), (b + 10)) v(id) ON t.id = v.id
		 WHEN MATCHED THEN UPDATE SET n = n + 1
		 WHEN NOT MATCHED THEN INSERT (id, half, n, url) VALUES (v.id, 0, 1, 'https://m.example/');
	WHEN 4 THEN
		INSERT INTO things SELECT a, 0, 1, NULL, 'https://m.example/' WHERE NOT EXISTS (SELECT FROM things WHERE id = a AND half = 1)
		    ON CONFLICT (id, half) DO UPDATE SET n = things.n + 1;
	WHEN 5 THEN
		BEGIN
			UPDATE things SET n = n + 1 WHERE id <= a;
			IF pick(2) = 0 THEN RAISE division_by_zero; END IF;
		EXCEPTION WHEN division_by_zero THEN NULL;
		END;
	WHEN 6 THEN
		WITH u AS (UPDATE things SET n = n + 1 WHERE id IN (a, b) RETURNING id)
		SELECT sum(step(id)) INTO a FROM u;
	ELSE PERFORM step(a);
	END CASE;
END $$;
-- PostgreSQL refuses to change a row that the same command has changed
CREATE PROCEDURE try() LANGUAGE plpgsql AS $$
BEGIN
	CALL act();
EXCEPTION WHEN triggered_data_change_violation OR cardinality_violation OR unique_violation THEN NULL;
END $$;
CREATE FUNCTION nest() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF pg_trigger_depth() < 4 AND pick(3) = 0 THEN CALL try(); END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER a_nest AFTER INSERT OR UPDATE ON things FOR EACH ROW EXECUTE FUNCTION nest();
CREATE TRIGGER z_nest AFTER INSERT OR UPDATE ON things FOR EACH ROW EXECUTE FUNCTION nest();
CREATE TRIGGER a_nest_statement AFTER UPDATE ON things FOR EACH STATEMENT EXECUTE FUNCTION nest();
-- what is wrong, by seed: an object's events, to one of its receivers, aren't s1 to its last one
CREATE FUNCTION wrong(seed int) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM setseed(seed / 1000.0);
	TRUNCATE things;
	DELETE FROM kgwebhook.queue;
	ALTER TABLE things DISABLE TRIGGER USER;
	ALTER TABLE things ENABLE TRIGGER counts;
	ALTER TABLE things ENABLE TRIGGER kgwebhook_enqueue;
	INSERT INTO things SELECT i, i % 2, 1, NULL, 'https://m.example/' FROM generate_series(0, 5) i;
	ALTER TABLE things ENABLE TRIGGER USER;
	FOR i IN 1 .. 6 LOOP
		CALL try();
	END LOOP;
	RETURN QUERY
		SELECT format('seed %s, object %s: %s instead of %s', seed, t.id, q.events, t.n)
		  FROM things t
		  LEFT JOIN (SELECT object_id, url, string_agg(event, ' ' ORDER BY delivery_id) AS events
		               FROM kgwebhook.queue GROUP BY object_id, url) q ON q.object_id = t.id::text
		 WHERE q.events IS DISTINCT FROM (SELECT string_agg('thing.s' || i, ' ' ORDER BY i) FROM generate_series(1, t.n) i);
	RETURN QUERY
		SELECT format('seed %s: event %s of %s went to %s receivers', seed, webhook_id, object_id, count(*))
		  FROM kgwebhook.queue GROUP BY webhook_id, object_id HAVING count(*) <> 3 OR count(DISTINCT url) <> 3;
	RETURN QUERY
		SELECT format('seed %s: %s', seed, problem) FROM kgwebhook.queue WHERE problem IS NOT NULL;
END $$;
SELECT wrong(seed) FROM generate_series(1, 60) seed;
-- something has been done, and nested
SELECT count(*) > 20, max(n) > 5 FROM kgwebhook.queue, things;

SET client_min_messages = warning;
SELECT kg_unsubscribe(subscription_id) FROM kgwebhook.subscription;
DROP SCHEMA ordering CASCADE;
DELETE FROM kgwebhook.queue;
