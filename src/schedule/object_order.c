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
 * for kgwebhook.max_hold at most; then it is superseded: it goes once more through
 * this file, but is settled instead of sent.  What was never answered holds them
 * for as long as it takes, for nothing says that the newer one would fare better.
 *
 * The hold counts from the first refusal, whether anything waits yet or not, for as
 * long as the last attempt was one, and while neither its endpoint's breaker nor
 * its destination's is open.  What has been counted is written down with each
 * retry, so that the next reader of the delivery doesn't begin it again.  The time
 * from there to the reading is counted too, but is doubtful: the worker, or its
 * server, may have been away, or everything paused, and the receiver may be another
 * by now.  Such a hold doesn't end without a last word: the delivery is tried once
 * more, and superseded if it is refused again.
 *
 * src/schedule/object_order.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "pg/guc.h"
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

static void
stop_holding(KgwScheduler *s, KgwEntry *entry)
{
	if (!entry->holding)
		return;
	pairingheap_remove(s->holds, &entry->hold_node);
	entry->holding = false;
}

/* Take an entry out of whatever its state keeps it in. */
void
kgw_object_order_leave_state(KgwScheduler *s, KgwEntry *entry)
{
	leave_list(s, entry);
	stop_holding(s, entry);
}

/*
 * A head that is due lets go of its row, if it has it, and waits until its turn is
 * near.  The caller enlists its endpoint.
 */
void
kgw_object_order_ripen(KgwScheduler *s, KgwEntry *entry)
{
	leave_list(s, entry);
	kgw_object_order_drop_row(s, entry);
	entry->state = KGW_ENTRY_RIPE;
	entry->destination->ripe++;
	dlist_push_tail(&entry->endpoint->ripe, &entry->node);
}

/* The head of a chain waits for an entry of another one. */
static void
wait_behind(KgwScheduler *s, KgwEntry *entry, KgwEntry *before)
{
	entry->state = KGW_ENTRY_BEHIND;
	stop_holding(s, entry);
	kgw_object_order_drop_row(s, entry);
	if (before->object->head == before)
		kgw_object_order_hold(s, before);
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
		kgw_object_order_drop_row(s, entry);
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
	kgw_object_order_hold(s, entry);
}

/* The clock of holds: it stands still while a breaker is open. */
static int64
hold_clock(const KgwScheduler *s, const KgwEntry *entry)
{
	return kgw_endpoint_closed_time(s, entry);
}

/* How long both breakers are known to have been closed by now, without a break. */
static int64
closed_for(const KgwScheduler *s, const KgwEntry *entry)
{
	const KgwHealth *health = &entry->endpoint->health;

	return health->counting ? s->now - health->closed_since : 0;
}

/* Whether this worker has seen one of them open. */
static bool
has_been_open(const KgwScheduler *s, const KgwEntry *entry)
{
	return !entry->endpoint->health.counting || hold_clock(s, entry) > closed_for(s, entry);
}

/* How long an entry has been refused, microseconds. */
static int64
held(const KgwScheduler *s, const KgwEntry *entry)
{
	return entry->held + (entry->refused ? hold_clock(s, entry) - entry->held_at : 0);
}

static int64
hold_left(const KgwScheduler *s, const KgwEntry *entry)
{
	return (int64) kgw_settings.max_hold * 1000 - held(s, entry);
}

/*
 * Take up the hold of an entry that was read from the table.  Of the time since it
 * was refused, an outage that this worker has seen doesn't count.
 */
static void
resume_hold(KgwScheduler *s, KgwEntry *entry, const KgwDelivery *row)
{
	int64		elapsed;
	int64		seen = closed_for(s, entry);

	entry->refused = row->refused_at != 0;
	entry->held = row->held;
	entry->held_at = hold_clock(s, entry);
	if (!entry->refused)
		return;
	elapsed = Max(GetCurrentTimestamp() - row->refused_at, 0);
	if (elapsed > seen && has_been_open(s, entry))
		elapsed = seen;
	entry->unseen = Max(elapsed - seen, 0);
	entry->held += elapsed;
	entry->doubtful = entry->unseen > 0 || hold_left(s, entry) <= 0;
}

/*
 * An attempt has come to its end; "refused" when it was answered, and not with yes.
 */
void
kgw_object_order_note_refusal(KgwScheduler *s, KgwEntry *entry, bool refused)
{
	kgw_object_order_leave_state(s, entry);
	entry->held = held(s, entry) - (refused ? 0 : entry->unseen);
	entry->held_at = hold_clock(s, entry);
	entry->unseen = 0;
	entry->refused = refused;
	entry->doubtful = entry->confirming = false;
}

/* How long it had been refused when its last attempt ended, microseconds. */
int64
kgw_object_order_held(const KgwEntry *entry)
{
	return entry->held;
}

/*
 * See to it that the hold of a refused head ends, if it holds any.  One that
 * waits for a secret holds none: its successors wait for the same.
 */
void
kgw_object_order_hold(KgwScheduler *s, KgwEntry *entry)
{
	if (entry->holding || entry->superseded || entry->confirming || !entry->refused ||
		entry->state == KGW_ENTRY_BEHIND || entry->due == KGW_NEVER ||
		(entry->newer == NULL && !kgw_shared_url_holds(entry)))
		return;
	entry->holding = true;
	entry->hold_until = s->now + Max(hold_left(s, entry), 0);
	pairingheap_add(s->holds, &entry->hold_node);
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
	while (!pairingheap_is_empty(s->holds))
	{
		KgwEntry   *entry = pairingheap_container(KgwEntry, hold_node,
												  pairingheap_first(s->holds));
		int64		left;

		if (entry->hold_until > s->now)
			return;
		pairingheap_remove_first(s->holds);
		left = hold_left(s, entry);
		entry->holding = left > 0;
		if (left <= 0)
		{
			end_hold(s, entry);
			continue;
		}

		/* the breaker was open for a while */
		entry->hold_until = s->now + Max(left, 1000);
		pairingheap_add(s->holds, &entry->hold_node);
	}
}

/* kgwebhook.max_hold has changed: compute again how long each hold has left. */
void
kgw_object_order_reckon_holds(KgwScheduler *s)
{
	List	   *held = NIL;
	ListCell   *lc;

	while (!pairingheap_is_empty(s->holds))
		held = lappend(held, pairingheap_remove_first(s->holds));
	foreach(lc, held)
	{
		KgwEntry   *entry = pairingheap_container(KgwEntry, hold_node,
												  (pairingheap_node *) lfirst(lc));

		entry->hold_until = s->now + Max(hold_left(s, entry), 0);
		pairingheap_add(s->holds, &entry->hold_node);
	}
	list_free(held);
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

/* Put an entry behind the head, by number. */
static void
join_behind(KgwObject *object, KgwEntry *entry)
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
		join_behind(object, entry);
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
	resume_hold(s, entry, row);
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
		join_behind(object, entry);
		kgw_object_order_hold(s, object->head);
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
