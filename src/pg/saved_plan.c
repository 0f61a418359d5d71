/*-------------------------------------------------------------------------
 *
 * saved_plan.c
 *	  Queries that are planned once a process.
 *
 * src/pg/saved_plan.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "pg/saved_plan.h"

/*
 * The plan of a query: prepared at the first call and kept in *kept for the
 * life of the process.  Needs SPI to be connected.
 */
SPIPlanPtr
kgw_saved_plan(SPIPlanPtr *kept, const char *query, int nargs, const Oid *types)
{
	if (*kept == NULL)
	{
		SPIPlanPtr	made = SPI_prepare(query, nargs, unconstify(Oid *, types));

		if (made == NULL || SPI_keepplan(made) != 0)
			elog(ERROR, "could not prepare \"%s\": %s", query,
				 SPI_result_code_string(SPI_result));
		*kept = made;
	}
	return *kept;
}
