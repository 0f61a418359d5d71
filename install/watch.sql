/*
 * install/watch.sql
 *		Watched tables: which tables' status changes are events.
 */

CREATE TABLE kgwebhook.watch (
    relation       pg_catalog.regclass PRIMARY KEY,
    event          pg_catalog.text NOT NULL,
    id_column      pg_catalog.name NOT NULL,
    status_column  pg_catalog.name NOT NULL,
    url_column     pg_catalog.name,
    org_column     pg_catalog.name,
    payload        pg_catalog.jsonb,
    column_numbers pg_catalog.jsonb NOT NULL,
    numbered_for   pg_catalog.oid NOT NULL,
    money_digits   pg_catalog.int2 NOT NULL DEFAULT 2,
    payload_is_default pg_catalog.bool NOT NULL DEFAULT false,
    source         pg_catalog.text,
    node           pg_catalog.text,
    version_column pg_catalog.name,
    payload_column pg_catalog.name,
    webhook_id_column pg_catalog.name
);
COMMENT ON TABLE kgwebhook.watch IS
  'tables whose status changes are events; written by kg_watch() and kg_unwatch()';
COMMENT ON COLUMN kgwebhook.watch.relation IS 'the watched table';
COMMENT ON COLUMN kgwebhook.watch.event IS 'first part of the event name: payment_intent in payment_intent.success';
COMMENT ON COLUMN kgwebhook.watch.id_column IS 'column that identifies the object';
COMMENT ON COLUMN kgwebhook.watch.status_column IS 'column whose change is the event';
COMMENT ON COLUMN kgwebhook.watch.url_column IS 'column with the URL to call back; NULL: only subscriptions are called';
COMMENT ON COLUMN kgwebhook.watch.org_column IS 'column with the organization; NULL: the organization "default"';
COMMENT ON COLUMN kgwebhook.watch.payload IS 'member to column, or to what is computed: $type, $event_id, $occurred_at, $previous_status, $sequence, $org_id';
COMMENT ON COLUMN kgwebhook.watch.payload_is_default IS 'true: kg_watch() was given no payload, and took what the table had then';
COMMENT ON COLUMN kgwebhook.watch.column_numbers IS 'the columns'' numbers, by which renamed columns are still found';
COMMENT ON COLUMN kgwebhook.watch.source IS 'the source that the table is followed from; NULL: it is written here';
COMMENT ON COLUMN kgwebhook.watch.node IS 'what this server is called at the source';
COMMENT ON COLUMN kgwebhook.watch.version_column IS 'column that tells versions of a followed row apart; NULL: none does';
COMMENT ON COLUMN kgwebhook.watch.payload_column IS 'column that has the payload as it is to be sent; NULL: it is made of the columns';
COMMENT ON COLUMN kgwebhook.watch.webhook_id_column IS 'column that has the webhook-id; NULL: it is made here';
COMMENT ON COLUMN kgwebhook.watch.money_digits IS 'decimals of columns of type money: those of lc_monetary when kg_watch() was called';
COMMENT ON COLUMN kgwebhook.watch.numbered_for IS 'the table the numbers belong to; after a restore it is another one, and columns are found by name';

/*
 * Setting up
 */

/* Names of things are shown up to twenty. */
CREATE FUNCTION kgwebhook.watch_notes(relation pg_catalog.oid, event pg_catalog.text, statuses pg_catalog.text[], organizations pg_catalog.text[])
    RETURNS SETOF pg_catalog.text
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    keyless text[] := ARRAY(SELECT o FROM unnest(organizations) o
                             WHERE NOT EXISTS (SELECT FROM kgwebhook.secret s WHERE s.org_id = o AND s.subscription_id = 0) ORDER BY o);
