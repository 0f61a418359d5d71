/*
 * install/source_tables.sql
 *		Sources that this database follows, their routes, and what waits for one.
 */

CREATE TABLE kgwebhook.source (
    source          pg_catalog.text PRIMARY KEY,
    node            pg_catalog.text NOT NULL,
    subscription    pg_catalog.name NOT NULL UNIQUE,
    slot            pg_catalog.name NOT NULL,
    publication     pg_catalog.name NOT NULL,
    followed_at     pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now(),
    announce_since  pg_catalog.timestamptz,
    joined          pg_catalog.bool NOT NULL DEFAULT false,
    beat            pg_catalog.int8,
    beat_at         pg_catalog.timestamptz,
    beat_applied_at pg_catalog.timestamptz,
    gaps            pg_catalog.int8 NOT NULL DEFAULT 0,
    skipped         pg_catalog.int8 NOT NULL DEFAULT 0,
    two_phase       pg_catalog.bool NOT NULL DEFAULT false,
    compared_at     pg_catalog.timestamptz,
    differing       pg_catalog.int8
);
COMMENT ON TABLE kgwebhook.source IS 'sources that this database follows; written by kg_follow() and kg_unfollow()';
COMMENT ON COLUMN kgwebhook.source.source IS 'what it is called here';
COMMENT ON COLUMN kgwebhook.source.node IS 'what this server is called at the source';
COMMENT ON COLUMN kgwebhook.source.subscription IS 'the subscription that brings its changes';
COMMENT ON COLUMN kgwebhook.source.slot IS 'the replication slot at the source';
COMMENT ON COLUMN kgwebhook.source.publication IS 'the publication at the source';
COMMENT ON COLUMN kgwebhook.source.followed_at IS 'when kg_follow() was called';
COMMENT ON COLUMN kgwebhook.source.announce_since IS 'what has changed since is announced once the copy is complete; NULL: nothing';
COMMENT ON COLUMN kgwebhook.source.joined IS 'whether this node has caught up, so that routes to it count';
COMMENT ON COLUMN kgwebhook.source.beat IS 'the number of this node''s own heartbeat that was applied last';
COMMENT ON COLUMN kgwebhook.source.beat_at IS 'when it was written, by the clock of the source';
COMMENT ON COLUMN kgwebhook.source.beat_applied_at IS 'when it was applied';
COMMENT ON COLUMN kgwebhook.source.gaps IS 'how often heartbeats were missing: changes between them are missing, too';
COMMENT ON COLUMN kgwebhook.source.skipped IS 'transactions that kg_skip() has left out';
COMMENT ON COLUMN kgwebhook.source.two_phase IS 'whether what is prepared there is prepared here';
COMMENT ON COLUMN kgwebhook.source.compared_at IS 'when kg_compare() was called last';
COMMENT ON COLUMN kgwebhook.source.differing IS 'how many objects it found to differ';

/* What the follower has last seen of a source: a table of its own, as nobody else writes it. */
CREATE TABLE kgwebhook.source_look (
    source        pg_catalog.text PRIMARY KEY,
    looked_at     pg_catalog.timestamptz NOT NULL,
    problem       pg_catalog.text,
    problem_code  pg_catalog.text,
    problem_since pg_catalog.timestamptz,
    wal_status    pg_catalog.text,
    safe_wal_size pg_catalog.int8,
    wal_kept      pg_catalog.int8,
    behind        pg_catalog.int8,
    beat          pg_catalog.int8,
    beat_sent_at  pg_catalog.timestamptz
);
COMMENT ON TABLE kgwebhook.source_look IS 'what the follower has last seen of each source';
COMMENT ON COLUMN kgwebhook.source_look.source IS 'the source';
COMMENT ON COLUMN kgwebhook.source_look.looked_at IS 'when it looked';
COMMENT ON COLUMN kgwebhook.source_look.problem IS 'what was wrong then; NULL: nothing';
COMMENT ON COLUMN kgwebhook.source_look.problem_code IS 'its SQLSTATE';
COMMENT ON COLUMN kgwebhook.source_look.problem_since IS 'since when';
COMMENT ON COLUMN kgwebhook.source_look.wal_status IS 'of the replication slot: reserved, extended, unreserved or lost; NULL: there is no slot';
COMMENT ON COLUMN kgwebhook.source_look.safe_wal_size IS 'bytes of WAL that may still be written there before the slot is lost; NULL: no limit';
COMMENT ON COLUMN kgwebhook.source_look.wal_kept IS 'bytes of WAL that the source keeps for this node';
COMMENT ON COLUMN kgwebhook.source_look.behind IS 'bytes of WAL that this node has not confirmed';
COMMENT ON COLUMN kgwebhook.source_look.beat IS 'the number of the heartbeat that was sent last';
COMMENT ON COLUMN kgwebhook.source_look.beat_sent_at IS 'when it was sent';

/* Read by its index without knowing a collation, as kgwebhook.subscription is: hence "C". */
CREATE TABLE kgwebhook.route (
    source   pg_catalog.text COLLATE pg_catalog."C" NOT NULL,
    org_id   pg_catalog.text COLLATE pg_catalog."C" NOT NULL,
    node     pg_catalog.text NOT NULL,
    previous pg_catalog.text,
    released pg_catalog.bool,
    seq      pg_catalog.int8 NOT NULL,
    since    pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (source, org_id)
);
COMMENT ON TABLE kgwebhook.route IS 'which node serves which organization of a source, as of the last change that was applied';
COMMENT ON COLUMN kgwebhook.route.source IS 'the source';
COMMENT ON COLUMN kgwebhook.route.org_id IS 'the organization; * all that have no row of their own; empty: what no route names';
COMMENT ON COLUMN kgwebhook.route.node IS 'the node that serves it';
COMMENT ON COLUMN kgwebhook.route.previous IS 'the node that did before';
COMMENT ON COLUMN kgwebhook.route.released IS 'whether that one has sent all that it had of it';
COMMENT ON COLUMN kgwebhook.route.seq IS 'the order of the changes at the source';
COMMENT ON COLUMN kgwebhook.route.since IS 'when it was applied here';

/*
 * Deliveries of an organization that another node has not released yet.  They are no
 * part of the queue, where a worker would have to tell them from the others; when the
 * release is applied they go there under the numbers they have.
 */
CREATE TABLE kgwebhook.held (
    LIKE kgwebhook.queue INCLUDING DEFAULTS INCLUDING COMMENTS,
    source pg_catalog.text NOT NULL,
    CONSTRAINT held_pkey PRIMARY KEY (delivery_id)
);
CREATE INDEX held_xid_idx ON kgwebhook.held (xid, delivery_id);
COMMENT ON INDEX kgwebhook.held_xid_idx IS 'what a transaction holds, for the order of its events';
COMMENT ON TABLE kgwebhook.held IS 'deliveries of organizations that have moved here and that the node before has not released yet';
COMMENT ON COLUMN kgwebhook.held.source IS 'the source whose route they wait for';
