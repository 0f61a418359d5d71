/*
 * install/endpoint_events.sql
 *		That an endpoint is failing is an event of its own.
 */

/*
 * It goes to subscriptions that ask for it by name (endpoint.*, endpoint.failing), not to
 * those for everything: a receiver of payments need not know of others.  Those of
 * the organization "*" are the platform's, and get it for every organization, signed with the secret of "*".
 * The worker calls this in the transaction that settles the delivery; so nothing here
 * may fail.
 */
CREATE FUNCTION kgwebhook.tell_endpoint(
    subscription_id pg_catalog.int8,
    event pg_catalog.text,
    reason pg_catalog.text) RETURNS pg_catalog.int8
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    it kgwebhook.subscription;
    body jsonb;
    event_id text := 'msg_' || replace(gen_random_uuid()::text, '-', '');
    told int8 := 0;
BEGIN
    SELECT * INTO it FROM kgwebhook.subscription s WHERE s.subscription_id = tell_endpoint.subscription_id;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    body := jsonb_build_object(
        'type', event, 'event_id', event_id,
        'occurred_at', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'org_id', it.org_id, 'subscription_id', it.subscription_id::text, 'url', it.url,
        'reason', regexp_replace(reason, 'kgwebhook[.][a-z_]+', 'the retry schedule', 'g'),
        'failing_since', to_char(it.failing_since AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'));
    INSERT INTO kgwebhook.queue (webhook_id, org_id, event, kind, object_id, url, destination, payload, subscription_id)
    SELECT event_id, s.org_id, tell_endpoint.event, 'endpoint', it.subscription_id::text, s.url, s.destination,
           body, s.subscription_id
      FROM kgwebhook.subscription s
     WHERE s.org_id = ANY (ARRAY[it.org_id, '*']) AND s.subscription_id <> it.subscription_id AND s.disabled_at IS NULL
       AND EXISTS (SELECT FROM unnest(s.events) e (pattern)
                    WHERE e.pattern LIKE 'endpoint.%'
                      AND tell_endpoint.event LIKE replace(replace(replace(replace(e.pattern, '\', '\\'), '%', '\%'), '_', '\_'), '*', '%'))
     ORDER BY s.subscription_id;
    GET DIAGNOSTICS told = ROW_COUNT;
    /*
     * Every role can listen, a merchant's too: so it has only a number.  And where a
     * listener that hangs has filled the queue, NOTIFY fails at commit, past the
     * handler below: what has been sent could not be settled.
     */
    IF pg_notification_queue_usage() < 0.9 THEN
        PERFORM pg_notify('kgwebhook', jsonb_build_object('type', event, 'subscription_id', it.subscription_id)::text);
    END IF;
    RETURN told;
EXCEPTION WHEN OTHERS THEN
    RAISE LOG 'kgwebhook: could not tell about subscription %: %', tell_endpoint.subscription_id, SQLERRM;
    RETURN 0;
END
$$;
COMMENT ON FUNCTION kgwebhook.tell_endpoint(pg_catalog.int8, pg_catalog.text, pg_catalog.text) IS
  'queues endpoint.failing, endpoint.disabled or endpoint.recovered for those who asked for it, and notifies; returns how many';
