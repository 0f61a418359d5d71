/*
 * install/view_stats.sql
 *		Views for monitoring.
 */

CREATE FUNCTION kgwebhook.apply_errors(
    OUT subid pg_catalog.oid,
    OUT at pg_catalog.timestamptz,
    OUT message pg_catalog.text,
    OUT detail pg_catalog.text,
    OUT context pg_catalog.text) RETURNS SETOF pg_catalog.record
    LANGUAGE c VOLATILE
    AS 'MODULE_PATHNAME', 'kg_apply_errors';
COMMENT ON FUNCTION kgwebhook.apply_errors() IS
  'the last error of each apply worker of this database, from shared memory';

/*
 * Whether a subscription's changes are being applied.  A worker that cannot go on ends, and
 * another one starts after wal_retrieve_retry_interval, connects, and may receive the
 * change that it cannot apply: so an error counts until the next attempt has had its time.
 */
CREATE FUNCTION kgwebhook.is_applying(subscription pg_catalog.name) RETURNS pg_catalog.bool
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT EXISTS (SELECT FROM pg_stat_subscription a JOIN pg_subscription s ON s.oid = a.subid
                    WHERE s.subname = subscription AND s.subdbid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
                      AND a.relid IS NULL AND a.pid IS NOT NULL AND a.received_lsn IS NOT NULL
                      AND NOT EXISTS (SELECT FROM kgwebhook.apply_errors() e
                                       WHERE e.subid = s.oid
                                         AND e.at > clock_timestamp() - 1.5 * current_setting('wal_retrieve_retry_interval')::interval - '1 second'::interval))
$$;
COMMENT ON FUNCTION kgwebhook.is_applying(pg_catalog.name) IS
  'whether a subscription''s changes are being applied';

/*
 * Subscriptions that bring events, and don't: nobody applies what they bring.
 */
CREATE FUNCTION kgwebhook.broken_subscriptions(
    OUT subscription pg_catalog.name,
    OUT why pg_catalog.text) RETURNS SETOF pg_catalog.record
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT s.subname, CASE WHEN s.subenabled THEN 'nothing is applied' ELSE 'it is disabled' END
      FROM pg_subscription s
     WHERE s.subdbid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
       AND EXISTS (SELECT FROM pg_subscription_rel r
                     JOIN pg_trigger t ON t.tgrelid = r.srrelid AND t.tgfoid = 'kgwebhook.enqueue()'::regprocedure
                    WHERE r.srsubid = s.oid AND t.tgenabled IN ('A', 'R'))
       AND NOT (s.subenabled AND kgwebhook.is_applying(s.subname))
$$;
COMMENT ON FUNCTION kgwebhook.broken_subscriptions() IS
  'subscriptions that bring changes of watched tables and from which nothing is applied now';

/*
 * Transactions get their numbers about in the order of their time, so the oldest
 * delivery is among the first by transaction.
 */
CREATE VIEW kgwebhook.stats AS
    SELECT s.since, s.enqueued,
           s.acknowledged, s.rejected, s.timed_out, s.unreachable, s.blocked, s.invalid, s.superseded,
           q.queue_depth, pg_catalog.now() OPERATOR(pg_catalog.-) o.oldest_pending_since AS oldest_pending_age, s.in_flight,
           (SELECT pg_catalog.count(*) FROM kgwebhook.dead_letter) AS dead_letters,
           s.workers,
           CASE WHEN s.worker_state OPERATOR(pg_catalog.=) 'idle'
                 AND EXISTS (SELECT FROM kgwebhook.broken_subscriptions()) THEN 'source broken'
                ELSE s.worker_state END AS worker_state,
           s.last_error, s.last_error_at, o.oldest_pending_since
      FROM kgwebhook.worker_stats() s,
           (SELECT pg_catalog.count(*) AS queue_depth FROM kgwebhook.queue) q,
           (SELECT pg_catalog.min(f.enqueued_at) AS oldest_pending_since
              FROM (SELECT enqueued_at FROM kgwebhook.queue ORDER BY xid, delivery_id LIMIT 1000) f) o;
COMMENT ON VIEW kgwebhook.stats IS
  'counters since the server started, and the backlog now';
