/*
 * install/follow.sql
 *		Following a source: kg_follow() and kg_unfollow().
 */

/* The table that routes and heartbeats arrive at: its trigger takes them on their way in. */
CREATE FUNCTION kgwebhook.make_stream() RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    IF to_regclass('kgsource.route') IS NOT NULL THEN
        RAISE EXCEPTION 'this database is a source itself'
            USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = 'It has been prepared by kgwebhook-source.sql.',
                  HINT = 'Follow from another database, or DROP SCHEMA kgsource CASCADE here if no node follows it.';
    ELSIF to_regclass('kgsource.stream') IS NOT NULL THEN
        RETURN;
    END IF;
    CREATE SCHEMA IF NOT EXISTS kgsource;
    COMMENT ON SCHEMA kgsource IS 'what arrives from sources besides the payments';
    CREATE TABLE kgsource.stream (
        seq int8 PRIMARY KEY, what text NOT NULL, name text NOT NULL, node text, previous text, released bool, n int8, at timestamptz);
    COMMENT ON TABLE kgsource.stream IS 'routes and heartbeats on their way from sources to kgwebhook.route; always empty';
    CREATE TRIGGER take BEFORE INSERT ON kgsource.stream FOR EACH ROW EXECUTE FUNCTION kgwebhook.take_stream();
    ALTER TABLE kgsource.stream ENABLE REPLICA TRIGGER take;
    ALTER TRIGGER take ON kgsource.stream DEPENDS ON EXTENSION kgwebhook;
END
$$;
COMMENT ON FUNCTION kgwebhook.make_stream() IS
  'creates the table that routes and heartbeats arrive at';

/*
 * An object is its organization, kind and identifier.  Two sources know nothing of each
 * other's identifiers: with one kind, an order of one would hold, supersede or, under the
 * same webhook-id, hide that of the other.
 */
CREATE FUNCTION kgwebhook.refuse_shared_kind() RETURNS pg_catalog.trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    other kgwebhook.watch;
BEGIN
    SELECT * INTO other FROM kgwebhook.watch w WHERE w.event = NEW.event AND w.source <> NEW.source LIMIT 1 FOR UPDATE;
    IF FOUND THEN
        RAISE EXCEPTION 'tables % and % would both make events "%"', other.relation, NEW.relation, NEW.event
            USING ERRCODE = 'duplicate_object',
                  DETAIL = format('They are followed from sources "%s" and "%s", whose objects can have equal identifiers: events of one would hold up or replace those of the other.', other.source, NEW.source),
                  HINT = 'Call kg_watch() for one of them with another event, or follow the source from another database, which this server may have as well.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION kgwebhook.refuse_shared_kind() IS
  'trigger of kgwebhook.watch: refuses a kind of event whose objects come from two sources';

CREATE TRIGGER refuse_shared_kind
    BEFORE INSERT OR UPDATE OF event, source ON kgwebhook.watch
    FOR EACH ROW WHEN (NEW.source IS NOT NULL) EXECUTE FUNCTION kgwebhook.refuse_shared_kind();
COMMENT ON TRIGGER refuse_shared_kind ON kgwebhook.watch IS 'keeps objects of two sources apart';

/* Called before a slot is created: it may be there although its creation was interrupted. */
CREATE FUNCTION kgwebhook.drop_slot_at_abort(source pg_catalog.text, slot pg_catalog.text) RETURNS pg_catalog.void
    LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT kgwebhook.at_source_end(source, format('SELECT pg_catalog.pg_drop_replication_slot(s.slot_name) FROM pg_catalog.pg_replication_slots s WHERE s.slot_name = %L', slot), false, '')
$$;
COMMENT ON FUNCTION kgwebhook.drop_slot_at_abort(pg_catalog.text, pg_catalog.text) IS
  'drops a slot at a source, if there is one, should this transaction be rolled back';

/* A slot at the source; it goes again should this transaction be rolled back. */
CREATE FUNCTION kgwebhook.make_slot(source pg_catalog.text, slot pg_catalog.text, version pg_catalog.int4, two_phase pg_catalog.bool) RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    PERFORM kgwebhook.drop_slot_at_abort(source, slot);
    PERFORM kgwebhook.at_source(source, format('SELECT slot_name FROM pg_catalog.pg_create_logical_replication_slot(%L, ''pgoutput'', false, false%s)',
                                               slot, CASE WHEN kgwebhook.has_failover_slots(version, two_phase) THEN ', true' END));
