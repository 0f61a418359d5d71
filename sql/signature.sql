--
-- kg_sign() and kg_verify(), held against pgcrypto's hmac().
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set refused :abs_srcdir '/sql/include/refused.sql'
\set ECHO none
\i :refused
\set ECHO all
\t on
\a

CREATE TEMP TABLE payload AS SELECT $${
  "payment_intent_id": "pi_1", "status": "success", "payment_chain_id": "1",
  "symbol": "USDT", "fiat_amount": "300.0", "fiat_currency": "USD",
  "crypto_amount": "300.0", "received_crypto_amount": null,
  "payment_tx_hash": "0xabc", "order_data": {"z": [1, 2.50], "\u00e9": "\ud83d\ude02"},
  "callback_url": "https://merchant.example/hook", "timestamp": 1700000000
}$$::jsonb AS p;
\set secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw

-- a body, to be read
SELECT kg_sign(p, :'secret') FROM payload;

-- by the definition: the canonical form with its final "}" replaced by the
-- signature, which is HMAC-SHA256 of that form
SELECT kg_sign(p, :'secret') =
       left(c, -1) || ',"signature":"' ||
       encode(hmac(convert_to(c, 'UTF8'), convert_to(:'secret', 'UTF8'), 'sha256'), 'hex') || '"}'
       AS as_pgcrypto_says
  FROM payload, kg_canonical_json(p) c;

-- as a receiver without a JSON library checks it: cut the last 80 bytes, put
-- "}" back, and HMAC what is left
SELECT convert_from(substr(body, length(body) - 79), 'UTF8') ~ '^,"signature":"[0-9a-f]{64}"\}$' AS tail,
       encode(hmac(substr(body, 1, length(body) - 80) || '\x7d', convert_to(:'secret', 'UTF8'), 'sha256'), 'hex')
         = convert_from(substr(body, length(body) - 65, 64), 'UTF8') AS verifies
  FROM payload, convert_to(kg_sign(p, :'secret'), 'UTF8') body;

-- secrets of every length, and one that isn't ASCII: the key is its bytes
SELECT n, right(kg_sign('{"timestamp":1}', repeat('k', n)), 66) =
          encode(hmac('{"timestamp":1}', repeat('k', n), 'sha256'), 'hex') || '"}' AS same
  FROM unnest(ARRAY[1, 31, 32, 63, 64, 65, 128, 1000]) n;
SELECT right(kg_sign('{"timestamp":1}', 'schlüssel'), 66) =
       encode(hmac('{"timestamp":1}'::bytea, convert_to('schlüssel', 'UTF8'), 'sha256'), 'hex') || '"}' AS same;

-- the payload's timestamp decides; without one it is stamped now
SELECT kg_sign('{"timestamp":0}', 's'), kg_sign('{"timestamp":-5}', 's') ~ '^{"timestamp":-5,';
BEGIN;
SELECT (kg_sign('{"a":1}', 's')::jsonb ->> 'timestamp')::int8 = floor(extract(epoch FROM now())) AS stamped_now,
       (kg_sign('{"timestamp":null}', 's')::jsonb ->> 'timestamp')::int8 = floor(extract(epoch FROM now())) AS null_too,
       kg_verify(kg_sign('{"a":1}', 's'), 's') AS answer;
COMMIT;
-- a signature that is there already is replaced
SELECT kg_sign('{"timestamp":1,"signature":"mine","a":[{"signature":"stays"}]}', 's') =
       kg_sign('{"timestamp":1,"a":[{"signature":"stays"}]}', 's') AS replaced;

SELECT kg_sign(NULL, 's') IS NULL, kg_sign('{}', NULL) IS NULL;
SELECT pg_temp.refused($$SELECT kg_sign('{"timestamp":1.5}', 's')$$);
SELECT pg_temp.refused($$SELECT kg_sign('{"timestamp":"1700000000"}', 's')$$);
SELECT pg_temp.refused($$SELECT kg_sign('[1]', 's')$$);
SELECT pg_temp.refused($$SELECT kg_sign('"text"', 's')$$);
SELECT pg_temp.refused($$SELECT kg_sign('{"a":9007199254740993}', 's')$$);
SELECT pg_temp.refused($$SELECT kg_sign('{"timestamp":9007199254740993}', 's')$$);
SELECT pg_temp.refused($$SELECT kg_sign('{}', '')$$);

--
-- kg_verify()
--
SELECT kg_sign('{"a":1,"b":{"c":2},"timestamp":1700000000}', 'topsecret') AS body \gset
\set at '2023-11-14 22:13:20+00'

SELECT kg_verify(:'body', 'topsecret', at => :'at');
-- now is years later
SELECT kg_verify(:'body', 'topsecret');
SELECT kg_verify(:'body', 'topsecret', '1000 years');

