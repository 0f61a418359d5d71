/*
 * install/status_crowd.sql
 *		Endpoints that have no turn, because others' requests hang at the same destination.
 */

/* What is due for longer has had no turn, although each request that was in flight has ended. */
CREATE FUNCTION kgwebhook.patience() RETURNS pg_catalog.interval
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT 2 * current_setting('kgwebhook.request_timeout')::interval + '10 seconds'::interval
$$;
COMMENT ON FUNCTION kgwebhook.patience() IS
  'how long a delivery that is due may wait for its turn before it is worth a word';

/*
 * Whose requests keep an endpoint from its turn.  A destination has a window, and requests that
 * hang hold it; many URLs of one organization's take turns with the only one of another's.  So
 * this is about an endpoint that was not tried for as long as patience() while something of its
 * was due, and names who has had most of the time there lately; or, where nothing has
 * ended yet, who is first in line.
 */
CREATE FUNCTION kgwebhook.crowd(
    at pg_catalog.text,
    org_id pg_catalog.text,
    subscription_id pg_catalog.int8,
    url pg_catalog.text,
    due pg_catalog.timestamptz,
    OUT holder pg_catalog.text,
    OUT seconds pg_catalog.numeric) RETURNS pg_catalog.record
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    WITH there AS MATERIALIZED (
        SELECT l.org_id, l.subscription_id, split_part(l.url, '?', 1) AS url, l.duration_ms
          FROM kgwebhook.delivery_log l
         WHERE l.attempt_id BETWEEN (SELECT s.last_value - 5000 FROM kgwebhook.attempt_id_seq s)
                                AND (SELECT s.last_value FROM kgwebhook.attempt_id_seq s)
           AND l.started_at > now() - '10 minutes'::interval - kgwebhook.patience()
           AND l.destination = crowd.at AND NOT l.is_test
        UNION ALL
        (SELECT q.org_id, q.subscription_id, split_part(q.url, '?', 1), 0 FROM kgwebhook.queue q
          WHERE q.destination BETWEEN (crowd.at COLLATE "C") AND (crowd.at COLLATE "C")
          ORDER BY q.destination, q.delivery_id LIMIT 1)),
    other AS (
        SELECT * FROM there t
         WHERE t.org_id <> crowd.org_id OR t.subscription_id IS DISTINCT FROM crowd.subscription_id
            OR t.subscription_id IS NULL AND t.url <> split_part(crowd.url, '?', 1))
    SELECT m.org_id, m.seconds
      FROM (SELECT o.org_id, round(percentile_cont(0.5) WITHIN GROUP (ORDER BY nullif(o.duration_ms, 0))::numeric / 1000, 1) AS seconds
              FROM other o GROUP BY o.org_id ORDER BY sum(o.duration_ms) DESC LIMIT 1) m
     WHERE crowd.due < now() - kgwebhook.patience()
       AND NOT EXISTS (SELECT FROM (SELECT * FROM kgwebhook.delivery_log a
                                     WHERE a.org_id BETWEEN (crowd.org_id COLLATE "default") AND (crowd.org_id COLLATE "default")
                                     ORDER BY a.org_id DESC, a.delivery_id DESC LIMIT 500) l
                        WHERE l.destination = crowd.at AND l.subscription_id IS NOT DISTINCT FROM crowd.subscription_id
                          AND (l.subscription_id IS NOT NULL OR split_part(l.url, '?', 1) = split_part(crowd.url, '?', 1))
                          AND l.started_at > now() - kgwebhook.patience())
       /* it has not come to all of them yet */
       AND NOT EXISTS (SELECT FROM pg_stat_activity w
                        WHERE w.backend_type = 'kgwebhook worker' AND w.datname = current_database()
                          AND w.backend_start > clock_timestamp() - kgwebhook.patience())
$$;
COMMENT ON FUNCTION kgwebhook.crowd(pg_catalog.text, pg_catalog.text, pg_catalog.int8, pg_catalog.text, pg_catalog.timestamptz) IS
  'whose requests at a destination keep one of its endpoints, which has waited since then, from its turn; NULL: nobody''s';

/* What to do about it.  A single URL never takes the window: it has a share, so it is many of theirs. */
CREATE FUNCTION kgwebhook.crowd_remedy(at pg_catalog.text, holder pg_catalog.text) RETURNS pg_catalog.text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT format('Ask organization %s to have its receivers at %s answer first and work later; what waits is then sent by itself, in order.', holder, at)
$$;
COMMENT ON FUNCTION kgwebhook.crowd_remedy(pg_catalog.text, pg_catalog.text) IS
  'what to do about an organization whose requests keep others at the same destination from their turn, in words';
