/*
 * install/view_deliveries.sql
 *		View of deliveries.
 */

/*
 * Each part is in the order of its deliveries' numbers, so that the latest twenty
 * (ORDER BY delivery_id DESC LIMIT 20) are read from the ends of indexes and not
 * sorted out of everything.  A settled delivery is the attempt that settled it, and no other
 * row has to be looked at: requeue() marks that attempt when it queues the delivery again.
 */
CREATE VIEW kgwebhook.all_deliveries AS
    (SELECT q.delivery_id, q.webhook_id, q.org_id, q.event, q.kind, q.object_id, q.url, q.destination,
           CASE WHEN q.attempts OPERATOR(pg_catalog.=) 0 THEN 'pending' ELSE 'retrying' END AS state,
           q.attempts,
           l.outcome AS last_outcome, l.response_status AS last_status, l.error AS last_error,
           l.started_at AS last_attempt_at,
           q.next_attempt_at, q.enqueued_at, q.subscription_id
      FROM kgwebhook.queue q
      LEFT JOIN LATERAL (SELECT * FROM kgwebhook.delivery_log a
                          WHERE a.delivery_id OPERATOR(pg_catalog.=) q.delivery_id
                          ORDER BY a.attempt DESC, a.attempt_id DESC LIMIT 1) l ON true
     ORDER BY q.delivery_id DESC)
    UNION ALL
    (SELECT d.delivery_id, d.webhook_id, d.org_id, d.event, d.kind, d.object_id, d.url, d.destination,
           'dead', d.attempts,
           l.outcome, l.response_status, coalesce(l.error, d.reason),
           l.started_at,
           NULL, d.enqueued_at, d.subscription_id
      FROM kgwebhook.dead_letter d
      LEFT JOIN LATERAL (SELECT * FROM kgwebhook.delivery_log a
                          WHERE a.delivery_id OPERATOR(pg_catalog.=) d.delivery_id
                          ORDER BY a.attempt DESC, a.attempt_id DESC LIMIT 1) l ON true
     ORDER BY d.delivery_id DESC)
    UNION ALL
    (SELECT l.delivery_id, l.webhook_id, l.org_id, l.event, l.kind, l.object_id, l.url, l.destination,
           l.outcome, l.attempt,
           l.outcome, l.response_status, l.error,
           l.started_at,
           NULL, NULL, l.subscription_id
      FROM kgwebhook.delivery_log l
     WHERE l.final AND NOT l.is_test AND l.queued_again IS NOT TRUE
       AND l.outcome OPERATOR(pg_catalog.=) ANY (ARRAY['acknowledged'::pg_catalog.text, 'superseded'])
     ORDER BY l.delivery_id DESC);
COMMENT ON VIEW kgwebhook.all_deliveries IS
  'one row a delivery, of every organization; kgwebhook.deliveries without its restriction';

/*
 * A merchant's role sees its organization's rows, by a condition of their own, which the
 * organization's index answers (in its collation, without which it could not); for other
 * roles, that branch is not executed, and conditions reach the tables as if it were not
 * there.  The other branch is not executed for
 * a merchant's role, but the planner has statistics of it: a barrier keeps an operator
 * of the role's own from being asked about the most common values.  The last ORDER BY
 * belongs to that: PostgreSQL merges a bare UNION ALL into the query, barrier or not.
 */
CREATE VIEW kgwebhook.own_deliveries WITH (security_barrier) AS
    SELECT d.* FROM kgwebhook.all_deliveries d
     WHERE EXISTS (SELECT FROM kgwebhook.my_organization)
       AND d.org_id OPERATOR(pg_catalog.=) (SELECT m.org_id COLLATE pg_catalog."default" FROM kgwebhook.my_organization m);
COMMENT ON VIEW kgwebhook.own_deliveries IS
  'the deliveries of the current role''s organization, if it acts for one only';

CREATE VIEW kgwebhook.deliveries WITH (security_barrier) AS
    SELECT u.*
      FROM ((SELECT d.* FROM kgwebhook.all_deliveries d WHERE NOT EXISTS (SELECT FROM kgwebhook.my_organization)
              ORDER BY d.delivery_id DESC)
            UNION ALL
            (SELECT o.* FROM kgwebhook.own_deliveries o ORDER BY o.delivery_id DESC)) u
     ORDER BY u.delivery_id DESC;
COMMENT ON VIEW kgwebhook.deliveries IS
  'one row a delivery: pending, retrying, acknowledged, dead or superseded';
COMMENT ON COLUMN kgwebhook.deliveries.delivery_id IS 'the delivery';
COMMENT ON COLUMN kgwebhook.deliveries.webhook_id IS 'the event, as receivers see it';
COMMENT ON COLUMN kgwebhook.deliveries.org_id IS 'the organization whose secret signs';
COMMENT ON COLUMN kgwebhook.deliveries.event IS 'name of the event, such as payment_intent.success';
COMMENT ON COLUMN kgwebhook.deliveries.kind IS 'kind of the object';
COMMENT ON COLUMN kgwebhook.deliveries.object_id IS 'the object whose status changed';
COMMENT ON COLUMN kgwebhook.deliveries.url IS 'where it goes';
COMMENT ON COLUMN kgwebhook.deliveries.destination IS 'scheme://host:port of the URL';
COMMENT ON COLUMN kgwebhook.deliveries.state IS 'pending, retrying, acknowledged, dead or superseded';
COMMENT ON COLUMN kgwebhook.deliveries.attempts IS 'attempts logged so far';
COMMENT ON COLUMN kgwebhook.deliveries.last_outcome IS 'outcome of the last attempt';
COMMENT ON COLUMN kgwebhook.deliveries.last_status IS 'HTTP status of the last answer';
COMMENT ON COLUMN kgwebhook.deliveries.last_error IS 'why the last attempt was not acknowledged';
COMMENT ON COLUMN kgwebhook.deliveries.last_attempt_at IS 'when the last attempt began';
COMMENT ON COLUMN kgwebhook.deliveries.next_attempt_at IS 'when the next attempt is due; NULL when it is settled';
COMMENT ON COLUMN kgwebhook.deliveries.enqueued_at IS 'when the status changed; NULL when only the log remembers the delivery';
COMMENT ON COLUMN kgwebhook.deliveries.subscription_id IS 'the subscription it is for; NULL: the object''s own URL';

DO LANGUAGE plpgsql $$
DECLARE
    described record;
BEGIN
    FOR described IN
        SELECT v.name, a.attname, col_description(a.attrelid, a.attnum) AS words
          FROM pg_attribute a, unnest(ARRAY['all_deliveries', 'own_deliveries']) v (name)
         WHERE a.attrelid = 'kgwebhook.deliveries'::regclass AND a.attnum > 0
    LOOP
        EXECUTE format('COMMENT ON COLUMN kgwebhook.%I.%I IS %L', described.name, described.attname, described.words);
    END LOOP;
END
$$;
