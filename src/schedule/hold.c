/*-------------------------------------------------------------------------
 *
 * hold.c
 *	  How long a head that is refused holds its successors: kgwebhook.max_hold, and
 *	  what of it has been counted.
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
 * Here the time is counted, and those that hold others stand in a heap by its end;
 * what is done when it has come is object_order.c's.
 *
 * src/schedule/hold.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/timestamp.h"

#include "pg/guc.h"
#include "schedule/scheduler_internal.h"

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
void
kgw_hold_resume(KgwScheduler *s, KgwEntry *entry, const KgwDelivery *row)
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
 * The entry is in no list, and holds nothing any more.
 */
void
kgw_hold_note(KgwScheduler *s, KgwEntry *entry, bool refused)
{
	entry->held = held(s, entry) - (refused ? 0 : entry->unseen);
	entry->held_at = hold_clock(s, entry);
	entry->unseen = 0;
	entry->refused = refused;
	entry->doubtful = entry->confirming = false;
}

/* How long it had been refused when its last attempt ended, microseconds. */
int64
kgw_hold_so_far(const KgwEntry *entry)
{
	return entry->held;
}

/*
 * See to it that the hold of a refused head ends, if it holds any.  One that
 * waits for a secret holds none: its successors wait for the same.
 */
void
kgw_hold_begin(KgwScheduler *s, KgwEntry *entry)
{
	if (entry->holding || entry->superseded || entry->confirming || !entry->refused ||
		entry->state == KGW_ENTRY_BEHIND || entry->due == KGW_NEVER ||
		(entry->newer == NULL && !kgw_shared_url_holds(entry)))
		return;
	entry->holding = true;
	entry->hold_until = s->now + Max(hold_left(s, entry), 0);
	pairingheap_add(s->holds, &entry->hold_node);
}

/* It holds nothing any more, or for now. */
void
kgw_hold_stop(KgwScheduler *s, KgwEntry *entry)
{
	if (!entry->holding)
		return;
	pairingheap_remove(s->holds, &entry->hold_node);
	entry->holding = false;
}

/*
 * A head whose hold is over, and is not in the heap any more: the caller supersedes it, or
 * asks for the last word.  NULL when there is none.
 */
KgwEntry *
kgw_hold_next_over(KgwScheduler *s)
{
	while (!pairingheap_is_empty(s->holds))
	{
		KgwEntry   *entry = pairingheap_container(KgwEntry, hold_node,
												  pairingheap_first(s->holds));
		int64		left;

		if (entry->hold_until > s->now)
			return NULL;
		pairingheap_remove_first(s->holds);
		left = hold_left(s, entry);
		entry->holding = left > 0;
		if (left <= 0)
			return entry;

		/* the breaker was open for a while */
		entry->hold_until = s->now + Max(left, 1000);
		pairingheap_add(s->holds, &entry->hold_node);
	}
	return NULL;
}

/* kgwebhook.max_hold has changed: compute again how long each hold has left. */
void
kgw_hold_reckon(KgwScheduler *s)
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
