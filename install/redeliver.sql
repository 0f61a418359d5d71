/*
 * install/redeliver.sql
 *		Sending one delivery again, or one object's.
 */

CREATE FUNCTION kgwebhook.destination_of(url pg_catalog.text) RETURNS pg_catalog.text
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'kg_destination_of';
COMMENT ON FUNCTION kgwebhook.destination_of(pg_catalog.text) IS
  'scheme://host:port of a URL; empty when it has none';

/*
 * Sending again
 *
 * A delivery keeps its number and its webhook-id, so that the order of an
 * object's transitions holds and receivers can drop duplicates.  A settled one
 * is restored from the dead letters or, if only the log has it, from the bytes
 * of its last request; its retry schedule then starts over.
 */

CREATE FUNCTION kgwebhook.subscription_accepts(subscription_id pg_catalog.int8) RETURNS pg_catalog.bool
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT subscription_accepts.subscription_id IS NULL
        OR EXISTS (SELECT FROM kgwebhook.subscription s
                    WHERE s.subscription_id = subscription_accepts.subscription_id AND s.disabled_at IS NULL)
$$;
COMMENT ON FUNCTION kgwebhook.subscription_accepts(pg_catalog.int8) IS
  'false for a subscription that is disabled or was removed: what is queued for it becomes dead letters';

/*
 * Deliveries already in the queue only become due: this is idempotent.  What no
 * subscription accepts stays where it is, and what is for one that has to answer a challenge goes to
 * the URL that it has now, which is the one that has answered.  One session at a time, so that a second
 * one finds in the queue what the first has put there; the lock blocks neither
 * the worker nor readers.
 *
 * "recovered" is for kg_recover(): a newer status that is on its way, or committed
 * since it looked, may still be acknowledged first, and the worker then supersedes
 * what is queued here.  What a person sends again, by its number or its object, goes
 * whatever was acknowledged.
 */
CREATE FUNCTION kgwebhook.requeue(
    ids pg_catalog.int8[],
    due pg_catalog.timestamptz[],
    recovered pg_catalog.timestamptz DEFAULT NULL) RETURNS SETOF pg_catalog.int8
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    LOCK TABLE kgwebhook.dead_letter IN SHARE UPDATE EXCLUSIVE MODE;
    RETURN QUERY
        UPDATE kgwebhook.queue q
           SET next_attempt_at = CASE WHEN isfinite(q.next_attempt_at) THEN least(q.next_attempt_at, w.due)
                                      ELSE q.next_attempt_at END,
               recovered = CASE WHEN requeue.recovered IS NOT NULL THEN q.recovered END
          FROM unnest(requeue.ids, requeue.due) AS w(delivery_id, due)
         WHERE q.delivery_id = w.delivery_id
        RETURNING q.delivery_id;

    RETURN QUERY
        WITH back AS (
            DELETE FROM kgwebhook.dead_letter d
             USING unnest(requeue.ids, requeue.due) AS w(delivery_id, due)
             WHERE d.delivery_id = w.delivery_id AND kgwebhook.subscription_accepts(d.subscription_id)
               AND d.forgotten_sha256 IS NULL
            RETURNING d.*, w.due,
                      (SELECT max(l.attempt) FROM kgwebhook.delivery_log l WHERE l.delivery_id = d.delivery_id) AS logged)
        INSERT INTO kgwebhook.queue (delivery_id, webhook_id, org_id, event, kind, object_id, url, destination,
                                     payload, problem, attempts, attempts_before, next_attempt_at, subscription_id,
                                     recovered)
        SELECT b.delivery_id, b.webhook_id, b.org_id, b.event, b.kind, b.object_id, coalesce(s.url, b.url), kgwebhook.destination_of(coalesce(s.url, b.url)),
               b.payload, b.problem, greatest(b.attempts, b.logged), greatest(b.attempts, b.logged), b.due, b.subscription_id,
               requeue.recovered
          FROM back b
          LEFT JOIN kgwebhook.subscription s ON s.subscription_id = b.subscription_id AND s.verify
            ON CONFLICT ON CONSTRAINT queue_pkey DO NOTHING
        RETURNING queue.delivery_id;

    RETURN QUERY
        INSERT INTO kgwebhook.queue (delivery_id, webhook_id, org_id, event, kind, object_id, url, destination,
                                     payload, attempts, attempts_before, next_attempt_at, subscription_id, recovered)
        SELECT DISTINCT ON (l.delivery_id)
               l.delivery_id, l.webhook_id, l.org_id, l.event, l.kind, l.object_id, coalesce(s.url, l.url), coalesce(s.destination, l.destination),
               l.request_body::jsonb - 'timestamp' - 'signature', n.attempts, n.attempts, w.due, l.subscription_id,
               requeue.recovered
          FROM unnest(requeue.ids, requeue.due) AS w(delivery_id, due)
          JOIN kgwebhook.delivery_log l ON l.delivery_id = w.delivery_id
          LEFT JOIN kgwebhook.subscription s ON s.subscription_id = l.subscription_id AND s.verify,
               LATERAL (SELECT max(a.attempt) AS attempts FROM kgwebhook.delivery_log a
                         WHERE a.delivery_id = l.delivery_id) n
         WHERE l.request_body IS NOT NULL AND NOT l.is_test AND kgwebhook.subscription_accepts(l.subscription_id)
         ORDER BY l.delivery_id, l.attempt DESC
            ON CONFLICT ON CONSTRAINT queue_pkey DO NOTHING
        RETURNING queue.delivery_id;

    /* so that a settled delivery can be told from one that has been queued again by its row alone */
    UPDATE kgwebhook.delivery_log l SET queued_again = true
     WHERE l.delivery_id = ANY (requeue.ids) AND l.final AND NOT l.is_test AND l.queued_again IS NOT TRUE
       AND EXISTS (SELECT FROM kgwebhook.queue q WHERE q.delivery_id = l.delivery_id);