COMMENT ON COLUMN kgwebhook.stats.since IS 'when the counters started';
COMMENT ON COLUMN kgwebhook.stats.enqueued IS 'deliveries enqueued by committed transactions';
COMMENT ON COLUMN kgwebhook.stats.acknowledged IS 'attempts that were acknowledged';
COMMENT ON COLUMN kgwebhook.stats.rejected IS 'attempts that were answered with a status other than 2xx';
COMMENT ON COLUMN kgwebhook.stats.timed_out IS 'attempts that ran out of time';
COMMENT ON COLUMN kgwebhook.stats.unreachable IS 'attempts that never got an answer';
COMMENT ON COLUMN kgwebhook.stats.blocked IS 'attempts that the SSRF filter refused';
COMMENT ON COLUMN kgwebhook.stats.invalid IS 'attempts that could not be made';
COMMENT ON COLUMN kgwebhook.stats.superseded IS 'deliveries superseded by a newer one of their object';
COMMENT ON COLUMN kgwebhook.stats.queue_depth IS 'deliveries not settled yet';
COMMENT ON COLUMN kgwebhook.stats.oldest_pending_age IS 'age of the oldest of them';
COMMENT ON COLUMN kgwebhook.stats.in_flight IS 'requests on the network now';
COMMENT ON COLUMN kgwebhook.stats.dead_letters IS 'deliveries that were given up';
COMMENT ON COLUMN kgwebhook.stats.workers IS 'workers running for this database';
COMMENT ON COLUMN kgwebhook.stats.worker_state IS 'not preloaded, standby, not running, not adopted, disabled, source broken, idle or busy';
COMMENT ON COLUMN kgwebhook.stats.last_error IS 'last error of a worker';
COMMENT ON COLUMN kgwebhook.stats.last_error_at IS 'when that was';
COMMENT ON COLUMN kgwebhook.stats.oldest_pending_since IS 'when the oldest delivery that is not settled was enqueued';

/*
 * What a delivery waits for, the first reason that holds.  One place decides it, for
 * the row of a delivery and for the figures of all.
 */
CREATE FUNCTION kgwebhook.waits_for(
    keyless pg_catalog.bool,
    paused pg_catalog.bool,
    unverified pg_catalog.bool,
    backing_off pg_catalog.bool,
    early pg_catalog.bool,
    behind pg_catalog.bool,
    paced pg_catalog.bool,
    busy pg_catalog.bool) RETURNS pg_catalog.text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT CASE WHEN keyless THEN 'secret' WHEN paused THEN 'resume' WHEN unverified THEN 'challenge' WHEN backing_off THEN 'destination'
                WHEN early THEN 'retry' WHEN behind THEN 'older' WHEN paced THEN 'rate' WHEN busy THEN 'window' ELSE 'turn' END
$$;
COMMENT ON FUNCTION kgwebhook.waits_for(pg_catalog.bool, pg_catalog.bool, pg_catalog.bool, pg_catalog.bool, pg_catalog.bool, pg_catalog.bool, pg_catalog.bool, pg_catalog.bool) IS
  'the column waits_for of kgwebhook.pending';

/* half of a worker's slots go to destinations that have not lately acknowledged */
CREATE VIEW kgwebhook.slots AS
    SELECT coalesce(pg_catalog.sum(d.in_flight) OPERATOR(pg_catalog.*) 2
                    OPERATOR(pg_catalog.>=) pg_catalog.current_setting('kgwebhook.max_in_flight')::pg_catalog.int4
                    AND pg_catalog.bool_or(kgwebhook.is_sending(d.in_flight, d.seen_at, d.last_success)), false) AS is_full
      FROM kgwebhook.destination_notices() d;
COMMENT ON VIEW kgwebhook.slots IS
  'whether the workers are so busy that what is due waits for a slot';
COMMENT ON COLUMN kgwebhook.slots.is_full IS 'it does';

