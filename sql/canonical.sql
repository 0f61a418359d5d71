--
-- kg_canonical_json(): RFC 8785 (JCS), and what it refuses.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set refused :abs_srcdir '/sql/include/refused.sql'
\set ECHO none
\i :refused
\set ECHO all
\t on
\a

-- RFC 8785, 3.2.2: the sample document
SELECT kg_canonical_json($${
  "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
  "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
  "literals": [null, true, false]
}$$);
-- ... its bytes, 3.2.4
SELECT encode(convert_to(kg_canonical_json($${
  "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
  "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
  "literals": [null, true, false]
}$$), 'UTF8'), 'hex') =
       '7b226c69746572616c73223a5b6e756c6c2c747275652c66616c73655d2c226e756d'
       '62657273223a5b3333333333333333332e333333333333332c31652b33302c342e35'
       '2c302e3030322c31652d32375d2c22737472696e67223a22e282ac245c75303030665c6e4127425c225c5c5c5c5c222f227d'
       AS bytes_of_3_2_4;

-- 3.2.3: names sort by UTF-16 code units, so U+1F600 comes before U+FB33
SELECT kg_canonical_json($${
  "\u20ac": "Euro Sign",
  "\r": "Carriage Return",
  "\ufb33": "Hebrew Letter Dalet With Dagesh",
  "1": "One",
  "\ud83d\ude00": "Emoji: Grinning Face",
  "\u0080": "Control",
  "\u00f6": "Latin Small Letter O With Diaeresis"
}$$)::jsonb = $${
  "\u20ac": "Euro Sign", "\r": "Carriage Return", "1": "One",
  "\ufb33": "Hebrew Letter Dalet With Dagesh",
  "\ud83d\ude00": "Emoji: Grinning Face", "\u0080": "Control",
  "\u00f6": "Latin Small Letter O With Diaeresis"
}$$::jsonb AS same_document;
SELECT string_agg(m[1], ' < ' ORDER BY n)
  FROM regexp_matches(kg_canonical_json($${
  "\u20ac": "Euro Sign",
  "\r": "Carriage Return",
  "\ufb33": "Hebrew Letter Dalet With Dagesh",
  "1": "One",
  "\ud83d\ude00": "Emoji: Grinning Face",
  "\u0080": "Control",
  "\u00f6": "Latin Small Letter O With Diaeresis"
}$$), ':"([^"]*)"', 'g') WITH ORDINALITY AS x(m, n);
-- jsonb has an order of its own, by length first
SELECT kg_canonical_json('{"b":1,"a":2,"aa":3,"":4,"B":5,"10":6,"9":7}');

-- appendix B: numbers, as far as jsonb can hold them
SELECT n, kg_canonical_json(n::jsonb)
  FROM unnest(ARRAY['0', '-0', '5e-324', '-5e-324', '1.7976931348623157e308',
                    '-1.7976931348623157e308', '9007199254740992',
                    '-9007199254740992', '295147905179352830000',
                    '9.999999999999997e22', '1e23', '1.0000000000000001e23',
                    '999999999999999700000', '999999999999999900000', '1e21',
                    '9.999999999999997e-7', '0.000001', '333333333.3333332',
                    '333333333.33333325', '333333333.3333333',
                    '333333333.3333334', '333333333.33333343',
                    '-0.0000033333333333333333', '1424953923781206.2']) n;
SELECT n, kg_canonical_json(n::jsonb)
  FROM unnest(ARRAY['1.0', '300.00', '1e0', '100', '1e20', '123456789012345680000',
                    '0.1', '1e-7', '1.5e300', '-1.10']) n;

-- any value will do
SELECT v, kg_canonical_json(v::jsonb)
  FROM unnest(ARRAY['null', 'true', '"a"', '[]', '{}', '[[],{}]', '{"":""}']) v;

-- strings: what must be escaped is, in the shortest way; nothing else is
SELECT kg_canonical_json('"\b\t\n\f\r\u0001\u001f\"\\\/ <>&'' \u00e9 \ud83d\ude02"');
SELECT kg_canonical_json('"\u007f\u0080\u2028"') = U&'"\007F\0080\2028"' AS as_they_are;

-- unicode isn't normalized
SELECT octet_length(kg_canonical_json('"A\u030a"')), octet_length(kg_canonical_json('"\u00c5"'));

-- the form is a fixed point
SELECT kg_canonical_json(kg_canonical_json(d)::jsonb) = kg_canonical_json(d)
  FROM (VALUES ('{"z":[1e23,{"y":null,"x":"\u00e9"}],"a":0.1}'::jsonb)) v(d);

SELECT kg_canonical_json(NULL) IS NULL;

-- what a double can't hold exactly is refused, never rounded
SELECT pg_temp.refused($$SELECT kg_canonical_json('9007199254740993')$$);
SELECT pg_temp.refused($$SELECT kg_canonical_json('{"order":{"id":12345678901234567890}}')$$);
SELECT pg_temp.refused($$SELECT kg_canonical_json('{"a/b":[{"~":1e400}]}')$$);
SELECT pg_temp.refused($$SELECT kg_canonical_json('[0, -1e-400]')$$);
SELECT pg_temp.refused($$SELECT kg_canonical_json('0.1000000000000000000001')$$);
SELECT pg_temp.refused($$SELECT kg_canonical_json('{"\u0085\n": 9007199254740993}')$$);
SELECT pg_temp.refused(format('SELECT kg_canonical_json(%L)', '{"' || repeat('long', 100) || '":9007199254740993}'));

-- depth and size have a limit that the error names
SELECT length(kg_canonical_json((repeat('[', 512) || repeat(']', 512))::jsonb));
SELECT pg_temp.refused(format('SELECT kg_canonical_json(%L)', repeat('[', 513) || repeat(']', 513)));
SELECT length(kg_canonical_json(to_jsonb(repeat('x', 1048574))));
SELECT pg_temp.refused('SELECT kg_canonical_json(to_jsonb(repeat(''x'', 1048575)))');
-- short as jsonb, too long when written out
SELECT pg_temp.refused('SELECT kg_canonical_json((''['' || repeat(''1e20,'', 50000) || ''1]'')::jsonb)');
