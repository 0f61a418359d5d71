/*
 * install/reconcile.sql
 *		Which objects' latest status a receiver has not acknowledged, and why.
 */

/*
 * Whether a query that asks it of rows one after the other has not met this object at this
 * URL before.  It remembers as long as the query runs, so it belongs into the WHERE
 * over a subquery that brings the rows in an order: the first one of an object is told from
 * the later ones by nothing else.
 */
CREATE FUNCTION kgwebhook.first_of_object(org_id pg_catalog.text, kind pg_catalog.text, object_id pg_catalog.text, url pg_catalog.text)
    RETURNS pg_catalog.bool
    LANGUAGE c VOLATILE STRICT
    AS 'MODULE_PATHNAME', 'kg_first_of_object';
COMMENT ON FUNCTION kgwebhook.first_of_object(pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.text) IS
  'internal: whether this query meets an object at a URL for the first time';

/*
 * As kgwebhook.unacknowledged, for a day of a million deliveries: the queue and the dead
 * letters are read once, newest first, so that the first delivery of an object is its
 * newest; and only of these the log is asked, once each, for what speaks against it
 * and for the last error.  Both sides come in the order of their numbers down
 * to the answer, so that nothing has to be sorted or hashed with the columns of a million
 * rows: each OFFSET 0 and the ORDER BY with it keep that order.  A CTE would not do, since one with
 * a volatile function is kept as a whole.  Superseded deliveries of a day are few, and
 * look by their object.  A challenge is about no object, and left out.
 */
CREATE FUNCTION @extschema@.kg_reconcile(
    since pg_catalog.interval DEFAULT '1 day',
    OUT org_id pg_catalog.text,
    OUT event pg_catalog.text,
    OUT kind pg_catalog.text,
    OUT object_id pg_catalog.text,
    OUT url pg_catalog.text,
    OUT delivery_id pg_catalog.int8,
    OUT webhook_id pg_catalog.text,
    OUT state pg_catalog.text,
    OUT attempts pg_catalog.int4,
    OUT enqueued_at pg_catalog.timestamptz,
    OUT why pg_catalog.text,
    OUT subscription_id pg_catalog.int8) RETURNS SETOF pg_catalog.record
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET work_mem = '32MB' SET jit = off
    AS $$
DECLARE
    consent CONSTANT bool := EXISTS (SELECT FROM kgwebhook.consent c WHERE c.required);
