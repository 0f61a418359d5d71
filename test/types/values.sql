--
-- test/types/values.sql
--	Types, and values of them at random, as SQL.
--
-- A value is an expression, so that a statement shows what it does.  Types that belong to
-- one world are made by world.sql.
--
CREATE SCHEMA types_value;

-- One of these, at random.
CREATE FUNCTION types_value.one_of(VARIADIC list text[]) RETURNS text LANGUAGE sql VOLATILE AS
	$$ SELECT list[1 + floor(random() * cardinality(list))::int] $$;
CREATE FUNCTION types_value.chance(p float8) RETURNS boolean LANGUAGE sql VOLATILE AS $$ SELECT random() < p $$;
CREATE FUNCTION types_value.upto(n int) RETURNS int LANGUAGE sql VOLATILE AS $$ SELECT floor(random() * n)::int $$;

-- Types of users: base types by value and by reference, enumerations with and without a
-- cast to json, domains over domains, composites in composites, ranges.
CREATE TYPE types_value.v2; CREATE TYPE types_value.ref;
CREATE FUNCTION types_value.v2_in(cstring) RETURNS types_value.v2 LANGUAGE internal IMMUTABLE STRICT AS 'int2in';
CREATE FUNCTION types_value.v2_out(types_value.v2) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'int2out';
CREATE TYPE types_value.v2 (INPUT = types_value.v2_in, OUTPUT = types_value.v2_out, LIKE = int2);
CREATE FUNCTION types_value.ref_in(cstring) RETURNS types_value.ref LANGUAGE internal IMMUTABLE STRICT AS 'namein';
CREATE FUNCTION types_value.ref_out(types_value.ref) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'nameout';
CREATE TYPE types_value.ref (INPUT = types_value.ref_in, OUTPUT = types_value.ref_out, LIKE = name);
CREATE TYPE types_value.mood AS ENUM ('sad', 'it''s "so" \ so', 'glücklich', '');
CREATE TYPE types_value.cast_mood AS ENUM ('plain', 'object', 'null', 'fails', 'divides', 'cannot');
CREATE FUNCTION types_value.mood_json(m types_value.cast_mood) RETURNS json LANGUAGE plpgsql STABLE AS $$
BEGIN
	CASE m::text
		WHEN 'fails' THEN RAISE EXCEPTION 'no json for you' USING ERRCODE = 'UT002';
		WHEN 'divides' THEN PERFORM 1 / length(left('x', 0));
		WHEN 'cannot' THEN RETURN '{"nul": "\u0000"}';
		WHEN 'null' THEN RETURN NULL;
		WHEN 'object' THEN RETURN json_build_object('mood', m::text, 'at', timestamptz '2024-02-29 12:00+02', 'd', '1 day'::interval);
		ELSE RETURN to_json(12.50);
	END CASE;
	RETURN '[]';
END $$;
CREATE CAST (types_value.cast_mood AS json) WITH FUNCTION types_value.mood_json(types_value.cast_mood);
CREATE DOMAIN types_value.cents AS bigint CHECK (VALUE <> 13);
CREATE DOMAIN types_value.label AS varchar(10);
CREATE DOMAIN types_value.sublabel AS types_value.label;
CREATE DOMAIN types_value.moods AS types_value.cast_mood[];
CREATE DOMAIN types_value.money_domain AS money;
CREATE DOMAIN types_value.instant AS timestamptz;
CREATE TYPE types_value.pair AS (a int, "b c" text, at timestamptz, amount numeric(12,2), m money);
ALTER TYPE types_value.pair DROP ATTRIBUTE a;
CREATE TYPE types_value.nested AS ("""q""" types_value.pair, list types_value.pair[], l types_value.sublabel, cents types_value.cents[], r tstzrange);
CREATE DOMAIN types_value.pair_domain AS types_value.pair;
CREATE TYPE types_value.floatrange AS RANGE (subtype = float8);
CREATE TYPE types_value.textrange AS RANGE (subtype = text, collation = "C");

