/*-------------------------------------------------------------------------
 *
 * delivery_log.c
 *	  Writing kgwebhook.delivery_log.
 *
 * Every attempt becomes a row with the bytes that were sent, so this is where a
 * busy worker writes most.  Rows are routed to their day's partition and
 * inserted directly, as COPY does, as many at a time as fill some pages: a page
 * is locked, filled and written to the WAL once, not once a row.  (An INSERT ...
 * SELECT would besides have to build arrays of all columns only to take them
 * apart again.)  The rows of a writer are in the table when it has ended, not
 * before.
 *
 * What a receiver had a hand in (answers, and the error texts that quote them)
 * is made valid text on its way in; what we made ourselves goes in as it is.
 *
 * src/settle/delivery_log.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/tupconvert.h"
#include "commands/sequence.h"
#include "executor/execPartition.h"
#include "executor/executor.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "pg/compat.h"
#include "pg/encoding.h"
#include "pg/extension.h"
#include "settle/delivery_log.h"

/* Columns of kgwebhook.delivery_log, from 0. */
enum
{
	LOG_ATTEMPT_ID, LOG_DELIVERY_ID, LOG_WEBHOOK_ID, LOG_ORG_ID, LOG_EVENT,
	LOG_KIND, LOG_OBJECT_ID, LOG_URL, LOG_DESTINATION, LOG_ATTEMPT, LOG_OUTCOME,
	LOG_FINAL, LOG_RESPONSE_STATUS, LOG_RESPONSE_BODY, LOG_ERROR,
	LOG_REQUEST_BODY, LOG_STARTED_AT, LOG_DURATION_MS, LOG_IS_TEST, LOG_SUBSCRIPTION_ID,
	LOG_XID, LOG_ENQUEUED_AT,
	LOG_COLUMNS
};

/* Rows that go into a partition together. */
#define TOGETHER 64

struct KgwLogWriter
{
	Relation	rel;
	Oid			sequence;
	EState	   *estate;
	ModifyTableState *state;	/* what tuple routing needs to see of one */
	ResultRelInfo *root;
	PartitionTupleRouting *routing;
	TupleTableSlot *slot;		/* a row as the log has it */
	Datum		values[LOG_COLUMNS];	/* and as we know it */
	bool		isnull[LOG_COLUMNS];

	/* rows that wait, all for one partition and as it has them */
	ResultRelInfo *partition;
	int			waiting;
	TupleTableSlot *rows[TOGETHER];
};

/*
 * Open the log for writing, in the current transaction.  The writer lives in the
 * current memory context.
 */
KgwLogWriter *
kgw_delivery_log_begin(void)
{
	KgwLogWriter *writer = palloc0(sizeof(KgwLogWriter));

	writer->rel = table_open(kgw_extension_relation("delivery_log"), RowExclusiveLock);

	/* a day that is attached in between would leave us with the days of before */
	LockRelationOid(kgw_extension_relation("delivery_log_default"), RowExclusiveLock);
	writer->sequence = kgw_extension_relation("attempt_id_seq");
	writer->estate = CreateExecutorState();
	writer->root = makeNode(ResultRelInfo);
	InitResultRelInfo(writer->root, writer->rel, 0, NULL, 0);
	writer->state = makeNode(ModifyTableState);
	writer->state->ps.state = writer->estate;
	writer->state->operation = CMD_INSERT;
	writer->state->mt_nrels = 1;
	writer->state->resultRelInfo = writer->root;
	writer->state->rootResultRelInfo = writer->root;
	writer->routing = ExecSetupPartitionTupleRouting(writer->estate, writer->rel);
	writer->slot = MakeSingleTupleTableSlot(RelationGetDescr(writer->rel), &TTSOpsVirtual);
	return writer;
}

/* UTF-8 of our own making, NULL allowed. */
static void
set_wire(KgwLogWriter *writer, int column, const char *text, size_t len)
{
	const char *own;

	writer->isnull[column] = text == NULL;
	if (text == NULL)
		return;
	own = kgw_encoding_to_server(text, len);
	writer->values[column] =
		PointerGetDatum(cstring_to_text_with_len(own, own == text ? len : strlen(own)));
}

