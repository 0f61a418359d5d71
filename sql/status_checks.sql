--
-- The door of the ready-made tables: what would only end as an invalid
-- delivery is refused while the caller can still act.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set refused :abs_srcdir '/sql/include/refused.sql'
\set ECHO none
\i :refused
\set ECHO all
CREATE SCHEMA door;
SET search_path = door, public;
\t on
\a
SELECT kg_create_payment_intents(), kg_create_transfers();

--
-- Statuses and transitions
--
SELECT pg_temp.refused('INSERT INTO payment_intents (status) VALUES (''paid'')');
SELECT pg_temp.refused('INSERT INTO payment_intents (status) VALUES ('''')');
SELECT pg_temp.refused('INSERT INTO payment_intents (status) VALUES (''Pending'')');
SELECT pg_temp.refused('INSERT INTO payment_intents (status) VALUES (''success'')');
SELECT pg_temp.refused('INSERT INTO transfers (status) VALUES (''refunded'')');
SELECT split_part(pg_temp.refused('INSERT INTO payment_intents (payment_intent_id, status) VALUES (''x'', NULL)'), 'DETAIL', 1);

-- one object in each status, by a legal way
INSERT INTO payment_intents (payment_intent_id)
SELECT unnest(ARRAY['pending', 'success', 'expired', 'cancelled', 'refunded']);
UPDATE payment_intents SET status = payment_intent_id WHERE payment_intent_id IN ('success', 'expired', 'cancelled');
UPDATE payment_intents SET status = 'success' WHERE payment_intent_id = 'refunded';
UPDATE payment_intents SET status = 'refunded' WHERE payment_intent_id = 'refunded';
INSERT INTO transfers (transfer_id)
SELECT unnest(ARRAY['pending', 'processing', 'success', 'failed', 'cancelled']);
UPDATE transfers SET status = transfer_id WHERE transfer_id <> 'pending';

-- every status to every status; "same" is an update that changes nothing
CREATE FUNCTION pg_temp.try(target regclass, id text, "from" text, "to" text) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('UPDATE %s SET status = $1 WHERE %I = $2', target, id) USING "to", "from";
	RAISE SQLSTATE 'KG000';
EXCEPTION
	WHEN check_violation THEN RETURN '-';
	WHEN SQLSTATE 'KG000' THEN RETURN CASE WHEN "from" = "to" THEN 'same' ELSE 'yes' END;
END $$;
\t off
\a
SELECT f AS "from \ to",
       pg_temp.try('payment_intents', 'payment_intent_id', f, 'pending') AS pending,
       pg_temp.try('payment_intents', 'payment_intent_id', f, 'success') AS success,
       pg_temp.try('payment_intents', 'payment_intent_id', f, 'expired') AS expired,
       pg_temp.try('payment_intents', 'payment_intent_id', f, 'cancelled') AS cancelled,
       pg_temp.try('payment_intents', 'payment_intent_id', f, 'refunded') AS refunded
  FROM unnest(ARRAY['pending', 'success', 'expired', 'cancelled', 'refunded']) f;
SELECT f AS "from \ to",
       pg_temp.try('transfers', 'transfer_id', f, 'pending') AS pending,
       pg_temp.try('transfers', 'transfer_id', f, 'processing') AS processing,
       pg_temp.try('transfers', 'transfer_id', f, 'success') AS success,
       pg_temp.try('transfers', 'transfer_id', f, 'failed') AS failed,
       pg_temp.try('transfers', 'transfer_id', f, 'cancelled') AS cancelled
  FROM unnest(ARRAY['pending', 'processing', 'success', 'failed', 'cancelled']) f;
\t on
\a
SELECT pg_temp.refused('UPDATE payment_intents SET status = ''refunded'' WHERE payment_intent_id = ''pending''');
SELECT pg_temp.refused('UPDATE payment_intents SET status = ''success'' WHERE payment_intent_id = ''refunded''');
SELECT pg_temp.refused('UPDATE payment_intents SET status = ''nonsense'' WHERE payment_intent_id = ''pending''');
SELECT pg_temp.refused('UPDATE transfers SET status = ''success'' WHERE transfer_id = ''failed''');
SELECT pg_temp.refused('UPDATE payment_intents SET status = NULL WHERE payment_intent_id = ''pending''') LIMIT 1;

--
-- callback_url (allow_http is on in this server)
--
CREATE FUNCTION pg_temp.url(url text) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(line, ' | ') FILTER (WHERE line NOT LIKE 'HINT%')
	  FROM pg_temp.refused(format('INSERT INTO payment_intents (callback_url) VALUES (%L)', url)) line
