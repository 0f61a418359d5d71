/*
 * install/send_test.sql
 *		A synthetic delivery, sent at once.
 */

CREATE FUNCTION kgwebhook.kg_send_test(
    url pg_catalog.text,
    org_id pg_catalog.text,
    status pg_catalog.text) RETURNS SETOF kgwebhook.delivery_log
    LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_send_test';
COMMENT ON FUNCTION kgwebhook.kg_send_test(pg_catalog.text, pg_catalog.text, pg_catalog.text) IS
  'does what kg_send_test() is for, with the owner''s rights';

CREATE FUNCTION @extschema@.kg_send_test(
    url pg_catalog.text DEFAULT NULL,
    org_id pg_catalog.text DEFAULT 'default',
    status pg_catalog.text DEFAULT 'success') RETURNS SETOF kgwebhook.delivery_log
    LANGUAGE c VOLATILE
    AS 'MODULE_PATHNAME', 'kg_for_caller';
COMMENT ON FUNCTION @extschema@.kg_send_test(pg_catalog.text, pg_catalog.text, pg_catalog.text) IS
  'sends one synthetic, signed callback now, to a URL or to all active subscriptions; returns its rows of the log';
