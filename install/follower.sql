/*
 * install/follower.sql
 *		What the process does that looks after sources.
 */

/*
 * Organizations that have moved away from here and of which nothing is left to send: the
 * move has been applied, or the route would not say so.  What is prepared (two_phase)
 * may have deliveries that nobody sees yet.
 */
CREATE FUNCTION kgwebhook.to_release(source pg_catalog.text) RETURNS SETOF pg_catalog.text
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT r.org_id
      FROM kgwebhook.route r JOIN kgwebhook.source s ON s.source = r.source
     WHERE r.source = to_release.source AND NOT r.released AND r.previous = s.node AND r.node <> s.node
       AND NOT EXISTS (SELECT FROM pg_prepared_xacts p JOIN pg_subscription b ON p.gid LIKE format('pg\_gid\_%s\_%%', b.oid)
                        WHERE b.subname = s.subscription AND p.database = current_database())
       AND NOT EXISTS (
            SELECT FROM (SELECT q.org_id, q.kind FROM kgwebhook.queue q
                         UNION ALL SELECT h.org_id, h.kind FROM kgwebhook.held h) q
             WHERE q.kind IN (SELECT w.event FROM kgwebhook.watch w WHERE w.source = r.source)
               AND CASE r.org_id WHEN '*' THEN NOT EXISTS (SELECT FROM kgwebhook.route o
                                                            WHERE o.source = r.source AND o.org_id = q.org_id)
                   ELSE q.org_id = r.org_id END)
$$;
COMMENT ON FUNCTION kgwebhook.to_release(pg_catalog.text) IS
  'organizations that have moved to another node and of which nothing is left to send here';

/* What a subscription stands still for: its last error, and the transaction that it was about. */
CREATE FUNCTION kgwebhook.apply_error(
    subscription pg_catalog.name,
    OUT told pg_catalog.text,
    OUT at pg_catalog.timestamptz,
    OUT xid pg_catalog.text,
    OUT lsn pg_catalog.text,
    OUT relation pg_catalog.text) RETURNS SETOF pg_catalog.record
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT concat_ws('  ', rtrim(e.message, '.') || '.', nullif(e.detail, '')), e.at,
           substring(e.context FROM 'in transaction ([0-9]+)'),
           substring(e.context FROM 'finished at ([0-9A-F]+/[0-9A-F]+)'),
           substring(e.context FROM 'replication target relation "([^"]+)"')
      FROM kgwebhook.apply_errors() e JOIN pg_subscription s ON s.oid = e.subid
     WHERE s.subname = subscription
$$;
COMMENT ON FUNCTION kgwebhook.apply_error(pg_catalog.name) IS
  'why the changes of a subscription cannot be applied';

/* Whether all tables of a subscription have been copied and have caught up. */
CREATE FUNCTION kgwebhook.is_copied(subscription pg_catalog.name) RETURNS pg_catalog.bool
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT coalesce(bool_and(r.srsubstate = 'r'), false)
      FROM pg_subscription_rel r JOIN pg_subscription s ON s.oid = r.srsubid
     WHERE s.subname = subscription AND s.subdbid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
$$;
COMMENT ON FUNCTION kgwebhook.is_copied(pg_catalog.name) IS
  'whether all tables of a subscription are ready';

/* One look at a source; its heartbeat goes with it. */
CREATE FUNCTION kgwebhook.look_at_source(s kgwebhook.source, seen pg_catalog.jsonb) RETURNS pg_catalog.jsonb
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    org text;
    look jsonb;
BEGIN
    PERFORM kgwebhook.at_source(s.source, 'SET statement_timeout = ''5s''');
    FOR org IN SELECT kgwebhook.to_release(s.source) LOOP
        PERFORM kgwebhook.at_source(s.source, format('SELECT kgsource.release(%L)', org));
    END LOOP;
    IF kgwebhook.is_copied(s.subscription) AND kgwebhook.is_applying(s.subscription)
       AND coalesce((seen ->> 'beat_sent_at')::timestamptz < clock_timestamp() - '9.5 seconds'::interval, true) THEN
        PERFORM kgwebhook.at_source(s.source, format('SELECT kgsource.beat(%L)', s.node));
        seen := jsonb_set(coalesce(seen, '{}'), '{beat_sent_at}', to_jsonb(clock_timestamp()));
    END IF;
    SELECT a::jsonb INTO look FROM kgwebhook.at_source(s.source, format($q$
        SELECT row_to_json(q) FROM (
            SELECT p.wal_status, p.safe_wal_size,
                   pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), p.restart_lsn)::bigint AS wal_kept,
                   pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), p.confirmed_flush_lsn)::bigint AS behind,
                   h.n AS beat
              FROM (SELECT 1) one
              LEFT JOIN pg_catalog.pg_replication_slots p ON p.slot_name = %L
              LEFT JOIN kgsource.heartbeat h ON h.node = %L) q $q$, s.slot, s.node)) a;
    RETURN coalesce(look, '{}') || jsonb_build_object('beat_sent_at', seen -> 'beat_sent_at');
