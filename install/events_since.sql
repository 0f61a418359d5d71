/*
 * install/events_since.sql
 *		An organization's events, fetched instead of sent.
 */

/*
 * Events are read from one snapshot to the next: what was committed after a snapshot is what
 * that snapshot did not see, however long its transaction took and however low its numbers
 * are.  A call reads what is between the cursor's snapshot and the present one, as many events
 * as are wanted; the next goes on in that interval, and then with a new one.
 *
 * The events of an interval stand by their place (event_places.sql).
 *
 * A cursor is: this server and its timeline, which sources it follows as what, the time before
 * which all was seen, the snapshot of which all was seen, the end of the interval with its time,
 * and the last event with its place.  Who begins with the oldest event that is kept has no such
 * snapshot ('*'), and as the time that until which events had been removed by then.
 * Snapshots mean nothing on another server or after a failover that lost transactions; then
 * the time decides, and some events come twice.  What was logged before this database
 * was restored (kgwebhook.instance has the last attempt) was committed before everything else.
 *
 * Delivery nodes have different events, so time cannot lead from one to another: whatever was not
 * fetched there yet would be passed by.  A cursor of a server that followed otherwise is refused.
 *
 * An event is named by the first of its deliveries.  Those of one event follow each other.
 *
 * Subscriptions can have another payload than the object's own URL, and not get every
 * event; so who asks for one subscription's gets what that one was or would be sent.
 */
CREATE TABLE kgwebhook.removed_events (
    org_id  pg_catalog.text COLLATE pg_catalog."C" NOT NULL,
    until   pg_catalog.timestamptz NOT NULL,
    CONSTRAINT removed_events_pkey PRIMARY KEY (org_id)
);
COMMENT ON TABLE kgwebhook.removed_events IS
  'until when events of an organization have been removed by retention, so that kg_events_since() can say so';
COMMENT ON COLUMN kgwebhook.removed_events.org_id IS 'the organization';
COMMENT ON COLUMN kgwebhook.removed_events.until IS 'no attempt that was removed began after this';

/* Only the organizations are read, one by one from the index: a day can have millions of attempts. */
CREATE FUNCTION kgwebhook.note_removed(partition pg_catalog.regclass, until pg_catalog.timestamptz) RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    EXECUTE format('WITH RECURSIVE org AS ('
                   '  SELECT min(l.org_id) AS org_id FROM %1$s l'
                   '  UNION ALL'
                   '  SELECT (SELECT min(l.org_id) FROM %1$s l WHERE l.org_id > o.org_id) FROM org o WHERE o.org_id IS NOT NULL)'
                   ' INSERT INTO kgwebhook.removed_events AS r (org_id, until)'
                   ' SELECT o.org_id, $1 FROM org o WHERE o.org_id IS NOT NULL'
                   ' ON CONFLICT ON CONSTRAINT removed_events_pkey DO UPDATE SET until = greatest(r.until, excluded.until)',
                   partition) USING until;
END
$$;
COMMENT ON FUNCTION kgwebhook.note_removed(pg_catalog.regclass, pg_catalog.timestamptz) IS
  'notes that a partition''s attempts until then are about to be removed';

CREATE FUNCTION kgwebhook.signed_bodies(org_id pg_catalog.text, payloads pg_catalog.jsonb[], subscription_id pg_catalog.int8) RETURNS pg_catalog.text[]
    LANGUAGE c VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_signed_bodies';
COMMENT ON FUNCTION kgwebhook.signed_bodies(pg_catalog.text, pg_catalog.jsonb[], pg_catalog.int8) IS
  'the bodies that these payloads would be sent as now, to a subscription or (0) to objects'' own URLs; NULL for one that cannot be sent';

CREATE FUNCTION kgwebhook.server_history() RETURNS pg_catalog.text
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT format('%s.%s', kgwebhook.origin(),
                  CASE WHEN pg_is_in_recovery() THEN (SELECT to_hex(c.timeline_id) FROM pg_control_checkpoint() c)
                       ELSE ltrim(left(pg_walfile_name(pg_current_wal_insert_lsn()), 8), '0') END)
$$;
COMMENT ON FUNCTION kgwebhook.server_history() IS
  'what a snapshot belongs to: this database and its timeline';

/*
 * What is running can yet commit, with its own beginning as an event's time.  An hour is for what
 * has ended since the snapshot was taken; a day, where it is not known when what is running began.
 * What a delivery node holds comes with the time at which it arrived there.
 */
