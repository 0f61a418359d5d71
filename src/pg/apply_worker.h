/*-------------------------------------------------------------------------
 *
 * apply_worker.h
 *	  Whether this process applies what a subscription brings.
 *
 * src/pg/apply_worker.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PG_APPLY_WORKER_H
#define KGW_PG_APPLY_WORKER_H

extern bool kgw_apply_worker_copies(void);
extern const char *kgw_apply_worker_subscription(void);
extern Oid	kgw_apply_worker_subid(void);

#endif							/* KGW_PG_APPLY_WORKER_H */
