/*
 * install/check_setup.sql
 *		Whether this database is ready for production: kg_check_setup().
 */

/*
 * kg_status() says what is wrong now; this says what has not been set up yet, before
 * anything is wrong: the check list of docs/going-live.md, as far as a server can see
 * it for itself.  Every item is a row, those that are done as well, so that the list
 * can be kept with a change's records.  Nothing here shows a secret or a payload.
 *
 * Each part looks at one subject, as those of kg_status() do.
 */

CREATE TYPE kgwebhook.setup_item AS (
    item    pg_catalog.text,
    ok      pg_catalog.bool,
    detail  pg_catalog.text,
    remedy  pg_catalog.text
);
COMMENT ON TYPE kgwebhook.setup_item IS 'what a part of kg_check_setup() has looked at';

/* The server: what is loaded, what its files say, whether a worker runs, and what a crash leaves. */
CREATE FUNCTION kgwebhook.setup_server() RETURNS SETOF kgwebhook.setup_item
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT 'worker', count(f) = 0,
           coalesce(string_agg(f.finding || '.  ' || f.detail, '  ' ORDER BY f.weight DESC), 'A worker runs for this database, or this server is a standby.'),
           string_agg(f.remedy, '; ' ORDER BY f.weight DESC)
      FROM kgwebhook.worker_findings() f WHERE f.weight >= 200
    UNION ALL
    SELECT 'settings in force', count(s) = 0,
           coalesce(string_agg(s.line, '  ' ORDER BY s.line), 'What the configuration files say of kgwebhook is in force.'),
           CASE WHEN count(s) > 0 THEN 'Correct the value and SELECT pg_reload_conf(); or restart the server, where the value needs that' END
      FROM (SELECT DISTINCT format('%s: %s.', concat_ws(', ', p.name, p.sourcefile || ', line ' || p.sourceline), rtrim(p.error, '.')) AS line
              /* a setting that was taken out of the file has no name there; it is in the error */
              FROM pg_file_settings p
             WHERE p.error IS NOT NULL
               AND (p.name LIKE 'kgwebhook.%' OR p.name = 'shared_preload_libraries' OR p.error LIKE '%kgwebhook.%')) s
    UNION ALL
    SELECT 'durability', d.off IS NULL,
           CASE WHEN d.off IS NULL THEN 'A committed event survives a crash of the server.'
                ELSE format('%s: after a crash committed events can be lost or damaged, with the payments.', d.off) END,
           CASE WHEN d.off IS NOT NULL THEN 'ALTER SYSTEM SET fsync = on; ALTER SYSTEM SET full_page_writes = on; SELECT pg_reload_conf();' END
      FROM (SELECT string_agg(format('"%s" is off', g.name), ', ' ORDER BY g.name) AS off
              FROM pg_settings g WHERE g.name IN ('fsync', 'full_page_writes') AND g.setting = 'off') d
    UNION ALL
    SELECT 'archive or standby', a.archives AND NOT a.fails OR a.standbys > 0,
           CASE WHEN a.fails THEN format('Archiving of WAL fails since %s: %s.', kgwebhook.time_text(a.last_failed_time), a.last_failed_wal)
                WHEN NOT a.archives THEN 'WAL is not archived.' ELSE 'WAL is archived.' END
           || '  ' || kgwebhook.count_text(a.standbys, 'standby is', 'standbys are') || ' connected.'
           || CASE WHEN a.archives AND NOT a.fails OR a.standbys > 0 THEN '' ELSE '  If the disk is lost, so are the events since the last backup.' END,
           CASE WHEN a.archives AND NOT a.fails OR a.standbys > 0 THEN NULL
                WHEN a.fails THEN 'Correct archive_command or archive_library; the server''s log says why it fails'
                ELSE 'ALTER SYSTEM SET archive_mode = on; with archive_command or archive_library; then restart the server; or set up a standby' END
      FROM (SELECT current_setting('archive_mode') <> 'off' AS archives, s.last_failed_time, s.last_failed_wal,
                   coalesce(s.last_failed_time > coalesce(s.last_archived_time, '-infinity'), false) AS fails,
                   (SELECT count(*) FROM pg_stat_replication r WHERE r.state = 'streaming')
                   + pg_is_in_recovery()::int AS standbys
              FROM pg_stat_archiver s) a
$$;
COMMENT ON FUNCTION kgwebhook.setup_server() IS
  'the part of kg_check_setup() about the server';

