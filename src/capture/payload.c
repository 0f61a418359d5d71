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
 * Converting such a column may run code of a stranger's: to_jsonb() looks for a
 * cast to json, which the owner of a type can make as he likes.  The trigger has
 * the rights of the extension's owner, so for that the role becomes the table's
 * owner, who chose the type.  Output functions are always PostgreSQL's or a
 * superuser's.
 *
 * Timestamp and signature belong to an attempt and are not put in here.
 *
 * What a receiver gets must not depend on who has written the row: DateStyle,
 * extra_float_digits and their like belong to the writer's session.  They are
 * set aside by assignment, as setting them by name would cost every payment
 * more than all the rest.
 *
 * src/capture/payload.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/detoast.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/bytea.h"
#include "utils/datetime.h"
#include "utils/float.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "capture/column_value.h"
#include "capture/payload.h"
#include "pg/extension.h"
#include "pg/value_weight.h"
#include "pure/jcs/jcs.h"

/* Set aside what the session, or code that has just run in it, says of style. */
static void
pin_style(void)
{
	static pg_tz *utc;

	if (utc == NULL)
		utc = pg_tzset("GMT");
	DateStyle = USE_ISO_DATES;
	IntervalStyle = INTSTYLE_POSTGRES;
	extra_float_digits = 1;
	bytea_output = BYTEA_OUTPUT_HEX;
	quote_all_identifiers = false;
	session_timezone = utc;
}

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
	const KgwWatch *watch;
	HeapTuple	tuple;
	TupleDesc	desc;
	KgwWeight	weight;			/* of the members so far */
	char	   *problem;		/* why some member is left out, or NULL */
	Jsonb	   *payload;		/* when it is done, or NULL */
} KgwBuild;

/*
 * From here to kgw_payload_style_end(), which has to be called also after an
 * error, values are written the same way in every session: dates as ISO 8601,
 * times in UTC, floats to the last digit.
 */
void
kgw_payload_style_begin(KgwPayloadStyle *session)
{
	session->date_style = DateStyle;
	session->interval_style = IntervalStyle;
	session->float_digits = extra_float_digits;
	session->bytea_output = bytea_output;
	session->quote_all = quote_all_identifiers;
	session->timezone = session_timezone;
	pin_style();
}

/* Give the session its own settings back. */
void
kgw_payload_style_end(const KgwPayloadStyle *session)
{
	DateStyle = session->date_style;
	IntervalStyle = session->interval_style;
	extra_float_digits = session->float_digits;
	bytea_output = session->bytea_output;
	quote_all_identifiers = session->quote_all;
	session_timezone = session->timezone;
}

static void
string_value(JsonbValue *value, char *text)
{
	value->type = jbvString;
	value->val.string.val = text;
	value->val.string.len = strlen(text);
}

static void
float_value(JsonbValue *value, const KgwColumn *column, Datum datum)
{
	float8		number = column->type == FLOAT4OID ? DatumGetFloat4(datum) : DatumGetFloat8(datum);
	char	   *text = OutputFunctionCall((FmgrInfo *) &column->output, datum);

	if (isnan(number) || isinf(number))
	{
		string_value(value, text);
		return;
	}
	value->type = jbvNumeric;
	value->val.numeric = DatumGetNumeric(DirectFunctionCall3(numeric_in,
															 CStringGetDatum(text),
															 ObjectIdGetDatum(InvalidOid),
															 Int32GetDatum(-1)));
}

/*
 * RFC 3339 in UTC with as many decimals as there are; a timestamp without time
 * zone is taken for UTC.  What RFC 3339 has no form for (infinity, years
 * before 1 or beyond 9999) goes as PostgreSQL writes it.
 */
