/*
 * install/event_places.sql
 *		The events between two snapshots, in the order in which they are fetched.
 */

/*
 * Within an interval, an object's events come in the order of their deliveries' numbers.  These
 * were drawn while the object's row was locked, so that is the order in which they happened; the
 * transactions' own numbers, by which an interval is read, can be the other way round where two
 * overlapped.  Events of an interval stand by their place: the largest (xid, delivery_id) of all
 * deliveries of their object in the interval that have their own number or a lower one.  Almost
 * always it is their own.  One that is late comes behind the delivery whose place it has.
 *
 * So a page reads some deliveries in the order of (xid, delivery_id), and of their objects
 * whatever is in the interval: that has everything whose place is among those that were read.
 * Places depend on nothing but numbers of the same interval: not on the page, nor on whether a
 * delivery is in the queue, a dead letter or logged by now.  (What is sent again has a new
 * transaction, and stays in the log under the former one.)  An interval of which everything was
 * read at once, as where a merchant looks often, needs no objects.
 */

/*
 * All deliveries in an interval, unordered.  Expanded into the query that calls it, which is why
 * it has no rights or path of its own.  What was logged before a restore has the numbers of another
 * server's transactions, and "boundary" is the last such attempt.  In a function of this language a
 * column goes before a parameter of its name.
 */
CREATE FUNCTION kgwebhook.events_between(
    org_id pg_catalog.text,
    only_of pg_catalog.int8,
    seen pg_catalog.pg_snapshot,
    earliest pg_catalog.timestamptz,
    until pg_catalog.pg_snapshot,
    boundary pg_catalog.int8)
    RETURNS TABLE (xid pg_catalog.xid8, delivery_id pg_catalog.int8, source pg_catalog.int4, webhook_id pg_catalog.text,
                   event pg_catalog.text, kind pg_catalog.text, object_id pg_catalog.text, at pg_catalog.timestamptz)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT e.*
      FROM (SELECT q.xid, q.delivery_id, 1, q.webhook_id, q.event, q.kind, q.object_id, q.enqueued_at
              FROM kgwebhook.queue q
             WHERE q.org_id = events_between.org_id AND (only_of IS NULL OR q.subscription_id = only_of)
               AND q.xid >= coalesce(pg_snapshot_xmin(seen), '0') AND (earliest IS NULL OR q.enqueued_at >= earliest)
            UNION ALL
            SELECT CASE WHEN d.origin = kgwebhook.origin() THEN d.xid ELSE '0'::xid8 END, d.delivery_id, 2, d.webhook_id,
                   d.event, d.kind, d.object_id, d.enqueued_at
              FROM kgwebhook.dead_letter d
             WHERE d.org_id = events_between.org_id AND (only_of IS NULL OR d.subscription_id = only_of)
               AND (earliest IS NULL OR d.enqueued_at >= earliest)
            UNION ALL
            SELECT l.xid, l.delivery_id, 3, l.webhook_id, l.event, l.kind, l.object_id, coalesce(l.enqueued_at, l.started_at)
              FROM kgwebhook.delivery_log l
             WHERE l.org_id = events_between.org_id AND (only_of IS NULL OR l.subscription_id = only_of)
               AND l.final AND NOT l.is_test AND l.attempt_id > boundary AND l.xid >= coalesce(pg_snapshot_xmin(seen), '0')
               AND (earliest IS NULL OR l.started_at >= earliest AND coalesce(l.enqueued_at, l.started_at) >= earliest)
            UNION ALL
            SELECT '0'::xid8, l.delivery_id, 3, l.webhook_id, l.event, l.kind, l.object_id, coalesce(l.enqueued_at, l.started_at)
              FROM kgwebhook.delivery_log l
             WHERE seen IS NULL AND l.org_id = events_between.org_id AND (only_of IS NULL OR l.subscription_id = only_of)
               AND l.final AND NOT l.is_test AND l.attempt_id <= boundary
               AND (earliest IS NULL OR l.started_at >= earliest AND coalesce(l.enqueued_at, l.started_at) >= earliest)) e (xid)
     WHERE (seen IS NULL OR NOT pg_visible_in_snapshot(e.xid, seen)) AND pg_visible_in_snapshot(e.xid, until);
END;
COMMENT ON FUNCTION kgwebhook.events_between(pg_catalog.text, pg_catalog.int8, pg_catalog.pg_snapshot, pg_catalog.timestamptz, pg_catalog.pg_snapshot, pg_catalog.int8) IS
  'an organization''s deliveries, or one subscription''s, whose transactions one snapshot has not seen and another has';

/*
 * The next events of an interval, at most as many as are wanted; fewer when there are no more.
 * What follows the last one at its own place is of the same object.
 */
CREATE FUNCTION kgwebhook.next_events(
    org_id pg_catalog.text,
    only_of pg_catalog.int8,
    seen pg_catalog.pg_snapshot,
    not_before pg_catalog.timestamptz,
    until pg_catalog.pg_snapshot,
    after_xid pg_catalog.xid8,
    after_anchor pg_catalog.int8,
    after_id pg_catalog.int8,
    last_webhook pg_catalog.text,
    wanted pg_catalog.int4)
    RETURNS TABLE (xid pg_catalog.xid8, anchor pg_catalog.int8, delivery_id pg_catalog.int8, source pg_catalog.int4,
                   webhook_id pg_catalog.text, event pg_catalog.text, object_id pg_catalog.text, at pg_catalog.timestamptz)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
    AS $$
