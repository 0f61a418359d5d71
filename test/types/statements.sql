--
-- test/types/statements.sql
--	What happens in a world: payments, changes of tables, transactions.
--

-- Ids of a table that are there, or are not: as text, with the organization.
CREATE FUNCTION types.objects(tab types.tab, there boolean) RETURNS TABLE (id text, org text) LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format('SELECT i::text, o FROM generate_series(1, 5) i, unnest(%s) o WHERE %s EXISTS (SELECT FROM %s t WHERE rtrim(t.%s::text) = i::text AND %s IS NOT DISTINCT FROM o) ORDER BY 1, 2',
		CASE WHEN tab.org IS NULL THEN 'ARRAY[NULL::text]' ELSE 'ARRAY[''1'', ''2'', NULL]' END, CASE WHEN there THEN '' ELSE 'NOT' END, types.name(tab.rel),
		types.col(tab.rel, tab.id), coalesce('t.' || types.col(tab.rel, tab.org) || '::text', 'NULL::text'));
END $$;

-- Columns besides those that a table is watched by, and values for them.
CREATE FUNCTION types.some_values(tab types.tab, share float8, OUT columns text[], OUT vals text[]) LANGUAGE plpgsql AS $$
DECLARE
	c record;
BEGIN
	columns := '{}';
	vals := '{}';
	FOR c IN SELECT * FROM types.others(tab.rel, ARRAY[tab.id, tab.status, tab.url, tab.org]) LOOP
		CONTINUE WHEN c.name = 'note';
		CONTINUE WHEN NOT types_value.chance(share);
		columns := columns || c.name;
		vals := vals || types_value.value(c.type, c.typmod);
	END LOOP;
END $$;

CREATE FUNCTION types.some_note() RETURNS text LANGUAGE sql VOLATILE AS $$
	SELECT CASE WHEN types_value.chance(0.01) AND current_setting('types.large')::boolean THEN 'repeat(''h'', 1200000)' ELSE quote_literal(types_value.one_of('n', 'n', 'n', 'swallow', 'raise', 'refresh', 'hidden', 'locked', '')) END $$;

CREATE FUNCTION types.set_list(tab types.tab, share float8) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	extra record;
	list text;
BEGIN
	extra := types.some_values(tab, share);
	SELECT string_agg(c || ' = ' || v, ', ' ORDER BY i) INTO list FROM unnest(extra.columns, extra.vals) WITH ORDINALITY u (c, v, i);
	RETURN concat_ws(', ', list, 'note = ' || types.some_note());
END $$;

-- New objects by COPY, each row once, from a file that is written by values of its columns' types.
CREATE FUNCTION types.copy(tab types.tab) RETURNS text LANGUAGE plpgsql SET datestyle = 'ISO' SET timezone = 'UTC' SET intervalstyle = 'postgres' SET extra_float_digits = 1
	SET bytea_output = 'hex' SET quote_all_identifiers = off SET search_path = pg_catalog AS $$
DECLARE
	file text := current_setting('data_directory') || '/types.copy';
	options text := types_value.one_of('FORMAT text', 'FORMAT text, DELIMITER ''|'', NULL ''no value''', 'FORMAT csv', 'FORMAT csv, HEADER');
	extra record;
	columns text;
	list text;
	made text;
BEGIN
	extra := types.some_values(tab, 0.8);
	columns := concat_ws(', ', types.col(tab.rel, tab.id), types.col(tab.rel, tab.status), types.col(tab.rel, tab.url), types.col(tab.rel, tab.org), 'region', 'note',
		nullif(array_to_string(extra.columns, ', '), ''));
	FOR made IN SELECT concat_ws(', ', format('%L', o.id), types.key_value(tab.rel, tab.status, 'status'), types.key_value(tab.rel, tab.url, 'url'), CASE WHEN tab.org IS NOT NULL THEN format('%L', o.org) END,
					types_value.upto(5), types.some_note(),
					(SELECT string_agg(types_value.value(c.type, c.typmod), ', ' ORDER BY i)
					   FROM types.others(tab.rel, ARRAY[tab.id, tab.status, tab.url, tab.org]) c JOIN unnest(extra.columns) WITH ORDINALITY u (name, i) USING (name)))
				  FROM types.objects(tab, false) o ORDER BY random() LIMIT 1 + types_value.upto(3) LOOP
		list := concat_ws(' UNION ALL ', list, 'SELECT ' || made);
	END LOOP;
	IF list IS NULL THEN
		RETURN NULL;
	END IF;
	list := format('COPY (%s) TO %L (%s)', list, file, options);
	RAISE NOTICE '%', left(list, 5000);
	EXECUTE list;
	RETURN format('COPY %s (%s) FROM %L (%s)', types.name(tab.rel), columns, file, options);
