/*
 * sources/kgwebhook-source.sql
 *		Makes a database the source of delivery nodes (docs/nodes.md).
 *
 * Plain SQL for psql, run by the owner of the tables; no extension and no superuser
 * are needed.  It can be run again at any time, and changes nothing that is already
 * as it should be.
 *
 *		psql -v ON_ERROR_STOP=1 -f kgwebhook-source.sql
 *		psql -v tables='shop.orders, payment_intents' -v node_role=kg_node -f kgwebhook-source.sql
 *
 * Variables, all of which may be left out:
 *
 *		tables			what is published, separated by commas; default: payment_intents,
 *						where search_path finds it
 *		node_role		the role that nodes connect as; default: a superuser
 *		publication		default: kgwebhook
 *		version_column	the column that tells versions of a row apart; default:
 *						updated_at, in the tables that have it
 *		set_version		off: the application sets that column at every change by itself
 *		outbox			on: not the tables are published but their events, which triggers
 *						write into kgsource.<table>_outbox; no event is lost with a
 *						replication slot as long as it is there (kgsource.purge_outbox())
 *		event, id_column, status_column, url_column, org_column, payload
 *						of the outbox's events, with the meaning and the defaults that
 *						kg_watch() has for them; "payload" is JSON, none is ''
 *		door			payment_intent or transfer: a trigger checks statuses, transitions,
 *						callback_url and order_data as the ready-made tables do; off
 *						takes it away
 *
 * Everything is created in the schema kgsource.  The script stops at what would fail a
 * payment or lose a row later on, and says what to do about it.
 */
\set ON_ERROR_STOP on
\if :{?tables} \else \set tables payment_intents \endif
\if :{?node_role} \else \set node_role '' \endif
\if :{?publication} \else \set publication kgwebhook \endif
\if :{?version_column} \else \set version_column updated_at \endif
\if :{?set_version} \else \set set_version on \endif
\if :{?outbox} \else \set outbox off \endif
\if :{?event} \else \set event payment_intent \endif
\if :{?id_column} \else \set id_column payment_intent_id \endif
\if :{?status_column} \else \set status_column status \endif
\if :{?url_column} \else \set url_column callback_url \endif
\if :{?org_column} \else \set org_column org_id \endif
\if :{?payload} \else \set payload '' \endif
\if :{?door} \else \set door '' \endif

BEGIN;
SET LOCAL client_min_messages = warning;
SELECT pg_catalog.set_config('kgsource.tables', :'tables', true),
       pg_catalog.set_config('kgsource.node_role', :'node_role', true),
       pg_catalog.set_config('kgsource.publication', :'publication', true),
       pg_catalog.set_config('kgsource.version_column', :'version_column', true),
       pg_catalog.set_config('kgsource.set_version', :'set_version', true),
       pg_catalog.set_config('kgsource.outbox', :'outbox', true),
       pg_catalog.set_config('kgsource.event', :'event', true),
       pg_catalog.set_config('kgsource.id_column', :'id_column', true),
       pg_catalog.set_config('kgsource.status_column', :'status_column', true),
       pg_catalog.set_config('kgsource.url_column', :'url_column', true),
       pg_catalog.set_config('kgsource.org_column', :'org_column', true),
       pg_catalog.set_config('kgsource.payload', :'payload', true),
       pg_catalog.set_config('kgsource.door', :'door', true) \g /dev/null

CREATE SCHEMA IF NOT EXISTS kgsource;
COMMENT ON SCHEMA kgsource IS 'routes and heartbeats of kgwebhook''s delivery nodes';

/*
 * The server, and the role of the nodes
 */
CREATE OR REPLACE FUNCTION kgsource.check_server(version pg_catalog.int4, wal_level pg_catalog.text) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    IF version < 150013 OR version BETWEEN 160000 AND 160008 OR version BETWEEN 170000 AND 170004 THEN
        RAISE EXCEPTION 'PostgreSQL %.% can lose changes that are committed beside ALTER PUBLICATION', version / 10000, version % 10000
            USING ERRCODE = 'feature_not_supported',
                  HINT = 'Update the server to 15.13, 16.9, 17.5 or newer.';
    ELSIF wal_level <> 'logical' THEN
        RAISE EXCEPTION 'wal_level is %, and has to be logical', wal_level
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'ALTER SYSTEM SET wal_level = logical; then restart the server.  A managed service has a parameter for it.';
    END IF;
END
$$;
COMMENT ON FUNCTION kgsource.check_server(pg_catalog.int4, pg_catalog.text) IS
  'refuses a server that cannot send all changes';

SELECT kgsource.check_server(pg_catalog.current_setting('server_version_num')::pg_catalog.int4, pg_catalog.current_setting('wal_level')) \g /dev/null

DO $$
DECLARE
    node_role text := current_setting('kgsource.node_role');
    role pg_roles;
BEGIN
    IF node_role <> '' THEN
        SELECT * INTO role FROM pg_roles WHERE rolname = node_role;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'role "%" does not exist', node_role
                USING ERRCODE = 'undefined_object',
                      HINT = format('CREATE ROLE %I LOGIN REPLICATION PASSWORD ''...'';', node_role);
        END IF;
        IF NOT role.rolreplication AND NOT role.rolsuper THEN
            RAISE WARNING 'role "%" may not replicate', node_role
                USING HINT = format('ALTER ROLE %I REPLICATION; or what a managed service has instead, such as GRANT rds_replication.', node_role);
        END IF;
    END IF;
    IF current_setting('max_slot_wal_keep_size') = '-1' THEN
        RAISE WARNING 'max_slot_wal_keep_size is -1'
            USING DETAIL = 'A node that is away for long makes this server keep WAL until its disk is full.',
                  HINT = 'Set max_slot_wal_keep_size to what the disk can spare.  A node beyond that repairs itself by kg_resync().';
    END IF;
    IF (SELECT count(*) FROM pg_replication_slots) >= current_setting('max_replication_slots')::int - 1 THEN
        RAISE WARNING 'there is no room for the replication slots of a node'
            USING DETAIL = format('max_replication_slots is %s.', current_setting('max_replication_slots')),
                  HINT = 'A node takes one slot, and one more for each table while it is copied.';
    END IF;
END
$$;

/*
 * The tables: what makes UPDATEs fail once they are published, or rows invisible
 */

/* verb: what could not be done with a table of another kind. */
CREATE OR REPLACE FUNCTION kgsource.check_kind(relation pg_catalog.regclass, verb pg_catalog.text) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    class pg_class;
BEGIN
    SELECT * INTO class FROM pg_class c WHERE c.oid = relation;
    IF class.relkind NOT IN ('r', 'p') OR class.relpersistence <> 'p' THEN
        RAISE EXCEPTION 'table % cannot %', relation, verb
            USING ERRCODE = 'wrong_object_type', DETAIL = 'It is not an ordinary, logged table.',
                  HINT = 'ALTER TABLE ... SET LOGGED makes an unlogged table an ordinary one.';
    ELSIF NOT pg_has_role(class.relowner, 'USAGE') THEN
        RAISE EXCEPTION 'must be owner of table %', relation
            USING ERRCODE = 'insufficient_privilege', HINT = format('Run the script as %s.', pg_get_userbyid(class.relowner));
    END IF;
END
$$;
COMMENT ON FUNCTION kgsource.check_kind(pg_catalog.regclass, pg_catalog.text) IS
  'refuses what is no ordinary table, or another''s';

