/*
 * bench/node-outbox/schema.sql
 *
 * The outbox of outbox.mjs, as one would make it for oneself: what is to be
 * sent, from when on, and until when someone has it; and a log.
 */
CREATE SCHEMA outbox;

CREATE TABLE outbox.message (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    url           text NOT NULL,
    body          text NOT NULL,
    attempts      int NOT NULL DEFAULT 0,
    available_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX message_available_idx ON outbox.message (available_at, id);

CREATE TABLE outbox.attempt (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id   bigint NOT NULL,
    attempt      int NOT NULL,
    url          text NOT NULL,
    body         text NOT NULL,
    status       int,
    error        text,
    duration_ms  real,
    at           timestamptz NOT NULL DEFAULT now()
);
