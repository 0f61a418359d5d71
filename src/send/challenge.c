/*-------------------------------------------------------------------------
 *
 * challenge.c
 *	  What a challenge asks for, and whether an answer returns it.
 *
 * It is drawn for one request, counts for the answer to this one, and is stored nowhere
 * before that: who reads the queue or the log can do nothing with it.
 *
 * Who returns it has read a signed request and wants events.  So the answer's body is
 * the challenge and nothing else, as text or as JSON:
 *
 *	CHALLENGE		"CHALLENGE"		{"challenge":"CHALLENGE"}
 *
 * with white space wherever JSON may have some.  A server that sends back whatever it
 * gets, as debugging tools do, returns the whole request: that is no consent, for it has
 * more members.
 *
 * Nothing is parsed: white space aside there are three texts, and a challenge has only
 * hexadecimal digits, which no serializer escapes.  The comparison takes the same time
 * wherever a difference is.
 *
 * src/send/challenge.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <openssl/crypto.h>

#include "utils/builtins.h"

#include "send/challenge.h"

static const char *const forms[] = {"%s", "\"%s\"", "{\"challenge\":\"%s\"}"};

/* Longest of them, with a challenge in it. */
#define FORM_SIZE (KGW_CHALLENGE_SIZE + 20)

/* Draw one.  False when there are no random bytes. */
bool
kgw_challenge_draw(char challenge[KGW_CHALLENGE_SIZE])
{
	uint8		drawn[(KGW_CHALLENGE_SIZE - 1) / 2];

	if (!pg_strong_random(drawn, sizeof(drawn)))
		return false;
	challenge[hex_encode((const char *) drawn, sizeof(drawn), challenge)] = '\0';
	return true;
}

/* A copy without white space; its length, or 0 when it is longer than any form. */
static size_t
squeeze(const char *body, size_t len, char out[FORM_SIZE])
{
	size_t		used = 0;

	for (size_t i = 0; i < len; i++)
	{
		if (body[i] == ' ' || body[i] == '\t' || body[i] == '\r' || body[i] == '\n')
			continue;
		if (used == FORM_SIZE)
			return 0;
		out[used++] = body[i];
	}
	return used;
}

/*
 * Whether a body returns this challenge, which is hexadecimal and NUL-terminated, and
 * shorter than KGW_CHALLENGE_SIZE.  One that is empty is returned by nobody.
 */
bool
kgw_challenge_is_returned(const char *challenge, const char *body, size_t len)
{
	char		said[FORM_SIZE];
	char		wanted[FORM_SIZE];
	size_t		said_len = squeeze(body, Min(len, KGW_CHALLENGE_ROOM), said);
	bool		returned = false;

	/* of a longer one more may have come than was kept */
	if (challenge[0] == '\0' || len >= KGW_CHALLENGE_ROOM)
		return false;
	for (size_t i = 0; i < lengthof(forms); i++)
	{
		int			wanted_len = snprintf(wanted, sizeof(wanted), forms[i], challenge);

		returned |= said_len == (size_t) wanted_len && CRYPTO_memcmp(said, wanted, said_len) == 0;
	}
	return returned;
}
