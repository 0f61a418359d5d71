/*
 * install/explain.sql
 *		What happened to a delivery, and what is next.
 */

/*
 * What a merchant's role is told of a delivery that waits: nothing of the server, nor
 * of what others have at the same destination.
 */
CREATE FUNCTION kgwebhook.explain_waiting(
    it kgwebhook.deliveries,
    subscription kgwebhook.subscription,
    destination_state pg_catalog.text,
    head pg_catalog.int8,
    next pg_catalog.text) RETURNS pg_catalog.text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT CASE
        WHEN it.subscription_id IS NOT NULL AND subscription.subscription_id IS NULL THEN
            format('Its subscription %s was removed: it becomes a dead letter when its turn comes.', it.subscription_id)
        WHEN subscription.disabled_at IS NOT NULL THEN
            format('Its subscription %s is disabled: it becomes a dead letter when its turn comes.', it.subscription_id)
        WHEN subscription.paused_at IS NOT NULL THEN
            format('Its subscription %s is paused. Next is %s, after kg_resume_subscription(%s).',
                   it.subscription_id, next, it.subscription_id)
        WHEN NOT isfinite(it.next_attempt_at) THEN 'It waits for a signing secret: ask the operator.'
        WHEN destination_state IN ('paused', 'stopped') THEN format('The operator has paused sending. Next is %s, once that is over.', next)
        WHEN head < it.delivery_id THEN format('It waits for delivery %s, an older status of the same object, which goes first.', head)
        WHEN destination_state = 'backing_off' AND it.last_outcome <> 'acknowledged' THEN
            'Its receiver keeps failing, so that it is only probed: this is sent once a probe succeeds.'
        ELSE format('Next is %s.', next) END
$$;
COMMENT ON FUNCTION kgwebhook.explain_waiting(kgwebhook.deliveries, kgwebhook.subscription, pg_catalog.text, pg_catalog.int8, pg_catalog.text) IS
  'what a delivery waits for, in words for the merchant whose it is';

CREATE FUNCTION kgwebhook.kg_explain(delivery_id pg_catalog.int8) RETURNS pg_catalog.text
    LANGUAGE plpgsql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
    AS $$
DECLARE
    own text := kgwebhook.scope();
    it kgwebhook.deliveries;
    last kgwebhook.delivery_log;
    dead kgwebhook.dead_letter;
    destination kgwebhook.destinations;
    subscription kgwebhook.subscription;
    worker text;
    takes numeric;
    head kgwebhook.queue;
    newer int8;
    ends timestamptz;
    hold text;
    told text;
    next text;
