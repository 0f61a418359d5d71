/*
 * install/status_server.sql
 *		What is wrong with the server, its workers and pauses, and the words for it.
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
        (SELECT * FROM kgwebhook.queue r WHERE r.destination BETWEEN amount_waiting.destination AND amount_waiting.destination AND amount_waiting.org_id IS NULL
          ORDER BY r.destination, r.delivery_id LIMIT most_read)
        UNION ALL
        /* others may have much at the same host, and be before it; the destination's collation is not the index's */
        (SELECT * FROM kgwebhook.queue r
          WHERE r.org_id BETWEEN (amount_waiting.org_id COLLATE "default") AND (amount_waiting.org_id COLLATE "default")
          ORDER BY r.org_id, r.xid, r.delivery_id LIMIT most_read)),
    these AS (
        SELECT q.delivery_id, q.org_id, q.kind, q.object_id,
               CASE WHEN q.payload ->> 'fiat_amount' ~ '^-?[0-9]{1,30}([.][0-9]{1,30})?$'
                    THEN (q.payload ->> 'fiat_amount')::numeric END AS amount,
               left(q.payload ->> 'fiat_currency', 16) AS currency
          FROM (SELECT * FROM first r
                 WHERE r.destination = amount_waiting.destination
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

/* The state of the workers, and what keeps them from their work. */
CREATE FUNCTION kgwebhook.worker_findings() RETURNS SETOF kgwebhook.finding
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    w record;
    waits CONSTANT text := 'Events are queued and wait; payments go on.';
    fails bool;
    restarts bool;              -- after an error or two, it is back within seconds
BEGIN
    SELECT * INTO w FROM kgwebhook.worker_stats();
    fails := w.errors_in_a_row >= 3 AND w.last_error_at > clock_timestamp() - '2 minutes'::interval;
    restarts := w.errors_in_a_row > 0 AND w.last_error_at > clock_timestamp() - '10 seconds'::interval;
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
    ELSIF w.worker_state = 'not running' AND NOT coalesce(fails OR restarts, false) THEN
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
