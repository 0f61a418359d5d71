/*-------------------------------------------------------------------------
 *
 * partition_move.c
 *	  Objects whose row goes and comes back within one transaction.
 *
 * An UPDATE that moves a row to another partition is carried out as a DELETE from
 * the one and an INSERT into the other, and fires the row triggers of these two,
 * never one for UPDATE.  Partition managers write the two by themselves, in one
 * statement or in several, and so does who refreshes a table.  Taken by itself
 * the INSERT is a creation, and would announce a status that the receiver
 * has heard of already.  So it is judged by the status that the object's row had
 * when it went: an event if that was another one, and else none.  To a receiver
 * an object that was deleted and made again in one transaction never was away.
 *
 * An object has one row.  Where a transaction deletes several older ones of it,
 * nobody can say which was the object, and the INSERT is a creation.
 *
 * A DELETE costs next to nothing, for it may be a purge of millions: all that is
 * noted is the row's place.  The rows are still there, since the transaction
 * that deleted them isn't over; only an INSERT of the same transaction has them
 * read, and finds its object by a hash of its name.  What a savepoint has
 * taken back since the row itself tells, as does its command which of several
 * departures came before the INSERT.  A table that was dropped or truncated
 * after the DELETE has taken its rows along: what was there is new again.
 *
 * A foreign table's row has no place, and is noted with all that counts.
 *
 * src/capture/partition_move.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/ipc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "capture/partition_move.h"
#include "capture/payload.h"
#include "pg/text_hash.h"

#define NONE PG_UINT32_MAX

/* What names an object, and the status of one of its rows. */
typedef struct KgwNamedRow
{
	const char *kind;
	const char *org_id;
	const char *object_id;
	const char *status;			/* or NULL */
} KgwNamedRow;

typedef struct KgwDeparture
{
	Oid			relid;
	ItemPointerData place;
	uint32		previous;		/* of an object with the same hash, or NONE */
	KgwNamedRow   *named;			/* where there is no place; else NULL */
} KgwDeparture;

typedef struct KgwDepartedObject
{
	uint64		hash;			/* key */
	uint32		latest;			/* departure */
} KgwDepartedObject;

/* Of the transaction "xid", in its context; all zero if it has none. */
static struct
{
	FullTransactionId xid;
	KgwDeparture *departures;
	uint32		count;
	uint32		room;
	uint32		known;			/* so many of them are in "objects" */
	HTAB	   *objects;
} moved;

static bool
any_departures(void)
{
	if (moved.count > 0 && !FullTransactionIdEquals(moved.xid, GetTopFullTransactionIdIfAny()))
		memset(&moved, 0, sizeof(moved));	/* gone with its transaction */
	return moved.count > 0;
}

static void
add_departure(const KgwDeparture *departure)
{
	if (!any_departures())
	{
		memset(&moved, 0, sizeof(moved));
		moved.xid = GetTopFullTransactionId();
		moved.room = 16;
		moved.departures = MemoryContextAlloc(TopTransactionContext,
											  moved.room * sizeof(KgwDeparture));
	}
	if (moved.count == moved.room)
	{
		moved.departures = repalloc_huge(moved.departures,
										 2 * (Size) moved.room * sizeof(KgwDeparture));
		moved.room *= 2;
	}
	moved.departures[moved.count++] = *departure;
}

static KgwNamedRow
name_of(const KgwWatch *watch, HeapTuple row, TupleDesc desc)
{
	KgwNamedRow	named;

	named.kind = watch->event;
	named.org_id = kgw_payload_column_text(&watch->org, row, desc);
	if (named.org_id == NULL)
		named.org_id = "default";
	named.object_id = kgw_payload_column_text(&watch->id, row, desc);
	if (named.object_id == NULL)
		named.object_id = "";
	named.status = kgw_payload_column_text(&watch->status, row, desc);
	return named;
}

static bool
is_same_object(const KgwNamedRow *a, const KgwNamedRow *b)
{
	return strcmp(a->object_id, b->object_id) == 0 && strcmp(a->org_id, b->org_id) == 0 &&
		strcmp(a->kind, b->kind) == 0;
}

static uint64
hash_of_named(const KgwNamedRow *named)
{
	return kgw_text_hash(named->object_id,
						 kgw_text_hash(named->org_id, kgw_text_hash(named->kind, 0)));
}

