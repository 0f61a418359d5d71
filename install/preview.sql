/*
 * install/preview.sql
 *		The body that would be sent for a row as it is.
 */

CREATE FUNCTION kgwebhook.preview_events(relation pg_catalog.oid, id pg_catalog.text, org_id pg_catalog.text, number pg_catalog.int8, shape pg_catalog.text)
    RETURNS TABLE (org_id pg_catalog.text, event pg_catalog.text, payload pg_catalog.jsonb, problem pg_catalog.text)
    LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_preview_events';
COMMENT ON FUNCTION kgwebhook.preview_events(pg_catalog.oid, pg_catalog.text, pg_catalog.text, pg_catalog.int8, pg_catalog.text) IS
  'the events that the rows of an object would make if they were new, in one of the table''s shapes';

/*
 * A body shows its row.  So who sees one may read the table, without policies that hide rows, or the
 * queue, where all payloads are.
 */
CREATE FUNCTION kgwebhook.check_preview(relation pg_catalog.regclass) RETURNS pg_catalog.void
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    who oid := kgwebhook.caller();
BEGIN
    IF has_table_privilege(who, 'kgwebhook.queue', 'SELECT')
       OR has_table_privilege(who, check_preview.relation, 'SELECT') AND EXISTS (
           SELECT FROM pg_class c, pg_roles r
            WHERE c.oid = check_preview.relation AND r.oid = who
              AND (NOT c.relrowsecurity OR r.rolsuper OR r.rolbypassrls
                   OR pg_has_role(who, c.relowner, 'USAGE') AND NOT c.relforcerowsecurity)) THEN
        RETURN;
    END IF;
    RAISE EXCEPTION 'permission denied to preview rows of table "%"', check_preview.relation
        USING ERRCODE = 'insufficient_privilege',
              DETAIL = 'Who sees a body must be able to read all rows of its table, or kgwebhook.queue.',
              HINT = format('GRANT SELECT ON %s, or on kgwebhook.queue, to the role.', check_preview.relation);
END
$$;
COMMENT ON FUNCTION kgwebhook.check_preview(pg_catalog.regclass) IS
  'an error unless the caller may see bodies of the table''s rows';

CREATE FUNCTION kgwebhook.preview_event(relation pg_catalog.regclass, id pg_catalog.text, org_id pg_catalog.text, shape pg_catalog.text,
    OUT organization pg_catalog.text, OUT payload pg_catalog.jsonb)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    found record;
BEGIN
    SELECT count(*) AS rows, string_agg(DISTINCT e.org_id, ', ') AS organizations, min(e.org_id) AS org_id, min(e.event) AS event,
           min(e.problem) AS problem, jsonb_agg(e.payload) -> 0 AS payload
      INTO found
      FROM kgwebhook.preview_events(preview_event.relation, preview_event.id, preview_event.org_id,
                                    (SELECT s.last_value + s.is_called::int FROM kgwebhook.delivery_id_seq s),
                                    preview_event.shape) e;
    IF found.rows = 0 THEN
        RAISE EXCEPTION 'table "%" has no row "%"', preview_event.relation, preview_event.id
            USING ERRCODE = 'no_data_found',
                  DETAIL = (SELECT CASE WHEN preview_event.org_id IS NULL THEN format('Rows are looked up by column "%s".', w.id_column)
                                        ELSE format('Rows of organization "%s" are looked up by column "%s".', preview_event.org_id, w.id_column) END
                              FROM kgwebhook.watch w WHERE w.relation = preview_event.relation),
                  HINT = 'Give the value that the column has, of a row that is committed or written by this transaction.';
    ELSIF found.rows > 1 THEN
        RAISE EXCEPTION 'several rows of table "%" are called "%"', preview_event.relation, preview_event.id
            USING ERRCODE = 'cardinality_violation',
                  DETAIL = format('They are of organizations: %s.', found.organizations),
                  HINT = 'Choose one by org_id; rows of one organization need different identifiers, or their events are taken for one object''s.';
    ELSIF found.event IS NULL THEN
        RAISE EXCEPTION 'row "%" of table "%" makes no event', preview_event.id, preview_event.relation
            USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = 'Its status is NULL.', HINT = 'Give it a status.';
    ELSIF found.problem IS NOT NULL THEN
        RAISE EXCEPTION 'row "%" of table "%" has no body', preview_event.id, preview_event.relation
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = format('A delivery of it would be invalid: %s.', found.problem),
                  HINT = 'Correct the row, or call kg_watch() again with columns that can be sent.';
    END IF;
    organization := found.org_id;
    payload := found.payload;
