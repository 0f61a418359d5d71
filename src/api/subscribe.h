/*-------------------------------------------------------------------------
 *
 * subscribe.h
 *	  Subscriptions, for the functions that change one.
 *
 * src/api/subscribe.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_API_SUBSCRIBE_H
#define KGW_API_SUBSCRIBE_H

extern Datum kgw_subscribe_lock(int64 subscription_id);

#endif							/* KGW_API_SUBSCRIBE_H */
