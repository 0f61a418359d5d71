/*-------------------------------------------------------------------------
 *
 * key_file.c
 *	  The file of kgwebhook.key_file: the keys that secrets are encrypted with.
 *
 * What is encrypted at rest is worth as much as the distance of its key: see
 * private_file.c for what is refused.
 *
 * The file is read again whenever a key is needed, which is once an organization
 * and worker, and the key is wiped after use: nothing here outlives a call.
 *
 * A line is a key; empty ones and those that begin with # are left out.
 *
 * src/secrets/key_file.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "pg/guc.h"
#include "secrets/key_file.h"
#include "secrets/private_file.h"

/* Longest file that is read: all keys at their longest, and some comments. */
#define FILE_MAX_BYTES 8192

/* Whether secrets are to be encrypted. */
bool
kgw_key_file_set(void)
{
	return kgw_settings.key_file != NULL && kgw_settings.key_file[0] != '\0';
}

/* Take a line; a sentence on what is wrong with it, or NULL. */
static const char *
take_line(KgwKeys *keys, const char *line, size_t len, int number)
{
	KgwKey	   *key = &keys->keys[keys->count];

	while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == ' ' || line[len - 1] == '\t'))
		len--;
	if (len == 0 || line[0] == '#')
		return NULL;
	if (keys->count == KGW_KEYS_MAX)
		return psprintf("It has more than %d keys.", KGW_KEYS_MAX);
	if (len < KGW_KEY_MIN_BYTES || len > KGW_KEY_MAX_BYTES)
		return psprintf("The key in line %d has %zu characters; it needs %d to %d.",
						number, len, KGW_KEY_MIN_BYTES, KGW_KEY_MAX_BYTES);
	memcpy(key->bytes, line, len);
	key->len = len;
	keys->count++;
	return NULL;
}

static const char *
parse_keys(KgwKeys *keys, const char *text, size_t len)
{
	const char *fault = NULL;
	const char *end = text + len;
	int			number = 1;

	for (const char *line = text; fault == NULL && line < end; number++)
	{
		const char *line_end = memchr(line, '\n', end - line);

		if (line_end == NULL)
			line_end = end;
		fault = take_line(keys, line, line_end - line, number);
		line = line_end + 1;
	}
	if (fault == NULL && keys->count == 0)
		fault = "There is no key in it.";
	return fault;
}

/*
 * Read the keys of kgwebhook.key_file, which must be set.  An error when it can't
 * be used.  The caller has to wipe them.
 */
void
kgw_key_file_read(KgwKeys *keys)
{
	char		buffer[FILE_MAX_BYTES];
	size_t		len;
	const char *fault;

	keys->count = 0;
	fault = kgw_private_file_read(kgw_settings.key_file, buffer, sizeof(buffer), &len);
	if (fault == NULL)
		fault = parse_keys(keys, buffer, len);
	explicit_bzero(buffer, sizeof(buffer));
	if (fault == NULL)
		return;
	kgw_key_file_wipe(keys);
	ereport(ERROR,
			(errcode(ERRCODE_CONFIG_FILE_ERROR),
			 errmsg("the file of \"kgwebhook.key_file\" cannot be used"),
			 errdetail("%s", fault),
			 errhint("The file must have one key a line and permissions 0600, belong to the user that the"
					 " server runs as, and lie outside the data directory.  Fix it, then reload the configuration.")));
}

/* Leave nothing of them in memory. */
void
kgw_key_file_wipe(KgwKeys *keys)
{
	explicit_bzero(keys, sizeof(*keys));
}
