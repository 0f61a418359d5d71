/*-------------------------------------------------------------------------
 *
 * log_retention.c
 *	  What kg_purge() can't find out in SQL: the setting kgwebhook.log_retention,
 *	  and whether the transaction ends with the statement.
 *
 * In a session that hasn't loaded the library, current_setting() doesn't know the
 * setting or its default; calling a function of the library loads it.
 *
 * By its times a transaction can't be told from a string of several statements that
 * is sent as one, which all run in one transaction and begin at the same moment.
 *
 * src/api/log_retention.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "utils/timestamp.h"

#include "pg/guc.h"

PG_FUNCTION_INFO_V1(kg_log_retention);
PG_FUNCTION_INFO_V1(kg_in_transaction_block);

/*
 * kgwebhook.log_retention() -> interval, NULL when everything is kept
 */
Datum
kg_log_retention(PG_FUNCTION_ARGS)
{
	Interval   *span;

	if (kgw_settings.log_retention->forever)
		PG_RETURN_NULL();
	span = palloc(sizeof(Interval));
	*span = kgw_settings.log_retention->span;
	PG_RETURN_INTERVAL_P(span);
}

/*
 * kgwebhook.in_transaction_block() -> boolean: whether what was sent has, or may
 * have, further statements of this transaction, by BEGIN, in the same string, or
 * in a pipeline
 */
Datum
kg_in_transaction_block(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(IsInTransactionBlock(true));
}
