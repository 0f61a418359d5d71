/*
 * install/status.sql
 *		What is wrong, worst first: kg_status().
 */

/*
 * Each part looks at one thing and returns what it finds with a weight: from 300 on
 * nothing or hardly anything is delivered, from 200 on someone is not served, below
 * that it is worth knowing.  A part whose table is locked is left out, and the lock
 * is the finding.  Nothing here shows a payload or an answer: only names, times,
 * counts and amounts, as the views for pg_monitor do.
 */

CREATE TYPE kgwebhook.finding AS (
    weight   pg_catalog.int4,
    finding  pg_catalog.text,
    detail   pg_catalog.text,
    remedy   pg_catalog.text
);
COMMENT ON TYPE kgwebhook.finding IS 'what a part of kg_status() has found, and how bad it is';

CREATE FUNCTION kgwebhook.time_text(at pg_catalog.timestamptz) RETURNS pg_catalog.text
    LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT to_char(at, CASE WHEN at::date = now()::date THEN 'HH24:MI:SS' ELSE 'YYYY-MM-DD HH24:MI' END)
$$;
COMMENT ON FUNCTION kgwebhook.time_text(pg_catalog.timestamptz) IS
  'a time as kg_status() shows it';

CREATE FUNCTION kgwebhook.count_text(count pg_catalog.int8, one pg_catalog.text, many pg_catalog.text) RETURNS pg_catalog.text
    LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT to_char(count, 'FM9,999,999,999,999,990') || ' ' || CASE count WHEN 1 THEN one ELSE many END
$$;
COMMENT ON FUNCTION kgwebhook.count_text(pg_catalog.int8, pg_catalog.text, pg_catalog.text) IS
  'a count with its noun';

/*
 * The amounts of what waits, each object once.  Beyond some thousands of deliveries
 * the sum says "at least", because nobody on call waits for the rest.
 */
CREATE FUNCTION kgwebhook.amount_waiting(destination pg_catalog.text, org_id pg_catalog.text, url pg_catalog.text) RETURNS pg_catalog.text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    most CONSTANT int8 := 2000;
    most_read CONSTANT int8 := 2500;
    looked int8;
    is_all bool;
    amounts text;
BEGIN
    WITH first AS (
        SELECT * FROM kgwebhook.queue r WHERE r.destination = amount_waiting.destination
         ORDER BY r.delivery_id LIMIT most_read),
    these AS (
        SELECT q.delivery_id, q.org_id, q.kind, q.object_id,
               CASE WHEN q.payload ->> 'fiat_amount' ~ '^-?[0-9]{1,30}([.][0-9]{1,30})?$'
                    THEN (q.payload ->> 'fiat_amount')::numeric END AS amount,
               left(q.payload ->> 'fiat_currency', 16) AS currency
          FROM (SELECT * FROM first r
                 WHERE (amount_waiting.org_id IS NULL OR r.org_id = amount_waiting.org_id)
                   AND (amount_waiting.url IS NULL OR split_part(r.url, '?', 1) = amount_waiting.url)
                 ORDER BY r.delivery_id LIMIT most) q),
    object AS (
        SELECT DISTINCT ON (s.org_id, s.kind, s.object_id) s.amount, s.currency
          FROM these s ORDER BY s.org_id, s.kind, s.object_id, s.delivery_id DESC),
    total AS (
        SELECT o.currency, sum(o.amount) AS amount FROM object o
         WHERE o.amount IS NOT NULL GROUP BY o.currency ORDER BY sum(o.amount) DESC LIMIT 3)
    SELECT (SELECT count(*) FROM these), (SELECT count(*) < most_read FROM first),
           string_agg(regexp_replace(to_char(t.amount, 'FM999,999,999,999,999,999,990.00'), '[.]00$', '')
                      || coalesce(' ' || t.currency, ''), ' and ' ORDER BY t.amount DESC)
      INTO looked, is_all, amounts FROM total t;
    RETURN CASE WHEN looked = most OR NOT is_all THEN 'at least ' ELSE '' END || amounts;
