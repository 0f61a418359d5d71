/*-------------------------------------------------------------------------
 *
 * fd_limit.c
 *	  How many sockets this process can have.
 *
 * PostgreSQL reckons with max_files_per_process descriptors for its files; what
 * the process may open beyond that is for our sockets.  The soft limit is often
 * just above PostgreSQL's share, so it is raised as far as the hard limit lets
 * us.  A process that runs out of descriptors fails in places that have
 * nothing to do with webhooks: hence the limit is read, never assumed.
 *
 * src/worker/fd_limit.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/resource.h>

#include "storage/fd.h"

#include "worker/fd_limit.h"

/* For epoll, latches, libcurl's own needs (two for each multi handle) and libraries' surprises. */
#define SET_ASIDE 96

/* What is left even where the limits leave nothing. */
#define LEAST 8

/*
 * How many sockets there may be when "wanted" would be welcome: between LEAST
 * and "wanted".  Raises the process's soft limit if need be.
 */
int
kgw_fd_limit_for(int wanted)
{
	rlim_t		base = (rlim_t) max_files_per_process + SET_ASIDE;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return LEAST;
	if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < base + wanted)
	{
		struct rlimit raised = limit;

		raised.rlim_cur = limit.rlim_max == RLIM_INFINITY ? base + wanted :
			Min(limit.rlim_max, base + wanted);
		if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
			limit = raised;
	}
	if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= base + wanted)
		return wanted;
	if (limit.rlim_cur <= base + LEAST)
		return LEAST;
	return (int) (limit.rlim_cur - base);
}
