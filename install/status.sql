/*
 * install/status.sql
 *		What is wrong, worst first: kg_status().
 */

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
    /* by indexes, also of what has come so lately that there are no statistics of it */
    SET enable_seqscan = off SET enable_bitmapscan = off
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
