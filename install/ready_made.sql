/*
 * install/ready_made.sql
 *		Ready-made tables.
 */

/*
 * The ready-made tables are created with the caller's own privileges, in the
 * caller's search_path, and are owned by the caller; hence no SET here.  They
 * are never members of the extension: DROP EXTENSION must not drop payments.
 */
CREATE FUNCTION @extschema@.kg_create_payment_intents(table_name pg_catalog.text DEFAULT 'payment_intents') RETURNS pg_catalog.regclass
    LANGUAGE c STRICT VOLATILE
    AS 'MODULE_PATHNAME', 'kg_create_payment_intents';
COMMENT ON FUNCTION @extschema@.kg_create_payment_intents(pg_catalog.text) IS
  'creates the ready-made table of payment intents, owned by the caller, and watches it';

CREATE FUNCTION @extschema@.kg_create_transfers(table_name pg_catalog.text DEFAULT 'transfers') RETURNS pg_catalog.regclass
    LANGUAGE c STRICT VOLATILE
    AS 'MODULE_PATHNAME', 'kg_create_transfers';
COMMENT ON FUNCTION @extschema@.kg_create_transfers(pg_catalog.text) IS
  'creates the ready-made table of custodial transfers, owned by the caller, and watches it';

/*
 * Maintenance
 */

/*
 * Runs with the caller's own privileges, and the table's own triggers run with
 * the caller's search_path, as they always do; hence no SET here.
 */
CREATE FUNCTION @extschema@.kg_expire_intents(relation pg_catalog.regclass) RETURNS pg_catalog.int8
    LANGUAGE c VOLATILE
    AS 'MODULE_PATHNAME', 'kg_expire_intents';
COMMENT ON FUNCTION @extschema@.kg_expire_intents(pg_catalog.regclass) IS
  'sets pending intents past their payment_deadline to expired; NULL: those of every watched table';
