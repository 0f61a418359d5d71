/*
 * install/subscription_options.sql
 *		What can be said of a subscription beside its URL: filters and other options.
 */

/* The subscription, with its row locked; an error when the caller has none such.  As kgw_subscribe_lock() in C. */
CREATE FUNCTION kgwebhook.lock_subscription(subscription_id pg_catalog.int8) RETURNS kgwebhook.subscription
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    own text := kgwebhook.scope();
    it kgwebhook.subscription;
BEGIN
    SELECT * INTO it FROM kgwebhook.subscription s
     WHERE s.subscription_id = lock_subscription.subscription_id AND (own IS NULL OR s.org_id = own) FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'subscription % does not exist', lock_subscription.subscription_id
            USING ERRCODE = 'no_data_found',
                  HINT = 'SELECT * FROM kgwebhook.subscriptions shows the existing ones.';
    END IF;
    RETURN it;
END
$$;
COMMENT ON FUNCTION kgwebhook.lock_subscription(pg_catalog.int8) IS
  'a subscription of the caller''s, with its row locked; an error when there is none';

/* Whether events of a kind can be among those that a subscription is for. */
CREATE FUNCTION kgwebhook.concerns_kind(events pg_catalog.text[], kind pg_catalog.text) RETURNS pg_catalog.bool
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT EXISTS (SELECT FROM unnest(events) p
                    WHERE starts_with(split_part(p, '*', 1), kind || '.')
                       OR position('*' IN p) > 0 AND starts_with(kind || '.', split_part(p, '*', 1)))
$$;
COMMENT ON FUNCTION kgwebhook.concerns_kind(pg_catalog.text[], pg_catalog.text) IS
  'whether names or patterns of events may match events of that kind';

/*
 * A filter says which values members of the payload must have.  One that could never fit is refused:
 * its events would be missed, and nothing would tell.  What is known of a member is what kg_event_catalog() says
 * of it, in the payload that the subscription gets.
 */
CREATE FUNCTION kgwebhook.check_filter(filter pg_catalog.jsonb, shape pg_catalog.text, events pg_catalog.text[]) RETURNS pg_catalog.void
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    member text;
    wanted jsonb;
    fault text;
    known jsonb;
BEGIN
    IF jsonb_typeof(filter) <> 'object' OR length(filter::text) > 8000 OR (SELECT count(*) FROM jsonb_object_keys(filter)) > 20 THEN
        RAISE EXCEPTION 'filter cannot be used'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'It is an object with 20 members at most, and 8000 bytes.',
                  HINT = 'Map members of the payload to values, or to lists of them, as in {"fiat_currency": ["EUR", "USD"]}.';
    END IF;
    FOR member, wanted IN SELECT e.key, CASE jsonb_typeof(e.value) WHEN 'array' THEN e.value ELSE jsonb_build_array(e.value) END
                            FROM jsonb_each(filter) e LOOP
        SELECT jsonb_agg(p.schema) INTO known
          FROM (SELECT CASE WHEN h.payload IS NULL AND w.payload IS NULL THEN '{}'    /* a document, of whatever members */
                            ELSE kgwebhook.describe_payload(w, coalesce(h.payload, w.payload), coalesce(h.column_numbers, w.column_numbers),
                                                            coalesce(h.numbered_for, w.numbered_for), false) -> 'schema' -> 'properties' -> member END AS schema
                  FROM kgwebhook.watch w
                  LEFT JOIN kgwebhook.shape h ON h.relation = w.relation AND h.shape = check_filter.shape
                 WHERE kgwebhook.concerns_kind(events, w.event)) p
         WHERE p.schema IS NOT NULL AND member NOT IN ('timestamp', 'signature');
        fault := CASE
            WHEN known IS NULL THEN 'No event that it is for has such a member.'
            WHEN jsonb_array_length(wanted) NOT BETWEEN 1 AND 100 THEN 'A list has 1 to 100 values.'
            ELSE (SELECT format('%s is none of its values; it %s.', v.value,
                                (SELECT string_agg(DISTINCT CASE WHEN k ? 'enum' THEN 'is one of ' || (k ->> 'enum')
                                                                 WHEN k = '{}' THEN 'is any JSON, of which strings, numbers, booleans and null can be compared'
                                                                 ELSE 'is of type ' || (k ->> 'type') END, ', or ') FROM jsonb_array_elements(known) k))
                    FROM jsonb_array_elements(wanted) v (value)
                   WHERE NOT EXISTS (
                       SELECT FROM jsonb_array_elements(known) k
                        WHERE CASE WHEN jsonb_typeof(v.value) IN ('object', 'array') THEN false
                                   WHEN k ? 'enum' THEN k -> 'enum' @> v.value
                                   WHEN k = '{}' THEN true
                                   ELSE CASE jsonb_typeof(k -> 'type') WHEN 'array' THEN k -> 'type' ELSE jsonb_build_array(k -> 'type') END
                                        ?| CASE jsonb_typeof(v.value) WHEN 'number' THEN '{number,integer}' ELSE ARRAY[jsonb_typeof(v.value)] END END)
                   LIMIT 1) END;
        IF fault IS NOT NULL THEN
            RAISE EXCEPTION 'member "%" cannot be filtered by', member
                USING ERRCODE = 'invalid_parameter_value', DETAIL = fault,
                      HINT = 'kg_event_catalog() shows the members and their types; amounts are strings, and are compared as they are sent.';
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION kgwebhook.check_filter(pg_catalog.jsonb, pg_catalog.text, pg_catalog.text[]) IS
  'an error for a filter that no event could fit';

