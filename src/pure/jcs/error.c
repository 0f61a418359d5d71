/*-------------------------------------------------------------------------
 *
 * error.c
 *	  Sentences about what keeps a document from becoming canonical.
 *
 * They end up in delivery_log.error and in error messages, and are read by
 * the person who has to repair the document.  So they say where: malformed text by
 * the byte (there is no telling what the author meant its structure to be),
 * everything else by a JSON pointer (RFC 6901), which also serves someone
 * who sees the jsonb and not the text.
 *
 * What is quoted is untrusted.  It is capped, it is cut between
 * characters, and it is quoted from the draft, where C0 controls are escaped
 * and the UTF-8 is known to be valid; the other control characters are
 * escaped here.
 *
 * src/pure/jcs/error.c
 *
 *-------------------------------------------------------------------------
 */
#include "pure/jcs/error.h"

#include <stdio.h>

/* Longest piece that is appended as a whole: an escape or a character. */
#define PIECE_BYTES 8

typedef struct KgwJcsPath
{
	char		text[KGW_CANONICAL_PATH_BYTES + sizeof("...")];
	size_t		len;
	bool		cut;
} KgwJcsPath;

/* Appends a piece as a whole; from the first that doesn't fit on, none. */
static void
add_piece(KgwJcsPath *path, const char *piece, size_t len)
{
	if (path->cut)
		return;
	if (path->len + len > KGW_CANONICAL_PATH_BYTES)
	{
		path->cut = true;
		piece = "...";
		len = 3;
	}
	memcpy(path->text + path->len, piece, len);
	path->len += len;
	path->text[path->len] = '\0';
}

/* Bytes of the UTF-8 sequence that begins with this one. */
static size_t
sequence_bytes(unsigned char lead)
{
	return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/* Appends one character of a name; returns how many bytes it took. */
static size_t
add_character(KgwJcsPath *path, const char *p)
{
	unsigned char lead = p[0];
	unsigned char second = p[1];
	char		piece[PIECE_BYTES];
	size_t		len = sequence_bytes(lead);

	if (lead == '~' || lead == '/')
		add_piece(path, lead == '~' ? "~0" : "~1", 2);
	else if (lead == 0x7f)
		add_piece(path, "\\u007f", 6);
	else if (lead == 0xc2 && second < 0xa0)
	{
		snprintf(piece, sizeof(piece), "\\u%04x", second);
		add_piece(path, piece, 6);
	}
	else
		add_piece(path, p, len);
	return len;
}

static void
add_name(KgwJcsPath *path, const KgwJcsMember *m)
{
	size_t		i = 0;

	add_piece(path, "/", 1);
	while (i < m->key_len && !path->cut)
		i += add_character(path, m->key + i);
}

static void
add_index(KgwJcsPath *path, uint32_t index)
{
	char		text[16];

	add_piece(path, text, snprintf(text, sizeof(text), "/%u", index));
}

/* Where the first "depth" frames are: inside which member or element each. */
static void
locate(const KgwJcs *c, int depth, KgwJcsPath *path)
{
	int			i;

	path->len = 0;
	path->cut = false;
	path->text[0] = '\0';
	for (i = 0; i < depth && !path->cut; i++)
	{
		const KgwFrame *f = &c->frames[i];
		uint32_t	members = i + 1 < c->depth ? f[1].base : c->nopen;

		if (!f->object)
			add_index(path, f->index);
		else if (members > f->base)
			add_name(path, (KgwJcsMember *) c->open.data + members - 1);
	}
}

/* What " at %s" says of a path. */
static const char *
path_text(const KgwJcsPath *path)
{
	return path->len > 0 ? path->text : "the top level";
}

/* The byte that is read next, counted from 1. */
static unsigned long
byte_number(const KgwJcs *c)
{
	return (unsigned long) (c->p - c->json) + 1;
}

KgwJcsStatus
kgw_jcs_error_malformed(KgwJcs *c, const char *what)
{
	snprintf(c->problem, sizeof(c->problem), "malformed JSON: %s at byte %lu",
			 what, byte_number(c));
	return KGW_CANONICAL_MALFORMED;
}

KgwJcsStatus
kgw_jcs_error_bad_unicode(KgwJcs *c, const char *what)
{
	snprintf(c->problem, sizeof(c->problem), "%s at byte %lu",
			 what, byte_number(c));
	return KGW_CANONICAL_BAD_UNICODE;
}

KgwJcsStatus
kgw_jcs_error_inexact(KgwJcs *c, const char *number, size_t len)
{
	bool		cut = len > KGW_CANONICAL_QUOTE_BYTES;
	KgwJcsPath		path;

	locate(c, c->depth, &path);
	snprintf(c->problem, sizeof(c->problem),
			 "number %.*s%s at %s cannot be held exactly by a double",
			 cut ? KGW_CANONICAL_QUOTE_BYTES : (int) len, number,
			 cut ? "..." : "", path_text(&path));
	return KGW_CANONICAL_INEXACT_NUMBER;
}

KgwJcsStatus
kgw_jcs_error_duplicate(KgwJcs *c, const KgwJcsMember *member)
{
	KgwJcsPath		path;

	locate(c, c->depth - 1, &path);
	add_name(&path, member);
	snprintf(c->problem, sizeof(c->problem), "member %s is there twice",
			 path.text);
	return KGW_CANONICAL_DUPLICATE;
}

KgwJcsStatus
kgw_jcs_error_fail(KgwJcs *c, KgwJcsStatus status)
{
	if (status == KGW_CANONICAL_NOT_OBJECT)
		snprintf(c->problem, sizeof(c->problem),
				 "the top level is not an object");
	else if (status == KGW_CANONICAL_TOO_DEEP)
		snprintf(c->problem, sizeof(c->problem),
				 "more than %d arrays and objects inside each other",
				 KGW_CANONICAL_MAX_DEPTH);
	else if (status == KGW_CANONICAL_TOO_LARGE)
		snprintf(c->problem, sizeof(c->problem),
				 "longer than %d bytes", KGW_CANONICAL_MAX_BYTES);
	else
		snprintf(c->problem, sizeof(c->problem), "out of memory");
	return status;
}
