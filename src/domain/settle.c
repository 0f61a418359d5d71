/*-------------------------------------------------------------------------
 *
 * settle.c
 *	  Writing down how attempts ended.
 *
 * Many outcomes go into one transaction, each kind by one set-based statement
 * over arrays: the log first, then what leaves the queue and what stays.  The
 * log is written from memory and not from the queue's rows, so that an attempt
 * is logged even if somebody has deleted its delivery meanwhile.
 *
 * The caller brings the transaction.  It must commit durably before the worker
 * sends the next transition of the same object: until then the delivery is in
 * flight, and a crash sends it once more.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "domain/settle.h"
#include "services/plan.h"
#include "services/text.h"

/* An array parameter that is being filled. */
typedef struct KgwArray
{
	Oid			type;			/* of the elements */
	int			count;
	Datum	   *values;
	bool	   *nulls;
} KgwArray;

static void
array_init(KgwArray *array, Oid type, int room)
{
	array->type = type;
	array->count = 0;
	array->values = palloc(room * sizeof(Datum));
	array->nulls = palloc0(room * sizeof(bool));
}

static void
array_add(KgwArray *array, Datum value)
{
	array->values[array->count++] = value;
}

static void
array_add_null(KgwArray *array)
{
	array->nulls[array->count++] = true;
}

/* UTF-8 of our own making, NULL allowed. */
static void
array_add_wire(KgwArray *array, const char *text, size_t len)
{
	if (text == NULL)
		array_add_null(array);
	else
		array_add(array, CStringGetTextDatum(kgw_text_to_server(text, len)));
}

/* Bytes that a stranger may have had a hand in, NULL allowed. */
static void
array_add_foreign(KgwArray *array, const char *bytes, size_t len)
{
	if (bytes == NULL)
		array_add_null(array);
	else
		array_add(array, CStringGetTextDatum(kgw_text_from_wire(bytes, len)));
}

static Datum
array_datum(const KgwArray *array)
{
	int			lower = 1;
	int			length = 8;
	bool		by_value = FLOAT8PASSBYVAL;
	char		align = TYPALIGN_DOUBLE;

	if (array->type == TEXTOID)
	{
		length = -1;
		by_value = false;
		align = TYPALIGN_INT;
	}
	else if (array->type == INT4OID)
	{
		length = 4;
		by_value = true;
		align = TYPALIGN_INT;
	}
	else if (array->type == BOOLOID)
	{
		length = 1;
		by_value = true;
		align = TYPALIGN_CHAR;
	}
	return PointerGetDatum(construct_md_array(array->values, array->nulls, 1,
											  unconstify(int *, &array->count), &lower,
											  array->type, length, by_value, align));
}

static void
execute(SPIPlanPtr which, Datum *args, int expected)
{
	if (SPI_execute_plan(which, args, NULL, false, 0) != expected)
		elog(ERROR, "could not settle: %s", SPI_result_code_string(SPI_result));
}

/* The log's columns in the order of its INSERT, from 0. */
enum
{
	LOG_DELIVERY_ID, LOG_WEBHOOK_ID, LOG_ORG_ID, LOG_EVENT, LOG_OBJECT_ID,
	LOG_URL, LOG_DESTINATION, LOG_ATTEMPT, LOG_OUTCOME, LOG_FINAL,
	LOG_RESPONSE_STATUS, LOG_RESPONSE_BODY, LOG_ERROR, LOG_REQUEST_BODY,
	LOG_STARTED_AT, LOG_DURATION_MS, LOG_IS_TEST, LOG_COLUMNS
};

static const Oid log_array_types[LOG_COLUMNS] = {
	INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
	TEXTARRAYOID, TEXTARRAYOID, INT4ARRAYOID, TEXTARRAYOID, BOOLARRAYOID,
	INT4ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
	TIMESTAMPTZARRAYOID, FLOAT8ARRAYOID, BOOLARRAYOID
};

static const Oid log_types[LOG_COLUMNS] = {
	INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
	TEXTOID, TEXTOID, INT4OID, TEXTOID, BOOLOID,
	INT4OID, TEXTOID, TEXTOID, TEXTOID,
	TIMESTAMPTZOID, FLOAT8OID, BOOLOID
};

