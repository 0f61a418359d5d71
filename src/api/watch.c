/*-------------------------------------------------------------------------
 *
 * watch.c
 *	  kg_watch(), kg_watch_shape(), kg_unwatch() and the ready-made tables.
 *
 * The ready-made tables are created by plain SQL with the caller's rights and
 * in the caller's search_path: they are the caller's payments, and the extension
 * has no more claim to them than to any other watched table.
 *
 * src/api/watch.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "nodes/makefuncs.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/tuplestore.h"
#include "utils/varlena.h"

#include "capture/watch_table.h"
#include "pg/compat.h"
#include "pg/error_recovery.h"
#include "pg/extension.h"

PG_FUNCTION_INFO_V1(kg_watch);
PG_FUNCTION_INFO_V1(kg_watch_shape);
PG_FUNCTION_INFO_V1(kg_unwatch);
PG_FUNCTION_INFO_V1(kg_create_payment_intents);
PG_FUNCTION_INFO_V1(kg_create_transfers);

/* Rows of a table that are looked at for what its events are called and whose they are. */
#define ROWS_LOOKED_AT 10000

static const char payment_intent_columns[] =
"payment_intent_id pg_catalog.text PRIMARY KEY DEFAULT"
" ('pi_' OPERATOR(pg_catalog.||) pg_catalog.replace(pg_catalog.gen_random_uuid()::pg_catalog.text, '-', '')),"
" org_id pg_catalog.text NOT NULL DEFAULT 'default',"
" status pg_catalog.text NOT NULL DEFAULT 'pending',"
" payment_chain_id pg_catalog.text,"
" symbol pg_catalog.text,"
" fiat_amount pg_catalog.numeric,"
" fiat_currency pg_catalog.text,"
" crypto_amount pg_catalog.numeric,"
" received_crypto_amount pg_catalog.numeric,"
" payment_tx_hash pg_catalog.text,"
" refund_tx_hash pg_catalog.text,"
" payment_address pg_catalog.text,"
" payment_deadline pg_catalog.timestamptz,"
" group_key pg_catalog.text,"
" order_data pg_catalog.jsonb,"
" callback_url pg_catalog.text,"
" created_at pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now(),"
" updated_at pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now()";

static const char transfer_columns[] =
"transfer_id pg_catalog.text PRIMARY KEY DEFAULT"
" ('tr_' OPERATOR(pg_catalog.||) pg_catalog.replace(pg_catalog.gen_random_uuid()::pg_catalog.text, '-', '')),"
" org_id pg_catalog.text NOT NULL DEFAULT 'default',"
" status pg_catalog.text NOT NULL DEFAULT 'pending',"
" chain_id pg_catalog.text,"
" symbol pg_catalog.text,"
" amount pg_catalog.numeric,"
" fee pg_catalog.numeric,"
" source_address pg_catalog.text,"
" destination_address pg_catalog.text,"
" tx_hash pg_catalog.text,"
" group_key pg_catalog.text,"
" order_data pg_catalog.jsonb,"
" callback_url pg_catalog.text,"
" created_at pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now(),"
" updated_at pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now()";

static char *
argument_name(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : NameStr(*PG_GETARG_NAME(n));
}

static void
require_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name),
				 errhint("Only url_column, org_column, payload, payload_column and webhook_id_column may be null.")));
}

/* One row of the answer; what is NULL is null. */
static void
put_row(ReturnSetInfo *result, const char *member, const char *source, const char *note)
{
	const char *texts[] = {member, source, note};
	Datum		values[lengthof(texts)] = {0};
	bool		nulls[lengthof(texts)];

	for (size_t i = 0; i < lengthof(texts); i++)
	{
		nulls[i] = texts[i] == NULL;
		if (!nulls[i])
			values[i] = CStringGetTextDatum(texts[i]);
	}
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* What will be sent, and by default isn't: the answer of kg_watch(). */
static void
put_payload(ReturnSetInfo *result, Jsonb *payload, bool payment_intent)
{
	JsonbIterator *it = JsonbIteratorInit(&payload->root);
	JsonbIteratorToken token;
	JsonbValue	value;
	char	   *member = NULL;
	char	   *source;
	const char *missing;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			member = pnstrdup(value.val.string.val, value.val.string.len);
		if (token != WJB_VALUE)
			continue;
		source = pnstrdup(value.val.string.val, value.val.string.len);
		put_row(result, member, source, kgw_computed_member_note(kgw_computed_member_of(source)));
	}
	for (int i = 0; payment_intent &&
		 (missing = kgw_watch_columns_missing(i, payload)) != NULL; i++)
		put_row(result, missing, NULL, "not sent: the table has no such column");
}

