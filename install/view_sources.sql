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
    OUT why pg_catalog.text) RETURNS SETOF pg_catalog.record
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT k.source, f.found[1], f.found[2]
      FROM kgwebhook.source k
      LEFT JOIN kgwebhook.source_look l ON l.source = k.source
      LEFT JOIN pg_subscription s ON s.subname = k.subscription
            AND s.subdbid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
     CROSS JOIN LATERAL (SELECT kgwebhook.is_applying(k.subscription) AS applying) a
     CROSS JOIN LATERAL (SELECT CASE
        WHEN s.oid IS NULL THEN ARRAY['broken', 'its subscription is gone; kg_unfollow() and kg_follow() again']
        WHEN NOT s.subenabled THEN ARRAY['disabled', format('ALTER SUBSCRIPTION %I ENABLE goes on where it stood', k.subscription)]
        WHEN to_jsonb(s) ->> 'substream' = 'p' THEN ARRAY['broken', format('streaming = parallel lets two transactions disagree on who serves an organization; ALTER SUBSCRIPTION %I SET (streaming = on)', k.subscription)]
        WHEN NOT a.applying AND l.wal_status = 'lost' THEN ARRAY['slot lost', 'the source keeps no more WAL for this node than max_slot_wal_keep_size; kg_resync() goes on without what is gone']
        WHEN NOT a.applying AND l.looked_at IS NOT NULL AND l.problem IS NULL AND l.wal_status IS NULL THEN ARRAY['slot lost', 'the source has no replication slot for this node; kg_resync() makes another']
        WHEN NOT a.applying AND l.problem_code LIKE '08%' THEN ARRAY['unreachable', l.problem]
        WHEN NOT a.applying AND NOT kgwebhook.is_copied(k.subscription) AND k.followed_at > now() - '1 minute'::interval THEN ARRAY['copying', 'the first copy begins']
        WHEN NOT a.applying THEN ARRAY['broken', coalesce((SELECT e.told FROM kgwebhook.apply_error(k.subscription) e), l.problem, 'nothing is applied; the server''s log says why')]
        WHEN NOT kgwebhook.is_copied(k.subscription) THEN ARRAY['copying', 'the first copy is not complete']
        WHEN NOT k.joined THEN ARRAY['copying', coalesce(l.problem, 'the copy is complete, and the source has to hear of it')]
        WHEN l.beat > k.beat AND l.beat_sent_at < clock_timestamp() - '30 seconds'::interval THEN ARRAY['behind', format('what was committed after %s is not applied yet', kgwebhook.time_text(k.beat_at))]
        ELSE ARRAY['streaming', l.problem] END) f (found)
$$;
COMMENT ON FUNCTION kgwebhook.source_states() IS
  'the state of each source, and why';

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
           k.gaps, k.skipped, k.subscription, k.slot, k.followed_at, l.looked_at
      FROM kgwebhook.source k
      JOIN kgwebhook.source_states() t ON t.source OPERATOR(pg_catalog.=) k.source
      LEFT JOIN kgwebhook.source_look l ON l.source OPERATOR(pg_catalog.=) k.source;
COMMENT ON VIEW kgwebhook.sources IS 'sources that this database follows, and how they are';
COMMENT ON COLUMN kgwebhook.sources.source IS 'what it is called here';
COMMENT ON COLUMN kgwebhook.sources.node IS 'what this server is called at the source';
COMMENT ON COLUMN kgwebhook.sources.state IS 'streaming, copying, behind, broken, slot lost, disabled or unreachable';
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
    SELECT CASE WHEN t.state IN ('broken', 'slot lost', 'disabled', 'unreachable') THEN 330 WHEN t.state = 'behind' THEN 236 ELSE 120 END,
           format('%s source "%s" %s', CASE WHEN t.state IN ('behind', 'copying') THEN 'the' ELSE 'Nothing arrives: the' END, s.source,
                  CASE t.state WHEN 'slot lost' THEN 'has lost the slot' ELSE 'is ' || t.state END),
           concat_ws('  ', rtrim(t.why, '.') || '.', format('What was committed there until %s has arrived.', kgwebhook.time_text(s.beat_at))),
           CASE t.state WHEN 'slot lost' THEN format('SELECT * FROM kg_resync(%L);', s.source)
                WHEN 'disabled' THEN format('ALTER SUBSCRIPTION %I ENABLE;', s.subscription)
                WHEN 'broken' THEN format('Correct what the reason names, or: SELECT * FROM kg_skip(%L);', s.source) END
      FROM kgwebhook.source_states() t JOIN kgwebhook.source s ON s.source = t.source
     /* a standby applies nothing: its primary does */
     WHERE t.state <> 'streaming' AND NOT pg_is_in_recovery()
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
           format('Heartbeats were missing %s.', CASE s.gaps WHEN 1 THEN 'once' ELSE s.gaps || ' times' END),
           format('SELECT * FROM kg_compare(%1$L); then SELECT * FROM kg_resync(%1$L);', s.source)
      FROM kgwebhook.source s WHERE s.gaps > 0
    UNION ALL
    SELECT 232, format('organization %s waits for node "%s"', CASE r.org_id WHEN '*' THEN '* (all without a route)' ELSE r.org_id END, r.previous),
           format('Since %s, what this node has of it is held until that one has sent its own.', kgwebhook.time_text(r.since)),
           format('If that node is gone for good: SELECT kg_release(%L, %L);', r.org_id, r.source)
      FROM kgwebhook.route r JOIN kgwebhook.source s ON s.source = r.source AND s.node = r.node
     WHERE NOT r.released AND r.since < clock_timestamp() - '5 minutes'::interval
$$;
COMMENT ON FUNCTION kgwebhook.source_findings() IS
  'the part of kg_status() about sources';
