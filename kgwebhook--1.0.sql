/*
 * kgwebhook--1.0.sql
 *
 * What CREATE EXTENSION makes.  Plain CREATE everywhere: an object that is
 * already there under one of our names is somebody else's, and the install
 * has to fail rather than adopt it.  Every name is qualified, every function
 * that runs SQL pins its search_path, and nothing is granted to PUBLIC but the
 * three functions that a receiver needs.
 *
 * Each table has a replica identity: where a publication has all tables, as tools
 * for change capture make one, PostgreSQL refuses to delete from one without.
 */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION kgwebhook CASCADE" to load this file. \quit

-- what isn't qualified below is pg_catalog's, whoever may create in the schema
SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);

CREATE SCHEMA kgwebhook;
COMMENT ON SCHEMA kgwebhook IS
  'kgwebhook: queue, delivery log and settings of the webhooks sent from this database';


/* -------------------------------------------------------------------------
 * What is watched, and the secrets that sign for it
 * ------------------------------------------------------------------------- */

/*
 * Which database this is: not one row but any number, because a restore adds the
 * original's to the one that is written here, and both have to be seen.
 */
CREATE TABLE kgwebhook.instance (
    system_identifier pg_catalog.int8 NOT NULL,
    database          pg_catalog.oid NOT NULL,
    recorded_at       pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now()
);
ALTER TABLE kgwebhook.instance REPLICA IDENTITY FULL;
COMMENT ON TABLE kgwebhook.instance IS
  'the database that this one is; a copy has its original''s row, and waits for kg_adopt()';
COMMENT ON COLUMN kgwebhook.instance.system_identifier IS 'of the server, as pg_control_system() has it';
COMMENT ON COLUMN kgwebhook.instance.database IS 'OID of the database';
COMMENT ON COLUMN kgwebhook.instance.recorded_at IS 'when CREATE EXTENSION or kg_adopt() wrote this';

CREATE FUNCTION kgwebhook.origin() RETURNS pg_catalog.int8
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'kg_origin';
COMMENT ON FUNCTION kgwebhook.origin() IS
  'the number of this database, which its deliveries carry';

CREATE FUNCTION kgwebhook.record_instance() RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    DELETE FROM kgwebhook.instance;
    INSERT INTO kgwebhook.instance (system_identifier, database)
        SELECT s.system_identifier, d.oid
          FROM pg_control_system() s, pg_database d WHERE d.datname = current_database();
END
$$;
COMMENT ON FUNCTION kgwebhook.record_instance() IS
  'records that this database is the one it is';
SELECT kgwebhook.record_instance();

CREATE TABLE kgwebhook.watch (
    relation       pg_catalog.regclass PRIMARY KEY,
    event          pg_catalog.text NOT NULL,
    id_column      pg_catalog.name NOT NULL,
    status_column  pg_catalog.name NOT NULL,
    url_column     pg_catalog.name,
    org_column     pg_catalog.name,
    payload        pg_catalog.jsonb,
    column_numbers pg_catalog.jsonb NOT NULL,
    numbered_for   pg_catalog.oid NOT NULL
);
COMMENT ON TABLE kgwebhook.watch IS
  'tables whose status changes are events; written by kg_watch() and kg_unwatch()';
COMMENT ON COLUMN kgwebhook.watch.relation IS 'the watched table';
COMMENT ON COLUMN kgwebhook.watch.event IS 'first part of the event name: payment_intent in payment_intent.success';
COMMENT ON COLUMN kgwebhook.watch.id_column IS 'column that identifies the object';
COMMENT ON COLUMN kgwebhook.watch.status_column IS 'column whose change is the event';
COMMENT ON COLUMN kgwebhook.watch.url_column IS 'column with the URL to call back; NULL: only subscriptions are called';
COMMENT ON COLUMN kgwebhook.watch.org_column IS 'column with the organisation; NULL: the organisation "default"';
COMMENT ON COLUMN kgwebhook.watch.payload IS 'member to column; NULL: the default of the event';
COMMENT ON COLUMN kgwebhook.watch.column_numbers IS 'the columns'' numbers, by which they are found when they have been renamed';
COMMENT ON COLUMN kgwebhook.watch.numbered_for IS 'the table the numbers belong to; another one, after a restore, goes by names';

CREATE TABLE kgwebhook.secret (
    org_id        pg_catalog.text PRIMARY KEY,
    secret        pg_catalog.text NOT NULL,
    created_at    pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now(),
    next_secret   pg_catalog.text,
    activates_at  pg_catalog.timestamptz,
    retires_at    pg_catalog.timestamptz,
    encrypted     pg_catalog.bool NOT NULL DEFAULT false
);
COMMENT ON TABLE kgwebhook.secret IS
  'signing secrets by organisation; readable by its owner only';
COMMENT ON COLUMN kgwebhook.secret.org_id IS 'the organisation';
COMMENT ON COLUMN kgwebhook.secret.secret IS 'the secret exactly as issued; its bytes are the HMAC key of the body';
COMMENT ON COLUMN kgwebhook.secret.created_at IS 'when a secret was last installed, or a rotation begun';
COMMENT ON COLUMN kgwebhook.secret.next_secret IS 'what takes its place, while a rotation is under way';
COMMENT ON COLUMN kgwebhook.secret.activates_at IS 'from when next_secret signs the body';
COMMENT ON COLUMN kgwebhook.secret.retires_at IS 'from when secret signs nothing any more';
COMMENT ON COLUMN kgwebhook.secret.encrypted IS 'true: both are encrypted with a key of kgwebhook.key_file';


/* -------------------------------------------------------------------------
 * Subscriptions
 *
 * Organisation and URL go by their bytes: the trigger finds them through the
 * index without knowing a collation.
 * ------------------------------------------------------------------------- */

CREATE SEQUENCE kgwebhook.subscription_id_seq;
COMMENT ON SEQUENCE kgwebhook.subscription_id_seq IS 'numbers subscriptions';

CREATE TABLE kgwebhook.subscription (
    subscription_id  pg_catalog.int8 NOT NULL DEFAULT pg_catalog.nextval('kgwebhook.subscription_id_seq'::pg_catalog.regclass),
    org_id           pg_catalog.text COLLATE pg_catalog."C" NOT NULL,
    url              pg_catalog.text COLLATE pg_catalog."C" NOT NULL,
    destination      pg_catalog.text COLLATE pg_catalog."C" NOT NULL,
    events           pg_catalog.text[] NOT NULL,
    description      pg_catalog.text,
    created_at       pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now(),
    paused_at        pg_catalog.timestamptz,
    disabled_at      pg_catalog.timestamptz,
    disabled_reason  pg_catalog.text,
    failing_since    pg_catalog.timestamptz,
    CONSTRAINT subscription_pkey PRIMARY KEY (subscription_id),
    CONSTRAINT subscription_org_id_url_key UNIQUE (org_id, url)
);
COMMENT ON TABLE kgwebhook.subscription IS
  'who gets the events of an organisation, besides the objects'' own URLs; readable by its owner only';
COMMENT ON COLUMN kgwebhook.subscription.subscription_id IS 'the subscription';
COMMENT ON COLUMN kgwebhook.subscription.org_id IS 'the organisation whose events it gets';
COMMENT ON COLUMN kgwebhook.subscription.url IS 'where they go';
COMMENT ON COLUMN kgwebhook.subscription.destination IS 'scheme://host:port of the URL';
COMMENT ON COLUMN kgwebhook.subscription.events IS 'names of events, or patterns: * stands for anything';
COMMENT ON COLUMN kgwebhook.subscription.description IS 'for people';
COMMENT ON COLUMN kgwebhook.subscription.created_at IS 'when kg_subscribe() was called';
COMMENT ON COLUMN kgwebhook.subscription.paused_at IS 'since when its events wait in the queue';
COMMENT ON COLUMN kgwebhook.subscription.disabled_at IS 'since when its events become dead letters';
COMMENT ON COLUMN kgwebhook.subscription.disabled_reason IS 'why it was disabled';
COMMENT ON COLUMN kgwebhook.subscription.failing_since IS 'first attempt that was not acknowledged since the last one that was';


/* -------------------------------------------------------------------------
 * Queue, log, dead letters
 *
 * The queue's indexes hold no column that ever changes, so that a retry is a
 * heap-only update.  xid finds new arrivals by transaction: sequence order
 * is not commit order.
 * ------------------------------------------------------------------------- */

CREATE SEQUENCE kgwebhook.delivery_id_seq;
COMMENT ON SEQUENCE kgwebhook.delivery_id_seq IS 'numbers deliveries';

CREATE SEQUENCE kgwebhook.attempt_id_seq;
COMMENT ON SEQUENCE kgwebhook.attempt_id_seq IS 'numbers attempts';

CREATE TABLE kgwebhook.queue (
    delivery_id      pg_catalog.int8 NOT NULL DEFAULT pg_catalog.nextval('kgwebhook.delivery_id_seq'::pg_catalog.regclass),
    webhook_id       pg_catalog.text NOT NULL,
    org_id           pg_catalog.text NOT NULL,
    event            pg_catalog.text NOT NULL,
    kind             pg_catalog.text NOT NULL DEFAULT '',
    object_id        pg_catalog.text NOT NULL,
    url              pg_catalog.text NOT NULL,
    destination      pg_catalog.text COLLATE pg_catalog."C" NOT NULL,
    payload          pg_catalog.jsonb NOT NULL,
    attempts         pg_catalog.int4 NOT NULL DEFAULT 0,
    next_attempt_at  pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now(),
    enqueued_at      pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now(),
    xid              pg_catalog.xid8 NOT NULL DEFAULT pg_catalog.pg_current_xact_id(),
    problem          pg_catalog.text,
    origin           pg_catalog.int8 NOT NULL DEFAULT kgwebhook.origin(),
    attempts_before  pg_catalog.int4 NOT NULL DEFAULT 0,
    subscription_id  pg_catalog.int8,
    CONSTRAINT queue_pkey PRIMARY KEY (delivery_id)
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.2);
CREATE INDEX queue_destination_idx ON kgwebhook.queue (destination, delivery_id);
CREATE INDEX queue_xid_idx ON kgwebhook.queue (xid, delivery_id);
COMMENT ON TABLE kgwebhook.queue IS 'deliveries from commit until they are settled';
COMMENT ON INDEX kgwebhook.queue_destination_idx IS 'pages in what waits for one destination, oldest first';
COMMENT ON INDEX kgwebhook.queue_xid_idx IS 'finds what has been committed since the last look';
COMMENT ON COLUMN kgwebhook.queue.delivery_id IS 'the delivery';
COMMENT ON COLUMN kgwebhook.queue.webhook_id IS 'the event, as receivers see it: the same for every attempt and every receiver';
COMMENT ON COLUMN kgwebhook.queue.org_id IS 'the organisation whose secret signs';
COMMENT ON COLUMN kgwebhook.queue.event IS 'name of the event, such as payment_intent.success';
COMMENT ON COLUMN kgwebhook.queue.kind IS 'kind of the object: the event that kg_watch() was given; empty in a row that was put here by hand without one';
COMMENT ON COLUMN kgwebhook.queue.object_id IS 'the object whose status changed; with org_id and kind it is one object';
COMMENT ON COLUMN kgwebhook.queue.url IS 'where it goes';
COMMENT ON COLUMN kgwebhook.queue.destination IS 'scheme://host:port of the URL; empty when the URL has none';
COMMENT ON COLUMN kgwebhook.queue.payload IS 'the payload without timestamp and signature, which belong to an attempt';
COMMENT ON COLUMN kgwebhook.queue.attempts IS 'attempts logged so far';
COMMENT ON COLUMN kgwebhook.queue.next_attempt_at IS 'not before this; infinity: waits for a signing secret';
COMMENT ON COLUMN kgwebhook.queue.enqueued_at IS 'start of the transaction that changed the status, or that queued it again';
COMMENT ON COLUMN kgwebhook.queue.xid IS 'the transaction that changed the status';
COMMENT ON COLUMN kgwebhook.queue.problem IS 'what was wrong with the event when it was enqueued, if anything';
COMMENT ON COLUMN kgwebhook.queue.origin IS 'the database it was enqueued in; of another one''s, nothing is sent before kg_adopt()';
COMMENT ON COLUMN kgwebhook.queue.attempts_before IS 'attempts that the retry schedule does not count: those made before it was queued again, and those that died with a kept connection';
COMMENT ON COLUMN kgwebhook.queue.subscription_id IS 'the subscription it is for; NULL: the object''s own URL';

CREATE TABLE kgwebhook.delivery_log (
    attempt_id       pg_catalog.int8 NOT NULL DEFAULT pg_catalog.nextval('kgwebhook.attempt_id_seq'::pg_catalog.regclass),
    delivery_id      pg_catalog.int8 NOT NULL,
    webhook_id       pg_catalog.text NOT NULL,
    org_id           pg_catalog.text NOT NULL,
    event            pg_catalog.text NOT NULL,
    kind             pg_catalog.text NOT NULL DEFAULT '',
    object_id        pg_catalog.text NOT NULL,
    url              pg_catalog.text NOT NULL,
    destination      pg_catalog.text COLLATE pg_catalog."C" NOT NULL,
    attempt          pg_catalog.int4 NOT NULL,
    outcome          pg_catalog.text NOT NULL,
    final            pg_catalog.bool NOT NULL,
    response_status  pg_catalog.int4,
    response_body    pg_catalog.text,
    error            pg_catalog.text,
    request_body     pg_catalog.text,
    started_at       pg_catalog.timestamptz NOT NULL,
    duration_ms      pg_catalog.float8,
    is_test          pg_catalog.bool NOT NULL DEFAULT false,
    subscription_id  pg_catalog.int8,
    CONSTRAINT delivery_log_outcome_check CHECK (outcome OPERATOR(pg_catalog.=) ANY (ARRAY['acknowledged'::pg_catalog.text, 'rejected', 'timed_out', 'unreachable', 'blocked', 'invalid', 'superseded']))
) PARTITION BY RANGE (started_at);
ALTER TABLE kgwebhook.delivery_log REPLICA IDENTITY FULL;
CREATE TABLE kgwebhook.delivery_log_default PARTITION OF kgwebhook.delivery_log DEFAULT;
ALTER TABLE kgwebhook.delivery_log_default REPLICA IDENTITY FULL;

/*
 * Indexes are the partitions' own: those of the parent would be made anew when a
 * restore attaches a day, and be in the way of the ones that the dump has.
 * Attempts are written in the order of their numbers, so a block range will do: one
 * of 1 MB, as autovacuum remembers 256 of them to summarize, and logs each one more.
 */
CREATE FUNCTION kgwebhook.index_partition(partition pg_catalog.name) RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('CREATE INDEX %I ON kgwebhook.%I USING brin (attempt_id) WITH (autosummarize = on)',
                   partition || '_attempt_id_idx', partition);
    EXECUTE format('CREATE INDEX %I ON kgwebhook.%I (delivery_id, attempt)', partition || '_delivery_id_idx', partition);
    EXECUTE format('CREATE INDEX %I ON kgwebhook.%I (object_id, org_id, kind, attempt_id)', partition || '_object_id_idx', partition);
    EXECUTE format('CREATE INDEX %I ON kgwebhook.%I (started_at) WHERE outcome <> ''acknowledged''', partition || '_failed_idx', partition);
    EXECUTE format('COMMENT ON INDEX kgwebhook.%I IS %L', partition || '_attempt_id_idx', 'one attempt, by its number');
    EXECUTE format('COMMENT ON INDEX kgwebhook.%I IS %L', partition || '_delivery_id_idx', 'the attempts of one delivery');
    EXECUTE format('COMMENT ON INDEX kgwebhook.%I IS %L', partition || '_object_id_idx', 'the attempts for one object');
    EXECUTE format('COMMENT ON INDEX kgwebhook.%I IS %L', partition || '_failed_idx', 'what was not acknowledged, by its time');