static void
timestamp_value(JsonbValue *value, const KgwColumn *column, Datum datum)
{
	Timestamp	when = DatumGetTimestamp(datum);
	struct pg_tm tm;
	fsec_t		fsec;
	char	   *text;
	int			len;

	if (TIMESTAMP_NOT_FINITE(when) ||
		timestamp2tm(when, NULL, &tm, &fsec, NULL, NULL) != 0 ||
		tm.tm_year < 1 || tm.tm_year > 9999)
	{
		string_value(value, OutputFunctionCall((FmgrInfo *) &column->output, datum));
		return;
	}
	text = psprintf("%04d-%02d-%02dT%02d:%02d:%02d.%06d", tm.tm_year, tm.tm_mon,
					tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int) fsec);
	len = strlen(text);
	while (text[len - 1] == '0')
		len--;
	if (text[len - 1] == '.')
		len--;
	strcpy(text + len, "Z");
	string_value(value, text);
}

static void
jsonb_value(JsonbValue *value, Jsonb *jsonb)
{
	if (JB_ROOT_IS_SCALAR(jsonb))
		JsonbExtractScalar(&jsonb->root, value);
	else
	{
		value->type = jbvBinary;
		value->val.binary.data = &jsonb->root;
		value->val.binary.len = VARSIZE(jsonb) - VARHDRSZ;
	}
}

/* to_jsonb(), for what has no parts: by its cast to json, or its text. */
static Jsonb *
unparted_json(const KgwColumn *column, Datum datum)
{
	FmgrInfo	to_jsonb;
	int16		length;
	bool		by_value;
	Const	   *argument;

	get_typlenbyval(column->type, &length, &by_value);
	argument = makeConst(column->type, -1, InvalidOid, length, datum, false, by_value);
	fmgr_info(F_TO_JSONB, &to_jsonb);
	fmgr_info_set_expr((Node *) makeFuncExpr(F_TO_JSONB, JSONBOID, list_make1(argument),
											 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL),
					   &to_jsonb);
	return DatumGetJsonbP(FunctionCall1(&to_jsonb, datum));
}

/* A cast may set what it likes for itself, and leaves the session's own behind. */
static Jsonb *
converted_json(const KgwColumn *column, Datum datum)
{
	Jsonb	   *json;

	if (!kgw_column_value_nested(column, datum, &json))
	{
		json = unparted_json(column, datum);
		pin_style();
	}
	return json;
}

/* The JSON value of a column, or of a part of one; kgw_payload_style_begin() holds. */
void
kgw_payload_value(JsonbValue *value, const KgwColumn *column, Datum datum)
{
	switch (column->kind)
	{
		case KGW_COLUMN_NUMBER:
			value->type = jbvNumeric;
			value->val.numeric = int64_to_numeric(column->type == INT2OID ?
												  DatumGetInt16(datum) : DatumGetInt32(datum));
			break;
		case KGW_COLUMN_FLOAT:
			float_value(value, column, datum);
			break;
		case KGW_COLUMN_BOOL:
			value->type = jbvBool;
			value->val.boolean = DatumGetBool(datum);
			break;
		case KGW_COLUMN_TIMESTAMP:
			timestamp_value(value, column, datum);
			break;
		case KGW_COLUMN_JSONB:
			jsonb_value(value, DatumGetJsonbP(datum));
			break;
		case KGW_COLUMN_CONVERTED:
			jsonb_value(value, converted_json(column, datum));
			break;
		case KGW_COLUMN_STRING:
			string_value(value, kgw_column_value_text(column, datum));
			break;
	}
}

/*
 * A member's value; false when it has none that could be sent, and the reason is
 * then the weight's fault.  What it would be as text is weighed before it is made.
 */
