/*-------------------------------------------------------------------------
 *
 * set_aside.c
 *	  What is left in the table so that a destination's backlog is read on past it.
 *
 * A destination has a limited number of entries.  An endpoint that acknowledges nothing
 * could take them all, with what waits there for its next attempt or for a secret,
 * and then nothing would be read any more for the other endpoints of the host; and so
 * could one with a rate limit (rate_limit.c).  So when all are taken, such an endpoint keeps
 * ASIDE_KEEP of them or what it has, and further rows of it stay in the table: the cursor passes
 * them, and their payload is let go of.
 *
 * An object's order must not suffer, for its next transition may have another URL.  So
 * of each row that is set aside its object is remembered, eight bytes of it, and
 * whatever follows of that object is set aside as well.  Two objects that are taken for
 * one wait for one another, no more.  Where there are subscriptions, the object is
 * remembered once more with the URL, for what follows may be in the other chain of its
 * that goes there (shared_url.c).
 *
 * Everything that was set aside is read again, from the first of it, when the
 * destination has room, or when one of these endpoints acknowledges; where that has a rate
 * limit, not before it has sent nearly all that it has here.  What is here already is known
 * by its number.
 *
 * src/schedule/set_aside.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/memutils.h"

#include "schedule/scheduler_internal.h"

/* Entries that an endpoint may have when its destination has too many. */
#define ASIDE_KEEP 256

/* Objects remembered of all destinations: 8 MB at most, as each table is half full. */
#define ASIDE_OBJECTS (512 * 1024)

/* Slots of a table that is new. */
#define ASIDE_SLOTS 1024

/* What of a destination was set aside. */
struct KgwAside
{
	int64		from;			/* the first number */
	int			entries;		/* that its destination had then */
	int			count;
	int			size;			/* a power of two */
	uint64	   *objects;		/* 0: none */
};

static uint64
mark_object(const KgwDelivery *row, uint64 seed)
{
	uint64		hash = seed;

	hash = hash_bytes_extended((const unsigned char *) row->org_id, strlen(row->org_id) + 1, hash);
	hash = hash_bytes_extended((const unsigned char *) row->kind, strlen(row->kind) + 1, hash);
	hash = hash_bytes_extended((const unsigned char *) row->object_id, strlen(row->object_id), hash);
	return Max(hash, 1);
}

/* An object in one of its chains, and at a URL. */
static uint64
mark_of(const KgwDelivery *row)
{
	return mark_object(row, row->subscription_id);
}

static uint64
mark_at_url(const KgwDelivery *row)
{
	return mark_object(row, kgw_shared_url_hash(row->url));
}

/* Where an object is, or would be. */
static uint64 *
find_slot(const KgwAside *aside, uint64 object)
{
	uint64		at = object;

	for (;; at++)
	{
		uint64	   *slot = &aside->objects[at & (aside->size - 1)];

		if (*slot == 0 || *slot == object)
			return slot;
	}
}

