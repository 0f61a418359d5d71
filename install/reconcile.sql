/*
 * install/reconcile.sql
 *		Which objects' latest status a receiver has not acknowledged, and why.
 */

/*
 * As kgwebhook.unacknowledged, for a day of a million deliveries: which of them are their
 * objects' newest is found for all at once, and only of these the log is asked, once
 * each, for what speaks against it and for the last error.  Both sides come in
 * the order of their numbers, so that neither a join nor the answer has to be sorted or
 * hashed with the columns of a million rows; enable_hashjoin is off because the planner
 * knows nothing of max(delivery_id), and hashes the queue.  Dead letters and
 * superseded deliveries of a day are few, and look by their object.  A challenge is about no
 * object, and left out.
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
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET work_mem = '128MB' SET enable_hashjoin = off SET jit = off
    AS $$
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
        WITH newest AS (
            SELECT max(a.delivery_id) AS delivery_id
              FROM (SELECT q.object_id, q.org_id, q.kind, q.url, q.delivery_id FROM kgwebhook.queue q
                    UNION ALL
                    SELECT d.object_id, d.org_id, d.kind, d.url, d.delivery_id FROM kgwebhook.dead_letter d) a
             GROUP BY a.object_id, a.org_id, a.kind, a.url),
        latest AS (
            (SELECT q.org_id, q.event, q.kind, q.object_id, q.url, q.delivery_id, q.webhook_id,
                    CASE WHEN q.attempts = 0 THEN 'pending' ELSE 'retrying' END AS state,
                    q.attempts, q.enqueued_at AS at, q.next_attempt_at, q.subscription_id,
                    CASE WHEN q.attempts = 0 THEN ''
                         ELSE (SELECT CASE WHEN bool_or(a.outcome = 'acknowledged' AND a.url = q.url AND a.delivery_id >= q.delivery_id AND NOT a.is_test) THEN NULL
                                           ELSE coalesce((array_agg(a.error ORDER BY a.attempt DESC, a.attempt_id DESC) FILTER (WHERE a.delivery_id = q.delivery_id))[1],
                                                         'the log has no attempt of it any more') END
                                 FROM kgwebhook.delivery_log a
                                WHERE a.object_id = q.object_id AND a.org_id = q.org_id AND a.kind = q.kind
                                  AND a.started_at >= CASE WHEN q.attempts_before > 0 THEN '-infinity' ELSE q.enqueued_at - interval '1 day' END) END AS said
               FROM kgwebhook.queue q
               JOIN newest n ON n.delivery_id = q.delivery_id
              WHERE q.enqueued_at >= now() - kg_reconcile.since AND q.object_id <> q.webhook_id
              ORDER BY q.delivery_id OFFSET 0)
            UNION ALL
            (SELECT d.org_id, d.event, d.kind, d.object_id, d.url, d.delivery_id, d.webhook_id,
                    'dead', d.attempts, d.enqueued_at, NULL, d.subscription_id, d.reason
               FROM kgwebhook.dead_letter d
              WHERE d.enqueued_at >= now() - kg_reconcile.since AND d.object_id <> d.webhook_id
                AND NOT EXISTS (SELECT FROM kgwebhook.queue n
                                 WHERE n.object_id = d.object_id AND n.org_id = d.org_id AND n.kind = d.kind AND n.url = d.url
                                   AND n.delivery_id > d.delivery_id OFFSET 0)
                AND NOT EXISTS (SELECT FROM kgwebhook.dead_letter n
                                 WHERE n.object_id = d.object_id AND n.org_id = d.org_id AND n.kind = d.kind AND n.url = d.url
                                   AND n.delivery_id > d.delivery_id OFFSET 0)
                AND NOT EXISTS (SELECT FROM kgwebhook.delivery_log a
                                 WHERE a.object_id = d.object_id AND a.org_id = d.org_id AND a.kind = d.kind AND a.url = d.url
                                   AND a.delivery_id >= d.delivery_id
                                   AND a.started_at >= CASE WHEN d.attempts_before > 0 THEN '-infinity' ELSE d.enqueued_at - interval '1 day' END
                                   AND (a.outcome = 'acknowledged'
                                        OR a.outcome = 'superseded' AND a.final AND a.delivery_id > d.delivery_id)
                                   AND NOT a.is_test OFFSET 0)
              ORDER BY d.delivery_id OFFSET 0)
            UNION ALL
            (SELECT u.org_id, u.event, u.kind, u.object_id, u.url, u.delivery_id, u.webhook_id,
                    'superseded', u.attempt, u.started_at, NULL, u.subscription_id, 'superseded, and what superseded it is gone'
               FROM kgwebhook.delivery_log u
              WHERE u.started_at >= now() - kg_reconcile.since AND u.object_id <> u.webhook_id
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
              ORDER BY u.delivery_id OFFSET 0))
        SELECT l.org_id, l.event, l.kind, l.object_id, l.url, l.delivery_id, l.webhook_id, l.state, l.attempts, l.at,
               coalesce(CASE WHEN l.subscription_id IS NOT NULL AND l.state IN ('pending', 'retrying')
                             THEN (SELECT format('its subscription %s is %s', s.subscription_id, CASE WHEN s.paused_at IS NOT NULL THEN 'paused' ELSE 'unverified' END)
                                     FROM kgwebhook.subscription s
                                    WHERE s.subscription_id = l.subscription_id AND (s.paused_at IS NOT NULL OR s.challenge IS NOT NULL) AND s.disabled_at IS NULL) END,
                        CASE WHEN l.state IN ('dead', 'superseded') THEN l.said
                             WHEN l.state = 'retrying' THEN CASE WHEN isfinite(l.next_attempt_at) THEN 'tried again at ' || l.next_attempt_at::text || '; '
                                                                 ELSE '' END || l.said
                             WHEN isfinite(l.next_attempt_at) THEN 'not attempted yet'
                             WHEN EXISTS (SELECT FROM kgwebhook.secret e WHERE e.org_id = l.org_id AND e.subscription_id IN (0, l.subscription_id))
                             THEN 'waits for the key to decrypt its signing secret'
                             ELSE 'waits for a signing secret' END),
               l.subscription_id
          FROM latest l
         WHERE l.said IS NOT NULL
           AND (l.subscription_id IS NULL OR EXISTS (SELECT FROM kgwebhook.subscription s WHERE s.subscription_id = l.subscription_id))
         ORDER BY l.delivery_id;
    RETURN QUERY
        SELECT u.org_id, u.event, u.kind, u.object_id, u.url, NULL::int8, u.webhook_id, 'missing'::text, 0, u.at,
               format('arrived from source "%s", and no delivery of it is known; SELECT kg_announce(%L, %L, source => %L); makes it',
                      u.source, u.at, u.org_id, u.source), NULL::int8
          FROM kgwebhook.unqueued(since) u;
END
$$;
COMMENT ON FUNCTION @extschema@.kg_reconcile(pg_catalog.interval) IS
  'objects whose latest status was never acknowledged, and why';
