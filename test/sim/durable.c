/*-------------------------------------------------------------------------
 *
 * durable.c
 *	  What a crash of the server undoes: commits that were not flushed.
 *
 * A worker settles without waiting for the disk, and asks another process to flush
 * (worker/loop_settle.c).  Here that takes up to FLUSH_TIME.  Until then the rows are remembered
 * as they were, and a crash brings them back, unless someone else's commit was flushed; and until then nothing newer of their objects may
 * be sent, which the oracle looks after.
 *
 * test/sim/durable.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "utils/guc.h"

#include "shmem/wal_flusher.h"

#include "sim.h"

/* Longer than the worker has the patience for. */
#define FLUSH_TIME (SECOND / 50)

XLogRecPtr	XactLastCommitEnd = 1;

static XLogRecPtr flushed = 1;
static KgwTicks flush_at;

static bool lazy;				/* this transaction commits without a flush */
static SimRow *before;			/* rows as they were before it, and before those that wait */
static int	count;
static int	room;
static SimRandom source;
static bool seeded;

/* All of it is on disk: a durable commit of any session flushes what was before. */
void
sim_durable_flush(void)
{
	for (int i = 0; i < count; i++)
		sim_row(before[i].id)->undurable = false;
	count = 0;
	flushed = XactLastCommitEnd;
}

/* The transaction is about to change this row. */
void
sim_durable_note(SimRow *row)
{
	if (count == room)
	{
		room = Max(room * 2, 64);
		before = realloc(before, room * sizeof(SimRow));
	}
	before[count++] = *row;
	row->undurable = true;
}

/* The transaction commits. */
void
sim_durable_commit(void)
{
	if (!seeded)
		source = sim_stream("flushes");
	seeded = true;
	XactLastCommitEnd++;
	if (lazy)
		flush_at = sim_now + sim_below(&source, FLUSH_TIME);
	else
		sim_durable_flush();
	lazy = false;
}

/* The server has crashed: true when that undid something. */
bool
sim_durable_crash(void)
{
	bool		undone = count > 0;

	while (count > 0)
	{
		const SimRow *was = &before[--count];
		SimRow	   *row = sim_row(was->id);
		bool		gone = !row->present;

		*row = *was;
		if (gone)
			sim_table_bring_back(row);
	}
	sim_durable_flush();
	return undone;
}

int
set_config_option(const char *name, const char *value, GucContext context, GucSource from,
				  GucAction action, bool change, int elevel, bool is_reload)
{
	Assert(strcmp(name, "synchronous_commit") == 0);
	Assert(strcmp(value, "off") == 0 && action == GUC_ACTION_LOCAL);
	lazy = true;
	return 1;
}

XLogRecPtr
GetFlushRecPtr(TimeLineID *timeline)
{
	if (flushed < XactLastCommitEnd && flush_at <= sim_now)
		sim_durable_flush();
	return flushed;
}

void
XLogFlush(XLogRecPtr upto)
{
	Assert(upto <= XactLastCommitEnd);
	sim_durable_flush();
}

void
kgw_wal_flusher_ask(XLogRecPtr upto)
{
	Assert(upto == XactLastCommitEnd);
}
