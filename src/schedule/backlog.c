/*-------------------------------------------------------------------------
 *
 * backlog.c
 *	  What of the queue is in memory, and what stays in the table (design B2).
 *
 * A destination's "cursor" divides its deliveries: all up to it that aren't
 * settled are known here; if "more", there are others beyond it in the table,
 * and a page of them is read as it gets room.  So memory is bounded, whatever
 * the backlog, and nothing is ever forgotten.  What a page or an arrival may bring
 * into it is counted in bytes (run_queues.c).  What leaves memory again is unload.c's.
 *
 * A destination whose breaker is open has nothing in memory but what is in flight,
 * and reads a few rows when a probe is due.  When the breaker closes, all of it is
 * read, and is due at once.
 *
 * src/schedule/backlog.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/pg_list.h"

#include "schedule/scheduler_internal.h"

/* Rows of a page, and of one for a destination that is backing off. */
#define PAGE_ROWS 384
#define PAGE_ROWS_PROBE 2

/* Rows read again at a time when all memory is taken. */
#define ROWS_WHEN_FULL 16

static KgwDestination *
find_destination(KgwScheduler *s, const char *name)
{
	KgwDestination *d;
	bool		found;

	d = hash_search(s->destinations, name, HASH_ENTER, &found);
	if (!found)
	{
		memset((char *) d + sizeof(d->name), 0, sizeof(KgwDestination) - sizeof(d->name));
		kgw_circuit_breaker_init(&d->health, KGW_WINDOW_DESTINATION, s->now);
		dlist_init(&d->all);
		dlist_init(&d->endpoints);
		for (int i = 0; i < ENDPOINT_LINES; i++)
			dlist_init(&d->running_endpoints[i]);
		for (size_t i = 0; i < lengthof(d->stands); i++)
			d->stands[i].destination = d;
	}
	return d;
}

/* A destination is not to be sent to; NULL stands for all of them. */
void
kgw_backlog_pause(KgwScheduler *s, const char *name)
{
	KgwDestination *d;

	if (name == NULL)
	{
		s->all_paused = true;
		return;
	}
	d = find_destination(s, name);
	d->paused = true;
	kgw_run_queues_place(s, d);
}

/*
 * These are paused from now on, or all of them, and nobody else.  What has just
 * been paused is let go of here, and read again when it is resumed.
 */
void
kgw_backlog_pauses(KgwScheduler *s, const List *names, bool all)
{
	HASH_SEQ_STATUS scan;
	KgwDestination *d;
	ListCell   *lc;

	s->all_paused = all;
	foreach(lc, names)
		find_destination(s, lfirst(lc))->to_pause = true;
	hash_seq_init(&scan, s->destinations);
	while ((d = hash_seq_search(&scan)) != NULL)
	{
		if (d->to_pause == d->paused)
		{
			d->to_pause = false;
			continue;
		}
		if (d->to_pause)
			kgw_unload(s, d);
		d->paused = d->to_pause;
		kgw_endpoint_enlist_all(s, d);
		d->to_pause = false;
		kgw_run_queues_place(s, d);
	}
}

/*
 * A destination has deliveries that have become visible and were not read, from
 * this number on.  Beyond the cursor they are read in their turn.  Before it there
 * may be one that is older than what is here of its object: so all is read again,
 * and nothing is sent in the meantime except what is met.
 */
void
kgw_backlog_overflow(KgwScheduler *s, const char *name, int64 first)
{
	KgwDestination *d = find_destination(s, name);

	if (first <= d->cursor)
	{
		kgw_unload(s, d);
		d->cursor = Min(d->cursor, first - 1);
	}
	d->more = true;
	kgw_run_queues_place(s, d);
}

/* A destination has deliveries in the table; all of them are to be paged in. */
void
kgw_backlog_page_in(KgwScheduler *s, const char *name)
{
	KgwDestination *d = find_destination(s, name);

	d->cursor = 0;
	d->more = true;
	kgw_run_queues_place(s, d);
}

static bool
has_room(const KgwScheduler *s, const KgwDestination *d)
{
	return !d->health.open && kgw_run_queues_has_entries(s, d) &&
		kgw_run_queues_has_memory(s, d, DESTINATION_ROWS);
}

