/*
 * install/dump.sql
 *		What pg_dump keeps.
 */

SELECT pg_catalog.pg_extension_config_dump('kgwebhook.instance', '');
/* a role that has gone would be restored as a number, which another role may have there */
SELECT pg_catalog.pg_extension_config_dump('kgwebhook.organization_role',
    'WHERE EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid OPERATOR(pg_catalog.=) role)');
SELECT pg_catalog.pg_extension_config_dump('kgwebhook.removed_events', '');
SELECT pg_catalog.pg_extension_config_dump('kgwebhook.watch', '');
SELECT pg_catalog.pg_extension_config_dump('kgwebhook.shape', '');
SELECT pg_catalog.pg_extension_config_dump('kgwebhook.paused', '');
SELECT pg_catalog.pg_extension_config_dump('kgwebhook.secret', '');
SELECT pg_catalog.pg_extension_config_dump('kgwebhook.signing_key', '');
SELECT pg_catalog.pg_extension_config_dump('kgwebhook.subscription_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('kgwebhook.subscription', '');
SELECT pg_catalog.pg_extension_config_dump('kgwebhook.delivery_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('kgwebhook.attempt_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('kgwebhook.queue', '');
SELECT pg_catalog.pg_extension_config_dump('kgwebhook.delivery_log_default', '');
SELECT pg_catalog.pg_extension_config_dump('kgwebhook.source', '');
SELECT pg_catalog.pg_extension_config_dump('kgwebhook.route', '');
SELECT pg_catalog.pg_extension_config_dump('kgwebhook.held', '');
SELECT pg_catalog.pg_extension_config_dump('kgwebhook.dead_letter', '');
SELECT pg_catalog.pg_extension_config_dump('kgwebhook.amendment', '');
