/*-------------------------------------------------------------------------
 *
 * destination_stats.c
 *	  What workers let others see of their destinations.
 *
 * A worker's memory is its own; an operator who asks which destinations are
 * backing off asks from another process.  So the worker posts a notice for each
 * destination whose state changes: a fixed table in shared memory, written
 * a few times a turn, read by the view kgwebhook.destinations.
 *
 * When it is full, what is new takes the place of the destination that has been
 * at rest for longest; if none is, the new one is left out.  Those at rest are in
 * a list, because where there are none, notices may be posted thousands of times a
 * second, under a lock: nothing here may take longer the more notices there are.
 * They are for people: nothing is ever decided by them.
 *
 * src/shmem/destination_stats.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/ilist.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/hsearch.h"

#include "pg/compat.h"
#include "pg/text_hash.h"
#include "shmem/destination_stats.h"

/* Notices of all databases. */
#define NOTICES_MAX 16384

typedef struct KgwNoticeKey
{
	Oid			dboid;
	uint32		unused;			/* keeps the key free of padding */
	uint64		hash;			/* of the destination */
} KgwNoticeKey;

typedef struct KgwPosted
{
	KgwNoticeKey key;
	KgwNotice	notice;
	bool		resting;		/* in the list of those */
	dlist_node	node;
} KgwPosted;

static HTAB *notices;
static dlist_head *resting;		/* in shared memory, as what it lists is */
static LWLock *lock;

/* Reserve shared memory.  Called from the hook that requests it. */
void
kgw_destination_stats_request(void)
{
	RequestAddinShmemSpace(hash_estimate_size(NOTICES_MAX, sizeof(KgwPosted)) +
						   MAXALIGN(sizeof(dlist_head)));
	RequestNamedLWLockTranche("kgwebhook notices", 1);
}

/* Attach to it.  Called with AddinShmemInitLock held. */
void
kgw_destination_stats_startup(void)
{
	HASHCTL		ctl = {0};
	bool		found;

	resting = ShmemInitStruct("kgwebhook notices at rest", sizeof(dlist_head), &found);
	if (!found)
		dlist_init(resting);
	ctl.keysize = sizeof(KgwNoticeKey);
	ctl.entrysize = sizeof(KgwPosted);
	notices = kgw_compat_shmem_init_hash("kgwebhook notices", NOTICES_MAX, &ctl,
										 HASH_ELEM | HASH_BLOBS | HASH_FIXED_SIZE);
	lock = &(GetNamedLWLockTranche("kgwebhook notices"))->lock;
}

static KgwNoticeKey
key_of(const char *destination)
{
	KgwNoticeKey key = {.dboid = MyDatabaseId};

	key.hash = kgw_text_hash(destination, 0);
	return key;
}

/* Put a notice into the list of those at rest, or take it out. */
static void
place_notice(KgwPosted *posted)
{
	bool		rests = posted->notice.in_flight == 0 && !posted->notice.backing_off;

	if (rests && !posted->resting)
		dlist_push_tail(resting, &posted->node);
	else if (!rests && posted->resting)
		dlist_delete(&posted->node);
	posted->resting = rests;
}

/* Take down a notice of a destination at rest, whosever it is. */
static void
make_room_for_destination(void)
{
	KgwPosted  *posted;

	if (dlist_is_empty(resting))
		return;
	posted = dlist_container(KgwPosted, node, dlist_pop_head_node(resting));
	hash_search(notices, &posted->key, HASH_REMOVE, NULL);
}

/* The notice under a key, made if there is room; else NULL. */
static KgwPosted *
find_or_make(const KgwNoticeKey *key)
{
	KgwPosted  *posted = hash_search(notices, key, HASH_FIND, NULL);

	if (posted != NULL)
		return posted;
	if (hash_get_num_entries(notices) >= NOTICES_MAX)
		make_room_for_destination();
	posted = hash_search(notices, key, HASH_ENTER_NULL, NULL);
	if (posted != NULL)
	{
		posted->notice.last_success = 0;
		posted->resting = false;
	}
	return posted;
}

/* Post a notice, in place of the destination's last one. */
void
kgw_destination_stats_post(const KgwNotice *notice)
{
	KgwNoticeKey key = key_of(notice->destination);
	KgwPosted  *posted;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	posted = find_or_make(&key);
	if (posted != NULL)
	{
		TimestampTz last_success = posted->notice.last_success;

		posted->notice = *notice;
		if (notice->last_success == 0)
			posted->notice.last_success = last_success;
		place_notice(posted);
	}
	LWLockRelease(lock);
}

/* Take down what a worker that is no more has left of this database. */
void
kgw_destination_stats_clear(void)
{
	HASH_SEQ_STATUS scan;
	KgwPosted  *posted;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	hash_seq_init(&scan, notices);
	while ((posted = hash_seq_search(&scan)) != NULL)
	{
		if (posted->key.dboid != MyDatabaseId)
			continue;
		posted->notice.in_flight = 0;
		posted->notice.failures = 0;
		posted->notice.backing_off = false;
		place_notice(posted);
	}
	LWLockRelease(lock);
}

/* Read the notices of this database; none when the library isn't preloaded. */
void
kgw_destination_stats_read(KgwNoticeTaker take, void *arg)
{
	HASH_SEQ_STATUS scan;
	KgwPosted  *posted;

	if (notices == NULL)
		return;
	LWLockAcquire(lock, LW_SHARED);
	hash_seq_init(&scan, notices);
	while ((posted = hash_seq_search(&scan)) != NULL)
	{
		if (posted->key.dboid == MyDatabaseId)
			take(&posted->notice, arg);
	}
	LWLockRelease(lock);
}
