/*
 * install/on_install.sql
 *		The last statement: tells the launcher.
 */

/* Last: starts a worker at commit, or warns that none will be. */
CREATE FUNCTION kgwebhook.installed() RETURNS pg_catalog.void
    LANGUAGE c
    AS 'MODULE_PATHNAME', 'kg_installed';
COMMENT ON FUNCTION kgwebhook.installed() IS
  'tells the launcher that this database has the extension, or warns that there is no launcher';

REVOKE ALL ON FUNCTION kgwebhook.installed() FROM PUBLIC;

SELECT kgwebhook.installed();
