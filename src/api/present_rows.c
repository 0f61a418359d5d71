/*-------------------------------------------------------------------------
 *
 * present_rows.c
 *	  Events of what is, rather than of what happens: of rows as they are, for
 *	  announcing followed objects once more and for kg_preview().
 *
 * A node that takes over from one that is lost sends what that one may not have
 * sent.  It has the rows and not the transitions: so each object's present status
 * becomes an event, by the same code as a transition's and under the same webhook-id,
 * and receivers drop what they had.
 *
 * A row that is to be shown goes the same way and is not enqueued, so that what is
 * shown is what is sent: by the columns' present names, through users' casts, with the
 * faults of the row.  It is looked up as the table's owner, with no way out of that
 * role: its types and functions may be of any role's making, and the caller may be a
 * superuser.  Whether the caller may see it is for who calls this (install/preview.sql).
 * The identifier is turned into the column's type, so that an index is of use in a
 * large table; one that isn't of that type is not there.
 *
 * src/api/present_rows.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/tuplestore.h"
#include "utils/typcache.h"

#include "capture/fanout.h"
#include "capture/trigger.h"
#include "capture/watch_cache.h"
#include "pg/compat.h"
#include "pg/error_recovery.h"
#include "pg/extension.h"

PG_FUNCTION_INFO_V1(kg_announce_row);
PG_FUNCTION_INFO_V1(kg_present_event);
PG_FUNCTION_INFO_V1(kg_preview_events);

/* Rows that are shown of those that have the identifier. */
#define SHOWN_MAX 10

typedef struct KgwLookup
{
	Oid			owner;			/* of the table */
	const char *statement;
	Datum		id;				/* text */
	SPITupleTable *rows;		/* (tableoid, ctid) */
	uint64		count;
} KgwLookup;

/* The row at a place, as its trigger would get it; NULL where it can't be read. */
static HeapTuple
read_present_row(Relation rel, ItemPointer place)
{
	TupleTableSlot *slot;
	HeapTuple	row = NULL;

	if (rel->rd_tableam == NULL)	/* a foreign table's */
		return NULL;
	slot = table_slot_create(rel, NULL);
	if (table_tuple_fetch_row_version(rel, place, GetActiveSnapshot(), slot))
		row = ExecCopySlotHeapTuple(slot);
	ExecDropSingleTupleTableSlot(slot);
	return row;
}

/*
 * kgwebhook.announce_row(relation oid, place tid): false when the row is gone.
 */
Datum
kg_announce_row(PG_FUNCTION_ARGS)
{
	Relation	rel = kgw_extension_open_table(PG_GETARG_OID(0), AccessShareLock);
	HeapTuple	row = read_present_row(rel, (ItemPointer) PG_GETARG_POINTER(1));

	if (row != NULL)
		kgw_trigger_announce(rel, row);
	table_close(rel, AccessShareLock);
	PG_RETURN_BOOL(row != NULL);
}

/*
 * Whether anyone is to be told of an event.  What a filter asks of another shape's payload
 * isn't made here: such a subscription alone does not count.
 */
static bool
is_wanted(const KgwNewDelivery *event)
{
	const char *url = event->url;
	ListCell   *lc;

	foreach(lc, kgw_fanout(event->org_id, event->event, &url))
	{
		const KgwReceiver *receiver = lfirst(lc);

		if (receiver->filter == NULL ||
			(receiver->shape == NULL &&
			 kgw_fanout_wants(receiver, event->payload, event->problem == NULL)))
			return true;
	}
	return url != NULL;
}

/*
 * kgwebhook.present_event(relation oid, place tid)
 * -> (org_id, object_id, event, webhook_id, url, wanted); nulls when there is no event
 */
