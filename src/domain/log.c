/*-------------------------------------------------------------------------
 *
 * log.c
 *	  Writing kgwebhook.delivery_log.
 *
 * Every attempt becomes a row with the bytes that were sent, so this is where a
 * busy worker writes most.  Rows are routed to their day's partition and
 * inserted directly, as COPY does: an INSERT ... SELECT has to build arrays of
 * all columns only to take them apart again.
 *
 * What a stranger had a hand in (answers, and the error texts that quote them)
 * is made valid text on its way in; what we made ourselves goes in as it is.
 *
 * src/domain/log.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "commands/sequence.h"
#include "executor/execPartition.h"
#include "executor/executor.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "domain/log.h"
#include "services/owner.h"
#include "services/text.h"

/* Columns of kgwebhook.delivery_log, from 0. */
enum
{
	LOG_ATTEMPT_ID, LOG_DELIVERY_ID, LOG_WEBHOOK_ID, LOG_ORG_ID, LOG_EVENT,
	LOG_OBJECT_ID, LOG_URL, LOG_DESTINATION, LOG_ATTEMPT, LOG_OUTCOME,
	LOG_FINAL, LOG_RESPONSE_STATUS, LOG_RESPONSE_BODY, LOG_ERROR,
	LOG_REQUEST_BODY, LOG_STARTED_AT, LOG_DURATION_MS, LOG_IS_TEST, LOG_COLUMNS
};

struct KgwLogWriter
{
	Relation	rel;
	Oid			sequence;
	EState	   *estate;
	ModifyTableState *state;	/* what tuple routing needs to see of one */
	ResultRelInfo *root;
	PartitionTupleRouting *routing;
	TupleTableSlot *slot;
};

/*
 * Open the log for writing, in the current transaction.  The writer lives in the
 * current memory context.
 */
KgwLogWriter *
kgw_log_begin(void)
{
	KgwLogWriter *writer = palloc0(sizeof(KgwLogWriter));

	writer->rel = table_open(kgw_relation_oid("delivery_log"), RowExclusiveLock);
	writer->sequence = kgw_relation_oid("attempt_id_seq");
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
set_wire(TupleTableSlot *slot, int column, const char *text, size_t len)
{
	slot->tts_isnull[column] = text == NULL;
	if (text != NULL)
		slot->tts_values[column] = CStringGetTextDatum(kgw_text_to_server(text, len));
}

/* Bytes that a stranger may have had a hand in, NULL allowed. */
static void
set_foreign(TupleTableSlot *slot, int column, const char *bytes, size_t len)
{
	slot->tts_isnull[column] = bytes == NULL;
	if (bytes != NULL)
		slot->tts_values[column] = CStringGetTextDatum(kgw_text_from_wire(bytes, len));
}

static void
set_delivery(TupleTableSlot *slot, const KgwRow *row)
{
	slot->tts_values[LOG_DELIVERY_ID] = Int64GetDatum(row->delivery_id);
	set_wire(slot, LOG_WEBHOOK_ID, row->webhook_id, strlen(row->webhook_id));
	set_wire(slot, LOG_ORG_ID, row->org_id, strlen(row->org_id));
	set_wire(slot, LOG_EVENT, row->event, strlen(row->event));
	set_wire(slot, LOG_OBJECT_ID, row->object_id, strlen(row->object_id));
	set_wire(slot, LOG_URL, row->url, strlen(row->url));
	set_wire(slot, LOG_DESTINATION, row->destination, strlen(row->destination));
}

static void
set_attempt(TupleTableSlot *slot, const KgwAttempt *attempt)
{
	slot->tts_values[LOG_ATTEMPT] = Int32GetDatum(attempt->number);
	slot->tts_values[LOG_OUTCOME] = CStringGetTextDatum(kgw_outcome_name(attempt->outcome));
	slot->tts_values[LOG_RESPONSE_STATUS] = Int32GetDatum(attempt->response_status);
	slot->tts_isnull[LOG_RESPONSE_STATUS] = attempt->response_status == 0;
	set_foreign(slot, LOG_RESPONSE_BODY, attempt->response_body, attempt->response_len);
	set_foreign(slot, LOG_ERROR, attempt->error, attempt->error ? strlen(attempt->error) : 0);
	set_wire(slot, LOG_REQUEST_BODY, attempt->body, attempt->body_len);
	slot->tts_values[LOG_STARTED_AT] = TimestampTzGetDatum(attempt->started_at);
	slot->tts_values[LOG_DURATION_MS] = Float8GetDatum(attempt->duration_ms);
}

/* The row as the partition has it. */
static TupleTableSlot *
convert(KgwLogWriter *writer, ResultRelInfo *partition)
{
#if PG_VERSION_NUM >= 160000
	TupleConversionMap *map = ExecGetRootToChildMap(partition, writer->estate);
#else
	TupleConversionMap *map = partition->ri_RootToPartitionMap;
#endif

	if (map == NULL)
		return writer->slot;
	return execute_attr_map_slot(map->attrMap, writer->slot, partition->ri_PartitionTupleSlot);
}

/* Write an attempt's row; returns its attempt_id. */
int64
kgw_log_write(KgwLogWriter *writer, const KgwLogEntry *entry)
{
	TupleTableSlot *slot = writer->slot;
	MemoryContext caller = MemoryContextSwitchTo(GetPerTupleMemoryContext(writer->estate));
	int64		attempt_id = nextval_internal(writer->sequence, false);
	ResultRelInfo *partition;

	ExecClearTuple(slot);
	memset(slot->tts_isnull, 0, LOG_COLUMNS * sizeof(bool));
	slot->tts_values[LOG_ATTEMPT_ID] = Int64GetDatum(attempt_id);
	set_delivery(slot, entry->row);
	set_attempt(slot, entry->attempt);
	slot->tts_values[LOG_FINAL] = BoolGetDatum(entry->final);
	slot->tts_values[LOG_IS_TEST] = BoolGetDatum(entry->is_test);
	ExecStoreVirtualTuple(slot);

	partition = ExecFindPartition(writer->state, writer->root, writer->routing, slot,
								  writer->estate);
	ExecSimpleRelationInsert(partition, writer->estate, convert(writer, partition));
	MemoryContextSwitchTo(caller);
	ResetPerTupleExprContext(writer->estate);
	return attempt_id;
}

/* Close the log. */
void
kgw_log_end(KgwLogWriter *writer)
{
	ExecDropSingleTupleTableSlot(writer->slot);
	ExecCleanupTupleRouting(writer->state, writer->routing);
	FreeExecutorState(writer->estate);
	table_close(writer->rel, NoLock);
}
