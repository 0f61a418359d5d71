/*-------------------------------------------------------------------------
 *
 * payload.c
 *	  The payload of an event, from a row of a watched table.
 *
 * This runs in the transaction of the payment, so it must not fail it.  Columns
 * of the built-in kinds can't fail.  Those that can (json whose text jsonb
 * refuses, arrays, composites, types of other extensions) are converted in a
 * subtransaction, which is why it is only opened for tables that have such
 * columns; what goes wrong becomes the delivery's problem, in words, and the
 * payload goes on without those members.  The same holds for a value that can't
 * be sent for its weight or its depth (value_weight.c), and for a row that is larger than
 * any receiver would take: it isn't even detoasted.
 *
 * Converting such a column may run untrusted code: to_jsonb() looks for a
 * cast to json, which the owner of a type can define at will.  The trigger has
 * the rights of the extension's owner, so for that the role becomes the table's
 * owner, who chose the type.  Output functions are always PostgreSQL's or a
 * superuser's.
 *
 * Timestamp and signature belong to an attempt and are not put in here.
 *
 * src/capture/payload.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "capture/value/column_value.h"
#include "capture/payload.h"
#include "capture/value/value_style.h"
#include "pg/compat.h"
#include "pg/error_recovery.h"
#include "pg/extension.h"
#include "pg/value_weight.h"
#include "pure/jcs/jcs.h"
#include "pure/limits.h"

/*
 * Up to this depth jsonb is copied without a guard: a recursion that takes less
 * of the stack than any statement does.
 */
#define DEPTH_UNGUARDED 64

/* Text of the numbers in a column that is converted, before a cast makes less of it. */
#define CONVERTED_MAX_BYTES (16 * KGW_CANONICAL_MAX_BYTES)

/* A payload that is being built. */
typedef struct KgwBuild
{
	Oid			owner;			/* of the table */
	const KgwShape *shape;
	HeapTuple	tuple;
	TupleDesc	desc;
	const KgwEventFacts *facts;
	KgwWeight	weight;			/* of the members so far */
	char	   *problem;		/* why some member is left out, or NULL */
	Jsonb	   *payload;		/* when it is done, or NULL */
} KgwBuild;

/*
 * A member's value; false when it has none that could be sent, and the reason is
 * then the weight's fault.  What it would be as text is weighed before it is made.
 */
static bool
column_value(KgwBuild *b, JsonbValue *value, const KgwColumn *column, Datum datum)
{
	KgwWeight	before;
	Jsonb	   *json;

	switch (column->kind)
	{
		case KGW_COLUMN_JSONB:
			json = DatumGetJsonbP(datum);
			break;
		case KGW_COLUMN_CONVERTED:
			kgw_value_weight_begin(&before, CONVERTED_MAX_BYTES);
			if (!kgw_value_weight_datum(&before, column->type, datum))
			{
				b->weight.status = before.status;
				strlcpy(b->weight.fault, before.fault, sizeof(b->weight.fault));
				return false;
			}
			json = kgw_column_value_converted(column, datum);
			break;
		default:
			kgw_column_value(value, column, datum);
			return value->type != jbvString ||
				kgw_value_weight_bytes(&b->weight, value->val.string.len);
	}
	if (!kgw_value_weight_jsonb(&b->weight, json))
		return false;
	kgw_column_value_jsonb(value, json);
	return true;
}

/* As column_value(), for a column that may be null, and for what is computed. */
static bool
member_value(KgwBuild *b, JsonbValue *value, const KgwMember *member)
{
	Datum		datum;
	bool		isnull;

	value->type = jbvNull;
	if (member->computed != KGW_COMPUTED_NONE)
	{
		kgw_computed_member_value(value, member->computed, b->facts);
		return value->type != jbvString ||
			kgw_value_weight_bytes(&b->weight, value->val.string.len);
	}
	datum = heap_getattr(b->tuple, member->column.attnum, b->desc, &isnull);
	return isnull || column_value(b, value, &member->column, datum);
}

/* A member is left out; the first one says why. */
static void
note_left_out(KgwBuild *b, const KgwMember *member)
{
	if (b->problem == NULL)
		b->problem = psprintf("member \"%s\" can't be sent: %s", member->name, b->weight.fault);
	b->weight.status = KGW_CANONICAL_OK;
}

/*
 * Build the payload; without the members that can fail if "safe_only", and
 * without those that can't be sent.  NULL when it becomes too long, or when some
 * member is too deep to be copied without "guarded".
 */