static bool
member_value(KgwBuild *b, JsonbValue *value, const KgwColumn *column, Datum datum)
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
			json = converted_json(column, datum);
			break;
		default:
			kgw_payload_value(value, column, datum);
			return value->type != jbvString ||
				kgw_value_weight_bytes(&b->weight, value->val.string.len);
	}
	if (!kgw_value_weight_jsonb(&b->weight, json))
		return false;
	jsonb_value(value, json);
	return true;
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
	const KgwWatch *watch = b->watch;
	JsonbParseState *state = NULL;

	kgw_value_weight_begin(&b->weight, KGW_CANONICAL_MAX_BYTES);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < watch->member_count; i++)
	{
		const KgwMember *member = &watch->members[i];
		JsonbValue	name;
		JsonbValue	value;
		Datum		datum;
		bool		isnull;

		if (safe_only && member->column.kind == KGW_COLUMN_CONVERTED)
			continue;
		datum = heap_getattr(b->tuple, member->column.attnum, b->desc, &isnull);
		value.type = jbvNull;
		if (!isnull && !member_value(b, &value, &member->column, datum))
		{
			if (b->weight.status == KGW_CANONICAL_TOO_LARGE)
				return NULL;
			note_left_out(b, member);
			continue;
		}
		if (b->weight.depth > DEPTH_UNGUARDED && !guarded)
			return NULL;
		string_value(&name, member->name);
		pushJsonbValue(&state, WJB_KEY, &name);
		pushJsonbValue(&state, WJB_VALUE, &value);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* What casts and types of others may write by; until the section's end. */
static void
pin_locale(void)
{
	static const char *const names[] = {"lc_monetary", "lc_numeric", "lc_time"};

	for (size_t i = 0; i < lengthof(names); i++)
		(void) set_config_option(names[i], "C", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
}

/*
 * Act in a subtransaction.  Its error is returned, else NULL.  Cancellation and
 * shutdown stay errors, raised once our subtransaction is gone: whoever catches
 * them rolls back what is current then, which must be his own, the payment with it.
 */
static ErrorData *
guarded(void (*act) (void *), void *arg)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		act(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		pin_style();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
	if (error != NULL &&
		ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		ReThrowError(error);
	return error;
}

static void
build_as_owner(void *arg)
{
	KgwBuild   *b = arg;
	KgwOwnerSection section;

	kgw_extension_owner_begin_restricted(&section, b->watch->owner);
	pin_locale();
	b->payload = build(b, true, false);
	kgw_extension_owner_end(&section);
}

/* As build(), but an error of a member becomes the problem. */
static void
build_guarded(KgwBuild *b)
{
	ErrorData  *error = guarded(build_as_owner, b);

	if (error == NULL)
		return;
	b->problem = psprintf("the row can't be turned into JSON: %s", error->message);
	b->payload = build(b, false, true);
}

/* Bytes of the row's variable-length members, without detoasting them. */
static Size
raw_size(const KgwWatch *watch, HeapTuple tuple, TupleDesc desc)
{
	Size		total = 0;

	for (int i = 0; i < watch->member_count; i++)
	{
		AttrNumber	attnum = watch->members[i].column.attnum;
		bool		isnull;
		Datum		datum = heap_getattr(tuple, attnum, desc, &isnull);

		if (!isnull && TupleDescAttr(desc, attnum - 1)->attlen == -1)
			total += toast_raw_datum_size(datum) - VARHDRSZ;
	}
	return total;
}

/* What is left of a payload when the row is too large: no member at all. */
static Jsonb *
build_empty(void)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
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
	(void) guarded(make_text, &t);
	return t.text;
}

/*
 * The payload of the event that "tuple" is the new row of, in the current
 * memory context.  *problem is set, in words, when it could not be built
 * whole and nothing worse was known before; the delivery is then invalid.
 */
Jsonb *
kgw_payload_build(const KgwWatch *watch, HeapTuple tuple, TupleDesc desc, char **problem)
{
	KgwBuild	b = {.watch = watch, .tuple = tuple, .desc = desc};

	if (raw_size(watch, tuple, desc) > KGW_CANONICAL_MAX_BYTES)
		b.weight.status = KGW_CANONICAL_TOO_LARGE;
	else if (!watch->can_fail)
		b.payload = build(&b, false, false);
	if (b.payload == NULL && b.weight.status != KGW_CANONICAL_TOO_LARGE)
		build_guarded(&b);
	if (b.payload == NULL)
		b.payload = build_empty();
	if (b.weight.status == KGW_CANONICAL_TOO_LARGE)
		b.problem = psprintf("the row is larger than %d bytes", KGW_CANONICAL_MAX_BYTES);
	if (*problem == NULL)
		*problem = b.problem;
	return b.payload;
}
