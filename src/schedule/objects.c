/*-------------------------------------------------------------------------
 *
 * objects.c
 *	  The objects of which a worker has deliveries, by name.
 *
 * What stands here is a chain: what one receiver at a destination is to get of an
 * object.  That of the object's own URLs is one, and that of each subscription;
 * object_order.c keeps the order within one, shared_url.c that between them.  So a
 * subscription's knows that of the object's own URLs, which is made for it if there is
 * none, and from there the others are found.
 *
 * src/schedule/objects.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/memutils.h"

#include "schedule/scheduler_internal.h"

static uint32
hash_object(const void *key, Size size)
{
	return (uint32) ((const KgwObjectKey *) key)->hash;
}

static int
compare_objects(const void *a, const void *b, Size size)
{
	const KgwObjectKey *x = a;
	const KgwObjectKey *y = b;

	return x->hash == y->hash && x->destination == y->destination &&
		x->subscription_id == y->subscription_id && x->name_len == y->name_len &&
		memcmp(x->name, y->name, x->name_len) == 0 ? 0 : 1;
}

/* An empty table of objects. */
HTAB *
kgw_objects_new(MemoryContext context)
{
	HASHCTL		ctl = {0};

	ctl.keysize = sizeof(KgwObjectKey);
	ctl.entrysize = sizeof(KgwObject);
	ctl.hash = hash_object;
	ctl.match = compare_objects;
	ctl.hcxt = context;
	return hash_create("kgwebhook objects", 1024, &ctl,
					   HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
}

/* Append a text and its NUL. */
static char *
append_name(char *end, const char *text, Size len)
{
	memcpy(end, text, len + 1);
	return end + len + 1;
}

static uint64
hash_name(const KgwObjectKey *key)
{
	const char *destination = key->destination->name;
	uint64		seed = hash_bytes_extended((const unsigned char *) destination,
										   strlen(destination), key->subscription_id);

	return hash_bytes_extended((const unsigned char *) key->name, key->name_len, seed);
}

/* The object of a key, made if it isn't there; a name that isn't needed is freed. */
static KgwObject *
enter_object(KgwScheduler *s, KgwObjectKey *key, bool *found)
{
	KgwObject  *object;

	key->hash = hash_name(key);
	object = hash_search(s->objects, key, HASH_ENTER, found);
	if (*found)
	{
		pfree(unconstify(char *, key->name));
		return object;
	}
	object->head = object->tail = NULL;
	object->own = NULL;
	dlist_init(&object->subscribed);
	return object;
}

/* The chain of the object's own URLs beside that of a subscription. */
static void
link_to_own(KgwScheduler *s, KgwObject *object)
{
	KgwObjectKey key = object->key;
	bool		found;

	key.subscription_id = 0;
	key.name = memcpy(MemoryContextAlloc(GetMemoryChunkContext(s), key.name_len),
					  object->key.name, key.name_len);
	object->own = enter_object(s, &key, &found);
	dlist_push_tail(&object->own->subscribed, &object->node);
}

/*
 * The object of a row of this destination, made if it isn't there; it has no head
 * then.
 */
KgwObject *
kgw_objects_find(KgwScheduler *s, KgwDestination *destination, const KgwDelivery *row)
{
	Size		org_len = strlen(row->org_id);
	Size		kind_len = strlen(row->kind);
	Size		id_len = strlen(row->object_id);
	Size		len = org_len + kind_len + id_len + 3;
	char	   *name = MemoryContextAlloc(GetMemoryChunkContext(s), len);
	KgwObjectKey key;
	KgwObject  *object;
	bool		found;

	append_name(append_name(append_name(name, row->org_id, org_len), row->kind, kind_len),
				row->object_id, id_len);
	memset(&key, 0, sizeof(key));
	key.destination = destination;
	key.subscription_id = row->subscription_id;
	key.name_len = len;
	key.name = name;
	object = enter_object(s, &key, &found);
	if (!found && row->subscription_id != 0)
		link_to_own(s, object);
	return object;
}

static void
remove_object(KgwScheduler *s, KgwObject *object)
{
	char	   *name = unconstify(char *, object->key.name);

	hash_search(s->objects, &object->key, HASH_REMOVE, NULL);
	pfree(name);
}

/*
 * Forget an object that has no transitions any more.  That of its own URLs stays while
 * there are subscriptions' beside it.
 */
void
kgw_objects_forget(KgwScheduler *s, KgwObject *object)
{
	KgwObject  *own = object->own;

	object->head = object->tail = NULL;
	if (own != NULL)
		dlist_delete(&object->node);
	if (dlist_is_empty(&object->subscribed))
		remove_object(s, object);
	if (own != NULL && own->head == NULL && dlist_is_empty(&own->subscribed))
		remove_object(s, own);
}
