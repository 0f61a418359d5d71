--
-- test/types/shapes.sql
--	Odd shapes: what a type allows and hardly anyone uses, and types that change under their values.
--
-- Arrays of three dimensions, from any subscript on, of NULLs, of domains over arrays;
-- composites that lost attributes, or all of them, and values from before they had another;
-- domains over arrays, composites and ranges; ranges of composites and of domains, empty,
-- without an end, many in one; labels that come later; keys that look alike; tables of
-- which columns are gone, which others once inherited, or have generated columns.
--
-- The oracle reads values by their text, so it needs nothing for any of these.
--
CREATE DOMAIN types_value.grid AS int[];
CREATE DOMAIN types_value.subgrid AS types_value.grid;
CREATE DOMAIN types_value.pairs AS types_value.pair[];
CREATE DOMAIN types_value.span AS tstzrange;
CREATE DOMAIN types_value.spans AS nummultirange;
CREATE TYPE types_value.spot AS (x int, "y z" text);
CREATE TYPE types_value.holed AS (x int, keep types_value.grid, y jsonb, price numeric(8,3), z int[], doc jsonb, span types_value.span);
ALTER TYPE types_value.holed DROP ATTRIBUTE x, DROP ATTRIBUTE y, DROP ATTRIBUTE z, ADD ATTRIBUTE late types_value.pairs;
CREATE DOMAIN types_value.holed_domain AS types_value.holed;
CREATE TYPE types_value.hollow AS (a int);
ALTER TYPE types_value.hollow DROP ATTRIBUTE a;
CREATE TYPE types_value.centsrange AS RANGE (subtype = types_value.cents);
CREATE TYPE types_value.spotrange AS RANGE (subtype = types_value.spot);

INSERT INTO types_value.users SELECT unnest('{types_value.grid,types_value.subgrid,types_value.pairs,types_value.span,types_value.spans,
	types_value.spot,types_value.holed,types_value.holed_domain,types_value.hollow}'::regtype[]);
INSERT INTO types_value.literal VALUES
	('int8range', ARRAY['empty', '(,)', '[-9223372036854775808,9223372036854775807)']),
	('int4multirange', ARRAY['{}', '{(,)}', '{[1,2),[5,)}', '{(,-2147483648),[0,1)}']),
	('tsmultirange', ARRAY['{}', '{(,)}', '{[-infinity,infinity]}', '{("2024-02-29 12:00:00",infinity)}']),
	('datemultirange', ARRAY['{}', '{[-infinity,infinity]}', '{(,2024-02-29),["10000-01-01",]}']),
	('types_value.floatmultirange', ARRAY['{}', '{(-Infinity,0.1],(0.30000000000000004,NaN]}']),
	('types_value.textmultirange', ARRAY['{}', '{["",a),["b c","d""e"]}']),
	('types_value.centsrange', ARRAY['empty', '(,)', '[1,12)', '[14,]']),
	('types_value.centsmultirange', ARRAY['{}', '{[1,2),(7,)}']),
	('types_value.spotrange', ARRAY['empty', '(,)', '["(1,""a b"")","(2,)"]', '["(,)",)']),
	('types_value.spotmultirange', ARRAY['{}', '{["(1,a)","(1,x)"),["(2,""a,b"")",)}']);
UPDATE types_value.literal SET literals = literals || ARRAY[
		'{"a": 1, "A": 2, "a ": 3, " a": 4, "a\u0301": 5, "\u00e1": 6, "0": 7, "00": 8, "a.b": 9, "a": {"a": {"a": 10}}, "\\u0061": 11}',
		'{"\u0061": [1], "a": [2, {"\u0061": null, "a": ""}]}', repeat('{"a":[', 200) || '{}' || repeat(']}', 200), repeat('[{"":', 255) || 'null' || repeat('}]', 255)]
 WHERE type IN ('json'::regtype, 'jsonb'::regtype);

-- The text of a value by its SQL, in a form that any session reads.
CREATE FUNCTION types_value.text_of(expression text) RETURNS text LANGUAGE plpgsql
	SET datestyle = 'ISO' SET intervalstyle = 'postgres' SET extra_float_digits = 1 SET bytea_output = 'hex' AS $$
DECLARE
	answer text;
BEGIN
	EXECUTE format('SELECT (%s)::text', expression) INTO answer;
	RETURN answer;
END $$;

