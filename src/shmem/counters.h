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
	int			last_error_code;	/* its SQLSTATE, packed */
	uint32		errors;			/* in a row, with nothing settled between them */
	TimestampTz failing_since;	/* the first of these */
} KgwSnapshot;

extern bool kgw_counters_snapshot(Oid dboid, KgwSnapshot *snapshot);
extern void kgw_counters_add(KgwOutcome outcome);
extern void kgw_counters_error(const ErrorData *error);
extern void kgw_counters_complaint(const ErrorData *error);

#endif							/* KGW_SHMEM_COUNTERS_H */