END
$$;
COMMENT ON FUNCTION kgwebhook.requeue(pg_catalog.int8[], pg_catalog.timestamptz[], pg_catalog.timestamptz) IS
  'puts deliveries into the queue again; those already in it become due';

CREATE FUNCTION kgwebhook.kg_redeliver(delivery_id pg_catalog.int8) RETURNS SETOF pg_catalog.int8
    LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
    AS $$
DECLARE
    own text := kgwebhook.scope();
    it record;
BEGIN
    SELECT k.is_test, k.subscription_id INTO it
      FROM (SELECT q.delivery_id, q.org_id, false AS is_test, q.subscription_id FROM kgwebhook.queue q
            UNION ALL
            SELECT d.delivery_id, d.org_id, false, d.subscription_id FROM kgwebhook.dead_letter d
            UNION ALL
            SELECT l.delivery_id, l.org_id, l.is_test, l.subscription_id FROM kgwebhook.delivery_log l) k
     WHERE k.delivery_id = kg_redeliver.delivery_id AND (own IS NULL OR k.org_id = own) LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'delivery % does not exist', kg_redeliver.delivery_id
            USING ERRCODE = 'no_data_found',
                  DETAIL = 'It is not in the queue, the dead letters or the log; days of the log are dropped after "kgwebhook.log_retention".',
                  HINT = 'kgwebhook.deliveries has the deliveries'' numbers; an attempt''s number (attempt_id) is not one of them.';
    END IF;
    IF it.is_test THEN
        RAISE EXCEPTION 'delivery % was a test', kg_redeliver.delivery_id
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'A test belongs to no payment, so there is nothing to send again.',
                  HINT = 'Use kg_send_test() for another one.';
    END IF;
    RETURN QUERY SELECT r.* FROM kgwebhook.requeue(ARRAY[kg_redeliver.delivery_id], ARRAY[now()]) r;
    IF NOT FOUND AND NOT kgwebhook.subscription_accepts(it.subscription_id) THEN
        RAISE EXCEPTION 'delivery % cannot be sent again', kg_redeliver.delivery_id
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = coalesce((SELECT format('Subscription %s is disabled: %s.', s.subscription_id, s.disabled_reason)
                                       FROM kgwebhook.subscription s WHERE s.subscription_id = it.subscription_id),
                                    format('Subscription %s was removed.', it.subscription_id)),
                  HINT = 'kg_resume_subscription() enables one that is disabled; one that was removed cannot be restored.';
    ELSIF NOT FOUND THEN
        RAISE EXCEPTION 'delivery % cannot be sent again', kg_redeliver.delivery_id
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'It is settled, and the bytes that were sent are not known any more, or kg_forget() has removed them.';
    END IF;
END
$$;
COMMENT ON FUNCTION kgwebhook.kg_redeliver(pg_catalog.int8) IS
  'does what kg_redeliver() is for, with the owner''s rights';

CREATE FUNCTION @extschema@.kg_redeliver(delivery_id pg_catalog.int8) RETURNS SETOF pg_catalog.int8
    LANGUAGE c VOLATILE STRICT
    AS 'MODULE_PATHNAME', 'kg_for_caller';
COMMENT ON FUNCTION @extschema@.kg_redeliver(pg_catalog.int8) IS
  'sends a delivery again, with the same webhook-id';

