/*-------------------------------------------------------------------------
 *
 * scheduler.h
 *	  What a worker remembers of its deliveries, and which goes next.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SCHEDULER_H
#define KGW_SCHEDULER_H

#include "domain/delivery.h"
#include "domain/queue.h"

typedef struct KgwScheduler KgwScheduler;
typedef struct KgwEntry KgwEntry;

extern KgwScheduler *kgw_scheduler_new(void);
extern void kgw_scheduler_forget(KgwScheduler *s);

/* what was read from the queue */
extern void kgw_scheduler_backlog(KgwScheduler *s, const char *destination);
extern void kgw_scheduler_arrival(KgwScheduler *s, KgwRow *row, KgwTicks due);
extern void kgw_scheduler_paged(KgwScheduler *s, KgwRow *row, KgwTicks due);
extern void kgw_scheduler_fetched(KgwScheduler *s, KgwRow *row, KgwTicks due);

/* what to read next */
extern const char *kgw_scheduler_want_page(KgwScheduler *s, int64 *after);
extern void kgw_scheduler_page_end(KgwScheduler *s, const char *destination, bool more);
extern int	kgw_scheduler_want_rows(KgwScheduler *s, int64 *ids, int room);
extern void kgw_scheduler_rows_end(KgwScheduler *s, const int64 *ids, int count);

/* sending */
extern void kgw_scheduler_tick(KgwScheduler *s, KgwTicks now);
extern KgwTicks kgw_scheduler_due(const KgwScheduler *s);
extern bool kgw_scheduler_can_send(const KgwScheduler *s);
extern KgwEntry *kgw_scheduler_next(KgwScheduler *s);
extern KgwRow *kgw_scheduler_row(const KgwEntry *entry);
extern void kgw_scheduler_concluded(KgwScheduler *s, KgwEntry *entry);
extern void kgw_scheduler_settled(KgwScheduler *s, KgwEntry *entry);
extern void kgw_scheduler_retry(KgwScheduler *s, KgwEntry *entry, KgwTicks due);
extern void kgw_scheduler_limits_changed(KgwScheduler *s);

#endif							/* KGW_SCHEDULER_H */
