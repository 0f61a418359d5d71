/*-------------------------------------------------------------------------
 *
 * watch_cache.c
 *	  From a row of kgwebhook.watch to column numbers and output functions.
 *
 * The trigger runs inside the user's statement, for every row; what it needs to
 * know of a table is therefore resolved once a backend and kept until
 * the relation cache says that the table, or kgwebhook.watch, has changed.
 * A partition is looked up under the ancestor that is watched.  What the row's names
 * stand for is watch_columns.c's.
 *
 * Who reads a row by what is kept here comes to code of others (a cast of a
 * type's owner), which can change the table, write to it, and so have this read
 * again while the outer one is still at it.  So what is handed out is counted: at
 * a change it is only unlinked, and freed by the last release.
 *
 * src/capture/watch_cache.c
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

#include "capture/watch_cache.h"
#include "pg/compat.h"
#include "pg/extension.h"

/* Columns of kgwebhook.watch. */
enum
{
	WATCH_RELATION = 1, WATCH_EVENT, WATCH_ID_COLUMN, WATCH_STATUS_COLUMN,
	WATCH_URL_COLUMN, WATCH_ORG_COLUMN, WATCH_PAYLOAD, WATCH_COLUMN_NUMBERS,
	WATCH_NUMBERED_FOR, WATCH_MONEY_DIGITS, WATCH_PAYLOAD_IS_DEFAULT,
	WATCH_SOURCE, WATCH_NODE, WATCH_VERSION_COLUMN, WATCH_PAYLOAD_COLUMN, WATCH_WEBHOOK_ID_COLUMN
};

/* Columns of kgwebhook.shape. */
enum
{
	SHAPE_RELATION = 1, SHAPE_NAME, SHAPE_PAYLOAD, SHAPE_COLUMN_NUMBERS, SHAPE_NUMBERED_FOR
};

/* What was read of a table, in a context of its own. */
typedef struct KgwKeptWatch
{
	KgwWatch	watch;
	bool		watched;		/* else there is no such watch */
	bool		unlinked;		/* no entry has it any more */
	int			references;		/* lookups without their release */
	MemoryContext context;		/* holds all of it */
} KgwKeptWatch;

typedef struct KgwCacheEntry
{
	Oid			relid;			/* hash key: the table or a partition of it */
	bool		valid;
	KgwKeptWatch *kept;			/* NULL = not read yet */
} KgwCacheEntry;

static HTAB *cache;
static Oid	watch_table;		/* kgwebhook.watch when the cache was filled */
static uint64 watch_invalidations;	/* how often anything was forgotten */

static void
forget_watch(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS scan;
	KgwCacheEntry *entry;

	watch_invalidations++;
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
	CacheRegisterRelcacheCallback(forget_watch, (Datum) 0);
}

/* What the table lacks because it is an older version's is null, too. */
static char *
name_or_null(HeapTuple tuple, TupleDesc desc, int attnum)
{
	bool		isnull = true;
	Datum		value = (Datum) 0;

	if (attnum <= desc->natts)
		value = heap_getattr(tuple, attnum, desc, &isnull);
	return isnull ? NULL : pstrdup(NameStr(*DatumGetName(value)));
}

static char *
text_or_null(HeapTuple tuple, TupleDesc desc, int attnum)
{
	bool		isnull = true;
	Datum		value = (Datum) 0;

	if (attnum <= desc->natts)
		value = heap_getattr(tuple, attnum, desc, &isnull);
	return isnull ? NULL : TextDatumGetCString(value);
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
		row->money_digits = DatumGetInt16(heap_getattr(tuple, WATCH_MONEY_DIGITS, desc, &isnull));
		row->payload_is_default = DatumGetBool(heap_getattr(tuple, WATCH_PAYLOAD_IS_DEFAULT,
															desc, &isnull));
		row->source = text_or_null(tuple, desc, WATCH_SOURCE);
		row->node = text_or_null(tuple, desc, WATCH_NODE);
		row->version_column = row->source != NULL ?
			name_or_null(tuple, desc, WATCH_VERSION_COLUMN) : NULL;
		row->payload_column = name_or_null(tuple, desc, WATCH_PAYLOAD_COLUMN);
		row->webhook_id_column = name_or_null(tuple, desc, WATCH_WEBHOOK_ID_COLUMN);
		row->numbers = NULL;
		if (DatumGetObjectId(value) == relid)
			row->numbers = PG_DETOAST_DATUM_COPY(heap_getattr(tuple, WATCH_COLUMN_NUMBERS,
															  desc, &isnull));
	}
	systable_endscan(scan);
	return HeapTupleIsValid(tuple);
}

