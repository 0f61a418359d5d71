/*
 * install/log_partitions.sql
 *		Partitions of the log, one a day.
 */

/*
 * The partitions of the log
 *
 * One a day, by UTC, named after it: delivery_log_20261124.  Retention
 * drops them whole.
 *
 * None is made here, and none before there is something to log.  A dump has
 * the days as tables beside the extension, and a restore creates them after the
 * extension and before the queue has a row: until then their names must be
 * free.
 *
 * Attaching or dropping a day locks the log for a moment, and a session that
 * waits for that lock keeps the workers waiting behind it.  So no session waits
 * for long: the default partition takes new attempts until one succeeds.
 */

CREATE FUNCTION kgwebhook.create_log_partition(day pg_catalog.date) RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    partition name := 'delivery_log_' || to_char(day, 'YYYYMMDD');
    since text := to_char(day, 'YYYY-MM-DD') || ' 00:00:00+00';
    until text := to_char(day + 1, 'YYYY-MM-DD') || ' 00:00:00+00';
    strays bigint;
    grantee text;
BEGIN
    SELECT count(*) INTO strays
      FROM (SELECT FROM kgwebhook.delivery_log_default
             WHERE started_at >= since::timestamptz AND started_at < until::timestamptz LIMIT 1001) few;
    IF strays > 1000 THEN
        RAISE WARNING 'attempts of % stay in kgwebhook.delivery_log_default', day
            USING DETAIL = 'There are too many of them to move while the log is locked.',
                  HINT = 'They are deleted when they are older than "kgwebhook.log_retention".';
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE kgwebhook.%I (LIKE kgwebhook.delivery_log INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE INCLUDING COMPRESSION)',
                   partition);
    /* default privileges would open the day past the row security of the log */
    FOR grantee IN
        SELECT DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END
          FROM pg_class c, aclexplode(c.relacl) a
         WHERE c.oid = format('kgwebhook.%I', partition)::regclass AND a.grantee <> c.relowner
    LOOP
        EXECUTE format('REVOKE ALL ON kgwebhook.%I FROM %s', partition, grantee);
    END LOOP;
    EXECUTE format('ALTER TABLE kgwebhook.%I REPLICA IDENTITY FULL', partition);
    EXECUTE format('COMMENT ON TABLE kgwebhook.%I IS %L', partition, 'attempts of ' || to_char(day, 'YYYY-MM-DD') || ', UTC');
    PERFORM kgwebhook.index_partition(partition);
    LOCK TABLE kgwebhook.delivery_log_default IN ACCESS EXCLUSIVE MODE;
    EXECUTE format('WITH stray AS (DELETE FROM kgwebhook.delivery_log_default'
                   '                WHERE started_at >= $1 AND started_at < $2 RETURNING *)'
                   ' INSERT INTO kgwebhook.%I SELECT * FROM stray', partition)
        USING since::timestamptz, until::timestamptz;
    EXECUTE format('ALTER TABLE kgwebhook.delivery_log ATTACH PARTITION kgwebhook.%I FOR VALUES FROM (%L) TO (%L)',
                   partition, since, until);
END
$$;
COMMENT ON FUNCTION kgwebhook.create_log_partition(pg_catalog.date) IS
  'creates the log''s partition of a day, and moves its rows there from the default partition';

CREATE FUNCTION kgwebhook.create_log_partitions() RETURNS pg_catalog.bool
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    patience text := current_setting('lock_timeout');
    today date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
    day date;
BEGIN
    IF NOT EXISTS (SELECT FROM generate_series(0, 3) ahead
                    WHERE to_regclass('kgwebhook.delivery_log_' || to_char(today + ahead, 'YYYYMMDD')) IS NULL) THEN
        RETURN true;
    END IF;
    PERFORM set_config('lock_timeout', '100ms', true);
    LOCK TABLE ONLY kgwebhook.delivery_log IN SHARE UPDATE EXCLUSIVE MODE;
    FOR day IN SELECT today + ahead FROM generate_series(0, 3) ahead LOOP
        IF to_regclass('kgwebhook.delivery_log_' || to_char(day, 'YYYYMMDD')) IS NULL THEN
            PERFORM kgwebhook.create_log_partition(day);
        END IF;
    END LOOP;
    PERFORM set_config('lock_timeout', patience, true);
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END
$$;
COMMENT ON FUNCTION kgwebhook.create_log_partitions() IS
  'creates the log''s partitions of today and the next three days; false when the lock was not granted';

CREATE FUNCTION kgwebhook.log_retention() RETURNS pg_catalog.interval
    LANGUAGE c STABLE
    AS 'MODULE_PATHNAME', 'kg_log_retention';
COMMENT ON FUNCTION kgwebhook.log_retention() IS
  'the setting kgwebhook.log_retention; NULL keeps everything';

CREATE FUNCTION kgwebhook.log_partitions(
    older_than pg_catalog.timestamptz,
    OUT partition pg_catalog.regclass,
    OUT whole pg_catalog.bool) RETURNS SETOF pg_catalog.record
    LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT c.oid::regclass, c.is_day AND c.relname < last.relname
      FROM (SELECT 'delivery_log_' || to_char(older_than AT TIME ZONE 'UTC', 'YYYYMMDD') AS relname) last,
           (SELECT c.oid, c.relname, c.relname ~ '^delivery_log_[0-9]{8}$' AS is_day
              FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
             WHERE i.inhparent = 'kgwebhook.delivery_log'::regclass) c
     WHERE NOT c.is_day OR c.relname <= last.relname
     ORDER BY c.relname
$$;
COMMENT ON FUNCTION kgwebhook.log_partitions(pg_catalog.timestamptz) IS
  'partitions of the log that can contain attempts older than that, and whether all their attempts are';

CREATE FUNCTION kgwebhook.drop_log_partitions() RETURNS pg_catalog.bool
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    patience text := current_setting('lock_timeout');
    cutoff timestamptz := now() - kgwebhook.log_retention();
    partition regclass;
    deleted bigint;
BEGIN
    IF cutoff IS NULL THEN
        RETURN true;
    END IF;
    PERFORM set_config('lock_timeout', '100ms', true);
    LOCK TABLE ONLY kgwebhook.delivery_log IN SHARE UPDATE EXCLUSIVE MODE;
    FOR partition IN SELECT p.partition FROM kgwebhook.log_partitions(cutoff) p WHERE p.whole LOOP
        PERFORM kgwebhook.note_removed(partition, cutoff);
        EXECUTE format('DROP TABLE %s', partition);
    END LOOP;
    PERFORM set_config('lock_timeout', patience, true);
    DELETE FROM kgwebhook.amendment WHERE amended_at < cutoff;
    IF EXISTS (SELECT FROM kgwebhook.delivery_log_default WHERE started_at < cutoff) THEN
        PERFORM kgwebhook.note_removed('kgwebhook.delivery_log_default', cutoff);
    END IF;
    DELETE FROM kgwebhook.delivery_log_default
     WHERE ctid = ANY (ARRAY(SELECT ctid FROM kgwebhook.delivery_log_default WHERE started_at < cutoff LIMIT 10000));
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted < 10000;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END
$$;
COMMENT ON FUNCTION kgwebhook.drop_log_partitions() IS
  'drops the partitions of the log that are older than kgwebhook.log_retention; false when there is more to do later';
