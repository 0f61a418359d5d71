/*-------------------------------------------------------------------------
 *
 * request_headers.c
 *	  Headers that an endpoint wants besides ours, and which it may not have.
 *
 * Who sets a header for an endpoint speaks with our voice, so some are refused.  What
 * we say ourselves is not for others to say: who we are, how the message is
 * framed, what it is signed with.  Nor is what a proxy would say, which servers believe from where we
 * are: whom a request came from, or that it is another one than it seems.  Many servers
 * make variables of names in which "-" and "_" are the same, so they are the same
 * here.
 *
 * Names are tokens (RFC 9110), and values are visible ASCII, blanks within and tabs: nothing
 * in one can begin another line.
 *
 * Values may be credentials: they are wiped when nobody holds them any more.
 *
 * src/pure/request_headers.c
 *
 *-------------------------------------------------------------------------
 */
#include "pure/request_headers.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "pure/array.h"
#include "pure/text/ascii.h"

/* In lower case; what ends in "-" stands for all that begin so, and for the name before it. */
static const char *const reserved[] = {
	"accept-encoding", "connection-", "content-", "cookie-", "date-", "digest-", "expect-", "forwarded-",
	"host-", "http2-settings", "keep-alive", "max-forwards", "proxy-", "range-", "repr-digest", "signature-",
	"te-", "trailer-", "transfer-", "upgrade-", "user-agent", "via-", "want-", "webhook-",
	"x-forwarded-", "x-http-method-", "x-method-override", "x-original-", "x-real-ip", "x-rewrite-"
};

bool
kgw_request_headers_is_token(const char *name, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		char		c = kgw_ascii_to_lower(name[i]);

		if (c == '\0' || ((c < 'a' || c > 'z') && (c < '0' || c > '9') &&
						  strchr("!#$%&'*+-.^_`|~", c) == NULL))
			return false;
	}
	return len > 0;
}

/* Whether a name is this reserved one, or one of those it stands for. */
static bool
is_meant(const char *name, size_t len, const char *entry)
{
	size_t		entry_len = strlen(entry);
	bool		family = entry[entry_len - 1] == '-';
	size_t		i;

	for (i = 0; i < len && i < entry_len; i++)
	{
		char		c = name[i] == '_' ? '-' : kgw_ascii_to_lower(name[i]);

		if (c != entry[i])
			return false;
	}
	return family ? i >= entry_len - 1 : len == entry_len;
}

const char *
kgw_request_headers_judge_name(const char *name, size_t len)
{
	if (!kgw_request_headers_is_token(name, len))
		return "A header's name has letters, digits and hyphens.";
	for (int i = 0; i < KGW_LENGTH_OF(reserved); i++)
	{
		if (is_meant(name, len, reserved[i]))
			return "It is set by kgwebhook, by HTTP or by proxies, and is not for an endpoint to choose.";
	}
	return NULL;
}

const char *
kgw_request_headers_judge_value(const char *value, size_t len)
{
	if (len == 0)
		return "The value is empty.";
	if (value[0] == ' ' || value[0] == '\t' || value[len - 1] == ' ' || value[len - 1] == '\t')
		return "The value begins or ends with a blank.";
	for (size_t i = 0; i < len; i++)
	{
		if (value[i] != '\t' && (value[i] < ' ' || value[i] > '~'))
			return "The value has a control character or one that is not ASCII.";
	}
	return NULL;
}

/* Note a line of the text, which ends with a NUL, if it is fit to be sent. */
static void
note_line(KgwHeaders *headers, char *line)
{
	char	   *colon = strchr(line, ':');

	if (colon == NULL || colon[1] != ' ' || headers->count == KGW_REQUEST_HEADERS_MAX ||
		kgw_request_headers_judge_name(line, colon - line) != NULL ||
		kgw_request_headers_judge_value(colon + 2, strlen(colon + 2)) != NULL)
		return;
	headers->lines[headers->count++] = line;
}

KgwHeaders *
kgw_request_headers_new(int64_t subscription_id, const char *destination, const char *text, size_t len)
{
	KgwHeaders *headers = calloc(1, sizeof(KgwHeaders));
	char	   *line;
	char	   *end;

	if (headers == NULL)
		return NULL;
	headers->holders = 1;
	headers->subscription_id = subscription_id;
	headers->destination = strdup(destination);
	headers->text = malloc(len + 1);
	headers->text_len = len;
	if (headers->destination == NULL || headers->text == NULL)
	{
		headers->text_len = 0;
		kgw_request_headers_release(headers);
		return NULL;
	}
	memcpy(headers->text, text, len);
	headers->text[len] = '\0';
	for (line = headers->text; (end = strchr(line, '\n')) != NULL; line = end + 1)
	{
		*end = '\0';
		note_line(headers, line);
	}
	return headers;
}

KgwHeaders *
kgw_request_headers_share(KgwHeaders *headers)
{
	if (headers != NULL)
		headers->holders++;
	return headers;
}

void
kgw_request_headers_release(KgwHeaders *headers)
{
	if (headers == NULL || --headers->holders > 0)
		return;
	if (headers->text != NULL)
		OPENSSL_cleanse(headers->text, headers->text_len);
	free(headers->text);
	free(headers->destination);
	free(headers);
}
