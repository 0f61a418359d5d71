/*
 * install/dashboard.sql
 *		The delivery page.
 */

CREATE FUNCTION @extschema@.kg_dashboard() RETURNS pg_catalog.text
    LANGUAGE c STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_dashboard';
COMMENT ON FUNCTION @extschema@.kg_dashboard() IS
  'the delivery page: one self-contained HTML document';
