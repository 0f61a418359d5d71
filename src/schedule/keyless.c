/*-------------------------------------------------------------------------
 *
 * keyless.c
 *	  What waits in memory for a signing secret, its organization's or its subscription's.
 *
 * Such a delivery is due never.  When someone has written the table of secrets, the
 * worker asks whose secrets are waited for (kgw_keyless_holders), looks which of
 * them are there now, and what waits for those is due at once (kgw_keyless_release).  What
 * others have here, at the same destinations or elsewhere, isn't touched: an
 * organization without a secret may have sixty thousand destinations, and merchants
 * sign up all the time; each try would be an attempt of its schedule.  What is still in
 * the table is judged when it is read.
 *
 * src/schedule/keyless.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/pg_list.h"

#include "pure/limits.h"
#include "schedule/scheduler_internal.h"
#include "secrets/secret_cache.h"

/* An organization, as the name of an object begins with it. */
static const char *
organization_of(const KgwEntry *entry)
{
	return entry->object->key.name;
}

/* Whose secret an entry needs.  False when none can be given: the organization's name doesn't fit. */
static bool
find_holder_of(const KgwEntry *entry, KgwSecretHolder *holder)
{
	if (strlen(organization_of(entry)) > KGW_ORG_ID_MAX)
		return false;
	*holder = kgw_secret_cache_holder(organization_of(entry), entry->object->key.subscription_id);
	return true;
}

/* A set of holders, empty. */
static HTAB *
make_set(void)
{
	HASHCTL		ctl = {.keysize = sizeof(KgwSecretHolder), .entrysize = sizeof(KgwSecretHolder)};

	return hash_create("kgwebhook holders of secrets", 64, &ctl, HASH_ELEM | HASH_BLOBS);
}

/* Add a copy of a holder to the list, unless it has been seen. */
static List *
add_holder(List *holders, HTAB *seen, const KgwSecretHolder *holder)
{
	KgwSecretHolder *copy;
	bool		found;

	(void) hash_search(seen, holder, HASH_ENTER, &found);
	if (found)
		return holders;
	copy = palloc(sizeof(KgwSecretHolder));
	*copy = *holder;
	return lappend(holders, copy);
}

/*
 * Those whose secrets anything in memory waits for, each once, as a list of
 * KgwSecretHolder in the current memory context.
 */
List *
kgw_keyless_holders(KgwScheduler *s)
{
	HTAB	   *seen = make_set();
	HASH_SEQ_STATUS scan;
	KgwDestination *d;
	List	   *holders = NIL;

	hash_seq_init(&scan, s->destinations);
	while ((d = hash_seq_search(&scan)) != NULL)
	{
		dlist_iter	iter;

		if (!d->keyless)
			continue;
		d->keyless = false;
		dlist_foreach(iter, &d->all)
		{
			KgwEntry   *entry = dlist_container(KgwEntry, all_node, iter.cur);
			KgwSecretHolder holder;

			if (entry->due != KGW_NEVER || !find_holder_of(entry, &holder))
				continue;
			d->keyless = true;
			holders = add_holder(holders, seen, &holder);
		}
	}
	hash_destroy(seen);
	return holders;
}

/* What of a destination waits for the secret of one of these holders is due. */
static void
release_keyed(KgwScheduler *s, KgwDestination *d, HTAB *able)
{
	dlist_iter	iter;

	dlist_foreach(iter, &d->all)
	{
		KgwEntry   *entry = dlist_container(KgwEntry, all_node, iter.cur);
		KgwSecretHolder holder;

		if (entry->due != KGW_NEVER || !find_holder_of(entry, &holder) ||
			hash_search(able, &holder, HASH_FIND, NULL) == NULL)
			continue;
		if (entry->state == KGW_ENTRY_WAITING)
		{
			kgw_object_order_leave_state(s, entry);
			entry->state = KGW_ENTRY_BLOCKED;
			entry->due = KGW_OVERDUE;
			kgw_object_order_activate(s, entry);
		}
		else
			entry->due = KGW_OVERDUE;	/* its turn comes after the one it is behind */
	}
	kgw_run_queues_place(s, d);
}

/* What waits for the secret of one of these holders (KgwSecretHolder), which is there now, is due. */
void
kgw_keyless_release(KgwScheduler *s, const List *holders)
{
	HTAB	   *able;
	HASH_SEQ_STATUS scan;
	KgwDestination *d;
	ListCell   *lc;

	if (holders == NIL)
		return;
	able = make_set();
	foreach(lc, holders)
		(void) hash_search(able, lfirst(lc), HASH_ENTER, NULL);
	hash_seq_init(&scan, s->destinations);
	while ((d = hash_seq_search(&scan)) != NULL)
	{
		if (d->keyless)
			release_keyed(s, d, able);
	}
	hash_destroy(able);
}