END $$;

-- A payment: one statement that writes rows of a table.
CREATE FUNCTION types.payment(tab types.tab, what text) RETURNS text LANGUAGE plpgsql SET quote_all_identifiers = off AS $$
DECLARE
	name text := types.name(tab.rel);
	id text := types.col(tab.rel, tab.id);
	status text := types.col(tab.rel, tab.status);
	url text := types.col(tab.rel, tab.url);
	org text := types.col(tab.rel, tab.org);
	object record;
	fresh record;
	extra record;
	target text;
	row_of text;
	columns text;
	nameless boolean;
BEGIN
	SELECT * INTO object FROM types.objects(tab, true) ORDER BY random() LIMIT 1;
	SELECT * INTO fresh FROM types.objects(tab, false) ORDER BY random() LIMIT 1;
	target := format('rtrim(%s::text) = %L', id, object.id) || coalesce(' AND ' || org || format('::text IS NOT DISTINCT FROM %L', object.org), '');
	IF object IS NULL THEN
		what := 'insert';
	END IF;
	IF what = 'copy' THEN
		-- without them, a NULL in an array is a word
		row_of := CASE WHEN current_setting('array_nulls')::boolean THEN types.copy(tab) END;
		IF row_of IS NOT NULL THEN
			RETURN row_of;
		END IF;
		what := 'insert';
	END IF;
	IF what IN ('insert', 'conflict', 'merge') THEN
		IF fresh.id IS NULL OR what <> 'insert' AND types_value.chance(0.5) THEN
			fresh := object;
			what := CASE what WHEN 'insert' THEN 'update' ELSE what END;
		END IF;
		IF what = 'insert' AND types_value.chance(0.05) THEN
			EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE %s IS NULL)', name, id) INTO nameless;
			fresh.id := CASE WHEN nameless THEN fresh.id END;
		END IF;
		extra := types.some_values(tab, 0.8);
		columns := concat_ws(', ', id, status, url, org, 'region', 'note', nullif(array_to_string(extra.columns, ', '), ''));
		row_of := concat_ws(', ', format('%L::%s', fresh.id, (SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = tab.rel AND attnum = tab.id)),
			types.key_value(tab.rel, tab.status, 'status'), types.key_value(tab.rel, tab.url, 'url'),
			(SELECT format('%L::%s', fresh.org, format_type(atttypid, atttypmod)) FROM pg_attribute WHERE attrelid = tab.rel AND attnum = tab.org),
			types_value.upto(5), types.some_note(), nullif(array_to_string(extra.vals, ', '), ''));
		IF what = 'merge' THEN
			RETURN format('MERGE INTO %s m USING (VALUES (%L, %L)) s (i, o) ON rtrim(m.%s::text) = s.i AND %s IS NOT DISTINCT FROM s.o WHEN MATCHED THEN UPDATE SET %s = %s, %s WHEN NOT MATCHED THEN INSERT (%s) VALUES (%s)',
				name, fresh.id, fresh.org, id, coalesce('m.' || org || '::text', 'NULL'), status, types.key_value(tab.rel, tab.status, 'status'), types.set_list(tab, 0.3), columns, row_of);
		ELSIF what = 'conflict' AND NOT tab.partitioned AND org IS NOT NULL AND fresh.org IS NOT NULL THEN
			RETURN format('INSERT INTO %s (%s) VALUES (%s) ON CONFLICT (%s, %s) DO %s', name, columns, row_of, id, org,
				CASE WHEN types_value.chance(0.3) THEN 'NOTHING' ELSE format('UPDATE SET %s = excluded.%1$s, %s', status, types.set_list(tab, 0.3)) END);
		ELSIF what IN ('insert', 'conflict') AND fresh IS DISTINCT FROM object THEN
			RETURN format('INSERT INTO %s (%s) VALUES (%s)', name, columns, row_of);
		END IF;
		what := 'update';
	END IF;
	CASE what
		WHEN 'update' THEN
			RETURN format('UPDATE %s SET %s = %s, %s WHERE %s', name, status, types.key_value(tab.rel, tab.status, 'status'), types.set_list(tab, 0.4), target);
		WHEN 'several' THEN
			RETURN format('UPDATE %s SET %s = %s, %s WHERE region < %s', name, status, types.key_value(tab.rel, tab.status, 'status'), types.set_list(tab, 0.2), types_value.upto(5));
		WHEN 'url' THEN
			RETURN format('UPDATE %s SET %s = %s, %s WHERE %s', name, url, types.key_value(tab.rel, tab.url, 'url'), types.set_list(tab, 0.4), target);
		WHEN 'move' THEN
			RETURN format('UPDATE %s SET region = (region + %s) %% 5%s WHERE %s', name, 1 + types_value.upto(4),
				CASE WHEN types_value.chance(0.5) THEN format(', %s = %s', status, types.key_value(tab.rel, tab.status, 'status')) END,
				CASE WHEN types_value.chance(0.5) THEN target ELSE 'true' END);
		WHEN 'rename' THEN
			IF fresh.id IS NULL THEN
				RETURN format('UPDATE %s SET v = 0', name);
			END IF;
			RETURN format('UPDATE %s SET %s = %L, region = %s%s%s WHERE %s', name, id, fresh.id, types_value.upto(5), ', ' || org || format(' = %L', fresh.org),
				CASE WHEN types_value.chance(0.5) THEN format(', %s = %s', status, types.key_value(tab.rel, tab.status, 'status')) END, target);
		WHEN 'delete' THEN
			RETURN format('DELETE FROM %s WHERE %s', name, target);
		WHEN 'again' THEN
			SELECT string_agg(o.name, ', ') INTO columns FROM types.others(tab.rel, ARRAY[tab.status]) o;
			RETURN format('WITH gone AS (DELETE FROM %1$s WHERE %2$s RETURNING *) INSERT INTO %1$s (%3$s, %4$s, region) SELECT %3$s, %5$s, %6$s FROM gone', name,
				CASE WHEN types_value.chance(0.6) THEN target ELSE 'region < 3' END, columns, status,
				CASE WHEN types_value.chance(0.5) THEN status ELSE types.key_value(tab.rel, tab.status, 'status') END, types_value.upto(5));
	END CASE;
