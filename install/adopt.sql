/*
 * install/adopt.sql
 *		Letting a restored or upgraded copy deliver.
 */

/*
 * Restored rows have the transaction IDs of another server, and new rows are
 * found by those; so this transaction marks all of them as enqueued by itself.  The sequences come with a dump, but not with a part of one.
 */
CREATE FUNCTION @extschema@.kg_adopt() RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    deliveries int8;
BEGIN
    LOCK TABLE kgwebhook.instance IN SHARE ROW EXCLUSIVE MODE;
    PERFORM FROM kgwebhook.instance i, pg_control_system() s, pg_database d
        WHERE d.datname = current_database()
        HAVING count(*) > 0
           AND bool_and(i.system_identifier = s.system_identifier AND i.database = d.oid);
    IF FOUND AND NOT EXISTS (SELECT FROM kgwebhook.queue WHERE origin <> kgwebhook.origin()) THEN
        RAISE NOTICE 'nothing was adopted'
            USING DETAIL = 'This database is not a copy, and delivers.';
        RETURN;
    END IF;
    PERFORM kgwebhook.record_instance();
    PERFORM setval('kgwebhook.delivery_id_seq', known.last)
       FROM kgwebhook.delivery_id_seq s,
            (SELECT greatest((SELECT max(delivery_id) FROM kgwebhook.queue),
                             (SELECT max(delivery_id) FROM kgwebhook.dead_letter),
                             (SELECT max(delivery_id) FROM kgwebhook.delivery_log)) AS last) known
      WHERE known.last >= s.last_value;
    PERFORM setval('kgwebhook.subscription_id_seq', known.last)
       FROM kgwebhook.subscription_id_seq s,
            (SELECT greatest((SELECT max(subscription_id) FROM kgwebhook.subscription),
                             (SELECT max(subscription_id) FROM kgwebhook.queue),
                             (SELECT max(subscription_id) FROM kgwebhook.dead_letter)) AS last) known
      WHERE known.last >= s.last_value;
    PERFORM setval('kgwebhook.attempt_id_seq', known.last)
       FROM kgwebhook.attempt_id_seq s,
            (SELECT max(attempt_id) AS last FROM kgwebhook.delivery_log) known
      WHERE known.last >= s.last_value;
    UPDATE kgwebhook.instance SET adopted_after = (SELECT s.last_value FROM kgwebhook.attempt_id_seq s);
    UPDATE kgwebhook.queue SET xid = pg_current_xact_id(), origin = kgwebhook.origin();
    GET DIAGNOSTICS deliveries = ROW_COUNT;
    RAISE LOG 'kgwebhook: database "%" was adopted, with % deliveries', current_database(), deliveries;
END
$$;
COMMENT ON FUNCTION @extschema@.kg_adopt() IS
  'lets a restored or upgraded copy deliver what is in its queue, and all that follows';
