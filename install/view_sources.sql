/*
 * install/view_sources.sql
 *		How the sources are, and who serves whom.
 */

/*
 * The connection string is nobody's business here; pg_subscription shows it to superusers
 * only.
 */
CREATE FUNCTION kgwebhook.source_states(
    OUT source pg_catalog.text,
    OUT state pg_catalog.text,
    OUT why pg_catalog.text,
    OUT remedy pg_catalog.text) RETURNS SETOF pg_catalog.record
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT k.source, f.found[1], f.found[2], f.found[3]
      FROM kgwebhook.source k
      LEFT JOIN kgwebhook.source_look l ON l.source = k.source
      LEFT JOIN pg_subscription s ON s.subname = k.subscription
            AND s.subdbid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
      LEFT JOIN LATERAL (SELECT e.told FROM kgwebhook.apply_error(k.subscription) e) e ON true
     CROSS JOIN LATERAL (SELECT kgwebhook.is_applying(k.subscription) AS applying, kgwebhook.is_copied(k.subscription) AS copied,
                                l.problem_code LIKE '08%' AS unreachable,
                                format('See that the source runs and lets this server in; where it has moved: ALTER SUBSCRIPTION %I CONNECTION ''host=... dbname=... user=...''', k.subscription) AS reach,
                                format('ALTER SYSTEM SET max_worker_processes = %s; then restart the server', current_setting('max_worker_processes')::int + 8) AS more) a
     CROSS JOIN LATERAL (SELECT CASE
        WHEN pg_is_in_recovery() THEN ARRAY['standby', 'this server is a standby: its primary applies what the source sends', NULL]
        WHEN s.oid IS NULL THEN ARRAY['broken', 'its subscription is gone', format('SELECT kg_unfollow(%L); then empty the tables here, and call kg_follow() again', k.source)]
        WHEN NOT s.subenabled THEN ARRAY['disabled', 'its subscription is disabled; it goes on where it stood', format('ALTER SUBSCRIPTION %I ENABLE;', k.subscription)]
        WHEN to_jsonb(s) ->> 'substream' = 'p' THEN ARRAY['broken', 'streaming = parallel lets two transactions disagree on who serves an organization', format('ALTER SUBSCRIPTION %I SET (streaming = on);', k.subscription)]
        WHEN NOT a.applying AND l.wal_status = 'lost' THEN ARRAY['slot lost', 'the source keeps no more WAL for this node than max_slot_wal_keep_size, and what it has not sent is gone', format('SELECT * FROM kg_resync(%L);', k.source)]
        WHEN NOT a.applying AND l.looked_at IS NOT NULL AND l.problem IS NULL AND l.wal_status IS NULL THEN ARRAY['slot lost', 'the source has no replication slot for this node', format('SELECT * FROM kg_resync(%L);', k.source)]
        WHEN a.unreachable AND (NOT a.applying OR l.problem_since < clock_timestamp() - '30 seconds'::interval) THEN ARRAY['unreachable', l.problem, a.reach]
        WHEN NOT a.applying AND NOT a.copied AND k.followed_at > now() - '1 minute'::interval THEN ARRAY['copying', 'the first copy begins', NULL]
        WHEN NOT a.applying AND e.told IS NULL AND l.problem IS NULL THEN ARRAY['broken', 'no process applies its changes; the server''s log says why', 'If the log says "out of ... worker slots": ' || a.more]
        WHEN NOT a.applying AND e.told ~ 'replication slot .* is active'
             THEN ARRAY['broken', 'another server uses its replication slot: ' || e.told,
                        'If a copy of this server, or its promoted standby, follows in its place, stop this one.  Otherwise wait: the source ends the connection of before after its wal_sender_timeout.']
        WHEN NOT a.applying THEN ARRAY['broken', coalesce(e.told, l.problem),
             CASE WHEN e.told ~ 'missing replicated column' THEN 'Add the columns here as they are at the source, by ALTER TABLE; it goes on by itself.'
                  ELSE format('Correct what the reason names; it goes on by itself.  Or leave the transaction out, and take over what it did: SELECT * FROM kg_skip(%L);', k.source) END]
        WHEN NOT a.copied AND k.followed_at < now() - '1 minute'::interval
             AND NOT EXISTS (SELECT FROM pg_stat_subscription c WHERE c.subid = s.oid AND c.relid IS NOT NULL AND c.pid IS NOT NULL)
             THEN ARRAY['copying', 'the first copy is not complete, and no process makes it', coalesce('Correct what the reason names: ' || e.told, a.more)]
        WHEN NOT a.copied THEN ARRAY['copying', 'the first copy is not complete', NULL]
        WHEN NOT k.joined THEN ARRAY['copying', coalesce(l.problem, 'the copy is complete, and the source has to hear of it'), NULL]
        /* a heartbeat is sent every ten seconds */
        WHEN l.beat > k.beat AND k.beat_applied_at < clock_timestamp() - '30 seconds'::interval
             THEN ARRAY['behind', format('what was committed after %s is not applied yet', kgwebhook.time_text(k.beat_at)),
                        coalesce((SELECT format('SELECT pg_terminate_backend(%s); for the session that holds a lock on the table', min(b.pid))
                                    FROM pg_stat_subscription w, unnest(pg_blocking_pids(w.pid)) b (pid) WHERE w.subid = s.oid AND w.pid IS NOT NULL HAVING min(b.pid) IS NOT NULL),
                                 'Wait, if it is a large transaction; one process applies all changes.  SELECT * FROM pg_stat_activity WHERE backend_type LIKE ''logical replication%'';')]
        ELSE ARRAY['streaming', l.problem, NULL] END) f (found)
