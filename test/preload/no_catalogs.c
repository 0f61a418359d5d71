/*-------------------------------------------------------------------------
 *
 * no_catalogs.c
 *	  A library to preload beside libasan: there are no message catalogs.
 *
 * While libasan starts, before main(), it looks for functions that glibc may
 * lack; and with some versions of both, glibc's lock of its message catalogs is
 * held ever after.  Every program of PostgreSQL begins with bindtextdomain(),
 * which would wait for that lock for good.
 *
 * test/preload/no_catalogs.c
 *
 *-------------------------------------------------------------------------
 */
#include <stddef.h>

extern char *bindtextdomain(const char *domain, const char *directory);
extern char *bind_textdomain_codeset(const char *domain, const char *codeset);
extern char *textdomain(const char *domain);

char *
bindtextdomain(const char *domain, const char *directory)
{
	return NULL;
}

char *
bind_textdomain_codeset(const char *domain, const char *codeset)
{
	return NULL;
}

char *
textdomain(const char *domain)
{
	return NULL;
}
