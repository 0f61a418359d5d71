/*
 * install/dead_letter.sql
 *		Deliveries that were given up.
 */

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
    forgotten_sha256 pg_catalog.text,
    CONSTRAINT dead_letter_pkey PRIMARY KEY (delivery_id)
);
CREATE INDEX dead_letter_org_id_idx ON kgwebhook.dead_letter (org_id, xid, delivery_id);
COMMENT ON INDEX kgwebhook.dead_letter_org_id_idx IS 'the dead letters of one organization';
CREATE INDEX dead_letter_object_id_idx ON kgwebhook.dead_letter (object_id, org_id);
CREATE INDEX dead_letter_died_at_idx ON kgwebhook.dead_letter (died_at);
COMMENT ON INDEX kgwebhook.dead_letter_object_id_idx IS 'what was given up of one object';
COMMENT ON INDEX kgwebhook.dead_letter_died_at_idx IS 'what was given up lately';
COMMENT ON TABLE kgwebhook.dead_letter IS 'deliveries that were given up, with the reason';
COMMENT ON COLUMN kgwebhook.dead_letter.delivery_id IS 'the delivery';
COMMENT ON COLUMN kgwebhook.dead_letter.webhook_id IS 'the event, as receivers see it';
COMMENT ON COLUMN kgwebhook.dead_letter.org_id IS 'the organization whose secret signs';
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
COMMENT ON COLUMN kgwebhook.dead_letter.forgotten_sha256 IS 'SHA-256 of the payload as PostgreSQL writes it, once kg_forget() has removed it';
COMMENT ON COLUMN kgwebhook.dead_letter.subscription_id IS 'the subscription it was for; NULL: the object''s own URL';

/* When an operator replaces what a payment said, that must be on record. */
CREATE TABLE kgwebhook.amendment (
    delivery_id      pg_catalog.int8 NOT NULL,
    amended_at       pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now(),
    amended_by       pg_catalog.name NOT NULL,
    org_id           pg_catalog.text NOT NULL,
    object_id        pg_catalog.text NOT NULL,
    payload          pg_catalog.jsonb NOT NULL,
    former_payload   pg_catalog.jsonb NOT NULL,
    former_reason    pg_catalog.text NOT NULL,
    forgotten_sha256 pg_catalog.text[],
    CONSTRAINT amendment_pkey PRIMARY KEY (delivery_id, amended_at)
);
COMMENT ON TABLE kgwebhook.amendment IS 'payloads that were changed by kg_amend(), and by which role; kept as long as the log';
COMMENT ON COLUMN kgwebhook.amendment.delivery_id IS 'the delivery';
COMMENT ON COLUMN kgwebhook.amendment.amended_at IS 'when it was changed and queued';
COMMENT ON COLUMN kgwebhook.amendment.amended_by IS 'the role that called kg_amend()';
COMMENT ON COLUMN kgwebhook.amendment.org_id IS 'the organization whose secret signs';
COMMENT ON COLUMN kgwebhook.amendment.object_id IS 'the object whose status changed';
COMMENT ON COLUMN kgwebhook.amendment.payload IS 'the payload that is sent from then on';
COMMENT ON COLUMN kgwebhook.amendment.former_payload IS 'the payload before the change';
COMMENT ON COLUMN kgwebhook.amendment.forgotten_sha256 IS 'SHA-256 of both payloads as PostgreSQL writes them, once kg_forget() has removed them';
COMMENT ON COLUMN kgwebhook.amendment.former_reason IS 'why the delivery had been given up';
