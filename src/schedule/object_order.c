/*-------------------------------------------------------------------------
 *
 * object_order.c
 *	  Order within an object, and the states of a delivery (design B4).
 *
 * The transitions of one object to one destination form a chain, oldest first,
 * and only the head of the chain ever goes.  An object is organization, kind and
 * identifier: payment 7 has nothing to do with payout 7, nor with payment 7 of
 * another organization, whatever answers for them.  Those for a subscription are a chain
 * of their own: of several who listen at a destination, one that refuses
 * holds up only itself.  Where its URL is the object's own as well, there is one
 * receiver, which must not see an older one after a newer: the head of one chain may
 * be BEHIND what is in the other (shared_url.c).
 *
 *	 ARRIVED ──► BLOCKED (behind an older transition of its object)
 *	    │           │ becomes head
 *	    ▼           ▼
 *	 WAITING ──► RIPE ──► FETCHING ──► READY ──► SENDING ──► SETTLING ──► gone
 *	 (for its   (for its   (row is      (in its                 │
 *	  time)      turn)      read again)  endpoint's line)       │
 *	    ▲───────────────────── retry ───────────────────────────┘
 *
 * A head that is refused, which is an answer with a status, holds its successors
 * for kgwebhook.max_hold at most (hold.c); then it is superseded: it goes once more through
 * this file, but is settled instead of sent.  What was never answered holds them
 * for as long as it takes, for nothing says that the newer one would fare better.
 *
 * src/schedule/object_order.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "schedule/scheduler_internal.h"

/* Give an entry its row, which is ours from here on. */
void
kgw_object_order_take_row(KgwScheduler *s, KgwEntry *entry, KgwDelivery *row, KgwTicks due,
				   KgwTicks expires)
{
	entry->row = row;
	row->ahead = entry->ahead;
	entry->due = entry->superseded ? KGW_OVERDUE : due;
	entry->expires = expires;
	entry->destination->rows++;
	entry->destination->row_bytes += row->size;
	entry->destination->keyless |= due == KGW_NEVER;
	entry->destination->subscribed |= row->subscription_id != 0;
	s->row_bytes += row->size;
}

/* Let the row go, if there is one. */
void
kgw_object_order_drop_row(KgwScheduler *s, KgwEntry *entry)
{
	if (entry->row == NULL)
		return;
	s->row_bytes -= entry->row->size;
	s->fetch_stalled = false;
	entry->destination->row_bytes -= entry->row->size;
	entry->destination->rows--;
	pfree(entry->row);
	entry->row = NULL;
}

/*
 * The same of an entry that can't go now, and of all that are behind it, which can't
 * either.  Were these to keep their rows, they would fill the memory that all
 * destinations share, and no head would get its own any more.  So the rows of a
 * chain are those of its first entries, and end at the first without one.
 */
void
kgw_object_order_drop_rows(KgwScheduler *s, KgwEntry *entry)
{
	for (; entry != NULL && entry->row != NULL; entry = entry->newer)
		kgw_object_order_drop_row(s, entry);
}

/* Take an entry out of the heap or list that its state keeps it in. */
static void
leave_list(KgwScheduler *s, KgwEntry *entry)
{
	KgwEndpoint *e = entry->endpoint;

	if (entry->state == KGW_ENTRY_WAITING)
		pairingheap_remove(s->waiting, &entry->heap_node);
	else if (entry->state == KGW_ENTRY_RIPE || entry->state == KGW_ENTRY_FETCHING ||
			 entry->state == KGW_ENTRY_READY)
	{
		dlist_delete(&entry->node);
		e->key.destination->ripe -= entry->state == KGW_ENTRY_RIPE;
		e->fetching -= entry->state == KGW_ENTRY_FETCHING;
		e->ready_count -= entry->state == KGW_ENTRY_READY;
		entry->state = KGW_ENTRY_BLOCKED;
		kgw_endpoint_enlist(s, e);
	}
}

/* Take an entry out of whatever its state keeps it in. */
void
kgw_object_order_leave_state(KgwScheduler *s, KgwEntry *entry)
{
	leave_list(s, entry);
	kgw_hold_stop(s, entry);
}

/*
 * A head that is due lets go of its row, if it has it, and waits until its turn is
 * near.  The caller enlists its endpoint.
 */
void
kgw_object_order_ripen(KgwScheduler *s, KgwEntry *entry)
{
	leave_list(s, entry);
	kgw_object_order_drop_rows(s, entry);
	entry->state = KGW_ENTRY_RIPE;
	entry->destination->ripe++;
	dlist_push_tail(&entry->endpoint->ripe, &entry->node);
}

/* The head of a chain waits for an entry of another one. */
static void
wait_behind(KgwScheduler *s, KgwEntry *entry, KgwEntry *before)
{
	entry->state = KGW_ENTRY_BEHIND;
	kgw_hold_stop(s, entry);
	kgw_object_order_drop_rows(s, entry);
	if (before->object->head == before)
		kgw_hold_begin(s, before);
}

/* Find the next state of an entry that is the head of its chain, and in no list. */
void
kgw_object_order_activate(KgwScheduler *s, KgwEntry *entry)
{
	KgwEntry   *before = entry->superseded ? NULL : kgw_shared_url_before(entry);

	if (before != NULL)
	{
		wait_behind(s, entry, before);
		return;
	}
	if (entry->due > s->now)
	{
		entry->state = KGW_ENTRY_WAITING;
		kgw_object_order_drop_rows(s, entry);
		pairingheap_add(s->waiting, &entry->heap_node);
	}
	else if (entry->row == NULL || kgw_endpoint_parks(s, entry))
	{
		entry->state = KGW_ENTRY_BLOCKED;
		kgw_object_order_ripen(s, entry);
	}
	else
	{
		entry->state = KGW_ENTRY_READY;
		entry->endpoint->ready_count++;
		dlist_push_tail(&entry->endpoint->ready, &entry->node);
	}
	kgw_endpoint_enlist(s, entry->endpoint);
	kgw_hold_begin(s, entry);
}

