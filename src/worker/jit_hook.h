/*-------------------------------------------------------------------------
 *
 * jit_hook.h
 *	  Queries over our views are not compiled.
 *
 * src/worker/jit_hook.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_WORKER_JIT_HOOK_H
#define KGW_WORKER_JIT_HOOK_H

extern void kgw_jit_hook_install(void);

#endif							/* KGW_WORKER_JIT_HOOK_H */