$$;
COMMENT ON FUNCTION kgwebhook.source_states() IS
  'the state of each source, why, and what to do';

/* The statistics have it from PostgreSQL 18 on. */
CREATE FUNCTION kgwebhook.updates_missing(subscription pg_catalog.name) RETURNS pg_catalog.int8
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT (to_jsonb(p) ->> 'confl_update_missing')::int8 FROM pg_stat_subscription_stats p
      JOIN pg_subscription s ON s.oid = p.subid
     WHERE s.subname = subscription AND s.subdbid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
$$;
COMMENT ON FUNCTION kgwebhook.updates_missing(pg_catalog.name) IS
  'how many changes of a subscription found no row to change';

CREATE VIEW kgwebhook.sources AS
    SELECT k.source, k.node, t.state, t.why,
           CASE WHEN t.state OPERATOR(pg_catalog.=) 'streaming' THEN k.beat_applied_at OPERATOR(pg_catalog.-) k.beat_at
                ELSE pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) k.beat_at END AS lag,
           l.behind AS lag_bytes, l.wal_kept, l.wal_status, l.safe_wal_size,
           (SELECT pg_catalog.count(*) FROM pg_catalog.pg_subscription_rel r JOIN pg_catalog.pg_subscription s ON s.oid OPERATOR(pg_catalog.=) r.srsubid
             WHERE s.subname OPERATOR(pg_catalog.=) k.subscription AND r.srsubstate OPERATOR(pg_catalog.=) 'r') AS tables_ready,
           (SELECT pg_catalog.count(*) FROM pg_catalog.pg_subscription_rel r JOIN pg_catalog.pg_subscription s ON s.oid OPERATOR(pg_catalog.=) r.srsubid
             WHERE s.subname OPERATOR(pg_catalog.=) k.subscription) AS tables,
           (SELECT pg_catalog.count(*) FROM kgwebhook.route r WHERE r.source OPERATOR(pg_catalog.=) k.source
               AND r.node OPERATOR(pg_catalog.=) k.node AND r.org_id OPERATOR(pg_catalog.<>) '') AS routes,
           k.gaps, k.skipped, k.subscription, k.slot, k.followed_at, l.looked_at,
           k.beat_at AS heartbeat_at, k.compared_at, k.differing, kgwebhook.updates_missing(k.subscription) AS updates_missing, t.remedy
      FROM kgwebhook.source k
      JOIN kgwebhook.source_states() t ON t.source OPERATOR(pg_catalog.=) k.source
      LEFT JOIN kgwebhook.source_look l ON l.source OPERATOR(pg_catalog.=) k.source;