/* What a table's first rows have, as arrays of text. */
typedef struct KgwSample
{
	Oid			owner;			/* of the table: as whom it is read */
	char	   *statement;
	Datum		statuses;
	Datum		organizations;
} KgwSample;

/* A column's text as an event has it, of a row that is called r. */
static char *
text_of(Oid relid, const char *column)
{
	char	   *text = psprintf("pg_catalog.format('%%s', r.%s)", quote_identifier(column));
	Oid			type = getBaseType(get_atttype(relid, get_attnum(relid, column)));

	return type == BPCHAROID ? psprintf("pg_catalog.rtrim(%s, ' ')", text) : text;
}

static char *
sample_statement(Relation rel, const KgwWatchRow *row)
{
	Oid			relid = RelationGetRelid(rel);
	char	   *status = text_of(relid, row->status_column);
	char	   *organization = row->org_column == NULL ? "'default'" :
		psprintf("CASE WHEN r.%s IS NULL THEN 'default' ELSE %s END",
				 quote_identifier(row->org_column), text_of(relid, row->org_column));

	return psprintf("SELECT pg_catalog.array_agg(DISTINCT s.status),"
					" pg_catalog.array_agg(DISTINCT s.organization)"
					" FROM (SELECT CASE WHEN r.%s IS NOT NULL THEN %s END, %s FROM %s r LIMIT %d)"
					" s (status, organization) WHERE s.status IS NOT NULL",
					quote_identifier(row->status_column), status, organization,
					quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
											   RelationGetRelationName(rel)),
					ROWS_LOOKED_AT);
}

static Datum
copied_array(int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, &isnull);

	return isnull ? PointerGetDatum(construct_empty_array(TEXTOID)) : value;
}

