/*-------------------------------------------------------------------------
 *
 * shifted_clock.c
 *	  A library to preload: the process lives KGW_CLOCK_SHIFT seconds ahead.
 *
 * With KGW_CLOCK_FILE, a test can also stop the clock of a running server: the
 * file holds a second of the Unix clock as a native 64-bit integer, at whose
 * middle every process then is; with 0 in it the clock runs.
 *
 * With KGW_CLOCK_STEPS, a test can set the clock of a running server: that file
 * holds, in the same form, how many seconds more it is ahead.
 *
 * It shifts what tells the time of day, and leaves monotonic clocks alone: an
 * hour later is not an hour of waiting.  With KGW_CLOCK_WAITED, a test can have it
 * be one: that file holds, in the same form, how many seconds more the monotonic
 * clock is ahead.  libfaketime does too much for a
 * postmaster: up to PostgreSQL 15 that forks its children in signal handlers
 * that interrupt select(), which libfaketime wraps, and a child born in
 * there keeps the real time for good.
 *
 * It asks the kernel directly, so that it needs no initialization and is safe
 * in signal handlers and before main().
 *
 * test/preload/shifted_clock.c
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long shift;
static const volatile int64_t *stopped;
static const volatile int64_t *steps;
static const volatile int64_t *waited;

/*
 * Map the file that a variable names, if it does.  It stays mapped in the
 * processes that the postmaster forks.
 */
static const volatile int64_t *
map_file(const char *variable)
{
	const char *path = getenv(variable);
	int			fd;
	void	   *map;

	if (path == NULL)
		return NULL;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	map = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
	if (fd < 0 || map == MAP_FAILED)
		abort();
	close(fd);
	return map;
}

static void __attribute__((constructor))
read_shift(void)
{
	const char *text = getenv("KGW_CLOCK_SHIFT");

	shift = text != NULL ? atol(text) : 0;
	stopped = map_file("KGW_CLOCK_FILE");
	steps = map_file("KGW_CLOCK_STEPS");
	waited = map_file("KGW_CLOCK_WAITED");
}

int
clock_gettime(clockid_t clock, struct timespec *now)
{
	int			result = (int) syscall(SYS_clock_gettime, clock, now);

	if (result == 0 && waited != NULL &&
		(clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_RAW ||
		 clock == CLOCK_MONOTONIC_COARSE))
		now->tv_sec += *waited;
	if (result != 0 || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE))
		return result;
	now->tv_sec += shift + (steps != NULL ? *steps : 0);
	if (stopped != NULL && *stopped != 0)
	{
		now->tv_sec = *stopped;
		now->tv_nsec = 500000000;
	}
	return result;
}

int
gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec precise;

	(void) zone;
	clock_gettime(CLOCK_REALTIME, &precise);
	now->tv_sec = precise.tv_sec;
	now->tv_usec = precise.tv_nsec / 1000;
	return 0;
}

time_t
time(time_t *out)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (out != NULL)
		*out = now.tv_sec;
	return now.tv_sec;
}