DECLARE
    boundary CONSTANT int8 := (SELECT max(i.adopted_after) FROM kgwebhook.instance i);
    reach int4 := wanted + 50;
    last_xid xid8 := after_xid;
    walked record;
    whole bool;
    it record;
BEGIN
    WHILE wanted > 0 LOOP
        SELECT count(*) < reach AS to_the_end, (array_agg(w.xid))[reach] AS xid, (array_agg(w.delivery_id))[reach] AS id,
               array_agg(w.kind) AS kinds, array_agg(w.object_id) AS objects
          INTO walked
          FROM (SELECT e.* FROM kgwebhook.events_between(next_events.org_id, only_of, seen, not_before, until, boundary) e
                 WHERE e.xid >= after_xid AND (e.xid, e.delivery_id) > (after_xid, after_anchor)
                 ORDER BY e.xid, e.delivery_id LIMIT reach) w;
        whole := after_anchor < 0 AND walked.to_the_end;
        FOR it IN
            WITH object AS (
                SELECT w.kind, w.object_id FROM unnest(walked.kinds, walked.objects) w (kind, object_id)
                UNION
                SELECT k.kind, k.object_id
                  FROM (SELECT q.org_id, q.kind, q.object_id FROM kgwebhook.queue q WHERE q.delivery_id = after_id
                        UNION ALL
                        SELECT d.org_id, d.kind, d.object_id FROM kgwebhook.dead_letter d WHERE d.delivery_id = after_id
                        UNION ALL
                        SELECT l.org_id, l.kind, l.object_id FROM kgwebhook.delivery_log l WHERE l.delivery_id = after_id) k
                 WHERE k.org_id = next_events.org_id),
            known AS (
                SELECT e.* FROM kgwebhook.events_between(next_events.org_id, only_of, seen, not_before, until, boundary) e WHERE whole
                UNION ALL
                SELECT e.*
                  FROM object o,
                       LATERAL (SELECT e.* FROM kgwebhook.events_between(next_events.org_id, only_of, seen, not_before, until, boundary) e
                                 WHERE e.object_id = o.object_id AND e.kind = o.kind OFFSET 0) e
                 WHERE NOT whole),
            behind AS (
                SELECT k.*, max(k.xid) OVER (PARTITION BY k.kind, k.object_id ORDER BY k.delivery_id, k.xid) AS place
                  FROM known k),
            placed AS (
                SELECT b.*, max(b.delivery_id) FILTER (WHERE b.xid = b.place)
                                OVER (PARTITION BY b.kind, b.object_id, b.place ORDER BY b.delivery_id, b.xid) AS anchor
                  FROM behind b)
            SELECT p.* FROM placed p
             WHERE (p.place, p.anchor, p.delivery_id) > (after_xid, after_anchor, after_id)
               AND (walked.to_the_end OR (p.place, p.anchor) <= (walked.xid, walked.id))
             ORDER BY p.place, p.anchor, p.delivery_id, p.xid, p.source
        LOOP
            /* a challenge is no event */
            CONTINUE WHEN it.webhook_id = last_webhook AND it.place = last_xid
                       OR it.object_id = it.webhook_id AND it.event = 'endpoint.challenge';
            EXIT WHEN wanted = 0;
            wanted := wanted - 1;
            last_xid := it.place;
            last_webhook := it.webhook_id;
            xid := it.place;
            anchor := it.anchor;
            delivery_id := it.delivery_id;
            source := it.source;
            webhook_id := it.webhook_id;
            event := it.event;
            object_id := it.object_id;
            at := it.at;
            RETURN NEXT;
        END LOOP;
        EXIT WHEN walked.to_the_end;
        after_xid := walked.xid;
        after_anchor := walked.id;
        after_id := 9223372036854775807;
        /* an event seems to have several deliveries */
        reach := 4 * reach;
    END LOOP;
END
$$;
COMMENT ON FUNCTION kgwebhook.next_events(pg_catalog.text, pg_catalog.int8, pg_catalog.pg_snapshot, pg_catalog.timestamptz, pg_catalog.pg_snapshot, pg_catalog.xid8, pg_catalog.int8, pg_catalog.int8, pg_catalog.text, pg_catalog.int4) IS
  'the next events of an interval, each object''s in their order';

/* What events would be sent with; NULL for one whose payload is not known any more. */
CREATE FUNCTION kgwebhook.payloads_of(deliveries pg_catalog.int8[], sources pg_catalog.int4[]) RETURNS pg_catalog.jsonb[]
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT array_agg(coalesce(CASE u.source
                                  WHEN 1 THEN (SELECT q.payload FROM kgwebhook.queue q WHERE q.delivery_id = u.id)
                                  WHEN 2 THEN (SELECT d.payload FROM kgwebhook.dead_letter d
                                                WHERE d.delivery_id = u.id AND d.forgotten_sha256 IS NULL) END,
                              (SELECT l.request_body::jsonb FROM kgwebhook.delivery_log l
                                WHERE l.delivery_id = u.id AND l.request_body IS NOT NULL
                                ORDER BY l.attempt DESC LIMIT 1)) ORDER BY u.n)
      FROM unnest(deliveries, sources) WITH ORDINALITY u (id, source, n)
$$;
COMMENT ON FUNCTION kgwebhook.payloads_of(pg_catalog.int8[], pg_catalog.int4[]) IS
  'the payloads of deliveries in the queue (1), among the dead letters (2) or in the log (3)';
