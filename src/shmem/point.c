/*-------------------------------------------------------------------------
 *
 * point.c
 *	  Points of death: where a test ends, stops or fails a process, or slows it down.
 *
 * A file of the point's name in the folder "kgwebhook_points" of the data directory
 * says what is to happen: "kill" and "stop" are the signals, "error" raises one.  It
 * happens once: the file is renamed first, to NAME.reached, and has the process's
 * identifier from then on.  So a test knows that it happened, and two files are two
 * deaths, one after the other.
 *
 * A point inside a callback of libcurl's must not be given "error".
 *
 * A slow worker sleeps where it comes once a turn.  At the steps of each delivery it
 * would only be one that does less.
 *
 * src/shmem/point.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "shmem/point.h"

#ifdef KGW_LAG

#define SHORTEST_LAG 20000		/* microseconds */
#define LONGEST_LAG 200000

static const char *const once_a_turn[] = {"read", "flushed", "logged", "dequeued", "committed", "durable", "published"};

/* A process is at this point: let it sleep, one time in four. */
void
kgw_point_reached(const char *name)
{
	for (size_t i = 0; i < lengthof(once_a_turn); i++)
	{
		if (strcmp(name, once_a_turn[i]) == 0 && random() % 4 == 0)
			usleep(SHORTEST_LAG + random() % (LONGEST_LAG - SHORTEST_LAG));
	}
}

#elif defined(USE_ASSERT_CHECKING)

#define FOLDER "kgwebhook_points"

/* What the file says is to happen; false when there is none. */
static bool
read_order(const char *path, char *order, size_t size)
{
	FILE	   *file = fopen(path, "r");
	bool		found;

	if (file == NULL)
		return false;
	found = fgets(order, size, file) != NULL;
	fclose(file);
	return found;
}

/* It happens once, and to this process. */
static void
note_reached(const char *path)
{
	char		reached[MAXPGPATH];
	FILE	   *file = fopen(path, "w");

	if (file != NULL)
	{
		fprintf(file, "%d\n", (int) getpid());
		fclose(file);
	}
	snprintf(reached, sizeof(reached), "%s.reached", path);
	(void) rename(path, reached);
}

/* A process is at this point: die, if that is asked for. */
void
kgw_point_reached(const char *name)
{
	char		path[MAXPGPATH];
	char		order[16];

	snprintf(path, sizeof(path), FOLDER "/%s", name);
	if (!read_order(path, order, sizeof(order)))
		return;
	note_reached(path);
	if (strncmp(order, "kill", 4) == 0)
		kill(getpid(), SIGKILL);
	else if (strncmp(order, "stop", 4) == 0)
		kill(getpid(), SIGSTOP);
	else
		elog(ERROR, "point of death \"%s\"", name);
}

#endif							/* KGW_LAG, USE_ASSERT_CHECKING */
