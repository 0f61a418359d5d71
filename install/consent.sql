/*
 * install/consent.sql
 *		Organizations whose own URLs have to be those of verified subscriptions.
 */

/*
 * An object's own URL is what a program has put into its row.  Of these organizations it gets
 * something only if the URL of one of their subscriptions that has answered its challenge
 * is the same, except for the query, or is above it.  Nothing is asked because of a payment, so
 * nobody can have others challenged by making some; and a URL with an identifier for each
 * object needs one answer for all.
 *
 * A row stays when it is not required any more: what had to wait until then is compared with what
 * has been acknowledged in the meantime.
 */
CREATE TABLE kgwebhook.consent (
    org_id      pg_catalog.text COLLATE pg_catalog."C" NOT NULL,
    required    pg_catalog.bool NOT NULL,
    changed_at  pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    CONSTRAINT consent_pkey PRIMARY KEY (org_id)
);
COMMENT ON TABLE kgwebhook.consent IS
  'organizations whose receivers have to consent first; written by kg_require_consent()';
COMMENT ON COLUMN kgwebhook.consent.org_id IS 'the organization';
COMMENT ON COLUMN kgwebhook.consent.required IS 'whether they have to, or no longer';
COMMENT ON COLUMN kgwebhook.consent.changed_at IS 'since when';

SELECT pg_catalog.pg_extension_config_dump('kgwebhook.consent', '');

CREATE TRIGGER invalidate_workers
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON kgwebhook.consent
    FOR EACH STATEMENT EXECUTE FUNCTION kgwebhook.invalidate_workers();
COMMENT ON TRIGGER invalidate_workers ON kgwebhook.consent IS 'makes the workers read it again with the subscriptions';

CREATE TRIGGER invalidate_workers_applied
    AFTER INSERT OR UPDATE OR DELETE ON kgwebhook.consent
    FOR EACH ROW EXECUTE FUNCTION kgwebhook.invalidate_workers();
ALTER TABLE kgwebhook.consent ENABLE REPLICA TRIGGER invalidate_workers_applied;
COMMENT ON TRIGGER invalidate_workers_applied ON kgwebhook.consent IS 'the same, for rows that arrive by replication';

CREATE FUNCTION kgwebhook.covers_url(answered pg_catalog.text, url pg_catalog.text) RETURNS pg_catalog.bool
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'kg_covers_url';
COMMENT ON FUNCTION kgwebhook.covers_url(pg_catalog.text, pg_catalog.text) IS
  'whether an answer of the first URL is good for the second: the same except for the query, or below it';

/* Where there is no such organization, this is one look at an empty index. */
CREATE FUNCTION kgwebhook.lacks_consent(org_id pg_catalog.text, url pg_catalog.text) RETURNS pg_catalog.bool
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT EXISTS (SELECT FROM kgwebhook.consent c WHERE c.org_id = lacks_consent.org_id AND c.required)
       AND NOT EXISTS (SELECT FROM kgwebhook.subscription s
                        WHERE s.org_id = lacks_consent.org_id AND s.verify AND s.challenge IS NULL AND s.verified_at IS NOT NULL
                          AND kgwebhook.covers_url(s.url, lacks_consent.url))
$$;
COMMENT ON FUNCTION kgwebhook.lacks_consent(pg_catalog.text, pg_catalog.text) IS
  'whether an object''s own URL waits until one that covers it has answered a challenge';

CREATE FUNCTION @extschema@.kg_require_consent(
    org_id pg_catalog.text,
    required pg_catalog.bool DEFAULT true) RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    IF org_id IS NULL OR org_id = '' OR length(org_id) > 255 THEN
        RAISE EXCEPTION 'org_id cannot be used'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'It has 1 to 255 characters.',
                  HINT = 'Give the organization''s identifier.';
    END IF;
    INSERT INTO kgwebhook.consent AS c (org_id, required)
        VALUES (kg_require_consent.org_id, coalesce(kg_require_consent.required, true))
        ON CONFLICT ON CONSTRAINT consent_pkey DO UPDATE SET required = excluded.required, changed_at = excluded.changed_at
         WHERE c.required <> excluded.required;
END
$$;
COMMENT ON FUNCTION @extschema@.kg_require_consent(pg_catalog.text, pg_catalog.bool) IS
  'has an organization''s receivers answer a challenge before they get events, also at the objects'' own URLs; or ends it';