END
$$;
COMMENT ON FUNCTION kgwebhook.amount_waiting(pg_catalog.text, pg_catalog.text, pg_catalog.text) IS
  'the amounts of what waits for a destination, one organization''s or one URL''s if given';

/* Whether an organization's secret is there and its key is not. */
CREATE FUNCTION kgwebhook.undecryptable(org_id pg_catalog.text) RETURNS pg_catalog.bool
    LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT EXISTS (SELECT FROM kgwebhook.secret s
                    WHERE s.org_id = undecryptable.org_id AND s.encrypted
                      AND kgwebhook.fingerprint(s.org_id, false, s.subscription_id) IS NULL)
$$;
COMMENT ON FUNCTION kgwebhook.undecryptable(pg_catalog.text) IS
  'whether an organization has a secret that no key of kgwebhook.key_file decrypts';

/* The state of the workers, and what keeps them from their work. */
CREATE FUNCTION kgwebhook.worker_findings() RETURNS SETOF kgwebhook.finding
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    w record;
    waits CONSTANT text := 'Events are queued and wait; payments go on.';
    fails bool;
BEGIN
    SELECT * INTO w FROM kgwebhook.worker_stats();
    fails := w.errors_in_a_row >= 3 AND w.last_error_at > clock_timestamp() - '2 minutes'::interval
             OR w.worker_state = 'not running' AND w.last_error_at > clock_timestamp() - '2 minutes'::interval;
    IF w.worker_state = 'standby' THEN
        RETURN QUERY SELECT 100, 'this server is a standby, and sends nothing'::text,
            'Its primary delivers.  This one does once it is promoted.'::text, NULL::text;
    ELSIF w.worker_state = 'not preloaded' THEN
        RETURN QUERY SELECT 390, 'Nothing is delivered: the server does not preload kgwebhook'::text, waits,
            format('ALTER SYSTEM SET shared_preload_libraries = %s; then restart the server',
                   (SELECT string_agg(quote_literal(trim(both ' "' FROM l)), ', ')
                      FROM unnest(string_to_array(current_setting('shared_preload_libraries'), ',') || 'kgwebhook'::text) l
                     WHERE trim(l) <> ''));
    ELSIF w.worker_state = 'not adopted' THEN
        RETURN QUERY SELECT 380, 'Nothing is delivered: this database is a copy of another'::text,
            waits || '  If it takes the original''s place, adopt it; if not, leave it as it is: two databases that send the same are worse.',
            'SELECT kg_adopt();'::text;
    ELSIF w.worker_state = 'disabled' THEN
        RETURN QUERY SELECT 370, 'Nothing is delivered: kgwebhook.enabled is off'::text, waits,
            'ALTER SYSTEM SET kgwebhook.enabled = on; SELECT pg_reload_conf();'::text;
    ELSIF w.worker_state = 'not running' AND NOT coalesce(fails, false) THEN
        RETURN QUERY SELECT 360, 'Nothing is delivered: no worker runs for this database'::text,
            waits || '  A server that has just started has one within seconds.  Else the server''s log says why, under "kgwebhook"; '
                  || format('"max_worker_processes" is %s.', current_setting('max_worker_processes')),
            format('ALTER SYSTEM SET max_worker_processes = %s; then restart the server',
                   current_setting('max_worker_processes')::int + 8);
    END IF;
    IF fails THEN
        RETURN QUERY SELECT 350,
            CASE WHEN w.last_error_code = '53100' THEN 'Nothing can be written down: the disk is full'
                 WHEN w.last_error_code = '55P03' THEN 'Nothing can be written down: a lock is in the way'
                 ELSE 'Nothing is delivered: the worker fails again and again' END,
            format('Since %s, %s; the last at %s: %s.  %s', kgwebhook.time_text(w.failing_since),
                   kgwebhook.count_text(w.errors_in_a_row, 'error', 'errors'), kgwebhook.time_text(w.last_error_at), rtrim(w.last_error, '.'), waits),
            CASE WHEN w.last_error_code = '53100'
                 THEN format('Free room on the disk of %s; what waits is then written down by itself.', current_setting('data_directory'))
                 WHEN w.last_error_code = '55P03'
                 THEN 'SELECT pid, usename, xact_start FROM pg_stat_activity WHERE pid IN (SELECT pid FROM pg_locks WHERE granted) AND xact_start < now() - interval ''5 seconds'' ORDER BY xact_start; then pg_terminate_backend() for the one that holds the lock'
                 ELSE 'Correct what the error names; the server''s log has it whole, under "kgwebhook".  The worker is started again by itself, within a minute.' END;
    ELSIF w.last_error_at > clock_timestamp() - '1 hour'::interval THEN
        RETURN QUERY SELECT CASE WHEN w.errors_in_a_row > 0 THEN 205 ELSE 105 END,
            format('a worker had an error at %s%s', kgwebhook.time_text(w.last_error_at),
                   CASE WHEN w.errors_in_a_row > 0 THEN '' ELSE ', and has gone on since' END),
            w.last_error, 'The server''s log has the rest, under "kgwebhook".'::text;
    END IF;