COMMENT ON VIEW kgwebhook.sources IS 'sources that this database follows, and how they are';
COMMENT ON COLUMN kgwebhook.sources.source IS 'what it is called here';
COMMENT ON COLUMN kgwebhook.sources.node IS 'what this server is called at the source';
COMMENT ON COLUMN kgwebhook.sources.state IS 'streaming, copying, behind, broken, slot lost, disabled, unreachable or, on a standby, standby';
COMMENT ON COLUMN kgwebhook.sources.why IS 'why, in words';
COMMENT ON COLUMN kgwebhook.sources.lag IS 'from a heartbeat at the source to its application here; while nothing is applied, how long ago the last one was written';
COMMENT ON COLUMN kgwebhook.sources.lag_bytes IS 'bytes of WAL that this node has not confirmed';
COMMENT ON COLUMN kgwebhook.sources.wal_kept IS 'bytes of WAL that the source keeps for this node';
COMMENT ON COLUMN kgwebhook.sources.wal_status IS 'of the replication slot: reserved, extended, unreserved or lost';
COMMENT ON COLUMN kgwebhook.sources.safe_wal_size IS 'bytes of WAL that may be written there before the slot is lost; NULL: no limit';
COMMENT ON COLUMN kgwebhook.sources.tables_ready IS 'tables whose first copy is complete';
COMMENT ON COLUMN kgwebhook.sources.tables IS 'tables of the publication';
COMMENT ON COLUMN kgwebhook.sources.routes IS 'routes that name this node';
COMMENT ON COLUMN kgwebhook.sources.gaps IS 'how often heartbeats were missing: changes between them are missing, too, and kg_compare() shows which';
COMMENT ON COLUMN kgwebhook.sources.skipped IS 'transactions that kg_skip() has left out';
COMMENT ON COLUMN kgwebhook.sources.subscription IS 'the subscription that brings the changes';
COMMENT ON COLUMN kgwebhook.sources.slot IS 'the replication slot at the source';
COMMENT ON COLUMN kgwebhook.sources.followed_at IS 'when kg_follow() was called';
COMMENT ON COLUMN kgwebhook.sources.looked_at IS 'when the source was last looked at';
COMMENT ON COLUMN kgwebhook.sources.heartbeat_at IS 'when the heartbeat that was applied last was written, by the clock of the source';
COMMENT ON COLUMN kgwebhook.sources.compared_at IS 'when kg_compare() was called last';
COMMENT ON COLUMN kgwebhook.sources.differing IS 'how many objects it found to differ';
COMMENT ON COLUMN kgwebhook.sources.updates_missing IS 'changes of rows that this node lacks, from PostgreSQL 18 on; NULL before';
COMMENT ON COLUMN kgwebhook.sources.remedy IS 'what to do about its state';

CREATE VIEW kgwebhook.routes AS
    SELECT r.source, r.org_id, r.node, r.since,
           NOT coalesce(r.released, true) AND r.node OPERATOR(pg_catalog.=) k.node AS held,
           CASE WHEN NOT coalesce(r.released, true) THEN r.previous END AS waits_for,
           (SELECT pg_catalog.count(*) FROM kgwebhook.held h
             WHERE h.source OPERATOR(pg_catalog.=) r.source
               AND (h.org_id OPERATOR(pg_catalog.=) r.org_id OR r.org_id OPERATOR(pg_catalog.=) '*' AND NOT EXISTS
                    (SELECT FROM kgwebhook.route o WHERE o.source OPERATOR(pg_catalog.=) h.source AND o.org_id OPERATOR(pg_catalog.=) h.org_id))) AS held_deliveries
      FROM kgwebhook.route r JOIN kgwebhook.source k ON k.source OPERATOR(pg_catalog.=) r.source;
COMMENT ON VIEW kgwebhook.routes IS 'which node serves which organization of a source';
COMMENT ON COLUMN kgwebhook.routes.source IS 'the source';
COMMENT ON COLUMN kgwebhook.routes.org_id IS 'the organization; * all that have no row of their own; empty: what no route names';
COMMENT ON COLUMN kgwebhook.routes.node IS 'the node that serves it';
COMMENT ON COLUMN kgwebhook.routes.since IS 'since when, as applied here';
COMMENT ON COLUMN kgwebhook.routes.held IS 'whether it is this node, which holds what it has of it until the one before has released it';
COMMENT ON COLUMN kgwebhook.routes.waits_for IS 'the node that has not released it yet';
COMMENT ON COLUMN kgwebhook.routes.held_deliveries IS 'deliveries that are held here';