END $$;

-- A change of a table.
CREATE FUNCTION types.ddl(tab types.tab, first boolean) RETURNS void LANGUAGE plpgsql SET quote_all_identifiers = off AS $$
DECLARE
	name text := types.name(tab.rel);
	what text := types_value.one_of('add', 'add', 'drop', 'rename', 'rename', 'rename key', 'type', 'type', 'key type', 'triggers', 'triggers', 'watch', 'unwatch',
		'table', 'detach', 'partition', 'truncate', 'enum');
	target record;
	type text;
	key int2;
BEGIN
	-- what changes what is watched comes before the payments, so that one map goes for all of them
	IF NOT first AND what IN ('watch', 'unwatch', 'truncate', 'detach') THEN
		RETURN;
	END IF;
	SELECT * INTO target FROM (SELECT attname FROM pg_attribute a WHERE a.attrelid = tab.rel AND attnum > 0 AND NOT attisdropped AND attgenerated = '' AND attname NOT IN ('region', 'note', 'v')
	   AND attnum <> ALL (array_remove(ARRAY[tab.id, tab.status, tab.url, tab.org], NULL)) ORDER BY attnum) a ORDER BY random() LIMIT 1;
	type := types_value.some_type();
	key := (array_remove(ARRAY[tab.id, tab.status, tab.url, tab.org], NULL))[1 + types_value.upto(CASE WHEN tab.org IS NULL THEN 3 ELSE 4 END)];
	IF what = 'unwatch' AND NOT EXISTS (SELECT FROM types_oracle.watched WHERE root = tab.rel) THEN
		what := 'watch';
	END IF;
	IF target.attname IS NULL AND what IN ('drop', 'rename', 'type') THEN
		what := 'add';
	END IF;
	CASE what
		WHEN 'add' THEN
			PERFORM types.run(format('ALTER TABLE %s ADD COLUMN %I %s%s', name, types.some_name(10 + (SELECT max(attnum) FROM pg_attribute WHERE attrelid = tab.rel)), type,
				CASE WHEN types_value.chance(0.6) THEN ' DEFAULT ' || types_value.value(type::regtype, CASE WHEN type ~ '^numeric\(' THEN 0 ELSE -1 END) END), false);
			PERFORM types.run(format('ALTER TABLE %s ALTER COLUMN %I DROP DEFAULT', name, (SELECT attname FROM pg_attribute WHERE attrelid = tab.rel ORDER BY attnum DESC LIMIT 1)), false);
		WHEN 'drop' THEN
			PERFORM types.run(format('ALTER TABLE %s DROP COLUMN %I', name, target.attname), false);
		WHEN 'rename' THEN
			PERFORM types.run(format('ALTER TABLE %s RENAME COLUMN %I TO %I', name, target.attname, types.some_name(200 + types_value.upto(1000000))), false);
		WHEN 'rename key' THEN
			PERFORM types.run(format('ALTER TABLE %s RENAME COLUMN %s TO %I', name, types.col(tab.rel, key), types.some_name(200 + types_value.upto(1000000))), false);
			PERFORM types.make_triggers(t) FROM types.tab ORDER BY t;
		WHEN 'type' THEN
			PERFORM types.run_on(tab.rel, format('ALTER TABLE %s ALTER COLUMN %I TYPE %s USING %s', name, target.attname, type, types_value.value(type::regtype, CASE WHEN type ~ '^numeric\(' THEN 0 ELSE -1 END)));
		WHEN 'key type' THEN
			PERFORM types.run_on(tab.rel, format('ALTER TABLE %s ALTER COLUMN %s TYPE %s USING %2$s::text', name, types.col(tab.rel, key), types_value.one_of('text', 'varchar(200)')));
			PERFORM types.make_triggers(t) FROM types.tab ORDER BY t;
		WHEN 'triggers' THEN
			PERFORM types.make_triggers(tab.t);
		WHEN 'watch' THEN
			PERFORM types.watch(tab.t);
		WHEN 'unwatch' THEN
			PERFORM types.run(format('SELECT public.kg_unwatch(%L::oid)', tab.rel), false);
			DELETE FROM types_oracle.watched WHERE root = tab.rel;
			DELETE FROM types_oracle.member WHERE root = tab.rel;
		WHEN 'table' THEN
			PERFORM types.run(format('ALTER TABLE %s RENAME TO %I', name, types.some_name(200 + types_value.upto(1000000))), false);
			PERFORM types.make_triggers(t) FROM types.tab ORDER BY t;
		WHEN 'enum' THEN
			PERFORM types.run(format('ALTER TYPE types_world.status ADD VALUE IF NOT EXISTS %L', types.some_name(tab.t)), false);
		WHEN 'truncate' THEN
			PERFORM types.run(format('TRUNCATE %s', name), false);
		WHEN 'detach' THEN
			IF tab.partitioned THEN
				PERFORM types.run(format('ALTER TABLE %s DETACH PARTITION types_world.p%s_1', name, tab.t), false);
				PERFORM types.run(format('UPDATE types_world.p%s_1 SET note = ''alone'', %s = %s', tab.t, types.col(tab.rel, tab.status), types.key_value(tab.rel, tab.status, 'status')), false);
				PERFORM types.run(format('ALTER TABLE %s ATTACH PARTITION types_world.p%s_1 FOR VALUES IN (1)', name, tab.t), false);
			END IF;
		WHEN 'partition' THEN
			IF tab.partitioned AND to_regclass(format('types_world.p%s_4', tab.t)) IS NULL THEN
				PERFORM types.run(format('DELETE FROM %s WHERE region = 4', name), tab.can_refuse);
				PERFORM types.run(format('CREATE TABLE types_world.p%s_4 PARTITION OF types_world.p%1$s_2 FOR VALUES IN (4)', tab.t), false);
			END IF;
	END CASE;