END
$$;
COMMENT ON FUNCTION kgwebhook.worker_findings() IS
  'the part of kg_status() about the workers';

/*
 * A lock on our tables that a worker's own would have to wait for: one that is held, by
 * a session or a prepared transaction; or one that is itself waited for, because all
 * that come after wait behind that.
 */
CREATE FUNCTION kgwebhook.lock_findings() RETURNS SETOF kgwebhook.finding
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    WITH lock AS MATERIALIZED (
        SELECT l.pid, l.virtualtransaction, bool_and(l.granted) AS granted, max(l.waitstart) AS waits_since,
               string_agg(DISTINCT 'kgwebhook.' || c.relname, ', ') AS tables,
               CASE WHEN bool_or(c.relname ~ '^(queue|delivery_log)') THEN 355 ELSE 240 END AS weight,
               CASE WHEN bool_or(c.relname ~ '^(queue|delivery_log)') THEN 'Nothing is delivered: ' ELSE '' END AS effect
          FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
         WHERE l.locktype = 'relation'
           AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
           AND c.relnamespace = 'kgwebhook'::regnamespace AND c.relkind IN ('r', 'p')
           AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
           AND l.pid IS DISTINCT FROM pg_backend_pid()
         GROUP BY l.pid, l.virtualtransaction)
    SELECT l.weight,
           l.effect || CASE WHEN l.granted THEN format('session %s holds a lock on %s since %s', l.pid, l.tables, kgwebhook.time_text(a.xact_start))
                            ELSE format('session %s waits for a lock on %s since %s, and others wait behind it',
                                        l.pid, l.tables, kgwebhook.time_text(l.waits_since)) END,
           format('It is of role %s, application "%s", and its transaction is %s.  Its last statement was: %s.  Events are queued and wait, or wait for it, too.',
                  a.usename, left(a.application_name, 60), a.state, rtrim(left(regexp_replace(a.query, '\s+', ' ', 'g'), 200), ' ;.')),
           CASE WHEN l.granted THEN format('SELECT pg_terminate_backend(%s);', l.pid)
                ELSE format('SELECT pg_cancel_backend(%s);', l.pid) END
      FROM lock l JOIN pg_stat_activity a ON a.pid = l.pid
     WHERE a.backend_type = 'client backend'
       AND CASE WHEN l.granted THEN a.xact_start ELSE l.waits_since END < clock_timestamp() - '3 seconds'::interval
    UNION ALL
    SELECT l.weight,
           l.effect || format('prepared transaction "%s" holds a lock on %s since %s', left(p.gid, 200), l.tables, kgwebhook.time_text(p.prepared)),
           format('It is of role %s.  Events are queued and wait, or wait for it, too.', p.owner),
           format('Ask the role that prepared it: COMMIT PREPARED %L; or ROLLBACK PREPARED %L;', p.gid, p.gid)
      FROM lock l
      JOIN pg_locks own ON own.locktype = 'transactionid' AND own.pid IS NULL AND own.virtualtransaction = l.virtualtransaction
      JOIN pg_prepared_xacts p ON p.transaction = own.transactionid
     WHERE l.pid IS NULL AND p.prepared < clock_timestamp() - '3 seconds'::interval
