/*
 * kgwebhook--1.0--NEXT.sql
 *
 * What an upgrade script looks like, and what test/t/033_upgrade.pl upgrades
 * by: a new column, a new function, a view that shows more.  The test gives
 * it the name of the next version.  How to make a real one is told in
 * CONTRIBUTING.md.
 */

-- complain if script is sourced in psql, rather than via ALTER EXTENSION
\echo Use "ALTER EXTENSION kgwebhook UPDATE" to load this file. \quit

/* First: refuses when the server still runs the old library. */
SELECT kgwebhook.on_install();

/*
 * New columns go to the end, and NULL in them means what it meant before there
 * was such a column: the old library may still write the table.
 */
ALTER TABLE kgwebhook.queue ADD COLUMN next_note pg_catalog.text;
COMMENT ON COLUMN kgwebhook.queue.next_note IS 'a column that the next version adds';
ALTER TABLE kgwebhook.delivery_log ADD COLUMN next_note pg_catalog.text;
COMMENT ON COLUMN kgwebhook.delivery_log.next_note IS 'a column that the next version adds';

/* A function in C that the old library lacks. */
CREATE FUNCTION kgwebhook.next_library() RETURNS pg_catalog.text
    LANGUAGE c STABLE
    AS 'MODULE_PATHNAME', 'kg_next_library';
COMMENT ON FUNCTION kgwebhook.next_library() IS 'a function that the next version adds';
REVOKE ALL ON FUNCTION kgwebhook.next_library() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION kgwebhook.next_library() TO pg_monitor;

/*
 * A view keeps its columns and gets new ones at its end; grants stay.  A real
 * script spells the view out.
 */
DO $$
BEGIN
    EXECUTE pg_catalog.format(
        'CREATE OR REPLACE VIEW kgwebhook.stats AS
             SELECT s.*, (SELECT pg_catalog.count(next_note) FROM kgwebhook.queue) AS next_notes
               FROM (%s) s',
        pg_catalog.rtrim(pg_catalog.pg_get_viewdef('kgwebhook.stats'), ';'));
END
$$;
COMMENT ON COLUMN kgwebhook.stats.next_notes IS 'a column that the next version adds';