BEGIN
    IF cardinality(statuses) > 0 THEN
        RETURN NEXT 'events so far: ' || (SELECT string_agg(format('%s.%s', watch_notes.event, s), ', ' ORDER BY s) FROM unnest(statuses[1:20]) s)
                    || CASE WHEN cardinality(statuses) > 20 THEN format(' and %s more', cardinality(statuses) - 20) ELSE '' END;
    END IF;
    RETURN QUERY SELECT format('warning: organization "%s" has rows and no signing secret, so its events wait: SELECT kg_create_secret(%L)', o, o)
                   FROM unnest(keyless[1:20]) o;
    RETURN QUERY SELECT format('warning: subscriptions ask for shape "%s", which this table does not have, and get the payload above: %s',
                               u.shape, string_agg(u.subscription_id::text, ', ' ORDER BY u.subscription_id))
                   FROM (SELECT s.shape, s.subscription_id, row_number() OVER (PARTITION BY s.shape ORDER BY s.subscription_id) AS n
                           FROM kgwebhook.subscription s
                          WHERE NOT EXISTS (SELECT FROM kgwebhook.shape h
                                             WHERE h.relation = watch_notes.relation AND h.shape = s.shape)) u
                  WHERE u.shape IS NOT NULL AND u.n <= 20 GROUP BY u.shape;
    RETURN QUERY SELECT kgwebhook.filter_notes(watch_notes.relation, NULL);
    IF cardinality(keyless) > 20 THEN
        RETURN NEXT format('warning: so have %s more organizations', cardinality(keyless) - 20);
    END IF;
    /* what is not in the row a trigger does not see: from PostgreSQL 18 on */
    RETURN QUERY SELECT format('warning: column "%s" is not sent: it is a virtual generated column; a STORED one would be', a.attname)
                   FROM pg_attribute a
                  WHERE a.attrelid = watch_notes.relation AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = 'v' ORDER BY a.attnum;
    /* row triggers, not internal ones, of others: bit 1 of tgtype is FOR EACH ROW, bit 2 is BEFORE */
    RETURN QUERY
    SELECT CASE WHEN t.tgtype & 2 > 0
                THEN format('warning: trigger "%s" fires before kgwebhook''s: what it changes is sent, and a row that it skips is no event', t.tgname)
                ELSE format('warning: trigger "%s" fires before kgwebhook''s: a status that it sets is an event of its own', t.tgname) END
      FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
     WHERE t.tgrelid = watch_notes.relation AND NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgtype & 1 > 0 AND t.tgtype & 20 > 0
       AND p.pronamespace <> 'kgwebhook'::regnamespace
       AND (t.tgtype & 2 > 0
            OR t.tgtype & 66 = 0 AND t.tgname COLLATE "C" < 'kgwebhook_enqueue')
     ORDER BY t.tgtype & 2 DESC, t.tgname;
END
$$;
COMMENT ON FUNCTION kgwebhook.watch_notes(pg_catalog.oid, pg_catalog.text, pg_catalog.text[], pg_catalog.text[]) IS
  'what kg_watch() has to say about a table besides its payload';

CREATE FUNCTION @extschema@.kg_watch(
    relation pg_catalog.regclass,
    event pg_catalog.text DEFAULT 'payment_intent',
    id_column pg_catalog.name DEFAULT 'payment_intent_id',
    status_column pg_catalog.name DEFAULT 'status',
    url_column pg_catalog.name DEFAULT 'callback_url',
    org_column pg_catalog.name DEFAULT 'org_id',
    payload pg_catalog.jsonb DEFAULT NULL,
    payload_column pg_catalog.name DEFAULT NULL,
    webhook_id_column pg_catalog.name DEFAULT NULL,
    OUT member pg_catalog.text, OUT source pg_catalog.text, OUT note pg_catalog.text)
    RETURNS SETOF pg_catalog.record
    LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_watch';
COMMENT ON FUNCTION @extschema@.kg_watch(pg_catalog.regclass, pg_catalog.text, pg_catalog.name, pg_catalog.name, pg_catalog.name, pg_catalog.name, pg_catalog.jsonb, pg_catalog.name, pg_catalog.name) IS
  'watches a table: its status changes become events; returns what their payload will have';

CREATE FUNCTION @extschema@.kg_unwatch(relation pg_catalog.regclass) RETURNS pg_catalog.void
    LANGUAGE c STRICT VOLATILE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_unwatch';
COMMENT ON FUNCTION @extschema@.kg_unwatch(pg_catalog.regclass) IS
  'stops watching a table; what is queued already is still delivered';
