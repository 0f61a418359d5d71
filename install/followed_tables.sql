/*
 * install/followed_tables.sql
 *		What a table becomes that its source writes, and nobody else.
 */

/*
 * Have a ready-made table checked before these changes only.  A BEFORE trigger for
 * INSERT, which an apply worker does not even fire, makes its COPY insert row by row.
 */
CREATE FUNCTION kgwebhook.check_before(relation pg_catalog.regclass, changes pg_catalog.text) RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
    AS $$
DECLARE
    enabled "char";
    definition text;
BEGIN
    SELECT t.tgenabled, pg_get_triggerdef(t.oid) INTO enabled, definition FROM pg_trigger t
     WHERE t.tgrelid = relation AND t.tgname = 'kgwebhook_check' AND t.tgfoid = 'kgwebhook.check_transition()'::regprocedure
       AND t.tgenabled IN ('O', 'D');
    IF NOT FOUND THEN
        RETURN;
    END IF;
    EXECUTE format('DROP TRIGGER kgwebhook_check ON %s', relation);
    EXECUTE regexp_replace(definition, ' BEFORE (INSERT OR )?UPDATE ON ', format(' BEFORE %s ON ', changes));
    EXECUTE format('ALTER TRIGGER kgwebhook_check ON %s DEPENDS ON EXTENSION kgwebhook', relation);
    EXECUTE format('COMMENT ON TRIGGER kgwebhook_check ON %s IS ''of kgwebhook; see kg_watch()''', relation);
    IF enabled = 'D' THEN
        EXECUTE format('ALTER TABLE %s DISABLE TRIGGER kgwebhook_check', relation);
    END IF;
END
$$;
COMMENT ON FUNCTION kgwebhook.check_before(pg_catalog.regclass, pg_catalog.text) IS
  'says which changes of a ready-made table are checked';

/*
 * Turn the tables of a publication into followed ones, or back: source NULL.  What
 * refuses an INSERT fires after it, for the same reason: the first copy is a COPY.
 */
CREATE FUNCTION kgwebhook.mark_followed(relation pg_catalog.regclass, source pg_catalog.text, node pg_catalog.text) RETURNS pg_catalog.void
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
    AS $$
DECLARE
    version name;
    trigger text;
    firing text;
BEGIN
    /* of an outbox, that tells only when its events were made */
    SELECT a.attname INTO version FROM pg_attribute a
     WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
       AND a.attname = CASE WHEN EXISTS (SELECT FROM kgwebhook.watch w WHERE w.relation = mark_followed.relation AND w.webhook_id_column IS NOT NULL)
                            THEN 'created_at' ELSE 'updated_at' END;
    UPDATE kgwebhook.watch w SET source = mark_followed.source, node = mark_followed.node,
                                 version_column = CASE WHEN mark_followed.source IS NOT NULL THEN coalesce(w.version_column, version) END
     WHERE w.relation = mark_followed.relation;
    EXECUTE format('DROP TRIGGER IF EXISTS kgwebhook_followed ON %s', relation);
    EXECUTE format('DROP TRIGGER IF EXISTS kgwebhook_followed_insert ON %s', relation);
    EXECUTE format('DROP TRIGGER IF EXISTS kgwebhook_followed_truncate ON %s', relation);
    PERFORM kgwebhook.check_before(relation, CASE WHEN source IS NULL THEN 'INSERT OR UPDATE' ELSE 'UPDATE' END);
    IF EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = relation AND t.tgname = 'kgwebhook_enqueue') THEN
        EXECUTE format('ALTER TABLE %s ENABLE %s TRIGGER kgwebhook_enqueue', relation, CASE WHEN source IS NOT NULL THEN 'ALWAYS' END);
    END IF;
    IF source IS NULL THEN
        RETURN;
    END IF;
    FOR trigger, firing IN VALUES ('kgwebhook_followed', 'BEFORE UPDATE OR DELETE ON %s FOR EACH ROW'),
                                  ('kgwebhook_followed_insert', 'AFTER INSERT ON %s FOR EACH ROW'),
                                  ('kgwebhook_followed_truncate', 'BEFORE TRUNCATE ON %s FOR EACH STATEMENT') LOOP
        EXECUTE format('CREATE TRIGGER %I ' || firing || ' EXECUTE FUNCTION kgwebhook.refuse_write(%L)', trigger, relation, source);
        EXECUTE format('ALTER TRIGGER %I ON %s DEPENDS ON EXTENSION kgwebhook', trigger, relation);
        EXECUTE format('COMMENT ON TRIGGER %I ON %s IS ''of kgwebhook; see kg_follow()''', trigger, relation);
    END LOOP;
END
$$;
COMMENT ON FUNCTION kgwebhook.mark_followed(pg_catalog.regclass, pg_catalog.text, pg_catalog.text) IS
  'makes a table a followed one, which only its source writes, or an ordinary one again';
