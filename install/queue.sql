/*
 * install/queue.sql
 *		Deliveries from commit until they are settled.
 */

/*
 * Queue, log, dead letters
 *
 * The queue's indexes hold no column that ever changes, so that a retry is a
 * heap-only update.  xid finds new rows by transaction: sequence order
 * is not commit order.  The last three are for people, who ask for one object, one
 * organization or one subscription while a million deliveries wait.
 */

CREATE SEQUENCE kgwebhook.delivery_id_seq;
COMMENT ON SEQUENCE kgwebhook.delivery_id_seq IS 'numbers deliveries';

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
    refused_at       pg_catalog.timestamptz,
    held             pg_catalog.int8,
    not_before       pg_catalog.timestamptz,
    recovered        pg_catalog.timestamptz,
    CONSTRAINT queue_pkey PRIMARY KEY (delivery_id)
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.2);
CREATE INDEX queue_destination_idx ON kgwebhook.queue (destination, delivery_id);
CREATE INDEX queue_xid_idx ON kgwebhook.queue (xid, delivery_id);
CREATE INDEX queue_org_id_idx ON kgwebhook.queue (org_id, xid, delivery_id);
CREATE INDEX queue_object_id_idx ON kgwebhook.queue (object_id, org_id);
CREATE INDEX queue_subscription_id_idx ON kgwebhook.queue (subscription_id) WHERE subscription_id IS NOT NULL;
COMMENT ON TABLE kgwebhook.queue IS 'deliveries from commit until they are settled';
COMMENT ON INDEX kgwebhook.queue_destination_idx IS 'reads the backlog of one destination page by page, oldest first';
COMMENT ON INDEX kgwebhook.queue_org_id_idx IS 'what waits for one organization, and what has come since it last looked';
COMMENT ON INDEX kgwebhook.queue_xid_idx IS 'finds the rows committed since the last look';
COMMENT ON INDEX kgwebhook.queue_object_id_idx IS 'what waits of one object';
COMMENT ON INDEX kgwebhook.queue_subscription_id_idx IS 'what waits for one subscription';
COMMENT ON COLUMN kgwebhook.queue.delivery_id IS 'the delivery';
COMMENT ON COLUMN kgwebhook.queue.webhook_id IS 'the event, as receivers see it: the same for every attempt and every receiver';
COMMENT ON COLUMN kgwebhook.queue.org_id IS 'the organization whose secret signs';
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
COMMENT ON COLUMN kgwebhook.queue.origin IS 'the database it was enqueued in; rows of another database are not sent before kg_adopt()';
COMMENT ON COLUMN kgwebhook.queue.attempts_before IS 'attempts that the retry schedule does not count: those made before it was queued again, and those that died with a kept connection';
COMMENT ON COLUMN kgwebhook.queue.subscription_id IS 'the subscription it is for; NULL: the object''s own URL';
COMMENT ON COLUMN kgwebhook.queue.refused_at IS 'when the last attempt was answered with another status than 2xx; NULL: it was not answered';
COMMENT ON COLUMN kgwebhook.queue.not_before IS 'when the receiver wants the next attempt at the earliest, by Retry-After; NULL: it did not say';
COMMENT ON COLUMN kgwebhook.queue.held IS 'microseconds that it had been refused by then, which kgwebhook.max_hold limits when a newer status waits';
COMMENT ON COLUMN kgwebhook.queue.recovered IS 'when kg_recover() queued it again: it is superseded if a newer status of its object is acknowledged first; NULL: it did not';
