/*-------------------------------------------------------------------------
 *
 * counters.h
 *	  What has been counted, for people.
 *
 * src/shmem/counters.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SHMEM_COUNTERS_H
#define KGW_SHMEM_COUNTERS_H

#include "datatype/timestamp.h"

#include "pure/outcome.h"

/* A copy of one database's numbers, consistent enough for people. */
typedef struct KgwSnapshot
{
	TimestampTz since;
	uint64		enqueued;
	uint64		outcomes[KGW_OUTCOMES];
	int			in_flight;
	int			workers;
	bool		busy;
	bool		fenced;			/* a worker found that the database is a copy */
	const char *last_error;		/* palloc'd, or a constant */
	TimestampTz last_error_at;	/* 0 = never */
} KgwSnapshot;

extern bool kgw_counters_snapshot(Oid dboid, KgwSnapshot *snapshot);
extern void kgw_counters_add(KgwOutcome outcome);
extern void kgw_counters_error(const char *message);

#endif							/* KGW_SHMEM_COUNTERS_H */