/* What is watched, and who looks after it. */
CREATE FUNCTION kgwebhook.setup_tables_and_roles() RETURNS SETOF kgwebhook.setup_item
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT 'watched tables', w.tables > 0 AND w.silent IS NULL,
           CASE WHEN w.silent IS NOT NULL THEN format('Status changes of %s are no events: its trigger "kgwebhook_enqueue" is missing or disabled.', w.silent)
                WHEN w.tables = 0 THEN 'No table is watched, so nothing is an event.'
                ELSE kgwebhook.count_text(w.tables, 'table is', 'tables are') || ' watched.' END,
           CASE WHEN w.tables = 0 THEN 'SELECT * FROM kg_watch(...);'
                WHEN w.silent IS NOT NULL THEN 'ALTER TABLE ... ENABLE TRIGGER kgwebhook_enqueue; or where it is missing, SELECT * FROM kg_watch(...);' END
      FROM (SELECT count(*) AS tables,
                   string_agg(t.relation::text, ', ' ORDER BY t.relation::text) FILTER (WHERE NOT EXISTS
                       (SELECT FROM pg_trigger g WHERE g.tgrelid = t.relation AND g.tgname = 'kgwebhook_enqueue' AND g.tgenabled IN ('O', 'A'))) AS silent
              FROM kgwebhook.watch t JOIN pg_class c ON c.oid = t.relation) w
    UNION ALL
    SELECT 'role of the person on call', count(r) > 0,
           CASE WHEN count(r) > 0 THEN 'Without being a superuser, kg_status() can be called by '
                     || string_agg(format('"%s"', r.rolname), ', ' ORDER BY r.rolname) || '.'
                ELSE 'Only a superuser can call kg_status().' END,
           CASE WHEN count(r) = 0 THEN 'GRANT pg_monitor TO ...; for the person on call and for the exporter' END
      FROM (SELECT p.rolname FROM pg_roles p
             WHERE p.rolcanlogin AND NOT p.rolsuper
               AND has_schema_privilege(p.oid, 'kgwebhook', 'USAGE')
               AND has_function_privilege(p.oid, (SELECT f.oid FROM pg_proc f JOIN pg_extension e ON e.extnamespace = f.pronamespace
                                                   WHERE e.extname = 'kgwebhook' AND f.proname = 'kg_status'), 'EXECUTE')
             ORDER BY p.rolname LIMIT 20) r
$$;
COMMENT ON FUNCTION kgwebhook.setup_tables_and_roles() IS
  'the part of kg_check_setup() about watched tables and roles';

