/*-------------------------------------------------------------------------
 *
 * status_check.c
 *	  The door of the ready-made tables.
 *
 * Once a payment has committed, its callback can only be logged as invalid.
 * So the ready-made tables refuse at the door what would end that way, while
 * the caller can still act: an unknown status, a transition that an object can't
 * make, a URL that no attempt could be made to, order_data that no two
 * implementations would canonicalize alike.  A user's own table, watched by
 * kg_watch(), has no such door.
 *
 * A BEFORE trigger, and not CHECK constraints: a transition is a matter of two
 * rows, allow_http can change, and an error has to say what to do.
 *
 * src/capture/status_check.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "pg/guc.h"
#include "pg/jsonb_canonical.h"
#include "pure/url.h"

PG_FUNCTION_INFO_V1(kg_check_transition);

/* Half of what a body may have: the other members need room too. */
#define ORDER_DATA_MAX_BYTES (KGW_CANONICAL_MAX_BYTES / 2)

/* "From" is NULL for creation. */
typedef struct KgwTransition
{
	const char *from;
	const char *to;
} KgwTransition;

typedef struct KgwMachine
{
	const char *name;
	const char *statuses;		/* all of them, for the hint */
	const KgwTransition *transitions;	/* ends with to = NULL */
} KgwMachine;

static const KgwTransition payment_intent_transitions[] = {
	{NULL, "pending"},
	{"pending", "success"},
	{"pending", "expired"},
	{"pending", "cancelled"},
	{"success", "refunded"},
	{"expired", "success"},
	{"expired", "refunded"},
	{"cancelled", "refunded"},
	{NULL, NULL}
};

static const KgwTransition transfer_transitions[] = {
	{NULL, "pending"},
	{"pending", "processing"},
	{"pending", "success"},
	{"pending", "failed"},
	{"pending", "cancelled"},
	{"processing", "success"},
	{"processing", "failed"},
	{NULL, NULL}
};

static const KgwMachine machines[] = {
	{"payment_intent", "pending, success, expired, refunded, cancelled",
	payment_intent_transitions},
	{"transfer", "pending, processing, success, failed, cancelled",
	transfer_transitions},
};

/* A machine by name, or NULL. */
static const KgwMachine *
find_machine(const char *name)
{
	for (size_t i = 0; i < lengthof(machines); i++)
	{
		if (strcmp(machines[i].name, name) == 0)
			return &machines[i];
	}
	return NULL;
}

static bool
is_status(const KgwMachine *machine, const char *status)
{
	for (const KgwTransition *t = machine->transitions; t->to != NULL; t++)
	{
		if (strcmp(t->to, status) == 0)
			return true;
	}
	return false;
}

/* The statuses that can follow "from", for a hint. */
static char *
followers(const KgwMachine *machine, const char *from)
{
	StringInfoData list;

	initStringInfo(&list);
	for (const KgwTransition *t = machine->transitions; t->to != NULL; t++)
	{
		if (t->from == NULL ? from == NULL : from != NULL && strcmp(t->from, from) == 0)
			appendStringInfo(&list, "%s%s", list.len > 0 ? ", " : "", t->to);
	}
	return list.data;
}

static void
refuse_transition(const KgwMachine *machine, const char *from, const char *to)
{
	char	   *allowed = followers(machine, from);

	if (from == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("a new %s cannot be \"%s\"", machine->name, to),
				 errdetail("It begins as %s.", allowed),
				 errhint("Insert it as %s and update its status.", allowed)));
	ereport(ERROR,
			(errcode(ERRCODE_CHECK_VIOLATION),
			 errmsg("%s cannot go from \"%s\" to \"%s\"", machine->name, from, to),
			 *allowed ?
			 errdetail("From \"%s\" it can go to %s.", from, allowed) :
			 errdetail("\"%s\" is final.", from),
			 errhint("Read the status again: another transaction may have changed it.")));
}

static void
check_status(const KgwMachine *machine, const char *from, const char *to)
{
	if (to == NULL)
		return;					/* NOT NULL says so better */
	if (!is_status(machine, to))
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("\"%s\" is not a status of a %s", to, machine->name),
				 errdetail("The statuses are %s.", machine->statuses),
				 errhint("Use one of them, or watch a table of your own with kg_watch().")));
	if (from != NULL && strcmp(from, to) == 0)
		return;
	for (const KgwTransition *t = machine->transitions; t->to != NULL; t++)
	{
		if (strcmp(t->to, to) == 0 &&
			(t->from == NULL ? from == NULL : from != NULL && strcmp(t->from, from) == 0))
			return;
	}
	refuse_transition(machine, from, to);
}

static void
check_url(const char *url)
{
	KgwUrl		parsed;
	const char *reason = kgw_url_parse(url, strlen(url), &parsed);

	if (reason == NULL)
		reason = kgw_url_judge(&parsed, kgw_settings.allow_http, kgw_settings.allowed_ports);
	if (reason != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("callback_url cannot be called"),
				 errdetail("The URL is refused: %s.", reason),
				 errhint("Give a URL such as https://merchant.example/webhooks.")));
}

