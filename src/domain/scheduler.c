/*-------------------------------------------------------------------------
 *
 * scheduler.c
 *	  What a worker remembers of its deliveries, and which goes next.
 *
 * A worker owns its destinations, so this memory, and no claim in a table, says
 * what is being sent.  It is bounded: what doesn't fit stays in the queue and
 * is paged in as its destination gets room.
 *
 *	destination	 Unit of fairness: destinations take turns, each with its own
 *				 limit of requests in flight.  "cursor" divides its deliveries:
 *				 all up to it that aren't settled are known here; if "more", there
 *				 are others beyond it in the table.
 *	object		 Unit of order: its transitions to one destination form a chain,
 *				 oldest first, and only the head of the chain ever goes.
 *	entry		 A delivery.  Its row (with the payload) is let go while it waits
 *				 for a retry, and read again when it is due.
 *
 *	 ARRIVED ──► BLOCKED (behind an older transition of its object)
 *	    │           │ becomes head
 *	    ▼           ▼
 *	 WAITING ──► FETCHING ──► READY ──► SENDING ──► SETTLING ──► gone
 *	 (for its     (row is      (in its                 │
 *	  time)        read again)  destination's line)    │
 *	    ▲───────────────────── retry ──────────────────┘
 *
 * No SQL, no network, no clock: the worker brings rows, times and outcomes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "lib/ilist.h"
#include "lib/pairingheap.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "domain/scheduler.h"
#include "pure/url.h"
#include "services/settings.h"

/* Rows of one destination in memory ... */
#define DESTINATION_ROWS 512
/* ... of which more are read when it falls below this ... */
#define DESTINATION_LOW 128
/* ... and which it may have even when all memory is taken. */
#define DESTINATION_SHARE 8

/* Entries of one destination, with or without their rows. */
#define DESTINATION_ENTRIES 16384

/* Bytes of rows in memory, of all destinations. */
#define ROW_BYTES (16 * 1024 * 1024)

typedef enum KgwEntryState
{
	KGW_ENTRY_BLOCKED,
	KGW_ENTRY_WAITING,
	KGW_ENTRY_FETCHING,
	KGW_ENTRY_READY,
	KGW_ENTRY_SENDING,
	KGW_ENTRY_SETTLING
} KgwEntryState;

typedef struct KgwDestination
{
	char		name[KGW_DESTINATION_SIZE]; /* hash key */
	int			entries;
	int			rows;			/* entries that have their row */
	int			in_flight;
	int64		cursor;
	bool		more;
	bool		paging;			/* in the list of those that want a page */
	bool		running;		/* in the line of those that can send */
	dlist_head	ready;
	dlist_node	page_node;
	dlist_node	run_node;
} KgwDestination;

/* Two objects with the same hash are merely sent one after the other. */
typedef struct KgwObject
{
	uint64		hash;			/* hash key: of destination and object */
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
	KgwRow	   *row;			/* or NULL */
	dlist_node	node;			/* in ready or fetching */
	pairingheap_node heap_node; /* in waiting */
};

struct KgwScheduler
{
	MemoryContext context;
	HTAB	   *entries;
	HTAB	   *objects;
	HTAB	   *destinations;
	pairingheap *waiting;		/* by due */
	dlist_head	fetching;
	dlist_head	paging;
	dlist_head	running;
	Size		row_bytes;
	KgwTicks	now;			/* as of the last tick */
};

static void activate(KgwScheduler *s, KgwEntry *entry);

static int
compare_due(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	KgwTicks	x = pairingheap_const_container(KgwEntry, heap_node, a)->due;
	KgwTicks	y = pairingheap_const_container(KgwEntry, heap_node, b)->due;

	return x < y ? 1 : x > y ? -1 : 0;
}

static HTAB *
create_table(const char *name, Size key, Size entry, int flags)
{
	HASHCTL		ctl = {0};

	ctl.keysize = key;
	ctl.entrysize = entry;
	ctl.hcxt = CurrentMemoryContext;
	return hash_create(name, 1024, &ctl, HASH_ELEM | HASH_CONTEXT | flags);
}

/* An empty memory, in a context of its own below the current one. */
KgwScheduler *
kgw_scheduler_new(void)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "kgwebhook scheduler",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	KgwScheduler *s = palloc0(sizeof(KgwScheduler));

	s->context = context;
	s->entries = create_table("kgwebhook deliveries", sizeof(int64), sizeof(KgwEntry), HASH_BLOBS);
	s->objects = create_table("kgwebhook objects", sizeof(uint64), sizeof(KgwObject), HASH_BLOBS);
	s->destinations = create_table("kgwebhook destinations", KGW_DESTINATION_SIZE,
								   sizeof(KgwDestination), HASH_STRINGS);
	s->waiting = pairingheap_allocate(compare_due, NULL);
	dlist_init(&s->fetching);
	dlist_init(&s->paging);
	dlist_init(&s->running);
	MemoryContextSwitchTo(caller);
	return s;
}

