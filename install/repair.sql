/*
 * install/repair.sql
 *		Repairing a node: resync, compare, skip.
 */

/* Refuse to copy or to compare where the source does not show all rows: others would be missed, or count as gone. */
CREATE FUNCTION kgwebhook.refuse_hidden(source pg_catalog.text, there pg_catalog.jsonb) RETURNS pg_catalog.void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    name text;
BEGIN
    SELECT format('%I.%I', e ->> 'schema', e ->> 'name') INTO name
      FROM jsonb_array_elements(there -> 'tables') e
     WHERE (e ->> 'schema', e ->> 'name') <> ('kgsource', 'stream')
       AND (NOT (e ->> 'readable')::bool OR (e ->> 'hidden')::bool) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'rows of table % are hidden from the role that connects to source "%"',
                        coalesce(to_regclass(name)::text, name), source
            USING ERRCODE = 'insufficient_privilege',
                  DETAIL = 'Here they would be missing, and their events be lost without an error.',
                  HINT = 'Run sources/kgwebhook-source.sql there with -v node_role=... for that role.';
    END IF;
END
$$;
COMMENT ON FUNCTION kgwebhook.refuse_hidden(pg_catalog.text, pg_catalog.jsonb) IS
  'refuses a source that hides rows of what it publishes from the role that connects';

/*
 * A new stream begins where a snapshot of the source ends, and what the snapshot has
 * and this node has not is taken over from it.  Nothing is applied in the meantime, neither rows
 * nor routes: so nothing here is newer than the snapshot.  Locks see to that, and not
 * the end of the subscription, which would keep those of other sources and databases from
 * starting until all rows are compared.
 */
CREATE FUNCTION @extschema@.kg_resync(
    source pg_catalog.text DEFAULT NULL,
    dry_run pg_catalog.bool DEFAULT false,
    OUT relation pg_catalog.regclass,
    OUT events pg_catalog.int8,
    OUT changed pg_catalog.int8,
    OUT gone pg_catalog.int8) RETURNS SETOF pg_catalog.record
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    s kgwebhook.source;
    there jsonb;
    new_slot name;
    columns text[];
    gid text;
