/*
 * install/worker_stats.sql
 *		What workers publish in shared memory.
 */

CREATE FUNCTION kgwebhook.worker_stats(
    OUT since pg_catalog.timestamptz,
    OUT enqueued pg_catalog.int8,
    OUT acknowledged pg_catalog.int8,
    OUT rejected pg_catalog.int8,
    OUT timed_out pg_catalog.int8,
    OUT unreachable pg_catalog.int8,
    OUT blocked pg_catalog.int8,
    OUT invalid pg_catalog.int8,
    OUT superseded pg_catalog.int8,
    OUT in_flight pg_catalog.int4,
    OUT workers pg_catalog.int4,
    OUT worker_state pg_catalog.text,
    OUT last_error pg_catalog.text,
    OUT last_error_at pg_catalog.timestamptz,
    OUT last_error_code pg_catalog.text,
    OUT errors_in_a_row pg_catalog.int4,
    OUT failing_since pg_catalog.timestamptz) RETURNS pg_catalog.record
    LANGUAGE c VOLATILE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_worker_stats';
COMMENT ON FUNCTION kgwebhook.worker_stats() IS
  'counters and state of this database''s workers, from shared memory';

CREATE FUNCTION kgwebhook.destination_notices(
    OUT destination pg_catalog.text,
    OUT backing_off pg_catalog.bool,
    OUT in_flight pg_catalog.int4,
    OUT failures_in_a_row pg_catalog.int4,
    OUT last_success pg_catalog.timestamptz,
    OUT next_try pg_catalog.timestamptz,
    OUT seen_at pg_catalog.timestamptz) RETURNS SETOF pg_catalog.record
    LANGUAGE c VOLATILE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_destination_notices';
COMMENT ON FUNCTION kgwebhook.destination_notices() IS
  'what this database''s workers report about their destinations, from shared memory';

/*
 * Whether anything moves at a destination, as its worker has said lately.  A worker
 * that hangs says nothing any more, and no request is older than its timeout.
 */
CREATE FUNCTION kgwebhook.is_sending(in_flight pg_catalog.int4, seen_at pg_catalog.timestamptz, last_success pg_catalog.timestamptz) RETURNS pg_catalog.bool
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT coalesce(in_flight > 0 AND seen_at > now() - current_setting('kgwebhook.request_timeout')::interval - '30 seconds'::interval
                    OR last_success > now() - '30 seconds'::interval, false)
$$;
COMMENT ON FUNCTION kgwebhook.is_sending(pg_catalog.int4, pg_catalog.timestamptz, pg_catalog.timestamptz) IS
  'whether a destination is being sent to, as its worker has said lately';

/*
 * Whether what a subscription with a rate limit has to be sent waits for that: its worker says
 * something of the destination with each request, so at that rate at least.
 */
CREATE FUNCTION kgwebhook.is_pacing(rate_limit pg_catalog.numeric, seen_at pg_catalog.timestamptz) RETURNS pg_catalog.bool
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT coalesce(seen_at > now() - '30 seconds'::interval - make_interval(secs => (2 / rate_limit)::float8), false)
$$;
COMMENT ON FUNCTION kgwebhook.is_pacing(pg_catalog.numeric, pg_catalog.timestamptz) IS
  'whether a subscription gets its requests at its rate limit, as the worker of its destination has said lately';
