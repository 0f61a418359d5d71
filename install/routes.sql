/*
 * install/routes.sql
 *		Which node serves an organization: what arrives in the stream, moves, releases.
 */

CREATE FUNCTION kgwebhook.routes_changed() RETURNS pg_catalog.trigger
    LANGUAGE c
    AS 'MODULE_PATHNAME', 'kg_routes_changed';
COMMENT ON FUNCTION kgwebhook.routes_changed() IS
  'trigger of kgwebhook.route: makes every process forget what it knows of routes';

CREATE FUNCTION kgwebhook.route_state(source pg_catalog.text, node pg_catalog.text, org_id pg_catalog.text) RETURNS pg_catalog.text
    LANGUAGE c STRICT VOLATILE
    AS 'MODULE_PATHNAME', 'kg_route_state';
COMMENT ON FUNCTION kgwebhook.route_state(pg_catalog.text, pg_catalog.text, pg_catalog.text) IS
  'whether a node serves an organization: mine, held (until the one before has released it) or other';

CREATE TRIGGER routes_changed AFTER INSERT OR UPDATE OR DELETE ON kgwebhook.route
    FOR EACH ROW EXECUTE FUNCTION kgwebhook.routes_changed();
ALTER TABLE kgwebhook.route ENABLE ALWAYS TRIGGER routes_changed;
COMMENT ON TRIGGER routes_changed ON kgwebhook.route IS 'makes every process forget what it knows of routes';

CREATE TRIGGER invalidate_workers
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON kgwebhook.source
    FOR EACH STATEMENT EXECUTE FUNCTION kgwebhook.invalidate_workers();
COMMENT ON TRIGGER invalidate_workers ON kgwebhook.source IS 'makes the first worker start the process that looks after sources';

/*
 * Put what was held into the queue, as far as it need not be held any longer: under the
 * numbers it has, which are lower than those of what comes next, and in this
 * transaction, by which workers find new rows.
 */
CREATE FUNCTION kgwebhook.release_held(source pg_catalog.text, everything pg_catalog.bool) RETURNS pg_catalog.int8
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    columns text := (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a
                      WHERE a.attrelid = 'kgwebhook.queue'::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> 'xid');
    released int8;
BEGIN
    EXECUTE format($q$
        WITH free AS (
            SELECT o.org_id FROM (SELECT DISTINCT h.org_id FROM kgwebhook.held h WHERE h.source = $1) o
             WHERE $2 OR kgwebhook.route_state($1, (SELECT s.node FROM kgwebhook.source s WHERE s.source = $1), o.org_id) <> 'held'),
        taken AS (
            DELETE FROM kgwebhook.held h USING free f WHERE h.source = $1 AND h.org_id = f.org_id RETURNING h.*)
        INSERT INTO kgwebhook.queue (%1$s) SELECT %1$s FROM taken ORDER BY delivery_id $q$, columns) USING source, everything;
    GET DIAGNOSTICS released = ROW_COUNT;
    PERFORM kgwebhook.wake_workers(released::int4);
    RETURN released;
END
$$;
COMMENT ON FUNCTION kgwebhook.release_held(pg_catalog.text, pg_catalog.bool) IS
  'queues what was held of organizations that have been released';

/* Note a route of a source, unless a later one is known. */
CREATE FUNCTION kgwebhook.note_route(source pg_catalog.text, org_id pg_catalog.text, node pg_catalog.text, previous pg_catalog.text, released pg_catalog.bool, seq pg_catalog.int8) RETURNS pg_catalog.void
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    INSERT INTO kgwebhook.route AS r (source, org_id, node, previous, released, seq)
        VALUES (note_route.source, note_route.org_id, note_route.node, note_route.previous, note_route.released, note_route.seq)
        ON CONFLICT ON CONSTRAINT route_pkey DO UPDATE
           SET node = excluded.node, previous = excluded.previous, released = excluded.released, seq = excluded.seq,
               since = CASE WHEN r.node = excluded.node AND r.released IS NOT DISTINCT FROM excluded.released THEN r.since ELSE excluded.since END
         WHERE r.seq < excluded.seq