/* Note the row of an AFTER DELETE trigger. */
void
kgw_partition_move_away(const KgwWatch *watch, Relation rel, HeapTuple row)
{
	KgwDeparture departure = {.relid = RelationGetRelid(rel), .place = row->t_self};
	MemoryContext caller;

	if (rel->rd_rel->relam != HEAP_TABLE_AM_OID)
	{
		caller = MemoryContextSwitchTo(TopTransactionContext);
		departure.named = palloc(sizeof(KgwNamedRow));
		*departure.named = name_of(watch, row, RelationGetDescr(rel));
		departure.named->kind = pstrdup(watch->event);
		MemoryContextSwitchTo(caller);
	}
	add_departure(&departure);
}

/* Whether this transaction has deleted the row: not moved it on, not locked it. */
static bool
is_deleted_by_us(HeapTuple row)
{
	HeapTupleHeader header = row->t_data;

	return (header->t_infomask & HEAP_XMAX_INVALID) == 0 &&
		!HEAP_XMAX_IS_LOCKED_ONLY(header->t_infomask) &&
		TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetUpdateXid(header)) &&
		(HeapTupleHeaderIndicatesMovedPartitions(header) ||
		 ItemPointerEquals(&row->t_self, &header->t_ctid));
}

/* A copy of the row that has departed, or NULL: it hasn't, or can't be read. */
static HeapTuple
fetch_row(Relation rel, const KgwDeparture *departure)
{
	HeapTupleData row = {.t_self = departure->place};
	HeapTuple	copy = NULL;
	Buffer		buffer;

	if (rel->rd_rel->relam != HEAP_TABLE_AM_OID ||
		ItemPointerGetBlockNumber(&departure->place) >= RelationGetNumberOfBlocks(rel) ||
		!heap_fetch(rel, SnapshotAny, &row, &buffer, false))
		return NULL;
	if (is_deleted_by_us(&row))
		copy = heap_copytuple(&row);
	ReleaseBuffer(buffer);
	return copy;
}

/* Whether the row of a DELETE trigger was there before this transaction. */
bool
kgw_partition_move_from_before(Relation rel, HeapTuple row)
{
	return rel->rd_rel->relam == HEAP_TABLE_AM_OID &&
		(HeapTupleHeaderXminFrozen(row->t_data) ||
		 !TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetRawXmin(row->t_data)));
}

static void
release_watch(int code, Datum watch)
{
	kgw_watch_cache_release((const KgwWatch *) DatumGetPointer(watch));
}

/* As name_of(), for names that outlive the watch, which an error releases. */
static void
read_names(const KgwWatch *watch, HeapTuple row, TupleDesc desc, KgwNamedRow *named)
{
	PG_ENSURE_ERROR_CLEANUP(release_watch, PointerGetDatum(watch));
	{
		*named = name_of(watch, row, desc);
		named->kind = pstrdup(named->kind);
	}
	PG_END_ENSURE_ERROR_CLEANUP(release_watch, PointerGetDatum(watch));
}

/*
 * Read the row that has departed; false when it has not.  "here" and "watch" are the
 * trigger's own table.  *command is the one that deleted the row, and *old says
 * that it was there before this transaction.
 */
static bool
read_departure(const KgwDeparture *departure, const KgwWatch *watch, Relation here,
			   KgwNamedRow *named, CommandId *command, bool *old)
{
	bool		elsewhere = departure->relid != RelationGetRelid(here);
	Relation	rel = here;
	HeapTuple	row = NULL;

	*command = 0;
	*old = false;
	if (departure->named != NULL)
	{
		*named = *departure->named;
		return true;
	}
	if (elsewhere)
		rel = try_relation_open(departure->relid, AccessShareLock);
	if (rel == NULL)
		return false;
	if (elsewhere)
		watch = kgw_watch_cache_lookup(rel);
	if (watch != NULL)
		row = fetch_row(rel, departure);

	if (row != NULL)
	{
		if (elsewhere)
			read_names(watch, row, RelationGetDescr(rel), named);
		else
			*named = name_of(watch, row, RelationGetDescr(rel));
		*command = HeapTupleHeaderGetCmax(row->t_data);
		*old = kgw_partition_move_from_before(rel, row);
	}
	if (elsewhere && watch != NULL)
		kgw_watch_cache_release(watch);
	if (elsewhere)
		relation_close(rel, AccessShareLock);
	return row != NULL;
}

