/*-------------------------------------------------------------------------
 *
 * keyless.c
 *	  What waits in memory for its organization's signing secret.
 *
 * Such a delivery is due never.  When someone has written the table of secrets, the
 * worker asks which organizations wait (kgw_keyless_organizations), looks which of
 * them can sign now, and what is theirs is due at once (kgw_keyless_release).  What
 * others have here, at the same destinations or elsewhere, isn't touched: an
 * organization without a secret may have sixty thousand destinations, and merchants
 * sign up all the time.  What is still in the table is judged when it is read.
 *
 * src/schedule/keyless.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/pg_list.h"

#include "pure/limits.h"
#include "schedule/scheduler_internal.h"

/* An organization, as the name of an object begins with it. */
static const char *
organization_of(const KgwEntry *entry)
{
	return entry->object->key.name;
}

/* A set of organizations, empty. */
static HTAB *
make_set(void)
{
	HASHCTL		ctl = {.keysize = KGW_ORG_ID_MAX + 1, .entrysize = KGW_ORG_ID_MAX + 1};

	return hash_create("kgwebhook organizations", 64, &ctl, HASH_ELEM | HASH_STRINGS);
}

/*
 * The organizations that anything waits for in memory, each once, as a list of
 * strings in the current memory context.
 */
List *
kgw_keyless_organizations(KgwScheduler *s)
{
	HTAB	   *seen = make_set();
	HASH_SEQ_STATUS scan;
	KgwDestination *d;
	List	   *org_ids = NIL;

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
			const char *org_id = organization_of(entry);
			bool		found;

			/* what doesn't fit can't be given a secret */
			if (entry->due != KGW_NEVER || strlen(org_id) > KGW_ORG_ID_MAX)
				continue;
			d->keyless = true;
			(void) hash_search(seen, org_id, HASH_ENTER, &found);
			if (!found)
				org_ids = lappend(org_ids, pstrdup(org_id));
		}
	}
	hash_destroy(seen);
	return org_ids;
}

/* What of a destination waits for the secret of one of these is due. */
static void
release_keyed(KgwScheduler *s, KgwDestination *d, HTAB *able)
{
	dlist_iter	iter;

	dlist_foreach(iter, &d->all)
	{
		KgwEntry   *entry = dlist_container(KgwEntry, all_node, iter.cur);

		if (entry->due != KGW_NEVER || strlen(organization_of(entry)) > KGW_ORG_ID_MAX ||
			hash_search(able, organization_of(entry), HASH_FIND, NULL) == NULL)
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

/* What waits for the secret of one of these organizations, which have one now, is due. */
void
kgw_keyless_release(KgwScheduler *s, const List *org_ids)
{
	HTAB	   *able;
	HASH_SEQ_STATUS scan;
	KgwDestination *d;
	ListCell   *lc;

	if (org_ids == NIL)
		return;
	able = make_set();
	foreach(lc, org_ids)
		(void) hash_search(able, lfirst(lc), HASH_ENTER, NULL);
	hash_seq_init(&scan, s->destinations);
	while ((d = hash_seq_search(&scan)) != NULL)
	{
		if (d->keyless)
			release_keyed(s, d, able);
	}
	hash_destroy(able);
}
