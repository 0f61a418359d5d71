/*
 * install/announce.sql
 *		Events of rows that are there already: kg_announce(); and rows fetched from the source.
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
