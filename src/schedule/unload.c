/*-------------------------------------------------------------------------
 *
 * unload.c
 *	  What leaves memory: an entry whose delivery has left the queue, or all that a
 *	  destination has here.
 *
 * A destination is unloaded when its breaker opens, when it is paused, when its rows
 * have to be judged again, and when one has become visible that may have to go before
 * them.  Nothing is lost by it, for what isn't settled is in the table: its cursor goes
 * back to before the first that was here, and pages bring it again (backlog.c).
 *
 * What is on its way stays: its outcome comes, and until it is committed no newer
 * transition of its object may go.
 *
 * src/schedule/unload.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "schedule/scheduler_internal.h"

/* Forget an entry; its chain is put right by the caller. */
static void
discard(KgwScheduler *s, KgwEntry *entry)
{
	kgw_object_order_leave_state(s, entry);
	kgw_object_order_drop_row(s, entry);
	dlist_delete(&entry->all_node);
	entry->destination->entries--;
	entry->endpoint->entries--;
	kgw_set_aside_unstick(entry->destination, entry->endpoint);
	hash_search(s->entries, &entry->delivery_id, HASH_REMOVE, NULL);
}

/* Remove an entry that is the head of its chain: it has left the queue. */
void
kgw_unload_entry(KgwScheduler *s, KgwEntry *entry)
{
	KgwDestination *d = entry->destination;

	kgw_object_order_leave(s, entry);
	discard(s, entry);
	if (kgw_set_aside_is_over(d))
		kgw_set_aside_return(s, d);
	kgw_run_queues_place(s, d);
}

/* Break a chain up: its head stays if it is away, all others are on their own. */
static void
break_chain(KgwScheduler *s, KgwEntry *head)
{
	KgwObject  *object = head->object;

	if (kgw_scheduler_is_away(head))
	{
		head->newer = NULL;
		object->tail = head;
	}
	else
		kgw_objects_forget(s, object);
}

/*
 * Let go of what a destination has in memory; it is read again from the table, from
 * the first of these.  All up to the cursor was known here, so nothing lies before
 * it but what has left the queue, and may be kept there in great number by an old
 * snapshot: that isn't walked again.
 */
void
kgw_unload(KgwScheduler *s, KgwDestination *d)
{
	dlist_mutable_iter iter;
	int64		from = d->skipped ? 0 : d->cursor;

	dlist_foreach_modify(iter, &d->all)
	{
		KgwEntry   *entry = dlist_container(KgwEntry, all_node, iter.cur);

		from = Min(from, entry->delivery_id - 1);
		if (entry->state != KGW_ENTRY_BLOCKED)
			break_chain(s, entry);
	}
	dlist_foreach_modify(iter, &d->all)
	{
		KgwEntry   *entry = dlist_container(KgwEntry, all_node, iter.cur);

		if (!kgw_scheduler_is_away(entry))
			discard(s, entry);
	}
	d->cursor = Min(from, kgw_set_aside_forget(s, d) - 1);
	d->more = true;
	d->skipped = d->stuck = d->keyless = d->subscribed = false;
}

/*
 * Forget everything that isn't on its way: the queue was changed by others.
 * The caller then names the backlog again.
 */
void
kgw_unload_all(KgwScheduler *s)
{
	HASH_SEQ_STATUS scan;
	KgwDestination *d;

	s->all_paused = false;
	hash_seq_init(&scan, s->destinations);
	while ((d = hash_seq_search(&scan)) != NULL)
	{
		kgw_unload(s, d);
		d->cursor = 0;
		d->more = false;
		d->paused = false;
		kgw_endpoint_enlist_all(s, d);
		kgw_run_queues_place(s, d);
	}
}

/*
 * Let go of what is for a subscription or, if so wanted, an own URL, with all that its destination
 * has here: it is judged again as it is read again.
 */
void
kgw_unload_judged(KgwScheduler *s, bool own_urls)
{
	HASH_SEQ_STATUS scan;
	KgwDestination *d;

	hash_seq_init(&scan, s->destinations);
	while ((d = hash_seq_search(&scan)) != NULL)
	{
		if (!own_urls && !d->subscribed && !d->skipped)
			continue;
		kgw_unload(s, d);
		kgw_run_queues_place(s, d);
	}
}
