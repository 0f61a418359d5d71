/*
 * install/amend.sql
 *		Correcting the payload of a dead letter.
 */

/* The same as kg_canonical_json(), in a schema that is ours even if the extension's is changed. */
CREATE FUNCTION kgwebhook.canonical_json(payload pg_catalog.jsonb) RETURNS pg_catalog.text
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'kg_canonical_json';
COMMENT ON FUNCTION kgwebhook.canonical_json(pg_catalog.jsonb) IS
  'RFC 8785 canonical form; an error for what it cannot represent exactly';

CREATE FUNCTION kgwebhook.kg_amend(delivery_id pg_catalog.int8, payload pg_catalog.jsonb) RETURNS pg_catalog.int8
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    corrected jsonb;
    caller name := pg_get_userbyid(kgwebhook.caller());
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
    /* refuse what no receiver could verify */
    PERFORM kgwebhook.canonical_json(corrected);
    LOCK TABLE kgwebhook.dead_letter IN SHARE UPDATE EXCLUSIVE MODE;
    SELECT * INTO dead FROM kgwebhook.dead_letter d WHERE d.delivery_id = kg_amend.delivery_id FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'delivery % is not a dead letter', kg_amend.delivery_id
            USING ERRCODE = 'no_data_found',
                  DETAIL = coalesce((SELECT format('It is %s.', d.state) FROM kgwebhook.all_deliveries d
                                      WHERE d.delivery_id = kg_amend.delivery_id LIMIT 1), 'No such delivery is known.'),
                  HINT = 'Only a delivery that was given up can be amended; SELECT delivery_id, payload, reason FROM kgwebhook.dead_letter shows it.';
    END IF;
    IF dead.forgotten_sha256 IS NOT NULL THEN
        RAISE EXCEPTION 'delivery % cannot be sent again', kg_amend.delivery_id
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'kg_forget() has removed its payload.';
    END IF;
    UPDATE kgwebhook.dead_letter d SET payload = corrected, problem = NULL WHERE d.delivery_id = kg_amend.delivery_id;
    INSERT INTO kgwebhook.amendment (delivery_id, amended_by, org_id, object_id, payload, former_payload, former_reason)
        VALUES (dead.delivery_id, caller, dead.org_id, dead.object_id, corrected, dead.payload, dead.reason);
    PERFORM FROM kgwebhook.requeue(ARRAY[kg_amend.delivery_id], ARRAY[now()]);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'delivery % cannot be sent again', kg_amend.delivery_id
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = format('Its subscription %s is disabled, or was removed.', dead.subscription_id),
                  HINT = 'kg_resume_subscription() enables one that is disabled; one that was removed cannot be restored.';
    END IF;
    RAISE LOG 'kgwebhook: "%" has amended the payload of delivery %', caller, kg_amend.delivery_id;
    RETURN kg_amend.delivery_id;
END
$$;
COMMENT ON FUNCTION kgwebhook.kg_amend(pg_catalog.int8, pg_catalog.jsonb) IS
  'does what kg_amend() is for, with the owner''s rights';

CREATE FUNCTION @extschema@.kg_amend(delivery_id pg_catalog.int8, payload pg_catalog.jsonb) RETURNS pg_catalog.int8
    LANGUAGE c VOLATILE
    AS 'MODULE_PATHNAME', 'kg_for_caller';
COMMENT ON FUNCTION @extschema@.kg_amend(pg_catalog.int8, pg_catalog.jsonb) IS
  'corrects the payload of a dead letter and queues it; kgwebhook.amendment records who did so';
