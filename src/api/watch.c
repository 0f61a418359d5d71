/*-------------------------------------------------------------------------
 *
 * watch.c
 *	  kg_watch(), kg_unwatch() and the ready-made tables.
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

#include "catalog/namespace.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/varlena.h"

#include "capture/watch_table.h"
#include "pg/compat.h"

PG_FUNCTION_INFO_V1(kg_watch);
PG_FUNCTION_INFO_V1(kg_unwatch);
PG_FUNCTION_INFO_V1(kg_create_payment_intents);
PG_FUNCTION_INFO_V1(kg_create_transfers);

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
				 errhint("Only url_column, org_column and payload may be null.")));
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

/*
 * kg_watch(relation, event, id_column, status_column, url_column, org_column,
 * payload) -> SETOF (member, source, note)
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
	InitMaterializedSRF(fcinfo, 0);
	payload = kgw_watch_table_begin(PG_GETARG_OID(0), &row);
	put_payload((ReturnSetInfo *) fcinfo->resultinfo, payload,
				row.payload == NULL && strcmp(row.event, "payment_intent") == 0);
	return (Datum) 0;
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
