/*
 * kgwebhook--1.0.sql
 *
 * What CREATE EXTENSION makes.  Plain CREATE everywhere: an object that is
 * already there under one of our names belongs to another user, and the
 * install has to fail rather than adopt it.  Every name is qualified, every function
 * that runs SQL pins its search_path, and nothing is granted to PUBLIC except
 * the three functions that a receiver needs.
 *
 * Each table has a replica identity: where a publication has all tables, as tools
 * for change capture make one, PostgreSQL refuses to delete from one without.
 */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION kgwebhook CASCADE" to load this file. \quit

-- unqualified names below resolve to pg_catalog, whichever roles may create in the schema
SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);

CREATE SCHEMA kgwebhook;
COMMENT ON SCHEMA kgwebhook IS
  'kgwebhook: queue, delivery log and settings of the webhooks sent from this database';
