/*-------------------------------------------------------------------------
 *
 * value_weight.c
 *	  How long a value's text would be, and how deep, before it is made.
 *
 * A numeric of eight bytes can be written with 131072 digits, so a row of a few
 * kilobytes can have a text of a gigabyte; and jsonb that is nested deeply
 * enough fails the functions that recurse into it, by the depth of the stack they
 * happen to start from.  Neither may happen inside of a payment, nor in a worker
 * that has others to serve.  So whatever becomes text is weighed first: by the
 * header of a number, and by a walk that keeps its own stack.
 *
 * The weight is a lower bound of the text, at most six times shorter than it is
 * (a control character is one byte, and "\u0001" in JSON): what is refused here
 * could not have been sent, and what is let through is bounded.  Whether that
 * fits to the byte is the canonicalizer's to say.
 *
 * Nothing here raises an error, except weighing arrays and composites, which
 * looks types up.
 *
 * src/pg/value_weight.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/multirangetypes.h"
#include "utils/rangetypes.h"
#include "utils/typcache.h"

#include "pg/compat.h"
#include "pg/value_weight.h"

/*
 * Where a value is refused by its weight alone.  A double ends at 308 digits, and a
 * document at KGW_CANONICAL_MAX_DEPTH; up to these the canonicalizer says so, and
 * better: it knows where.
 */
#define POWER_BEYOND_DOUBLE 300 /* of 10000 */
#define DEPTH_MAX (2 * KGW_CANONICAL_MAX_DEPTH)

/* Decimal digits in one of numeric's own. */
#define DIGITS_PER_DIGIT 4

/*
 * The header of a numeric on disk, the same since 9.1: a short form, which has
 * all in one word, or a long one, whose second word is the weight.
 */
#define HEADER_FORM 0xC000
#define HEADER_SHORT 0x8000
#define HEADER_SPECIAL 0xC000	/* NaN, infinities */
#define SHORT_SCALE(header) (((header) & 0x1F80) >> 7)
#define SHORT_WEIGHT(header) (((header) & 0x003F) - ((header) & 0x0040))
#define LONG_SCALE(header) ((header) & 0x3FFF)

void
kgw_value_weight_begin(KgwWeight *weight, Size limit)
{
	memset(weight, 0, sizeof(*weight));
	weight->limit = limit;
}

/* Count bytes of text; false when there are too many. */
bool
kgw_value_weight_bytes(KgwWeight *weight, Size bytes)
{
	if (weight->status == KGW_CANONICAL_TOO_LARGE || bytes > weight->limit - weight->bytes)
	{
		weight->status = KGW_CANONICAL_TOO_LARGE;
		snprintf(weight->fault, sizeof(weight->fault), "longer than %zu bytes", weight->limit);
		return false;
	}
	weight->bytes += bytes;
	return true;
}

/* Of a numeric, which may have a short header: its weight and its decimals. */
static void
read_numeric(const struct varlena *numeric, int *power, int *scale)
{
	const char *data = VARDATA_ANY(numeric);
	uint16		header;
	int16		long_weight;

	*power = 0;
	*scale = 0;
	memcpy(&header, data, sizeof(header));
	if ((header & HEADER_FORM) == HEADER_SPECIAL)
		return;
	if ((header & HEADER_FORM) == HEADER_SHORT)
	{
		*power = SHORT_WEIGHT(header);
		*scale = SHORT_SCALE(header);
		return;
	}
	memcpy(&long_weight, data + sizeof(header), sizeof(long_weight));
	*power = long_weight;
	*scale = LONG_SCALE(header);
}

/* As a JSON number, a numeric also has to be a double. */
static bool
weigh_numeric(KgwWeight *weight, const struct varlena *numeric, bool as_number)
{
	int			power;
	int			scale;

	read_numeric(numeric, &power, &scale);
	if (as_number && power >= POWER_BEYOND_DOUBLE)
	{
		weight->status = KGW_CANONICAL_INEXACT_NUMBER;
		strlcpy(weight->fault, "a number of more than 1200 digits cannot be held exactly by a double",
				sizeof(weight->fault));
		return false;
	}
	return kgw_value_weight_bytes(weight, 1 + Max(power, 0) * DIGITS_PER_DIGIT +
						   (scale > 0 ? scale + 1 : 0));
}

/* Count a key or value of jsonb; false, with the fault, when the document can't be sent for it. */
bool
kgw_value_weight_scalar(KgwWeight *weight, const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			return kgw_value_weight_bytes(weight, value->val.string.len + 2);
		case jbvNumeric:
			return weigh_numeric(weight, (struct varlena *) value->val.numeric, true);
		default:
			return kgw_value_weight_bytes(weight, 4);
	}
}