static void
read_sample(void *arg)
{
	KgwSample  *sample = arg;
	KgwOwnerSection section;

	kgw_extension_owner_begin_restricted(&section, sample->owner);
	if (SPI_execute(sample->statement, false, 0) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not read the table");
	sample->statuses = copied_array(1);
	sample->organizations = copied_array(2);
	kgw_extension_owner_end(&section);
}

/*
 * What is to be known about the table that its columns don't say: the events of its rows,
 * and warnings (install/watch.sql).  It is read as its owner, with no way out of that
 * role; a table that can't be read is watched anyway.
 */
static void
put_notes(ReturnSetInfo *result, Oid relid, const KgwWatchRow *row)
{
	Oid			types[] = {OIDOID, TEXTOID, TEXTARRAYOID, TEXTARRAYOID};
	Datum		args[4];
	Relation	rel = table_open(relid, NoLock);
	KgwSample	sample = {.owner = rel->rd_rel->relowner,.statement = sample_statement(rel, row)};
	KgwOwnerSection section;
	ErrorData  *error;

	table_close(rel, NoLock);
	SPI_connect();
	error = kgw_error_recovery_subtransaction(read_sample, &sample);
	if (error != NULL)
	{
		put_row(result, NULL, NULL, psprintf("warning: the table's rows cannot be read: %s", error->message));
		sample.statuses = sample.organizations = PointerGetDatum(construct_empty_array(TEXTOID));
	}
	args[0] = ObjectIdGetDatum(relid);
	args[1] = CStringGetTextDatum(row->event);
	args[2] = sample.statuses;
	args[3] = sample.organizations;
	kgw_extension_owner_begin(&section);
	if (SPI_execute_with_args("SELECT kgwebhook.watch_notes($1, $2, $3, $4)",
							  4, types, args, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not look at the table's triggers");
	kgw_extension_owner_end(&section);
	for (uint64 i = 0; i < SPI_processed; i++)
		put_row(result, NULL, NULL, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1));
	SPI_finish();
}

/*
 * kg_watch(relation, event, id_column, status_column, url_column, org_column,
 * payload, payload_column, webhook_id_column) -> SETOF (member, source, note)
 */
Datum
kg_watch(PG_FUNCTION_ARGS)
{
	KgwWatchRow row = {0};
	Jsonb	   *payload;

	require_argument(fcinfo, 0, "relation");
	require_argument(fcinfo, 1, "event");
	require_argument(fcinfo, 2, "id_column");
	require_argument(fcinfo, 3, "status_column");
	row.event = text_to_cstring(PG_GETARG_TEXT_PP(1));
	row.id_column = argument_name(fcinfo, 2);
	row.status_column = argument_name(fcinfo, 3);
	row.url_column = argument_name(fcinfo, 4);
	row.org_column = argument_name(fcinfo, 5);
	row.payload = PG_ARGISNULL(6) ? NULL : PG_GETARG_VARLENA_P(6);
	row.payload_column = argument_name(fcinfo, 7);
	row.webhook_id_column = argument_name(fcinfo, 8);
	InitMaterializedSRF(fcinfo, 0);
	payload = kgw_watch_table_begin(PG_GETARG_OID(0), &row);
	if (row.payload_column != NULL)
		put_row((ReturnSetInfo *) fcinfo->resultinfo, NULL, row.payload_column, "the payload is what this column has");
	else
		put_payload((ReturnSetInfo *) fcinfo->resultinfo, payload,
					row.payload == NULL && strcmp(row.event, "payment_intent") == 0);
	put_notes((ReturnSetInfo *) fcinfo->resultinfo, PG_GETARG_OID(0), &row);
	return (Datum) 0;
}

/*
 * kg_watch_shape(relation, shape, payload)
 */
Datum
kg_watch_shape(PG_FUNCTION_ARGS)
{
	require_argument(fcinfo, 0, "relation");
	require_argument(fcinfo, 1, "shape");
	kgw_watch_table_shape(PG_GETARG_OID(0), PG_GETARG_TEXT_PP(1),
						  PG_ARGISNULL(2) ? NULL : PG_GETARG_JSONB_P(2));
	PG_RETURN_VOID();
}

/*
 * kg_unwatch(relation)
 */
Datum
kg_unwatch(PG_FUNCTION_ARGS)
{
	kgw_watch_table_end(PG_GETARG_OID(0));
	PG_RETURN_VOID();
}

/* Create the table that the caller named, where CREATE TABLE would. */
static Oid
create_ready_made(const char *name, const char *columns)
{
	RangeVar   *range = makeRangeVarFromNameList(kgw_compat_qualified_name(name));
	Oid			schema = RangeVarGetCreationNamespace(range);
	char	   *qualified = quote_qualified_identifier(get_namespace_name(schema),
													   range->relname);

	SPI_connect();
	SPI_execute(psprintf("CREATE TABLE %s (%s)", qualified, columns), false, 0);
	SPI_finish();
	return get_relname_relid(range->relname, schema);
}

static Oid
create_watched(const char *name, const char *columns, const char *event, const char *id_column)
{
	Oid			relid = create_ready_made(name, columns);
	KgwWatchRow row = {
		.event = unconstify(char *, event),
		.id_column = unconstify(char *, id_column),
		.status_column = "status",
		.url_column = "callback_url",
		.org_column = "org_id",
		.payload = NULL
	};

	kgw_watch_table_guard(relid, event);
	(void) kgw_watch_table_begin(relid, &row);
	return relid;
}

/*
 * kg_create_payment_intents(table_name text) -> regclass
 */
Datum
kg_create_payment_intents(PG_FUNCTION_ARGS)
{
	PG_RETURN_OID(create_watched(text_to_cstring(PG_GETARG_TEXT_PP(0)),
								 payment_intent_columns,
								 "payment_intent", "payment_intent_id"));
}

/*
 * kg_create_transfers(table_name text) -> regclass
 */
Datum
kg_create_transfers(PG_FUNCTION_ARGS)
{
	PG_RETURN_OID(create_watched(text_to_cstring(PG_GETARG_TEXT_PP(0)),
								 transfer_columns, "transfer", "transfer_id"));
}
