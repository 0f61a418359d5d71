/*-------------------------------------------------------------------------
 *
 * shmem.h
 *	  The segment of shared memory: its layout, and how a slot is found.
 *
 * For the files of this folder, each of which keeps some of the fields.  Everyone
 * else asks them.
 *
 * src/shmem/shmem.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SHMEM_SHMEM_H
#define KGW_SHMEM_SHMEM_H

#include "access/xlogdefs.h"
#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "storage/latch.h"
#include "storage/lwlock.h"

#include "pg/guc.h"
#include "pure/outcome.h"
#include "shmem/changes.h"

/* Message, DETAIL and HINT of an error, cut off. */
#define KGW_ERROR_SIZE 1024

typedef struct KgwWorkerSlot
{
	pid_t		pid;			/* 0 = not running */
	bool		leave;			/* is to end, and may come back */
	Latch	   *latch;			/* of its PGPROC, hence shared memory */
	pg_atomic_uint32 in_flight;
	pg_atomic_uint32 busy;
	pg_atomic_uint32 deaf;		/* needn't hear of arrivals */
	pg_atomic_uint64 flush_upto;	/* a position in the WAL that is to be flushed; 0 = none */
	bool		fenced;			/* has found that its database is a copy */
} KgwWorkerSlot;

typedef struct KgwDatabaseSlot
{
	Oid			dboid;			/* InvalidOid = free */
	bool		present;		/* a worker found the extension there */
	bool		absent;			/* nobody is wanted there */
	int			closed;			/* statements that keep workers away */
	pg_atomic_uint32 wakes;		/* how often commits have called workers */
	pg_atomic_uint32 changes[KGW_CHANGES];	/* how often workers were told of each */
	pg_atomic_uint64 enqueued;
	pg_atomic_uint64 outcomes[KGW_OUTCOMES];
	char		last_error[KGW_ERROR_SIZE];
	TimestampTz last_error_at;
	int			last_error_code;	/* its SQLSTATE, packed */
	TimestampTz failing_since;	/* the first error since something was settled */
	pg_atomic_uint32 errors;	/* how many since then */
	Latch	   *follower;		/* of the process that looks after sources, or NULL */
	KgwWorkerSlot workers[KGW_MAX_SHARDS];
} KgwDatabaseSlot;

typedef struct KgwShared
{
	LWLock	   *lock;			/* guards all but the atomics */
	TimestampTz since;
	Latch	   *launcher;		/* NULL = not running */
	KgwDatabaseSlot databases[KGW_MAX_DATABASES];
} KgwShared;

/* NULL without shared_preload_libraries. */
extern KgwShared *kgw_shared;

/* The slot and shard of this process, when it is a worker; else NULL. */
extern KgwDatabaseSlot *kgw_shared_my_database;
extern KgwWorkerSlot *kgw_shared_my_worker;

extern void kgw_shmem_request(void);
extern bool kgw_shmem_ready(void);

/* The caller holds the lock; exclusively for the last two. */
extern KgwDatabaseSlot *kgw_shmem_find(Oid dboid);
extern KgwDatabaseSlot *kgw_shmem_find_or_make(Oid dboid);
extern void kgw_shmem_free(KgwDatabaseSlot *database);
extern void kgw_shmem_call_launcher(void);

#endif							/* KGW_SHMEM_SHMEM_H */
