/*-------------------------------------------------------------------------
 *
 * invariants.c
 *	  What holds of a worker's memory between two turns.
 *
 * The scheduler counts what it could also count up: slots, bytes, rows, entries.
 * A count that is off by one does no harm at once, and hours later a destination
 * never has a turn again.  So a build with assertions counts everything up after
 * each turn, and the suites that run on one (scripts/check.sh) end with the turn
 * that went wrong.  Elsewhere this file is empty.
 *
 * src/schedule/invariants.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "schedule/invariants.h"
#include "schedule/scheduler_internal.h"

#ifdef USE_ASSERT_CHECKING

/* With more entries than this, only every so many turns are checked. */
#define ENTRIES_EACH_TURN 2048
#define TURNS_BETWEEN 64

/* An entry is in the state that its row, its place and its time allow. */
static void
entry_fits_state(const KgwEntry *entry)
{
	Assert(entry->endpoint->key.destination == entry->destination);
	Assert(entry->object->key.destination == entry->destination);
	Assert(entry->row != NULL || entry->newer == NULL || entry->newer->row == NULL);
	switch (entry->state)
	{
		case KGW_ENTRY_BLOCKED:
			Assert(entry->object->head != entry);
			Assert(!entry->holding);
			break;
		case KGW_ENTRY_BEHIND:
			Assert(entry->object->head == entry);
			Assert(!entry->holding);
			Assert(entry->row == NULL);
			Assert(kgw_shared_url_before(entry) != NULL);
			break;
		case KGW_ENTRY_RIPE:
			Assert(entry->row == NULL);
			break;
		case KGW_ENTRY_FETCHING:
			Assert(entry->row == NULL);
			break;
		case KGW_ENTRY_WAITING:
			Assert(entry->row == NULL);
			break;
		case KGW_ENTRY_READY:
			Assert(entry->row != NULL);
			Assert(entry->row->delivery_id == entry->delivery_id);
			break;
		case KGW_ENTRY_SENDING:
		case KGW_ENTRY_SETTLING:
			Assert(entry->row != NULL);
			Assert(entry->row->delivery_id == entry->delivery_id);
			break;
	}
}

/* A destination's entries, rows and bytes are those that it says it has. */
static void
rows_add_up(KgwDestination *d)
{
	dlist_iter	iter;
	int			entries = 0;
	int			rows = 0;
	int			ripe = 0;
	int			sending = 0;
	int			settling = 0;
	Size		bytes = 0;

	dlist_foreach(iter, &d->all)
	{
		const KgwEntry *entry = dlist_container(KgwEntry, all_node, iter.cur);

		Assert(entry->destination == d);
		entry_fits_state(entry);
		entries++;
		ripe += entry->state == KGW_ENTRY_RIPE;
		sending += entry->state == KGW_ENTRY_SENDING;
		settling += entry->state == KGW_ENTRY_SETTLING;
		rows += entry->row != NULL;
		bytes += entry->row != NULL ? entry->row->size : 0;
	}
	Assert(d->entries == entries);
	Assert(d->rows == rows);
	Assert(d->ripe == ripe);
	Assert(d->row_bytes == bytes);
	Assert(d->in_flight == sending);
	Assert(d->settling == settling);
}

/* The lists of an endpoint hold what it counts. */
static void
endpoint_lists_add_up(KgwEndpoint *e)
{
	dlist_iter	iter;
	int			ready = 0;

	dlist_foreach(iter, &e->ready)
	{
		const KgwEntry *entry = dlist_container(KgwEntry, node, iter.cur);

		Assert(entry->state == KGW_ENTRY_READY);
		Assert(entry->endpoint == e);
		ready++;
	}
	dlist_foreach(iter, &e->ripe)
	{
		const KgwEntry *entry = dlist_container(KgwEntry, node, iter.cur);

		Assert(entry->state == KGW_ENTRY_RIPE);
		Assert(entry->endpoint == e);
	}
	Assert(e->ready_count == ready);
	Assert(e->in_flight >= 0);
	Assert(e->fetching >= 0);
	Assert(!e->running || ready > 0);
	Assert(!e->awaiting_probe || e->health.open);
	Assert(!e->pacing || e->gap > 0);
	Assert(!e->running || !e->pacing);
}

/* The endpoints of a destination share its entries and its slots among them. */
static void
endpoints_add_up(KgwDestination *d)
{
	dlist_iter	iter;
	int			count = 0;
	int			open = 0;
	int			entries = 0;
	int			in_flight = 0;

	dlist_foreach(iter, &d->endpoints)
	{
		KgwEndpoint *e = dlist_container(KgwEndpoint, node, iter.cur);

		Assert(e->key.destination == d);
		endpoint_lists_add_up(e);
		count++;
		open += e->health.open;
		entries += e->entries;
		in_flight += e->in_flight;
	}
	Assert(d->endpoint_count == count);
	Assert(d->open_count == open);
	Assert(d->entries == entries);
	Assert(d->in_flight == in_flight);
}

/* One without deliveries is there for those of its subscriptions, which know it. */
static void
object_is_wanted(const KgwObject *object)
{
	dlist_iter	iter;

	Assert(object->head != NULL || !dlist_is_empty(unconstify(dlist_head *, &object->subscribed)));
	Assert((object->own != NULL) == (object->key.subscription_id != 0));
	dlist_foreach(iter, unconstify(dlist_head *, &object->subscribed))
		Assert(dlist_container(KgwObject, node, iter.cur)->own == object);
}

