/*-------------------------------------------------------------------------
 *
 * filter.c
 *	  Whether a payload fits the filter of a subscription.
 *
 * All members of the filter have to have the value, or one of the values, that it says.
 * Strings are compared by their bytes, as they are sent, so "300" is not "300.0"; numbers
 * by their value; a list or an object equals nothing.
 *
 * A member that the payload doesn't have because it could not be built whole is no reason
 * to keep it from the receiver, who would never hear of it.
 *
 * It runs inside of every payment for which someone has a filter: it reads jsonb where it
 * is, copies nothing, and can't fail, whatever is in either.
 *
 * src/capture/value/filter.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "capture/value/filter.h"

static bool
same_scalar(const JsonbValue *a, const JsonbValue *b)
{
	if (a->type != b->type)
		return false;
	switch (a->type)
	{
		case jbvNull:
			return true;
		case jbvBool:
			return a->val.boolean == b->val.boolean;
		case jbvString:
			return a->val.string.len == b->val.string.len &&
				memcmp(a->val.string.val, b->val.string.val, a->val.string.len) == 0;
		case jbvNumeric:
			return DatumGetBool(DirectFunctionCall2(numeric_eq, NumericGetDatum(a->val.numeric),
													NumericGetDatum(b->val.numeric)));
		default:
			return false;
	}
}

/* Whether a member's value is the one that is wanted, or one of those. */
static bool
fits(const JsonbValue *value, const JsonbValue *wanted)
{
	JsonbContainer *list;

	if (wanted->type != jbvBinary)
		return same_scalar(value, wanted);
	list = wanted->val.binary.data;
	for (uint32 i = 0; JsonContainerIsArray(list) && i < JsonContainerSize(list); i++)
	{
		if (same_scalar(value, getIthJsonbValueFromContainer(list, i)))
			return true;
	}
	return false;
}

/* As kgw_filter_fits(), of a filter that is an object. */
static bool
object_fits(Jsonb *filter, Jsonb *payload, bool whole)
{
	JsonbIterator *it = JsonbIteratorInit(&filter->root);
	JsonbIteratorToken token;
	JsonbValue	wanted;
	JsonbValue *value = NULL;

	while ((token = JsonbIteratorNext(&it, &wanted, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			value = getKeyJsonValueFromContainer(&payload->root, wanted.val.string.val,
												 wanted.val.string.len, NULL);
		if (token != WJB_VALUE)
			continue;
		if (value != NULL ? !fits(value, &wanted) : whole)
			return false;
	}
	return true;
}

/* Whether a payload fits a filter: see filter.h. */
bool
kgw_filter_fits(Jsonb *filter, Jsonb *payload, bool whole)
{
	return !JB_ROOT_IS_OBJECT(filter) || object_fits(filter, payload, whole);
}