/* The part of kg_status() about sources: what does not arrive, and what waits for another node. */
CREATE FUNCTION kgwebhook.source_findings() RETURNS SETOF kgwebhook.finding
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT CASE WHEN t.state IN ('broken', 'slot lost', 'disabled', 'unreachable') THEN 330 WHEN t.state = 'behind' OR t.remedy IS NOT NULL THEN 236 ELSE 120 END,
           format('%s source "%s" %s', CASE WHEN t.state IN ('behind', 'copying') THEN 'the' ELSE 'Nothing arrives: the' END, s.source,
                  CASE t.state WHEN 'slot lost' THEN 'has lost the slot' WHEN 'copying' THEN 'is being copied' ELSE 'is ' || t.state END),
           concat_ws('  ', upper(left(t.why, 1)) || rtrim(substr(t.why, 2), '.') || '.', format('What was committed there until %s has arrived.', kgwebhook.time_text(s.beat_at))),
           t.remedy
      FROM kgwebhook.source_states() t JOIN kgwebhook.source s ON s.source = t.source
     WHERE t.state NOT IN ('streaming', 'standby')
    UNION ALL
    SELECT 330, format('Nothing arrives: subscription "%s" brings no changes', b.subscription), upper(left(b.why, 1)) || substr(b.why, 2) || '.',
           CASE b.why WHEN 'it is disabled' THEN format('ALTER SUBSCRIPTION %I ENABLE;', b.subscription)
                ELSE 'Correct what the server''s log says about it.' END
      FROM kgwebhook.broken_subscriptions() b
     WHERE NOT pg_is_in_recovery()
       AND NOT EXISTS (SELECT FROM kgwebhook.source s WHERE s.subscription = b.subscription)
    UNION ALL
    SELECT 234, format('source "%s" keeps little more WAL for this node', l.source),
           format('%s may still be written there before the slot is lost.', pg_size_pretty(l.safe_wal_size)),
           'Increase max_slot_wal_keep_size at the source, or find out what holds this node up: SELECT * FROM kgwebhook.sources;'
      FROM kgwebhook.source_look l
     WHERE l.wal_status = 'unreserved' OR l.safe_wal_size < l.wal_kept / 3
    UNION ALL
    SELECT 233, format('changes of source "%s" are missing', s.source),
           concat_ws('  ', CASE WHEN s.gaps > 0 THEN format('Heartbeats were missing %s: the slot was moved or made again, a copy of this node has used it, or this node has lost what it had confirmed.',
                                                            CASE s.gaps WHEN 1 THEN 'once' ELSE s.gaps || ' times' END) END,
                     CASE WHEN m.missing > 0 THEN kgwebhook.count_text(m.missing, 'change', 'changes') || ' found no row here.' END,
                     CASE WHEN s.differing > 0 THEN format('kg_compare() found %s at %s.', kgwebhook.count_text(s.differing, 'object that differs', 'objects that differ'),
                                                           kgwebhook.time_text(s.compared_at)) END),
           format('SELECT * FROM kg_compare(%1$L); shows which; SELECT * FROM kg_resync(%1$L); takes them over.', s.source)
      FROM kgwebhook.source s, LATERAL (SELECT kgwebhook.updates_missing(s.subscription) AS missing) m
     WHERE s.gaps > 0 OR m.missing > 0 OR s.differing > 0
    UNION ALL
    SELECT 231, format('nobody looks after source "%s"', l.source),
           format('Its heartbeat and its slot were last looked at %s; its changes arrive nevertheless.', kgwebhook.time_text(l.looked_at)),
           kgwebhook.restart_remedy()
      FROM kgwebhook.source_look l JOIN kgwebhook.source s ON s.source = l.source, kgwebhook.worker_stats() w
     WHERE l.looked_at < clock_timestamp() - '1 minute'::interval AND w.worker_state IN ('idle', 'busy')
    UNION ALL
    SELECT 232, format('organization %s waits for node "%s"', CASE r.org_id WHEN '*' THEN '* (all without a route)' ELSE r.org_id END, r.previous),
           format('Since %s, what this node has of it is held until that one has sent its own.', kgwebhook.time_text(r.since)),
           format('If that node is gone for good: SELECT kg_release(%L, %L);', r.org_id, r.source)
      FROM kgwebhook.route r JOIN kgwebhook.source s ON s.source = r.source AND s.node = r.node
     WHERE NOT r.released AND r.since < clock_timestamp() - '5 minutes'::interval
$$;
COMMENT ON FUNCTION kgwebhook.source_findings() IS
  'the part of kg_status() about sources';
