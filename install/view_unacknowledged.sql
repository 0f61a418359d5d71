/*
 * install/view_unacknowledged.sql
 *		Objects whose latest status has not been acknowledged.
 */

/*
 * Which payments are at stake.  What is open is a delivery in the queue, a
 * dead letter, or one that was superseded and that only the log remembers; it
 * counts if nothing newer of its object went to the same URL, and if it has
 * never been acknowledged itself.  Nobody waits for what a removed subscription
 * didn't get.  The amounts are all that leaves the payload,
 * and one that is no plain number is no amount.
 */
CREATE VIEW kgwebhook.unacknowledged AS
    WITH open AS (
        SELECT q.org_id, q.event, q.kind, q.object_id, q.url, q.delivery_id,
               CASE WHEN q.attempts OPERATOR(pg_catalog.=) 0 THEN 'pending' ELSE 'retrying' END AS state,
               q.attempts, q.enqueued_at AS since, q.next_attempt_at, q.payload, q.subscription_id
          FROM kgwebhook.queue q
        UNION ALL
        SELECT d.org_id, d.event, d.kind, d.object_id, d.url, d.delivery_id,
               'dead', d.attempts, d.enqueued_at, NULL, d.payload, d.subscription_id
          FROM kgwebhook.dead_letter d
        UNION ALL
        SELECT l.org_id, l.event, l.kind, l.object_id, l.url, l.delivery_id,
               'superseded', l.attempt, l.started_at, NULL, s.payload, l.subscription_id
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
           AND NOT EXISTS (SELECT FROM kgwebhook.dead_letter n WHERE n.delivery_id OPERATOR(pg_catalog.=) l.delivery_id))
    SELECT k.org_id, k.event, k.kind, k.object_id, k.url, k.delivery_id, k.state, k.attempts, k.since, k.next_attempt_at,
           CASE WHEN (k.payload OPERATOR(pg_catalog.->>) 'fiat_amount') OPERATOR(pg_catalog.~) '^-?[0-9]{1,30}([.][0-9]{1,30})?$'
                THEN (k.payload OPERATOR(pg_catalog.->>) 'fiat_amount')::pg_catalog.numeric END AS fiat_amount,
           pg_catalog.left(k.payload OPERATOR(pg_catalog.->>) 'fiat_currency', 16) AS fiat_currency,
           k.subscription_id
      FROM open k
     WHERE (k.subscription_id IS NULL
            OR EXISTS (SELECT FROM kgwebhook.subscription s
                        WHERE s.subscription_id OPERATOR(pg_catalog.=) k.subscription_id))
       AND NOT EXISTS (SELECT FROM open n
                        WHERE n.object_id OPERATOR(pg_catalog.=) k.object_id
                          AND n.org_id OPERATOR(pg_catalog.=) k.org_id
                          AND n.kind OPERATOR(pg_catalog.=) k.kind
                          AND n.url OPERATOR(pg_catalog.=) k.url
                          AND n.delivery_id OPERATOR(pg_catalog.>) k.delivery_id)
       AND NOT EXISTS (SELECT FROM kgwebhook.delivery_log a
                        WHERE a.object_id OPERATOR(pg_catalog.=) k.object_id
                          AND a.org_id OPERATOR(pg_catalog.=) k.org_id
                          AND a.kind OPERATOR(pg_catalog.=) k.kind
                          AND a.url OPERATOR(pg_catalog.=) k.url
                          AND a.delivery_id OPERATOR(pg_catalog.>=) k.delivery_id
                          AND a.outcome OPERATOR(pg_catalog.=) 'acknowledged' AND NOT a.is_test);
COMMENT ON VIEW kgwebhook.unacknowledged IS
  'objects whose latest status was never acknowledged, and the amount at stake';
COMMENT ON COLUMN kgwebhook.unacknowledged.org_id IS 'the organization whose secret signs';
COMMENT ON COLUMN kgwebhook.unacknowledged.event IS 'name of the event, with the latest status';
COMMENT ON COLUMN kgwebhook.unacknowledged.kind IS 'kind of the object';
COMMENT ON COLUMN kgwebhook.unacknowledged.object_id IS 'the object';
COMMENT ON COLUMN kgwebhook.unacknowledged.url IS 'who has not acknowledged it';
COMMENT ON COLUMN kgwebhook.unacknowledged.delivery_id IS 'the delivery; kg_explain() says more';
COMMENT ON COLUMN kgwebhook.unacknowledged.state IS 'pending, retrying, dead or superseded';
COMMENT ON COLUMN kgwebhook.unacknowledged.attempts IS 'attempts logged so far';
COMMENT ON COLUMN kgwebhook.unacknowledged.since IS 'when the status changed or was queued again; of what is superseded, when it was';
COMMENT ON COLUMN kgwebhook.unacknowledged.next_attempt_at IS 'when the next attempt is due; NULL when nothing happens by itself';
COMMENT ON COLUMN kgwebhook.unacknowledged.fiat_amount IS 'fiat_amount of the payload; NULL when it has none';
COMMENT ON COLUMN kgwebhook.unacknowledged.fiat_currency IS 'fiat_currency of the payload';
COMMENT ON COLUMN kgwebhook.unacknowledged.subscription_id IS 'the subscription it is for; NULL: the object''s own URL';
