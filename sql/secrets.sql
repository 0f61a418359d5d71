--
-- Secrets: made here and shown once, or agreed elsewhere; for the owner's eyes.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set refused :abs_srcdir '/sql/include/refused.sql'
\set ECHO none
\i :refused
\set ECHO all
\t on
\a
BEGIN;
DELETE FROM kgwebhook.secret;

-- "whsec_" and 32 bytes in base64, as Standard Webhooks has it
SELECT kg_create_secret() AS made \gset
SELECT :'made' ~ '^whsec_[A-Za-z0-9+/]+={0,2}$' AS shape,
       length(decode(substr(:'made', 7), 'base64')) AS bytes;
SELECT org_id, secret = :'made' AS as_issued, created_at = now() AS now FROM kgwebhook.secret;
-- no two are the same
SELECT count(DISTINCT kg_create_secret('org ' || n)) FROM generate_series(1, 20) n;

-- a second one would break the receivers of the first
SELECT pg_temp.refused('SELECT kg_create_secret()');
SELECT pg_temp.refused('SELECT kg_create_secret(''org 7'')');
SELECT secret = :'made' AS untouched FROM kgwebhook.secret WHERE org_id = 'default';

-- one that was agreed elsewhere, as it is
SELECT kg_set_secret('acme', 'a secret of at least 24 bytes');
SELECT kg_set_secret('acme', ' another, spaces and all, é ');
SELECT kg_set_secret('default', 'whsec_in place of the one made');
SELECT org_id, '<' || secret || '>' FROM kgwebhook.secret WHERE org_id IN ('acme', 'default') ORDER BY org_id;
SELECT pg_temp.refused('SELECT kg_create_secret(''acme'')');

-- a short one is taken, since the other side may have chosen it, with a warning
SELECT kg_set_secret('short', 'hunter2');
SELECT kg_set_secret('short', repeat('x', 24));

-- where statements are logged, the caller is told
SET log_statement = 'all';
SELECT kg_set_secret('acme', 'logged as it stands, and 24 bytes');
SET log_statement = 'mod';
SET log_min_duration_statement = 0;
SELECT kg_set_secret('acme', 'logged as it stands, and 24 bytes');
RESET log_min_duration_statement;
SELECT kg_set_secret('acme', 'not logged, and of 24 bytes');
RESET log_statement;
SELECT kg_set_secret('acme', ' another, spaces and all, é ');

