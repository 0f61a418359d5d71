/*-------------------------------------------------------------------------
 *
 * follower_latch.h
 *	  Waking the process that looks after a database's sources.
 *
 * src/shmem/follower_latch.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SHMEM_FOLLOWER_LATCH_H
#define KGW_SHMEM_FOLLOWER_LATCH_H

extern void kgw_follower_latch_attach(void);

#endif							/* KGW_SHMEM_FOLLOWER_LATCH_H */
