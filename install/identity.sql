/*
 * install/identity.sql
 *		Which database this is, so that a copy of it sends nothing.
 */

/*
 * Which database this is: not one row but any number, because a restore adds the
 * original's to the one that is written here, and both have to be seen.
 */
CREATE TABLE kgwebhook.instance (
    system_identifier pg_catalog.int8 NOT NULL,
    database          pg_catalog.oid NOT NULL,
    recorded_at       pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now(),
    adopted_after     pg_catalog.int8 NOT NULL DEFAULT 0
);

ALTER TABLE kgwebhook.instance REPLICA IDENTITY FULL;
COMMENT ON TABLE kgwebhook.instance IS
  'identity of this database; a copy has its original''s row and waits for kg_adopt()';
COMMENT ON COLUMN kgwebhook.instance.system_identifier IS 'system identifier of the server, from pg_control_system()';
COMMENT ON COLUMN kgwebhook.instance.database IS 'OID of the database';
COMMENT ON COLUMN kgwebhook.instance.adopted_after IS 'the last attempt that was logged before kg_adopt(): by another server, whose transaction IDs it has';
COMMENT ON COLUMN kgwebhook.instance.recorded_at IS 'when CREATE EXTENSION or kg_adopt() wrote this';

CREATE FUNCTION kgwebhook.origin() RETURNS pg_catalog.int8
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'kg_origin';
COMMENT ON FUNCTION kgwebhook.origin() IS
  'the number that identifies this database; its deliveries carry it';

CREATE FUNCTION kgwebhook.record_instance() RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    DELETE FROM kgwebhook.instance;
    INSERT INTO kgwebhook.instance (system_identifier, database)
        SELECT s.system_identifier, d.oid
          FROM pg_control_system() s, pg_database d WHERE d.datname = current_database();
END
$$;
COMMENT ON FUNCTION kgwebhook.record_instance() IS
  'records this database''s identity';

SELECT kgwebhook.record_instance();
