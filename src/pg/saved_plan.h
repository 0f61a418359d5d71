/*-------------------------------------------------------------------------
 *
 * saved_plan.h
 *	  Queries that are planned once a process.
 *
 * src/pg/saved_plan.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PG_SAVED_PLAN_H
#define KGW_PG_SAVED_PLAN_H

#include "executor/spi.h"

extern SPIPlanPtr kgw_saved_plan(SPIPlanPtr *kept, const char *query, int nargs, const Oid *types);
extern void kgw_saved_plan_receive(SPIPlanPtr kept, const Datum *args, int nargs,
								   DestReceiver *receiver);

#endif							/* KGW_PG_SAVED_PLAN_H */
