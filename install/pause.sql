/*
 * install/pause.sql
 *		Pausing a destination, or everything.
 */

CREATE TABLE kgwebhook.paused (
    destination  pg_catalog.text COLLATE pg_catalog."C" PRIMARY KEY,
    paused_at    pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE kgwebhook.paused IS 'paused destinations; written by kg_pause() and kg_resume()';
COMMENT ON COLUMN kgwebhook.paused.destination IS 'scheme://host:port, or * for all of them';
COMMENT ON COLUMN kgwebhook.paused.paused_at IS 'when it was paused';

CREATE FUNCTION kgwebhook.normalized_destination(destination pg_catalog.text) RETURNS pg_catalog.text
    LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    known text := kgwebhook.destination_of(lower(destination) || '/');
BEGIN
    IF known <> '' AND known = lower(destination) THEN
        RETURN known;
    END IF;
    RAISE EXCEPTION '"%" is not a destination', destination
        USING ERRCODE = 'invalid_parameter_value',
              DETAIL = 'A destination is scheme://host:port, with its port.',
              HINT = CASE WHEN known <> '' THEN format('The destination of such a URL is %s.', known)
                     ELSE 'SELECT destination FROM kgwebhook.destinations shows the existing ones.' END;
END
$$;
COMMENT ON FUNCTION kgwebhook.normalized_destination(pg_catalog.text) IS
  'a destination in lower case; an error if it is not one';

CREATE FUNCTION @extschema@.kg_pause(destination pg_catalog.text DEFAULT NULL) RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    name text := kgwebhook.normalized_destination(kg_pause.destination);
BEGIN
    INSERT INTO kgwebhook.paused (destination) VALUES (coalesce(name, '*'))
        ON CONFLICT DO NOTHING;
    IF name IS NOT NULL
       AND NOT EXISTS (SELECT FROM kgwebhook.queue q WHERE q.destination = name)
       AND NOT EXISTS (SELECT FROM kgwebhook.subscription s WHERE s.destination = name)
       AND NOT EXISTS (SELECT FROM kgwebhook.destination_notices() n WHERE n.destination = name) THEN
        RAISE WARNING 'destination "%" is not known', name
            USING DETAIL = 'Nothing waits for it, no subscription has it, and nothing was sent there since the server started.  It is paused anyway.',
                  HINT = 'SELECT destination FROM kgwebhook.destinations shows the known ones; kg_resume() undoes a pause.';
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@.kg_pause(pg_catalog.text) IS
  'stops new attempts to a destination, or to all of them; events are still queued';

CREATE FUNCTION @extschema@.kg_resume(destination pg_catalog.text DEFAULT NULL) RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    DELETE FROM kgwebhook.paused p
        WHERE kg_resume.destination IS NULL OR p.destination = lower(kg_resume.destination);
    IF NOT FOUND THEN
        RAISE NOTICE 'nothing was resumed'
            USING DETAIL = CASE WHEN kg_resume.destination IS NULL THEN 'Nothing is paused.'
                           ELSE format('"%s" is not paused by itself.', kg_resume.destination) END,
                  HINT = 'SELECT destination FROM kgwebhook.paused shows what is paused; * stands for everything.';
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@.kg_resume(pg_catalog.text) IS
  'undoes kg_pause(), for a destination or for everything';
