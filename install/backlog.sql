/*
 * install/backlog.sql
 *		The backlog for figures, at any size.
 */

/*
 * To count by what the rows say (when they are due, for whom they are) is to read
 * them, and a million rows take a second.  So figures come from here: all rows while
 * 20,000 wait at most, and of a longer queue as many of each destination, which are
 *
 *	the oldest				 what is stuck is old
 *	some, evenly spread		 each stands for its neighbors, because behind one that is
 *							 stuck others may wait for something else
 *	each organization's first, and what failed last
 *							 a host is many organizations', and one's troubles must
 *							 not be hidden behind another's backlog
 *
 * The number of a destination's deliveries is exact in any case: it comes from an
 * index alone.  Of one that equals another the planner thinks that it may be met by any
 * index that has the order; one that is BETWEEN it and itself, in the order of both, is
 * read by the index that has both, whatever the statistics say.
 *
 * It shows payloads, and so is nobody's; the views above it show none.
 */
CREATE VIEW kgwebhook.backlog AS
    WITH RECURSIVE counted AS MATERIALIZED (
        SELECT q.destination, q.pending,
               CASE WHEN pg_catalog.sum(q.pending) OVER () OPERATOR(pg_catalog.<=) 20000 THEN q.pending
                    ELSE greatest(10, 20000 OPERATOR(pg_catalog./) pg_catalog.count(*) OVER ()) END AS room
          FROM (SELECT c.destination, pg_catalog.count(*) AS pending FROM kgwebhook.queue c GROUP BY c.destination) q),
    /* destinations that have more than is read, and where that begins and ends */
    long AS MATERIALIZED (
        SELECT c.destination, c.pending, c.pending OPERATOR(pg_catalog.-) c.room AS rest, c.room OPERATOR(pg_catalog./) 10 AS steps,
               (SELECT q.delivery_id FROM kgwebhook.queue q WHERE q.destination BETWEEN c.destination AND c.destination
                 ORDER BY q.destination, q.delivery_id OFFSET c.room LIMIT 1) AS first,
               (SELECT q.delivery_id FROM kgwebhook.queue q WHERE q.destination BETWEEN c.destination AND c.destination
                 ORDER BY q.destination DESC, q.delivery_id DESC LIMIT 1) AS last
          FROM counted c WHERE c.pending OPERATOR(pg_catalog.>) c.room),
    spread AS MATERIALIZED (
        SELECT DISTINCT l.destination, near.delivery_id
          FROM long l
         CROSS JOIN LATERAL pg_catalog.generate_series(0, l.steps) step
         CROSS JOIN LATERAL (SELECT q.delivery_id FROM kgwebhook.queue q
                              WHERE q.destination BETWEEN l.destination AND l.destination
                                AND q.delivery_id OPERATOR(pg_catalog.>=) (l.first OPERATOR(pg_catalog.+) ((l.last OPERATOR(pg_catalog.-) l.first) OPERATOR(pg_catalog.*) step OPERATOR(pg_catalog./) l.steps))
                              ORDER BY q.destination, q.delivery_id LIMIT 1) near),
    /* one after the other by their index, a thousand at most */
    org AS (
        SELECT (SELECT q.org_id FROM kgwebhook.queue q ORDER BY q.org_id LIMIT 1) AS org_id, 1 AS n
         WHERE EXISTS (SELECT FROM long)
        UNION ALL
        SELECT (SELECT q.org_id FROM kgwebhook.queue q WHERE q.org_id OPERATOR(pg_catalog.>) o.org_id ORDER BY q.org_id LIMIT 1), o.n OPERATOR(pg_catalog.+) 1
          FROM org o WHERE o.org_id IS NOT NULL AND o.n OPERATOR(pg_catalog.<) 1000),
    picked AS MATERIALIZED (
        SELECT q.destination, q.delivery_id
          FROM (SELECT f.destination, f.delivery_id
                  FROM org o
                 CROSS JOIN LATERAL (SELECT a.destination, a.delivery_id FROM kgwebhook.queue a
                                      WHERE a.org_id BETWEEN o.org_id AND o.org_id ORDER BY a.org_id, a.xid, a.delivery_id LIMIT 5) f
                UNION
                SELECT a.destination, a.delivery_id
                  FROM (SELECT f.delivery_id FROM kgwebhook.delivery_log f
                         WHERE f.outcome OPERATOR(pg_catalog.<>) 'acknowledged' AND EXISTS (SELECT FROM long)
                           AND f.started_at OPERATOR(pg_catalog.>) (pg_catalog.now() OPERATOR(pg_catalog.-) '10 minutes'::pg_catalog.interval)
                         ORDER BY f.started_at DESC LIMIT 1000) l
                  JOIN kgwebhook.queue a ON a.delivery_id OPERATOR(pg_catalog.=) l.delivery_id) q
          JOIN long l ON l.destination OPERATOR(pg_catalog.=) q.destination AND l.first OPERATOR(pg_catalog.<=) q.delivery_id),
    /* those that are evenly spread stand for all that is not here itself */
    chosen AS (
        SELECT a.destination, a.delivery_id, l.pending,
               CASE WHEN a.is_spread
                    THEN greatest(1, (l.rest OPERATOR(pg_catalog.-) pg_catalog.count(*) FILTER (WHERE NOT a.is_spread) OVER host)::pg_catalog.float8
                                     OPERATOR(pg_catalog./) pg_catalog.count(*) FILTER (WHERE a.is_spread) OVER host)
                    ELSE 1 END AS stands_for
          FROM (SELECT u.destination, u.delivery_id, pg_catalog.bool_or(u.is_spread) AS is_spread
                  FROM (SELECT s.destination, s.delivery_id, true AS is_spread FROM spread s
                        UNION ALL
                        SELECT p.destination, p.delivery_id, false FROM picked p) u
                 GROUP BY u.destination, u.delivery_id) a
          JOIN long l ON l.destination OPERATOR(pg_catalog.=) a.destination
        WINDOW host AS (PARTITION BY a.destination))
    SELECT d.destination, d.pending, 1::pg_catalog.float8 AS stands_for,
           r.delivery_id, r.org_id, r.kind, r.object_id, r.url, r.payload, r.attempts, r.next_attempt_at, r.enqueued_at, r.subscription_id,
           r.attempts_before, r.webhook_id, false AS is_behind, false AS is_before
      FROM counted d
     CROSS JOIN LATERAL (SELECT * FROM kgwebhook.queue a
                          WHERE a.destination BETWEEN d.destination AND d.destination
                          ORDER BY a.destination, a.delivery_id LIMIT d.room) r
    UNION ALL
    SELECT c.destination, c.pending, c.stands_for,
           r.delivery_id, r.org_id, r.kind, r.object_id, r.url, r.payload, r.attempts, r.next_attempt_at, r.enqueued_at, r.subscription_id,
           r.attempts_before, r.webhook_id,
           EXISTS (SELECT FROM kgwebhook.queue o
                    WHERE o.object_id OPERATOR(pg_catalog.=) r.object_id AND o.org_id OPERATOR(pg_catalog.=) r.org_id AND o.kind OPERATOR(pg_catalog.=) r.kind
                      AND o.destination OPERATOR(pg_catalog.=) r.destination AND o.subscription_id IS NOT DISTINCT FROM r.subscription_id
                      AND o.delivery_id OPERATOR(pg_catalog.<) r.delivery_id),
           EXISTS (SELECT FROM kgwebhook.queue o
                    WHERE o.object_id OPERATOR(pg_catalog.=) r.object_id AND o.org_id OPERATOR(pg_catalog.=) r.org_id AND o.kind OPERATOR(pg_catalog.=) r.kind
                      AND o.url OPERATOR(pg_catalog.=) r.url AND o.delivery_id OPERATOR(pg_catalog.>) r.delivery_id)
      FROM chosen c
      JOIN kgwebhook.queue r ON r.delivery_id OPERATOR(pg_catalog.=) c.delivery_id;
