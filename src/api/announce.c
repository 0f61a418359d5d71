/*-------------------------------------------------------------------------
 *
 * announce.c
 *	  Events of what is, rather than of what happens: the present status of
 *	  followed objects, once more.
 *
 * A node that takes over from one that is lost sends what that one may not have
 * sent.  It has the rows and not the transitions: so each object's present status
 * becomes an event, by the same code as a transition's and under the same webhook-id,
 * and receivers drop what they had.
 *
 * src/api/announce.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "fmgr.h"
#include "storage/bufmgr.h"
#include "storage/itemptr.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "capture/trigger.h"

PG_FUNCTION_INFO_V1(kg_announce_row);

/*
 * kgwebhook.announce_row(relation oid, place tid): false when the row is gone.
 */
Datum
kg_announce_row(PG_FUNCTION_ARGS)
{
	Relation	rel = table_open(PG_GETARG_OID(0), AccessShareLock);
	HeapTupleData row = {.t_self = *((ItemPointer) PG_GETARG_POINTER(1))};
	HeapTuple	copy = NULL;
	Buffer		buffer;

	if (rel->rd_rel->relam == HEAP_TABLE_AM_OID &&
		heap_fetch(rel, GetActiveSnapshot(), &row, &buffer, false))
	{
		copy = heap_copytuple(&row);
		ReleaseBuffer(buffer);
		kgw_trigger_announce(rel, copy);
	}
	table_close(rel, AccessShareLock);
	PG_RETURN_BOOL(copy != NULL);
}
