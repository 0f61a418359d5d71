/*-------------------------------------------------------------------------
 *
 * column_value.c
 *	  A column's value as JSON, also of the types that JSON has no form for: money,
 *	  arrays, composites, ranges.
 *
 * An element of an array or of a composite goes as a column of its type would:
 * to_jsonb() makes numbers of numerics, which a receiver reads as doubles, and
 * money in whatever shape is to keep its scale (money.c).  So arrays and composites are
 * taken apart here, to any depth, and only what has no parts is left to others.
 *
 * The padding of char(n) has no meaning, says PostgreSQL, and a cast to text drops
 * it.  So does this, or a status would not be the one that others compare with.
 *
 * src/capture/value/column_value.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/tupdesc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/cash.h"
#include "utils/datetime.h"
#include "utils/float.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "capture/value/column_value.h"
#include "capture/value/money.h"
#include "capture/value/value_style.h"
#include "pg/compat.h"

static char *
trimmed_text(char *text)
{
	size_t		len = strlen(text);

	while (len > 0 && text[len - 1] == ' ')
		len--;
	text[len] = '\0';
	return text;
}

/* A value's text, the same in every session; palloc'd. */
char *
kgw_column_value_text(const KgwColumn *column, Datum datum)
{
	if (column->type == CASHOID)
		return kgw_money_text(DatumGetCash(datum), column->money_digits);
	if (column->type == BPCHAROID)
		return trimmed_text(OutputFunctionCall((FmgrInfo *) &column->output, datum));
	return OutputFunctionCall((FmgrInfo *) &column->output, datum);
}

static void
push(KgwCompatJsonbState *state, JsonbIteratorToken token, const KgwColumn *column, Datum datum,
	 bool isnull)
{
	JsonbValue	value;

	value.type = jbvNull;
	if (!isnull)
		kgw_column_value(&value, column, datum);
	kgw_compat_push_jsonb(state, token, &value);
}

/* One dimension of an array, and within it the next; *next is the first element. */
static void
push_dimension(KgwCompatJsonbState *state, const KgwColumn *element, int dimensions,
			   const int *lengths, Datum *elements, bool *nulls, int *next)
{
	kgw_compat_push_jsonb(state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < lengths[0]; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (dimensions > 1)
			push_dimension(state, element, dimensions - 1, lengths + 1, elements, nulls, next);
		else
		{
			push(state, WJB_ELEM, element, elements[*next], nulls[*next]);
			(*next)++;
		}
	}
	kgw_compat_push_jsonb(state, WJB_END_ARRAY, NULL);
}

static Jsonb *
array_json(const KgwColumn *column, Datum datum)
{
	ArrayType  *array = DatumGetArrayTypeP(datum);
	KgwCompatJsonbState state = {0};
	KgwColumn	element = {0};
	int			none = 0;
	int			next = 0;
	int16		length;
	bool		by_value;
	char		align;
	Datum	   *elements;
	bool	   *nulls;
	int			count;

	get_typlenbyvalalign(ARR_ELEMTYPE(array), &length, &by_value, &align);
	deconstruct_array(array, ARR_ELEMTYPE(array), length, by_value, align,
					  &elements, &nulls, &count);
	kgw_column_kind_set(&element, ARR_ELEMTYPE(array), column->money_digits);
	if (ARR_NDIM(array) == 0)
		push_dimension(&state, &element, 1, &none, elements, nulls, &next);
	else
		push_dimension(&state, &element, ARR_NDIM(array), ARR_DIMS(array), elements, nulls, &next);
	return JsonbValueToJsonb(state.result);
}

static Jsonb *
composite_json(const KgwColumn *column, Datum datum)
{
	HeapTupleHeader header = DatumGetHeapTupleHeader(datum);
	TupleDesc	desc = lookup_rowtype_tupdesc_copy(HeapTupleHeaderGetTypeId(header),
												   HeapTupleHeaderGetTypMod(header));
	HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(header), .t_data = header};
	KgwCompatJsonbState state = {0};

	kgw_compat_push_jsonb(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(desc, i);
		KgwColumn	member = {0};
		JsonbValue	key;
		Datum		part;
		bool		isnull;

		if (attr->attisdropped)
			continue;
		key.type = jbvString;
		key.val.string.val = pstrdup(NameStr(attr->attname));
		key.val.string.len = strlen(key.val.string.val);
		kgw_compat_push_jsonb(&state, WJB_KEY, &key);
		kgw_column_kind_set(&member, attr->atttypid, column->money_digits);
		part = heap_getattr(&tuple, i + 1, desc, &isnull);
		push(&state, WJB_VALUE, &member, part, isnull);
	}
	kgw_compat_push_jsonb(&state, WJB_END_OBJECT, NULL);
	return JsonbValueToJsonb(state.result);
}

