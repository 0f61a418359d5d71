/*
 * install/ddl_triggers.sql
 *		What happens when a watched table is altered or dropped.
 */

/*
 * The role that drops a table has no privilege on ours, and needs none.  Event triggers,
 * because they work in a session that doesn't preload the library, too.  Those of
 * every command are in C, and return at once where no watched table can be meant.
 */
CREATE FUNCTION kgwebhook.forget_dropped_table() RETURNS pg_catalog.event_trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'kg_forget_dropped_table';
COMMENT ON FUNCTION kgwebhook.forget_dropped_table() IS
  'event trigger: stops watching a table that is dropped';

CREATE FUNCTION kgwebhook.check_watched_ddl() RETURNS pg_catalog.event_trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'kg_check_watched_ddl';
COMMENT ON FUNCTION kgwebhook.check_watched_ddl() IS
  'event trigger: calls refuse_unwatched_changes() where a watched table may be meant';

/* Looks at catalogs only: a lock on a user's table would block others. */
CREATE FUNCTION kgwebhook.refuse_unwatched_changes() RETURNS pg_catalog.void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    watched regclass;
    fault text;
BEGIN
    WITH RECURSIVE part AS (
        SELECT w.relation AS watched, w.relation::oid AS relid FROM kgwebhook.watch w
        UNION ALL
        SELECT p.watched, i.inhrelid
          FROM part p
          JOIN pg_inherits i ON i.inhparent = p.relid
          JOIN pg_class c ON c.oid = i.inhrelid AND c.relispartition)
    SELECT f.watched, f.fault INTO watched, fault
      FROM (SELECT w.relation, i.inhrelid, i.inhparent,
                   'Its trigger would not see the rows of the other tables in an inheritance tree.'
              FROM kgwebhook.watch w
              JOIN pg_inherits i ON w.relation IN (i.inhrelid, i.inhparent)
              JOIN pg_class c ON c.oid = i.inhrelid AND NOT c.relispartition
            UNION ALL
            SELECT p.watched, p.relid, i.inhparent,
                   'A crash would empty an unlogged table and leave events without their payments.'
              FROM part p
              JOIN pg_class c ON c.oid = p.relid AND c.relpersistence = 'u'
              LEFT JOIN pg_inherits i ON i.inhrelid = p.relid) f (watched, relid, parent, fault)
     WHERE EXISTS (SELECT FROM pg_event_trigger_ddl_commands() d
                    WHERE d.classid = 'pg_class'::regclass AND d.objid IN (f.watched, f.relid, f.parent))
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'table "%" is watched and cannot be altered in this way', watched
            USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = fault,
                  HINT = 'Call kg_unwatch() first, if its status changes are no longer to be events.';
    END IF;
END
$$;
COMMENT ON FUNCTION kgwebhook.refuse_unwatched_changes() IS
  'for the event trigger: refuses DDL that would let status changes of a watched table go unseen';

CREATE EVENT TRIGGER kgwebhook_forget_dropped_table ON sql_drop
    EXECUTE FUNCTION kgwebhook.forget_dropped_table();
ALTER EVENT TRIGGER kgwebhook_forget_dropped_table ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER kgwebhook_forget_dropped_table IS 'stops watching a table that is dropped';

CREATE EVENT TRIGGER kgwebhook_check_watched_ddl ON ddl_command_end
    WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE', 'CREATE FOREIGN TABLE', 'ALTER FOREIGN TABLE', 'CREATE SCHEMA', 'CREATE TRIGGER')
    EXECUTE FUNCTION kgwebhook.check_watched_ddl();
ALTER EVENT TRIGGER kgwebhook_check_watched_ddl ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER kgwebhook_check_watched_ddl IS 'refuses DDL that would let status changes of a watched table go unseen';