$$;
COMMENT ON FUNCTION kgwebhook.lock_findings() IS
  'the part of kg_status() about locks';

/* What operators have paused, and subscriptions that take nothing. */
CREATE FUNCTION kgwebhook.pause_findings() RETURNS SETOF kgwebhook.finding
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT CASE p.destination WHEN '*' THEN 365 ELSE 230 END,
           CASE p.destination WHEN '*' THEN format('Nothing is delivered: everything is paused since %s', kgwebhook.time_text(p.paused_at))
                ELSE format('%s is paused since %s, %s', p.destination, kgwebhook.time_text(p.paused_at),
                            kgwebhook.count_text((SELECT count(*) FROM kgwebhook.queue q WHERE q.destination = p.destination),
                                                 'delivery waits', 'deliveries wait')) END,
           'Someone called kg_pause().  Events are queued and wait.',
           CASE WHEN p.destination = '*' AND NOT EXISTS (SELECT FROM kgwebhook.paused o WHERE o.destination <> '*') THEN 'SELECT kg_resume();'
                ELSE format('SELECT kg_resume(%L);', p.destination) END
      FROM (SELECT * FROM kgwebhook.paused ORDER BY destination LIMIT 20) p
    UNION ALL
    SELECT CASE WHEN s.disabled_at < now() - '1 day'::interval THEN 120 ELSE 225 END,
           CASE WHEN s.disabled_at IS NOT NULL
                THEN format('subscription %s of organization %s (%s) is disabled since %s', s.subscription_id, left(s.org_id, 100), left(s.url, 200), kgwebhook.time_text(s.disabled_at))
                WHEN s.paused_at IS NOT NULL
                THEN format('subscription %s of organization %s (%s) is paused since %s', s.subscription_id, left(s.org_id, 100), left(s.url, 200), kgwebhook.time_text(s.paused_at))
                WHEN s.challenge IS NOT NULL
                THEN format('subscription %s of organization %s (%s) is unverified since %s', s.subscription_id, left(s.org_id, 100), left(s.url, 200), kgwebhook.time_text(s.challenged_at))
                ELSE format('subscription %s of organization %s (%s) has acknowledged nothing since %s', s.subscription_id, left(s.org_id, 100), left(s.url, 200), kgwebhook.time_text(s.failing_since)) END,
           CASE WHEN s.disabled_at IS NOT NULL
                THEN format('The reason: %s.  What it would get becomes a dead letter at once.', s.disabled_reason)
                WHEN s.paused_at IS NOT NULL
                THEN 'Someone called kg_pause_subscription().  Its events are queued and wait.'
                WHEN s.challenge IS NOT NULL
                THEN 'Its receiver has not answered the challenge.  Its events are queued and wait.'
                ELSE 'After the whole span of kgwebhook.retry_schedule it is disabled.' END,
           CASE WHEN coalesce(s.disabled_at, s.paused_at) IS NOT NULL
                THEN format('SELECT kg_resume_subscription(%s);', s.subscription_id)
                WHEN s.challenge IS NOT NULL
                THEN format('Ask organization %s to have the receiver return what a challenge asks for; SELECT kg_send_challenge(%s); sends a new one at once.', left(s.org_id, 100), s.subscription_id)
                ELSE format('Ask organization %s to correct the receiver; what waits is then sent by itself.', left(s.org_id, 100)) END
      FROM (SELECT * FROM kgwebhook.subscription a
             WHERE a.disabled_at IS NOT NULL OR a.paused_at IS NOT NULL
                OR a.challenge IS NOT NULL AND a.challenged_at < now() - '10 minutes'::interval
                OR a.failing_since < now() - '10 minutes'::interval
                   /* else it is a finding of those that wait */
                   AND NOT EXISTS (SELECT FROM kgwebhook.queue q
                                    WHERE q.subscription_id = a.subscription_id AND q.attempts > q.attempts_before)
             ORDER BY coalesce(a.disabled_at, a.paused_at, CASE WHEN a.challenge IS NOT NULL THEN a.challenged_at END, a.failing_since) DESC LIMIT 20) s
    UNION ALL
    SELECT 225, format('%s for consent of organization %s since %s, such as that of %s', kgwebhook.count_text(w.waiting, 'delivery to an own URL waits', 'deliveries to own URLs wait'),
                       left(w.org_id, 100), kgwebhook.time_text(w.since), left(w.url, 200)),
           'Its own URLs have to be covered by a subscription that has answered a challenge (kg_require_consent()).  Events are queued and wait.',
           format('SELECT kg_subscribe(%L, %L, ''{endpoint.*}'', verify => true);', w.org_id, left(split_part(w.url, '?', 1), 2000))
      FROM (SELECT c.org_id, count(*) AS waiting, min(q.enqueued_at) AS since, min(q.url) AS url
              FROM kgwebhook.consent c
             CROSS JOIN LATERAL (SELECT a.enqueued_at, a.url FROM kgwebhook.queue a
                                  WHERE a.org_id = c.org_id AND a.subscription_id IS NULL LIMIT 1000) q
             WHERE c.required AND kgwebhook.lacks_consent(c.org_id, q.url)
             GROUP BY c.org_id HAVING min(q.enqueued_at) < now() - '10 minutes'::interval
             ORDER BY 3 LIMIT 20) w