COMMENT ON VIEW kgwebhook.backlog IS
  'the queue, or of a long one the oldest of each destination and some of the rest, and how many deliveries each row stands for';
COMMENT ON COLUMN kgwebhook.backlog.destination IS 'scheme://host:port of the URL';
COMMENT ON COLUMN kgwebhook.backlog.pending IS 'how many deliveries wait for this destination';
COMMENT ON COLUMN kgwebhook.backlog.stands_for IS 'how many of them this row stands for; 1 where all are here';
COMMENT ON COLUMN kgwebhook.backlog.delivery_id IS 'the delivery';
COMMENT ON COLUMN kgwebhook.backlog.org_id IS 'the organization whose secret signs';
COMMENT ON COLUMN kgwebhook.backlog.kind IS 'kind of the object';
COMMENT ON COLUMN kgwebhook.backlog.object_id IS 'the object whose status changed';
COMMENT ON COLUMN kgwebhook.backlog.url IS 'where it goes';
COMMENT ON COLUMN kgwebhook.backlog.payload IS 'the payload';
COMMENT ON COLUMN kgwebhook.backlog.attempts IS 'attempts logged so far';
COMMENT ON COLUMN kgwebhook.backlog.next_attempt_at IS 'not before this; infinity: waits for a signing secret';
COMMENT ON COLUMN kgwebhook.backlog.enqueued_at IS 'when the status changed, or when it was queued again';
COMMENT ON COLUMN kgwebhook.backlog.subscription_id IS 'the subscription it is for; NULL: the object''s own URL';
COMMENT ON COLUMN kgwebhook.backlog.webhook_id IS 'the event, as receivers see it';
COMMENT ON COLUMN kgwebhook.backlog.attempts_before IS 'attempts made before it was last queued again';
COMMENT ON COLUMN kgwebhook.backlog.is_behind IS 'whether an older one of its object goes first, of a row that is not among the oldest; false for those, of which all are here';
COMMENT ON COLUMN kgwebhook.backlog.is_before IS 'whether a newer one of its object waits, of a row that is not among the oldest';