static KgwDestination *
find_destination(KgwScheduler *s, const char *name)
{
	KgwDestination *destination;
	bool		found;

	destination = hash_search(s->destinations, name, HASH_ENTER, &found);
	if (!found)
	{
		memset((char *) destination + sizeof(destination->name), 0,
			   sizeof(KgwDestination) - sizeof(destination->name));
		dlist_init(&destination->ready);
	}
	return destination;
}

/* Put a destination into, or out of, the lists it belongs to now. */
static void
place_destination(KgwScheduler *s, KgwDestination *d)
{
	bool		run = !dlist_is_empty(&d->ready) &&
		d->in_flight < kgw_settings.max_in_flight_per_destination;
	bool		page = d->more && d->rows < DESTINATION_LOW &&
		d->entries < DESTINATION_ENTRIES &&
		(d->rows < DESTINATION_SHARE || s->row_bytes < ROW_BYTES);

	if (run && !d->running)
		dlist_push_tail(&s->running, &d->run_node);
	else if (!run && d->running)
		dlist_delete(&d->run_node);
	d->running = run;

	if (page && !d->paging)
		dlist_push_tail(&s->paging, &d->page_node);
	else if (!page && d->paging)
		dlist_delete(&d->page_node);
	d->paging = page;

	if (d->entries == 0 && !d->more)
		hash_search(s->destinations, d->name, HASH_REMOVE, NULL);
}

static void
drop_row(KgwScheduler *s, KgwEntry *entry)
{
	if (entry->row == NULL)
		return;
	s->row_bytes -= entry->row->size;
	entry->destination->rows--;
	pfree(entry->row);
	entry->row = NULL;
}

static void
take_row(KgwScheduler *s, KgwEntry *entry, KgwRow *row, KgwTicks due)
{
	entry->row = row;
	entry->due = due;
	entry->destination->rows++;
	s->row_bytes += row->size;
}

/* Take an entry out of whatever list its state keeps it in. */
static void
leave_state(KgwScheduler *s, KgwEntry *entry)
{
	if (entry->state == KGW_ENTRY_WAITING)
		pairingheap_remove(s->waiting, &entry->heap_node);
	else if (entry->state == KGW_ENTRY_FETCHING || entry->state == KGW_ENTRY_READY)
		dlist_delete(&entry->node);
}

/* Find the next state of an entry that is the head of its chain. */
static void
activate(KgwScheduler *s, KgwEntry *entry)
{
	if (entry->due > s->now)
	{
		entry->state = KGW_ENTRY_WAITING;
		drop_row(s, entry);
		pairingheap_add(s->waiting, &entry->heap_node);
	}
	else if (entry->row == NULL)
	{
		entry->state = KGW_ENTRY_FETCHING;
		dlist_push_tail(&s->fetching, &entry->node);
	}
	else
	{
		entry->state = KGW_ENTRY_READY;
		dlist_push_tail(&entry->destination->ready, &entry->node);
	}
}

static uint64
object_hash(const KgwRow *row)
{
	uint64		seed = hash_bytes_extended((const unsigned char *) row->destination,
										   strlen(row->destination), 0);

	return hash_bytes_extended((const unsigned char *) row->object_id,
							   strlen(row->object_id), seed);
}

/*
 * Put an entry into its object's chain, by number.  It is blocked unless it
 * becomes the head; a head that is on its way already stays the head.
 */
static void
join_chain(KgwScheduler *s, KgwEntry *entry, uint64 hash)
{
	bool		found;
	KgwObject  *object = hash_search(s->objects, &hash, HASH_ENTER, &found);
	KgwEntry   *before;

	entry->object = object;
	entry->newer = NULL;
	entry->state = KGW_ENTRY_BLOCKED;
	if (!found)
	{
		object->head = object->tail = entry;
		activate(s, entry);
		return;
	}
	before = object->head;
	if (before->delivery_id > entry->delivery_id &&
		before->state != KGW_ENTRY_SENDING && before->state != KGW_ENTRY_SETTLING)
	{
		leave_state(s, before);
		before->state = KGW_ENTRY_BLOCKED;
		entry->newer = before;
		object->head = entry;
		activate(s, entry);
		return;
	}
	if (object->tail->delivery_id < entry->delivery_id)
		before = object->tail;
	while (before->newer != NULL && before->newer->delivery_id < entry->delivery_id)
		before = before->newer;
	entry->newer = before->newer;
	before->newer = entry;
	if (entry->newer == NULL)
		object->tail = entry;
}