/* Too heavy to be turned into text at all. */
static void
refuse_weight(const KgwWeight *weight)
{
	if (weight->status == KGW_CANONICAL_TOO_LARGE)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("order_data is too large"),
				 errdetail("It has more than %d bytes; %d are allowed.", KGW_CANONICAL_MAX_BYTES,
						   ORDER_DATA_MAX_BYTES),
				 errhint("Keep the document elsewhere and put a reference into order_data.")));
	ereport(ERROR,
			(errcode(kgw_jsonb_canonical_errcode(weight->status)),
			 errmsg("order_data cannot be canonicalized exactly"),
			 errdetail("%s", kgw_jsonb_canonical_sentence(weight->fault)),
			 errhint("%s", kgw_jcs_status_hint(weight->status))));
}

static void
check_order_data(Jsonb *order_data)
{
	size_t		len;
	const char *text;
	KgwWeight	weight;
	KgwJcs *canonical = kgw_jsonb_canonical_workspace();
	KgwJcsStatus status;
	StringInfoData wrapped;

	kgw_value_weight_begin(&weight, KGW_CANONICAL_MAX_BYTES);
	text = kgw_jsonb_canonical_text(order_data, &weight, &len);
	if (text == NULL)
		refuse_weight(&weight);
	if (len > ORDER_DATA_MAX_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("order_data is too large"),
				 errdetail("It has %zu bytes; %d are allowed.", len, ORDER_DATA_MAX_BYTES),
				 errhint("Keep the document elsewhere and put a reference into order_data.")));

	/* judged where it will stand, one level down in the payload */
	initStringInfo(&wrapped);
	appendStringInfoString(&wrapped, "{\"order_data\":");
	appendBinaryStringInfo(&wrapped, text, len);
	appendStringInfoChar(&wrapped, '}');
	status = kgw_jcs_run(canonical, wrapped.data, wrapped.len, NULL);
	if (status != KGW_CANONICAL_OK)
		ereport(ERROR,
				(errcode(kgw_jsonb_canonical_errcode(status)),
				 errmsg("order_data cannot be canonicalized exactly"),
				 errdetail("%s", kgw_jsonb_canonical_detail(canonical)),
				 *kgw_jcs_hint(canonical) ?
				 errhint("%s", kgw_jcs_hint(canonical)) : 0));
}

static const KgwMachine *
check_fired_before_row(FunctionCallInfo fcinfo)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	const KgwMachine *machine = NULL;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called by trigger manager", "kgwebhook.check_transition")));
	if (TRIGGER_FIRED_BEFORE(data->tg_event) && TRIGGER_FIRED_FOR_ROW(data->tg_event) &&
		(TRIGGER_FIRED_BY_INSERT(data->tg_event) || TRIGGER_FIRED_BY_UPDATE(data->tg_event)) &&
		data->tg_trigger->tgnargs == 1)
		machine = find_machine(data->tg_trigger->tgargs[0]);
	if (machine == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be fired BEFORE ROW by INSERT or UPDATE", "kgwebhook.check_transition"),
				 errdetail("Its one argument must be the kind of object."),
				 errhint("Create the table with kg_create_payment_intents() or kg_create_transfers().")));
	return machine;
}

/* Whether a column has another value in the new row than in the old. */
static bool
column_changed(TupleDesc desc, int attnum, HeapTuple old, HeapTuple new)
{
	bool		old_null,
				new_null;
	Datum		old_value,
				new_value;
	Form_pg_attribute attr = TupleDescAttr(desc, attnum - 1);

	new_value = heap_getattr(new, attnum, desc, &new_null);
	if (new_null)
		return false;
	if (old == NULL)
		return true;
	old_value = heap_getattr(old, attnum, desc, &old_null);
	return old_null || !datumIsEqual(old_value, new_value, attr->attbyval, attr->attlen);
}

/* The row with updated_at set to the transaction's time, if it has the column. */
static HeapTuple
touch(TupleDesc desc, HeapTuple row)
{
	int			attnum = SPI_fnumber(desc, "updated_at");
	Datum		now = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	bool		isnull = false;

	if (attnum <= 0 || SPI_gettypeid(desc, attnum) != TIMESTAMPTZOID)
		return row;
	return heap_modify_tuple_by_cols(row, desc, 1, &attnum, &now, &isnull);
}

/*
 * kgwebhook.check_transition(machine): trigger function of a ready-made table.
 */
Datum
kg_check_transition(PG_FUNCTION_ARGS)
{
	const KgwMachine *machine = check_fired_before_row(fcinfo);
	TriggerData *data = (TriggerData *) fcinfo->context;
	TupleDesc	desc = RelationGetDescr(data->tg_relation);
	bool		is_update = TRIGGER_FIRED_BY_UPDATE(data->tg_event);
	HeapTuple	old = is_update ? data->tg_trigtuple : NULL;
	HeapTuple	new = is_update ? data->tg_newtuple : data->tg_trigtuple;
	int			status = SPI_fnumber(desc, "status");
	int			url = SPI_fnumber(desc, "callback_url");
	int			order_data = SPI_fnumber(desc, "order_data");
	bool		isnull;

	if (status > 0)
		check_status(machine, is_update ? SPI_getvalue(old, desc, status) : NULL,
					 SPI_getvalue(new, desc, status));
	if (url > 0 && column_changed(desc, url, old, new))
		check_url(SPI_getvalue(new, desc, url));
	if (order_data > 0 && SPI_gettypeid(desc, order_data) == JSONBOID &&
		column_changed(desc, order_data, old, new))
		check_order_data(DatumGetJsonbP(heap_getattr(new, order_data, desc, &isnull)));
	return PointerGetDatum(is_update ? touch(desc, new) : new);
}
