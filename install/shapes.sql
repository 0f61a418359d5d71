/*
 * install/shapes.sql
 *		Named shapes: other payloads of a watched table, for the subscriptions that ask for them.
 */

/*
 * A receiver that was written for a payload breaks when the payload changes.  So a table
 * has its own payload, which is what kg_watch() says, and others under names; a subscription
 * says which it gets, and a change of one concerns only those who get it.
 *
 * Changing a table's own payload does what it says for everyone who has not asked for another.
 */
CREATE TABLE kgwebhook.shape (
    relation       pg_catalog.regclass NOT NULL,
    shape          pg_catalog.text COLLATE pg_catalog."C" NOT NULL,
    payload        pg_catalog.jsonb NOT NULL,
    column_numbers pg_catalog.jsonb NOT NULL,
    numbered_for   pg_catalog.oid NOT NULL,
    CONSTRAINT shape_pkey PRIMARY KEY (relation, shape)
);
COMMENT ON TABLE kgwebhook.shape IS
  'named payloads of watched tables, for the subscriptions that ask for them; written by kg_watch_shape()';
COMMENT ON COLUMN kgwebhook.shape.relation IS 'the watched table';
COMMENT ON COLUMN kgwebhook.shape.shape IS 'the name by which a subscription asks for it';
COMMENT ON COLUMN kgwebhook.shape.payload IS 'member to column, or to what is computed';
COMMENT ON COLUMN kgwebhook.shape.column_numbers IS 'the columns'' numbers, by which renamed columns are still found';
COMMENT ON COLUMN kgwebhook.shape.numbered_for IS 'the table the numbers belong to; after a restore it is another one, and columns are found by name';

/*
 * The row is deleted before subscriptions are looked for, and kg_subscribe() locks it: of
 * two sessions at once, one asking for the shape and one removing it, one is refused.
 */
CREATE FUNCTION kgwebhook.write_shape(relation pg_catalog.oid, shape pg_catalog.text, payload pg_catalog.jsonb) RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    users text;
BEGIN
    IF payload IS NOT NULL THEN
        INSERT INTO kgwebhook.shape AS s (relation, shape, payload)
        VALUES (write_shape.relation, write_shape.shape, write_shape.payload)
        ON CONFLICT ON CONSTRAINT shape_pkey DO UPDATE
            SET payload = excluded.payload, column_numbers = excluded.column_numbers, numbered_for = excluded.numbered_for;
        FOR users IN SELECT kgwebhook.filter_notes(write_shape.relation, write_shape.shape) LOOP
            RAISE WARNING '%', substr(users, 10);
        END LOOP;
        RETURN;
    END IF;
    DELETE FROM kgwebhook.shape s WHERE s.relation = write_shape.relation AND s.shape = write_shape.shape;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'table "%" has no shape "%"', write_shape.relation::regclass, write_shape.shape
            USING ERRCODE = 'undefined_object', HINT = 'SELECT relation, shape FROM kgwebhook.shape shows those that there are.';
    END IF;
    SELECT string_agg(u.subscription_id::text, ', ' ORDER BY u.subscription_id) INTO users
      FROM (SELECT s.subscription_id FROM kgwebhook.subscription s WHERE s.shape = write_shape.shape
             ORDER BY s.subscription_id LIMIT 20) u;
    IF users IS NOT NULL THEN
        RAISE EXCEPTION 'shape "%" is in use', write_shape.shape
            USING ERRCODE = 'dependent_objects_still_exist',
                  DETAIL = format('Subscriptions ask for it: %s.', users),
                  HINT = 'Give them another by kg_update_subscription(..., shape => ...); an empty one is each table''s own payload.';
    END IF;
END
$$;
COMMENT ON FUNCTION kgwebhook.write_shape(pg_catalog.oid, pg_catalog.text, pg_catalog.jsonb) IS
  'does what kg_watch_shape() is for, once it is known that the caller may';

CREATE FUNCTION @extschema@.kg_watch_shape(
    relation pg_catalog.regclass,
    shape pg_catalog.text,
    payload pg_catalog.jsonb) RETURNS pg_catalog.void
    LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'kg_watch_shape';
COMMENT ON FUNCTION @extschema@.kg_watch_shape(pg_catalog.regclass, pg_catalog.text, pg_catalog.jsonb) IS
  'gives a watched table a payload under a name, for the subscriptions that ask for it; NULL removes one that none asks for';

/* For kg_subscribe() and kg_update_subscription(). */
CREATE FUNCTION kgwebhook.check_shape(shape pg_catalog.text) RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    PERFORM FROM kgwebhook.shape s WHERE s.shape = check_shape.shape FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no shape "%"', check_shape.shape
            USING ERRCODE = 'undefined_object',
                  DETAIL = coalesce('The shapes are: ' || (SELECT string_agg(DISTINCT s.shape, ', ' ORDER BY s.shape) FROM kgwebhook.shape s) || '.',
                                    'No watched table has any.'),
                  HINT = 'kg_event_catalog() shows them; kg_watch_shape() makes one.';
    END IF;
END
$$;
COMMENT ON FUNCTION kgwebhook.check_shape(pg_catalog.text) IS
  'an error unless some watched table has a shape of that name; locks it against being removed';
