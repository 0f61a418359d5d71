/*-------------------------------------------------------------------------
 *
 * workspace.c
 *	  The canonicalizer's memory.
 *
 * Every delivery goes through here, at each attempt.  So the buffers are
 * kept from run to run and a document of common size costs no allocation.  A
 * document of a megabyte should not cost memory for ever, though: what grew
 * beyond 64 kB is given back when the next run begins.
 *
 * src/pure/jcs/workspace.c
 *
 *-------------------------------------------------------------------------
 */
#include "pure/jcs/workspace.h"

#include <stdlib.h>

/* The worst that input can ask for: a KgwJcsMember of 24 bytes for {"":0,... */
#define MAX_BUFFER_BYTES (8 * (size_t) KGW_CANONICAL_MAX_BYTES)

#define FIRST_BUFFER_BYTES 1024

bool
kgw_jcs_workspace_reserve(KgwBuffer *b, size_t bytes)
{
	size_t		capacity = b->capacity ? b->capacity : FIRST_BUFFER_BYTES;
	void	   *data;

	if (bytes <= b->capacity)
		return true;
	if (bytes > MAX_BUFFER_BYTES)
		return false;
	while (capacity < bytes)
		capacity *= 2;
	data = realloc(b->data, capacity);
	if (data == NULL)
		return false;
	b->data = data;
	b->capacity = capacity;
	return true;
}

static void
release(KgwBuffer *b, size_t keep)
{
	if (b->capacity <= keep)
		return;
	free(b->data);
	b->data = NULL;
	b->capacity = 0;
}

static void
release_all(KgwJcs *c, size_t keep)
{
	release(&c->draft, keep);
	release(&c->open, keep);
	release(&c->kept, keep);
	release(&c->moved, keep);
	release(&c->ordered, keep);
	release(&c->signature, keep);
}

KgwJcs *
kgw_jcs_workspace_new(void)
{
	return calloc(1, sizeof(KgwJcs));
}

void
kgw_jcs_workspace_free(KgwJcs *c)
{
	if (c == NULL)
		return;
	release_all(c, 0);
	free(c);
}

void
kgw_jcs_workspace_begin(KgwJcs *c, const char *json, size_t len,
						const KgwMembers *members)
{
	release_all(c, KGW_CANONICAL_KEEP_BYTES);
	c->json = c->p = len > 0 ? json : "";
	c->end = c->json + len;
	c->members = members;
	c->stamped = false;
	c->used = 0;
	c->depth = 0;
	c->nopen = 0;
	c->nkept = 0;
	c->nmoved = 0;
	c->status = KGW_CANONICAL_OK;
	c->text = NULL;
	c->sealable = false;
	c->signature_len = 0;
	c->has_signature = KGW_ABSENT;
	c->has_timestamp = false;
	c->problem[0] = '\0';
}
