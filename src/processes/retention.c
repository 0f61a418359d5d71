/*-------------------------------------------------------------------------
 *
 * retention.c
 *	  kgwebhook.log_retention(): the setting, for functions in SQL.
 *
 * In a session that hasn't loaded the library, current_setting() doesn't know the
 * setting or its default; calling a function of the library loads it.
 *
 * src/processes/retention.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/timestamp.h"

#include "services/settings.h"

PG_FUNCTION_INFO_V1(kg_log_retention);

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