/* Count an array or object that is so deep; false, with the fault, when that is too deep. */
bool
kgw_value_weight_enter(KgwWeight *weight, int depth)
{
	weight->depth = Max(weight->depth, depth);
	if (depth > DEPTH_MAX)
	{
		weight->status = KGW_CANONICAL_TOO_DEEP;
		snprintf(weight->fault, sizeof(weight->fault),
				 "more than %d arrays and objects inside each other", KGW_CANONICAL_MAX_DEPTH);
		return false;
	}
	return kgw_value_weight_bytes(weight, 2);
}

/* False, with the fault, when the document can't be sent. */
bool
kgw_value_weight_jsonb(KgwWeight *weight, Jsonb *jsonb)
{
	JsonbIterator *it = JsonbIteratorInit(&jsonb->root);
	JsonbIteratorToken token;
	JsonbValue	value;
	int			depth = 0;
	bool		fits = true;

	while (fits && (token = JsonbIteratorNext(&it, &value, false)) != WJB_DONE)
	{
		switch (token)
		{
			case WJB_BEGIN_ARRAY:
			case WJB_BEGIN_OBJECT:
				if (token != WJB_BEGIN_ARRAY || !value.val.array.rawScalar)
					fits = kgw_value_weight_enter(weight, ++depth);
				break;
			case WJB_END_ARRAY:
			case WJB_END_OBJECT:
				depth--;
				break;
			default:
				fits = kgw_value_weight_scalar(weight, &value);
				break;
		}
	}
	return fits;
}

static bool
weigh_array(KgwWeight *weight, Oid element, ArrayType *array)
{
	int16		length;
	bool		by_value;
	char		align;
	Datum	   *elements;
	bool	   *nulls;
	int			count;

	get_typlenbyvalalign(element, &length, &by_value, &align);
	deconstruct_array(array, element, length, by_value, align, &elements, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		if (!nulls[i] && !kgw_value_weight_datum(weight, element, elements[i]))
			return false;
	}
	return true;
}

static bool
weigh_composite(KgwWeight *weight, HeapTupleHeader header)
{
	TupleDesc	desc = lookup_rowtype_tupdesc_copy(HeapTupleHeaderGetTypeId(header),
												   HeapTupleHeaderGetTypMod(header));
	HeapTupleData tuple = {0};

	tuple.t_len = HeapTupleHeaderGetDatumLength(header);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_data = header;
	for (int i = 0; i < desc->natts; i++)
	{
		bool		isnull;
		Datum		datum;

		if (TupleDescAttr(desc, i)->attisdropped)
			continue;
		datum = heap_getattr(&tuple, i + 1, desc, &isnull);
		if (!isnull && !kgw_value_weight_datum(weight, TupleDescAttr(desc, i)->atttypid, datum))
			return false;
	}
	return true;
}

static bool
weigh_range(KgwWeight *weight, const RangeType *range)
{
	TypeCacheEntry *type = lookup_type_cache(RangeTypeGetOid(range), TYPECACHE_RANGE_INFO);
	RangeBound	lower;
	RangeBound	upper;
	bool		empty;

	range_deserialize(type, range, &lower, &upper, &empty);
	if (empty)
		return true;
	return (lower.infinite || kgw_value_weight_datum(weight, type->rngelemtype->type_id, lower.val)) &&
		(upper.infinite || kgw_value_weight_datum(weight, type->rngelemtype->type_id, upper.val));
}

static bool
weigh_multirange(KgwWeight *weight, MultirangeType *multirange)
{
	TypeCacheEntry *type = lookup_type_cache(MultirangeTypeGetOid(multirange),
											 TYPECACHE_MULTIRANGE_INFO);
	RangeType **ranges;
	int32		count;

	multirange_deserialize(type->rngtype, multirange, &count, &ranges);
	for (int i = 0; i < count; i++)
	{
		if (!weigh_range(weight, ranges[i]))
			return false;
	}
	return true;
}

/*
 * False when the text of a value of any type would be too long for the numbers in
 * it; what else is in it is no longer as text than the value is, by much.
 */
bool
kgw_value_weight_datum(KgwWeight *weight, Oid type, Datum datum)
{
	Oid			base = getBaseType(type);
	Oid			element = get_element_type(base);

	check_stack_depth();
	if (base == NUMERICOID)
		return weigh_numeric(weight, PG_DETOAST_DATUM_PACKED(datum), false);
	if (base == JSONBOID)
		return kgw_value_weight_jsonb(weight, DatumGetJsonbP(datum));
	if (OidIsValid(element))
		return weigh_array(weight, element, DatumGetArrayTypeP(datum));
	switch (get_typtype(base))
	{
		case TYPTYPE_COMPOSITE:
			return weigh_composite(weight, DatumGetHeapTupleHeader(datum));
		case TYPTYPE_RANGE:
			return weigh_range(weight, DatumGetRangeTypeP(datum));
		case TYPTYPE_MULTIRANGE:
			return weigh_multirange(weight, DatumGetMultirangeTypeP(datum));
	}
	return kgw_value_weight_bytes(weight, 1);
}
