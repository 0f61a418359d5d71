/*
 * install/grant_org.sql
 *		Binding roles to organizations: kg_grant_org() and kg_grant_gateway().
 */

CREATE FUNCTION kgwebhook.bind_role(role pg_catalog.regrole, org_id pg_catalog.text) RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    name name := (SELECT r.rolname FROM pg_roles r WHERE r.oid = bind_role.role);
    present kgwebhook.organization_role;
    granted regprocedure;
BEGIN
    IF name IS NULL THEN
        RAISE EXCEPTION 'role % does not exist', coalesce(bind_role.role::text, 'NULL')
            USING ERRCODE = 'undefined_object';
    ELSIF pg_has_role(bind_role.role, (SELECT e.extowner FROM pg_extension e WHERE e.extname = 'kgwebhook'), 'USAGE') THEN
        RAISE EXCEPTION 'role "%" cannot be restricted to an organization', name
            USING ERRCODE = 'invalid_grant_operation',
                  DETAIL = 'It is a superuser, or has the rights of the extension''s owner.',
                  HINT = 'Create a role of its own for the organization.';
    END IF;
    /* one grant at a time: each writes down all roles that there are */
    LOCK TABLE kgwebhook.organization_role IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM kgwebhook.organization_role o WHERE NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = o.role);
    SELECT * INTO present FROM kgwebhook.organization_role o WHERE o.role = bind_role.role;
    IF FOUND AND present.org_id IS DISTINCT FROM bind_role.org_id THEN
        RAISE EXCEPTION 'role "%" % already', name,
                        CASE WHEN present.org_id IS NULL THEN 'is the role of a gateway'
                             ELSE format('acts for organization "%s"', present.org_id) END
            USING ERRCODE = 'duplicate_object',
                  HINT = format('Use a role for each organization, or take this one away by %s.',
                                CASE WHEN present.org_id IS NULL THEN format('kg_revoke_gateway(%L)', name)
                                     ELSE format('kg_revoke_org(%L, %L)', name, present.org_id) END);
    END IF;
    INSERT INTO kgwebhook.organization_role (role, org_id) VALUES (bind_role.role, bind_role.org_id)
        ON CONFLICT DO NOTHING;
    FOR granted IN SELECT f FROM kgwebhook.merchant_functions() f LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', granted, name);
    END LOOP;
    EXECUTE format('GRANT USAGE ON SCHEMA kgwebhook TO %I', name);
    EXECUTE format('GRANT SELECT ON kgwebhook.my_organization, kgwebhook.deliveries, kgwebhook.subscriptions,'
                   ' kgwebhook.delivery_log, kgwebhook.dead_letter TO %I', name);
END
$$;
COMMENT ON FUNCTION kgwebhook.bind_role(pg_catalog.regrole, pg_catalog.text) IS
  'binds a role to an organization, or to the one in kgwebhook.org_id, and grants it what merchants may do';

CREATE FUNCTION kgwebhook.unbind_role(role pg_catalog.regrole, org_id pg_catalog.text) RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    name name := (SELECT r.rolname FROM pg_roles r WHERE r.oid = unbind_role.role);
    granted regprocedure;
BEGIN
    LOCK TABLE kgwebhook.organization_role IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM kgwebhook.organization_role o
     WHERE o.role = unbind_role.role AND o.org_id IS NOT DISTINCT FROM unbind_role.org_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'role "%" %', coalesce(name::text, unbind_role.role::text, 'NULL'),
                        CASE WHEN unbind_role.org_id IS NULL THEN 'is not the role of a gateway'
                             ELSE format('does not act for organization "%s"', unbind_role.org_id) END
            USING ERRCODE = 'undefined_object',
                  HINT = 'SELECT * FROM kgwebhook.organization_role shows which roles act for which organizations.';
    END IF;
    IF name IS NOT NULL THEN
        /* what tells a merchant's role from others goes last: in between it has no organization */
        EXECUTE format('REVOKE ALL ON kgwebhook.my_organization, kgwebhook.deliveries, kgwebhook.subscriptions,'
                       ' kgwebhook.delivery_log, kgwebhook.dead_letter FROM %I', name);
        FOR granted IN SELECT f FROM kgwebhook.merchant_functions() WITH ORDINALITY AS g (f, n) ORDER BY n DESC LOOP
            EXECUTE format('REVOKE ALL ON FUNCTION %s FROM %I', granted, name);
        END LOOP;
        EXECUTE format('REVOKE ALL ON SCHEMA kgwebhook FROM %I', name);
    END IF;
END
$$;
COMMENT ON FUNCTION kgwebhook.unbind_role(pg_catalog.regrole, pg_catalog.text) IS
  'takes from a role what bind_role() has given it';

CREATE FUNCTION @extschema@.kg_grant_org(role pg_catalog.regrole, org_id pg_catalog.text) RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    IF org_id IS NULL OR org_id = '' THEN
        RAISE EXCEPTION 'org_id must not be null or empty'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Give the organization''s identifier.  kg_grant_gateway() is for a role that serves several organizations.';
    END IF;
    PERFORM kgwebhook.bind_role(role, org_id);
END
$$;
COMMENT ON FUNCTION @extschema@.kg_grant_org(pg_catalog.regrole, pg_catalog.text) IS
  'makes a role a merchant''s: it may see and do what is the organization''s own, and nothing else';

CREATE FUNCTION @extschema@.kg_revoke_org(role pg_catalog.regrole, org_id pg_catalog.text) RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    PERFORM kgwebhook.unbind_role(role, org_id);
END
$$;
COMMENT ON FUNCTION @extschema@.kg_revoke_org(pg_catalog.regrole, pg_catalog.text) IS
  'undoes kg_grant_org()';

CREATE FUNCTION @extschema@.kg_grant_gateway(role pg_catalog.regrole) RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    PERFORM kgwebhook.bind_role(role, NULL);
END
$$;
COMMENT ON FUNCTION @extschema@.kg_grant_gateway(pg_catalog.regrole) IS
  'lets a role act for the organization that it names in kgwebhook.org_id, in each transaction';

CREATE FUNCTION @extschema@.kg_revoke_gateway(role pg_catalog.regrole) RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    PERFORM kgwebhook.unbind_role(role, NULL);
END
$$;
COMMENT ON FUNCTION @extschema@.kg_revoke_gateway(pg_catalog.regrole) IS
  'undoes kg_grant_gateway()';
