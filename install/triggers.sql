/*
 * install/triggers.sql
 *		The trigger functions, and the triggers on our own tables.
 */

/*
 * Triggers
 *
 * A role that may write a watched table needs no privilege on any object of
 * ours.
 */

/*
 * This one is not SECURITY DEFINER and pins no search_path: either would cost every
 * payment more than forming the payload does, and neither is needed, because it
 * forms the queue's row and inserts it without SQL, name lookup or privileges.
 */
CREATE FUNCTION kgwebhook.enqueue() RETURNS pg_catalog.trigger
    LANGUAGE c
    AS 'MODULE_PATHNAME', 'kg_enqueue';
COMMENT ON FUNCTION kgwebhook.enqueue() IS
  'trigger of a watched table: puts a status transition into the queue';

CREATE FUNCTION kgwebhook.check_transition() RETURNS pg_catalog.trigger
    LANGUAGE c SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_check_transition';
COMMENT ON FUNCTION kgwebhook.check_transition() IS
  'trigger of a ready-made table: checks status, transition, URL and JSON before the row is written';

CREATE FUNCTION kgwebhook.invalidate_workers() RETURNS pg_catalog.trigger
    LANGUAGE c SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_invalidate_workers';
COMMENT ON FUNCTION kgwebhook.invalidate_workers() IS
  'trigger of our tables: makes the workers discard what they have cached of them';

/*
 * This trigger, not kg_watch(), records the column numbers, so that a restore records
 * them too: the dump's numbers are those of the original, where dropped columns count.
 */
CREATE FUNCTION kgwebhook.record_column_numbers() RETURNS pg_catalog.trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    NEW.column_numbers := (SELECT jsonb_object_agg(attname, attnum) FROM pg_attribute
                            WHERE attrelid = NEW.relation AND attnum > 0 AND NOT attisdropped);
    NEW.numbered_for := NEW.relation;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION kgwebhook.record_column_numbers() IS
  'trigger of kgwebhook.watch and kgwebhook.shape: records the columns'' numbers in this database';

CREATE TRIGGER record_column_numbers
    BEFORE INSERT ON kgwebhook.watch
    FOR EACH ROW EXECUTE FUNCTION kgwebhook.record_column_numbers();
COMMENT ON TRIGGER record_column_numbers ON kgwebhook.watch IS 'records the column numbers, also when the row is restored';

CREATE TRIGGER record_column_numbers
    BEFORE INSERT ON kgwebhook.shape
    FOR EACH ROW EXECUTE FUNCTION kgwebhook.record_column_numbers();
COMMENT ON TRIGGER record_column_numbers ON kgwebhook.shape IS 'records the column numbers, also when the row is restored';

/* The workers themselves run with session_replication_role = replica, which does not fire these. */
CREATE TRIGGER invalidate_workers
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON kgwebhook.secret
    FOR EACH STATEMENT EXECUTE FUNCTION kgwebhook.invalidate_workers();
COMMENT ON TRIGGER invalidate_workers ON kgwebhook.secret IS 'makes the workers discard their cached secrets';

CREATE TRIGGER invalidate_workers
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON kgwebhook.signing_key
    FOR EACH STATEMENT EXECUTE FUNCTION kgwebhook.invalidate_workers();
COMMENT ON TRIGGER invalidate_workers ON kgwebhook.signing_key IS 'makes the workers discard their cached keys';

CREATE TRIGGER invalidate_workers
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON kgwebhook.queue
    FOR EACH STATEMENT EXECUTE FUNCTION kgwebhook.invalidate_workers();
COMMENT ON TRIGGER invalidate_workers ON kgwebhook.queue IS 'makes the workers notice changes made by hand';

CREATE TRIGGER invalidate_workers
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON kgwebhook.paused
    FOR EACH STATEMENT EXECUTE FUNCTION kgwebhook.invalidate_workers();
COMMENT ON TRIGGER invalidate_workers ON kgwebhook.paused IS 'makes the workers notice a pause or its end';

CREATE TRIGGER invalidate_workers
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON kgwebhook.subscription
    FOR EACH STATEMENT EXECUTE FUNCTION kgwebhook.invalidate_workers();
COMMENT ON TRIGGER invalidate_workers ON kgwebhook.subscription IS 'makes workers and writers of watched tables read it again';

CREATE TRIGGER invalidate_workers
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON kgwebhook.instance
    FOR EACH STATEMENT EXECUTE FUNCTION kgwebhook.invalidate_workers();
COMMENT ON TRIGGER invalidate_workers ON kgwebhook.instance IS 'makes the workers notice that this is a copy, or no longer one';

/* Rows that an apply worker writes, which fires row triggers only, and of these the ones that are meant for it. */
CREATE TRIGGER invalidate_workers_applied
    AFTER INSERT OR UPDATE OR DELETE ON kgwebhook.secret
    FOR EACH ROW EXECUTE FUNCTION kgwebhook.invalidate_workers();
ALTER TABLE kgwebhook.secret ENABLE REPLICA TRIGGER invalidate_workers_applied;
COMMENT ON TRIGGER invalidate_workers_applied ON kgwebhook.secret IS 'the same, for secrets that arrive by replication';

CREATE TRIGGER invalidate_workers_applied
    AFTER INSERT OR UPDATE OR DELETE ON kgwebhook.signing_key
    FOR EACH ROW EXECUTE FUNCTION kgwebhook.invalidate_workers();
ALTER TABLE kgwebhook.signing_key ENABLE REPLICA TRIGGER invalidate_workers_applied;
COMMENT ON TRIGGER invalidate_workers_applied ON kgwebhook.signing_key IS 'the same, for keys that arrive by replication';

CREATE TRIGGER invalidate_workers_applied
    AFTER INSERT OR UPDATE OR DELETE ON kgwebhook.paused
    FOR EACH ROW EXECUTE FUNCTION kgwebhook.invalidate_workers();
ALTER TABLE kgwebhook.paused ENABLE REPLICA TRIGGER invalidate_workers_applied;
COMMENT ON TRIGGER invalidate_workers_applied ON kgwebhook.paused IS 'the same, for pauses that arrive by replication';

CREATE TRIGGER invalidate_workers_applied
    AFTER INSERT OR UPDATE OR DELETE ON kgwebhook.subscription
    FOR EACH ROW EXECUTE FUNCTION kgwebhook.invalidate_workers();
ALTER TABLE kgwebhook.subscription ENABLE REPLICA TRIGGER invalidate_workers_applied;
COMMENT ON TRIGGER invalidate_workers_applied ON kgwebhook.subscription IS 'the same, for subscriptions that arrive by replication';