-- Built-in types, and literals of each.
CREATE TABLE types_value.literal (type regtype PRIMARY KEY, literals text[] NOT NULL);
INSERT INTO types_value.literal VALUES
	('bool', '{t,f}'),
	('int2', '{0,1,-1,32767,-32768}'),
	('int4', '{0,7,-7,2147483647,-2147483648}'),
	('int8', '{0,8,-8,9223372036854775807,-9223372036854775808,9007199254740993}'),
	('numeric', ARRAY['0', '300.0', '-0.00', '12.50', '1e30', '1e-20', 'NaN', 'Infinity', '-Infinity', repeat('9', 1100), '1e2000', '0.' || repeat('1', 3000)]),
	('float4', '{0,-0,0.1,3.4028235e38,1e-45,NaN,Infinity,-Infinity,16777216}'),
	('float8', '{0,-0,0.1,1e23,5e-324,1.7976931348623157e308,NaN,Infinity,-Infinity,0.30000000000000004,123456789012345680}'),
	('money', '{0,1234.5,-0.01,92233720368547758.07,-92233720368547758.08}'),
	('text', ARRAY['', ' ', 'x', E'line\nquote"\\ é 😂', E'\x01\x07\x7f', $q$'; DROP TABLE kgwebhook.queue; --$q$, '</script>', '$type', E'\u2028\ufeff', 'NULL', '{}', repeat('é😂', 5000), repeat('x', 30000)]),
	('varchar', ARRAY['', 'v', '  padded  ', repeat('v', 300)]),
	('bpchar', ARRAY['', 'c', 'c  ', E'\t ']),
	('name', ARRAY['', 'n', 'a "name"', repeat('n', 63)]),
	('"char"', ARRAY['', 'c', '\', '"']),
	('bytea', ARRAY['', '\x00ff', '\x5c22', '\x' || repeat('00', 3000)]),
	('uuid', '{00000000-0000-0000-0000-000000000000,a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'),
	('timestamp', ARRAY['1970-01-01', '2024-02-29 23:59:59.5', '9999-12-31 23:59:59.999999', '10000-01-01', '0001-01-01', '0001-12-31 BC', 'infinity', '-infinity', '4713-01-01 BC', '294276-12-31 23:59:59']),
	('timestamptz', ARRAY['1970-01-01 00:00+00', '2024-02-29 23:59:59.123456+02', '9999-12-31 23:59:59.999999+00', '10000-01-01 00:00+00', '0001-01-01 00:00+00', '0001-12-31 00:00+00 BC', 'infinity', '-infinity', '4713-01-01 00:00+00 BC', '294276-12-31 00:00+00', '1900-01-01 00:00:00-15:28']),
	('date', ARRAY['2024-02-29', 'infinity', '-infinity', '5874897-12-31', '4713-01-01 BC', '0001-01-01']),
	('time', '{00:00,24:00,12:34:56.789}'),
	('timetz', '{00:00+00,24:00-15:59,12:34:56.789+05:30}'),
	('interval', ARRAY['0', '1 year 2 days 03:04:05', '-1 mon +1 day -00:00:00.000001', '178000000 years', '-178000000 years']),
	('inet', '{10.0.0.1,10.0.0.1/8,::1,fe80::1/64}'),
	('cidr', '{10.0.0.0/8,::/0}'),
	('macaddr', '{08:00:2b:01:02:03}'),
	('bit', '{0,1}'),
	('varbit', ARRAY['', '101', repeat('10', 500)]),
	('json', ARRAY['{}', 'null', '[]', '1', '"x"', '{"b": 1.0, "a": {"x": 1, "x": 2}}', '[1e2, 1.50, -0, 12345678901234567890]', ' { "é" : "\u00e9\/" } ',
		'{"nul": "\u0000"}', '{"half": "\ud800"}', repeat('[', 100) || repeat(']', 100), repeat('[', 600) || repeat(']', 600), '[' || repeat('1', 1100) || ']', '[' || repeat('1', 1300) || ']', '1e400']),
	('jsonb', ARRAY['{}', 'null', '[]', '1', '"x"', '{"b": 1.0, "aa": {"x": [null, 1e2]}, "": ""}', '[1.50, -0, 12345678901234567890]', '{"$type": "x", "signature": "y"}',
		repeat('{"a":', 100) || '1' || repeat('}', 100), repeat('[', 600) || repeat(']', 600), '[' || repeat('1', 1100) || ']', '[' || repeat('1', 1300) || ']', '1e400']),
	('xml', ARRAY['<a b="c">d</a>', 'text']),
	('jsonpath', ARRAY['$."a"[*] ? (@ > 1)', '$']),
	('tsvector', ARRAY['', 'a:1 b:2,3A']),
	('tsquery', ARRAY['', '''a'' & !''b''']),
	('point', ARRAY['(0,-0)', '(0.1,1e300)', '(NaN,Infinity)']),
	('lseg', ARRAY['[(0,0),(0.1,1)]']), ('box', ARRAY['(1,1),(0,0)']), ('path', ARRAY['((0,0),(1,1))', '[(0,0),(1,1)]']),
	('polygon', ARRAY['((0,0),(1,1),(0.1,2))']), ('circle', ARRAY['<(0,0),0.1>']), ('line', ARRAY['{1,2,3}']),
	('oid', '{0,4294967295}'), ('xid8', '{0,18446744073709551615}'), ('pg_lsn', '{0/0,FFFFFFFF/FFFFFFFF}'), ('tid', ARRAY['(0,1)', '(4294967295,65535)']),
	('regclass', '{pg_class,types_value.literal,0}'), ('regtype', '{text,types_value.mood,0}'), ('regproc', '{pg_catalog.now,types_value.upto}'), ('regrole', '{postgres}'),
	('int4range', ARRAY['empty', '[1,5)', '(,)', '(,3]']),
	('numrange', ARRAY['empty', '[1.50,2.50)', '(,1e30]', '["-Infinity",NaN]']),
	('tsrange', ARRAY['empty', '["2024-02-29 12:00:00","2024-03-01"]', '(,infinity]']),
	('tstzrange', ARRAY['empty', '["2024-02-29 12:00:00+02","10000-01-01 00:00+00")', '(-infinity,)']),
	('daterange', ARRAY['empty', '[2024-02-29,infinity)', '["4713-01-01 BC",]']),
	('nummultirange', ARRAY['{}', '{[1.50,2.50),(3,)}']),
	('tstzmultirange', ARRAY['{}', '{["2024-02-29 12:00:00+02","2024-03-01 00:00+00")}']),
	('types_value.floatrange', ARRAY['empty', '[0.1,0.30000000000000004)', '(-Infinity,NaN)']),
	('types_value.textrange', ARRAY['empty', '["",x)', '["a ""b""","c\\d"]']),
	('types_value.v2', '{0,-2,32767}'),
	('types_value.ref', ARRAY['', 'ref', 'a "ref"']);

-- The types of users that a column may have besides.
CREATE TABLE types_value.users AS
	SELECT unnest('{types_value.mood,types_value.cast_mood,types_value.cents,types_value.label,types_value.sublabel,types_value.moods,
		types_value.money_domain,types_value.instant,types_value.pair,types_value.nested,types_value.pair_domain}'::regtype[]) AS type;

-- A type for a column, as text; arrays and those with modifiers too.
CREATE FUNCTION types_value.some_type() RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	r float8 := random();
	name text;
	i int := types_value.upto((SELECT count(*)::int FROM types_value.literal));
	u int := types_value.upto((SELECT count(*)::int FROM types_value.users));
BEGIN
	IF r < 0.15 THEN
		RETURN types_value.one_of('numeric(12,2)', 'varchar(300)', 'char(7)', 'timestamptz(3)', 'bit(1)', 'varbit(2000)', 'timestamp(0)', 'interval(2)', 'numeric(4,-2)');
	ELSIF r < 0.40 THEN
		SELECT format_type(type, -1) INTO STRICT name FROM (SELECT type, row_number() OVER (ORDER BY type::text COLLATE "C") n FROM types_value.users) t WHERE n = u + 1;
	ELSE
		SELECT format_type(type, -1) INTO STRICT name FROM (SELECT type, row_number() OVER (ORDER BY type::text COLLATE "C") n FROM types_value.literal) t WHERE n = i + 1;
	END IF;
	RETURN name || CASE WHEN types_value.chance(0.2) THEN '[]' ELSE '' END;
END $$;

-- A document that nobody wrote down here.
CREATE FUNCTION types_value.document(depth int) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	parts text[] := '{}';
BEGIN
	IF depth = 0 OR types_value.chance(0.3) THEN
		RETURN types_value.one_of('null', 'true', '0', '-1.50', '1e-7', '"\ud83d\ude02"', '"\\"', '""', (random() * 1e6)::text);
	END IF;
	FOR i IN 1..types_value.upto(4) LOOP
		parts := parts || types_value.document(depth - 1);
	END LOOP;
	IF types_value.chance(0.5) THEN
		RETURN '[' || array_to_string(parts, ', ') || ']';
	END IF;
	RETURN '{' || coalesce((SELECT string_agg(to_json(types_value.one_of('a', 'b', '', 'é', '"', 'order'))::text || ': ' || p, ',') FROM unnest(parts) p), '') || '}';
END $$;

-- The text of a value of a type without parts.
CREATE FUNCTION types_value.literal_of(type oid, typmod int) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	list text[];
BEGIN
	IF type = 'numeric'::regtype AND typmod <> -1 THEN
		RETURN types_value.one_of('0', '300.0', '-12.505', 'NaN', '4949');
	ELSIF types_value.chance(0.4) THEN
		CASE type::regtype::text
			WHEN 'numeric' THEN RETURN round((random() * 1e12 - 5e11)::numeric, types_value.upto(9))::text;
			WHEN 'text' THEN RETURN (SELECT coalesce(string_agg(chr(CASE types_value.upto(4) WHEN 0 THEN 1 + types_value.upto(127) WHEN 1 THEN 32 + types_value.upto(95)
				WHEN 2 THEN 161 + types_value.upto(3000) ELSE 128512 + types_value.upto(60) END), ''), '') FROM generate_series(1, types_value.upto(40)));
			WHEN 'json' THEN RETURN types_value.document(4);
			WHEN 'jsonb' THEN RETURN types_value.document(4);
			WHEN 'bigint' THEN RETURN ((random() - 0.5) * 1.8e19)::int8::text;
			WHEN 'integer' THEN RETURN ((random() - 0.5) * 4e9)::int4::text;
			WHEN 'double precision' THEN RETURN (random() * power(10, types_value.upto(600) - 300))::text;
			WHEN 'timestamp with time zone' THEN RETURN extract(year FROM to_timestamp(random() * 2e9)) || to_char(to_timestamp(random() * 2e9) AT TIME ZONE 'UTC', '-MM-') ||
				lpad((1 + types_value.upto(28))::text, 2, '0') || ' 12:00:00.' || types_value.upto(1000000) || '+05:45';
			ELSE NULL;
		END CASE;
	END IF;
	SELECT literals INTO STRICT list FROM types_value.literal l WHERE l.type = literal_of.type;
	RETURN types_value.one_of(VARIADIC list);
END $$;

-- SQL of a value of this type.
CREATE FUNCTION types_value.value(type oid, typmod int) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	name text := format_type(type, -1);
	t pg_type;
	parts text[] := '{}';
	att record;
BEGIN
	SELECT * INTO STRICT t FROM pg_type WHERE oid = type;
	IF types_value.chance(0.12) THEN
		RETURN 'NULL::' || name;
	ELSIF t.typtype = 'd' THEN
		RETURN format('%s::%s', types_value.value(t.typbasetype, t.typtypmod), name);
	ELSIF t.typtype = 'e' THEN
		RETURN format('%L::%s', types_value.one_of(VARIADIC (SELECT array_agg(enumlabel::text ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = type)), name);
	ELSIF t.typtype = 'c' THEN
		FOR att IN SELECT atttypid, atttypmod FROM pg_attribute WHERE attrelid = t.typrelid AND attnum > 0 AND NOT attisdropped ORDER BY attnum LOOP
			parts := parts || types_value.value(att.atttypid, att.atttypmod);
		END LOOP;
		RETURN format('ROW(%s)::%s', array_to_string(parts, ', '), name);
	ELSIF t.typcategory = 'A' AND t.typelem <> 0 THEN
		-- of domains over arrays, ARRAY[] would make another dimension
		IF (SELECT typcategory FROM pg_type WHERE oid = t.typelem) = 'A' OR name !~ '^reg' AND types_value.chance(0.5) THEN
			RETURN types_value.odd_array(t.typelem, typmod, name);
		END IF;
		FOR i IN 1..types_value.upto(4) LOOP
			parts := parts || types_value.value(t.typelem, typmod);
		END LOOP;
		IF cardinality(parts) > 0 AND types_value.chance(0.3) THEN
			RETURN format('ARRAY[ARRAY[%s], ARRAY[%1$s]]::%s', array_to_string(parts, ', '), name);
		END IF;
		RETURN format('ARRAY[%s]::%s', array_to_string(parts, ', '), name);
	END IF;
	-- no default of a column may have a role in it that is a constant
	RETURN format(CASE WHEN name = 'regrole' THEN '%L::text::%s' ELSE '%L::%s' END, types_value.literal_of(type, typmod), name);
END $$;
