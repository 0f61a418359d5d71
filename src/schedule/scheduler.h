/*-------------------------------------------------------------------------
 *
 * scheduler.h
 *	  What a worker remembers of its deliveries, and which goes next.
 *
 * src/schedule/scheduler.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SCHEDULE_SCHEDULER_H
#define KGW_SCHEDULE_SCHEDULER_H

#include "nodes/pg_list.h"

#include "pg/clock.h"
#include "pure/circuit_breaker.h"
#include "queue/delivery.h"

typedef struct KgwScheduler KgwScheduler;
typedef struct KgwEntry KgwEntry;

/* What to do with the entry whose turn it is. */
typedef enum KgwTurn
{
	KGW_TURN_SEND,
	KGW_TURN_SUPERSEDE,			/* it has held its successors for long enough */
	KGW_TURN_EXPIRE				/* what it is for has been failing for too long */
} KgwTurn;

/* What is to be shown of a destination. */
typedef struct KgwDestinationState
{
	const char *name;
	bool		backing_off;
	int			in_flight;
	int			failures;
	TimestampTz last_success;	/* 0 = none */
	KgwTicks	next_try;		/* of one that backs off */
	bool		forgotten;		/* nothing is left to be shown */
} KgwDestinationState;

extern KgwScheduler *kgw_scheduler_new(void);

/* backlog.c: what was read from the queue */
extern void kgw_backlog_pause(KgwScheduler *s, const char *name);
extern void kgw_backlog_pauses(KgwScheduler *s, const List *names, bool all);
extern void kgw_backlog_page_in(KgwScheduler *s, const char *name);
extern void kgw_backlog_overflow(KgwScheduler *s, const char *name, int64 first);
extern void kgw_backlog_arrival(KgwScheduler *s, KgwDelivery *row, KgwTicks due, KgwTicks expires);
extern bool kgw_backlog_paged(KgwScheduler *s, KgwDelivery *row, KgwTicks due, KgwTicks expires);
extern void kgw_backlog_skip(KgwScheduler *s, KgwDelivery *row);
extern void kgw_backlog_leave(KgwScheduler *s, KgwDelivery *row);
extern bool kgw_backlog_fetched(KgwScheduler *s, KgwDelivery *row, KgwTicks expires);

/* backlog.c: what to read next */
extern const char *kgw_backlog_want_page(KgwScheduler *s, int64 *after, int *limit);
extern void kgw_backlog_page_end(KgwScheduler *s, const char *name, bool more);
extern int	kgw_backlog_want_rows(KgwScheduler *s, int64 *ids, int room);
extern void kgw_backlog_rows_end(KgwScheduler *s, const int64 *ids, int count);

/* unload.c: what is let go of, to be read again */
extern void kgw_unload_all(KgwScheduler *s);
extern void kgw_unload_judged(KgwScheduler *s, bool own_urls);

/* keyless.c: what waits for a secret */
extern List *kgw_keyless_holders(KgwScheduler *s);
extern void kgw_keyless_release(KgwScheduler *s, const List *holders);

/* scheduler.c: turns */
extern void kgw_scheduler_tick(KgwScheduler *s, KgwTicks now);
extern KgwTicks kgw_scheduler_due(const KgwScheduler *s);
extern bool kgw_scheduler_wants_to_read(const KgwScheduler *s);
extern void kgw_scheduler_hanging(KgwScheduler *s, int hanging);
extern void kgw_scheduler_limit(KgwScheduler *s, int limit);
extern bool kgw_scheduler_can_send(KgwScheduler *s);
extern KgwEntry *kgw_scheduler_next(KgwScheduler *s, KgwTurn *turn);
extern KgwDelivery *kgw_scheduler_row(const KgwEntry *entry);
extern void kgw_scheduler_answered(KgwEntry *entry, bool answered);
extern bool kgw_scheduler_wants_fresh(const KgwEntry *entry);
extern void kgw_scheduler_concluded(KgwScheduler *s, KgwEntry *entry, KgwSign sign);
extern void kgw_object_order_note_refusal(KgwScheduler *s, KgwEntry *entry, bool refused);
extern int64 kgw_hold_so_far(const KgwEntry *entry);
extern void kgw_scheduler_settled(KgwScheduler *s, KgwEntry *entry);
extern void kgw_scheduler_retry(KgwScheduler *s, KgwEntry *entry, KgwTicks due,
								KgwTicks wish);
extern void kgw_scheduler_limits_changed(KgwScheduler *s);
extern bool kgw_scheduler_changed(KgwScheduler *s, KgwDestinationState *state);

#endif							/* KGW_SCHEDULE_SCHEDULER_H */
