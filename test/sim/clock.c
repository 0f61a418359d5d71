/*-------------------------------------------------------------------------
 *
 * clock.c
 *	  The clocks of the simulated world, and its randomness.
 *
 * src/pg/clock.c is linked as it is: what it asks of the C library is answered
 * here.  The monotonic clock goes on only when the simulation says so, the wall
 * clock is so far ahead of it, and jumps.
 *
 * test/sim/clock.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/hashfn.h"
#include "utils/timestamp.h"

#include "sim.h"

/* Seconds from 1970 to 2000, where PostgreSQL's time begins. */
#define EPOCH_2000 INT64CONST(946684800)

KgwTicks	sim_now;
int64		sim_wall_offset;
KgwTicks	sim_jumped_at;

TimestampTz
sim_wall(void)
{
	return sim_now + sim_wall_offset;
}

TimestampTz
GetCurrentTimestamp(void)
{
	return sim_wall();
}

/* In place of the C library's: for clock.c. */
int
clock_gettime(clockid_t which, struct timespec *t)
{
	int64		us = which == CLOCK_MONOTONIC ? sim_now : sim_wall() + EPOCH_2000 * SECOND;

	t->tv_sec = us / SECOND;
	t->tv_nsec = us % SECOND * 1000;
	return 0;
}

time_t
time(time_t *t)
{
	time_t		now = sim_wall() / SECOND + EPOCH_2000;

	if (t != NULL)
		*t = now;
	return now;
}

/* The machine's own, for the figures at the end. */
double
sim_real_seconds(void)
{
	struct timespec t;

	syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* splitmix64 */
uint64
sim_random(SimRandom *r)
{
	uint64		z = (r->state += UINT64CONST(0x9E3779B97F4A7C15));

	z = (z ^ (z >> 30)) * UINT64CONST(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64CONST(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

int
sim_below(SimRandom *r, int limit)
{
	return limit <= 1 ? 0 : sim_random(r) % limit;
}

bool
sim_chance(SimRandom *r, int percent)
{
	return sim_below(r, 100) < percent;
}

SimRandom
sim_stream(const char *purpose)
{
	return (SimRandom) {hash_bytes_extended((const unsigned char *) purpose, strlen(purpose),
											sim_scenario.seed)};
}
