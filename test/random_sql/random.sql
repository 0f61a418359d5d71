--
-- test/random_sql/random.sql
--	Every function and every table of ours, with arguments at random, by each role.
--
-- A case is one call, in a transaction of its own that is rolled back.  What must
-- not be seen is in the data under names that no argument has:
--
--	MARKER_KEY		in a secret: no role ever sees it, except the owner in its table
--	MARKER_OF_B		in what is organization B's: only the owner and those who operate
--					the server see it
--	MARKER_PAYLOAD	in payloads, also A's: not for pg_monitor, nor for a role without rights
--
-- A finding is a marker where it must not be, or an error of the class XX, or a syntax
-- error from a function of the surface, which is how text that became code shows.  A crash ends psql, and an error that
-- nothing could catch is in its output.  Variables: seed, cases, seconds.
--
\set ON_ERROR_STOP on
\set QUIET on
SET client_min_messages = error;
CREATE SCHEMA random_sql;
CREATE ROLE kgw_random_merchant;
CREATE ROLE kgw_random_gateway;
CREATE ROLE kgw_random_monitor IN ROLE pg_monitor;
CREATE ROLE kgw_random_nobody;

-- Two organizations with everything that can be asked for.
SELECT kg_create_payment_intents() \g /dev/null
SELECT kg_set_secret('A', 'MARKER_KEY_A_long_enough_to_be_taken') \g /dev/null
SELECT kg_set_secret('B', 'MARKER_KEY_B_long_enough_to_be_taken') \g /dev/null
SELECT kg_subscribe(org, 'https://' || lower(org) || '.example/' ||
					CASE org WHEN 'B' THEN 'MARKER_OF_B' ELSE 'a' END)
  FROM unnest('{A,B}'::text[]) org \g /dev/null
INSERT INTO payment_intents (payment_intent_id, org_id, callback_url, order_data)
SELECT org || '-' || i, org, 'https://' || lower(org) || '.example/' ||
	   CASE org WHEN 'B' THEN 'MARKER_OF_B' ELSE 'a' END, '{"note": "MARKER_PAYLOAD"}'
  FROM unnest('{A,B}'::text[]) org, generate_series(1, 5) i;
UPDATE payment_intents SET status = 'success' WHERE payment_intent_id LIKE '%-1';
INSERT INTO kgwebhook.dead_letter (delivery_id, webhook_id, org_id, event, kind, object_id, url, destination, payload,
								   attempts, next_attempt_at, enqueued_at, xid, reason)
SELECT delivery_id, webhook_id, org_id, event, kind, object_id, url, destination, payload, 3, next_attempt_at,
	   enqueued_at, xid, 'gave up'
  FROM kgwebhook.queue WHERE object_id LIKE '%-2';
DELETE FROM kgwebhook.queue WHERE object_id LIKE '%-2';
INSERT INTO kgwebhook.delivery_log (delivery_id, webhook_id, org_id, event, kind, object_id, url, destination, attempt,
									outcome, final, request_body, started_at, is_test)
SELECT delivery_id, webhook_id, org_id, event, kind, object_id, url, destination, 1, 'acknowledged', true,
	   payload::text, now(), false
  FROM kgwebhook.queue WHERE object_id LIKE '%-3';
SELECT kg_grant_org('kgw_random_merchant', 'A') \g /dev/null
SELECT kg_grant_gateway('kgw_random_gateway') \g /dev/null

-- What is called: each function that can be, and each table and view.
CREATE TABLE random_sql.target AS
SELECT row_number() OVER (ORDER BY kind, name) AS n, * FROM (
	SELECT 'f' AS kind, p.oid::regprocedure::text AS name, p.oid,
		   format('%I.%I', s.nspname, p.proname) AS called, p.proargtypes::oid[] AS types
	  FROM pg_depend d JOIN pg_proc p ON p.oid = d.objid JOIN pg_namespace s ON s.oid = p.pronamespace
	 WHERE d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
	   AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'kgwebhook')
	   AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
	UNION ALL
	SELECT 'r', c.oid::regclass::text, c.oid, c.oid::regclass::text, '{}'
	  FROM pg_class c WHERE c.relnamespace = 'kgwebhook'::regnamespace AND c.relkind IN ('r', 'v', 'p')) t;
CREATE TABLE random_sql.finding (role text, statement text, what text, seen text);
CREATE TABLE random_sql.counted (cases bigint, answered bigint);