BEGIN
    IF since IS NULL THEN
        RAISE EXCEPTION 'since must not be null'
            USING ERRCODE = 'null_value_not_allowed',
                  HINT = 'Give an age such as ''1 day'': what was queued longer ago is not considered.';
    ELSIF since < '0' THEN
        RAISE EXCEPTION 'since is negative'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('It is %s; nothing was queued since then.', since),
                  HINT = 'Give an age such as ''1 day''.';
    END IF;
    RETURN QUERY
        SELECT l.org_id, l.event, l.kind, l.object_id, l.url, l.delivery_id, l.webhook_id, l.state, l.attempts, l.at,
               coalesce(CASE WHEN l.subscription_id IS NOT NULL AND l.state IN ('pending', 'retrying')
                             THEN (SELECT format('its subscription %s is %s', s.subscription_id, CASE WHEN s.paused_at IS NOT NULL THEN 'paused' ELSE 'unverified' END)
                                     FROM kgwebhook.subscription s
                                    WHERE s.subscription_id = l.subscription_id AND (s.paused_at IS NOT NULL OR s.challenge IS NOT NULL) AND s.disabled_at IS NULL) END,
                        CASE WHEN l.subscription_id IS NULL AND l.state IN ('pending', 'retrying') AND consent AND kgwebhook.lacks_consent(l.org_id, l.url)
                             THEN 'its URL has not consented' END,
                        CASE WHEN l.state IN ('dead', 'superseded') THEN l.said
                             WHEN l.state = 'retrying' THEN CASE WHEN isfinite(l.next_attempt_at) THEN 'tried again at ' || l.next_attempt_at::text || '; '
                                                                 ELSE '' END || l.said
                             WHEN isfinite(l.next_attempt_at) THEN 'not attempted yet'
                             WHEN EXISTS (SELECT FROM kgwebhook.secret e WHERE e.org_id = l.org_id AND e.subscription_id IN (0, l.subscription_id))
                             THEN 'waits for the key to decrypt its signing secret'
                             ELSE 'waits for a signing secret' END),
               l.subscription_id
          FROM ((SELECT n.org_id, n.event, n.kind, n.object_id, n.url, n.delivery_id, n.webhook_id,
                    CASE WHEN n.dead THEN 'dead' WHEN n.attempts = 0 THEN 'pending' ELSE 'retrying' END AS state,
                    n.attempts, n.enqueued_at AS at, n.next_attempt_at, n.subscription_id,
                    CASE WHEN n.attempts = 0 AND NOT n.dead THEN ''
                         ELSE (SELECT CASE WHEN bool_or(a.url = n.url AND NOT a.is_test
                                                        AND (a.outcome = 'acknowledged' AND a.delivery_id >= n.delivery_id
                                                             OR a.outcome = 'superseded' AND a.final AND a.delivery_id > n.delivery_id AND n.dead)) THEN NULL
                                           WHEN n.dead THEN n.reason
                                           ELSE coalesce((array_agg(a.error ORDER BY a.attempt DESC, a.attempt_id DESC) FILTER (WHERE a.delivery_id = n.delivery_id))[1],
                                                         'the log has no attempt of it any more') END
                                 FROM kgwebhook.delivery_log a
                                WHERE a.object_id = n.object_id AND a.org_id = n.org_id AND a.kind = n.kind
                                  AND a.started_at >= CASE WHEN n.attempts_before > 0 THEN '-infinity' ELSE n.enqueued_at - interval '1 day' END) END AS said
               FROM (SELECT w.*
                       FROM (SELECT q.delivery_id, q.org_id, q.event, q.kind, q.object_id, q.url, q.webhook_id, q.attempts, q.attempts_before,
                                    q.enqueued_at, q.next_attempt_at, q.subscription_id, false AS dead, NULL AS reason
                               FROM kgwebhook.queue q
                             UNION ALL
                             SELECT d.delivery_id, d.org_id, d.event, d.kind, d.object_id, d.url, d.webhook_id, d.attempts, d.attempts_before,
                                    d.enqueued_at, NULL, d.subscription_id, true, d.reason
                               FROM kgwebhook.dead_letter d
                             ORDER BY delivery_id DESC OFFSET 0) w
                      WHERE kgwebhook.first_of_object(w.org_id, w.kind, w.object_id, w.url) ORDER BY w.delivery_id DESC OFFSET 0) n
              WHERE n.enqueued_at >= now() - kg_reconcile.since AND (n.object_id <> n.webhook_id OR n.event <> 'endpoint.challenge')
              ORDER BY n.delivery_id DESC OFFSET 0)
            UNION ALL
            (SELECT u.org_id, u.event, u.kind, u.object_id, u.url, u.delivery_id, u.webhook_id,
                    'superseded', u.attempt, u.started_at, NULL, u.subscription_id, 'superseded, and what superseded it is gone'
               FROM kgwebhook.delivery_log u
              WHERE u.started_at >= now() - kg_reconcile.since AND (u.object_id <> u.webhook_id OR u.event <> 'endpoint.challenge')
                AND u.final AND NOT u.is_test AND u.queued_again IS NOT TRUE AND u.outcome = 'superseded'
                AND NOT EXISTS (SELECT FROM kgwebhook.delivery_log a
                                 WHERE a.object_id = u.object_id AND a.org_id = u.org_id AND a.kind = u.kind AND a.url = u.url
                                   AND a.started_at >= u.started_at - interval '1 day'
                                   AND (a.delivery_id = u.delivery_id AND (a.outcome = 'acknowledged' OR a.attempt > u.attempt)
                                        OR a.delivery_id > u.delivery_id
                                           AND (a.outcome = 'acknowledged' OR a.outcome = 'superseded' AND a.final))
                                   AND NOT a.is_test OFFSET 0)
                AND NOT EXISTS (SELECT FROM kgwebhook.queue n
                                 WHERE n.object_id = u.object_id AND n.org_id = u.org_id AND n.kind = u.kind AND n.url = u.url
                                   AND n.delivery_id > u.delivery_id OFFSET 0)
                AND NOT EXISTS (SELECT FROM kgwebhook.dead_letter n
                                 WHERE n.object_id = u.object_id AND n.org_id = u.org_id AND n.kind = u.kind AND n.url = u.url
                                   AND n.delivery_id > u.delivery_id OFFSET 0)
              ORDER BY u.delivery_id DESC OFFSET 0)) l
         WHERE l.said IS NOT NULL
           AND (l.subscription_id IS NULL OR EXISTS (SELECT FROM kgwebhook.subscription s WHERE s.subscription_id = l.subscription_id))
         ORDER BY l.delivery_id DESC;
    RETURN QUERY
        SELECT u.org_id, u.event, u.kind, u.object_id, u.url, NULL::int8, u.webhook_id, 'missing'::text, 0, u.at,
               format('arrived from source "%s", and no delivery of it is known; SELECT kg_announce(%L, %L, source => %L); makes it',
                      u.source, u.at, u.org_id, u.source), NULL::int8
          FROM kgwebhook.unqueued(since) u;
END
$$;
COMMENT ON FUNCTION @extschema@.kg_reconcile(pg_catalog.interval) IS
  'objects whose latest status was never acknowledged, and why';
