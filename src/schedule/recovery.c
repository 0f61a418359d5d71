/*-------------------------------------------------------------------------
 *
 * recovery.c
 *	  Whose failure it is, and what happens when it is over (design B3).
 *
 * Health belongs to what failed:
 *
 *	could not be reached	 The destination's, unless it has acknowledged
 *	(name, connection, TLS)	 something lately: then it is there, and whatever is
 *							 wrong is the endpoint's.
 *	401 403 404 5xx 429 ...	 The endpoint's: its breaker opens after several
 *	and silence				 objects.  For the destination it is a sign of life.
 *	400 409 413 422 ...		 About that delivery, and delays it alone.
 *
 * When a breaker closes, what waits there for a retry is due at once, oldest
 * first, and goes through the window.  A destination that could not be reached has
 * nothing in memory (backlog.c): all that is then read of it is due.
 *
 * A receiver that asked for time by Retry-After still gets it.
 *
 * Such a turn comes ahead of its time, so it uses up nothing of the retry
 * schedule: if it fails, the delivery waits for its time as before, and for no
 * second turn of the kind.  Else an endpoint that comes and goes would use up a
 * schedule of days within minutes.
 *
 * Breakers are memory, and a restart forgets them.  What waits for a retry may have
 * been put off by one that was open then.  So the first success that a worker sees
 * at an endpoint has the same effect as one that closes a breaker: else a receiver
 * that came back around a restart would get what it missed hours later.
 *
 * src/schedule/recovery.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "pg/guc.h"
#include "schedule/scheduler_internal.h"

/* This part of kgwebhook.request_timeout may be taken before it is called slow. */
#define SLOW_PART 4

static int
compare_entries(const void *a, const void *b)
{
	int64		x = (*(KgwEntry *const *) a)->delivery_id;
	int64		y = (*(KgwEntry *const *) b)->delivery_id;

	return x < y ? -1 : x > y ? 1 : 0;
}

/* Whether an entry is to be among the ripe ones of its endpoint. */
static bool
is_released(const KgwEntry *entry)
{
	return entry->state == KGW_ENTRY_RIPE || entry->state == KGW_ENTRY_READY ||
		(entry->state == KGW_ENTRY_WAITING && !entry->spent && entry->due != KGW_NEVER);
}

/*
 * Everything that is due at this endpoint is ripe, oldest first, without its row;
 * with "release", so is what waits there for a retry.
 */
static void
gather(KgwScheduler *s, KgwEndpoint *e, bool release)
{
	KgwEntry  **entries;
	int			count = 0;
	dlist_iter	iter;

	if (e->entries == 0)
		return;
	entries = MemoryContextAllocHuge(GetMemoryChunkContext(s), e->entries * sizeof(KgwEntry *));
	dlist_foreach(iter, &e->key.destination->all)
	{
		KgwEntry   *entry = dlist_container(KgwEntry, all_node, iter.cur);

		if (entry->endpoint == e && is_released(entry) &&
			(release || entry->state != KGW_ENTRY_WAITING))
			entries[count++] = entry;
	}
	qsort(entries, count, sizeof(KgwEntry *), compare_entries);
	for (int i = 0; i < count; i++)
	{
		KgwEntry   *entry = entries[i];

		if (entry->state == KGW_ENTRY_WAITING)
		{
			kgw_object_order_leave_state(s, entry);
			entry->ahead = entry->wish < entry->due;
			entry->due = Min(entry->wish, entry->due);
			entry->state = KGW_ENTRY_BLOCKED;
		}
		if (entry->due > s->now)
			kgw_object_order_activate(s, entry);
		else
		{
			kgw_object_order_ripen(s, entry);
			kgw_hold_begin(s, entry);
		}
	}
	pfree(entries);
}

/* Its destination's breaker has opened or closed. */
static void
destination_turned(KgwScheduler *s, KgwDestination *d)
{
	dlist_iter	iter;

	if (d->health.open)
		kgw_unload(s, d);

	/* where nothing is left to be read, what is read some day is nothing that waited */
	d->releasing = !d->health.open && d->more;
	dlist_foreach(iter, &d->endpoints)
	{
		KgwEndpoint *e = dlist_container(KgwEndpoint, node, iter.cur);

		kgw_circuit_breaker_suspend(&e->health, d->health.open, s->now);
		if (!d->health.open)
			gather(s, e, true);
	}
	kgw_endpoint_enlist_all(s, d);
}