BEGIN
    SELECT * INTO it FROM kgwebhook.all_deliveries d
     WHERE d.delivery_id = kg_explain.delivery_id AND (own IS NULL OR d.org_id = own);
    IF NOT FOUND THEN
        RETURN format('Delivery %s is not known: it is not in the queue, the dead letters or the log. '
                      'Settled deliveries are forgotten with their day of the log (kgwebhook.log_retention).',
                      kg_explain.delivery_id);
    END IF;
    SELECT * INTO last FROM kgwebhook.delivery_log l
     WHERE l.delivery_id = kg_explain.delivery_id ORDER BY l.attempt DESC, l.attempt_id DESC LIMIT 1;
    SELECT * INTO subscription FROM kgwebhook.subscription s WHERE s.subscription_id = it.subscription_id;
    told := format('Delivery %s is %s of %s %s of organization %s, to %s%s.',
                   it.delivery_id, it.event, coalesce(nullif(it.kind, ''), 'object'), it.object_id, it.org_id, it.url,
                   coalesce(' (subscription ' || it.subscription_id || ')', ''))
            || CASE WHEN it.enqueued_at IS NULL THEN '' ELSE format(E'\nIt was queued at %s.', date_trunc('second', it.enqueued_at)) END
            || CASE WHEN last.attempt_id IS NULL THEN E'\nNo attempt has been made.'
                    ELSE format(E'\nThe last attempt, number %s, began at %s and was %s after %s ms%s.',
                                last.attempt, date_trunc('second', last.started_at), last.outcome,
                                round(coalesce(last.duration_ms, 0)::numeric),
                                coalesce(': ' || last.error, format(' with HTTP status %s', last.response_status), '')) END
            || CASE WHEN last.outcome <> 'acknowledged' AND last.response_body <> ''
                    THEN format(E'\nThe receiver said: %s', left(regexp_replace(last.response_body, '\s+', ' ', 'g'), 500)) ELSE '' END;

    IF it.state = 'acknowledged' THEN
        RETURN told || E'\nThe receiver has it; nothing is left to do.';
    ELSIF it.state = 'superseded' THEN
        RETURN told || format(E'\nIt was superseded by a newer status of the object.\nNothing more happens automatically. SELECT kg_redeliver(%s) sends it anyway.',
                              it.delivery_id);
    ELSIF it.state = 'dead' THEN
        SELECT * INTO dead FROM kgwebhook.dead_letter d WHERE d.delivery_id = kg_explain.delivery_id;
        told := told || format(E'\nIt was given up at %s: %s.\nNothing more happens automatically.',
                               date_trunc('second', dead.died_at), dead.reason);
        IF it.subscription_id IS NOT NULL AND subscription.subscription_id IS NULL THEN
            RETURN told || format(' Subscription %s was removed, so it cannot be sent again.', it.subscription_id);
        END IF;
        RETURN told || format(' Fix the cause; then %sSELECT kg_redeliver(%s) sends it again.',
                              CASE WHEN subscription.disabled_at IS NULL THEN ''
                                   ELSE format('enable the subscription by SELECT kg_resume_subscription(%s); after that ', it.subscription_id) END,
                              it.delivery_id);
    END IF;

    SELECT * INTO destination FROM kgwebhook.destinations d WHERE d.destination = it.destination;
    SELECT s.worker_state INTO worker FROM kgwebhook.worker_stats() s;
    SELECT * INTO head FROM kgwebhook.queue q
     WHERE q.destination = it.destination
       AND q.object_id = it.object_id AND q.org_id = it.org_id AND q.kind = it.kind
       AND q.subscription_id IS NOT DISTINCT FROM it.subscription_id
     ORDER BY q.delivery_id LIMIT 1;
    SELECT min(q.delivery_id) INTO newer FROM kgwebhook.queue q
     WHERE q.destination = it.destination AND q.delivery_id > it.delivery_id
       AND q.object_id = it.object_id AND q.org_id = it.org_id AND q.kind = it.kind
       AND q.subscription_id IS NOT DISTINCT FROM it.subscription_id;
    ends := head.refused_at - make_interval(secs => coalesce(head.held, 0) / 1000000.0)
            + coalesce(nullif(current_setting('kgwebhook.max_hold', true), ''), '5min')::interval;
    hold := CASE WHEN ends IS NULL THEN 'Only one that is refused is superseded, and its last attempt was not.'
                 ELSE format('If it is refused until %s, it is superseded then (kgwebhook.max_hold)%s.', date_trunc('second', ends),
                             CASE WHEN destination.state = 'backing_off' THEN '; the time for which its destination backs off is added' ELSE '' END) END;
    SELECT round(percentile_cont(0.5) WITHIN GROUP (ORDER BY l.duration_ms)::numeric / 1000, 1) INTO takes
      FROM kgwebhook.delivery_log l
     WHERE l.attempt_id > (SELECT last_value FROM kgwebhook.attempt_id_seq) - 5000
       AND l.started_at > now() - interval '10 minutes'
       AND l.destination = it.destination AND l.outcome = 'acknowledged';
    next := format('attempt %s, %s', it.attempts + 1,
                   CASE WHEN NOT isfinite(it.next_attempt_at) THEN 'which waits'
                        WHEN it.next_attempt_at <= now() THEN 'which is due now'
                        ELSE format('at %s, in %s', date_trunc('second', it.next_attempt_at),
                                    date_trunc('second', it.next_attempt_at - now())) END);
    IF own IS NOT NULL THEN
        RETURN told || E'\n' || kgwebhook.explain_waiting(it, subscription,
                                     CASE WHEN worker IN ('idle', 'busy') THEN destination.state ELSE 'stopped' END,
                                     head.delivery_id, next);
    END IF;
    RETURN told || E'\n' || CASE
        WHEN worker NOT IN ('idle', 'busy') THEN
            format('Nothing is sent at present, because the worker is: %s. Next is %s, once that is fixed.', worker, next)
        WHEN destination.state = 'paused' THEN
            format('Its destination %s is paused. Next is %s, after kg_resume().', it.destination, next)
        WHEN it.subscription_id IS NOT NULL AND subscription.subscription_id IS NULL THEN
            format('Its subscription %s was removed: it becomes a dead letter when its turn comes.', it.subscription_id)
        WHEN subscription.disabled_at IS NOT NULL THEN
            format('Its subscription %s is disabled: it becomes a dead letter when its turn comes.', it.subscription_id)
        WHEN subscription.paused_at IS NOT NULL THEN
            format('Its subscription %s is paused. Next is %s, after kg_resume_subscription(%s).',
                   it.subscription_id, next, it.subscription_id)
        WHEN NOT isfinite(it.next_attempt_at) THEN
            kgwebhook.explain_missing_secret(it.org_id)
        WHEN head.delivery_id < it.delivery_id THEN
            format('It waits for delivery %s, an older status of the same object (%s), which goes first. %s SELECT kg_explain(%s) says what that one waits for.', head.delivery_id, head.event, hold, head.delivery_id)
        WHEN destination.state = 'backing_off' THEN
            format('%s (%s failures in a row). The next probe is at %s; this is sent once one succeeds.',
                   CASE WHEN last.outcome IN ('unreachable', 'blocked') THEN format('Its destination %s cannot be reached', it.destination)
                        WHEN last.outcome IN ('rejected', 'timed_out') THEN format('Its URL is failing, and nothing at %s has succeeded since', it.destination)
                        ELSE format('Its destination %s, or its URL there, is failing', it.destination) END,
                   destination.failures_in_a_row,
                   date_trunc('second', greatest(destination.next_try, it.next_attempt_at)))
        WHEN last.outcome IN ('rejected', 'timed_out') AND it.next_attempt_at < now() - interval '5 seconds' THEN
            format('Its URL is failing, while others at its destination %s are not: it is sent once a probe of that URL succeeds.',
                   it.destination)
        WHEN it.next_attempt_at <= now() AND destination.in_flight > 0 THEN
            format('It is on its way, or waits for its turn: %s in flight to %s%s.',
                   kgwebhook.count_text(destination.in_flight, 'request is', 'requests are'), it.destination,
                   CASE WHEN takes >= 1 THEN format(', which takes %s s a request', takes) ELSE '' END)
        ELSE format('Next is %s.', next) END
        || CASE WHEN newer IS NULL OR head.delivery_id < it.delivery_id THEN ''
                ELSE format(E'\nDelivery %s, a newer status of the same object, waits for it. %s', newer, hold) END
        || CASE WHEN last.outcome IN ('rejected', 'timed_out', 'unreachable', 'blocked')
                THEN E'\n' || kgwebhook.receiver_remedy(last.outcome, last.response_status, last.error, it.url, it.org_id) ELSE '' END;
