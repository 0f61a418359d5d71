/*
 * install/status_receivers.sql
 *		What is wrong with receivers, and what to do about it.
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
        WHEN status IS NOT NULL THEN format('Ask organization %s why its receiver answers %s; SELECT kg_explain() shows what it says', org_id, status) || itself
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

/* Receivers that do not acknowledge, organizations without a secret, what is late. */
CREATE FUNCTION kgwebhook.receiver_findings() RETURNS SETOF kgwebhook.finding
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    WITH notice AS MATERIALIZED (SELECT * FROM kgwebhook.destination_notices()),
    everything AS (SELECT EXISTS (SELECT FROM kgwebhook.paused p WHERE p.destination = '*') AS paused),
    waiting AS MATERIALIZED (
        SELECT b.destination, b.org_id, b.subscription_id, b.url, b.delivery_id, b.stands_for, b.attempts, b.next_attempt_at, b.enqueued_at,
               /* since it was last queued again */
               b.attempts > b.attempts_before AND isfinite(b.next_attempt_at) AS is_tried,
               b.is_behind OR min(b.delivery_id) OVER (PARTITION BY b.destination, b.org_id, b.kind, b.object_id, b.subscription_id) < b.delivery_id AS is_behind
          FROM kgwebhook.backlog b),
    /* brought down to endpoints in one pass */
    endpoint AS MATERIALIZED (
        SELECT q.destination, q.org_id, q.subscription_id, split_part(q.url, '?', 1) AS url,
               round(sum(q.stands_for))::int8 AS waiting, CASE WHEN max(q.stands_for) > 1 THEN 'about ' ELSE '' END AS about, min(q.enqueued_at) AS oldest,
               round(sum(q.stands_for) FILTER (WHERE q.is_tried))::int8 AS tried,
               min(q.delivery_id) FILTER (WHERE q.is_tried) AS head,
               min(q.next_attempt_at) FILTER (WHERE q.is_tried) AS next_try, min(q.next_attempt_at) AS due,
               max(q.attempts) AS attempts,
               count(*) FILTER (WHERE NOT isfinite(q.next_attempt_at)) AS keyless,
               /* what is behind an older one of its object waits for that, and is not late */
               round(sum(q.stands_for) FILTER (WHERE q.is_late))::int8 AS late,
               min(q.next_attempt_at) FILTER (WHERE q.is_late) AS late_since,
               min(q.delivery_id) FILTER (WHERE q.is_late) AS late_first
          FROM (SELECT w.*, NOT w.is_behind AND w.next_attempt_at < now() - '10 minutes'::interval AS is_late
                  FROM waiting w) q
         GROUP BY 1, 2, 3, 4),
    going AS (
        SELECT e.*, n.backing_off, n.next_try AS probe_at, n.failures_in_a_row, n.last_success, n.in_flight, n.seen_at, s.rate_limit
          FROM endpoint e
          LEFT JOIN notice n ON n.destination = e.destination
          LEFT JOIN kgwebhook.subscription s ON s.subscription_id = e.subscription_id
         WHERE NOT EXISTS (SELECT FROM kgwebhook.paused p WHERE p.destination IN (e.destination, '*'))
           AND coalesce(s.disabled_at, s.paused_at) IS NULL),
    worst AS (
        SELECT g.*, count(*) OVER () AS all_of_them FROM going g WHERE g.tried > 0
         ORDER BY g.backing_off DESC NULLS LAST, g.waiting DESC LIMIT 100),
    failing AS (
        SELECT w.*, l.outcome, l.response_status, coalesce(l.error, 'HTTP status ' || l.response_status, l.outcome) AS cause, l.error,
               coalesce(f.since, l.started_at) AS since,
               CASE WHEN w.backing_off THEN '' ELSE concat_ws(E'\n', w.org_id, w.url, w.subscription_id) END AS part
          FROM worst w
          JOIN LATERAL (SELECT * FROM kgwebhook.delivery_log a WHERE a.delivery_id = w.head
                         ORDER BY a.attempt DESC, a.attempt_id DESC LIMIT 1) l ON l.outcome <> 'acknowledged'
          /* by the delivery's index: that of all failures, by their time, has its earliest first, too */
          CROSS JOIN LATERAL (SELECT min(a.started_at) AS since
                                FROM (SELECT * FROM kgwebhook.delivery_log h WHERE h.delivery_id = w.head OFFSET 0) a
                               WHERE a.outcome <> 'acknowledged'
                                 AND NOT coalesce(w.backing_off AND a.started_at < w.last_success, false)) f),
    receiver AS (
        SELECT f.destination, coalesce(bool_or(f.backing_off), false) AS backing_off,
               count(*) AS endpoints, count(DISTINCT f.org_id) AS orgs,
               sum(f.waiting)::int8 AS waiting, max(f.about) AS about, sum(f.tried)::int8 AS tried, min(f.since) AS since, min(f.oldest) AS oldest,
               max(f.attempts) AS attempts, min(f.head) AS head, max(f.failures_in_a_row) AS failures, max(f.in_flight) AS in_flight,
               CASE WHEN bool_or(f.backing_off) THEN greatest(min(f.probe_at), min(f.due)) ELSE min(f.next_try) END AS next_try,
               /* cause and remedy are of one endpoint: the one that has waited longest */
               (array_agg(f.url ORDER BY f.head))[1] AS url, (array_agg(f.org_id ORDER BY f.head))[1] AS org_id,
               (array_agg(f.cause ORDER BY f.head))[1] AS cause, (array_agg(f.outcome ORDER BY f.head))[1] AS outcome,
               (array_agg(f.error ORDER BY f.head))[1] AS error, (array_agg(f.response_status ORDER BY f.head))[1] AS response_status
          FROM failing f GROUP BY f.destination, f.part
         ORDER BY coalesce(bool_or(f.backing_off), false) DESC, sum(f.waiting) DESC LIMIT 20),
    keyless AS (
        SELECT e.org_id, sum(e.waiting)::int8 AS waiting, max(e.about) AS about, min(e.oldest) AS oldest, count(*) OVER () AS all_of_them,
               (array_agg(e.destination ORDER BY e.keyless DESC))[1] AS destination
          FROM endpoint e WHERE e.keyless > 0 GROUP BY e.org_id ORDER BY sum(e.keyless) DESC, e.org_id LIMIT 20),
    lost AS MATERIALIZED (
        SELECT k.*, coalesce(k.undecryptable ~ 'secret', false)
                    OR EXISTS (SELECT FROM kgwebhook.secret s WHERE s.org_id = k.org_id AND s.subscription_id = 0) AS has_secret
          FROM (SELECT e.*, kgwebhook.undecryptable(e.org_id) AS undecryptable FROM keyless e) k),
    kept AS MATERIALIZED (
        SELECT count(*) FILTER (WHERE NOT s.encrypted OR kgwebhook.is_decryptable(s.org_id, s.secret)) AS usable
          FROM (SELECT * FROM kgwebhook.secret ORDER BY encrypted, created_at LIMIT 50) s),
    late AS (
        SELECT sum(g.late)::int8 AS deliveries, max(g.about) AS about, min(g.late_since) AS since, min(g.destination) AS destination,
               count(DISTINCT g.destination) AS destinations, min(g.late_first) AS first
          FROM going g
         WHERE g.late > 0 AND g.backing_off IS NOT TRUE AND NOT kgwebhook.is_sending(g.in_flight, g.seen_at, g.last_success)
           AND NOT kgwebhook.is_pacing(g.rate_limit, g.seen_at))
    SELECT CASE WHEN r.backing_off THEN 220
                WHEN r.attempts < 3 AND r.since > now() - '1 minute'::interval AND r.outcome <> 'blocked' THEN 110
                ELSE 215 END,
           format('%s (%s): %s since %s, %s%s',
                  CASE WHEN r.endpoints = 1 THEN left(r.url, 200) ELSE left(r.destination, 200) END,
                  CASE WHEN r.orgs = 1 THEN 'organization ' || left(r.org_id, 100)
                       ELSE format('organization %s and %s', left(r.org_id, 100), kgwebhook.count_text(r.orgs - 1, 'other', 'others')) END,
                  r.cause, kgwebhook.time_text(r.since), r.about || kgwebhook.count_text(r.waiting, 'waiting', 'waiting'),
                  coalesce(', ' || kgwebhook.amount_waiting(r.destination, CASE WHEN r.orgs = 1 THEN r.org_id END, CASE WHEN r.endpoints = 1 THEN r.url END), '')),
           CASE WHEN r.backing_off THEN format('The circuit breaker is open after %s in a row: one probe at a time.  ', kgwebhook.count_text(r.failures, 'failure', 'failures'))
                ELSE format('%s tried in vain.  ', r.about || kgwebhook.count_text(r.tried, 'delivery was', 'deliveries were')) END
           || format('The next %s is %s.  The oldest waits since %s.  SELECT kg_explain(%s); says more.',
                     CASE WHEN r.backing_off THEN 'probe' ELSE 'try' END,
                     CASE WHEN r.next_try > now() THEN 'at ' || kgwebhook.time_text(r.next_try)
                          WHEN r.in_flight > 0 THEN 'under way' ELSE 'within a minute' END,
                     kgwebhook.time_text(r.oldest), r.head),
           kgwebhook.receiver_remedy(r.outcome, r.response_status, r.error, left(r.url, 200), left(r.org_id, 100))
      FROM receiver r
    UNION ALL
    SELECT 210, format('and %s', kgwebhook.count_text(max(w.all_of_them) - 100, 'other receiver does not acknowledge', 'other receivers do not acknowledge')),
           NULL, 'SELECT * FROM kgwebhook.failures;'
      FROM worst w HAVING max(w.all_of_them) > 100
    UNION ALL
    SELECT 352, format('Nothing can be signed: no secret can be decrypted, %s',
                       max(l.about) || kgwebhook.count_text(sum(l.waiting)::int8, 'delivery waits', 'deliveries wait')),
           format('The oldest waits since %s.  The key in the file of "kgwebhook.key_file" is not the one that the secrets were encrypted with, or the file cannot be read; the server''s log says which.  Set no other secret: receivers know these.',
                  kgwebhook.time_text(min(l.oldest))),
           kgwebhook.key_remedy()
      FROM lost l, kept k WHERE l.undecryptable IS NOT NULL AND k.usable = 0
    HAVING count(*) > 0
    UNION ALL
    SELECT CASE WHEN l.has_secret THEN 235 ELSE 233 END,
           format(CASE WHEN l.has_secret THEN format('the %s of organization %%s cannot be decrypted', coalesce(l.undecryptable, 'secret')) ELSE 'organization %s has no secret' END
                  || ', %s since %s%s', left(l.org_id, 100), l.about || kgwebhook.count_text(l.waiting, 'delivery waits', 'deliveries wait'),
                  kgwebhook.time_text(l.oldest), coalesce(', ' || kgwebhook.amount_waiting(l.destination, l.org_id, NULL), '')),
           CASE WHEN l.has_secret THEN 'Set no other: the receiver knows this one.  The server''s log says what is wrong with the key file.'
                ELSE 'What waits is signed and sent as soon as there is one.  Where the receiver knows one already, use kg_set_secret().' END,
           CASE WHEN l.has_secret
                THEN kgwebhook.key_remedy()
                ELSE format('SELECT kg_create_secret(%L);', l.org_id) END
      FROM lost l, kept k WHERE l.undecryptable IS NULL OR k.usable > 0
    UNION ALL
    SELECT 232, format('%s without a usable secret', kgwebhook.count_text(max(l.all_of_them) - 20, 'other organization is', 'other organizations are')),
           NULL, 'SELECT org_id, count(*) FROM kgwebhook.pending WHERE waits_for = ''secret'' GROUP BY org_id;'
      FROM lost l HAVING max(l.all_of_them) > 20
    UNION ALL
    SELECT CASE WHEN w.acknowledged_lately THEN 238 ELSE 340 END,
           CASE WHEN w.acknowledged_lately THEN '' ELSE 'Nothing is delivered: ' END
           || format('%s since %s', l.about || kgwebhook.count_text(l.deliveries, 'delivery is late', 'deliveries are late'), kgwebhook.time_text(l.since)),
           format('Their time has come, nothing holds them, and they are not sent: %s%s, delivery %s is the first.  A worker may hang.',
                  left(l.destination, 200), CASE WHEN l.destinations > 1 THEN format(' and %s other destinations', l.destinations - 1) ELSE '' END, l.first),
           kgwebhook.restart_remedy()
      FROM late l, (SELECT coalesce(bool_or(n.last_success > now() - '10 minutes'::interval), false) AS acknowledged_lately FROM notice n) w,
           kgwebhook.worker_stats() s
     WHERE l.deliveries > 0 AND s.worker_state IN ('idle', 'busy') AND kgwebhook.may_hang()
$$;
COMMENT ON FUNCTION kgwebhook.receiver_findings() IS
  'the part of kg_status() about receivers, secrets and what is late';