-- One of these, at random.
CREATE FUNCTION random_sql.one_of(VARIADIC list text[]) RETURNS text LANGUAGE sql VOLATILE AS
	$$ SELECT list[1 + floor(random() * cardinality(list))::int] $$;

-- A text that anyone might send: empty, huge, hostile, or something that is there.
CREATE FUNCTION random_sql.some_text() RETURNS text LANGUAGE plpgsql VOLATILE AS $$
BEGIN
	RETURN random_sql.one_of('', 'A', 'B', 'A-1', 'B-1', 'A-2', 'B-3', '*', 'payment_intent', 'payment_intent.success',
		'success', 'payment_intents', 'https://a.example/x', 'https://a.example:443', 'https://127.0.0.1:1/',
		'http://[::1]:1/', 'ftp://x', 'https://user@x/', repeat('x', 100000), repeat('é😂', 5000), E'\x01\x7f\n\r\t',
		$q$'; DROP TABLE kgwebhook.queue; --$q$, $q$"$q$, $q$\'$q$, '$1', '%s%n%L', '../../etc/passwd', '<script>alert(1)</script>',
		'{}', '{"a":', '{*}', 'infinity', '-1', '99999999999999999999', 'NaN', 'pg_catalog', 'evt_1', 'src',
		'host=127.0.0.1 port=1 connect_timeout=1', 'whsec_AAAA', repeat('[', 1000), 'org_id', 'sha256', E'a\u2028b');
END $$;

-- SQL of a value of this type, or NULL; a row of ours, where the type is a view's.
CREATE FUNCTION random_sql.some_value(type oid) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	name text := type::regtype::text;
	value text;
BEGIN
	IF random() < 0.15 THEN
		RETURN 'NULL::' || name;
	END IF;
	IF (SELECT typtype = 'c' FROM pg_type WHERE oid = type) THEN
		RETURN format('(SELECT t FROM %s t ORDER BY random() LIMIT 1)', name);
	END IF;
	value := CASE name
		WHEN 'bigint' THEN random_sql.one_of('0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '10', '-1',
			'9223372036854775807', '-9223372036854775808')
		WHEN 'integer' THEN random_sql.one_of('0', '1', '3', '-1', '100000', '2147483647', '-2147483648')
		WHEN 'boolean' THEN random_sql.one_of('true', 'false')
		WHEN 'interval' THEN random_sql.one_of('0', '1 day', '-1 day', '178000000 years', '-178000000 years', '1 month',
			'1 microsecond', '30 days')
		WHEN 'timestamp with time zone' THEN random_sql.one_of('now', 'infinity', '-infinity', '4713-01-01 BC',
			'294276-12-31', '2000-01-01', 'yesterday', 'tomorrow')
		WHEN 'date' THEN random_sql.one_of('today', 'infinity', '-infinity', '5874897-12-31', '4713-01-01 BC', '2026-01-01')
		WHEN 'jsonb' THEN random_sql.one_of('{}', '[]', 'null', '1', '"x"', '{"a": 1e400}', '{"a": 9007199254740993}',
			'{"timestamp": 1, "signature": "x"}', '{"payment_intent_id": "status"}', '{"": ""}', '{"type": "$type"}',
			'{"name": "x", "conninfo": "y"}', repeat('[', 200) || repeat(']', 200), '"' || repeat('x', 100000) || '"')
		WHEN 'jsonb[]' THEN random_sql.one_of('{}', '{NULL}', '{"{}"}', '{{"1"}}')
		WHEN 'oid' THEN random_sql.one_of('0', '1', '1259', '4294967295', 'payment_intents'::regclass::oid::text)
		WHEN 'regclass' THEN random_sql.one_of('payment_intents', 'kgwebhook.queue', 'kgwebhook.delivery_log', 'kgwebhook.secret',
			'pg_class', 'kgwebhook.deliveries', '0', '4294967295', 'pg_type_oid_index')
		WHEN 'regrole' THEN random_sql.one_of('kgw_random_merchant', 'kgw_random_nobody', 'postgres', 'pg_monitor', '0', '99999')
		WHEN 'tid' THEN random_sql.one_of('(0,1)', '(0,0)', '(4294967295,65535)', '(0,2)')
		WHEN 'bigint[]' THEN random_sql.one_of('{}', '{NULL}', '{1,2,3}', '{{1},{2}}', '{9223372036854775807}')
		WHEN 'text[]' THEN random_sql.one_of('{}', '{NULL}', '{*}', '{payment_intent.*}', '{{a},{b}}', '{"",""}',
			array_fill('x'::text, ARRAY[2000])::text)
		WHEN 'timestamp with time zone[]' THEN random_sql.one_of('{}', '{NULL}', '{infinity}', '{now,now,now}')
		ELSE random_sql.some_text()
	END;
	RETURN quote_literal(value) || '::' || name;