/* The named shapes of a watched table; an older version's extension has none. */
static List *
read_shapes(Oid relid)
{
	Oid			oid = kgw_extension_relation("shape");
	List	   *shapes = NIL;
	Relation	table;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	if (!OidIsValid(oid))
		return NIL;
	table = table_open(oid, AccessShareLock);
	ScanKeyInit(&key, SHAPE_RELATION, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(table, kgw_compat_primary_key_index(table), true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		KgwShapeRow *shape = palloc0(sizeof(KgwShapeRow));
		TupleDesc	desc = RelationGetDescr(table);
		bool		isnull;

		shape->name = text_or_null(tuple, desc, SHAPE_NAME);
		shape->payload = PG_DETOAST_DATUM_COPY(heap_getattr(tuple, SHAPE_PAYLOAD, desc, &isnull));
		if (DatumGetObjectId(heap_getattr(tuple, SHAPE_NUMBERED_FOR, desc, &isnull)) == relid)
			shape->numbers = PG_DETOAST_DATUM_COPY(heap_getattr(tuple, SHAPE_COLUMN_NUMBERS,
																desc, &isnull));
		shapes = lappend(shapes, shape);
	}
	systable_endscan(scan);
	table_close(table, AccessShareLock);
	return shapes;
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

	watch_table = kgw_extension_relation("watch");
	if (!OidIsValid(watch_table))
		return false;
	table = table_open(watch_table, AccessShareLock);
	index = kgw_compat_primary_key_index(table);

	found = read_row(table, index, RelationGetRelid(rel), row);
	if (!found && rel->rd_rel->relispartition)
		ancestors = get_partition_ancestors(RelationGetRelid(rel));
	foreach(lc, ancestors)
	{
		if (!found)
			found = read_row(table, index, lfirst_oid(lc), row);
	}
	table_close(table, AccessShareLock);
	row->shapes = found ? read_shapes(row->relation) : NIL;
	return found;
}

/* Take what an entry has from it; it goes now, or when nobody uses it any more. */
static void
unlink_kept(KgwCacheEntry *entry)
{
	KgwKeptWatch *kept = entry->kept;

	entry->kept = NULL;
	if (kept == NULL)
		return;
	kept->unlinked = true;
	if (kept->references == 0)
		MemoryContextDelete(kept->context);
}

/* An error half-way leaves the entry empty, and its memory with the transaction. */
static void
fill_entry(KgwCacheEntry *entry, Relation rel)
{
	MemoryContext context;
	MemoryContext caller;
	KgwKeptWatch *kept;
	KgwWatchRow row;
	uint64		before = watch_invalidations;

	unlink_kept(entry);
	context = AllocSetContextCreate(CurrentMemoryContext, "kgwebhook watch",
									ALLOCSET_SMALL_SIZES);
	caller = MemoryContextSwitchTo(context);
	kept = palloc0(sizeof(KgwKeptWatch));
	kept->context = context;
	kept->watched = find_row(rel, &row);
	if (kept->watched)
		kept->watch = *kgw_watch_columns_resolve(&row, rel);
	MemoryContextSwitchTo(caller);
	MemoryContextSetParent(context, CacheMemoryContext);
	entry->kept = kept;

	/* what was forgotten in the meantime is read again next time */
	entry->valid = (before == watch_invalidations);
}

/*
 * What is to be read from the rows of this table, or NULL when it isn't
 * watched.  Owned by the cache; good until kgw_watch_cache_release(), which has to
 * follow also after an error.
 */
const KgwWatch *
kgw_watch_cache_lookup(Relation rel)
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
		entry->kept = NULL;
	}
	if (!entry->valid)
		fill_entry(entry, rel);
	if (!entry->kept->watched)
		return NULL;
	entry->kept->references++;
	return &entry->kept->watch;
}

/* The caller is done with what kgw_watch_cache_lookup() has returned. */
void
kgw_watch_cache_release(const KgwWatch *watch)
{
	KgwKeptWatch *kept = (KgwKeptWatch *) watch;

	kept->references--;
	if (kept->references == 0 && kept->unlinked)
		MemoryContextDelete(kept->context);
}

/*
 * Which of the table's shapes has that name.  The table's own, 0, for NULL; and where
 * the table has none of that name, as a subscription's shape is for the tables that have it.
 */
int
kgw_watch_cache_shape(const KgwWatch *watch, const char *name)
{
	for (int i = 1; name != NULL && i < watch->shape_count; i++)
	{
		if (strcmp(watch->shapes[i].name, name) == 0)
			return i;
	}
	return 0;
}
