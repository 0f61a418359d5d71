/*
 * install/view_unacknowledged.sql
 *		Objects whose latest status has not been acknowledged.
 */

/*
 * Which payments are at stake.  What is open is a delivery in the queue, a
 * dead letter, or one that was superseded and that only the log remembers.  It
 * counts if nothing newer of its object is open for the same URL, and if neither
 * it nor a newer one of its object has been acknowledged there.  What a removed
 * subscription did not get does not count, nor does a challenge, which is about no payment.  The amounts are all that leaves the
 * payload, and one that is no plain number is no amount.
 *
 * What speaks against one is looked up by its object, so that it can be asked about one
 * object, one organization or one day while a million deliveries wait.  "asked" is
 * the earliest time at which an attempt could have been acknowledged, or superseded,
 * that speaks against it: with it, only the days of the log since then are probed.
 * What was queued again has an older history, and so all days are.  A day is allowed
 * for clocks that were set.  What waits for its first attempt needs no such look: nothing
 * newer of its object goes before it.
 * OFFSET 0 keeps the planner from looking up at once what speaks against all, which is
 * faster for all and never ends for the latest twenty; kg_reconcile(), which wants many,
 * compares them in its own way.
 */
CREATE VIEW kgwebhook.open_deliveries AS
        (SELECT q.org_id, q.event, q.kind, q.object_id, q.url, q.delivery_id,
               CASE WHEN q.attempts OPERATOR(pg_catalog.=) 0 THEN 'pending' ELSE 'retrying' END AS state,
               q.attempts, q.enqueued_at AS since, q.next_attempt_at, q.payload, q.subscription_id, q.webhook_id, NULL::pg_catalog.text AS reason, q.attempts_before
          FROM kgwebhook.queue q
         WHERE (q.object_id OPERATOR(pg_catalog.<>) q.webhook_id OR q.event OPERATOR(pg_catalog.<>) 'endpoint.challenge')
           AND (q.attempts OPERATOR(pg_catalog.=) 0
            OR NOT EXISTS (SELECT FROM kgwebhook.delivery_log a
                            WHERE a.object_id OPERATOR(pg_catalog.=) q.object_id AND a.org_id OPERATOR(pg_catalog.=) q.org_id
                              AND a.kind OPERATOR(pg_catalog.=) q.kind AND a.url OPERATOR(pg_catalog.=) q.url
                              AND a.delivery_id OPERATOR(pg_catalog.>=) q.delivery_id
                              AND a.started_at OPERATOR(pg_catalog.>=) CASE WHEN q.attempts_before OPERATOR(pg_catalog.=) 0
                                  THEN q.enqueued_at OPERATOR(pg_catalog.-) '1 day'::pg_catalog.interval ELSE '-infinity' END
                              AND a.outcome OPERATOR(pg_catalog.=) 'acknowledged' AND NOT a.is_test OFFSET 0))
         ORDER BY q.delivery_id DESC)
        UNION ALL
        (SELECT d.org_id, d.event, d.kind, d.object_id, d.url, d.delivery_id,
               'dead', d.attempts, d.enqueued_at, NULL, d.payload, d.subscription_id, d.webhook_id, d.reason, d.attempts_before
          FROM kgwebhook.dead_letter d
         WHERE (d.object_id OPERATOR(pg_catalog.<>) d.webhook_id OR d.event OPERATOR(pg_catalog.<>) 'endpoint.challenge')
           AND NOT EXISTS (SELECT FROM kgwebhook.delivery_log a
                            WHERE a.object_id OPERATOR(pg_catalog.=) d.object_id AND a.org_id OPERATOR(pg_catalog.=) d.org_id
                              AND a.kind OPERATOR(pg_catalog.=) d.kind AND a.url OPERATOR(pg_catalog.=) d.url
                              AND a.delivery_id OPERATOR(pg_catalog.>=) d.delivery_id
                              AND a.started_at OPERATOR(pg_catalog.>=) CASE WHEN d.attempts_before OPERATOR(pg_catalog.=) 0
                                  THEN d.enqueued_at OPERATOR(pg_catalog.-) '1 day'::pg_catalog.interval ELSE '-infinity' END
                              AND (a.outcome OPERATOR(pg_catalog.=) 'acknowledged'
                                   OR a.outcome OPERATOR(pg_catalog.=) 'superseded' AND a.final
                                      AND a.delivery_id OPERATOR(pg_catalog.>) d.delivery_id)
                              AND NOT a.is_test OFFSET 0)
         ORDER BY d.delivery_id DESC)
        UNION ALL
        (SELECT l.org_id, l.event, l.kind, l.object_id, l.url, l.delivery_id,
               'superseded', l.attempt, l.started_at, NULL,
               (SELECT a.request_body::pg_catalog.jsonb FROM kgwebhook.delivery_log a
                 WHERE a.delivery_id OPERATOR(pg_catalog.=) l.delivery_id AND a.request_body IS NOT NULL
                 ORDER BY a.attempt DESC LIMIT 1), l.subscription_id, l.webhook_id, NULL, NULL
          FROM kgwebhook.delivery_log l
         WHERE l.final AND NOT l.is_test AND l.queued_again IS NOT TRUE AND l.outcome OPERATOR(pg_catalog.=) 'superseded'
           AND (l.object_id OPERATOR(pg_catalog.<>) l.webhook_id OR l.event OPERATOR(pg_catalog.<>) 'endpoint.challenge')
           AND NOT EXISTS (SELECT FROM kgwebhook.delivery_log a
                            WHERE a.object_id OPERATOR(pg_catalog.=) l.object_id AND a.org_id OPERATOR(pg_catalog.=) l.org_id
                              AND a.kind OPERATOR(pg_catalog.=) l.kind AND a.url OPERATOR(pg_catalog.=) l.url
                              AND a.started_at OPERATOR(pg_catalog.>=) (l.started_at OPERATOR(pg_catalog.-) '1 day'::pg_catalog.interval)
                              AND (a.delivery_id OPERATOR(pg_catalog.=) l.delivery_id
                                   AND (a.outcome OPERATOR(pg_catalog.=) 'acknowledged' OR a.attempt OPERATOR(pg_catalog.>) l.attempt)
                                   OR a.delivery_id OPERATOR(pg_catalog.>) l.delivery_id
                                      AND (a.outcome OPERATOR(pg_catalog.=) 'acknowledged'
                                           OR a.outcome OPERATOR(pg_catalog.=) 'superseded' AND a.final))
                              AND NOT a.is_test OFFSET 0)
         ORDER BY l.delivery_id DESC);
