/*-------------------------------------------------------------------------
 *
 * scheduler.c
 *	  What a worker remembers of its deliveries, and which goes next.
 *
 * A worker owns its destinations, so this memory, and no claim in a table, says
 * what is being sent.
 *
 *	destination	 Unit of fairness (design B3).  Destinations take turns, each
 *				 with its own window and breaker (circuit_breaker.c).  One that can't be
 *				 reached costs nothing but its probes.
 *	endpoint	 What answers at a destination, with a window and a breaker of its
 *				 own (endpoint.c).
 *	object		 Unit of order: a chain of transitions (object_order.c).
 *	entry		 A delivery.  What has no room stays in the table (backlog.c).
 *
 * No SQL, no network, no clock: the worker brings rows, times and outcomes.
 *
 * src/schedule/scheduler.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "pg/guc.h"
#include "schedule/scheduler_internal.h"

/* Destinations past which those without deliveries are forgotten. */
#define REMEMBERED 16384

static int
compare_due(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	KgwTicks	x = pairingheap_const_container(KgwEntry, heap_node, a)->due;
	KgwTicks	y = pairingheap_const_container(KgwEntry, heap_node, b)->due;

	return x < y ? 1 : x > y ? -1 : 0;
}

static int
compare_hold(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	KgwTicks	x = pairingheap_const_container(KgwEntry, hold_node, a)->hold_until;
	KgwTicks	y = pairingheap_const_container(KgwEntry, hold_node, b)->hold_until;

	return x < y ? 1 : x > y ? -1 : 0;
}

static int
compare_probe(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	KgwTicks	x = pairingheap_const_container(KgwDestination, probe_node, a)->health.probe_at;
	KgwTicks	y = pairingheap_const_container(KgwDestination, probe_node, b)->health.probe_at;

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

	s->entries = create_table("kgwebhook deliveries", sizeof(int64), sizeof(KgwEntry), HASH_BLOBS);
	s->objects = kgw_objects_new(context);
	s->destinations = create_table("kgwebhook destinations", KGW_DESTINATION_SIZE,
								   sizeof(KgwDestination), HASH_STRINGS);
	s->endpoints = create_table("kgwebhook endpoints", sizeof(KgwEndpointKey),
								sizeof(KgwEndpoint), HASH_BLOBS);
	s->endpoint_probes = pairingheap_allocate(kgw_endpoint_compare_probes, NULL);
	s->paced = pairingheap_allocate(kgw_rate_limit_compare, NULL);
	dlist_init(&s->all_endpoints);
	s->waiting = pairingheap_allocate(compare_due, NULL);
	s->holds = pairingheap_allocate(compare_hold, NULL);
	s->probes = pairingheap_allocate(compare_probe, NULL);
	dlist_init(&s->fetching);
	dlist_init(&s->paging);
	for (int i = 0; i < LINES; i++)
		dlist_init(&s->lines[i]);
	dlist_init(&s->changed);
	MemoryContextSwitchTo(caller);
	return s;
}

static void
wake_probes(KgwScheduler *s)
{
	while (!pairingheap_is_empty(s->probes))
	{
		KgwDestination *d = pairingheap_container(KgwDestination, probe_node,
												  pairingheap_first(s->probes));

		if (d->health.probe_at > s->now)
			return;
		kgw_endpoint_enlist_all(s, d);
		kgw_run_queues_place(s, d);
	}
}

/* The endpoints whose rate has them send now. */
static void
wake_paced(KgwScheduler *s)
{
	KgwEndpoint *e;

	while ((e = kgw_rate_limit_first(s)) != NULL)
	{
		kgw_endpoint_enlist(s, e);
		kgw_run_queues_place(s, e->key.destination);
	}
}

/* It is "now": what has waited long enough is activated. */
void
kgw_scheduler_tick(KgwScheduler *s, KgwTicks now)
{
	s->now = now;
	if (s->started == 0)
		s->started = now;
	while (!pairingheap_is_empty(s->waiting))
	{
		KgwEntry   *entry = pairingheap_container(KgwEntry, heap_node,
												  pairingheap_first(s->waiting));

		if (entry->due > now)
			break;
		pairingheap_remove_first(s->waiting);
		kgw_object_order_activate(s, entry);
		kgw_run_queues_place(s, entry->destination);
	}
	kgw_object_order_release_holds(s);
	wake_probes(s);
	kgw_recovery_wake(s);
	wake_paced(s);
}