static void
add_row_columns(KgwArray *columns, const KgwRow *row)
{
	array_add(&columns[LOG_DELIVERY_ID], Int64GetDatum(row->delivery_id));
	array_add_wire(&columns[LOG_WEBHOOK_ID], row->webhook_id, strlen(row->webhook_id));
	array_add_wire(&columns[LOG_ORG_ID], row->org_id, strlen(row->org_id));
	array_add_wire(&columns[LOG_EVENT], row->event, strlen(row->event));
	array_add_wire(&columns[LOG_OBJECT_ID], row->object_id, strlen(row->object_id));
	array_add_wire(&columns[LOG_URL], row->url, strlen(row->url));
	array_add_wire(&columns[LOG_DESTINATION], row->destination, strlen(row->destination));
}

static void
add_log_row(KgwArray *columns, const KgwSettlement *settlement)
{
	const KgwAttempt *attempt = settlement->attempt;
	const char *outcome = kgw_outcome_name(attempt->outcome);

	add_row_columns(columns, settlement->row);
	array_add(&columns[LOG_ATTEMPT], Int32GetDatum(attempt->number));
	array_add(&columns[LOG_OUTCOME], CStringGetTextDatum(outcome));
	array_add(&columns[LOG_FINAL], BoolGetDatum(settlement->fate != KGW_FATE_RETRY));
	if (attempt->response_status != 0)
		array_add(&columns[LOG_RESPONSE_STATUS], Int32GetDatum(attempt->response_status));
	else
		array_add_null(&columns[LOG_RESPONSE_STATUS]);
	array_add_foreign(&columns[LOG_RESPONSE_BODY], attempt->response_body, attempt->response_len);
	array_add_foreign(&columns[LOG_ERROR], attempt->error,
					  attempt->error ? strlen(attempt->error) : 0);
	array_add_wire(&columns[LOG_REQUEST_BODY], attempt->body, attempt->body_len);
	array_add(&columns[LOG_STARTED_AT], TimestampTzGetDatum(attempt->started_at));
	array_add(&columns[LOG_DURATION_MS], Float8GetDatum(attempt->duration_ms));
	array_add(&columns[LOG_IS_TEST], BoolGetDatum(settlement->is_test));
}

/* The log's rows come back in the order in which they went in. */
static void
note_attempt_ids(KgwSettlement *settlements, int count)
{
	uint64		at = 0;
	bool		isnull;

	for (int i = 0; i < count && at < SPI_processed; i++)
	{
		if (settlements[i].attempt->expired)
			continue;
		settlements[i].attempt_id = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[at++],
																SPI_tuptable->tupdesc,
																1, &isnull));
	}
}

/*
 * Write the attempts' rows of the log; sets their attempt_id.  Needs SPI to be
 * connected.
 */
void
kgw_settle_log(KgwSettlement *settlements, int count)
{
	static SPIPlanPtr kept;
	KgwArray	columns[LOG_COLUMNS];
	Datum		args[LOG_COLUMNS];

	kgw_plan(&kept,
		 "INSERT INTO kgwebhook.delivery_log (delivery_id, webhook_id, org_id, event,"
		 " object_id, url, destination, attempt, outcome, final, response_status,"
		 " response_body, error, request_body, started_at, duration_ms, is_test)"
		 " SELECT * FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2),"
		 " pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5),"
		 " pg_catalog.unnest($6), pg_catalog.unnest($7), pg_catalog.unnest($8),"
		 " pg_catalog.unnest($9), pg_catalog.unnest($10), pg_catalog.unnest($11),"
		 " pg_catalog.unnest($12), pg_catalog.unnest($13), pg_catalog.unnest($14),"
		 " pg_catalog.unnest($15), pg_catalog.unnest($16), pg_catalog.unnest($17))"
		 " RETURNING attempt_id",
		 LOG_COLUMNS, log_array_types);
	for (int i = 0; i < LOG_COLUMNS; i++)
		array_init(&columns[i], log_types[i], count);
	for (int i = 0; i < count; i++)
	{
		/* what was never tried isn't in the log of attempts */
		if (!settlements[i].attempt->expired)
			add_log_row(columns, &settlements[i]);
	}
	if (columns[0].count == 0)
		return;
	for (int i = 0; i < LOG_COLUMNS; i++)
		args[i] = array_datum(&columns[i]);
	execute(kept, args, SPI_OK_INSERT_RETURNING);
	note_attempt_ids(settlements, count);
	SPI_freetuptable(SPI_tuptable);
}