static Jsonb *
string_json(char *text)
{
	JsonbValue	value;

	kgw_column_value_string(&value, text);
	return JsonbValueToJsonb(&value);
}

/*
 * Take an array, a composite or a range of money apart; false, with nothing
 * done, when it is none of these.  Raises whatever the parts' own types raise.
 */
static bool
nested(const KgwColumn *column, Datum datum, Jsonb **json)
{
	char	   *range;

	check_stack_depth();
	if (OidIsValid(get_element_type(column->type)))
		*json = array_json(column, datum);
	else if (type_is_rowtype(column->type))
		*json = composite_json(column, datum);
	else
	{
		range = kgw_money_range_text(column->type, datum, column->money_digits);
		if (range == NULL)
			return false;
		*json = string_json(range);
	}
	return true;
}

void
kgw_column_value_string(JsonbValue *value, char *text)
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
		kgw_column_value_string(value, text);
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
		kgw_column_value_string(value, OutputFunctionCall((FmgrInfo *) &column->output, datum));
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
	kgw_column_value_string(value, text);
}

void
kgw_column_value_jsonb(JsonbValue *value, Jsonb *jsonb)
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

static Jsonb *
null_json(void)
{
	JsonbValue	value = {.type = jbvNull};

	return JsonbValueToJsonb(&value);
}

static Jsonb *
parsed_json(char *text)
{
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
}

/*
 * By the type's cast to json.  to_jsonb() would call it, too, but raises an internal
 * error where it returns NULL.
 */
static Jsonb *
cast_json(Oid cast, Datum datum)
{
	LOCAL_FCINFO(call, 3);
	FmgrInfo	function;
	Datum		json;

	fmgr_info(cast, &function);
	InitFunctionCallInfoData(*call, &function, function.fn_nargs, InvalidOid, NULL, NULL);
	call->args[0] = (NullableDatum) {.value = datum};
	/* those of some casts: no type modifier; it is an explicit cast */
	call->args[1] = (NullableDatum) {.value = Int32GetDatum(-1)};
	call->args[2] = (NullableDatum) {.value = BoolGetDatum(true)};
	json = FunctionCallInvoke(call);
	if (call->isnull)
		return null_json();
	return parsed_json(TextDatumGetCString(json));
}

/*
 * What has no parts: by its cast to json, or its text.  That is what to_jsonb() does with it, which
 * would look the cast up again.
 */
static Jsonb *
unparted_json(const KgwColumn *column, Datum datum)
{
	Oid			cast = kgw_column_kind_json_cast(column->type);
	char	   *text;

	if (OidIsValid(cast))
		return cast_json(cast, datum);
	text = kgw_column_value_text(column, datum);
	return column->type == JSONOID ? parsed_json(text) : string_json(text);
}

/* A cast may set what it likes for itself, and leaves the session's own behind. */
Jsonb *
kgw_column_value_converted(const KgwColumn *column, Datum datum)
{
	Jsonb	   *json;

	if (!nested(column, datum, &json))
	{
		json = unparted_json(column, datum);
		kgw_value_style_pin();
	}
	return json;
}

/* The JSON value of a column, or of a part of one; kgw_value_style_begin() holds. */
void
kgw_column_value(JsonbValue *value, const KgwColumn *column, Datum datum)
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
			kgw_column_value_jsonb(value, DatumGetJsonbP(datum));
			break;
		case KGW_COLUMN_CONVERTED:
			kgw_column_value_jsonb(value, kgw_column_value_converted(column, datum));
			break;
		case KGW_COLUMN_STRING:
			kgw_column_value_string(value, kgw_column_value_text(column, datum));
			break;
	}
}
