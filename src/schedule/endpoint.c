/*-------------------------------------------------------------------------
 *
 * endpoint.c
 *	  Turns within a destination: its endpoints (design B3).
 *
 * A destination is a host, and many who have nothing to do with one another may
 * share it: merchants of a service that automates things, paths of one server,
 * and anyone who writes another's host into a URL.  So what answers has a
 * window and a breaker of its own.  An endpoint is an organization's URL without
 * its query, or a subscription.
 *
 * Slots of a destination are shared out as a worker's are (run_queues.c).  A
 * request that is never answered holds one until the timeout, so
 *
 *	- endpoints that have failed since they last acknowledged have a quarter, all
 *	  together, and with those that have yet to acknowledge something a half;
 *	- one that hasn't acknowledged anything lately has no more than half, even when
 *	  it has worked before;
 *	- where there are several, some slots are for those with nothing in flight.
 *
 * Those that are proven and those that aren't take turns at the destination's last
 * slot, and so do the endpoints in each of these lines.
 *
 * What waits at an endpoint whose breaker is open keeps its place in memory but
 * not its row: it is "ripe".  So it takes no room that the others need, and the
 * destination's backlog is read on past it.  Ripe deliveries get their rows by and
 * by as there are turns for them, a probe's one at a time.
 *
 * src/schedule/endpoint.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "pg/guc.h"
#include "schedule/scheduler_internal.h"

int
kgw_endpoint_compare_probes(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	KgwTicks	x = pairingheap_const_container(KgwEndpoint, probe_node, a)->health.probe_at;
	KgwTicks	y = pairingheap_const_container(KgwEndpoint, probe_node, b)->health.probe_at;

	return x < y ? 1 : x > y ? -1 : 0;
}

/* What the endpoint has shown so far. */
KgwTrust
kgw_endpoint_trust(const KgwEndpoint *e)
{
	if (e->health.failures > 0)
		return KGW_TRUST_FAILING;
	return e->acked_at != 0 && !e->slow ? KGW_TRUST_PROVEN : KGW_TRUST_NEW;
}

/* Requests that its destination may have in flight. */
static int
destination_limit(const KgwScheduler *s, const KgwDestination *d)
{
	return kgw_circuit_breaker_limit(&d->health, kgw_settings.max_in_flight_per_destination, s->now);
}

/*
 * Requests that an endpoint may have in flight.  A probe of its destination is one
 * whatever the endpoint's own breaker says: whether someone is there is all that
 * is asked.
 */
static int
endpoint_limit(const KgwScheduler *s, const KgwEndpoint *e)
{
	int			limit = destination_limit(s, e->key.destination);

	if (e->key.destination->health.open)
		return limit;
	return kgw_circuit_breaker_limit(&e->health, limit, s->now);
}

/* Whether one of these may have one more request in flight. */
static bool
has_share(const KgwDestination *d, KgwTrust trust, int limit)
{
	const int  *in_flight = d->trusted_in_flight;

	if (d->in_flight >= limit)
		return false;
	if (trust == KGW_TRUST_PROVEN)
		return true;
	if (in_flight[KGW_TRUST_NEW] + in_flight[KGW_TRUST_FAILING] >= Max(limit / 2, 1))
		return false;
	return trust == KGW_TRUST_NEW || in_flight[KGW_TRUST_FAILING] < Max(limit / 4, 1);
}

/* Whether this one may have one more. */
static bool
has_slot(const KgwScheduler *s, const KgwEndpoint *e, int limit)
{
	const KgwDestination *d = e->key.destination;
	bool		lately = e->acked_at != 0 && s->now - e->acked_at < KGW_LATELY;

	if (e->in_flight == 0)
		return true;
	if (d->endpoint_count > 1 && limit >= 4 && d->in_flight >= limit - Max(limit / 8, 1))
		return false;
	return lately || e->in_flight < Max(limit / 2, 1);
}

