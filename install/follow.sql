/*
 * install/follow.sql
 *		Following a source: kg_follow(), kg_unfollow(), and what they are made of.
 */

/*
 * The functions of this part run with the rights of the caller, who has to be a
 * superuser: they connect to wherever they are told.
 */
CREATE FUNCTION kgwebhook.open_source(source pg_catalog.text, conninfo pg_catalog.text) RETURNS pg_catalog.void
    LANGUAGE c STRICT VOLATILE
    AS 'MODULE_PATHNAME', 'kg_open_source';
COMMENT ON FUNCTION kgwebhook.open_source(pg_catalog.text, pg_catalog.text) IS
  'opens a connection to a source until the end of the transaction';

CREATE FUNCTION kgwebhook.at_source(source pg_catalog.text, query pg_catalog.text) RETURNS SETOF pg_catalog.text
    LANGUAGE c STRICT VOLATILE
    AS 'MODULE_PATHNAME', 'kg_at_source';
COMMENT ON FUNCTION kgwebhook.at_source(pg_catalog.text, pg_catalog.text) IS
  'runs a query of one column at a source';

CREATE FUNCTION kgwebhook.at_source_end(source pg_catalog.text, command pg_catalog.text, commits pg_catalog.bool, by_hand pg_catalog.text) RETURNS pg_catalog.void
    LANGUAGE c STRICT VOLATILE
    AS 'MODULE_PATHNAME', 'kg_at_source_end';
COMMENT ON FUNCTION kgwebhook.at_source_end(pg_catalog.text, pg_catalog.text, pg_catalog.bool, pg_catalog.text) IS
  'runs a command at a source once this transaction has committed, or been rolled back';

CREATE FUNCTION kgwebhook.make_subscription(source pg_catalog.text, subscription pg_catalog.text, publication pg_catalog.text, slot pg_catalog.text, copies pg_catalog.bool, options pg_catalog.text[]) RETURNS pg_catalog.void
    LANGUAGE c STRICT VOLATILE
    AS 'MODULE_PATHNAME', 'kg_make_subscription';
COMMENT ON FUNCTION kgwebhook.make_subscription(pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.bool, pg_catalog.text[]) IS
  'creates a subscription to a source, by a slot that exists';

CREATE FUNCTION kgwebhook.remove_subscription(subscription pg_catalog.text) RETURNS pg_catalog.void
    LANGUAGE c STRICT VOLATILE
    AS 'MODULE_PATHNAME', 'kg_remove_subscription';
COMMENT ON FUNCTION kgwebhook.remove_subscription(pg_catalog.text) IS
  'drops a subscription and leaves its slot';

CREATE FUNCTION kgwebhook.applying() RETURNS pg_catalog.text
    LANGUAGE c STABLE
    AS 'MODULE_PATHNAME', 'kg_applying';
COMMENT ON FUNCTION kgwebhook.applying() IS
  'the subscription whose changes this process applies';

CREATE FUNCTION kgwebhook.wake_workers(deliveries pg_catalog.int4) RETURNS pg_catalog.void
    LANGUAGE c STRICT VOLATILE
    AS 'MODULE_PATHNAME', 'kg_wake_workers';
COMMENT ON FUNCTION kgwebhook.wake_workers(pg_catalog.int4) IS
  'wakes the workers at commit, for deliveries that were put into the queue by SQL';

/* A table that is followed is written by the apply worker, which fires no ordinary trigger. */
CREATE FUNCTION kgwebhook.refuse_write() RETURNS pg_catalog.trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    RAISE EXCEPTION 'table "%" is followed from source "%"', TG_TABLE_NAME, TG_ARGV[0]
        USING ERRCODE = 'object_not_in_prerequisite_state',
              DETAIL = 'It is written at the source only: a change made here would send what never happened there, or stop the source.',
              HINT = 'Change the row at the source.';