/* Take the head of a chain out of it; the next one becomes the head. */
static void
leave_chain(KgwScheduler *s, KgwEntry *entry)
{
	KgwObject  *object = entry->object;

	Assert(object->head == entry);
	object->head = entry->newer;
	if (object->head == NULL)
		hash_search(s->objects, &object->hash, HASH_REMOVE, NULL);
	else
		activate(s, object->head);
}

static bool
has_room(const KgwScheduler *s, const KgwDestination *d)
{
	return d->entries < DESTINATION_ENTRIES &&
		(d->rows < DESTINATION_SHARE ||
		 (d->rows < DESTINATION_ROWS && s->row_bytes < ROW_BYTES));
}

static void
add_entry(KgwScheduler *s, KgwDestination *d, KgwRow *row, KgwTicks due)
{
	KgwEntry   *entry;

	entry = hash_search(s->entries, &row->delivery_id, HASH_ENTER, NULL);
	entry->destination = d;
	d->entries++;
	if (d->cursor < row->delivery_id)
		d->cursor = row->delivery_id;
	take_row(s, entry, row, due);
	join_chain(s, entry, object_hash(row));
}

static void
remove_entry(KgwScheduler *s, KgwEntry *entry)
{
	KgwDestination *d = entry->destination;

	drop_row(s, entry);
	leave_chain(s, entry);
	hash_search(s->entries, &entry->delivery_id, HASH_REMOVE, NULL);
	d->entries--;
	place_destination(s, d);
}

/*
 * Forget everything that isn't on its way: the queue was changed by
 * others.  The caller then names the backlog anew.
 */
void
kgw_scheduler_forget(KgwScheduler *s)
{
	HASH_SEQ_STATUS scan;
	KgwEntry   *entry;
	KgwObject  *object;
	KgwDestination *d;

	/* of each chain only a head that is on its way remains */
	hash_seq_init(&scan, s->entries);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (entry->state == KGW_ENTRY_SENDING || entry->state == KGW_ENTRY_SETTLING)
		{
			entry->newer = NULL;
			entry->object->tail = entry;
			continue;
		}
		leave_state(s, entry);
		drop_row(s, entry);
		entry->destination->entries--;
		if (entry->object->head == entry)
			entry->object->head = NULL;
		hash_search(s->entries, &entry->delivery_id, HASH_REMOVE, NULL);
	}
	hash_seq_init(&scan, s->objects);
	while ((object = hash_seq_search(&scan)) != NULL)
	{
		if (object->head == NULL)
			hash_search(s->objects, &object->hash, HASH_REMOVE, NULL);
	}
	hash_seq_init(&scan, s->destinations);
	while ((d = hash_seq_search(&scan)) != NULL)
	{
		d->cursor = 0;
		d->more = false;
		place_destination(s, d);
	}
}

/* A destination has deliveries in the table; all of them are to be paged in. */
void
kgw_scheduler_backlog(KgwScheduler *s, const char *name)
{
	KgwDestination *d = find_destination(s, name);

	d->cursor = 0;
	d->more = true;
	place_destination(s, d);
}

/*
 * A row that has just become visible.  It is ours from here on; "due" is when
 * it may be sent.
 */
void
kgw_scheduler_arrival(KgwScheduler *s, KgwRow *row, KgwTicks due)
{
	KgwDestination *d = find_destination(s, row->destination);
	bool		beyond = row->delivery_id > d->cursor;

	if ((d->more && beyond) ||
		hash_search(s->entries, &row->delivery_id, HASH_FIND, NULL) != NULL)
		pfree(row);				/* will be paged in, or is here already */
	else if (has_room(s, d))
		add_entry(s, d, row, due);
	else
	{
		if (!beyond)
			d->cursor = row->delivery_id - 1;
		d->more = true;
		pfree(row);
	}
	place_destination(s, d);
}

/* A row of a page, as above. */
void
kgw_scheduler_paged(KgwScheduler *s, KgwRow *row, KgwTicks due)
{
	KgwDestination *d = find_destination(s, row->destination);
	KgwEntry   *entry;

	if (d->cursor < row->delivery_id)
		d->cursor = row->delivery_id;
	if (hash_search(s->entries, &row->delivery_id, HASH_FIND, NULL) != NULL)
	{
		pfree(row);
		return;
	}
	add_entry(s, d, row, due);

	/* what can't go yet needs no payload yet */
	entry = hash_search(s->entries, &row->delivery_id, HASH_FIND, NULL);
	if (entry->state == KGW_ENTRY_BLOCKED)
		drop_row(s, entry);
}

/* A row that kgw_scheduler_want_rows() asked for. */
void
kgw_scheduler_fetched(KgwScheduler *s, KgwRow *row, KgwTicks due)
{
	KgwEntry   *entry = hash_search(s->entries, &row->delivery_id, HASH_FIND, NULL);

	if (entry == NULL || entry->state != KGW_ENTRY_FETCHING)
	{
		pfree(row);
		return;
	}
	dlist_delete(&entry->node);
	take_row(s, entry, row, due);
	activate(s, entry);
	place_destination(s, entry->destination);
}