/*
 * The hold of a head is over: supersede it, or ask for the last word.  One that is
 * on its way has it in hand; what comes back is looked at then.
 */
static void
end_hold(KgwScheduler *s, KgwEntry *entry)
{
	if (entry->state == KGW_ENTRY_SENDING || entry->state == KGW_ENTRY_SETTLING)
		return;
	entry->superseded = !entry->doubtful;
	entry->confirming = entry->doubtful;
	kgw_object_order_leave_state(s, entry);
	entry->due = entry->superseded ? KGW_OVERDUE : entry->wish;
	kgw_object_order_activate(s, entry);
	kgw_run_queues_place(s, entry->destination);
}

/* Supersede the heads that have held their successors for long enough. */
void
kgw_object_order_release_holds(KgwScheduler *s)
{
	KgwEntry   *entry;

	while ((entry = kgw_hold_next_over(s)) != NULL)
		end_hold(s, entry);
}

/*
 * An attempt has come to its end; "refused" when it was answered, and not with yes.
 */
void
kgw_object_order_note_refusal(KgwScheduler *s, KgwEntry *entry, bool refused)
{
	kgw_object_order_leave_state(s, entry);
	kgw_hold_note(s, entry, refused);
}

/* The head of this chain may be behind nothing any more. */
static void
look_again(KgwScheduler *s, KgwObject *object, const KgwEntry *entry)
{
	if (object->head == NULL || object->head->state != KGW_ENTRY_BEHIND)
		return;
	object->head->state = KGW_ENTRY_BLOCKED;
	kgw_object_order_activate(s, object->head);
}

/* The head of this chain gives way to an entry that has come into another one. */
static void
yield(KgwScheduler *s, KgwObject *object, const KgwEntry *entry)
{
	KgwEntry   *head = object->head;

	if (head == NULL || head->url != entry->url || head->delivery_id < entry->delivery_id ||
		head->state == KGW_ENTRY_BEHIND || head->superseded || kgw_scheduler_is_away(head))
		return;
	kgw_object_order_leave_state(s, head);
	head->state = KGW_ENTRY_BLOCKED;
	kgw_object_order_activate(s, head);
}

/* Put an entry in front of a head that isn't on its way. */
static void
become_head(KgwScheduler *s, KgwObject *object, KgwEntry *entry)
{
	KgwEntry   *former = object->head;

	kgw_object_order_leave_state(s, former);
	former->state = KGW_ENTRY_BLOCKED;
	entry->newer = former;
	object->head = entry;
	kgw_object_order_activate(s, entry);
}

/* Put an entry behind the head, by number; it keeps its row if that before it has one. */
static void
join_behind(KgwScheduler *s, KgwObject *object, KgwEntry *entry)
{
	KgwEntry   *before = object->head;

	if (object->tail->delivery_id < entry->delivery_id)
		before = object->tail;
	while (before->newer != NULL && before->newer->delivery_id < entry->delivery_id)
		before = before->newer;
	entry->newer = before->newer;
	before->newer = entry;
	if (entry->newer == NULL)
		object->tail = entry;
	if (before->row == NULL)
		kgw_object_order_drop_rows(s, entry);
}

/*
 * A head that came back and has to be tried again: if an older one, queued
 * again, has come in between, that goes first.
 */
void
kgw_object_order_give_way(KgwScheduler *s, KgwEntry *entry)
{
	KgwObject  *object = entry->object;

	if (entry->newer != NULL && entry->newer->delivery_id < entry->delivery_id)
	{
		object->head = entry->newer;
		entry->newer = NULL;
		kgw_object_order_leave_state(s, entry);
		entry->state = KGW_ENTRY_BLOCKED;
		join_behind(s, object, entry);
	}
	kgw_object_order_activate(s, object->head);
	kgw_shared_url_each(s, object, look_again, entry);
}

/*
 * Put an entry into its object's chain, by number.  It is blocked unless it
 * becomes the head; a head that is on its way already stays the head.
 */
void
kgw_object_order_join(KgwScheduler *s, KgwEntry *entry, const KgwDelivery *row)
{
	KgwObject  *object = kgw_objects_find(s, entry->destination, row);

	entry->object = object;
	entry->newer = NULL;
	entry->state = KGW_ENTRY_BLOCKED;
	kgw_hold_resume(s, entry, row);
	if (object->head == NULL)
	{
		object->head = object->tail = entry;
		kgw_object_order_activate(s, entry);
	}
	else if (object->head->delivery_id > entry->delivery_id &&
			 object->head->state != KGW_ENTRY_SENDING &&
			 object->head->state != KGW_ENTRY_SETTLING)
		become_head(s, object, entry);
	else
	{
		join_behind(s, object, entry);
		kgw_hold_begin(s, object->head);
	}
	kgw_shared_url_each(s, object, yield, entry);
}

/* Take the head of a chain out of it; the next one becomes the head. */
void
kgw_object_order_leave(KgwScheduler *s, KgwEntry *entry)
{
	KgwObject  *object = entry->object;

	Assert(object->head == entry);
	object->head = entry->newer;
	if (object->head != NULL)
		kgw_object_order_activate(s, object->head);
	kgw_shared_url_each(s, object, look_again, entry);
	if (object->head == NULL)
		kgw_objects_forget(s, object);
}
