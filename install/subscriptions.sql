/*
 * install/subscriptions.sql
 *		Subscribing, pausing and resuming a subscription.
 */

CREATE FUNCTION kgwebhook.kg_subscribe(
    org_id pg_catalog.text,
    url pg_catalog.text,
    events pg_catalog.text[],
    description pg_catalog.text,
    shape pg_catalog.text,
    filter pg_catalog.jsonb,
    rate_limit pg_catalog.numeric,
    verify pg_catalog.bool) RETURNS pg_catalog.int8
    LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_subscribe';
COMMENT ON FUNCTION kgwebhook.kg_subscribe(pg_catalog.text, pg_catalog.text, pg_catalog.text[], pg_catalog.text, pg_catalog.text, pg_catalog.jsonb, pg_catalog.numeric, pg_catalog.bool) IS
  'does what kg_subscribe() is for, with the owner''s rights';

CREATE FUNCTION @extschema@.kg_subscribe(
    org_id pg_catalog.text,
    url pg_catalog.text,
    events pg_catalog.text[] DEFAULT '{*}',
    description pg_catalog.text DEFAULT NULL,
    shape pg_catalog.text DEFAULT NULL,
    filter pg_catalog.jsonb DEFAULT NULL,
    rate_limit pg_catalog.numeric DEFAULT NULL,
    verify pg_catalog.bool DEFAULT NULL) RETURNS pg_catalog.int8
    LANGUAGE c VOLATILE
    AS 'MODULE_PATHNAME', 'kg_for_caller';
COMMENT ON FUNCTION @extschema@.kg_subscribe(pg_catalog.text, pg_catalog.text, pg_catalog.text[], pg_catalog.text, pg_catalog.text, pg_catalog.jsonb, pg_catalog.numeric, pg_catalog.bool) IS
  'sends an organization''s events to a URL, in addition to the objects'' own; returns the subscription''s number';

CREATE FUNCTION kgwebhook.kg_update_subscription(
    subscription_id pg_catalog.int8,
    url pg_catalog.text,
    events pg_catalog.text[],
    description pg_catalog.text,
    shape pg_catalog.text,
    filter pg_catalog.jsonb,
    rate_limit pg_catalog.numeric,
    verify pg_catalog.bool) RETURNS pg_catalog.void
    LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_update_subscription';
COMMENT ON FUNCTION kgwebhook.kg_update_subscription(pg_catalog.int8, pg_catalog.text, pg_catalog.text[], pg_catalog.text, pg_catalog.text, pg_catalog.jsonb, pg_catalog.numeric, pg_catalog.bool) IS
  'does what kg_update_subscription() is for, with the owner''s rights';

CREATE FUNCTION @extschema@.kg_update_subscription(
    subscription_id pg_catalog.int8,
    url pg_catalog.text DEFAULT NULL,
    events pg_catalog.text[] DEFAULT NULL,
    description pg_catalog.text DEFAULT NULL,
    shape pg_catalog.text DEFAULT NULL,
    filter pg_catalog.jsonb DEFAULT NULL,
    rate_limit pg_catalog.numeric DEFAULT NULL,
    verify pg_catalog.bool DEFAULT NULL) RETURNS pg_catalog.void
    LANGUAGE c VOLATILE
    AS 'MODULE_PATHNAME', 'kg_for_caller';
COMMENT ON FUNCTION @extschema@.kg_update_subscription(pg_catalog.int8, pg_catalog.text, pg_catalog.text[], pg_catalog.text, pg_catalog.text, pg_catalog.jsonb, pg_catalog.numeric, pg_catalog.bool) IS
  'changes a subscription: its URL, also of what waits for it, its events, its description, its options; NULL leaves it as it is';

CREATE FUNCTION kgwebhook.kg_unsubscribe(subscription_id pg_catalog.int8) RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    it kgwebhook.subscription := kgwebhook.lock_subscription(subscription_id);
BEGIN
    DELETE FROM kgwebhook.subscription s
     WHERE s.subscription_id = it.subscription_id;
END
$$;
COMMENT ON FUNCTION kgwebhook.kg_unsubscribe(pg_catalog.int8) IS
  'does what kg_unsubscribe() is for, with the owner''s rights';

CREATE FUNCTION @extschema@.kg_unsubscribe(subscription_id pg_catalog.int8) RETURNS pg_catalog.void
    LANGUAGE c VOLATILE
    AS 'MODULE_PATHNAME', 'kg_for_caller';
COMMENT ON FUNCTION @extschema@.kg_unsubscribe(pg_catalog.int8) IS
  'removes a subscription; what is still queued for it becomes dead letters';

CREATE FUNCTION kgwebhook.kg_pause_subscription(subscription_id pg_catalog.int8) RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    it kgwebhook.subscription := kgwebhook.lock_subscription(subscription_id);
BEGIN
    UPDATE kgwebhook.subscription s SET paused_at = coalesce(s.paused_at, now())
     WHERE s.subscription_id = it.subscription_id;
END
$$;
COMMENT ON FUNCTION kgwebhook.kg_pause_subscription(pg_catalog.int8) IS
  'does what kg_pause_subscription() is for, with the owner''s rights';

CREATE FUNCTION @extschema@.kg_pause_subscription(subscription_id pg_catalog.int8) RETURNS pg_catalog.void
    LANGUAGE c VOLATILE
    AS 'MODULE_PATHNAME', 'kg_for_caller';
