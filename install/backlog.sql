/*
 * install/backlog.sql
 *		The backlog for figures, at any size.
 */

/*
 * To count by what the rows say (when they are due, for whom they are) is to read
 * them, and a million rows take a second.  So figures come from here: all rows while
 * 20,000 wait at most, and then of each destination those that have waited longest, each
 * of which stands for a number of them.  What is stuck is old, so it is among them.  The
 * number of a destination's deliveries is exact in either case: it comes from an
 * index alone.
 *
 * It shows payloads, and so is nobody's; the views above it show none.
 */
CREATE VIEW kgwebhook.backlog AS
    SELECT d.destination, d.pending, d.pending::pg_catalog.float8 OPERATOR(pg_catalog./) least(d.pending, d.room) AS stands_for,
           r.delivery_id, r.org_id, r.kind, r.object_id, r.url, r.payload, r.attempts, r.next_attempt_at, r.enqueued_at, r.subscription_id,
           r.attempts_before, r.webhook_id
      FROM (SELECT q.destination, q.pending,
                   CASE WHEN pg_catalog.sum(q.pending) OVER () OPERATOR(pg_catalog.<=) 20000 THEN q.pending
                        ELSE greatest(10, 20000 OPERATOR(pg_catalog./) pg_catalog.count(*) OVER ()) END AS room
              FROM (SELECT c.destination, pg_catalog.count(*) AS pending FROM kgwebhook.queue c GROUP BY c.destination) q) d
     CROSS JOIN LATERAL (SELECT * FROM kgwebhook.queue a
                          WHERE a.destination OPERATOR(pg_catalog.=) d.destination
                          ORDER BY a.delivery_id LIMIT d.room) r;
COMMENT ON VIEW kgwebhook.backlog IS
  'the queue, or of a long one the oldest of each destination, and how many deliveries each row stands for';
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