END
$$;
COMMENT ON FUNCTION kgwebhook.make_slot(pg_catalog.text, pg_catalog.text, pg_catalog.int4, pg_catalog.bool) IS
  'creates a replication slot at a source, which a rollback drops again';

/* Slots that go with a failover came with 17; together with two_phase, with 18. */
CREATE FUNCTION kgwebhook.has_failover_slots(version pg_catalog.int4, two_phase pg_catalog.bool) RETURNS pg_catalog.bool
    LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT version >= CASE WHEN two_phase THEN 180000 ELSE 170000 END
$$;
COMMENT ON FUNCTION kgwebhook.has_failover_slots(pg_catalog.int4, pg_catalog.bool) IS
  'whether a replication slot can survive a failover of the source';

/* Options of the subscription.  Never streaming = parallel: two transactions applied at once could disagree on who serves. */
CREATE FUNCTION kgwebhook.subscription_options(version pg_catalog.int4, two_phase pg_catalog.bool) RETURNS pg_catalog.text[]
    LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT ARRAY['streaming', 'on', 'synchronous_commit', CASE current_setting('synchronous_standby_names') WHEN '' THEN 'off' ELSE 'on' END]
           || CASE WHEN kgwebhook.has_failover_slots(least(version, current_setting('server_version_num')::int), two_phase)
                   THEN ARRAY['failover', 'true'] ELSE '{}'::text[] END
           || CASE WHEN two_phase THEN ARRAY['two_phase', 'true'] ELSE '{}'::text[] END
$$;
COMMENT ON FUNCTION kgwebhook.subscription_options(pg_catalog.int4, pg_catalog.bool) IS
  'options of the subscription that follows a source';

CREATE FUNCTION kgwebhook.follow(source pg_catalog.text, conninfo pg_catalog.text, relation pg_catalog.regclass, node pg_catalog.text, publication pg_catalog.text, announce_since pg_catalog.timestamptz, two_phase pg_catalog.bool) RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    there jsonb;
    slot text;
    subscription text := kgwebhook.name_for_source(source, source);
    first bool;
    watched regclass;
BEGIN
    IF source = '' OR node = '' OR source ~ '\n' OR node ~ '\n' OR length(source) > 63 OR length(node) > 63 THEN
        RAISE EXCEPTION 'a source and a node have names of 1 to 63 characters'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Choose names such as shop and n1.';
    ELSIF EXISTS (SELECT FROM kgwebhook.source s WHERE s.source = follow.source) THEN
        RAISE EXCEPTION 'source "%" is followed already', source
            USING ERRCODE = 'duplicate_object', HINT = 'kg_unfollow() ends it.';
    ELSIF two_phase AND current_setting('max_prepared_transactions')::int = 0 THEN
        RAISE EXCEPTION 'this server cannot prepare transactions'
            USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = 'With two_phase, what is prepared at the source is prepared here.',
                  HINT = 'Increase max_prepared_transactions, and restart it.';
    END IF;
    PERFORM kgwebhook.open_source(source, conninfo);
    there := kgwebhook.describe_source(source, publication);
    PERFORM kgwebhook.check_source(source, publication, relation, there);
    PERFORM kgwebhook.make_stream();
    slot := kgwebhook.name_for_source(node, format('%s/%s', there ->> 'database_oid', node));
    SELECT a::bool INTO first FROM kgwebhook.at_source(source, format('SELECT kgsource.enroll(%L, %L)', node, two_phase)) a;
    PERFORM kgwebhook.at_source_end(source, format('SELECT kgsource.leave(%L)', node), false, '');
    IF EXISTS (SELECT FROM kgwebhook.at_source(source, format('SELECT slot_name FROM pg_catalog.pg_replication_slots WHERE slot_name = %L', slot))) THEN
        RAISE EXCEPTION 'source "%" has a replication slot "%" already', source, slot
            USING ERRCODE = 'duplicate_object',
                  DETAIL = 'What it has passed over is lost to a node that begins by it.',
                  HINT = format('If no node uses it any more, at the source: SELECT pg_drop_replication_slot(%L);', slot);
    END IF;
    PERFORM kgwebhook.make_slot(source, slot, (there ->> 'version')::int, two_phase);
    INSERT INTO kgwebhook.source (source, node, subscription, slot, publication, announce_since, joined, two_phase)
        VALUES (follow.source, follow.node, subscription, slot, follow.publication, follow.announce_since, first, follow.two_phase);
    PERFORM kgwebhook.read_routes(source);
    FOR watched IN SELECT w.relation FROM kgwebhook.watch w, jsonb_array_elements(there -> 'tables') e
                    WHERE w.relation = to_regclass(format('%I.%I', e ->> 'schema', e ->> 'name')) LOOP
        PERFORM kgwebhook.mark_followed(watched, source, node);
    END LOOP;
    PERFORM kgwebhook.make_subscription(source, subscription, publication, slot, true, kgwebhook.subscription_options((there ->> 'version')::int, two_phase));
