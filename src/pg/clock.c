/*-------------------------------------------------------------------------
 *
 * clock.c
 *	  The wall clock, for stamps and the table; the monotonic one, for waiting.
 *
 * next_attempt_at is wall-clock time, because people read it and it has to
 * survive a restart.  A worker translates it into ticks of the monotonic clock
 * once, when it reads the row, and waits by ticks only: a clock that is set
 * back or forth by a day then neither stalls deliveries nor sends them all at
 * once.
 *
 * src/pg/clock.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <time.h>

#include "utils/timestamp.h"

#include "pg/clock.h"

/* Microseconds of the monotonic clock, from an arbitrary origin. */
KgwTicks
kgw_clock_ticks(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (KgwTicks) t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Whole seconds since 1970: what an attempt is stamped with. */
int64
kgw_clock_unix(void)
{
	return (int64) time(NULL);
}

/*
 * When "when" is due by the monotonic clock, which shows "now" while the wall
 * clock shows "wall".  KGW_NEVER for infinity, KGW_OVERDUE for the past: what
 * is due stays due whichever of two readings of the clock it is held against.
 */
KgwTicks
kgw_clock_due(TimestampTz when, TimestampTz wall, KgwTicks now)
{
	if (TIMESTAMP_IS_NOEND(when))
		return KGW_NEVER;
	if (when <= wall)
		return KGW_OVERDUE;
	return now + (when - wall);
}

/* The first whole Unix second that isn't before a time. */
int64
kgw_clock_second_of(TimestampTz when)
{
	if (TIMESTAMP_IS_NOEND(when))
		return PG_INT64_MAX;
	if (TIMESTAMP_IS_NOBEGIN(when))
		return PG_INT64_MIN;
	return (when + USECS_PER_SEC - 1) / USECS_PER_SEC +
		(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * (int64) SECS_PER_DAY;
}
