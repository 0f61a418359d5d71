/*-------------------------------------------------------------------------
 *
 * fd_limit.h
 *	  How many sockets this process can have.
 *
 * src/worker/fd_limit.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_WORKER_FD_LIMIT_H
#define KGW_WORKER_FD_LIMIT_H

extern int	kgw_fd_limit_for(int wanted);

#endif							/* KGW_WORKER_FD_LIMIT_H */
