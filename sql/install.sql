--
-- CREATE EXTENSION where someone was before us: it fails and says why, or takes
-- no harm.  All of it is taken back again.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set refused :abs_srcdir '/sql/include/refused.sql'
\set ECHO none
\i :refused
\set ECHO all
\t on
\a
CREATE ROLE kgw_mallory;
CREATE ROLE kgw_readers;
SET client_min_messages = warning;
BEGIN;
DROP EXTENSION kgwebhook;
GRANT CREATE ON SCHEMA public TO kgw_mallory;
GRANT CREATE ON DATABASE :DBNAME TO kgw_mallory;

-- a schema of the name, whatever is in it
SET ROLE kgw_mallory;
CREATE SCHEMA kgwebhook;
CREATE TABLE kgwebhook.secret (org_id text, secret text);
RESET ROLE;
SELECT pg_temp.refused('CREATE EXTENSION kgwebhook');
DROP SCHEMA kgwebhook CASCADE;

-- a function with one of our names, with our arguments or with others
SET ROLE kgw_mallory;
CREATE FUNCTION public.kg_create_secret(org_id text DEFAULT 'default') RETURNS text LANGUAGE sql AS 'SELECT ''known''';
RESET ROLE;
SELECT pg_temp.refused('CREATE EXTENSION kgwebhook');
DROP FUNCTION public.kg_create_secret(text);
SET ROLE kgw_mallory;
CREATE FUNCTION public.kg_watch(relation text) RETURNS void LANGUAGE sql AS '';
RESET ROLE;
SELECT pg_temp.refused('CREATE EXTENSION kgwebhook');
DROP FUNCTION public.kg_watch(text);

-- operators, functions, types and tables in the schema that it goes to
SET ROLE kgw_mallory;
CREATE FUNCTION public.trap_text(text, text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$;
CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = public.trap_text);
CREATE OPERATOR public.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = public.trap_text);
CREATE FUNCTION public.now() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$;
CREATE FUNCTION public.format(text, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$;
CREATE FUNCTION public.format(text, name) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$;
CREATE FUNCTION public.pg_extension_config_dump(regclass, text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$;
CREATE DOMAIN public.regclass AS text;
CREATE TABLE public.pg_extension (oid oid, extname name);
CREATE TABLE public.queue (delivery_id int);
CREATE TABLE public.watch (relation int);
RESET ROLE;
CREATE EXTENSION kgwebhook;
SELECT count(*) FROM kgwebhook.queue;
SELECT state FROM kgwebhook.deliveries;
SELECT destination FROM kgwebhook.destinations WHERE pending > 0;
SELECT queue_depth FROM kgwebhook.stats;
SELECT kg_pause(), kg_resume();
DROP EXTENSION kgwebhook;

-- what default privileges would give away
ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO kgw_readers;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO kgw_readers;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO kgw_readers;
ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO kgw_readers;
CREATE EXTENSION kgwebhook;
SELECT c.oid::pg_catalog.regclass FROM pg_catalog.pg_class c
 WHERE relnamespace = 'kgwebhook'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')
   AND has_table_privilege('kgw_readers', c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE');
SELECT has_schema_privilege('kgw_readers', 'kgwebhook', 'USAGE');
SELECT proname FROM pg_proc WHERE (pronamespace = 'kgwebhook'::regnamespace OR proname LIKE 'kg\_%')
   AND has_function_privilege('kgw_readers', oid, 'EXECUTE')
 ORDER BY proname COLLATE "C";
ROLLBACK;
SELECT count(*) FROM pg_extension WHERE extname = 'kgwebhook';
DROP ROLE kgw_mallory, kgw_readers;