END $$;

-- What this role must not see in an answer.
CREATE FUNCTION random_sql.leaks(role text, statement text, seen text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
	SELECT (seen ~ 'MARKER_KEY' AND NOT (role = 'postgres' AND statement = 'kgwebhook.secret')) OR
		   (role IN ('kgw_random_merchant', 'kgw_random_gateway', 'kgw_random_nobody') AND seen ~ 'MARKER_OF_B') OR
		   (role IN ('kgw_random_monitor', 'kgw_random_nobody') AND seen ~ 'MARKER_PAYLOAD') $$;

CREATE FUNCTION random_sql.one_case() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	role text := random_sql.one_of('postgres', 'postgres', 'postgres', 'kgw_random_merchant', 'kgw_random_merchant', 'kgw_random_gateway',
		'kgw_random_monitor', 'kgw_random_nobody');
	it random_sql.target;
	which int := 1 + floor(random() * (SELECT count(*) FROM random_sql.target));
	statement text;
	seen text;
	code text;
	message text;
	detail text;
	hint text;
	context text;
BEGIN
	SELECT * INTO STRICT it FROM random_sql.target t WHERE t.n = which;
	statement := it.called || CASE it.kind WHEN 'f' THEN '(' || coalesce(
		(SELECT string_agg(random_sql.some_value(u.type), ', ' ORDER BY u.i)
		   FROM unnest(it.types) WITH ORDINALITY u (type, i)), '') || ')' ELSE '' END;
	RAISE LOG 'random_sql: % calls %', role, left(statement, 2000);
	BEGIN
		PERFORM set_config('kgwebhook.org_id', random_sql.one_of('', 'A', 'C'), true);
		EXECUTE format('SET LOCAL ROLE %I', role);
		EXECUTE format('SELECT string_agg(left(t::text, 200000), '' '') FROM (SELECT t.* FROM %s t LIMIT 200) t', statement)
		   INTO seen;
		RAISE EXCEPTION 'answered' USING ERRCODE = 'KG000';
	EXCEPTION WHEN OTHERS OR assert_failure THEN
		GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
			hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT;
	END;
	UPDATE random_sql.counted SET cases = cases + 1, answered = answered + (code = 'KG000')::int;
	seen := concat_ws(' ', seen, message, detail, hint);
	IF random_sql.leaks(role, statement, seen) THEN
		INSERT INTO random_sql.finding VALUES (role, statement, 'leak', substring(seen FROM '.{0,200}MARKER_.{0,100}'));
	ELSIF code ~ '^XX' OR (message ~ '^syntax error' AND it.called !~ '^kgwebhook') THEN
		INSERT INTO random_sql.finding VALUES (role, statement, code, concat_ws(' ', message, context));
	END IF;
END $$;
INSERT INTO random_sql.counted VALUES (0, 0);

-- Some in a statement, or psql would send what is left when the time is over for a minute.
CREATE PROCEDURE random_sql.some_cases(until timestamptz) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 50 LOOP
		EXIT WHEN clock_timestamp() > until;
		PERFORM random_sql.one_case();
		COMMIT;
	END LOOP;
END $$;

\set ON_ERROR_STOP off
SET statement_timeout = '20s';
SELECT setseed(:seed % 1000000 / 1000000.0) \g /dev/null
SELECT clock_timestamp() + make_interval(secs => :seconds) AS until \gset
\o /dev/null
SELECT format('CALL random_sql.some_cases(%L)', :'until') FROM generate_series(1, :cases, 50) \gexec
\o
\pset format unaligned
\pset tuples_only on
SELECT '# ' || cases || ' cases, ' || answered || ' answered' FROM random_sql.counted;
SELECT DISTINCT ON (what, split_part(statement, '(', 1), left(seen, 60)) 'FOUND ' || what || ' by ' || role || ': ' ||
	   left(statement, 500) || ': ' || left(seen, 700)
  FROM random_sql.finding;
