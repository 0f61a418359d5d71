/*
 * install/replay.sql
 *		What was sent, once more to a receiver of one's own.
 */

/*
 * An event goes once, however many receivers it had: as the first of its deliveries was
 * sent last, which is that of the object's own URL where there is one.  Numbers of
 * deliveries rise in the order of an object's statuses, whenever each was sent.
 * The log's days are read by their index, and no further than is wanted.
 *
 * A challenge is no event, and is left out.
 *
 * Of an event of which anything was forgotten nothing is sent, even if a later attempt
 * has been logged since.
 */
CREATE FUNCTION kgwebhook.recorded_events(
    org_id pg_catalog.text,
    since pg_catalog.timestamptz,
    most pg_catalog.int4,
    only_of pg_catalog.int8)
    RETURNS TABLE (webhook_id pg_catalog.text, event pg_catalog.text, kind pg_catalog.text, object_id pg_catalog.text,
                   sent_at pg_catalog.timestamptz, body pg_catalog.text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
    AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
        SELECT d.webhook_id, d.event, d.kind, d.object_id, d.sent_at,
               (SELECT CASE WHEN bool_or(a.forgotten_sha256 IS NOT NULL) THEN NULL
                            ELSE (array_agg(a.request_body ORDER BY a.delivery_id, a.attempt DESC)
                                  FILTER (WHERE a.request_body IS NOT NULL))[1] END
                  FROM kgwebhook.delivery_log a
                 WHERE a.object_id = d.object_id AND a.org_id = recorded_events.org_id AND a.kind = d.kind
                   AND a.webhook_id = d.webhook_id AND NOT a.is_test
                   AND (recorded_events.only_of IS NULL OR a.subscription_id = recorded_events.only_of))
          FROM (SELECT l.delivery_id, min(l.webhook_id) AS webhook_id, min(l.event) AS event, min(l.kind) AS kind,
                       min(l.object_id) AS object_id, min(l.started_at) AS sent_at
                  FROM kgwebhook.delivery_log l
                 WHERE l.org_id = recorded_events.org_id AND l.started_at >= recorded_events.since AND NOT l.is_test
                   AND (l.object_id <> l.webhook_id OR l.event <> 'endpoint.challenge')
                   AND (l.request_body IS NOT NULL OR l.forgotten_sha256 IS NOT NULL)
                   AND (recorded_events.only_of IS NULL OR l.subscription_id = recorded_events.only_of)
                 GROUP BY l.delivery_id) d
         WHERE NOT EXISTS (SELECT FROM kgwebhook.delivery_log o
                            WHERE o.object_id = d.object_id AND o.org_id = recorded_events.org_id AND o.kind = d.kind
                              AND o.webhook_id = d.webhook_id AND NOT o.is_test AND o.delivery_id < d.delivery_id
                              AND o.started_at >= recorded_events.since
                              AND (o.request_body IS NOT NULL OR o.forgotten_sha256 IS NOT NULL)
                              AND (recorded_events.only_of IS NULL OR o.subscription_id = recorded_events.only_of))
         ORDER BY d.delivery_id LIMIT recorded_events.most;
END
$$;
COMMENT ON FUNCTION kgwebhook.recorded_events(pg_catalog.text, pg_catalog.timestamptz, pg_catalog.int4, pg_catalog.int8) IS
  'the events of an organization, or of one subscription, that were sent since then, in their order; body NULL: kg_forget() has removed it';

CREATE FUNCTION kgwebhook.kg_replay(
    org_id pg_catalog.text,
    url pg_catalog.text,
    since pg_catalog.timestamptz,
    max_events pg_catalog.int4,
    subscription_id pg_catalog.int8)
    RETURNS TABLE (webhook_id pg_catalog.text, event pg_catalog.text, object_id pg_catalog.text, sent_at pg_catalog.timestamptz,
                   outcome pg_catalog.text, response_status pg_catalog.int4, response_body pg_catalog.text, error pg_catalog.text)
    LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_replay';
COMMENT ON FUNCTION kgwebhook.kg_replay(pg_catalog.text, pg_catalog.text, pg_catalog.timestamptz, pg_catalog.int4, pg_catalog.int8) IS
  'does what kg_replay() is for, with the owner''s rights';

CREATE FUNCTION @extschema@.kg_replay(
    org_id pg_catalog.text,
    url pg_catalog.text,
    since pg_catalog.timestamptz,
    max_events pg_catalog.int4 DEFAULT 100,
    subscription_id pg_catalog.int8 DEFAULT NULL,
    OUT webhook_id pg_catalog.text, OUT event pg_catalog.text, OUT object_id pg_catalog.text, OUT sent_at pg_catalog.timestamptz,
    OUT outcome pg_catalog.text, OUT response_status pg_catalog.int4, OUT response_body pg_catalog.text, OUT error pg_catalog.text)
    RETURNS SETOF pg_catalog.record
    LANGUAGE c VOLATILE
    AS 'MODULE_PATHNAME', 'kg_for_caller';
COMMENT ON FUNCTION @extschema@.kg_replay(pg_catalog.text, pg_catalog.text, pg_catalog.timestamptz, pg_catalog.int4, pg_catalog.int8) IS
  'sends an organization''s recorded events, marked as a replay, to a receiver of one''s own; says what it answered';
