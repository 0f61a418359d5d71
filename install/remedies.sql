/*
 * install/remedies.sql
 *		What to do about what kg_status() finds, in words.
 */

/* What to do about a receiver that does not acknowledge. */
CREATE FUNCTION kgwebhook.receiver_remedy(
    outcome pg_catalog.text,
    status pg_catalog.int4,
    error pg_catalog.text,
    url pg_catalog.text,
    org_id pg_catalog.text) RETURNS pg_catalog.text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    host text := substring(url FROM '^[a-zA-Z]+://([^/?#]*?)(?::[0-9]+)?(?:[/?#]|$)');
    itself CONSTANT text := '; what waits is then sent by itself, in order.';
BEGIN
    RETURN CASE
        WHEN error ~ 'kgwebhook[.]proxy (could not|refused to|did not) connect to the host' THEN
            format('The log of kgwebhook.proxy says whether it refuses %s, or cannot reach it.  If it cannot, ask organization %s whether the receiver is running', host, org_id) || itself
        WHEN error ~ 'kgwebhook[.](source_address|proxy)' THEN 'It is this server''s trouble: correct what the error names.'
        WHEN outcome = 'blocked' AND host ~ '^[0-9.]+$|^\[' THEN
            format('If this address is meant: ALTER SYSTEM SET kgwebhook.allowed_networks = %L; SELECT pg_reload_conf();',
                   concat_ws(', ', nullif(current_setting('kgwebhook.allowed_networks'), ''),
                             trim(both '[]' FROM host) || CASE WHEN host ~ '^\[' THEN '/128' ELSE '/32' END))
        WHEN outcome = 'blocked' THEN
            format('"getent ahosts %s" on the server shows the address.  If it is meant, add its network to kgwebhook.allowed_networks by ALTER SYSTEM, and SELECT pg_reload_conf();', host)
        WHEN error ~ 'expired' THEN format('Ask organization %s to renew the certificate of %s', org_id, host) || itself
        WHEN error ~ 'not known|not trusted|self-signed' THEN
            format('Ask organization %s for a certificate of a public authority with all intermediate ones; or, if the authority is yours, add it to the file of kgwebhook.ca_file, and SELECT pg_reload_conf();', org_id)
        WHEN error ~ 'certificate' THEN format('Ask organization %s to correct the certificate of %s', org_id, host) || itself
        WHEN error ~ 'name (could not be|was not) resolved' THEN
            format('Ask organization %s whether %s is right; "getent ahosts %s" on the server shows what the name servers say', org_id, host, host) || itself
        WHEN error ~ 'file descriptors|out of memory|ca_file' THEN 'It is this server''s trouble: correct what the error names.'
        WHEN status BETWEEN 300 AND 399 THEN
            format('Ask organization %s for the URL that %s leads to: redirects are not followed.  New events go to the new URL; what waits needs the old one to acknowledge.', org_id, url)
        WHEN status BETWEEN 200 AND 299 THEN format('Ask organization %s to have its receiver at %s return what a challenge asks for: with 2xx, and the value of its member "challenge" as the body', org_id, url) || itself
        WHEN status IN (401, 403) THEN format('Ask organization %s what its receiver at %s refuses: usually the signature, so compare secrets by kg_fingerprints()', org_id, url) || itself
        WHEN status IN (404, 405, 410) THEN format('Ask organization %s to have its receiver answer at %s', org_id, url) || itself
        WHEN status IS NOT NULL THEN format('Ask organization %s why its receiver answers %s', org_id, status) || itself
        WHEN outcome = 'timed_out' THEN format('Ask organization %s to have its receiver answer first and work later', org_id) || itself
        ELSE format('Ask organization %s whether its receiver at %s is running and lets us in', org_id, url) || itself END;
END
$$;
COMMENT ON FUNCTION kgwebhook.receiver_remedy(pg_catalog.text, pg_catalog.int4, pg_catalog.text, pg_catalog.text, pg_catalog.text) IS
  'what to do about a receiver that does not acknowledge, in words';

/* What to do about a delivery that was given up. */
CREATE FUNCTION kgwebhook.dead_letter_remedy(delivery_id pg_catalog.int8, reason pg_catalog.text) RETURNS pg_catalog.text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT CASE WHEN reason ~ '^invalid: the URL cannot be called'
                THEN format('UPDATE kgwebhook.dead_letter SET url = ''https://host/path'' WHERE delivery_id = %s; with the right URL, then SELECT kg_redeliver(%s);',
                            delivery_id, delivery_id)
                WHEN reason ~ '^invalid:'
                THEN format('SELECT kg_amend(%s, payload || ''{"%s": "value"}'') FROM kgwebhook.dead_letter WHERE delivery_id = %s; with what is right, or leave it.',
                            delivery_id, coalesce(substring(reason FROM 'member "([^"''{}]+)"'), substring(reason FROM ' at /([[:alnum:]_]+) '), 'member'), delivery_id)
                ELSE format('When its receiver takes it: SELECT kg_redeliver(%s);', delivery_id) END
$$;
COMMENT ON FUNCTION kgwebhook.dead_letter_remedy(pg_catalog.int8, pg_catalog.text) IS
  'what to do about a delivery that was given up for a reason, in words';

/* What to do about a worker that hangs: it is started again by itself. */
CREATE FUNCTION kgwebhook.restart_remedy() RETURNS pg_catalog.text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT 'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = ''kgwebhook worker'' AND datname = current_database();'
$$;
COMMENT ON FUNCTION kgwebhook.restart_remedy() IS
  'what to do about a worker that hangs';

/*
 * What is due and not sent waits for a slot while they are full; and a worker that has
 * just started has not come to it yet, however long the server was down before.
 */
CREATE FUNCTION kgwebhook.may_hang() RETURNS pg_catalog.bool
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT NOT (SELECT s.is_full FROM kgwebhook.slots s)
       AND NOT EXISTS (SELECT FROM pg_stat_activity a
                        WHERE a.backend_type = 'kgwebhook worker' AND a.datname = current_database()
                          AND a.backend_start > clock_timestamp() - '5 seconds'::interval)
$$;
COMMENT ON FUNCTION kgwebhook.may_hang() IS
  'whether a delivery that is due, and that nothing holds, is a sign of a worker that hangs';