$$;
COMMENT ON FUNCTION kgwebhook.pause_findings() IS
  'the part of kg_status() about what is paused, unverified or disabled';

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
               min(b.delivery_id) OVER (PARTITION BY b.destination, b.org_id, b.kind, b.object_id, b.subscription_id) AS first
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
          FROM (SELECT w.*, w.first = w.delivery_id AND w.next_attempt_at < now() - '10 minutes'::interval AS is_late
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
        SELECT k.*, kgwebhook.undecryptable(k.org_id) AS undecryptable,
               EXISTS (SELECT FROM kgwebhook.secret s WHERE s.org_id = k.org_id AND s.subscription_id = 0) AS has_secret FROM keyless k),
    kept AS MATERIALIZED (
        SELECT count(*) AS encrypted, count(kgwebhook.fingerprint(s.org_id, false, s.subscription_id)) AS decrypted
          FROM (SELECT * FROM kgwebhook.secret WHERE encrypted ORDER BY created_at LIMIT 50) s),
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
      FROM lost l, kept k WHERE l.undecryptable AND k.decrypted = 0
    HAVING count(*) > 0
    UNION ALL
    SELECT CASE WHEN l.has_secret THEN 235 ELSE 233 END,
           format(CASE WHEN l.has_secret THEN 'the secret of organization %s cannot be decrypted' ELSE 'organization %s has no secret' END
                  || ', %s since %s%s', left(l.org_id, 100), l.about || kgwebhook.count_text(l.waiting, 'delivery waits', 'deliveries wait'),
                  kgwebhook.time_text(l.oldest), coalesce(', ' || kgwebhook.amount_waiting(l.destination, l.org_id, NULL), '')),
           CASE WHEN l.has_secret THEN 'Set no other secret: the receiver knows this one.  The server''s log says what is wrong with the key file.'
                ELSE 'What waits is signed and sent as soon as there is one.  Where the receiver knows one already, use kg_set_secret().' END,
           CASE WHEN l.has_secret
                THEN kgwebhook.key_remedy()
                ELSE format('SELECT kg_create_secret(%L);', l.org_id) END
      FROM lost l, kept k WHERE NOT (l.undecryptable AND k.decrypted = 0)
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

