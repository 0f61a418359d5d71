/*-------------------------------------------------------------------------
 *
 * shared_url.c
 *	  Order where an object's own URL is that of a subscription, too (design B4).
 *
 * An event goes to such a URL once, as the object's own.  But an object's URL changes,
 * and so does a subscription's: what was queued before is in one chain of the
 * object, and what comes now in the other.  They are two endpoints, with a breaker
 * each; but who listens there is one, and must not get an older status after a
 * newer one.  So the head of a chain is BEHIND as long as another chain of its object
 * has, for the same URL to the letter,
 *
 *	- an older one, whatever that waits for, or
 *	- a newer one that is on its way.
 *
 * Everything else is as within a chain: one that is refused holds what is behind it
 * for kgwebhook.max_hold, one that was never answered for as long as it takes.
 *
 * What waits for a paused subscription is not in memory, and holds nothing: the object's
 * own goes.  When the subscription is resumed, what was passed is found by the log
 * (settle/overtaken.c).
 *
 * Such a chain waits only for what is older or on its way, so none waits for itself.
 *
 * src/schedule/shared_url.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"

#include "schedule/scheduler_internal.h"

uint64
kgw_shared_url_hash(const char *url)
{
	return hash_bytes_extended((const unsigned char *) url, strlen(url), 0);
}

/* What of this chain goes before an entry of another one, or NULL. */
static KgwEntry *
find_before(const KgwObject *object, const KgwEntry *entry)
{
	for (KgwEntry *other = object->head; other != NULL; other = other->newer)
	{
		bool		older = other->delivery_id < entry->delivery_id;

		if (other->url == entry->url && (older || kgw_scheduler_is_away(other)))
			return other;

		/* behind the head they go by number */
		if (!older && other != object->head)
			break;
	}
	return NULL;
}

/* What of another chain of its object goes before an entry, or NULL. */
KgwEntry *
kgw_shared_url_before(const KgwEntry *entry)
{
	KgwObject  *object = entry->object;
	KgwEntry   *before = NULL;
	dlist_iter	iter;

	if (object->own != NULL)
		return find_before(object->own, entry);
	dlist_foreach(iter, &object->subscribed)
	{
		before = find_before(dlist_container(KgwObject, node, iter.cur), entry);
		if (before != NULL)
			break;
	}
	return before;
}

/* Whether the head of this chain is behind an entry of another one. */
static bool
waits_for(const KgwObject *object, const KgwEntry *entry)
{
	return object->head != NULL && object->head->state == KGW_ENTRY_BEHIND &&
		object->head->url == entry->url && object->head->delivery_id > entry->delivery_id;
}

/* Whether a newer one in another chain of its object waits for an entry. */
bool
kgw_shared_url_holds(const KgwEntry *entry)
{
	KgwObject  *object = entry->object;
	dlist_iter	iter;

	if (object->own != NULL)
		return waits_for(object->own, entry);
	dlist_foreach(iter, &object->subscribed)
	{
		if (waits_for(dlist_container(KgwObject, node, iter.cur), entry))
			return true;
	}
	return false;
}

/* Do something with each chain that an object has beside this one. */
void
kgw_shared_url_each(KgwScheduler *s, KgwObject *object, KgwBeside act, const KgwEntry *entry)
{
	dlist_iter	iter;

	if (object->own != NULL)
		act(s, object->own, entry);
	dlist_foreach(iter, &object->subscribed)
		act(s, dlist_container(KgwObject, node, iter.cur), entry);
}