CREATE OR REPLACE FUNCTION kgsource.check_table(relation pg_catalog.regclass, node_role pg_catalog.text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    class pg_class;
    part record;
    role pg_roles;
    roles oid[];
BEGIN
    PERFORM kgsource.check_kind(relation, 'be published');
    SELECT * INTO class FROM pg_class c WHERE c.oid = relation;
    -- a partitioned table has no rows, but its identity is what new partitions get
    FOR part IN
        WITH RECURSIVE tree AS (
            SELECT relation::oid AS relid
            UNION ALL
            SELECT i.inhrelid FROM tree t JOIN pg_inherits i ON i.inhparent = t.relid)
        SELECT c.oid::regclass AS name, c.relreplident AS identity, c.relkind
          FROM tree t JOIN pg_class c ON c.oid = t.relid
         WHERE c.relreplident = 'n'
            OR c.relreplident = 'd' AND NOT EXISTS (SELECT FROM pg_index x WHERE x.indrelid = c.oid AND x.indisprimary
                                                       AND x.indimmediate AND x.indisvalid)
            OR c.relreplident = 'i' AND NOT EXISTS (SELECT FROM pg_index x WHERE x.indrelid = c.oid AND x.indisreplident AND x.indisvalid)
    LOOP
        RAISE EXCEPTION 'table % has no usable replica identity', part.name
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'Once it is published, every UPDATE and DELETE of it would fail.',
                  HINT = format('ALTER TABLE %s ADD PRIMARY KEY (...); or, if there is a unique index of columns that are never null, ALTER TABLE %1$s REPLICA IDENTITY USING INDEX ...;', part.name);
    END LOOP;
    IF class.relrowsecurity AND node_role <> '' THEN
        SELECT * INTO role FROM pg_roles r WHERE r.rolname = node_role;
        IF role.rolsuper OR role.rolbypassrls THEN
            RETURN;
        END IF;
        IF EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = relation AND NOT p.polpermissive AND p.polcmd IN ('r', '*')
                      AND (p.polroles = '{0}' OR EXISTS (SELECT FROM unnest(p.polroles) u WHERE pg_has_role(role.oid, u, 'USAGE')))) THEN
            RAISE EXCEPTION 'row security hides rows of table % from role "%"', relation, node_role
                USING ERRCODE = 'object_not_in_prerequisite_state',
                      DETAIL = 'A restrictive policy applies to it: the first copy would lack rows, without an error, and their events be lost.',
                      HINT = format('ALTER ROLE %I BYPASSRLS; or leave the role out of the restrictive policies.', node_role);
        END IF;
        SELECT p.polroles INTO roles FROM pg_policy p WHERE p.polrelid = relation AND p.polname = 'kg_node';
        IF NOT FOUND THEN
            EXECUTE format('CREATE POLICY kg_node ON %s FOR SELECT TO %I USING (true)', relation, node_role);
        ELSIF roles <> '{0}' AND role.oid <> ALL (roles) THEN
            -- another node's role: that one goes on seeing all rows
            EXECUTE format('ALTER POLICY kg_node ON %s TO %s', relation, array_to_string(roles::regrole[] || role.oid::regrole, ', '));
        END IF;
    END IF;
END
$$;
COMMENT ON FUNCTION kgsource.check_table(pg_catalog.regclass, pg_catalog.text) IS
  'refuses a table whose publication would fail payments or lose rows';

/*
 * Routes and heartbeats.  What nodes get to know of them goes by one table more,
 * kgsource.stream, which is only ever inserted into, in the transaction of the change: so
 * a node that follows several sources needs no key of its own for any of it.
 */
CREATE TABLE IF NOT EXISTS kgsource.route (
    org_id   pg_catalog.text PRIMARY KEY CHECK (org_id <> ''),
    node     pg_catalog.text NOT NULL CHECK (node <> ''),
    previous pg_catalog.text,
    released pg_catalog.bool NOT NULL DEFAULT true
);
COMMENT ON TABLE kgsource.route IS
  'which node serves which organization; while it is empty, the first node that follows serves all of them';
COMMENT ON COLUMN kgsource.route.org_id IS 'the organization; * stands for all that have no row of their own';
COMMENT ON COLUMN kgsource.route.node IS 'the node; counts once that node has caught up with the source';
COMMENT ON COLUMN kgsource.route.previous IS 'the node that served it before; set by a trigger';
COMMENT ON COLUMN kgsource.route.released IS 'whether that one has sent all that it had of it; set by that node, or by kg_release()';

CREATE TABLE IF NOT EXISTS kgsource.heartbeat (
    node     pg_catalog.text PRIMARY KEY CHECK (node <> ''),
    n        pg_catalog.int8 NOT NULL DEFAULT 0,
    at       pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    joined   pg_catalog.bool NOT NULL DEFAULT false,
    enrolled pg_catalog.int8 GENERATED ALWAYS AS IDENTITY
);
ALTER TABLE kgsource.heartbeat ADD COLUMN IF NOT EXISTS two_phase pg_catalog.bool NOT NULL DEFAULT false;
COMMENT ON TABLE kgsource.heartbeat IS 'the nodes that follow; each writes its row every ten seconds';
COMMENT ON COLUMN kgsource.heartbeat.node IS 'the node';
COMMENT ON COLUMN kgsource.heartbeat.n IS 'how many heartbeats there were';
COMMENT ON COLUMN kgsource.heartbeat.at IS 'when the last one was';
COMMENT ON COLUMN kgsource.heartbeat.joined IS 'whether the node has caught up, and routes that name it count';
COMMENT ON COLUMN kgsource.heartbeat.two_phase IS 'whether the node applies what is prepared when it is prepared';
COMMENT ON COLUMN kgsource.heartbeat.enrolled IS 'the order in which nodes came';

CREATE TABLE IF NOT EXISTS kgsource.stream (
    seq      pg_catalog.int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    what     pg_catalog.text NOT NULL,
    name     pg_catalog.text NOT NULL,
    node     pg_catalog.text,
    previous pg_catalog.text,
    released pg_catalog.bool,
    n        pg_catalog.int8,
    at       pg_catalog.timestamptz
);
COMMENT ON TABLE kgsource.stream IS 'what nodes get to know of routes and heartbeats; written by triggers only';
COMMENT ON COLUMN kgsource.stream.seq IS 'the order of the changes';
COMMENT ON COLUMN kgsource.stream.what IS 'route, gone (a route that counts no longer), first (the node that has what no route names) or heartbeat';
COMMENT ON COLUMN kgsource.stream.name IS 'the organization, or the node of a heartbeat';
COMMENT ON COLUMN kgsource.stream.node IS 'the node that serves it';
COMMENT ON COLUMN kgsource.stream.previous IS 'the node that did before';
COMMENT ON COLUMN kgsource.stream.released IS 'whether that one has released it';
COMMENT ON COLUMN kgsource.stream.n IS 'the number of a heartbeat';
COMMENT ON COLUMN kgsource.stream.at IS 'the time of a heartbeat';

/* Which node serves an organization now, by the routes that count; NULL: none does. */
CREATE OR REPLACE FUNCTION kgsource.owner_of(org_id pg_catalog.text) RETURNS pg_catalog.text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT coalesce((SELECT r.node FROM kgsource.route r JOIN kgsource.heartbeat h ON h.node = r.node AND h.joined
                      WHERE r.org_id = owner_of.org_id),
                    (SELECT r.node FROM kgsource.route r JOIN kgsource.heartbeat h ON h.node = r.node AND h.joined
                      WHERE r.org_id = '*'),
                    (SELECT h.node FROM kgsource.heartbeat h WHERE h.joined ORDER BY h.enrolled LIMIT 1))
$$;
COMMENT ON FUNCTION kgsource.owner_of(pg_catalog.text) IS 'the node that serves an organization now';

/* Whether an organization is still on its way from one node to another. */
CREATE OR REPLACE FUNCTION kgsource.is_moving(org_id pg_catalog.text) RETURNS pg_catalog.bool
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT EXISTS (SELECT FROM kgsource.route r JOIN kgsource.heartbeat h ON h.node = r.node AND h.joined
                    WHERE r.org_id = coalesce((SELECT o.org_id FROM kgsource.route o JOIN kgsource.heartbeat g ON g.node = o.node AND g.joined
                                                WHERE o.org_id = is_moving.org_id), '*')
                      AND NOT r.released)
$$;
COMMENT ON FUNCTION kgsource.is_moving(pg_catalog.text) IS 'whether an organization has been moved and not yet released';

/*
 * A move says whom the new node has to wait for.  One that is not over cannot be
 * followed by another: nobody could tell any more whose deliveries come first.
 */
