-- For 017_heavy.pl: rows of table t at random, whose values are huge, long, deep
-- or many.  Each goes into table u first, which is like t and not watched; what it
-- takes, t has to take.
CREATE TABLE differs (id text, message text);

CREATE FUNCTION pick(VARIADIC choices anyarray) RETURNS anyelement LANGUAGE sql VOLATILE AS
$$ SELECT choices[1 + floor(random() * cardinality(choices))::int] $$;

CREATE FUNCTION upto(most int) RETURNS int LANGUAGE sql VOLATILE AS
$$ SELECT floor(most ^ random())::int $$;

CREATE FUNCTION a_number() RETURNS text LANGUAGE sql VOLATILE AS
$$ SELECT pick('0', '-0.10', '1', '12345678901234567890', '1.' || repeat('0', upto(16000)), '1e' || upto(400), '-1e' || upto(131071),
	'1e-' || upto(16383), '0.' || repeat('0', upto(16000)) || '1', repeat('9', upto(5000)), upto(131071) || 'e' || upto(100)) $$;

CREATE FUNCTION a_string() RETURNS text LANGUAGE sql VOLATILE AS
$$ SELECT pick('', 'x', repeat('x', upto(2000000)), repeat(E'\x01', upto(500000)), repeat(U&'\+01F602', upto(200000)), repeat('"\', upto(400000))) $$;

CREATE FUNCTION a_document(depth int) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	n int := CASE WHEN depth > 2 THEN 0 ELSE upto(6) END;
BEGIN
	CASE floor(random() * 9)::int
		WHEN 0 THEN RETURN a_number();
		WHEN 1 THEN RETURN to_json(a_string());
		WHEN 2 THEN RETURN pick('null', 'true', '[]', '{}', '""');
		WHEN 3 THEN
			n := upto(14400);
			RETURN repeat('[', n) || repeat(']', n);
		WHEN 4 THEN
			n := upto(7000);
			RETURN repeat('{"a":', n) || a_number() || repeat('}', n);
		WHEN 5 THEN RETURN '[' || a_number() || repeat(',' || a_number(), upto(9000)) || ']';
		WHEN 6 THEN RETURN (SELECT json_object_agg('k' || i || repeat('x', upto(30)), i) FROM generate_series(1, upto(60000)) i);
		WHEN 7 THEN RETURN (SELECT '[' || string_agg(a_document(depth + 1), ',') || ']' FROM generate_series(0, n));
		ELSE RETURN (SELECT '{' || string_agg(format('"m%s":%s', i, a_document(depth + 1)), ',') || '}' FROM generate_series(0, n) i);
	END CASE;
END $$;

CREATE FUNCTION a_list() RETURNS numeric[] LANGUAGE sql VOLATILE AS
$$ SELECT array_fill(a_number()::numeric, ARRAY[upto(20000)]) || ARRAY[NULL, a_number()::numeric, 'NaN'] $$;

CREATE FUNCTION a_query() RETURNS tsquery LANGUAGE sql VOLATILE AS
$$ SELECT (repeat('!(', n) || 'a' || repeat(')', n))::tsquery FROM (SELECT upto(3000)) s(n) $$;

CREATE PROCEDURE fuzz(rows int, url text) LANGUAGE plpgsql AS $$
DECLARE
	made t;
BEGIN
	FOR i IN 1..rows LOOP
		made := NULL;
		made.id := 'fuzz' || i;
		BEGIN
			made.status := 'new';
			made.callback_url := url;
			CASE floor(random() * 9)::int
				WHEN 0 THEN made.j := a_document(0);
				WHEN 1 THEN made.l := a_document(0);
				WHEN 2 THEN made.n := a_number();
				WHEN 3 THEN made.a := a_list();
				WHEN 4 THEN made.c := ROW(a_number(), a_list(), a_string());
				WHEN 5 THEN made.ca := array_fill(ROW(a_number(), a_list(), 'x')::money_of, ARRAY[upto(50)]);
				WHEN 6 THEN made.s := a_string();
				WHEN 7 THEN made.r := numrange(NULL, abs(a_number()::numeric));
				ELSE made.q := a_query(); made.j := a_document(1); made.n := a_number();
			END CASE;
			INSERT INTO u SELECT made.*;
		EXCEPTION WHEN OTHERS THEN
			CONTINUE;			-- nobody's table wouldn't have it either
		END;
		BEGIN
			INSERT INTO t SELECT made.*;
		EXCEPTION WHEN OTHERS THEN
			INSERT INTO differs VALUES (made.id, SQLERRM);
		END;
		COMMIT;
	END LOOP;
END $$;