/* Put all departures into the table of objects. */
static void
know_departures(const KgwWatch *watch, Relation here)
{
	HASHCTL		ctl = {0};
	MemoryContext scratch;
	MemoryContext caller;

	if (moved.known == moved.count)
		return;
	if (moved.objects == NULL)
	{
		ctl.keysize = sizeof(uint64);
		ctl.entrysize = sizeof(KgwDepartedObject);
		ctl.hcxt = TopTransactionContext;
		moved.objects = hash_create("kgwebhook moved", 64, &ctl,
									HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	scratch = AllocSetContextCreate(CurrentMemoryContext, "kgwebhook departures",
									ALLOCSET_DEFAULT_SIZES);
	caller = MemoryContextSwitchTo(scratch);
	for (; moved.known < moved.count; moved.known++)
	{
		KgwDeparture *departure = &moved.departures[moved.known];
		KgwDepartedObject  *object;
		KgwNamedRow	named;
		CommandId	command;
		uint64		hash;
		bool		found;
		bool		old;

		CHECK_FOR_INTERRUPTS();
		if (!read_departure(departure, watch, here, &named, &command, &old))
			continue;
		hash = hash_of_named(&named);
		object = hash_search(moved.objects, &hash, HASH_ENTER, &found);
		departure->previous = found ? object->latest : NONE;
		object->latest = moved.known;
		MemoryContextReset(scratch);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(scratch);
}

/* Whether two departures are of one row: a savepoint may have taken back the first. */
static bool
is_same_row(KgwDeparture *a, KgwDeparture *b)
{
	return a->relid == b->relid && ItemPointerEquals(&a->place, &b->place);
}

/*
 * Whether the object of an AFTER INSERT trigger's row was there before, and went
 * in this transaction; *status is then the one that it had, or NULL.
 */
bool
kgw_partition_move_here(const KgwWatch *watch, Relation rel, HeapTuple row, CommandId version,
			   const char **status)
{
	KgwNamedRow	here;
	uint64		hash;
	KgwDepartedObject  *object;
	CommandId	latest = 0;
	bool		found = false;
	KgwDeparture *old_row = NULL;

	if (!any_departures())
		return false;
	know_departures(watch, rel);
	here = name_of(watch, row, RelationGetDescr(rel));
	hash = hash_of_named(&here);
	object = hash_search(moved.objects, &hash, HASH_FIND, NULL);
	for (uint32 i = object == NULL ? NONE : object->latest; i != NONE;
		 i = moved.departures[i].previous)
	{
		KgwNamedRow	named;
		CommandId	command;
		bool		old;

		if (!read_departure(&moved.departures[i], watch, rel, &named, &command, &old) ||
			!is_same_object(&named, &here))
			continue;
		if (old && old_row != NULL && !is_same_row(old_row, &moved.departures[i]))
			return false;
		if (old)
			old_row = &moved.departures[i];
		if (command > version || (found && command <= latest))
			continue;
		found = true;
		latest = command;
		*status = named.status;
	}
	return found;
}

/*
 * Whether the row of an AFTER DELETE trigger, which has been noted, is the only
 * one of its object from before this transaction that the transaction has deleted.
 */
bool
kgw_partition_move_alone(const KgwWatch *watch, Relation rel, HeapTuple row)
{
	KgwNamedRow	gone = name_of(watch, row, RelationGetDescr(rel));
	uint64		hash = hash_of_named(&gone);
	KgwDeparture *old_row = NULL;
	KgwDepartedObject  *object;

	know_departures(watch, rel);
	object = hash_search(moved.objects, &hash, HASH_FIND, NULL);
	for (uint32 i = object == NULL ? NONE : object->latest; i != NONE;
		 i = moved.departures[i].previous)
	{
		KgwNamedRow	named;
		CommandId	command;
		bool		old;

		if (read_departure(&moved.departures[i], watch, rel, &named, &command, &old) &&
			is_same_object(&named, &gone) && old)
		{
			if (old_row != NULL && !is_same_row(old_row, &moved.departures[i]))
				return false;
			old_row = &moved.departures[i];
		}
	}
	return old_row != NULL;
}
