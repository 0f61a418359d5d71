/*-------------------------------------------------------------------------
 *
 * log.h
 *	  Writing kgwebhook.delivery_log.
 *
 * src/domain/log.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_LOG_H
#define KGW_LOG_H

#include "domain/delivery.h"

/* What there is to be logged of an attempt. */
typedef struct KgwLogEntry
{
	const KgwRow *row;
	const KgwAttempt *attempt;
	bool		final;
	bool		is_test;
} KgwLogEntry;

typedef struct KgwLogWriter KgwLogWriter;

extern KgwLogWriter *kgw_log_begin(void);
extern int64 kgw_log_write(KgwLogWriter *writer, const KgwLogEntry *entry);
extern void kgw_log_end(KgwLogWriter *writer);

#endif							/* KGW_LOG_H */
