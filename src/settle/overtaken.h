/*-------------------------------------------------------------------------
 *
 * overtaken.h
 *	  Whether a newer status of an object has been acknowledged.
 *
 * src/settle/overtaken.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SETTLE_OVERTAKEN_H
#define KGW_SETTLE_OVERTAKEN_H

#include "queue/delivery.h"

extern bool kgw_overtaken_possible(const KgwDelivery *row, TimestampTz *since);
extern bool kgw_overtaken(const KgwDelivery *row, TimestampTz since);

#endif							/* KGW_SETTLE_OVERTAKEN_H */
