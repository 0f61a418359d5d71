/*-------------------------------------------------------------------------
 *
 * src/pure/pattern.h
 *	  Which events a subscription is for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PATTERN_H
#define KGW_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

/* Longest pattern accepted, bytes. */
#define KGW_PATTERN_MAX 200

extern const char *kgw_pattern_judge(const char *pattern, size_t len);
extern bool kgw_pattern_matches(const char *pattern, const char *event);

#endif							/* KGW_PATTERN_H */
