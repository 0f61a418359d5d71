--
-- test/types/world.sql
--	Worlds made up from a seed: three tables, and transactions of all kinds in them.
--
-- A world is a schema "types_world" with its own types, triggers and policies.  Its tables
-- have the same few ids.  What a statement may fail with, it says itself by its SQLSTATE;
-- any other error is a payment that failed.
--
CREATE SCHEMA types;
CREATE EXTENSION dblink SCHEMA types;
CREATE ROLE kgw_types_owner;
CREATE ROLE kgw_types_writer;
CREATE TABLE types.finding (seed int, transaction int, what text);
CREATE TABLE types.started (seed int, ended boolean);
CREATE TABLE types.counted (transactions bigint, prepared bigint, statements bigint, copies bigint, deliveries bigint);
INSERT INTO types.counted VALUES (0, 0, 0, 0, 0);
-- numbers of the columns that a table is watched by; org: NULL in tables without one
CREATE TABLE types.tab (t int PRIMARY KEY, rel oid, kind text, partitioned boolean, id int2, status int2, url int2, org int2,
	has_triggers boolean, can_refuse boolean, deferred boolean);
GRANT USAGE ON SCHEMA types, types_value, types_oracle TO PUBLIC;
GRANT pg_read_server_files TO kgw_types_writer;

CREATE FUNCTION types.col(rel oid, att int2) RETURNS text LANGUAGE sql STABLE AS
	$$ SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = rel AND attnum = att $$;
CREATE FUNCTION types.name(rel oid) RETURNS text LANGUAGE sql STABLE AS
	$$ SELECT format('%I.%I', relnamespace::regnamespace, relname) FROM pg_class WHERE oid = rel $$;

