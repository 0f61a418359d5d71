/*-------------------------------------------------------------------------
 *
 * sort.c
 *	  The order of members in canonical JSON (RFC 8785 section 3.2.3).
 *
 * Names are compared as sequences of UTF-16 code units, unescaped.  UTF-8 has
 * that same order except for one thing: characters beyond the basic plane are
 * surrogates (0xD800 to 0xDFFF) in UTF-16 and so come before U+E000 to
 * U+FFFF, while their UTF-8 comes after.  Names without an escape and without
 * a character from U+E000 on, nearly all of them, are therefore compared by
 * memcmp(); others byte by byte with the lead bytes reordered.
 *
 * Two equal names in one object are found here too: once in order, they are
 * neighbors.
 *
 * The final pass recurses once per level of nesting, and the parser has let
 * in no more than KGW_CANONICAL_MAX_DEPTH of them.
 *
 * src/pure/jcs/sort.c
 *
 *-------------------------------------------------------------------------
 */
#include "pure/jcs/error.h"
#include "pure/jcs/sort.h"
#include "pure/jcs/string.h"

#include <stdlib.h>

/* Up to so many members are sorted by insertion; most objects have fewer. */
#define FEW 24

/* The next byte of a name, in the order of UTF-16; -1 at its end. */
static int
next_rank(const char **p, const char *end)
{
	unsigned char byte;

	if (*p == end)
		return -1;
	byte = kgw_jcs_string_next_byte(p);
	/* The lead bytes of U+E000 to U+FFFF go beyond all others. */
	return byte == 0xee || byte == 0xef ? byte + 0x10 : byte;
}

static int
compare_ranks(const KgwJcsMember *a, const KgwJcsMember *b)
{
	const char *p = a->key;
	const char *q = b->key;
	int			x;
	int			y;

	do
	{
		x = next_rank(&p, a->key + a->key_len);
		y = next_rank(&q, b->key + b->key_len);
	} while (x == y && x >= 0);
	return x - y;
}

static int
compare_jcs_members(const void *left, const void *right)
{
	const KgwJcsMember *a = left;
	const KgwJcsMember *b = right;
	uint32_t	len = a->key_len < b->key_len ? a->key_len : b->key_len;
	int			order;

	if (!a->plain || !b->plain)
		return compare_ranks(a, b);
	order = memcmp(a->key, b->key, len);
	if (order != 0)
		return order;
	return (a->key_len > b->key_len) - (a->key_len < b->key_len);
}

static void
sort_members(KgwJcsMember *m, uint32_t n)
{
	uint32_t	i;
	uint32_t	j;

	if (n > FEW)
	{
		qsort(m, n, sizeof(KgwJcsMember), compare_jcs_members);
		return;
	}
	for (i = 1; i < n; i++)
	{
		KgwJcsMember	member = m[i];

		for (j = i; j > 0 && compare_jcs_members(&m[j - 1], &member) > 0; j--)
			m[j] = m[j - 1];
		m[j] = member;
	}
}

/* The first member that does not come after its predecessor, or n. */
static uint32_t
first_disorder(const KgwJcsMember *m, uint32_t n)
{
	uint32_t	i;

	for (i = 1; i < n; i++)
	{
		if (compare_jcs_members(&m[i - 1], &m[i]) >= 0)
			return i;
	}
	return n;
}

/* Writes down that the innermost object changes, with these members. */
static bool
keep(KgwJcs *c, const KgwJcsMember *m, uint32_t n)
{
	KgwFrame   *f = &c->frames[c->depth - 1];
	KgwJcsReorder   *moved;

	if (!kgw_jcs_workspace_reserve(&c->kept, (c->nkept + n) * sizeof(KgwJcsMember)) ||
		!kgw_jcs_workspace_reserve(&c->moved, (c->nmoved + 1) * sizeof(KgwJcsReorder)))
		return false;
	memcpy((KgwJcsMember *) c->kept.data + c->nkept, m, n * sizeof(KgwJcsMember));
	moved = (KgwJcsReorder *) c->moved.data + c->nmoved++;
	moved->start = f->start;
	moved->end = c->used;
	moved->first = c->nkept;
	moved->count = n;
	moved->before = f->moved;
	c->nkept += n;
	return true;
}

KgwJcsStatus
kgw_jcs_sort(KgwJcs *c)
{
	uint32_t	base = c->frames[c->depth - 1].base;
	uint32_t	n = c->nopen - base;
	KgwJcsMember  *m;
	uint32_t	i;

	if (n < 2)
		return KGW_CANONICAL_OK;
	m = (KgwJcsMember *) c->open.data + base;
	if (first_disorder(m, n) == n)
		return KGW_CANONICAL_OK;
	sort_members(m, n);
	i = first_disorder(m, n);
	if (i < n)
		return kgw_jcs_error_duplicate(c, &m[i]);
	if (!keep(c, m, n))
		return kgw_jcs_error_fail(c, KGW_CANONICAL_NO_MEMORY);
	return KGW_CANONICAL_OK;
}

/* Writes draft[start..end) before "to"; returns where it begins. */
static char *
copy_before(const KgwJcs *c, uint32_t start, uint32_t end, char *to)
{
	to -= end - start;
	memcpy(to, (const char *) c->draft.data + start, end - start);
	return to;
}

/*
 * The same with everything inside in order.  n is the number of moved objects
 * that end before "end"; those inside are the last of them.
 */
static char *
emit(const KgwJcs *c, uint32_t start, uint32_t end, uint32_t n, char *to)
{
	const KgwJcsReorder *moved = c->moved.data;

	while (n > 0 && moved[n - 1].start >= start)
	{
		const KgwJcsReorder *o = &moved[n - 1];
		const KgwJcsMember *m = (KgwJcsMember *) c->kept.data + o->first;
		uint32_t	i;

		to = copy_before(c, o->end, end, to);
		for (i = o->count; i-- > 0;)
		{
			to = emit(c, (uint32_t) (m[i].key - 1 - (char *) c->draft.data),
					  m[i].end, m[i].moved, to);
			if (i > 0)
				*--to = ',';
		}
		end = o->start;
		n = o->before;
	}
	return copy_before(c, start, end, to);
}

void
kgw_jcs_sort_emit(const KgwJcs *c, char *end)
{
	emit(c, 0, c->used, c->nmoved, end);
}
