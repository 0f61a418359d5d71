/*-------------------------------------------------------------------------
 *
 * full_disk.c
 *	  A library to preload: some files can't grow, as on a full disk.
 *
 * While the file that KGW_FULL_DISK names exists, a write beyond the end of a
 * file whose path ends in one of its lines fails with ENOSPC.  What a file has
 * already can be overwritten.  So one table is full, and not the WAL, whose disk
 * would take the server down.
 *
 * A real small file system would need rights that a test doesn't have.
 *
 * test/preload/full_disk.c
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* A copy: a server writes its process title over its environment. */
static char *list;

static void __attribute__((constructor))
read_list_name(void)
{
	const char *name = getenv("KGW_FULL_DISK");

	list = name != NULL ? strdup(name) : NULL;
}

/* The path of a descriptor; false when there is none. */
static int
path_of(int fd, char *path, size_t size)
{
	char		link[64];
	ssize_t		len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, size - 1);
	if (len < 0)
		return 0;
	path[len] = '\0';
	return 1;
}

static int
ends_in(const char *path, const char *end)
{
	size_t		path_len = strlen(path);
	size_t		end_len = strlen(end);

	return end_len > 0 && path_len >= end_len && strcmp(path + path_len - end_len, end) == 0;
}

static int
is_listed(const char *path)
{
	char		line[1024];
	int			found = 0;
	FILE	   *file = list ? fopen(list, "r") : NULL;

	if (file == NULL)
		return 0;
	while (!found && fgets(line, sizeof(line), file) != NULL)
	{
		line[strcspn(line, "\n")] = '\0';
		found = ends_in(path, line);
	}
	fclose(file);
	return found;
}

/* Whether the disk is full for a write up to "end" of this file. */
static int
is_full(int fd, off_t end)
{
	char		path[4096];
	struct stat state;
	int			saved = errno;
	int			full = list != NULL && access(list, F_OK) == 0 &&
		fstat(fd, &state) == 0 && end > state.st_size &&
		path_of(fd, path, sizeof(path)) && is_listed(path);

	errno = full ? ENOSPC : saved;
	return full;
}

ssize_t
pwrite(int fd, const void *data, size_t size, off_t offset)
{
	if (is_full(fd, offset + (off_t) size))
		return -1;
	return syscall(SYS_pwrite64, fd, data, size, offset);
}

ssize_t
pwrite64(int fd, const void *data, size_t size, off_t offset)
{
	return pwrite(fd, data, size, offset);
}

ssize_t
pwritev(int fd, const struct iovec *pieces, int count, off_t offset)
{
	static ssize_t (*real) (int, const struct iovec *, int, off_t);
	off_t		end = offset;

	for (int i = 0; i < count; i++)
		end += (off_t) pieces[i].iov_len;
	if (is_full(fd, end))
		return -1;
	if (real == NULL)
		real = (ssize_t (*) (int, const struct iovec *, int, off_t)) dlsym(RTLD_NEXT, "pwritev");
	return real(fd, pieces, count, offset);
}

ssize_t
pwritev64(int fd, const struct iovec *pieces, int count, off_t offset)
{
	return pwritev(fd, pieces, count, offset);
}

int
posix_fallocate(int fd, off_t offset, off_t size)
{
	if (is_full(fd, offset + size))
		return ENOSPC;
	return syscall(SYS_fallocate, fd, 0, offset, size) == 0 ? 0 : errno;
}

int
posix_fallocate64(int fd, off_t offset, off_t size)
{
	return posix_fallocate(fd, offset, size);
}