static Jsonb *
build(KgwBuild *b, bool guarded, bool safe_only)
{
	const KgwShape *shape = b->shape;
	KgwCompatJsonbState state = {0};

	kgw_value_weight_begin(&b->weight, KGW_CANONICAL_MAX_BYTES);
	kgw_compat_push_jsonb(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < shape->member_count; i++)
	{
		const KgwMember *member = &shape->members[i];
		JsonbValue	name;
		JsonbValue	value;

		if (safe_only && member->column.kind == KGW_COLUMN_CONVERTED)
			continue;
		if (!member_value(b, &value, member))
		{
			if (b->weight.status == KGW_CANONICAL_TOO_LARGE)
				return NULL;
			note_left_out(b, member);
			continue;
		}
		if (b->weight.depth > DEPTH_UNGUARDED && !guarded)
			return NULL;
		kgw_column_value_string(&name, member->name);
		kgw_compat_push_jsonb(&state, WJB_KEY, &name);
		kgw_compat_push_jsonb(&state, WJB_VALUE, &value);
	}
	kgw_compat_push_jsonb(&state, WJB_END_OBJECT, NULL);
	return JsonbValueToJsonb(state.result);
}

/* Run what may run code of others; after its error, values are written as before. */
static ErrorData *
run_foreign(void (*act) (void *), void *arg)
{
	ErrorData  *error = kgw_error_recovery_subtransaction(act, arg);

	if (error != NULL)
		kgw_value_style_pin();
	return error;
}

static void
build_as_owner(void *arg)
{
	KgwBuild   *b = arg;
	KgwOwnerSection section;

	kgw_extension_owner_begin_restricted(&section, b->owner);
	kgw_value_style_pin_locale();
	b->payload = build(b, true, false);
	kgw_extension_owner_end(&section);
}

/* As build(), but an error of a member becomes the problem. */
static void
build_guarded(KgwBuild *b)
{
	ErrorData  *error = run_foreign(build_as_owner, b);

	if (error == NULL)
		return;
	b->problem = psprintf("the row can't be turned into JSON: %s", error->message);
	b->payload = build(b, false, true);
}

/* Bytes of the row's variable-length members, without detoasting them. */
static Size
raw_size(const KgwShape *shape, HeapTuple tuple, TupleDesc desc)
{
	Size		total = 0;

	for (int i = 0; i < shape->member_count; i++)
	{
		AttrNumber	attnum = shape->members[i].column.attnum;
		bool		isnull;
		Datum		datum;

		if (shape->members[i].computed != KGW_COMPUTED_NONE)
			continue;
		datum = heap_getattr(tuple, attnum, desc, &isnull);
		if (!isnull && TupleDescAttr(desc, attnum - 1)->attlen == -1)
			total += toast_raw_datum_size(datum) - VARHDRSZ;
	}
	return total;
}

/* What is left of a payload when the row is too large: no member at all. */
static Jsonb *
build_empty(void)
{
	KgwCompatJsonbState state = {0};

	kgw_compat_push_jsonb(&state, WJB_BEGIN_OBJECT, NULL);
	kgw_compat_push_jsonb(&state, WJB_END_OBJECT, NULL);
	return JsonbValueToJsonb(state.result);
}

typedef struct KgwText
{
	const KgwColumn *column;
	Datum		datum;
	char	   *text;
} KgwText;

static void
make_text(void *arg)
{
	KgwText    *t = arg;
	KgwWeight	weight;

	kgw_value_weight_begin(&weight, KGW_CANONICAL_MAX_BYTES);
	if (kgw_value_weight_datum(&weight, t->column->type, t->datum))
		t->text = kgw_column_value_text(t->column, t->datum);
}

/*
 * A column's text, or NULL when it is NULL or there is no such column.  For
 * id, status, URL and organization.  Empty when it can't be made, which is the
 * delivery's problem later on, and not the payment's.
 */
char *
kgw_payload_column_text(const KgwColumn *column, HeapTuple tuple, TupleDesc desc)
{
	KgwText		t = {.column = column, .text = ""};
	bool		isnull;

	if (column->attnum == InvalidAttrNumber)
		return NULL;
	t.datum = heap_getattr(tuple, column->attnum, desc, &isnull);
	if (isnull)
		return NULL;
	if (!column->text_can_fail)
		return kgw_column_value_text(column, t.datum);
	(void) run_foreign(make_text, &t);
	return t.text;
}