/* It can be reached again: what failed for that reason is worth a probe now. */
static void
hasten(KgwScheduler *s, KgwDestination *d)
{
	dlist_iter	iter;

	d->unreached = false;
	dlist_foreach(iter, &d->endpoints)
	{
		KgwEndpoint *e = dlist_container(KgwEndpoint, node, iter.cur);

		if (!e->unreached)
			continue;
		e->unreached = false;

		/* the heap is ordered by what is about to change */
		if (e->awaiting_probe)
			pairingheap_remove(s->endpoint_probes, &e->probe_node);
		e->awaiting_probe = false;
		kgw_circuit_breaker_hasten(&e->health, s->now);
		kgw_endpoint_enlist(s, e);
	}
}

static void
note_acknowledgement(KgwScheduler *s, KgwEntry *entry)
{
	KgwDestination *d = entry->destination;
	KgwEndpoint *e = entry->endpoint;

	d->failures = 0;
	d->last_success = GetCurrentTimestamp();
	d->acked_at = e->acked_at = s->now;
	e->slow = s->now - entry->begun > (KgwTicks) kgw_settings.request_timeout * 1000 / SLOW_PART;
	e->unreached = false;
	kgw_circuit_breaker_note(&d->health, KGW_SIGN_SUCCESS, 0, s->now);
	kgw_circuit_breaker_note(&e->health, KGW_SIGN_SUCCESS, 0, s->now);
}

/* What an attempt says, to whom it says it. */
static void
note(KgwScheduler *s, KgwEntry *entry, KgwSign sign)
{
	KgwDestination *d = entry->destination;
	KgwEndpoint *e = entry->endpoint;
	uint64		object = entry->object->key.hash;

	if (sign == KGW_SIGN_NONE)
		return;
	if (sign == KGW_SIGN_SUCCESS)
	{
		note_acknowledgement(s, entry);
		return;
	}
	d->failures++;
	if (sign != KGW_SIGN_DOWN)
	{
		/* someone is there, unless that was before it could not be reached */
		if (entry->begun >= d->health.failed_at || sign == KGW_SIGN_REFUSED)
			kgw_circuit_breaker_note(&d->health, KGW_SIGN_SUCCESS, 0, s->now);
		kgw_circuit_breaker_note(&e->health, sign, object, s->now);
		e->unreached = false;
	}
	else if (d->acked_at != 0 && s->now - d->acked_at < KGW_LATELY)
	{
		kgw_circuit_breaker_note(&e->health, KGW_SIGN_FAILED, object, s->now);
		e->unreached = d->unreached = true;
	}
	else
		kgw_circuit_breaker_note(&d->health, KGW_SIGN_DOWN, object, s->now);
}

/* The turn of an entry is over, and this is what it says. */
void
kgw_recovery_concluded(KgwScheduler *s, KgwEntry *entry, KgwSign sign)
{
	KgwDestination *d = entry->destination;
	KgwEndpoint *e = entry->endpoint;
	bool		was_down = d->health.open;
	bool		was_open = e->health.open;
	bool		recovers = sign == KGW_SIGN_SUCCESS && e->acked_at == 0 && e->inherits;

	d->trusted_in_flight[entry->trust]--;
	d->in_flight--;
	e->in_flight--;

	/* the heaps are ordered by what is about to change */
	if (d->awaiting_probe)
		pairingheap_remove(s->probes, &d->probe_node);
	if (e->awaiting_probe)
		pairingheap_remove(s->endpoint_probes, &e->probe_node);
	d->awaiting_probe = e->awaiting_probe = false;
	d->releasing |= recovers && d->acked_at == 0 && d->more;
	note(s, entry, sign);
	d->open_count += (int) e->health.open - (int) was_open;
	if (d->health.open != was_down)
		destination_turned(s, d);
	if ((recovers || e->health.open != was_open) && !d->health.open)
		gather(s, e, !e->health.open);
	if (sign == KGW_SIGN_SUCCESS && kgw_set_aside_is_wanted(e))
		kgw_set_aside_return(s, d);
	if (sign == KGW_SIGN_SUCCESS && d->unreached)
		hasten(s, d);
	kgw_endpoint_enlist(s, e);
	kgw_run_queues_place(s, d);
}

/* The endpoints whose next probe is due now can send. */
void
kgw_recovery_wake(KgwScheduler *s)
{
	while (!pairingheap_is_empty(s->endpoint_probes))
	{
		KgwEndpoint *e = pairingheap_container(KgwEndpoint, probe_node,
											   pairingheap_first(s->endpoint_probes));

		if (e->health.probe_at > s->now)
			return;
		kgw_endpoint_enlist(s, e);
		kgw_run_queues_place(s, e->key.destination);
	}
}