/* Bytes that a receiver may have had a hand in, NULL allowed. */
static void
set_foreign(KgwLogWriter *writer, int column, const char *bytes, size_t len)
{
	writer->isnull[column] = bytes == NULL;
	if (bytes != NULL)
		writer->values[column] = CStringGetTextDatum(kgw_encoding_from_wire(bytes, len));
}

static void
set_delivery(KgwLogWriter *writer, const KgwDelivery *row)
{
	writer->values[LOG_DELIVERY_ID] = Int64GetDatum(row->delivery_id);
	set_wire(writer, LOG_WEBHOOK_ID, row->webhook_id, strlen(row->webhook_id));
	set_wire(writer, LOG_ORG_ID, row->org_id, strlen(row->org_id));
	set_wire(writer, LOG_EVENT, row->event, strlen(row->event));
	set_wire(writer, LOG_KIND, row->kind, strlen(row->kind));
	set_wire(writer, LOG_OBJECT_ID, row->object_id, strlen(row->object_id));
	set_wire(writer, LOG_URL, row->url, strlen(row->url));
	set_wire(writer, LOG_DESTINATION, row->destination, strlen(row->destination));
	writer->values[LOG_SUBSCRIPTION_ID] = Int64GetDatum(row->subscription_id);
	writer->isnull[LOG_SUBSCRIPTION_ID] = row->subscription_id == 0;
	writer->values[LOG_XID] = FullTransactionIdGetDatum(row->xid);
	writer->isnull[LOG_XID] = !FullTransactionIdIsValid(row->xid);
	writer->values[LOG_ENQUEUED_AT] = TimestampTzGetDatum(row->enqueued_at);
	writer->isnull[LOG_ENQUEUED_AT] = !FullTransactionIdIsValid(row->xid);
}

static void
set_attempt(KgwLogWriter *writer, const KgwAttempt *attempt)
{
	writer->values[LOG_ATTEMPT] = Int32GetDatum(attempt->number);
	writer->values[LOG_OUTCOME] = CStringGetTextDatum(kgw_outcome_name(attempt->outcome));
	writer->values[LOG_RESPONSE_STATUS] = Int32GetDatum(attempt->response_status);
	writer->isnull[LOG_RESPONSE_STATUS] = attempt->response_status == 0;
	set_foreign(writer, LOG_RESPONSE_BODY, attempt->response_body, attempt->response_len);
	set_foreign(writer, LOG_ERROR, attempt->error, attempt->error ? strlen(attempt->error) : 0);
	set_wire(writer, LOG_REQUEST_BODY, attempt->body, attempt->body_len);
	writer->values[LOG_STARTED_AT] = TimestampTzGetDatum(attempt->started_at);
	writer->values[LOG_DURATION_MS] = Float8GetDatum(attempt->duration_ms);
}

/*
 * Put the row together.  The table may be a newer version's, with columns that we
 * don't know, or an older one's that lacks some (see version.c).
 */
static void
fill_log_slot(KgwLogWriter *writer)
{
	TupleTableSlot *slot = writer->slot;
	int			columns = Min(slot->tts_tupleDescriptor->natts, LOG_COLUMNS);

	ExecStoreAllNullTuple(slot);
	memcpy(slot->tts_values, writer->values, columns * sizeof(Datum));
	memcpy(slot->tts_isnull, writer->isnull, columns * sizeof(bool));
}

/* The partition that the row in the writer's slot belongs to. */
static ResultRelInfo *
find_partition(KgwLogWriter *writer)
{
	return ExecFindPartition(writer->state, writer->root, writer->routing, writer->slot,
							 writer->estate);
}

/* Copy the row in the writer's slot as the partition has it. */
static void
copy_row(KgwLogWriter *writer, TupleTableSlot *row)
{
	TupleConversionMap *map = kgw_compat_root_to_child_map(writer->partition, writer->estate);

	if (map == NULL)
		ExecCopySlot(row, writer->slot);
	else
	{
		execute_attr_map_slot(map->attrMap, writer->slot, row);
		ExecMaterializeSlot(row);
	}
}

