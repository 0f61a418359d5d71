/*-------------------------------------------------------------------------
 *
 * known_endpoints.c
 *	  Endpoints by what they are: found, made, and forgotten.
 *
 * URLs are chosen by third parties, and may have an identifier in each.  So a
 * destination has a limited number of endpoints, of which those are forgotten
 * that have nothing to send and were not used for longest.  Where none can be,
 * further URLs of an organization share one, and if even those are many, so do
 * organizations.
 *
 * An endpoint that is forgotten takes its breaker and its window along, and begins
 * like a new one when it is met again.  So one that has a rate limit to keep to is
 * remembered until it could send again (rate_limit.c), or forgetting it would be a way
 * around its limit.
 *
 * src/schedule/known_endpoints.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"

#include "schedule/scheduler_internal.h"

/* Endpoints that are looked at for one that can be forgotten. */
#define LOOKS 32

/* Endpoints of a destination that organizations share when there is no room. */
#define CROWDS 16

static uint64
hash_text(const char *text, Size len, uint64 seed)
{
	return hash_bytes_extended((const unsigned char *) text, len, seed);
}

static uint64
hash_endpoint(const KgwDelivery *row)
{
	if (row->subscription_id != 0)
		return hash_text("subscription", 12, row->subscription_id);
	return hash_text(row->url, strcspn(row->url, "?#"),
					 hash_text(row->org_id, strlen(row->org_id), 0));
}

static void
remove_endpoint(KgwScheduler *s, KgwEndpoint *e)
{
	KgwDestination *d = e->key.destination;

	if (e->awaiting_probe)
		pairingheap_remove(s->endpoint_probes, &e->probe_node);
	kgw_rate_limit_leave(s, e);
	if (e->running)
		dlist_delete(&e->run_node);
	dlist_delete(&e->node);
	dlist_delete(&e->all_node);
	d->endpoint_count--;
	d->open_count -= e->health.open;
	hash_search(s->endpoints, &e->key, HASH_REMOVE, NULL);
}

/* Forget all endpoints of a destination, which has no entries. */
void
kgw_known_endpoints_forget(KgwScheduler *s, KgwDestination *d)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &d->endpoints)
		remove_endpoint(s, dlist_container(KgwEndpoint, node, iter.cur));
}

/*
 * Make room for one more, if need be and possible: of those that have nothing to
 * send, one goes that never acknowledged anything, or else that wasn't used for
 * longest.
 */
static bool
make_room_for_endpoint(KgwScheduler *s, KgwDestination *d)
{
	bool		all = hash_get_num_entries(s->endpoints) >= ENDPOINTS_ALL;
	dlist_head *list = all ? &s->all_endpoints : &d->endpoints;
	dlist_node *node = dlist_is_empty(list) ? NULL : dlist_tail_node(list);
	KgwEndpoint *found = NULL;

	if (!all && d->endpoint_count < ENDPOINTS_EACH)
		return true;
	for (int i = 0; i < LOOKS && node != NULL; i++)
	{
		KgwEndpoint *e = all ? dlist_container(KgwEndpoint, all_node, node) :
			dlist_container(KgwEndpoint, node, node);

		if (e->entries == 0 && !kgw_rate_limit_remembers(s, e) && (found == NULL || e->acked_at == 0))
			found = e;
		if (found != NULL && found->acked_at == 0)
			break;
		node = dlist_has_prev(list, node) ? dlist_prev_node(list, node) : NULL;
	}
	if (found != NULL)
		remove_endpoint(s, found);
	return found != NULL;
}

static KgwEndpoint *
add_endpoint(KgwScheduler *s, const KgwEndpointKey *key)
{
	KgwDestination *d = key->destination;
	KgwEndpoint *e = hash_search(s->endpoints, key, HASH_ENTER, NULL);

	memset((char *) e + sizeof(e->key), 0, sizeof(KgwEndpoint) - sizeof(e->key));
	kgw_circuit_breaker_init(&e->health, KGW_WINDOW_ENDPOINT, s->now);
	kgw_circuit_breaker_suspend(&e->health, d->health.open, s->now);
	dlist_init(&e->ready);
	dlist_init(&e->ripe);
	dlist_push_head(&d->endpoints, &e->node);
	dlist_push_head(&s->all_endpoints, &e->all_node);
	d->endpoint_count++;
	return e;
}

/* The endpoint of a row of this destination. */
KgwEndpoint *
kgw_known_endpoints_find(KgwScheduler *s, KgwDestination *d, const KgwDelivery *row)
{
	KgwEndpointKey key = {d, hash_endpoint(row)};
	KgwEndpoint *e = hash_search(s->endpoints, &key, HASH_FIND, NULL);

	/* one with a limit shares with no other what it may send */
	if (e == NULL && !make_room_for_endpoint(s, d) && row->gap == 0)
	{
		key.hash = hash_text(row->org_id, strlen(row->org_id), 1);
		if (d->endpoint_count >= 2 * ENDPOINTS_EACH)
			key.hash %= CROWDS;
		e = hash_search(s->endpoints, &key, HASH_FIND, NULL);
	}
	if (e == NULL)
		e = add_endpoint(s, &key);
	dlist_move_head(&d->endpoints, &e->node);
	dlist_move_head(&s->all_endpoints, &e->all_node);
	if (kgw_rate_limit_set(s, e, row->gap))
		kgw_endpoint_enlist(s, e);
	return e;
}