/* Receivers that acknowledge, and take so long that what waits for them piles up. */
CREATE FUNCTION kgwebhook.slow_findings() RETURNS SETOF kgwebhook.finding
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    WITH slow AS MATERIALIZED (
        SELECT * FROM (SELECT l.destination, l.org_id, split_part(l.url, '?', 1) AS url, count(*) AS requests,
                              percentile_cont(0.5) WITHIN GROUP (ORDER BY l.duration_ms) AS ms, min(l.started_at) AS since
                         FROM kgwebhook.delivery_log l
                        WHERE l.attempt_id BETWEEN (SELECT s.last_value - 5000 FROM kgwebhook.attempt_id_seq s)
                                               AND (SELECT s.last_value FROM kgwebhook.attempt_id_seq s)
                          AND l.started_at > now() - '10 minutes'::interval
                          AND l.outcome = 'acknowledged' AND NOT l.is_test
                        GROUP BY 1, 2, 3) a
         WHERE a.ms > extract(epoch FROM current_setting('kgwebhook.request_timeout')::interval) * 250),
    /* by endpoint, because others at the same host may be waiting for something else */
    endpoint AS (
        SELECT b.destination, b.org_id, split_part(b.url, '?', 1) AS url, round(sum(b.stands_for))::int8 AS waiting,
               CASE WHEN max(b.stands_for) > 1 THEN 'about ' ELSE '' END AS about
          FROM kgwebhook.backlog b WHERE EXISTS (SELECT FROM slow) GROUP BY 1, 2, 3)
    SELECT 112,
           format('%s (organization %s) acknowledges, but takes %s s a request, %s', left(s.url, 200), left(s.org_id, 100), round(s.ms::numeric / 1000, 1),
                  q.about || kgwebhook.count_text(q.waiting, 'delivery waits', 'deliveries wait')),
           format('%s since %s.  A receiver that is slow gets its share of the worker''s slots and no more, so that others are not held up.',
                  kgwebhook.count_text(s.requests, 'request', 'requests'), kgwebhook.time_text(s.since)),
           format('Ask organization %s to have its receiver answer first and work later.', left(s.org_id, 100))
      FROM slow s JOIN endpoint q ON q.destination = s.destination AND q.org_id = s.org_id AND q.url = s.url
     ORDER BY q.waiting DESC LIMIT 10
$$;
COMMENT ON FUNCTION kgwebhook.slow_findings() IS
  'the part of kg_status() about receivers that are slow';

/* What was given up in the last day, by reason. */
CREATE FUNCTION kgwebhook.dead_letter_findings() RETURNS SETOF kgwebhook.finding
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT 208,
           format('%s%s: %s', CASE WHEN d.all_letters = 20000 THEN 'at least ' ELSE '' END,
                  kgwebhook.count_text(d.letters, 'delivery was given up', 'deliveries were given up'), left(d.reason, 200)),
           CASE WHEN d.letters = 1 THEN format('It is %s %s of organization %s, to %s, given up at %s.', left(d.kind, 60), left(d.object_id, 100), left(d.org_id, 100), left(d.url, 200), kgwebhook.time_text(d.last))
                ELSE format('The last is %s %s of organization %s, to %s, given up at %s; the first was at %s.',
                            left(d.kind, 60), left(d.object_id, 100), left(d.org_id, 100), left(d.url, 200), kgwebhook.time_text(d.last), kgwebhook.time_text(d.first)) END
           || '  Nothing happens by itself.',
           CASE WHEN d.invalid OR d.letters = 1 THEN kgwebhook.dead_letter_remedy(d.delivery_id, d.reason)
                ELSE format('When their receivers take them: SELECT kg_recover(%L);', date_trunc('second', d.enqueued)) END
      FROM (SELECT regexp_replace(l.reason, '^gave up after [0-9]+ attempts(; the last one)?: ', '') AS reason, count(*) AS letters, sum(count(*)) OVER () AS all_letters,
                   max(l.died_at) AS last, min(l.died_at) AS first, min(l.enqueued_at) AS enqueued,
                   bool_and(l.reason LIKE 'invalid:%') AS invalid,
                   (array_agg(l.delivery_id ORDER BY l.died_at DESC))[1] AS delivery_id,
                   (array_agg(l.kind ORDER BY l.died_at DESC))[1] AS kind,
                   (array_agg(l.object_id ORDER BY l.died_at DESC))[1] AS object_id,
                   (array_agg(l.org_id ORDER BY l.died_at DESC))[1] AS org_id,
                   (array_agg(l.url ORDER BY l.died_at DESC))[1] AS url
              FROM (SELECT * FROM kgwebhook.dead_letter WHERE died_at > now() - '1 day'::interval
                     ORDER BY died_at DESC LIMIT 20000) l
             GROUP BY 1 ORDER BY 2 DESC LIMIT 5) d
