/*
 * install/explain_source.sql
 *		What of a source's objects is not in queue and log: for kg_explain() and kg_reconcile().
 */

/* The event of a followed row's present status, as it has it on every node; wanted: someone is to be told. */
CREATE FUNCTION kgwebhook.present_event(
    relation pg_catalog.oid,
    place pg_catalog.tid,
    OUT org_id pg_catalog.text,
    OUT object_id pg_catalog.text,
    OUT event pg_catalog.text,
    OUT webhook_id pg_catalog.text,
    OUT url pg_catalog.text,
    OUT wanted pg_catalog.bool) RETURNS pg_catalog.record
    LANGUAGE c STRICT VOLATILE
    AS 'MODULE_PATHNAME', 'kg_present_event';
COMMENT ON FUNCTION kgwebhook.present_event(pg_catalog.oid, pg_catalog.tid) IS
  'the event of the present status of a followed row';

/* The route that an organization goes by: its own, that of all without one, or the first node's. */
CREATE FUNCTION kgwebhook.route_of(source pg_catalog.text, org_id pg_catalog.text) RETURNS kgwebhook.route
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT r FROM kgwebhook.route r WHERE r.source = route_of.source AND r.org_id IN (route_of.org_id, '*', '')
     ORDER BY r.org_id <> route_of.org_id, r.org_id <> '*' LIMIT 1
$$;
COMMENT ON FUNCTION kgwebhook.route_of(pg_catalog.text, pg_catalog.text) IS
  'the route that an organization goes by';

/*
 * Rows of followed tables whose present status is known neither to the queue nor to the
 * log, though this node serves them and someone is to be told.  What was there before the
 * node followed, or before it had the organization, was for others to send.
 */
CREATE FUNCTION kgwebhook.unqueued(
    age pg_catalog.interval,
    OUT org_id pg_catalog.text,
    OUT event pg_catalog.text,
    OUT kind pg_catalog.text,
    OUT object_id pg_catalog.text,
    OUT url pg_catalog.text,
    OUT webhook_id pg_catalog.text,
    OUT at pg_catalog.timestamptz,
    OUT source pg_catalog.text) RETURNS SETOF pg_catalog.record
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_hashjoin = on
    AS $$
DECLARE
    w kgwebhook.watch;
    kept interval := least(age, current_setting('kgwebhook.log_retention')::interval);
BEGIN
    FOR w IN SELECT k.* FROM kgwebhook.watch k
               JOIN pg_attribute a ON a.attrelid = k.relation AND a.attname = k.version_column AND a.atttypid IN ('timestamptz'::regtype, 'timestamp'::regtype)
              WHERE k.source IS NOT NULL ORDER BY k.relation::text LOOP
        RETURN QUERY EXECUTE format($q$
            SELECT e.org_id, e.event, $2, e.object_id, e.url, e.webhook_id, r.version, $3
              FROM (SELECT t.tableoid AS relid, t.ctid AS place, t.%1$I::timestamptz AS version FROM %2$s t WHERE t.%1$I >= $1) r,
                   LATERAL kgwebhook.present_event(r.relid, r.place) e
             WHERE e.wanted AND kgwebhook.route_state($3, $4, e.org_id) = 'mine' AND r.version > (kgwebhook.route_of($3, e.org_id)).since
               AND NOT EXISTS (SELECT FROM kgwebhook.queue q WHERE q.webhook_id = e.webhook_id AND q.object_id = e.object_id)
               AND NOT EXISTS (SELECT FROM kgwebhook.dead_letter d WHERE d.webhook_id = e.webhook_id AND d.object_id = e.object_id)
               AND NOT EXISTS (SELECT FROM kgwebhook.delivery_log l WHERE l.webhook_id = e.webhook_id AND l.object_id = e.object_id)
             ORDER BY r.version $q$, w.version_column, w.relation)
            USING greatest(now() - kept, (SELECT s.followed_at FROM kgwebhook.source s WHERE s.source = w.source)), w.event, w.source, w.node;
    END LOOP;
END
$$;
COMMENT ON FUNCTION kgwebhook.unqueued(pg_catalog.interval) IS
  'followed objects of this node whose present status has no delivery';

