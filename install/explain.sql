/*
 * install/explain.sql
 *		What happened to a delivery, and what is next: kg_explain().
 */

/*
 * What waits of the same object for the same receiver.  By the object's index: the
 * destination's has them in their order, with everything else that waits there in between,
 * and OFFSET 0 keeps the planner from hoping to meet one of them soon.
 */
CREATE FUNCTION kgwebhook.chain_of(it kgwebhook.deliveries) RETURNS SETOF kgwebhook.queue
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT (o.q).*
      FROM (SELECT q FROM kgwebhook.queue q
             WHERE q.object_id = it.object_id AND q.org_id = it.org_id AND q.kind = it.kind OFFSET 0) o
     WHERE (o.q).destination = it.destination AND kgwebhook.is_in_line(o.q, it.subscription_id, it.url)
$$;
COMMENT ON FUNCTION kgwebhook.chain_of(kgwebhook.deliveries) IS
  'the deliveries that go to the same receiver for the same object, one after the other';

CREATE FUNCTION kgwebhook.explain_pending(it kgwebhook.deliveries) RETURNS pg_catalog.text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    standstill text := kgwebhook.explain_standstill(true);
    mine kgwebhook.queue;
    head kgwebhook.queue;
    newer int8;
    backing_off bool;
    ends timestamptz;
    hold text;
    told text;
BEGIN
    SELECT * INTO mine FROM kgwebhook.queue q WHERE q.delivery_id = it.delivery_id;
    SELECT * INTO head FROM kgwebhook.chain_of(it) q ORDER BY q.delivery_id LIMIT 1;
    SELECT min(q.delivery_id) INTO newer FROM kgwebhook.chain_of(it) q WHERE q.delivery_id > it.delivery_id;
    SELECT n.backing_off INTO backing_off FROM kgwebhook.destination_notices() n WHERE n.destination = it.destination;
    ends := head.refused_at - make_interval(secs => coalesce(head.held, 0) / 1000000.0)
            + coalesce(nullif(current_setting('kgwebhook.max_hold', true), ''), '5min')::interval;
    hold := CASE WHEN ends IS NULL THEN 'Only one that is refused is superseded, and its last attempt was not.'
                 ELSE format('If it is refused until %s, it is superseded then (kgwebhook.max_hold)%s.', date_trunc('second', ends),
                             CASE WHEN backing_off THEN '; the time for which its destination backs off is added' ELSE '' END) END;
    told := CASE WHEN head.delivery_id < it.delivery_id
                 THEN format('It waits for delivery %s, an older status of the same object (%s), which goes first. %s SELECT kg_explain(%s); says what that one waits for.',
                             head.delivery_id, head.event, hold, head.delivery_id)
                      || coalesce(E'\n' || standstill, '')
                 ELSE coalesce(standstill, kgwebhook.explain_wait(it))
                      || coalesce(E'\nDelivery ' || newer || ', a newer status of the same object, waits for it. ' || hold, '') END;
    IF standstill IS NULL AND isfinite(it.next_attempt_at) AND it.attempts > 0 THEN
        told := told || format(E'\nIf nothing changes, it is given up at about %s (kgwebhook.retry_schedule).',
                               date_trunc('second', kgwebhook.given_up_at(mine.attempts - mine.attempts_before, mine.next_attempt_at,
                                                                          mine.enqueued_at, backing_off)));
    END IF;
    RETURN told
        || CASE WHEN it.last_outcome IN ('rejected', 'timed_out', 'unreachable', 'blocked')
                 AND NOT coalesce(standstill IS NOT NULL AND it.last_error ~ 'kgwebhook[.](source_address|proxy)', false)
                /* one remedy after the other */
                THEN CASE WHEN told ~ E'\nWhat to do: ' THEN E'\nAfter that: ' ELSE E'\nWhat to do: ' END
                     || kgwebhook.receiver_remedy(it.last_outcome, it.last_status, it.last_error, it.url, it.org_id) ELSE '' END;
END
$$;
COMMENT ON FUNCTION kgwebhook.explain_pending(kgwebhook.deliveries) IS
  'the part of kg_explain() about a delivery in the queue';

/* Its own headers a merchant can set itself. */
CREATE FUNCTION kgwebhook.explain_key_to_merchant(it kgwebhook.deliveries) RETURNS pg_catalog.text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT CASE WHEN u.kinds = ARRAY['headers']
                THEN format(E'It waits for the headers of subscription %s, which cannot be decrypted at present.\nWhat to do: set them again with kg_set_headers(), or ask the operator.', it.subscription_id)
                WHEN u.is_settable THEN 'It waits for a client certificate, which cannot be decrypted at present: ask the operator.'
                ELSE 'It waits for a signing secret: ask the operator.' END
      FROM kgwebhook.undecryptable(it.org_id, coalesce(it.subscription_id, 0)) u
$$;
COMMENT ON FUNCTION kgwebhook.explain_key_to_merchant(kgwebhook.deliveries) IS
  'what of its organization''s a delivery waits for to be signed or sent, in words for the merchant whose it is';

/*
 * What a merchant's role is told of a delivery that waits: nothing of the server, nor
 * of what others have at the same destination.
 */
CREATE FUNCTION kgwebhook.explain_to_merchant(it kgwebhook.deliveries) RETURNS pg_catalog.text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    subscription kgwebhook.subscription;
    head int8;
