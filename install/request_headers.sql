/*
 * install/request_headers.sql
 *		Headers that subscriptions' receivers want besides ours.
 */

CREATE TABLE kgwebhook.request_header (
    org_id           pg_catalog.text NOT NULL,
    subscription_id  pg_catalog.int8 NOT NULL,
    destination      pg_catalog.text NOT NULL,
    lines            pg_catalog.text NOT NULL,
    created_at       pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now(),
    encrypted        pg_catalog.bool NOT NULL DEFAULT false,
    CONSTRAINT request_header_pkey PRIMARY KEY (org_id, subscription_id)
);
COMMENT ON TABLE kgwebhook.request_header IS
  'headers of subscriptions'' requests, written by kg_set_headers(); readable by its owner only';
COMMENT ON COLUMN kgwebhook.request_header.org_id IS 'the organization';
COMMENT ON COLUMN kgwebhook.request_header.subscription_id IS 'the subscription';
COMMENT ON COLUMN kgwebhook.request_header.destination IS 'scheme://host:port that they are for; nobody else is sent them';
COMMENT ON COLUMN kgwebhook.request_header.lines IS 'the headers, one in a line';
COMMENT ON COLUMN kgwebhook.request_header.created_at IS 'when they were set';
COMMENT ON COLUMN kgwebhook.request_header.encrypted IS 'true when lines is encrypted with a key of kgwebhook.key_file';

SELECT pg_catalog.pg_extension_config_dump('kgwebhook.request_header', '');

CREATE TRIGGER invalidate_workers
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON kgwebhook.request_header
    FOR EACH STATEMENT EXECUTE FUNCTION kgwebhook.invalidate_workers();
COMMENT ON TRIGGER invalidate_workers ON kgwebhook.request_header IS 'makes the workers read it again with the keys';

CREATE TRIGGER invalidate_workers_applied
    AFTER INSERT OR UPDATE OR DELETE ON kgwebhook.request_header
    FOR EACH ROW EXECUTE FUNCTION kgwebhook.invalidate_workers();
ALTER TABLE kgwebhook.request_header ENABLE REPLICA TRIGGER invalidate_workers_applied;
COMMENT ON TRIGGER invalidate_workers_applied ON kgwebhook.request_header IS 'the same, for rows that arrive by replication';

CREATE FUNCTION kgwebhook.kg_set_headers(
    subscription_id pg_catalog.int8,
    headers pg_catalog.jsonb,
    username pg_catalog.text,
    password pg_catalog.text,
    bearer_token pg_catalog.text) RETURNS pg_catalog.void
    LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_set_headers';
COMMENT ON FUNCTION kgwebhook.kg_set_headers(pg_catalog.int8, pg_catalog.jsonb, pg_catalog.text, pg_catalog.text, pg_catalog.text) IS
  'does what kg_set_headers() is for, with the owner''s rights';

CREATE FUNCTION @extschema@.kg_set_headers(
    subscription_id pg_catalog.int8,
    headers pg_catalog.jsonb DEFAULT NULL,
    username pg_catalog.text DEFAULT NULL,
    password pg_catalog.text DEFAULT NULL,
    bearer_token pg_catalog.text DEFAULT NULL) RETURNS pg_catalog.void
    LANGUAGE c VOLATILE
    AS 'MODULE_PATHNAME', 'kg_for_caller';
COMMENT ON FUNCTION @extschema@.kg_set_headers(pg_catalog.int8, pg_catalog.jsonb, pg_catalog.text, pg_catalog.text, pg_catalog.text) IS
  'sets all headers that a subscription''s requests have besides kgwebhook''s, such as credentials; without any it takes them away';

/*
 * They go when their subscription is pointed at another host: who may change the URL must not be
 * able to read them there.
 */
CREATE FUNCTION kgwebhook.forget_headers() RETURNS pg_catalog.trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    DELETE FROM kgwebhook.request_header h WHERE h.org_id = OLD.org_id AND h.subscription_id = OLD.subscription_id;
    UPDATE kgwebhook.subscription s SET header_names = NULL WHERE s.subscription_id = OLD.subscription_id;
    RAISE NOTICE 'the headers of subscription % were removed', OLD.subscription_id
        USING DETAIL = format('They were for %s, and are not sent anywhere else.', OLD.destination),
              HINT = 'Set those that the new receiver wants with kg_set_headers().';
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION kgwebhook.forget_headers() IS
  'trigger of kgwebhook.subscription: removes the headers of one that goes to another host';

CREATE TRIGGER forget_headers
    AFTER UPDATE OF destination ON kgwebhook.subscription
    FOR EACH ROW WHEN (OLD.header_names IS NOT NULL AND OLD.destination OPERATOR(pg_catalog.<>) NEW.destination)
    EXECUTE FUNCTION kgwebhook.forget_headers();
COMMENT ON TRIGGER forget_headers ON kgwebhook.subscription IS 'removes the headers of a subscription that goes to another host';