-- Runs a statement.  Where nothing may refuse it, without a savepoint around it.
CREATE FUNCTION types.run(statement text, can_refuse boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	message text;
	code text;
	context text;
BEGIN
	RAISE NOTICE '%', left(statement, 5000);
	IF NOT can_refuse THEN
		EXECUTE statement;
		RETURN;
	END IF;
	BEGIN
		EXECUTE statement;
	EXCEPTION WHEN OTHERS OR assert_failure THEN
		GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, context = PG_EXCEPTION_CONTEXT;
		RAISE NOTICE 'refused: % %', code, message;
		IF code <> 'UT001' AND NOT (code = '42501' AND message ~ '^new row violates row-level security policy') THEN
			RAISE EXCEPTION 'a statement failed: % %: %: %', code, message, left(statement, 2000), context;
		END IF;
	END;
END $$;

-- A statement that may write a table again.  What was deleted there before is gone for good then.
CREATE FUNCTION types.run_on(root regclass, statement text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	files oid[] := ARRAY(SELECT pg_relation_filenode(relid) FROM pg_partition_tree(root) ORDER BY 1);
BEGIN
	PERFORM types.run(statement, false);
	IF files <> ARRAY(SELECT pg_relation_filenode(relid) FROM pg_partition_tree(root) ORDER BY 1) THEN
		INSERT INTO types_oracle.rewritten SELECT kind, nextval('types_oracle.version') FROM types_oracle.watched w WHERE w.root = run_on.root;
	END IF;
END $$;

-- A name for a column or a member.
CREATE FUNCTION types.some_name(n int) RETURNS text LANGUAGE sql VOLATILE AS $$
	SELECT types_value.one_of('c', 'Mixed Case ', 'ünï', 'a.b', 'x"y', 'drop table', '''', '\', repeat('l', 50)) || n $$;

-- An id, a status, a URL, an organization: expressions of the column's type.
CREATE FUNCTION types.key_value(rel oid, att int2, what text) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	type text;
	value text;
BEGIN
	SELECT format_type(atttypid, atttypmod) INTO type FROM pg_attribute WHERE attrelid = rel AND attnum = att;
	value := CASE what
		WHEN 'status' THEN CASE WHEN types_value.chance(0.05) THEN NULL WHEN type ~ 'integer|status' THEN types_value.one_of('1', '2', '3', '4')
			ELSE types_value.one_of('1', '2', '3', '4', '4', 'paid', '', 'ünï.x', 'it''s "so"', '%s', E'a\nb', ' x', 'x ') END
		WHEN 'url' THEN types_value.one_of('https://m.example/', 'https://m.example/', 'https://n.example:8443/?q=é', 'http://127.0.0.1:1/', 'nonsense', '', NULL)
		WHEN 'org' THEN types_value.one_of('1', '2', '2', NULL) END;
	RETURN CASE WHEN value IS NULL THEN 'NULL' ELSE quote_literal(value) END || '::' || type;
END $$;

-- The columns that can be written, but those that are given.
CREATE FUNCTION types.others(rel oid, given int2[]) RETURNS TABLE (name text, type oid, typmod int) LANGUAGE sql STABLE AS $$
	SELECT quote_ident(attname), atttypid, atttypmod FROM pg_attribute
	 WHERE attrelid = rel AND attnum > 0 AND NOT attisdropped AND attgenerated = '' AND attname NOT IN ('v', 'region')
	   AND attnum <> ALL (array_remove(given, NULL)) ORDER BY attnum $$;

-- The watching of a table, by default or by a payload of its own; the oracle is told.
CREATE FUNCTION types.watch(n int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	tab types.tab;
	map jsonb;
	member text;
	col record;
BEGIN
	SELECT * INTO STRICT tab FROM types.tab t WHERE t.t = n;
	DELETE FROM types_oracle.watched WHERE root = tab.rel;
	DELETE FROM types_oracle.member WHERE root = tab.rel;
	INSERT INTO types_oracle.watched VALUES (tab.rel, tab.kind, tab.id, tab.status, tab.url, tab.org, true);
	IF types_value.chance(0.6) THEN
		INSERT INTO types_oracle.member
		SELECT tab.rel, attname, attnum, NULL FROM pg_attribute
		 WHERE attrelid = tab.rel AND attnum > 0 AND NOT attisdropped AND attnum IS DISTINCT FROM tab.org;
		INSERT INTO types_oracle.member
		SELECT tab.rel, c, NULL, '$' || c FROM unnest('{type,event_id,occurred_at}'::text[]) c
		 WHERE NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = tab.rel AND attname = c AND NOT attisdropped);
	ELSE
		map := '{}';
		FOR col IN SELECT attname::text AS name, attnum FROM pg_attribute WHERE attrelid = tab.rel AND attnum > 0 AND NOT attisdropped ORDER BY attnum LOOP
			CONTINUE WHEN types_value.chance(0.3);
			member := CASE WHEN types_value.chance(0.5) THEN col.name ELSE types.some_name(100 + col.attnum) END;
			CONTINUE WHEN map ? member OR member IN ('timestamp', 'signature');
			map := map || jsonb_build_object(member, col.name);
			INSERT INTO types_oracle.member VALUES (tab.rel, member, col.attnum, NULL);
		END LOOP;
		FOR member IN SELECT unnest('{$type,$event_id,$occurred_at,$previous_status,$sequence,$org_id}'::text[]) LOOP
			CONTINUE WHEN types_value.chance(0.4);
			map := map || jsonb_build_object('m' || member, member);
			INSERT INTO types_oracle.member VALUES (tab.rel, 'm' || member, NULL, member);
		END LOOP;
		UPDATE types_oracle.watched SET by_default = false WHERE root = tab.rel;
	END IF;
	PERFORM types.run(format('SELECT public.kg_watch(%L::oid, %L, %L, %L, %L, %L, %L)', tab.rel, tab.kind,
		(SELECT attname FROM pg_attribute WHERE attrelid = tab.rel AND attnum = tab.id), (SELECT attname FROM pg_attribute WHERE attrelid = tab.rel AND attnum = tab.status),
		(SELECT attname FROM pg_attribute WHERE attrelid = tab.rel AND attnum = tab.url), (SELECT attname FROM pg_attribute WHERE attrelid = tab.rel AND attnum = tab.org), map), false);
END $$;

-- Triggers of users, of names before and after ours.
CREATE FUNCTION types.make_triggers(n int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	tab types.tab;
	other types.tab;
	body text;
	head text;
	kind text;
	name text;
	made int := types_value.upto(4);
	fatal text := CASE WHEN current_setting('types.raises')::boolean THEN 'raise' ELSE 'deferred' END;
	refuses boolean := false;
	defers boolean := false;
	r int;
BEGIN
	SELECT * INTO STRICT tab FROM types.tab t WHERE t.t = n;
	FOR name IN SELECT tgname FROM pg_trigger WHERE tgrelid = tab.rel AND NOT tgisinternal AND tgname ~ '^[!z]user' ORDER BY tgname LOOP
		PERFORM types.run(format('DROP TRIGGER %I ON %s', name, types.name(tab.rel)), false);
	END LOOP;
	FOR i IN 1..made LOOP
		kind := types_value.one_of('status', 'note', 'swallow', 'same', 'other', 'refresh', fatal);
		name := types_value.one_of('!', 'z') || 'user' || i;
		r := types_value.upto(3);
		SELECT * INTO STRICT other FROM types.tab t WHERE t.t = r;
		head := CASE kind WHEN 'status' THEN 'BEFORE INSERT OR UPDATE' WHEN 'note' THEN 'BEFORE INSERT OR UPDATE' WHEN 'swallow' THEN 'BEFORE ' || types_value.one_of('INSERT', 'UPDATE')
			WHEN 'raise' THEN types_value.one_of('BEFORE', 'AFTER') || ' INSERT OR UPDATE' WHEN 'deferred' THEN 'AFTER UPDATE' ELSE types_value.one_of('AFTER UPDATE', 'AFTER INSERT OR UPDATE') END;
		body := CASE kind
			WHEN 'status' THEN format('IF NEW.region %% 2 = 1 AND NEW.%s::text = ''2'' THEN NEW.%1$s := ''3''; END IF; RETURN NEW;', types.col(tab.rel, tab.status))
			WHEN 'note' THEN 'NEW.note := left(NEW.note || ''!'', 20); RETURN NEW;'
			WHEN 'swallow' THEN 'RETURN CASE WHEN NEW.note = ''swallow'' THEN NULL ELSE NEW END;'
			WHEN 'raise' THEN 'IF NEW.note = ''raise'' THEN RAISE EXCEPTION ''not this'' USING ERRCODE = ''UT001''; END IF; RETURN NEW;'
			WHEN 'same' THEN format('IF pg_trigger_depth() < 3 THEN UPDATE %s SET %s = ''4'' WHERE region = NEW.region AND %2$s::text = ''1''; END IF; RETURN NULL;',
				types.name(tab.rel), types.col(tab.rel, tab.status))
			WHEN 'other' THEN format('IF pg_trigger_depth() < 3 THEN UPDATE %s SET %s = %L WHERE %s::text = NEW.%s::text; END IF; RETURN NULL;',
				types.name(other.rel), types.col(other.rel, other.status), types_value.one_of('1', '2', '3', '4'), types.col(other.rel, other.id), types.col(tab.rel, tab.id))
			WHEN 'refresh' THEN format('IF pg_trigger_depth() < 2 AND NEW.note = ''refresh'' THEN DELETE FROM %1$s WHERE v = NEW.v; IF FOUND THEN INSERT INTO %1$s (%2$s, %3$s, %4$s, region%6$s) VALUES (NEW.%2$s, ''%5$s'', NEW.%4$s, NEW.region%7$s); END IF; END IF; RETURN NULL;',
				types.name(tab.rel), types.col(tab.rel, tab.id), types.col(tab.rel, tab.status), types.col(tab.rel, tab.url), types_value.one_of('1', '2', '3', '4'),
				', ' || types.col(tab.rel, tab.org), ', NEW.' || types.col(tab.rel, tab.org))
			ELSE format('UPDATE %1$s SET %2$s = ''4'', note = ''late'' WHERE v = NEW.v AND %2$s::text = ''3'' AND note !~ ''^late''; RETURN NULL;', types.name(tab.rel), types.col(tab.rel, tab.status)) END;
		refuses := refuses OR kind = 'raise';
		defers := defers OR kind = 'deferred';
		PERFORM types.run(format('CREATE OR REPLACE FUNCTION types_world.f%s_%s() RETURNS trigger LANGUAGE plpgsql AS %L', n, i, 'BEGIN ' || body || ' END'), false);
		PERFORM types.run(format('CREATE %s TRIGGER %I %s ON %s %s FOR EACH ROW EXECUTE FUNCTION types_world.f%s_%s()', CASE kind WHEN 'deferred' THEN 'CONSTRAINT' END, name, head,
			types.name(tab.rel), CASE kind WHEN 'deferred' THEN 'DEFERRABLE INITIALLY DEFERRED' END, n, i), false);
	END LOOP;
	UPDATE types.tab t SET has_triggers = made > 0, can_refuse = refuses, deferred = defers WHERE t.t = n;
END $$;

-- A table with its partitions, watched.
CREATE FUNCTION types.make_table(n int, kind text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	name text := 'types_world.' || quote_ident((ARRAY['t0', 'T "1"', 't.2'])[n + 1]);
	partitioned boolean := types_value.chance(0.5);
	columns text[] := ARRAY['region int NOT NULL', 'note text', 'v bigint',
		'id ' || types_value.one_of('text', 'int', 'bigint', 'varchar(80)', 'char(8)', 'types_value.label', 'smallint'),
		'status ' || types_value.one_of('text', 'varchar(80)', 'char(9)', 'int', 'types_world.status', 'types_value.sublabel'),
		'url ' || types_value.one_of('text', 'varchar(500)')];
	has_org boolean := types_value.chance(0.8);
	inherits boolean;
	tab types.tab;
	att int2[];
BEGIN
	IF has_org THEN
		columns := columns || ('org ' || types_value.one_of('text', 'int', 'varchar(8)'));
	END IF;
	FOR i IN 1..1 + types_value.upto(6) LOOP
		columns := columns || format('%I %s', types.some_name(i), types_value.some_type());
	END LOOP;
	IF types_value.chance(0.2) THEN
		columns := columns || 'type text'::text;
	END IF;
	IF types_value.chance(0.2) THEN
		columns := columns || format('made int GENERATED ALWAYS AS (region * 2) STORED');
	END IF;
	IF types_value.chance(0.2) THEN
		columns := columns || types_value.generated();
	END IF;
	SELECT array_agg(c ORDER BY r) INTO columns FROM (SELECT c, random() AS r FROM unnest(columns) c) s;
	inherits := NOT partitioned AND types_value.chance(0.3);
	IF inherits THEN
		PERFORM types.run(format('CREATE TABLE types_world.from%s (note text, gone3 int[], region int NOT NULL)', n), false);
	END IF;
	-- columns that are gone, before others and after them
	PERFORM types.run(format('CREATE TABLE %s (gone1 int, %s, gone2 types_value.pair) %s', name, array_to_string(columns, ', '),
		CASE WHEN partitioned THEN 'PARTITION BY LIST (region)' WHEN inherits THEN format('INHERITS (types_world.from%s)', n) END), false);
	IF inherits THEN
		PERFORM types.run(format('ALTER TABLE %s NO INHERIT types_world.from%s', name, n), false);
	END IF;
	PERFORM types.run(format('ALTER TABLE %s DROP COLUMN gone1, DROP COLUMN gone2, DROP COLUMN IF EXISTS gone3', name), false);
	IF partitioned THEN
		PERFORM types.run(format('CREATE TABLE types_world.p%s_0 PARTITION OF %s FOR VALUES IN (0)', n, name), false);
		-- columns in another order, and one that is gone
		SELECT array_agg(c ORDER BY i DESC) INTO columns FROM unnest(columns) WITH ORDINALITY u (c, i);
		PERFORM types.run(format('CREATE TABLE types_world.p%s_1 (%s, gone text, %s)', n, columns[1], array_to_string(columns[2:], ', ')), false);
		PERFORM types.run(format('ALTER TABLE types_world.p%s_1 DROP COLUMN gone', n), false);
		PERFORM types.run(format('ALTER TABLE %s ATTACH PARTITION types_world.p%s_1 FOR VALUES IN (1)', name, n), false);
		PERFORM types.run(format('CREATE TABLE types_world.p%s_2 PARTITION OF %s DEFAULT PARTITION BY LIST (region)', n, name), false);
		PERFORM types.run(format('CREATE TABLE types_world.p%s_3 PARTITION OF types_world.p%1$s_2 DEFAULT', n), false);
	END IF;
	SELECT array_agg(attnum ORDER BY array_position('{id,status,url,org}'::name[], attname)) INTO att FROM pg_attribute
	 WHERE attrelid = name::regclass AND attname IN ('id', 'status', 'url', 'org');
	INSERT INTO types.tab VALUES (n, name::regclass, kind, partitioned, att[1], att[2], att[3], att[4], false, false, false);
	IF NOT partitioned AND has_org THEN
		PERFORM types.run(format('ALTER TABLE %s ADD UNIQUE (id, org)', name), false);
	END IF;
	PERFORM types.run(format('CREATE TRIGGER "~stamp" BEFORE INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION types_oracle.stamp()', name), false);
	PERFORM types.run(format('CREATE TRIGGER "~record" AFTER INSERT OR UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION types_oracle.record()', name), false);
	PERFORM types.run(format('ALTER TABLE %s OWNER TO kgw_types_owner', name), false);
	PERFORM types.run(format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO kgw_types_writer', name), false);
END $$;

CREATE FUNCTION types.make_world(seed int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	list text;
BEGIN
	PERFORM setseed(seed % 1000000 / 1000000.0);
	PERFORM set_config('client_min_messages', 'warning', true);
	DROP SCHEMA IF EXISTS types_world CASCADE;
	PERFORM set_config('client_min_messages', current_setting('types.messages'), true);
	PERFORM public.kg_unsubscribe(id) FROM types_oracle.subscription;
	DELETE FROM types_oracle.subscription;
	DELETE FROM types_oracle.watched;
	DELETE FROM types_oracle.member;
	DELETE FROM types.tab;
	DELETE FROM kgwebhook.queue;
	CREATE SCHEMA types_world;
	GRANT USAGE, CREATE ON SCHEMA types_world TO kgw_types_owner;
	GRANT USAGE ON SCHEMA types_world TO kgw_types_writer;
	PERFORM types.run('CREATE TYPE types_world.status AS ENUM (''1'', ''2'', ''3'', ''4'')', false);
	PERFORM types.make_changing();
	FOR n IN 1..2 LOOP
		list := NULL;
		FOR i IN 1..types_value.upto(4) LOOP
			list := concat_ws(', ', list, format('%I %s', types.some_name(i), types_value.some_type()));
		END LOOP;
		PERFORM types.run(format('CREATE TYPE types_world.comp%s AS (%s)', n, list), false);
		PERFORM types.run(format('CREATE DOMAIN types_world.dom%s AS %s', n, types_value.some_type()), false);
	END LOOP;
	PERFORM types.make_table(0, 'k0');
	PERFORM types.make_table(1, 'k1');
	PERFORM types.make_table(2, 'k0.x');
	PERFORM types.run(format('ALTER TABLE types_world.t0 ADD COLUMN extra types_world.%s', types_value.one_of('comp1', 'comp2[]', 'dom1')), false);
	PERFORM set_config('types.raises', types_value.chance(0.4)::text, false);
	PERFORM types.watch(n) FROM generate_series(0, 2) n;
	PERFORM types.make_triggers(n) FROM generate_series(0, 2) n;
	IF types_value.chance(0.6) THEN
		INSERT INTO types_oracle.subscription SELECT public.kg_subscribe('1', 'https://s.example/', '{*}'), '1', NULL, 'https://s.example/';
		INSERT INTO types_oracle.subscription SELECT public.kg_subscribe('default', 'https://m.example/', '{k1.*}'), 'default', 'k1', 'https://m.example/';
	END IF;
	-- by the status or the region, where that is sent
	INSERT INTO types_oracle.subscription
	SELECT public.kg_subscribe('2', 'https://f.example/', '{k1.*}', filter => jsonb_build_object(m.member, m.wanted)), '2', 'k1', 'https://f.example/', m.member, m.wanted
	  FROM (SELECT o.member, CASE WHEN a.atttypid = 'int'::regtype THEN '[1, 2, 3]' ELSE '["1", "2", "3"]' END::jsonb AS wanted
			  FROM types_oracle.member o JOIN types.tab t ON t.t = 1 AND t.rel = o.root JOIN pg_attribute a ON a.attrelid = o.root AND a.attnum = o.att
			 WHERE a.attnum = t.status OR a.attname = 'region' ORDER BY random() LIMIT 1) m WHERE types_value.chance(0.6);
	-- how much of a row that is too large is sent, nobody has said
	PERFORM set_config('types.large', (NOT EXISTS (SELECT FROM types_oracle.subscription WHERE member IS NOT NULL))::text, false);
	IF types_value.chance(0.3) THEN
		FOR n IN 0..1 LOOP
			PERFORM types.run(format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', types.name(rel)), false) FROM types.tab WHERE t = n;
			PERFORM types.run(format('CREATE POLICY p ON %s USING (note IS DISTINCT FROM ''hidden'') WITH CHECK (note IS DISTINCT FROM ''locked'')', types.name(rel)), false) FROM types.tab WHERE t = n;
		END LOOP;
	END IF;
END $$;
