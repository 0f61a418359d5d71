/*
 * install/recover.sql
 *		Sending again what an outage left unacknowledged.
 */

/*
 * What was acknowledged once is not undelivered, even where it was superseded when it
 * was sent again.  A delivery that was overtaken by a newer,
 * acknowledged one of its object is left out: the receiver would see an older
 * status after a newer one.
 */
CREATE FUNCTION kgwebhook.undelivered(
    since pg_catalog.timestamptz,
    until pg_catalog.timestamptz,
    org_id pg_catalog.text,
    destination pg_catalog.text,
    OUT delivery_id pg_catalog.int8,
    OUT due pg_catalog.timestamptz,
    OUT overtaken pg_catalog.bool,
    OUT accepted pg_catalog.bool) RETURNS SETOF pg_catalog.record
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    RETURN QUERY
        WITH candidate AS (
            SELECT q.delivery_id, q.org_id, q.kind, q.object_id, q.destination, q.subscription_id,
                   CASE WHEN q.attempts_before = 0 THEN q.enqueued_at - interval '1 day' ELSE '-infinity' END AS asked
              FROM kgwebhook.queue q
             WHERE q.enqueued_at <= undelivered.until AND q.attempts > q.attempts_before
               AND q.next_attempt_at > now() AND isfinite(q.next_attempt_at)
            UNION ALL
            SELECT d.delivery_id, d.org_id, d.kind, d.object_id, d.destination, d.subscription_id,
                   CASE WHEN d.attempts_before = 0 THEN d.enqueued_at - interval '1 day' ELSE '-infinity' END
              FROM kgwebhook.dead_letter d
             WHERE d.enqueued_at <= undelivered.until AND d.died_at >= undelivered.since
            UNION ALL
            SELECT l.delivery_id, l.org_id, l.kind, l.object_id, l.destination, l.subscription_id, '-infinity'
              FROM kgwebhook.delivery_log l
             WHERE l.final AND l.outcome = 'superseded' AND NOT l.is_test
               AND l.started_at BETWEEN undelivered.since AND undelivered.until
               AND NOT EXISTS (SELECT FROM kgwebhook.delivery_log a
                                WHERE a.delivery_id = l.delivery_id AND a.attempt > l.attempt)
               AND EXISTS (SELECT FROM kgwebhook.delivery_log a
                            WHERE a.delivery_id = l.delivery_id AND a.request_body IS NOT NULL)
               AND NOT EXISTS (SELECT FROM kgwebhook.delivery_log a
                                WHERE a.delivery_id = l.delivery_id AND a.outcome = 'acknowledged')
               AND NOT EXISTS (SELECT FROM kgwebhook.queue q WHERE q.delivery_id = l.delivery_id)),
        judged AS (
            SELECT c.delivery_id, c.destination, (c.subscription_id IS NULL OR kgwebhook.subscription_accepts(c.subscription_id)) AS accepted,
                   EXISTS (SELECT FROM kgwebhook.delivery_log l
                            WHERE l.object_id = c.object_id AND l.org_id = c.org_id AND l.kind = c.kind
                              AND l.destination = c.destination
                              AND l.subscription_id IS NOT DISTINCT FROM c.subscription_id
                              AND l.delivery_id > c.delivery_id AND l.started_at >= c.asked
                              AND l.outcome = 'acknowledged' AND NOT l.is_test) AS overtaken
              FROM candidate c
             WHERE (c.subscription_id IS NULL
                    OR EXISTS (SELECT FROM kgwebhook.subscription s WHERE s.subscription_id = c.subscription_id))
               AND (undelivered.org_id IS NULL OR c.org_id = undelivered.org_id)
               AND (undelivered.destination IS NULL OR c.destination = lower(undelivered.destination)))
        /* 200 a second to each destination: its receiver has only just recovered */
        SELECT j.delivery_id,
               now() + make_interval(secs => (row_number() OVER (PARTITION BY j.destination, j.overtaken, j.accepted
                                                                 ORDER BY j.delivery_id) - 1) / 200.0),
               j.overtaken, j.accepted
          FROM judged j;
END
$$;
COMMENT ON FUNCTION kgwebhook.undelivered(pg_catalog.timestamptz, pg_catalog.timestamptz, pg_catalog.text, pg_catalog.text) IS
  'deliveries not acknowledged in a time span, and when kg_recover() would send them';

CREATE FUNCTION @extschema@.kg_recover(
    since pg_catalog.timestamptz,
    until pg_catalog.timestamptz DEFAULT pg_catalog.now(),
    org_id pg_catalog.text DEFAULT NULL,
    destination pg_catalog.text DEFAULT NULL,
    dry_run pg_catalog.bool DEFAULT false) RETURNS pg_catalog.int8
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    ids int8[];
    times timestamptz[];
    left_out int8;
    not_accepted int8;
    recovered int8;
