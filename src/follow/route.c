/*-------------------------------------------------------------------------
 *
 * route.c
 *	  Which node serves an organization of a source.
 *
 * Routes come in the stream of changes itself, between the payments: a move is
 * exact to the transaction, at every node.  So what is asked here must be the state
 * after the last change that was applied, and not a moment old: what is remembered is
 * forgotten by the invalidation of kgwebhook.route, which its row trigger raises, and
 * which this process sees at its next command.
 *
 * An organization is served by the node of its own route; else by that of the
 * route '*'; else by the first node that has followed, which the row '' names.
 *
 * The table is read as a catalog is: see capture/fanout.c.
 *
 * src/follow/route.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "follow/route.h"
#include "pg/extension.h"
#include "pure/limits.h"
#include "shmem/commit_callback.h"
#include "shmem/point.h"

PG_FUNCTION_INFO_V1(kg_routes_changed);
PG_FUNCTION_INFO_V1(kg_route_state);

/* Organizations remembered at a time; past that, all are forgotten. */
#define REMEMBERED_MAX 4096

/* Columns of kgwebhook.route. */
enum
{
	ROUTE_SOURCE = 1, ROUTE_ORG_ID, ROUTE_NODE, ROUTE_PREVIOUS, ROUTE_RELEASED
};

#define KEY_SIZE (2 * (KGW_ORG_ID_MAX + 1))

typedef struct KgwKnownRoute
{
	char		key[KEY_SIZE];	/* source, a line feed, organization */
	KgwRoute	route;
} KgwKnownRoute;

static HTAB *remembered;
static Oid	route_table;		/* when it was last looked for */
static bool outdated;
static uint64 invalidations;

static void
forget_relation(Datum arg, Oid relid)
{
	if (relid != InvalidOid && relid != route_table)
		return;
	outdated = true;
	invalidations++;
}

static void
start_remembering(void)
{
	static bool callback;
	HASHCTL		ctl = {0};

	if (!callback)
		CacheRegisterRelcacheCallback(forget_relation, (Datum) 0);
	callback = true;
	if (remembered != NULL)
		hash_destroy(remembered);
	remembered = NULL;
	ctl.keysize = KEY_SIZE;
	ctl.entrysize = sizeof(KgwKnownRoute);
	remembered = hash_create("kgwebhook routes", 64, &ctl, HASH_ELEM | HASH_STRINGS);
	outdated = false;
}

/* Look a row up; false when there is none. */
static bool
read_route(Relation table, Oid index, const char *source, const char *node, const char *org_id,
		   KgwRoute *route)
{
	TupleDesc	desc = RelationGetDescr(table);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	row;
	bool		found;

	ScanKeyInit(&keys[0], ROUTE_SOURCE, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(source));
	ScanKeyInit(&keys[1], ROUTE_ORG_ID, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(org_id));
	scan = systable_beginscan(table, index, true, NULL, 2, keys);
	row = systable_getnext(scan);
	found = HeapTupleIsValid(row);
	if (found)
	{
		bool		isnull;
		char	   *serves = TextDatumGetCString(heap_getattr(row, ROUTE_NODE, desc, &isnull));
		bool		released = DatumGetBool(heap_getattr(row, ROUTE_RELEASED, desc, &isnull));

		*route = strcmp(serves, node) != 0 ? KGW_ROUTE_OTHER :
			released || isnull ? KGW_ROUTE_MINE : KGW_ROUTE_HELD;
	}
	systable_endscan(scan);
	return found;
}

static KgwRoute
search_routes(const char *source, const char *node, const char *org_id)
{
	KgwRoute	route = KGW_ROUTE_OTHER;
	Relation	table;
	Oid			index;

	if (!OidIsValid(route_table))
		return KGW_ROUTE_OTHER;
	table = table_open(route_table, AccessShareLock);
	index = kgw_extension_relation("route_pkey");
	if (!read_route(table, index, source, node, org_id, &route) &&
		!read_route(table, index, source, node, "*", &route))
		(void) read_route(table, index, source, node, "", &route);
	table_close(table, AccessShareLock);
	return route;
}

/* Who serves an organization of the source, as seen by this node. */
KgwRoute
kgw_route_of(const char *source, const char *node, const char *org_id)
{
	char		key[KEY_SIZE];
	KgwKnownRoute *entry;
	KgwRoute	route;
	uint64		before;

	snprintf(key, sizeof(key), "%s\n%s", source, org_id);
	if (remembered == NULL || outdated || hash_get_num_entries(remembered) >= REMEMBERED_MAX)
		start_remembering();
	entry = hash_search(remembered, key, HASH_FIND, NULL);
	if (entry != NULL)
		return entry->route;
	route_table = kgw_extension_relation("route");
	before = invalidations;
	route = search_routes(source, node, org_id);

	/* what was forgotten in the meantime is looked up again next time */
	if (before == invalidations)
		((KgwKnownRoute *) hash_search(remembered, key, HASH_ENTER, NULL))->route = route;
	return route;
}

/*
 * kgwebhook.routes_changed(): row trigger of kgwebhook.route.
 */
Datum
kg_routes_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called by trigger manager", "kgwebhook.routes_changed")));
	CacheInvalidateRelcache(((TriggerData *) fcinfo->context)->tg_relation);
	kgw_commit_callback_changed(KGW_CHANGED_ROUTES);
	KGW_POINT("routed");
	return PointerGetDatum(NULL);
}

/*
 * kgwebhook.route_state(source, node, org_id): other, mine or held.
 */
Datum
kg_route_state(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"other", "mine", "held"};
	KgwRoute	route = kgw_route_of(text_to_cstring(PG_GETARG_TEXT_PP(0)),
									 text_to_cstring(PG_GETARG_TEXT_PP(1)),
									 text_to_cstring(PG_GETARG_TEXT_PP(2)));

	PG_RETURN_TEXT_P(cstring_to_text(names[route]));
}
