/*
 * install/egress.sql
 *		Whether requests can leave this server: source address and proxy.
 */

CREATE FUNCTION kgwebhook.egress_fault() RETURNS pg_catalog.text
    LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_egress_fault';
COMMENT ON FUNCTION kgwebhook.egress_fault() IS
  'why no request can leave by kgwebhook.source_address and the proxy''s credentials, or NULL';

/*
 * What keeps every request from leaving is no receiver's.  Whether a source address can be
 * used is tried on the spot; that the proxy cannot be is seen by the latest three attempts, if
 * none of them got beyond it.  What it says of a single host is left to that host's finding.
 */
CREATE FUNCTION kgwebhook.egress_findings() RETURNS SETOF kgwebhook.finding
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    WITH latest AS MATERIALIZED (
        SELECT l.error, l.attempt_id,
               coalesce(l.error ~ 'kgwebhook[.]proxy' AND l.error !~ 'kgwebhook[.]proxy (could not|refused to|did not) connect to the host', false) AS is_proxy
          FROM kgwebhook.delivery_log l
         WHERE l.attempt_id > (SELECT last_value FROM kgwebhook.attempt_id_seq) - 100
           AND l.started_at > now() - '10 minutes'::interval AND l.outcome NOT IN ('invalid', 'superseded')
         ORDER BY l.attempt_id DESC LIMIT 3),
    fault AS (
        SELECT coalesce(kgwebhook.egress_fault(),
                        (SELECT (array_agg(l.error ORDER BY l.attempt_id DESC))[1] FROM latest l HAVING bool_and(l.is_proxy) AND count(*) = 3)) AS text)
    SELECT 358, format('Nothing is delivered: %s', f.text), 'Events are queued and wait; payments go on.',
           CASE WHEN f.text ~ 'source_address'
                THEN 'ALTER SYSTEM SET kgwebhook.source_address = an address or an interface of this server, or RESET it; then SELECT pg_reload_conf();'
                WHEN f.text ~ 'credentials'
                THEN 'Correct the file of kgwebhook.proxy_credentials_file, then SELECT pg_reload_conf();'
                WHEN f.text ~ 'not allowed'
                THEN 'Add the network of the proxy to kgwebhook.allowed_networks by ALTER SYSTEM, and SELECT pg_reload_conf();'
                WHEN f.text ~ 'certificate of kgwebhook[.]proxy'
                THEN format('Put the authority that has issued the certificate of %s into the file of kgwebhook.ca_file, then SELECT pg_reload_conf();',
                            current_setting('kgwebhook.proxy'))
                ELSE format('Start the proxy at %s, or ALTER SYSTEM SET kgwebhook.proxy to one that answers, and SELECT pg_reload_conf();',
                            current_setting('kgwebhook.proxy')) END
      FROM fault f, kgwebhook.worker_stats() w
     WHERE f.text IS NOT NULL AND w.worker_state IN ('idle', 'busy')
$$;
COMMENT ON FUNCTION kgwebhook.egress_findings() IS
  'the part of kg_status() about how requests leave this server';