BEGIN
    SELECT * INTO subscription FROM kgwebhook.subscription s WHERE s.subscription_id = it.subscription_id;
    SELECT min(q.delivery_id) INTO head FROM kgwebhook.chain_of(it) q;
    RETURN CASE
        WHEN it.subscription_id IS NOT NULL AND subscription.subscription_id IS NULL THEN
            format('Its subscription %s was removed: it becomes a dead letter when its turn comes.', it.subscription_id)
        WHEN subscription.disabled_at IS NOT NULL THEN
            format(E'Its subscription %s is disabled: it becomes a dead letter when its turn comes.\nWhat to do: SELECT kg_resume_subscription(%s);',
                   it.subscription_id, it.subscription_id)
        WHEN subscription.paused_at IS NOT NULL THEN
            format(E'Its subscription %s is paused; it is sent once that is resumed.\nWhat to do: SELECT kg_resume_subscription(%s);',
                   it.subscription_id, it.subscription_id)
        WHEN subscription.challenge IS NOT NULL AND it.object_id <> it.webhook_id THEN kgwebhook.explain_challenge(subscription)
        WHEN it.subscription_id IS NULL AND kgwebhook.lacks_consent(it.org_id, it.url) THEN kgwebhook.explain_consent(it)
        WHEN kgwebhook.awaits_secret(it) THEN kgwebhook.explain_key_to_merchant(it)
        WHEN (SELECT s.worker_state NOT IN ('idle', 'busy') FROM kgwebhook.worker_stats() s)
          OR EXISTS (SELECT FROM kgwebhook.paused p WHERE p.destination IN (it.destination, '*')) THEN
            'The operator has paused sending: it is sent once that is over.'
        WHEN head < it.delivery_id THEN format('It waits for delivery %s, an older status of the same object, which goes first.', head)
        WHEN it.last_outcome <> 'acknowledged'
         AND EXISTS (SELECT FROM kgwebhook.destination_notices() n WHERE n.destination = it.destination AND n.backing_off) THEN
            'Its receiver keeps failing, so that it is only probed: this is sent once a probe succeeds.'
        WHEN it.next_attempt_at > now() THEN format('Next is attempt %s, at %s.', it.attempts + 1, date_trunc('second', it.next_attempt_at))
        WHEN subscription.rate_limit IS NOT NULL THEN
            format('It is sent when its turn comes: subscription %s gets %s a second at most (rate_limit).',
                   it.subscription_id, kgwebhook.rate_text(subscription.rate_limit))
        ELSE 'It is sent when its turn comes.' END;
END
$$;
COMMENT ON FUNCTION kgwebhook.explain_to_merchant(kgwebhook.deliveries) IS
  'what a delivery waits for, in words for the merchant whose it is';

CREATE FUNCTION kgwebhook.kg_explain(delivery_id pg_catalog.int8) RETURNS pg_catalog.text
    LANGUAGE plpgsql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan SET lock_timeout = '300ms' SET enable_seqscan = off SET enable_bitmapscan = off
    AS $$
DECLARE
    own text := kgwebhook.scope();
    it kgwebhook.deliveries;
BEGIN
    SELECT * INTO it FROM kgwebhook.all_deliveries d
     WHERE d.delivery_id = kg_explain.delivery_id AND (own IS NULL OR d.org_id = own);
    IF NOT FOUND THEN
        RETURN format('Delivery %s is not known: it is not in the queue, the dead letters or the log. '
                      'Settled deliveries are forgotten with their day of the log (kgwebhook.log_retention).',
                      kg_explain.delivery_id);
    END IF;
    RETURN kgwebhook.explain_past(it) || E'\n'
        || coalesce((SELECT kgwebhook.explain_commit(q.kind, q.xid, q.enqueued_at) || E'\n' FROM kgwebhook.queue q
                      WHERE own IS NULL AND q.delivery_id = it.delivery_id AND q.attempts_before = 0), '')
        || CASE WHEN it.state NOT IN ('pending', 'retrying') THEN kgwebhook.explain_settled(it, own IS NOT NULL)
                WHEN own IS NOT NULL THEN kgwebhook.explain_to_merchant(it)
                ELSE kgwebhook.explain_pending(it) END;
EXCEPTION WHEN lock_not_available THEN
    RETURN format('Delivery %s cannot be looked up: a table of the schema kgwebhook is locked.', kg_explain.delivery_id)
        || CASE WHEN own IS NULL THEN coalesce(E'\n' || kgwebhook.explain_standstill(false), '') ELSE '' END;
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
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '300ms'
    SET enable_seqscan = off SET enable_bitmapscan = off
    AS $$
DECLARE
    own text := kgwebhook.scope();
    ids int8[];
BEGIN
    ids := kgwebhook.deliveries_of(object_id, org_id, kind);
    IF own IS NULL THEN
        RETURN QUERY SELECT kgwebhook.explain_source(object_id, org_id, kind);
    END IF;
    IF ids = '{}' THEN
        RETURN NEXT format('No delivery of an object "%s" is known%s: none is in the queue, the dead letters or the log. '
                           'Settled deliveries are forgotten with their day of the log (kgwebhook.log_retention).',
                           object_id,
                           CASE WHEN coalesce(org_id, kind) IS NULL THEN ''
                                ELSE format(' for %s', concat_ws(' and ', 'organization ' || org_id, 'kind ' || kind)) END);
        RETURN;
    END IF;
    RETURN QUERY SELECT kgwebhook.kg_explain(i.id) FROM unnest(ids) WITH ORDINALITY AS i(id, n) ORDER BY i.n;
EXCEPTION WHEN lock_not_available THEN
    RETURN NEXT 'Deliveries cannot be looked up: a table of the schema kgwebhook is locked.'
        || CASE WHEN own IS NULL THEN coalesce(E'\n' || kgwebhook.explain_standstill(false), '') ELSE '' END;
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
