/*
 * install/on_install.sql
 *		The last statement: notifies the launcher.
 */

/* Last: starts a worker at commit, or warns that there will be none. */
CREATE FUNCTION kgwebhook.on_install() RETURNS pg_catalog.void
    LANGUAGE c
    AS 'MODULE_PATHNAME', 'kg_on_install';
COMMENT ON FUNCTION kgwebhook.on_install() IS
  'notifies the launcher that this database has the extension, or warns that there is no launcher';

REVOKE ALL ON FUNCTION kgwebhook.on_install() FROM PUBLIC;

SELECT kgwebhook.on_install();
