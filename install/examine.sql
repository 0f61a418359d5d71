/*
 * install/examine.sql
 *		An exam for receivers.
 */

CREATE FUNCTION kgwebhook.kg_examine(url pg_catalog.text, org_id pg_catalog.text)
    RETURNS TABLE (probe pg_catalog.text, expected pg_catalog.text, seen pg_catalog.text, ok pg_catalog.bool)
    LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_examine';
COMMENT ON FUNCTION kgwebhook.kg_examine(pg_catalog.text, pg_catalog.text) IS
  'does what kg_examine() is for, with the owner''s rights';

CREATE FUNCTION @extschema@.kg_examine(
    url pg_catalog.text,
    org_id pg_catalog.text,
    OUT probe pg_catalog.text, OUT expected pg_catalog.text, OUT seen pg_catalog.text, OUT ok pg_catalog.bool)
    RETURNS SETOF pg_catalog.record
    LANGUAGE c VOLATILE
    AS 'MODULE_PATHNAME', 'kg_for_caller';
COMMENT ON FUNCTION @extschema@.kg_examine(pg_catalog.text, pg_catalog.text) IS
  'sends a receiver good requests and bad ones, and says which it wrongly accepted or refused';