BEGIN
    SELECT * INTO s FROM kgwebhook.source k WHERE k.source = kgwebhook.which_source(kg_resync.source);
    /* before the lock, which would wait for what they have written here */
    IF s.two_phase AND NOT dry_run
       AND EXISTS (SELECT FROM kgwebhook.at_source(s.source, 'SELECT p.gid FROM pg_catalog.pg_prepared_xacts p WHERE p.database = pg_catalog.current_database()')) THEN
        RAISE EXCEPTION 'source "%" has prepared transactions', s.source
            USING ERRCODE = 'object_in_use', DETAIL = 'Other nodes have applied them where they were prepared, and a new stream brings them where they are committed: with a move between the two, they could be nobody''s.',
                  HINT = 'Commit them or roll them back first: SELECT * FROM pg_prepared_xacts;';
    END IF;
    /* of a slot that is gone: nothing ends them any more, and the lock would wait for ever */
    SELECT p.gid INTO gid FROM pg_prepared_xacts p JOIN pg_subscription b ON p.gid LIKE format('pg\_gid\_%s\_%%', b.oid)
     WHERE b.subname = s.subscription AND p.database = current_database() ORDER BY p.prepared LIMIT 1;
    IF FOUND AND NOT dry_run THEN
        RAISE EXCEPTION 'transactions of source "%" are still prepared here', s.source
            USING ERRCODE = 'object_in_use', DETAIL = 'Without the slot their end never arrives, and they hold locks until then.  At the source none is prepared any more: what they have come to is taken over from there.',
                  HINT = format('ROLLBACK PREPARED %L; and the same for each in pg_prepared_xacts whose gid begins like it.  Then call kg_resync() again.', gid);
    END IF;
    IF NOT dry_run THEN
        EXECUTE format('LOCK TABLE kgsource.stream%s IN SHARE ROW EXCLUSIVE MODE',
                       (SELECT string_agg(', ' || w.relation::text, '' ORDER BY w.relation::text) FROM kgwebhook.watch w
                         WHERE w.source = s.source));
    END IF;
    PERFORM FROM kgwebhook.source k WHERE k.source = s.source FOR UPDATE;
    there := kgwebhook.describe_source(s.source, s.publication);
    PERFORM kgwebhook.refuse_hidden(s.source, there);
    new_slot := kgwebhook.name_for_source(s.node, format('%s/%s/%s', there ->> 'database_oid', s.node, clock_timestamp()));
    PERFORM kgwebhook.at_source_end(s.source, 'ROLLBACK', false, '');
    PERFORM kgwebhook.at_source(s.source, 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    IF NOT dry_run THEN
        PERFORM kgwebhook.drop_slot_at_abort(s.source, new_slot);
        PERFORM kgwebhook.at_source(s.source, format('CREATE_REPLICATION_SLOT %s LOGICAL pgoutput (SNAPSHOT ''use''%s)', new_slot,
                                                     CASE WHEN kgwebhook.has_failover_slots((there ->> 'version')::int, s.two_phase) THEN ', FAILOVER' END));
        PERFORM kgwebhook.read_routes(s.source);
    END IF;
    FOR relation IN SELECT w.relation FROM kgwebhook.watch w WHERE w.source = s.source ORDER BY w.relation::text LOOP
        columns := kgwebhook.common_columns(relation, there);
        PERFORM kgwebhook.fetch_rows(s.source, relation, columns, 'true');
        SELECT m.events, m.changed, m.gone INTO events, changed, gone FROM kgwebhook.merge_rows(relation, columns, true, dry_run) m;
        RETURN NEXT;
    END LOOP;
    PERFORM kgwebhook.at_source(s.source, 'COMMIT');
    IF dry_run THEN
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM pg_subscription b WHERE b.subname = s.subscription) THEN
        PERFORM kgwebhook.remove_subscription(s.subscription);
    END IF;
    PERFORM kgwebhook.make_subscription(s.source, s.subscription, s.publication, new_slot, false, kgwebhook.subscription_options((there ->> 'version')::int, s.two_phase));
    IF EXISTS (SELECT FROM kgwebhook.at_source(s.source, format('SELECT slot_name FROM pg_catalog.pg_replication_slots WHERE slot_name = %L', s.slot))) THEN
        PERFORM kgwebhook.at_source_end(s.source, format('DROP_REPLICATION_SLOT %s WAIT', s.slot), true, format('SELECT pg_drop_replication_slot(%L);', s.slot));
    END IF;
    PERFORM kgwebhook.release_held(s.source, false);
    UPDATE kgwebhook.source k SET slot = new_slot, beat = NULL, gaps = 0, differing = NULL WHERE k.source = s.source;
END
$$;
COMMENT ON FUNCTION @extschema@.kg_resync(pg_catalog.text, pg_catalog.bool) IS
  'takes over from the source what this node lacks, and begins a new stream: each object''s last status is sent, those between are not';

/*
 * Rows of organization, status and version, which are what events are made of.  A row
 * that is being changed differs for a moment: so those that differ are looked at again,
 * and only those that still do are told.
 */
CREATE FUNCTION @extschema@.kg_compare(
    source pg_catalog.text DEFAULT NULL,
    OUT relation pg_catalog.regclass,
    OUT object_id pg_catalog.text,
    OUT here pg_catalog.text,
    OUT there pg_catalog.text) RETURNS SETOF pg_catalog.record
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
    SET "TimeZone" = 'UTC' SET datestyle = 'ISO' SET extra_float_digits = 1
    AS $$
DECLARE
    which text := kgwebhook.which_source(source);
    w kgwebhook.watch;
    name text;
    facts text;
    buckets text;
    different int[];
    suspects text[];
    key name;
    objects int8 := 0;
