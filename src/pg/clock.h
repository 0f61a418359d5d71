/*-------------------------------------------------------------------------
 *
 * clock.h
 *	  The two clocks a delivery needs.
 *
 * src/pg/clock.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PG_CLOCK_H
#define KGW_PG_CLOCK_H

#include "datatype/timestamp.h"

/* A point of the monotonic clock, or a span of it, in microseconds. */
typedef int64 KgwTicks;

/* Earlier than every reading of the clock. */
#define KGW_OVERDUE 0

/* Later than everything that is waited for. */
#define KGW_NEVER PG_INT64_MAX

extern KgwTicks kgw_clock_ticks(void);
extern int64 kgw_clock_unix(void);
extern int64 kgw_clock_second_of(TimestampTz when);
extern KgwTicks kgw_clock_due(TimestampTz when, TimestampTz wall, KgwTicks now);

#endif							/* KGW_PG_CLOCK_H */