COMMENT ON FUNCTION @extschema@.kg_pause_subscription(pg_catalog.int8) IS
  'pauses a subscription: its events wait in the queue';

CREATE FUNCTION kgwebhook.kg_resume_subscription(subscription_id pg_catalog.int8) RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    former kgwebhook.subscription := kgwebhook.lock_subscription(subscription_id);
BEGIN
    IF former.paused_at IS NULL AND former.disabled_at IS NULL THEN
        RAISE NOTICE 'nothing was resumed'
            USING DETAIL = format('Subscription %s is neither paused nor disabled.', former.subscription_id);
        RETURN;
    END IF;
    UPDATE kgwebhook.subscription s
       SET paused_at = NULL, disabled_at = NULL, disabled_reason = NULL, failing_since = NULL,
           resumed_at = clock_timestamp()
     WHERE s.subscription_id = former.subscription_id;
    /* its challenge has become a dead letter */
    IF former.challenge IS NOT NULL
       AND NOT EXISTS (SELECT FROM kgwebhook.queue q
                        WHERE q.subscription_id = former.subscription_id AND q.webhook_id = former.challenge) THEN
        PERFORM kgwebhook.challenge(former.subscription_id);
    END IF;
    IF former.disabled_at IS NOT NULL THEN
        RAISE NOTICE 'subscription % is enabled again', former.subscription_id
            USING DETAIL = 'Events from the time when it was disabled are not sent automatically.',
                  HINT = CASE WHEN kgwebhook.scope() IS NULL
                              THEN format('SELECT kg_recover(%L, org_id => %L, destination => %L) sends it.',
                                          date_trunc('second', former.disabled_at), former.org_id, former.destination)
                              ELSE 'kg_redeliver() sends one of them.' END;
    END IF;
END
$$;
COMMENT ON FUNCTION kgwebhook.kg_resume_subscription(pg_catalog.int8) IS
  'does what kg_resume_subscription() is for, with the owner''s rights';

CREATE FUNCTION @extschema@.kg_resume_subscription(subscription_id pg_catalog.int8) RETURNS pg_catalog.void
    LANGUAGE c VOLATILE
    AS 'MODULE_PATHNAME', 'kg_for_caller';
COMMENT ON FUNCTION @extschema@.kg_resume_subscription(pg_catalog.int8) IS
  'undoes kg_pause_subscription(), and enables a subscription that was disabled';

/*
 * What is an endpoint's own goes with its subscription, however that is removed.  Where
 * there is nothing of a table it is not touched: it would have all workers forget all keys.
 */
CREATE FUNCTION kgwebhook.forget_endpoint() RETURNS pg_catalog.trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    IF OLD.own_secret THEN
        DELETE FROM kgwebhook.secret s WHERE s.org_id = OLD.org_id AND s.subscription_id = OLD.subscription_id;
    END IF;
    IF OLD.header_names IS NOT NULL THEN
        DELETE FROM kgwebhook.request_header h WHERE h.org_id = OLD.org_id AND h.subscription_id = OLD.subscription_id;
    END IF;
    IF EXISTS (SELECT FROM kgwebhook.http_signature h WHERE h.org_id = OLD.org_id AND h.subscription_id = OLD.subscription_id) THEN
        DELETE FROM kgwebhook.http_signature h WHERE h.org_id = OLD.org_id AND h.subscription_id = OLD.subscription_id;
    END IF;
    IF EXISTS (SELECT FROM kgwebhook.client_certificate c WHERE c.org_id = OLD.org_id AND c.subscription_id = OLD.subscription_id) THEN
        DELETE FROM kgwebhook.client_certificate c WHERE c.org_id = OLD.org_id AND c.subscription_id = OLD.subscription_id;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION kgwebhook.forget_endpoint() IS
  'trigger of kgwebhook.subscription: removes the secret, the headers, the certificate and the options of one that is deleted';

CREATE TRIGGER forget_endpoint
    AFTER DELETE ON kgwebhook.subscription
    FOR EACH ROW EXECUTE FUNCTION kgwebhook.forget_endpoint();
COMMENT ON TRIGGER forget_endpoint ON kgwebhook.subscription IS
  'removes the secret, the headers, the certificate and the options of a subscription with it';

CREATE FUNCTION kgwebhook.kg_drop_secret(subscription_id pg_catalog.int8) RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    it kgwebhook.subscription := kgwebhook.lock_subscription(subscription_id);
BEGIN
    IF NOT it.own_secret THEN
        RAISE EXCEPTION 'subscription % has no secret of its own', it.subscription_id
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Its requests are signed with the organization''s secret.';
    END IF;
    DELETE FROM kgwebhook.secret s WHERE s.org_id = it.org_id AND s.subscription_id = it.subscription_id;
    UPDATE kgwebhook.subscription s SET own_secret = false WHERE s.subscription_id = it.subscription_id;
END
$$;
COMMENT ON FUNCTION kgwebhook.kg_drop_secret(pg_catalog.int8) IS
  'does what kg_drop_secret() is for, with the owner''s rights';

CREATE FUNCTION @extschema@.kg_drop_secret(subscription_id pg_catalog.int8) RETURNS pg_catalog.void
    LANGUAGE c VOLATILE
    AS 'MODULE_PATHNAME', 'kg_for_caller';
COMMENT ON FUNCTION @extschema@.kg_drop_secret(pg_catalog.int8) IS
  'discards a subscription''s own secret: the organization''s signs again, at once';
