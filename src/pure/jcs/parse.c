/*-------------------------------------------------------------------------
 *
 * parse.c
 *	  Reads JSON (RFC 8259, to the letter) into canonical tokens.
 *
 * The parser keeps its own stack, of KGW_CANONICAL_MAX_DEPTH frames, so a
 * document can't overflow the process's.  It alternates between two states:
 * before a value (read_value) and after one (after_value).
 *
 * src/pure/jcs/parse.c
 *
 *-------------------------------------------------------------------------
 */
#include "pure/jcs/draft.h"
#include "pure/jcs/error.h"
#include "pure/jcs/members.h"
#include "pure/jcs/parse.h"
#include "pure/jcs/sort.h"
#include "pure/jcs/string.h"

static inline void
skip_space(KgwJcs *c)
{
	while (c->p < c->end && (*c->p == ' ' || *c->p == '\n' ||
							 *c->p == '\r' || *c->p == '\t'))
		c->p++;
}

/* Takes the character if it comes next, after white space. */
static inline bool
take_char(KgwJcs *c, char ch)
{
	skip_space(c);
	if (c->p == c->end || *c->p != ch)
		return false;
	c->p++;
	return true;
}

static inline bool
take_digits(KgwJcs *c)
{
	const char *start = c->p;

	while (c->p < c->end && *c->p >= '0' && *c->p <= '9')
		c->p++;
	return c->p > start;
}

static KgwJcsStatus
parse_number(KgwJcs *c)
{
	const char *start = c->p;
	char		text[KGW_NUMBER_SIZE];
	bool		valid = true;
	int			len;

	if (*c->p == '-')
		c->p++;
	if (c->p < c->end && *c->p == '0')
		c->p++;
	else
		valid = take_digits(c);
	if (valid && c->p < c->end && *c->p == '.')
	{
		c->p++;
		valid = take_digits(c);
	}
	if (valid && c->p < c->end && (*c->p == 'e' || *c->p == 'E'))
	{
		c->p++;
		if (c->p < c->end && (*c->p == '+' || *c->p == '-'))
			c->p++;
		valid = take_digits(c);
	}
	if (!valid)
		return kgw_jcs_error_malformed(c, "bad number");
	len = kgw_jcs_number_canonical(start, c->p - start, text);
	if (len < 0)
		return kgw_jcs_error_inexact(c, start, c->p - start);
	return kgw_jcs_draft_put(c, text, len);
}

static KgwJcsStatus
read_word(KgwJcs *c, const char *word, size_t len)
{
	if ((size_t) (c->end - c->p) < len || memcmp(c->p, word, len) != 0)
		return kgw_jcs_error_malformed(c, "no value");
	c->p += len;
	return kgw_jcs_draft_put(c, word, len);
}

static KgwJcsStatus
read_scalar(KgwJcs *c)
{
	bool		plain;

	switch (*c->p)
	{
		case '"':
			return kgw_jcs_string(c, &plain);
		case 't':
			return read_word(c, "true", 4);
		case 'f':
			return read_word(c, "false", 5);
		case 'n':
			return read_word(c, "null", 4);
		default:
			if (*c->p == '-' || (*c->p >= '0' && *c->p <= '9'))
				return parse_number(c);
			return kgw_jcs_error_malformed(c, "no value");
	}
}

/* Reads the name of the next member, and its colon. */
static KgwJcsStatus
read_name(KgwJcs *c)
{
	KgwFrame   *f = &c->frames[c->depth - 1];
	KgwJcsStatus status = KGW_CANONICAL_OK;
	KgwJcsMember  *m;
	uint32_t	start;

	f->member_start = c->used;
	if (c->nopen > f->base)
		status = kgw_jcs_draft_put(c, ",", 1);
	if (status != KGW_CANONICAL_OK)
		return status;
	skip_space(c);
	if (c->p == c->end || *c->p != '"')
		return kgw_jcs_error_malformed(c, "no member name");
	if (!kgw_jcs_workspace_reserve(&c->open, (c->nopen + 1) * sizeof(KgwJcsMember)))
		return kgw_jcs_error_fail(c, KGW_CANONICAL_NO_MEMORY);

	m = (KgwJcsMember *) c->open.data + c->nopen;
	start = c->used;
	status = kgw_jcs_string(c, &m->plain);
	if (status != KGW_CANONICAL_OK)
		return status;
	m->key = (char *) c->draft.data + start + 1;
	m->key_len = c->used - start - 2;
	m->moved = c->nmoved;
	c->nopen++;
	if (!take_char(c, ':'))
		return kgw_jcs_error_malformed(c, "no colon after a member name");
	return kgw_jcs_draft_put(c, ":", 1);
}