-- Elements in braces, in so many dimensions of such lengths.
CREATE FUNCTION types_value.braces(element oid, typmod int, lengths int[]) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	parts text[] := '{}';
BEGIN
	IF cardinality(lengths) = 0 THEN
		RETURN coalesce('"' || regexp_replace(types_value.text_of(types_value.value(element, typmod)), '(["\\])', '\\\1', 'g') || '"', 'NULL');
	END IF;
	FOR i IN 1..lengths[1] LOOP
		parts := parts || types_value.braces(element, typmod, lengths[2:]);
	END LOOP;
	RETURN '{' || array_to_string(parts, (SELECT typdelim::text FROM pg_type WHERE oid = element)) || '}';
END $$;

-- SQL of an array of up to three dimensions, from any subscripts on.
CREATE FUNCTION types_value.odd_array(element oid, typmod int, name text) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	lengths int[] := ARRAY[1 + types_value.upto(3), 1 + types_value.upto(2), 2];
	bounds text := '';
	first int;
BEGIN
	lengths := lengths[1:1 + types_value.upto(3)];
	-- without them, a NULL in braces is a word
	IF NOT current_setting('array_nulls')::boolean OR types_value.chance(0.1) THEN
		RETURN format('''{}''::%s', name);
	END IF;
	FOR i IN 1..cardinality(lengths) LOOP
		first := types_value.one_of('1', '0', '-3', '7')::int;
		bounds := bounds || format('[%s:%s]', first, first + lengths[i] - 1);
	END LOOP;
	RETURN format('%L::%s', bounds || '=' || types_value.braces(element, typmod, lengths), name);
END $$;

-- A generated column of an odd type.
CREATE FUNCTION types_value.generated() RETURNS text LANGUAGE sql VOLATILE AS $$
	SELECT 'generated ' || types_value.one_of('int[] GENERATED ALWAYS AS (ARRAY[ARRAY[region, NULL], ARRAY[NULL, region * 2]])',
		'int4multirange GENERATED ALWAYS AS (int4multirange(int4range(region, NULL)))',
		'int4range GENERATED ALWAYS AS (CASE WHEN region > 2 THEN ''empty'' ELSE int4range(NULL, region) END)',
		'types_value.spot GENERATED ALWAYS AS (ROW(region, note)::types_value.spot)') || ' STORED' $$;

-- A world's own types that change while tables have values of them.
CREATE FUNCTION types.make_changing() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM types_value.users WHERE type::text !~ '^types_value[.]';
	PERFORM types.run('CREATE TYPE types_world.shade AS ENUM (''light'', ''dark'')', false);
	PERFORM types.run('CREATE TYPE types_world.shaped AS (a int, b text, c types_world.shade)', false);
	PERFORM types.run('CREATE DOMAIN types_world.shaped_domain AS types_world.shaped', false);
	INSERT INTO types_value.users SELECT unnest('{types_world.shade,types_world.shaped,types_world.shaped_domain}'::regtype[]);
END $$;

-- One of these changes, in a transaction without payments: a label can be used once it is committed.
CREATE FUNCTION types.change_type() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	label text;
	attribute text;
	new text := types.some_name(types_value.upto(1000000));
BEGIN
	SELECT enumlabel INTO label FROM (SELECT enumlabel FROM pg_enum WHERE enumtypid = 'types_world.shade'::regtype ORDER BY enumsortorder) l ORDER BY random() LIMIT 1;
	SELECT attname INTO attribute FROM (SELECT attname FROM pg_attribute WHERE attrelid = 'types_world.shaped'::regclass AND attnum > 0 AND NOT attisdropped
		ORDER BY attnum) a ORDER BY random() LIMIT 1;
	CASE types_value.one_of('label', 'label', 'rename label', 'attribute', 'attribute', 'drop', 'rename')
		WHEN 'label' THEN
			PERFORM types.run(format('ALTER TYPE types_world.shade ADD VALUE %L %s %L', new, types_value.one_of('BEFORE', 'AFTER'), label), false);
		WHEN 'rename label' THEN
			PERFORM types.run(format('ALTER TYPE types_world.shade RENAME VALUE %L TO %L', label, new), false);
		WHEN 'attribute' THEN
			PERFORM types.run(format('ALTER TYPE types_world.shaped ADD ATTRIBUTE %I %s', new,
				types_value.one_of('int', 'text', 'jsonb', 'timestamptz', 'money', 'numeric(9,2)[]', 'types_value.holed', 'types_value.grid', 'types_world.shade')), false);
		WHEN 'drop' THEN
			IF attribute IS NOT NULL THEN
				PERFORM types.run(format('ALTER TYPE types_world.shaped DROP ATTRIBUTE %I', attribute), false);
			END IF;
		WHEN 'rename' THEN
			IF attribute IS NOT NULL THEN
				PERFORM types.run(format('ALTER TYPE types_world.shaped RENAME ATTRIBUTE %I TO %I', attribute, new), false);
			END IF;
	END CASE;
END $$;
