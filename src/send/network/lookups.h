/*-------------------------------------------------------------------------
 *
 * lookups.h
 *	  Lookups of names that were given up, and whose threads go on.
 *
 * src/send/network/lookups.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SEND_NETWORK_LOOKUPS_H
#define KGW_SEND_NETWORK_LOOKUPS_H

#include "pg/clock.h"

/* All zero before the first is given up. */
typedef struct KgwLookups
{
	bool		left_behind;	/* there may be some; for the caller to set */
	int			hanging;		/* how many, when they were counted */
	KgwTicks	counted_at;
} KgwLookups;

/* When they are to be counted next; KGW_NEVER: there are none. */
extern KgwTicks kgw_lookups_deadline(const KgwLookups *lookups);

/* Count them; "resolving" threads are at work for requests that wait for them. */
extern int	kgw_lookups_count(KgwLookups *lookups, int resolving, KgwTicks now);

#endif							/* KGW_SEND_NETWORK_LOOKUPS_H */
