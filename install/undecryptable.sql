/*
 * install/undecryptable.sql
 *		What is there and cannot be decrypted, who waits for it, and what to do.
 */

CREATE FUNCTION kgwebhook.is_decryptable(org_id pg_catalog.text, kept pg_catalog.text) RETURNS pg_catalog.bool
    LANGUAGE c STABLE STRICT
    AS 'MODULE_PATHNAME', 'kg_is_decryptable';
COMMENT ON FUNCTION kgwebhook.is_decryptable(pg_catalog.text, pg_catalog.text) IS
  'whether a key of kgwebhook.key_file decrypts what is kept encrypted for an organization';

/* What to do about a key that does not decrypt. */
CREATE FUNCTION kgwebhook.key_remedy() RETURNS pg_catalog.text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT format('Restore %s, then SELECT pg_reload_conf();',
                  coalesce(nullif(current_setting('kgwebhook.key_file', true), ''), 'the setting kgwebhook.key_file'))
$$;
COMMENT ON FUNCTION kgwebhook.key_remedy() IS
  'what to do when secrets cannot be decrypted, in words';

/*
 * Of a secret or a signing key of the organization's, all of its requests are in need; of a
 * subscription's own secret, client certificate or headers, those of that subscription.  What
 * receivers know is not to be replaced; certificates and headers can be set again.
 */
CREATE FUNCTION kgwebhook.undecryptable(
    org_id pg_catalog.text,
    subscription_id pg_catalog.int8 DEFAULT NULL,
    OUT what pg_catalog.text,
    OUT kinds pg_catalog.text[],
    OUT is_settable pg_catalog.bool,
    OUT remedy pg_catalog.text) RETURNS pg_catalog.record
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT string_agg(e.kind || coalesce(' (' || left(array_to_string(e.names, ', '), 200) || ')', '') || ' of ' || CASE WHEN e.id <> 0 THEN format('subscription %s of ', e.id) ELSE e.own END
                      || 'organization ' || left(undecryptable.org_id, 100), ' and the ' ORDER BY e.rank, e.id),
           array_agg(DISTINCT e.kind), bool_and(e.again IS NOT NULL),
           kgwebhook.key_remedy() || CASE WHEN bool_and(e.again IS NOT NULL) THEN format('  Or set them again with %s.', string_agg(DISTINCT e.again, ' and ')) ELSE '' END
      FROM (SELECT 1 AS rank, 'secret' AS kind, s.subscription_id AS id, '' AS own, s.secret AS kept, NULL AS again, NULL::text[] AS names
              FROM kgwebhook.secret s
             WHERE s.org_id = undecryptable.org_id AND s.encrypted
               AND (undecryptable.subscription_id IS NULL
                    OR s.subscription_id = (SELECT max(o.subscription_id) FROM kgwebhook.secret o
                                             WHERE o.org_id = undecryptable.org_id AND o.subscription_id IN (0, undecryptable.subscription_id)))
            UNION ALL
            SELECT 2, 'signing key', 0, '', g.private_key, NULL, NULL FROM kgwebhook.signing_key g
             WHERE g.org_id = undecryptable.org_id AND g.encrypted
            UNION ALL
            SELECT 3, 'client certificate', c.subscription_id, 'own URLs of ', c.private_key, 'kg_set_client_certificate()', NULL
              FROM kgwebhook.client_certificate c
             WHERE c.org_id = undecryptable.org_id AND c.encrypted
               AND (undecryptable.subscription_id IS NULL OR c.subscription_id = undecryptable.subscription_id)
            UNION ALL
            SELECT 4, 'headers', h.subscription_id, '', h.lines, 'kg_set_headers()', n.header_names
              FROM kgwebhook.request_header h
              LEFT JOIN kgwebhook.subscription n ON n.subscription_id = h.subscription_id
             WHERE h.org_id = undecryptable.org_id AND h.encrypted
               AND (undecryptable.subscription_id IS NULL OR h.subscription_id = undecryptable.subscription_id)) e
     WHERE NOT kgwebhook.is_decryptable(undecryptable.org_id, e.kept)
$$;
COMMENT ON FUNCTION kgwebhook.undecryptable(pg_catalog.text, pg_catalog.int8) IS
  'what an organization has that no key of kgwebhook.key_file decrypts, or what of it requests of a subscription, or by 0 to own URLs, need; NULL: nothing';

CREATE FUNCTION kgwebhook.explain_missing_secret(org_id pg_catalog.text, subscription_id pg_catalog.int8 DEFAULT NULL) RETURNS pg_catalog.text
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT CASE WHEN NOT EXISTS (SELECT FROM kgwebhook.secret s WHERE s.org_id = explain_missing_secret.org_id
                                    AND s.subscription_id IN (0, explain_missing_secret.subscription_id))
                THEN format(E'It waits for a signing secret of organization %s. It is sent as soon as kg_create_secret() or kg_set_secret() has made one.\nWhat to do: SELECT kg_create_secret(%L);', org_id, org_id)
                WHEN u.what IS NULL
                THEN E'It was waiting for a key that the file of kgwebhook.key_file has by now; it is sent once the server has reloaded.\nWhat to do: SELECT pg_reload_conf();'
                ELSE format(E'It waits for the key to decrypt the %s, which is there. '
                            'It is sent as soon as the file of kgwebhook.key_file is restored and the server has reloaded%s; '
                            'the server\'s log says what is wrong with it.%s\nWhat to do: %s',
                            regexp_replace(u.what, '\msecret of\M', 'signing secret of', 'g'),
                            CASE WHEN u.is_settable THEN ', or what it waits for is set again' ELSE '' END,
                            CASE WHEN u.is_settable THEN '' ELSE ' Do not set another: the receiver knows this one.' END, u.remedy) END
      FROM kgwebhook.undecryptable(org_id, coalesce(explain_missing_secret.subscription_id, 0)) u
$$;
COMMENT ON FUNCTION kgwebhook.explain_missing_secret(pg_catalog.text, pg_catalog.int8) IS
  'explains what deliveries that wait for a secret, or for a key to decrypt what they need, wait for, in words';
