/*-------------------------------------------------------------------------
 *
 * init.c
 *	  What happens when the module is loaded.
 *
 * Settings exist in every process that loads it.  Shared memory and the
 * launcher exist only when the server itself loads it, by
 * shared_preload_libraries: a session that merely calls one of our functions
 * must get by without them, and a binary upgrade must not have webhooks sent
 * from under it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "processes/launcher.h"
#include "processes/removal.h"
#include "processes/statements.h"
#include "services/settings.h"
#include "services/shared.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	kgw_settings_define();
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
	kgw_shared_request();
	kgw_launcher_register();
	kgw_statements_watch();
	kgw_removal_watch();
}
