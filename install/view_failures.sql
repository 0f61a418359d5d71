/*
 * install/view_failures.sql
 *		Failures by reason, and latency by destination, for monitoring.
 */

CREATE VIEW kgwebhook.failures AS
    SELECT coalesce(l.error, l.outcome) AS reason, l.outcome, l.response_status,
           pg_catalog.count(*) AS attempts,
           pg_catalog.count(DISTINCT l.delivery_id) AS deliveries,
           pg_catalog.count(DISTINCT l.destination) AS destinations,
           pg_catalog.min(l.started_at) AS first_at,
           pg_catalog.max(l.started_at) AS last_at
      FROM kgwebhook.delivery_log l
     WHERE l.started_at OPERATOR(pg_catalog.>=) (pg_catalog.now() OPERATOR(pg_catalog.-) '1 hour'::pg_catalog.interval)
       AND l.outcome OPERATOR(pg_catalog.<>) 'acknowledged' AND NOT l.is_test
     GROUP BY 1, 2, 3;
COMMENT ON VIEW kgwebhook.failures IS
  'what failed in the last hour, by reason';
COMMENT ON COLUMN kgwebhook.failures.reason IS 'why it was not acknowledged, in words';
COMMENT ON COLUMN kgwebhook.failures.outcome IS 'rejected, timed_out, unreachable, blocked, invalid or superseded';
COMMENT ON COLUMN kgwebhook.failures.response_status IS 'HTTP status of the answers; NULL when there were none';
COMMENT ON COLUMN kgwebhook.failures.attempts IS 'attempts that ended so';
COMMENT ON COLUMN kgwebhook.failures.deliveries IS 'deliveries they were attempts of';
COMMENT ON COLUMN kgwebhook.failures.destinations IS 'destinations they went to';
COMMENT ON COLUMN kgwebhook.failures.first_at IS 'when the first of them began';
COMMENT ON COLUMN kgwebhook.failures.last_at IS 'when the last of them began';

/* What never reached a receiver says nothing about how fast it answers. */
CREATE VIEW kgwebhook.latency AS
    SELECT d.destination, d.attempts, d.acknowledged,
           d.ms[1] AS p50_ms, d.ms[2] AS p95_ms, d.ms[3] AS p99_ms, d.max_ms
      FROM (SELECT l.destination,
                   pg_catalog.count(*) AS attempts,
                   pg_catalog.count(*) FILTER (WHERE l.outcome OPERATOR(pg_catalog.=) 'acknowledged') AS acknowledged,
                   pg_catalog.percentile_cont(ARRAY[0.5, 0.95, 0.99]::pg_catalog.float8[]) WITHIN GROUP (ORDER BY l.duration_ms) AS ms,
                   pg_catalog.max(l.duration_ms) AS max_ms
              FROM kgwebhook.delivery_log l
             WHERE l.started_at OPERATOR(pg_catalog.>=) (pg_catalog.now() OPERATOR(pg_catalog.-) '1 day'::pg_catalog.interval)
               AND l.attempt_id OPERATOR(pg_catalog.>) (SELECT q.last_value OPERATOR(pg_catalog.-) 100000 FROM kgwebhook.attempt_id_seq q)
               AND l.attempt_id OPERATOR(pg_catalog.<=) (SELECT q.last_value FROM kgwebhook.attempt_id_seq q)
               AND l.outcome OPERATOR(pg_catalog.=) ANY (ARRAY['acknowledged'::pg_catalog.text, 'rejected', 'timed_out'])
               AND NOT l.is_test
             GROUP BY l.destination) d;
COMMENT ON VIEW kgwebhook.latency IS
  'how fast each destination has answered in the last day, by the latest 100,000 attempts at most';
COMMENT ON COLUMN kgwebhook.latency.destination IS 'scheme://host:port';
COMMENT ON COLUMN kgwebhook.latency.attempts IS 'attempts that were answered, or ran out of time';
COMMENT ON COLUMN kgwebhook.latency.acknowledged IS 'those of them that were acknowledged';
COMMENT ON COLUMN kgwebhook.latency.p50_ms IS 'half of them took no longer than this, in milliseconds';
COMMENT ON COLUMN kgwebhook.latency.p95_ms IS '95 of 100 took no longer';
COMMENT ON COLUMN kgwebhook.latency.p99_ms IS '99 of 100 took no longer';
COMMENT ON COLUMN kgwebhook.latency.max_ms IS 'the slowest';