CREATE VIEW kgwebhook.pending AS
    SELECT q.delivery_id, q.webhook_id, q.org_id, q.event, q.kind, q.object_id, q.destination, q.attempts,
           q.enqueued_at AS since,
           pg_catalog.now() OPERATOR(pg_catalog.-) q.enqueued_at AS age,
           q.next_attempt_at,
           kgwebhook.waits_for(
               NOT pg_catalog.isfinite(q.next_attempt_at),
               EXISTS (SELECT FROM kgwebhook.paused p
                        WHERE p.destination OPERATOR(pg_catalog.=) q.destination
                           OR p.destination OPERATOR(pg_catalog.=) '*')
               OR EXISTS (SELECT FROM kgwebhook.subscription s
                           WHERE s.subscription_id OPERATOR(pg_catalog.=) q.subscription_id
                             AND s.paused_at IS NOT NULL AND s.disabled_at IS NULL),
               EXISTS (SELECT FROM kgwebhook.subscription s
                        WHERE s.subscription_id OPERATOR(pg_catalog.=) q.subscription_id
                          AND s.challenge IS NOT NULL AND s.disabled_at IS NULL) AND q.object_id OPERATOR(pg_catalog.<>) q.webhook_id
               OR q.subscription_id IS NULL AND c.some AND kgwebhook.lacks_consent(q.org_id, q.url),
               n.backing_off,
               q.next_attempt_at OPERATOR(pg_catalog.>) pg_catalog.now(),
               EXISTS (SELECT FROM kgwebhook.queue o
                        WHERE o.object_id OPERATOR(pg_catalog.=) q.object_id AND o.org_id OPERATOR(pg_catalog.=) q.org_id
                          AND o.kind OPERATOR(pg_catalog.=) q.kind AND o.destination OPERATOR(pg_catalog.=) q.destination
                          AND (o.subscription_id IS NOT DISTINCT FROM q.subscription_id
                               OR o.url OPERATOR(pg_catalog.=) q.url
                              AND NOT EXISTS (SELECT FROM kgwebhook.subscription p
                                               WHERE p.subscription_id OPERATOR(pg_catalog.=) o.subscription_id
                                                 AND (p.paused_at IS NOT NULL OR p.challenge IS NOT NULL) AND p.disabled_at IS NULL))
                          AND o.delivery_id OPERATOR(pg_catalog.<) q.delivery_id),
               EXISTS (SELECT FROM kgwebhook.subscription r
                        WHERE r.subscription_id OPERATOR(pg_catalog.=) q.subscription_id
                          AND kgwebhook.is_pacing(r.rate_limit, n.seen_at)),
               n.is_sending OR w.is_full) AS waits_for,
           q.subscription_id
      FROM kgwebhook.queue q
      LEFT JOIN (SELECT d.destination, d.backing_off, d.seen_at, kgwebhook.is_sending(d.in_flight, d.seen_at, d.last_success) AS is_sending
                   FROM kgwebhook.destination_notices() d OFFSET 0) n ON n.destination OPERATOR(pg_catalog.=) q.destination
     CROSS JOIN (SELECT EXISTS (SELECT FROM kgwebhook.consent e WHERE e.required) AS some) c
     CROSS JOIN kgwebhook.slots w;
COMMENT ON VIEW kgwebhook.pending IS
  'one row a delivery in the queue: how long it has waited, and for what';
COMMENT ON COLUMN kgwebhook.pending.delivery_id IS 'the delivery';
COMMENT ON COLUMN kgwebhook.pending.webhook_id IS 'the event, as receivers see it';
COMMENT ON COLUMN kgwebhook.pending.org_id IS 'the organization whose secret signs';
COMMENT ON COLUMN kgwebhook.pending.event IS 'name of the event, such as payment_intent.success';
COMMENT ON COLUMN kgwebhook.pending.kind IS 'kind of the object';
COMMENT ON COLUMN kgwebhook.pending.object_id IS 'the object whose status changed';
COMMENT ON COLUMN kgwebhook.pending.destination IS 'scheme://host:port of the URL; empty when the URL has none';
COMMENT ON COLUMN kgwebhook.pending.attempts IS 'attempts logged so far';
COMMENT ON COLUMN kgwebhook.pending.since IS 'when the status changed, or when it was queued again';
COMMENT ON COLUMN kgwebhook.pending.age IS 'how long ago that was';
COMMENT ON COLUMN kgwebhook.pending.next_attempt_at IS 'not before this; infinity: waits for a signing secret';
COMMENT ON COLUMN kgwebhook.pending.waits_for IS 'secret, resume (it is paused), challenge (its subscription, or its own URL where that is required, has not answered one), destination (it is backing off), retry (its time), older (one of its object goes first), rate (of its subscription), window (its destination or the worker is busy with others) or turn (it is due, and nothing holds it)';
COMMENT ON COLUMN kgwebhook.pending.subscription_id IS 'the subscription it is for; NULL: the object''s own URL';

