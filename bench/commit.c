/*-------------------------------------------------------------------------
 *
 * bench/commit.c
 *	  Commits one status change every so many milliseconds, and notes when.
 *
 *	  commit --connection CONNINFO [--count N] [--interval MILLISECONDS] [--at-once]
 *
 * The payment intents 1 to N, which are there and pending, become "success"
 * one after the other.  The moment noted is that of sending COMMIT: what the
 * receiver's clock says at the arrival, less this, holds everything that the
 * commit itself costs, and can't be made to look better by a worker that is
 * faster than the client's answer.
 *
 * It prints "id microseconds", a line a commit, once it is done or told by
 * SIGTERM to be; with --at-once, after each commit.  A commit that comes late puts the next off: it never catches
 * up in a burst.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <libpq-fe.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static volatile sig_atomic_t stopped;

static void
stop(int signal_number)
{
	(void) signal_number;
	stopped = 1;
}

static void
die(PGconn *connection, const char *what)
{
	fprintf(stderr, "commit: %s: %s\n", what, PQerrorMessage(connection));
	exit(1);
}

/* The clock of the receiver's arrivals. */
static uint64_t
wall_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000;
}

static void
command(PGconn *connection, const char *sql)
{
	PGresult   *result = PQexec(connection, sql);

	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		die(connection, sql);
	PQclear(result);
}

static void
prepare(PGconn *connection)
{
	PGresult   *result = PQprepare(connection, "pay",
								   "UPDATE payment_intents SET status = 'success'"
								   " WHERE payment_intent_id = $1", 1, NULL);

	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		die(connection, "can't prepare");
	PQclear(result);
}

/* Commits the change of one intent; returns the moment COMMIT was sent. */
static uint64_t
pay(PGconn *connection, long id)
{
	PGresult   *result;
	uint64_t	moment;
	char		text[32];
	const char *values[1] = {text};

	snprintf(text, sizeof(text), "pi_%012ld", id);
	command(connection, "BEGIN");
	result = PQexecPrepared(connection, "pay", 1, values, NULL, NULL, 0);
	if (PQresultStatus(result) != PGRES_COMMAND_OK ||
		strcmp(PQcmdTuples(result), "1") != 0)
		die(connection, text);
	PQclear(result);
	moment = wall_us();
	command(connection, "COMMIT");
	return moment;
}

/* Waits for the beat after the last, or from now on if that is past. */
static void
wait_for_beat(struct timespec *beat, long interval_ms)
{
	struct timespec now;

	beat->tv_nsec += interval_ms * 1000000;
	beat->tv_sec += beat->tv_nsec / 1000000000;
	beat->tv_nsec %= 1000000000;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (now.tv_sec > beat->tv_sec ||
		(now.tv_sec == beat->tv_sec && now.tv_nsec > beat->tv_nsec))
		*beat = now;
	else
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, beat, NULL);
}

/* Flushed at exit, and by the newline where someone reads along. */
static void
tell(long id, uint64_t moment)
{
	printf("%ld %ju\n", id, (uintmax_t) moment);
}

static int
usage(void)
{
	fprintf(stderr, "usage: commit --connection CONNINFO [--count N]"
			" [--interval MILLISECONDS] [--at-once]\n");
	return 2;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{"connection", required_argument, NULL, 'd'},
		{"count", required_argument, NULL, 'n'},
		{"interval", required_argument, NULL, 'i'},
		{"at-once", no_argument, NULL, 'a'},
		{NULL, 0, NULL, 0}
	};
	struct sigaction on_term = {.sa_handler = stop};
	const char *conninfo = NULL;
	long		count = 500;
	long		interval_ms = 20;
	long		done;
	bool		at_once = false;
	uint64_t   *moments;
	PGconn	   *connection;
	struct timespec beat;
	int			option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
	{
		if (option == 'd')
			conninfo = optarg;
		else if (option == 'n')
			count = atol(optarg);
		else if (option == 'i')
			interval_ms = atol(optarg);
		else if (option == 'a')
			at_once = true;
		else
			return usage();
	}
	if (conninfo == NULL || count < 1 || interval_ms < 1)
		return usage();

	moments = calloc((size_t) count, sizeof(uint64_t));
	connection = PQconnectdb(conninfo);
	if (moments == NULL || PQstatus(connection) != CONNECTION_OK)
		die(connection, "can't start");
	prepare(connection);
	setvbuf(stdout, NULL, at_once ? _IOLBF : _IOFBF, BUFSIZ);
	sigaction(SIGTERM, &on_term, NULL);

	clock_gettime(CLOCK_MONOTONIC, &beat);
	for (done = 0; done < count && !stopped; done++)
	{
		moments[done] = pay(connection, done + 1);
		if (at_once)
			tell(done + 1, moments[done]);
		wait_for_beat(&beat, interval_ms);
	}
	PQfinish(connection);
	for (long i = 0; i < done && !at_once; i++)
		tell(i + 1, moments[i]);
	return 0;
}
