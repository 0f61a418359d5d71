/*-------------------------------------------------------------------------
 *
 * batch.h
 *	  Many deliveries by one statement.
 *
 * src/settle/batch.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SETTLE_BATCH_H
#define KGW_SETTLE_BATCH_H

#include "executor/spi.h"

#include "settle/settlement.h"

/* An array parameter that is being filled; in the memory context it was made in. */
typedef struct KgwBatchArray
{
	Oid			type;			/* of the elements: int8, int4, timestamptz or text */
	int			count;
	Datum	   *values;
} KgwBatchArray;

/* Whether a delivery has this fate, and is settled in this transaction. */
static inline bool
kgw_batch_has_fate(const KgwSettlement *settlement, KgwFate fate)
{
	return settlement->fate == fate && !settlement->locked;
}

/* Make an empty array, with room for so many elements, none of which is null. */
extern void kgw_batch_init(KgwBatchArray *array, Oid type, int room);
extern void kgw_batch_add(KgwBatchArray *array, Datum value);

/* The array itself, palloc'd. */
extern Datum kgw_batch_datum(const KgwBatchArray *array);

/*
 * Run a plan, with SPI connected, that does "expected" to the queue's rows of so many
 * deliveries.  Returns how many of these were not there any more; raises what the
 * statement raises.
 */
extern int	kgw_batch_execute(SPIPlanPtr which, Datum *args, int expected, int count);

#endif							/* KGW_SETTLE_BATCH_H */