/* A payload that stands in a column, as it is; NULL when there is none that could be sent. */
static Jsonb *
whole_payload(KgwBuild *b, const KgwColumn *column)
{
	static const char *const reserved[] = {"timestamp", "signature"};
	bool		isnull;
	Datum		datum = heap_getattr(b->tuple, column->attnum, b->desc, &isnull);
	Jsonb	   *json;

	/* it was when the table was watched; anything else's bytes must not be taken for it */
	if (column->type != JSONBOID)
	{
		b->problem = "the column that has the payload is no longer of type jsonb";
		return NULL;
	}
	if (isnull)
	{
		b->problem = "the column that has the payload is null";
		return NULL;
	}
	if (toast_raw_datum_size(datum) - VARHDRSZ > KGW_CANONICAL_MAX_BYTES)
	{
		b->weight.status = KGW_CANONICAL_TOO_LARGE;
		return NULL;
	}
	json = DatumGetJsonbP(datum);
	if (!JB_ROOT_IS_OBJECT(json))
	{
		b->problem = "the payload is not an object";
		return NULL;
	}
	for (size_t i = 0; i < lengthof(reserved); i++)
	{
		if (getKeyJsonValueFromContainer(&json->root, reserved[i], strlen(reserved[i]), NULL) == NULL)
			continue;
		b->problem = psprintf("member \"%s\" is reserved: every attempt gets its own", reserved[i]);
		return NULL;
	}
	return json;
}

/*
 * The payload of the event that "tuple" is the new row of, in one of the table's shapes
 * and in the current memory context.  *problem is set, in words, when it could not be built
 * whole and nothing worse was known before; the delivery is then invalid.
 */
static Jsonb *
build_payload(const KgwWatch *watch, const KgwShape *shape, HeapTuple tuple, TupleDesc desc,
			  const KgwEventFacts *facts, const char **problem)
{
	KgwBuild	b = {.owner = watch->owner, .shape = shape, .tuple = tuple, .desc = desc,
		.facts = facts};
	bool		is_whole = shape == watch->shapes && watch->payload.attnum != InvalidAttrNumber;

	if (is_whole)
		b.payload = whole_payload(&b, &watch->payload);
	else if (raw_size(shape, tuple, desc) > KGW_CANONICAL_MAX_BYTES)
		b.weight.status = KGW_CANONICAL_TOO_LARGE;
	else if (!shape->can_fail)
		b.payload = build(&b, false, false);
	if (b.payload == NULL && b.weight.status != KGW_CANONICAL_TOO_LARGE && !is_whole)
		build_guarded(&b);
	if (b.payload == NULL)
		b.payload = build_empty();
	if (b.weight.status == KGW_CANONICAL_TOO_LARGE)
		b.problem = psprintf("the row is larger than %d bytes", KGW_CANONICAL_MAX_BYTES);
	if (*problem == NULL)
		*problem = shape->problem != NULL ? shape->problem : b.problem;
	return b.payload;
}

/*
 * Give a delivery its receiver's payload: made when the first receiver of that shape is met,
 * so that an event pays only for shapes that have a receiver.  Whether it has all members that
 * the receiver may count on.
 */
bool
kgw_payload_choose(KgwPayloads *payloads, const char *shape, KgwNewDelivery *delivery)
{
	const KgwWatch *watch = payloads->watch;
	int			n = kgw_watch_cache_shape(watch, shape);

	if (payloads->made == NULL)
		payloads->made = palloc0(watch->shape_count * sizeof(*payloads->made));
	if (payloads->made[n].payload == NULL)
	{
		payloads->made[n].problem = payloads->problem;
		payloads->made[n].payload = build_payload(watch, &watch->shapes[n], payloads->row,
												  payloads->desc, &payloads->facts,
												  &payloads->made[n].problem);
	}
	delivery->payload = payloads->made[n].payload;
	delivery->problem = payloads->made[n].problem;
	return delivery->problem == NULL && !watch->shapes[n].shrunk;
}

/*
 * The webhook-id that the row itself has, or NULL.  It goes in a header and in what is
 * signed, where a full stop ends it; and it is unlike all others, or it would be the
 * same event to receivers.
 */
const char *
kgw_payload_own_webhook_id(const KgwWatch *watch, HeapTuple tuple, TupleDesc desc, char **problem)
{
	char	   *id = kgw_payload_column_text(&watch->webhook_id, tuple, desc);
	size_t		len = id != NULL ? strlen(id) : 0;

	if (id == NULL)
		return NULL;
	if (len > 0 && len <= KGW_ORG_ID_MAX &&
		strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == len)
		return id;
	if (*problem == NULL)
		*problem = "the webhook-id has other characters than letters, digits, \"_\" and \"-\", or more than 255";
	return NULL;
}
