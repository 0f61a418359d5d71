/*
 * install/status_receivers.sql
 *		What is wrong with receivers, and what to do about it.
 */

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
               b.is_behind OR min(b.delivery_id) OVER (PARTITION BY b.destination, b.org_id, b.kind, b.object_id, b.subscription_id) < b.delivery_id
               /* or until its receiver has answered a challenge */
               OR coalesce(s.challenge IS NOT NULL AND b.object_id <> b.webhook_id, false)
               OR b.subscription_id IS NULL AND c.some AND kgwebhook.lacks_consent(b.org_id, b.url) AS is_behind
          FROM kgwebhook.backlog b
          LEFT JOIN kgwebhook.subscription s ON s.subscription_id = b.subscription_id
         CROSS JOIN (SELECT EXISTS (SELECT FROM kgwebhook.consent o WHERE o.required) AS some) c),
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
               min(q.delivery_id) FILTER (WHERE q.is_late) AS late_first,
               min(q.next_attempt_at) FILTER (WHERE q.is_untried) AS untried_since,
               min(q.delivery_id) FILTER (WHERE q.is_untried) AS untried_first
          FROM (SELECT w.*, NOT w.is_behind AND w.next_attempt_at < now() - '10 minutes'::interval AS is_late,
                       NOT w.is_behind AND NOT w.is_tried AND w.next_attempt_at < now() - p.patience AS is_untried
                  FROM waiting w, (SELECT kgwebhook.patience() AS patience) p) q
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
        SELECT w.*, l.outcome, l.response_status, regexp_replace(coalesce(l.error, 'HTTP status ' || l.response_status, l.outcome), '; redirects are not followed$', ' (a redirect)') AS cause, l.error,
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
    /* by what they need: of a subscription's own as well, or the organization's only */
    keyless AS (
        SELECT e.org_id, e.needs, sum(e.waiting)::int8 AS waiting, max(e.about) AS about, min(e.oldest) AS oldest,
               (array_agg(e.destination ORDER BY e.keyless DESC))[1] AS destination, CASE WHEN e.needs > 0 THEN min(e.url) END AS url
          FROM (SELECT o.*, CASE WHEN o.subscription_id IS NULL THEN 0
                                 WHEN EXISTS (SELECT FROM kgwebhook.secret s WHERE s.org_id = o.org_id AND s.subscription_id = o.subscription_id)
                                   OR EXISTS (SELECT FROM kgwebhook.client_certificate c WHERE c.org_id = o.org_id AND c.subscription_id = o.subscription_id)
                                   OR EXISTS (SELECT FROM kgwebhook.request_header h WHERE h.org_id = o.org_id AND h.subscription_id = o.subscription_id)
                                 THEN o.subscription_id ELSE -1 END AS needs
                  FROM endpoint o WHERE o.keyless > 0) e
         GROUP BY e.org_id, e.needs ORDER BY sum(e.keyless) DESC, e.org_id, e.needs LIMIT 100),
    lost AS MATERIALIZED (
        SELECT k.org_id, u.what, u.is_settable, u.remedy, k.has_secret, sum(k.waiting)::int8 AS waiting, max(k.about) AS about, min(k.oldest) AS oldest,
               (array_agg(k.destination ORDER BY k.waiting DESC))[1] AS destination, CASE WHEN count(*) = 1 THEN min(k.url) END AS url
          FROM (SELECT e.*, EXISTS (SELECT FROM kgwebhook.secret s WHERE s.org_id = e.org_id AND s.subscription_id IN (0, e.needs)) AS has_secret
                  FROM keyless e) k
         CROSS JOIN LATERAL kgwebhook.undecryptable(k.org_id, k.needs) u
         GROUP BY k.org_id, u.what, u.is_settable, u.remedy, k.has_secret ORDER BY sum(k.waiting) DESC, k.org_id LIMIT 20),
    kept AS MATERIALIZED (
        SELECT count(*) FILTER (WHERE NOT s.encrypted OR kgwebhook.is_decryptable(s.org_id, s.secret)) AS usable
          FROM (SELECT * FROM kgwebhook.secret ORDER BY encrypted, created_at LIMIT 50) s),
    late AS (
        SELECT sum(g.late)::int8 AS deliveries, max(g.about) AS about, min(g.late_since) AS since, min(g.destination) AS destination,
               count(DISTINCT g.destination) AS destinations, min(g.late_first) AS first
          FROM going g
         WHERE g.late > 0 AND g.backing_off IS NOT TRUE AND NOT kgwebhook.is_sending(g.in_flight, g.seen_at, g.last_success)
           AND NOT kgwebhook.is_pacing(g.rate_limit, g.seen_at)),
    /* by destination, and what is told of all is of the one that has waited longest */
    crowded AS (
        SELECT u.destination, u.in_flight, c.holder, c.seconds, u.org_id, u.url, u.untried_since, u.untried_first,
               count(*) OVER there AS endpoints, sum(u.waiting) OVER there AS waiting, max(u.about) OVER there AS about,
               row_number() OVER (PARTITION BY u.destination ORDER BY u.untried_since, u.untried_first) AS n
          FROM (SELECT * FROM going g
                 WHERE g.untried_since IS NOT NULL AND g.tried IS NULL AND g.backing_off IS NOT TRUE
                   AND kgwebhook.is_sending(g.in_flight, g.seen_at, g.last_success) AND NOT kgwebhook.is_pacing(g.rate_limit, g.seen_at)
                 ORDER BY g.untried_since LIMIT 20) u
         CROSS JOIN LATERAL kgwebhook.crowd(u.destination, u.org_id, u.subscription_id, u.url, u.untried_since) c
         WHERE c.holder IS NOT NULL
        WINDOW there AS (PARTITION BY u.destination))
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
    SELECT 217,
           format('%s (organization %s)%s waits behind requests of organization %s at %s since %s, %s%s', left(w.url, 200), left(w.org_id, 100),
                  CASE WHEN w.endpoints > 1 THEN format(', and %s there,', kgwebhook.count_text(w.endpoints - 1, 'other URL', 'other URLs')) ELSE '' END,
                  left(w.holder, 100), left(w.destination, 200), kgwebhook.time_text(w.untried_since), w.about || kgwebhook.count_text(w.waiting::int8, 'waiting', 'waiting'),
                  CASE WHEN w.endpoints = 1 THEN coalesce(', ' || kgwebhook.amount_waiting(w.destination, w.org_id, w.url), '') ELSE '' END),
           format('It has had no turn since then: the requests in flight there (%s) leave it no room%s.  Each ends within kgwebhook.request_timeout (%s), and turns go round.  SELECT kg_explain(%s); says more.',
                  w.in_flight, CASE WHEN w.seconds > 0 THEN format('; those of organization %s take %s s each', left(w.holder, 100), w.seconds) ELSE '' END,
                  current_setting('kgwebhook.request_timeout'), w.untried_first),
           kgwebhook.crowd_remedy(left(w.destination, 200), left(w.holder, 100))
      FROM crowded w WHERE w.n = 1
    UNION ALL
    SELECT 352, format('Nothing can be signed: no secret can be decrypted, %s',
                       max(l.about) || kgwebhook.count_text(sum(l.waiting)::int8, 'delivery waits', 'deliveries wait')),
           format('The oldest waits since %s.  The key in the file of "kgwebhook.key_file" is not the one that the secrets were encrypted with, or the file cannot be read; the server''s log says which.  Set no other secret: receivers know these.',
                  kgwebhook.time_text(min(l.oldest))),
           kgwebhook.key_remedy()
      FROM lost l, kept k WHERE l.has_secret AND l.what IS NOT NULL AND k.usable = 0
    HAVING count(*) > 0
    UNION ALL
    SELECT CASE WHEN l.has_secret THEN 235 ELSE 233 END,
           CASE WHEN NOT l.has_secret THEN format('organization %s has no secret', left(l.org_id, 100))
                WHEN l.what IS NULL THEN format('the worker has yet to read a key of organization %s', left(l.org_id, 100))
                ELSE format('the %s cannot be decrypted', l.what) END
           || format(', %s since %s%s', l.about || kgwebhook.count_text(l.waiting, 'delivery waits', 'deliveries wait'),
                     kgwebhook.time_text(l.oldest), coalesce(', ' || kgwebhook.amount_waiting(l.destination, l.org_id, l.url), '')),
           CASE WHEN NOT l.has_secret THEN 'What waits is signed and sent as soon as there is one.  Where the receiver knows one already, use kg_set_secret().'
                WHEN l.what IS NULL THEN 'What waits could not be decrypted, and can be by now.'
                WHEN l.is_settable THEN 'Only what needs that waits.  The server''s log says what is wrong with the key file.'
                ELSE 'Set no other: the receiver knows this one.  The server''s log says what is wrong with the key file.' END,
           CASE WHEN NOT l.has_secret THEN format('SELECT kg_create_secret(%L);', l.org_id)
                WHEN l.what IS NULL THEN 'SELECT pg_reload_conf();'
                ELSE l.remedy END
      FROM lost l, kept k WHERE NOT l.has_secret OR l.what IS NULL OR k.usable > 0
    UNION ALL
    SELECT 232, format('%s without a usable secret', kgwebhook.count_text(o.others, 'other organization is', 'other organizations are')),
           NULL, 'SELECT org_id, count(*) FROM kgwebhook.pending WHERE waits_for = ''secret'' GROUP BY org_id;'
      FROM (SELECT count(DISTINCT e.org_id) - (SELECT count(DISTINCT l.org_id) FROM lost l) AS others FROM endpoint e WHERE e.keyless > 0) o
     WHERE o.others > 0
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