CREATE OR REPLACE FUNCTION kgsource.check_route() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    owner text;
    joined bool;
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.org_id <> OLD.org_id THEN
        RAISE EXCEPTION 'a route keeps its organization'
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Insert a row for the other organization.';
    ELSIF TG_OP = 'UPDATE' AND current_setting('kgsource.joins', true) = OLD.node THEN
        RETURN NEW;
    ELSIF TG_OP = 'UPDATE' AND NEW.node = OLD.node THEN
        NEW.released := NEW.released OR OLD.released;
        NEW.previous := OLD.previous;
        RETURN NEW;
    END IF;
    LOCK TABLE kgsource.heartbeat IN SHARE ROW EXCLUSIVE MODE;
    owner := kgsource.owner_of(CASE TG_OP WHEN 'DELETE' THEN OLD.org_id ELSE NEW.org_id END);
    IF kgsource.is_moving(CASE TG_OP WHEN 'DELETE' THEN OLD.org_id ELSE NEW.org_id END)
       AND (TG_OP = 'DELETE' OR owner <> NEW.node) THEN
        RAISE EXCEPTION 'organization "%" is still on its way to node "%"', CASE TG_OP WHEN 'DELETE' THEN OLD.org_id ELSE NEW.org_id END, owner
            USING ERRCODE = 'object_in_use',
                  DETAIL = 'The node that had it before has not sent all that it has of it.',
                  HINT = 'Wait until kgsource.route.released is true; if that node is gone for good, set it: what it had may then come later, or be lost with it.';
    END IF;
    IF TG_OP = 'DELETE' THEN
        IF owner = OLD.node AND owner IS DISTINCT FROM
           coalesce((SELECT r.node FROM kgsource.route r JOIN kgsource.heartbeat h ON h.node = r.node AND h.joined
                      WHERE r.org_id = '*' AND OLD.org_id <> '*'),
                    (SELECT h.node FROM kgsource.heartbeat h WHERE h.joined ORDER BY h.enrolled LIMIT 1)) THEN
            RAISE EXCEPTION 'without its route, organization "%" would move to another node', OLD.org_id
                USING ERRCODE = 'object_not_in_prerequisite_state',
                      HINT = 'Move it there first, by an UPDATE of its row; then delete the row.';
        END IF;
        RETURN OLD;
    END IF;
    joined := EXISTS (SELECT FROM kgsource.heartbeat h WHERE h.node = NEW.node AND h.joined);
    NEW.previous := owner;
    NEW.released := owner IS NULL OR owner = NEW.node OR NOT joined;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION kgsource.check_route() IS 'trigger of kgsource.route: notes which node served the organization before';

/* Put into the stream what has changed of the routes that count. */
CREATE OR REPLACE FUNCTION kgsource.send_routes() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    LOCK TABLE kgsource.stream IN SHARE ROW EXCLUSIVE MODE;
    WITH wanted AS (
        SELECT 'route' AS what, r.org_id AS name, r.node, r.previous, r.released
          FROM kgsource.route r JOIN kgsource.heartbeat h ON h.node = r.node AND h.joined
        UNION ALL
        (SELECT 'first', '', h.node, NULL, NULL FROM kgsource.heartbeat h WHERE h.joined ORDER BY h.enrolled LIMIT 1)),
    gone AS (
        DELETE FROM kgsource.stream s
         WHERE NOT EXISTS (SELECT FROM wanted w
                            WHERE (w.what, w.name, w.node) = (s.what, s.name, s.node)
                              AND w.previous IS NOT DISTINCT FROM s.previous
                              AND w.released IS NOT DISTINCT FROM s.released)
        RETURNING s.*)
    INSERT INTO kgsource.stream (what, name, node, previous, released)
    SELECT w.what, w.name, w.node, w.previous, w.released FROM wanted w
     WHERE NOT EXISTS (SELECT FROM kgsource.stream s
                        WHERE (s.what, s.name, s.node) = (w.what, w.name, w.node)
                          AND s.previous IS NOT DISTINCT FROM w.previous
                          AND s.released IS NOT DISTINCT FROM w.released)
    UNION ALL
    SELECT 'gone', g.name, NULL, NULL, NULL FROM gone g
     WHERE g.what = 'route' AND NOT EXISTS (SELECT FROM wanted w WHERE w.what = 'route' AND w.name = g.name);
    DELETE FROM kgsource.stream s WHERE s.what = 'gone';
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION kgsource.send_routes() IS 'trigger: puts what has changed of the routes that count into kgsource.stream';

/* Only the insertion goes to the nodes; the row need not stay. */
CREATE OR REPLACE FUNCTION kgsource.send_heartbeat() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    number int8;
BEGIN
    INSERT INTO kgsource.stream (what, name, n, at) VALUES ('heartbeat', NEW.node, NEW.n, NEW.at) RETURNING seq INTO number;
    DELETE FROM kgsource.stream s WHERE s.seq = number;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION kgsource.send_heartbeat() IS 'trigger of kgsource.heartbeat: tells the nodes of a heartbeat';

CREATE OR REPLACE TRIGGER check_route BEFORE INSERT OR UPDATE OR DELETE ON kgsource.route
    FOR EACH ROW EXECUTE FUNCTION kgsource.check_route();
CREATE OR REPLACE TRIGGER send_routes AFTER INSERT OR UPDATE OR DELETE ON kgsource.route
    FOR EACH STATEMENT EXECUTE FUNCTION kgsource.send_routes();
CREATE OR REPLACE TRIGGER send_heartbeat AFTER UPDATE OF n ON kgsource.heartbeat
    FOR EACH ROW EXECUTE FUNCTION kgsource.send_heartbeat();
CREATE OR REPLACE TRIGGER send_routes AFTER INSERT OR UPDATE OF joined OR DELETE ON kgsource.heartbeat
    FOR EACH STATEMENT EXECUTE FUNCTION kgsource.send_routes();

/*
 * What nodes call
 */

/* A node begins to follow.  The first has everything that no route names, at once. */
DROP FUNCTION IF EXISTS kgsource.enroll(pg_catalog.text);
CREATE OR REPLACE FUNCTION kgsource.enroll(node pg_catalog.text, two_phase pg_catalog.bool) RETURNS pg_catalog.bool
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    first bool;
BEGIN
    LOCK TABLE kgsource.heartbeat IN SHARE ROW EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM kgsource.heartbeat h WHERE h.node = enroll.node) THEN
        RAISE EXCEPTION 'a node "%" follows already', node
            USING ERRCODE = 'duplicate_object', DETAIL = 'Two nodes of one name would both send the same events.',
                  HINT = format('Choose another name.  If that node is gone for good: SELECT kgsource.leave(%L) at the source, and drop its replication slot.', node);
    END IF;
    IF EXISTS (SELECT FROM kgsource.heartbeat h WHERE h.two_phase <> enroll.two_phase) THEN
        RAISE EXCEPTION 'the nodes of a source have the same two_phase'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'One would see a prepared transaction before a move of its organization and another one after it: both could send its events, or neither.',
                  HINT = format('kg_follow(..., two_phase => %s)', NOT two_phase);
    END IF;
    first := NOT EXISTS (SELECT FROM kgsource.heartbeat h);
    IF NOT first AND NOT EXISTS (SELECT FROM kgsource.route) THEN
        RAISE EXCEPTION 'node "%" serves all organizations, because there are no routes', kgsource.owner_of('*')
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'A second node would have nothing to do.',
                  HINT = format('At the source: INSERT INTO kgsource.route (org_id, node) VALUES (''*'', %L); and a row for each organization that %L is to have.  Then call kg_follow() again.',
                                kgsource.owner_of('*'), node);
    END IF;
    INSERT INTO kgsource.heartbeat (node, joined, two_phase) VALUES (enroll.node, first, enroll.two_phase);
    RETURN first;
END
$$;
COMMENT ON FUNCTION kgsource.enroll(pg_catalog.text, pg_catalog.bool) IS 'a node begins to follow; whether it is the first';

/* A node that has caught up says that it is there; its routes count from the first time on. */
CREATE OR REPLACE FUNCTION kgsource.beat(node pg_catalog.text) RETURNS pg_catalog.bool
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    was_joined bool;
BEGIN
    SELECT h.joined INTO was_joined FROM kgsource.heartbeat h WHERE h.node = beat.node;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'node "%" is not known here', node
            USING ERRCODE = 'undefined_object', HINT = 'It has left, or this is another source.  Call kg_unfollow() and kg_follow() on the node.';
    ELSIF NOT was_joined THEN
        LOCK TABLE kgsource.heartbeat IN SHARE ROW EXCLUSIVE MODE;
        IF EXISTS (SELECT FROM kgsource.route r WHERE r.node = beat.node AND kgsource.is_moving(r.org_id)) THEN
            RETURN false;
        END IF;
        -- the trigger keeps the rest: see kgsource.check_route()
        PERFORM set_config('kgsource.joins', node, true);
        UPDATE kgsource.route r SET previous = kgsource.owner_of(r.org_id), released = coalesce(kgsource.owner_of(r.org_id) = r.node, true)
         WHERE r.node = beat.node;
        PERFORM set_config('kgsource.joins', '', true);
        UPDATE kgsource.heartbeat h SET joined = true WHERE h.node = beat.node;
    END IF;
    UPDATE kgsource.heartbeat h SET n = h.n + 1, at = clock_timestamp() WHERE h.node = beat.node;
    RETURN true;
