/*
 * install/view_destinations.sql
 *		View of destinations.
 */

/*
 * What a worker reports it has seen itself.  What was before it started is in the
 * queue and in the log: how often the oldest that was tried has failed, and what was
 * acknowledged lately, which is in the latest attempts.
 */
CREATE VIEW kgwebhook.destinations AS
    SELECT destination,
           CASE WHEN p.destination IS NOT NULL
                  OR EXISTS (SELECT FROM kgwebhook.paused a WHERE a.destination OPERATOR(pg_catalog.=) '*') THEN 'paused'
                WHEN n.backing_off THEN 'backing_off'
                ELSE 'ok' END AS state,
           coalesce(q.pending, 0) AS pending,
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
      FROM (SELECT destination, pg_catalog.count(*) AS pending,
                   pg_catalog.min(next_attempt_at) AS next_attempt_at,
                   pg_catalog.min(next_attempt_at) FILTER (WHERE next_attempt_at OPERATOR(pg_catalog.>) pg_catalog.now()) AS later,
                   pg_catalog.min(enqueued_at) AS oldest_enqueued_at,
                   pg_catalog.max(attempts) AS attempts,
                   pg_catalog.max(enqueued_at) FILTER (WHERE attempts OPERATOR(pg_catalog.>) 0) AS tried_of
              FROM kgwebhook.queue GROUP BY destination) q
      FULL JOIN kgwebhook.destination_notices() n USING (destination)
      FULL JOIN (SELECT destination FROM kgwebhook.paused
                  WHERE destination OPERATOR(pg_catalog.<>) '*') p USING (destination)
      LEFT JOIN (SELECT a.destination, pg_catalog.max(a.started_at) AS last_success
                   FROM kgwebhook.delivery_log a
                  WHERE a.attempt_id OPERATOR(pg_catalog.>) ((SELECT last_value FROM kgwebhook.attempt_id_seq) OPERATOR(pg_catalog.-) 5000)
                    AND a.outcome OPERATOR(pg_catalog.=) 'acknowledged' AND NOT a.is_test
                  GROUP BY a.destination) l USING (destination);
COMMENT ON VIEW kgwebhook.destinations IS
  'one row a destination: its state, what waits for it, and when it is tried next';
COMMENT ON COLUMN kgwebhook.destinations.destination IS 'scheme://host:port';
COMMENT ON COLUMN kgwebhook.destinations.state IS 'ok, backing_off or paused';
COMMENT ON COLUMN kgwebhook.destinations.pending IS 'deliveries not settled yet';
COMMENT ON COLUMN kgwebhook.destinations.in_flight IS 'requests on the network now';
COMMENT ON COLUMN kgwebhook.destinations.failures_in_a_row IS 'attempts since the last success; after a restart, those of what waits';
COMMENT ON COLUMN kgwebhook.destinations.last_success IS 'last acknowledged attempt since the server started, or among the latest in the log';
COMMENT ON COLUMN kgwebhook.destinations.next_try IS 'when the next attempt is due; NULL when nothing waits';
COMMENT ON COLUMN kgwebhook.destinations.oldest_enqueued_at IS 'when the oldest delivery that waits was enqueued';
