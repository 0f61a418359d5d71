/*-------------------------------------------------------------------------
 *
 * wal_flusher.h
 *	  WAL that a worker has flushed by another process.
 *
 * src/shmem/wal_flusher.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SHMEM_WAL_FLUSHER_H
#define KGW_SHMEM_WAL_FLUSHER_H

#include "access/xlogdefs.h"

/* A worker's part */
extern void kgw_wal_flusher_ask(XLogRecPtr upto);
extern void kgw_wal_flusher_leave(void);

/* The launcher's part */
extern void kgw_wal_flusher_serve(void);

#endif							/* KGW_SHMEM_WAL_FLUSHER_H */
