/*-------------------------------------------------------------------------
 *
 * watch_columns.c
 *	  From names in kgwebhook.watch to columns of a table and members of a payload.
 *
 * Columns go by their numbers, so that one that has been renamed is still found;
 * in a restored copy, where numbers can be others, by the names they had.  A
 * partition's are found by name, since partitions number their columns as they
 * like.
 *
 * A column that kg_watch() was told of and that is gone is not an error here:
 * the payment has to commit.  It is kept as the watch's problem, and becomes
 * the reason of an invalid delivery.
 *
 * src/capture/watch_columns.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"

#include "capture/watch_cache.h"
#include "pg/compat.h"

/* The members of a payment intent (design A1), which are its default payload. */
static const char *const payment_intent_members[] = {
	"payment_intent_id", "status", "payment_chain_id", "symbol",
	"fiat_amount", "fiat_currency", "crypto_amount",
	"received_crypto_amount", "payment_tx_hash", "order_data", "callback_url"
};

/*
 * Whether a column's value is not in the row, but computed when it is read: a trigger
 * sees NULL there.
 */
bool
kgw_watch_columns_is_virtual(Relation rel, const char *column)
{
	AttrNumber	attnum = get_attnum(RelationGetRelid(rel), column);

	return attnum > 0 && TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attgenerated ==
		KGW_COMPAT_GENERATED_VIRTUAL;
}

/* Resolve a column by name; false when the table doesn't have it, or not in its rows. */
static bool
resolve_column(Relation rel, const KgwWatchRow *row, const char *name, KgwColumn *column)
{
	TupleDesc	desc = RelationGetDescr(rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(desc, i);

		if (attr->attisdropped || attr->attgenerated == KGW_COMPAT_GENERATED_VIRTUAL ||
			strcmp(NameStr(attr->attname), name) != 0)
			continue;
		column->attnum = attr->attnum;
		kgw_column_kind_set(column, attr->atttypid, row->money_digits);
		return true;
	}
	return false;
}

/* What a column that kg_watch() was told of is called now. */
static const char *
present_name(const KgwWatchRow *row, const char *name)
{
	JsonbValue *number;
	char	   *present;

	if (row->numbers == NULL)
		return name;
	number = getKeyJsonValueFromContainer(&((Jsonb *) row->numbers)->root, name,
										  strlen(name), NULL);
	if (number == NULL || number->type != jbvNumeric)
		return name;
	present = get_attname(row->relation,
						  DatumGetInt16(DirectFunctionCall1(numeric_int2,
															NumericGetDatum(number->val.numeric))),
						  true);
	return present != NULL ? present : name;
}

/* As above, for a column that must be there: its absence is the problem. */
static void
require_column(char **problem, const KgwWatchRow *row, Relation rel, const char *name,
			   KgwColumn *column)
{
	if (name == NULL || resolve_column(rel, row, present_name(row, name), column))
		return;
	column->attnum = InvalidAttrNumber;
	if (*problem == NULL)
		*problem = psprintf("column \"%s\" of the watched table no longer exists", name);
}

static void
add_member(KgwShape *shape, const char *name, KgwComputed computed, const KgwColumn *column)
{
	KgwMember  *member = &shape->members[shape->member_count++];

	member->name = pstrdup(name);
	member->computed = computed;
	member->column = *column;
	if (column->kind == KGW_COLUMN_CONVERTED)
		shape->can_fail = true;
}

static void
push_text(KgwCompatJsonbState *state, JsonbIteratorToken token, const char *text)
{
	JsonbValue	value;

	value.type = jbvString;
	value.val.string.val = pstrdup(text);
	value.val.string.len = strlen(text);
	kgw_compat_push_jsonb(state, token, &value);
}

static void
push_default(KgwCompatJsonbState *state, Relation rel, const char *member, const char *column)
{
	if (column == NULL || get_attnum(RelationGetRelid(rel), column) <= 0 ||
		kgw_watch_columns_is_virtual(rel, column))
		return;
	push_text(state, WJB_KEY, member);
	push_text(state, WJB_VALUE, column);
}

