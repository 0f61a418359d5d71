--
-- test/types/types.sql
--	Tables with columns of all types, and payments in them, at random; see README.md.
--
-- Variables: seed of the first world, seconds.
--
\set ON_ERROR_STOP on
\set QUIET on
SET client_min_messages = error;
\ir values.sql
\ir oracle.sql
\ir world.sql
\ir shapes.sql
\ir statements.sql
SET statement_timeout = '60s';
SET types.messages = 'warning';
SET client_min_messages = warning;


\set ON_ERROR_STOP off
\pset format unaligned
\pset tuples_only on
SELECT clock_timestamp() + make_interval(secs => :seconds) AS until \gset
SELECT format('CALL types.world(%s, %L)', :seed + i, :'until') FROM generate_series(0, 99999) i \gexec
SELECT '# ' || (SELECT count(*) FROM types.started) || ' worlds, ' || transactions || ' transactions, ' || prepared || ' of them prepared, '
       || statements || ' statements, ' || copies || ' of them COPY, ' || deliveries || ' deliveries'
  FROM types.counted;

-- A world that did not end well is gone through once more, and tells what it does.
SELECT min(seed) AS failed FROM types.started WHERE NOT ended \gset
\if :{?failed}
\echo FOUND in the world of SEED=:failed
SELECT 'FOUND ' || what FROM types.finding;
TRUNCATE types.finding, types.started;
SET types.messages = 'notice';
SET client_min_messages = notice;
CALL types.world(:failed, 'infinity');
SELECT 'FOUND ' || what FROM types.finding;
\endif
