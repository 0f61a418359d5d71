/*-------------------------------------------------------------------------
 *
 * replicated.h
 *	  Whether what was read has reached the standbys.
 *
 * src/queue/replicated.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_QUEUE_REPLICATED_H
#define KGW_QUEUE_REPLICATED_H

extern void kgw_replicated_require(void);
extern bool kgw_replicated_reached(void);

#endif							/* KGW_QUEUE_REPLICATED_H */
