/*-------------------------------------------------------------------------
 *
 * apply_errors.c
 *	  The last error of each subscription's apply worker.
 *
 * An apply worker that can't go on says why in the server's log and nowhere else;
 * PostgreSQL counts its errors and doesn't keep them.  Who looks at a source that
 * stands still wants the reason, and kg_skip() the transaction: so what the worker is
 * about to log is kept here as well.  Of the detail only what names a key is kept: others
 * quote the whole row, and from 18 on so does the rest of that one.
 *
 * src/shmem/apply_errors.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "pg/apply_worker.h"
#include "pg/compat.h"
#include "shmem/apply_errors.h"
#include "shmem/shmem.h"

PG_FUNCTION_INFO_V1(kg_apply_errors);

/* Subscriptions whose errors are kept; the oldest makes way. */
#define KEPT 32

typedef struct KgwApplyError
{
	Oid			dboid;
	Oid			subid;			/* InvalidOid = free */
	TimestampTz at;
	char		message[512];
	char		detail[512];
	char		context[512];
} KgwApplyError;

typedef struct KgwApplyErrors
{
	slock_t		mutex;
	KgwApplyError errors[KEPT];
} KgwApplyErrors;

static KgwApplyErrors *kept;
static emit_log_hook_type previous_hook;

static void
keep_text(char *to, size_t size, const char *from)
{
	size_t		len = from == NULL ? 0 : strlen(from);

	if (len >= size)
		len = pg_mbcliplen(from, len, size - 1);
	if (len > 0)
		memcpy(to, from, len);
	to[len] = '\0';
}

/*
 * Of a duplicate key's detail, the key alone: "Key (id)=(7) already exists."  From 18 on
 * it stands on a line of its own between the index and the two rows.
 */
static void
keep_key(char *to, size_t size, const char *detail)
{
	if (KGW_COMPAT_CONFLICT_HAS_ROWS)
	{
		detail = detail != NULL ? strstr(detail, "\nKey (") : NULL;
		detail = detail != NULL ? detail + 1 : NULL;
	}
	keep_text(to, size, detail);
	if (KGW_COMPAT_CONFLICT_HAS_ROWS)
		to[strcspn(to, ";")] = '\0';
}

static KgwApplyError *
place_for(Oid subid)
{
	KgwApplyError *oldest = &kept->errors[0];

	for (int i = 0; i < KEPT; i++)
	{
		KgwApplyError *error = &kept->errors[i];

		if (error->dboid == MyDatabaseId && error->subid == subid)
			return error;
		if (error->at < oldest->at)
			oldest = error;
	}
	return oldest;
}

static void
keep_apply_error(ErrorData *edata)
{
	Oid			subid = kgw_apply_worker_subid();
	KgwApplyError *error;

	if (previous_hook)
		previous_hook(edata);
	if (kept == NULL || !OidIsValid(subid) || edata->elevel < ERROR ||
		ERRCODE_TO_CATEGORY(edata->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		return;
	SpinLockAcquire(&kept->mutex);
	error = place_for(subid);
	error->dboid = MyDatabaseId;
	error->subid = subid;
	error->at = GetCurrentTimestamp();
	keep_text(error->message, sizeof(error->message), edata->message);
	keep_key(error->detail, sizeof(error->detail),
			 edata->sqlerrcode == ERRCODE_UNIQUE_VIOLATION ? edata->detail : NULL);
	keep_text(error->context, sizeof(error->context), edata->context);
	SpinLockRelease(&kept->mutex);
}

void
kgw_apply_errors_request(void)
{
	RequestAddinShmemSpace(MAXALIGN(sizeof(KgwApplyErrors)));
}

void
kgw_apply_errors_startup(void)
{
	bool		found;

	kept = ShmemInitStruct("kgwebhook apply errors", sizeof(KgwApplyErrors), &found);
	if (found)
		return;
	memset(kept, 0, sizeof(KgwApplyErrors));
	SpinLockInit(&kept->mutex);
}

/* From now on, errors of this and every later process are kept. */
void
kgw_apply_errors_install(void)
{
	previous_hook = emit_log_hook;
	emit_log_hook = keep_apply_error;
}

/*
 * kgwebhook.apply_errors(): those of this database.
 */
Datum
kg_apply_errors(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	KgwApplyError error;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; kept != NULL && i < KEPT; i++)
	{
		Datum		values[5];
		bool		nulls[5] = {0};

		SpinLockAcquire(&kept->mutex);
		error = kept->errors[i];
		SpinLockRelease(&kept->mutex);
		if (error.dboid != MyDatabaseId)
			continue;
		values[0] = ObjectIdGetDatum(error.subid);
		values[1] = TimestampTzGetDatum(error.at);
		values[2] = CStringGetTextDatum(error.message);
		values[3] = CStringGetTextDatum(error.detail);
		values[4] = CStringGetTextDatum(error.context);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