END
$$;
COMMENT ON FUNCTION kgwebhook.look_at_source(kgwebhook.source, pg_catalog.jsonb) IS
  'looks at a source, and sends a heartbeat when it is time for one';

CREATE FUNCTION kgwebhook.note_look(source pg_catalog.text, look pg_catalog.jsonb, problem pg_catalog.text, problem_code pg_catalog.text) RETURNS pg_catalog.void
    LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
    AS $$
    INSERT INTO kgwebhook.source_look AS l (source, looked_at, problem, problem_code, problem_since, wal_status, safe_wal_size, wal_kept, behind, beat, beat_sent_at)
    VALUES (note_look.source, clock_timestamp(), note_look.problem, note_look.problem_code,
            CASE WHEN note_look.problem IS NOT NULL THEN clock_timestamp() END,
            look ->> 'wal_status', (look ->> 'safe_wal_size')::int8, (look ->> 'wal_kept')::int8, (look ->> 'behind')::int8,
            (look ->> 'beat')::int8, (look ->> 'beat_sent_at')::timestamptz)
    ON CONFLICT ON CONSTRAINT source_look_pkey DO UPDATE
       SET looked_at = excluded.looked_at, problem = excluded.problem, problem_code = excluded.problem_code,
           problem_since = CASE WHEN excluded.problem IS NOT NULL THEN coalesce(l.problem_since, excluded.problem_since) END,
           wal_status = CASE WHEN excluded.problem IS NULL THEN excluded.wal_status ELSE l.wal_status END,
           safe_wal_size = CASE WHEN excluded.problem IS NULL THEN excluded.safe_wal_size ELSE l.safe_wal_size END,
           wal_kept = CASE WHEN excluded.problem IS NULL THEN excluded.wal_kept ELSE l.wal_kept END,
           behind = CASE WHEN excluded.problem IS NULL THEN excluded.behind ELSE l.behind END,
           beat = CASE WHEN excluded.problem IS NULL THEN excluded.beat ELSE l.beat END,
           beat_sent_at = CASE WHEN excluded.problem IS NULL THEN excluded.beat_sent_at ELSE l.beat_sent_at END
$$;
COMMENT ON FUNCTION kgwebhook.note_look(pg_catalog.text, pg_catalog.jsonb, pg_catalog.text, pg_catalog.text) IS
  'writes down what was seen of a source';

/*
 * A turn: each source by itself, so that one that is away holds up no other's.  Returns
 * the milliseconds until the next turn, -1 when there is nothing to follow.  What is
 * seen is written down at the end, so that no lock is held while a source takes its time.
 */
CREATE FUNCTION kgwebhook.follow_turn() RETURNS pg_catalog.int4
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    s kgwebhook.source;
    seen jsonb;
    looks jsonb := '[]';
    pause int := 10000;
    began timestamptz := clock_timestamp();
    any_source bool := false;
BEGIN
    FOR s IN SELECT * FROM kgwebhook.source k ORDER BY k.source LOOP
        any_source := true;
        SELECT to_jsonb(l) INTO seen FROM kgwebhook.source_look l WHERE l.source = s.source;
        IF NOT s.joined OR seen ->> 'beat_sent_at' IS NULL OR NOT kgwebhook.is_applying(s.subscription) THEN
            pause := least(pause, 500);
        END IF;
        IF EXISTS (SELECT FROM kgwebhook.route r WHERE r.source = s.source AND NOT r.released AND r.previous = s.node AND r.node <> s.node) THEN
            pause := least(pause, 50);
        END IF;
        CONTINUE WHEN (seen ->> 'looked_at')::timestamptz > clock_timestamp() - make_interval(secs => CASE WHEN pause < 10000 THEN 0.4 ELSE 9 END)
             AND NOT EXISTS (SELECT kgwebhook.to_release(s.source));
        BEGIN
            looks := looks || jsonb_build_object('source', s.source, 'look', kgwebhook.look_at_source(s, seen));
        EXCEPTION WHEN OTHERS THEN
            looks := looks || jsonb_build_object('source', s.source, 'problem', concat_ws(': ', SQLERRM), 'code', SQLSTATE);
            pause := least(pause, 2000);
        END;
    END LOOP;
    IF NOT any_source THEN
        RETURN -1;
    END IF;
    PERFORM kgwebhook.note_look(e ->> 'source', e -> 'look', e ->> 'problem', e ->> 'code') FROM jsonb_array_elements(looks) e;
    FOR s IN SELECT * FROM kgwebhook.source k WHERE k.joined AND k.announce_since IS NOT NULL AND kgwebhook.is_copied(k.subscription) LOOP
        PERFORM kgwebhook.announce(s.source, s.announce_since, NULL, false);
        UPDATE kgwebhook.source k SET announce_since = NULL WHERE k.source = s.source;
    END LOOP;
    RETURN greatest(pause, least(5000, 10 * (extract(epoch FROM clock_timestamp() - began) * 1000)::int));
END
$$;
COMMENT ON FUNCTION kgwebhook.follow_turn() IS
  'a turn of the process that looks after sources; returns the milliseconds until the next';
