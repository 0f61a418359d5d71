/*
 * install/view_destinations.sql
 *		View of destinations.
 */

/*
 * A function, because what it costs is little, and the planner adds it up over the
 * destinations until it believes that compiling the query (jit) pays, which takes a second.
 */
CREATE FUNCTION kgwebhook.longest_waiting(
    destination pg_catalog.text,
    OUT next_attempt_at pg_catalog.timestamptz,
    OUT later pg_catalog.timestamptz,
    OUT oldest_enqueued_at pg_catalog.timestamptz,
    OUT attempts pg_catalog.int4,
    OUT tried_of pg_catalog.timestamptz) RETURNS pg_catalog.record
    LANGUAGE sql STABLE SECURITY DEFINER COST 1 SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT min(f.next_attempt_at), min(f.next_attempt_at) FILTER (WHERE f.next_attempt_at > now()), min(f.enqueued_at),
           max(f.attempts), max(f.enqueued_at) FILTER (WHERE f.attempts > 0)
      FROM (SELECT r.next_attempt_at, r.enqueued_at, r.attempts FROM kgwebhook.queue r
             /* as in kgwebhook.backlog: by this index, and no other */
             WHERE r.destination BETWEEN (longest_waiting.destination COLLATE "C") AND (longest_waiting.destination COLLATE "C")
             ORDER BY r.destination, r.delivery_id LIMIT 200) f
$$;
COMMENT ON FUNCTION kgwebhook.longest_waiting(pg_catalog.text) IS
  'of the 200 deliveries that have waited longest for a destination: when the first is due, and which has been tried';

/*
 * What a worker reports it has seen itself.  What was before it started is in the
 * queue and in the log: how often the oldest that was tried has failed, and what was
 * acknowledged lately, which is in the latest attempts.
 *
 * The latest attempts are between two numbers, because the planner takes an open end for a
 * third of the log.  The count comes from an index alone, and the times from the 200 that have waited
 * longest: the view stays fast while a million deliveries wait, and a question about one
 * destination reads nothing of the others.
 */
CREATE VIEW kgwebhook.destinations AS
    SELECT d.destination,
           CASE WHEN p.destination IS NOT NULL
                  OR EXISTS (SELECT FROM kgwebhook.paused a WHERE a.destination OPERATOR(pg_catalog.=) '*') THEN 'paused'
                WHEN n.backing_off THEN 'backing_off'
                ELSE 'ok' END AS state,
           d.pending,
           coalesce(n.in_flight, 0) AS in_flight,
           CASE WHEN n.last_success IS NULL
                 AND coalesce(q.tried_of OPERATOR(pg_catalog.>) l.last_success, true)
                THEN greatest(n.failures_in_a_row, q.attempts, 0)
                ELSE coalesce(n.failures_in_a_row, 0) END AS failures_in_a_row,
           greatest(n.last_success, l.last_success) AS last_success,
           /* what is due and not in flight waits for an older one of its object, which has its own time */
           CASE WHEN greatest(CASE WHEN n.backing_off THEN n.next_try END, q.next_attempt_at)
                     OPERATOR(pg_catalog.<=) pg_catalog.now()
                 AND coalesce(n.in_flight, 0) OPERATOR(pg_catalog.=) 0 AND q.later IS NOT NULL THEN q.later
                ELSE greatest(CASE WHEN n.backing_off THEN n.next_try END, q.next_attempt_at) END AS next_try,
           q.oldest_enqueued_at
      FROM (SELECT a.destination, pg_catalog.sum(a.pending)::pg_catalog.int8 AS pending
              FROM (SELECT r.destination, pg_catalog.count(*) AS pending FROM kgwebhook.queue r GROUP BY r.destination
                    UNION ALL
                    SELECT o.destination, 0 FROM kgwebhook.destination_notices() o
                    UNION ALL
                    SELECT w.destination, 0 FROM kgwebhook.paused w WHERE w.destination OPERATOR(pg_catalog.<>) '*') a
             GROUP BY a.destination) d
      CROSS JOIN LATERAL kgwebhook.longest_waiting(d.destination) q
      LEFT JOIN kgwebhook.destination_notices() n ON n.destination OPERATOR(pg_catalog.=) d.destination
      LEFT JOIN kgwebhook.paused p ON p.destination OPERATOR(pg_catalog.=) d.destination
      LEFT JOIN (SELECT a.destination, pg_catalog.max(a.started_at) AS last_success
                   FROM kgwebhook.delivery_log a
                  WHERE a.attempt_id OPERATOR(pg_catalog.>) (SELECT s.last_value OPERATOR(pg_catalog.-) 5000 FROM kgwebhook.attempt_id_seq s)
                    AND a.attempt_id OPERATOR(pg_catalog.<=) (SELECT s.last_value FROM kgwebhook.attempt_id_seq s)
                    AND a.outcome OPERATOR(pg_catalog.=) 'acknowledged' AND NOT a.is_test
                  GROUP BY a.destination) l ON l.destination OPERATOR(pg_catalog.=) d.destination;
COMMENT ON VIEW kgwebhook.destinations IS
  'one row a destination: its state, what waits for it, and when it is tried next';
COMMENT ON COLUMN kgwebhook.destinations.destination IS 'scheme://host:port';
COMMENT ON COLUMN kgwebhook.destinations.state IS 'ok, backing_off or paused';
COMMENT ON COLUMN kgwebhook.destinations.pending IS 'deliveries not settled yet';
COMMENT ON COLUMN kgwebhook.destinations.in_flight IS 'requests on the network now';
COMMENT ON COLUMN kgwebhook.destinations.failures_in_a_row IS 'attempts since the last success; after a restart, those of what waits';
COMMENT ON COLUMN kgwebhook.destinations.last_success IS 'last acknowledged attempt since the server started, or among the latest in the log';
COMMENT ON COLUMN kgwebhook.destinations.next_try IS 'when the next attempt is due, of the 200 deliveries that have waited longest; NULL when nothing waits';
COMMENT ON COLUMN kgwebhook.destinations.oldest_enqueued_at IS 'when the oldest delivery that waits was enqueued';
