/*-------------------------------------------------------------------------
 *
 * kgwebhook.c
 *	  What happens when the module is loaded.
 *
 * Settings exist in every process that loads it.  Shared memory and the
 * launcher exist only when the server itself loads it, by
 * shared_preload_libraries: a session that merely calls one of our functions
 * must get by without them, and a binary upgrade must not have webhooks sent
 * from under it.
 *
 * src/kgwebhook.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "pg/guc.h"
#include "shmem/apply_errors.h"
#include "shmem/shmem.h"
#include "worker/drop_hook.h"
#include "worker/jit_hook.h"
#include "worker/launcher.h"
#include "worker/utility_hook.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	kgw_guc_define();
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
	kgw_shmem_request();
	kgw_launcher_register();
	kgw_utility_hook_install();
	kgw_drop_hook_install();
	kgw_jit_hook_install();
	kgw_apply_errors_install();
}
