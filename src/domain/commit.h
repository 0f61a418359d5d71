/*-------------------------------------------------------------------------
 *
 * commit.h
 *	  Waking the workers when this transaction commits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_COMMIT_H
#define KGW_COMMIT_H

#include "services/shared_wakes.h"

extern void kgw_commit_wake(int enqueued);
extern void kgw_commit_changed(KgwChanged what);

#endif							/* KGW_COMMIT_H */
