/*-------------------------------------------------------------------------
 *
 * scheduler_internal.h
 *	  What scheduler.c, backlog.c, object_order.c and run_queues.c share: a worker's
 *	  memory.
 *
 * src/schedule/scheduler_internal.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SCHEDULE_SCHEDULER_INTERNAL_H
#define KGW_SCHEDULE_SCHEDULER_INTERNAL_H

#include "lib/ilist.h"
#include "lib/pairingheap.h"
#include "utils/hsearch.h"

#include "pure/circuit_breaker.h"
#include "pure/url.h"
#include "schedule/scheduler.h"

/* Rows of one destination in memory ... */
#define DESTINATION_ROWS 512
/* ... of which more are read when it falls below this ... */
#define DESTINATION_LOW 128
/* ... and which it may have even when all memory is taken, if they are small. */
#define DESTINATION_SHARE 8
#define DESTINATION_SHARE_BYTES (64 * 1024)

/* Entries of one destination, with or without their rows. */
#define DESTINATION_ENTRIES 16384

/* Bytes of rows in memory, of all destinations. */
#define ROW_BYTES (8 * 1024 * 1024)

typedef enum KgwEntryState
{
	KGW_ENTRY_BLOCKED,
	KGW_ENTRY_WAITING,
	KGW_ENTRY_FETCHING,
	KGW_ENTRY_READY,
	KGW_ENTRY_SENDING,
	KGW_ENTRY_SETTLING
} KgwEntryState;

/* Where a destination that can send stands: see run_queues.c. */
typedef enum KgwLine
{
	KGW_LINE_PROVEN,			/* has lately acknowledged, and promptly */
	KGW_LINE_PROVEN_BUSY,		/* and has something in flight */
	KGW_LINE_UNPROVEN,
	KGW_LINE_UNPROVEN_BUSY		/* or is known to be slow */
} KgwLine;

#define LINES 4

typedef struct KgwDestination
{
	char		name[KGW_DESTINATION_SIZE]; /* hash key */
	KgwHealth	health;
	TimestampTz last_success;	/* 0 = none yet */
	int			entries;
	int			rows;			/* entries that have their row */
	Size		row_bytes;		/* of these */
	int			in_flight;
	int64		cursor;
	bool		more;
	bool		paused;
	bool		to_pause;		/* while pauses are read again */
	bool		skipping;		/* the last row of a page was left in the table */
	bool		skipped;		/* rows up to the cursor are left there */
	bool		keyless;		/* what waits for a secret was met since it was loaded */
	bool		subscribed;		/* and what is for a subscription */
	bool		paging;			/* in the list of those that want a page */
	bool		slow;			/* its last acknowledgement was long in coming */
	bool		running;		/* in one of the lines of those that can send */
	KgwLine		line;			/* and it is this one */
	bool		ill;			/* in the heap of those that wait to be probed */
	bool		changed;		/* in the list of those to be published */
	dlist_head	ready;
	dlist_head	all;			/* its entries */
	dlist_node	page_node;
	dlist_node	run_node;
	dlist_node	changed_node;
	pairingheap_node ill_node;
} KgwDestination;

/*
 * Whose transitions stand in line behind one another: an object, which is nothing
 * less than organization, kind and identifier, as one receiver sees it.  Compared
 * as a whole, for an object that is merely taken for another would be held up, and
 * superseded, by it.
 */
typedef struct KgwObjectKey
{
	uint64		hash;			/* of what follows */
	KgwDestination *destination;
	int64		subscription_id;
	Size		name_len;
	const char *name;			/* organization, kind and identifier, NUL after each */
} KgwObjectKey;

typedef struct KgwObject
{
	KgwObjectKey key;			/* hash key; its name is the object's to free */
	KgwEntry   *head;
	KgwEntry   *tail;
} KgwObject;

struct KgwEntry
{
	int64		delivery_id;	/* hash key */
	KgwDestination *destination;
	KgwObject  *object;
	KgwEntry   *newer;			/* in the chain of its object */
	KgwEntryState state;
	KgwTicks	due;
	KgwTicks	begun;			/* its last turn */
	KgwTicks	expires;		/* an ill destination's: given up after this */
	KgwDelivery	   *row;			/* or NULL */
	bool		unproven;		/* counts among the unproven in flight */
	signed char answered;		/* its last attempt: 1 = yes, -1 = no, 0 = unknown */
	bool		refused;		/* was sent, and has to be sent again */
	bool		superseded;		/* has held its successors for long enough */
	bool		holding;		/* in the heap of holds */
	int64		held_since;		/* by its destination's closed time */
	KgwTicks	hold_until;		/* if the breaker stays closed */
	dlist_node	all_node;		/* of its destination */
	dlist_node	node;			/* in ready or fetching */
	pairingheap_node heap_node; /* in waiting */
	pairingheap_node hold_node; /* in holds */
};

struct KgwScheduler
{
	HTAB	   *entries;
	HTAB	   *objects;
	HTAB	   *destinations;
	pairingheap *waiting;		/* entries, by due */
	pairingheap *holds;			/* entries, by hold_until */
	pairingheap *ill;			/* destinations, by probe_at */
	dlist_head	fetching;
	dlist_head	paging;
	dlist_head	lines[LINES];	/* destinations that can send */
	int			in_flight;
	int			unproven_in_flight;
	int			hanging;		/* lookups that were given up and go on */
	int			limit;			/* of what is in flight */
	bool		unproven_next;	/* proven and unproven ones take turns */
	dlist_head	changed;
	Size		row_bytes;
	bool		fetch_stalled;	/* no row of "fetching" has room */
	bool		all_paused;
	KgwTicks	now;			/* as of the last tick */
};

/* run_queues.c: the lines that destinations stand in */
extern void kgw_run_queues_place(KgwScheduler *s, KgwDestination *d);
extern bool kgw_run_queues_has_memory(const KgwScheduler *s, const KgwDestination *d, int rows);
extern bool kgw_run_queues_is_slow(KgwTicks taken);
extern bool kgw_run_queues_can_send(KgwScheduler *s);
extern KgwDestination *kgw_run_queues_take(KgwScheduler *s);

/* object_order.c: order within an object, and the states of an entry */
extern HTAB *kgw_object_order_objects(MemoryContext context);
extern void kgw_object_order_forget(KgwScheduler *s, KgwObject *object);
extern void kgw_object_order_activate(KgwScheduler *s, KgwEntry *entry);
extern void kgw_object_order_join(KgwScheduler *s, KgwEntry *entry, const KgwDelivery *row);
extern void kgw_object_order_leave(KgwScheduler *s, KgwEntry *entry);
extern void kgw_object_order_leave_state(KgwScheduler *s, KgwEntry *entry);
extern void kgw_object_order_hold(KgwScheduler *s, KgwEntry *entry);
extern void kgw_object_order_release_holds(KgwScheduler *s);
extern void kgw_object_order_reckon_holds(KgwScheduler *s);
extern void kgw_object_order_take_row(KgwScheduler *s, KgwEntry *entry, KgwDelivery *row, KgwTicks due,
							   KgwTicks expires);
extern void kgw_object_order_drop_row(KgwScheduler *s, KgwEntry *entry);

/* backlog.c: what is in memory and what isn't */
extern void kgw_backlog_remove(KgwScheduler *s, KgwEntry *entry);
extern void kgw_backlog_unload(KgwScheduler *s, KgwDestination *d);

#endif							/* KGW_SCHEDULE_SCHEDULER_INTERNAL_H */
