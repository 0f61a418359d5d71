/*-------------------------------------------------------------------------
 *
 * private_file.c
 *	  A file that only the server's user may read.
 *
 * It holds what must not get out: the keys that secrets are encrypted with, the
 * credentials for a proxy.  So a file is refused that others can read, that another
 * user could replace, or that lies in the data directory, where each backup would put
 * it beside what it locks; and it is said which of these it was.  What is judged is
 * the file that was opened, not its name.
 *
 * src/secrets/private_file.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"

#include "secrets/private_file.h"

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
find_permission_fault(const char *path, int fd, size_t size)
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
	if (file.st_size > (off_t) size)
		return psprintf("It is longer than %zu bytes.", size);
	if (is_below(path, &file, DataDir))
		return "It lies in the data directory, where each backup would have it.";
	return NULL;
}

/*
 * Read a file of "size" bytes at most into the buffer, which the caller has to wipe.  A
 * sentence on what is wrong with it, palloc'd or static, or NULL.
 */
const char *
kgw_private_file_read(const char *path, char *buffer, size_t size, size_t *len)
{
	int			fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	const char *fault;
	ssize_t		got = 0;

	*len = 0;
	if (fd < 0)
		return errno == ELOOP ? "It is a symbolic link." :
			psprintf("It cannot be opened: %s.", strerror(errno));
	fault = find_permission_fault(path, fd, size);
	while (fault == NULL && *len < size && (got = read(fd, buffer + *len, size - *len)) > 0)
		*len += got;
	if (got < 0)
		fault = psprintf("It cannot be read: %s.", strerror(errno));
	close(fd);
	return fault;
}
