/*
 * install/repair.sql
 *		Repairing a node: announce, compare, resync, skip.
 */

CREATE FUNCTION kgwebhook.announce_row(relation pg_catalog.oid, place pg_catalog.tid) RETURNS pg_catalog.bool
    LANGUAGE c STRICT VOLATILE
    AS 'MODULE_PATHNAME', 'kg_announce_row';
COMMENT ON FUNCTION kgwebhook.announce_row(pg_catalog.oid, pg_catalog.tid) IS
  'makes an event of the present status of a followed row';

/*
 * The order of rows that are events by themselves, as those of an outbox, as a list for
 * ORDER BY: that of a key that is one number, else that of their times.  NULL: rows are no events.
 */
CREATE FUNCTION kgwebhook.event_order(w kgwebhook.watch, alias pg_catalog.text) RETURNS pg_catalog.text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT concat_ws(', ', CASE WHEN w.version_column IS NOT NULL AND NOT (count(*) = 1 AND bool_and(a.atttypid IN ('int8'::regtype, 'int4'::regtype, 'int2'::regtype)))
                                THEN format('%I.%I', alias, coalesce(w.version_column, '')) END,
                           string_agg(format('%I.%I', alias, a.attname), ', ' ORDER BY array_position(x.indkey::int2[], a.attnum)))
      FROM pg_index x JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = ANY (x.indkey::int2[])
     WHERE w.webhook_id_column IS NOT NULL AND x.indrelid = w.relation AND x.indisvalid
       AND (x.indisprimary OR x.indisreplident AND NOT EXISTS (SELECT FROM pg_index y WHERE y.indrelid = w.relation AND y.indisprimary))
    HAVING count(*) > 0
$$;
COMMENT ON FUNCTION kgwebhook.event_order(kgwebhook.watch, pg_catalog.text) IS
  'the order of rows that are events by themselves; NULL: rows are objects';

/*
 * Objects of the organizations that this node serves, by the version column: without one
 * nobody can say what has changed since.
 */
CREATE FUNCTION kgwebhook.announce(source pg_catalog.text, since pg_catalog.timestamptz, org_id pg_catalog.text, dry_run pg_catalog.bool) RETURNS pg_catalog.int8
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    w kgwebhook.watch;
    total int8 := 0;
    announced int8;
    org text;
BEGIN
    FOR w IN SELECT * FROM kgwebhook.watch k WHERE k.source = announce.source ORDER BY k.relation::text LOOP
        IF w.version_column IS NULL
           OR (SELECT a.atttypid NOT IN ('timestamptz'::regtype, 'timestamp'::regtype) FROM pg_attribute a
                WHERE a.attrelid = w.relation AND a.attname = w.version_column) THEN
            RAISE EXCEPTION 'table % has no column that says when a row changed', w.relation
                USING ERRCODE = 'object_not_in_prerequisite_state',
                      HINT = 'kgwebhook.watch.version_column names it: a timestamp that changes with each change of a row.';
        END IF;
        org := CASE WHEN w.org_column IS NULL THEN '''default''' ELSE format('coalesce(format(''%%s'', t.%I), ''default'')', w.org_column) END;
        EXECUTE format($q$SELECT count(*) %s FROM (
                SELECT t.tableoid AS relid, t.ctid AS place, %s AS org_id FROM %s t WHERE t.%I >= $1 ORDER BY %s) r
             WHERE ($2 IS NULL OR r.org_id = $2) AND kgwebhook.route_state($3, $4, r.org_id) <> 'other'$q$,
            CASE WHEN dry_run THEN '' ELSE 'FILTER (WHERE kgwebhook.announce_row(r.relid, r.place))' END,
            org, w.relation, w.version_column, coalesce(kgwebhook.event_order(w, 't'), format('t.%I', w.version_column)))
            INTO announced USING since, org_id, source, w.node;
        total := total + announced;
    END LOOP;
    RETURN total;
END
$$;
COMMENT ON FUNCTION kgwebhook.announce(pg_catalog.text, pg_catalog.timestamptz, pg_catalog.text, pg_catalog.bool) IS
  'what kg_announce() does for one source';