END $$;

-- One transaction: settings, a role, statements, savepoints that are taken back.
CREATE FUNCTION types.transaction() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	tab types.tab;
	as_writer boolean := types_value.chance(0.4);
	ddl boolean := types_value.chance(0.25);
	careful boolean;
	statement text;
	at int := 1;
	which int;
BEGIN
	-- PostgreSQL refuses to change a table that has deferred triggers to fire
	IF NOT (SELECT bool_or(deferred) FROM types.tab) THEN
		at := 1 + types_value.upto(3);
	END IF;
	PERFORM set_config(s, types_value.one_of(VARIADIC v), true) FROM (VALUES
		('DateStyle', '{ISO,German,"SQL, DMY","Postgres, MDY"}'::text[]), ('TimeZone', '{UTC,Asia/Kathmandu,America/St_Johns}'), ('IntervalStyle', '{postgres,iso_8601,sql_standard}'),
		('extra_float_digits', '{1,0,-15}'), ('bytea_output', '{hex,escape}'), ('quote_all_identifiers', '{on,off}'), ('search_path', '{pg_catalog,types_world,""}'),
		('array_nulls', '{on,off}'), ('xmloption', '{content}'), ('jit', '{off}')) c (s, v);
	FOR i IN 1..at + types_value.upto(5) LOOP
		which := types_value.upto(3);
		SELECT * INTO STRICT tab FROM types.tab t WHERE t.t = which;
		-- with row security, and where a trigger says no, a statement may be refused
		careful := (SELECT bool_or(can_refuse) FROM types.tab) OR as_writer;
		UPDATE types.counted SET statements = statements + 1;
		IF ddl AND i = at THEN
			PERFORM types.ddl(tab, i = 1);
			CONTINUE;
		END IF;
		statement := types.payment(tab, types_value.one_of('insert', 'insert', 'update', 'update', 'update', 'several', 'url', 'move', 'move', 'rename', 'delete', 'again', 'conflict', 'merge', 'copy'));
		UPDATE types.counted SET copies = copies + (statement ~ '^COPY')::int;
		IF as_writer THEN
			-- to whom row security hides a row, MERGE would insert it a second time
			CONTINUE WHEN statement ~ '^MERGE';
			-- and COPY is not for those to whom it hides rows
			CONTINUE WHEN statement ~ '^COPY' AND (SELECT relrowsecurity FROM pg_class WHERE oid = tab.rel);
			SET LOCAL ROLE kgw_types_writer;
		END IF;
		IF types_value.chance(0.15) THEN
			BEGIN
				PERFORM types.run(statement, careful);
				RAISE EXCEPTION 'taken back' USING ERRCODE = 'UT003';
			EXCEPTION WHEN SQLSTATE 'UT003' THEN
				RAISE NOTICE 'taken back';
			END;
		ELSE
			PERFORM types.run(statement, careful);
		END IF;
		RESET ROLE;
	END LOOP;
