/*-------------------------------------------------------------------------
 *
 * fanout.c
 *	  Who gets an event besides the object's own URL: the organization's
 *	  subscriptions, as a writer of a watched table knows them.
 *
 * It runs inside of every payment, so a backend remembers whether there is any
 * subscription at all, which is one comparison where there is none; and else
 * those of the organizations that it has lately met.  Both are kept until the
 * relation cache says that kgwebhook.subscription has changed, which its
 * statement trigger sees to.
 *
 * The table is read as a catalog is: without SQL, without a right of the
 * writer's, and by the newest snapshot rather than the transaction's, so that
 * REPEATABLE READ doesn't leave out new subscriptions.
 *
 * Only the URL, the patterns, the shape and the filter count here.  Whether a subscription is paused
 * or disabled is for the worker to say when the delivery's turn comes: what
 * a backend remembers may be a moment old, and an event that was left out
 * because of that would be lost.
 *
 * Nothing here refuses a row: a payment must not fail because of who listens.
 *
 * src/capture/fanout.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "capture/fanout.h"
#include "capture/value/filter.h"
#include "pg/extension.h"
#include "pure/event_pattern.h"
#include "pure/limits.h"

/* Organizations remembered at a time; past that, all are forgotten. */
#define REMEMBERED_MAX 256

/* Columns of kgwebhook.subscription. */
enum
{
	SUBSCRIPTION_ID = 1, SUBSCRIPTION_ORG_ID, SUBSCRIPTION_URL,
	SUBSCRIPTION_DESTINATION, SUBSCRIPTION_EVENTS
};

typedef struct KgwSubscription
{
	KgwReceiver receiver;
	bool		differs;		/* gets other requests than an object's own URL would */
	int			pattern_count;
	char	  **patterns;
} KgwSubscription;

typedef struct KgwOrganization
{
	char		org_id[KGW_ORG_ID_MAX + 1]; /* hash key */
	List	   *subscriptions;	/* by number */
} KgwOrganization;

static Oid	subscription_table; /* when it was last looked for */
static bool known;				/* "any" is up to date */
static bool any;
static bool stale;				/* what is remembered of organizations isn't */
static HTAB *organizations;
static MemoryContext memory;	/* of the above */
static uint64 subscription_invalidations;	/* how often anything was forgotten */

/* What is in use is only marked: this may be called in the midst of a read. */
static void
note_subscriptions_changed(Datum arg, Oid relid)
{
	if (relid != InvalidOid && relid != subscription_table)
		return;
	known = false;
	stale = true;
	subscription_invalidations++;
}

/* The table, open; NULL when there is none: the extension is being dropped. */
static Relation
open_table(void)
{
	static bool registered;

	if (!registered)
		CacheRegisterRelcacheCallback(note_subscriptions_changed, (Datum) 0);
	registered = true;
	subscription_table = kgw_extension_relation("subscription");
	return OidIsValid(subscription_table) ? table_open(subscription_table, AccessShareLock) : NULL;
}

/* Whether there is any subscription, of any organization. */
static bool
look_for_any(void)
{
	uint64		before = subscription_invalidations;
	Relation	table = open_table();
	SysScanDesc scan;

	if (table == NULL)
		return false;
	scan = systable_beginscan(table, InvalidOid, false, NULL, 0, NULL);
	any = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(table, AccessShareLock);

	/* what was forgotten in the meantime is looked for again next time */
	known = before == subscription_invalidations;
	return any;
}