CREATE FUNCTION @extschema@.kg_announce(
    since pg_catalog.timestamptz,
    org_id pg_catalog.text DEFAULT NULL,
    dry_run pg_catalog.bool DEFAULT false,
    source pg_catalog.text DEFAULT NULL) RETURNS pg_catalog.int8
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    RETURN kgwebhook.announce(kgwebhook.which_source(source), since, org_id, dry_run);
END
$$;
COMMENT ON FUNCTION @extschema@.kg_announce(pg_catalog.timestamptz, pg_catalog.text, pg_catalog.bool, pg_catalog.text) IS
  'sends the present status of followed objects that have changed since, under the webhook-ids that these events have everywhere';

/* The columns that a table has here and at its source, in the order in which they are here. */
CREATE FUNCTION kgwebhook.common_columns(relation pg_catalog.regclass, there pg_catalog.jsonb) RETURNS pg_catalog.text[]
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT array_agg(a.attname::text ORDER BY a.attnum)
      FROM pg_attribute a, jsonb_array_elements(there -> 'tables') t
     WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
       AND to_regclass(format('%I.%I', t ->> 'schema', t ->> 'name')) = relation
       AND t -> 'columns' ? a.attname::text
$$;
COMMENT ON FUNCTION kgwebhook.common_columns(pg_catalog.regclass, pg_catalog.jsonb) IS
  'the columns that a followed table has here and at its source';

/*
 * Take rows of the source, in the temporary table kgwebhook_there, into a followed table, as
 * the apply worker would: a status that differs is an event.  With "whole", the rows are
 * all that the source has, and others go.  Returns how many are events of this node's.
 */
CREATE FUNCTION kgwebhook.merge_rows(relation pg_catalog.regclass, columns pg_catalog.text[], whole pg_catalog.bool, dry_run pg_catalog.bool,
    OUT events pg_catalog.int8, OUT changed pg_catalog.int8, OUT gone pg_catalog.int8)
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET session_replication_role = replica
    SET "TimeZone" = 'UTC' SET datestyle = 'ISO' SET extra_float_digits = 1
    AS $$
DECLARE
    w kgwebhook.watch;
    same text;
    differs text;
    mine text;
    added int8;
    ordered text;
    all_of_them text := CASE WHEN whole THEN 'true' ELSE 'false' END;
    list text := (SELECT string_agg(quote_ident(c), ', ') FROM unnest(columns) c);
    /* an identity column that is always generated may be inserted, but never updated */
    settable text[] := ARRAY(SELECT c FROM unnest(columns) WITH ORDINALITY u (c, n) JOIN pg_attribute a ON a.attrelid = relation AND a.attname = c
                              WHERE a.attidentity <> 'a' ORDER BY n);
