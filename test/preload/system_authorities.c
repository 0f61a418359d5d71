/*-------------------------------------------------------------------------
 *
 * test/preload/system_authorities.c
 *	  The operating system's folder of certificate authorities is another one.
 *
 * What is looked for in /etc/ssl/certs by its hash is looked for in the folder that
 * KGW_AUTHORITIES names.  The file with all authorities stays as it is.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char folder[] = "/etc/ssl/certs/";

/* A copy: a server writes its process title over its environment. */
static char *authorities;

static void __attribute__((constructor))
read_authorities(void)
{
	const char *name = getenv("KGW_AUTHORITIES");

	authorities = name != NULL ? strdup(name) : NULL;
}

/* Where a file is instead: in the buffer, or where it always was. */
static const char *
instead(const char *path, char buffer[4096])
{
	if (authorities == NULL || path == NULL || strncmp(path, folder, sizeof(folder) - 1) != 0 ||
		strstr(path, "ca-certificates") != NULL)
		return path;
	snprintf(buffer, 4096, "%s/%s", authorities, path + sizeof(folder) - 1);
	return buffer;
}

FILE *
fopen(const char *path, const char *mode)
{
	FILE	   *(*next) (const char *, const char *) = dlsym(RTLD_NEXT, "fopen");
	char		buffer[4096];

	return next(instead(path, buffer), mode);
}

FILE *
fopen64(const char *path, const char *mode)
{
	FILE	   *(*next) (const char *, const char *) = dlsym(RTLD_NEXT, "fopen64");
	char		buffer[4096];

	return next(instead(path, buffer), mode);
}

int
stat(const char *path, struct stat *st)
{
	int			(*next) (const char *, struct stat *) = dlsym(RTLD_NEXT, "stat");
	char		buffer[4096];

	return next(instead(path, buffer), st);
}

int
stat64(const char *path, struct stat64 *st)
{
	int			(*next) (const char *, struct stat64 *) = dlsym(RTLD_NEXT, "stat64");
	char		buffer[4096];

	return next(instead(path, buffer), st);
}

int
lstat(const char *path, struct stat *st)
{
	int			(*next) (const char *, struct stat *) = dlsym(RTLD_NEXT, "lstat");
	char		buffer[4096];

	return next(instead(path, buffer), st);
}

int
lstat64(const char *path, struct stat64 *st)
{
	int			(*next) (const char *, struct stat64 *) = dlsym(RTLD_NEXT, "lstat64");
	char		buffer[4096];

	return next(instead(path, buffer), st);
}