/* Signing secrets: who has one, how they are kept, who reads them. */
CREATE FUNCTION kgwebhook.setup_secrets() RETURNS SETOF kgwebhook.setup_item
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT 'signing secrets', m.missing IS NULL AND m.secrets > 0,
           CASE WHEN m.missing IS NOT NULL THEN format('Deliveries wait for a secret of: %s.', m.missing)
                ELSE kgwebhook.count_text(m.secrets, 'organization has', 'organizations have') || ' a secret.' END,
           CASE WHEN m.missing IS NOT NULL OR m.secrets = 0 THEN 'SELECT kg_create_secret(...); and give it to the receiver' END
      FROM (SELECT (SELECT count(DISTINCT s.org_id) FROM kgwebhook.secret s) AS secrets,
                   (SELECT string_agg(quote_literal(left(o.org_id, 100)), ', ' ORDER BY o.org_id)
                      FROM (SELECT s.org_id FROM kgwebhook.subscription s
                             WHERE NOT s.own_secret
                               AND NOT EXISTS (SELECT FROM kgwebhook.secret k WHERE k.org_id = s.org_id AND k.subscription_id = 0)
                            UNION
                            SELECT q.org_id FROM (SELECT w.org_id, w.subscription_id FROM kgwebhook.queue w LIMIT 10000) q
                             WHERE NOT EXISTS (SELECT FROM kgwebhook.secret k WHERE k.org_id = q.org_id AND k.subscription_id IN (0, q.subscription_id))
                             ORDER BY org_id LIMIT 20) o) AS missing) m
    UNION ALL
    SELECT 'key file', k.path <> '' AND k.plain = 0 AND k.locked = 0,
           CASE WHEN k.locked > 0 THEN format('Cannot be decrypted: the %s%s.', k.what,
                                              CASE WHEN k.locked > 1 THEN ', and something of ' || kgwebhook.count_text(k.locked - 1, 'other', 'others') ELSE '' END)
                WHEN k.path = '' THEN 'Secrets are kept in the clear: in the table, its WAL, backups and dumps.'
                WHEN k.plain > 0 THEN format('In the clear: %s of the secrets, private keys and headers.', k.plain)
                ELSE 'Secrets are encrypted.  Keep a copy of the key, apart from the backups.' END,
           CASE WHEN k.locked > 0 THEN kgwebhook.key_remedy()
                WHEN k.path = '' THEN 'Make a file with a key, then ALTER SYSTEM SET kgwebhook.key_file = ''/etc/kgwebhook.key''; SELECT pg_reload_conf();'
                WHEN k.plain > 0 THEN 'SELECT kg_encrypt_secrets(); VACUUM FULL kgwebhook.secret, kgwebhook.signing_key, kgwebhook.client_certificate, kgwebhook.request_header;' END
      FROM (SELECT coalesce(current_setting('kgwebhook.key_file', true), '') AS path,
                   (SELECT count(*) FROM (SELECT s.encrypted FROM kgwebhook.secret s
                                          UNION ALL SELECT g.encrypted FROM kgwebhook.signing_key g
                                          UNION ALL SELECT c.encrypted FROM kgwebhook.client_certificate c
                                          UNION ALL SELECT h.encrypted FROM kgwebhook.request_header h) e WHERE NOT e.encrypted) AS plain,
                   u.locked, u.what
              FROM (SELECT count(*) AS locked, (array_agg(e.what ORDER BY e.org_id))[1] AS what
                      FROM (SELECT o.org_id, (kgwebhook.undecryptable(o.org_id)).what
                              FROM (SELECT s.org_id FROM kgwebhook.secret s WHERE s.encrypted
                                    UNION SELECT g.org_id FROM kgwebhook.signing_key g WHERE g.encrypted
                                    UNION SELECT c.org_id FROM kgwebhook.client_certificate c WHERE c.encrypted
                                    UNION SELECT h.org_id FROM kgwebhook.request_header h WHERE h.encrypted) o) e
                     WHERE e.what IS NOT NULL) u) k
    UNION ALL
    SELECT 'readers of secrets', r.roles IS NULL AND r.publications IS NULL,
           CASE WHEN r.roles IS NULL AND r.publications IS NULL THEN 'Only superusers, the extension''s owner and roles with REPLICATION can read the secrets, private keys and headers.'
                ELSE concat_ws('  ', 'Roles that can read secrets, private keys or headers: ' || r.roles || '.', 'Publications that have them: ' || r.publications || '.') END,
           concat_ws('; ', CASE WHEN r.roles IS NOT NULL THEN 'REVOKE the privilege on kgwebhook.secret, signing_key, client_certificate and request_header, or the membership that gives it' END,
                     CASE WHEN r.publications IS NOT NULL THEN 'DROP PUBLICATION ...; and create it FOR TABLE with the tables to publish' END)
      FROM (SELECT (SELECT string_agg(format('"%s"', p.rolname), ', ' ORDER BY p.rolname)
                      FROM pg_roles p
                     WHERE p.rolcanlogin AND NOT p.rolsuper
                       AND EXISTS (SELECT FROM unnest(k.tables) t (name) WHERE has_any_column_privilege(p.oid, 'kgwebhook.' || t.name, 'SELECT'))
                       AND has_schema_privilege(p.oid, 'kgwebhook', 'USAGE')
                       AND NOT pg_has_role(p.oid, (SELECT e.extowner FROM pg_extension e WHERE e.extname = 'kgwebhook'), 'USAGE')) AS roles,
                   (SELECT string_agg(format('"%s"', t.pubname), ', ' ORDER BY t.pubname)
                      FROM (SELECT DISTINCT t.pubname FROM pg_publication_tables t
                             WHERE t.schemaname = 'kgwebhook' AND t.tablename = ANY (k.tables)) t) AS publications
              FROM (VALUES ('{secret,signing_key,client_certificate,request_header}'::name[])) k (tables)) r
$$;
COMMENT ON FUNCTION kgwebhook.setup_secrets() IS
  'the part of kg_check_setup() about signing secrets';

