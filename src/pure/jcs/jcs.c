/*-------------------------------------------------------------------------
 *
 * jcs.c
 *	  Canonical JSON (RFC 8785): what a caller sees of it.
 *
 * A signature is over bytes, but receivers parse the body and hold values.
 * Both sides get the same bytes again by writing the values in the one form
 * that RFC 8785 allows.  Hence the rule of this canonicalizer: a document
 * that some receiver's parser could read as another value (a name given
 * twice, a number no double holds, broken Unicode) is refused, not repaired.
 *
 * How it is done is explained in workspace.h.
 *
 * src/pure/jcs/jcs.c
 *
 *-------------------------------------------------------------------------
 */
#include "pure/jcs/error.h"
#include "pure/jcs/jcs.h"
#include "pure/jcs/parse.h"
#include "pure/jcs/sort.h"
#include "pure/jcs/workspace.h"

#include <inttypes.h>
#include <stdio.h>

/* Only numbers grow: at worst 1e20 and its comma from 5 bytes to 22 ... */
#define WORST_GROWTH 5

/* ... or without a comma to 21, and a "timestamp" may be added, and a "challenge" put in. */
#define EXTRA_BYTES 160

KgwJcs *
kgw_jcs_new(void)
{
	return kgw_jcs_workspace_new();
}

void
kgw_jcs_free(KgwJcs *c)
{
	kgw_jcs_workspace_free(c);
}

/* Reserves the draft once, so that it never moves while it is written. */
static KgwJcsStatus
reserve_draft(KgwJcs *c, size_t len)
{
	size_t		limit = len * WORST_GROWTH + EXTRA_BYTES;

	if (limit > KGW_CANONICAL_MAX_BYTES)
		limit = KGW_CANONICAL_MAX_BYTES;
	c->limit = (uint32_t) limit;
	if (!kgw_jcs_workspace_reserve(&c->draft, limit + KGW_CANONICAL_SEAL_BYTES))
		return kgw_jcs_error_fail(c, KGW_CANONICAL_NO_MEMORY);
	return KGW_CANONICAL_OK;
}

/*
 * The time to stamp, as it will be written: a number like any other.  Thousands of documents have
 * the same second.
 */
static KgwJcsStatus
prepare_stamp(KgwJcs *c)
{
	char		text[KGW_NUMBER_SIZE];
	int			len;

	if (c->stamp_len > 0 && c->stamp_of == c->members->timestamp)
		return KGW_CANONICAL_OK;
	len = snprintf(text, sizeof(text), "%" PRId64, c->members->timestamp);
	c->stamp_len = kgw_jcs_number_canonical(text, len, c->stamp);
	c->stamp_of = c->members->timestamp;
	if (c->stamp_len < 0)
		return kgw_jcs_error_inexact(c, text, len);
	return KGW_CANONICAL_OK;
}

/* Makes the text of the draft. */
static KgwJcsStatus
finish_document(KgwJcs *c)
{
	c->text = c->draft.data;
	if (c->nmoved > 0)
	{
		if (!kgw_jcs_workspace_reserve(&c->ordered,
								c->used + KGW_CANONICAL_SEAL_BYTES))
			return kgw_jcs_error_fail(c, KGW_CANONICAL_NO_MEMORY);
		c->text = c->ordered.data;
		kgw_jcs_sort_emit(c, c->text + c->used);
	}
	c->text[c->used] = '\0';
	c->sealable = c->text[0] == '{' &&
		(c->has_signature == KGW_ABSENT ||
		 (c->members != NULL && c->members->drop_signature));
	return KGW_CANONICAL_OK;
}

static KgwJcsStatus
run_stages(KgwJcs *c, size_t len)
{
	KgwJcsStatus status;

	if (len > KGW_CANONICAL_MAX_BYTES)
		return kgw_jcs_error_fail(c, KGW_CANONICAL_TOO_LARGE);
	status = reserve_draft(c, len);
	if (status == KGW_CANONICAL_OK && c->members != NULL && c->members->stamp)
		status = prepare_stamp(c);
	if (status == KGW_CANONICAL_OK)
		status = kgw_jcs_parse(c);
	if (status == KGW_CANONICAL_OK && c->members != NULL &&
		*(char *) c->draft.data != '{')
		status = kgw_jcs_error_fail(c, KGW_CANONICAL_NOT_OBJECT);
	if (status == KGW_CANONICAL_OK)
		status = finish_document(c);
	return status;
}

