/*-------------------------------------------------------------------------
 *
 * loop_commit.h
 *	  Outcomes are written down: one transaction for many, or one for each.
 *
 * src/worker/loop_commit.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_WORKER_LOOP_COMMIT_H
#define KGW_WORKER_LOOP_COMMIT_H

#include "settle/settle.h"
#include "worker/error_trap.h"

extern KgwTrapResult kgw_loop_commit(KgwSettlement *settlements, int count, bool *locked,
									 bool unflushed);
extern KgwTrapResult kgw_loop_commit_alone(KgwSettlement *settlement, bool *locked);

#endif							/* KGW_WORKER_LOOP_COMMIT_H */
