/*
 * install/send_test.sql
 *		A synthetic delivery, sent at once.
 */

/*
 * The event of a test.  Its status may be a whole event's name, which says of which kind; a
 * status by itself is a payment intent's.  Where a table's type or its status check says which
 * statuses there are, another is refused: a receiver that answers to it proves nothing.
 *
 * The payload has the members of the table that makes such events, with what kg_event_catalog()
 * gives for examples; a payment intent's has those of the ready-made table.  A subscription that
 * asks for a shape gets that one, where there is such a table.
 */
CREATE FUNCTION kgwebhook.test_statuses(kind pg_catalog.text) RETURNS pg_catalog.text[]
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT CASE WHEN count(*) = 0 THEN '{pending,success,expired,cancelled,refunded}'::text[]
                WHEN bool_or(w.statuses IS NULL) THEN NULL
                ELSE (SELECT array_agg(u.s ORDER BY u.first)
                        FROM (SELECT s, min(n) AS first FROM unnest(string_to_array(string_agg(array_to_string(w.statuses, e'\x01'), e'\x01'), e'\x01'))
                                     WITH ORDINALITY AS a (s, n) GROUP BY s) u) END
      FROM (SELECT kgwebhook.known_statuses(k.relation, k.status_column) AS statuses FROM kgwebhook.watch k
             WHERE k.event = test_statuses.kind ORDER BY k.relation::oid) w
$$;
COMMENT ON FUNCTION kgwebhook.test_statuses(pg_catalog.text) IS
  'the statuses that a kind of event can have; NULL: any';

CREATE FUNCTION kgwebhook.test_member(watched kgwebhook.watch, source pg_catalog.text, type pg_catalog.oid,
    status pg_catalog.text, webhook_id pg_catalog.text, object_id pg_catalog.text,
    org_id pg_catalog.text, url pg_catalog.text) RETURNS pg_catalog.jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    schema jsonb := kgwebhook.value_schema(test_member.type);
