--
-- test/types/oracle.sql
--	What the queue must hold after a transaction, worked out a second time.
--
-- Written from docs/design.md and docs/watching.md, in SQL, by the text of values: nothing
-- of src is in it.  Each table has a column "v", which the last BEFORE trigger sets from
-- a sequence: so each version of a row carries its place in the order in which versions came
-- to be, whatever triggers do in between.  An AFTER trigger notes the versions that did come
-- to be, with what a receiver should be told of them; a savepoint takes its notes back.
--
CREATE SCHEMA types_oracle;
CREATE SEQUENCE types_oracle.version;
-- attnums, so that a column that is renamed is still found
CREATE TABLE types_oracle.watched (root oid PRIMARY KEY, kind text, id int2, status int2, url int2, org int2, by_default boolean);
CREATE TABLE types_oracle.member (root oid, member text, att int2, computed text);
-- "member": NULL without a filter; what it may be is in "wanted"
CREATE TABLE types_oracle.subscription (id bigint, org text, kind text, url text, member text, wanted jsonb);
-- a version that came to be (i, u), or a row that went (d); "invalid": NULL if the contract leaves it
-- open; "whole": no member of the payload was left out
CREATE TABLE types_oracle.change (n bigint, op "char", kind text, org text, id text, old_status text, status text, url text,
	payload jsonb, invalid boolean, whole boolean);
CREATE TYPE types_oracle.event AS (n bigint, kind text, org text, id text, status text, previous text, url text, payload jsonb, invalid boolean, whole boolean);

-- Depth, and digits of the longest number, of a document's text.
CREATE FUNCTION types_oracle.depth(doc text) RETURNS int LANGUAGE sql IMMUTABLE AS $$
	SELECT coalesce(max(d), 0) FROM (
		SELECT sum(CASE WHEN c IN ('[', '{') THEN 1 ELSE -1 END) OVER (ORDER BY i) d
		  FROM regexp_matches(regexp_replace(doc, '"([^"\\]|\\.)*"', '', 'g'), '[][{}]', 'g') WITH ORDINALITY m (c1, i), unnest(c1) c) s $$;
CREATE FUNCTION types_oracle.digits(doc text) RETURNS int LANGUAGE sql IMMUTABLE AS $$
	SELECT coalesce(max(length(c1[1])), 0) FROM regexp_matches(regexp_replace(doc, '"([^"\\]|\\.)*"', '', 'g'), '\d+', 'g') m (c1) $$;