$$;
COMMENT ON FUNCTION kgwebhook.note_route(pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.bool, pg_catalog.int8) IS
  'notes a route of a source, unless a later one is known';

/* The routes of a source as they are there now: one that is gone there goes here. */
CREATE FUNCTION kgwebhook.read_routes(source pg_catalog.text) RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    there jsonb;
BEGIN
    SELECT coalesce(jsonb_agg(a::jsonb), '[]') INTO there FROM kgwebhook.at_source(read_routes.source,
        'SELECT pg_catalog.row_to_json(s) FROM kgsource.stream s WHERE s.what IN (''route'', ''first'')') a;
    DELETE FROM kgwebhook.route k
     WHERE k.source = read_routes.source AND NOT EXISTS (SELECT FROM jsonb_array_elements(there) r WHERE r ->> 'name' = k.org_id);
    PERFORM kgwebhook.note_route(read_routes.source, r ->> 'name', r ->> 'node', r ->> 'previous', (r ->> 'released')::bool, (r ->> 'seq')::int8)
       FROM jsonb_array_elements(there) r;
END
$$;
COMMENT ON FUNCTION kgwebhook.read_routes(pg_catalog.text) IS
  'reads the routes of a source as they are there now';

/*
 * What arrives in kgsource.stream goes into our own tables, by source, and not into that
 * one: so two sources never meet there.
 */
CREATE FUNCTION kgwebhook.take_stream() RETURNS pg_catalog.trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    s kgwebhook.source;
BEGIN
    SELECT * INTO s FROM kgwebhook.source k WHERE k.subscription = kgwebhook.applying();
    IF NOT FOUND THEN
        RETURN NULL;
    ELSIF NEW.what = 'heartbeat' THEN
        IF NEW.name = s.node THEN
            UPDATE kgwebhook.source k
               SET beat = NEW.n, beat_at = NEW.at, beat_applied_at = clock_timestamp(), joined = true,
                   gaps = k.gaps + CASE WHEN NEW.n > k.beat + 1 THEN 1 ELSE 0 END
             WHERE k.source = s.source AND (k.beat IS NULL OR k.beat < NEW.n);
        END IF;
        RETURN NULL;
    ELSIF NEW.what = 'gone' THEN
        DELETE FROM kgwebhook.route r WHERE r.source = s.source AND r.org_id = NEW.name AND r.seq < NEW.seq;
    ELSE
        PERFORM kgwebhook.note_route(s.source, NEW.name, NEW.node, NEW.previous, NEW.released, NEW.seq);
    END IF;
    IF EXISTS (SELECT FROM kgwebhook.held h WHERE h.source = s.source) THEN
        PERFORM kgwebhook.release_held(s.source, false);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION kgwebhook.take_stream() IS
  'trigger of kgsource.stream on a node: takes routes and heartbeats as they are applied';

/*
 * Moving organizations
 */

/* The source that a function is about: the one that was named, or the only one. */
CREATE FUNCTION kgwebhook.which_source(source pg_catalog.text) RETURNS pg_catalog.text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    known text[] := (SELECT array_agg(s.source ORDER BY s.source) FROM kgwebhook.source s);
BEGIN
    IF source = ANY (known) THEN
        RETURN source;
    ELSIF source IS NOT NULL OR known IS NULL THEN
        RAISE EXCEPTION '%', CASE WHEN source IS NULL THEN 'no source is followed' ELSE format('source "%s" is not followed', source) END
            USING ERRCODE = 'undefined_object', HINT = 'SELECT source FROM kgwebhook.sources shows those that are.';
    ELSIF cardinality(known) > 1 THEN
        RAISE EXCEPTION 'several sources are followed'
            USING ERRCODE = 'ambiguous_parameter', DETAIL = format('They are: %s.', array_to_string(known, ', ')),
                  HINT = 'Pass source => one of them.';
    END IF;
    RETURN known[1];
END
$$;
COMMENT ON FUNCTION kgwebhook.which_source(pg_catalog.text) IS
  'the source that was named, or the only one';

