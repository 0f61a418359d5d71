/*-------------------------------------------------------------------------
 *
 * first_of_object.c
 *	  kgwebhook.first_of_object(): is this the first row of its object that a query meets?
 *
 * kg_reconcile() wants the newest delivery of each object at each URL.  GROUP BY and
 * max(delivery_id) find their numbers, but then the queue has to be read a second time for
 * their rows, and at a million deliveries that, and the texts that were grouped by, were
 * more than half of its time.  Read from the newest on, a delivery is its object's
 * newest when the object has not been met before; so this function remembers the
 * objects that it was asked about, as long as the query runs.
 *
 * A million objects would take 100 MB and more with their names, so what is kept is
 * 128 bits of hash, whose seeds are drawn for each query.  Among ten million objects the
 * probability that two are taken for one is 1e-24, and nobody can choose names so that
 * they are.
 *
 * src/api/first_of_object.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "fmgr.h"

#include "pg/compat.h"

typedef struct KgwObjectHash
{
	uint64		half[2];
} KgwObjectHash;

typedef struct KgwMetObject
{
	KgwObjectHash	hash;
	char		status;			/* simplehash.h's */
} KgwMetObject;

#define SH_PREFIX met
#define SH_ELEMENT_TYPE KgwMetObject
#define SH_KEY_TYPE KgwObjectHash
#define SH_KEY hash
#define SH_HASH_KEY(table, key) ((uint32) (key).half[0])
#define SH_EQUAL(table, a, b) ((a).half[0] == (b).half[0] && (a).half[1] == (b).half[1])
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* What a query remembers. */
typedef struct KgwMetObjects
{
	KgwObjectHash	seed;
	met_hash   *table;
} KgwMetObjects;

PG_FUNCTION_INFO_V1(kg_first_of_object);

static KgwMetObjects *
begin(FmgrInfo *function)
{
	KgwMetObjects *objects = MemoryContextAlloc(function->fn_mcxt, sizeof(KgwMetObjects));

	if (!pg_strong_random(&objects->seed, sizeof(objects->seed)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not tell objects apart"),
				 errdetail("The source of random numbers failed.")));
	objects->table = met_create(function->fn_mcxt, 1024, NULL);
	function->fn_extra = objects;
	return objects;
}

/*
 * kgwebhook.first_of_object(org_id text, kind text, object_id text, url text) -> boolean
 */
Datum
kg_first_of_object(PG_FUNCTION_ARGS)
{
	KgwMetObjects *objects = fcinfo->flinfo->fn_extra;
	KgwObjectHash	hash;
	bool		met;

	if (objects == NULL)
		objects = begin(fcinfo->flinfo);
	hash = objects->seed;
	for (int i = 0; i < 4; i++)
	{
		text	   *name = PG_GETARG_TEXT_PP(i);
		const unsigned char *bytes = (const unsigned char *) VARDATA_ANY(name);
		int			len = VARSIZE_ANY_EXHDR(name);

		for (int half = 0; half < 2; half++)
			hash.half[half] = hash_bytes_extended(bytes, len, hash.half[half]);
	}
	met_insert(objects->table, hash, &met);
	PG_RETURN_BOOL(!met);
}
