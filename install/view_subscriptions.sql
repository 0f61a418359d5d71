/*
 * install/view_subscriptions.sql
 *		View of subscriptions.
 */

/* What a merchant's role sees of them is decided here once, for the few rows that there are. */
CREATE VIEW kgwebhook.subscriptions WITH (security_barrier) AS
    SELECT s.subscription_id, s.org_id, s.url, s.destination, s.events, s.description,
           CASE WHEN s.disabled_at IS NOT NULL THEN 'disabled'
                WHEN s.paused_at IS NOT NULL THEN 'paused'
                WHEN s.challenge IS NOT NULL THEN 'unverified'
                WHEN s.failing_since IS NOT NULL THEN 'failing'
                ELSE 'ok' END AS state,
           CASE WHEN s.disabled_at IS NOT NULL THEN s.disabled_reason
                WHEN s.paused_at IS NOT NULL THEN 'kg_pause_subscription() was called'
                WHEN s.challenge IS NOT NULL THEN 'its receiver has not answered the challenge'
                WHEN s.failing_since IS NOT NULL THEN 'its receiver has acknowledged nothing since' END AS reason,
           coalesce(s.disabled_at, s.paused_at, CASE WHEN s.challenge IS NOT NULL THEN s.challenged_at END, s.failing_since) AS since,
           (SELECT pg_catalog.count(*) FROM kgwebhook.queue q
             WHERE q.subscription_id OPERATOR(pg_catalog.=) s.subscription_id) AS pending,
           s.created_at,
           s.shape,
           s.own_secret,
           s.filter,
           s.header_names,
           s.rate_limit,
           s.verify,
           s.verified_at
      FROM (SELECT pg_catalog.count(*) OPERATOR(pg_catalog.>) 0 AS restricted, pg_catalog.min(o.org_id) AS org_id
              FROM kgwebhook.my_organization o) m
      JOIN kgwebhook.subscription s ON NOT m.restricted OR s.org_id OPERATOR(pg_catalog.=) m.org_id;
COMMENT ON VIEW kgwebhook.subscriptions IS
  'one row a subscription: its state and why, and what waits for it';
COMMENT ON COLUMN kgwebhook.subscriptions.subscription_id IS 'the subscription';
COMMENT ON COLUMN kgwebhook.subscriptions.org_id IS 'the organization whose events it gets';
COMMENT ON COLUMN kgwebhook.subscriptions.url IS 'where they go';
COMMENT ON COLUMN kgwebhook.subscriptions.destination IS 'scheme://host:port of the URL';
COMMENT ON COLUMN kgwebhook.subscriptions.events IS 'names of events, or patterns: * stands for anything';
COMMENT ON COLUMN kgwebhook.subscriptions.description IS 'for people';
COMMENT ON COLUMN kgwebhook.subscriptions.state IS 'ok, failing, unverified, paused or disabled';
COMMENT ON COLUMN kgwebhook.subscriptions.reason IS 'why it is not ok';
COMMENT ON COLUMN kgwebhook.subscriptions.since IS 'since when';
COMMENT ON COLUMN kgwebhook.subscriptions.pending IS 'deliveries not settled yet';
COMMENT ON COLUMN kgwebhook.subscriptions.created_at IS 'when kg_subscribe() was called';
COMMENT ON COLUMN kgwebhook.subscriptions.shape IS 'which payload it gets of the tables that have one of that name; NULL: each table''s own';
COMMENT ON COLUMN kgwebhook.subscriptions.own_secret IS 'whether it has a secret of its own, which signs instead of the organization''s';
COMMENT ON COLUMN kgwebhook.subscriptions.filter IS 'values that members of the payload must have for it to be sent: a value or a list of values each; NULL: any';
COMMENT ON COLUMN kgwebhook.subscriptions.header_names IS 'names of the headers that its requests have besides kgwebhook''s; NULL: none';
COMMENT ON COLUMN kgwebhook.subscriptions.rate_limit IS 'requests a second that it gets at most; NULL: no limit';
COMMENT ON COLUMN kgwebhook.subscriptions.verify IS 'whether its receiver has to answer a challenge before it gets any event, and again when the URL changes';
COMMENT ON COLUMN kgwebhook.subscriptions.verified_at IS 'when its receiver last answered one; NULL: never, or the URL has changed since';
