/*
 * install/recover.sql
 *		Sending again what an outage left unacknowledged.
 */

/*
 * What was acknowledged once is not undelivered, even where it was superseded when it
 * was sent again.  A delivery that was overtaken by a newer,
 * acknowledged one of its object is left out: the receiver would see an older
 * status after a newer one.  So is a challenge, which is no event: kg_send_challenge() and
 * kg_resume_subscription() send a new one.
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
               AND (q.object_id <> q.webhook_id OR q.event <> 'endpoint.challenge')
            UNION ALL
            SELECT d.delivery_id, d.org_id, d.kind, d.object_id, d.destination, d.subscription_id,
                   CASE WHEN d.attempts_before = 0 THEN d.enqueued_at - interval '1 day' ELSE '-infinity' END
              FROM kgwebhook.dead_letter d
             WHERE d.enqueued_at <= undelivered.until AND d.died_at >= undelivered.since
               AND (d.object_id <> d.webhook_id OR d.event <> 'endpoint.challenge')
            UNION ALL
            SELECT l.delivery_id, l.org_id, l.kind, l.object_id, l.destination, l.subscription_id, '-infinity'
              FROM kgwebhook.delivery_log l
             WHERE l.final AND l.outcome = 'superseded' AND NOT l.is_test AND (l.object_id <> l.webhook_id OR l.event <> 'endpoint.challenge')
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