END
$$;
COMMENT ON FUNCTION kgwebhook.kg_explain(pg_catalog.int8) IS
  'does what kg_explain() is for, with the owner''s rights';

CREATE FUNCTION @extschema@.kg_explain(delivery_id pg_catalog.int8) RETURNS pg_catalog.text
    LANGUAGE c STABLE STRICT
    AS 'MODULE_PATHNAME', 'kg_for_caller';
COMMENT ON FUNCTION @extschema@.kg_explain(pg_catalog.int8) IS
  'what happened to a delivery, what is next and when, in words';

CREATE FUNCTION kgwebhook.kg_explain(
    object_id pg_catalog.text,
    org_id pg_catalog.text,
    kind pg_catalog.text) RETURNS SETOF pg_catalog.text
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    ids int8[] := kgwebhook.deliveries_of(object_id, org_id, kind);
BEGIN
    IF ids = '{}' THEN
        RETURN NEXT format('No delivery of an object "%s" is known%s: none is in the queue, the dead letters or the log. '
                           'Settled deliveries are forgotten with their day of the log (kgwebhook.log_retention).',
                           object_id,
                           CASE WHEN coalesce(org_id, kind) IS NULL THEN ''
                                ELSE format(' for %s', concat_ws(' and ', 'organization ' || org_id, 'kind ' || kind)) END);
        RETURN;
    END IF;
    RETURN QUERY SELECT kgwebhook.kg_explain(i.id) FROM unnest(ids) WITH ORDINALITY AS i(id, n) ORDER BY i.n;
END
$$;
COMMENT ON FUNCTION kgwebhook.kg_explain(pg_catalog.text, pg_catalog.text, pg_catalog.text) IS
  'does what kg_explain() is for, with the owner''s rights';

CREATE FUNCTION @extschema@.kg_explain(
    object_id pg_catalog.text,
    org_id pg_catalog.text DEFAULT NULL,
    kind pg_catalog.text DEFAULT NULL) RETURNS SETOF pg_catalog.text
    LANGUAGE c STABLE
    AS 'MODULE_PATHNAME', 'kg_for_caller';
COMMENT ON FUNCTION @extschema@.kg_explain(pg_catalog.text, pg_catalog.text, pg_catalog.text) IS
  'what happened to each delivery of an object, oldest first, in words';
