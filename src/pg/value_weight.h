/*-------------------------------------------------------------------------
 *
 * value_weight.h
 *	  How long a value's text would be, and how deep, before it is made.
 *
 * src/pg/value_weight.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PG_VALUE_WEIGHT_H
#define KGW_PG_VALUE_WEIGHT_H

#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "pure/jcs/jcs.h"

typedef struct KgwWeight
{
	Size		limit;			/* of bytes */
	Size		bytes;			/* at least so long is the text; not counted beyond limit */
	int			depth;			/* of the deepest value */
	KgwJcsStatus status;
	char		fault[128];		/* what keeps it from being sent, or empty */
} KgwWeight;

extern void kgw_value_weight_begin(KgwWeight *weight, Size limit);
extern bool kgw_value_weight_bytes(KgwWeight *weight, Size bytes);
extern bool kgw_value_weight_scalar(KgwWeight *weight, const JsonbValue *value);
extern bool kgw_value_weight_enter(KgwWeight *weight, int depth);
extern bool kgw_value_weight_jsonb(KgwWeight *weight, Jsonb *jsonb);
extern bool kgw_value_weight_datum(KgwWeight *weight, Oid type, Datum datum);

#endif							/* KGW_PG_VALUE_WEIGHT_H */