BEGIN
    RETURN coalesce(CASE
        WHEN source = '$type' THEN to_jsonb(watched.event || '.' || status)
        WHEN source = '$event_id' THEN to_jsonb(webhook_id)
        WHEN source = '$occurred_at' THEN to_jsonb(to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
        WHEN source = '$previous_status' THEN 'null'
        WHEN source = '$sequence' THEN '1'
        WHEN source = '$org_id' OR source = watched.org_column THEN to_jsonb(org_id)
        WHEN source = watched.status_column THEN to_jsonb(status)
        WHEN source = watched.url_column THEN to_jsonb(url)
        WHEN source = watched.id_column AND schema = '{"type": "string"}' THEN to_jsonb(object_id)
        WHEN source = watched.id_column AND schema ? 'pattern' THEN '"1"'
        ELSE kgwebhook.schema_example(schema) END, 'null');
END
$$;
COMMENT ON FUNCTION kgwebhook.test_member(kgwebhook.watch, pg_catalog.text, pg_catalog.oid, pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.text) IS
  'what a member of a test''s payload has';

CREATE FUNCTION kgwebhook.test_event(status pg_catalog.text, webhook_id pg_catalog.text, org_id pg_catalog.text, url pg_catalog.text,
    shape pg_catalog.text,
    OUT kind pg_catalog.text, OUT event pg_catalog.text, OUT object_id pg_catalog.text, OUT payload pg_catalog.jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    kinds text[] := ARRAY(SELECT w.event FROM kgwebhook.watch w UNION SELECT 'payment_intent' ORDER BY 1);
    known text[];
    name text := test_event.status;
    watched kgwebhook.watch;
    named kgwebhook.shape;
BEGIN
    SELECT k, substr(test_event.status, length(k) + 2) INTO kind, name
      FROM unnest(kinds) k WHERE starts_with(test_event.status, k || '.') ORDER BY length(k) DESC LIMIT 1;
    IF kind IS NULL AND position('.' IN test_event.status) > 0 THEN
        RAISE EXCEPTION 'no watched table makes events "%"', test_event.status
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('The kinds are %s.', array_to_string(kinds, ', ')),
                  HINT = 'Give a kind, a dot and a status, as in payment_intent.success; kg_event_catalog() has the events.';
    END IF;
    kind := coalesce(kind, 'payment_intent');
    name := coalesce(name, test_event.status);
    known := kgwebhook.test_statuses(kind);
    IF name = '' OR NOT coalesce(name = ANY (known), true) THEN
        RAISE EXCEPTION '"%" is not a status of a %', name, kind
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = coalesce(format('The statuses are %s.', array_to_string(known, ', ')), 'A status is not empty.'),
                  HINT = format('Use one of them, or the name of another kind''s event: a kind (%s), a dot and its status.',
                                array_to_string(kinds, ', '));
    END IF;
    event := kind || '.' || name;
    SELECT w.* INTO watched
      FROM kgwebhook.watch w LEFT JOIN kgwebhook.shape h ON h.relation = w.relation AND h.shape = test_event.shape
     WHERE w.event = kind AND coalesce(name = ANY (kgwebhook.known_statuses(w.relation, w.status_column)), true)
     ORDER BY h.shape IS NULL, w.relation::oid LIMIT 1;
    SELECT * INTO named FROM kgwebhook.shape h WHERE h.relation = watched.relation AND h.shape = test_event.shape;
    IF kind = 'payment_intent' AND named.shape IS NULL THEN
        object_id := 'pi_test_' || substr(webhook_id, 5);
        payload := jsonb_build_object('payment_intent_id', object_id, 'status', name, 'payment_chain_id', '1', 'symbol', 'USDT',
            'fiat_amount', '300.0', 'fiat_currency', 'USD', 'crypto_amount', '300.0', 'received_crypto_amount', '300.0',
            'payment_tx_hash', NULL, 'order_data', '{"test": true}'::jsonb, 'callback_url', url);
        RETURN;
    END IF;
    object_id := CASE kind WHEN 'payment_intent' THEN 'pi' ELSE kind END || '_test_' || substr(webhook_id, 5);
    IF named.shape IS NOT NULL THEN
        watched.payload := named.payload;
        watched.column_numbers := named.column_numbers;
        watched.numbered_for := named.numbered_for;
    END IF;
    SELECT coalesce(jsonb_object_agg(p.key, kgwebhook.test_member(watched, p.value, a.atttypid, name, webhook_id, object_id, org_id, url)), '{}')
      INTO payload
      FROM jsonb_each_text(watched.payload) p
      LEFT JOIN pg_attribute a ON a.attrelid = watched.relation AND NOT a.attisdropped
       AND CASE WHEN watched.numbered_for = watched.relation::oid THEN a.attnum = (watched.column_numbers ->> p.value)::int2
                ELSE a.attname = p.value END
     WHERE a.attnum > 0 OR starts_with(p.value, '$');
END
$$;
COMMENT ON FUNCTION kgwebhook.test_event(pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.text) IS
  'the event that kg_send_test() sends: of a status, or of an event''s whole name';

CREATE FUNCTION kgwebhook.kg_send_test(
    url pg_catalog.text,
    org_id pg_catalog.text,
    status pg_catalog.text) RETURNS SETOF kgwebhook.delivery_log
    LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_send_test';
COMMENT ON FUNCTION kgwebhook.kg_send_test(pg_catalog.text, pg_catalog.text, pg_catalog.text) IS
  'does what kg_send_test() is for, with the owner''s rights';

CREATE FUNCTION @extschema@.kg_send_test(
    url pg_catalog.text DEFAULT NULL,
    org_id pg_catalog.text DEFAULT 'default',
    status pg_catalog.text DEFAULT 'success') RETURNS SETOF kgwebhook.delivery_log
    LANGUAGE c VOLATILE
    AS 'MODULE_PATHNAME', 'kg_for_caller';
COMMENT ON FUNCTION @extschema@.kg_send_test(pg_catalog.text, pg_catalog.text, pg_catalog.text) IS
  'sends one synthetic, signed callback now, to a URL or to all active subscriptions; returns its rows of the log';
