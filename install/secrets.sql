/*
 * install/secrets.sql
 *		Signing secrets and their rotation.
 */

CREATE TABLE kgwebhook.secret (
    org_id        pg_catalog.text NOT NULL,
    secret        pg_catalog.text NOT NULL,
    created_at    pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now(),
    next_secret   pg_catalog.text,
    activates_at  pg_catalog.timestamptz,
    retires_at    pg_catalog.timestamptz,
    encrypted     pg_catalog.bool NOT NULL DEFAULT false,
    subscription_id pg_catalog.int8 NOT NULL DEFAULT 0,
    CONSTRAINT secret_pkey PRIMARY KEY (org_id, subscription_id)
);
COMMENT ON TABLE kgwebhook.secret IS
  'signing secrets of organizations, and of subscriptions that have one of their own; readable by its owner only';
COMMENT ON COLUMN kgwebhook.secret.org_id IS 'the organization';
COMMENT ON COLUMN kgwebhook.secret.subscription_id IS 'the subscription whose own it is; 0: it is the organization''s';
COMMENT ON COLUMN kgwebhook.secret.secret IS 'the secret exactly as issued; its bytes are the HMAC key of the body';
COMMENT ON COLUMN kgwebhook.secret.created_at IS 'when a secret was last installed, or a rotation begun';
COMMENT ON COLUMN kgwebhook.secret.next_secret IS 'its successor, while a rotation is in progress';
COMMENT ON COLUMN kgwebhook.secret.activates_at IS 'time from which next_secret signs the body';
COMMENT ON COLUMN kgwebhook.secret.retires_at IS 'time from which secret no longer signs';
COMMENT ON COLUMN kgwebhook.secret.encrypted IS 'true when both are encrypted with a key of kgwebhook.key_file';

CREATE FUNCTION @extschema@.kg_create_secret(org_id pg_catalog.text DEFAULT 'default') RETURNS pg_catalog.text
    LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_create_secret';
COMMENT ON FUNCTION @extschema@.kg_create_secret(pg_catalog.text) IS
  'creates a signing secret for an organization and returns it, this once';

CREATE FUNCTION kgwebhook.kg_create_secret(subscription_id pg_catalog.int8) RETURNS pg_catalog.text
    LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_create_subscription_secret';
COMMENT ON FUNCTION kgwebhook.kg_create_secret(pg_catalog.int8) IS
  'does what kg_create_secret() is for, with the owner''s rights';

CREATE FUNCTION @extschema@.kg_create_secret(subscription_id pg_catalog.int8) RETURNS pg_catalog.text
    LANGUAGE c VOLATILE
    AS 'MODULE_PATHNAME', 'kg_for_caller';
COMMENT ON FUNCTION @extschema@.kg_create_secret(pg_catalog.int8) IS
  'creates a signing secret of a subscription''s own and returns it, this once; it signs instead of the organization''s';

CREATE FUNCTION @extschema@.kg_set_secret(org_id pg_catalog.text, secret pg_catalog.text) RETURNS pg_catalog.void
    LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_set_secret';
COMMENT ON FUNCTION @extschema@.kg_set_secret(pg_catalog.text, pg_catalog.text) IS
  'installs a signing secret that was agreed elsewhere, replacing the present one';

/* Two functions, so that the privilege on one does not include the other. */
CREATE FUNCTION @extschema@.kg_set_secret(
    org_id pg_catalog.text,
    secret pg_catalog.text,
    replace_undecryptable pg_catalog.bool) RETURNS pg_catalog.void
    LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_set_secret';
COMMENT ON FUNCTION @extschema@.kg_set_secret(pg_catalog.text, pg_catalog.text, pg_catalog.bool) IS
  'the same; true: also replaces one that cannot be decrypted, which is then lost for good';

CREATE FUNCTION kgwebhook.kg_rotate_secret(
    org_id pg_catalog.text,
    activate_after pg_catalog.interval,
    keep_old pg_catalog.interval) RETURNS pg_catalog.text
    LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_rotate_secret';
COMMENT ON FUNCTION kgwebhook.kg_rotate_secret(pg_catalog.text, pg_catalog.interval, pg_catalog.interval) IS
  'does what kg_rotate_secret() is for, with the owner''s rights';

CREATE FUNCTION @extschema@.kg_rotate_secret(
    org_id pg_catalog.text DEFAULT 'default',
    activate_after pg_catalog.interval DEFAULT '24 hours',
    keep_old pg_catalog.interval DEFAULT '24 hours') RETURNS pg_catalog.text
    LANGUAGE c VOLATILE
    AS 'MODULE_PATHNAME', 'kg_for_caller';
COMMENT ON FUNCTION @extschema@.kg_rotate_secret(pg_catalog.text, pg_catalog.interval, pg_catalog.interval) IS
  'creates the successor of an organization''s secret and returns it, this once';

CREATE FUNCTION kgwebhook.kg_rotate_secret(
    subscription_id pg_catalog.int8,
    activate_after pg_catalog.interval,
    keep_old pg_catalog.interval) RETURNS pg_catalog.text
    LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_rotate_subscription_secret';
