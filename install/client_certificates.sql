/*
 * install/client_certificates.sql
 *		Client certificates for receivers that demand one, by endpoint.
 */

CREATE TABLE kgwebhook.client_certificate (
    org_id           pg_catalog.text NOT NULL,
    subscription_id  pg_catalog.int8 NOT NULL,
    certificate      pg_catalog.text NOT NULL,
    private_key      pg_catalog.text NOT NULL,
    created_at       pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now(),
    encrypted        pg_catalog.bool NOT NULL DEFAULT false,
    CONSTRAINT client_certificate_pkey PRIMARY KEY (org_id, subscription_id)
);
COMMENT ON TABLE kgwebhook.client_certificate IS
  'client certificates by endpoint, written by kg_set_client_certificate(); readable by its owner only';
COMMENT ON COLUMN kgwebhook.client_certificate.org_id IS 'the organization';
COMMENT ON COLUMN kgwebhook.client_certificate.subscription_id IS 'the subscription; 0: the objects'' own URLs';
COMMENT ON COLUMN kgwebhook.client_certificate.certificate IS 'the certificate in PEM form, with its chain';
COMMENT ON COLUMN kgwebhook.client_certificate.private_key IS 'its private key in PEM form';
COMMENT ON COLUMN kgwebhook.client_certificate.created_at IS 'when it was set';
COMMENT ON COLUMN kgwebhook.client_certificate.encrypted IS 'true when private_key is encrypted with a key of kgwebhook.key_file';

SELECT pg_catalog.pg_extension_config_dump('kgwebhook.client_certificate', '');

CREATE TRIGGER invalidate_workers
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON kgwebhook.client_certificate
    FOR EACH STATEMENT EXECUTE FUNCTION kgwebhook.invalidate_workers();
COMMENT ON TRIGGER invalidate_workers ON kgwebhook.client_certificate IS 'makes the workers read it again with the keys';

CREATE TRIGGER invalidate_workers_applied
    AFTER INSERT OR UPDATE OR DELETE ON kgwebhook.client_certificate
    FOR EACH ROW EXECUTE FUNCTION kgwebhook.invalidate_workers();
ALTER TABLE kgwebhook.client_certificate ENABLE REPLICA TRIGGER invalidate_workers_applied;
COMMENT ON TRIGGER invalidate_workers_applied ON kgwebhook.client_certificate IS 'the same, for rows that arrive by replication';

/*
 * A subscription that has either is sent what is its own, also where an object's own URL is the same
 * (src/capture/fanout.c), which has to know that from the subscription's row.
 */
CREATE FUNCTION kgwebhook.note_own_identity() RETURNS pg_catalog.trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    id int8 := CASE TG_OP WHEN 'DELETE' THEN OLD.subscription_id ELSE NEW.subscription_id END;
    has bool := EXISTS (SELECT FROM kgwebhook.client_certificate c WHERE c.subscription_id = id)
             OR EXISTS (SELECT FROM kgwebhook.http_signature h WHERE h.subscription_id = id);
BEGIN
    IF EXISTS (SELECT FROM kgwebhook.subscription s WHERE s.subscription_id = id AND s.own_identity <> has) THEN
        UPDATE kgwebhook.subscription s SET own_identity = has WHERE s.subscription_id = id;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION kgwebhook.note_own_identity() IS
  'trigger of kgwebhook.client_certificate and kgwebhook.http_signature: notes with a subscription whether it has one of its own';

CREATE TRIGGER note_own_identity
    AFTER INSERT OR DELETE ON kgwebhook.client_certificate
    FOR EACH ROW EXECUTE FUNCTION kgwebhook.note_own_identity();
COMMENT ON TRIGGER note_own_identity ON kgwebhook.client_certificate IS 'notes with the subscription that it has a certificate';

CREATE TRIGGER note_own_identity
    AFTER INSERT OR DELETE ON kgwebhook.http_signature
    FOR EACH ROW EXECUTE FUNCTION kgwebhook.note_own_identity();
COMMENT ON TRIGGER note_own_identity ON kgwebhook.http_signature IS 'notes with the subscription that it has signatures';

CREATE FUNCTION @extschema@.kg_set_client_certificate(
    org_id pg_catalog.text,
    certificate pg_catalog.text,
    private_key pg_catalog.text DEFAULT NULL,
    subscription_id pg_catalog.int8 DEFAULT NULL) RETURNS pg_catalog.void
    LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_set_client_certificate';
COMMENT ON FUNCTION @extschema@.kg_set_client_certificate(pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.int8) IS
  'sets the client certificate for a subscription''s receiver, or for the objects'' own URLs; NULL removes it';
