/*-------------------------------------------------------------------------
 *
 * members.c
 *	  The members of the top level that signing adds, replaces or leaves out.
 *
 * The changes are made while the document is read, when such a member is
 * complete: its tokens are taken back from the draft and, for "timestamp" and
 * "challenge", replaced.  Its value is read and judged like any other first, for what is
 * no JSON doesn't become JSON by leaving a part out.  Names are compared as
 * canonical tokens, so that no spelling by escapes gets around this.
 *
 * src/pure/jcs/members.c
 *
 *-------------------------------------------------------------------------
 */
#include "pure/jcs/draft.h"
#include "pure/jcs/error.h"
#include "pure/jcs/members.h"
#include "pure/jcs/string.h"

static const char timestamp_name[] = "timestamp";
static const char signature_name[] = "signature";
static const char challenge_name[] = "challenge";

#define NAME_BYTES (sizeof(timestamp_name) - 1) /* of each */

/* Reads a literal as an integer, if it is one that fits. */
static bool
read_integer(const char *p, const char *end, int64_t *value)
{
	bool		negative = p < end && *p == '-';
	int64_t		v = 0;

	p += negative;
	if (p == end || (negative && *p == '0'))
		return false;
	for (; p < end; p++)
	{
		int			digit = *p - '0';

		if (digit < 0 || digit > 9 || v < (INT64_MIN + digit) / 10)
			return false;
		v = v * 10 - digit;
	}
	if (!negative && v == INT64_MIN)
		return false;
	*value = negative ? v : -v;
	return true;
}

/* Remembers the value of "signature", which is draft[start..used). */
static KgwJcsStatus
note_signature(KgwJcs *c, uint32_t start)
{
	const char *p = (char *) c->draft.data + start;
	const char *end = (char *) c->draft.data + c->used - 1;
	char	   *out;

	c->has_signature = KGW_NOT_STRING;
	if (*p++ != '"')
		return KGW_CANONICAL_OK;
	if (!kgw_jcs_workspace_reserve(&c->signature, end - p + 1))
		return kgw_jcs_error_fail(c, KGW_CANONICAL_NO_MEMORY);
	out = c->signature.data;
	while (p < end)
		*out++ = (char) kgw_jcs_string_next_byte(&p);
	c->signature_len = out - (char *) c->signature.data;
	c->has_signature = KGW_STRING;
	return KGW_CANONICAL_OK;
}

/* Sees to "signature" of the top level; may take the member back. */
static KgwJcsStatus
end_signature(KgwJcs *c, KgwJcsMember *m, uint32_t value)
{
	bool		drop = c->members != NULL && c->members->drop_signature;
	KgwJcsStatus status;

	if (drop && c->has_signature != KGW_ABSENT)
		return kgw_jcs_error_duplicate(c, m);
	status = note_signature(c, value);
	if (drop)
	{
		c->used = c->frames[0].member_start;
		c->nmoved = m->moved;
		c->nopen--;
	}
	return status;
}

/* Sees to "timestamp" of the top level; may replace the value. */
static KgwJcsStatus
end_timestamp(KgwJcs *c, KgwJcsMember *m, uint32_t value)
{
	c->has_timestamp = read_integer(c->frames[0].value, c->p, &c->timestamp);
	if (c->members == NULL || !c->members->stamp)
		return KGW_CANONICAL_OK;
	c->used = value;
	c->nmoved = m->moved;
	c->stamped = true;
	return kgw_jcs_draft_put(c, c->stamp, c->stamp_len);
}

/* Sees to "challenge" of the top level; may replace the value. */
static KgwJcsStatus
end_challenge(KgwJcs *c, KgwJcsMember *m, uint32_t value)
{
	KgwJcsStatus status;

	if (c->members == NULL || c->members->challenge == NULL)
		return KGW_CANONICAL_OK;
	c->used = value;
	c->nmoved = m->moved;
	status = kgw_jcs_draft_put(c, "\"", 1);
	if (status == KGW_CANONICAL_OK)
		status = kgw_jcs_draft_put(c, c->members->challenge, strlen(c->members->challenge));
	if (status == KGW_CANONICAL_OK)
		status = kgw_jcs_draft_put(c, "\"", 1);
	return status;
}

KgwJcsStatus
kgw_jcs_members_end_member(KgwJcs *c)
{
	KgwJcsMember  *m = (KgwJcsMember *) c->open.data + c->nopen - 1;
	KgwJcsStatus status = KGW_CANONICAL_OK;
	uint32_t	value;

	if (c->depth == 1 && m->key_len == NAME_BYTES)
	{
		value = (uint32_t) (m->key + NAME_BYTES + 2 - (char *) c->draft.data);
		if (memcmp(m->key, timestamp_name, NAME_BYTES) == 0)
			status = end_timestamp(c, m, value);
		else if (memcmp(m->key, signature_name, NAME_BYTES) == 0)
			status = end_signature(c, m, value);
		else if (memcmp(m->key, challenge_name, NAME_BYTES) == 0)
			status = end_challenge(c, m, value);
	}
	m->end = c->used;
	m->moved = c->nmoved;
	return status;
}

KgwJcsStatus
kgw_jcs_members_end_top(KgwJcs *c)
{
	static const char quoted[] = "\"timestamp\":";
	KgwJcsStatus status = KGW_CANONICAL_OK;
	KgwJcsMember  *m;

	if (c->members == NULL || !c->members->stamp || c->stamped)
		return KGW_CANONICAL_OK;
	if (!kgw_jcs_workspace_reserve(&c->open, (c->nopen + 1) * sizeof(KgwJcsMember)))
		return kgw_jcs_error_fail(c, KGW_CANONICAL_NO_MEMORY);
	if (c->nopen > 0)
		status = kgw_jcs_draft_put(c, ",", 1);
	m = (KgwJcsMember *) c->open.data + c->nopen++;
	m->key = (char *) c->draft.data + c->used + 1;
	m->key_len = NAME_BYTES;
	m->plain = true;
	if (status == KGW_CANONICAL_OK)
		status = kgw_jcs_draft_put(c, quoted, sizeof(quoted) - 1);
	if (status == KGW_CANONICAL_OK)
		status = kgw_jcs_draft_put(c, c->stamp, c->stamp_len);
	m->end = c->used;
	m->moved = c->nmoved;
	return status;
}
