/*-------------------------------------------------------------------------
 *
 * table_changed.c
 *	  Noticing that someone has written our tables.
 *
 * A worker remembers secrets, pauses, subscriptions and the queue.  When another session has
 * changed them, by our functions or by hand, it reads them again at that session's
 * commit: of the queue everything, for nobody can say what else was written; of the
 * others only what they have a say in (loop_changed.c).  Statement triggers see every way of writing; the
 * workers' own writing doesn't fire them, and the enqueuing trigger of a
 * watched table goes below them.
 *
 * What a subscription of PostgreSQL's brings, as from a node where an operator works,
 * fires no statement triggers at all, so for that there are row triggers besides.
 *
 * Subscriptions are remembered by every writer of a watched table as well, who
 * hears of it as of a change of a table's definition.
 *
 * src/capture/table_changed.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/inval.h"
#include "utils/rel.h"

#include "pg/apply_worker.h"
#include "pg/extension.h"
#include "shmem/commit_callback.h"

PG_FUNCTION_INFO_V1(kg_invalidate_workers);

/* What workers remember of this table. */
static KgwChanged
what_of(Relation table)
{
	Oid			relid = RelationGetRelid(table);

	if (relid == kgw_extension_relation("secret") ||
		relid == kgw_extension_relation("signing_key") ||
		relid == kgw_extension_relation("http_signature") ||
		relid == kgw_extension_relation("client_certificate") ||
		relid == kgw_extension_relation("request_header"))
		return KGW_CHANGED_SECRETS;
	if (relid == kgw_extension_relation("subscription") || relid == kgw_extension_relation("consent"))
		return KGW_CHANGED_SUBSCRIPTIONS;
	if (relid == kgw_extension_relation("paused"))
		return KGW_CHANGED_PAUSES;
	return KGW_CHANGED_ALL;
}

/*
 * kgwebhook.invalidate_workers(): trigger of the tables that workers remember.
 */
Datum
kg_invalidate_workers(PG_FUNCTION_ARGS)
{
	TriggerData *trigger;
	Relation	table;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called by trigger manager", "kgwebhook.invalidate_workers")));
	trigger = (TriggerData *) fcinfo->context;
	table = trigger->tg_relation;

	/* the row triggers are for what is applied; the workers' own writing fires them, too */
	if (TRIGGER_FIRED_FOR_ROW(trigger->tg_event) && !OidIsValid(kgw_apply_worker_subid()))
		return PointerGetDatum(NULL);
	if (RelationGetRelid(table) == kgw_extension_relation("subscription"))
		CacheInvalidateRelcache(table);
	kgw_commit_callback_changed(what_of(table));
	return PointerGetDatum(NULL);
}
