/*-------------------------------------------------------------------------
 *
 * retry_schedule.h
 *	  When to try a delivery again.
 *
 * src/pure/retry_schedule.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PURE_RETRY_SCHEDULE_H
#define KGW_PURE_RETRY_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KGW_SCHEDULE_MAX 64

/* The longest a receiver may ask us to stay away, seconds (24 hours). */
#define KGW_RETRY_AFTER_CAP 86400

/* delay_us[i] is the wait after attempt i + 1 failed, microseconds. */
typedef struct KgwSchedule
{
	int			n;
	int64_t		delay_us[KGW_SCHEDULE_MAX];
} KgwSchedule;

extern bool kgw_retry_schedule_parse(const char *text, KgwSchedule *out,
							   char *problem, size_t problem_size);
extern int64_t kgw_retry_schedule_delay(const KgwSchedule *schedule,
								  int attempts_made,
								  double jitter, double random);
extern int64_t kgw_retry_schedule_span(const KgwSchedule *schedule);

extern int64_t kgw_retry_schedule_parse_after(const char *value, size_t len,
							   int64_t now_unix);
extern int64_t kgw_retry_schedule_lengthened(int64_t scheduled_us, int64_t retry_after);

#endif							/* KGW_PURE_RETRY_SCHEDULE_H */
