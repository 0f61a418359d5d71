/*-------------------------------------------------------------------------
 *
 * apply_errors.h
 *	  The last error of each subscription's apply worker.
 *
 * src/shmem/apply_errors.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SHMEM_APPLY_ERRORS_H
#define KGW_SHMEM_APPLY_ERRORS_H

extern void kgw_apply_errors_request(void);
extern void kgw_apply_errors_startup(void);
extern void kgw_apply_errors_install(void);

#endif							/* KGW_SHMEM_APPLY_ERRORS_H */
