/*
 * install/signing_keys.sql
 *		Signing keys, whose signatures need no shared secret; and their rotation.
 */

/*
 * A row is a key.  An organization has one; during a rotation two: the old one has a time
 * at which it retires, and the new one a time from which it comes first.
 */
CREATE TABLE kgwebhook.signing_key (
    key_id        pg_catalog.text PRIMARY KEY,
    org_id        pg_catalog.text NOT NULL,
    public_key    pg_catalog.text NOT NULL,
    private_key   pg_catalog.text NOT NULL,
    created_at    pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now(),
    activates_at  pg_catalog.timestamptz NOT NULL,
    retires_at    pg_catalog.timestamptz,
    encrypted     pg_catalog.bool NOT NULL DEFAULT false
);
COMMENT ON TABLE kgwebhook.signing_key IS
  'signing keys (Ed25519) by organization; readable by its owner only';
COMMENT ON COLUMN kgwebhook.signing_key.key_id IS 'what names the key: its thumbprint (RFC 7638)';
COMMENT ON COLUMN kgwebhook.signing_key.org_id IS 'the organization';
COMMENT ON COLUMN kgwebhook.signing_key.public_key IS 'what receivers verify with: whpk_ and base64';
COMMENT ON COLUMN kgwebhook.signing_key.private_key IS 'what signs; never shown';
COMMENT ON COLUMN kgwebhook.signing_key.created_at IS 'when it was made';
COMMENT ON COLUMN kgwebhook.signing_key.activates_at IS 'time from which it comes before the one that it replaces';
COMMENT ON COLUMN kgwebhook.signing_key.retires_at IS 'time from which it no longer signs; NULL: it stays';
COMMENT ON COLUMN kgwebhook.signing_key.encrypted IS 'true when private_key is encrypted with a key of kgwebhook.key_file';

CREATE INDEX signing_key_org_id_idx ON kgwebhook.signing_key (org_id);
COMMENT ON INDEX kgwebhook.signing_key_org_id_idx IS 'the keys of an organization';

/* Of two who create the first key, or begin a rotation, at once, one has to fail. */
CREATE UNIQUE INDEX signing_key_present_idx ON kgwebhook.signing_key (org_id) WHERE retires_at IS NULL;
COMMENT ON INDEX kgwebhook.signing_key_present_idx IS 'one key of an organization stays';

CREATE FUNCTION kgwebhook.add_signing_key(org_id pg_catalog.text, activates_at pg_catalog.timestamptz) RETURNS pg_catalog.text
    LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_add_signing_key';
COMMENT ON FUNCTION kgwebhook.add_signing_key(pg_catalog.text, pg_catalog.timestamptz) IS
  'makes a signing key for an organization, and returns its public half';

CREATE FUNCTION @extschema@.kg_create_signing_key(org_id pg_catalog.text DEFAULT 'default') RETURNS pg_catalog.text
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    RETURN kgwebhook.add_signing_key(org_id, date_trunc('second', clock_timestamp()));
EXCEPTION WHEN unique_violation THEN
    RAISE EXCEPTION 'organization "%" has a signing key already', org_id
        USING ERRCODE = 'duplicate_object',
              DETAIL = 'Receivers may know its public half.',
              HINT = 'kg_jwks() shows that; kg_rotate_signing_key() changes the key.';
END
$$;
COMMENT ON FUNCTION @extschema@.kg_create_signing_key(pg_catalog.text) IS
  'makes a signing key for an organization, and returns its public half: what receivers verify with';

/* A time that is an interval after another, in whole seconds. */
CREATE FUNCTION kgwebhook.later_by(name pg_catalog.text, span pg_catalog.interval, since pg_catalog.timestamptz) RETURNS pg_catalog.timestamptz
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    later timestamptz := date_trunc('second', since + span);
BEGIN
    IF later IS NULL OR later < since OR NOT isfinite(later) THEN
        RAISE EXCEPTION '% must be an interval that is not negative', name
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Give one such as ''24 hours'', or ''0'' for immediately.';
    END IF;
    RETURN later;
END
$$;
COMMENT ON FUNCTION kgwebhook.later_by(pg_catalog.text, pg_catalog.interval, pg_catalog.timestamptz) IS
  'the time to which an interval leads that may not be negative or infinite';