Datum
kg_present_event(PG_FUNCTION_ARGS)
{
	Relation	rel = kgw_extension_open_table(PG_GETARG_OID(0), AccessShareLock);
	HeapTuple	row = read_present_row(rel, (ItemPointer) PG_GETARG_POINTER(1));
	KgwNewDelivery event = {0};
	Datum		values[6] = {0};
	bool		nulls[6];
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	memset(nulls, true, sizeof(nulls));
	if (row != NULL)
		kgw_trigger_preview(rel, row, NULL, &event);
	if (event.event != NULL)
	{
		const char *texts[] = {event.org_id, event.object_id, event.event, event.webhook_id, event.url};

		for (size_t i = 0; i < lengthof(texts); i++)
		{
			nulls[i] = texts[i] == NULL;
			if (!nulls[i])
				values[i] = CStringGetTextDatum(texts[i]);
		}
		nulls[5] = false;
		values[5] = BoolGetDatum(is_wanted(&event));
	}
	table_close(rel, AccessShareLock);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* The condition that a column has the identifier $1. */
static char *
id_condition(const char *column, Oid type)
{
	Oid			operator = lookup_type_cache(type, TYPECACHE_EQ_OPR)->eq_opr;
	HeapTuple	tuple = OidIsValid(operator) ?
		SearchSysCache1(OPEROID, ObjectIdGetDatum(operator)) : NULL;
	Form_pg_operator form;
	char	   *condition;

	if (!HeapTupleIsValid(tuple))
		return psprintf("pg_catalog.format('%%s', %s) OPERATOR(pg_catalog.=) $1", column);
	form = (Form_pg_operator) GETSTRUCT(tuple);
	condition = psprintf("%s OPERATOR(%s.%s) $1::%s", column,
						 quote_identifier(get_namespace_name(form->oprnamespace)),
						 NameStr(form->oprname), format_type_be_qualified(type));
	ReleaseSysCache(tuple);
	return condition;
}

/* The statement that finds the rows of an object, by the column's present name. */
static char *
lookup_statement(Relation rel)
{
	const KgwWatch *watch = kgw_watch_cache_lookup(rel);
	AttrNumber	attnum;
	Oid			type;
	Oid			relid = RelationGetRelid(rel);

	if (watch == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is not watched", RelationGetRelationName(rel)),
				 errhint("SELECT relation FROM kgwebhook.watch shows those that are.")));
	attnum = watch->id.attnum;
	type = watch->id.type;
	kgw_watch_cache_release(watch);
	if (attnum == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("the column that identifies the objects of table \"%s\" no longer exists",
						RelationGetRelationName(rel)),
				 errdetail("It was dropped after kg_watch()."),
				 errhint("Call kg_watch() again with the present column.")));
	return psprintf("SELECT tableoid, ctid FROM %s WHERE %s",
					quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
											   RelationGetRelationName(rel)),
					id_condition(quote_identifier(get_attname(relid, attnum, false)), type));
}

static void
look_up_object(void *arg)
{
	KgwLookup  *l = arg;
	Oid			types[] = {TEXTOID};
	KgwOwnerSection section;

	kgw_extension_owner_begin_restricted(&section, l->owner);
	if (SPI_execute_with_args(l->statement, 1, types, &l->id, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not look up a row");
	l->rows = SPI_tuptable;
	l->count = SPI_processed;
	kgw_extension_owner_end(&section);
}

static void
put_event(ReturnSetInfo *result, const KgwNewDelivery *event)
{
	Datum		values[4] = {0};
	bool		nulls[4] = {0};

	values[0] = CStringGetTextDatum(event->org_id);
	nulls[1] = nulls[2] = event->event == NULL;
	if (event->event != NULL)
	{
		values[1] = CStringGetTextDatum(event->event);
		values[2] = JsonbPGetDatum(event->payload);
	}
	nulls[3] = event->problem == NULL;
	if (event->problem != NULL)
		values[3] = CStringGetTextDatum(event->problem);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* The event of one row; false when it is another organization's. */
static bool
put_preview(ReturnSetInfo *result, Oid relid, ItemPointer place, const char *org_id, int64 number,
			const char *shape)
{
	Relation	rel = kgw_extension_open_table(relid, AccessShareLock);
	HeapTuple	row = read_present_row(rel, place);
	KgwNewDelivery event = {.delivery_id = number};
	bool		wanted = false;

	if (row != NULL)
	{
		kgw_trigger_preview(rel, row, shape, &event);
		wanted = org_id == NULL || strcmp(event.org_id, org_id) == 0;
	}
	if (wanted)
		put_event(result, &event);
	table_close(rel, AccessShareLock);
	return wanted;
}

/* The rows that have the identifier. */
static void
find_rows(Oid relid, KgwLookup *l)
{
	Relation	rel = kgw_extension_open_table(relid, AccessShareLock);
	ErrorData  *error;

	l->owner = rel->rd_rel->relowner;
	l->statement = lookup_statement(rel);
	table_close(rel, NoLock);
	error = kgw_error_recovery_subtransaction(look_up_object, l);
	if (error != NULL && ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_DATA_EXCEPTION)
		ReThrowError(error);
}

/*
 * kgwebhook.preview_events(relation oid, id text, org_id text, number int8, shape text)
 * -> setof (org_id, event, payload, problem)
 */
Datum
kg_preview_events(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	char	   *org_id = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));
	char	   *shape = PG_ARGISNULL(4) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(4));
	KgwLookup	l = {.id = PG_GETARG_DATUM(1)};
	int			shown = 0;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(3))
		return (Datum) 0;
	SPI_connect();
	find_rows(PG_GETARG_OID(0), &l);
	for (uint64 i = 0; i < l.count && shown < SHOWN_MAX; i++)
	{
		bool		isnull;
		Oid			relid = DatumGetObjectId(SPI_getbinval(l.rows->vals[i], l.rows->tupdesc, 1, &isnull));
		Datum		place = SPI_getbinval(l.rows->vals[i], l.rows->tupdesc, 2, &isnull);

		CHECK_FOR_INTERRUPTS();
		if (put_preview(result, relid, (ItemPointer) DatumGetPointer(place), org_id, PG_GETARG_INT64(3),
						shape))
			shown++;
	}
	SPI_finish();
	return (Datum) 0;
}
