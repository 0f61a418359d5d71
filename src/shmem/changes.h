/*-------------------------------------------------------------------------
 *
 * changes.h
 *	  What workers have to be told of, because they remember it.
 *
 * src/shmem/changes.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SHMEM_CHANGES_H
#define KGW_SHMEM_CHANGES_H

/* What someone has changed of what workers remember. */
typedef enum KgwChanged
{
	KGW_CHANGED_ALL,			/* start over */
	KGW_CHANGED_SECRETS,
	KGW_CHANGED_SUBSCRIPTIONS,
	KGW_CHANGED_PAUSES,
	KGW_CHANGED_ROUTES			/* no worker's business, but the follower's */
} KgwChanged;

#define KGW_CHANGES 5

#endif							/* KGW_SHMEM_CHANGES_H */
