/*
 * install/explain_wait.sql
 *		What a delivery waits for, in words.
 */

/*
 * What keeps all deliveries from going, in the words of kg_status(); NULL: nothing does.
 * Pauses are in a table, which may be what is locked.
 */
CREATE FUNCTION kgwebhook.explain_standstill(with_pauses pg_catalog.bool) RETURNS pg_catalog.text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT format(E'%s.%s%s\nWhat to do: %s', upper(left(f.finding, 1)) || substr(f.finding, 2),
                  CASE WHEN f.weight >= 300 THEN ' This is sent once that is over.' ELSE '' END,
                  CASE WHEN f.finding ~ 'is a copy of another' THEN E'\nAdopt it only if it takes the original''s place: two databases that send the same are worse.'
                       WHEN f.finding ~ '^Nothing can be written down' THEN E'\nAttempts that were made since then are not in the log yet.' ELSE '' END,
                  coalesce(f.remedy, 'nothing here.'))
      FROM (SELECT * FROM kgwebhook.worker_findings() w WHERE w.weight >= 300 OR w.finding ~ 'standby'
            UNION ALL SELECT * FROM kgwebhook.lock_findings() l WHERE l.weight >= 300
            UNION ALL SELECT * FROM kgwebhook.egress_findings() e WHERE with_pauses
            UNION ALL SELECT * FROM kgwebhook.pause_findings() p WHERE with_pauses AND p.weight >= 300) f
     ORDER BY f.weight DESC LIMIT 1
$$;
COMMENT ON FUNCTION kgwebhook.explain_standstill(pg_catalog.bool) IS
  'the part of kg_explain() about what keeps all deliveries from going; NULL when nothing does';

/* How many deliveries to the same URL go before one, and how long its receiver takes. */
CREATE FUNCTION kgwebhook.endpoint_pace(
    it kgwebhook.deliveries,
    OUT before pg_catalog.int8,
    OUT looked_at pg_catalog.int8,
    OUT seconds pg_catalog.numeric,
    OUT acknowledged_at pg_catalog.timestamptz) RETURNS pg_catalog.record
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT queued.before, queued.looked_at, logged.seconds, logged.acknowledged_at
      FROM (SELECT count(*) FILTER (WHERE q.org_id = it.org_id AND q.subscription_id IS NOT DISTINCT FROM it.subscription_id
                                      AND split_part(q.url, '?', 1) = split_part(it.url, '?', 1) AND q.next_attempt_at <= now()) AS before,
                   count(*) AS looked_at
              FROM (SELECT * FROM kgwebhook.queue r WHERE r.destination BETWEEN it.destination AND it.destination AND r.delivery_id < it.delivery_id
                     ORDER BY r.destination DESC, r.delivery_id DESC LIMIT 10000) q) queued,
           (SELECT round(percentile_cont(0.5) WITHIN GROUP (ORDER BY l.duration_ms)::numeric / 1000, 1) AS seconds,
                   max(l.started_at) AS acknowledged_at
              FROM kgwebhook.delivery_log l
             WHERE l.attempt_id BETWEEN (SELECT s.last_value - 5000 FROM kgwebhook.attempt_id_seq s)
                                    AND (SELECT s.last_value FROM kgwebhook.attempt_id_seq s)
               AND l.started_at > now() - '10 minutes'::interval
               AND l.destination = it.destination AND l.org_id = it.org_id
               AND l.subscription_id IS NOT DISTINCT FROM it.subscription_id
               AND split_part(l.url, '?', 1) = split_part(it.url, '?', 1)
               AND l.outcome = 'acknowledged' AND NOT l.is_test) logged
$$;
COMMENT ON FUNCTION kgwebhook.endpoint_pace(kgwebhook.deliveries) IS
  'how many deliveries to the same URL are due before one, of as many as were looked at, how many seconds its receiver lately took to acknowledge one, and when it last did';

/*
 * Whether a delivery of an object is in one line with what goes to a subscription, or to the
 * object's own URL: the older one goes first.  What waits for a subscription that is paused, or
 * has not answered its challenge, holds nothing of the object's own.
 */
