--
-- kgwebhook.*: names, units, defaults; who may set them; what is refused.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set refused :abs_srcdir '/sql/include/refused.sql'
\set ECHO none
\i :refused
\set ECHO all
\t on
\a

SELECT name, unit, context, vartype, boot_val, min_val, max_val
  FROM pg_settings WHERE name LIKE 'kgwebhook.%' ORDER BY name COLLATE "C";

-- one engine serves the whole server: no session has a value of its own
SELECT pg_temp.refused('SET kgwebhook.allow_http = off');
SELECT pg_temp.refused('SET kgwebhook.workers = 2');
-- the prefix is ours: a misspelt name is an error
SELECT pg_temp.refused('SET kgwebhook.allow_htttp = on');

CREATE ROLE kgw_settings_user;
ALTER SYSTEM SET kgwebhook.max_in_flight = 0;
ALTER SYSTEM SET kgwebhook.retry_schedule = '5s,soon';
ALTER SYSTEM SET kgwebhook.allowed_networks = '10.0.0.0/33';
ALTER SYSTEM SET kgwebhook.allowed_ports = '443,0';
ALTER SYSTEM SET kgwebhook.retry_jitter = 1.5;
-- version 18 words this in another way
\set VERBOSITY sqlstate
ALTER SYSTEM SET kgwebhook.connect_timeout = '1ms';
\set VERBOSITY default
SET ROLE kgw_settings_user;
ALTER SYSTEM SET kgwebhook.enabled = on;
RESET ROLE;
DROP ROLE kgw_settings_user;