/*
 * The figures of kgwebhook.pending, at any size: see kgwebhook.backlog.  What goes
 * before one of the oldest is older and so in the backlog's rows, too.
 */
CREATE VIEW kgwebhook.waiting AS
    SELECT k.waits_for,
           coalesce(pg_catalog.round(pg_catalog.sum(p.stands_for))::pg_catalog.int8, 0) AS deliveries,
           pg_catalog.min(p.enqueued_at) AS since,
           pg_catalog.min(p.next_attempt_at) FILTER (WHERE k.waits_for OPERATOR(pg_catalog.=) 'turn') AS due_since
      FROM (VALUES ('secret'::pg_catalog.text), ('resume'), ('challenge'), ('destination'), ('retry'), ('older'), ('rate'), ('window'), ('turn')) k (waits_for)
      LEFT JOIN (SELECT b.stands_for, b.enqueued_at, b.next_attempt_at,
                        kgwebhook.waits_for(
                            NOT pg_catalog.isfinite(b.next_attempt_at),
                            a.destination IS NOT NULL OR w.all_paused OR s.paused_at IS NOT NULL AND s.disabled_at IS NULL,
                            s.challenge IS NOT NULL AND s.disabled_at IS NULL AND b.object_id OPERATOR(pg_catalog.<>) b.webhook_id
                            OR b.subscription_id IS NULL AND c.some AND kgwebhook.lacks_consent(b.org_id, b.url),
                            n.backing_off,
                            b.next_attempt_at OPERATOR(pg_catalog.>) pg_catalog.now(),
                            b.is_behind OR b.first OPERATOR(pg_catalog.<) b.delivery_id,
                            kgwebhook.is_pacing(s.rate_limit, n.seen_at),
                            n.is_sending OR w.is_full) AS waits_for
                   FROM (SELECT r.destination, r.delivery_id, r.object_id, r.webhook_id, r.org_id, r.url, r.subscription_id, r.stands_for, r.enqueued_at, r.next_attempt_at, r.is_behind,
                                pg_catalog.min(r.delivery_id) OVER (PARTITION BY r.destination, r.org_id, r.kind, r.object_id, r.subscription_id) AS first
                           FROM kgwebhook.backlog r) b
                   LEFT JOIN (SELECT d.destination, d.backing_off, d.seen_at, kgwebhook.is_sending(d.in_flight, d.seen_at, d.last_success) AS is_sending
                                FROM kgwebhook.destination_notices() d OFFSET 0) n ON n.destination OPERATOR(pg_catalog.=) b.destination
                   LEFT JOIN kgwebhook.paused a ON a.destination OPERATOR(pg_catalog.=) b.destination
                   LEFT JOIN kgwebhook.subscription s ON s.subscription_id OPERATOR(pg_catalog.=) b.subscription_id
                  CROSS JOIN (SELECT f.is_full, EXISTS (SELECT FROM kgwebhook.paused p WHERE p.destination OPERATOR(pg_catalog.=) '*') AS all_paused
                                FROM kgwebhook.slots f) w
                  CROSS JOIN (SELECT EXISTS (SELECT FROM kgwebhook.consent e WHERE e.required) AS some) c) p ON p.waits_for OPERATOR(pg_catalog.=) k.waits_for
     GROUP BY k.waits_for;
COMMENT ON VIEW kgwebhook.waiting IS
  'how many deliveries wait for what; an estimate where more than 20,000 wait';
COMMENT ON COLUMN kgwebhook.waiting.waits_for IS 'as in kgwebhook.pending';
COMMENT ON COLUMN kgwebhook.waiting.deliveries IS 'how many wait for that';
COMMENT ON COLUMN kgwebhook.waiting.since IS 'when the oldest of them was enqueued';
COMMENT ON COLUMN kgwebhook.waiting.due_since IS 'since when the first of them is due; only of those that wait for nothing but their turn';
