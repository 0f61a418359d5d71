/*-------------------------------------------------------------------------
 *
 * destination_stats.h
 *	  What workers let others see of their destinations.
 *
 * src/shmem/destination_stats.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SHMEM_DESTINATION_STATS_H
#define KGW_SHMEM_DESTINATION_STATS_H

#include "datatype/timestamp.h"

#include "pure/url.h"

typedef struct KgwNotice
{
	char		destination[KGW_DESTINATION_SIZE];
	bool		backing_off;
	int			in_flight;
	int			failures;		/* attempts in a row without success */
	TimestampTz last_success;	/* 0 = unknown */
	TimestampTz next_try;		/* when backing off */
	TimestampTz posted_at;		/* when the worker said so */
} KgwNotice;

/* Gets each notice of a database, under their lock. */
typedef void (*KgwNoticeTaker) (const KgwNotice *notice, void *arg);

extern void kgw_destination_stats_request(void);
extern void kgw_destination_stats_startup(void);
extern void kgw_destination_stats_post(const KgwNotice *notice);
extern void kgw_destination_stats_clear(void);
extern void kgw_destination_stats_read(KgwNoticeTaker take, void *arg);

#endif							/* KGW_SHMEM_DESTINATION_STATS_H */