END
$$;
COMMENT ON FUNCTION kgwebhook.refuse_write() IS
  'trigger of a followed table: refuses what people write';

/* The names that a source's objects have. */
CREATE FUNCTION kgwebhook.name_for_source(prefix pg_catalog.text, text pg_catalog.text) RETURNS pg_catalog.text
    LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT format('kgwebhook_%s_%s', left(regexp_replace(lower(prefix), '[^a-z0-9_]', '_', 'g'), 30), left(md5(text), 10))
$$;
COMMENT ON FUNCTION kgwebhook.name_for_source(pg_catalog.text, pg_catalog.text) IS
  'the name of a subscription or a replication slot';

/*
 * What a source says of itself, in one answer.  search_path is empty at the source, where
 * anyone may have put functions.
 */
CREATE FUNCTION kgwebhook.describe_source(source pg_catalog.text, publication pg_catalog.text) RETURNS pg_catalog.jsonb
    LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT a::jsonb FROM kgwebhook.at_source(source, format($q$
        SELECT row_to_json(q) FROM (
            SELECT current_setting('server_version_num')::int AS version,
                   (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database()) AS database_oid,
                   current_database() AS database,
                   (SELECT c.system_identifier::text FROM pg_catalog.pg_control_system() c) AS system,
                   to_regclass('kgsource.stream') IS NOT NULL AS is_source,
                   EXISTS (SELECT FROM pg_catalog.pg_publication p WHERE p.pubname = %1$L) AS has_publication,
                   (SELECT count(*) FROM pg_catalog.pg_replication_slots) AS slots,
                   current_setting('max_replication_slots')::int AS max_slots,
                   (SELECT json_agg(json_build_object(
                        'schema', t.schemaname, 'name', t.tablename, 'filter', c.filtered,
                        'hidden', row_security_active(t.relid)
                                  AND NOT EXISTS (SELECT FROM pg_catalog.pg_policy y WHERE y.polrelid = t.relid AND y.polpermissive
                                                     AND pg_catalog.pg_get_expr(y.polqual, y.polrelid) = 'true'),
                        'readable', pg_catalog.has_table_privilege(t.relid, 'SELECT'),
                        'columns', (SELECT json_agg(a.attname ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
                                     WHERE a.attrelid = t.relid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '')))
                      FROM (SELECT p.schemaname, p.tablename, k.oid AS relid
                              FROM pg_catalog.pg_publication_tables p
                              JOIN pg_catalog.pg_class k ON k.relname = p.tablename AND k.relnamespace = pg_catalog.to_regnamespace(pg_catalog.quote_ident(p.schemaname))
                             WHERE p.pubname = %1$L) t,
                           LATERAL (SELECT EXISTS (SELECT FROM pg_catalog.pg_publication_rel r JOIN pg_catalog.pg_publication b ON b.oid = r.prpubid
                                                    WHERE b.pubname = %1$L AND r.prrelid = t.relid AND (r.prqual IS NOT NULL OR r.prattrs IS NOT NULL)) AS filtered) c) AS tables) q$q$, publication)) a
$$;
COMMENT ON FUNCTION kgwebhook.describe_source(pg_catalog.text, pg_catalog.text) IS
  'what a source says of itself and of what it publishes';

/* Refuse what the apply worker would stop at, or lose events by. */
CREATE FUNCTION kgwebhook.check_source(source pg_catalog.text, publication pg_catalog.text, relation pg_catalog.regclass, there pg_catalog.jsonb) RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    t jsonb;
    here regclass;
    missing text;
    found bool := false;
    any_row bool;
BEGIN
    IF (there ->> 'system') = (SELECT c.system_identifier::text FROM pg_control_system() c)
       AND (there ->> 'database_oid')::oid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()) THEN
        RAISE EXCEPTION 'source "%" is this database', source
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'Its changes are events here already.', HINT = 'Name another server or database in the connection string.';
    ELSIF NOT (there ->> 'is_source')::bool OR NOT (there ->> 'has_publication')::bool
          OR NOT there -> 'tables' @> '[{"schema": "kgsource", "name": "stream"}]' THEN
        RAISE EXCEPTION 'database "%" of source "%" is not prepared', there ->> 'database', source
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = format('It has no publication "%s" with kgsource.stream.', publication),
                  HINT = 'Run sources/kgwebhook-source.sql there, as the owner of the tables.';
    ELSIF (there ->> 'slots')::int >= (there ->> 'max_slots')::int THEN
        RAISE EXCEPTION 'source "%" has no replication slot left', source
            USING ERRCODE = 'configuration_limit_exceeded',
                  HINT = format('Increase max_replication_slots there; it is %s.', there ->> 'max_slots');
    END IF;
    FOR t IN SELECT e FROM jsonb_array_elements(there -> 'tables') e WHERE (e ->> 'schema', e ->> 'name') <> ('kgsource', 'stream') LOOP
        here := to_regclass(format('%I.%I', t ->> 'schema', t ->> 'name'));
        IF here IS NULL THEN
            RAISE EXCEPTION 'table %.% of source "%" does not exist here', t ->> 'schema', t ->> 'name', source
                USING ERRCODE = 'undefined_table',
                      HINT = format('Create it as it is at the source: pg_dump --schema-only -t %s.%s', t ->> 'schema', t ->> 'name');
        ELSIF NOT (t ->> 'readable')::bool OR (t ->> 'hidden')::bool THEN
            RAISE EXCEPTION 'rows of table % are hidden from the role that connects to source "%"', here, source
                USING ERRCODE = 'insufficient_privilege',
                      DETAIL = 'The first copy would lack them, and their events be lost without an error.',
                      HINT = 'Run sources/kgwebhook-source.sql there with -v node_role=... for that role.';
        ELSIF (t ->> 'filter')::bool THEN
            RAISE EXCEPTION 'publication "%" of source "%" has a filter or a list of columns for table %', publication, source, here
                USING ERRCODE = 'object_not_in_prerequisite_state',
                      HINT = 'Run sources/kgwebhook-source.sql there: it says how to take it away.';
        END IF;
        SELECT string_agg(c, ', ') INTO missing FROM jsonb_array_elements_text(t -> 'columns') c
         WHERE NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = here AND a.attname = c AND NOT a.attisdropped);
        IF missing IS NOT NULL THEN
            RAISE EXCEPTION 'table % lacks columns of source "%"', here, source
                USING ERRCODE = 'undefined_column', DETAIL = format('These are missing: %s.', missing),
                      HINT = 'Add them here first.';
        END IF;
        IF NOT EXISTS (SELECT FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid
                        WHERE x.indrelid = here AND x.indisvalid AND (x.indisprimary OR x.indisreplident)) THEN
            RAISE EXCEPTION 'table % has no primary key', here
                USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = 'Changes of the source could not find their rows here.',
                      HINT = 'Add the same primary key as at the source.';
        END IF;
        EXECUTE format('SELECT EXISTS (SELECT FROM %s)', here) INTO any_row;
        IF any_row THEN
            RAISE EXCEPTION 'table % is not empty', here
                USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = 'The first copy brings all rows of the source.',
                      HINT = 'Empty it first, as with TRUNCATE.';
        END IF;
        found := found OR here = relation;
    END LOOP;
    IF NOT found THEN
        RAISE EXCEPTION 'publication "%" of source "%" does not have table %', publication, source, relation
            USING ERRCODE = 'undefined_object',
                  HINT = format('At the source: psql -v tables=''%s'' -f kgwebhook-source.sql', relation);
    ELSIF NOT EXISTS (SELECT FROM kgwebhook.watch w WHERE w.relation = check_source.relation) THEN
        RAISE EXCEPTION 'table "%" is not watched', relation
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = format('SELECT * FROM kg_watch(%L, ...) says what its events are.', relation);
    END IF;
    IF current_setting('max_logical_replication_workers')::int < 2 + (SELECT count(*) FROM pg_subscription)
       OR current_setting('max_replication_slots')::int <= (SELECT count(*) FROM pg_subscription) THEN
        RAISE EXCEPTION 'this server has no logical replication worker left'
            USING ERRCODE = 'configuration_limit_exceeded',
                  HINT = 'Increase max_logical_replication_workers, max_worker_processes and max_replication_slots, and restart it.';
    END IF;
    IF current_setting('max_worker_processes')::int
       < 4 + (SELECT count(*) FROM pg_stat_activity a WHERE a.backend_type LIKE 'kgwebhook%' OR a.backend_type LIKE 'logical replication%') THEN
        RAISE WARNING 'max_worker_processes may be too low'
            USING DETAIL = format('It is %s; following takes three processes more.', current_setting('max_worker_processes')),
                  HINT = 'A table that stays in state copying has found no process: increase max_worker_processes and restart the server.';
    END IF;