static void
take_patterns(KgwSubscription *subscription, ArrayType *events)
{
	Datum	   *elements;
	bool	   *nulls;
	int			count;

	deconstruct_array(events, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	subscription->patterns = palloc(Max(count, 1) * sizeof(char *));
	for (int i = 0; i < count; i++)
	{
		if (!nulls[i])
			subscription->patterns[subscription->pattern_count++] =
				TextDatumGetCString(elements[i]);
	}
}

/* What an option has, by the column's name; NULL when it has none, or the table is an older version's. */
static char *
option_of(HeapTuple tuple, TupleDesc desc, const char *column)
{
	int			number = SPI_fnumber(desc, column);
	bool		isnull = true;
	Datum		value = (Datum) 0;

	if (number > 0)
		value = heap_getattr(tuple, number, desc, &isnull);
	return isnull ? NULL : TextDatumGetCString(value);
}

/* As above, a copy of what its payloads must fit. */
static Jsonb *
filter_of(HeapTuple tuple, TupleDesc desc)
{
	int			number = SPI_fnumber(desc, "filter");
	bool		isnull = true;
	Datum		value = (Datum) 0;

	if (number > 0)
		value = heap_getattr(tuple, number, desc, &isnull);
	return isnull ? NULL : (Jsonb *) PG_DETOAST_DATUM_COPY(value);
}

/* Whether an option is neither NULL nor, a boolean, false. */
static bool
is_chosen(HeapTuple tuple, TupleDesc desc, const char *column)
{
	int			number = SPI_fnumber(desc, column);
	bool		isnull = true;
	Datum		value = (Datum) 0;

	if (number > 0)
		value = heap_getattr(tuple, number, desc, &isnull);
	return !isnull && (SPI_gettypeid(desc, number) != BOOLOID || DatumGetBool(value));
}

static KgwSubscription *
make_subscription(HeapTuple tuple, TupleDesc desc)
{
	KgwSubscription *subscription = palloc0(sizeof(KgwSubscription));
	bool		isnull;

	subscription->receiver.subscription_id =
		DatumGetInt64(heap_getattr(tuple, SUBSCRIPTION_ID, desc, &isnull));
	subscription->receiver.url =
		TextDatumGetCString(heap_getattr(tuple, SUBSCRIPTION_URL, desc, &isnull));
	subscription->receiver.shape = option_of(tuple, desc, "shape");
	subscription->receiver.filter = filter_of(tuple, desc);
	subscription->differs = subscription->receiver.shape != NULL ||
		is_chosen(tuple, desc, "own_secret") || is_chosen(tuple, desc, "header_names") ||
		is_chosen(tuple, desc, "rate_limit") || is_chosen(tuple, desc, "verify") ||
		is_chosen(tuple, desc, "own_identity");
	take_patterns(subscription,
				  DatumGetArrayTypeP(heap_getattr(tuple, SUBSCRIPTION_EVENTS, desc, &isnull)));
	return subscription;
}

static int
compare_subscriptions(const ListCell *a, const ListCell *b)
{
	int64		x = ((const KgwSubscription *) lfirst(a))->receiver.subscription_id;
	int64		y = ((const KgwSubscription *) lfirst(b))->receiver.subscription_id;

	return x < y ? -1 : x > y ? 1 : 0;
}

/* Read an organization's subscriptions, in the current memory context. */
static List *
read_org_subscriptions(const char *org_id)
{
	Relation	table = open_table();
	List	   *subscriptions = NIL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			index;

	if (table == NULL)
		return NIL;
	index = kgw_extension_relation("subscription_org_id_url_key");
	ScanKeyInit(&key, SUBSCRIPTION_ORG_ID, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(org_id));
	scan = systable_beginscan(table, index, OidIsValid(index), NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		subscriptions = lappend(subscriptions, make_subscription(tuple, RelationGetDescr(table)));
	systable_endscan(scan);
	table_close(table, AccessShareLock);
	list_sort(subscriptions, compare_subscriptions);
	return subscriptions;
}

static void
start_memory(void)
{
	HASHCTL		ctl = {0};

	organizations = NULL;
	if (memory != NULL)
		MemoryContextDelete(memory);
	memory = NULL;				/* should there be none for a new one */
	memory = AllocSetContextCreate(CacheMemoryContext, "kgwebhook subscriptions",
								   ALLOCSET_SMALL_SIZES);
	ctl.keysize = sizeof(((KgwOrganization *) 0)->org_id);
	ctl.entrysize = sizeof(KgwOrganization);
	ctl.hcxt = memory;
	organizations = hash_create("kgwebhook organizations", 16, &ctl,
								HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
}

/* An organization's subscriptions: ours, and good until the next call. */
static List *
subscriptions_of(const char *org_id)
{
	KgwOrganization *organization;
	MemoryContext caller;
	List	   *subscriptions;
	bool		found;

	/* a name that doesn't fit can't have been subscribed */
	if (strlen(org_id) > KGW_ORG_ID_MAX)
		return NIL;
	if (organizations == NULL || stale ||
		hash_get_num_entries(organizations) >= REMEMBERED_MAX)
	{
		stale = false;
		start_memory();
	}
	organization = hash_search(organizations, org_id, HASH_FIND, NULL);
	if (organization != NULL)
		return organization->subscriptions;

	caller = MemoryContextSwitchTo(memory);
	subscriptions = read_org_subscriptions(org_id);
	organization = hash_search(organizations, org_id, HASH_ENTER, &found);
	organization->subscriptions = subscriptions;
	MemoryContextSwitchTo(caller);
	return subscriptions;
}

static bool
is_for(const KgwSubscription *subscription, const char *event)
{
	for (int i = 0; i < subscription->pattern_count; i++)
	{
		if (kgw_event_pattern_matches(subscription->patterns[i], event))
			return true;
	}
	return false;
}

/* A copy, in the current memory context: what is remembered may be forgotten while they are enqueued. */
static KgwReceiver *
copy_receiver(const KgwReceiver *from)
{
	KgwReceiver *receiver = palloc(sizeof(KgwReceiver));

	receiver->subscription_id = from->subscription_id;
	receiver->url = pstrdup(from->url);
	receiver->shape = from->shape == NULL ? NULL : pstrdup(from->shape);
	receiver->filter = NULL;
	if (from->filter != NULL)
	{
		receiver->filter = palloc(VARSIZE(from->filter));
		memcpy(receiver->filter, from->filter, VARSIZE(from->filter));
	}
	return receiver;
}

/*
 * The subscriptions of the organization that an event is for, oldest first, as a
 * list of KgwReceiver in the current memory context.  A URL gets an event once: a subscription
 * to the object's own URL (or NULL) is left out; but if its receiver expects something
 * else than an object's own URL gets, such as another secret, the own URL becomes NULL.
 */
List *
kgw_fanout(const char *org_id, const char *event, const char **own_url)
{
	List	   *receivers = NIL;
	ListCell   *lc;

	if (known ? !any : !look_for_any())
		return NIL;
	foreach(lc, subscriptions_of(org_id))
	{
		const KgwSubscription *subscription = lfirst(lc);
		KgwReceiver *receiver;

		if (!is_for(subscription, event))
			continue;
		receiver = copy_receiver(&subscription->receiver);
		if (*own_url != NULL && strcmp(*own_url, subscription->receiver.url) == 0)
		{
			if (!subscription->differs)
				continue;
			*own_url = NULL;
			receiver->filter = NULL;	/* the object wants it sent there */
		}
		receivers = lappend(receivers, receiver);
	}
	return receivers;
}

/*
 * The shape of a subscription's payloads, which is remembered here; NULL: each table's
 * own.  Good until the next call.
 */
const char *
kgw_fanout_shape(const char *org_id, int64 subscription_id)
{
	ListCell   *lc;

	foreach(lc, subscriptions_of(org_id))
	{
		const KgwSubscription *subscription = lfirst(lc);

		if (subscription->receiver.subscription_id == subscription_id)
			return subscription->receiver.shape;
	}
	return NULL;
}

/*
 * Whether a payload is what its receiver wants; "whole" when none of its members was left
 * out.  It can't fail, whatever is in either.
 */
bool
kgw_fanout_wants(const KgwReceiver *receiver, Jsonb *payload, bool whole)
{
	return receiver->filter == NULL || kgw_filter_fits(receiver->filter, payload, whole);
}