END
$$;
COMMENT ON FUNCTION kgwebhook.index_partition(pg_catalog.name) IS
  'makes the indexes of a partition of the log';
SELECT kgwebhook.index_partition('delivery_log_default');

COMMENT ON TABLE kgwebhook.delivery_log IS 'every attempt of every delivery';
COMMENT ON TABLE kgwebhook.delivery_log_default IS 'attempts of days that have no partition of their own';
COMMENT ON COLUMN kgwebhook.delivery_log.attempt_id IS 'the attempt';
COMMENT ON COLUMN kgwebhook.delivery_log.delivery_id IS 'the delivery it was an attempt of';
COMMENT ON COLUMN kgwebhook.delivery_log.webhook_id IS 'the event, as the receiver saw it';
COMMENT ON COLUMN kgwebhook.delivery_log.org_id IS 'the organisation whose secret signed';
COMMENT ON COLUMN kgwebhook.delivery_log.event IS 'name of the event, such as payment_intent.success';
COMMENT ON COLUMN kgwebhook.delivery_log.kind IS 'kind of the object: the event that kg_watch() was given; empty in a row that was put here by hand without one';
COMMENT ON COLUMN kgwebhook.delivery_log.object_id IS 'the object whose status changed; with org_id and kind it is one object';
COMMENT ON COLUMN kgwebhook.delivery_log.url IS 'where it went';
COMMENT ON COLUMN kgwebhook.delivery_log.destination IS 'scheme://host:port of the URL; empty when the URL has none';
COMMENT ON COLUMN kgwebhook.delivery_log.attempt IS '1, 2, ... within the delivery';
COMMENT ON COLUMN kgwebhook.delivery_log.outcome IS 'acknowledged, rejected, timed_out, unreachable, blocked, invalid or superseded';
COMMENT ON COLUMN kgwebhook.delivery_log.final IS 'true when this attempt settled the delivery';
COMMENT ON COLUMN kgwebhook.delivery_log.response_status IS 'HTTP status of the answer; NULL when there was none';
COMMENT ON COLUMN kgwebhook.delivery_log.response_body IS 'beginning of the answer, made valid text; capped by kgwebhook.response_body_limit';
COMMENT ON COLUMN kgwebhook.delivery_log.error IS 'why it was not acknowledged, in words';
COMMENT ON COLUMN kgwebhook.delivery_log.request_body IS 'the exact bytes that were sent';
COMMENT ON COLUMN kgwebhook.delivery_log.started_at IS 'when the attempt began';
COMMENT ON COLUMN kgwebhook.delivery_log.duration_ms IS 'milliseconds from its beginning to its outcome';
COMMENT ON COLUMN kgwebhook.delivery_log.is_test IS 'true for kg_send_test()';
COMMENT ON COLUMN kgwebhook.delivery_log.subscription_id IS 'the subscription it was for; NULL: the object''s own URL';

CREATE TABLE kgwebhook.dead_letter (
    delivery_id      pg_catalog.int8 NOT NULL,
    webhook_id       pg_catalog.text NOT NULL,
    org_id           pg_catalog.text NOT NULL,
    event            pg_catalog.text NOT NULL,
    kind             pg_catalog.text NOT NULL DEFAULT '',
    object_id        pg_catalog.text NOT NULL,
    url              pg_catalog.text NOT NULL,
    destination      pg_catalog.text COLLATE pg_catalog."C" NOT NULL,
    payload          pg_catalog.jsonb NOT NULL,
    attempts         pg_catalog.int4 NOT NULL,
    next_attempt_at  pg_catalog.timestamptz NOT NULL,
    enqueued_at      pg_catalog.timestamptz NOT NULL,
    xid              pg_catalog.xid8 NOT NULL,
    problem          pg_catalog.text,
    origin           pg_catalog.int8 NOT NULL DEFAULT kgwebhook.origin(),
    attempts_before  pg_catalog.int4 NOT NULL DEFAULT 0,
    reason           pg_catalog.text NOT NULL,
    died_at          pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now(),
    subscription_id  pg_catalog.int8,
    CONSTRAINT dead_letter_pkey PRIMARY KEY (delivery_id)
);
COMMENT ON TABLE kgwebhook.dead_letter IS 'deliveries that were given up, with the reason';
COMMENT ON COLUMN kgwebhook.dead_letter.delivery_id IS 'the delivery';
COMMENT ON COLUMN kgwebhook.dead_letter.webhook_id IS 'the event, as receivers see it';
COMMENT ON COLUMN kgwebhook.dead_letter.org_id IS 'the organisation whose secret signs';
COMMENT ON COLUMN kgwebhook.dead_letter.event IS 'name of the event, such as payment_intent.success';
COMMENT ON COLUMN kgwebhook.dead_letter.kind IS 'kind of the object: the event that kg_watch() was given; empty in a row that was put here by hand without one';
COMMENT ON COLUMN kgwebhook.dead_letter.object_id IS 'the object whose status changed; with org_id and kind it is one object';
COMMENT ON COLUMN kgwebhook.dead_letter.url IS 'where it was to go';
COMMENT ON COLUMN kgwebhook.dead_letter.destination IS 'scheme://host:port of the URL; empty when the URL has none';
COMMENT ON COLUMN kgwebhook.dead_letter.payload IS 'the payload without timestamp and signature';
COMMENT ON COLUMN kgwebhook.dead_letter.attempts IS 'attempts logged';
COMMENT ON COLUMN kgwebhook.dead_letter.next_attempt_at IS 'when the last attempt was due';
COMMENT ON COLUMN kgwebhook.dead_letter.enqueued_at IS 'start of the transaction that changed the status, or that queued it again';
COMMENT ON COLUMN kgwebhook.dead_letter.xid IS 'the transaction that changed the status';
COMMENT ON COLUMN kgwebhook.dead_letter.problem IS 'what was wrong with the event when it was enqueued, if anything';
COMMENT ON COLUMN kgwebhook.dead_letter.origin IS 'the database it was given up in';
COMMENT ON COLUMN kgwebhook.dead_letter.attempts_before IS 'attempts made before it was last queued again';
COMMENT ON COLUMN kgwebhook.dead_letter.reason IS 'why it was given up';
COMMENT ON COLUMN kgwebhook.dead_letter.died_at IS 'when it was given up';
COMMENT ON COLUMN kgwebhook.dead_letter.subscription_id IS 'the subscription it was for; NULL: the object''s own URL';

/* What an operator has put in place of what a payment said must be accounted for. */
CREATE TABLE kgwebhook.amendment (
    delivery_id      pg_catalog.int8 NOT NULL,
    amended_at       pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now(),
    amended_by       pg_catalog.name NOT NULL,
    org_id           pg_catalog.text NOT NULL,
    object_id        pg_catalog.text NOT NULL,
    payload          pg_catalog.jsonb NOT NULL,
    former_payload   pg_catalog.jsonb NOT NULL,
    former_reason    pg_catalog.text NOT NULL,
    CONSTRAINT amendment_pkey PRIMARY KEY (delivery_id, amended_at)
);
COMMENT ON TABLE kgwebhook.amendment IS 'payloads that were changed by kg_amend(), and by whom; kept as long as the log';
COMMENT ON COLUMN kgwebhook.amendment.delivery_id IS 'the delivery';
COMMENT ON COLUMN kgwebhook.amendment.amended_at IS 'when it was changed and queued';
COMMENT ON COLUMN kgwebhook.amendment.amended_by IS 'the role that called kg_amend()';
COMMENT ON COLUMN kgwebhook.amendment.org_id IS 'the organization whose secret signs';
COMMENT ON COLUMN kgwebhook.amendment.object_id IS 'the object whose status changed';
COMMENT ON COLUMN kgwebhook.amendment.payload IS 'what is sent since';
COMMENT ON COLUMN kgwebhook.amendment.former_payload IS 'what was to be sent before';
COMMENT ON COLUMN kgwebhook.amendment.former_reason IS 'why the delivery had been given up';

