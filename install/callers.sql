/*
 * install/callers.sql
 *		Which organization a role has, and for whom a function is called.
 */

/*
 * A merchant's role is a role with the privilege on own_organization(), which
 * kg_grant_org() grants along with the rest.  So a role whose row below is missing,
 * because it was deleted or could not be restored, is a merchant's role without an
 * organization, and sees nothing; it never becomes one that sees everything.
 */
CREATE TABLE kgwebhook.organization_role (
    role        pg_catalog.regrole NOT NULL,
    org_id      pg_catalog.text COLLATE pg_catalog."C",
    granted_at  pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CONSTRAINT organization_role_pkey PRIMARY KEY (role)
);
COMMENT ON TABLE kgwebhook.organization_role IS
  'roles that act for one organization only; written by kg_grant_org() and kg_revoke_org()';
COMMENT ON COLUMN kgwebhook.organization_role.role IS 'the role';
COMMENT ON COLUMN kgwebhook.organization_role.org_id IS 'its organization; NULL: a gateway''s role, which names one in kgwebhook.org_id';
COMMENT ON COLUMN kgwebhook.organization_role.granted_at IS 'when kg_grant_org() or kg_grant_gateway() was called';

/* Runs as its caller: it is the caller's organization. */
CREATE FUNCTION kgwebhook.own_organization() RETURNS pg_catalog.text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    RETURN (SELECT m.org_id FROM kgwebhook.my_organization m);
END
$$;
COMMENT ON FUNCTION kgwebhook.own_organization() IS
  'the organization that the current role acts for; a role that may execute it may act for no other';

/*
 * One row for each role that is not free to act for every organization.  The
 * role's own row decides; without one, those of the roles whose privileges it
 * inherits, if they agree.  The setting counts for a gateway's role only.
 */
CREATE VIEW kgwebhook.role_organization AS
    SELECT r.oid AS role,
           (SELECT CASE WHEN pg_catalog.count(*) OPERATOR(pg_catalog.=) 1 THEN pg_catalog.min(b.org_id) END
              FROM (SELECT DISTINCT coalesce(p.org_id, nullif(pg_catalog.current_setting('kgwebhook.org_id', true), '')) AS org_id
                      FROM kgwebhook.organization_role p
                     WHERE CASE WHEN EXISTS (SELECT FROM kgwebhook.organization_role o
                                              WHERE o.role::pg_catalog.oid OPERATOR(pg_catalog.=) r.oid)
                                THEN p.role::pg_catalog.oid OPERATOR(pg_catalog.=) r.oid
                                ELSE pg_catalog.pg_has_role(r.oid, p.role::pg_catalog.oid, 'USAGE') END) b) AS org_id
      FROM pg_catalog.pg_roles r
     WHERE NOT pg_catalog.pg_has_role(r.oid, (SELECT e.extowner FROM pg_catalog.pg_extension e
                                               WHERE e.extname OPERATOR(pg_catalog.=) 'kgwebhook'), 'USAGE')
       AND pg_catalog.has_function_privilege(r.oid, 'kgwebhook.own_organization()'::pg_catalog.regprocedure, 'EXECUTE');
COMMENT ON VIEW kgwebhook.role_organization IS
  'each role that acts for one organization only, and which that is; NULL: none at present';
COMMENT ON COLUMN kgwebhook.role_organization.role IS 'the role';
COMMENT ON COLUMN kgwebhook.role_organization.org_id IS 'its organization';

CREATE VIEW kgwebhook.my_organization WITH (security_barrier) AS
    SELECT o.org_id FROM kgwebhook.role_organization o
     WHERE o.role OPERATOR(pg_catalog.=) (SELECT r.oid FROM pg_catalog.pg_roles r
                                           WHERE r.rolname OPERATOR(pg_catalog.=) CURRENT_USER);
COMMENT ON VIEW kgwebhook.my_organization IS
  'the organization of the current role: no row when it may see all, NULL when it has none';
COMMENT ON COLUMN kgwebhook.my_organization.org_id IS 'the organization';

CREATE FUNCTION kgwebhook.caller() RETURNS pg_catalog.oid
    LANGUAGE c STABLE
    AS 'MODULE_PATHNAME', 'kg_caller';
COMMENT ON FUNCTION kgwebhook.caller() IS
  'the role that called the function which is running, not the owner as whom it runs';

CREATE FUNCTION kgwebhook.scope() RETURNS pg_catalog.text
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    known record;
BEGIN
    SELECT o.org_id INTO known FROM kgwebhook.role_organization o WHERE o.role = kgwebhook.caller();
    IF FOUND AND known.org_id IS NULL THEN
        RAISE EXCEPTION 'role "%" acts for no organization', pg_get_userbyid(kgwebhook.caller())
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'kg_grant_org() gives a role its organization; the role of a gateway names one in kgwebhook.org_id, in each transaction.';
    END IF;
    RETURN known.org_id;
END
$$;
COMMENT ON FUNCTION kgwebhook.scope() IS
  'the only organization that the caller may act for; NULL: all of them';

CREATE FUNCTION kgwebhook.check_organization(org_id pg_catalog.text) RETURNS pg_catalog.void
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    own text := kgwebhook.scope();
BEGIN
    IF own IS NOT NULL AND own IS DISTINCT FROM check_organization.org_id THEN
        RAISE EXCEPTION 'role "%" does not act for organization "%"',
                        pg_get_userbyid(kgwebhook.caller()), check_organization.org_id
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'Give the organization that the role was granted.';
    END IF;
END
$$;
COMMENT ON FUNCTION kgwebhook.check_organization(pg_catalog.text) IS
  'an error unless the caller may act for that organization, whether or not there is such a one';
