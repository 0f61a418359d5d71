/*-------------------------------------------------------------------------
 *
 * ddl_check.h
 *	  Tables that would be watched twice.
 *
 * src/capture/ddl_check.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_CAPTURE_DDL_CHECK_H
#define KGW_CAPTURE_DDL_CHECK_H

#include "nodes/nodes.h"

#include "pg/compat.h"

/* The trigger by which a table is watched. */
#define KGW_ENQUEUE_TRIGGER "kgwebhook_enqueue"

extern void kgw_ddl_check_attach(const Node *command);
pg_noreturn extern void kgw_ddl_check_refuse_twice(Oid partition, Oid parent);

#endif							/* KGW_CAPTURE_DDL_CHECK_H */
