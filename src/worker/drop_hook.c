/*-------------------------------------------------------------------------
 *
 * drop_hook.c
 *	  Noticing DROP EXTENSION.
 *
 * An idle worker neither wakes nor queries, so it would never find out that
 * its extension is gone: it would hold a connection to the database for ever.
 * Dropping the extension therefore wakes the workers like any other change of
 * what they know, at commit; they look, find nothing and leave.
 *
 * A hook and not an event trigger: it needs no object in the database, which
 * pg_dump would have to know and a superuser to own.
 *
 * src/worker/drop_hook.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/objectaccess.h"
#include "catalog/pg_extension.h"

#include "pg/extension.h"
#include "shmem/commit_callback.h"
#include "worker/drop_hook.h"

static object_access_hook_type previous_access_hook;

static void
on_access(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg)
{
	if (previous_access_hook)
		previous_access_hook(access, class_id, object_id, sub_id, arg);
	if (access == OAT_DROP && class_id == ExtensionRelationId &&
		object_id == kgw_extension_oid())
		kgw_commit_callback_changed(KGW_CHANGED_ALL);
}

/*
 * Wake the workers of a database when the extension is dropped there.  Called
 * from _PG_init while libraries are preloaded.
 */
void
kgw_drop_hook_install(void)
{
	previous_access_hook = object_access_hook;
	object_access_hook = on_access;
}