/* Take what is done out of the queue. */
static void
settle_done(KgwSettlement *settlements, int count)
{
	static SPIPlanPtr kept;
	Oid			types[] = {INT8ARRAYOID};
	KgwArray	ids;
	Datum		args[1];

	array_init(&ids, INT8OID, count);
	for (int i = 0; i < count; i++)
	{
		if (settlements[i].fate == KGW_FATE_DONE)
			array_add(&ids, Int64GetDatum(settlements[i].row->delivery_id));
	}
	if (ids.count == 0)
		return;
	kgw_plan(&kept,
		 "DELETE FROM kgwebhook.queue"
		 " WHERE delivery_id OPERATOR(pg_catalog.=) ANY ($1)", 1, types);
	args[0] = array_datum(&ids);
	execute(kept, args, SPI_OK_DELETE);
}

/* Note when the deliveries that stay are tried again. */
static void
settle_retries(KgwSettlement *settlements, int count)
{
	static SPIPlanPtr kept;
	Oid			types[] = {INT8ARRAYOID, INT4ARRAYOID, TIMESTAMPTZARRAYOID};
	KgwArray	ids,
				attempts,
				times;
	Datum		args[3];

	array_init(&ids, INT8OID, count);
	array_init(&attempts, INT4OID, count);
	array_init(&times, TIMESTAMPTZOID, count);
	for (int i = 0; i < count; i++)
	{
		if (settlements[i].fate != KGW_FATE_RETRY)
			continue;
		array_add(&ids, Int64GetDatum(settlements[i].row->delivery_id));
		array_add(&attempts, Int32GetDatum(settlements[i].attempt->number));
		array_add(&times, TimestampTzGetDatum(settlements[i].next_attempt_at));
	}
	if (ids.count == 0)
		return;
	kgw_plan(&kept,
		 "UPDATE kgwebhook.queue q"
		 "   SET attempts = v.attempts, next_attempt_at = v.next_attempt_at"
		 "  FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3))"
		 "    AS v(delivery_id, attempts, next_attempt_at)"
		 " WHERE q.delivery_id OPERATOR(pg_catalog.=) v.delivery_id", 3, types);
	args[0] = array_datum(&ids);
	args[1] = array_datum(&attempts);
	args[2] = array_datum(&times);
	execute(kept, args, SPI_OK_UPDATE);
}

/* Move what is given up from the queue to the dead letters. */
static void
settle_dead(KgwSettlement *settlements, int count)
{
	static SPIPlanPtr kept;
	Oid			types[] = {INT8ARRAYOID, INT4ARRAYOID, TEXTARRAYOID};
	KgwArray	ids,
				attempts,
				reasons;
	Datum		args[3];

	array_init(&ids, INT8OID, count);
	array_init(&attempts, INT4OID, count);
	array_init(&reasons, TEXTOID, count);
	for (int i = 0; i < count; i++)
	{
		if (settlements[i].fate != KGW_FATE_DEAD)
			continue;
		array_add(&ids, Int64GetDatum(settlements[i].row->delivery_id));
		array_add(&attempts, Int32GetDatum(settlements[i].attempt->number));
		array_add_foreign(&reasons, settlements[i].reason, strlen(settlements[i].reason));
	}
	if (ids.count == 0)
		return;
	kgw_plan(&kept,
		 "WITH gone AS ("
		 " DELETE FROM kgwebhook.queue q"
		 "  USING ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3))"
		 "    AS v(delivery_id, attempts, reason)"
		 "  WHERE q.delivery_id OPERATOR(pg_catalog.=) v.delivery_id"
		 " RETURNING q.*, v.attempts AS made, v.reason)"
		 " INSERT INTO kgwebhook.dead_letter (delivery_id, webhook_id, org_id, event,"
		 " object_id, url, destination, payload, attempts, next_attempt_at, enqueued_at,"
		 " xid, problem, reason)"
		 " SELECT delivery_id, webhook_id, org_id, event, object_id, url, destination,"
		 " payload, made, next_attempt_at, enqueued_at, xid, problem, reason FROM gone",
		 3, types);
	args[0] = array_datum(&ids);
	args[1] = array_datum(&attempts);
	args[2] = array_datum(&reasons);
	execute(kept, args, SPI_OK_INSERT);
}

/*
 * Log the attempts and do to the queue what became of their deliveries.  Needs
 * SPI to be connected, in a transaction of its own.
 */
void
kgw_settle(KgwSettlement *settlements, int count)
{
	kgw_settle_log(settlements, count);
	settle_done(settlements, count);
	settle_dead(settlements, count);
	settle_retries(settlements, count);
}