/* Takes an opening bracket. */
static KgwJcsStatus
open_frame(KgwJcs *c)
{
	KgwFrame   *f;
	KgwJcsStatus status;

	if (c->depth == KGW_CANONICAL_MAX_DEPTH)
		return kgw_jcs_error_fail(c, KGW_CANONICAL_TOO_DEEP);
	status = kgw_jcs_draft_put(c, c->p, 1);
	f = &c->frames[c->depth++];
	f->object = *c->p++ == '{';
	f->start = c->used;
	f->moved = c->nmoved;
	f->base = c->nopen;
	f->index = 0;
	return status;
}

/* Takes the closing bracket of the innermost frame. */
static KgwJcsStatus
close_frame(KgwJcs *c)
{
	bool		object = c->frames[c->depth - 1].object;
	KgwJcsStatus status = KGW_CANONICAL_OK;

	if (object && c->depth == 1)
		status = kgw_jcs_members_end_top(c);
	if (object && status == KGW_CANONICAL_OK)
		status = kgw_jcs_sort(c);
	if (status != KGW_CANONICAL_OK)
		return status;
	c->nopen = c->frames[c->depth - 1].base;
	c->depth--;
	return kgw_jcs_draft_put(c, object ? "}" : "]", 1);
}

/*
 * Reads a value, or the beginning of one: after an opening bracket *complete
 * is false, and what comes next is a value again.
 */
static KgwJcsStatus
read_value(KgwJcs *c, bool *complete)
{
	KgwJcsStatus status;
	bool		object;

	skip_space(c);
	if (c->p == c->end)
		return kgw_jcs_error_malformed(c, "no value");
	if (c->depth > 0)
		c->frames[c->depth - 1].value = c->p;
	*complete = true;
	if (*c->p != '{' && *c->p != '[')
		return read_scalar(c);

	object = *c->p == '{';
	status = open_frame(c);
	if (status != KGW_CANONICAL_OK)
		return status;
	if (take_char(c, object ? '}' : ']'))
		return close_frame(c);
	*complete = false;
	return object ? read_name(c) : KGW_CANONICAL_OK;
}

/*
 * Goes on after a value inside an array or object: *complete is true when
 * that has ended, so that it is a complete value in turn.
 */
static KgwJcsStatus
after_value(KgwJcs *c, bool *complete)
{
	KgwFrame   *f = &c->frames[c->depth - 1];
	KgwJcsStatus status = KGW_CANONICAL_OK;

	if (f->object)
		status = kgw_jcs_members_end_member(c);
	if (status != KGW_CANONICAL_OK)
		return status;
	*complete = take_char(c, f->object ? '}' : ']');
	if (*complete)
		return close_frame(c);
	if (!take_char(c, ','))
		return kgw_jcs_error_malformed(c, f->object ?
									   "no comma or } after a member" :
									   "no comma or ] after an element");
	if (f->object)
		return read_name(c);
	f->index++;
	return kgw_jcs_draft_put(c, ",", 1);
}

KgwJcsStatus
kgw_jcs_parse(KgwJcs *c)
{
	KgwJcsStatus status = KGW_CANONICAL_OK;
	bool		complete = false;

	while (status == KGW_CANONICAL_OK && !(complete && c->depth == 0))
		status = complete ? after_value(c, &complete) :
			read_value(c, &complete);
	if (status != KGW_CANONICAL_OK)
		return status;
	skip_space(c);
	if (c->p < c->end)
		return kgw_jcs_error_malformed(c, "something after the value");
	return KGW_CANONICAL_OK;
}