/* Receivers and what is kept about them. */
CREATE FUNCTION kgwebhook.setup_network() RETURNS SETOF kgwebhook.setup_item
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT 'https only', current_setting('kgwebhook.allow_http') = 'off',
           CASE current_setting('kgwebhook.allow_http') WHEN 'off' THEN 'Receivers are called over https only.'
                ELSE 'Plain http is allowed: everyone on the path reads and changes what is sent.' END,
           CASE current_setting('kgwebhook.allow_http') WHEN 'off' THEN NULL
                ELSE 'ALTER SYSTEM RESET kgwebhook.allow_http; SELECT pg_reload_conf();' END
    UNION ALL
    SELECT 'private networks', n.networks = '',
           CASE n.networks WHEN '' THEN 'The SSRF filter lets no private address through.'
                ELSE format('A role that chooses a URL reaches these networks: %s.', n.networks) END,
           CASE n.networks WHEN '' THEN NULL
                ELSE 'ALTER SYSTEM RESET kgwebhook.allowed_networks; SELECT pg_reload_conf(); or keep it, if only you choose URLs' END
      FROM (SELECT current_setting('kgwebhook.allowed_networks') AS networks) n
    UNION ALL
    SELECT 'certificate authorities', c.file = '' OR c.size > 0,
           CASE WHEN c.file = '' THEN 'The operating system''s are used.'
                WHEN c.size > 0 THEN format('Those of %s are used.', c.file)
                ELSE format('%s is missing or empty, so no receiver can be verified.', c.file) END,
           CASE WHEN c.file = '' OR c.size > 0 THEN NULL
                ELSE 'Put the authorities (PEM) there, or ALTER SYSTEM RESET kgwebhook.ca_file; then SELECT pg_reload_conf();' END
      FROM (SELECT s.file, CASE WHEN s.file <> '' THEN (pg_stat_file(s.file, true)).size END AS size
              FROM (SELECT current_setting('kgwebhook.ca_file') AS file) s) c
    UNION ALL
    SELECT 'a first delivery', d.at IS NOT NULL,
           CASE WHEN d.at IS NOT NULL THEN format('%s acknowledged an attempt over https at %s.', d.destination, kgwebhook.time_text(d.at))
                ELSE 'Of the latest 10,000 attempts none was acknowledged over https, which would prove name, firewall, certificate and secret.' END,
           CASE WHEN d.at IS NULL THEN 'SELECT * FROM kg_send_test(''https://...'');' END
      FROM (VALUES (0)) one
      LEFT JOIN (SELECT l.destination, l.started_at AS at
                   FROM (SELECT * FROM kgwebhook.delivery_log ORDER BY attempt_id DESC LIMIT 10000) l
                  WHERE l.outcome = 'acknowledged' AND l.destination LIKE 'https://%'
                  ORDER BY l.attempt_id DESC LIMIT 1) d ON true
    UNION ALL
    SELECT 'retention', r.span IS NOT NULL,
           CASE WHEN r.span IS NULL THEN 'The log keeps every request and answer for ever, personal data included.'
                ELSE format('The log keeps attempts for %s; queue and dead letters keep theirs until they are settled or deleted.', r.span) END,
           CASE WHEN r.span IS NULL THEN 'ALTER SYSTEM SET kgwebhook.log_retention = ''30 days''; SELECT pg_reload_conf();' END
      FROM (SELECT kgwebhook.log_retention() AS span) r
$$;
COMMENT ON FUNCTION kgwebhook.setup_network() IS
  'the part of kg_check_setup() about receivers and the log';

CREATE FUNCTION @extschema@.kg_check_setup(
    OUT item pg_catalog.text,
    OUT ok pg_catalog.bool,
    OUT detail pg_catalog.text,
    OUT remedy pg_catalog.text) RETURNS SETOF pg_catalog.record
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT s.item, s.ok, s.detail, nullif(s.remedy, '') FROM kgwebhook.setup_server() s
    UNION ALL
    SELECT s.item, s.ok, s.detail, nullif(s.remedy, '') FROM kgwebhook.setup_tables_and_roles() s
    UNION ALL
    SELECT s.item, s.ok, s.detail, nullif(s.remedy, '') FROM kgwebhook.setup_secrets() s
    UNION ALL
    SELECT s.item, s.ok, s.detail, nullif(s.remedy, '') FROM kgwebhook.setup_network() s
$$;
COMMENT ON FUNCTION @extschema@.kg_check_setup() IS
  'the check list for going live, as far as the server can see it: each item, whether it is done, and its remedy';
