/*-------------------------------------------------------------------------
 *
 * scheduler_internal.h
 *	  What the files of this folder share: a worker's memory.
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

/* Rows of one destination in memory, apart from those that are being settled ... */
#define DESTINATION_ROWS 512
/* ... of which more are read when it falls below this ... */
#define DESTINATION_LOW 128
/* ... and which it may have even when all memory is taken, if they are small. */
#define DESTINATION_SHARE 8
#define DESTINATION_SHARE_BYTES (64 * 1024)

/* Entries of one destination, with or without their rows. */
#define DESTINATION_ENTRIES 16384
/* ... and when there are as many as ENTRIES_ALL of all destinations together. */
#define DESTINATION_ENTRIES_SHARE 256
#define ENTRIES_ALL 65536

/* Bytes of rows in memory, of all destinations, and so many more for each that may be in flight. */
#define ROW_BYTES (8 * 1024 * 1024)
#define ROW_BYTES_EACH 4096

/* Rows that an endpoint has ready which doesn't acknowledge, and one that does. */
#define ENDPOINT_ROWS 64
#define ENDPOINT_ROWS_PROVEN 256

/* Endpoints remembered of a destination, and of all of them. */
#define ENDPOINTS_EACH 256
#define ENDPOINTS_ALL 16384

/* What has acknowledged so lately is there, microseconds. */
#define KGW_LATELY 10000000