CREATE FUNCTION kgwebhook.is_in_line(queued kgwebhook.queue, subscription pg_catalog.int8, url pg_catalog.text) RETURNS pg_catalog.bool
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT queued.subscription_id IS NOT DISTINCT FROM subscription
        OR queued.url = url
       AND NOT EXISTS (SELECT FROM kgwebhook.subscription s
                        WHERE s.subscription_id = queued.subscription_id AND (s.paused_at IS NOT NULL OR s.challenge IS NOT NULL) AND s.disabled_at IS NULL)
$$;
COMMENT ON FUNCTION kgwebhook.is_in_line(kgwebhook.queue, pg_catalog.int8, pg_catalog.text) IS
  'whether a delivery goes one after the other with those of its object for this subscription, or this URL';

CREATE FUNCTION kgwebhook.rate_text(rate_limit pg_catalog.numeric) RETURNS pg_catalog.text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT format('%s %s', trim_scale(rate_limit), CASE WHEN rate_limit = 1 THEN 'request' ELSE 'requests' END)
$$;
COMMENT ON FUNCTION kgwebhook.rate_text(pg_catalog.numeric) IS
  'a number of requests a second, in words';

/* What is known of the answer that a subscription waits for, to its operator and its merchant alike. */
CREATE FUNCTION kgwebhook.explain_challenge(subscription kgwebhook.subscription) RETURNS pg_catalog.text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT format(E'Its subscription %s is unverified: the receiver has not answered the challenge of %s. %s\nWhat to do: have the receiver answer a challenge with 2xx and, as the body, what its member "challenge" has; SELECT kg_send_challenge(%s); sends a new one at once.',
                  subscription.subscription_id, date_trunc('second', subscription.challenged_at),
                  CASE WHEN d.delivery_id IS NULL THEN 'It is not known any more'
                       WHEN d.state = 'dead' THEN format('It was given up as delivery %s: %s', d.delivery_id, coalesce(d.last_error, 'it could not be sent'))
                       WHEN d.attempts = 0 THEN format('It is delivery %s, which is about to be sent', d.delivery_id)
                       ELSE format('It is delivery %s; the last attempt: %s', d.delivery_id, d.last_error) END || '.',
                  subscription.subscription_id)
      FROM (SELECT) one
      LEFT JOIN LATERAL (SELECT v.* FROM kgwebhook.deliveries v
                          WHERE v.object_id = subscription.challenge AND v.org_id = subscription.org_id AND v.kind = 'endpoint'
                          ORDER BY v.delivery_id LIMIT 1) d ON true
$$;
COMMENT ON FUNCTION kgwebhook.explain_challenge(kgwebhook.subscription) IS
  'the part of kg_explain() about a subscription that has not answered its challenge';

/* The same of an object's own URL. */
CREATE FUNCTION kgwebhook.explain_consent(it kgwebhook.deliveries) RETURNS pg_catalog.text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT format(E'Its URL has not consented: it waits until a subscription of organization %s with that URL, or one above it, has answered a challenge.\nWhat to do: SELECT kg_subscribe(%L, %L, ''{endpoint.*}'', verify => true); which sends it nothing else but what is told about endpoints.',
                  it.org_id, it.org_id, split_part(it.url, '?', 1))
$$;
COMMENT ON FUNCTION kgwebhook.explain_consent(kgwebhook.deliveries) IS
  'the part of kg_explain() about an own URL that has not consented';

/* Of a long backlog only the first have been found to lack one, by an attempt. */
CREATE FUNCTION kgwebhook.awaits_secret(it kgwebhook.deliveries) RETURNS pg_catalog.bool
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT NOT isfinite(it.next_attempt_at)
        OR NOT EXISTS (SELECT FROM kgwebhook.secret s
                        WHERE s.org_id = it.org_id AND s.subscription_id IN (0, it.subscription_id))
        OR (SELECT u.what IS NOT NULL FROM kgwebhook.undecryptable(it.org_id, coalesce(it.subscription_id, 0)) u)
$$;
COMMENT ON FUNCTION kgwebhook.awaits_secret(kgwebhook.deliveries) IS
  'whether a delivery waits for a signing secret, or a key to decrypt what it needs, or will when its turn comes';

/* What one delivery of the queue waits for, of what is its own or its receiver's. */
CREATE FUNCTION kgwebhook.explain_wait(it kgwebhook.deliveries) RETURNS pg_catalog.text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    notice record;
    pace record;
    subscription kgwebhook.subscription;
    paused timestamptz;
    moves bool;
    probe timestamptz;
    there record;
    crowd record;
    told text;
