/*-------------------------------------------------------------------------
 *
 * partition_move.c
 *	  Rows that an UPDATE moves to another partition.
 *
 * PostgreSQL carries out such an UPDATE as a DELETE from the one partition and
 * an INSERT into the other, and fires the row triggers of these two, never one
 * for UPDATE.  Taken by itself the INSERT is a creation, and would announce a
 * status that the receiver has heard of already.  So the DELETE leaves behind
 * the status the row had, and the INSERT is judged by it.
 *
 * Which DELETE is half of an UPDATE is not guessed: the heap marks the old
 * version of a row as moved elsewhere, because whoever waits for that row has to
 * be told.  A DELETE and an INSERT that somebody has written as such, be it in
 * one statement, are an end and a creation.  An apply worker does without the
 * mark; there each change has a command of its own, and two halves of one
 * command can only be one change.
 *
 * The halves belong together when the same command of the same (sub)transaction
 * has written them, under the same identifier.  What a trigger's own statements
 * move in between has later command numbers, so halves nest, and a DELETE
 * whose INSERT a BEFORE trigger has swallowed is overtaken by the next.  A
 * foreign table's row carries no command, and belongs to the latest DELETE.
 *
 * Remembered is one row for each depth of nesting, until the end of the
 * transaction.  After it, or after a savepoint was rolled back, an entry may
 * linger, but its transaction number fits no row any more.
 *
 * src/capture/partition_move.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "replication/logicalworker.h"
#include "utils/memutils.h"

#include "capture/partition_move.h"

typedef struct KgwMoved
{
	Oid			watched;
	TransactionId xid;			/* of the (sub)transaction */
	CommandId	command;
	char	   *id;				/* or NULL */
	char	   *status;			/* or NULL */
	struct KgwMoved *previous;	/* of an earlier command */
} KgwMoved;

/* Latest first; in the TopTransactionContext of "moved_in". */
static KgwMoved *latest;
static FullTransactionId moved_in;

/* Whether there is anything to ask kgw_partition_move_here() for. */
bool
kgw_partition_move_any(void)
{
	if (latest != NULL &&
		!FullTransactionIdEquals(moved_in, GetTopFullTransactionIdIfAny()))
		latest = NULL;			/* gone with its transaction */
	return latest != NULL;
}

/* Whether the row of an AFTER DELETE trigger lives on in another partition. */
bool
kgw_partition_move_away(Relation rel, HeapTuple row)
{
	if (rel->rd_rel->relam != HEAP_TABLE_AM_OID)
		return false;
	return HeapTupleHeaderIndicatesMovedPartitions(row->t_data) || IsLogicalWorker();
}

/*
 * Remember a row for which kgw_partition_move_away() holds.  "id" and "status" may be
 * NULL, and are copied.
 */
void
kgw_partition_move_remember(Oid watched, HeapTuple row, const char *id, const char *status)
{
	MemoryContext caller = MemoryContextSwitchTo(TopTransactionContext);
	CommandId	command = HeapTupleHeaderGetCmax(row->t_data);
	KgwMoved   *moved;

	/* what is not earlier has had its INSERT, or will never have it */
	while (kgw_partition_move_any() && latest->command >= command)
	{
		moved = latest;
		latest = moved->previous;
		if (moved->id != NULL)
			pfree(moved->id);
		if (moved->status != NULL)
			pfree(moved->status);
		pfree(moved);
	}
	moved = palloc(sizeof(KgwMoved));
	moved->watched = watched;
	moved->xid = HeapTupleHeaderGetUpdateXid(row->t_data);
	moved->command = command;
	moved->id = id != NULL ? pstrdup(id) : NULL;
	moved->status = status != NULL ? pstrdup(status) : NULL;
	moved->previous = latest;
	latest = moved;
	moved_in = GetTopFullTransactionId();
	MemoryContextSwitchTo(caller);
}

/* Whether the two rows were written by the same command. */
static bool
same_command(const KgwMoved *moved, Relation rel, HeapTuple row)
{
	if (rel->rd_rel->relam != HEAP_TABLE_AM_OID)
		return moved == latest;
	return !HeapTupleHeaderXminFrozen(row->t_data) &&
		HeapTupleHeaderGetRawXmin(row->t_data) == moved->xid &&
		HeapTupleHeaderGetCmin(row->t_data) == moved->command;
}

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/*
 * Whether the row of an AFTER INSERT trigger was moved here from another
 * partition; *status is then the one it had there, or NULL, and is good until
 * the end of the transaction.
 */
bool
kgw_partition_move_here(Oid watched, Relation rel, HeapTuple row, const char *id, const char **status)
{
	if (!kgw_partition_move_any())
		return false;
	for (KgwMoved *moved = latest; moved != NULL; moved = moved->previous)
	{
		if (moved->watched != watched || !same_command(moved, rel, row))
			continue;
		if (!same_text(moved->id, id))
			return false;
		*status = moved->status;
		return true;
	}
	return false;
}