END $$;

-- Rows that are copied to another partition first, and deleted then.
CREATE FUNCTION types.copy_first() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	tab types.tab;
	object record;
	columns text;
	status text;
BEGIN
	SELECT * INTO tab FROM (SELECT * FROM types.tab ORDER BY t) t WHERE partitioned AND NOT has_triggers ORDER BY random() LIMIT 1;
	IF NOT FOUND THEN
		RETURN;
	END IF;
	status := types.col(tab.rel, tab.status);
	SELECT string_agg(name, ', ') INTO columns FROM types.others(tab.rel, ARRAY[tab.status]);
	PERFORM types.run(format('INSERT INTO %1$s (%2$s, %3$s, region) SELECT %2$s, %4$s, 0 FROM %1$s WHERE region = 1', types.name(tab.rel), columns, status,
		CASE WHEN types_value.chance(0.5) THEN status ELSE types.key_value(tab.rel, tab.status, 'status') END), false);
	INSERT INTO types_oracle.copied SELECT n FROM types_oracle.change WHERE op = 'i';
	PERFORM types.run(format('DELETE FROM %s WHERE region = 1', types.name(tab.rel)), false);
END $$;

-- A transaction that is prepared in one session, and ended in another.  NULL, or what is wrong.
CREATE FUNCTION types.prepared() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	server text := format('host=%s port=%s dbname=%s user=%s', current_setting('unix_socket_directories'), current_setting('port'), current_database(), current_user);
	ending text := CASE WHEN types_value.chance(0.7) THEN 'COMMIT' ELSE 'ROLLBACK' END;
	early bigint;
