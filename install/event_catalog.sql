/*
 * install/event_catalog.sql
 *		What the events of the watched tables look like, for those who receive them.
 */

/* As capture/value/column_value.c writes values: what a double could not hold exactly is text. */
CREATE FUNCTION kgwebhook.value_schema(type pg_catalog.oid) RETURNS pg_catalog.jsonb
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    t pg_type;
BEGIN
    SELECT * INTO t FROM pg_type p WHERE p.oid = value_schema.type;
    RETURN CASE
        WHEN t.typtype = 'd' THEN kgwebhook.value_schema(t.typbasetype)
        WHEN t.typcategory = 'A' THEN jsonb_build_object('type', 'array', 'items', kgwebhook.value_schema(t.typelem))
        WHEN t.typtype = 'e' THEN jsonb_build_object('type', 'string', 'enum',
            (SELECT jsonb_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid))
        WHEN t.typtype = 'c' THEN '{"type": "object"}'
        WHEN t.oid = 'bool'::regtype THEN '{"type": "boolean"}'
        WHEN t.oid IN ('int2'::regtype, 'int4'::regtype) THEN '{"type": "integer"}'
        WHEN t.oid IN ('float4'::regtype, 'float8'::regtype) THEN '{"type": "number"}'
        WHEN t.oid IN ('int8'::regtype, 'numeric'::regtype, 'money'::regtype) THEN '{"type": "string", "pattern": "^-?[0-9]+([.][0-9]+)?$"}'
        WHEN t.oid = 'timestamptz'::regtype THEN '{"type": "string", "format": "date-time"}'
        WHEN t.oid = 'date'::regtype THEN '{"type": "string", "format": "date"}'
        WHEN t.oid = 'uuid'::regtype THEN '{"type": "string", "format": "uuid"}'
        WHEN t.oid IN ('json'::regtype, 'jsonb'::regtype) THEN '{}'
        ELSE '{"type": "string"}' END::jsonb;
END
$$;
COMMENT ON FUNCTION kgwebhook.value_schema(pg_catalog.oid) IS
  'the JSON Schema of what a column of this type is sent as';

CREATE FUNCTION kgwebhook.schema_example(schema pg_catalog.jsonb) RETURNS pg_catalog.jsonb
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    RETURN CASE
        WHEN schema ? 'enum' THEN schema -> 'enum' -> 0
        WHEN schema = '{}' THEN '{"any": "JSON"}'
        WHEN schema ->> 'format' = 'date-time' THEN '"2026-11-23T08:00:00.000000Z"'
        WHEN schema ->> 'format' = 'date' THEN '"2026-11-23"'
        WHEN schema ->> 'format' = 'uuid' THEN '"8d1f6f3c-5d0b-4c40-9a53-1f0d4a2c7e10"'
        WHEN schema ? 'pattern' THEN '"300.0"'
        WHEN schema ->> 'type' = 'array' THEN jsonb_build_array(kgwebhook.schema_example(schema -> 'items'))
        WHEN schema ->> 'type' = 'object' THEN '{}'
        WHEN schema ->> 'type' = 'boolean' THEN 'true'
        WHEN schema ->> 'type' = 'integer' THEN '1'
        WHEN schema ->> 'type' = 'number' THEN '1.5'
        ELSE '"text"' END::jsonb;
END
$$;
COMMENT ON FUNCTION kgwebhook.schema_example(pg_catalog.jsonb) IS
  'a value that a schema of value_schema() accepts';

/* The statuses that a watched table can have, where that is known: by an enum, or by a status check. */
CREATE FUNCTION kgwebhook.known_statuses(relation pg_catalog.regclass, status_column pg_catalog.name) RETURNS pg_catalog.text[]
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT coalesce(
        (SELECT array_agg(e.enumlabel::text ORDER BY e.enumsortorder)
           FROM pg_attribute a JOIN pg_enum e ON e.enumtypid = a.atttypid
          WHERE a.attrelid = relation AND a.attname = status_column),
        (SELECT CASE convert_from(substring(t.tgargs FOR position('\x00'::bytea IN t.tgargs) - 1), 'UTF8')
                     WHEN 'payment_intent' THEN '{pending,success,expired,cancelled,refunded}'::text[]
                     WHEN 'transfer' THEN '{pending,processing,success,failed,cancelled}'::text[] END
           FROM pg_trigger t
          WHERE t.tgrelid = relation AND t.tgfoid = 'kgwebhook.check_transition'::regproc LIMIT 1))
$$;
COMMENT ON FUNCTION kgwebhook.known_statuses(pg_catalog.regclass, pg_catalog.name) IS
  'the statuses of a watched table, if its type or its status check says which there are';

/* The members of one payload of a watched table, and its JSON Schema.  Columns as kg_watch() knew them, by what they are called now. */
CREATE FUNCTION kgwebhook.describe_payload(watched kgwebhook.watch, payload pg_catalog.jsonb,
    column_numbers pg_catalog.jsonb, numbered_for pg_catalog.oid, with_source pg_catalog.bool) RETURNS pg_catalog.jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    statuses text[] := kgwebhook.known_statuses(watched.relation, watched.status_column);
    member record;
    members jsonb := '[]';
    properties jsonb := '{"timestamp": {"type": "integer"}, "signature": {"type": "string", "pattern": "^[0-9a-f]{64}$"}}';
    schema jsonb;