END
$$;
COMMENT ON FUNCTION kgsource.beat(pg_catalog.text) IS 'a node''s heartbeat; false: it has to wait until an organization of its own has been released';

/* A node follows no longer; what it had goes to whom the other routes name. */
CREATE OR REPLACE FUNCTION kgsource.leave(node pg_catalog.text) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    DELETE FROM kgsource.heartbeat h WHERE h.node = leave.node
$$;
COMMENT ON FUNCTION kgsource.leave(pg_catalog.text) IS 'a node follows no longer';

/* The node that had an organization says that it has sent all that it had of it. */
CREATE OR REPLACE FUNCTION kgsource.release(org_id pg_catalog.text) RETURNS pg_catalog.bool
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    UPDATE kgsource.route r SET released = true WHERE r.org_id = release.org_id AND NOT r.released;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION kgsource.release(pg_catalog.text) IS 'lets the node that has an organization now send what it holds of it';

CREATE OR REPLACE FUNCTION kgsource.hand_over(org_id pg_catalog.text, node pg_catalog.text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM kgsource.heartbeat h WHERE h.node = hand_over.node AND h.joined) THEN
        RAISE EXCEPTION 'node "%" does not follow, or has not caught up yet', node
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'SELECT node, joined, at FROM kgsource.heartbeat shows the nodes, at the source.';
    END IF;
    INSERT INTO kgsource.route (org_id, node) VALUES (hand_over.org_id, hand_over.node)
        ON CONFLICT ON CONSTRAINT route_pkey DO UPDATE SET node = excluded.node WHERE route.node <> excluded.node;
END
$$;
COMMENT ON FUNCTION kgsource.hand_over(pg_catalog.text, pg_catalog.text) IS 'moves an organization to a node';

/*
 * The outbox: for tables that are too large to be copied, and where every status has to
 * survive a lost replication slot.  A row of it is an event, whole: a node sends its
 * payload as it is.
 */

/* A time as it stands in a payload. */
CREATE OR REPLACE FUNCTION kgsource.rfc3339(at pg_catalog.timestamptz) RETURNS pg_catalog.text
    LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT CASE WHEN isfinite(at) THEN regexp_replace(to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), '[.]?0*$', '') || 'Z'
                ELSE at::text END
$$;
COMMENT ON FUNCTION kgsource.rfc3339(pg_catalog.timestamptz) IS 'a time as it stands in a payload';

/* The members of an event's payload, and their columns. */
CREATE OR REPLACE FUNCTION kgsource.payload_map(relation pg_catalog.regclass) RETURNS pg_catalog.jsonb
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    WITH col AS (SELECT a.attname::text AS name FROM pg_attribute a WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped)
    SELECT CASE WHEN current_setting('kgsource.payload') <> '' THEN current_setting('kgsource.payload')::jsonb
                WHEN current_setting('kgsource.event') = 'payment_intent' THEN
                    (SELECT jsonb_object_agg(m.member, m.name)
                       FROM (SELECT u.member, CASE u.member WHEN 'payment_intent_id' THEN current_setting('kgsource.id_column')
                                                            WHEN 'status' THEN current_setting('kgsource.status_column')
                                                            WHEN 'callback_url' THEN current_setting('kgsource.url_column') ELSE u.member END AS name
                               FROM unnest('{payment_intent_id,status,payment_chain_id,symbol,fiat_amount,fiat_currency,crypto_amount,received_crypto_amount,payment_tx_hash,order_data,callback_url}'::text[]) u (member)) m
                      WHERE m.name IN (SELECT c.name FROM col c))
                ELSE (SELECT jsonb_object_agg(c.name, c.name) FROM col c WHERE c.name <> current_setting('kgsource.org_column'))
                     || (SELECT coalesce(jsonb_object_agg(m.member, m.source), '{}')
                           FROM (VALUES ('type', '$type'), ('event_id', '$event_id'), ('occurred_at', '$occurred_at')) m (member, source)
                          WHERE m.member NOT IN (SELECT c.name FROM col c)) END
$$;
COMMENT ON FUNCTION kgsource.payload_map(pg_catalog.regclass) IS 'member to column, as of kg_watch()';

/* A member's value as an expression of the trigger. */
CREATE OR REPLACE FUNCTION kgsource.member_value(relation pg_catalog.regclass, source pg_catalog.text) RETURNS pg_catalog.text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    computed text := jsonb_build_object('$type', 'to_jsonb(type)', '$event_id', 'to_jsonb(id)', '$occurred_at', 'to_jsonb(to_char(clock_timestamp() AT TIME ZONE ''UTC'', ''YYYY-MM-DD"T"HH24:MI:SS.US"Z"''))',
                                        '$previous_status', 'to_jsonb(previous)', '$sequence', 'to_jsonb(number)', '$org_id', 'to_jsonb(org)') ->> source;
    attribute pg_attribute;
    type pg_type;
BEGIN
    IF computed IS NOT NULL THEN
        RETURN computed;
    END IF;
    SELECT * INTO attribute FROM pg_attribute a WHERE a.attrelid = relation AND a.attname = source AND a.attnum > 0 AND NOT a.attisdropped;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'column "%" of table % does not exist', source, relation
            USING ERRCODE = 'undefined_column', HINT = 'Name columns that the table has: -v id_column=... -v payload=''{"member": "column"}''.';
    END IF;
    SELECT * INTO type FROM pg_type t WHERE t.oid = attribute.atttypid;
    WHILE type.typtype = 'd' LOOP
        SELECT * INTO type FROM pg_type t WHERE t.oid = type.typbasetype;
    END LOOP;
    RETURN format(CASE WHEN type.oid = 'timestamptz'::regtype THEN 'to_jsonb(kgsource.rfc3339(NEW.%I))'
                       WHEN type.oid = 'timestamp'::regtype THEN 'to_jsonb(kgsource.rfc3339(NEW.%I AT TIME ZONE ''UTC''))'
                       WHEN type.oid IN ('json'::regtype, 'jsonb'::regtype) THEN 'NEW.%I::jsonb'
                       WHEN type.oid IN ('bool'::regtype, 'int2'::regtype, 'int4'::regtype, 'float4'::regtype, 'float8'::regtype)
                         OR type.typcategory = 'A' OR type.typtype IN ('c', 'r', 'm') THEN 'to_jsonb(NEW.%I)'
                       WHEN type.oid = 'money'::regtype THEN 'to_jsonb(NEW.%I::numeric::text)'
                       ELSE 'to_jsonb(NEW.%I::text)' END, source);
END
$$;
COMMENT ON FUNCTION kgsource.member_value(pg_catalog.regclass, pg_catalog.text) IS 'a member of a payload, as an expression of the outbox''s trigger';

/*
 * What the columns of a trigger of ours are called now, in the order in which its WHEN
 * clause has them.  PostgreSQL keeps that clause right whatever is renamed, and in a dump.
 */
CREATE OR REPLACE FUNCTION kgsource.columns_of(relation pg_catalog.oid, trigger_name pg_catalog.name) RETURNS pg_catalog.text[]
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT ARRAY(SELECT c.found[1] FROM regexp_matches(substring(pg_get_triggerdef(t.oid) FROM ' WHEN \((.*)\) EXECUTE FUNCTION '),
                                                       '(?:new|old)[.]("(?:[^"]|"")+"|[^ )]+)', 'g') WITH ORDINALITY c (found, n) ORDER BY c.n)
      FROM pg_trigger t WHERE t.tgrelid = relation AND t.tgname = trigger_name
$$;
COMMENT ON FUNCTION kgsource.columns_of(pg_catalog.oid, pg_catalog.name) IS
  'what the columns of a trigger of ours are called now';

/*
 * The WHEN clause of such a trigger.  It is always true; by it, no column can be dropped
 * from under the trigger that no event can be without.
 */
