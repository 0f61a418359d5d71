/*-------------------------------------------------------------------------
 *
 * bench/arrivals.h
 *	  What arrived at the bench's receiver, and when.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_ARRIVALS_H
#define KGW_ARRIVALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define KGW_MAX_GROUPS 16

/* Microseconds since the epoch, or since an unknown moment. */
extern uint64_t kgw_wall_us(void);
extern uint64_t kgw_monotonic_us(void);

extern void kgw_arrivals_forget(void);
extern void kgw_arrivals_add(int group, const char *body, size_t length,
							 bool acknowledged);
extern void kgw_arrivals_add_connection(int group, bool resumed);
extern void kgw_arrivals_print_stats(FILE *out, char *const *group_names,
									 int ngroups);
extern void kgw_arrivals_print_all(FILE *out, char *const *group_names);
extern void kgw_arrivals_take(FILE *out, char *const *group_names);

#endif							/* KGW_ARRIVALS_H */
