/*-------------------------------------------------------------------------
 *
 * event_pattern.h
 *	  Which events a subscription is for.
 *
 * src/pure/event_pattern.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PURE_EVENT_PATTERN_H
#define KGW_PURE_EVENT_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

/* Longest pattern accepted, bytes. */
#define KGW_PATTERN_MAX 200

extern const char *kgw_event_pattern_judge(const char *pattern, size_t len);
extern bool kgw_event_pattern_matches(const char *pattern, const char *event);

#endif							/* KGW_PURE_EVENT_PATTERN_H */
