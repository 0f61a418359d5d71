/*-------------------------------------------------------------------------
 *
 * drop_hook.h
 *	  Noticing DROP EXTENSION.
 *
 * src/worker/drop_hook.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_WORKER_DROP_HOOK_H
#define KGW_WORKER_DROP_HOOK_H

extern void kgw_drop_hook_install(void);

#endif							/* KGW_WORKER_DROP_HOOK_H */