BEGIN
    FOR member IN
        SELECT p.key AS name, p.value AS source, a.attnotnull AS filled, a.atttypid AS type
          FROM jsonb_each_text(payload) p
          LEFT JOIN pg_attribute a ON a.attrelid = watched.relation AND a.attnum > 0 AND NOT a.attisdropped
           AND CASE WHEN numbered_for = watched.relation::oid AND column_numbers ? p.value
                    THEN a.attnum = (column_numbers ->> p.value)::int2 ELSE a.attname = p.value END
         ORDER BY p.key
    LOOP
        schema := CASE
            WHEN member.source = watched.status_column AND statuses IS NOT NULL
                THEN jsonb_build_object('type', 'string', 'enum', to_jsonb(statuses))
            WHEN member.type IS NOT NULL THEN kgwebhook.value_schema(member.type)
            WHEN member.source = '$occurred_at' THEN '{"type": "string", "format": "date-time"}'
            WHEN member.source = '$sequence' THEN '{"type": "integer"}'
            ELSE '{"type": "string"}' END;
        members := members || jsonb_build_array(
            jsonb_build_object('member', member.name, 'type', coalesce(schema ->> 'type', 'any'),
                               'nullable', NOT coalesce(member.filled, member.source <> '$previous_status'),
                               'example', CASE member.source WHEN '$type' THEN to_jsonb(watched.event || '.' || coalesce(statuses[1], 'new'))
                                                             WHEN '$event_id' THEN '"msg_0123456789abcdef0123456789abcdef"'
                                                             ELSE kgwebhook.schema_example(schema) END)
            || CASE WHEN with_source THEN jsonb_build_object('source', member.source) ELSE '{}' END);
        IF schema ? 'type' AND NOT coalesce(member.filled, member.source <> '$previous_status') THEN
            schema := CASE WHEN schema ? 'enum' THEN jsonb_build_object('enum', (schema -> 'enum') || 'null'::jsonb)
                           ELSE schema || jsonb_build_object('type', jsonb_build_array(schema -> 'type', 'null')) END;
        END IF;
        properties := properties || jsonb_build_object(member.name, schema);
    END LOOP;
    RETURN jsonb_build_object(
        'members', members,
        'schema', jsonb_build_object('$schema', 'https://json-schema.org/draft/2020-12/schema', 'title', watched.event,
                                     'type', 'object', 'properties', properties,
                                     'required', (SELECT jsonb_agg(k ORDER BY k) FROM jsonb_object_keys(properties) k)));
END
$$;
COMMENT ON FUNCTION kgwebhook.describe_payload(kgwebhook.watch, pg_catalog.jsonb, pg_catalog.jsonb, pg_catalog.oid, pg_catalog.bool) IS
  'the members of a payload of a watched table, with types and examples, and its JSON Schema';

CREATE FUNCTION kgwebhook.kg_event_catalog() RETURNS pg_catalog.jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    own text := kgwebhook.scope();
    statuses text[];
    catalog jsonb := '[]';
    watched kgwebhook.watch;
BEGIN
    FOR watched IN SELECT w.* FROM kgwebhook.watch w ORDER BY w.event, w.relation::oid LOOP
        statuses := kgwebhook.known_statuses(watched.relation, watched.status_column);
        catalog := catalog || jsonb_build_array(
            jsonb_build_object(
                'kind', watched.event,
                'events', (SELECT coalesce(jsonb_agg(watched.event || '.' || s ORDER BY n), jsonb_build_array(watched.event || '.*'))
                             FROM unnest(statuses) WITH ORDINALITY AS u (s, n)))
            || kgwebhook.describe_payload(watched, watched.payload, watched.column_numbers, watched.numbered_for, own IS NULL)
            || coalesce((SELECT jsonb_build_object('shapes', jsonb_object_agg(h.shape,
                                kgwebhook.describe_payload(watched, h.payload, h.column_numbers, h.numbered_for, own IS NULL)))
                           FROM kgwebhook.shape h WHERE h.relation = watched.relation HAVING count(*) > 0), '{}')
            || CASE WHEN own IS NULL THEN jsonb_build_object('table', watched.relation::text) ELSE '{}' END);
    END LOOP;
    RETURN catalog;
END
$$;
COMMENT ON FUNCTION kgwebhook.kg_event_catalog() IS
  'does what kg_event_catalog() is for, with the owner''s rights';

CREATE FUNCTION @extschema@.kg_event_catalog() RETURNS pg_catalog.jsonb
    LANGUAGE c STABLE
    AS 'MODULE_PATHNAME', 'kg_for_caller';
COMMENT ON FUNCTION @extschema@.kg_event_catalog() IS
  'the events of the watched tables: names, members, examples, and a JSON Schema for each kind';
