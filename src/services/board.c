/*-------------------------------------------------------------------------
 *
 * board.c
 *	  What workers let others see of their destinations.
 *
 * A worker's memory is its own; an operator who asks which destinations are
 * ill asks from another process.  So the worker posts a notice for each
 * destination whose state changes: a fixed table in shared memory, written
 * a few times a turn, read by the view kgwebhook.destinations.
 *
 * When it is full a notice of a destination at rest makes room; if there is
 * none, the new one is left out.  The board is for people: nothing is ever
 * decided by it.
 *
 * src/services/board.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/hsearch.h"

#include "services/board.h"

/* Notices on the board, of all databases. */
#define BOARD_SIZE 16384

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
} KgwPosted;

static HTAB *board;
static LWLock *lock;

/* Reserve shared memory.  Called from the hook that requests it. */
void
kgw_board_request(void)
{
	RequestAddinShmemSpace(hash_estimate_size(BOARD_SIZE, sizeof(KgwPosted)));
	RequestNamedLWLockTranche("kgwebhook board", 1);
}

/* Attach to it.  Called with AddinShmemInitLock held. */
void
kgw_board_startup(void)
{
	HASHCTL		ctl = {0};

	ctl.keysize = sizeof(KgwNoticeKey);
	ctl.entrysize = sizeof(KgwPosted);
	board = ShmemInitHash("kgwebhook board", BOARD_SIZE, BOARD_SIZE, &ctl,
						  HASH_ELEM | HASH_BLOBS | HASH_FIXED_SIZE);
	lock = &(GetNamedLWLockTranche("kgwebhook board"))->lock;
}

static KgwNoticeKey
key_of(const char *destination)
{
	KgwNoticeKey key = {.dboid = MyDatabaseId};

	key.hash = hash_bytes_extended((const unsigned char *) destination,
								   strlen(destination), 0);
	return key;
}

/* Take down a notice of a destination at rest, whosever it is. */
static void
make_room(void)
{
	HASH_SEQ_STATUS scan;
	KgwPosted  *posted;

	hash_seq_init(&scan, board);
	while ((posted = hash_seq_search(&scan)) != NULL)
	{
		if (posted->notice.in_flight > 0 || posted->notice.backing_off)
			continue;
		hash_search(board, &posted->key, HASH_REMOVE, NULL);
		hash_seq_term(&scan);
		return;
	}
}

/* Post a notice, in place of the destination's last one. */
void
kgw_board_post(const KgwNotice *notice)
{
	KgwNoticeKey key = key_of(notice->destination);
	KgwPosted  *posted;
	bool		found;
	TimestampTz last_success;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	if (hash_get_num_entries(board) >= BOARD_SIZE)
		make_room();
	posted = hash_search(board, &key, HASH_ENTER_NULL, &found);
	if (posted != NULL)
	{
		last_success = found ? posted->notice.last_success : 0;
		posted->notice = *notice;
		if (notice->last_success == 0)
			posted->notice.last_success = last_success;
	}
	LWLockRelease(lock);
}

/* Take down what a worker that is no more has left of this database. */
void
kgw_board_clear(void)
{
	HASH_SEQ_STATUS scan;
	KgwPosted  *posted;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	hash_seq_init(&scan, board);
	while ((posted = hash_seq_search(&scan)) != NULL)
	{
		if (posted->key.dboid != MyDatabaseId)
			continue;
		posted->notice.in_flight = 0;
		posted->notice.failures = 0;
		posted->notice.backing_off = false;
	}
	LWLockRelease(lock);
}

/* Read the notices of this database; none when the library isn't preloaded. */
void
kgw_board_read(KgwNoticeTaker take, void *arg)
{
	HASH_SEQ_STATUS scan;
	KgwPosted  *posted;

	if (board == NULL)
		return;
	LWLockAcquire(lock, LW_SHARED);
	hash_seq_init(&scan, board);
	while ((posted = hash_seq_search(&scan)) != NULL)
	{
		if (posted->key.dboid == MyDatabaseId)
			take(&posted->notice, arg);
	}
	LWLockRelease(lock);
}
