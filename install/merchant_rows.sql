/*
 * install/merchant_rows.sql
 *		What merchants may call, and the rows that they see.
 */

CREATE FUNCTION kgwebhook.merchant_functions() RETURNS SETOF pg_catalog.regprocedure
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    /* the schema's name as it is now */
    SELECT format(f, e.extnamespace::regnamespace)::regprocedure FROM pg_extension e, unnest(ARRAY[
        'kgwebhook.own_organization()',
        '%s.kg_subscribe(text, text, text[], text, text, jsonb, numeric, boolean)',
        '%s.kg_unsubscribe(bigint)',
        '%s.kg_pause_subscription(bigint)',
        '%s.kg_resume_subscription(bigint)',
        '%s.kg_send_challenge(bigint)',
        '%s.kg_send_test(text, text, text)',
        '%s.kg_examine(text, text)',
        '%s.kg_redeliver(bigint)',
        '%s.kg_redeliver_object(text, text, text)',
        '%s.kg_explain(bigint)',
        '%s.kg_explain(text, text, text)',
        '%s.kg_rotate_secret(text, interval, interval)',
        '%s.kg_cancel_rotation(text)',
        '%s.kg_create_secret(bigint)',
        '%s.kg_rotate_secret(bigint, interval, interval)',
        '%s.kg_cancel_rotation(bigint)',
        '%s.kg_drop_secret(bigint)',
        '%s.kg_jwks(text)',
        '%s.kg_sign_http(text, bigint, boolean)',
        '%s.kg_set_headers(bigint, jsonb, text, text, text)',
        '%s.kg_dashboard(text)',
        '%s.kg_event_catalog()',
        '%s.kg_update_subscription(bigint, text, text[], text, text, jsonb, numeric, boolean)',
        '%s.kg_events_since(text, text, integer, bigint)']) f
     WHERE e.extname = 'kgwebhook'
$$;
COMMENT ON FUNCTION kgwebhook.merchant_functions() IS
  'the functions that a merchant''s role may execute, each for its own organization only';

/*
 * Row security of the two tables that merchants read.  The first policy shows every row to
 * every role that was granted the table; the second one takes from merchants' roles what is not
 * their organization's, by a condition that the organization's index answers.  The first
 * looks whether there is a second one for the role: where there is not, a merchant's role
 * sees nothing.
 *
 * pg_dump leaves policies of an extension's tables to the extension.  So the first is made
 * here, and the second by a trigger, which a restore fires, too.
 */
ALTER TABLE kgwebhook.delivery_log ENABLE ROW LEVEL SECURITY;
ALTER TABLE kgwebhook.dead_letter ENABLE ROW LEVEL SECURITY;

CREATE POLICY kgwebhook_all ON kgwebhook.delivery_log USING ((
    SELECT pg_catalog.pg_has_role(CURRENT_USER, e.extowner, 'USAGE')
        OR NOT pg_catalog.has_function_privilege(CURRENT_USER, 'kgwebhook.own_organization()'::pg_catalog.regprocedure, 'EXECUTE')
        OR EXISTS (SELECT FROM pg_catalog.pg_policy p, pg_catalog.unnest(p.polroles) r
                    WHERE p.polrelid OPERATOR(pg_catalog.=) 'kgwebhook.delivery_log'::pg_catalog.regclass
                      AND p.polname OPERATOR(pg_catalog.=) 'kgwebhook_own_organization'
                      AND pg_catalog.pg_has_role(CURRENT_USER, r, 'USAGE'))
      FROM pg_catalog.pg_extension e WHERE e.extname OPERATOR(pg_catalog.=) 'kgwebhook'));
COMMENT ON POLICY kgwebhook_all ON kgwebhook.delivery_log IS
  'all rows, for all who were granted the table; merchants'' roles need the other policy as well';

CREATE POLICY kgwebhook_all ON kgwebhook.dead_letter USING ((
    SELECT pg_catalog.pg_has_role(CURRENT_USER, e.extowner, 'USAGE')
        OR NOT pg_catalog.has_function_privilege(CURRENT_USER, 'kgwebhook.own_organization()'::pg_catalog.regprocedure, 'EXECUTE')
        OR EXISTS (SELECT FROM pg_catalog.pg_policy p, pg_catalog.unnest(p.polroles) r
                    WHERE p.polrelid OPERATOR(pg_catalog.=) 'kgwebhook.dead_letter'::pg_catalog.regclass
                      AND p.polname OPERATOR(pg_catalog.=) 'kgwebhook_own_organization'
                      AND pg_catalog.pg_has_role(CURRENT_USER, r, 'USAGE'))
      FROM pg_catalog.pg_extension e WHERE e.extname OPERATOR(pg_catalog.=) 'kgwebhook'));
COMMENT ON POLICY kgwebhook_all ON kgwebhook.dead_letter IS
  'all rows, for all who were granted the table; merchants'' roles need the other policy as well';

/*
 * A policy needs its table for itself.  Who reads or writes both tables has locked one of
 * them and may wait for the other, in either order, so a session that held one and waited for the
 * other would sooner or later be in a deadlock.  Here one is waited for, and the other one taken
 * only if it is free; if not, the first is given back, and that one is waited for.
 */
CREATE FUNCTION kgwebhook.lock_restricted() RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    first regclass := 'kgwebhook.delivery_log';
    second regclass := 'kgwebhook.dead_letter';
    waited bool;
BEGIN
    LOOP
        BEGIN
            waited := false;
            EXECUTE format('LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE', first);
            waited := true;
            EXECUTE format('LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE NOWAIT', second);
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            /* lock_timeout has the same code */
            IF NOT waited THEN
                RAISE;
            END IF;
        END;
        SELECT second, first INTO first, second;
    END LOOP;
END
$$;
COMMENT ON FUNCTION kgwebhook.lock_restricted() IS
  'locks the two tables that merchants read, for a policy, without ever holding one while it waits for the other';

CREATE FUNCTION kgwebhook.restrict_rows() RETURNS pg_catalog.trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    relation regclass;
    roles text := (SELECT string_agg(quote_ident(r.rolname), ', ' ORDER BY r.oid)
                     FROM kgwebhook.organization_role o JOIN pg_roles r ON r.oid = o.role);
BEGIN
    PERFORM kgwebhook.lock_restricted();
    FOREACH relation IN ARRAY '{kgwebhook.delivery_log,kgwebhook.dead_letter}'::regclass[] LOOP
        IF EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = relation AND p.polname = 'kgwebhook_own_organization') THEN
            EXECUTE format('DROP POLICY kgwebhook_own_organization ON %s', relation);
        END IF;
        IF roles IS NOT NULL THEN
            EXECUTE format('CREATE POLICY kgwebhook_own_organization ON %s AS RESTRICTIVE FOR SELECT TO %s'
                           ' USING (org_id = (SELECT kgwebhook.own_organization()))', relation, roles);
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION kgwebhook.restrict_rows() IS
  'trigger of kgwebhook.organization_role: lets those roles see only their organization''s rows';

CREATE TRIGGER restrict_rows
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON kgwebhook.organization_role
    FOR EACH STATEMENT EXECUTE FUNCTION kgwebhook.restrict_rows();
COMMENT ON TRIGGER restrict_rows ON kgwebhook.organization_role IS 'has the policies name the roles, also when rows are restored';
