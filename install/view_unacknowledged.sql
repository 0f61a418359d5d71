/*
 * install/view_unacknowledged.sql
 *		Objects whose latest status has not been acknowledged.
 */

/*
 * Which payments are at stake.  What is open is a delivery in the queue, a
 * dead letter, or one that was superseded and that only the log remembers.  It
 * counts if nothing newer of its object is open for the same URL, and if neither
 * it nor a newer one of its object has been acknowledged there.  What a removed
 * subscription did not get does not count.  The amounts are all that leaves the
 * payload, and one that is no plain number is no amount.
 *
 * "asked" is the earliest time at which an attempt could have been acknowledged
 * that speaks against it: with it, only the days of the log since then are
 * probed.  What was queued again has an older history, and so all days are.  A
 * day is allowed for clocks that were set.
 */
CREATE VIEW kgwebhook.unacknowledged AS
    WITH open AS (
        SELECT q.org_id, q.event, q.kind, q.object_id, q.url, q.delivery_id,
               CASE WHEN q.attempts OPERATOR(pg_catalog.=) 0 THEN 'pending' ELSE 'retrying' END AS state,
               q.attempts, q.enqueued_at AS since, q.next_attempt_at, q.payload, q.subscription_id,
               CASE WHEN q.attempts_before OPERATOR(pg_catalog.=) 0
                    THEN q.enqueued_at OPERATOR(pg_catalog.-) '1 day'::pg_catalog.interval ELSE '-infinity' END AS asked
          FROM kgwebhook.queue q
        UNION ALL
        SELECT d.org_id, d.event, d.kind, d.object_id, d.url, d.delivery_id,
               'dead', d.attempts, d.enqueued_at, NULL, d.payload, d.subscription_id,
               CASE WHEN d.attempts_before OPERATOR(pg_catalog.=) 0
                    THEN d.enqueued_at OPERATOR(pg_catalog.-) '1 day'::pg_catalog.interval ELSE '-infinity' END
          FROM kgwebhook.dead_letter d
        UNION ALL
        SELECT l.org_id, l.event, l.kind, l.object_id, l.url, l.delivery_id,
               'superseded', l.attempt, l.started_at, NULL, s.payload, l.subscription_id, '-infinity'
          FROM kgwebhook.delivery_log l
          LEFT JOIN LATERAL (SELECT a.request_body::pg_catalog.jsonb AS payload
                               FROM kgwebhook.delivery_log a
                              WHERE a.delivery_id OPERATOR(pg_catalog.=) l.delivery_id AND a.request_body IS NOT NULL
                              ORDER BY a.attempt DESC LIMIT 1) s ON true
         WHERE l.final AND NOT l.is_test AND l.outcome OPERATOR(pg_catalog.=) 'superseded'
           AND NOT EXISTS (SELECT FROM kgwebhook.delivery_log n
                            WHERE n.delivery_id OPERATOR(pg_catalog.=) l.delivery_id
                              AND n.attempt OPERATOR(pg_catalog.>) l.attempt)
           AND NOT EXISTS (SELECT FROM kgwebhook.queue n WHERE n.delivery_id OPERATOR(pg_catalog.=) l.delivery_id)
           AND NOT EXISTS (SELECT FROM kgwebhook.dead_letter n WHERE n.delivery_id OPERATOR(pg_catalog.=) l.delivery_id)),
    latest AS (
        SELECT o.*, pg_catalog.max(o.delivery_id) OVER (PARTITION BY o.org_id, o.kind, o.object_id, o.url) AS latest_id
          FROM open o)
    SELECT k.org_id, k.event, k.kind, k.object_id, k.url, k.delivery_id, k.state, k.attempts, k.since, k.next_attempt_at,
           CASE WHEN (k.payload OPERATOR(pg_catalog.->>) 'fiat_amount') OPERATOR(pg_catalog.~) '^-?[0-9]{1,30}([.][0-9]{1,30})?$'
                THEN (k.payload OPERATOR(pg_catalog.->>) 'fiat_amount')::pg_catalog.numeric END AS fiat_amount,
           pg_catalog.left(k.payload OPERATOR(pg_catalog.->>) 'fiat_currency', 16) AS fiat_currency,
           k.subscription_id
      FROM latest k
      LEFT JOIN LATERAL (SELECT 1 AS acknowledged FROM kgwebhook.delivery_log a
                          WHERE a.object_id OPERATOR(pg_catalog.=) k.object_id
                            AND a.org_id OPERATOR(pg_catalog.=) k.org_id
                            AND a.kind OPERATOR(pg_catalog.=) k.kind
                            AND a.url OPERATOR(pg_catalog.=) k.url
                            AND a.delivery_id OPERATOR(pg_catalog.>=) k.delivery_id
                            AND a.started_at OPERATOR(pg_catalog.>=) k.asked
                            AND a.outcome OPERATOR(pg_catalog.=) 'acknowledged' AND NOT a.is_test
                          LIMIT 1) l ON true
     WHERE k.delivery_id OPERATOR(pg_catalog.=) k.latest_id
       AND l.acknowledged IS NULL
       AND (k.subscription_id IS NULL
            OR EXISTS (SELECT FROM kgwebhook.subscription s
                        WHERE s.subscription_id OPERATOR(pg_catalog.=) k.subscription_id));
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