static KgwEndpoint *
first_of_line(const KgwScheduler *s, const KgwDestination *d, int line, int limit)
{
	dlist_iter	iter;

	if (dlist_is_empty(unconstify(dlist_head *, &d->running_endpoints[line])) ||
		!has_share(d, (KgwTrust) (line / 2), limit))
		return NULL;
	dlist_foreach(iter, unconstify(dlist_head *, &d->running_endpoints[line]))
	{
		KgwEndpoint *e = dlist_container(KgwEndpoint, run_node, iter.cur);

		if (has_slot(s, e, limit))
			return e;
	}
	return NULL;
}

/* The first endpoint in these of a destination's lines that may send, or NULL. */
static KgwEndpoint *
first_of_lines(const KgwScheduler *s, const KgwDestination *d, int from, int to, int limit)
{
	KgwEndpoint *e = NULL;

	for (int line = from; line < to && e == NULL && d->in_flight < limit; line++)
		e = first_of_line(s, d, line, limit);
	return e;
}

/*
 * The endpoint whose turn it is among the proven of a destination, or among the others; or
 * NULL.  The others may still have to wait for a slot of the worker's: all but the last slot of
 * the destination are the proven ones' in the meantime.
 */
KgwEndpoint *
kgw_endpoint_candidate(const KgwScheduler *s, const KgwStand *stand)
{
	const KgwDestination *d = stand->destination;
	int			limit = destination_limit(s, d);
	int			others = 2 * KGW_TRUST_NEW;

	if (stand != &d->stands[0])
		return first_of_lines(s, d, others, ENDPOINT_LINES, limit);
	if (d->distrusting && d->in_flight > 0 && d->in_flight == limit - 1 &&
		first_of_lines(s, d, others, ENDPOINT_LINES, limit) != NULL)
		return NULL;
	return first_of_lines(s, d, 0, others, limit);
}

/*
 * How many rows an endpoint should have, or be about to have, to send.  Where a row is judged
 * that is here, "own" is its size: without it the answer is the same as before it was read.
 */
static int
rows_wanted(const KgwScheduler *s, const KgwEndpoint *e, Size own)
{
	const KgwDestination *d = e->key.destination;

	if (d->paused)
		return 0;
	if (d->health.open || e->health.open)
		return e->in_flight == 0 && endpoint_limit(s, e) > 0 ? 1 : 0;
	if (s->row_bytes - own >= s->row_room)
		return DESTINATION_SHARE;
	if (e->gap != 0)
		return Min(Max(KGW_LATELY / 10 / e->gap, DESTINATION_SHARE), ENDPOINT_ROWS);
	return kgw_endpoint_trust(e) == KGW_TRUST_PROVEN ? ENDPOINT_ROWS_PROVEN : ENDPOINT_ROWS;
}

/*
 * Whether an entry that is due should let go of its row until its turn is nearer:
 * there are enough before it.  Were its own bytes counted against it, the row that fills
 * the memory would be read and let go again without end.
 */
bool
kgw_endpoint_parks(const KgwScheduler *s, const KgwEntry *entry)
{
	KgwEndpoint *e = entry->endpoint;

	/* what was read for its turn has waited for it */
	if (entry->state != KGW_ENTRY_FETCHING && !dlist_is_empty(&e->ripe) &&
		dlist_head_element(KgwEntry, node, &e->ripe)->delivery_id < entry->delivery_id)
		return true;
	return (kgw_endpoint_trust(e) != KGW_TRUST_PROVEN || e->gap != 0) && !e->key.destination->paused &&
		e->ready_count >= rows_wanted(s, e, entry->row->size);
}

/* Have rows read for what is ripe, as far as there are turns for it. */
static void
feed(KgwScheduler *s, KgwEndpoint *e)
{
	int			wanted;

	if (dlist_is_empty(&e->ripe))
		return;
	wanted = rows_wanted(s, e, 0);
	while (!dlist_is_empty(&e->ripe) && e->ready_count + e->fetching < wanted)
	{
		KgwEntry   *entry = dlist_container(KgwEntry, node, dlist_pop_head_node(&e->ripe));

		entry->state = KGW_ENTRY_FETCHING;
		entry->destination->ripe--;
		e->fetching++;
		s->fetch_stalled = false;
		dlist_push_tail(&s->fetching, &entry->node);
	}
}