/* Those that a new payload would leave without events, and without an error. */
CREATE FUNCTION kgwebhook.filter_notes(relation pg_catalog.oid, shape pg_catalog.text) RETURNS SETOF pg_catalog.text
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT format('warning: subscriptions filter by member "%s", which this payload does not have, and get none of these events: %s',
                  f.member, string_agg(f.subscription_id::text, ', ' ORDER BY f.subscription_id))
      FROM (SELECT k.member, s.subscription_id, row_number() OVER (PARTITION BY k.member ORDER BY s.subscription_id) AS n
              FROM kgwebhook.watch w
              LEFT JOIN kgwebhook.shape h ON h.relation = w.relation AND h.shape = filter_notes.shape
              JOIN kgwebhook.subscription s ON s.filter IS NOT NULL
               AND (SELECT g.shape FROM kgwebhook.shape g WHERE g.relation = w.relation AND g.shape = s.shape) IS NOT DISTINCT FROM h.shape
             CROSS JOIN LATERAL jsonb_object_keys(s.filter) k (member)
             WHERE w.relation = filter_notes.relation AND NOT coalesce(h.payload, w.payload) ? k.member
               AND kgwebhook.concerns_kind(s.events, w.event)) f
     WHERE f.n <= 20 GROUP BY f.member
$$;
COMMENT ON FUNCTION kgwebhook.filter_notes(pg_catalog.oid, pg_catalog.text) IS
  'warnings about filters by members that a payload of a watched table does not have';

/*
 * The options of a subscription: NULL leaves one as it is, and an empty one takes it away.
 */
CREATE FUNCTION kgwebhook.set_options(
    subscription_id pg_catalog.int8,
    shape pg_catalog.text,
    filter pg_catalog.jsonb,
    rate_limit pg_catalog.numeric) RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    it kgwebhook.subscription;
BEGIN
    IF shape <> '' THEN
        PERFORM kgwebhook.check_shape(shape);
    END IF;
    IF rate_limit <> 0 AND NOT rate_limit BETWEEN 0.01 AND 10000 THEN
        RAISE EXCEPTION 'rate_limit cannot be used'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'It is a number of requests a second, from 0.01 to 10000; 0 is no limit.',
                  HINT = 'Give 0.5 for one request every two seconds.';
    END IF;
    UPDATE kgwebhook.subscription s
       SET shape = CASE WHEN set_options.shape IS NULL THEN s.shape ELSE nullif(set_options.shape, '') END,
           filter = CASE WHEN set_options.filter IS NULL THEN s.filter ELSE nullif(set_options.filter, '{}') END,
           rate_limit = CASE WHEN set_options.rate_limit IS NULL THEN s.rate_limit ELSE nullif(set_options.rate_limit, 0) END
     WHERE s.subscription_id = set_options.subscription_id
     RETURNING s.* INTO it;
    IF it.filter IS NOT NULL THEN
        PERFORM kgwebhook.check_filter(it.filter, it.shape, it.events);
    END IF;
