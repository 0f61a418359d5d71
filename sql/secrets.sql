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

-- an organisation that has none: a test is refused with the way out
SELECT pg_temp.refused('SELECT kg_send_test(''https://merchant.example/'', ''nobody'')');

ROLLBACK;
SELECT count(*) FROM kgwebhook.secret;

-- nobody else reads them, not even who monitors
CREATE ROLE kgw_secrets_user;
GRANT pg_monitor TO kgw_secrets_user;
SET ROLE kgw_secrets_user;
SELECT pg_temp.refused('SELECT secret FROM kgwebhook.secret');
SELECT pg_temp.refused('SELECT count(*) FROM kgwebhook.secret');
SELECT pg_temp.refused('SELECT kg_create_secret()');
SELECT pg_temp.refused('SELECT kg_set_secret(''a'', ''b'')');
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