/*
 * The index entries of the rows that wait, one index after the other: its upper pages, and the
 * page at its end, where most entries go, stay in the processor's cache.
 */
static void
insert_index_entries(KgwLogWriter *writer)
{
	for (int i = 0; i < writer->partition->ri_NumIndices; i++)
	{
		ResultRelInfo with_one = *writer->partition;

		with_one.ri_NumIndices = 1;
		with_one.ri_IndexRelationDescs += i;
		with_one.ri_IndexRelationInfo += i;
		for (int row = 0; row < writer->waiting; row++)
			list_free(kgw_compat_insert_index_tuples(&with_one, writer->rows[row],
													 writer->estate));
	}
}

/* Insert the rows that wait, and their index entries. */
static void
insert_waiting(KgwLogWriter *writer)
{
	MemoryContext caller = MemoryContextSwitchTo(GetPerTupleMemoryContext(writer->estate));

	table_multi_insert(writer->partition->ri_RelationDesc, writer->rows, writer->waiting,
					   GetCurrentCommandId(true), 0, NULL);
	insert_index_entries(writer);
	MemoryContextSwitchTo(caller);
	writer->waiting = 0;
}

/* Let the row in the writer's slot wait for others. */
static void
add_waiting(KgwLogWriter *writer, ResultRelInfo *partition)
{
	TupleTableSlot **row;

	if (writer->waiting == TOGETHER || (partition != writer->partition && writer->waiting > 0))
		insert_waiting(writer);
	if (partition != writer->partition)
	{
		for (int i = 0; i < TOGETHER && writer->rows[i] != NULL; i++)
		{
			ExecDropSingleTupleTableSlot(writer->rows[i]);
			writer->rows[i] = NULL;
		}
		writer->partition = partition;
	}
	row = &writer->rows[writer->waiting];
	if (*row == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(writer->estate->es_query_cxt);

		*row = table_slot_create(partition->ri_RelationDesc, NULL);
		MemoryContextSwitchTo(caller);
	}
	copy_row(writer, *row);
	(*row)->tts_tableOid = RelationGetRelid(partition->ri_RelationDesc);
	if (partition->ri_RelationDesc->rd_att->constr != NULL)
		ExecConstraints(partition, *row, writer->estate);
	writer->waiting++;
}

/* Write an attempt's row; returns its attempt_id. */
int64
kgw_delivery_log_write(KgwLogWriter *writer, const KgwLogEntry *entry)
{
	MemoryContext caller = MemoryContextSwitchTo(GetPerTupleMemoryContext(writer->estate));
	int64		attempt_id = nextval_internal(writer->sequence, false);

	memset(writer->isnull, 0, sizeof(writer->isnull));
	writer->values[LOG_ATTEMPT_ID] = Int64GetDatum(attempt_id);
	set_delivery(writer, entry->row);
	set_attempt(writer, entry->attempt);
	writer->values[LOG_FINAL] = BoolGetDatum(entry->final);
	writer->values[LOG_IS_TEST] = BoolGetDatum(entry->is_test);
	fill_log_slot(writer);
	add_waiting(writer, find_partition(writer));
	MemoryContextSwitchTo(caller);
	ResetPerTupleExprContext(writer->estate);
	return attempt_id;
}

/* Insert what still waits, and close the log. */
void
kgw_delivery_log_end(KgwLogWriter *writer)
{
	if (writer->waiting > 0)
		insert_waiting(writer);
	for (int i = 0; i < TOGETHER && writer->rows[i] != NULL; i++)
		ExecDropSingleTupleTableSlot(writer->rows[i]);
	ExecDropSingleTupleTableSlot(writer->slot);
	ExecCleanupTupleRouting(writer->state, writer->routing);
	FreeExecutorState(writer->estate);
	table_close(writer->rel, NoLock);
}