$$;
SELECT pg_temp.refused('INSERT INTO payment_intents (callback_url) VALUES (''ftp://m.example/'')');
SELECT u, pg_temp.url(u) FROM unnest(ARRAY[
	'https://m.example', 'https://m.example/', 'http://m.example/a/b?c=d&e=%20#f',
	'https://M.Example:8443/x', 'https://[2606:4700::1111]/', 'https://1.1.1.1:443/', 'https://m.example/@x',
	'', ' https://m.example/', 'https://m.example/ ', 'm.example', '//m.example/', 'HTTPS://m.example/',
	'javascript:alert(1)', 'file:///etc/passwd', 'https:///x', 'https://', 'https://user:pw@m.example/',
	'https://m.example#@evil.example/', 'https://m.example\@evil.example/', 'https://m.example:0/', 'https://m.example:65536/',
	'https://m.example:22/', 'https://m.example:', 'https://m..example/', 'https://m.example./',
	'https://[::1%25lo]/', 'https://[fe80::1/', 'https://münchen.example/', 'https://m.example/ü',
	E'https://m.example/a\r\nX-Evil: 1', 'https://m.example/<x>', 'https://%6d.example/']) u;
SELECT pg_temp.url('https://m.example/' || repeat('x', 2048 - 18)), pg_temp.url('https://m.example/' || repeat('x', 2049 - 18));
-- NULL is fine, and so is taking it away
SELECT pg_temp.url(NULL);
UPDATE payment_intents SET callback_url = NULL WHERE callback_url IS NOT NULL;
SELECT pg_temp.refused('UPDATE payment_intents SET callback_url = ''gopher://x/'' WHERE payment_intent_id = ''pending''');

--
-- order_data
--
CREATE FUNCTION pg_temp.data(document text) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT pg_temp.refused(format('INSERT INTO payment_intents (order_data) VALUES (%L)', document))
$$;
SELECT d, pg_temp.data(d) FROM unnest(ARRAY[
	'{}', '[]', 'null', '5', '"text"', '{"a": {"b": [1.50, -0, 1e23, 9007199254740992]}}',
	'{"n": "12345678901234567890"}', '{"\ud83d\ude02": "\ufb33"}']) d;
SELECT pg_temp.data('{"id": 9007199254740993}');
SELECT pg_temp.data('{"id": [{"x": 12345678901234567890}]}');
SELECT pg_temp.data('1e400');
SELECT pg_temp.data('{"eth": 1.234567890123456789}');
-- depth counts from the payload's top level: 511 here
SELECT pg_temp.data(repeat('[', 511) || repeat(']', 511));
SELECT pg_temp.data(repeat('[', 512) || repeat(']', 512));
-- size: half a megabyte of text
SELECT pg_temp.data('["' || repeat('x', 524288 - 4) || '"]');
SELECT pg_temp.data('["' || repeat('x', 524288 - 3) || '"]');
SELECT pg_temp.refused('UPDATE payment_intents SET order_data = ''{"id": 9007199254740993}'' WHERE payment_intent_id = ''pending''');

--
-- What was let in once is not judged again: a payment has to go on
--
ALTER TABLE payment_intents DISABLE TRIGGER kgwebhook_check;
INSERT INTO payment_intents (payment_intent_id, callback_url, order_data)
VALUES ('old', 'ftp://from.before/', '{"id": 9007199254740993}');
ALTER TABLE payment_intents ENABLE TRIGGER kgwebhook_check;
UPDATE payment_intents SET status = 'success' WHERE payment_intent_id = 'old' RETURNING status;
SELECT pg_temp.refused('UPDATE payment_intents SET callback_url = ''ftp://changed/'' WHERE payment_intent_id = ''old''') LIMIT 1;

-- updated_at is kept by the door, whatever the statement says
UPDATE payment_intents SET updated_at = '2000-01-01', group_key = 'g' WHERE payment_intent_id = 'pending'
RETURNING updated_at = now() AS kept, group_key;

-- defaults: an id of our own, organization "default", status "pending"
INSERT INTO payment_intents DEFAULT VALUES
RETURNING payment_intent_id ~ '^pi_[0-9a-f]{32}$', org_id, status, created_at = now(), updated_at = now();
INSERT INTO transfers DEFAULT VALUES
RETURNING transfer_id ~ '^tr_[0-9a-f]{32}$', org_id, status;

-- columns that the table doesn't have any more are not asked for
ALTER TABLE transfers DROP COLUMN order_data, DROP COLUMN callback_url, DROP COLUMN updated_at;
INSERT INTO transfers (transfer_id) VALUES ('less');
UPDATE transfers SET status = 'success' WHERE transfer_id = 'less' RETURNING status;

SET client_min_messages = warning;
DROP SCHEMA door CASCADE;
DELETE FROM kgwebhook.watch;
DELETE FROM kgwebhook.queue;
