/*
 * install/triggers.sql
 *		The trigger functions, and the triggers on our own tables.
 */

/*
 * Triggers
 *
 * An ordinary role that may write a watched table needs no right on anything of
 * ours.
 */

/*
 * This one takes no rights and pins no search_path, for each would cost every
 * payment more than forming the payload does, and nothing in it asks for either:
 * it forms the queue's row and inserts it without SQL, names and privileges.
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
  'trigger of a ready-made table: checks status, transition, URL and JSON at the door';

CREATE FUNCTION kgwebhook.invalidate_workers() RETURNS pg_catalog.trigger
    LANGUAGE c SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_invalidate_workers';
COMMENT ON FUNCTION kgwebhook.invalidate_workers() IS
  'trigger of our tables: makes the workers forget what they hold of them';

/*
 * Not kg_watch() numbers the columns but this does, so that a restore does so as
 * well: the dump's numbers are the original's, where dropped columns counted.
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
  'trigger of kgwebhook.watch: notes which numbers the columns have in this database';

CREATE TRIGGER record_column_numbers
    BEFORE INSERT ON kgwebhook.watch
    FOR EACH ROW EXECUTE FUNCTION kgwebhook.record_column_numbers();
COMMENT ON TRIGGER record_column_numbers ON kgwebhook.watch IS 'numbers the columns, also when the row is restored';

/* The workers themselves run as a replica would and don't fire these. */
CREATE TRIGGER invalidate_workers
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON kgwebhook.secret
    FOR EACH STATEMENT EXECUTE FUNCTION kgwebhook.invalidate_workers();
COMMENT ON TRIGGER invalidate_workers ON kgwebhook.secret IS 'makes the workers forget the secrets they hold';

CREATE TRIGGER invalidate_workers
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON kgwebhook.queue
    FOR EACH STATEMENT EXECUTE FUNCTION kgwebhook.invalidate_workers();
COMMENT ON TRIGGER invalidate_workers ON kgwebhook.queue IS 'makes the workers notice what was changed by hand';

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
