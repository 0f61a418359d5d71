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
	KGW_CHANGED_PAUSES
} KgwChanged;

#define KGW_CHANGES 4

#endif							/* KGW_SHMEM_CHANGES_H */
