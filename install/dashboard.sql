/*
 * install/dashboard.sql
 *		The delivery page.
 */

CREATE FUNCTION kgwebhook.kg_dashboard() RETURNS pg_catalog.text
    LANGUAGE c STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_dashboard';
COMMENT ON FUNCTION kgwebhook.kg_dashboard() IS
  'does what kg_dashboard() is for, with the owner''s rights';

CREATE FUNCTION @extschema@.kg_dashboard() RETURNS pg_catalog.text
    LANGUAGE c STABLE
    AS 'MODULE_PATHNAME', 'kg_for_caller';
COMMENT ON FUNCTION @extschema@.kg_dashboard() IS
  'the delivery page: one self-contained HTML document';

CREATE FUNCTION kgwebhook.kg_dashboard(org_id pg_catalog.text) RETURNS pg_catalog.text
    LANGUAGE c STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
    /* as in kgwebhook.findings() */
    SET enable_seqscan = off SET enable_bitmapscan = off
    AS 'MODULE_PATHNAME', 'kg_merchant_dashboard';
COMMENT ON FUNCTION kgwebhook.kg_dashboard(pg_catalog.text) IS
  'does what kg_dashboard(org_id) is for, with the owner''s rights';

CREATE FUNCTION @extschema@.kg_dashboard(org_id pg_catalog.text) RETURNS pg_catalog.text
    LANGUAGE c STABLE STRICT
    AS 'MODULE_PATHNAME', 'kg_for_caller';
COMMENT ON FUNCTION @extschema@.kg_dashboard(pg_catalog.text) IS
  'the page of one organization, for its merchant: endpoints, what they have not received, the latest attempts';
