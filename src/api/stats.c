/*-------------------------------------------------------------------------
 *
 * stats.c
 *	  What the processes say of themselves, for kgwebhook.stats; the number of
 *	  the database that they are of; and the word from CREATE EXTENSION that it
 *	  wants a worker.
 *
 * src/api/stats.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xlog.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"
#include "utils/timestamp.h"

#include "pg/database_identity.h"
#include "pg/guc.h"
#include "pg/version.h"
#include "shmem/commit_callback.h"
#include "shmem/counters.h"
#include "shmem/destination_stats.h"
#include "shmem/shmem.h"

PG_FUNCTION_INFO_V1(kg_worker_stats);
PG_FUNCTION_INFO_V1(kg_destination_notices);
PG_FUNCTION_INFO_V1(kg_on_install);
PG_FUNCTION_INFO_V1(kg_origin);

static const char *
worker_state(bool preloaded, const KgwSnapshot *snapshot)
{
	if (!preloaded)
		return "not preloaded";
	if (RecoveryInProgress())
		return "standby";
	if (snapshot->workers == 0)
		return "not running";
	if (snapshot->fenced)
		return "not adopted";
	if (snapshot->busy)
		return "busy";
	return kgw_settings.enabled ? "idle" : "disabled";
}

/*
 * kgwebhook.worker_stats(): one row, from shared memory.
 */
Datum
kg_worker_stats(PG_FUNCTION_ARGS)
{
	enum
	{
		SINCE, ENQUEUED, OUTCOMES, IN_FLIGHT = OUTCOMES + KGW_OUTCOMES, WORKERS,
		STATE, LAST_ERROR, LAST_ERROR_AT, LAST_ERROR_CODE, ERRORS_IN_A_ROW, FAILING_SINCE,
		COLUMNS
	};
	Datum		values[COLUMNS] = {0};
	bool		nulls[COLUMNS] = {0};
	TupleDesc	desc;
	KgwSnapshot snapshot;
	bool		preloaded = kgw_counters_snapshot(MyDatabaseId, &snapshot);

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[SINCE] = TimestampTzGetDatum(snapshot.since);
	nulls[SINCE] = !preloaded;
	values[ENQUEUED] = Int64GetDatum(snapshot.enqueued);
	for (int i = 0; i < KGW_OUTCOMES; i++)
		values[OUTCOMES + i] = Int64GetDatum(snapshot.outcomes[i]);
	values[IN_FLIGHT] = Int32GetDatum(snapshot.in_flight);
	values[WORKERS] = Int32GetDatum(snapshot.workers);
	values[STATE] = CStringGetTextDatum(worker_state(preloaded, &snapshot));
	values[LAST_ERROR] = CStringGetTextDatum(snapshot.last_error);
	values[LAST_ERROR_AT] = TimestampTzGetDatum(snapshot.last_error_at);
	values[LAST_ERROR_CODE] = CStringGetTextDatum(unpack_sql_state(snapshot.last_error_code));
	nulls[LAST_ERROR] = nulls[LAST_ERROR_AT] = nulls[LAST_ERROR_CODE] = (snapshot.last_error_at == 0);
	values[ERRORS_IN_A_ROW] = Int32GetDatum(snapshot.errors);
	values[FAILING_SINCE] = TimestampTzGetDatum(snapshot.failing_since);
	nulls[FAILING_SINCE] = snapshot.errors == 0;
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

static void
add_notice(const KgwNotice *notice, void *arg)
{
	ReturnSetInfo *result = arg;
	Datum		values[7];
	bool		nulls[7] = {0};

	values[0] = CStringGetTextDatum(notice->destination);
	values[1] = BoolGetDatum(notice->backing_off);
	values[2] = Int32GetDatum(notice->in_flight);
	values[3] = Int32GetDatum(notice->failures);
	values[4] = TimestampTzGetDatum(notice->last_success);
	nulls[4] = notice->last_success == 0;
	values[5] = TimestampTzGetDatum(notice->next_try);
	nulls[5] = !notice->backing_off;
	values[6] = TimestampTzGetDatum(notice->posted_at);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * kgwebhook.destination_notices(): a row for each notice.
 */
Datum
kg_destination_notices(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, 0);
	kgw_destination_stats_read(add_notice, fcinfo->resultinfo);
	return (Datum) 0;
}

/*
 * kgwebhook.origin(): what the deliveries of this database are marked by.
 */
Datum
kg_origin(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(kgw_database_identity_origin());
}

/*
 * kgwebhook.on_install(): the last word of the install script, and the first of
 * those that upgrade, which must not go on under the old library.
 */
Datum
kg_on_install(PG_FUNCTION_ARGS)
{
	kgw_version_require();
	if (kgw_shmem_ready())
		kgw_commit_callback_changed(KGW_CHANGED_ALL);
	else if (!IsBinaryUpgrade)
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("kgwebhook is not preloaded, so nothing is delivered"),
				 errdetail("Events are queued and wait."),
				 errhint("Add kgwebhook to \"shared_preload_libraries\" and restart the server.")));
	PG_RETURN_VOID();
}