CREATE FUNCTION @extschema@.kg_rotate_signing_key(
    org_id pg_catalog.text DEFAULT 'default',
    activate_after pg_catalog.interval DEFAULT '24 hours',
    keep_old pg_catalog.interval DEFAULT '24 hours') RETURNS pg_catalog.text
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    since timestamptz := date_trunc('second', clock_timestamp());
    activates timestamptz := kgwebhook.later_by('activate_after', activate_after, since);
    retires timestamptz := kgwebhook.later_by('keep_old', keep_old, activates);
    old kgwebhook.signing_key;
    next kgwebhook.signing_key;
BEGIN
    SELECT * INTO next FROM kgwebhook.signing_key k
     WHERE k.org_id = kg_rotate_signing_key.org_id AND k.retires_at IS NULL FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'organization "%" has no signing key to rotate', org_id
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Give it its first one with kg_create_signing_key().';
    END IF;
    SELECT * INTO old FROM kgwebhook.signing_key k
     WHERE k.org_id = kg_rotate_signing_key.org_id AND k.retires_at > since FOR UPDATE;
    IF FOUND THEN
        RAISE EXCEPTION 'a rotation of the signing key of organization "%" is under way', org_id
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = format('The new key comes first from %s; the old one retires at %s.', next.activates_at, old.retires_at),
                  HINT = 'Wait for its end, or cancel it with kg_cancel_key_rotation().';
    END IF;
    DELETE FROM kgwebhook.signing_key k WHERE k.org_id = kg_rotate_signing_key.org_id AND k.retires_at <= since;
    UPDATE kgwebhook.signing_key k SET retires_at = retires WHERE k.key_id = next.key_id;
    RETURN kgwebhook.add_signing_key(org_id, activates);
END
$$;
COMMENT ON FUNCTION @extschema@.kg_rotate_signing_key(pg_catalog.text, pg_catalog.interval, pg_catalog.interval) IS
  'makes the successor of an organization''s signing key, and returns its public half; both sign until the old one retires';

CREATE FUNCTION @extschema@.kg_cancel_key_rotation(org_id pg_catalog.text) RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    next kgwebhook.signing_key;
    old kgwebhook.signing_key;
BEGIN
    SELECT * INTO next FROM kgwebhook.signing_key k
     WHERE k.org_id = kg_cancel_key_rotation.org_id AND k.retires_at IS NULL FOR UPDATE;
    SELECT * INTO old FROM kgwebhook.signing_key k
     WHERE k.org_id = kg_cancel_key_rotation.org_id AND k.retires_at > clock_timestamp() FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no rotation of the signing key of organization "%" is under way', org_id
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'One is under way from kg_rotate_signing_key() until the old key retires.';
    END IF;
    DELETE FROM kgwebhook.signing_key k WHERE k.key_id = next.key_id;
    UPDATE kgwebhook.signing_key k SET retires_at = NULL WHERE k.key_id = old.key_id;
    IF next.activates_at <= clock_timestamp() THEN
        RAISE WARNING 'the new signing key of organization "%" has signed already', org_id
            USING DETAIL = 'From now on only the old one signs; a receiver that knows only the new one refuses what comes, and is tried again.',
                  HINT = 'See that the receiver fetches kg_jwks() again.';
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@.kg_cancel_key_rotation(pg_catalog.text) IS
  'cancels a rotation in progress: the old signing key signs alone, the new one is discarded';

CREATE FUNCTION kgwebhook.kg_jwks(org_id pg_catalog.text) RETURNS pg_catalog.jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    PERFORM kgwebhook.check_organization(org_id);
    RETURN (SELECT jsonb_build_object('keys', coalesce(jsonb_agg(jsonb_build_object(
                       'kty', 'OKP', 'crv', 'Ed25519', 'x', rtrim(translate(substr(k.public_key, 6), '+/', '-_'), '='),
                       'kid', k.key_id, 'use', 'sig', 'alg', 'EdDSA') ORDER BY k.activates_at, k.retires_at NULLS LAST), '[]'))
              FROM kgwebhook.signing_key k
             WHERE k.org_id = kg_jwks.org_id AND (k.retires_at IS NULL OR k.retires_at > clock_timestamp()));
END
$$;
COMMENT ON FUNCTION kgwebhook.kg_jwks(pg_catalog.text) IS
  'does what kg_jwks() is for, with the owner''s rights';

CREATE FUNCTION @extschema@.kg_jwks(org_id pg_catalog.text) RETURNS pg_catalog.jsonb
    LANGUAGE c STABLE
    AS 'MODULE_PATHNAME', 'kg_for_caller';
COMMENT ON FUNCTION @extschema@.kg_jwks(pg_catalog.text) IS
  'the public halves of an organization''s signing keys, as a JSON Web Key Set; during a rotation the next one, too';