BEGIN
    PERFORM kgwebhook.refuse_hidden(which, kgwebhook.describe_source(which, (SELECT k.publication FROM kgwebhook.source k WHERE k.source = which)));
    FOR w IN SELECT * FROM kgwebhook.watch k WHERE k.source = which ORDER BY k.relation::text LOOP
        relation := w.relation;
        /* an object has many rows in an outbox */
        key := coalesce(w.webhook_id_column, w.id_column);
        name := (SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = w.relation);
        facts := format('pg_catalog.concat_ws('' '', %s, t.%I, %s)', CASE WHEN w.org_column IS NULL THEN '''default''' ELSE format('t.%I', w.org_column) END, w.status_column,
                        CASE WHEN w.version_column IS NULL THEN '''''' ELSE format('t.%I', w.version_column) END);
        buckets := format('SELECT pg_catalog.json_build_array(b, pg_catalog.count(*), pg_catalog.sum(h)) FROM (SELECT (''x'' || pg_catalog.substr(pg_catalog.md5(pg_catalog.format(''%%s'', t.%1$I)), 1, 3))::bit(12)::int AS b,
                                  (''x'' || pg_catalog.substr(pg_catalog.md5(pg_catalog.format(''%%s'', t.%1$I) || '' '' || %2$s), 1, 8))::bit(32)::bigint AS h FROM %3$s t) q GROUP BY b', key, facts, name);
        suspects := NULL;
        FOR pass IN 1..5 LOOP
            IF pass = 1 THEN
                EXECUTE format('CREATE TEMP TABLE kgwebhook_buckets ON COMMIT DROP AS %s', replace(buckets, 'SELECT pg_catalog.json_build_array(b, pg_catalog.count(*), pg_catalog.sum(h))', 'SELECT b, pg_catalog.count(*) AS n, pg_catalog.sum(h) AS h'));
                SELECT array_agg(coalesce(l.b, r.b)) INTO different
                  FROM pg_temp.kgwebhook_buckets l
                  FULL JOIN (SELECT (a::json ->> 0)::int AS b, (a::json ->> 1)::int8 AS n, (a::json ->> 2)::numeric AS h FROM kgwebhook.at_source(which, buckets) a) r ON r.b = l.b
                 WHERE (l.n, l.h) IS DISTINCT FROM (r.n, r.h);
                DROP TABLE pg_temp.kgwebhook_buckets;
                EXIT WHEN different IS NULL;
            ELSE
                PERFORM pg_sleep(0.3 * pass);
            END IF;
            DROP TABLE IF EXISTS pg_temp.kgwebhook_facts;
            EXECUTE format('CREATE TEMP TABLE kgwebhook_facts ON COMMIT DROP AS SELECT format(''%%s'', t.%1$I) AS id, %2$s AS facts FROM %3$s t
                             WHERE (''x'' || substr(md5(format(''%%s'', t.%1$I)), 1, 3))::bit(12)::int = ANY ($1)', key, facts, name) USING different;
            SELECT array_agg(coalesce(l.id, r.id)) INTO suspects
              FROM pg_temp.kgwebhook_facts l
              FULL JOIN (SELECT a::json ->> 0 AS id, a::json ->> 1 AS facts FROM kgwebhook.at_source(which, format(
                         'SELECT pg_catalog.json_build_array(pg_catalog.format(''%%s'', t.%1$I), %2$s) FROM %3$s t WHERE (''x'' || pg_catalog.substr(pg_catalog.md5(pg_catalog.format(''%%s'', t.%1$I)), 1, 3))::bit(12)::int = ANY (%4$L)',
                         key, facts, name, different)) a) r ON r.id = l.id
             WHERE l.facts IS DISTINCT FROM r.facts AND (pass = 1 OR coalesce(l.id, r.id) = ANY (suspects));
            EXIT WHEN suspects IS NULL;
        END LOOP;
        CONTINUE WHEN suspects IS NULL;
        FOR object_id, here, there IN
            SELECT coalesce(l.id, r.id), l.facts, r.facts
              FROM (SELECT f.* FROM pg_temp.kgwebhook_facts f WHERE f.id = ANY (suspects)) l
              FULL JOIN (SELECT a::json ->> 0 AS id, a::json ->> 1 AS facts FROM kgwebhook.at_source(which, format(
                         'SELECT pg_catalog.json_build_array(pg_catalog.format(''%%s'', t.%1$I), %2$s) FROM %3$s t WHERE pg_catalog.format(''%%s'', t.%1$I) = ANY (%4$L)',
                         key, facts, name, suspects)) a) r ON r.id = l.id
             ORDER BY 1 LOOP
            objects := objects + 1;
            RETURN NEXT;
        END LOOP;
    END LOOP;
    UPDATE kgwebhook.source k SET compared_at = clock_timestamp(), differing = objects WHERE k.source = which;
END
$$;
COMMENT ON FUNCTION @extschema@.kg_compare(pg_catalog.text) IS
  'objects whose organization, status or version differ between this node and the source';

CREATE FUNCTION @extschema@.kg_skip(
    source pg_catalog.text DEFAULT NULL,
    OUT relation pg_catalog.regclass,
    OUT object_id pg_catalog.text,
    OUT status pg_catalog.text) RETURNS SETOF pg_catalog.record
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    s kgwebhook.source;
    e record;
    w kgwebhook.watch;
    there jsonb;
    columns text[];
BEGIN
    SELECT * INTO s FROM kgwebhook.source k WHERE k.source = kgwebhook.which_source(kg_skip.source);
    /* it is tried again every few seconds, and is at work for a moment then */
    FOR attempt IN 1..40 LOOP
        SELECT * INTO e FROM kgwebhook.apply_error(s.subscription);
        EXIT WHEN e.lsn IS NULL OR NOT kgwebhook.is_applying(s.subscription);
        PERFORM pg_sleep(0.05);
    END LOOP;
    IF e.lsn IS NULL OR kgwebhook.is_applying(s.subscription) OR e.at < clock_timestamp() - '1 hour'::interval THEN
        RAISE EXCEPTION 'source "%" does not stand still at a transaction', s.source
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'SELECT state, why FROM kgwebhook.sources says how it is.';
    END IF;
    there := kgwebhook.describe_source(s.source, s.publication);
    PERFORM kgwebhook.refuse_hidden(s.source, there);
    RAISE NOTICE 'transaction % of source "%" is skipped', e.xid, s.source
        USING DETAIL = format('It ends at %s.  It could not be applied: %s', e.lsn, e.told),
              HINT = 'What it did to objects that have changed again since cannot be told: kg_compare() shows those that differ once the source is streaming, and kg_resync() takes them over.';
    PERFORM kgwebhook.at_source_end(s.source, 'ROLLBACK', false, '');
    PERFORM kgwebhook.at_source(s.source, 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    FOR w IN SELECT * FROM kgwebhook.watch k WHERE k.source = s.source ORDER BY k.relation::text LOOP
        columns := kgwebhook.common_columns(w.relation, there);
        PERFORM kgwebhook.fetch_rows(s.source, w.relation, columns, format('t.xmin::pg_catalog.text = %L', e.xid));
        PERFORM kgwebhook.merge_rows(w.relation, columns, false, false);
        relation := w.relation;
        FOR object_id, status IN EXECUTE format('SELECT format(''%%s'', s.%I), format(''%%s'', s.%I) FROM pg_temp.kgwebhook_there s', w.id_column, w.status_column) LOOP
            RETURN NEXT;
        END LOOP;
    END LOOP;
    PERFORM kgwebhook.at_source(s.source, 'COMMIT');
    EXECUTE format('ALTER SUBSCRIPTION %I SKIP (lsn = %L)', s.subscription, e.lsn);
    UPDATE kgwebhook.source k SET skipped = k.skipped + 1 WHERE k.source = s.source;
END
$$;
COMMENT ON FUNCTION @extschema@.kg_skip(pg_catalog.text) IS
  'skips the transaction that a source stands still at, and takes over what it did from the source; returns its objects';
