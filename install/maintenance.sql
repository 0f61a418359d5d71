/*
 * install/maintenance.sql
 *		Maintenance jobs for pg_cron.
 */

/*
 * Counts what kg_reconcile() would list, of any age and for each receiver, except
 * what was queued within the hour and is on its way.  Each delivery is reported once
 * as a WARNING; what was already there an hour ago is repeated at level LOG.  An
 * hour has 65 minutes here, because no job begins on the second: news may be
 * reported twice, but is never left out.  Nothing is written down, so an extra
 * run does no harm.  The count stops at 10,000; as there may then be news among
 * what was not looked at, that is always a WARNING.
 */
CREATE FUNCTION kgwebhook.report_unacknowledged() RETURNS pg_catalog.int8
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    most CONSTANT int8 := 10000;
    found RECORD;
    summary text;
    more text;
    advice CONSTANT text := 'SELECT * FROM kgwebhook.unacknowledged shows them; kg_explain() says what became of one, and kg_recover() sends again what was given up.';
BEGIN
    SELECT count(*) AS deliveries,
           count(*) FILTER (WHERE u.state IN ('pending', 'retrying')) AS waiting,
           count(*) FILTER (WHERE u.state = 'dead') AS dead,
           count(*) FILTER (WHERE u.state = 'superseded') AS superseded,
           min(u.since) AS oldest,
           count(*) FILTER (WHERE CASE u.state
               WHEN 'dead' THEN EXISTS (SELECT FROM kgwebhook.dead_letter d
                                         WHERE d.delivery_id = u.delivery_id AND d.died_at > now() - interval '65 minutes')
               WHEN 'superseded' THEN u.since > now() - interval '65 minutes'
               ELSE u.since > now() - interval '125 minutes' END) AS news
      INTO found
      FROM (SELECT a.delivery_id, a.state, a.since FROM kgwebhook.unacknowledged a
             WHERE a.state IN ('dead', 'superseded') OR a.since <= now() - interval '1 hour'
             LIMIT most) u;
    IF found.deliveries = 0 THEN
        RETURN 0;
    END IF;
    summary := format('kgwebhook: %s deliveries%s of an object''s latest status were never acknowledged',
                   found.deliveries, CASE WHEN found.deliveries = most THEN ' or more' ELSE '' END);
    more := format('In database "%s": %s have waited for more than an hour, %s were given up, %s were superseded.  The oldest is of %s; %s are new in the last hour.',
                   current_database(), found.waiting, found.dead, found.superseded,
                   date_trunc('second', found.oldest), found.news);
    IF found.news > 0 OR found.deliveries = most THEN
        RAISE WARNING '%', summary USING DETAIL = more, HINT = advice;
    ELSE
        RAISE LOG '%', summary USING DETAIL = more, HINT = advice;
    END IF;
    RETURN found.deliveries;
END
$$;
COMMENT ON FUNCTION kgwebhook.report_unacknowledged() IS
  'reports in the server''s log how many deliveries of an object''s latest status were never acknowledged; returns that number';

CREATE FUNCTION @extschema@.kg_schedule_maintenance() RETURNS pg_catalog.void
    LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_schedule_maintenance';
COMMENT ON FUNCTION @extschema@.kg_schedule_maintenance() IS
  'schedules with pg_cron: retention, expiry of intents, and an hourly report of what was not acknowledged';

CREATE FUNCTION @extschema@.kg_unschedule_maintenance() RETURNS pg_catalog.void
    LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_unschedule_maintenance';
COMMENT ON FUNCTION @extschema@.kg_unschedule_maintenance() IS
  'removes the jobs of kg_schedule_maintenance()';
