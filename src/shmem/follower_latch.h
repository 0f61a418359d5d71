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

extern bool kgw_follower_latch_attach(Oid dboid, pid_t worker);

#endif							/* KGW_SHMEM_FOLLOWER_LATCH_H */
