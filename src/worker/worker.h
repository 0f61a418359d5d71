/*-------------------------------------------------------------------------
 *
 * worker.h
 *	  The background worker that delivers.
 *
 * src/worker/worker.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_WORKER_WORKER_H
#define KGW_WORKER_WORKER_H

#include "postmaster/bgworker.h"

extern bool kgw_worker_register(int slot, int shard, Oid dboid, BackgroundWorkerHandle **handle);
extern PGDLLEXPORT void kgw_worker_main(Datum arg);

#endif							/* KGW_WORKER_WORKER_H */
