/*
 * install/explain_past.sql
 *		How a delivery ended so far, and others of its URL, in words.
 */

/*
 * One text a delivery, for the person on call: what it is and how its last attempt
 * ended, what it waits for, when it is tried next, when it is given up, and what to
 * do.  What stops everything, and what to do about receivers, is told in the words of
 * kg_status(), by the same functions.  "Due" is said of nothing that is held.
 *
 * Each look-up goes by an index and is limited, whatever queue and log hold, and
 * none waits for a lock for long.
 */

CREATE FUNCTION kgwebhook.explain_past(it kgwebhook.deliveries) RETURNS pg_catalog.text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    last kgwebhook.delivery_log;
BEGIN
    SELECT * INTO last FROM kgwebhook.delivery_log l
     WHERE l.delivery_id = it.delivery_id ORDER BY l.attempt DESC, l.attempt_id DESC LIMIT 1;
    RETURN format('Delivery %s is %s of %s %s of organization %s, to %s%s.',
                  it.delivery_id, it.event, coalesce(nullif(it.kind, ''), 'object'), it.object_id, it.org_id, it.url,
                  coalesce(' (subscription ' || it.subscription_id || ')', ''))
           || CASE WHEN it.enqueued_at IS NULL THEN '' ELSE format(E'\nIt was queued at %s.', date_trunc('second', it.enqueued_at)) END
           || CASE WHEN last.attempt_id IS NULL THEN E'\nNo attempt has been made.'
                   ELSE format(E'\nThe last attempt, number %s, began at %s and %s after %s ms%s.',
                               last.attempt, date_trunc('second', last.started_at), CASE last.outcome WHEN 'timed_out' THEN 'timed out' ELSE 'was ' || last.outcome END,
                               round(coalesce(last.duration_ms, 0)::numeric),
                               coalesce(': ' || last.error, format(' with HTTP status %s', last.response_status), '')) END
           || CASE WHEN last.outcome <> 'acknowledged' AND last.response_body <> ''
                   THEN format(E'\nThe receiver said: %s', left(regexp_replace(last.response_body, '\s+', ' ', 'g'), 500)) ELSE '' END;
END
$$;
COMMENT ON FUNCTION kgwebhook.explain_past(kgwebhook.deliveries) IS
  'the part of kg_explain() about what was';

CREATE FUNCTION kgwebhook.explain_settled(it kgwebhook.deliveries, to_merchant pg_catalog.bool) RETURNS pg_catalog.text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    dead kgwebhook.dead_letter;
    subscription kgwebhook.subscription;
BEGIN
    IF it.state = 'acknowledged' THEN
        RETURN 'The receiver has it; nothing is left to do.';
    ELSIF it.state = 'superseded' THEN
        RETURN format(E'It was superseded by a newer status of the object.\nNothing more happens automatically. SELECT kg_redeliver(%s); sends it anyway.', it.delivery_id);
    END IF;
    SELECT * INTO dead FROM kgwebhook.dead_letter d WHERE d.delivery_id = it.delivery_id;
    SELECT * INTO subscription FROM kgwebhook.subscription s WHERE s.subscription_id = it.subscription_id;
    RETURN format(E'It was given up at %s: %s.\nNothing more happens automatically.', date_trunc('second', dead.died_at), dead.reason)
           || CASE WHEN dead.forgotten_sha256 IS NOT NULL
                   THEN ' kg_forget() has removed its payload, so it cannot be sent again.'
                   WHEN it.subscription_id IS NOT NULL AND subscription.subscription_id IS NULL
                   THEN format(' Subscription %s was removed, so it cannot be sent again.', it.subscription_id)
                   WHEN subscription.disabled_at IS NOT NULL
                   THEN format(E'\nWhat to do: fix the cause; then enable the subscription by SELECT kg_resume_subscription(%s); after that SELECT kg_redeliver(%s); sends it again.',
                               it.subscription_id, it.delivery_id)
                   WHEN to_merchant AND dead.reason ~ '^invalid:' THEN E'\nWhat to do: ask the operator to correct it.'
                   ELSE E'\nWhat to do: ' || kgwebhook.dead_letter_remedy(it.delivery_id, dead.reason) END;
END
$$;
COMMENT ON FUNCTION kgwebhook.explain_settled(kgwebhook.deliveries, pg_catalog.bool) IS
  'the part of kg_explain() about a delivery that is settled';

