/*-------------------------------------------------------------------------
 *
 * utility_hook.h
 *	  Statements of others that concern our workers.
 *
 * src/worker/utility_hook.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_WORKER_UTILITY_HOOK_H
#define KGW_WORKER_UTILITY_HOOK_H

extern void kgw_utility_hook_install(void);

#endif							/* KGW_WORKER_UTILITY_HOOK_H */
