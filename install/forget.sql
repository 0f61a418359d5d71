/*
 * install/forget.sql
 *		Removing what an object's payloads said.
 */

/*
 * What was sent stays provable by its hash.  A delivery that still waits becomes a dead
 * letter, and none can be sent again.  One that is on the network at that moment is logged afterwards,
 * when its worker finds it gone from the queue, and blanked as well (src/settle/forgotten.c).
 */
CREATE FUNCTION @extschema@.kg_forget(
    org_id pg_catalog.text,
    object_id pg_catalog.text,
    kind pg_catalog.text DEFAULT NULL) RETURNS pg_catalog.int8
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    ids int8[];
    part int8;
    payloads int8;
BEGIN
    IF org_id IS NULL THEN
        RAISE EXCEPTION 'org_id must not be null'
            USING ERRCODE = 'null_value_not_allowed',
                  HINT = 'Give the organization whose object it is.';
    END IF;
    LOCK TABLE kgwebhook.dead_letter IN SHARE UPDATE EXCLUSIVE MODE;
    ids := kgwebhook.deliveries_of(object_id, org_id, kind);

    WITH gone AS (
        DELETE FROM kgwebhook.queue q WHERE q.delivery_id = ANY (ids) RETURNING q.*)
    INSERT INTO kgwebhook.dead_letter (delivery_id, webhook_id, org_id, event, kind, object_id, url, destination, payload,
                                       attempts, next_attempt_at, enqueued_at, xid, attempts_before, reason,
                                       subscription_id, forgotten_sha256)
    SELECT g.delivery_id, g.webhook_id, g.org_id, g.event, g.kind, g.object_id, g.url, g.destination, '{}',
           g.attempts, g.next_attempt_at, g.enqueued_at, g.xid, g.attempts_before, 'forgotten',
           g.subscription_id, encode(sha256(convert_to(g.payload::text, 'UTF8')), 'hex')
      FROM gone g
        ON CONFLICT ON CONSTRAINT dead_letter_pkey DO NOTHING;
    GET DIAGNOSTICS payloads = ROW_COUNT;

    /* what another node has not released yet never went anywhere */
    DELETE FROM kgwebhook.held h
     WHERE h.org_id = kg_forget.org_id AND h.object_id = kg_forget.object_id AND (kg_forget.kind IS NULL OR h.kind = kg_forget.kind);
    GET DIAGNOSTICS part = ROW_COUNT;
    payloads := payloads + part;

    UPDATE kgwebhook.dead_letter d
       SET payload = '{}', problem = NULL, forgotten_sha256 = encode(sha256(convert_to(d.payload::text, 'UTF8')), 'hex')
     WHERE d.delivery_id = ANY (ids) AND d.forgotten_sha256 IS NULL;
    GET DIAGNOSTICS part = ROW_COUNT;
    payloads := payloads + part;

    UPDATE kgwebhook.delivery_log l
       SET request_body = NULL, response_body = NULL,
           forgotten_sha256 = coalesce(encode(sha256(convert_to(l.request_body, 'UTF8')), 'hex'), l.forgotten_sha256)
     WHERE l.delivery_id = ANY (ids) AND (l.request_body IS NOT NULL OR l.response_body IS NOT NULL);
    GET DIAGNOSTICS part = ROW_COUNT;
    payloads := payloads + part;

    UPDATE kgwebhook.amendment a
       SET payload = '{}', former_payload = '{}',
           forgotten_sha256 = ARRAY[encode(sha256(convert_to(a.payload::text, 'UTF8')), 'hex'),
                                    encode(sha256(convert_to(a.former_payload::text, 'UTF8')), 'hex')]
     WHERE a.delivery_id = ANY (ids) AND a.forgotten_sha256 IS NULL;
    GET DIAGNOSTICS part = ROW_COUNT;
    RETURN payloads + part;
END
$$;
COMMENT ON FUNCTION @extschema@.kg_forget(pg_catalog.text, pg_catalog.text, pg_catalog.text) IS
  'removes the payloads of an object, and what was answered to them; keeps their hashes; returns how many rows it changed';