/* A destination to read a page of, from beyond *after; NULL when none wants. */
const char *
kgw_scheduler_want_page(KgwScheduler *s, int64 *after)
{
	KgwDestination *d;

	if (dlist_is_empty(&s->paging))
		return NULL;
	d = dlist_head_element(KgwDestination, page_node, &s->paging);
	dlist_delete(&d->page_node);
	dlist_push_tail(&s->paging, &d->page_node);
	*after = d->cursor;
	return d->name;
}

/* The page has been read; "more" when there may be another. */
void
kgw_scheduler_page_end(KgwScheduler *s, const char *name, bool more)
{
	KgwDestination *d = hash_search(s->destinations, name, HASH_FIND, NULL);

	if (d == NULL)
		return;
	d->more = more;
	place_destination(s, d);
}

/* Numbers of entries whose rows are needed, up to "room". */
int
kgw_scheduler_want_rows(KgwScheduler *s, int64 *ids, int room)
{
	dlist_iter	iter;
	int			count = 0;

	dlist_foreach(iter, &s->fetching)
	{
		if (count == room)
			break;
		ids[count++] = dlist_container(KgwEntry, node, iter.cur)->delivery_id;
	}
	return count;
}

/* Those rows have been read: what is still without one has left the queue. */
void
kgw_scheduler_rows_end(KgwScheduler *s, const int64 *ids, int count)
{
	for (int i = 0; i < count; i++)
	{
		KgwEntry   *entry = hash_search(s->entries, &ids[i], HASH_FIND, NULL);

		if (entry == NULL || entry->state != KGW_ENTRY_FETCHING)
			continue;
		dlist_delete(&entry->node);
		remove_entry(s, entry);
	}
}

/* It is "now": what has waited long enough is activated. */
void
kgw_scheduler_tick(KgwScheduler *s, KgwTicks now)
{
	s->now = now;
	while (!pairingheap_is_empty(s->waiting))
	{
		KgwEntry   *entry = pairingheap_container(KgwEntry, heap_node,
												  pairingheap_first(s->waiting));

		if (entry->due > now)
			break;
		pairingheap_remove_first(s->waiting);
		activate(s, entry);
		place_destination(s, entry->destination);
	}
}

/* When the next tick has something to do; KGW_NEVER when nothing waits. */
KgwTicks
kgw_scheduler_due(const KgwScheduler *s)
{
	if (pairingheap_is_empty(s->waiting))
		return KGW_NEVER;
	return pairingheap_container(KgwEntry, heap_node,
								 pairingheap_first(unconstify(KgwScheduler *, s)->waiting))->due;
}

/* Whether kgw_scheduler_next() has something to return. */
bool
kgw_scheduler_can_send(const KgwScheduler *s)
{
	return !dlist_is_empty(&unconstify(KgwScheduler *, s)->running);
}

/*
 * The delivery to send next, or NULL.  It counts as in flight until
 * kgw_scheduler_concluded().
 */
KgwEntry *
kgw_scheduler_next(KgwScheduler *s)
{
	KgwDestination *d;
	KgwEntry   *entry;

	if (dlist_is_empty(&s->running))
		return NULL;
	d = dlist_container(KgwDestination, run_node, dlist_pop_head_node(&s->running));
	d->running = false;
	entry = dlist_container(KgwEntry, node, dlist_pop_head_node(&d->ready));
	entry->state = KGW_ENTRY_SENDING;
	d->in_flight++;
	place_destination(s, d);
	return entry;
}

/* The row of an entry that kgw_scheduler_next() returned; ours. */
KgwRow *
kgw_scheduler_row(const KgwEntry *entry)
{
	return entry->row;
}

/* The request is over; what it means is still to be written down. */
void
kgw_scheduler_concluded(KgwScheduler *s, KgwEntry *entry)
{
	entry->state = KGW_ENTRY_SETTLING;
	entry->destination->in_flight--;
	place_destination(s, entry->destination);
}

/* The delivery has left the queue, durably. */
void
kgw_scheduler_settled(KgwScheduler *s, KgwEntry *entry)
{
	remove_entry(s, entry);
}

/* The delivery stays and is due then. */
void
kgw_scheduler_retry(KgwScheduler *s, KgwEntry *entry, KgwTicks due)
{
	drop_row(s, entry);
	entry->due = due;
	activate(s, entry);
	place_destination(s, entry->destination);
}

/* A setting that limits destinations has changed. */
void
kgw_scheduler_limits_changed(KgwScheduler *s)
{
	HASH_SEQ_STATUS scan;
	KgwDestination *d;

	hash_seq_init(&scan, s->destinations);
	while ((d = hash_seq_search(&scan)) != NULL)
		place_destination(s, d);
}
