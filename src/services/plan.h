/*-------------------------------------------------------------------------
 *
 * plan.h
 *	  Queries that are planned once a process.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PLAN_H
#define KGW_PLAN_H

#include "executor/spi.h"

extern SPIPlanPtr kgw_plan(SPIPlanPtr *kept, const char *query, int nargs, const Oid *types);

#endif							/* KGW_PLAN_H */