COMMENT ON FUNCTION kgwebhook.kg_rotate_secret(pg_catalog.int8, pg_catalog.interval, pg_catalog.interval) IS
  'does what kg_rotate_secret() is for, with the owner''s rights';

CREATE FUNCTION @extschema@.kg_rotate_secret(
    subscription_id pg_catalog.int8,
    activate_after pg_catalog.interval DEFAULT '24 hours',
    keep_old pg_catalog.interval DEFAULT '24 hours') RETURNS pg_catalog.text
    LANGUAGE c VOLATILE
    AS 'MODULE_PATHNAME', 'kg_for_caller';
COMMENT ON FUNCTION @extschema@.kg_rotate_secret(pg_catalog.int8, pg_catalog.interval, pg_catalog.interval) IS
  'creates the successor of a subscription''s own secret and returns it, this once';

CREATE FUNCTION kgwebhook.kg_cancel_rotation(org_id pg_catalog.text) RETURNS pg_catalog.void
    LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_cancel_rotation';
COMMENT ON FUNCTION kgwebhook.kg_cancel_rotation(pg_catalog.text) IS
  'does what kg_cancel_rotation() is for, with the owner''s rights';

CREATE FUNCTION @extschema@.kg_cancel_rotation(org_id pg_catalog.text) RETURNS pg_catalog.void
    LANGUAGE c VOLATILE
    AS 'MODULE_PATHNAME', 'kg_for_caller';
COMMENT ON FUNCTION @extschema@.kg_cancel_rotation(pg_catalog.text) IS
  'cancels a rotation in progress: the old secret signs alone, the new one is discarded';

CREATE FUNCTION kgwebhook.kg_cancel_rotation(subscription_id pg_catalog.int8) RETURNS pg_catalog.void
    LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_cancel_subscription_rotation';
COMMENT ON FUNCTION kgwebhook.kg_cancel_rotation(pg_catalog.int8) IS
  'does what kg_cancel_rotation() is for, with the owner''s rights';

CREATE FUNCTION @extschema@.kg_cancel_rotation(subscription_id pg_catalog.int8) RETURNS pg_catalog.void
    LANGUAGE c VOLATILE
    AS 'MODULE_PATHNAME', 'kg_for_caller';
COMMENT ON FUNCTION @extschema@.kg_cancel_rotation(pg_catalog.int8) IS
  'the same, of a subscription''s own secret';

CREATE FUNCTION @extschema@.kg_fingerprint(secret pg_catalog.text) RETURNS pg_catalog.text
    LANGUAGE c STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_fingerprint';
COMMENT ON FUNCTION @extschema@.kg_fingerprint(pg_catalog.text) IS
  'the fingerprint of a secret, to compare with those of kg_fingerprints()';

CREATE FUNCTION kgwebhook.fingerprint(org_id pg_catalog.text, next pg_catalog.bool, subscription_id pg_catalog.int8 DEFAULT 0) RETURNS pg_catalog.text
    LANGUAGE c STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_fingerprint_of';
COMMENT ON FUNCTION kgwebhook.fingerprint(pg_catalog.text, pg_catalog.bool, pg_catalog.int8) IS
  'the fingerprint of an organization''s or a subscription''s secret, or of the next one; NULL when it cannot be decrypted';

CREATE FUNCTION @extschema@.kg_fingerprints(
    org_id pg_catalog.text DEFAULT NULL,
    OUT org_id pg_catalog.text,
    OUT secret pg_catalog.text,
    OUT fingerprint pg_catalog.text,
    OUT signs_from pg_catalog.timestamptz,
    OUT signs_until pg_catalog.timestamptz,
    OUT encrypted pg_catalog.bool,
    OUT subscription_id pg_catalog.int8) RETURNS SETOF pg_catalog.record
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT s.org_id, which.secret, kgwebhook.fingerprint(s.org_id, which.secret = 'next', s.subscription_id),
           CASE which.secret WHEN 'next' THEN s.activates_at END,
           CASE which.secret WHEN 'present' THEN s.retires_at END,
           s.encrypted, nullif(s.subscription_id, 0)
      FROM kgwebhook.secret s, unnest(ARRAY['present', 'next']) AS which (secret)
     WHERE ($1 IS NULL OR s.org_id = $1) AND (which.secret = 'present' OR s.next_secret IS NOT NULL)
     ORDER BY s.org_id, s.subscription_id, which.secret DESC
$$;
COMMENT ON FUNCTION @extschema@.kg_fingerprints(pg_catalog.text) IS
  'the fingerprints of all secrets or of one organization''s, by which secrets can be compared without being shown';

CREATE FUNCTION @extschema@.kg_encrypt_secrets() RETURNS pg_catalog.int8
    LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_encrypt_secrets';
COMMENT ON FUNCTION @extschema@.kg_encrypt_secrets() IS
  'encrypts all secrets with the first key of kgwebhook.key_file; returns how many holders'' secrets, and private keys, were newly encrypted';
