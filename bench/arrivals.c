/*-------------------------------------------------------------------------
 *
 * bench/arrivals.c
 *	  What arrived at the bench's receiver, and when.
 *
 * A request is one entry in an array that is never moved: to note it costs
 * one clock reading and 24 bytes, so that the receiver measures the sender and
 * not itself.  What can't be noted any more is still counted.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include "arrivals.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define MAX_NOTED 4000000

typedef struct Arrival
{
	uint64_t	id;
	uint64_t	at_us;
	int			group;
	char		status;			/* the first letter of it, or '-' */
	bool		acknowledged;
} Arrival;

typedef struct GroupTotals
{
	uint64_t	count;
	uint64_t	first_us;
	uint64_t	last_us;
	uint64_t	connections;	/* that brought a request */
	uint64_t	resumed;		/* of them, by a TLS session */
} GroupTotals;

static Arrival *noted;
static size_t nnoted;
static GroupTotals totals[KGW_MAX_GROUPS];
static uint64_t cpu_at_start_us;

static uint64_t
clock_us(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000;
}

/* The clock that commit.c and the driver read too. */
uint64_t
kgw_wall_us(void)
{
	return clock_us(CLOCK_REALTIME);
}

uint64_t
kgw_monotonic_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

/* CPU this process has had, user and system, in microseconds. */
static uint64_t
cpu_us(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (uint64_t) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
		(uint64_t) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/*
 * Starts again.  Also makes the array, whose pages the kernel gives only as they
 * are used; exits when there is no memory.
 */
void
kgw_arrivals_forget(void)
{
	if (noted == NULL)
		noted = malloc(MAX_NOTED * sizeof(Arrival));
	if (noted == NULL)
	{
		perror("receiver");
		exit(1);
	}
	nnoted = 0;
	memset(totals, 0, sizeof(totals));
	cpu_at_start_us = cpu_us();
}

/* The first letter of the payload's status, such as 's' of "success". */
static char
find_status(const char *body, size_t length)
{
	static const char member[] = "\"status\":\"";
	const char *at = memmem(body, length, member, sizeof(member) - 1);

	if (at == NULL || at + sizeof(member) - 1 == body + length)
		return '-';
	return at[sizeof(member) - 1];
}

/* The number in the payload's payment_intent_id, such as 42 in "pi_0042". */
static uint64_t
find_id(const char *body, size_t length)
{
	static const char member[] = "\"payment_intent_id\":\"";
	const char *end = body + length;
	const char *at = memmem(body, length, member, sizeof(member) - 1);
	uint64_t	id = 0;

	if (at == NULL)
		return 0;
	for (at += sizeof(member) - 1; at < end && *at != '"'; at++)
		if (*at >= '0' && *at <= '9')
			id = id * 10 + (uint64_t) (*at - '0');
	return id;
}

/* Notes a request that is complete, and whether it is answered by 200. */
void
kgw_arrivals_add(int group, const char *body, size_t length, bool acknowledged)
{
	uint64_t	now = kgw_wall_us();
	GroupTotals *total = &totals[group];

	if (total->count++ == 0)
		total->first_us = now;
	total->last_us = now;
	if (nnoted < MAX_NOTED)
		noted[nnoted++] = (Arrival) {find_id(body, length), now, group,
			find_status(body, length), acknowledged};
}

/* Notes a connection whose first request has come. */
void
kgw_arrivals_add_connection(int group, bool resumed)
{
	totals[group].connections++;
	totals[group].resumed += resumed;
}

/* Prints a JSON object: the CPU since the last forgetting, and the groups. */
void
kgw_arrivals_print_stats(FILE *out, char *const *group_names, int ngroups)
{
	fprintf(out, "{\"cpu_us\": %ju, \"groups\": {",
			(uintmax_t) (cpu_us() - cpu_at_start_us));
	for (int i = 0; i < ngroups; i++)
		fprintf(out,
				"%s\"%s\": {\"count\": %ju, \"first_us\": %ju, \"last_us\": %ju,"
				" \"connections\": %ju, \"resumed\": %ju}",
				i > 0 ? ", " : "", group_names[i],
				(uintmax_t) totals[i].count,
				(uintmax_t) totals[i].first_us,
				(uintmax_t) totals[i].last_us,
				(uintmax_t) totals[i].connections,
				(uintmax_t) totals[i].resumed);
	fprintf(out, "}}\n");
}

/* Prints "group id microseconds", a line for each request. */
void
kgw_arrivals_print_all(FILE *out, char *const *group_names)
{
	for (size_t i = 0; i < nnoted; i++)
		fprintf(out, "%s %ju %ju\n", group_names[noted[i].group],
				(uintmax_t) noted[i].id, (uintmax_t) noted[i].at_us);
}

/*
 * The same with status and answer, "group id status 1|0 microseconds", of what has
 * come since it was last asked: a run of hours is read bit by bit.  The totals stay.
 */
void
kgw_arrivals_take(FILE *out, char *const *group_names)
{
	for (size_t i = 0; i < nnoted; i++)
		fprintf(out, "%s %ju %c %d %ju\n", group_names[noted[i].group],
				(uintmax_t) noted[i].id, noted[i].status,
				noted[i].acknowledged, (uintmax_t) noted[i].at_us);
	nnoted = 0;
}