/*
 * The default payload of a payment intent: A1's members, of which id, status
 * and URL are taken from the columns that were named for them.
 */
static void
push_payment_intent(KgwCompatJsonbState *state, const KgwWatchRow *row, Relation rel)
{
	for (size_t i = 0; i < lengthof(payment_intent_members); i++)
	{
		const char *name = payment_intent_members[i];
		const char *column = name;

		if (strcmp(name, "payment_intent_id") == 0)
			column = row->id_column;
		else if (strcmp(name, "status") == 0)
			column = row->status_column;
		else if (strcmp(name, "callback_url") == 0)
			column = row->url_column;
		push_default(state, rel, name, column);
	}
}

/*
 * The i-th member of a payment intent that a default payload lacks, because the
 * table has no such column, or NULL.
 */
const char *
kgw_watch_columns_missing(int i, Jsonb *payload)
{
	for (size_t n = 0; n < lengthof(payment_intent_members); n++)
	{
		const char *name = payment_intent_members[n];

		if (getKeyJsonValueFromContainer(&payload->root, name, strlen(name), NULL) == NULL &&
			i-- == 0)
			return name;
	}
	return NULL;
}

static void
push_computed(KgwCompatJsonbState *state, Relation rel, const char *member, const char *source)
{
	if (get_attnum(RelationGetRelid(rel), member) > 0)
		return;
	push_text(state, WJB_KEY, member);
	push_text(state, WJB_VALUE, source);
}

/*
 * Another event's default payload: every column but the organization's, and what
 * the event is.
 */
static void
push_all_columns(KgwCompatJsonbState *state, const KgwWatchRow *row, Relation rel)
{
	TupleDesc	desc = RelationGetDescr(rel);
	const char *org_column = row->org_column != NULL ? row->org_column : "org_id";

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(desc, i);

		if (!attr->attisdropped && strcmp(NameStr(attr->attname), org_column) != 0)
			push_default(state, rel, NameStr(attr->attname), NameStr(attr->attname));
	}
	push_computed(state, rel, "type", "$type");
	push_computed(state, rel, "event_id", "$event_id");
	push_computed(state, rel, "occurred_at", "$occurred_at");
}

/*
 * The payload, member to column, of who has asked for none in particular: what
 * the table has now.  A column that comes later may be nobody's business.
 */
Jsonb *
kgw_watch_columns_default_payload(const KgwWatchRow *row, Relation rel)
{
	KgwCompatJsonbState state = {0};

	kgw_compat_push_jsonb(&state, WJB_BEGIN_OBJECT, NULL);
	if (strcmp(row->event, "payment_intent") == 0)
		push_payment_intent(&state, row, rel);
	else
		push_all_columns(&state, row, rel);
	kgw_compat_push_jsonb(&state, WJB_END_OBJECT, NULL);
	return JsonbValueToJsonb(state.result);
}

/* Of a default payload, a column that is gone was nobody's wish. */
static void
add_mapped_members(KgwShape *shape, const KgwWatchRow *row, Relation rel, Jsonb *payload)
{
	JsonbIterator *it = JsonbIteratorInit(&payload->root);
	JsonbIteratorToken token;
	JsonbValue	value;
	char	   *name = NULL;

	shape->members = palloc0(Max(JB_ROOT_COUNT(payload), 1) * sizeof(KgwMember));
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		KgwColumn	column = {0};
		KgwComputed computed;
		char	   *source;

		if (token == WJB_KEY)
			name = pnstrdup(value.val.string.val, value.val.string.len);
		if (token != WJB_VALUE)
			continue;
		source = pnstrdup(value.val.string.val, value.val.string.len);
		computed = kgw_computed_member_of(source);
		if (computed != KGW_COMPUTED_NONE)
			;					/* no column */
		else if (row->payload_is_default)
		{
			resolve_column(rel, row, present_name(row, source), &column);
			shape->shrunk |= column.attnum == InvalidAttrNumber;
		}
		else
			require_column(&shape->problem, row, rel, source, &column);
		if (computed != KGW_COMPUTED_NONE || column.attnum != InvalidAttrNumber)
			add_member(shape, name, computed, &column);
	}
}

