/*
 * install/privileges.sql
 *		Who may do what.
 */

/*
 * Only the owner has privileges at first.  The exceptions are the three functions
 * for receivers, which touch no data of ours, and the views that show no payload,
 * which are granted to pg_monitor.
 */

/*
 * Every function is closed to PUBLIC except those listed here, so that one that is
 * forgotten is closed.  Default privileges of the installing role may have granted
 * our objects to others, secrets included: that is revoked.  And a function that
 * already has one of our names, with other arguments, might be called instead of ours.
 */
DO LANGUAGE plpgsql $$
DECLARE
    extension oid := (SELECT oid FROM pg_extension WHERE extname = 'kgwebhook');
    open_to_public name[] := '{kg_canonical_json,kg_sign,kg_verify}';
    statement text;
    other regprocedure;
BEGIN
    FOR statement IN
        SELECT format('REVOKE ALL ON SCHEMA kgwebhook FROM %I', pg_get_userbyid(a.grantee))
          FROM pg_namespace n, aclexplode(n.nspacl) a
         WHERE n.nspname = 'kgwebhook' AND a.grantee <> n.nspowner AND a.grantee <> 0
        UNION
        SELECT format('REVOKE ALL ON %s %s FROM %I', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
                      c.oid::regclass, pg_get_userbyid(a.grantee))
          FROM pg_class c, aclexplode(c.relacl) a
         WHERE c.relnamespace = 'kgwebhook'::regnamespace AND a.grantee <> c.relowner AND a.grantee <> 0
        UNION
        SELECT format('REVOKE ALL ON FUNCTION %s FROM %s', p.oid::regprocedure,
                      CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END)
          FROM pg_depend d JOIN pg_proc p ON p.oid = d.objid,
               aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
         WHERE d.classid = 'pg_proc'::regclass AND d.refclassid = 'pg_extension'::regclass
           AND d.refobjid = extension AND d.deptype = 'e' AND a.grantee <> p.proowner
           AND NOT (a.grantee = 0 AND p.proname = ANY (open_to_public))
    LOOP
        EXECUTE statement;
    END LOOP;

    SELECT o.oid INTO other
      FROM pg_depend d JOIN pg_proc p ON p.oid = d.objid
      JOIN pg_proc o ON o.proname = p.proname AND o.pronamespace = p.pronamespace
     WHERE d.classid = 'pg_proc'::regclass AND d.refclassid = 'pg_extension'::regclass
       AND d.refobjid = extension AND d.deptype = 'e'
       AND NOT EXISTS (SELECT FROM pg_depend m
                        WHERE m.classid = 'pg_proc'::regclass AND m.objid = o.oid AND m.deptype = 'e'
                          AND m.refclassid = 'pg_extension'::regclass AND m.refobjid = extension)
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'function % already exists', other
            USING ERRCODE = 'duplicate_function',
                  DETAIL = 'It has the name of one of kgwebhook''s, and could be called instead of it.',
                  HINT = 'Drop or rename it, or create the extension in another schema.';
    END IF;
END
$$;

GRANT USAGE ON SCHEMA kgwebhook TO pg_monitor;

GRANT SELECT ON kgwebhook.deliveries, kgwebhook.subscriptions, kgwebhook.destinations, kgwebhook.stats,
    kgwebhook.pending, kgwebhook.waiting, kgwebhook.failures, kgwebhook.latency, kgwebhook.unacknowledged,
    kgwebhook.sources, kgwebhook.routes TO pg_monitor;

GRANT EXECUTE ON FUNCTION kgwebhook.worker_stats(), kgwebhook.destination_notices(), kgwebhook.at_stake(),
    kgwebhook.longest_waiting(pg_catalog.text),
    kgwebhook.source_states(), kgwebhook.broken_subscriptions(), kgwebhook.updates_missing(pg_catalog.name),
    kgwebhook.is_sending(pg_catalog.int4, pg_catalog.timestamptz, pg_catalog.timestamptz),
    kgwebhook.lacks_consent(pg_catalog.text, pg_catalog.text),
    kgwebhook.is_pacing(pg_catalog.numeric, pg_catalog.timestamptz),
    kgwebhook.waits_for(pg_catalog.bool, pg_catalog.bool, pg_catalog.bool, pg_catalog.bool, pg_catalog.bool, pg_catalog.bool, pg_catalog.bool, pg_catalog.bool),
    @extschema@.kg_status(), @extschema@.kg_dashboard() TO pg_monitor;