/* When a delivery is given up that goes on failing, by the whole schedule or by what is left of it. */
CREATE FUNCTION kgwebhook.given_up_at(
    attempts pg_catalog.int4,
    next_attempt_at pg_catalog.timestamptz,
    enqueued_at pg_catalog.timestamptz,
    backing_off pg_catalog.bool) RETURNS pg_catalog.timestamptz
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT CASE WHEN backing_off
                THEN greatest(enqueued_at + sum(d.delay::interval) * (1 + current_setting('kgwebhook.retry_jitter')::float8), now())
                ELSE greatest(next_attempt_at, now()) + coalesce(sum(d.delay::interval) FILTER (WHERE d.n > attempts), '0'::interval) END
      FROM unnest(string_to_array(current_setting('kgwebhook.retry_schedule'), ',')) WITH ORDINALITY AS d (delay, n)
$$;
COMMENT ON FUNCTION kgwebhook.given_up_at(pg_catalog.int4, pg_catalog.timestamptz, pg_catalog.timestamptz, pg_catalog.bool) IS
  'about when a delivery is given up if nothing changes, after so many attempts of its schedule';

/*
 * The last failure of the same URL, or else of its destination, of as many attempts as
 * endpoint_pace() looks at: what one that has not been tried waits for, others have met.
 * "objects" is how many have failed since that URL last acknowledged one.
 */
CREATE FUNCTION kgwebhook.failure_there(
    it kgwebhook.deliveries,
    OUT last kgwebhook.delivery_log,
    OUT is_own pg_catalog.bool,
    OUT objects pg_catalog.int8) RETURNS pg_catalog.record
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    WITH lately AS MATERIALIZED (
        SELECT l, l.org_id = it.org_id AND l.subscription_id IS NOT DISTINCT FROM it.subscription_id
                  AND split_part(l.url, '?', 1) = split_part(it.url, '?', 1) AS is_own
          FROM kgwebhook.delivery_log l
         WHERE l.attempt_id BETWEEN (SELECT s.last_value - 5000 FROM kgwebhook.attempt_id_seq s)
                                AND (SELECT s.last_value FROM kgwebhook.attempt_id_seq s)
           AND l.destination = it.destination AND NOT l.is_test),
    failed AS (
        SELECT a.* FROM lately a
         WHERE (a.l).outcome IN ('rejected', 'timed_out', 'unreachable', 'blocked')
           /* these are about one delivery, as the worker has it */
           AND coalesce((a.l).response_status, 0) NOT IN (400, 409, 410, 413, 422))
    SELECT f.l, f.is_own,
           (SELECT count(DISTINCT ((o.l).kind, (o.l).object_id)) FROM failed o
             WHERE o.is_own AND (o.l).attempt_id > coalesce((SELECT max((k.l).attempt_id) FROM lately k
                                                              WHERE k.is_own AND (k.l).outcome = 'acknowledged'), 0))
      FROM failed f ORDER BY f.is_own DESC, (f.l).attempt_id DESC LIMIT 1
$$;
COMMENT ON FUNCTION kgwebhook.failure_there(kgwebhook.deliveries) IS
  'the last failure of the same URL, or else of its destination, and how many objects have failed there since the URL last acknowledged one';

/* That in words, for one that has not been tried itself; NULL: there was none. */
CREATE FUNCTION kgwebhook.explain_failure_there(it kgwebhook.deliveries) RETURNS pg_catalog.text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT format(E'\nThe last failure there is that of delivery %s%s, at %s: %s.\nWhat to do: %s',
                  (f.last).delivery_id, CASE WHEN f.is_own THEN '' ELSE ' of organization ' || (f.last).org_id END,
                  date_trunc('second', (f.last).started_at), coalesce((f.last).error, (f.last).outcome),
                  kgwebhook.receiver_remedy((f.last).outcome, (f.last).response_status, (f.last).error, (f.last).url, (f.last).org_id))
      FROM kgwebhook.failure_there(it) f WHERE (f.last).delivery_id IS NOT NULL
$$;
COMMENT ON FUNCTION kgwebhook.explain_failure_there(kgwebhook.deliveries) IS
  'the part of kg_explain() about what others have met where a delivery that has not been tried goes';