CREATE FUNCTION kgwebhook.oldest_running() RETURNS pg_catalog.timestamptz
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT least(now(), (SELECT min(a.xact_start) FROM pg_stat_activity a WHERE a.datname = current_database()),
                        (SELECT min(p.prepared) FROM pg_prepared_xacts p WHERE p.database = current_database()),
                        (SELECT h.enqueued_at FROM kgwebhook.held h ORDER BY h.xid, h.delivery_id LIMIT 1))
           - CASE WHEN current_setting('track_activities')::bool
                       AND NOT EXISTS (SELECT FROM pg_prepared_xacts p WHERE p.database = current_database())
                  THEN interval '1 hour' ELSE interval '1 day' END
$$;
COMMENT ON FUNCTION kgwebhook.oldest_running() IS
  'no transaction that is running now, or prepared, began before this, nor did what is held arrive';

CREATE FUNCTION kgwebhook.kg_events_since(
    org_id pg_catalog.text,
    since pg_catalog.text,
    max_events pg_catalog.int4,
    only_of pg_catalog.int8)
    RETURNS TABLE (next_cursor pg_catalog.text, webhook_id pg_catalog.text, event pg_catalog.text, object_id pg_catalog.text,
                   occurred_at pg_catalog.timestamptz, body pg_catalog.text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
    AS $$
#variable_conflict use_variable
DECLARE
    known CONSTANT text := kgwebhook.server_history();
    followed CONSTANT text := coalesce((SELECT left(md5(string_agg(format('%L %L', s.source, s.node), ' ' ORDER BY s.source)), 12)
                                          FROM kgwebhook.source s), '');
    present CONSTANT pg_snapshot := pg_current_snapshot();
    present_from CONSTANT timestamptz := kgwebhook.oldest_running();
    field text[] := string_to_array(since, '~');
    removed CONSTANT timestamptz := (SELECT r.until FROM kgwebhook.removed_events r WHERE r.org_id = kg_events_since.org_id);
    seen pg_snapshot;
    seen_from timestamptz := coalesce(removed, 'epoch');
    not_before timestamptz;
    until pg_snapshot := present;
    until_from timestamptz := present_from;
    last_xid xid8 := '0';
    last_anchor int8 := -1;
    last_id int8 := -1;
    last_webhook text := '';
    it record;
    events text[] := '{}';
    webhooks text[] := '{}';
    objects text[] := '{}';
    times timestamptz[] := '{}';
    cursors text[] := '{}';
    deliveries int8[] := '{}';
    sources int4[] := '{}';
    bodies text[];
BEGIN
    PERFORM kgwebhook.check_organization(org_id);
    IF org_id IS NULL OR max_events IS NULL THEN
        RAISE EXCEPTION 'org_id and max_events must not be null'
            USING ERRCODE = 'null_value_not_allowed';
    ELSIF max_events NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'max_events is out of range'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'A call returns 1 to 1000 events.';
    ELSIF EXISTS (SELECT FROM kgwebhook.instance i, pg_control_system() s, pg_database d
                   WHERE d.datname = current_database()
                     AND (i.system_identifier, i.database) IS DISTINCT FROM (s.system_identifier, d.oid)) THEN
        RAISE EXCEPTION 'this database is a copy that has not been adopted'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'It has the events of another one, and might have others in future.',
                  HINT = 'The operator has to call kg_adopt().';
    END IF;
    IF only_of IS NOT NULL AND NOT EXISTS (SELECT FROM kgwebhook.subscription s
                                            WHERE s.subscription_id = only_of AND s.org_id = kg_events_since.org_id) THEN
        RAISE EXCEPTION 'subscription % does not exist', only_of
            USING ERRCODE = 'no_data_found',
                  HINT = 'SELECT * FROM kgwebhook.subscriptions shows the existing ones.';
    END IF;
    IF since IS NOT NULL THEN
        BEGIN
            IF cardinality(field) <> 11 OR field[1] <> '1' THEN
                RAISE invalid_parameter_value;
            END IF;
            seen_from := to_timestamp(field[4]::numeric / 1000000);
            not_before := CASE WHEN field[5] <> '*' THEN seen_from END;
            IF field[2] = known THEN
                seen := CASE WHEN field[5] NOT IN ('', '*') THEN field[5]::pg_snapshot END;
                until := field[6]::pg_snapshot;
                until_from := to_timestamp(field[7]::numeric / 1000000);
                last_xid := field[8]::xid8;
                last_anchor := field[9]::int8;
                last_id := field[10]::int8;
                last_webhook := field[11];
            END IF;
        EXCEPTION WHEN data_exception THEN
            RAISE EXCEPTION 'cursor is not valid'
                USING ERRCODE = 'invalid_parameter_value',
                      HINT = 'Give the cursor of the last event that was processed, as kg_events_since() returned it, or NULL to begin with the oldest event that is kept.';
        END;
        IF field[3] <> followed AND split_part(field[2], '.', 1) <> split_part(known, '.', 1) THEN
            RAISE EXCEPTION 'cursor is of another delivery node'
                USING ERRCODE = 'invalid_parameter_value',
                      DETAIL = 'Each node has the events that it has sent or is to send, and cursors of its own.',
                      HINT = 'Keep a cursor for each node.  Give the last one of this node, or NULL to begin with the oldest event that it keeps.';
        END IF;
        IF removed > seen_from THEN
            RAISE EXCEPTION 'events after this cursor have been removed'
                USING ERRCODE = 'object_not_in_prerequisite_state',
                      DETAIL = format('The cursor is of %s, and what was sent until %s is not kept any more.',
                                      date_trunc('second', seen_from), removed),
                      HINT = 'Begin again with NULL, which is the oldest event that is kept, and look up what is older in your own records.';
        END IF;
    END IF;

    LOOP
        FOR it IN
            SELECT e.*
              FROM kgwebhook.next_events(org_id, only_of, seen, CASE WHEN seen IS NULL THEN not_before END, until,
                                         last_xid, last_anchor, last_id, last_webhook, max_events - cardinality(cursors)) e
        LOOP
            cursors := cursors || concat_ws('~', '1', known, followed, (extract(epoch FROM seen_from) * 1000000)::numeric(30),
                                            CASE WHEN seen IS NOT NULL THEN seen::text WHEN not_before IS NULL THEN '*' ELSE '' END, until,
                                            (extract(epoch FROM until_from) * 1000000)::numeric(30),
                                            it.xid, it.anchor, it.delivery_id, it.webhook_id);
            webhooks := webhooks || it.webhook_id;
            events := events || it.event;
            objects := objects || it.object_id;
            times := times || it.at;
            deliveries := deliveries || it.delivery_id;
            sources := sources || it.source;
        END LOOP;
        EXIT WHEN cardinality(cursors) = max_events OR until::text = present::text;
        seen := until;
        seen_from := until_from;
        until := present;
        until_from := present_from;
        last_xid := '0';
        last_anchor := -1;
        last_id := -1;
        last_webhook := '';
    END LOOP;

    bodies := kgwebhook.signed_bodies(org_id, coalesce(kgwebhook.payloads_of(deliveries, sources), '{}'), coalesce(only_of, 0));
    RETURN QUERY SELECT u.c, u.w, u.e, u.o, u.t, u.b
                   FROM unnest(cursors, webhooks, events, objects, times, bodies) WITH ORDINALITY AS u (c, w, e, o, t, b, n)
                  ORDER BY u.n;
END
$$;
COMMENT ON FUNCTION kgwebhook.kg_events_since(pg_catalog.text, pg_catalog.text, pg_catalog.int4, pg_catalog.int8) IS
  'does what kg_events_since() is for, with the owner''s rights';

CREATE FUNCTION @extschema@.kg_events_since(
    org_id pg_catalog.text,
    cursor pg_catalog.text DEFAULT NULL,
    max_events pg_catalog.int4 DEFAULT 100,
    subscription_id pg_catalog.int8 DEFAULT NULL,
    OUT cursor pg_catalog.text, OUT webhook_id pg_catalog.text, OUT event pg_catalog.text, OUT object_id pg_catalog.text,
    OUT occurred_at pg_catalog.timestamptz, OUT body pg_catalog.text) RETURNS SETOF pg_catalog.record
    LANGUAGE c STABLE
    AS 'MODULE_PATHNAME', 'kg_for_caller';
COMMENT ON FUNCTION @extschema@.kg_events_since(pg_catalog.text, pg_catalog.text, pg_catalog.int4, pg_catalog.int8) IS
  'an organization''s events after a cursor, or one subscription''s, each with the body that would be sent now; oldest first';
