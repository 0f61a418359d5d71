/*-------------------------------------------------------------------------
 *
 * delivery_log.h
 *	  Writing kgwebhook.delivery_log.
 *
 * src/settle/delivery_log.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SETTLE_DELIVERY_LOG_H
#define KGW_SETTLE_DELIVERY_LOG_H

#include "send/attempt.h"

/* What there is to be logged of an attempt. */
typedef struct KgwLogEntry
{
	const KgwDelivery *row;
	const KgwAttempt *attempt;
	bool		final;
	bool		is_test;
} KgwLogEntry;

typedef struct KgwLogWriter KgwLogWriter;

extern KgwLogWriter *kgw_delivery_log_begin(void);
extern int64 kgw_delivery_log_write(KgwLogWriter *writer, const KgwLogEntry *entry);
extern void kgw_delivery_log_end(KgwLogWriter *writer);

#endif							/* KGW_SETTLE_DELIVERY_LOG_H */