/* When the next tick has something to do; KGW_NEVER when nothing waits. */
KgwTicks
kgw_scheduler_due(const KgwScheduler *s)
{
	KgwScheduler *m = unconstify(KgwScheduler *, s);
	KgwTicks	due = KGW_NEVER;

	if (!pairingheap_is_empty(m->waiting))
		due = pairingheap_container(KgwEntry, heap_node, pairingheap_first(m->waiting))->due;
	if (!pairingheap_is_empty(m->holds))
		due = Min(due, pairingheap_container(KgwEntry, hold_node,
											 pairingheap_first(m->holds))->hold_until);
	if (!pairingheap_is_empty(m->probes))
		due = Min(due, pairingheap_container(KgwDestination, probe_node,
											 pairingheap_first(m->probes))->health.probe_at);
	if (!pairingheap_is_empty(m->endpoint_probes))
		due = Min(due, pairingheap_container(KgwEndpoint, probe_node,
											 pairingheap_first(m->endpoint_probes))->health.probe_at);
	return Min(due, kgw_rate_limit_due(s));
}

/* Whether pages or rows are wanted. */
bool
kgw_scheduler_wants_to_read(const KgwScheduler *s)
{
	KgwScheduler *m = unconstify(KgwScheduler *, s);

	return !dlist_is_empty(&m->paging) ||
		(!dlist_is_empty(&m->fetching) && !s->fetch_stalled);
}

/* The most requests that there will be in flight. */
void
kgw_scheduler_limit(KgwScheduler *s, int limit)
{
	s->limit = limit;
	s->row_room = ROW_BYTES + limit * (Size) ROW_BYTES_EACH;
}

/*
 * Lookups of names that were given up and still hold a thread each.  They count
 * as if they were in flight, to destinations that have not lately acknowledged
 * anything: a name server that doesn't answer is no way to have more and more
 * threads, and holds up nobody whose name is known.
 */
void
kgw_scheduler_hanging(KgwScheduler *s, int hanging)
{
	s->hanging = hanging;
}

/* Whether kgw_scheduler_next() has something to return. */
bool
kgw_scheduler_can_send(KgwScheduler *s)
{
	return !s->all_paused && kgw_run_queues_can_send(s);
}

/*
 * Whether a delivery has had its time: its destination or its endpoint is failing,
 * and was found so once more after the end of it.  Without that it is worth a probe.
 */
static bool
has_expired(const KgwEntry *entry)
{
	const KgwHealth *reach = &entry->destination->health;
	const KgwHealth *answers = &entry->endpoint->health;

	return (reach->open && entry->expires <= reach->failed_at) ||
		(answers->open && entry->expires <= answers->failed_at);
}

/*
 * The delivery whose turn it is, and what to do with it; or NULL.  It counts as
 * in flight until kgw_scheduler_concluded().
 */
KgwEntry *
kgw_scheduler_next(KgwScheduler *s, KgwTurn *turn)
{
	KgwStand   *stand;
	KgwDestination *d;
	KgwEntry   *entry;

	do
	{
		if (!kgw_scheduler_can_send(s))
			return NULL;
		stand = kgw_run_queues_take(s);
		d = stand->destination;
		entry = kgw_endpoint_take(s, stand);

		/* time alone may have taken its turn away */
		if (entry == NULL)
			kgw_run_queues_place(s, d);
	} while (entry == NULL);
	*turn = entry->superseded ? KGW_TURN_SUPERSEDE :
		has_expired(entry) ? KGW_TURN_EXPIRE : KGW_TURN_SEND;
	entry->state = KGW_ENTRY_SENDING;
	entry->begun = s->now;
	entry->unproven = stand->line >= KGW_LINE_UNPROVEN;
	s->unproven_in_flight += entry->unproven;
	s->in_flight++;
	if (*turn == KGW_TURN_SEND && kgw_rate_limit_sent(s, entry->endpoint))
		kgw_endpoint_enlist(s, entry->endpoint);
	kgw_run_queues_place(s, d);
	return entry;
}