typedef enum KgwEntryState
{
	KGW_ENTRY_BLOCKED,
	KGW_ENTRY_BEHIND,
	KGW_ENTRY_WAITING,
	KGW_ENTRY_RIPE,
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

/* What an endpoint has shown so far: see endpoint.c. */
typedef enum KgwTrust
{
	KGW_TRUST_PROVEN,			/* has acknowledged, promptly, and not failed since */
	KGW_TRUST_NEW,				/* has yet to, or was slow about it */
	KGW_TRUST_FAILING			/* has failed since it last did */
} KgwTrust;

#define TRUSTS 3

/* Where an endpoint stands: by its trust, those with nothing in flight first. */
#define ENDPOINT_LINES (2 * TRUSTS)

typedef struct KgwAside KgwAside;

/* A destination's place in the lines; it has one for its proven endpoints and one for the others. */
typedef struct KgwStand
{
	struct KgwDestination *destination;
	bool		running;		/* in one of the lines */
	KgwLine		line;			/* and it is this one */
	dlist_node	node;
} KgwStand;

typedef struct KgwDestination
{
	char		name[KGW_DESTINATION_SIZE]; /* hash key */
	KgwHealth	health;			/* whether it can be reached */
	TimestampTz last_success;	/* 0 = none yet */
	KgwTicks	acked_at;		/* the same by the monotonic clock; 0 = never */
	int			failures;		/* attempts in a row without success, for people */
	int			entries;
	int			rows;			/* entries that have their row */
	int			settling;		/* of these, the ones whose outcome is not durable yet */
	Size		row_bytes;		/* of these */
	int			ripe;			/* entries that are due and have none yet */
	int			in_flight;
	int			trusted_in_flight[TRUSTS];	/* the same, by trust */
	int			endpoint_count;
	int			open_count;		/* endpoints whose breaker is open */
	bool		unreached;		/* so are some for not having been reached */
	bool		releasing;		/* what is read of it is due at once */
	bool		distrusting;	/* whose turn it is: see endpoint.c */
	KgwTicks	paged_at;		/* the tick of its last page */
	int64		cursor;
	bool		more;
	bool		paused;
	bool		to_pause;		/* while pauses are read again */
	bool		skipping;		/* the last row of a page was left in the table */
	bool		skipped;		/* rows up to the cursor are left there */
	bool		fanned_out;		/* something was for a subscription: see set_aside.c */
	bool		stuck;			/* a page ended for want of entries: see set_aside.c */
	KgwTicks	stuck_at;		/* and that was then */
	KgwAside   *aside;			/* or NULL: the same */
	bool		keyless;		/* something may wait for a secret */
	bool		subscribed;		/* and what is for a subscription */
	bool		paging;			/* in the list of those that want a page */
	KgwStand	stands[2];		/* of its proven endpoints, and of the others */
	bool		awaiting_probe; /* in the heap of those that wait to be probed */
	bool		changed;		/* in the list of those to be published */
	dlist_head	all;			/* its entries */
	dlist_head	endpoints;		/* lately used ones first */
	dlist_head	running_endpoints[ENDPOINT_LINES];
	dlist_node	page_node;
	dlist_node	changed_node;
	pairingheap_node probe_node;
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

typedef struct KgwEndpointKey
{
	KgwDestination *destination;
	uint64		hash;			/* of organization and URL, or subscription */
} KgwEndpointKey;

typedef struct KgwEndpoint
{
	KgwEndpointKey key;			/* hash key */
	KgwHealth	health;
	KgwTicks	acked_at;		/* 0 = never */
	bool		slow;			/* its last acknowledgement was long in coming */
	bool		aside;			/* rows of it were set aside */
	bool		unreached;		/* its last failure was its destination's */
	bool		inherits;		/* some of its entries were put off before they came here */
	int			entries;
	int			in_flight;
	int			ready_count;
	int			fetching;
	dlist_head	ready;			/* entries that may go */
	dlist_head	ripe;			/* entries that are due, whose rows are in the table */
	bool		running;		/* in one of its destination's lines */
	int			line;			/* and it is this one */
	bool		awaiting_probe; /* in the heap of those that wait to be probed */
	int64		gap;			/* microseconds between two requests; 0: no limit */
	KgwTicks	paced_until;	/* see rate_limit.c */
	bool		pacing;			/* in the heap of those that wait for their rate */
	dlist_node	run_node;
	dlist_node	node;			/* of its destination's */
	dlist_node	all_node;		/* of all, lately used ones first */
	pairingheap_node probe_node;
	pairingheap_node pace_node;
} KgwEndpoint;

typedef struct KgwObject
{
	KgwObjectKey key;			/* hash key; its name is the object's to free */
	KgwEntry   *head;			/* NULL only while there are subscriptions' beside it */
	KgwEntry   *tail;
	struct KgwObject *own;		/* of a subscription's: the chain of the object's own URLs */
	dlist_head	subscribed;		/* of that one: the chains of subscriptions */
	dlist_node	node;			/* in that list */
} KgwObject;

struct KgwEntry
{
	int64		delivery_id;	/* hash key */
	KgwDestination *destination;
	KgwEndpoint *endpoint;
	KgwObject  *object;
	KgwEntry   *newer;			/* in the chain of its object */
	uint64		url;			/* a hash of it: see shared_url.c */
	KgwEntryState state;
	KgwTicks	due;
	KgwTicks	wish;			/* the receiver's own: not before this, whatever recovers */
	KgwTicks	begun;			/* its last turn */
	KgwTicks	expires;		/* of a destination backing off: given up after this */
	KgwDelivery	   *row;			/* or NULL */
	bool		unproven;		/* in flight: counts among the unproven of the worker */
	KgwTrust	trust;			/* and as this at its destination */
	bool		ahead;			/* its turn comes before its time: see recovery.c */
	bool		spent;			/* it has had such a turn, and waits for its time */
	signed char answered;		/* its last attempt: 1 = yes, -1 = no, 0 = unknown */
	bool		refused;		/* its last attempt was answered, and not with yes */
	bool		asked;			/* its row is being read */
	bool		superseded;		/* has held its successors for long enough */
	bool		holding;		/* in the heap of holds */
	bool		doubtful;		/* only another refusal ends its hold: see hold.c */
	bool		confirming;		/* and that is being asked for */
	int64		held;			/* how long it has been refused, microseconds ... */
	int64		unseen;			/* ... this much of it while nobody was looking ... */
	int64		held_at;		/* ... up to this reading of its clock */
	KgwTicks	hold_until;		/* if the breaker stays closed */
	dlist_node	all_node;		/* of its destination */
	dlist_node	node;			/* in ready, ripe or fetching */
	pairingheap_node heap_node; /* in waiting */
	pairingheap_node hold_node; /* in holds */
};

struct KgwScheduler
{
	HTAB	   *entries;
	HTAB	   *objects;
	HTAB	   *destinations;
	HTAB	   *endpoints;
	pairingheap *waiting;		/* entries, by due */
	pairingheap *holds;			/* entries, by hold_until */
	pairingheap *probes;			/* destinations, by probe_at */
	pairingheap *endpoint_probes; /* endpoints, by probe_at */
	pairingheap *paced;			/* endpoints, by when their rate has them send: see rate_limit.c */
	dlist_head	all_endpoints;	/* lately used ones first */
	dlist_head	fetching;
	dlist_head	paging;
	dlist_head	lines[LINES];	/* stands of destinations that can send */
	int			in_flight;
	int			unproven_in_flight;
	int			hanging;		/* lookups that were given up and go on */
	int			limit;			/* of what is in flight */
	bool		unproven_next;	/* proven and unproven ones take turns */
	dlist_head	changed;
	Size		row_bytes;
	Size		row_room;		/* for so many bytes */
	int			aside_count;	/* objects of which something was set aside */
	bool		fetch_stalled;	/* no row of "fetching" has room */
	bool		all_paused;
	KgwTicks	started;		/* the first tick; 0: there was none */
	KgwTicks	now;			/* as of the last tick */
};

/* Whether its request is on the way, or its outcome not committed yet. */
static inline bool
kgw_scheduler_is_away(const KgwEntry *entry)
{
	return entry->state == KGW_ENTRY_SENDING || entry->state == KGW_ENTRY_SETTLING;
}

/* run_queues.c: the lines that destinations stand in */
extern void kgw_run_queues_place(KgwScheduler *s, KgwDestination *d);
extern bool kgw_run_queues_has_memory(const KgwScheduler *s, const KgwDestination *d, int rows);
extern int	kgw_run_queues_page_rows(const KgwScheduler *s, const KgwDestination *d, int most);
extern bool kgw_run_queues_has_entries(const KgwScheduler *s, const KgwDestination *d);
extern bool kgw_run_queues_can_send(KgwScheduler *s);
extern KgwStand *kgw_run_queues_take(KgwScheduler *s);

/* known_endpoints.c: endpoints by what they are; the scheduler's own */
extern KgwEndpoint *kgw_known_endpoints_find(KgwScheduler *s, KgwDestination *d, const KgwDelivery *row);
extern void kgw_known_endpoints_forget(KgwScheduler *s, KgwDestination *d);

/* endpoint.c: turns within a destination */
extern bool kgw_endpoint_parks(const KgwScheduler *s, const KgwEntry *entry);
extern void kgw_endpoint_enlist(KgwScheduler *s, KgwEndpoint *e);
extern void kgw_endpoint_enlist_all(KgwScheduler *s, KgwDestination *d);
extern KgwEndpoint *kgw_endpoint_candidate(const KgwScheduler *s, const KgwStand *stand);
extern KgwEntry *kgw_endpoint_take(KgwScheduler *s, const KgwStand *stand);
extern KgwTrust kgw_endpoint_trust(const KgwEndpoint *e);
extern int64 kgw_endpoint_closed_time(const KgwScheduler *s, const KgwEntry *entry);
extern KgwTicks kgw_endpoint_next_probe(const KgwDestination *d);
extern bool kgw_endpoint_any_works(const KgwDestination *d);
extern int	kgw_endpoint_compare_probes(const pairingheap_node *a, const pairingheap_node *b,
										void *arg);

/* rate_limit.c: endpoints with a rate limit */
extern int	kgw_rate_limit_compare(const pairingheap_node *a, const pairingheap_node *b, void *arg);
extern bool kgw_rate_limit_allows(const KgwScheduler *s, const KgwEndpoint *e);
extern bool kgw_rate_limit_remembers(const KgwScheduler *s, const KgwEndpoint *e);
extern bool kgw_rate_limit_remembers_any(const KgwScheduler *s, const KgwDestination *d);
extern void kgw_rate_limit_leave(KgwScheduler *s, KgwEndpoint *e);
extern void kgw_rate_limit_await(KgwScheduler *s, KgwEndpoint *e);
extern bool kgw_rate_limit_set(KgwScheduler *s, KgwEndpoint *e, int64 gap);
extern bool kgw_rate_limit_sent(KgwScheduler *s, KgwEndpoint *e);
extern KgwEndpoint *kgw_rate_limit_first(const KgwScheduler *s);
extern KgwTicks kgw_rate_limit_due(const KgwScheduler *s);

/* recovery.c: whose failure it is, and what happens when it is over */
extern void kgw_recovery_concluded(KgwScheduler *s, KgwEntry *entry, KgwSign sign);
extern void kgw_recovery_wake(KgwScheduler *s);

/* objects.c: objects by name */
extern HTAB *kgw_objects_new(MemoryContext context);
extern KgwObject *kgw_objects_find(KgwScheduler *s, KgwDestination *destination,
								   const KgwDelivery *row);
extern void kgw_objects_forget(KgwScheduler *s, KgwObject *object);

/* object_order.c: order within an object, and the states of an entry */
extern void kgw_object_order_ripen(KgwScheduler *s, KgwEntry *entry);
extern void kgw_object_order_activate(KgwScheduler *s, KgwEntry *entry);
extern void kgw_object_order_join(KgwScheduler *s, KgwEntry *entry, const KgwDelivery *row);
extern void kgw_object_order_leave(KgwScheduler *s, KgwEntry *entry);
extern void kgw_object_order_leave_state(KgwScheduler *s, KgwEntry *entry);
extern void kgw_object_order_give_way(KgwScheduler *s, KgwEntry *entry);
extern void kgw_object_order_release_holds(KgwScheduler *s);
extern void kgw_object_order_take_row(KgwScheduler *s, KgwEntry *entry, KgwDelivery *row, KgwTicks due,
							   KgwTicks expires);
extern void kgw_object_order_drop_row(KgwScheduler *s, KgwEntry *entry);
extern void kgw_object_order_drop_rows(KgwScheduler *s, KgwEntry *entry);

/* hold.c: how long a refused head holds its successors, microseconds */
extern void kgw_hold_resume(KgwScheduler *s, KgwEntry *entry, const KgwDelivery *row);
extern void kgw_hold_note(KgwScheduler *s, KgwEntry *entry, bool refused);
extern void kgw_hold_begin(KgwScheduler *s, KgwEntry *entry);
extern void kgw_hold_stop(KgwScheduler *s, KgwEntry *entry);
extern KgwEntry *kgw_hold_next_over(KgwScheduler *s);
extern void kgw_hold_reckon(KgwScheduler *s);

/* shared_url.c: order where an object's own URL is that of a subscription, too */
typedef void (*KgwBeside) (KgwScheduler *s, KgwObject *object, const KgwEntry *entry);

extern uint64 kgw_shared_url_hash(const char *url);
extern KgwEntry *kgw_shared_url_before(const KgwEntry *entry);
extern bool kgw_shared_url_holds(const KgwEntry *entry);
extern void kgw_shared_url_each(KgwScheduler *s, KgwObject *object, KgwBeside act,
								const KgwEntry *entry);

/* set_aside.c: what is left in the table so that more can be read */
typedef enum KgwPlace
{
	KGW_PLACE_MEMORY,
	KGW_PLACE_ASIDE,			/* it stays in the table, and the cursor passes it */
	KGW_PLACE_LATER				/* it is read again when there is room */
} KgwPlace;

extern bool kgw_set_aside_has(const KgwDestination *d, const KgwDelivery *row);
extern KgwPlace kgw_set_aside_judge(KgwScheduler *s, KgwDestination *d, const KgwDelivery *row);
extern int64 kgw_set_aside_forget(KgwScheduler *s, KgwDestination *d);
extern bool kgw_set_aside_is_wanted(const KgwEndpoint *e);
extern bool kgw_set_aside_is_over(const KgwDestination *d);
extern void kgw_set_aside_return(KgwScheduler *s, KgwDestination *d);
extern void kgw_set_aside_unstick(KgwDestination *d, const KgwEndpoint *e);

/* unload.c: what leaves memory; an entry, and its row, is gone afterwards */
extern void kgw_unload(KgwScheduler *s, KgwDestination *d);
extern void kgw_unload_entry(KgwScheduler *s, KgwEntry *entry);

#endif							/* KGW_SCHEDULE_SCHEDULER_INTERNAL_H */