BEGIN
    IF since IS NULL OR until IS NULL OR dry_run IS NULL THEN
        RAISE EXCEPTION 'since, until and dry_run must not be null'
            USING ERRCODE = 'null_value_not_allowed',
                  HINT = 'Only org_id and destination may be null, which stands for all of them.';
    END IF;
    IF since > until THEN
        RAISE EXCEPTION 'the span to recover ends before it begins'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('It is from %s until %s.', since, until);
    END IF;
    /* for a misspelled destination, "0" would look as if nothing had been lost */
    IF kg_recover.destination <> '' THEN
        kg_recover.destination := kgwebhook.normalized_destination(kg_recover.destination);
    END IF;
    /* before looking: what another session recovers is no longer undelivered */
    IF NOT dry_run THEN
        LOCK TABLE kgwebhook.dead_letter IN SHARE UPDATE EXCLUSIVE MODE;
    END IF;
    SELECT array_agg(m.delivery_id ORDER BY m.delivery_id) FILTER (WHERE m.accepted AND NOT m.overtaken),
           array_agg(m.due ORDER BY m.delivery_id) FILTER (WHERE m.accepted AND NOT m.overtaken),
           count(*) FILTER (WHERE m.accepted AND m.overtaken), count(*) FILTER (WHERE NOT m.accepted)
      INTO ids, times, left_out, not_accepted
      FROM kgwebhook.undelivered(since, until, kg_recover.org_id, kg_recover.destination) m;
    IF left_out > 0 THEN
        RAISE NOTICE '% deliveries were left out', left_out
            USING DETAIL = 'A newer status of the same object has been acknowledged; the older one must not arrive after it.',
                  HINT = 'kg_redeliver() sends one anyway.';
    END IF;
    IF not_accepted > 0 THEN
        RAISE NOTICE '% deliveries were left out', not_accepted
            USING DETAIL = 'They are for subscriptions that are disabled.',
                  HINT = 'kg_resume_subscription() enables one; kgwebhook.subscriptions says why it is disabled.';
    END IF;
    IF ids IS NULL OR dry_run THEN
        RETURN coalesce(cardinality(ids), 0);
    END IF;
    SELECT count(*) INTO recovered FROM kgwebhook.requeue(ids, times, now());
    RETURN recovered;
END
$$;
COMMENT ON FUNCTION @extschema@.kg_recover(pg_catalog.timestamptz, pg_catalog.timestamptz, pg_catalog.text, pg_catalog.text, pg_catalog.bool) IS
  'queues everything again that was not acknowledged in a time span, in order and throttled; returns how many';

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
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET work_mem = '64MB' SET enable_mergejoin = off SET jit = off
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
        WITH newest AS MATERIALIZED (
            SELECT a.object_id, a.org_id, a.kind, a.url, max(a.delivery_id) AS delivery_id
              FROM (SELECT q.object_id, q.org_id, q.kind, q.url, q.delivery_id FROM kgwebhook.queue q
                    UNION ALL
                    SELECT d.object_id, d.org_id, d.kind, d.url, d.delivery_id FROM kgwebhook.dead_letter d) a
             GROUP BY 1, 2, 3, 4),
        latest AS (
            SELECT u.org_id, u.event, u.kind, u.object_id, u.url, u.delivery_id, u.state, u.attempts, u.since AS at,
                   u.next_attempt_at, u.subscription_id, u.webhook_id, u.reason, a.error AS last_error
              FROM kgwebhook.open_deliveries u
              LEFT JOIN newest n ON n.object_id = u.object_id AND n.org_id = u.org_id AND n.kind = u.kind AND n.url = u.url
              /* an attempt is not older than what it is an attempt of */
              LEFT JOIN LATERAL (SELECT l.error FROM kgwebhook.delivery_log l
                                  WHERE l.delivery_id = u.delivery_id AND u.state = 'retrying'
                                    AND l.started_at >= CASE WHEN u.attempts_before > 0
                                                             THEN '-infinity' ELSE u.since - interval '1 day' END
                                    AND l.started_at < now() + interval '1 day'
                                  ORDER BY l.attempt DESC, l.attempt_id DESC LIMIT 1) a ON true
             WHERE u.since >= now() - kg_reconcile.since
               AND (n.delivery_id IS NULL OR n.delivery_id <= u.delivery_id)
               AND (u.subscription_id IS NULL
                    OR EXISTS (SELECT FROM kgwebhook.subscription s WHERE s.subscription_id = u.subscription_id)))
        SELECT l.org_id, l.event, l.kind, l.object_id, l.url, l.delivery_id, l.webhook_id, l.state, l.attempts, l.at,
               CASE WHEN l.state IN ('pending', 'retrying') AND s.paused_at IS NOT NULL AND s.disabled_at IS NULL
                    THEN format('its subscription %s is paused', s.subscription_id)
                    ELSE CASE l.state
                    WHEN 'dead' THEN l.reason
                    WHEN 'superseded' THEN 'superseded, and what superseded it is gone'
                    WHEN 'pending' THEN CASE WHEN isfinite(l.next_attempt_at) THEN 'not attempted yet'
                                             WHEN EXISTS (SELECT FROM kgwebhook.secret e WHERE e.org_id = l.org_id AND e.subscription_id IN (0, l.subscription_id))
                                             THEN 'waits for the key to decrypt its signing secret'
                                             ELSE 'waits for a signing secret' END
                    ELSE CASE WHEN isfinite(l.next_attempt_at) THEN 'tried again at ' || l.next_attempt_at::text || '; '
                              ELSE '' END || coalesce(l.last_error, 'the log has no attempt of it any more') END END,
               l.subscription_id
          FROM latest l
          LEFT JOIN kgwebhook.subscription s ON s.subscription_id = l.subscription_id
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