END
$$;
COMMENT ON FUNCTION kgwebhook.set_options(pg_catalog.int8, pg_catalog.text, pg_catalog.jsonb, pg_catalog.numeric) IS
  'sets options of a subscription, for kg_subscribe() and kg_update_subscription()';

/*
 * Challenges
 *
 * A subscription that is to be verified gets a challenge, and nothing else before its receiver has
 * returned what that asks for.  Each request has something else to be returned, which is
 * in no table (src/send/attempt.c).
 */
CREATE FUNCTION kgwebhook.challenge(subscription_id pg_catalog.int8) RETURNS pg_catalog.int8
    LANGUAGE c VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_challenge';
COMMENT ON FUNCTION kgwebhook.challenge(pg_catalog.int8) IS
  'queues a challenge for a subscription, which then waits for the answer to this one; returns the delivery''s number';

/* After it was made or changed: NULL leaves it as it is, but a new URL has not answered anything yet. */
CREATE FUNCTION kgwebhook.set_verify(subscription_id pg_catalog.int8, verify pg_catalog.bool) RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    it kgwebhook.subscription;
    required bool := EXISTS (SELECT FROM kgwebhook.consent c JOIN kgwebhook.subscription s ON s.org_id = c.org_id
                              WHERE s.subscription_id = set_verify.subscription_id AND c.required);
BEGIN
    UPDATE kgwebhook.subscription s SET verify = coalesce(set_verify.verify, s.verify OR required)
     WHERE s.subscription_id = set_verify.subscription_id RETURNING s.* INTO it;
    IF required AND NOT it.verify AND kgwebhook.scope() IS NOT NULL THEN
        RAISE EXCEPTION 'endpoints of organization "%" have to answer a challenge', it.org_id
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'The platform requires it.',
                  HINT = 'Omit verify, or pass verify => true.';
    ELSIF it.verify AND it.challenge IS NULL AND it.verified_at IS NULL THEN
        PERFORM kgwebhook.challenge(it.subscription_id);
    ELSIF NOT it.verify AND (it.challenge IS NOT NULL OR it.verified_at IS NOT NULL) THEN
        /* what was given ends with it, and is asked for when it is required again */
        UPDATE kgwebhook.subscription s SET challenge = NULL, challenged_at = NULL, verified_at = NULL, resumed_at = clock_timestamp()
         WHERE s.subscription_id = it.subscription_id;
    END IF;
END
$$;
COMMENT ON FUNCTION kgwebhook.set_verify(pg_catalog.int8, pg_catalog.bool) IS
  'sets whether a subscription is verified, and challenges it where that has to be';

CREATE FUNCTION kgwebhook.kg_send_challenge(subscription_id pg_catalog.int8) RETURNS pg_catalog.int8
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    it kgwebhook.subscription := kgwebhook.lock_subscription(subscription_id);
BEGIN
    IF it.disabled_at IS NOT NULL THEN
        RAISE EXCEPTION 'subscription % is disabled', it.subscription_id
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = format('The reason: %s.', it.disabled_reason),
                  HINT = 'kg_resume_subscription() enables it; a challenge that has not been answered is then sent again.';
    ELSIF it.challenge IS NULL THEN
        RAISE EXCEPTION 'subscription % waits for no answer to a challenge', it.subscription_id
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = CASE WHEN it.verified_at IS NULL THEN 'It gets its events without one.'
                                ELSE format('Its receiver has answered one at %s.', date_trunc('second', it.verified_at)) END,
                  HINT = 'kg_update_subscription(..., verify => true) has a subscription that was never challenged answer one.';
    END IF;
    IF it.paused_at IS NOT NULL THEN
        RAISE NOTICE 'subscription % is paused', it.subscription_id
            USING DETAIL = 'The challenge is sent once the subscription is resumed.';
    END IF;
    RETURN kgwebhook.challenge(it.subscription_id);
END
$$;
COMMENT ON FUNCTION kgwebhook.kg_send_challenge(pg_catalog.int8) IS
  'does what kg_send_challenge() is for, with the owner''s rights';

CREATE FUNCTION @extschema@.kg_send_challenge(subscription_id pg_catalog.int8) RETURNS pg_catalog.int8
    LANGUAGE c VOLATILE
    AS 'MODULE_PATHNAME', 'kg_for_caller';
COMMENT ON FUNCTION @extschema@.kg_send_challenge(pg_catalog.int8) IS
  'sends a new challenge to a subscription that has not answered one yet; the one before does not count any more';
