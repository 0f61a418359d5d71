/*
 * install/verify.sql
 *		Canonicalizing, signing and verifying, for receivers and tests.
 */

CREATE FUNCTION @extschema@.kg_canonical_json(payload pg_catalog.jsonb) RETURNS pg_catalog.text
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'kg_canonical_json';
COMMENT ON FUNCTION @extschema@.kg_canonical_json(pg_catalog.jsonb) IS
  'RFC 8785 canonical form; an error for what it cannot represent exactly';

CREATE FUNCTION @extschema@.kg_sign(payload pg_catalog.jsonb, secret pg_catalog.text) RETURNS pg_catalog.text
    LANGUAGE c STABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'kg_sign';
COMMENT ON FUNCTION @extschema@.kg_sign(pg_catalog.jsonb, pg_catalog.text) IS
  'the signed body as sent on the wire; stamped now unless the payload has a timestamp';

CREATE FUNCTION @extschema@.kg_verify(
    body pg_catalog.text,
    secret pg_catalog.text,
    tolerance pg_catalog.interval DEFAULT '5 minutes',
    at pg_catalog.timestamptz DEFAULT pg_catalog.now()) RETURNS pg_catalog.text
    LANGUAGE c STABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'kg_verify';
COMMENT ON FUNCTION @extschema@.kg_verify(pg_catalog.text, pg_catalog.text, pg_catalog.interval, pg_catalog.timestamptz) IS
  'checks a signature: valid, malformed, no signature, wrong signature, stale or from the future';