BEGIN
    SELECT * INTO w FROM kgwebhook.watch k WHERE k.relation = merge_rows.relation;
    SELECT string_agg(format('t.%1$I = s.%1$I', a.attname), ' AND ') INTO same
      FROM pg_index x JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = ANY (x.indkey::int2[])
     WHERE x.indrelid = relation AND x.indisvalid AND (x.indisprimary OR x.indisreplident AND NOT EXISTS
           (SELECT FROM pg_index y WHERE y.indrelid = relation AND y.indisprimary));
    differs := format('(SELECT to_jsonb(x) FROM (SELECT %s) x)::text <> to_jsonb(s)::text',
                      (SELECT string_agg(format('t.%1$I', c), ', ') FROM unnest(columns) c));
    mine := format('kgwebhook.route_state(%L, %L, %s) <> ''other''', w.source, w.node,
                   CASE WHEN w.org_column IS NULL THEN '''default''' ELSE format('coalesce(format(''%%s'', s.%I), ''default'')', w.org_column) END);
    EXECUTE format('SELECT count(*) FROM pg_temp.kgwebhook_there s LEFT JOIN %1$s t ON %2$s WHERE s.%3$I IS NOT NULL AND format(''%%s'', t.%3$I) IS DISTINCT FROM format(''%%s'', s.%3$I) AND %4$s',
                   relation, same, w.status_column, mine) INTO events;
    ordered := coalesce('ORDER BY ' || kgwebhook.event_order(w, 's'), '');
    IF dry_run THEN
        EXECUTE format('SELECT count(*) FROM pg_temp.kgwebhook_there s LEFT JOIN %1$s t ON %2$s WHERE t IS NULL OR %3$s', relation, same, differs) INTO changed;
        EXECUTE format('SELECT count(*) FROM %1$s t WHERE %3$s AND NOT EXISTS (SELECT FROM pg_temp.kgwebhook_there s WHERE %2$s)', relation, same, all_of_them) INTO gone;
        RETURN;
    END IF;
    EXECUTE format('UPDATE %1$s t SET (%4$s) = (SELECT %5$s) FROM pg_temp.kgwebhook_there s WHERE %2$s AND %3$s', relation, same, differs,
                   (SELECT string_agg(quote_ident(c), ', ') FROM unnest(settable) c),
                   (SELECT string_agg(format('s.%1$I', c), ', ') FROM unnest(settable) c));
    GET DIAGNOSTICS changed = ROW_COUNT;
    EXECUTE format('INSERT INTO %1$s (%3$s) OVERRIDING SYSTEM VALUE SELECT %3$s FROM pg_temp.kgwebhook_there s WHERE NOT EXISTS (SELECT FROM %1$s t WHERE %2$s) %4$s', relation, same, list, ordered);
    GET DIAGNOSTICS added = ROW_COUNT;
    changed := changed + added;
    EXECUTE format('DELETE FROM %1$s t WHERE %3$s AND NOT EXISTS (SELECT FROM pg_temp.kgwebhook_there s WHERE %2$s)', relation, same, all_of_them);
    GET DIAGNOSTICS gone = ROW_COUNT;
END
$$;
COMMENT ON FUNCTION kgwebhook.merge_rows(pg_catalog.regclass, pg_catalog.text[], pg_catalog.bool, pg_catalog.bool) IS
  'takes rows of the source into a followed table; what differs in status is an event';

/* Fetch rows of the source, by a condition, into the temporary table kgwebhook_there. */
CREATE FUNCTION kgwebhook.fetch_rows(source pg_catalog.text, relation pg_catalog.regclass, columns pg_catalog.text[], condition pg_catalog.text) RETURNS pg_catalog.int8
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
    SET "TimeZone" = 'UTC' SET datestyle = 'ISO' SET extra_float_digits = 1
    AS $$
DECLARE
    name text := (SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = relation);
    list text := (SELECT string_agg(quote_ident(c), ', ') FROM unnest(columns) c);
    fetched int8;
    total int8 := 0;
BEGIN
    DROP TABLE IF EXISTS pg_temp.kgwebhook_there;
    EXECUTE format('CREATE TEMP TABLE kgwebhook_there ON COMMIT DROP AS SELECT %s FROM %s WHERE false', list, name);
    PERFORM kgwebhook.at_source(source, format('DECLARE kgwebhook_rows CURSOR FOR SELECT pg_catalog.row_to_json(x) FROM (SELECT %s FROM %s t WHERE %s) x', list, name, condition));
    LOOP
        EXECUTE format('INSERT INTO pg_temp.kgwebhook_there SELECT r.* FROM kgwebhook.at_source($1, ''FETCH 1000 FROM kgwebhook_rows'') a, json_populate_record(NULL::pg_temp.kgwebhook_there, a::json) r') USING source;
        GET DIAGNOSTICS fetched = ROW_COUNT;
        total := total + fetched;
        EXIT WHEN fetched < 1000;
    END LOOP;
    PERFORM kgwebhook.at_source(source, 'CLOSE kgwebhook_rows');
    ANALYZE pg_temp.kgwebhook_there;
    RETURN total;
END
$$;
COMMENT ON FUNCTION kgwebhook.fetch_rows(pg_catalog.text, pg_catalog.regclass, pg_catalog.text[], pg_catalog.text) IS
  'fetches rows of the source into a temporary table';

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
