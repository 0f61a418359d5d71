/*-------------------------------------------------------------------------
 *
 * commit.h
 *	  Waking the workers when this transaction commits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_COMMIT_H
#define KGW_COMMIT_H

extern void kgw_commit_wake(int enqueued);
extern void kgw_commit_reload(void);

#endif							/* KGW_COMMIT_H */
