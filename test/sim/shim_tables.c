/*-------------------------------------------------------------------------
 *
 * shim_tables.c
 *	  PostgreSQL's hash tables and pairing heaps, as far as the simulation needs them.
 *
 * A scan goes in the order in which elements came, not by their hash: some keys
 * contain addresses, and a run has to be the same each time.
 *
 * test/sim/shim_tables.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "lib/pairingheap.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

/* An element; what the caller sees follows it. */
typedef struct SimElement
{
	HASHELEMENT head;			/* next in its bucket, and the hash */
	struct SimElement *before;	/* in the order of their coming */
	struct SimElement *after;
} SimElement;

struct HTAB
{
	MemoryContext context;
	Size		keysize;
	Size		entrysize;
	HashValueFunc hash;
	HashCompareFunc match;
	bool		strings;
	long		count;
	uint32		mask;
	HASHELEMENT **buckets;
	SimElement	all;			/* of a ring */
};

#define KEY_OF(element) ((char *) (element) + MAXALIGN(sizeof(SimElement)))
#define ELEMENT_OF(entry) ((SimElement *) ((char *) (entry) - MAXALIGN(sizeof(SimElement))))

HTAB *
hash_create(const char *tabname, long nelem, const HASHCTL *info, int flags)
{
	MemoryContext context = flags & HASH_CONTEXT ? info->hcxt : TopMemoryContext;
	HTAB	   *table = MemoryContextAllocZero(context, sizeof(HTAB));

	table->context = context;
	table->keysize = info->keysize;
	table->entrysize = info->entrysize;
	table->hash = flags & HASH_FUNCTION ? info->hash : NULL;
	table->match = flags & HASH_COMPARE ? info->match : NULL;
	table->strings = (flags & HASH_STRINGS) != 0;
	table->mask = 1023;
	table->buckets = MemoryContextAllocZero(context, (table->mask + 1) * sizeof(HASHELEMENT *));
	table->all.before = table->all.after = &table->all;
	return table;
}

void
hash_destroy(HTAB *table)
{
	while (table->all.after != &table->all)
	{
		SimElement *element = table->all.after;

		table->all.after = element->after;
		pfree(element);
	}
	pfree(table->buckets);
	pfree(table);
}

static uint32
hash_of(const HTAB *table, const void *key)
{
	if (table->hash != NULL)
		return table->hash(key, table->keysize);
	if (table->strings)
		return hash_bytes(key, strlen(key));
	return hash_bytes(key, table->keysize);
}

static bool
is_same(const HTAB *table, const void *a, const void *b)
{
	if (table->match != NULL)
		return table->match(a, b, table->keysize) == 0;
	if (table->strings)
		return strncmp(a, b, table->keysize - 1) == 0;
	return memcmp(a, b, table->keysize) == 0;
}

/* Twice as many buckets. */
static void
grow(HTAB *table)
{
	pfree(table->buckets);
	table->mask = table->mask * 2 + 1;
	table->buckets = MemoryContextAllocZero(table->context,
											(table->mask + 1) * sizeof(HASHELEMENT *));
	for (SimElement *element = table->all.after; element != &table->all; element = element->after)
	{
		HASHELEMENT **bucket = &table->buckets[element->head.hashvalue & table->mask];

		element->head.link = *bucket;
		*bucket = &element->head;
	}
}

static void *
enter(HTAB *table, const void *key, uint32 hash)
{
	HASHELEMENT **bucket;
	SimElement *element = MemoryContextAllocZero(table->context,
												 MAXALIGN(sizeof(SimElement)) + table->entrysize);

	if (table->count++ > (long) table->mask)
		grow(table);
	bucket = &table->buckets[hash & table->mask];
	element->head.hashvalue = hash;
	element->head.link = *bucket;
	*bucket = &element->head;
	element->before = table->all.before;
	element->after = &table->all;
	element->before->after = element->after->before = element;
	if (table->strings)
		strlcpy(KEY_OF(element), key, table->keysize);
	else
		memcpy(KEY_OF(element), key, table->keysize);
	return KEY_OF(element);
}

void *
hash_search(HTAB *table, const void *key, HASHACTION action, bool *found)
{
	uint32		hash = hash_of(table, key);
	HASHELEMENT **at = &table->buckets[hash & table->mask];
	SimElement *element;

	while (*at != NULL && !((*at)->hashvalue == hash && is_same(table, KEY_OF(*at), key)))
		at = &(*at)->link;
	element = (SimElement *) *at;
	if (found != NULL)
		*found = element != NULL;
	if (element == NULL)
		return action == HASH_ENTER ? enter(table, key, hash) : NULL;
	if (action == HASH_REMOVE)
	{
		*at = element->head.link;
		element->before->after = element->after;
		element->after->before = element->before;
		table->count--;
		pfree(element);
	}
	return KEY_OF(element);
}

