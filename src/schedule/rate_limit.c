/*-------------------------------------------------------------------------
 *
 * rate_limit.c
 *	  Endpoints that get so many requests a second at most.
 *
 * A subscription may have a rate limit.  Its endpoint then has a bucket, in the form of the one
 * time by which it is full again ("paced_until", the generic cell rate algorithm): each request puts it
 * off by the gap between two, and one may go while that is not further away than what the bucket
 * holds.  It holds what a tenth of a second brings, and one request at least.  So in any span there
 * are no more than the rate allows for it, and one bucket besides; and a worker that
 * wakes each millisecond reaches a rate of thousands.
 *
 * A worker that has just started does not know what its predecessor has sent, so it starts with the
 * bucket empty; and an endpoint is not forgotten before its bucket is full.
 *
 * An endpoint that waits for its time waits in a heap, and in none of its destination's lines: it costs
 * the others nothing.  Its backlog is kept small in memory (endpoint.c, set_aside.c), for it
 * may be long.
 *
 * src/schedule/rate_limit.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "schedule/scheduler_internal.h"

/* What the bucket holds: so many microseconds' worth of requests. */
#define BUCKET 100000

/* When one more request may go. */
static KgwTicks
next_at(const KgwEndpoint *e)
{
	return e->paced_until - Max(BUCKET - e->gap, 0);
}

int
kgw_rate_limit_compare(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	KgwTicks	x = next_at(pairingheap_const_container(KgwEndpoint, pace_node, a));
	KgwTicks	y = next_at(pairingheap_const_container(KgwEndpoint, pace_node, b));

	return x < y ? 1 : x > y ? -1 : 0;
}

/* Whether one more request may go now. */
bool
kgw_rate_limit_allows(const KgwScheduler *s, const KgwEndpoint *e)
{
	return e->gap == 0 || s->now >= next_at(e);
}

/* Whether what has gone lately is to be remembered. */
bool
kgw_rate_limit_remembers(const KgwScheduler *s, const KgwEndpoint *e)
{
	return e->gap != 0 && e->paced_until > s->now;
}

/* Whether something of a destination is. */
bool
kgw_rate_limit_remembers_any(const KgwScheduler *s, const KgwDestination *d)
{
	dlist_iter	iter;

	dlist_foreach(iter, unconstify(dlist_head *, &d->endpoints))
	{
		if (kgw_rate_limit_remembers(s, dlist_container(KgwEndpoint, node, iter.cur)))
			return true;
	}
	return false;
}

/* The heap is ordered by what is about to change. */
void
kgw_rate_limit_leave(KgwScheduler *s, KgwEndpoint *e)
{
	if (e->pacing)
		pairingheap_remove(s->paced, &e->pace_node);
	e->pacing = false;
}

/* Have an endpoint that has something to send wait for its time, or no longer. */
void
kgw_rate_limit_await(KgwScheduler *s, KgwEndpoint *e)
{
	bool		waits = !kgw_rate_limit_allows(s, e) && !(dlist_is_empty(&e->ready) && dlist_is_empty(&e->ripe));

	if (!waits)
		kgw_rate_limit_leave(s, e);
	else if (!e->pacing)
		pairingheap_add(s->paced, &e->pace_node);
	e->pacing = waits;
}

/*
 * From now on there are so many microseconds between two of its requests; 0: it has no limit.
 * False when that is as it was; else the caller enlists it.
 */
bool
kgw_rate_limit_set(KgwScheduler *s, KgwEndpoint *e, int64 gap)
{
	if (e->gap == gap)
		return false;
	kgw_rate_limit_leave(s, e);
	e->gap = gap;
	e->paced_until = Max(Min(e->paced_until, s->now + gap), s->started + Max(BUCKET, gap));
	return true;
}

/* A request has gone.  False when there is no limit; else the caller enlists it. */
bool
kgw_rate_limit_sent(KgwScheduler *s, KgwEndpoint *e)
{
	if (e->gap == 0)
		return false;
	kgw_rate_limit_leave(s, e);
	e->paced_until = Max(e->paced_until, s->now) + e->gap;
	return true;
}

/* The endpoint that has waited for its rate, and whose time has come first; NULL: there is none. */
KgwEndpoint *
kgw_rate_limit_first(const KgwScheduler *s)
{
	KgwEndpoint *e;

	if (pairingheap_is_empty(s->paced))
		return NULL;
	e = pairingheap_container(KgwEndpoint, pace_node, pairingheap_first(s->paced));
	return kgw_rate_limit_allows(s, e) ? e : NULL;
}

/* When that of the next one comes; KGW_NEVER: none waits. */
KgwTicks
kgw_rate_limit_due(const KgwScheduler *s)
{
	return pairingheap_is_empty(s->paced) ? KGW_NEVER :
		next_at(pairingheap_container(KgwEndpoint, pace_node, pairingheap_first(s->paced)));
}