/*
 * An object is named by organization, kind and identifier.  The identifier alone
 * is enough as long as only one object has it; otherwise the error lists the
 * candidates, because one organization's deliveries must not be sent again for another's.
 * For a merchant's role there are no others: plans are made for its organization, so
 * that not even the time tells how much another one has under that identifier.
 */
CREATE FUNCTION kgwebhook.deliveries_of(object_id pg_catalog.text, org_id pg_catalog.text, kind pg_catalog.text) RETURNS pg_catalog.int8[]
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
    AS $$
DECLARE
    own text := kgwebhook.scope();
    few CONSTANT int4 := 10;
    ids int8[];
    names text;
    objects int8;
BEGIN
    IF object_id IS NULL THEN
        RAISE EXCEPTION 'object_id must not be null'
            USING ERRCODE = 'null_value_not_allowed',
                  HINT = 'Only org_id and kind may be null, where object_id alone names one object.';
    END IF;
    IF org_id IS NOT NULL THEN
        PERFORM kgwebhook.check_organization(org_id);
    END IF;
    WITH known AS (
        SELECT q.delivery_id, q.org_id, q.kind FROM kgwebhook.queue q
         WHERE q.object_id = deliveries_of.object_id AND (own IS NULL OR q.org_id = own)
        UNION
        SELECT d.delivery_id, d.org_id, d.kind FROM kgwebhook.dead_letter d
         WHERE d.object_id = deliveries_of.object_id AND (own IS NULL OR d.org_id = own)
        UNION
        SELECT l.delivery_id, l.org_id, l.kind FROM kgwebhook.delivery_log l
         WHERE l.object_id = deliveries_of.object_id AND NOT l.is_test AND (own IS NULL OR l.org_id = own)),
    meant AS (
        SELECT k.* FROM known k
         WHERE k.org_id = coalesce(deliveries_of.org_id, k.org_id)
           AND k.kind = coalesce(deliveries_of.kind, k.kind)),
    object AS (
        SELECT m.org_id, m.kind, row_number() OVER (ORDER BY m.org_id, m.kind) AS n
          FROM meant m GROUP BY m.org_id, m.kind)
    SELECT (SELECT coalesce(array_agg(m.delivery_id ORDER BY m.delivery_id), '{}') FROM meant m),
           count(*),
           string_agg(format('%s of organization %s', coalesce(nullif(o.kind, ''), '(no kind)'), o.org_id), ', ' ORDER BY o.n)
               FILTER (WHERE o.n <= few)
      INTO ids, objects, names FROM object o;
    IF objects > 1 THEN
        RAISE EXCEPTION '% objects have the identifier "%"', objects, object_id
            USING ERRCODE = 'cardinality_violation',
                  DETAIL = format('They are: %s%s.', names, CASE WHEN objects > few THEN format(', and %s more', objects - few) ELSE '' END),
                  HINT = 'Specify org_id and kind.';
    END IF;
    RETURN ids;
END
$$;
COMMENT ON FUNCTION kgwebhook.deliveries_of(pg_catalog.text, pg_catalog.text, pg_catalog.text) IS
  'the deliveries of one object, oldest first; an error when several objects have the identifier';

CREATE FUNCTION kgwebhook.kg_redeliver_object(
    object_id pg_catalog.text,
    org_id pg_catalog.text,
    kind pg_catalog.text) RETURNS SETOF pg_catalog.int8
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    ids int8[] := kgwebhook.deliveries_of(object_id, org_id, kind);
BEGIN
    RETURN QUERY
        SELECT r.* FROM kgwebhook.requeue(ids, array_fill(now(), ARRAY[cardinality(ids)])) AS r
         ORDER BY 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'nothing can be sent again for "%"', object_id
            USING ERRCODE = 'no_data_found',
                  DETAIL = 'No delivery of this object is in the queue, the dead letters or the log, or only for subscriptions that are disabled or were removed.',
                  HINT = 'Identifiers, organizations and kinds are compared exactly; kgwebhook.deliveries has them.';
    END IF;
END
$$;
COMMENT ON FUNCTION kgwebhook.kg_redeliver_object(pg_catalog.text, pg_catalog.text, pg_catalog.text) IS
  'does what kg_redeliver_object() is for, with the owner''s rights';

CREATE FUNCTION @extschema@.kg_redeliver_object(
    object_id pg_catalog.text,
    org_id pg_catalog.text DEFAULT NULL,
    kind pg_catalog.text DEFAULT NULL) RETURNS SETOF pg_catalog.int8
    LANGUAGE c VOLATILE
    AS 'MODULE_PATHNAME', 'kg_for_caller';
COMMENT ON FUNCTION @extschema@.kg_redeliver_object(pg_catalog.text, pg_catalog.text, pg_catalog.text) IS
  'sends all deliveries of an object again, oldest first, with the same webhook-ids';