long
hash_get_num_entries(HTAB *table)
{
	return table->count;
}

void
hash_seq_init(HASH_SEQ_STATUS *status, HTAB *table)
{
	status->hashp = table;
	status->curEntry = &table->all.after->head;
}

/* The element that was returned last may have been removed; no other. */
void *
hash_seq_search(HASH_SEQ_STATUS *status)
{
	SimElement *element = (SimElement *) status->curEntry;

	if (element == &status->hashp->all)
		return NULL;
	status->curEntry = &element->after->head;
	return KEY_OF(element);
}

void
hash_seq_term(HASH_SEQ_STATUS *status)
{
}

/*
 * Pairing heaps
 */

pairingheap *
pairingheap_allocate(pairingheap_comparator compare, void *arg)
{
	pairingheap *heap = palloc(sizeof(pairingheap));

	heap->ph_compare = compare;
	heap->ph_arg = arg;
	heap->ph_root = NULL;
	return heap;
}

/* Of two heaps, the smaller top becomes a child of the other. */
static pairingheap_node *
merge(pairingheap *heap, pairingheap_node *a, pairingheap_node *b)
{
	if (a == NULL || b == NULL)
		return a != NULL ? a : b;
	if (heap->ph_compare(a, b, heap->ph_arg) < 0)
	{
		pairingheap_node *tmp = a;

		a = b;
		b = tmp;
	}
	if (a->first_child != NULL)
		a->first_child->prev_or_parent = b;
	b->prev_or_parent = a;
	b->next_sibling = a->first_child;
	a->first_child = b;
	return a;
}

void
pairingheap_add(pairingheap *heap, pairingheap_node *node)
{
	node->first_child = node->next_sibling = node->prev_or_parent = NULL;
	heap->ph_root = merge(heap, heap->ph_root, node);
	heap->ph_root->prev_or_parent = heap->ph_root->next_sibling = NULL;
}

pairingheap_node *
pairingheap_first(pairingheap *heap)
{
	return heap->ph_root;
}

/* One heap of siblings: in pairs from the left, then all from the right. */
static pairingheap_node *
merge_children(pairingheap *heap, pairingheap_node *children)
{
	pairingheap_node *pairs = NULL;
	pairingheap_node *top = NULL;

	while (children != NULL)
	{
		pairingheap_node *a = children;
		pairingheap_node *b = a->next_sibling;
		pairingheap_node *pair;

		children = b != NULL ? b->next_sibling : NULL;
		a->next_sibling = NULL;
		if (b != NULL)
			b->next_sibling = NULL;
		pair = merge(heap, a, b);
		pair->next_sibling = pairs;
		pairs = pair;
	}
	while (pairs != NULL)
	{
		pairingheap_node *next = pairs->next_sibling;

		pairs->next_sibling = NULL;
		top = merge(heap, top, pairs);
		pairs = next;
	}
	return top;
}

pairingheap_node *
pairingheap_remove_first(pairingheap *heap)
{
	pairingheap_node *first = heap->ph_root;

	heap->ph_root = merge_children(heap, first->first_child);
	if (heap->ph_root != NULL)
		heap->ph_root->prev_or_parent = heap->ph_root->next_sibling = NULL;
	return first;
}

void
pairingheap_remove(pairingheap *heap, pairingheap_node *node)
{
	pairingheap_node *children;

	if (node == heap->ph_root)
	{
		pairingheap_remove_first(heap);
		return;
	}
	if (node->prev_or_parent->first_child == node)
		node->prev_or_parent->first_child = node->next_sibling;
	else
		node->prev_or_parent->next_sibling = node->next_sibling;
	if (node->next_sibling != NULL)
		node->next_sibling->prev_or_parent = node->prev_or_parent;
	children = merge_children(heap, node->first_child);
	node->first_child = node->next_sibling = node->prev_or_parent = NULL;
	if (children != NULL)
	{
		children->next_sibling = children->prev_or_parent = NULL;
		heap->ph_root = merge(heap, heap->ph_root, children);
		heap->ph_root->prev_or_parent = heap->ph_root->next_sibling = NULL;
	}
}
