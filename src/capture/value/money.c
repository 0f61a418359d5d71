/*-------------------------------------------------------------------------
 *
 * money.c
 *	  Values of the type money, and ranges of it, as the same text in every session.
 *
 * money is an integer of the smallest unit, and PostgreSQL writes it by the
 * lc_monetary of the session that asks: with its sign, its separators, and its
 * number of decimals, which isn't stored either.  So 30050 is 300.50 in one
 * session and 30050 in the next.  Here it is a plain decimal number, whose
 * decimals are those of the session that called kg_watch(), for every session.
 *
 * Ranges of money are written here as well, as PostgreSQL writes ranges: their own
 * output would write the bounds by lc_monetary.
 *
 * src/capture/value/money.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <locale.h>

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "utils/cash.h"
#include "utils/lsyscache.h"
#include "utils/multirangetypes.h"
#include "utils/rangetypes.h"
#include "utils/typcache.h"

#include "capture/value/money.h"
#include "pg/compat.h"

/* As PostgreSQL has it: what a locale doesn't say, or says absurdly, is 2. */
#define MONEY_DIGITS_MAX 10
#define MONEY_DIGITS_DEFAULT 2

/* Decimals of money by the session's lc_monetary. */
int
kgw_money_digits(void)
{
	int			digits = PGLC_localeconv()->frac_digits;

	return digits < 0 || digits > MONEY_DIGITS_MAX ? MONEY_DIGITS_DEFAULT : digits;
}

/* An amount as a decimal number, with so many decimals. */
char *
kgw_money_text(Cash amount, int digits)
{
	uint64		units = amount < 0 ? -(uint64) amount : (uint64) amount;
	uint64		whole = 1;

	for (int i = 0; i < digits; i++)
		whole *= 10;
	if (digits == 0)
		return psprintf("%s" UINT64_FORMAT, amount < 0 ? "-" : "", units);
	return psprintf("%s" UINT64_FORMAT ".%0*llu", amount < 0 ? "-" : "", units / whole,
					digits, (unsigned long long) (units % whole));
}

/* The type that a range or multirange is of, or InvalidOid. */
static Oid
range_of(Oid type, bool multi)
{
	return multi ? get_multirange_range(type) :
		get_typtype(type) == TYPTYPE_RANGE ? type : InvalidOid;
}

/* A range of money, as range_out() writes ranges. */
static void
append_range(StringInfo text, TypeCacheEntry *cache, const RangeType *range, int digits)
{
	RangeBound	lower,
				upper;
	bool		empty;

	range_deserialize(cache, range, &lower, &upper, &empty);
	if (empty)
	{
		appendStringInfoString(text, "empty");
		return;
	}
	appendStringInfo(text, "%c%s,%s%c", lower.inclusive ? '[' : '(',
					 lower.infinite ? "" : kgw_money_text(DatumGetCash(lower.val), digits),
					 upper.infinite ? "" : kgw_money_text(DatumGetCash(upper.val), digits),
					 upper.inclusive ? ']' : ')');
}

/* As kgw_money_range_text(), of a type that is known to be one. */
static char *
range_text(Datum datum, Oid range, bool multi, int digits)
{
	TypeCacheEntry *cache = lookup_type_cache(range, TYPECACHE_RANGE_INFO);
	StringInfoData text;
	RangeType **ranges;
	int32		count;

	initStringInfo(&text);
	if (!multi)
	{
		append_range(&text, cache, DatumGetRangeTypeP(datum), digits);
		return text.data;
	}
	multirange_deserialize(cache, DatumGetMultirangeTypeP(datum), &count, &ranges);
	appendStringInfoChar(&text, '{');
	for (int i = 0; i < count; i++)
	{
		if (i > 0)
			appendStringInfoChar(&text, ',');
		append_range(&text, cache, ranges[i], digits);
	}
	appendStringInfoChar(&text, '}');
	return text.data;
}

/* A range or multirange of money as text, or NULL: the type is neither. */
char *
kgw_money_range_text(Oid type, Datum datum, int digits)
{
	bool		multi = get_typtype(type) == TYPTYPE_MULTIRANGE;
	Oid			range = range_of(type, multi);

	if (!OidIsValid(range) || getBaseType(get_range_subtype(range)) != CASHOID)
		return NULL;
	return range_text(datum, range, multi, digits);
}
