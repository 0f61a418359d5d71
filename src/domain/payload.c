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
 * payload goes on without those members.  The same holds for a row that is
 * larger than any receiver would take: it isn't even detoasted.
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
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "domain/payload.h"
#include "pure/canonical.h"
#include "services/owner.h"

/*
 * From here to kgw_payload_style_end(), which has to be called also after an
 * error, values are written the same way in every session: dates as ISO 8601,
 * times in UTC, floats to the last digit.
 */
void
kgw_payload_style_begin(KgwPayloadStyle *session)
{
	static pg_tz *utc;

	if (utc == NULL)
		utc = pg_tzset("GMT");
	session->date_style = DateStyle;
	session->interval_style = IntervalStyle;
	session->float_digits = extra_float_digits;
	session->bytea_output = bytea_output;
	session->timezone = session_timezone;

	DateStyle = USE_ISO_DATES;
	IntervalStyle = INTSTYLE_POSTGRES;
	extra_float_digits = 1;
	bytea_output = BYTEA_OUTPUT_HEX;
	session_timezone = utc;
}

/* Give the session its own settings back. */
void
kgw_payload_style_end(const KgwPayloadStyle *session)
{
	DateStyle = session->date_style;
	IntervalStyle = session->interval_style;
	extra_float_digits = session->float_digits;
	bytea_output = session->bytea_output;
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

/* to_jsonb(), for the kinds that have a form of their own there. */
static void
converted_value(JsonbValue *value, const KgwColumn *column, Datum datum)
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
	jsonb_value(value, DatumGetJsonbP(FunctionCall1(&to_jsonb, datum)));
}

static void
column_value(JsonbValue *value, const KgwColumn *column, Datum datum)
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
			converted_value(value, column, datum);
			break;
		case KGW_COLUMN_STRING:
			string_value(value, OutputFunctionCall((FmgrInfo *) &column->output, datum));
			break;
	}
}

/* Build the payload; without the members that can fail if "safe_only". */
static Jsonb *
build(const KgwWatch *watch, HeapTuple tuple, TupleDesc desc, bool safe_only)
{
	JsonbParseState *state = NULL;
	JsonbValue *result;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < watch->member_count; i++)
	{
		const KgwMember *member = &watch->members[i];
		JsonbValue	value;
		Datum		datum;
		bool		isnull;

		if (safe_only && member->column.kind == KGW_COLUMN_CONVERTED)
			continue;
		string_value(&value, member->name);
		pushJsonbValue(&state, WJB_KEY, &value);
		datum = heap_getattr(tuple, member->column.attnum, desc, &isnull);
		value.type = jbvNull;
		if (!isnull)
			column_value(&value, &member->column, datum);
		pushJsonbValue(&state, WJB_VALUE, &value);
	}
	result = pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return JsonbValueToJsonb(result);
}

/*
 * As build(), but an error of a member becomes *problem.  Cancellation and
 * shutdown stay errors, raised once our subtransaction is gone: whoever catches
 * them rolls back what is current then, which must be his own, the payment with it.
 */
static Jsonb *
build_guarded(const KgwWatch *watch, HeapTuple tuple, TupleDesc desc, char **problem)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	KgwOwnerSection section;
	Jsonb	   *volatile payload = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		kgw_owner_begin_restricted(&section, watch->owner);
		payload = build(watch, tuple, desc, false);
		kgw_owner_end(&section);
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(caller);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(caller);
		CurrentResourceOwner = owner;
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
			ReThrowError(error);
		if (*problem == NULL)
			*problem = psprintf("the row can't be turned into JSON: %s", error->message);
	}
	PG_END_TRY();

	return payload != NULL ? payload : build(watch, tuple, desc, true);
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
build_too_large(const KgwWatch *watch, HeapTuple tuple, TupleDesc desc)
{
	KgwWatch	reduced = *watch;

	reduced.member_count = 0;
	return build(&reduced, tuple, desc, true);
}

/*
 * A column's text, or NULL when it is NULL or there is no such column.  For
 * id, status, URL and organisation.
 */
char *
kgw_payload_column_text(const KgwColumn *column, HeapTuple tuple, TupleDesc desc)
{
	Datum		datum;
	bool		isnull;

	if (column->attnum == InvalidAttrNumber)
		return NULL;
	datum = heap_getattr(tuple, column->attnum, desc, &isnull);
	return isnull ? NULL : OutputFunctionCall((FmgrInfo *) &column->output, datum);
}

/*
 * The payload of the event that "tuple" is the new row of, in the current
 * memory context.  *problem is set, in words, when it could not be built
 * whole and nothing worse was known before; the delivery is then invalid.
 */
Jsonb *
kgw_payload_build(const KgwWatch *watch, HeapTuple tuple, TupleDesc desc, char **problem)
{
	if (raw_size(watch, tuple, desc) > KGW_CANONICAL_MAX_BYTES)
	{
		if (*problem == NULL)
			*problem = psprintf("the row is larger than %d bytes", KGW_CANONICAL_MAX_BYTES);
		return build_too_large(watch, tuple, desc);
	}
	if (watch->can_fail)
		return build_guarded(watch, tuple, desc, problem);
	return build(watch, tuple, desc, false);
}