CREATE OR REPLACE FUNCTION kgsource.clause_of(version pg_catalog.text, columns pg_catalog.text[]) RETURNS pg_catalog.text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT string_agg(format('(%s.%I IS NULL) IS NOT NULL', version, c), ' AND ' ORDER BY n) FROM unnest(columns) WITH ORDINALITY u (c, n) WHERE c <> ''
$$;
COMMENT ON FUNCTION kgsource.clause_of(pg_catalog.text, pg_catalog.text[]) IS
  'the WHEN clause that ties a trigger of ours to its columns';

/*
 * Columns of a row as text: for a trigger whose columns have been renamed since the script
 * was run.  "roles" says which of identifier, status, organization and URL there are, in the
 * order of the clause; what is not there is null.  It never fails.
 */
CREATE OR REPLACE FUNCTION kgsource.read_columns(relation pg_catalog.oid, trigger_name pg_catalog.name, roles pg_catalog.bool[], changed pg_catalog.record) RETURNS pg_catalog.text[]
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    names text[] := kgsource.columns_of(relation, trigger_name);
    list text := '';
    n int := 0;
    columns text[];
BEGIN
    FOR role IN 1..cardinality(roles) LOOP
        n := n + CASE WHEN roles[role] THEN 1 ELSE 0 END;
        list := concat_ws(', ', nullif(list, ''), CASE WHEN roles[role] THEN format('($1).%s::text', names[n]) ELSE 'NULL' END);
    END LOOP;
    EXECUTE format('SELECT ARRAY[%s]', list) INTO columns USING changed;
    RETURN columns;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION kgsource.read_columns(pg_catalog.oid, pg_catalog.name, pg_catalog.bool[], pg_catalog.record) IS
  'columns of a row as text, whatever they are called now';

/*
 * Functions of triggers are named for their tables' OIDs, which are others where a dump was
 * restored.  One that another table's trigger has from there gets out of the way, and
 * goes on for that table as it is.
 */