static KgwEntry *
add_entry(KgwScheduler *s, KgwDestination *d, KgwDelivery *row, KgwTicks due, KgwTicks expires)
{
	KgwEntry   *entry = hash_search(s->entries, &row->delivery_id, HASH_ENTER, NULL);

	memset((char *) entry + sizeof(entry->delivery_id), 0,
		   sizeof(KgwEntry) - sizeof(entry->delivery_id));
	entry->destination = d;
	entry->endpoint = kgw_known_endpoints_find(s, d, row);
	entry->endpoint->entries++;
	d->entries++;
	dlist_push_tail(&d->all, &entry->all_node);
	if (d->cursor < row->delivery_id)
		d->cursor = row->delivery_id;
	entry->wish = row->wish;
	entry->url = kgw_shared_url_hash(row->url);
	d->fanned_out |= row->subscription_id != 0;
	entry->endpoint->inherits |= due > s->now && row->attempts > row->attempts_before;
	if (d->releasing && due > s->now && due > entry->wish && due != KGW_NEVER)
	{
		due = entry->wish;
		entry->ahead = true;
	}
	kgw_object_order_take_row(s, entry, row, due, expires);
	kgw_object_order_join(s, entry, row);
	return entry;
}

/*
 * A row from behind the cursor for which there is no room.  It can't stay in the
 * table: a newer transition of its object may be here already, and would go
 * first.  So its entry is kept, and its row let go.
 */
static void
add_late(KgwScheduler *s, KgwDestination *d, KgwDelivery *row, KgwTicks due, KgwTicks expires)
{
	KgwEntry   *entry = add_entry(s, d, row, due, expires);

	if (entry->state == KGW_ENTRY_READY)
	{
		kgw_object_order_leave_state(s, entry);
		kgw_object_order_drop_rows(s, entry);
		kgw_object_order_activate(s, entry);
	}
	else
		kgw_object_order_drop_rows(s, entry);
}

/*
 * A row that has just become visible.  It is ours from here on; "due" is when
 * it may be sent, "expires" when the time of one that is backing off is over.
 */
void
kgw_backlog_arrival(KgwScheduler *s, KgwDelivery *row, KgwTicks due, KgwTicks expires)
{
	KgwDestination *d = find_destination(s, row->destination);
	bool		beyond = row->delivery_id > d->cursor;

	if ((d->more && beyond) ||
		hash_search(s->entries, &row->delivery_id, HASH_FIND, NULL) != NULL)
		pfree(row);				/* will be paged in, or is here already */
	else if (kgw_set_aside_has(d, row))
	{
		/* it must not go before what is older of its object, nor after it */
		kgw_backlog_overflow(s, row->destination, row->delivery_id);
		pfree(row);
	}
	else if (has_room(s, d))
		add_entry(s, d, row, due, expires);
	else if (beyond)
	{
		d->more = true;
		pfree(row);
	}
	else
		add_late(s, d, row, due, expires);
	kgw_run_queues_place(s, d);
}

/* A row of a page, as above; false when there is no room for another. */
bool
kgw_backlog_paged(KgwScheduler *s, KgwDelivery *row, KgwTicks due, KgwTicks expires)
{
	KgwDestination *d = find_destination(s, row->destination);
	bool		here = hash_search(s->entries, &row->delivery_id, HASH_FIND, NULL) != NULL;
	KgwPlace	place = here ? KGW_PLACE_MEMORY : kgw_set_aside_judge(s, d, row);
	KgwEntry   *entry;

	d->skipping = false;
	if (d->cursor < row->delivery_id && place != KGW_PLACE_LATER)
		d->cursor = row->delivery_id;
	if (here || place != KGW_PLACE_MEMORY)
	{
		pfree(row);
		return place != KGW_PLACE_LATER;
	}
	entry = add_entry(s, d, row, due, expires);

	/* what can't go yet needs no payload yet */
	if (entry->state == KGW_ENTRY_BLOCKED)
		kgw_object_order_drop_rows(s, entry);
	return kgw_run_queues_has_memory(s, d, DESTINATION_ROWS);
}