/* The row of an entry that kgw_scheduler_next() returned; ours. */
KgwDelivery *
kgw_scheduler_row(const KgwEntry *entry)
{
	return entry->row;
}

/* Note whether the entry's attempt was answered, whatever the answer. */
void
kgw_scheduler_answered(KgwEntry *entry, bool answered)
{
	entry->answered = answered ? 1 : -1;
}

/*
 * Whether the entry goes by a connection that nothing went by before: after an
 * attempt that nobody answered, for there may be others like its connection.
 * What isn't known any more is taken for that.
 */
bool
kgw_scheduler_wants_fresh(const KgwEntry *entry)
{
	if (entry->answered == 0)
		return entry->row->attempts > entry->row->attempts_before;
	return entry->answered < 0;
}

/* The turn is over, and what it says of those it went to. */
void
kgw_scheduler_concluded(KgwScheduler *s, KgwEntry *entry, KgwSign sign)
{
	entry->state = KGW_ENTRY_SETTLING;
	entry->destination->settling++;
	s->unproven_in_flight -= entry->unproven;
	s->in_flight--;
	kgw_recovery_concluded(s, entry, sign);
}

/* The delivery has left the queue, durably. */
void
kgw_scheduler_settled(KgwScheduler *s, KgwEntry *entry)
{
	entry->destination->settling--;
	kgw_unload_entry(s, entry);
}

/* The delivery stays and is due then. */
void
kgw_scheduler_retry(KgwScheduler *s, KgwEntry *entry, KgwTicks due, KgwTicks wish)
{
	entry->destination->settling--;
	entry->destination->keyless |= due == KGW_NEVER;
	kgw_object_order_drop_rows(s, entry);
	entry->spent = entry->ahead;
	entry->ahead = false;
	entry->wish = wish;
	entry->due = entry->superseded ? KGW_OVERDUE : due;
	kgw_object_order_give_way(s, entry);
	kgw_run_queues_place(s, entry->destination);
}

/* A setting that limits destinations or holds has changed. */
void
kgw_scheduler_limits_changed(KgwScheduler *s)
{
	HASH_SEQ_STATUS scan;
	KgwDestination *d;

	kgw_hold_reckon(s);
	hash_seq_init(&scan, s->destinations);
	while ((d = hash_seq_search(&scan)) != NULL)
	{
		kgw_endpoint_enlist_all(s, d);
		kgw_run_queues_place(s, d);
	}
}

/*
 * Whether nothing of a destination has to be remembered.  How it was is worth
 * remembering as long as there aren't too many.
 */
static bool
is_forgettable(const KgwScheduler *s, const KgwDestination *d)
{
	return d->entries == 0 && !d->more && !d->paused && !d->skipped &&
		hash_get_num_entries(s->destinations) > REMEMBERED && !kgw_rate_limit_remembers_any(s, d);
}

/*
 * Whether a destination can't be reached, or one of its endpoints fails while no
 * other is known to work.
 */
static bool
is_backing_off(const KgwDestination *d)
{
	return d->health.open || (d->open_count > 0 && d->failures >= KGW_HEALTH_SUSPECTS &&
							  !kgw_endpoint_any_works(d));
}

/*
 * The next destination whose state has changed since it was last asked for;
 * false when there is none.  The name is good until the next call.
 */
bool
kgw_scheduler_changed(KgwScheduler *s, KgwDestinationState *state)
{
	static char name[KGW_DESTINATION_SIZE];
	KgwDestination *d;

	if (dlist_is_empty(&s->changed))
		return false;
	d = dlist_container(KgwDestination, changed_node, dlist_pop_head_node(&s->changed));
	d->changed = false;
	strlcpy(name, d->name, sizeof(name));
	state->name = name;
	state->backing_off = is_backing_off(d);
	state->in_flight = d->in_flight;
	state->failures = d->failures;
	state->last_success = d->last_success;
	state->next_try = state->backing_off ? kgw_endpoint_next_probe(d) : 0;
	state->forgotten = is_forgettable(s, d);
	if (state->forgotten)
	{
		kgw_known_endpoints_forget(s, d);
		hash_search(s->destinations, d->name, HASH_REMOVE, NULL);
	}
	return true;
}