BEGIN
	-- of a world that did not end well
	PERFORM types.dblink_disconnect(c) FROM unnest(types.dblink_get_connections()) c;
	PERFORM types.dblink_connect('one', server);
	PERFORM types.dblink_exec('one', format('SET client_min_messages = %L; SET types.messages = %1$L; SET types.raises = %L; SET types.large = %L',
		current_setting('types.messages'), current_setting('types.raises'), current_setting('types.large')));
	PERFORM types.dblink_exec('one', 'BEGIN');
	PERFORM types.dblink_exec('one', format('DO $do$BEGIN PERFORM setseed(%s); PERFORM types.transaction(); END$do$', random() * 2 - 1));
	PERFORM types.dblink_exec('one', 'PREPARE TRANSACTION ''types''');
	PERFORM types.dblink_disconnect('one');
	SELECT count(*) INTO early FROM kgwebhook.queue;
	PERFORM types.dblink_connect('two', server);
	PERFORM types.dblink_exec('two', ending || ' PREPARED ''types''');
	PERFORM types.dblink_disconnect('two');
	RETURN CASE WHEN early > 0 THEN format('%s deliveries of what is only prepared', early)
		WHEN ending = 'ROLLBACK' AND EXISTS (SELECT FROM kgwebhook.queue) THEN 'deliveries of what was rolled back' END;
END $$;

-- A world until it ends, or until something is wrong with it.
CREATE PROCEDURE types.world(seed int, until timestamptz, transactions int DEFAULT 40) LANGUAGE plpgsql AS $$
DECLARE
	what text;
BEGIN
	IF clock_timestamp() > until OR EXISTS (SELECT FROM types.started s WHERE s.ended IS NOT TRUE) THEN
		RETURN;
	END IF;
	INSERT INTO types.started VALUES (seed, false);
	COMMIT;
	PERFORM types.make_world(seed);
	COMMIT;
	FOR n IN 1..transactions LOOP
		EXIT WHEN clock_timestamp() > until;
		RAISE NOTICE '-- transaction % of world %', n, seed;
		IF types_value.chance(0.08) THEN
			PERFORM types.copy_first();
		ELSIF types_value.chance(0.1) THEN
			PERFORM types.change_type();
		ELSIF types_value.chance(0.12) THEN
			INSERT INTO types.finding SELECT seed, n, p FROM types.prepared() p WHERE p IS NOT NULL;
			UPDATE types.counted SET prepared = prepared + 1;
		ELSE
			PERFORM types.transaction();
		END IF;
		COMMIT;
		UPDATE types.counted c SET transactions = c.transactions + 1, deliveries = c.deliveries + (SELECT count(*) FROM kgwebhook.queue);
		INSERT INTO types.finding SELECT seed, n, v FROM types_oracle.verify() v;
		COMMIT;
		IF EXISTS (SELECT FROM types.finding) THEN
			RETURN;
		END IF;
	END LOOP;
	UPDATE types.started s SET ended = true WHERE s.seed = world.seed;
END $$;
