/*
 * install/delivery_log.sql
 *		Every attempt of every delivery.
 */

CREATE SEQUENCE kgwebhook.attempt_id_seq;
COMMENT ON SEQUENCE kgwebhook.attempt_id_seq IS 'numbers attempts';

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
    xid              pg_catalog.xid8,
    enqueued_at      pg_catalog.timestamptz,
    forgotten_sha256 pg_catalog.text,
    queued_again     pg_catalog.bool,
    CONSTRAINT delivery_log_outcome_check CHECK (outcome OPERATOR(pg_catalog.=) ANY (ARRAY['acknowledged'::pg_catalog.text, 'rejected', 'timed_out', 'unreachable', 'blocked', 'invalid', 'superseded']))
) PARTITION BY RANGE (started_at);

ALTER TABLE kgwebhook.delivery_log REPLICA IDENTITY FULL;

CREATE TABLE kgwebhook.delivery_log_default PARTITION OF kgwebhook.delivery_log DEFAULT;

ALTER TABLE kgwebhook.delivery_log_default REPLICA IDENTITY FULL;

/*
 * Indexes are the partitions' own: those of the parent would be rebuilt when a
 * restore attaches a day, and collide with the ones in the dump.
 * The latest attempts, and the latest deliveries of one organization, are read backward from
 * the end of each day's index; a block range index could only have been read whole.
 * Hardly two entries of these are equal, and to look for such when a page is full would be in vain;
 * only those of an object are.
 * The index by delivery has that column alone: then it is in the order of the table, as the
 * planner can see, and it reads all deliveries in their order rather than sort them.
 */
CREATE FUNCTION kgwebhook.index_partition(partition pg_catalog.name) RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('CREATE INDEX %I ON kgwebhook.%I (attempt_id) WITH (deduplicate_items = off)', partition || '_attempt_id_idx', partition);
    EXECUTE format('CREATE INDEX %I ON kgwebhook.%I (org_id, delivery_id) WITH (deduplicate_items = off)', partition || '_org_id_idx', partition);
    EXECUTE format('CREATE INDEX %I ON kgwebhook.%I (delivery_id) WITH (deduplicate_items = off)', partition || '_delivery_id_idx', partition);
    EXECUTE format('CREATE INDEX %I ON kgwebhook.%I (object_id, org_id)', partition || '_object_id_idx', partition);
    EXECUTE format('CREATE INDEX %I ON kgwebhook.%I (started_at) WHERE outcome <> ''acknowledged''', partition || '_failed_idx', partition);
    EXECUTE format('CREATE INDEX %I ON kgwebhook.%I (org_id, xid, delivery_id) WITH (deduplicate_items = off) WHERE final AND NOT is_test', partition || '_events_idx', partition);
    EXECUTE format('COMMENT ON INDEX kgwebhook.%I IS %L', partition || '_events_idx', 'the events of one organization, as kg_events_since() reads them');
    EXECUTE format('CREATE INDEX %I ON kgwebhook.%I (started_at) WITH (deduplicate_items = off)', partition || '_started_at_idx', partition);
    EXECUTE format('CREATE INDEX %I ON kgwebhook.%I (delivery_id) WHERE outcome = ''superseded''', partition || '_superseded_idx', partition);
    EXECUTE format('COMMENT ON INDEX kgwebhook.%I IS %L', partition || '_attempt_id_idx', 'one attempt, by its number, or the latest ones');
    EXECUTE format('COMMENT ON INDEX kgwebhook.%I IS %L', partition || '_org_id_idx', 'the latest deliveries of one organization');
    EXECUTE format('COMMENT ON INDEX kgwebhook.%I IS %L', partition || '_delivery_id_idx', 'the attempts of one delivery');
    EXECUTE format('COMMENT ON INDEX kgwebhook.%I IS %L', partition || '_object_id_idx', 'the attempts for one object');
    EXECUTE format('COMMENT ON INDEX kgwebhook.%I IS %L', partition || '_failed_idx', 'what was not acknowledged, by its time');
    EXECUTE format('COMMENT ON INDEX kgwebhook.%I IS %L', partition || '_started_at_idx', 'the latest attempts, by their time');
    EXECUTE format('COMMENT ON INDEX kgwebhook.%I IS %L', partition || '_superseded_idx', 'what was superseded');
END
$$;
COMMENT ON FUNCTION kgwebhook.index_partition(pg_catalog.name) IS
  'creates the indexes of a partition of the log';

SELECT kgwebhook.index_partition('delivery_log_default');
COMMENT ON TABLE kgwebhook.delivery_log IS 'every attempt of every delivery; written in bulk, so it cannot have triggers';
COMMENT ON TABLE kgwebhook.delivery_log_default IS 'attempts of days that have no partition of their own';
COMMENT ON COLUMN kgwebhook.delivery_log.attempt_id IS 'the attempt';
COMMENT ON COLUMN kgwebhook.delivery_log.delivery_id IS 'the delivery it was an attempt of';
COMMENT ON COLUMN kgwebhook.delivery_log.webhook_id IS 'the event, as the receiver saw it';
COMMENT ON COLUMN kgwebhook.delivery_log.org_id IS 'the organization whose secret signed';
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
COMMENT ON COLUMN kgwebhook.delivery_log.is_test IS 'true for kg_send_test() and kg_examine()';
COMMENT ON COLUMN kgwebhook.delivery_log.subscription_id IS 'the subscription it was for; NULL: the object''s own URL';
COMMENT ON COLUMN kgwebhook.delivery_log.xid IS 'the transaction that changed the status, or that queued it again; NULL for a test';
COMMENT ON COLUMN kgwebhook.delivery_log.enqueued_at IS 'start of that transaction; NULL for a test';
COMMENT ON COLUMN kgwebhook.delivery_log.forgotten_sha256 IS 'SHA-256 of the bytes that were sent, once kg_forget() has removed them';
COMMENT ON COLUMN kgwebhook.delivery_log.queued_again IS 'true when this attempt had settled the delivery, and it was queued again; NULL otherwise';