END
$$;
COMMENT ON FUNCTION kgwebhook.check_source(pg_catalog.text, pg_catalog.text, pg_catalog.regclass, pg_catalog.jsonb) IS
  'refuses a source that could not be followed without losing events';

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

/* Turn the tables of a publication into followed ones, or back: source NULL. */
CREATE FUNCTION kgwebhook.mark_followed(relation pg_catalog.regclass, source pg_catalog.text, node pg_catalog.text) RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
    AS $$
DECLARE
    version name;
BEGIN
    /* of an outbox, that tells only when its events were made */
    SELECT a.attname INTO version FROM pg_attribute a
     WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
       AND a.attname = CASE WHEN EXISTS (SELECT FROM kgwebhook.watch w WHERE w.relation = mark_followed.relation AND w.webhook_id_column IS NOT NULL)
                            THEN 'created_at' ELSE 'updated_at' END;
    UPDATE kgwebhook.watch w SET source = mark_followed.source, node = mark_followed.node,
                                 version_column = CASE WHEN mark_followed.source IS NOT NULL THEN coalesce(w.version_column, version) END
     WHERE w.relation = mark_followed.relation;
    EXECUTE format('DROP TRIGGER IF EXISTS kgwebhook_followed ON %s', relation);
    EXECUTE format('DROP TRIGGER IF EXISTS kgwebhook_followed_truncate ON %s', relation);
    IF EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = relation AND t.tgname = 'kgwebhook_enqueue') THEN
        EXECUTE format('ALTER TABLE %s ENABLE %s TRIGGER kgwebhook_enqueue', relation, CASE WHEN source IS NOT NULL THEN 'ALWAYS' END);
    END IF;
    IF source IS NULL THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TRIGGER kgwebhook_followed BEFORE INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION kgwebhook.refuse_write(%L)', relation, source);
    EXECUTE format('CREATE TRIGGER kgwebhook_followed_truncate BEFORE TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION kgwebhook.refuse_write(%L)', relation, source);
    EXECUTE format('ALTER TRIGGER kgwebhook_followed ON %s DEPENDS ON EXTENSION kgwebhook', relation);
    EXECUTE format('ALTER TRIGGER kgwebhook_followed_truncate ON %s DEPENDS ON EXTENSION kgwebhook', relation);
    EXECUTE format('COMMENT ON TRIGGER kgwebhook_followed ON %s IS ''of kgwebhook; see kg_follow()''', relation);
    EXECUTE format('COMMENT ON TRIGGER kgwebhook_followed_truncate ON %s IS ''of kgwebhook; see kg_follow()''', relation);
END
$$;
COMMENT ON FUNCTION kgwebhook.mark_followed(pg_catalog.regclass, pg_catalog.text, pg_catalog.text) IS
  'makes a table a followed one, which only its source writes, or an ordinary one again';

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