/* Each chain goes by number behind its head, and only its head is active. */
static void
chains_are_sorted(KgwScheduler *s)
{
	HASH_SEQ_STATUS scan;
	KgwObject  *object;

	hash_seq_init(&scan, s->objects);
	while ((object = hash_seq_search(&scan)) != NULL)
	{
		const KgwEntry *last = object->head;

		object_is_wanted(object);
		if (last == NULL)
			continue;
		Assert(last->state != KGW_ENTRY_BLOCKED);
		Assert(last->object == object);
		for (const KgwEntry *entry = last->newer; entry != NULL; entry = entry->newer)
		{
			Assert(entry->object == object);
			Assert(entry->state == KGW_ENTRY_BLOCKED);
			Assert(last->delivery_id < entry->delivery_id ||
				   (last == object->head && kgw_scheduler_is_away(last)));
			last = entry;
		}
		Assert(object->tail == last);
	}
}

/* All destinations together have the entries, bytes and slots of the worker. */
static void
totals_add_up(KgwScheduler *s)
{
	HASH_SEQ_STATUS scan;
	KgwDestination *d;
	long		entries = 0;
	long		endpoints = 0;
	int			in_flight = 0;
	Size		bytes = 0;

	hash_seq_init(&scan, s->destinations);
	while ((d = hash_seq_search(&scan)) != NULL)
	{
		int			trusted = 0;

		for (int i = 0; i < TRUSTS; i++)
		{
			Assert(d->trusted_in_flight[i] >= 0);
			trusted += d->trusted_in_flight[i];
		}
		Assert(d->in_flight == trusted);
		Assert(!d->awaiting_probe || d->health.open);
		Assert(!(d->stands[0].running || d->stands[1].running) || !d->paused);
		rows_add_up(d);
		endpoints_add_up(d);
		entries += d->entries;
		endpoints += d->endpoint_count;
		in_flight += d->in_flight;
		bytes += d->row_bytes;
	}
	Assert(hash_get_num_entries(s->entries) == entries);
	Assert(hash_get_num_entries(s->endpoints) == endpoints);
	Assert(s->in_flight == in_flight);
	Assert(s->row_bytes == bytes);
}

/* The slots of what is not known to be prompt are those of entries on their way. */
static void
slots_add_up(KgwScheduler *s)
{
	HASH_SEQ_STATUS scan;
	KgwEntry   *entry;
	int			sending = 0;
	int			unproven = 0;

	hash_seq_init(&scan, s->entries);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (entry->state != KGW_ENTRY_SENDING)
			continue;
		sending++;
		unproven += entry->unproven;
	}
	Assert(s->in_flight == sending);
	Assert(s->unproven_in_flight == unproven);
	Assert(s->hanging >= 0);
}

/* The worker's lists hold what says that it is in them. */
static void
lists_add_up(KgwScheduler *s)
{
	dlist_iter	iter;

	for (int line = 0; line < LINES; line++)
	{
		dlist_foreach(iter, &s->lines[line])
		{
			const KgwStand *stand = dlist_container(KgwStand, node, iter.cur);

			Assert(stand->running);
			Assert(stand->line == (KgwLine) line);
		}
	}
	dlist_foreach(iter, &s->paging)
	{
		const KgwDestination *d = dlist_container(KgwDestination, page_node, iter.cur);

		Assert(d->paging);
		Assert(d->more);
	}
	dlist_foreach(iter, &s->changed)
		Assert(dlist_container(KgwDestination, changed_node, iter.cur)->changed);
	dlist_foreach(iter, &s->fetching)
	{
		const KgwEntry *entry = dlist_container(KgwEntry, node, iter.cur);

		Assert(entry->state == KGW_ENTRY_FETCHING);
		Assert(entry->endpoint->fetching > 0);
	}
}

/* The first of each heap is of those that are to be in it. */
static void
heaps_are_right(KgwScheduler *s)
{
	if (!pairingheap_is_empty(s->waiting))
		Assert(pairingheap_container(KgwEntry, heap_node,
									 pairingheap_first(s->waiting))->state == KGW_ENTRY_WAITING);
	if (!pairingheap_is_empty(s->holds))
		Assert(pairingheap_container(KgwEntry, hold_node,
									 pairingheap_first(s->holds))->holding);
	if (!pairingheap_is_empty(s->probes))
		Assert(pairingheap_container(KgwDestination, probe_node,
									 pairingheap_first(s->probes))->awaiting_probe);
	if (!pairingheap_is_empty(s->endpoint_probes))
		Assert(pairingheap_container(KgwEndpoint, probe_node,
									 pairingheap_first(s->endpoint_probes))->awaiting_probe);
}

/* To be called between two turns. */
void
kgw_invariants_check(KgwScheduler *s)
{
	static int	turn;

	if (hash_get_num_entries(s->entries) > ENTRIES_EACH_TURN && ++turn % TURNS_BETWEEN != 0)
		return;
	chains_are_sorted(s);
	totals_add_up(s);
	slots_add_up(s);
	lists_add_up(s);
	heaps_are_right(s);
}

#endif							/* USE_ASSERT_CHECKING */