COMMENT ON VIEW kgwebhook.open_deliveries IS
  'what has not been acknowledged, nor a newer delivery of its object; it shows payloads, and so is nobody''s';
COMMENT ON COLUMN kgwebhook.open_deliveries.org_id IS 'the organization whose secret signs';
COMMENT ON COLUMN kgwebhook.open_deliveries.event IS 'name of the event';
COMMENT ON COLUMN kgwebhook.open_deliveries.kind IS 'kind of the object';
COMMENT ON COLUMN kgwebhook.open_deliveries.object_id IS 'the object';
COMMENT ON COLUMN kgwebhook.open_deliveries.url IS 'the URL that has not acknowledged it';
COMMENT ON COLUMN kgwebhook.open_deliveries.delivery_id IS 'the delivery';
COMMENT ON COLUMN kgwebhook.open_deliveries.state IS 'pending, retrying, dead or superseded';
COMMENT ON COLUMN kgwebhook.open_deliveries.attempts IS 'attempts logged so far';
COMMENT ON COLUMN kgwebhook.open_deliveries.since IS 'when the status changed or was queued again; for a superseded one, when it was superseded';
COMMENT ON COLUMN kgwebhook.open_deliveries.next_attempt_at IS 'when the next attempt is due; NULL when none will be made automatically';
COMMENT ON COLUMN kgwebhook.open_deliveries.payload IS 'the payload';
COMMENT ON COLUMN kgwebhook.open_deliveries.subscription_id IS 'the subscription it is for; NULL: the object''s own URL';
COMMENT ON COLUMN kgwebhook.open_deliveries.webhook_id IS 'the event, as receivers see it';
COMMENT ON COLUMN kgwebhook.open_deliveries.reason IS 'why it was given up';
COMMENT ON COLUMN kgwebhook.open_deliveries.attempts_before IS 'attempts made before it was last queued again';

CREATE VIEW kgwebhook.unacknowledged AS
    SELECT k.org_id, k.event, k.kind, k.object_id, k.url, k.delivery_id, k.state, k.attempts, k.since, k.next_attempt_at,
           CASE WHEN (k.payload OPERATOR(pg_catalog.->>) 'fiat_amount') OPERATOR(pg_catalog.~) '^-?[0-9]{1,30}([.][0-9]{1,30})?$'
                THEN (k.payload OPERATOR(pg_catalog.->>) 'fiat_amount')::pg_catalog.numeric END AS fiat_amount,
           pg_catalog.left(k.payload OPERATOR(pg_catalog.->>) 'fiat_currency', 16) AS fiat_currency,
           k.subscription_id
      FROM kgwebhook.open_deliveries k
     WHERE NOT EXISTS (SELECT FROM kgwebhook.queue n
                        WHERE n.object_id OPERATOR(pg_catalog.=) k.object_id AND n.org_id OPERATOR(pg_catalog.=) k.org_id
                          AND n.kind OPERATOR(pg_catalog.=) k.kind AND n.url OPERATOR(pg_catalog.=) k.url
                          AND n.delivery_id OPERATOR(pg_catalog.>) k.delivery_id OFFSET 0)
       AND NOT EXISTS (SELECT FROM kgwebhook.dead_letter n
                        WHERE n.object_id OPERATOR(pg_catalog.=) k.object_id AND n.org_id OPERATOR(pg_catalog.=) k.org_id
                          AND n.kind OPERATOR(pg_catalog.=) k.kind AND n.url OPERATOR(pg_catalog.=) k.url
                          AND n.delivery_id OPERATOR(pg_catalog.>) k.delivery_id OFFSET 0)
       AND (k.subscription_id IS NULL
            OR EXISTS (SELECT FROM kgwebhook.subscription s
                        WHERE s.subscription_id OPERATOR(pg_catalog.=) k.subscription_id OFFSET 0));