$$;
COMMENT ON FUNCTION kgwebhook.dead_letter_findings() IS
  'the part of kg_status() about dead letters';

/*
 * All of it.  Also what the delivery page begins with, which knows this schema and
 * not the one that kg_status() is in.
 */
CREATE FUNCTION kgwebhook.findings(
    OUT severity pg_catalog.text,
    OUT finding pg_catalog.text,
    OUT detail pg_catalog.text,
    OUT remedy pg_catalog.text) RETURNS SETOF pg_catalog.record
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET lock_timeout = '300ms' SET jit = off
    AS $$
DECLARE
    part text;
    found kgwebhook.finding[] := '{}';
    these kgwebhook.finding[];
    locked bool := false;
    summary text;
BEGIN
    FOREACH part IN ARRAY ARRAY['worker', 'egress', 'lock', 'pause', 'receiver', 'slow', 'source', 'dead_letter'] LOOP
        BEGIN
            EXECUTE format('SELECT array_agg(f) FROM kgwebhook.%I() f', part || '_findings') INTO these;
            found := found || coalesce(these, '{}');
        EXCEPTION WHEN lock_not_available THEN
            locked := true;
        END;
    END LOOP;
    IF locked AND NOT EXISTS (SELECT FROM unnest(found) f WHERE f.weight IN (240, 355)) THEN
        found := found || ROW(239, 'a table of the schema kgwebhook is locked, so not all was looked at',
                              'Someone holds a lock, perhaps for a moment only.', 'SELECT * FROM kg_status(); again in some seconds')::kgwebhook.finding;
    END IF;
    IF found = '{}' THEN
        SELECT CASE s.queue_depth WHEN 0 THEN 'Nothing waits.'
                    ELSE format('%s, the oldest since %s.', kgwebhook.count_text(s.queue_depth, 'delivery waits', 'deliveries wait'),
                                kgwebhook.time_text(s.oldest_pending_since)) END
          INTO summary FROM kgwebhook.stats s;
        RETURN QUERY SELECT 'ok'::text, 'Deliveries flow'::text, summary, NULL::text;
        RETURN;
    END IF;
    RETURN QUERY
        SELECT CASE WHEN f.weight >= 300 THEN 'critical' WHEN f.weight >= 200 THEN 'warning' ELSE 'info' END,
               f.finding, f.detail, f.remedy
          FROM unnest(found) WITH ORDINALITY AS f (weight, finding, detail, remedy, n)
         ORDER BY f.weight DESC, f.n;
END
$$;
COMMENT ON FUNCTION kgwebhook.findings() IS
  'the rows of kg_status()';

CREATE FUNCTION @extschema@.kg_status(
    OUT severity pg_catalog.text,
    OUT finding pg_catalog.text,
    OUT detail pg_catalog.text,
    OUT remedy pg_catalog.text) RETURNS SETOF pg_catalog.record
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT f.severity, f.finding, f.detail, f.remedy FROM kgwebhook.findings() f
$$;
COMMENT ON FUNCTION @extschema@.kg_status() IS
  'what is wrong right now, worst first, each with its remedy; one row "ok" where nothing is';