CREATE OR REPLACE FUNCTION kgsource.make_way(relation pg_catalog.oid, wanted pg_catalog.text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    there oid := to_regproc(format('kgsource.%I', wanted));
BEGIN
    IF EXISTS (SELECT FROM pg_trigger t WHERE t.tgfoid = there AND t.tgparentid = 0 AND t.tgrelid <> relation) THEN
        EXECUTE format('ALTER FUNCTION kgsource.%I() RENAME TO %I', wanted, wanted || '_' || there);
    END IF;
END
$$;
COMMENT ON FUNCTION kgsource.make_way(pg_catalog.oid, pg_catalog.text) IS
  'renames the function of another table''s trigger, which a dump has brought here under this name';

/*
 * What a row can't be turned into is left out with its payload: the delivery is then
 * invalid, which the node tells of, and the payment commits.
 *
 * The trigger comes first by its name.  A trigger of the user's that moves the row on
 * would else have the newer status written before the older one.  A column that is renamed
 * is found by the trigger's clause until the script is run again.
 *
 * A row that moves to another partition comes as DELETE and INSERT, and is no event: so
 * the last that was deleted is remembered, in a trigger that comes last by its name.
 */
CREATE OR REPLACE FUNCTION kgsource.make_outbox(relation pg_catalog.regclass) RETURNS pg_catalog.oid
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    class pg_class;
    outbox text;
    id_column text := current_setting('kgsource.id_column');
    status_column text := current_setting('kgsource.status_column');
    url_column text := current_setting('kgsource.url_column');
    org_column text := current_setting('kgsource.org_column');
    event text := current_setting('kgsource.event');
    other regclass;
    url text;
    org text;
    members text;
    columns CONSTANT text[] := ARRAY[id_column, status_column, org_column, url_column];
    roles CONSTANT bool[] := ARRAY[true, true, org_column <> '', url_column <> ''];
    settings CONSTANT text := 'SET search_path = pg_catalog, pg_temp SET datestyle = ''ISO'' SET "TimeZone" = ''UTC'' SET intervalstyle = postgres SET extra_float_digits = 1 SET bytea_output = hex';
BEGIN
    SELECT * INTO class FROM pg_class c WHERE c.oid = relation;
    PERFORM kgsource.check_kind(relation, 'have an outbox');
    IF EXISTS (SELECT FROM jsonb_each(kgsource.payload_map(relation)) m WHERE m.key IN ('timestamp', 'signature')) THEN
        RAISE EXCEPTION 'a payload cannot have the members timestamp and signature'
            USING ERRCODE = 'reserved_name', DETAIL = 'Every attempt gets its own.', HINT = 'Give them other names: -v payload=''{"member": "column"}''.';
    END IF;
    /* a table that was renamed keeps its outbox, which nodes follow */
    SELECT convert_from(substr(t.tgargs, 1, length(t.tgargs) - 1), getdatabaseencoding()) INTO outbox FROM pg_trigger t WHERE t.tgrelid = relation AND t.tgname = '0_kgsource_outbox';
    outbox := coalesce(outbox, format('kgsource.%I', left(class.relname, 56) || '_outbox'));
    SELECT t.tgrelid INTO other FROM pg_trigger t
     WHERE t.tgname = '0_kgsource_outbox' AND t.tgrelid <> relation AND t.tgparentid = 0
       AND t.tgargs = convert_to(outbox, getdatabaseencoding()) || '\x00'::bytea;
    IF FOUND THEN
        RAISE EXCEPTION 'table % writes its events into %', other, outbox
            USING ERRCODE = 'duplicate_object', DETAIL = format('Those of table %s would stand among them, under the same name.', relation),
                  HINT = format('An outbox has its name from its table, without the schema: ALTER TABLE %s RENAME TO ...;', relation);
    END IF;
    PERFORM kgsource.member_value(relation, id_column), kgsource.member_value(relation, status_column);
    url := CASE WHEN url_column <> '' AND kgsource.member_value(relation, url_column) <> '' THEN format('NEW.%I::text', url_column) ELSE 'NULL' END;
    org := CASE WHEN org_column <> '' AND kgsource.member_value(relation, org_column) <> '' THEN format('coalesce(NEW.%I::text, ''default'')', org_column) ELSE '''default''' END;
    SELECT string_agg('jsonb_build_object(' || c.list || ')', ' || ') INTO members
      FROM (SELECT string_agg(format('%L, %s', m.key, kgsource.member_value(relation, m.value)), ', ' ORDER BY m.n) AS list
              FROM (SELECT e.key, e.value, row_number() OVER (ORDER BY e.key) AS n FROM jsonb_each_text(kgsource.payload_map(relation)) e) m
             GROUP BY m.n / 40) c;
    EXECUTE format('CREATE TABLE IF NOT EXISTS %s (
            seq        pg_catalog.int8 PRIMARY KEY,
            webhook_id pg_catalog.text NOT NULL,
            org_id     pg_catalog.text NOT NULL,
            object_id  pg_catalog.text,
            status     pg_catalog.text NOT NULL,
            url        pg_catalog.text,
            payload    pg_catalog.jsonb,
            created_at pg_catalog.timestamptz NOT NULL)', outbox);
    EXECUTE format('COMMENT ON TABLE %s IS %L', outbox, format('events of %s, for kgwebhook''s delivery nodes', relation));
    CREATE SEQUENCE IF NOT EXISTS kgsource.outbox_seq;
    PERFORM kgsource.make_way(relation, f || relation::oid) FROM unnest('{enqueue_,leaving_}'::text[]) f;
    EXECUTE format($f$
        CREATE OR REPLACE FUNCTION kgsource.enqueue_%1$s() RETURNS trigger
            LANGUAGE plpgsql SECURITY DEFINER %10$s AS
        $t$
        DECLARE
            found text[];
            object_id text;
            status text;
            previous text;
            type text;
            number int8;
            id text;
            org text;
            url text;
            payload jsonb;
        BEGIN
            BEGIN
                object_id := NEW.%2$I::text;
                status := NEW.%3$I::text;
                org := %4$s;
                url := %5$s;
                IF TG_OP = 'UPDATE' THEN
                    previous := OLD.%3$I::text;
                END IF;
            EXCEPTION WHEN OTHERS THEN
                found := kgsource.read_columns(TG_RELID, TG_NAME, %6$L, NEW);
                object_id := found[1];
                status := found[2];
                org := coalesce(found[3], 'default');
                url := found[4];
                IF TG_OP = 'UPDATE' THEN
                    previous := (kgsource.read_columns(TG_RELID, TG_NAME, %6$L, OLD))[2];
                END IF;
                RAISE WARNING 'columns of table %% are not what they were', TG_RELID::regclass
                    USING DETAIL = SQLERRM, HINT = 'Run kgwebhook-source.sql again, with the columns'' names.';
            END;
            IF status IS NULL OR TG_OP = 'UPDATE' AND previous IS NOT DISTINCT FROM status
               OR TG_OP = 'INSERT' AND current_setting('kgsource.left', true) = md5(ARRAY[%1$L, org, object_id, status]::text) THEN
                RETURN NULL;
            ELSIF TG_RELID <> %1$s AND NOT EXISTS (SELECT FROM pg_partition_ancestors(TG_RELID) a WHERE a.relid = %1$s)
                  AND EXISTS (SELECT FROM pg_trigger t JOIN pg_trigger o ON o.tgrelid = TG_RELID AND o.tgname = TG_NAME
                               WHERE t.tgrelid = %1$s AND t.tgfoid = o.tgfoid) THEN
                -- where its own table has lost the trigger, this is that table, which a dump has brought here
                RAISE WARNING 'table %% has the trigger of another', TG_RELID::regclass
                    USING DETAIL = 'Its events are not written.', HINT = 'Run kgwebhook-source.sql for this table, or drop the trigger.';
                RETURN NULL;
            END IF;
            type := %7$L || '.' || status;
            number := nextval('kgsource.outbox_seq');
            id := 'msg_' || replace(gen_random_uuid()::text, '-', '');
            BEGIN
                payload := %8$s;
            EXCEPTION WHEN OTHERS THEN
                RAISE WARNING 'the row cannot be turned into a payload' USING DETAIL = SQLERRM;
            END;
            INSERT INTO %9$s (seq, webhook_id, org_id, object_id, status, url, payload, created_at)
                VALUES (number, id, org, object_id, status, url, payload, clock_timestamp());
            RETURN NULL;
        END
        $t$ $f$, relation::oid, id_column, status_column, org, url, roles, event, members, outbox, settings);
    EXECUTE format('COMMENT ON FUNCTION kgsource.enqueue_%s() IS %L', relation::oid, format('trigger of %s: writes its events into %s', relation, outbox));
    EXECUTE format('CREATE OR REPLACE TRIGGER "0_kgsource_outbox" AFTER INSERT OR UPDATE ON %s FOR EACH ROW WHEN (%s) EXECUTE FUNCTION kgsource.enqueue_%s(%L)', relation,
                   kgsource.clause_of('NEW', columns), relation::oid, outbox);
    IF class.relkind = 'p' THEN
        EXECUTE format($f$
            CREATE OR REPLACE FUNCTION kgsource.leaving_%1$s() RETURNS trigger
                LANGUAGE plpgsql SECURITY DEFINER %5$s AS
            $t$
            DECLARE
                found text[];
            BEGIN
                BEGIN
                    found := ARRAY[OLD.%2$I::text, OLD.%3$I::text, %4$s];
                EXCEPTION WHEN OTHERS THEN
                    found := kgsource.read_columns(TG_RELID, TG_NAME, %6$L, OLD);
                END;
                PERFORM set_config('kgsource.left', md5(ARRAY[%1$L, coalesce(found[3], 'default'), found[1], found[2]]::text), true);
                RETURN NULL;
            END
            $t$ $f$, relation::oid, id_column, status_column, CASE WHEN org = '''default''' THEN 'NULL' ELSE format('OLD.%I::text', org_column) END, settings, roles);
        EXECUTE format('COMMENT ON FUNCTION kgsource.leaving_%s() IS %L', relation::oid, format('trigger of %s: remembers the row that was deleted last', relation));
        EXECUTE format('CREATE OR REPLACE TRIGGER zz_kgsource_leaving AFTER DELETE ON %s FOR EACH ROW WHEN (%s) EXECUTE FUNCTION kgsource.leaving_%s()', relation, kgsource.clause_of('OLD', columns), relation::oid);
    END IF;
    RETURN to_regclass(outbox)::oid;
END
$$;
COMMENT ON FUNCTION kgsource.make_outbox(pg_catalog.regclass) IS 'makes the outbox of a table, and the trigger that writes it';

/* What is gone here goes at the nodes, too. */
CREATE OR REPLACE FUNCTION kgsource.purge_outbox(older_than pg_catalog.interval) RETURNS pg_catalog.int8
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    outbox regclass;
    purged int8;
    total int8 := 0;
BEGIN
    FOR outbox IN SELECT c.oid FROM pg_class c WHERE c.relnamespace = 'kgsource'::regnamespace AND c.relkind = 'r' AND c.relname LIKE '%\_outbox' LOOP
        EXECUTE format('DELETE FROM %s WHERE created_at < pg_catalog.clock_timestamp() - $1', outbox) USING older_than;
        GET DIAGNOSTICS purged = ROW_COUNT;
        total := total + purged;
    END LOOP;
    RETURN total;
END
$$;
COMMENT ON FUNCTION kgsource.purge_outbox(pg_catalog.interval) IS 'deletes events that are older, here and at the nodes; returns how many';

/*
 * Versions.  An event's identifier is made of its object, its status and the version of
 * the row, so that it is the same on every node and by every way: stream, copy or
 * comparison.  So a row that changes needs another version, by whatever way it changes.
 */
DO $$
DECLARE
    relation regclass;
    name text;
    wanted text := current_setting('kgsource.version_column');
    type regtype;
    part record;
BEGIN
    CREATE TEMP TABLE kgsource_tables (relation oid, published oid) ON COMMIT DROP;
    FOREACH name IN ARRAY string_to_array(current_setting('kgsource.tables'), ',') LOOP
        relation := to_regclass(trim(name));
        IF relation IS NULL THEN
            RAISE EXCEPTION 'table "%" does not exist', trim(name)
                USING ERRCODE = 'undefined_table',
                      HINT = 'psql -v tables=''schema.table, ...'' -f kgwebhook-source.sql names the tables.';
        END IF;
        IF current_setting('kgsource.outbox') IN ('on', 'true', '1') THEN
            INSERT INTO pg_temp.kgsource_tables VALUES (relation, kgsource.make_outbox(relation));
            CONTINUE;
        END IF;
        PERFORM kgsource.check_table(relation, current_setting('kgsource.node_role'));
        INSERT INTO pg_temp.kgsource_tables VALUES (relation, relation);
        SELECT a.atttypid INTO type FROM pg_attribute a
         WHERE a.attrelid = relation AND a.attname = wanted AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '';
        IF NOT FOUND THEN
            RAISE WARNING 'table % has no column "%"', relation, wanted
                USING DETAIL = 'Events of it get other identifiers when they are made again: by kg_resync(), kg_announce(), or on another node.',
                      HINT = 'Add a column updated_at timestamptz NOT NULL DEFAULT now(), or name the one that there is: -v version_column=...';
        ELSIF current_setting('kgsource.set_version') IN ('on', 'true', '1') AND type IN ('timestamptz'::regtype, 'timestamp'::regtype) THEN
            PERFORM kgsource.make_way(relation, 'set_' || relation::oid);
            EXECUTE format($f$
                CREATE OR REPLACE FUNCTION kgsource.set_%1$s() RETURNS trigger LANGUAGE plpgsql AS
                $t$
                DECLARE
                    renamed pg_catalog.name;
                    was %3$s;
                    becomes %3$s;
                BEGIN
                    BEGIN
                        IF TG_OP = 'INSERT' THEN
                            NEW.%2$I := coalesce(NEW.%2$I, pg_catalog.clock_timestamp());
                        ELSIF NEW.%2$I IS NOT DISTINCT FROM OLD.%2$I THEN
                            NEW.%2$I := greatest(pg_catalog.clock_timestamp()::%3$s,
                                                 OLD.%2$I OPERATOR(pg_catalog.+) '1 microsecond'::pg_catalog.interval);
                        END IF;
                        RETURN NEW;
                    EXCEPTION WHEN OTHERS THEN
                        RAISE WARNING 'columns of table %% are not what they were', TG_RELID::pg_catalog.regclass
                            USING DETAIL = SQLERRM, HINT = 'Run kgwebhook-source.sql again, with the columns'' names.';
                    END;
                    -- it was renamed: the payment commits anyway, with a version
                    BEGIN
                        -- as kgsource.columns_of(), which the writers of payments may not call
                        SELECT (pg_catalog.parse_ident((pg_catalog.regexp_match(pg_catalog.pg_get_triggerdef(t.oid), '[(]new[.]("(?:[^"]|"")+"|[^ )]+)'))[1]))[1]
                          INTO renamed FROM pg_catalog.pg_trigger t
                         WHERE t.tgrelid OPERATOR(pg_catalog.=) TG_RELID AND t.tgname OPERATOR(pg_catalog.=) TG_NAME;
                        EXECUTE pg_catalog.format('SELECT ($1).%%I', renamed) INTO becomes USING NEW;
                        IF TG_OP = 'UPDATE' THEN
                            EXECUTE pg_catalog.format('SELECT ($1).%%I', renamed) INTO was USING OLD;
                        END IF;
                        IF becomes IS NULL AND TG_OP = 'INSERT' OR TG_OP = 'UPDATE' AND becomes IS NOT DISTINCT FROM was THEN
                            becomes := greatest(pg_catalog.clock_timestamp()::%3$s, was OPERATOR(pg_catalog.+) '1 microsecond'::pg_catalog.interval);
                            NEW := pg_catalog.jsonb_populate_record(NEW, pg_catalog.jsonb_build_object(renamed, becomes));
                        END IF;
                    EXCEPTION WHEN OTHERS THEN
                        NULL;
                    END;
                    RETURN NEW;
                END
                $t$ $f$, relation::oid, wanted, type);
            EXECUTE format('COMMENT ON FUNCTION kgsource.set_%s() IS %L', relation::oid,
                           format('trigger of %s: a row that changes has another %I', relation, wanted));
            -- always true; by it, the column cannot be dropped from under the trigger, which would fail each payment
            EXECUTE format('CREATE OR REPLACE TRIGGER zz_kgsource_version BEFORE INSERT OR UPDATE ON %s FOR EACH ROW WHEN (NEW.%3$I IS NULL OR NEW.%3$I IS NOT NULL) EXECUTE FUNCTION kgsource.set_%2$s()',
                           relation, relation::oid, wanted);
        END IF;
    END LOOP;
END
$$;

/*
 * The door: what could only become an invalid delivery is refused while the caller can
 * still act, with the errors of the ready-made tables of kgwebhook.
 */

/* Why a URL could not be called, or NULL.  Only a node knows its settings: https at any port is let through. */
CREATE OR REPLACE FUNCTION kgsource.url_problem(url pg_catalog.text) RETURNS pg_catalog.text
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    rest text := regexp_replace(url, '^https?://', '');
    authority text := substring(rest FROM '^[^/?#]*');
    tail text := substr(rest, length(authority) + 1);
    host text := authority;
    port text;
BEGIN
    IF octet_length(url) > 2048 THEN
        RETURN 'longer than 2048 bytes';
    ELSIF url ~ '[\x01-\x1f\x7f]' THEN
        RETURN 'control character in it';
    ELSIF strpos(url, '\') > 0 THEN
        RETURN 'backslash in it';
    ELSIF rest = url THEN
        RETURN 'scheme is not https or http';
    ELSIF strpos(split_part(rest, '/', 1), '@') > 0 THEN
        RETURN 'user name or password in it';
    ELSIF host LIKE '[%' THEN
        IF strpos(host, ']') = 0 THEN
            RETURN 'host has ''['' without '']''';
        END IF;
        port := nullif(substr(host, strpos(host, ']') + 1), '');
        host := substr(host, 2, strpos(host, ']') - 2);
        BEGIN
            IF host !~ '^[0-9A-Fa-f:.]+$' OR family(host::inet) <> 6 THEN
                RETURN 'host in brackets is not an IPv6 address without a zone';
            END IF;
        EXCEPTION WHEN OTHERS THEN
            RETURN 'host in brackets is not an IPv6 address without a zone';
        END;
        IF port NOT LIKE ':%' THEN
            RETURN 'something other than a port follows the host in brackets';
        END IF;
    ELSE
        IF strpos(host, ':') > 0 THEN
            port := substr(host, strpos(host, ':'));
            host := split_part(host, ':', 1);
        END IF;
        IF host = '' THEN
            RETURN 'host is empty';
        ELSIF host !~ '^[A-Za-z0-9_.-]+$' THEN
            RETURN 'host has a character that is not ASCII letters, digits, ''-'', ''_'' or ''.''';
        ELSIF length(host) > 253 THEN
            RETURN 'host is longer than 253 bytes';
        ELSIF host ~ '[^.]{64}' THEN
            RETURN 'host has a label longer than 63 bytes';
        ELSIF host ~ '^[.]|[.][.]' THEN
            RETURN 'host has an empty label';
        ELSIF host ~ '[.]$' THEN
            RETURN 'host ends in a dot';
        END IF;
    END IF;
    IF port IS NOT NULL AND (port !~ '^:[0-9]{1,5}$' OR substr(port, 2)::int NOT BETWEEN 1 AND 65535) THEN
        RETURN 'port is not a number from 1 to 65535';
    END IF;
    RETURN CASE WHEN tail ~ '[^\x01-\x7e]' THEN 'character in it that is not ASCII'
                WHEN tail ~ '[ "<>^`{}|]' THEN 'character in it that must be percent-encoded' END;
END
$$;
COMMENT ON FUNCTION kgsource.url_problem(pg_catalog.text) IS 'why a URL could not be called; NULL: it could';

/* A number that a double cannot hold exactly, with its place, or what is nested too deep. */
CREATE OR REPLACE FUNCTION kgsource.json_problem(document pg_catalog.jsonb, place pg_catalog.text) RETURNS pg_catalog.text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1
    AS $$
    WITH RECURSIVE walk AS (
        SELECT document AS value, place, 1 AS depth
        UNION ALL
        SELECT c.value, w.place || '/' || c.key, w.depth + 1
          FROM walk w
         CROSS JOIN LATERAL (
            SELECT o.key, o.value FROM jsonb_each(CASE jsonb_typeof(w.value) WHEN 'object' THEN w.value ELSE '{}' END) o
            UNION ALL
            SELECT (e.n - 1)::text, e.value FROM jsonb_array_elements(CASE jsonb_typeof(w.value) WHEN 'array' THEN w.value ELSE '[]' END) WITH ORDINALITY e (value, n)) c
         WHERE w.depth < 512 AND jsonb_typeof(c.value) IN ('number', 'object', 'array'))
    SELECT CASE jsonb_typeof(w.value) WHEN 'number'
                THEN format('Number %s at %s cannot be held exactly by a double.',
                            CASE WHEN length(w.value::text) > 40 THEN left(w.value::text, 40) || '...' ELSE w.value::text END, w.place)
                ELSE 'More than 512 arrays and objects inside each other.' END
      FROM walk w
     WHERE CASE jsonb_typeof(w.value)
           WHEN 'number' THEN CASE WHEN abs(w.value::numeric) > 1.7976931348623157e308 OR w.value::numeric <> 0 AND abs(w.value::numeric) < 5e-324 THEN true
                                   /* up to 15 digits always come back, and 1e23 as another text of the same number */
                                   ELSE w.value::numeric::float8::text::numeric <> w.value::numeric
                                        AND length(trim(BOTH '0' FROM regexp_replace(w.value::numeric::text, '[^0-9]', '', 'g'))) > 15 END
           ELSE w.depth = 512 END
     LIMIT 1
$$;
COMMENT ON FUNCTION kgsource.json_problem(pg_catalog.jsonb, pg_catalog.text) IS 'why a document could not be canonicalized exactly; NULL: it could';

/* With its owner's rights: who writes payments may not use kgsource. */
CREATE OR REPLACE FUNCTION kgsource.check_door() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    machine CONSTANT text := TG_ARGV[0];
    /* from the first to all others; the status of a new one is after the empty one */
    transitions CONSTANT jsonb := CASE machine
        WHEN 'payment_intent' THEN '{"": ["pending"], "pending": ["success", "expired", "cancelled"], "success": ["refunded"], "expired": ["success", "refunded"], "cancelled": ["refunded"], "refunded": []}'
        ELSE '{"": ["pending"], "pending": ["processing", "success", "failed", "cancelled"], "processing": ["success", "failed"], "success": [], "failed": [], "cancelled": []}' END::jsonb;
    statuses CONSTANT text := CASE machine WHEN 'payment_intent' THEN 'pending, success, expired, refunded, cancelled' ELSE 'pending, processing, success, failed, cancelled' END;
    new_row CONSTANT jsonb := to_jsonb(NEW);
    old_row CONSTANT jsonb := CASE TG_OP WHEN 'UPDATE' THEN to_jsonb(OLD) END;
    was text := coalesce(old_row ->> 'status', '');
    becomes text := new_row ->> 'status';
    allowed text := (SELECT string_agg(t, ', ') FROM jsonb_array_elements_text(transitions -> was) t);
    problem text;
BEGIN
    IF becomes IS NOT NULL THEN
        IF becomes = '' OR NOT transitions ? becomes THEN
            RAISE EXCEPTION '"%" is not a status of a %', becomes, machine
                USING ERRCODE = 'check_violation', DETAIL = format('The statuses are %s.', statuses),
                      HINT = 'Use one of them, or watch a table of your own with kg_watch().';
        ELSIF was <> becomes AND NOT coalesce(transitions -> was ? becomes, false) THEN
            IF was = '' THEN
                RAISE EXCEPTION 'a new % cannot be "%"', machine, becomes
                    USING ERRCODE = 'check_violation', DETAIL = format('It begins as %s.', allowed), HINT = format('Insert it as %s and update its status.', allowed);
            END IF;
            RAISE EXCEPTION '% cannot go from "%" to "%"', machine, was, becomes
                USING ERRCODE = 'check_violation',
                      DETAIL = CASE WHEN allowed IS NULL THEN format('"%s" is final.', was) ELSE format('From "%s" it can go to %s.', was, allowed) END,
                      HINT = 'Read the status again: another transaction may have changed it.';
        END IF;
    END IF;
    IF new_row ->> 'callback_url' IS NOT NULL AND new_row ->> 'callback_url' IS DISTINCT FROM old_row ->> 'callback_url' THEN
        problem := kgsource.url_problem(new_row ->> 'callback_url');
        IF problem IS NOT NULL THEN
            RAISE EXCEPTION 'callback_url cannot be called'
                USING ERRCODE = 'invalid_parameter_value', DETAIL = format('The URL is refused: %s.', problem), HINT = 'Give a URL such as https://merchant.example/webhooks.';
        END IF;
    END IF;
    IF new_row ->> 'order_data' IS NOT NULL AND new_row -> 'order_data' IS DISTINCT FROM old_row -> 'order_data' THEN
        IF octet_length((new_row -> 'order_data')::text) > 524288 THEN
            RAISE EXCEPTION 'order_data is too large'
                USING ERRCODE = 'program_limit_exceeded', DETAIL = format('It has %s bytes; 524288 are allowed.', octet_length((new_row -> 'order_data')::text)),
                      HINT = 'Keep the document elsewhere and put a reference into order_data.';
        END IF;
        problem := kgsource.json_problem(new_row -> 'order_data', '/order_data');
        IF problem IS NOT NULL THEN
            RAISE EXCEPTION 'order_data cannot be canonicalized exactly'
                USING ERRCODE = CASE WHEN problem LIKE 'Number %' THEN 'numeric_value_out_of_range' ELSE 'program_limit_exceeded' END, DETAIL = problem,
                      HINT = CASE WHEN problem LIKE 'Number %' THEN 'Send it as a string.' ELSE 'Send the deep part as a string.' END;
        END IF;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION kgsource.check_door() IS 'trigger: refuses what could only become an invalid delivery';

DO $$
DECLARE
    door text := current_setting('kgsource.door');
    name text;
BEGIN
    IF door NOT IN ('', 'off', 'payment_intent', 'transfer') THEN
        RAISE EXCEPTION 'there is no door "%"', door
            USING ERRCODE = 'invalid_parameter_value', HINT = 'It is payment_intent, transfer or off.';
    END IF;
    FOREACH name IN ARRAY string_to_array(current_setting('kgsource.tables'), ',') LOOP
        IF door = 'off' THEN
            EXECUTE format('DROP TRIGGER IF EXISTS kgsource_check ON %s', to_regclass(trim(name)));
        ELSIF door <> '' THEN
            EXECUTE format('CREATE OR REPLACE TRIGGER kgsource_check BEFORE INSERT OR UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION kgsource.check_door(%L)', to_regclass(trim(name)), door);
        END IF;
    END LOOP;
END
$$;

/*
 * The publication: whole tables, without filters.  A filter on a column outside of the
 * replica identity would make every UPDATE fail.
 */
DO $$
DECLARE
    publication text := current_setting('kgsource.publication');
    node_role text := current_setting('kgsource.node_role');
    pub pg_publication;
    fault record;
BEGIN
    SELECT * INTO pub FROM pg_publication p WHERE p.pubname = publication;
    IF NOT FOUND THEN
        EXECUTE format('CREATE PUBLICATION %I WITH (publish_via_partition_root = true)', publication);
        SELECT * INTO pub FROM pg_publication p WHERE p.pubname = publication;
    END IF;
    IF pub.puballtables THEN
        RAISE EXCEPTION 'publication "%" has all tables', publication
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'A node would need each of them, and a table without a primary key could not be updated.',
                  HINT = 'Choose another name: -v publication=...';
    ELSIF NOT (pub.pubinsert AND pub.pubupdate AND pub.pubdelete) THEN
        RAISE EXCEPTION 'publication "%" leaves out some changes', publication
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = format('ALTER PUBLICATION %I SET (publish = ''insert, update, delete, truncate'');', publication);
    ELSIF NOT pub.pubviaroot THEN
        EXECUTE format('ALTER PUBLICATION %I SET (publish_via_partition_root = true)', publication);
    END IF;
    FOR fault IN SELECT r.prrelid::regclass AS name FROM pg_publication_rel r
                  WHERE r.prpubid = pub.oid AND (r.prqual IS NOT NULL OR r.prattrs IS NOT NULL)
    LOOP
        RAISE EXCEPTION 'publication "%" has a filter or a list of columns for table %', publication, fault.name
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'Columns outside of the replica identity in a filter make every UPDATE fail, and rows that leave it are deleted at the nodes.',
                  HINT = format('ALTER PUBLICATION %I SET TABLE %s;', publication, fault.name);
    END LOOP;
    FOR fault IN SELECT t.name FROM (SELECT k.published::regclass FROM pg_temp.kgsource_tables k
                                      UNION SELECT 'kgsource.stream'::regclass) t (name)
                  WHERE NOT EXISTS (SELECT FROM pg_publication_rel r WHERE r.prpubid = pub.oid AND r.prrelid = t.name)
    LOOP
        EXECUTE format('ALTER PUBLICATION %I ADD TABLE %s', publication, fault.name);
    END LOOP;
    REVOKE ALL ON ALL FUNCTIONS IN SCHEMA kgsource FROM PUBLIC;
    IF node_role <> '' THEN
        EXECUTE format('GRANT USAGE ON SCHEMA kgsource TO %I', node_role);
        EXECUTE format('GRANT SELECT ON kgsource.route, kgsource.heartbeat, kgsource.stream TO %I', node_role);
        -- what nodes call; with a trigger's function, a role writes events by a table of its own
        IF NOT EXISTS (SELECT FROM pg_proc p WHERE p.pronamespace = 'kgsource'::regnamespace AND p.proowner = (SELECT r.oid FROM pg_roles r WHERE r.rolname = node_role)) THEN
            EXECUTE format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA kgsource FROM %I', node_role);
        END IF;
        EXECUTE format('GRANT EXECUTE ON FUNCTION kgsource.enroll, kgsource.beat, kgsource.leave, kgsource.release, kgsource.hand_over, kgsource.owner_of TO %I', node_role);
        FOR fault IN SELECT k.published::regclass AS name, n.nspname
                       FROM pg_temp.kgsource_tables k JOIN pg_class c ON c.oid = k.published JOIN pg_namespace n ON n.oid = c.relnamespace
        LOOP
            EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', fault.nspname, node_role);
            EXECUTE format('GRANT SELECT ON %s TO %I', fault.name, node_role);
        END LOOP;
    END IF;
    -- a new partition gets the triggers, by its owner's leave; a payment without a partition fails
    FOR fault IN SELECT DISTINCT t.tgfoid::regprocedure AS name, c.relowner::regrole AS owner
                   FROM pg_temp.kgsource_tables k JOIN pg_class c ON c.oid = k.relation JOIN pg_trigger t ON t.tgrelid = c.oid JOIN pg_proc p ON p.oid = t.tgfoid
                  WHERE p.pronamespace = 'kgsource'::regnamespace AND p.proowner <> c.relowner
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', fault.name, fault.owner);
    END LOOP;
END
$$;
COMMIT;