-- mistakes
SELECT pg_temp.refused('SELECT kg_set_secret(''acme'', '''')');
SELECT pg_temp.refused('SELECT kg_set_secret('''', ''a secret of at least 24 bytes'')');
SELECT pg_temp.refused('SELECT kg_set_secret(NULL, ''a secret of at least 24 bytes'')');
SELECT pg_temp.refused('SELECT kg_set_secret(''acme'', NULL)');
SELECT pg_temp.refused('SELECT kg_set_secret(''acme'', repeat(''x'', 513))');
SELECT pg_temp.refused('SELECT kg_set_secret(repeat(''o'', 256), ''a secret of at least 24 bytes'')');
SELECT pg_temp.refused('SELECT kg_create_secret('''')');
SELECT pg_temp.refused('SELECT kg_create_secret(NULL)');
SELECT kg_set_secret(repeat('o', 255), repeat('x', 512));
SELECT '<' || secret || '>' FROM kgwebhook.secret WHERE org_id = 'acme';

--
-- Rotation
--
SELECT kg_set_secret('acme', 'the old secret, of 24 bytes');
SELECT kg_rotate_secret('acme') AS rotated \gset
SELECT :'rotated' ~ '^whsec_[A-Za-z0-9+/]+={0,2}$' AS shape;
SELECT secret, next_secret = :'rotated' AS returned, date_trunc('second', activates_at) = activates_at AS whole,
       activates_at - clock_timestamp() BETWEEN '23:59' AND '24:00' AS activates,
       retires_at - activates_at AS kept, created_at = now() AS now, encrypted
  FROM kgwebhook.secret WHERE org_id = 'acme';
-- one at a time
SELECT regexp_replace(pg_temp.refused('SELECT kg_rotate_secret(''acme'')'), 'body from .*', 'body from <time>');
SELECT pg_temp.refused('SELECT kg_create_secret(''acme'')');
SELECT next_secret = :'rotated' AS untouched FROM kgwebhook.secret WHERE org_id = 'acme';
-- what was agreed elsewhere ends it
SELECT kg_set_secret('acme', 'agreed in a hurry, 24 bytes');
SELECT secret, next_secret, activates_at, retires_at FROM kgwebhook.secret WHERE org_id = 'acme';
-- at once; and with nothing kept
SELECT kg_rotate_secret('acme', '0', '1 hour') AS second \gset
SELECT activates_at <= clock_timestamp() AS active, retires_at - activates_at AS kept FROM kgwebhook.secret WHERE org_id = 'acme';
UPDATE kgwebhook.secret SET activates_at = now() - interval '2 hours', retires_at = now() - interval '1 hour' WHERE org_id = 'acme';
-- one that has ended is where the next begins
SELECT kg_rotate_secret('acme', keep_old => '0') AS third \gset
SELECT secret = :'second' AS second, next_secret = :'third' AS third, activates_at = retires_at AS at_once
  FROM kgwebhook.secret WHERE org_id = 'acme';
UPDATE kgwebhook.secret SET next_secret = NULL WHERE org_id = 'acme';
SELECT kg_rotate_secret('acme', '1.9 seconds', '1.9 seconds') IS NOT NULL AS made;
SELECT retires_at - activates_at AS whole_seconds FROM kgwebhook.secret WHERE org_id = 'acme';
UPDATE kgwebhook.secret SET next_secret = NULL WHERE org_id = 'acme';
-- taken back: before the activation, after it, and too late
SELECT kg_set_secret('acme', 'the old secret, of 24 bytes');
SELECT kg_rotate_secret('acme') IS NOT NULL AS made;
SELECT kg_cancel_rotation('acme');
SELECT secret, next_secret, activates_at, retires_at FROM kgwebhook.secret WHERE org_id = 'acme';
SELECT kg_rotate_secret('acme', '0') IS NOT NULL AS made;
SELECT kg_cancel_rotation('acme');
SELECT secret, next_secret, activates_at, retires_at FROM kgwebhook.secret WHERE org_id = 'acme';
SELECT pg_temp.refused('SELECT kg_cancel_rotation(''acme'')');
SELECT kg_rotate_secret('acme', '0', '0') IS NOT NULL AS made;
SELECT pg_temp.refused('SELECT kg_cancel_rotation(''acme'')');
SELECT pg_temp.refused(format('SELECT kg_cancel_rotation(%L)', o)) FROM unnest(ARRAY['', 'nobody', NULL]) o;
UPDATE kgwebhook.secret SET next_secret = NULL, activates_at = NULL, retires_at = NULL WHERE org_id = 'acme';

-- told apart without being seen
SELECT kg_set_secret('twin', 'the old secret, of 24 bytes');
SELECT kg_rotate_secret('twin') AS next \gset
SELECT org_id, secret, fingerprint ~ '^[0-9a-f]{12}$' AS shape, signs_from IS NOT NULL AS from, signs_until IS NOT NULL AS until, encrypted
  FROM kg_fingerprints() WHERE org_id IN ('acme', 'twin');
SELECT count(DISTINCT fingerprint) FROM kg_fingerprints() WHERE org_id IN ('acme', 'twin');
SELECT secret, fingerprint = kg_fingerprint('the old secret, of 24 bytes') AS old, fingerprint = kg_fingerprint(:'next') AS next
  FROM kg_fingerprints('twin');
SELECT count(*) FROM kg_fingerprints('nobody');
SELECT pg_temp.refused('SELECT kg_fingerprint(NULL)');
SET log_statement = 'all';
SELECT kg_fingerprint('logged as it stands') ~ '^[0-9a-f]{12}$' AS shape;
SET log_statement = 'mod';
DELETE FROM kgwebhook.secret WHERE org_id = 'twin';

-- mistakes
SELECT pg_temp.refused('SELECT kg_rotate_secret(''acme'', ''-1 second'')');
SELECT pg_temp.refused('SELECT kg_rotate_secret(''acme'', keep_old => ''1 day -25 hours'')');
SELECT pg_temp.refused('SELECT kg_rotate_secret(''acme'', ''1000000 years'')');
SELECT pg_temp.refused('SELECT kg_rotate_secret(''acme'', NULL)');
SELECT pg_temp.refused('SELECT kg_rotate_secret(''acme'', ''1 day'', NULL)');
SELECT pg_temp.refused('SELECT kg_rotate_secret(NULL)');
SELECT pg_temp.refused('SELECT kg_rotate_secret('''')');
SELECT pg_temp.refused('SELECT kg_rotate_secret(''nobody'')');
SELECT pg_temp.refused('SELECT kg_encrypt_secrets()');

-- an organization that has none: a test is refused with the way out
SELECT pg_temp.refused('SELECT kg_send_test(''https://merchant.example/'', ''nobody'')');

ROLLBACK;
SET log_transaction_sample_rate = 1;
BEGIN;
SELECT kg_set_secret('acme', 'logged as it stands, and 24 bytes');
ROLLBACK;
RESET log_transaction_sample_rate;
SELECT count(*) FROM kgwebhook.secret;

-- nobody else reads them, not even who monitors
CREATE ROLE kgw_secrets_user;
GRANT pg_monitor TO kgw_secrets_user;
SET ROLE kgw_secrets_user;
SELECT pg_temp.refused('SELECT secret FROM kgwebhook.secret');
SELECT pg_temp.refused('SELECT count(*) FROM kgwebhook.secret');
SELECT pg_temp.refused('SELECT kg_create_secret()');
SELECT pg_temp.refused('SELECT kg_set_secret(''a'', ''b'')');
SELECT pg_temp.refused('SELECT kg_rotate_secret()');
SELECT pg_temp.refused('SELECT kg_encrypt_secrets()');
SELECT pg_temp.refused('SELECT kg_cancel_rotation(''a'')');
SELECT pg_temp.refused('SELECT kg_fingerprint(''a'')');
SELECT pg_temp.refused('SELECT count(*) FROM kg_fingerprints()');
RESET ROLE;

-- who may make secrets need not be able to read them
GRANT EXECUTE ON FUNCTION kg_create_secret(text), kg_set_secret(text, text) TO kgw_secrets_user;
SET ROLE kgw_secrets_user;
BEGIN;
SELECT kg_create_secret('granted') ~ '^whsec_' AS made;
SELECT kg_set_secret('granted', 'a secret of at least 24 bytes');
SELECT pg_temp.refused('SELECT secret FROM kgwebhook.secret');
ROLLBACK;
RESET ROLE;
DROP OWNED BY kgw_secrets_user;
DROP ROLE kgw_secrets_user;
