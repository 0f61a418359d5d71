/*-------------------------------------------------------------------------
 *
 * watched.c
 *	  From a row of kgwebhook.watch to column numbers and output functions.
 *
 * The trigger runs inside the user's statement, for every row; what it needs to
 * know of a table is therefore resolved once a backend and kept until
 * the relation cache says that the table, or kgwebhook.watch, has changed.
 * A partition is looked up under the ancestor that is watched.  What the row's names
 * stand for is watched_resolve.c's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/partition.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"

#include "domain/watched.h"
#include "services/owner.h"

/* Columns of kgwebhook.watch. */
enum
{
	WATCH_RELATION = 1, WATCH_EVENT, WATCH_ID_COLUMN, WATCH_STATUS_COLUMN,
	WATCH_URL_COLUMN, WATCH_ORG_COLUMN, WATCH_PAYLOAD, WATCH_COLUMN_NUMBERS,
	WATCH_NUMBERED_FOR
};

typedef struct KgwCacheEntry
{
	Oid			relid;			/* hash key: the table or a partition of it */
	bool		valid;
	KgwWatch   *watch;			/* NULL = not watched */
	MemoryContext context;		/* holds watch */
} KgwCacheEntry;

static HTAB *cache;
static Oid	watch_table;		/* kgwebhook.watch when the cache was filled */
static uint64 invalidations;	/* how often anything was forgotten */

static void
forget_relation(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS scan;
	KgwCacheEntry *entry;

	invalidations++;
	if (relid != InvalidOid && relid != watch_table)
	{
		entry = hash_search(cache, &relid, HASH_FIND, NULL);
		if (entry != NULL)
			entry->valid = false;
		return;
	}
	hash_seq_init(&scan, cache);
	while ((entry = hash_seq_search(&scan)) != NULL)
		entry->valid = false;
}

static void
create_cache(void)
{
	HASHCTL		ctl = {0};

	ctl.keysize = sizeof(Oid);
	ctl.entrysize = sizeof(KgwCacheEntry);
	cache = hash_create("kgwebhook watched tables", 16, &ctl, HASH_ELEM | HASH_BLOBS);
	CacheRegisterRelcacheCallback(forget_relation, (Datum) 0);
}

static char *
name_or_null(HeapTuple tuple, TupleDesc desc, int attnum)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, attnum, desc, &isnull);

	return isnull ? NULL : pstrdup(NameStr(*DatumGetName(value)));
}

/* Read the row of one table; false when there is none. */
static bool
read_row(Relation table, Oid index, Oid relid, KgwWatchRow *row)
{
	TupleDesc	desc = RelationGetDescr(table);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		isnull;
	Datum		value;

	ScanKeyInit(&key, WATCH_RELATION, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(table, index, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		row->event = TextDatumGetCString(heap_getattr(tuple, WATCH_EVENT, desc, &isnull));
		row->id_column = name_or_null(tuple, desc, WATCH_ID_COLUMN);
		row->status_column = name_or_null(tuple, desc, WATCH_STATUS_COLUMN);
		row->url_column = name_or_null(tuple, desc, WATCH_URL_COLUMN);
		row->org_column = name_or_null(tuple, desc, WATCH_ORG_COLUMN);
		value = heap_getattr(tuple, WATCH_PAYLOAD, desc, &isnull);
		row->payload = isnull ? NULL : PG_DETOAST_DATUM_COPY(value);
		row->relation = relid;
		value = heap_getattr(tuple, WATCH_NUMBERED_FOR, desc, &isnull);
		row->numbers = NULL;
		if (DatumGetObjectId(value) == relid)
			row->numbers = PG_DETOAST_DATUM_COPY(heap_getattr(tuple, WATCH_COLUMN_NUMBERS,
															  desc, &isnull));
	}
	systable_endscan(scan);
	return HeapTupleIsValid(tuple);
}

/* Find the row of a table, or of the nearest ancestor that it is a partition of. */
static bool
find_row(Relation rel, KgwWatchRow *row)
{
	Relation	table;
	Oid			index;
	bool		found;
	List	   *ancestors = NIL;
	ListCell   *lc;

	watch_table = kgw_relation_oid("watch");
	if (!OidIsValid(watch_table))
		return false;
	table = table_open(watch_table, AccessShareLock);
	index = RelationGetPrimaryKeyIndex(table
#if PG_VERSION_NUM >= 180000
									   ,false
#endif
		);

	found = read_row(table, index, RelationGetRelid(rel), row);
	if (!found && rel->rd_rel->relispartition)
		ancestors = get_partition_ancestors(RelationGetRelid(rel));
	foreach(lc, ancestors)
	{
		if (!found)
			found = read_row(table, index, lfirst_oid(lc), row);
	}
	table_close(table, AccessShareLock);
	return found;
}

static void
fill_entry(KgwCacheEntry *entry, Relation rel)
{
	MemoryContext caller;
	KgwWatchRow row;
	uint64		before = invalidations;

	if (entry->context != NULL)
		MemoryContextDelete(entry->context);
	entry->watch = NULL;
	entry->context = AllocSetContextCreate(CacheMemoryContext, "kgwebhook watch",
										   ALLOCSET_SMALL_SIZES);
	caller = MemoryContextSwitchTo(entry->context);
	if (find_row(rel, &row))
		entry->watch = kgw_watched_resolve(&row, rel);
	MemoryContextSwitchTo(caller);

	/* what was forgotten meanwhile is read again next time */
	entry->valid = (before == invalidations);
}

/*
 * What is to be read from the rows of this table, or NULL when it isn't
 * watched.  Owned by the cache; good until the next call.
 */
const KgwWatch *
kgw_watched_lookup(Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	KgwCacheEntry *entry;
	bool		found;

	if (cache == NULL)
		create_cache();
	entry = hash_search(cache, &relid, HASH_ENTER, &found);
	if (!found)
	{
		entry->valid = false;
		entry->watch = NULL;
		entry->context = NULL;
	}
	if (!entry->valid)
		fill_entry(entry, rel);
	return entry->watch;
}