/*
 * Put an endpoint into, or out of, the lines it belongs to now.  To be called
 * whenever something of it has changed; the caller places its destination then.
 */
void
kgw_endpoint_enlist(KgwScheduler *s, KgwEndpoint *e)
{
	KgwDestination *d = e->key.destination;
	int			line = 2 * kgw_endpoint_trust(e) + (e->in_flight > 0);
	bool		runs = !dlist_is_empty(&e->ready) && e->in_flight < endpoint_limit(s, e) && kgw_rate_limit_allows(s, e);
	bool		awaits = e->health.open && !d->health.open &&
		!kgw_circuit_breaker_probe_due(&e->health, s->now) &&
		!(dlist_is_empty(&e->ready) && dlist_is_empty(&e->ripe));

	feed(s, e);
	if (e->running && (!runs || e->line != line))
	{
		dlist_delete(&e->run_node);
		e->running = false;
	}
	if (runs && !e->running)
		dlist_push_tail(&d->running_endpoints[line], &e->run_node);
	e->running = runs;
	e->line = line;
	if (awaits && !e->awaiting_probe)
		pairingheap_add(s->endpoint_probes, &e->probe_node);
	else if (!awaits && e->awaiting_probe)
		pairingheap_remove(s->endpoint_probes, &e->probe_node);
	e->awaiting_probe = awaits;
	kgw_rate_limit_await(s, e);
}

/* The same for all endpoints of a destination. */
void
kgw_endpoint_enlist_all(KgwScheduler *s, KgwDestination *d)
{
	dlist_iter	iter;

	dlist_foreach(iter, &d->endpoints)
		kgw_endpoint_enlist(s, dlist_container(KgwEndpoint, node, iter.cur));
}

/* The entry whose turn it is at a destination, in flight from here on; or NULL. */
KgwEntry *
kgw_endpoint_take(KgwScheduler *s, const KgwStand *stand)
{
	KgwDestination *d = stand->destination;
	KgwEndpoint *e = kgw_endpoint_candidate(s, stand);
	KgwEntry   *entry;

	if (e == NULL)
		return NULL;
	entry = dlist_container(KgwEntry, node, dlist_pop_head_node(&e->ready));
	entry->trust = kgw_endpoint_trust(e);
	d->distrusting = entry->trust == KGW_TRUST_PROVEN;
	d->trusted_in_flight[entry->trust]++;
	d->in_flight++;
	e->in_flight++;
	e->ready_count--;

	/* behind the others of its line */
	dlist_delete(&e->run_node);
	e->running = false;
	kgw_endpoint_enlist(s, e);
	return entry;
}

/* How long neither the endpoint's breaker nor its destination's has been open. */
int64
kgw_endpoint_closed_time(const KgwScheduler *s, const KgwEntry *entry)
{
	return kgw_circuit_breaker_closed_time(&entry->endpoint->health, s->now);
}

/* When the next probe of a destination, or of an endpoint of it, is due. */
KgwTicks
kgw_endpoint_next_probe(const KgwDestination *d)
{
	KgwTicks	next = KGW_NEVER;
	dlist_iter	iter;

	if (d->health.open)
		return d->health.probe_at;
	dlist_foreach(iter, unconstify(dlist_head *, &d->endpoints))
	{
		const KgwEndpoint *e = dlist_container(KgwEndpoint, node, iter.cur);

		if (e->health.open)
			next = Min(next, e->health.probe_at);
	}
	return next;
}

/* Whether an endpoint of a destination has acknowledged, and not failed since. */
bool
kgw_endpoint_any_works(const KgwDestination *d)
{
	dlist_iter	iter;

	dlist_foreach(iter, unconstify(dlist_head *, &d->endpoints))
	{
		const KgwEndpoint *e = dlist_container(KgwEndpoint, node, iter.cur);

		if (e->acked_at != 0 && e->health.failures == 0)
			return true;
	}
	return false;
}