-- the window: five minutes either way, the limit included; a stamp is whole
-- seconds, so the fraction of the clock's is in the receiver's favor
SELECT seconds, kg_verify(:'body', 'topsecret', at => timestamptz :'at' + seconds * interval '1 second')
  FROM unnest(ARRAY[-301, -300.000001, -300, 0, 299.999999, 300, 300.999999, 301]) seconds;
SELECT kg_verify(:'body', 'topsecret', '10 seconds', timestamptz :'at' + '10 seconds'),
       kg_verify(:'body', 'topsecret', '10 seconds', timestamptz :'at' + '11 seconds'),
       kg_verify(:'body', 'topsecret', '0', :'at'),
       kg_verify(:'body', 'topsecret', '0', timestamptz :'at' + '1 second'),
       kg_verify(:'body', 'topsecret', '0', timestamptz :'at' - interval '1 second'),
       kg_verify(:'body', 'topsecret', '5 minutes', 'infinity'),
       kg_verify(:'body', 'topsecret', '5 minutes', '-infinity');

-- any serialization of the same values verifies
SELECT kg_verify(:'body'::jsonb::text, 'topsecret', at => :'at') AS jsonb_text,
       kg_verify(jsonb_pretty(:'body'), 'topsecret', at => :'at') AS pretty,
       kg_verify(E' \r\n\t' || :'body' || E'\n', 'topsecret', at => :'at') AS white_space,
       kg_verify(replace(:'body', '"a":1,', '"\u0061":1.0e0,'), 'topsecret', at => :'at') AS other_spelling;

-- wrong signature: another secret, another value, another member, upper case,
-- cut, not even a string
SELECT kg_verify(:'body', 'Topsecret', at => :'at') AS secret,
       kg_verify(replace(:'body', '"a":1', '"a":2'), 'topsecret', at => :'at') AS value,
       kg_verify(replace(:'body', '1700000000', '1700000001'), 'topsecret', at => :'at') AS stamp,
       kg_verify(replace(:'body', '"a":1,', ''), 'topsecret', at => :'at') AS less,
       kg_verify(replace(:'body', '"a":1,', '"a":1,"aa":1,'), 'topsecret', at => :'at') AS more;
SELECT kg_verify(regexp_replace(:'body', '[0-9a-f]{64}', upper(substring(:'body' FROM '[0-9a-f]{64}'))), 'topsecret', at => :'at') AS upper_case,
       kg_verify(regexp_replace(:'body', '[0-9a-f]"}$', '"}'), 'topsecret', at => :'at') AS cut,
       kg_verify(regexp_replace(:'body', '"[0-9a-f]{64}"', '""'), 'topsecret', at => :'at') AS empty,
       kg_verify(regexp_replace(:'body', '"[0-9a-f]{64}"', '5'), 'topsecret', at => :'at') AS number,
       kg_verify(regexp_replace(:'body', '"[0-9a-f]{64}"', 'null'), 'topsecret', at => :'at') AS null;
-- the signature is judged before the age
SELECT kg_verify(:'body', 'Topsecret');

SELECT kg_verify('{"timestamp":1700000000}', 's'), kg_verify('{}', 's'),
       kg_verify('{"a":{"signature":"00"},"timestamp":1}', 's');

-- malformed: no JSON, no object, a name twice, a number nobody can hold, no
-- time, half a surrogate, too deep
SELECT kg_verify(body, 's'), left(body, 40) AS body
  FROM (VALUES (''), (' '), ('{'), ('null'), ('[]'), ('"{}"'), ('{"a":1,}'), ('{} {}'), ('{''a'':1}'),
               ('{"a":1,"a":1,"timestamp":1,"signature":"00"}'),
               ('{"timestamp":1,"timestamp":1,"signature":"00"}'),
               ('{"timestamp":1,"signature":"00","signature":"00"}'),
               ('{"a":1e400,"timestamp":1,"signature":"00"}'),
               ('{"signature":"00"}'), ('{"timestamp":"1","signature":"00"}'),
               ('{"timestamp":1.5,"signature":"00"}'),
               ('{"a":"\ud800","timestamp":1,"signature":"00"}'),
               ('{"a":01,"timestamp":1,"signature":"00"}'),
               (repeat('[', 100000))) v(body);
-- a NUL is no character of jsonb's, but it is one of JSON's
SELECT kg_verify('{"a":"\u0000","timestamp":1,"signature":"00"}', 's');
-- ages beyond what a timestamp can tell
SELECT t, kg_verify(kg_sign(format('{"timestamp":%s}', t)::jsonb, 's'), 's', at => :'at')
  FROM unnest(ARRAY[0, -1, -210866803200, 253402300800, 9007199254740992, -9007199254740992]) t;
SELECT kg_verify(NULL, 's') IS NULL, kg_verify('{}', NULL) IS NULL;
SELECT pg_temp.refused($$SELECT kg_verify('{"timestamp":1,"signature":"00"}', '')$$);
