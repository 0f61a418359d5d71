/*-------------------------------------------------------------------------
 *
 * commit_callback.h
 *	  Waking the workers when this transaction commits.
 *
 * src/shmem/commit_callback.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SHMEM_COMMIT_CALLBACK_H
#define KGW_SHMEM_COMMIT_CALLBACK_H

#include "shmem/changes.h"

extern void kgw_commit_callback_wake(int enqueued);
extern void kgw_commit_callback_changed(KgwChanged what);

#endif							/* KGW_SHMEM_COMMIT_CALLBACK_H */