/* When a delivery was committed at its source, if this server keeps that (track_commit_timestamp). */
CREATE FUNCTION kgwebhook.explain_commit(kind pg_catalog.text, xid pg_catalog.xid8, applied_at pg_catalog.timestamptz) RETURNS pg_catalog.text
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    committed timestamptz;
BEGIN
    IF current_setting('track_commit_timestamp') = 'off'
       OR NOT EXISTS (SELECT FROM kgwebhook.watch w WHERE w.event = kind AND w.source IS NOT NULL) THEN
        RETURN NULL;
    END IF;
    /* of what was not applied but made here, as by kg_resync(), it is this server's own */
    SELECT o.timestamp INTO committed FROM pg_xact_commit_timestamp_origin(xid::xid) o WHERE o.roident <> 0;
    /* what was prepared was applied before; and clocks differ */
    IF committed IS NULL OR applied_at < committed THEN
        RETURN NULL;
    END IF;
    RETURN format('It was committed at the source at %s, and applied here %s ms later.', to_char(committed, 'YYYY-MM-DD HH24:MI:SS.MS'),
                  round((extract(epoch FROM applied_at - committed) * 1000)::numeric));
END
$$;
COMMENT ON FUNCTION kgwebhook.explain_commit(pg_catalog.text, pg_catalog.xid8, pg_catalog.timestamptz) IS
  'the part of kg_explain() about when a delivery was committed at its source';

/* Who serves an object of a source, what is held of it, and why it may not have arrived. */
CREATE FUNCTION kgwebhook.explain_source(object_id pg_catalog.text, org_id pg_catalog.text, kind pg_catalog.text) RETURNS SETOF pg_catalog.text
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    w kgwebhook.watch;
    s record;
    e record;
    r kgwebhook.route;
    waiting int8;
BEGIN
    FOR w IN SELECT * FROM kgwebhook.watch k WHERE k.source IS NOT NULL AND (explain_source.kind IS NULL OR k.event = explain_source.kind) ORDER BY k.event LOOP
        FOR e IN SELECT p.org_id, max(p.event) AS event FROM kgwebhook.preview_events(w.relation, explain_source.object_id, explain_source.org_id, 0, NULL) p GROUP BY 1 LOOP
            r := kgwebhook.route_of(w.source, e.org_id);
            SELECT count(*) INTO waiting FROM kgwebhook.held h
             WHERE h.source = w.source AND h.object_id = explain_source.object_id AND h.org_id = e.org_id AND h.kind = w.event;
            RETURN NEXT CASE WHEN w.webhook_id_column IS NOT NULL THEN format('It has arrived from source "%s", by an outbox.', w.source)
                             ELSE format('The last that has arrived of it from source "%s" is %s.', w.source, coalesce(e.event, 'a row without a status')) END || E'\n'
                || CASE kgwebhook.route_state(w.source, w.node, e.org_id)
                   WHEN 'mine' THEN format('Organization %s is served by this node, "%s", since %s.', e.org_id, w.node, date_trunc('second', r.since))
                   WHEN 'held' THEN format(E'Organization %s is this node''s since %s, and node "%s" has not sent all that it has of it: %s.\nWhat to do: if that node is gone for good, SELECT kg_release(%L, %L);',
                                           e.org_id, date_trunc('second', r.since), r.previous, kgwebhook.count_text(waiting, 'delivery of this object is held', 'deliveries of this object are held'),
                                           r.org_id, w.source)
                   ELSE coalesce(format('Organization %s is served by node "%s" since %s: that node has its deliveries.', e.org_id, r.node, date_trunc('second', r.since)),
                                 'No node serves it.') END;
        END LOOP;
    END LOOP;
    FOR s IN SELECT t.*, k.beat_at FROM kgwebhook.source_states() t JOIN kgwebhook.source k ON k.source = t.source
              WHERE t.state NOT IN ('streaming', 'standby')
                AND EXISTS (SELECT FROM kgwebhook.watch v WHERE v.source = t.source AND (explain_source.kind IS NULL OR v.event = explain_source.kind)) LOOP
        RETURN NEXT format('Source "%s" %s%s: %s.', s.source,
                           CASE s.state WHEN 'slot lost' THEN 'has lost the slot' WHEN 'copying' THEN 'is being copied' ELSE 'is ' || s.state END,
                           coalesce(format(', and has brought nothing since %s', date_trunc('second', s.beat_at)), ''), rtrim(s.why, '.'))
            || coalesce(E'\nWhat to do: ' || s.remedy, '');
    END LOOP;
END
$$;
COMMENT ON FUNCTION kgwebhook.explain_source(pg_catalog.text, pg_catalog.text, pg_catalog.text) IS
  'the part of kg_explain() about an object of a source';