/* The order in which jsonb keeps its keys: shorter ones first. */
static int
compare_members(const void *a, const void *b)
{
	const char *x = ((const KgwMember *) a)->name;
	const char *y = ((const KgwMember *) b)->name;
	size_t		x_len = strlen(x);
	size_t		y_len = strlen(y);

	if (x_len != y_len)
		return x_len < y_len ? -1 : 1;
	return memcmp(x, y, x_len);
}

/* The members of one payload, in the order in which jsonb keeps them: nothing is to be sorted for each event. */
static void
resolve_shape(KgwShape *shape, const KgwWatchRow *row, Relation rel, Jsonb *payload)
{
	add_mapped_members(shape, row, rel, payload);
	qsort(shape->members, shape->member_count, sizeof(KgwMember), compare_members);
}

static void
resolve_shapes(KgwWatch *watch, const KgwWatchRow *row, Relation rel)
{
	ListCell   *lc;

	watch->shapes = palloc0((1 + list_length(row->shapes)) * sizeof(KgwShape));
	watch->shape_count = 1;
	if (row->payload_column == NULL)
		resolve_shape(watch->shapes, row, rel, row->payload != NULL ? (Jsonb *) row->payload :
					  kgw_watch_columns_default_payload(row, rel));
	foreach(lc, row->shapes)
	{
		const KgwShapeRow *named = lfirst(lc);
		KgwShape   *shape = &watch->shapes[watch->shape_count++];
		KgwWatchRow as_row = *row;

		as_row.numbers = named->numbers;
		as_row.payload_is_default = false;
		shape->name = pstrdup(named->name);
		resolve_shape(shape, &as_row, rel, (Jsonb *) named->payload);
	}
}

/* Refuse a payload's column that could not be sent as it is. */
void
kgw_watch_columns_check_payload(const KgwWatchRow *row, Relation rel)
{
	Oid			relid = RelationGetRelid(rel);

	if (row->payload_column == NULL)
		return;
	if (row->payload != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("payload and payload_column are given both"),
				 errdetail("The payload is made of columns, or it stands in one."),
				 errhint("Give one of them only.")));
	if (get_atttype(relid, get_attnum(relid, row->payload_column)) != JSONBOID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" is not of type jsonb", row->payload_column),
				 errdetail("It was given for payload_column."),
				 errhint("Make it a column of type jsonb.")));
}

/*
 * Resolve a row of kgwebhook.watch against a table or one of its partitions.
 * The result is allocated in the current memory context.
 */
KgwWatch *
kgw_watch_columns_resolve(const KgwWatchRow *row, Relation rel)
{
	KgwWatch   *watch = palloc0(sizeof(KgwWatch));

	watch->relation = row->relation;
	watch->event = pstrdup(row->event);
	watch->owner = rel->rd_rel->relowner;
	require_column(&watch->problem, row, rel, row->id_column, &watch->id);
	require_column(&watch->problem, row, rel, row->status_column, &watch->status);
	require_column(&watch->problem, row, rel, row->url_column, &watch->url);
	require_column(&watch->problem, row, rel, row->org_column, &watch->org);
	require_column(&watch->problem, row, rel, row->payload_column, &watch->payload);
	require_column(&watch->problem, row, rel, row->webhook_id_column, &watch->webhook_id);
	if (row->source != NULL)
	{
		watch->source = pstrdup(row->source);
		watch->node = pstrdup(row->node);
		if (row->version_column != NULL)
			(void) resolve_column(rel, row, present_name(row, row->version_column), &watch->version);
	}
	watch->status_gone = watch->status.attnum == InvalidAttrNumber;
	watch->url_gone = row->url_column != NULL && watch->url.attnum == InvalidAttrNumber;
	resolve_shapes(watch, row, rel);
	return watch;
}
