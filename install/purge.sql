/*
 * install/purge.sql
 *		Retention on demand, and rebuilding indexes that a backlog has bloated.
 */

CREATE FUNCTION kgwebhook.in_transaction_block() RETURNS pg_catalog.bool
    LANGUAGE c VOLATILE
    AS 'MODULE_PATHNAME', 'kg_in_transaction_block';
COMMENT ON FUNCTION kgwebhook.in_transaction_block() IS
  'whether the transaction continues after the present statement';

/*
 * Vacuum does not shrink a b-tree, so the queue's indexes keep the size of the
 * longest backlog.  Rebuilding them blocks every session that writes to the queue,
 * and so payments: hence only once vacuum has truncated the table itself, when it
 * takes milliseconds, and only if the lock is granted almost at once.
 */
CREATE FUNCTION kgwebhook.reindex_queue() RETURNS pg_catalog.bool
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    patience text := current_setting('lock_timeout');
    bloated CONSTANT int8 := 16 * 1024 * 1024;
    short CONSTANT int8 := 1024 * 1024;
BEGIN
    IF pg_indexes_size('kgwebhook.queue') < bloated OR pg_table_size('kgwebhook.queue') > short THEN
        RETURN true;
    END IF;
    PERFORM set_config('lock_timeout', '20ms', true);
    REINDEX TABLE kgwebhook.queue;
    PERFORM set_config('lock_timeout', patience, true);
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END
$$;
COMMENT ON FUNCTION kgwebhook.reindex_queue() IS
  'rebuilds the queue''s indexes when a long backlog has left them bloated; false when the lock was not granted';

CREATE FUNCTION kgwebhook.purge_partition(partition pg_catalog.regclass, older_than pg_catalog.timestamptz) RETURNS pg_catalog.int8
    LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    newer bool;
    removed bigint;
    total bigint;
BEGIN
    PERFORM kgwebhook.note_removed(partition, older_than);
    /* TRUNCATE frees the space, but is right only where nothing is newer: check first ... */
    EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE started_at >= $1)', partition) INTO newer USING older_than;
    IF NOT newer AND current_setting('transaction_isolation') = 'read committed' THEN
        /* ... and again, once no session can add to it */
        EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', partition);
        EXECUTE format('SELECT count(*) FILTER (WHERE started_at < $1), count(*) FROM %s', partition)
            INTO removed, total USING older_than;
        IF removed = total THEN
            EXECUTE format('TRUNCATE %s', partition);
            RETURN removed;
        END IF;
    END IF;
    EXECUTE format('DELETE FROM %s WHERE started_at < $1', partition) USING older_than;
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN removed;
END
$$;
COMMENT ON FUNCTION kgwebhook.purge_partition(pg_catalog.regclass, pg_catalog.timestamptz) IS
  'removes attempts older than that from a partition of the log; returns how many';

CREATE FUNCTION @extschema@.kg_purge(older_than pg_catalog.interval DEFAULT NULL) RETURNS pg_catalog.int8
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    patience text := current_setting('lock_timeout');
    cutoff timestamptz := now() - coalesce(older_than, kgwebhook.log_retention());
    leaf record;
    removed bigint;
    total bigint := 0;
    callers text;
    goes_on bool := kgwebhook.in_transaction_block();
BEGIN
    IF older_than < '0' THEN
        RAISE EXCEPTION 'older_than is negative'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Give the age from which attempts are removed, such as ''30 days''.';
    ELSIF cutoff IS NULL THEN
        RETURN 0;
    END IF;
    /* autovacuum yields after deadlock_timeout, by default 1 s */
    PERFORM set_config('lock_timeout', '2s', true);
    LOCK TABLE ONLY kgwebhook.delivery_log IN SHARE UPDATE EXCLUSIVE MODE;
    FOR leaf IN SELECT p.partition, p.whole FROM kgwebhook.log_partitions(cutoff) p LOOP
        IF leaf.whole THEN
            EXECUTE format('SELECT count(*) FROM %s', leaf.partition) INTO removed;
            PERFORM kgwebhook.note_removed(leaf.partition, cutoff);
            EXECUTE format('DROP TABLE %s', leaf.partition);
        ELSE
            removed := kgwebhook.purge_partition(leaf.partition, cutoff);
        END IF;
        total := total + removed;
    END LOOP;
    DELETE FROM kgwebhook.amendment WHERE amended_at < cutoff;
    PERFORM set_config('lock_timeout', patience, true);
    PERFORM kgwebhook.create_log_partitions();
    /* not where the transaction continues, even in a user's function, and would block payments */
    GET DIAGNOSTICS callers = PG_CONTEXT;
    IF NOT goes_on AND position(E'\n' IN callers) = 0 THEN
        PERFORM kgwebhook.reindex_queue();
    END IF;
    RETURN total;
EXCEPTION WHEN lock_not_available THEN
    RAISE EXCEPTION 'could not lock kgwebhook.delivery_log'
        USING ERRCODE = 'lock_not_available',
              DETAIL = 'Another session has used it for more than two seconds, for example pg_dump.  Nothing was removed.',
              HINT = 'Run kg_purge() again later.';
END
$$;
COMMENT ON FUNCTION @extschema@.kg_purge(pg_catalog.interval) IS
  'removes attempts from the log that are older than that, or than kgwebhook.log_retention; returns how many';
