/*-------------------------------------------------------------------------
 *
 * follower.h
 *	  The process that looks after the sources that a database follows.
 *
 * src/follow/follower.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_FOLLOW_FOLLOWER_H
#define KGW_FOLLOW_FOLLOWER_H

#include "postmaster/bgworker.h"

extern void kgw_follower_ensure(void);
extern PGDLLEXPORT void kgw_follower_main(Datum arg);

#endif							/* KGW_FOLLOW_FOLLOWER_H */
