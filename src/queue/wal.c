/*-------------------------------------------------------------------------
 *
 * wal.c
 *	  What a crash can undo is written down first.
 *
 * An asynchronous commit is visible before it is on disk.  Who tells the world of
 * what is visible flushes all WAL that there is by then, or a crash undoes what was told; and
 * the number of a transaction that is undone is given to another one.
 *
 * src/queue/wal.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "access/xlog_internal.h"

#include "queue/wal.h"

/*
 * The end of all WAL that has been inserted.  Where that is the end of a page,
 * GetXLogInsertRecPtr() is past the header of the next, which nobody has written: to
 * flush as far as that is an error, and no standby gets there before the next record.
 */
static XLogRecPtr
end_of_wal(void)
{
	XLogRecPtr	end = GetXLogInsertRecPtr();

	if (XLogSegmentOffset(end, wal_segment_size) == SizeOfXLogLongPHD)
		return end - SizeOfXLogLongPHD;
	if (end % XLOG_BLCKSZ == SizeOfXLogShortPHD)
		return end - SizeOfXLogShortPHD;
	return end;
}

/* Flush it; how far.  Not during recovery. */
XLogRecPtr
kgw_wal_flush(void)
{
	XLogRecPtr	end = end_of_wal();

	XLogFlush(end);
	return end;
}