CREATE TABLE kgwebhook.paused (
    destination  pg_catalog.text COLLATE pg_catalog."C" PRIMARY KEY,
    paused_at    pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE kgwebhook.paused IS 'destinations that nothing is sent to; written by kg_pause() and kg_resume()';
COMMENT ON COLUMN kgwebhook.paused.destination IS 'scheme://host:port, or * for all of them';
COMMENT ON COLUMN kgwebhook.paused.paused_at IS 'since when';

SELECT pg_catalog.pg_extension_config_dump('kgwebhook.instance', '');
SELECT pg_catalog.pg_extension_config_dump('kgwebhook.watch', '');
SELECT pg_catalog.pg_extension_config_dump('kgwebhook.paused', '');
SELECT pg_catalog.pg_extension_config_dump('kgwebhook.secret', '');
SELECT pg_catalog.pg_extension_config_dump('kgwebhook.subscription_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('kgwebhook.subscription', '');
SELECT pg_catalog.pg_extension_config_dump('kgwebhook.delivery_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('kgwebhook.attempt_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('kgwebhook.queue', '');
SELECT pg_catalog.pg_extension_config_dump('kgwebhook.delivery_log_default', '');
SELECT pg_catalog.pg_extension_config_dump('kgwebhook.dead_letter', '');
SELECT pg_catalog.pg_extension_config_dump('kgwebhook.amendment', '');


/* -------------------------------------------------------------------------
 * Triggers
 *
 * An ordinary role that may write a watched table needs no right on anything of
 * ours.
 * ------------------------------------------------------------------------- */

/*
 * This one takes no rights and pins no search_path, for each would cost every
 * payment more than forming the payload does, and nothing in it asks for either:
 * it forms the queue's row and inserts it without SQL, names and privileges.
 */
CREATE FUNCTION kgwebhook.enqueue() RETURNS pg_catalog.trigger
    LANGUAGE c
    AS 'MODULE_PATHNAME', 'kg_enqueue';
COMMENT ON FUNCTION kgwebhook.enqueue() IS
  'trigger of a watched table: puts a status transition into the queue';

CREATE FUNCTION kgwebhook.check_transition() RETURNS pg_catalog.trigger
    LANGUAGE c SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_check_transition';
COMMENT ON FUNCTION kgwebhook.check_transition() IS
  'trigger of a ready-made table: checks status, transition, URL and JSON at the door';

CREATE FUNCTION kgwebhook.changed() RETURNS pg_catalog.trigger
    LANGUAGE c SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_changed';
COMMENT ON FUNCTION kgwebhook.changed() IS
  'trigger of our tables: makes the workers forget what they hold of them';

/*
 * Not kg_watch() numbers the columns but this does, so that a restore does so as
 * well: the dump's numbers are the original's, where dropped columns counted.
 */
CREATE FUNCTION kgwebhook.number_columns() RETURNS pg_catalog.trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    NEW.column_numbers := (SELECT jsonb_object_agg(attname, attnum) FROM pg_attribute
                            WHERE attrelid = NEW.relation AND attnum > 0 AND NOT attisdropped);
    NEW.numbered_for := NEW.relation;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION kgwebhook.number_columns() IS
  'trigger of kgwebhook.watch: notes which numbers the columns have in this database';
CREATE TRIGGER number_columns
    BEFORE INSERT ON kgwebhook.watch
    FOR EACH ROW EXECUTE FUNCTION kgwebhook.number_columns();
COMMENT ON TRIGGER number_columns ON kgwebhook.watch IS 'numbers the columns, also when the row is restored';

/* The workers themselves run as a replica would and don't fire these. */
CREATE TRIGGER changed
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON kgwebhook.secret
    FOR EACH STATEMENT EXECUTE FUNCTION kgwebhook.changed();
COMMENT ON TRIGGER changed ON kgwebhook.secret IS 'makes the workers forget the secrets they hold';
CREATE TRIGGER changed
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON kgwebhook.queue
    FOR EACH STATEMENT EXECUTE FUNCTION kgwebhook.changed();
COMMENT ON TRIGGER changed ON kgwebhook.queue IS 'makes the workers notice what was changed by hand';
CREATE TRIGGER changed
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON kgwebhook.paused
    FOR EACH STATEMENT EXECUTE FUNCTION kgwebhook.changed();
COMMENT ON TRIGGER changed ON kgwebhook.paused IS 'makes the workers notice a pause or its end';
CREATE TRIGGER changed
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON kgwebhook.subscription
    FOR EACH STATEMENT EXECUTE FUNCTION kgwebhook.changed();
COMMENT ON TRIGGER changed ON kgwebhook.subscription IS 'makes workers and writers of watched tables read it again';
CREATE TRIGGER changed
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON kgwebhook.instance
    FOR EACH STATEMENT EXECUTE FUNCTION kgwebhook.changed();
COMMENT ON TRIGGER changed ON kgwebhook.instance IS 'makes the workers notice that this is a copy, or no longer one';

/*
 * Whoever drops a table has no right on ours, and needs none.  Event triggers,
 * because they work in a session that never loads the library, too.
 */
CREATE FUNCTION kgwebhook.dropped() RETURNS pg_catalog.event_trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    DELETE FROM kgwebhook.watch w
     USING pg_event_trigger_dropped_objects() d
     WHERE d.classid = 'pg_class'::regclass AND d.objsubid = 0 AND w.relation = d.objid;
END
$$;
COMMENT ON FUNCTION kgwebhook.dropped() IS
  'event trigger: a table that is dropped is watched no more';

/* Looks at catalogs only: a lock on somebody's table would hold up all others. */
CREATE FUNCTION kgwebhook.altered() RETURNS pg_catalog.event_trigger
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
        RAISE EXCEPTION 'table "%" is watched, and can''t be altered like this', watched
            USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = fault,
                  HINT = 'Call kg_unwatch() first, if its status changes are to be events no more.';
    END IF;
END
$$;
COMMENT ON FUNCTION kgwebhook.altered() IS
  'event trigger: refuses what would let status changes of a watched table go unseen';

CREATE EVENT TRIGGER kgwebhook_dropped ON sql_drop
    EXECUTE FUNCTION kgwebhook.dropped();
ALTER EVENT TRIGGER kgwebhook_dropped ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER kgwebhook_dropped IS 'a table that is dropped is watched no more';
CREATE EVENT TRIGGER kgwebhook_altered ON ddl_command_end
    WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE', 'CREATE FOREIGN TABLE', 'ALTER FOREIGN TABLE', 'CREATE SCHEMA')
    EXECUTE FUNCTION kgwebhook.altered();
ALTER EVENT TRIGGER kgwebhook_altered ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER kgwebhook_altered IS 'refuses what would let status changes of a watched table go unseen';


/* -------------------------------------------------------------------------
 * Setting up
 * ------------------------------------------------------------------------- */

CREATE FUNCTION @extschema@.kg_watch(
    relation pg_catalog.regclass,
    event pg_catalog.text DEFAULT 'payment_intent',
    id_column pg_catalog.name DEFAULT 'payment_intent_id',
    status_column pg_catalog.name DEFAULT 'status',
    url_column pg_catalog.name DEFAULT 'callback_url',
    org_column pg_catalog.name DEFAULT 'org_id',
    payload pg_catalog.jsonb DEFAULT NULL) RETURNS pg_catalog.void
    LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_watch';
COMMENT ON FUNCTION @extschema@.kg_watch(pg_catalog.regclass, pg_catalog.text, pg_catalog.name, pg_catalog.name, pg_catalog.name, pg_catalog.name, pg_catalog.jsonb) IS
  'makes the status changes of a table events';

CREATE FUNCTION @extschema@.kg_unwatch(relation pg_catalog.regclass) RETURNS pg_catalog.void
    LANGUAGE c STRICT VOLATILE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_unwatch';
COMMENT ON FUNCTION @extschema@.kg_unwatch(pg_catalog.regclass) IS
  'stops watching a table; what is queued already is still delivered';

/*
 * The ready-made tables are made with the caller's own rights, where the
 * caller's search_path says, and so are the caller's; hence no SET here.  They
 * are never members of the extension: DROP EXTENSION must not drop payments.
 */
CREATE FUNCTION @extschema@.kg_create_payment_intents(table_name pg_catalog.text DEFAULT 'payment_intents') RETURNS pg_catalog.regclass
    LANGUAGE c STRICT VOLATILE
    AS 'MODULE_PATHNAME', 'kg_create_payment_intents';
COMMENT ON FUNCTION @extschema@.kg_create_payment_intents(pg_catalog.text) IS
  'creates the ready-made table of payment intents, owned by the caller, and watches it';

CREATE FUNCTION @extschema@.kg_create_transfers(table_name pg_catalog.text DEFAULT 'transfers') RETURNS pg_catalog.regclass
    LANGUAGE c STRICT VOLATILE
    AS 'MODULE_PATHNAME', 'kg_create_transfers';
COMMENT ON FUNCTION @extschema@.kg_create_transfers(pg_catalog.text) IS
  'creates the ready-made table of custodial transfers, owned by the caller, and watches it';

CREATE FUNCTION @extschema@.kg_create_secret(org_id pg_catalog.text DEFAULT 'default') RETURNS pg_catalog.text
    LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_create_secret';
COMMENT ON FUNCTION @extschema@.kg_create_secret(pg_catalog.text) IS
  'makes a signing secret for an organisation and returns it this once';

CREATE FUNCTION @extschema@.kg_set_secret(org_id pg_catalog.text, secret pg_catalog.text) RETURNS pg_catalog.void
    LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_set_secret';
COMMENT ON FUNCTION @extschema@.kg_set_secret(pg_catalog.text, pg_catalog.text) IS
  'installs a signing secret that was agreed elsewhere, in place of the one there was';

/* Two functions, so that a right to the one is none to the other. */
CREATE FUNCTION @extschema@.kg_set_secret(
    org_id pg_catalog.text,
    secret pg_catalog.text,
    replace_undecryptable pg_catalog.bool) RETURNS pg_catalog.void
    LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_set_secret';
COMMENT ON FUNCTION @extschema@.kg_set_secret(pg_catalog.text, pg_catalog.text, pg_catalog.bool) IS
  'the same; true: also in place of one that can''t be decrypted, which is then lost for good';

CREATE FUNCTION kgwebhook.secret_wanted(org_id pg_catalog.text) RETURNS pg_catalog.text
    LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT CASE WHEN EXISTS (SELECT FROM kgwebhook.secret s WHERE s.org_id = secret_wanted.org_id)
                THEN format('It waits for the key to decrypt the signing secret of organization %s, which is there. '
                            'It is sent as soon as the file of kgwebhook.key_file is restored and the server has reloaded; '
                            'the server''s log says what is wrong with it. Don''t set another secret: the receiver knows this one.', org_id)
                ELSE format('It waits for a signing secret of organization %s. It is sent as soon as kg_create_secret() or kg_set_secret() has made one.', org_id) END
$$;
COMMENT ON FUNCTION kgwebhook.secret_wanted(pg_catalog.text) IS
  'what has to happen before deliveries of an organization that wait for its secret are sent, in words';

CREATE FUNCTION @extschema@.kg_rotate_secret(
    org_id pg_catalog.text DEFAULT 'default',
    activate_after pg_catalog.interval DEFAULT '24 hours',
    keep_old pg_catalog.interval DEFAULT '24 hours') RETURNS pg_catalog.text
    LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_rotate_secret';
COMMENT ON FUNCTION @extschema@.kg_rotate_secret(pg_catalog.text, pg_catalog.interval, pg_catalog.interval) IS
  'makes the secret that will take the place of an organisation''s, and returns it this once';

CREATE FUNCTION @extschema@.kg_cancel_rotation(org_id pg_catalog.text) RETURNS pg_catalog.void
    LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_cancel_rotation';
COMMENT ON FUNCTION @extschema@.kg_cancel_rotation(pg_catalog.text) IS
  'takes a rotation back that is under way: the old secret signs alone, the new one is gone';

CREATE FUNCTION @extschema@.kg_fingerprint(secret pg_catalog.text) RETURNS pg_catalog.text
    LANGUAGE c STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_fingerprint';
COMMENT ON FUNCTION @extschema@.kg_fingerprint(pg_catalog.text) IS
  'the fingerprint of a secret, to compare with those of kg_fingerprints()';

CREATE FUNCTION kgwebhook.fingerprint(org_id pg_catalog.text, next pg_catalog.bool) RETURNS pg_catalog.text
    LANGUAGE c STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_fingerprint_of';
COMMENT ON FUNCTION kgwebhook.fingerprint(pg_catalog.text, pg_catalog.bool) IS
  'the fingerprint of an organization''s secret, or of the next one; NULL when it can''t be decrypted';

CREATE FUNCTION @extschema@.kg_fingerprints(
    org_id pg_catalog.text DEFAULT NULL,
    OUT org_id pg_catalog.text,
    OUT secret pg_catalog.text,
    OUT fingerprint pg_catalog.text,
    OUT signs_from pg_catalog.timestamptz,
    OUT signs_until pg_catalog.timestamptz,
    OUT encrypted pg_catalog.bool) RETURNS SETOF pg_catalog.record
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT s.org_id, which.secret, kgwebhook.fingerprint(s.org_id, which.secret = 'next'),
           CASE which.secret WHEN 'next' THEN s.activates_at END,
           CASE which.secret WHEN 'present' THEN s.retires_at END,
           s.encrypted
      FROM kgwebhook.secret s, unnest(ARRAY['present', 'next']) AS which (secret)
     WHERE ($1 IS NULL OR s.org_id = $1) AND (which.secret = 'present' OR s.next_secret IS NOT NULL)
     ORDER BY s.org_id, which.secret DESC
$$;
COMMENT ON FUNCTION @extschema@.kg_fingerprints(pg_catalog.text) IS
  'the fingerprints of all secrets or of one organization''s, by which they are compared without being seen';

CREATE FUNCTION @extschema@.kg_encrypt_secrets() RETURNS pg_catalog.int8
    LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_encrypt_secrets';
COMMENT ON FUNCTION @extschema@.kg_encrypt_secrets() IS
  'encrypts all secrets with the first key of kgwebhook.key_file; how many organisations'' were not yet';

CREATE FUNCTION @extschema@.kg_subscribe(
    org_id pg_catalog.text,
    url pg_catalog.text,
    events pg_catalog.text[] DEFAULT '{*}',
    description pg_catalog.text DEFAULT NULL) RETURNS pg_catalog.int8
    LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_subscribe';
COMMENT ON FUNCTION @extschema@.kg_subscribe(pg_catalog.text, pg_catalog.text, pg_catalog.text[], pg_catalog.text) IS
  'has an organisation''s events sent to a URL, besides the objects'' own; returns the subscription''s number';

CREATE FUNCTION @extschema@.kg_unsubscribe(subscription_id pg_catalog.int8) RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    DELETE FROM kgwebhook.subscription s WHERE s.subscription_id = kg_unsubscribe.subscription_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'subscription % does not exist', kg_unsubscribe.subscription_id
            USING ERRCODE = 'no_data_found',
                  HINT = 'SELECT * FROM kgwebhook.subscriptions shows those that there are.';
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@.kg_unsubscribe(pg_catalog.int8) IS
  'removes a subscription; what is still queued for it becomes dead letters';

CREATE FUNCTION @extschema@.kg_pause_subscription(subscription_id pg_catalog.int8) RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    UPDATE kgwebhook.subscription s SET paused_at = coalesce(s.paused_at, now())
     WHERE s.subscription_id = kg_pause_subscription.subscription_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'subscription % does not exist', kg_pause_subscription.subscription_id
            USING ERRCODE = 'no_data_found',
                  HINT = 'SELECT * FROM kgwebhook.subscriptions shows those that there are.';
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@.kg_pause_subscription(pg_catalog.int8) IS
  'has the events of a subscription wait in the queue';

CREATE FUNCTION @extschema@.kg_resume_subscription(subscription_id pg_catalog.int8) RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    former kgwebhook.subscription;
BEGIN
    SELECT * INTO former FROM kgwebhook.subscription s
     WHERE s.subscription_id = kg_resume_subscription.subscription_id FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'subscription % does not exist', kg_resume_subscription.subscription_id
            USING ERRCODE = 'no_data_found',
                  HINT = 'SELECT * FROM kgwebhook.subscriptions shows those that there are.';
    END IF;
    IF former.paused_at IS NULL AND former.disabled_at IS NULL THEN
        RAISE NOTICE 'nothing was resumed'
            USING DETAIL = format('Subscription %s is neither paused nor disabled.', former.subscription_id);
        RETURN;
    END IF;
    UPDATE kgwebhook.subscription s
       SET paused_at = NULL, disabled_at = NULL, disabled_reason = NULL, failing_since = NULL
     WHERE s.subscription_id = former.subscription_id;
    IF former.disabled_at IS NOT NULL THEN
        RAISE NOTICE 'subscription % is enabled again', former.subscription_id
            USING DETAIL = 'What it has missed meanwhile is not sent by itself.',
                  HINT = format('SELECT kg_recover(%L, org_id => %L, destination => %L) sends it.',
                                date_trunc('second', former.disabled_at), former.org_id, former.destination);
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@.kg_resume_subscription(pg_catalog.int8) IS
  'ends what kg_pause_subscription() began, and enables a subscription that was disabled';


/* -------------------------------------------------------------------------
 * Operating
 * ------------------------------------------------------------------------- */

CREATE FUNCTION @extschema@.kg_send_test(
    url pg_catalog.text DEFAULT NULL,
    org_id pg_catalog.text DEFAULT 'default',
    status pg_catalog.text DEFAULT 'success') RETURNS SETOF kgwebhook.delivery_log
    LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_send_test';
COMMENT ON FUNCTION @extschema@.kg_send_test(pg_catalog.text, pg_catalog.text, pg_catalog.text) IS
  'sends one synthetic, signed callback now, to a URL or to all active subscriptions; returns its rows of the log';

CREATE FUNCTION kgwebhook.worker_stats(
    OUT since pg_catalog.timestamptz,
    OUT enqueued pg_catalog.int8,
    OUT acknowledged pg_catalog.int8,
    OUT rejected pg_catalog.int8,
    OUT timed_out pg_catalog.int8,
    OUT unreachable pg_catalog.int8,
    OUT blocked pg_catalog.int8,
    OUT invalid pg_catalog.int8,
    OUT superseded pg_catalog.int8,
    OUT in_flight pg_catalog.int4,
    OUT workers pg_catalog.int4,
    OUT worker_state pg_catalog.text,
    OUT last_error pg_catalog.text,
    OUT last_error_at pg_catalog.timestamptz) RETURNS pg_catalog.record
    LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_worker_stats';
COMMENT ON FUNCTION kgwebhook.worker_stats() IS
  'counters and state of this database''s workers, from shared memory';

CREATE FUNCTION kgwebhook.destination_notices(
    OUT destination pg_catalog.text,
    OUT backing_off pg_catalog.bool,
    OUT in_flight pg_catalog.int4,
    OUT failures_in_a_row pg_catalog.int4,
    OUT last_success pg_catalog.timestamptz,
    OUT next_try pg_catalog.timestamptz) RETURNS SETOF pg_catalog.record
    LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_destination_notices';
COMMENT ON FUNCTION kgwebhook.destination_notices() IS
  'what this database''s workers say of their destinations, from shared memory';

CREATE FUNCTION kgwebhook.destination_of(url pg_catalog.text) RETURNS pg_catalog.text
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'kg_destination_of';
COMMENT ON FUNCTION kgwebhook.destination_of(pg_catalog.text) IS
  'scheme://host:port of a URL; empty when it has none';

CREATE FUNCTION kgwebhook.checked_destination(destination pg_catalog.text) RETURNS pg_catalog.text
    LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    known text := kgwebhook.destination_of(lower(destination) || '/');
BEGIN
    IF known <> '' AND known = lower(destination) THEN
        RETURN known;
    END IF;
    RAISE EXCEPTION '"%" is not a destination', destination
        USING ERRCODE = 'invalid_parameter_value',
              DETAIL = 'A destination is scheme://host:port, with its port.',
              HINT = CASE WHEN known <> '' THEN format('The destination of such a URL is %s.', known)
                     ELSE 'SELECT destination FROM kgwebhook.destinations shows those that there are.' END;
END
$$;
COMMENT ON FUNCTION kgwebhook.checked_destination(pg_catalog.text) IS
  'a destination in lower case; an error for what can be none';

CREATE FUNCTION @extschema@.kg_pause(destination pg_catalog.text DEFAULT NULL) RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    name text := kgwebhook.checked_destination(kg_pause.destination);
BEGIN
    INSERT INTO kgwebhook.paused (destination) VALUES (coalesce(name, '*'))
        ON CONFLICT DO NOTHING;
    IF name IS NOT NULL
       AND NOT EXISTS (SELECT FROM kgwebhook.queue q WHERE q.destination = name)
       AND NOT EXISTS (SELECT FROM kgwebhook.subscription s WHERE s.destination = name)
       AND NOT EXISTS (SELECT FROM kgwebhook.destination_notices() n WHERE n.destination = name) THEN
        RAISE WARNING 'nobody knows the destination "%"', name
            USING DETAIL = 'Nothing waits for it, no subscription has it, and nothing was sent there since the server started. It is paused all the same.',
                  HINT = 'SELECT destination FROM kgwebhook.destinations shows those that there are; kg_resume() takes a pause back.';
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@.kg_pause(pg_catalog.text) IS
  'stops new attempts to a destination, or to all of them; events are still queued';

CREATE FUNCTION @extschema@.kg_resume(destination pg_catalog.text DEFAULT NULL) RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    DELETE FROM kgwebhook.paused p
        WHERE kg_resume.destination IS NULL OR p.destination = lower(kg_resume.destination);
    IF NOT FOUND THEN
        RAISE NOTICE 'nothing was resumed'
            USING DETAIL = CASE WHEN kg_resume.destination IS NULL THEN 'Nothing is paused.'
                           ELSE format('"%s" is not paused by itself.', kg_resume.destination) END,
                  HINT = 'SELECT destination FROM kgwebhook.paused shows what is paused; * stands for everything.';
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@.kg_resume(pg_catalog.text) IS
  'ends what kg_pause() began, for a destination or for everything';

/*
 * What was restored has the transaction numbers of another server, and
 * arrivals are found by those; so it is enqueued anew, as it were, by this
 * transaction.  The sequences come with a dump, but not with a part of one.
 */
CREATE FUNCTION @extschema@.kg_adopt() RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    deliveries int8;
BEGIN
    LOCK TABLE kgwebhook.instance IN SHARE ROW EXCLUSIVE MODE;
    PERFORM FROM kgwebhook.instance i, pg_control_system() s, pg_database d
        WHERE d.datname = current_database()
        HAVING count(*) > 0
           AND bool_and(i.system_identifier = s.system_identifier AND i.database = d.oid);
    IF FOUND AND NOT EXISTS (SELECT FROM kgwebhook.queue WHERE origin <> kgwebhook.origin()) THEN
        RAISE NOTICE 'nothing was adopted'
            USING DETAIL = 'This database is not a copy, and delivers.';
        RETURN;
    END IF;
    PERFORM kgwebhook.record_instance();
    PERFORM setval('kgwebhook.delivery_id_seq', known.last)
       FROM kgwebhook.delivery_id_seq s,
            (SELECT greatest((SELECT max(delivery_id) FROM kgwebhook.queue),
                             (SELECT max(delivery_id) FROM kgwebhook.dead_letter),
                             (SELECT max(delivery_id) FROM kgwebhook.delivery_log)) AS last) known
      WHERE known.last >= s.last_value;
    PERFORM setval('kgwebhook.subscription_id_seq', known.last)
       FROM kgwebhook.subscription_id_seq s,
            (SELECT greatest((SELECT max(subscription_id) FROM kgwebhook.subscription),
                             (SELECT max(subscription_id) FROM kgwebhook.queue),
                             (SELECT max(subscription_id) FROM kgwebhook.dead_letter)) AS last) known
      WHERE known.last >= s.last_value;
    PERFORM setval('kgwebhook.attempt_id_seq', known.last)
       FROM kgwebhook.attempt_id_seq s,
            (SELECT max(attempt_id) AS last FROM kgwebhook.delivery_log) known
      WHERE known.last >= s.last_value;
    UPDATE kgwebhook.queue SET xid = pg_current_xact_id(), origin = kgwebhook.origin();
    GET DIAGNOSTICS deliveries = ROW_COUNT;
    RAISE LOG 'kgwebhook: database "%" was adopted, with % deliveries', current_database(), deliveries;
END
$$;
COMMENT ON FUNCTION @extschema@.kg_adopt() IS
  'lets a restored or upgraded copy deliver what is in its queue, and all that follows';

CREATE VIEW kgwebhook.destinations AS
    SELECT destination,
           CASE WHEN p.destination IS NOT NULL
                  OR EXISTS (SELECT FROM kgwebhook.paused a WHERE a.destination OPERATOR(pg_catalog.=) '*') THEN 'paused'
                WHEN n.backing_off THEN 'backing_off'
                ELSE 'ok' END AS state,
           coalesce(q.pending, 0) AS pending,
           coalesce(n.in_flight, 0) AS in_flight,
           coalesce(n.failures_in_a_row, 0) AS failures_in_a_row,
           n.last_success,
           /* what is due and not on its way is behind an older one of its object, which has its own time */
           CASE WHEN greatest(CASE WHEN n.backing_off THEN n.next_try END, q.next_attempt_at)
                     OPERATOR(pg_catalog.<=) pg_catalog.now()
                 AND coalesce(n.in_flight, 0) OPERATOR(pg_catalog.=) 0 AND q.later IS NOT NULL THEN q.later
                ELSE greatest(CASE WHEN n.backing_off THEN n.next_try END, q.next_attempt_at) END AS next_try,
           q.oldest_enqueued_at
      FROM (SELECT destination, pg_catalog.count(*) AS pending,
                   pg_catalog.min(next_attempt_at) AS next_attempt_at,
                   pg_catalog.min(next_attempt_at) FILTER (WHERE next_attempt_at OPERATOR(pg_catalog.>) pg_catalog.now()) AS later,
                   pg_catalog.min(enqueued_at) AS oldest_enqueued_at
              FROM kgwebhook.queue GROUP BY destination) q
      FULL JOIN kgwebhook.destination_notices() n USING (destination)
      FULL JOIN (SELECT destination FROM kgwebhook.paused
                  WHERE destination OPERATOR(pg_catalog.<>) '*') p USING (destination);
COMMENT ON VIEW kgwebhook.destinations IS
  'one row a destination: how it is, what waits for it, and when it is tried next';
COMMENT ON COLUMN kgwebhook.destinations.destination IS 'scheme://host:port';
COMMENT ON COLUMN kgwebhook.destinations.state IS 'ok, backing_off or paused';
COMMENT ON COLUMN kgwebhook.destinations.pending IS 'deliveries not settled yet';
COMMENT ON COLUMN kgwebhook.destinations.in_flight IS 'requests on the network now';
COMMENT ON COLUMN kgwebhook.destinations.failures_in_a_row IS 'attempts since the last success';
COMMENT ON COLUMN kgwebhook.destinations.last_success IS 'last acknowledged attempt since the server started';
COMMENT ON COLUMN kgwebhook.destinations.next_try IS 'when the next attempt is due; NULL when nothing waits';
COMMENT ON COLUMN kgwebhook.destinations.oldest_enqueued_at IS 'when the oldest delivery that waits was enqueued';

CREATE VIEW kgwebhook.deliveries AS
    SELECT q.delivery_id, q.webhook_id, q.org_id, q.event, q.kind, q.object_id, q.url, q.destination,
           CASE WHEN q.attempts OPERATOR(pg_catalog.=) 0 THEN 'pending' ELSE 'retrying' END AS state,
           q.attempts,
           l.outcome AS last_outcome, l.response_status AS last_status, l.error AS last_error,
           l.started_at AS last_attempt_at,
           q.next_attempt_at, q.enqueued_at, q.subscription_id
      FROM kgwebhook.queue q
      LEFT JOIN LATERAL (SELECT * FROM kgwebhook.delivery_log a
                          WHERE a.delivery_id OPERATOR(pg_catalog.=) q.delivery_id
                          ORDER BY a.attempt DESC, a.attempt_id DESC LIMIT 1) l ON true
    UNION ALL
    SELECT d.delivery_id, d.webhook_id, d.org_id, d.event, d.kind, d.object_id, d.url, d.destination,
           'dead', d.attempts,
           l.outcome, l.response_status, coalesce(l.error, d.reason),
           l.started_at,
           NULL, d.enqueued_at, d.subscription_id
      FROM kgwebhook.dead_letter d
      LEFT JOIN LATERAL (SELECT * FROM kgwebhook.delivery_log a
                          WHERE a.delivery_id OPERATOR(pg_catalog.=) d.delivery_id
                          ORDER BY a.attempt DESC, a.attempt_id DESC LIMIT 1) l ON true
    UNION ALL
    SELECT l.delivery_id, l.webhook_id, l.org_id, l.event, l.kind, l.object_id, l.url, l.destination,
           l.outcome, l.attempt,
           l.outcome, l.response_status, l.error,
           l.started_at,
           NULL, NULL, l.subscription_id
      FROM kgwebhook.delivery_log l
     WHERE l.final AND NOT l.is_test
       AND l.outcome OPERATOR(pg_catalog.=) ANY (ARRAY['acknowledged'::pg_catalog.text, 'superseded'])
       /* it may have been sent again since */
       AND NOT EXISTS (SELECT FROM kgwebhook.delivery_log n
                        WHERE n.delivery_id OPERATOR(pg_catalog.=) l.delivery_id
                          AND n.attempt OPERATOR(pg_catalog.>) l.attempt)
       AND NOT EXISTS (SELECT FROM kgwebhook.queue n WHERE n.delivery_id OPERATOR(pg_catalog.=) l.delivery_id)
       AND NOT EXISTS (SELECT FROM kgwebhook.dead_letter n WHERE n.delivery_id OPERATOR(pg_catalog.=) l.delivery_id);
COMMENT ON VIEW kgwebhook.deliveries IS
  'one row a delivery: pending, retrying, acknowledged, dead or superseded';
COMMENT ON COLUMN kgwebhook.deliveries.delivery_id IS 'the delivery';
COMMENT ON COLUMN kgwebhook.deliveries.webhook_id IS 'the event, as receivers see it';
COMMENT ON COLUMN kgwebhook.deliveries.org_id IS 'the organisation whose secret signs';
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

CREATE VIEW kgwebhook.subscriptions AS
    SELECT s.subscription_id, s.org_id, s.url, s.destination, s.events, s.description,
           CASE WHEN s.disabled_at IS NOT NULL THEN 'disabled'
                WHEN s.paused_at IS NOT NULL THEN 'paused'
                WHEN s.failing_since IS NOT NULL THEN 'failing'
                ELSE 'ok' END AS state,
           CASE WHEN s.disabled_at IS NOT NULL THEN s.disabled_reason
                WHEN s.paused_at IS NOT NULL THEN 'kg_pause_subscription() was called'
                WHEN s.failing_since IS NOT NULL THEN 'its receiver has acknowledged nothing since' END AS reason,
           coalesce(s.disabled_at, s.paused_at, s.failing_since) AS since,
           coalesce(q.pending, 0) AS pending,
           s.created_at
      FROM kgwebhook.subscription s
      LEFT JOIN (SELECT subscription_id, pg_catalog.count(*) AS pending
                   FROM kgwebhook.queue WHERE subscription_id IS NOT NULL
                  GROUP BY subscription_id) q ON q.subscription_id OPERATOR(pg_catalog.=) s.subscription_id;
COMMENT ON VIEW kgwebhook.subscriptions IS
  'one row a subscription: how it is and why, and what waits for it';
COMMENT ON COLUMN kgwebhook.subscriptions.subscription_id IS 'the subscription';
COMMENT ON COLUMN kgwebhook.subscriptions.org_id IS 'the organisation whose events it gets';
COMMENT ON COLUMN kgwebhook.subscriptions.url IS 'where they go';
COMMENT ON COLUMN kgwebhook.subscriptions.destination IS 'scheme://host:port of the URL';
COMMENT ON COLUMN kgwebhook.subscriptions.events IS 'names of events, or patterns: * stands for anything';
COMMENT ON COLUMN kgwebhook.subscriptions.description IS 'for people';
COMMENT ON COLUMN kgwebhook.subscriptions.state IS 'ok, failing, paused or disabled';
COMMENT ON COLUMN kgwebhook.subscriptions.reason IS 'why it is failing, paused or disabled';
COMMENT ON COLUMN kgwebhook.subscriptions.since IS 'since when';
COMMENT ON COLUMN kgwebhook.subscriptions.pending IS 'deliveries not settled yet';
COMMENT ON COLUMN kgwebhook.subscriptions.created_at IS 'when kg_subscribe() was called';

CREATE VIEW kgwebhook.stats AS
    SELECT s.since, s.enqueued,
           s.acknowledged, s.rejected, s.timed_out, s.unreachable, s.blocked, s.invalid, s.superseded,
           q.queue_depth, q.oldest_pending_age, s.in_flight,
           (SELECT pg_catalog.count(*) FROM kgwebhook.dead_letter) AS dead_letters,
           s.workers, s.worker_state, s.last_error, s.last_error_at
      FROM kgwebhook.worker_stats() s,
           (SELECT pg_catalog.count(*) AS queue_depth,
                   pg_catalog.now() OPERATOR(pg_catalog.-) pg_catalog.min(enqueued_at) AS oldest_pending_age
              FROM kgwebhook.queue) q;
COMMENT ON VIEW kgwebhook.stats IS
  'counters since the server started, and the backlog now';
COMMENT ON COLUMN kgwebhook.stats.since IS 'since when the counters count';
COMMENT ON COLUMN kgwebhook.stats.enqueued IS 'deliveries enqueued by committed transactions';
COMMENT ON COLUMN kgwebhook.stats.acknowledged IS 'attempts that were acknowledged';
COMMENT ON COLUMN kgwebhook.stats.rejected IS 'attempts that were answered by something else than 2xx';
COMMENT ON COLUMN kgwebhook.stats.timed_out IS 'attempts that ran out of time';
COMMENT ON COLUMN kgwebhook.stats.unreachable IS 'attempts that never got an answer';
COMMENT ON COLUMN kgwebhook.stats.blocked IS 'attempts that the address guard refused';
COMMENT ON COLUMN kgwebhook.stats.invalid IS 'attempts that could not be made';
COMMENT ON COLUMN kgwebhook.stats.superseded IS 'deliveries settled in favour of a newer one';
COMMENT ON COLUMN kgwebhook.stats.queue_depth IS 'deliveries not settled yet';
COMMENT ON COLUMN kgwebhook.stats.oldest_pending_age IS 'age of the oldest of them';
COMMENT ON COLUMN kgwebhook.stats.in_flight IS 'requests on the network now';
COMMENT ON COLUMN kgwebhook.stats.dead_letters IS 'deliveries that were given up';
COMMENT ON COLUMN kgwebhook.stats.workers IS 'workers running for this database';
COMMENT ON COLUMN kgwebhook.stats.worker_state IS 'not preloaded, standby, not running, not adopted, disabled, idle or busy';
COMMENT ON COLUMN kgwebhook.stats.last_error IS 'last error of a worker';
COMMENT ON COLUMN kgwebhook.stats.last_error_at IS 'when that was';

CREATE VIEW kgwebhook.pending AS
    SELECT q.delivery_id, q.webhook_id, q.org_id, q.event, q.kind, q.object_id, q.destination, q.attempts,
           q.enqueued_at AS since,
           pg_catalog.now() OPERATOR(pg_catalog.-) q.enqueued_at AS age,
           q.next_attempt_at,
           CASE WHEN NOT pg_catalog.isfinite(q.next_attempt_at) THEN 'secret'
                WHEN EXISTS (SELECT FROM kgwebhook.paused p
                              WHERE p.destination OPERATOR(pg_catalog.=) q.destination
                                 OR p.destination OPERATOR(pg_catalog.=) '*') THEN 'resume'
                WHEN EXISTS (SELECT FROM kgwebhook.subscription s
                              WHERE s.subscription_id OPERATOR(pg_catalog.=) q.subscription_id
                                AND s.paused_at IS NOT NULL AND s.disabled_at IS NULL) THEN 'resume'
                WHEN n.backing_off THEN 'destination'
                WHEN q.next_attempt_at OPERATOR(pg_catalog.>) pg_catalog.now() THEN 'retry'
                ELSE 'turn' END AS waits_for,
           q.subscription_id
      FROM kgwebhook.queue q
      LEFT JOIN kgwebhook.destination_notices() n ON n.destination OPERATOR(pg_catalog.=) q.destination;
COMMENT ON VIEW kgwebhook.pending IS
  'what is pending, since when, and what it waits for';
COMMENT ON COLUMN kgwebhook.pending.delivery_id IS 'the delivery';
COMMENT ON COLUMN kgwebhook.pending.webhook_id IS 'the event, as receivers see it';
COMMENT ON COLUMN kgwebhook.pending.org_id IS 'the organisation whose secret signs';
COMMENT ON COLUMN kgwebhook.pending.event IS 'name of the event, such as payment_intent.success';
COMMENT ON COLUMN kgwebhook.pending.kind IS 'kind of the object';
COMMENT ON COLUMN kgwebhook.pending.object_id IS 'the object whose status changed';
COMMENT ON COLUMN kgwebhook.pending.destination IS 'scheme://host:port of the URL; empty when the URL has none';
COMMENT ON COLUMN kgwebhook.pending.attempts IS 'attempts logged so far';
COMMENT ON COLUMN kgwebhook.pending.since IS 'when the status changed, or when it was queued again';
COMMENT ON COLUMN kgwebhook.pending.age IS 'how long ago that was';
COMMENT ON COLUMN kgwebhook.pending.next_attempt_at IS 'not before this; infinity: waits for a signing secret';
COMMENT ON COLUMN kgwebhook.pending.waits_for IS 'secret, resume (it is paused), destination (it is ill), retry (its time) or turn (it is due)';
COMMENT ON COLUMN kgwebhook.pending.subscription_id IS 'the subscription it is for; NULL: the object''s own URL';

CREATE VIEW kgwebhook.failures AS
    SELECT coalesce(l.error, l.outcome) AS reason, l.outcome, l.response_status,
           pg_catalog.count(*) AS attempts,
           pg_catalog.count(DISTINCT l.delivery_id) AS deliveries,
           pg_catalog.count(DISTINCT l.destination) AS destinations,
           pg_catalog.min(l.started_at) AS first_at,
           pg_catalog.max(l.started_at) AS last_at
      FROM kgwebhook.delivery_log l
     WHERE l.started_at OPERATOR(pg_catalog.>=) (pg_catalog.now() OPERATOR(pg_catalog.-) '1 hour'::pg_catalog.interval)
       AND l.outcome OPERATOR(pg_catalog.<>) 'acknowledged' AND NOT l.is_test
     GROUP BY 1, 2, 3;
COMMENT ON VIEW kgwebhook.failures IS
  'what failed in the last hour, by reason';
COMMENT ON COLUMN kgwebhook.failures.reason IS 'why it was not acknowledged, in words';
COMMENT ON COLUMN kgwebhook.failures.outcome IS 'rejected, timed_out, unreachable, blocked, invalid or superseded';
COMMENT ON COLUMN kgwebhook.failures.response_status IS 'HTTP status of the answers; NULL when there were none';
COMMENT ON COLUMN kgwebhook.failures.attempts IS 'attempts that ended so';
COMMENT ON COLUMN kgwebhook.failures.deliveries IS 'deliveries they were attempts of';
COMMENT ON COLUMN kgwebhook.failures.destinations IS 'destinations they went to';
COMMENT ON COLUMN kgwebhook.failures.first_at IS 'when the first of them began';
COMMENT ON COLUMN kgwebhook.failures.last_at IS 'when the last of them began';

/* What never reached a receiver says nothing about how fast it answers. */
CREATE VIEW kgwebhook.latency AS
    SELECT d.destination, d.attempts, d.acknowledged,
           d.ms[1] AS p50_ms, d.ms[2] AS p95_ms, d.ms[3] AS p99_ms, d.max_ms
      FROM (SELECT l.destination,
                   pg_catalog.count(*) AS attempts,
                   pg_catalog.count(*) FILTER (WHERE l.outcome OPERATOR(pg_catalog.=) 'acknowledged') AS acknowledged,
                   pg_catalog.percentile_cont(ARRAY[0.5, 0.95, 0.99]::pg_catalog.float8[]) WITHIN GROUP (ORDER BY l.duration_ms) AS ms,
                   pg_catalog.max(l.duration_ms) AS max_ms
              FROM kgwebhook.delivery_log l
             WHERE l.started_at OPERATOR(pg_catalog.>=) (pg_catalog.now() OPERATOR(pg_catalog.-) '1 day'::pg_catalog.interval)
               AND l.outcome OPERATOR(pg_catalog.=) ANY (ARRAY['acknowledged'::pg_catalog.text, 'rejected', 'timed_out'])
               AND NOT l.is_test
             GROUP BY l.destination) d;
COMMENT ON VIEW kgwebhook.latency IS
  'how fast each destination has answered in the last day';
COMMENT ON COLUMN kgwebhook.latency.destination IS 'scheme://host:port';
COMMENT ON COLUMN kgwebhook.latency.attempts IS 'attempts that were answered, or ran out of time';
COMMENT ON COLUMN kgwebhook.latency.acknowledged IS 'those of them that were acknowledged';
COMMENT ON COLUMN kgwebhook.latency.p50_ms IS 'half of them took no longer than this, in milliseconds';
COMMENT ON COLUMN kgwebhook.latency.p95_ms IS '95 of 100 took no longer';
COMMENT ON COLUMN kgwebhook.latency.p99_ms IS '99 of 100 took no longer';
COMMENT ON COLUMN kgwebhook.latency.max_ms IS 'the slowest';

/*
 * Which payments are at stake.  What is open is a delivery in the queue, a
 * dead letter, or one that was superseded and that only the log remembers; it
 * counts if nothing newer of its object went to the same URL, and if it has
 * never been acknowledged itself.  Nobody waits for what a removed subscription
 * didn't get.  The amounts are all that leaves the payload,
 * and one that is no plain number is no amount.
 */
CREATE VIEW kgwebhook.unacknowledged AS
    WITH open AS (
        SELECT q.org_id, q.event, q.kind, q.object_id, q.url, q.delivery_id,
               CASE WHEN q.attempts OPERATOR(pg_catalog.=) 0 THEN 'pending' ELSE 'retrying' END AS state,
               q.attempts, q.enqueued_at AS since, q.next_attempt_at, q.payload, q.subscription_id
          FROM kgwebhook.queue q
        UNION ALL
        SELECT d.org_id, d.event, d.kind, d.object_id, d.url, d.delivery_id,
               'dead', d.attempts, d.enqueued_at, NULL, d.payload, d.subscription_id
          FROM kgwebhook.dead_letter d
        UNION ALL
        SELECT l.org_id, l.event, l.kind, l.object_id, l.url, l.delivery_id,
               'superseded', l.attempt, l.started_at, NULL, s.payload, l.subscription_id
          FROM kgwebhook.delivery_log l
          LEFT JOIN LATERAL (SELECT a.request_body::pg_catalog.jsonb AS payload
                               FROM kgwebhook.delivery_log a
                              WHERE a.delivery_id OPERATOR(pg_catalog.=) l.delivery_id AND a.request_body IS NOT NULL
                              ORDER BY a.attempt DESC LIMIT 1) s ON true
         WHERE l.final AND NOT l.is_test AND l.outcome OPERATOR(pg_catalog.=) 'superseded'
           AND NOT EXISTS (SELECT FROM kgwebhook.delivery_log n
                            WHERE n.delivery_id OPERATOR(pg_catalog.=) l.delivery_id
                              AND n.attempt OPERATOR(pg_catalog.>) l.attempt)
           AND NOT EXISTS (SELECT FROM kgwebhook.queue n WHERE n.delivery_id OPERATOR(pg_catalog.=) l.delivery_id)
           AND NOT EXISTS (SELECT FROM kgwebhook.dead_letter n WHERE n.delivery_id OPERATOR(pg_catalog.=) l.delivery_id))
    SELECT k.org_id, k.event, k.kind, k.object_id, k.url, k.delivery_id, k.state, k.attempts, k.since, k.next_attempt_at,
           CASE WHEN (k.payload OPERATOR(pg_catalog.->>) 'fiat_amount') OPERATOR(pg_catalog.~) '^-?[0-9]{1,30}([.][0-9]{1,30})?$'
                THEN (k.payload OPERATOR(pg_catalog.->>) 'fiat_amount')::pg_catalog.numeric END AS fiat_amount,
           pg_catalog.left(k.payload OPERATOR(pg_catalog.->>) 'fiat_currency', 16) AS fiat_currency,
           k.subscription_id
      FROM open k
     WHERE (k.subscription_id IS NULL
            OR EXISTS (SELECT FROM kgwebhook.subscription s
                        WHERE s.subscription_id OPERATOR(pg_catalog.=) k.subscription_id))
       AND NOT EXISTS (SELECT FROM open n
                        WHERE n.object_id OPERATOR(pg_catalog.=) k.object_id
                          AND n.org_id OPERATOR(pg_catalog.=) k.org_id
                          AND n.kind OPERATOR(pg_catalog.=) k.kind
                          AND n.url OPERATOR(pg_catalog.=) k.url
                          AND n.delivery_id OPERATOR(pg_catalog.>) k.delivery_id)
       AND NOT EXISTS (SELECT FROM kgwebhook.delivery_log a
                        WHERE a.object_id OPERATOR(pg_catalog.=) k.object_id
                          AND a.org_id OPERATOR(pg_catalog.=) k.org_id
                          AND a.kind OPERATOR(pg_catalog.=) k.kind
                          AND a.url OPERATOR(pg_catalog.=) k.url
                          AND a.delivery_id OPERATOR(pg_catalog.>=) k.delivery_id
                          AND a.outcome OPERATOR(pg_catalog.=) 'acknowledged' AND NOT a.is_test);
COMMENT ON VIEW kgwebhook.unacknowledged IS
  'objects whose latest status was never acknowledged, and the amount at stake';
COMMENT ON COLUMN kgwebhook.unacknowledged.org_id IS 'the organisation whose secret signs';
COMMENT ON COLUMN kgwebhook.unacknowledged.event IS 'name of the event, with the latest status';
COMMENT ON COLUMN kgwebhook.unacknowledged.kind IS 'kind of the object';
COMMENT ON COLUMN kgwebhook.unacknowledged.object_id IS 'the object';
COMMENT ON COLUMN kgwebhook.unacknowledged.url IS 'who has not acknowledged it';
COMMENT ON COLUMN kgwebhook.unacknowledged.delivery_id IS 'the delivery; kg_explain() says more';
COMMENT ON COLUMN kgwebhook.unacknowledged.state IS 'pending, retrying, dead or superseded';
COMMENT ON COLUMN kgwebhook.unacknowledged.attempts IS 'attempts logged so far';
COMMENT ON COLUMN kgwebhook.unacknowledged.since IS 'when the status changed or was queued again; of what is superseded, when it was';
COMMENT ON COLUMN kgwebhook.unacknowledged.next_attempt_at IS 'when the next attempt is due; NULL when nothing happens by itself';
COMMENT ON COLUMN kgwebhook.unacknowledged.fiat_amount IS 'fiat_amount of the payload; NULL when it has none';
COMMENT ON COLUMN kgwebhook.unacknowledged.fiat_currency IS 'fiat_currency of the payload';
COMMENT ON COLUMN kgwebhook.unacknowledged.subscription_id IS 'the subscription it is for; NULL: the object''s own URL';


/* -------------------------------------------------------------------------
 * The days of the log
 *
 * A partition a day, by UTC, named after it: delivery_log_20261124.  Retention
 * drops them whole.
 *
 * None is made here, and none before there is something to log.  A dump has
 * the days as tables beside the extension, and a restore creates them after the
 * extension and before the queue has a row: until then their names must be
 * free.
 *
 * Attaching or dropping a day locks the log for a moment, and whoever waits for
 * that lock keeps the workers waiting behind it.  So nobody waits for long: the
 * default partition takes what comes until somebody succeeds.
 * ------------------------------------------------------------------------- */

CREATE FUNCTION kgwebhook.make_day(day pg_catalog.date) RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    partition name := 'delivery_log_' || to_char(day, 'YYYYMMDD');
    since text := to_char(day, 'YYYY-MM-DD') || ' 00:00:00+00';
    until text := to_char(day + 1, 'YYYY-MM-DD') || ' 00:00:00+00';
    strays bigint;
    grantee text;
BEGIN
    SELECT count(*) INTO strays
      FROM (SELECT FROM kgwebhook.delivery_log_default
             WHERE started_at >= since::timestamptz AND started_at < until::timestamptz LIMIT 1001) few;
    IF strays > 1000 THEN
        RAISE WARNING 'attempts of % stay in kgwebhook.delivery_log_default', day
            USING DETAIL = 'There are too many of them to move while the log is locked.',
                  HINT = 'They are deleted when they are older than kgwebhook.log_retention.';
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE kgwebhook.%I (LIKE kgwebhook.delivery_log INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE INCLUDING COMPRESSION)',
                   partition);
    /* default privileges would open the day past the row security of the log */
    FOR grantee IN
        SELECT DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END
          FROM pg_class c, aclexplode(c.relacl) a
         WHERE c.oid = format('kgwebhook.%I', partition)::regclass AND a.grantee <> c.relowner
    LOOP
        EXECUTE format('REVOKE ALL ON kgwebhook.%I FROM %s', partition, grantee);
    END LOOP;
    EXECUTE format('ALTER TABLE kgwebhook.%I REPLICA IDENTITY FULL', partition);
    EXECUTE format('COMMENT ON TABLE kgwebhook.%I IS %L', partition, 'attempts of ' || to_char(day, 'YYYY-MM-DD') || ', UTC');
    PERFORM kgwebhook.index_partition(partition);
    LOCK TABLE kgwebhook.delivery_log_default IN ACCESS EXCLUSIVE MODE;
    EXECUTE format('WITH stray AS (DELETE FROM kgwebhook.delivery_log_default'
                   '                WHERE started_at >= $1 AND started_at < $2 RETURNING *)'
                   ' INSERT INTO kgwebhook.%I SELECT * FROM stray', partition)
        USING since::timestamptz, until::timestamptz;
    EXECUTE format('ALTER TABLE kgwebhook.delivery_log ATTACH PARTITION kgwebhook.%I FOR VALUES FROM (%L) TO (%L)',
                   partition, since, until);
END
$$;
COMMENT ON FUNCTION kgwebhook.make_day(pg_catalog.date) IS
  'makes the log''s partition of a day, and moves there what the default partition has of it';

CREATE FUNCTION kgwebhook.make_days() RETURNS pg_catalog.bool
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    patience text := current_setting('lock_timeout');
    today date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
    day date;
BEGIN
    IF NOT EXISTS (SELECT FROM generate_series(0, 3) ahead
                    WHERE to_regclass('kgwebhook.delivery_log_' || to_char(today + ahead, 'YYYYMMDD')) IS NULL) THEN
        RETURN true;
    END IF;
    PERFORM set_config('lock_timeout', '100ms', true);
    LOCK TABLE ONLY kgwebhook.delivery_log IN SHARE UPDATE EXCLUSIVE MODE;
    FOR day IN SELECT today + ahead FROM generate_series(0, 3) ahead LOOP
        IF to_regclass('kgwebhook.delivery_log_' || to_char(day, 'YYYYMMDD')) IS NULL THEN
            PERFORM kgwebhook.make_day(day);
        END IF;
    END LOOP;
    PERFORM set_config('lock_timeout', patience, true);
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END
$$;
COMMENT ON FUNCTION kgwebhook.make_days() IS
  'makes the log''s partitions of today and the next three days; false when somebody holds a lock';

CREATE FUNCTION kgwebhook.log_retention() RETURNS pg_catalog.interval
    LANGUAGE c STABLE
    AS 'MODULE_PATHNAME', 'kg_log_retention';
COMMENT ON FUNCTION kgwebhook.log_retention() IS
  'the setting kgwebhook.log_retention; NULL keeps everything';

CREATE FUNCTION kgwebhook.in_transaction_block() RETURNS pg_catalog.bool
    LANGUAGE c VOLATILE
    AS 'MODULE_PATHNAME', 'kg_in_transaction_block';
COMMENT ON FUNCTION kgwebhook.in_transaction_block() IS
  'whether the transaction goes on after the statement that was sent';

CREATE FUNCTION kgwebhook.log_partitions(
    older_than pg_catalog.timestamptz,
    OUT partition pg_catalog.regclass,
    OUT whole pg_catalog.bool) RETURNS SETOF pg_catalog.record
    LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT c.oid::regclass, c.is_day AND c.relname < last.relname
      FROM (SELECT 'delivery_log_' || to_char(older_than AT TIME ZONE 'UTC', 'YYYYMMDD') AS relname) last,
           (SELECT c.oid, c.relname, c.relname ~ '^delivery_log_[0-9]{8}$' AS is_day
              FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
             WHERE i.inhparent = 'kgwebhook.delivery_log'::regclass) c
     WHERE NOT c.is_day OR c.relname <= last.relname
     ORDER BY c.relname
$$;
COMMENT ON FUNCTION kgwebhook.log_partitions(pg_catalog.timestamptz) IS
  'partitions of the log that can have attempts older than that, and whether they have no others';

CREATE FUNCTION kgwebhook.drop_days() RETURNS pg_catalog.bool
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    patience text := current_setting('lock_timeout');
    cutoff timestamptz := now() - kgwebhook.log_retention();
    partition regclass;
    deleted bigint;
BEGIN
    IF cutoff IS NULL THEN
        RETURN true;
    END IF;
    PERFORM set_config('lock_timeout', '100ms', true);
    LOCK TABLE ONLY kgwebhook.delivery_log IN SHARE UPDATE EXCLUSIVE MODE;
    FOR partition IN SELECT p.partition FROM kgwebhook.log_partitions(cutoff) p WHERE p.whole LOOP
        EXECUTE format('DROP TABLE %s', partition);
    END LOOP;
    PERFORM set_config('lock_timeout', patience, true);
    DELETE FROM kgwebhook.amendment WHERE amended_at < cutoff;
    DELETE FROM kgwebhook.delivery_log_default
     WHERE ctid = ANY (ARRAY(SELECT ctid FROM kgwebhook.delivery_log_default WHERE started_at < cutoff LIMIT 10000));
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted < 10000;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END
$$;
COMMENT ON FUNCTION kgwebhook.drop_days() IS
  'drops the days of the log that are older than kgwebhook.log_retention; false when there is more to do later';

/*
 * Vacuum gives no page of a b-tree back, so the queue's indexes keep the size of the
 * longest backlog.  Making them anew holds up everybody who writes to the queue,
 * and so payments: hence only once vacuum has cut off the table itself, which
 * takes milliseconds then, and without waiting for anybody.
 */
CREATE FUNCTION kgwebhook.trim_queue() RETURNS pg_catalog.bool
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    patience text := current_setting('lock_timeout');
    bloated CONSTANT int8 := 16 * 1024 * 1024;
    short CONSTANT int8 := 1024 * 1024;
BEGIN
    IF pg_indexes_size('kgwebhook.queue') < bloated OR pg_table_size('kgwebhook.queue') > short THEN
        RETURN true;
    END IF;
    PERFORM set_config('lock_timeout', '20ms', true);
    REINDEX TABLE kgwebhook.queue;
    PERFORM set_config('lock_timeout', patience, true);
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END
$$;
COMMENT ON FUNCTION kgwebhook.trim_queue() IS
  'makes the indexes of a short queue anew that a long one has left large; false when somebody holds a lock';

CREATE FUNCTION kgwebhook.purge_partition(partition pg_catalog.regclass, older_than pg_catalog.timestamptz) RETURNS pg_catalog.int8
    LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    newer bool;
    removed bigint;
    total bigint;
BEGIN
    /* emptying gives the space back, but only where nothing is newer: this asks first ... */
    EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE started_at >= $1)', partition) INTO newer USING older_than;
    IF NOT newer AND current_setting('transaction_isolation') = 'read committed' THEN
        /* ... and again, when nobody can add to it */
        EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', partition);
        EXECUTE format('SELECT count(*) FILTER (WHERE started_at < $1), count(*) FROM %s', partition)
            INTO removed, total USING older_than;
        IF removed = total THEN
            EXECUTE format('TRUNCATE %s', partition);
            RETURN removed;
        END IF;
    END IF;
    EXECUTE format('DELETE FROM %s WHERE started_at < $1', partition) USING older_than;
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN removed;
END
$$;
COMMENT ON FUNCTION kgwebhook.purge_partition(pg_catalog.regclass, pg_catalog.timestamptz) IS
  'removes from a partition of the log what is older than that; returns how many attempts';

CREATE FUNCTION @extschema@.kg_purge(older_than pg_catalog.interval DEFAULT NULL) RETURNS pg_catalog.int8
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    patience text := current_setting('lock_timeout');
    cutoff timestamptz := now() - coalesce(older_than, kgwebhook.log_retention());
    leaf record;
    removed bigint;
    total bigint := 0;
    callers text;
    goes_on bool := kgwebhook.in_transaction_block();
BEGIN
    IF older_than < '0' THEN
        RAISE EXCEPTION 'older_than is negative'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Give the age from which on attempts are removed, such as ''30 days''.';
    ELSIF cutoff IS NULL THEN
        RETURN 0;
    END IF;
    /* autovacuum gives way after deadlock_timeout, of which the default is 1 s */
    PERFORM set_config('lock_timeout', '2s', true);
    LOCK TABLE ONLY kgwebhook.delivery_log IN SHARE UPDATE EXCLUSIVE MODE;
    FOR leaf IN SELECT p.partition, p.whole FROM kgwebhook.log_partitions(cutoff) p LOOP
        IF leaf.whole THEN
            EXECUTE format('SELECT count(*) FROM %s', leaf.partition) INTO removed;
            EXECUTE format('DROP TABLE %s', leaf.partition);
        ELSE
            removed := kgwebhook.purge_partition(leaf.partition, cutoff);
        END IF;
        total := total + removed;
    END LOOP;
    DELETE FROM kgwebhook.amendment WHERE amended_at < cutoff;
    PERFORM set_config('lock_timeout', patience, true);
    PERFORM kgwebhook.make_days();
    /* not where the transaction goes on and would keep payments waiting, be it in a function of somebody's */
    GET DIAGNOSTICS callers = PG_CONTEXT;
    IF NOT goes_on AND position(E'\n' IN callers) = 0 THEN
        PERFORM kgwebhook.trim_queue();
    END IF;
    RETURN total;
EXCEPTION WHEN lock_not_available THEN
    RAISE EXCEPTION 'could not lock kgwebhook.delivery_log'
        USING ERRCODE = 'lock_not_available',
              DETAIL = 'Somebody uses it for longer than two seconds, such as pg_dump. Nothing was removed.',
              HINT = 'Run kg_purge() again later.';
END
$$;
COMMENT ON FUNCTION @extschema@.kg_purge(pg_catalog.interval) IS
  'removes attempts from the log that are older than that, or than kgwebhook.log_retention; returns how many';


/* -------------------------------------------------------------------------
 * Maintenance
 * ------------------------------------------------------------------------- */

/*
 * Expires with the caller's own rights, and the table's own triggers run on
 * the caller's search_path, as they always do; hence no SET here.
 */
CREATE FUNCTION @extschema@.kg_expire_intents(relation pg_catalog.regclass) RETURNS pg_catalog.int8
    LANGUAGE c VOLATILE
    AS 'MODULE_PATHNAME', 'kg_expire_intents';
COMMENT ON FUNCTION @extschema@.kg_expire_intents(pg_catalog.regclass) IS
  'pending intents past their payment_deadline expire; NULL: those of every watched table';

/*
 * What kg_reconcile() would list, of any age and for each receiver, but for what
 * was queued within the hour and is on its way.  Who looks at the log should see a
 * thing once as a WARNING: what was there an hour ago is told at level LOG from
 * then on.  An hour has 65 minutes here, as no job begins on the second: news may
 * be told twice, but is never left out.  Nothing is written down, so a sweep more
 * or less does no harm.  Beyond 10,000 the number doesn't matter any more; as
 * news may then be among what wasn't looked at, that is always a WARNING.
 */
CREATE FUNCTION kgwebhook.sweep() RETURNS pg_catalog.int8
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    most CONSTANT int8 := 10000;
    found RECORD;
    told text;
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
    told := format('kgwebhook: %s deliveries%s of an object''s latest status were never acknowledged',
                   found.deliveries, CASE WHEN found.deliveries = most THEN ' or more' ELSE '' END);
    more := format('In database "%s": %s have waited for more than an hour, %s were given up, %s were superseded. The oldest is of %s; %s are new in the last hour.',
                   current_database(), found.waiting, found.dead, found.superseded,
                   date_trunc('second', found.oldest), found.news);
    IF found.news > 0 OR found.deliveries = most THEN
        RAISE WARNING '%', told USING DETAIL = more, HINT = advice;
    ELSE
        RAISE LOG '%', told USING DETAIL = more, HINT = advice;
    END IF;
    RETURN found.deliveries;
END
$$;
COMMENT ON FUNCTION kgwebhook.sweep() IS
  'says in the server''s log how many deliveries of an object''s latest status were never acknowledged; returns how many';

CREATE FUNCTION @extschema@.kg_schedule_maintenance() RETURNS pg_catalog.void
    LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_schedule_maintenance';
COMMENT ON FUNCTION @extschema@.kg_schedule_maintenance() IS
  'has pg_cron run retention, expiry of intents and a sweep for what was not acknowledged';

CREATE FUNCTION @extschema@.kg_unschedule_maintenance() RETURNS pg_catalog.void
    LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_unschedule_maintenance';
COMMENT ON FUNCTION @extschema@.kg_unschedule_maintenance() IS
  'takes the jobs of kg_schedule_maintenance() away';


/* -------------------------------------------------------------------------
 * Sending again
 *
 * A delivery keeps its number and its webhook-id, so that the order of an
 * object's transitions holds and receivers can drop what they have already.  One
 * that is settled comes back out of the dead letters or, if only the log
 * remembers it, out of the bytes of its last request; then it has the whole
 * schedule before it again.
 * ------------------------------------------------------------------------- */

CREATE FUNCTION kgwebhook.is_taken(subscription_id pg_catalog.int8) RETURNS pg_catalog.bool
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT is_taken.subscription_id IS NULL
        OR EXISTS (SELECT FROM kgwebhook.subscription s
                    WHERE s.subscription_id = is_taken.subscription_id AND s.disabled_at IS NULL)
$$;
COMMENT ON FUNCTION kgwebhook.is_taken(pg_catalog.int8) IS
  'false for a subscription that is disabled or was removed: what is queued for it becomes dead letters';

/*
 * What is queued already is only hurried: done twice, this does nothing more.
 * What nobody takes stays where it is.  One session at a time, so that a second
 * one finds in the queue what the first has put there; the lock is in the way of
 * neither the worker nor whoever reads.
 */
CREATE FUNCTION kgwebhook.requeue(ids pg_catalog.int8[], due pg_catalog.timestamptz[]) RETURNS SETOF pg_catalog.int8
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    LOCK TABLE kgwebhook.dead_letter IN SHARE UPDATE EXCLUSIVE MODE;
    RETURN QUERY
        UPDATE kgwebhook.queue q
           SET next_attempt_at = CASE WHEN isfinite(q.next_attempt_at) THEN least(q.next_attempt_at, w.due)
                                      ELSE q.next_attempt_at END
          FROM unnest(requeue.ids, requeue.due) AS w(delivery_id, due)
         WHERE q.delivery_id = w.delivery_id
        RETURNING q.delivery_id;

    RETURN QUERY
        WITH back AS (
            DELETE FROM kgwebhook.dead_letter d
             USING unnest(requeue.ids, requeue.due) AS w(delivery_id, due)
             WHERE d.delivery_id = w.delivery_id AND kgwebhook.is_taken(d.subscription_id)
            RETURNING d.*, w.due,
                      (SELECT max(l.attempt) FROM kgwebhook.delivery_log l WHERE l.delivery_id = d.delivery_id) AS logged)
        INSERT INTO kgwebhook.queue (delivery_id, webhook_id, org_id, event, kind, object_id, url, destination,
                                     payload, problem, attempts, attempts_before, next_attempt_at, subscription_id)
        SELECT b.delivery_id, b.webhook_id, b.org_id, b.event, b.kind, b.object_id, b.url, kgwebhook.destination_of(b.url),
               b.payload, b.problem, greatest(b.attempts, b.logged), greatest(b.attempts, b.logged), b.due, b.subscription_id
          FROM back b
            ON CONFLICT ON CONSTRAINT queue_pkey DO NOTHING
        RETURNING queue.delivery_id;

    RETURN QUERY
        INSERT INTO kgwebhook.queue (delivery_id, webhook_id, org_id, event, kind, object_id, url, destination,
                                     payload, attempts, attempts_before, next_attempt_at, subscription_id)
        SELECT DISTINCT ON (l.delivery_id)
               l.delivery_id, l.webhook_id, l.org_id, l.event, l.kind, l.object_id, l.url, l.destination,
               l.request_body::jsonb - 'timestamp' - 'signature', n.attempts, n.attempts, w.due, l.subscription_id
          FROM unnest(requeue.ids, requeue.due) AS w(delivery_id, due)
          JOIN kgwebhook.delivery_log l ON l.delivery_id = w.delivery_id,
               LATERAL (SELECT max(a.attempt) AS attempts FROM kgwebhook.delivery_log a
                         WHERE a.delivery_id = l.delivery_id) n
         WHERE l.request_body IS NOT NULL AND NOT l.is_test AND kgwebhook.is_taken(l.subscription_id)
         ORDER BY l.delivery_id, l.attempt DESC
            ON CONFLICT ON CONSTRAINT queue_pkey DO NOTHING
        RETURNING queue.delivery_id;
END
$$;
COMMENT ON FUNCTION kgwebhook.requeue(pg_catalog.int8[], pg_catalog.timestamptz[]) IS
  'puts deliveries into the queue again, or hurries those that are in it';

CREATE FUNCTION @extschema@.kg_redeliver(delivery_id pg_catalog.int8) RETURNS SETOF pg_catalog.int8
    LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    it record;
BEGIN
    SELECT k.is_test, k.subscription_id INTO it
      FROM (SELECT q.delivery_id, false AS is_test, q.subscription_id FROM kgwebhook.queue q
            UNION ALL
            SELECT d.delivery_id, false, d.subscription_id FROM kgwebhook.dead_letter d
            UNION ALL
            SELECT l.delivery_id, l.is_test, l.subscription_id FROM kgwebhook.delivery_log l) k
     WHERE k.delivery_id = kg_redeliver.delivery_id LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'delivery % does not exist', kg_redeliver.delivery_id
            USING ERRCODE = 'no_data_found',
                  DETAIL = 'It is not in the queue, the dead letters or the log; days of the log are dropped after kgwebhook.log_retention.',
                  HINT = 'kgwebhook.deliveries has the deliveries'' numbers; an attempt''s number (attempt_id) is not one of them.';
    END IF;
    IF it.is_test THEN
        RAISE EXCEPTION 'delivery % was a test', kg_redeliver.delivery_id
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'No payment stands behind a test, so there is nothing to send again.',
                  HINT = 'Use kg_send_test() for another one.';
    END IF;
    RETURN QUERY SELECT r.* FROM kgwebhook.requeue(ARRAY[kg_redeliver.delivery_id], ARRAY[now()]) r;
    IF NOT FOUND AND NOT kgwebhook.is_taken(it.subscription_id) THEN
        RAISE EXCEPTION 'delivery % can''t be sent again', kg_redeliver.delivery_id
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = coalesce((SELECT format('Subscription %s is disabled: %s.', s.subscription_id, s.disabled_reason)
                                       FROM kgwebhook.subscription s WHERE s.subscription_id = it.subscription_id),
                                    format('Subscription %s was removed.', it.subscription_id)),
                  HINT = 'kg_resume_subscription() enables one that is disabled; one that was removed can''t be had back.';
    ELSIF NOT FOUND THEN
        RAISE EXCEPTION 'delivery % can''t be sent again', kg_redeliver.delivery_id
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'It is settled, and no row of the log has the bytes that were sent.';
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@.kg_redeliver(pg_catalog.int8) IS
  'sends a delivery again, with the same webhook-id';

/*
 * One object is what organization, kind and identifier name.  The identifier alone
 * will do as long as only one object has it; otherwise whoever asks is told which
 * there are, for what one organization is sent again is nothing for another.
 */
CREATE FUNCTION kgwebhook.deliveries_of(object_id pg_catalog.text, org_id pg_catalog.text, kind pg_catalog.text) RETURNS pg_catalog.int8[]
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    few CONSTANT int4 := 10;
    ids int8[];
    names text;
    objects int8;
BEGIN
    IF object_id IS NULL THEN
        RAISE EXCEPTION 'object_id must not be null'
            USING ERRCODE = 'null_value_not_allowed',
                  HINT = 'Only org_id and kind may be null, where object_id alone names one object.';
    END IF;
    WITH known AS (
        SELECT q.delivery_id, q.org_id, q.kind FROM kgwebhook.queue q
         WHERE q.object_id = deliveries_of.object_id
        UNION
        SELECT d.delivery_id, d.org_id, d.kind FROM kgwebhook.dead_letter d
         WHERE d.object_id = deliveries_of.object_id
        UNION
        SELECT l.delivery_id, l.org_id, l.kind FROM kgwebhook.delivery_log l
         WHERE l.object_id = deliveries_of.object_id AND NOT l.is_test),
    meant AS (
        SELECT k.* FROM known k
         WHERE k.org_id = coalesce(deliveries_of.org_id, k.org_id)
           AND k.kind = coalesce(deliveries_of.kind, k.kind)),
    object AS (
        SELECT m.org_id, m.kind, row_number() OVER (ORDER BY m.org_id, m.kind) AS n
          FROM meant m GROUP BY m.org_id, m.kind)
    SELECT (SELECT coalesce(array_agg(m.delivery_id ORDER BY m.delivery_id), '{}') FROM meant m),
           count(*),
           string_agg(format('%s of organization %s', coalesce(nullif(o.kind, ''), '(no kind)'), o.org_id), ', ' ORDER BY o.n)
               FILTER (WHERE o.n <= few)
      INTO ids, objects, names FROM object o;
    IF objects > 1 THEN
        RAISE EXCEPTION '% objects have the identifier "%"', objects, object_id
            USING ERRCODE = 'cardinality_violation',
                  DETAIL = format('They are: %s%s.', names, CASE WHEN objects > few THEN format(', and %s more', objects - few) ELSE '' END),
                  HINT = 'Say which one by org_id and kind.';
    END IF;
    RETURN ids;
END
$$;
COMMENT ON FUNCTION kgwebhook.deliveries_of(pg_catalog.text, pg_catalog.text, pg_catalog.text) IS
  'the deliveries of one object, oldest first; an error when several objects have the identifier';

CREATE FUNCTION @extschema@.kg_redeliver_object(
    object_id pg_catalog.text,
    org_id pg_catalog.text DEFAULT NULL,
    kind pg_catalog.text DEFAULT NULL) RETURNS SETOF pg_catalog.int8
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    ids int8[] := kgwebhook.deliveries_of(object_id, org_id, kind);
BEGIN
    RETURN QUERY
        SELECT r.* FROM kgwebhook.requeue(ids, array_fill(now(), ARRAY[cardinality(ids)])) AS r
         ORDER BY 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'nothing can be sent again for "%"', object_id
            USING ERRCODE = 'no_data_found',
                  DETAIL = 'No delivery of this object is in the queue, the dead letters or the log, or only for subscriptions that are disabled or were removed.',
                  HINT = 'Identifiers, organizations and kinds are compared exactly; kgwebhook.deliveries has them.';
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@.kg_redeliver_object(pg_catalog.text, pg_catalog.text, pg_catalog.text) IS
  'sends all deliveries of an object again, oldest first, with the same webhook-ids';

/* The same as kg_canonical_json(), under a name that is ours whatever becomes of its schema. */
CREATE FUNCTION kgwebhook.canonical_json(payload pg_catalog.jsonb) RETURNS pg_catalog.text
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'kg_canonical_json';
COMMENT ON FUNCTION kgwebhook.canonical_json(pg_catalog.jsonb) IS
  'RFC 8785 canonical form; an error for what it can''t represent exactly';

CREATE FUNCTION @extschema@.kg_amend(delivery_id pg_catalog.int8, payload pg_catalog.jsonb) RETURNS pg_catalog.int8
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    corrected jsonb;
    caller name := CASE current_setting('role') WHEN 'none' THEN session_user ELSE current_setting('role')::name END;
    dead kgwebhook.dead_letter;
BEGIN
    IF delivery_id IS NULL OR payload IS NULL THEN
        RAISE EXCEPTION 'delivery_id and payload must not be null'
            USING ERRCODE = 'null_value_not_allowed',
                  HINT = 'SELECT delivery_id, payload, reason FROM kgwebhook.dead_letter shows what there is to amend.';
    ELSIF jsonb_typeof(payload) <> 'object' THEN
        RAISE EXCEPTION 'payload is not a JSON object'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Give the whole payload, such as payload || ''{"member": "value"}'' of the row in kgwebhook.dead_letter.';
    END IF;
    corrected := payload - 'timestamp' - 'signature';
    /* what no receiver could verify is refused here */
    PERFORM kgwebhook.canonical_json(corrected);
    LOCK TABLE kgwebhook.dead_letter IN SHARE UPDATE EXCLUSIVE MODE;
    SELECT * INTO dead FROM kgwebhook.dead_letter d WHERE d.delivery_id = kg_amend.delivery_id FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'delivery % is no dead letter', kg_amend.delivery_id
            USING ERRCODE = 'no_data_found',
                  DETAIL = coalesce((SELECT format('It is %s.', d.state) FROM kgwebhook.deliveries d
                                      WHERE d.delivery_id = kg_amend.delivery_id LIMIT 1), 'No such delivery is known.'),
                  HINT = 'Only what was given up is amended; SELECT delivery_id, payload, reason FROM kgwebhook.dead_letter shows it.';
    END IF;
    UPDATE kgwebhook.dead_letter d SET payload = corrected, problem = NULL WHERE d.delivery_id = kg_amend.delivery_id;
    INSERT INTO kgwebhook.amendment (delivery_id, amended_by, org_id, object_id, payload, former_payload, former_reason)
        VALUES (dead.delivery_id, caller, dead.org_id, dead.object_id, corrected, dead.payload, dead.reason);
    PERFORM FROM kgwebhook.requeue(ARRAY[kg_amend.delivery_id], ARRAY[now()]);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'delivery % can''t be sent again', kg_amend.delivery_id
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = format('Its subscription %s is disabled, or was removed.', dead.subscription_id),
                  HINT = 'kg_resume_subscription() enables one that is disabled; one that was removed can''t be had back.';
    END IF;
    RAISE LOG 'kgwebhook: "%" has amended the payload of delivery %', caller, kg_amend.delivery_id;
    RETURN kg_amend.delivery_id;
END
$$;
COMMENT ON FUNCTION @extschema@.kg_amend(pg_catalog.int8, pg_catalog.jsonb) IS
  'corrects the payload of a dead letter and queues it, and keeps who did so';

/*
 * What was acknowledged once is not missed, also where it was superseded when it
 * was sent again.  A delivery that a newer acknowledged one of its object has
 * overtaken stays away: sending it would show the receiver an older status after a newer one.
 */
CREATE FUNCTION kgwebhook.missed(
    since pg_catalog.timestamptz,
    until pg_catalog.timestamptz,
    org_id pg_catalog.text,
    destination pg_catalog.text,
    OUT delivery_id pg_catalog.int8,
    OUT due pg_catalog.timestamptz,
    OUT overtaken pg_catalog.bool,
    OUT taken pg_catalog.bool) RETURNS SETOF pg_catalog.record
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    RETURN QUERY
        WITH candidate AS (
            SELECT q.delivery_id, q.org_id, q.kind, q.object_id, q.destination, q.subscription_id
              FROM kgwebhook.queue q
             WHERE q.enqueued_at <= missed.until AND q.attempts > q.attempts_before
               AND q.next_attempt_at > now() AND isfinite(q.next_attempt_at)
            UNION ALL
            SELECT d.delivery_id, d.org_id, d.kind, d.object_id, d.destination, d.subscription_id
              FROM kgwebhook.dead_letter d
             WHERE d.enqueued_at <= missed.until AND d.died_at >= missed.since
            UNION ALL
            SELECT l.delivery_id, l.org_id, l.kind, l.object_id, l.destination, l.subscription_id
              FROM kgwebhook.delivery_log l
             WHERE l.final AND l.outcome = 'superseded' AND NOT l.is_test
               AND l.started_at BETWEEN missed.since AND missed.until
               AND NOT EXISTS (SELECT FROM kgwebhook.delivery_log a
                                WHERE a.delivery_id = l.delivery_id AND a.attempt > l.attempt)
               AND EXISTS (SELECT FROM kgwebhook.delivery_log a
                            WHERE a.delivery_id = l.delivery_id AND a.request_body IS NOT NULL)
               AND NOT EXISTS (SELECT FROM kgwebhook.delivery_log a
                                WHERE a.delivery_id = l.delivery_id AND a.outcome = 'acknowledged')
               AND NOT EXISTS (SELECT FROM kgwebhook.queue q WHERE q.delivery_id = l.delivery_id)),
        judged AS (
            SELECT c.delivery_id, c.destination, kgwebhook.is_taken(c.subscription_id) AS taken,
                   EXISTS (SELECT FROM kgwebhook.delivery_log l
                            WHERE l.object_id = c.object_id AND l.org_id = c.org_id AND l.kind = c.kind
                              AND l.destination = c.destination
                              AND l.subscription_id IS NOT DISTINCT FROM c.subscription_id
                              AND l.delivery_id > c.delivery_id
                              AND l.outcome = 'acknowledged' AND NOT l.is_test) AS overtaken
              FROM candidate c
             WHERE (c.subscription_id IS NULL
                    OR EXISTS (SELECT FROM kgwebhook.subscription s WHERE s.subscription_id = c.subscription_id))
               AND (missed.org_id IS NULL OR c.org_id = missed.org_id)
               AND (missed.destination IS NULL OR c.destination = lower(missed.destination)))
        /* 200 a second to each destination: its receiver has just been ill */
        SELECT j.delivery_id,
               now() + make_interval(secs => (row_number() OVER (PARTITION BY j.destination, j.overtaken, j.taken
                                                                 ORDER BY j.delivery_id) - 1) / 200.0),
               j.overtaken, j.taken
          FROM judged j;
END
$$;
COMMENT ON FUNCTION kgwebhook.missed(pg_catalog.timestamptz, pg_catalog.timestamptz, pg_catalog.text, pg_catalog.text) IS
  'what was not acknowledged in a span, and when kg_recover() would send it';

CREATE FUNCTION @extschema@.kg_recover(
    since pg_catalog.timestamptz,
    until pg_catalog.timestamptz DEFAULT pg_catalog.now(),
    org_id pg_catalog.text DEFAULT NULL,
    destination pg_catalog.text DEFAULT NULL,
    dry_run pg_catalog.bool DEFAULT false) RETURNS pg_catalog.int8
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    ids int8[];
    times timestamptz[];
    left_out int8;
    not_taken int8;
    recovered int8;
BEGIN
    IF since IS NULL OR until IS NULL OR dry_run IS NULL THEN
        RAISE EXCEPTION 'since, until and dry_run must not be null'
            USING ERRCODE = 'null_value_not_allowed',
                  HINT = 'Only org_id and destination may be null, which stands for all of them.';
    END IF;
    IF since > until THEN
        RAISE EXCEPTION 'the span to recover ends before it begins'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('It is from %s until %s.', since, until);
    END IF;
    /* of a name that no destination can have, "0" would read as: nothing was lost */
    IF kg_recover.destination <> '' AND lower(kg_recover.destination) !~ '^https?://[^/]+:[0-9]+$' THEN
        RAISE EXCEPTION '"%" is not a destination', kg_recover.destination
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'A destination is scheme://host:port, with its port.',
                  HINT = 'SELECT DISTINCT destination FROM kgwebhook.dead_letter shows those that have something to recover.';
    END IF;
    /* before looking: what another session recovers is not missed any more */
    IF NOT dry_run THEN
        LOCK TABLE kgwebhook.dead_letter IN SHARE UPDATE EXCLUSIVE MODE;
    END IF;
    SELECT array_agg(m.delivery_id ORDER BY m.delivery_id) FILTER (WHERE m.taken AND NOT m.overtaken),
           array_agg(m.due ORDER BY m.delivery_id) FILTER (WHERE m.taken AND NOT m.overtaken),
           count(*) FILTER (WHERE m.taken AND m.overtaken), count(*) FILTER (WHERE NOT m.taken)
      INTO ids, times, left_out, not_taken
      FROM kgwebhook.missed(since, until, kg_recover.org_id, kg_recover.destination) m;
    IF left_out > 0 THEN
        RAISE NOTICE '% deliveries were left out', left_out
            USING DETAIL = 'A newer status of the same object has been acknowledged; the older one must not come after it.',
                  HINT = 'kg_redeliver() sends one all the same.';
    END IF;
    IF not_taken > 0 THEN
        RAISE NOTICE '% deliveries were left out', not_taken
            USING DETAIL = 'They are for subscriptions that are disabled.',
                  HINT = 'kg_resume_subscription() enables one; kgwebhook.subscriptions says why it is disabled.';
    END IF;
    IF ids IS NULL OR dry_run THEN
        RETURN coalesce(cardinality(ids), 0);
    END IF;
    SELECT count(*) INTO recovered FROM kgwebhook.requeue(ids, times);
    RETURN recovered;
END
$$;
COMMENT ON FUNCTION @extschema@.kg_recover(pg_catalog.timestamptz, pg_catalog.timestamptz, pg_catalog.text, pg_catalog.text, pg_catalog.bool) IS
  'queues again everything not acknowledged in a span, in order and throttled; returns how many';

CREATE FUNCTION @extschema@.kg_reconcile(
    since pg_catalog.interval DEFAULT '1 day',
    OUT org_id pg_catalog.text,
    OUT event pg_catalog.text,
    OUT kind pg_catalog.text,
    OUT object_id pg_catalog.text,
    OUT url pg_catalog.text,
    OUT delivery_id pg_catalog.int8,
    OUT webhook_id pg_catalog.text,
    OUT state pg_catalog.text,
    OUT attempts pg_catalog.int4,
    OUT enqueued_at pg_catalog.timestamptz,
    OUT why pg_catalog.text,
    OUT subscription_id pg_catalog.int8) RETURNS SETOF pg_catalog.record
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    IF since IS NULL THEN
        RAISE EXCEPTION 'since must not be null'
            USING ERRCODE = 'null_value_not_allowed',
                  HINT = 'Give an age such as ''1 day'': what was queued longer ago isn''t looked at.';
    ELSIF since < '0' THEN
        RAISE EXCEPTION 'since is negative'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('It is %s; nothing was queued since then.', since),
                  HINT = 'Give an age such as ''1 day''.';
    END IF;
    RETURN QUERY
        WITH known AS (
            SELECT d.org_id, d.event, d.kind, d.object_id, d.url, d.delivery_id, d.webhook_id, d.state, d.attempts,
                   coalesce(d.enqueued_at, d.last_attempt_at) AS at, d.last_error, d.next_attempt_at, d.subscription_id
              FROM kgwebhook.deliveries d
             WHERE coalesce(d.enqueued_at, d.last_attempt_at) >= now() - since),
        latest AS (
            SELECT DISTINCT ON (k.object_id, k.org_id, k.kind, k.url) k.*
              FROM known k
             ORDER BY k.object_id, k.org_id, k.kind, k.url, k.delivery_id DESC)
        SELECT l.org_id, l.event, l.kind, l.object_id, l.url, l.delivery_id, l.webhook_id, l.state, l.attempts, l.at,
               CASE WHEN l.state IN ('pending', 'retrying') AND s.paused_at IS NOT NULL AND s.disabled_at IS NULL
                    THEN format('its subscription %s is paused', s.subscription_id)
                    ELSE CASE l.state
                    WHEN 'dead' THEN (SELECT d.reason FROM kgwebhook.dead_letter d WHERE d.delivery_id = l.delivery_id)
                    WHEN 'superseded' THEN 'superseded, and what superseded it is gone'
                    WHEN 'pending' THEN CASE WHEN isfinite(l.next_attempt_at) THEN 'not attempted yet'
                                             WHEN EXISTS (SELECT FROM kgwebhook.secret e WHERE e.org_id = l.org_id)
                                             THEN 'waits for the key to decrypt its signing secret'
                                             ELSE 'waits for a signing secret' END
                    ELSE CASE WHEN isfinite(l.next_attempt_at) THEN 'tried again at ' || l.next_attempt_at::text || '; '
                              ELSE '' END || coalesce(l.last_error, 'the log has no attempt of it any more') END END,
               l.subscription_id
          FROM latest l
          LEFT JOIN kgwebhook.subscription s ON s.subscription_id = l.subscription_id
         WHERE l.state <> 'acknowledged' AND (l.subscription_id IS NULL OR s.subscription_id IS NOT NULL)
           AND NOT EXISTS (SELECT FROM kgwebhook.delivery_log a
                            WHERE a.delivery_id = l.delivery_id AND a.outcome = 'acknowledged')
         ORDER BY l.delivery_id;
END
$$;
COMMENT ON FUNCTION @extschema@.kg_reconcile(pg_catalog.interval) IS
  'objects whose latest status was never acknowledged, and why';

CREATE FUNCTION @extschema@.kg_explain(delivery_id pg_catalog.int8) RETURNS pg_catalog.text
    LANGUAGE plpgsql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    it kgwebhook.deliveries;
    last kgwebhook.delivery_log;
    dead kgwebhook.dead_letter;
    destination kgwebhook.destinations;
    subscription kgwebhook.subscription;
    worker text;
    ahead int8;
    told text;
    next text;
BEGIN
    SELECT * INTO it FROM kgwebhook.deliveries d WHERE d.delivery_id = kg_explain.delivery_id;
    IF NOT FOUND THEN
        RETURN format('Delivery %s is not known: it is not in the queue, the dead letters or the log. '
                      'Settled deliveries are forgotten with their day of the log (kgwebhook.log_retention).',
                      kg_explain.delivery_id);
    END IF;
    SELECT * INTO last FROM kgwebhook.delivery_log l
     WHERE l.delivery_id = kg_explain.delivery_id ORDER BY l.attempt DESC, l.attempt_id DESC LIMIT 1;
    SELECT * INTO subscription FROM kgwebhook.subscription s WHERE s.subscription_id = it.subscription_id;
    told := format('Delivery %s is %s of %s %s of organization %s, to %s%s.',
                   it.delivery_id, it.event, coalesce(nullif(it.kind, ''), 'object'), it.object_id, it.org_id, it.url,
                   coalesce(' (subscription ' || it.subscription_id || ')', ''))
            || CASE WHEN it.enqueued_at IS NULL THEN '' ELSE format(E'\nIt was queued at %s.', date_trunc('second', it.enqueued_at)) END
            || CASE WHEN last.attempt_id IS NULL THEN E'\nNo attempt has been made.'
                    ELSE format(E'\nThe last attempt, number %s, began at %s and was %s after %s ms%s.',
                                last.attempt, date_trunc('second', last.started_at), last.outcome,
                                round(coalesce(last.duration_ms, 0)::numeric),
                                coalesce(': ' || last.error, format(' with HTTP status %s', last.response_status), '')) END;

    IF it.state = 'acknowledged' THEN
        RETURN told || E'\nThe receiver has it; nothing is left to do.';
    ELSIF it.state = 'superseded' THEN
        RETURN told || format(E'\nIt made way for a newer status of the object.\nNothing happens by itself. SELECT kg_redeliver(%s) sends it all the same.',
                              it.delivery_id);
    ELSIF it.state = 'dead' THEN
        SELECT * INTO dead FROM kgwebhook.dead_letter d WHERE d.delivery_id = kg_explain.delivery_id;
        told := told || format(E'\nIt was given up at %s: %s.\nNothing happens by itself.',
                               date_trunc('second', dead.died_at), dead.reason);
        IF it.subscription_id IS NOT NULL AND subscription.subscription_id IS NULL THEN
            RETURN told || format(' Subscription %s was removed, so it can''t be sent again.', it.subscription_id);
        END IF;
        RETURN told || format(' Mend what is wrong; then %sSELECT kg_redeliver(%s) sends it again.',
                              CASE WHEN subscription.disabled_at IS NULL THEN ''
                                   ELSE format('enable the subscription by SELECT kg_resume_subscription(%s); after that ', it.subscription_id) END,
                              it.delivery_id);
    END IF;

    SELECT * INTO destination FROM kgwebhook.destinations d WHERE d.destination = it.destination;
    SELECT s.worker_state INTO worker FROM kgwebhook.worker_stats() s;
    SELECT min(q.delivery_id) INTO ahead FROM kgwebhook.queue q
     WHERE q.destination = it.destination AND q.delivery_id < it.delivery_id
       AND q.object_id = it.object_id AND q.org_id = it.org_id AND q.kind = it.kind
       AND q.subscription_id IS NOT DISTINCT FROM it.subscription_id;
    next := format('attempt %s, %s', it.attempts + 1,
                   CASE WHEN NOT isfinite(it.next_attempt_at) THEN 'which waits'
                        WHEN it.next_attempt_at <= now() THEN 'which is due now'
                        ELSE format('at %s, in %s', date_trunc('second', it.next_attempt_at),
                                    date_trunc('second', it.next_attempt_at - now())) END);
    RETURN told || E'\n' || CASE
        WHEN worker NOT IN ('idle', 'busy') THEN
            format('Nothing is sent at present, for the worker is: %s. Next is %s, when that is mended.', worker, next)
        WHEN destination.state = 'paused' THEN
            format('Its destination %s is paused. Next is %s, after kg_resume().', it.destination, next)
        WHEN it.subscription_id IS NOT NULL AND subscription.subscription_id IS NULL THEN
            format('Its subscription %s was removed: it becomes a dead letter when its turn comes.', it.subscription_id)
        WHEN subscription.disabled_at IS NOT NULL THEN
            format('Its subscription %s is disabled: it becomes a dead letter when its turn comes.', it.subscription_id)
        WHEN subscription.paused_at IS NOT NULL THEN
            format('Its subscription %s is paused. Next is %s, after kg_resume_subscription(%s).',
                   it.subscription_id, next, it.subscription_id)
        WHEN NOT isfinite(it.next_attempt_at) THEN
            kgwebhook.secret_wanted(it.org_id)
        WHEN ahead IS NOT NULL THEN
            format('It waits for delivery %s, an older status of the same object, which goes first or is superseded after kgwebhook.max_hold.', ahead)
        WHEN destination.state = 'backing_off' THEN
            format('Its destination %s is ill (%s failures in a row) and is tried again at %s. It goes when that has worked.',
                   it.destination, destination.failures_in_a_row,
                   date_trunc('second', greatest(destination.next_try, it.next_attempt_at)))
        ELSE format('Next is %s.', next) END;
END
$$;
COMMENT ON FUNCTION @extschema@.kg_explain(pg_catalog.int8) IS
  'what happened to a delivery, what is next and when, in words';

CREATE FUNCTION @extschema@.kg_explain(
    object_id pg_catalog.text,
    org_id pg_catalog.text DEFAULT NULL,
    kind pg_catalog.text DEFAULT NULL) RETURNS SETOF pg_catalog.text
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    ids int8[] := kgwebhook.deliveries_of(object_id, org_id, kind);
BEGIN
    IF ids = '{}' THEN
        RETURN NEXT format('No delivery of an object "%s" is known%s: none is in the queue, the dead letters or the log. '
                           'Settled deliveries are forgotten with their day of the log (kgwebhook.log_retention).',
                           object_id,
                           CASE WHEN coalesce(org_id, kind) IS NULL THEN ''
                                ELSE format(' for %s', concat_ws(' and ', 'organization ' || org_id, 'kind ' || kind)) END);
        RETURN;
    END IF;
    RETURN QUERY SELECT @extschema@.kg_explain(i.id) FROM unnest(ids) WITH ORDINALITY AS i(id, n) ORDER BY i.n;
END
$$;
COMMENT ON FUNCTION @extschema@.kg_explain(pg_catalog.text, pg_catalog.text, pg_catalog.text) IS
  'what happened to each delivery of an object, oldest first, in words';

CREATE FUNCTION @extschema@.kg_dashboard() RETURNS pg_catalog.text
    LANGUAGE c STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_dashboard';
COMMENT ON FUNCTION @extschema@.kg_dashboard() IS
  'the delivery page: one HTML document that needs nothing else';


/* -------------------------------------------------------------------------
 * For receivers and tests
 * ------------------------------------------------------------------------- */

CREATE FUNCTION @extschema@.kg_canonical_json(payload pg_catalog.jsonb) RETURNS pg_catalog.text
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'kg_canonical_json';
COMMENT ON FUNCTION @extschema@.kg_canonical_json(pg_catalog.jsonb) IS
  'RFC 8785 canonical form; an error for what it can''t represent exactly';

CREATE FUNCTION @extschema@.kg_sign(payload pg_catalog.jsonb, secret pg_catalog.text) RETURNS pg_catalog.text
    LANGUAGE c STABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'kg_sign';
COMMENT ON FUNCTION @extschema@.kg_sign(pg_catalog.jsonb, pg_catalog.text) IS
  'the signed body as it goes over the wire; stamped now unless the payload has a timestamp';

CREATE FUNCTION @extschema@.kg_verify(
    body pg_catalog.text,
    secret pg_catalog.text,
    tolerance pg_catalog.interval DEFAULT '5 minutes',
    at pg_catalog.timestamptz DEFAULT pg_catalog.now()) RETURNS pg_catalog.text
    LANGUAGE c STABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'kg_verify';
COMMENT ON FUNCTION @extschema@.kg_verify(pg_catalog.text, pg_catalog.text, pg_catalog.interval, pg_catalog.timestamptz) IS
  'valid, or which of: malformed, no signature, wrong signature, stale, from the future';


/* -------------------------------------------------------------------------
 * Who may what: nobody but the owner, until the owner says so.  The exceptions
 * are the receivers' three, which touch no data of ours, and the views that
 * show no payload, which go to those who monitor.
 * ------------------------------------------------------------------------- */

REVOKE ALL ON FUNCTION
    kgwebhook.enqueue(),
    kgwebhook.check_transition(),
    kgwebhook.changed(),
    kgwebhook.dropped(),
    kgwebhook.altered(),

    kgwebhook.number_columns(),
    kgwebhook.worker_stats(),
    kgwebhook.destination_notices(),
    kgwebhook.index_partition(pg_catalog.name),
    kgwebhook.make_day(pg_catalog.date),
    kgwebhook.make_days(),
    kgwebhook.log_retention(),
    kgwebhook.in_transaction_block(),
    kgwebhook.log_partitions(pg_catalog.timestamptz),
    kgwebhook.drop_days(),
    kgwebhook.trim_queue(),
    kgwebhook.purge_partition(pg_catalog.regclass, pg_catalog.timestamptz),
    kgwebhook.sweep(),
    @extschema@.kg_purge(pg_catalog.interval),
    @extschema@.kg_expire_intents(pg_catalog.regclass),
    @extschema@.kg_schedule_maintenance(),
    @extschema@.kg_unschedule_maintenance(),
    kgwebhook.origin(),
    kgwebhook.record_instance(),
    @extschema@.kg_adopt(),
    kgwebhook.checked_destination(pg_catalog.text),
    @extschema@.kg_pause(pg_catalog.text),
    @extschema@.kg_resume(pg_catalog.text),
    @extschema@.kg_watch(pg_catalog.regclass, pg_catalog.text, pg_catalog.name, pg_catalog.name, pg_catalog.name, pg_catalog.name, pg_catalog.jsonb),
    @extschema@.kg_unwatch(pg_catalog.regclass),
    @extschema@.kg_create_payment_intents(pg_catalog.text),
    @extschema@.kg_create_transfers(pg_catalog.text),
    @extschema@.kg_create_secret(pg_catalog.text),
    @extschema@.kg_set_secret(pg_catalog.text, pg_catalog.text),
    @extschema@.kg_set_secret(pg_catalog.text, pg_catalog.text, pg_catalog.bool),
    kgwebhook.secret_wanted(pg_catalog.text),
    @extschema@.kg_rotate_secret(pg_catalog.text, pg_catalog.interval, pg_catalog.interval),
    @extschema@.kg_cancel_rotation(pg_catalog.text),
    @extschema@.kg_fingerprint(pg_catalog.text),
    @extschema@.kg_fingerprints(pg_catalog.text),
    kgwebhook.fingerprint(pg_catalog.text, pg_catalog.bool),
    @extschema@.kg_encrypt_secrets(),
    @extschema@.kg_subscribe(pg_catalog.text, pg_catalog.text, pg_catalog.text[], pg_catalog.text),
    @extschema@.kg_unsubscribe(pg_catalog.int8),
    @extschema@.kg_pause_subscription(pg_catalog.int8),
    @extschema@.kg_resume_subscription(pg_catalog.int8),
    kgwebhook.is_taken(pg_catalog.int8),
    @extschema@.kg_send_test(pg_catalog.text, pg_catalog.text, pg_catalog.text),
    kgwebhook.destination_of(pg_catalog.text),
    kgwebhook.requeue(pg_catalog.int8[], pg_catalog.timestamptz[]),
    kgwebhook.missed(pg_catalog.timestamptz, pg_catalog.timestamptz, pg_catalog.text, pg_catalog.text),
    kgwebhook.canonical_json(pg_catalog.jsonb),
    @extschema@.kg_amend(pg_catalog.int8, pg_catalog.jsonb),
    @extschema@.kg_redeliver(pg_catalog.int8),
    kgwebhook.deliveries_of(pg_catalog.text, pg_catalog.text, pg_catalog.text),
    @extschema@.kg_redeliver_object(pg_catalog.text, pg_catalog.text, pg_catalog.text),
    @extschema@.kg_recover(pg_catalog.timestamptz, pg_catalog.timestamptz, pg_catalog.text, pg_catalog.text, pg_catalog.bool),
    @extschema@.kg_reconcile(pg_catalog.interval),
    @extschema@.kg_explain(pg_catalog.int8),
    @extschema@.kg_explain(pg_catalog.text, pg_catalog.text, pg_catalog.text),
    @extschema@.kg_dashboard()
    FROM PUBLIC;

/*
 * Default privileges of the role that installs us may have granted our objects
 * to others, secrets included: that is taken back.  And a function that already
 * has one of our names, with other arguments, might be called in place of ours.
 */
DO LANGUAGE plpgsql $$
DECLARE
    extension oid := (SELECT oid FROM pg_extension WHERE extname = 'kgwebhook');
    statement text;
    other regprocedure;
BEGIN
    FOR statement IN
        SELECT format('REVOKE ALL ON SCHEMA kgwebhook FROM %I', pg_get_userbyid(a.grantee))
          FROM pg_namespace n, aclexplode(n.nspacl) a
         WHERE n.nspname = 'kgwebhook' AND a.grantee <> n.nspowner AND a.grantee <> 0
        UNION
        SELECT format('REVOKE ALL ON %s %s FROM %I', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
                      c.oid::regclass, pg_get_userbyid(a.grantee))
          FROM pg_class c, aclexplode(c.relacl) a
         WHERE c.relnamespace = 'kgwebhook'::regnamespace AND a.grantee <> c.relowner AND a.grantee <> 0
        UNION
        SELECT format('REVOKE ALL ON FUNCTION %s FROM %I', p.oid::regprocedure, pg_get_userbyid(a.grantee))
          FROM pg_depend d JOIN pg_proc p ON p.oid = d.objid, aclexplode(p.proacl) a
         WHERE d.classid = 'pg_proc'::regclass AND d.refclassid = 'pg_extension'::regclass
           AND d.refobjid = extension AND d.deptype = 'e' AND a.grantee <> p.proowner AND a.grantee <> 0
    LOOP
        EXECUTE statement;
    END LOOP;

    SELECT o.oid INTO other
      FROM pg_depend d JOIN pg_proc p ON p.oid = d.objid
      JOIN pg_proc o ON o.proname = p.proname AND o.pronamespace = p.pronamespace
     WHERE d.classid = 'pg_proc'::regclass AND d.refclassid = 'pg_extension'::regclass
       AND d.refobjid = extension AND d.deptype = 'e'
       AND NOT EXISTS (SELECT FROM pg_depend m
                        WHERE m.classid = 'pg_proc'::regclass AND m.objid = o.oid AND m.deptype = 'e'
                          AND m.refclassid = 'pg_extension'::regclass AND m.refobjid = extension)
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'function % is there already', other
            USING ERRCODE = 'duplicate_function',
                  DETAIL = 'It has the name of one of kgwebhook''s, and could be called instead of it.',
                  HINT = 'Drop or rename it, or create the extension in another schema.';
    END IF;
END
$$;

GRANT USAGE ON SCHEMA kgwebhook TO pg_monitor;
GRANT SELECT ON kgwebhook.deliveries, kgwebhook.subscriptions, kgwebhook.destinations, kgwebhook.stats,
    kgwebhook.pending, kgwebhook.failures, kgwebhook.latency, kgwebhook.unacknowledged TO pg_monitor;
GRANT EXECUTE ON FUNCTION kgwebhook.worker_stats(), kgwebhook.destination_notices(),
    @extschema@.kg_dashboard() TO pg_monitor;

/* Last: starts a worker at commit, or warns that none will be. */
CREATE FUNCTION kgwebhook.installed() RETURNS pg_catalog.void
    LANGUAGE c
    AS 'MODULE_PATHNAME', 'kg_installed';
COMMENT ON FUNCTION kgwebhook.installed() IS
  'tells the launcher that this database has the extension, or warns that there is no launcher';
REVOKE ALL ON FUNCTION kgwebhook.installed() FROM PUBLIC;
SELECT kgwebhook.installed();