END
$$;
COMMENT ON FUNCTION kgwebhook.follow(pg_catalog.text, pg_catalog.text, pg_catalog.regclass, pg_catalog.text, pg_catalog.text, pg_catalog.timestamptz, pg_catalog.bool) IS
  'what kg_follow() does';

CREATE FUNCTION @extschema@.kg_follow(
    source pg_catalog.text,
    conninfo pg_catalog.text,
    relation pg_catalog.regclass,
    node pg_catalog.text,
    publication pg_catalog.text DEFAULT 'kgwebhook',
    announce_since pg_catalog.timestamptz DEFAULT NULL,
    two_phase pg_catalog.bool DEFAULT false) RETURNS pg_catalog.void
    LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_follow';
COMMENT ON FUNCTION @extschema@.kg_follow(pg_catalog.text, pg_catalog.text, pg_catalog.regclass, pg_catalog.text, pg_catalog.text, pg_catalog.timestamptz, pg_catalog.bool) IS
  'follows a source: sends, as one of its delivery nodes, the events of a table that is written there';

CREATE FUNCTION @extschema@.kg_unfollow(source pg_catalog.text) RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    s kgwebhook.source;
    watched regclass;
    by_hand text;
BEGIN
    SELECT * INTO s FROM kgwebhook.source k WHERE k.source = kg_unfollow.source FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'source "%" is not followed', source
            USING ERRCODE = 'undefined_object', HINT = 'SELECT source FROM kgwebhook.sources shows those that are.';
    END IF;
    by_hand := format('SELECT kgsource.leave(%L); SELECT pg_drop_replication_slot(%L);', s.node, s.slot);
    BEGIN
        IF EXISTS (SELECT FROM kgwebhook.at_source(source, format('SELECT slot_name FROM pg_catalog.pg_replication_slots WHERE slot_name = %L', s.slot))) THEN
            PERFORM kgwebhook.at_source_end(source, format('DROP_REPLICATION_SLOT %s WAIT', s.slot), true, by_hand);
        END IF;
        PERFORM kgwebhook.at_source_end(source, format('SELECT kgsource.leave(%L)', s.node), true, by_hand);
    EXCEPTION WHEN connection_exception OR undefined_object THEN
        RAISE WARNING 'source "%" cannot be reached, and keeps its WAL for this node', source
            USING DETAIL = SQLERRM, HINT = format('Run this there, or its disk fills up: %s', by_hand);
    END;
    IF EXISTS (SELECT FROM pg_subscription b WHERE b.subname = s.subscription) THEN
        PERFORM kgwebhook.remove_subscription(s.subscription);
    END IF;
    FOR watched IN SELECT w.relation FROM kgwebhook.watch w WHERE w.source = kg_unfollow.source LOOP
        PERFORM kgwebhook.mark_followed(watched, NULL, NULL);
    END LOOP;
    DELETE FROM kgwebhook.route r WHERE r.source = kg_unfollow.source;
    PERFORM kgwebhook.release_held(source, true);
    DELETE FROM kgwebhook.source_look l WHERE l.source = kg_unfollow.source;
    DELETE FROM kgwebhook.source k WHERE k.source = kg_unfollow.source;
END
$$;
COMMENT ON FUNCTION @extschema@.kg_unfollow(pg_catalog.text) IS
  'ends following a source: drops the subscription and its replication slot; what is queued is still delivered';
