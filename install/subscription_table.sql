/*
 * install/subscription_table.sql
 *		The table of subscriptions.
 */

/*
 * Subscriptions
 *
 * Organization and URL go by their bytes: the trigger finds them through the
 * index without knowing a collation.
 */

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
    resumed_at       pg_catalog.timestamptz,
    told_at          pg_catalog.timestamptz,
    shape            pg_catalog.text COLLATE pg_catalog."C",
    own_secret       pg_catalog.bool NOT NULL DEFAULT false,
    filter           pg_catalog.jsonb,
    header_names     pg_catalog.text[],
    rate_limit       pg_catalog.numeric,
    own_identity     pg_catalog.bool NOT NULL DEFAULT false,
    verify           pg_catalog.bool NOT NULL DEFAULT false,
    challenge        pg_catalog.text COLLATE pg_catalog."C",
    challenged_at    pg_catalog.timestamptz,
    verified_at      pg_catalog.timestamptz,
    CONSTRAINT subscription_pkey PRIMARY KEY (subscription_id),
    CONSTRAINT subscription_org_id_url_key UNIQUE (org_id, url),
    CONSTRAINT subscription_rate_limit_check CHECK (rate_limit OPERATOR(pg_catalog.>=) 0.01 AND rate_limit OPERATOR(pg_catalog.<=) 10000)
);
COMMENT ON TABLE kgwebhook.subscription IS
  'URLs that get the events of an organization, besides the objects'' own URLs; readable by its owner only';
COMMENT ON COLUMN kgwebhook.subscription.subscription_id IS 'the subscription';
COMMENT ON COLUMN kgwebhook.subscription.org_id IS 'the organization whose events it gets';
COMMENT ON COLUMN kgwebhook.subscription.url IS 'where they go';
COMMENT ON COLUMN kgwebhook.subscription.destination IS 'scheme://host:port of the URL';
COMMENT ON COLUMN kgwebhook.subscription.events IS 'names of events, or patterns: * stands for anything';
COMMENT ON COLUMN kgwebhook.subscription.description IS 'free text';
COMMENT ON COLUMN kgwebhook.subscription.created_at IS 'when kg_subscribe() was called';
COMMENT ON COLUMN kgwebhook.subscription.paused_at IS 'when it was paused; its events wait in the queue';
COMMENT ON COLUMN kgwebhook.subscription.disabled_at IS 'when it was disabled; its events become dead letters';
COMMENT ON COLUMN kgwebhook.subscription.disabled_reason IS 'why it was disabled';
COMMENT ON COLUMN kgwebhook.subscription.failing_since IS 'first attempt that was not acknowledged since the last one that was';
COMMENT ON COLUMN kgwebhook.subscription.resumed_at IS 'when it was last resumed: events from before then are compared with what its URL has acknowledged in the meantime';
COMMENT ON COLUMN kgwebhook.subscription.told_at IS 'when it was told that the receiver is failing (endpoint.failing, endpoint.disabled); NULL: it is not, or not for long';
COMMENT ON COLUMN kgwebhook.subscription.shape IS 'which payload it gets of the tables that have one of that name; NULL: each table''s own';
COMMENT ON COLUMN kgwebhook.subscription.own_secret IS 'whether kgwebhook.secret has one of its own, which signs instead of the organization''s';
COMMENT ON COLUMN kgwebhook.subscription.header_names IS 'names of the headers that its requests have besides kgwebhook''s; NULL: none';
COMMENT ON COLUMN kgwebhook.subscription.rate_limit IS 'requests a second that it gets at most; NULL: no limit';
COMMENT ON COLUMN kgwebhook.subscription.own_identity IS 'whether it has a client certificate, or HTTP message signatures, of its own';
COMMENT ON COLUMN kgwebhook.subscription.verify IS 'whether its receiver has to answer a challenge before it gets any event, and again when the URL changes';
COMMENT ON COLUMN kgwebhook.subscription.challenge IS 'webhook-id of the challenge that has not been answered yet; NULL: none';
COMMENT ON COLUMN kgwebhook.subscription.challenged_at IS 'when that was sent, or queued';
COMMENT ON COLUMN kgwebhook.subscription.verified_at IS 'when its receiver last answered one; NULL: never, or the URL has changed since';
COMMENT ON COLUMN kgwebhook.subscription.filter IS 'values that members of the payload must have for it to be sent: a value or a list of values each; NULL: any';