END
$$;
COMMENT ON FUNCTION kgwebhook.preview_event(pg_catalog.regclass, pg_catalog.text, pg_catalog.text, pg_catalog.text) IS
  'organization and payload of the event that a row would make, or why it makes none';

CREATE FUNCTION kgwebhook.kg_preview(relation pg_catalog.regclass, id pg_catalog.text, org_id pg_catalog.text, shape pg_catalog.text) RETURNS pg_catalog.text
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    event record;
    body text;
    reason text;
    remedy text;
BEGIN
    IF kg_preview.relation IS NULL OR kg_preview.id IS NULL THEN
        RAISE EXCEPTION '% must not be null', CASE WHEN kg_preview.relation IS NULL THEN 'relation' ELSE 'id' END
            USING ERRCODE = 'null_value_not_allowed', HINT = 'Give a watched table and the identifier of a row.';
    END IF;
    IF NOT EXISTS (SELECT FROM kgwebhook.watch w WHERE w.relation = kg_preview.relation) THEN
        RAISE EXCEPTION 'table "%" is not watched', kg_preview.relation
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'SELECT relation FROM kgwebhook.watch shows those that are.';
    END IF;
    PERFORM kgwebhook.check_preview(kg_preview.relation);
    IF kg_preview.shape <> '' AND NOT EXISTS (SELECT FROM kgwebhook.shape h WHERE h.relation = kg_preview.relation AND h.shape = kg_preview.shape) THEN
        RAISE EXCEPTION 'table "%" has no shape "%"', kg_preview.relation, kg_preview.shape
            USING ERRCODE = 'undefined_object', HINT = 'SELECT relation, shape FROM kgwebhook.shape shows those that there are.';
    END IF;
    event := kgwebhook.preview_event(kg_preview.relation, kg_preview.id, coalesce(kgwebhook.scope(), kg_preview.org_id),
                                    nullif(kg_preview.shape, ''));
    BEGIN
        body := (kgwebhook.signed_bodies(event.organization, ARRAY[event.payload], 0))[1];
    EXCEPTION WHEN object_not_in_prerequisite_state THEN
        GET STACKED DIAGNOSTICS reason = MESSAGE_TEXT, remedy = PG_EXCEPTION_HINT;
    END;
    IF reason IS NOT NULL THEN
        RAISE NOTICE '%', reason USING DETAIL = 'The body is shown without its signature; deliveries wait.', HINT = remedy;
    ELSIF body IS NOT NULL THEN
        RETURN body;
    END IF;
    /* without a secret; or an error that says what cannot be sent */
    RETURN kgwebhook.canonical_json((event.payload - 'signature')
               || jsonb_build_object('timestamp', floor(extract(epoch FROM clock_timestamp()))::int8));
END
$$;
COMMENT ON FUNCTION kgwebhook.kg_preview(pg_catalog.regclass, pg_catalog.text, pg_catalog.text, pg_catalog.text) IS
  'does what kg_preview() is for, with the owner''s rights';

CREATE FUNCTION @extschema@.kg_preview(relation pg_catalog.regclass, id pg_catalog.text, org_id pg_catalog.text DEFAULT NULL,
    shape pg_catalog.text DEFAULT NULL) RETURNS pg_catalog.text
    LANGUAGE c VOLATILE
    AS 'MODULE_PATHNAME', 'kg_for_caller';
COMMENT ON FUNCTION @extschema@.kg_preview(pg_catalog.regclass, pg_catalog.text, pg_catalog.text, pg_catalog.text) IS
  'the body that would be sent now for a row of a watched table, signed; nothing is sent';