BEGIN
    SELECT * INTO subscription FROM kgwebhook.subscription s WHERE s.subscription_id = it.subscription_id;
    SELECT p.paused_at INTO paused FROM kgwebhook.paused p WHERE p.destination = it.destination;
    SELECT * INTO notice FROM kgwebhook.destination_notices() n WHERE n.destination = it.destination;
    SELECT f.last, f.is_own, f.objects INTO there FROM kgwebhook.failure_there(it) f WHERE it.last_outcome IS NULL;
    moves := kgwebhook.is_sending(notice.in_flight, notice.seen_at, notice.last_success);
    IF it.subscription_id IS NOT NULL AND subscription.subscription_id IS NULL THEN
        RETURN format('Its subscription %s was removed: it becomes a dead letter when its turn comes.', it.subscription_id);
    ELSIF subscription.disabled_at IS NOT NULL THEN
        RETURN format(E'Its subscription %s is disabled: it becomes a dead letter when its turn comes.\nWhat to do: SELECT kg_resume_subscription(%s);',
                      it.subscription_id, it.subscription_id);
    ELSIF subscription.paused_at IS NOT NULL THEN
        RETURN format(E'Its subscription %s is paused since %s; it is sent once that is resumed.\nWhat to do: SELECT kg_resume_subscription(%s);',
                      it.subscription_id, date_trunc('second', subscription.paused_at), it.subscription_id);
    ELSIF subscription.challenge IS NOT NULL AND it.object_id <> it.webhook_id THEN
        RETURN kgwebhook.explain_challenge(subscription);
    ELSIF it.subscription_id IS NULL AND kgwebhook.lacks_consent(it.org_id, it.url) THEN
        RETURN kgwebhook.explain_consent(it);
    ELSIF paused IS NOT NULL THEN
        RETURN format(E'Its destination %s is paused since %s; it is sent once that is resumed.\nWhat to do: SELECT kg_resume(%L);',
                      it.destination, date_trunc('second', paused), it.destination);
    ELSIF kgwebhook.awaits_secret(it) THEN
        RETURN kgwebhook.explain_missing_secret(it.org_id, it.subscription_id);
    /* that another URL there fails holds nothing up but what is its own */
    ELSIF notice.backing_off AND (it.last_outcome IS NOT NULL OR coalesce(there.is_own OR (there.last).outcome NOT IN ('rejected', 'timed_out'), true)) THEN
        /* a probe is a delivery whose time has come, and that is not behind another of its object */
        SELECT greatest(notice.next_try, min(q.next_attempt_at)) INTO probe
          FROM (SELECT r.* FROM kgwebhook.queue r WHERE r.destination BETWEEN it.destination AND it.destination
                 ORDER BY r.destination, r.delivery_id LIMIT 1000) q
         WHERE q.attempts > 0
            OR NOT EXISTS (SELECT FROM kgwebhook.queue o
                            WHERE o.object_id = q.object_id AND o.org_id = q.org_id AND o.kind = q.kind
                              AND o.destination = q.destination AND o.subscription_id IS NOT DISTINCT FROM q.subscription_id
                              AND o.delivery_id < q.delivery_id OFFSET 0);
        RETURN format('%s (%s in a row). The next probe is %s; this is sent once one succeeds.',
                      CASE WHEN it.last_outcome IN ('unreachable', 'blocked') THEN format('Its destination %s cannot be reached', it.destination)
                           WHEN it.last_outcome IN ('rejected', 'timed_out') THEN format('Its URL is failing, and nothing at %s has succeeded since', it.destination)
                           ELSE format('Its destination %s, or its URL there, is failing', it.destination) END,
                      kgwebhook.count_text(notice.failures_in_a_row, 'failure', 'failures'),
                      CASE WHEN probe <= now() THEN 'under way' ELSE format('at %s', date_trunc('second', probe)) END)
            || CASE WHEN it.last_outcome IS NULL THEN coalesce(kgwebhook.explain_failure_there(it), '') ELSE '' END;
    ELSIF it.next_attempt_at > now() THEN
        RETURN format('Next is attempt %s, at %s, in %s.', it.attempts + 1, date_trunc('second', it.next_attempt_at),
                      date_trunc('second', it.next_attempt_at - now()));
    END IF;
    IF moves AND it.last_outcome IS NULL THEN
        SELECT * INTO crowd FROM kgwebhook.crowd(it.destination, it.org_id, it.subscription_id, it.url, it.next_attempt_at);
        IF crowd.holder IS NOT NULL THEN
            RETURN format(E'It waits for its turn since %s: the requests in flight to %s (%s) leave it no room; those of organization %s take %s. Each ends within kgwebhook.request_timeout (%s), and turns go round.\nWhat to do: %s',
                          date_trunc('second', it.next_attempt_at), it.destination, coalesce(notice.in_flight, 0), crowd.holder,
                          CASE WHEN crowd.seconds > 0 THEN crowd.seconds || ' s each' ELSE 'most of the time' END,
                          current_setting('kgwebhook.request_timeout'),
                          kgwebhook.crowd_remedy(it.destination, crowd.holder));
        END IF;
    END IF;
    pace := kgwebhook.endpoint_pace(it);
    IF moves AND it.last_outcome IN ('rejected', 'timed_out', 'unreachable') AND it.next_attempt_at < now() - '5 seconds'::interval
       AND coalesce(pace.acknowledged_at < it.last_attempt_at, true) THEN
        RETURN format('Its URL is failing, while others at its destination %s are not: it is sent once a probe of that URL succeeds, and there is one each minute at least.',
                      it.destination);
    /* a breaker opens by three objects */
    ELSIF moves AND it.last_outcome IS NULL AND pace.before > 0 AND there.objects >= 3 THEN
        RETURN format('Its URL is failing, while others at its destination %s are not: it is sent once a probe of that URL succeeds, and there is one each minute at least.',
                      it.destination) || kgwebhook.explain_failure_there(it);
    ELSIF kgwebhook.is_pacing(subscription.rate_limit, notice.seen_at) AND (pace.before > 0 OR NOT moves) THEN
        RETURN format('It waits for its turn: subscription %s gets %s a second at most (rate_limit), and %s%s before it.  Its turn comes %s %s.',
                      it.subscription_id, kgwebhook.rate_text(subscription.rate_limit),
                      CASE WHEN pace.looked_at = 10000 THEN 'at least ' ELSE '' END,
                      kgwebhook.count_text(pace.before, 'delivery goes', 'deliveries go'),
                      CASE WHEN pace.looked_at = 10000 THEN 'after' ELSE 'at about' END,
                      date_trunc('second', now() + make_interval(secs => ((pace.before + 1) / subscription.rate_limit)::float8)));
    ELSIF moves THEN
        IF pace.before = 0 THEN
            RETURN format('Attempt %s is under way, or about to be: %s in flight to %s.', it.attempts + 1,
                          kgwebhook.count_text(notice.in_flight, 'request is', 'requests are'), it.destination);
        END IF;
        told := format('It waits for its turn: %s in flight to %s, and %s%s before it.',
                       kgwebhook.count_text(notice.in_flight, 'request is', 'requests are'), it.destination,
                       CASE WHEN pace.looked_at = 10000 THEN 'at least ' ELSE '' END,
                       kgwebhook.count_text(pace.before, 'delivery to its URL goes', 'deliveries to its URL go'));
        IF pace.seconds >= 0.5 THEN
            told := told || format(E'\nIts receiver takes %s s to acknowledge a request.\nIts turn comes %s %s.\nWhat to do: Ask organization %s to have its receiver answer first and work later.',
                                   pace.seconds, CASE WHEN pace.looked_at = 10000 THEN 'after' ELSE 'at about' END,
                                   date_trunc('second', now() + make_interval(secs => (pace.before * pace.seconds / greatest(notice.in_flight, 1))::float8)),
                                   it.org_id);
        END IF;
        RETURN told;
    ELSIF (SELECT s.is_full FROM kgwebhook.slots s) THEN
        RETURN 'It waits for its turn: the workers are busy with other destinations.';
    ELSIF it.next_attempt_at < now() - '1 minute'::interval AND kgwebhook.may_hang() THEN
        RETURN format(E'Its time came at %s, nothing holds it, and it is not sent: a worker may hang.\nWhat to do: %s',
                      date_trunc('second', it.next_attempt_at), kgwebhook.restart_remedy());
    END IF;
    RETURN format('Attempt %s is about to be made.', it.attempts + 1);
END
$$;
COMMENT ON FUNCTION kgwebhook.explain_wait(kgwebhook.deliveries) IS
  'the part of kg_explain() about what a delivery waits for by itself, and when that is over';
