/*-------------------------------------------------------------------------
 *
 * forgotten.c
 *	  Attempts of deliveries whose payload was removed while they were on their way.
 *
 * kg_forget() makes a dead letter of what waits and blanks the log.  An attempt that is on
 * the network at that moment has no row there yet; when it gets one, that must not say what
 * was to be forgotten.  The log's row is made as always, and blanked in the same
 * transaction, as kg_forget() would have: what was sent stays provable by its hash.
 *
 * To look for that costs a query, so it is only done where a delivery was not in the queue
 * any more when it was settled, which is rare: kg_forget() takes it out of there first.
 *
 * src/settle/forgotten.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"

#include "pg/saved_plan.h"
#include "settle/forgotten.h"

/*
 * Blank the rows of the log that these have just got, where their delivery was forgotten.
 * Needs SPI to be connected.
 */
void
kgw_forgotten_blank(const KgwSettlement *settlements, int count)
{
	static SPIPlanPtr kept;
	Oid			types[] = {INT8ARRAYOID};
	Datum	   *ids = palloc(Max(count, 1) * sizeof(Datum));
	Datum		args[1];
	int			logged = 0;

	for (int i = 0; i < count; i++)
	{
		if (!settlements[i].locked)
			ids[logged++] = Int64GetDatum(settlements[i].attempt_id);
	}
	args[0] = PointerGetDatum(construct_array(ids, logged, INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
											  TYPALIGN_DOUBLE));
	kgw_saved_plan(&kept,
			 "UPDATE kgwebhook.delivery_log l SET request_body = NULL, response_body = NULL,"
			 " forgotten_sha256 = pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to("
			 "l.request_body, 'UTF8')), 'hex')"
			 " FROM kgwebhook.dead_letter d"
			 " WHERE l.attempt_id OPERATOR(pg_catalog.=) ANY ($1)"
			 " AND d.delivery_id OPERATOR(pg_catalog.=) l.delivery_id AND d.forgotten_sha256 IS NOT NULL",
			 1, types);
	if (SPI_execute_plan(kept, args, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not write kgwebhook.delivery_log");
}
