/*
 * install/http_signature.sql
 *		Which endpoints get HTTP Message Signatures (RFC 9421).
 */

CREATE TABLE kgwebhook.http_signature (
    org_id           pg_catalog.text NOT NULL,
    subscription_id  pg_catalog.int8 NOT NULL,
    CONSTRAINT http_signature_pkey PRIMARY KEY (org_id, subscription_id)
);
COMMENT ON TABLE kgwebhook.http_signature IS
  'endpoints whose requests are signed by RFC 9421 as well; written by kg_sign_http()';
COMMENT ON COLUMN kgwebhook.http_signature.org_id IS 'the organization, whose signing key it is';
COMMENT ON COLUMN kgwebhook.http_signature.subscription_id IS 'the subscription; 0: the objects'' own URLs';

SELECT pg_catalog.pg_extension_config_dump('kgwebhook.http_signature', '');

CREATE TRIGGER invalidate_workers
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON kgwebhook.http_signature
    FOR EACH STATEMENT EXECUTE FUNCTION kgwebhook.invalidate_workers();
COMMENT ON TRIGGER invalidate_workers ON kgwebhook.http_signature IS 'makes the workers read it again with the keys';

CREATE TRIGGER invalidate_workers_applied
    AFTER INSERT OR UPDATE OR DELETE ON kgwebhook.http_signature
    FOR EACH ROW EXECUTE FUNCTION kgwebhook.invalidate_workers();
ALTER TABLE kgwebhook.http_signature ENABLE REPLICA TRIGGER invalidate_workers_applied;
COMMENT ON TRIGGER invalidate_workers_applied ON kgwebhook.http_signature IS 'the same, for rows that arrive by replication';

CREATE FUNCTION kgwebhook.kg_sign_http(
    org_id pg_catalog.text,
    subscription_id pg_catalog.int8,
    enabled pg_catalog.bool) RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    PERFORM kgwebhook.check_organization(org_id);
    /* locked: one that is being removed leaves nothing behind */
    PERFORM FROM kgwebhook.subscription s
      WHERE s.subscription_id = kg_sign_http.subscription_id AND s.org_id = kg_sign_http.org_id FOR KEY SHARE;
    IF NOT FOUND AND subscription_id IS NOT NULL THEN
        RAISE EXCEPTION 'organization "%" has no subscription %', org_id, subscription_id
            USING ERRCODE = 'no_data_found',
                  HINT = 'SELECT * FROM kgwebhook.subscriptions shows the existing ones.';
    END IF;
    IF NOT coalesce(enabled, false) THEN
        DELETE FROM kgwebhook.http_signature h
         WHERE h.org_id = kg_sign_http.org_id AND h.subscription_id = coalesce(kg_sign_http.subscription_id, 0);
        RETURN;
    END IF;
    IF NOT EXISTS (SELECT FROM kgwebhook.signing_key k WHERE k.org_id = kg_sign_http.org_id) THEN
        RAISE EXCEPTION 'organization "%" has no signing key to sign with', org_id
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'An HTTP message signature needs no shared secret, and so a key.',
                  HINT = 'The platform gives it one with kg_create_signing_key().';
    END IF;
    INSERT INTO kgwebhook.http_signature (org_id, subscription_id)
        VALUES (kg_sign_http.org_id, coalesce(kg_sign_http.subscription_id, 0)) ON CONFLICT DO NOTHING;
END
$$;
COMMENT ON FUNCTION kgwebhook.kg_sign_http(pg_catalog.text, pg_catalog.int8, pg_catalog.bool) IS
  'does what kg_sign_http() is for, with the owner''s rights';

CREATE FUNCTION @extschema@.kg_sign_http(
    org_id pg_catalog.text,
    subscription_id pg_catalog.int8 DEFAULT NULL,
    enabled pg_catalog.bool DEFAULT true) RETURNS pg_catalog.void
    LANGUAGE c VOLATILE
    AS 'MODULE_PATHNAME', 'kg_for_caller';
COMMENT ON FUNCTION @extschema@.kg_sign_http(pg_catalog.text, pg_catalog.int8, pg_catalog.bool) IS
  'has the requests of a subscription, or those to the objects'' own URLs, signed by RFC 9421 as well; or ends it';