/* Copies the text, with the stamp in it. */
static KgwJcsStatus
copy_stamped(KgwJcs *c, size_t len, size_t at)
{
	static const char name[] = "\"timestamp\":";
	bool		first = at == 1;
	bool		alone = len == 2;
	const char *text = c->json;
	size_t		whole = len + sizeof(name) - 1 + !alone;
	KgwJcsStatus status;
	char	   *p;

	if (len > KGW_CANONICAL_MAX_BYTES)
		return kgw_jcs_error_fail(c, KGW_CANONICAL_TOO_LARGE);
	status = prepare_stamp(c);
	if (status != KGW_CANONICAL_OK)
		return status;
	whole += c->stamp_len;
	if (whole > KGW_CANONICAL_MAX_BYTES)
		return kgw_jcs_error_fail(c, KGW_CANONICAL_TOO_LARGE);
	if (!kgw_jcs_workspace_reserve(&c->draft, whole + KGW_CANONICAL_SEAL_BYTES))
		return kgw_jcs_error_fail(c, KGW_CANONICAL_NO_MEMORY);
	p = c->draft.data;
	memcpy(p, text, at);
	p += at;
	if (!first)
		*p++ = ',';
	memcpy(p, name, sizeof(name) - 1);
	p += sizeof(name) - 1;
	memcpy(p, c->stamp, c->stamp_len);
	p += c->stamp_len;
	if (first && !alone)
		*p++ = ',';
	memcpy(p, text + at, len - at);
	c->used = (uint32_t) whole;
	return finish_document(c);
}

KgwJcsStatus
kgw_jcs_stamp(KgwJcs *c, const char *text, size_t len, size_t at, int64_t timestamp)
{
	KgwMembers	members = {.stamp = true, .timestamp = timestamp, .drop_signature = true};

	kgw_jcs_workspace_begin(c, text, len, &members);
	c->status = copy_stamped(c, len, at);
	c->json = c->p = c->end = NULL;
	c->members = NULL;
	return c->status;
}

KgwJcsStatus
kgw_jcs_run(KgwJcs *c, const char *json, size_t len,
				  const KgwMembers *members)
{
	kgw_jcs_workspace_begin(c, json, len, members);
	c->status = run_stages(c, len);
	/* Neither belongs to us: no pointer to them may stay behind. */
	c->json = c->p = c->end = NULL;
	c->members = NULL;
	return c->status;
}

const char *
kgw_jcs_text(const KgwJcs *c, size_t *len)
{
	*len = c->used;
	return c->text;
}

const char *
kgw_jcs_seal(KgwJcs *c, const char signature_hex[64], size_t *len)
{
	static const char name[] = "\"signature\":\"";
	char	   *p;

	if (c->status != KGW_CANONICAL_OK || !c->sealable)
		return NULL;
	p = c->text + c->used - 1;
	if (c->used > 2)
		*p++ = ',';
	memcpy(p, name, sizeof(name) - 1);
	p += sizeof(name) - 1;
	memcpy(p, signature_hex, 64);
	memcpy(p + 64, "\"}", 3);
	c->used = (uint32_t) (p + 66 - c->text);
	c->sealable = false;
	*len = c->used;
	return c->text;
}

bool
kgw_jcs_signature(const KgwJcs *c, const char **sig, size_t *len)
{
	*sig = c->has_signature == KGW_STRING ? c->signature.data : NULL;
	*len = c->signature_len;
	return c->has_signature != KGW_ABSENT;
}

bool
kgw_jcs_timestamp(const KgwJcs *c, int64_t *ts)
{
	if (c->has_timestamp)
		*ts = c->timestamp;
	return c->has_timestamp;
}

const char *
kgw_jcs_problem(const KgwJcs *c)
{
	return c->problem;
}

const char *
kgw_jcs_hint(const KgwJcs *c)
{
	return kgw_jcs_status_hint(c->status);
}

const char *
kgw_jcs_status_hint(KgwJcsStatus status)
{
	switch (status)
	{
		case KGW_CANONICAL_INEXACT_NUMBER:
			return "Send it as a string.";
		case KGW_CANONICAL_TOO_DEEP:
			return "Send the deep part as a string.";
		case KGW_CANONICAL_TOO_LARGE:
			return "Keep the document elsewhere and send a reference to it.";
		default:
			return "";
	}
}
