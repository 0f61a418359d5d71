/*-------------------------------------------------------------------------
 *
 * key_file.c
 *	  The file of kgwebhook.key_file: the keys that secrets are encrypted with.
 *
 * What is encrypted at rest is worth as much as the distance of its key.  So
 * this file refuses a key that others can read, that another user could replace,
 * or that lies in the data directory, where each backup would put it beside
 * what it locks; and it says which of these it was.  What is judged is the file
 * that was opened, not its name.
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

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"

#include "pg/guc.h"
#include "secrets/key_file.h"

/* Longest file that is read: all keys at their longest, and some comments. */
#define FILE_MAX_BYTES 8192

/* Whether secrets are to be encrypted. */
bool
kgw_key_file_set(void)
{
	return kgw_settings.key_file != NULL && kgw_settings.key_file[0] != '\0';
}

/* Whether a file that is open as fd lies below a directory, links resolved. */
static bool
is_below(const char *path, const struct stat *file, const char *directory)
{
	char		file_path[PATH_MAX];
	char		directory_path[PATH_MAX];
	struct stat resolved;
	size_t		len;

	/* what can't be judged is treated as if it were there */
	if (realpath(path, file_path) == NULL || realpath(directory, directory_path) == NULL ||
		stat(file_path, &resolved) != 0 ||
		resolved.st_dev != file->st_dev || resolved.st_ino != file->st_ino)
		return true;
	len = strlen(directory_path);
	return strncmp(file_path, directory_path, len) == 0 && file_path[len] == '/';
}

/* What is wrong with the open file, as a sentence, or NULL. */
static const char *
find_permission_fault(const char *path, int fd)
{
	struct stat file;

	if (fstat(fd, &file) != 0)
		return psprintf("It cannot be looked at: %s.", strerror(errno));
	if (!S_ISREG(file.st_mode))
		return "It is not an ordinary file.";
	if (file.st_uid != geteuid())
		return "It belongs to another user than the server's.";
	if ((file.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		return psprintf("Its permissions are %04o: others than its owner can get at it.",
						(unsigned) (file.st_mode & 07777));
	if (file.st_size > FILE_MAX_BYTES)
		return psprintf("It is longer than %d bytes.", FILE_MAX_BYTES);
	if (is_below(path, &file, DataDir))
		return "It lies in the data directory, where backups would have it beside what it encrypts.";
	return NULL;
}

/* Read the file into the buffer.  A sentence on what went wrong, or NULL. */
static const char *
read_file(const char *path, char buffer[FILE_MAX_BYTES], size_t *len)
{
	int			fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	const char *fault;
	ssize_t		got = 0;

	*len = 0;
	if (fd < 0)
		return errno == ELOOP ? "It is a symbolic link." :
			psprintf("It cannot be opened: %s.", strerror(errno));
	fault = find_permission_fault(path, fd);
	while (fault == NULL && *len < FILE_MAX_BYTES &&
		   (got = read(fd, buffer + *len, FILE_MAX_BYTES - *len)) > 0)
		*len += got;
	if (got < 0)
		fault = psprintf("It cannot be read: %s.", strerror(errno));
	close(fd);
	return fault;
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
	fault = read_file(kgw_settings.key_file, buffer, &len);
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