/*
 * A row of a page that can't go before everything is read again, because its
 * subscription is paused: it stays in the table and costs no memory.
 */
void
kgw_backlog_skip(KgwScheduler *s, KgwDelivery *row)
{
	KgwDestination *d = find_destination(s, row->destination);

	d->skipping = true;
	d->skipped = true;
	if (d->cursor < row->delivery_id)
		d->cursor = row->delivery_id;
	pfree(row);
}

/* The same of a row that wasn't read in its turn: the cursor stays. */
void
kgw_backlog_leave(KgwScheduler *s, KgwDelivery *row)
{
	find_destination(s, row->destination)->skipped = true;
	pfree(row);
}

/*
 * A row that kgw_backlog_want_rows() asked for.  False when it is the last that
 * there is room for.  Its time has come by the
 * monotonic clock, whatever the row says by the other.
 */
bool
kgw_backlog_fetched(KgwScheduler *s, KgwDelivery *row, KgwTicks expires)
{
	KgwEntry   *entry = hash_search(s->entries, &row->delivery_id, HASH_FIND, NULL);

	if (entry == NULL || entry->state != KGW_ENTRY_FETCHING)
	{
		pfree(row);
		return true;
	}
	dlist_delete(&entry->node);
	entry->endpoint->fetching--;
	entry->asked = false;
	kgw_object_order_take_row(s, entry, row, entry->due, expires);
	kgw_object_order_activate(s, entry);
	kgw_run_queues_place(s, entry->destination);
	return s->row_bytes < s->row_room + s->row_room / 8;
}

/*
 * A destination to read a page of: up to *limit rows from beyond *after.  NULL
 * when none wants one.
 */
const char *
kgw_backlog_want_page(KgwScheduler *s, int64 *after, int *limit)
{
	KgwDestination *d;

	if (dlist_is_empty(&s->paging))
		return NULL;
	d = dlist_head_element(KgwDestination, page_node, &s->paging);
	dlist_delete(&d->page_node);
	dlist_push_tail(&s->paging, &d->page_node);

	/* what is read past needs no haste: one page a turn, so that sending goes on */
	if (d->paged_at == s->now && d->entries - d->rows > DESTINATION_ROWS)
		return NULL;
	d->paged_at = s->now;
	*after = d->cursor;
	if (d->health.open && !d->skipping)
		*limit = PAGE_ROWS_PROBE;
	else
		*limit = kgw_run_queues_page_rows(s, d, PAGE_ROWS);
	return d->name;
}

/* The page has been read; "more" when there may be another. */
void
kgw_backlog_page_end(KgwScheduler *s, const char *name, bool more)
{
	KgwDestination *d = hash_search(s->destinations, name, HASH_FIND, NULL);

	if (d == NULL)
		return;
	d->more = more;
	d->releasing = d->releasing && more;
	kgw_run_queues_place(s, d);
}

/* Numbers of entries whose rows are needed, up to "room". */
int
kgw_backlog_want_rows(KgwScheduler *s, int64 *ids, int room)
{
	dlist_iter	iter;
	int			count = 0;

	if (s->row_bytes >= s->row_room)
		room = Min(room, ROWS_WHEN_FULL);
	dlist_foreach(iter, &s->fetching)
	{
		KgwEntry   *entry = dlist_container(KgwEntry, node, iter.cur);

		if (count == room)
			break;
		if (!kgw_run_queues_has_memory(s, entry->destination, DESTINATION_ENTRIES))
			continue;
		entry->asked = true;
		ids[count++] = entry->delivery_id;
	}
	s->fetch_stalled = count == 0;
	return count;
}

/* Those rows have been read: what is still without one has left the queue. */
void
kgw_backlog_rows_end(KgwScheduler *s, const int64 *ids, int count)
{
	for (int i = 0; i < count; i++)
	{
		KgwEntry   *entry = hash_search(s->entries, &ids[i], HASH_FIND, NULL);

		/* one that was read, and let go again, is asked for another time */
		if (entry != NULL && entry->state == KGW_ENTRY_FETCHING && entry->asked)
			kgw_unload_entry(s, entry);
	}
}