static void
set_size(KgwScheduler *s, KgwAside *aside, int size)
{
	KgwAside	former = *aside;

	aside->size = size;
	aside->objects = MemoryContextAllocExtended(GetMemoryChunkContext(s), size * sizeof(uint64),
												MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	if (former.objects == NULL)
		return;
	for (int i = 0; i < former.size; i++)
	{
		if (former.objects[i] != 0)
			*find_slot(aside, former.objects[i]) = former.objects[i];
	}
	pfree(former.objects);
}

/* Whether this is the first for a subscription: what was set aside has no URLs. */
static bool
lacks_urls(const KgwDestination *d, const KgwDelivery *row)
{
	return d->aside != NULL && !d->fanned_out && row->subscription_id != 0;
}

/* Whether something of this row's object was set aside, so that it has to be as well. */
bool
kgw_set_aside_has(const KgwDestination *d, const KgwDelivery *row)
{
	if (d->aside == NULL)
		return false;
	return lacks_urls(d, row) || *find_slot(d->aside, mark_of(row)) != 0 ||
		(d->fanned_out && *find_slot(d->aside, mark_at_url(row)) != 0);
}

static void
remember_object(KgwScheduler *s, KgwAside *aside, uint64 object)
{
	uint64	   *slot;

	if (aside->count >= aside->size / 2)
		set_size(s, aside, aside->size * 2);
	slot = find_slot(aside, object);
	if (*slot != 0)
		return;
	*slot = object;
	aside->count++;
	s->aside_count++;
}

/* A row of a page is set aside; the caller moves the cursor past it. */
static void
set_aside(KgwScheduler *s, KgwDestination *d, KgwEndpoint *e, const KgwDelivery *row)
{
	if (d->aside == NULL)
	{
		d->aside = MemoryContextAllocZero(GetMemoryChunkContext(s), sizeof(KgwAside));
		d->aside->from = row->delivery_id;
		d->aside->entries = d->entries;
		set_size(s, d->aside, ASIDE_SLOTS);
	}
	e->aside = true;
	remember_object(s, d->aside, mark_of(row));
	if (d->fanned_out)
		remember_object(s, d->aside, mark_at_url(row));
}

/* What becomes of a row of a page. */
KgwPlace
kgw_set_aside_judge(KgwScheduler *s, KgwDestination *d, const KgwDelivery *row)
{
	KgwEndpoint *e;

	if (lacks_urls(d, row))
	{
		d->fanned_out = true;
		kgw_set_aside_return(s, d);
		return KGW_PLACE_LATER;
	}
	d->fanned_out |= row->subscription_id != 0;
	if (d->aside == NULL && kgw_run_queues_has_entries(s, d))
		return KGW_PLACE_MEMORY;
	e = kgw_known_endpoints_find(s, d, row);
	if (!kgw_set_aside_has(d, row))
	{
		if (kgw_run_queues_has_entries(s, d))
			return KGW_PLACE_MEMORY;
		if (e->entries < ASIDE_KEEP && d->entries < 2 * DESTINATION_ENTRIES &&
			hash_get_num_entries(s->entries) < 2 * ENTRIES_ALL)
			return KGW_PLACE_MEMORY;
		if ((e->acked_at != 0 && s->now - e->acked_at < KGW_LATELY && e->gap == 0) ||
			s->aside_count >= ASIDE_OBJECTS)
		{
			d->stuck = true;
			d->stuck_at = s->now;
			return KGW_PLACE_LATER;
		}
	}
	set_aside(s, d, e, row);
	return KGW_PLACE_ASIDE;
}

/* Forget what was set aside; returns the first number of it, or PG_INT64_MAX. */
int64
kgw_set_aside_forget(KgwScheduler *s, KgwDestination *d)
{
	KgwAside   *aside = d->aside;
	dlist_iter	iter;
	int64		from;

	if (aside == NULL)
		return PG_INT64_MAX;
	dlist_foreach(iter, &d->endpoints)
		dlist_container(KgwEndpoint, node, iter.cur)->aside = false;
	from = aside->from;
	s->aside_count -= aside->count;
	d->aside = NULL;
	pfree(aside->objects);
	pfree(aside);
	return from;
}

/* Whether it is time to read what was set aside: half of the entries are gone. */
bool
kgw_set_aside_is_over(const KgwDestination *d)
{
	return d->aside != NULL && d->entries < d->aside->entries / 2;
}

/* Whether an endpoint that acknowledges has use for what was set aside of it. */
bool
kgw_set_aside_is_wanted(const KgwEndpoint *e)
{
	return e->aside && (e->gap == 0 || e->entries < ASIDE_KEEP / 2);
}

/* Read again what was set aside. */
void
kgw_set_aside_return(KgwScheduler *s, KgwDestination *d)
{
	int64		from = kgw_set_aside_forget(s, d);

	if (from == PG_INT64_MAX)
		return;
	d->cursor = Min(d->cursor, from - 1);
	d->more = true;
	d->stuck = false;
}

/* An entry of this endpoint is gone: what its destination was stuck at may go on. */
void
kgw_set_aside_unstick(KgwDestination *d, const KgwEndpoint *e)
{
	if (e->entries < ASIDE_KEEP / 2)
		d->stuck = false;
}
