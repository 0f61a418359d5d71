/*
 * install/source_check.sql
 *		Talking to a source, and whether it can be followed.
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
        WITH policy AS (
            SELECT y.polrelid, y.polpermissive, pg_catalog.pg_get_expr(y.polqual, y.polrelid) AS shows FROM pg_catalog.pg_policy y
             WHERE y.polcmd IN ('r', '*')
               AND EXISTS (SELECT FROM pg_catalog.unnest(y.polroles) r WHERE r = 0 OR pg_catalog.pg_has_role(r, 'USAGE')))
        SELECT row_to_json(q) FROM (
            SELECT current_setting('server_version_num')::int AS version,
                   (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database()) AS database_oid,
                   current_database() AS database,
                   (SELECT c.system_identifier::text FROM pg_catalog.pg_control_system() c) AS system,
                   current_setting('wal_level') AS wal_level,
                   to_regclass('kgsource.stream') IS NOT NULL AS is_source,
                   EXISTS (SELECT FROM pg_catalog.pg_publication p WHERE p.pubname = %1$L) AS has_publication,
                   (SELECT count(*) FROM pg_catalog.pg_replication_slots) AS slots,
                   current_setting('max_replication_slots')::int AS max_slots,
                   (SELECT json_agg(json_build_object(
                        'schema', t.schemaname, 'name', t.tablename, 'filter', c.filtered,
                        'hidden', row_security_active(t.relid)
                                  AND (NOT EXISTS (SELECT FROM policy y WHERE y.polrelid = t.relid AND y.polpermissive AND y.shows = 'true')
                                       OR EXISTS (SELECT FROM policy y WHERE y.polrelid = t.relid AND NOT y.polpermissive AND y.shows <> 'true')),
                        'keyless', (WITH RECURSIVE tree AS (
                                        SELECT t.relid
                                        UNION ALL
                                        SELECT i.inhrelid FROM tree JOIN pg_catalog.pg_inherits i ON i.inhparent = tree.relid)
                                    SELECT min(k.oid::pg_catalog.regclass::pg_catalog.text) FROM tree JOIN pg_catalog.pg_class k ON k.oid = tree.relid
                                     WHERE k.relreplident <> 'f'
                                       AND NOT EXISTS (SELECT FROM pg_catalog.pg_index x WHERE x.indrelid = k.oid AND x.indisvalid AND x.indimmediate
                                                          AND (k.relreplident = 'd' AND x.indisprimary OR k.relreplident = 'i' AND x.indisreplident))),
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

/* ALTER PUBLICATION beside writers lost changes until 15.13, 16.9 and 17.5; as in kgwebhook-source.sql. */
CREATE FUNCTION kgwebhook.loses_changes(version pg_catalog.int4) RETURNS pg_catalog.bool
    LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT version < 150013 OR version BETWEEN 160000 AND 160008 OR version BETWEEN 170000 AND 170004
$$;
COMMENT ON FUNCTION kgwebhook.loses_changes(pg_catalog.int4) IS
  'whether a source of this version of PostgreSQL can lose changes';

/* Refuse what the apply worker would stop at, or lose events by. */
CREATE FUNCTION kgwebhook.check_source(source pg_catalog.text, publication pg_catalog.text, relation pg_catalog.regclass, there pg_catalog.jsonb) RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    t jsonb;
    here regclass;
    missing text;
    other text;
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
    ELSIF kgwebhook.loses_changes((there ->> 'version')::int) THEN
        RAISE EXCEPTION 'source "%" can lose changes that are committed beside ALTER PUBLICATION', source
            USING ERRCODE = 'feature_not_supported', DETAIL = format('It is PostgreSQL %s.%s.', (there ->> 'version')::int / 10000, (there ->> 'version')::int % 10000),
                  HINT = 'Update it to 15.13, 16.9, 17.5 or newer.';
    ELSIF there ->> 'wal_level' <> 'logical' THEN
        RAISE EXCEPTION 'wal_level of source "%" is %, and has to be logical', source, there ->> 'wal_level'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'There: ALTER SYSTEM SET wal_level = logical; then restart the server.  A managed service has a parameter for it.';
    ELSIF (there ->> 'slots')::int + 2 > (there ->> 'max_slots')::int THEN
        RAISE EXCEPTION 'source "%" has too few replication slots left', source
            USING ERRCODE = 'configuration_limit_exceeded',
                  DETAIL = format('Following takes one, and the first copy one more; %s of %s are used.', there ->> 'slots', there ->> 'max_slots'),
                  HINT = 'Increase max_replication_slots there, and restart it.';
    END IF;
    FOR t IN SELECT e FROM jsonb_array_elements(there -> 'tables') e WHERE (e ->> 'schema', e ->> 'name') <> ('kgsource', 'stream') LOOP
        here := to_regclass(format('%I.%I', t ->> 'schema', t ->> 'name'));
        IF here IS NULL THEN
            RAISE EXCEPTION 'table %.% of source "%" does not exist here', t ->> 'schema', t ->> 'name', source
                USING ERRCODE = 'undefined_table',
                      HINT = format('Create it as it is at the source: pg_dump --schema-only -t %s.%s', t ->> 'schema', t ->> 'name');
        END IF;
        PERFORM kgwebhook.refuse_hidden(source, jsonb_build_object('tables', jsonb_build_array(t)));
        IF (t ->> 'filter')::bool THEN
            RAISE EXCEPTION 'publication "%" of source "%" has a filter or a list of columns for table %', publication, source, here
                USING ERRCODE = 'object_not_in_prerequisite_state',
                      HINT = 'Run sources/kgwebhook-source.sql there: it says how to take it away.';
        END IF;
        IF t ->> 'keyless' IS NOT NULL THEN
            RAISE EXCEPTION 'table % of source "%" has no usable replica identity', t ->> 'keyless', source
                USING ERRCODE = 'object_not_in_prerequisite_state',
                      DETAIL = 'Every UPDATE and DELETE of it fails there, because it is published.',
                      HINT = format('There: ALTER TABLE %s ADD PRIMARY KEY (...);', t ->> 'keyless');
        END IF;
        SELECT w.source INTO other FROM kgwebhook.watch w WHERE w.relation = here AND w.source <> check_source.source;
        IF other IS NOT NULL THEN
            RAISE EXCEPTION 'table % is followed from source "%" already', here, other
                USING ERRCODE = 'duplicate_object',
                      DETAIL = 'A table is written by one source only: rows of equal identifiers could not be told apart.',
                      HINT = 'Follow the other source from another database, which this server may have as well.';
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
