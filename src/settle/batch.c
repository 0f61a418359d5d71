/*-------------------------------------------------------------------------
 *
 * batch.c
 *	  Many deliveries by one statement: parameters that are arrays, with an element
 *	  for each.
 *
 * A batch has 512 outcomes at most, of which a statement concerns those of one fate.
 * How many these are is known only when they were gone through, so an array has room
 * for all of them from the beginning, and ends where it was filled to.  A batch in
 * which a statement concerns none has no statement: that is for the caller to see,
 * by the count.
 *
 * src/settle/batch.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"

#include "settle/batch.h"

void
kgw_batch_init(KgwBatchArray *array, Oid type, int room)
{
	array->type = type;
	array->count = 0;
	array->values = palloc(room * sizeof(Datum));
}

void
kgw_batch_add(KgwBatchArray *array, Datum value)
{
	array->values[array->count++] = value;
}

Datum
kgw_batch_datum(const KgwBatchArray *array)
{
	int			length = 8;
	bool		by_value = FLOAT8PASSBYVAL;
	char		align = TYPALIGN_DOUBLE;

	if (array->type == TEXTOID)
	{
		length = -1;
		by_value = false;
		align = TYPALIGN_INT;
	}
	else if (array->type == INT4OID)
	{
		length = 4;
		by_value = true;
		align = TYPALIGN_INT;
	}
	return PointerGetDatum(construct_array(array->values, array->count, array->type,
										   length, by_value, align));
}

/* Run a plan for so many deliveries; how many of them were not in the queue any more. */
int
kgw_batch_execute(SPIPlanPtr which, Datum *args, int expected, int count)
{
	if (SPI_execute_plan(which, args, NULL, false, 0) != expected)
		elog(ERROR, "could not settle: %s", SPI_result_code_string(SPI_result));
	return count - (int) SPI_processed;
}
