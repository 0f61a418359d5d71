/*
 * install/view_destinations.sql
 *		View of destinations.
 */

CREATE VIEW kgwebhook.destinations AS
    SELECT destination,
           CASE WHEN p.destination IS NOT NULL
                  OR EXISTS (SELECT FROM kgwebhook.paused a WHERE a.destination OPERATOR(pg_catalog.=) '*') THEN 'paused'
                WHEN n.backing_off THEN 'backing_off'
                ELSE 'ok' END AS state,
           coalesce(q.pending, 0) AS pending,
           coalesce(n.in_flight, 0) AS in_flight,
           coalesce(n.failures_in_a_row, 0) AS failures_in_a_row,
           n.last_success,
           /* what is due and not in flight waits for an older one of its object, which has its own time */
           CASE WHEN greatest(CASE WHEN n.backing_off THEN n.next_try END, q.next_attempt_at)
                     OPERATOR(pg_catalog.<=) pg_catalog.now()
                 AND coalesce(n.in_flight, 0) OPERATOR(pg_catalog.=) 0 AND q.later IS NOT NULL THEN q.later
                ELSE greatest(CASE WHEN n.backing_off THEN n.next_try END, q.next_attempt_at) END AS next_try,
           q.oldest_enqueued_at
      FROM (SELECT destination, pg_catalog.count(*) AS pending,
                   pg_catalog.min(next_attempt_at) AS next_attempt_at,
                   pg_catalog.min(next_attempt_at) FILTER (WHERE next_attempt_at OPERATOR(pg_catalog.>) pg_catalog.now()) AS later,
                   pg_catalog.min(enqueued_at) AS oldest_enqueued_at
              FROM kgwebhook.queue GROUP BY destination) q
      FULL JOIN kgwebhook.destination_notices() n USING (destination)
      FULL JOIN (SELECT destination FROM kgwebhook.paused
                  WHERE destination OPERATOR(pg_catalog.<>) '*') p USING (destination);
COMMENT ON VIEW kgwebhook.destinations IS
  'one row a destination: its state, what waits for it, and when it is tried next';
COMMENT ON COLUMN kgwebhook.destinations.destination IS 'scheme://host:port';
COMMENT ON COLUMN kgwebhook.destinations.state IS 'ok, backing_off or paused';
COMMENT ON COLUMN kgwebhook.destinations.pending IS 'deliveries not settled yet';
COMMENT ON COLUMN kgwebhook.destinations.in_flight IS 'requests on the network now';
COMMENT ON COLUMN kgwebhook.destinations.failures_in_a_row IS 'attempts since the last success';
COMMENT ON COLUMN kgwebhook.destinations.last_success IS 'last acknowledged attempt since the server started';
COMMENT ON COLUMN kgwebhook.destinations.next_try IS 'when the next attempt is due; NULL when nothing waits';
COMMENT ON COLUMN kgwebhook.destinations.oldest_enqueued_at IS 'when the oldest delivery that waits was enqueued';
