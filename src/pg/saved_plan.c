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

/*
 * Run a plan that reads, with the active snapshot, and let its rows go to the receiver
 * while it runs; none of "args" is NULL.  The receiver must not use SPI's connection.
 */
void
kgw_saved_plan_receive(SPIPlanPtr kept, const Datum *args, int nargs, DestReceiver *receiver)
{
	ParamListInfo params = makeParamList(nargs);
	SPIExecuteOptions options = {.params = params, .read_only = true, .dest = receiver};

	for (int i = 0; i < nargs; i++)
	{
		params->params[i].value = args[i];
		params->params[i].isnull = false;
		params->params[i].pflags = PARAM_FLAG_CONST;
		params->params[i].ptype = SPI_getargtypeid(kept, i);
	}
	if (SPI_execute_plan_extended(kept, &options) < 0)
		elog(ERROR, "could not run a saved plan: %s", SPI_result_code_string(SPI_result));
	pfree(params);
}