CREATE FUNCTION @extschema@.kg_hand_over(org_id pg_catalog.text, node pg_catalog.text, source pg_catalog.text DEFAULT NULL) RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    PERFORM kgwebhook.at_source(kgwebhook.which_source(source), format('SELECT kgsource.hand_over(%L, %L)', org_id, node));
END
$$;
COMMENT ON FUNCTION @extschema@.kg_hand_over(pg_catalog.text, pg_catalog.text, pg_catalog.text) IS
  'moves an organization to another node; the same as an UPDATE of kgsource.route at the source';

CREATE FUNCTION @extschema@.kg_release(org_id pg_catalog.text, source pg_catalog.text DEFAULT NULL) RETURNS pg_catalog.bool
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    RETURN (SELECT a::bool FROM kgwebhook.at_source(kgwebhook.which_source(source), format('SELECT kgsource.release(%L)', org_id)) a);
END
$$;
COMMENT ON FUNCTION @extschema@.kg_release(pg_catalog.text, pg_catalog.text) IS
  'lets a node send what it holds of an organization, though the one before has not said that it is done';

/*
 * Takes turns over the other nodes.  An organization that is still on its way to this node is
 * moved on as soon as it has arrived.  What a node has without a route of its own, by
 * being the first, it keeps as long as no route says otherwise: so that is given one.
 */
CREATE FUNCTION @extschema@.kg_drain(
    node pg_catalog.text,
    source pg_catalog.text DEFAULT NULL,
    timeout pg_catalog.interval DEFAULT '5 minutes',
    OUT org_id pg_catalog.text,
    OUT moved_to pg_catalog.text,
    OUT released pg_catalog.bool) RETURNS SETOF pg_catalog.record
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    which text := kgwebhook.which_source(source);
    others text[];
    theirs text[];
    waiting text[];
    moving text[];
    until timestamptz := clock_timestamp() + timeout;
    n int := 0;
BEGIN
    SELECT array_agg(a) INTO others FROM kgwebhook.at_source(which,
        format('SELECT h.node FROM kgsource.heartbeat h WHERE h.joined AND h.node <> %L ORDER BY h.at < pg_catalog.clock_timestamp() - ''30 seconds''::pg_catalog.interval, h.node', node)) a;
    IF others IS NULL THEN
        RAISE EXCEPTION 'no other node follows source "%"', which
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Have another one follow first, by kg_follow().';
    END IF;
    SELECT array_agg(a) INTO theirs FROM kgwebhook.at_source(which, format(
        'SELECT r.org_id FROM kgsource.route r WHERE r.node = %1$L
         UNION SELECT ''*'' WHERE kgsource.owner_of(''*'') = %1$L ORDER BY 1', node)) a;
    waiting := coalesce(theirs, '{}');
    LOOP
        moving := '{}';
        FOREACH org_id IN ARRAY waiting LOOP
            BEGIN
                PERFORM kgwebhook.at_source(which, format('SELECT kgsource.hand_over(%L, %L)', org_id, others[1 + n % cardinality(others)]));
                n := n + 1;
            EXCEPTION WHEN object_in_use THEN
                moving := moving || org_id;
            END;
        END LOOP;
        waiting := moving;
        EXIT WHEN clock_timestamp() > until
               OR waiting = '{}' AND NOT EXISTS (SELECT FROM kgwebhook.at_source(which, format(
                    'SELECT r.org_id FROM kgsource.route r WHERE r.org_id = ANY (%L) AND NOT r.released', theirs)));
        PERFORM pg_sleep(0.1);
    END LOOP;
    RETURN QUERY SELECT r ->> 'org_id', r ->> 'node', (r ->> 'released')::bool
      FROM (SELECT a::jsonb FROM kgwebhook.at_source(which, format(
                'SELECT pg_catalog.row_to_json(r) FROM kgsource.route r WHERE r.org_id = ANY (%L) ORDER BY r.org_id', theirs)) a) q (r);
END
$$;
COMMENT ON FUNCTION @extschema@.kg_drain(pg_catalog.text, pg_catalog.text, pg_catalog.interval) IS
  'moves all organizations of a node to the others, and waits until it has released them';