-- The output of a value, or NULL, as text: SQL for an expression.
CREATE FUNCTION types_oracle.text_of(expression text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT format('CASE WHEN %s IS DISTINCT FROM NULL THEN format(''%%s'', %1$s) END', expression) $$;

-- What this text of this type is in a payload; an error if nothing can be.
CREATE FUNCTION types_oracle.json(type oid, value text) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
DECLARE
	t pg_type;
	name text := format_type(type, -1);
	made jsonb;
	att record;
	part text;
	dimensions int;
BEGIN
	IF value IS NULL THEN
		RETURN 'null';
	END IF;
	SELECT * INTO STRICT t FROM pg_type WHERE oid = type;
	IF t.typtype = 'd' THEN
		RETURN types_oracle.json(t.typbasetype, value);
	ELSIF t.typtype = 'c' THEN
		made := '{}';
		FOR att IN SELECT attname, atttypid FROM pg_attribute WHERE attrelid = t.typrelid AND attnum > 0 AND NOT attisdropped ORDER BY attnum LOOP
			EXECUTE format('SELECT %s FROM (SELECT %L::%s AS c) s', types_oracle.text_of(format('(c).%I', att.attname)), value, name) INTO part;
			made := made || jsonb_build_object(att.attname, types_oracle.json(att.atttypid, part));
		END LOOP;
		RETURN made;
	ELSIF t.typcategory = 'A' THEN
		EXECUTE format('SELECT array_ndims(%L::%s)', value, name) INTO dimensions;
		RETURN types_oracle.array_json(t.typelem, format('%L::%s', value, name), '', 1, coalesce(dimensions, 0));
	ELSIF EXISTS (SELECT FROM pg_cast WHERE castsource = type AND casttarget = 'json'::regtype AND castmethod = 'f') THEN
		EXECUTE format('SELECT (%L::%s)::json', value, name) INTO part;
		RETURN types_oracle.json('json'::regtype, part);
	END IF;
	CASE name
		WHEN 'smallint', 'integer' THEN
			RETURN value::jsonb;
		WHEN 'real', 'double precision' THEN
			RETURN CASE WHEN value IN ('NaN', 'Infinity', '-Infinity') THEN to_jsonb(value) ELSE value::jsonb END;
		WHEN 'boolean' THEN
			RETURN to_jsonb(value = 't');
		WHEN 'json', 'jsonb' THEN
			IF types_oracle.depth(value) > 512 OR types_oracle.digits(value) > 1200 THEN
				RAISE EXCEPTION 'too deep, or too long';
			END IF;
			RETURN value::jsonb;
		WHEN 'money' THEN
			RETURN to_jsonb(value::money::numeric::text);
		WHEN 'bpchar' THEN
			RETURN to_jsonb(rtrim(value, ' '));
		WHEN 'timestamp without time zone', 'timestamp with time zone' THEN
			-- RFC 3339 has years of four digits; others are as PostgreSQL writes them
			RETURN to_jsonb(CASE WHEN value ~ '^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?(\+00)?$'
				THEN replace(regexp_replace(value, '\+00$', ''), ' ', 'T') || 'Z' ELSE value END);
		ELSE
			RETURN to_jsonb(value);
	END CASE;
END $$;
CREATE FUNCTION types_oracle.array_json(element oid, array_sql text, subscripts text, level int, dimensions int) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
DECLARE
	made jsonb := '[]';
	part record;
BEGIN
	IF dimensions = 0 THEN
		RETURN made;
	END IF;
	FOR part IN EXECUTE format('SELECT i, %s AS value FROM (SELECT %s AS a) s, generate_subscripts(a, %s) i ORDER BY i',
			CASE WHEN level = dimensions THEN types_oracle.text_of('a' || subscripts || '[i]') ELSE 'NULL' END, array_sql, level) LOOP
		made := made || jsonb_build_array(CASE WHEN level = dimensions THEN types_oracle.json(element, part.value)
			ELSE types_oracle.array_json(element, array_sql, subscripts || '[' || part.i || ']', level + 1, dimensions) END);
	END LOOP;
	RETURN made;
END $$;

-- The text of a column of a row by the root's number of the column; NULL without the column.
CREATE FUNCTION types_oracle.column_text(root oid, att int2, item anyelement) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
	col record;
	answer text;
BEGIN
	SELECT attname, atttypid INTO col FROM pg_attribute WHERE attrelid = root AND attnum = att AND NOT attisdropped;
	IF col IS NULL THEN
		RETURN NULL;
	END IF;
	EXECUTE 'SELECT ' || types_oracle.text_of(format('($1).%I', col.attname)) USING item INTO answer;
	RETURN CASE WHEN col.atttypid = 'bpchar'::regtype THEN rtrim(answer, ' ') ELSE answer END;
END $$;

-- The last of the BEFORE triggers.  What it lets through comes to be.
CREATE FUNCTION types_oracle.stamp() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
	SET search_path = pg_catalog SET timezone = 'UTC' SET datestyle = 'ISO' SET intervalstyle = 'postgres' SET extra_float_digits = 1
	SET bytea_output = 'hex' SET array_nulls = on SET quote_all_identifiers = off SET standard_conforming_strings = on AS $$
DECLARE
	watched types_oracle.watched;
BEGIN
	IF TG_OP <> 'DELETE' THEN
		NEW.v := nextval('types_oracle.version');
		RETURN NEW;
	END IF;
	SELECT * INTO watched FROM types_oracle.watched WHERE root = coalesce(pg_partition_root(TG_RELID), TG_RELID);
	IF FOUND THEN
		INSERT INTO types_oracle.change (n, op, kind, org, id, old_status)
		VALUES (nextval('types_oracle.version'), 'd', watched.kind,
			coalesce(types_oracle.column_text(watched.root, watched.org, OLD), 'default'),
			coalesce(types_oracle.column_text(watched.root, watched.id, OLD), ''), types_oracle.column_text(watched.root, watched.status, OLD));
	END IF;
	RETURN OLD;
END $$;

-- After the row is what it is.
CREATE FUNCTION types_oracle.record() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
	SET search_path = pg_catalog SET timezone = 'UTC' SET datestyle = 'ISO' SET intervalstyle = 'postgres' SET extra_float_digits = 1
	SET bytea_output = 'hex' SET array_nulls = on SET quote_all_identifiers = off SET standard_conforming_strings = on AS $$
DECLARE
	watched types_oracle.watched;
	m record;
	payload jsonb := '{}';
	invalid boolean := false;
	bytes bigint := 0;
	value text;
	id text;
	whole boolean;
BEGIN
	SELECT * INTO watched FROM types_oracle.watched WHERE root = coalesce(pg_partition_root(TG_RELID), TG_RELID);
	IF NOT FOUND THEN
		RETURN NULL;
	END IF;
	FOR m IN SELECT member, att, computed, attname, atttypid
			   FROM types_oracle.member LEFT JOIN pg_attribute ON attrelid = root AND attnum = att AND NOT attisdropped
			  WHERE root = watched.root LOOP
		IF m.computed IS NOT NULL THEN
			CONTINUE;
		ELSIF m.attname IS NULL THEN
			invalid := invalid OR NOT watched.by_default;
			CONTINUE;
		END IF;
		EXECUTE 'SELECT ' || types_oracle.text_of(format('($1).%I', m.attname)) USING NEW INTO value;
		bytes := bytes + coalesce(octet_length(value), 0);
		CONTINUE WHEN bytes > 1048576;
		BEGIN
			payload := payload || jsonb_build_object(m.member, types_oracle.json(m.atttypid, value));
		EXCEPTION WHEN OTHERS THEN
			invalid := true;
		END;
	END LOOP;
	id := types_oracle.column_text(watched.root, watched.id, NEW);
	whole := NOT invalid AND bytes <= 1048576;
	IF bytes > 1048576 THEN
		payload := '{}';
	END IF;
	IF bytes > 1048576 OR id IS NULL THEN
		invalid := true;
	ELSIF NOT invalid AND pg_column_size(NEW) > 1000 AND octet_length(NEW::text) > 1000000 THEN
		-- a row that is large by what is not sent
		invalid := NULL;
	END IF;
	INSERT INTO types_oracle.change
	VALUES (NEW.v, lower(left(TG_OP, 1))::"char", watched.kind, coalesce(types_oracle.column_text(watched.root, watched.org, NEW), 'default'),
		coalesce(id, ''),
		CASE TG_OP WHEN 'UPDATE' THEN types_oracle.column_text(watched.root, watched.status, OLD) END,
		types_oracle.column_text(watched.root, watched.status, NEW), types_oracle.column_text(watched.root, watched.url, NEW), payload, invalid, whole);
	RETURN NULL;
END $$;

-- The events of the changes noted, in their order.
--
-- A row that was deleted and is inserted again is the same object; one that is inserted
-- first, and whose older one is deleted then, as well.
CREATE FUNCTION types_oracle.events() RETURNS SETOF types_oracle.event LANGUAGE plpgsql AS $$
DECLARE
	c types_oracle.change;
	went types_oracle.change;
	copied types_oracle.change;
BEGIN
	CREATE TEMP TABLE IF NOT EXISTS withdrawn (n bigint);
	TRUNCATE withdrawn;
	-- copies: made while the object's row, from before this transaction, was still there
	FOR c IN SELECT d.* FROM types_oracle.change d WHERE d.op = 'd' ORDER BY d.n LOOP
		SELECT i.* INTO copied FROM types_oracle.change i
		 WHERE (i.kind, i.org, i.id) = (c.kind, c.org, c.id) AND i.op <> 'd' ORDER BY i.n LIMIT 1;
		CONTINUE WHEN NOT FOUND OR copied.op <> 'i' OR copied.n > c.n OR copied.status IS DISTINCT FROM c.old_status;
		-- the first thing that happened to the object was the copy, and it is still there
		CONTINUE WHEN EXISTS (SELECT FROM types_oracle.change o WHERE (o.kind, o.org, o.id) = (c.kind, c.org, c.id) AND o.n < c.n AND o.n <> copied.n);
		CONTINUE WHEN NOT EXISTS (SELECT FROM types_oracle.copied k WHERE k.n = copied.n);
		INSERT INTO withdrawn VALUES (copied.n);
	END LOOP;
	FOR c IN SELECT * FROM types_oracle.change WHERE op <> 'd' AND status IS NOT NULL ORDER BY n LOOP
		CONTINUE WHEN EXISTS (SELECT FROM withdrawn w WHERE w.n = c.n);
		IF c.op = 'i' THEN
			SELECT d.* INTO went FROM types_oracle.change d
			 WHERE d.op = 'd' AND (d.kind, d.org, d.id) = (c.kind, c.org, c.id) AND d.n < c.n
			   AND NOT EXISTS (SELECT FROM types_oracle.rewritten r WHERE r.kind = c.kind AND r.n BETWEEN d.n AND c.n)
			 ORDER BY d.n DESC LIMIT 1;
			c.old_status := went.old_status;
		END IF;
		CONTINUE WHEN c.status = c.old_status;
		RETURN NEXT (c.n, c.kind, c.org, c.id, c.status, c.old_status, c.url, c.payload, c.invalid, c.whole)::types_oracle.event;
	END LOOP;
END $$;
-- when tables were written again
CREATE TABLE types_oracle.rewritten (kind text, n bigint);
-- versions that world.sql inserted before it deleted the object's row
CREATE TABLE types_oracle.copied (n bigint);

-- Whether a payload fits a filter; a member that could not be sent keeps it from nobody.
CREATE FUNCTION types_oracle.fits(subscription types_oracle.subscription, payload jsonb, whole boolean) RETURNS boolean LANGUAGE sql AS $$
	SELECT subscription.member IS NULL OR CASE WHEN payload ? subscription.member THEN subscription.wanted @> (payload -> subscription.member) ELSE NOT whole END $$;

-- What is to be delivered: to the object's own URL, and to each subscription with another (docs/subscriptions.md).
CREATE FUNCTION types_oracle.deliveries() RETURNS TABLE (event types_oracle.event, subscription bigint, url text) LANGUAGE sql AS $$
	SELECT e, s.id, CASE WHEN s.id IS NULL THEN e.url ELSE s.url END
	  FROM types_oracle.events() e,
		   LATERAL (SELECT NULL::bigint AS id, NULL::text AS url WHERE e.url IS NOT NULL
					UNION ALL SELECT u.id, u.url FROM types_oracle.subscription u WHERE u.org = e.org AND (u.kind IS NULL OR u.kind = e.kind)
							AND u.url IS DISTINCT FROM e.url AND types_oracle.fits(u, e.payload, e.whole)) s $$;

-- Whether a payload is one that every attempt would call invalid.
CREATE FUNCTION types_oracle.refused(payload jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	PERFORM public.kg_canonical_json(payload);
	RETURN false;
EXCEPTION WHEN OTHERS THEN
	RETURN true;
END $$;

-- What is wrong with the queue, if anything; it and the notes are empty then.
CREATE FUNCTION types_oracle.verify() RETURNS SETOF text LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO' SET client_min_messages = warning AS $$
BEGIN
	CREATE TEMP TABLE IF NOT EXISTS compared (kind text, org text, id text, subscription bigint, nth bigint,
		n bigint, event text, url text, expected jsonb, invalid boolean, previous text,
		delivery_id bigint, seen_event text, seen_url text, seen jsonb, problem text, webhook_id text, enqueued_at timestamptz, root oid);
	TRUNCATE compared;
	INSERT INTO compared
	SELECT coalesce(x.kind, q.kind), coalesce(x.org, q.org), coalesce(x.id, q.id), coalesce(x.sub, q.sub), coalesce(x.nth, q.nth), x.n, x.event, x.url, x.payload, x.invalid, x.previous,
		   q.delivery_id, q.event, q.url, q.payload, q.problem, q.webhook_id, q.enqueued_at,
		   (SELECT w.root FROM types_oracle.watched w WHERE w.kind = x.kind)
	  FROM (SELECT (d.event).kind, (d.event).org, (d.event).id, coalesce(d.subscription, 0) AS sub,
				   row_number() OVER (PARTITION BY (d.event).kind, (d.event).org, (d.event).id, d.subscription ORDER BY (d.event).n) AS nth,
				   (d.event).n, (d.event).kind || '.' || (d.event).status AS event, d.url, (d.event).payload, (d.event).invalid, (d.event).previous
			  FROM types_oracle.deliveries() d) x
	  FULL JOIN (SELECT p.kind, p.org_id AS org, p.object_id AS id, coalesce(p.subscription_id, 0) AS sub,
				   row_number() OVER (PARTITION BY p.kind, p.org_id, p.object_id, p.subscription_id ORDER BY p.delivery_id) AS nth,
				   p.delivery_id, p.event, p.url, p.payload, p.problem, p.webhook_id, p.enqueued_at
			  FROM kgwebhook.queue p) q ON (x.kind, x.org, x.id, x.sub, x.nth) = (q.kind, q.org, q.id, q.sub, q.nth);

	RETURN QUERY SELECT format('%s of %s of %s to %s, number %s: %s', kind, id, org, subscription, nth, w.wrong)
	  FROM compared, LATERAL (
		SELECT 'lost: ' || event AS wrong WHERE delivery_id IS NULL
		UNION ALL SELECT 'invented: ' || seen_event || ' ' || seen WHERE n IS NULL
		UNION ALL SELECT format('event %s instead of %s', seen_event, event) WHERE seen_event <> event
		UNION ALL SELECT format('URL %s instead of %s', seen_url, url) WHERE seen_url <> url
		UNION ALL SELECT format('a problem that is none: %s; expected %s', problem, expected) WHERE problem IS NOT NULL AND NOT invalid
		UNION ALL SELECT format('no problem, but %s', seen) WHERE problem IS NULL AND invalid AND delivery_id IS NOT NULL AND NOT types_oracle.refused(seen)
		UNION ALL SELECT format('member %s is %s instead of %s', m, coalesce((seen -> m)::text, 'left out'), coalesce((expected -> m)::text, 'left out'))
		  FROM (SELECT jsonb_object_keys(seen) UNION SELECT jsonb_object_keys(expected)) k (m)
		 WHERE problem IS NULL AND NOT coalesce(invalid, false) AND n IS NOT NULL AND delivery_id IS NOT NULL
		   AND (seen -> m)::text IS DISTINCT FROM (expected -> m)::text
		   AND NOT EXISTS (SELECT FROM types_oracle.member c WHERE c.root = compared.root AND c.member = m AND c.computed IS NOT NULL)
		UNION ALL SELECT format('computed member %s is %s: %s, after %s', c.member, c.computed, coalesce((seen -> c.member)::text, 'left out'), coalesce(previous, 'nothing'))
		  FROM types_oracle.member c
		 WHERE c.root = compared.root AND c.computed IS NOT NULL AND problem IS NULL AND NOT coalesce(invalid, false) AND n IS NOT NULL
		   AND delivery_id IS NOT NULL AND NOT coalesce(CASE c.computed
			WHEN '$type' THEN seen -> c.member = to_jsonb(event)
			WHEN '$event_id' THEN seen -> c.member = to_jsonb(webhook_id)
			WHEN '$org_id' THEN seen -> c.member = to_jsonb(org)
			WHEN '$previous_status' THEN seen -> c.member = coalesce(to_jsonb(previous), 'null')
			WHEN '$sequence' THEN (seen ->> c.member)::bigint > 0
			WHEN '$occurred_at' THEN seen ->> c.member ~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$'
				AND (seen ->> c.member)::timestamptz BETWEEN enqueued_at AND clock_timestamp() END, false)) w;
	RETURN QUERY SELECT format('event %s has %s webhook-ids', n, count(DISTINCT webhook_id)) FROM compared WHERE n IS NOT NULL AND delivery_id IS NOT NULL
	  GROUP BY n HAVING count(DISTINCT webhook_id) > 1;
	RETURN QUERY SELECT format('webhook-id %s has %s events', webhook_id, count(DISTINCT n)) FROM compared WHERE n IS NOT NULL AND delivery_id IS NOT NULL
	  GROUP BY webhook_id HAVING count(DISTINCT n) > 1;
	RETURN QUERY SELECT format('%s of %s of %s: the sequence falls', kind, id, org) FROM (
		SELECT kind, org, id, (seen ->> c.member)::bigint <= lag((seen ->> c.member)::bigint) OVER (PARTITION BY kind, org, id, subscription, c.member ORDER BY nth) AS falls
		  FROM compared JOIN types_oracle.member c ON c.root = compared.root AND c.computed = '$sequence' WHERE problem IS NULL AND n IS NOT NULL) s WHERE falls;
	DELETE FROM kgwebhook.queue;
	DELETE FROM types_oracle.change;
	DELETE FROM types_oracle.copied;
END $$;