COMMENT ON VIEW kgwebhook.unacknowledged IS
  'objects whose latest status was never acknowledged, and the amount at stake';
COMMENT ON COLUMN kgwebhook.unacknowledged.org_id IS 'the organization whose secret signs';
COMMENT ON COLUMN kgwebhook.unacknowledged.event IS 'name of the event, with the latest status';
COMMENT ON COLUMN kgwebhook.unacknowledged.kind IS 'kind of the object';
COMMENT ON COLUMN kgwebhook.unacknowledged.object_id IS 'the object';
COMMENT ON COLUMN kgwebhook.unacknowledged.url IS 'the URL that has not acknowledged it';
COMMENT ON COLUMN kgwebhook.unacknowledged.delivery_id IS 'the delivery; kg_explain() says more';
COMMENT ON COLUMN kgwebhook.unacknowledged.state IS 'pending, retrying, dead or superseded';
COMMENT ON COLUMN kgwebhook.unacknowledged.attempts IS 'attempts logged so far';
COMMENT ON COLUMN kgwebhook.unacknowledged.since IS 'when the status changed or was queued again; for a superseded one, when it was superseded';
COMMENT ON COLUMN kgwebhook.unacknowledged.next_attempt_at IS 'when the next attempt is due; NULL when none will be made automatically';
COMMENT ON COLUMN kgwebhook.unacknowledged.fiat_amount IS 'fiat_amount of the payload; NULL when it has none';
COMMENT ON COLUMN kgwebhook.unacknowledged.fiat_currency IS 'fiat_currency of the payload';
COMMENT ON COLUMN kgwebhook.unacknowledged.subscription_id IS 'the subscription it is for; NULL: the object''s own URL';

/*
 * The figures of it, at any size.  While few deliveries are open they are exact.
 * Beyond, objects are counted by the backlog's rows (kgwebhook.backlog) and by the
 * dead letters that were given up last, without a look at what else was
 * acknowledged of them: an estimate, and rather too much.  What was superseded and not
 * replaced is rare; what is older than a week no figure shows any more.
 */
CREATE FUNCTION kgwebhook.at_stake(
    OUT state pg_catalog.text,
    OUT fiat_currency pg_catalog.text,
    OUT objects pg_catalog.int8,
    OUT amount pg_catalog.numeric,
    OUT since pg_catalog.timestamptz,
    OUT exact pg_catalog.bool) RETURNS SETOF pg_catalog.record
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
    AS $$
DECLARE
    most CONSTANT int8 := 20000;
    dead int8 := (SELECT count(*) FROM kgwebhook.dead_letter);
    open int8 := dead + (SELECT count(*) FROM (SELECT FROM kgwebhook.queue LIMIT most + 1) q);
BEGIN
    IF open <= most THEN
        RETURN QUERY
            SELECT u.state, CASE WHEN u.fiat_amount IS NOT NULL THEN coalesce(u.fiat_currency, '') END, count(*), sum(u.fiat_amount), min(u.since), true
              FROM kgwebhook.unacknowledged u
             WHERE u.state <> 'superseded' OR u.since > now() - '7 days'::interval
             GROUP BY 1, 2;
        RETURN;
    END IF;
    RETURN QUERY
        WITH row AS (
            SELECT DISTINCT ON (b.object_id, b.org_id, b.kind, b.url)
                   CASE WHEN b.attempts = 0 THEN 'pending' ELSE 'retrying' END AS state, b.stands_for, b.enqueued_at AS since, b.payload
              FROM kgwebhook.backlog b WHERE NOT b.is_before
             ORDER BY b.object_id, b.org_id, b.kind, b.url, b.delivery_id DESC),
        letter AS (
            SELECT DISTINCT ON (d.object_id, d.org_id, d.kind, d.url) 'dead'::text,
                   greatest(dead::float8 / most, 1), d.enqueued_at, d.payload
              FROM (SELECT * FROM kgwebhook.dead_letter l ORDER BY l.died_at DESC LIMIT most) d
             ORDER BY d.object_id, d.org_id, d.kind, d.url, d.delivery_id DESC)
        SELECT o.state, CASE WHEN o.amount IS NOT NULL THEN coalesce(o.currency, '') END,
               round(sum(o.stands_for))::int8, round(sum(o.amount * o.stands_for::numeric), 2), min(o.since), false
          FROM (SELECT k.state, k.stands_for, k.since, left(k.payload ->> 'fiat_currency', 16) AS currency,
                       CASE WHEN k.payload ->> 'fiat_amount' ~ '^-?[0-9]{1,30}([.][0-9]{1,30})?$'
                            THEN (k.payload ->> 'fiat_amount')::numeric END AS amount
                  FROM (TABLE row UNION ALL TABLE letter) k) o
         GROUP BY 1, 2;
END
$$;
COMMENT ON FUNCTION kgwebhook.at_stake() IS
  'objects whose latest status was never acknowledged, and their amounts, by state and currency; an estimate where more than 20,000 deliveries are open';
