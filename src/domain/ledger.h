/*-------------------------------------------------------------------------
 *
 * ledger.h
 *	  Attempts, from their beginning until they are written down.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_LEDGER_H
#define KGW_LEDGER_H

#include "lib/ilist.h"

#include "domain/delivery.h"
#include "domain/scheduler.h"

typedef struct KgwLedger KgwLedger;

/* One attempt of a worker. */
typedef struct KgwJob
{
	slist_node	node;
	KgwEntry   *entry;
	const KgwRow *row;			/* the entry's */
	uint32		secrets;		/* changes of them when it began */
	KgwAttempt	attempt;
} KgwJob;

extern KgwLedger *kgw_ledger_new(void);
extern KgwJob *kgw_ledger_begin(KgwLedger *ledger, KgwEntry *entry, const KgwRow *row);
extern void kgw_ledger_conclude(KgwLedger *ledger, KgwJob *job, KgwTicks now);
extern int	kgw_ledger_count(const KgwLedger *ledger);
extern KgwTicks kgw_ledger_due(const KgwLedger *ledger);
extern bool kgw_ledger_ready(const KgwLedger *ledger, KgwTicks now, bool idle);
extern bool kgw_ledger_full(const KgwLedger *ledger);
extern void kgw_ledger_settle(KgwLedger *ledger, KgwScheduler *scheduler);

#endif							/* KGW_LEDGER_H */
