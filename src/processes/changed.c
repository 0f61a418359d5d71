/*-------------------------------------------------------------------------
 *
 * changed.c
 *	  Noticing that somebody has written our tables.
 *
 * A worker remembers secrets, pauses and the queue.  When another session has
 * changed them, by our functions or by hand, it starts over from the tables at
 * that session's commit.  Statement triggers see every way of writing; the
 * workers' own writing doesn't fire them, and the enqueuing trigger of a
 * watched table goes below them.
 *
 * src/processes/changed.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "fmgr.h"

#include "domain/commit.h"

PG_FUNCTION_INFO_V1(kg_changed);

/*
 * kgwebhook.changed(): statement trigger of the tables that workers remember.
 */
Datum
kg_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called by a trigger", "kgwebhook.changed")));
	kgw_commit_reload();
	return PointerGetDatum(NULL);
}
