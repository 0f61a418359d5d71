/*-------------------------------------------------------------------------
 *
 * unreadable.c
 *	  Rows of the queue whose values are damaged.
 *
 * A long value is stored apart from its row, in pieces or compressed.  When a disk or a
 * mistake has damaged it, reading it is an error; and what a worker cannot read it
 * would read again after its restart, and never get to what others are owed.  So a
 * row that has such a value is unpacked in a subtransaction.  If that fails for damage,
 * and for nothing that passes by itself, each of its values is tried alone: what can't
 * be read is left empty, and the error becomes the row's problem, which is the reason of
 * one invalid attempt.
 *
 * Most rows have no such value, and take no subtransaction.
 *
 * src/queue/unreadable.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

#include "pg/error_recovery.h"
#include "queue/unreadable.h"

/* What is to be done in a subtransaction. */
typedef struct KgwUnpacking
{
	KgwRowValues from;
	MemoryContext context;
	KgwDelivery *row;
	Datum		value;
	Oid			type;
} KgwUnpacking;

/* Whether any value is stored in a way that reading it can fail. */
static bool
has_packed(const KgwRowValues *from, TupleDesc desc)
{
	for (int i = 0; i < KGW_ROW_COLUMN_COUNT; i++)
	{
		if (TupleDescAttr(desc, i)->attlen == -1 && !from->nulls[i] &&
			(VARATT_IS_EXTERNAL(DatumGetPointer(from->values[i])) ||
			 VARATT_IS_COMPRESSED(DatumGetPointer(from->values[i]))))
			return true;
	}
	return false;
}

static void
make_row(void *arg)
{
	KgwUnpacking *unpacking = arg;

	unpacking->row = kgw_delivery_make(&unpacking->from, unpacking->context);
}

static void
unpack_value(void *arg)
{
	KgwUnpacking *unpacking = arg;
	struct varlena *value = detoast_attr((struct varlena *) DatumGetPointer(unpacking->value));

	/* what was compressed may be damaged and yet unpacked */
	if (unpacking->type == JSONBOID)
		(void) JsonbToCString(NULL, &((Jsonb *) value)->root, VARSIZE(value));
}

/* Damage stays as it is at each reading; any other trouble may pass. */
static bool
is_damage(const ErrorData *error)
{
	return ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_TO_CATEGORY(ERRCODE_DATA_CORRUPTED);
}

/* What stands for a value that can't be read. */
static Datum
empty_value(Oid type)
{
	return type == JSONBOID ? DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")) :
		CStringGetTextDatum("");
}

/* The row with nothing in it that can't be read, and why not in place of its problem. */
static KgwRowValues
leave_out_damaged(const KgwRowValues *from, TupleDesc desc, const char *problem)
{
	Datum	   *values = palloc(KGW_ROW_COLUMN_COUNT * sizeof(Datum));
	bool	   *nulls = palloc(KGW_ROW_COLUMN_COUNT * sizeof(bool));

	memcpy(values, from->values, KGW_ROW_COLUMN_COUNT * sizeof(Datum));
	memcpy(nulls, from->nulls, KGW_ROW_COLUMN_COUNT * sizeof(bool));
	for (int i = 0; i < KGW_ROW_COLUMN_COUNT; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);
		KgwUnpacking one = {.value = values[i], .type = column->atttypid};

		if (strcmp(NameStr(column->attname), "problem") == 0)
		{
			values[i] = CStringGetTextDatum(problem);
			nulls[i] = false;
		}
		else if (column->attlen == -1 && !nulls[i] &&
				 kgw_error_recovery_subtransaction(unpack_value, &one) != NULL)
			values[i] = empty_value(column->atttypid);
	}
	return (KgwRowValues) {values, nulls};
}

/*
 * kgw_delivery_make(), for a row that may be damaged: what can't be read of it is
 * empty then, and the row's problem.
 */
KgwDelivery *
kgw_unreadable_guard(const KgwRowValues *from, TupleDesc desc, MemoryContext context)
{
	KgwUnpacking unpacking = {.from = *from, .context = context};
	ErrorData  *error;

	if (!has_packed(from, desc))
		return kgw_delivery_make(from, context);
	error = kgw_error_recovery_subtransaction(make_row, &unpacking);
	if (error == NULL)
		return unpacking.row;
	if (!is_damage(error))
		ReThrowError(error);
	unpacking.from = leave_out_damaged(from, desc,
									   psprintf("the delivery cannot be read from the queue: %s",
												error->message));
	unpacking.row = kgw_delivery_make(&unpacking.from, context);
	unpacking.row->damaged = true;
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("delivery " INT64_FORMAT " cannot be read from kgwebhook.queue",
					unpacking.row->delivery_id),
			 errdetail("%s", error->message),
			 errhint("It becomes a dead letter without what cannot be read; kg_amend() sends it with a payload that you give.")));
	return unpacking.row;
}
