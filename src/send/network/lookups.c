/*-------------------------------------------------------------------------
 *
 * lookups.c
 *	  Lookups of names that were given up, and whose threads go on.
 *
 * When a lookup takes longer than it may, libcurl gives it up and leaves its
 * thread behind, which asks on for as long as the system's resolver has patience:
 * much longer, by default.  Nobody else knows of these threads, so they are
 * counted here, for the scheduler to keep within bounds.
 *
 * They are counted by a system call every 100 ms while there are any, and otherwise
 * not at all.
 *
 * src/send/network/lookups.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/stat.h>

#include "send/network/lookups.h"

/* While there are threads left behind, they are counted this often, microseconds. */
#define COUNT_PAUSE 100000

/* When they are to be counted: see lookups.h. */
KgwTicks
kgw_lookups_deadline(const KgwLookups *lookups)
{
	return lookups->left_behind ? lookups->counted_at + COUNT_PAUSE : KGW_NEVER;
}

/* Threads of this process, resolver threads and its own. */
static int
count_threads(void)
{
	struct stat st;

	/* a folder links to itself, is linked from above, and from each in it */
	return stat("/proc/self/task", &st) == 0 ? (int) st.st_nlink - 2 : 1;
}

/* Count them: see lookups.h. */
int
kgw_lookups_count(KgwLookups *lookups, int resolving, KgwTicks now)
{
	lookups->hanging = Max(count_threads() - 1 - resolving, 0);
	lookups->left_behind = lookups->hanging > 0;
	lookups->counted_at = now;
	return lookups->hanging;
}
