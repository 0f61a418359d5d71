/*-------------------------------------------------------------------------
 *
 * replicated.c
 *	  Whether what was read has reached the standbys (kgwebhook.send_when).
 *
 * A callback for a payment that is lost in a failover can't be taken back.  With
 * synchronous_commit = on the payment is visible only once the synchronous standbys
 * have it; a writer with "local" or "off" doesn't wait, and neither would we.  With
 * send_when = replicated, nothing is read and nothing is sent until these standbys have
 * flushed all WAL that there was when the last rows were read.
 *
 * That is more than the rows' own commits, whose position nobody has kept; it costs the
 * way to the standby and back for each read.  Nobody is waited for in a blocking way: what
 * is on the network is settled in the meantime.
 *
 * src/queue/replicated.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "replication/syncrep.h"
#include "replication/walsender_private.h"
#include "storage/lwlock.h"

#include "pg/guc.h"
#include "queue/replicated.h"

/* What the standbys have to have before anything is sent, or invalid. */
static XLogRecPtr required;

static bool
has_standbys(void)
{
	return SyncRepStandbyNames != NULL && SyncRepStandbyNames[0] != '\0';
}

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

/* Rows were read: they are to be sent once the standbys have them. */
void
kgw_replicated_require(void)
{
	if (kgw_settings.send_when != KGW_SEND_REPLICATED || !has_standbys())
		return;
	required = end_of_wal();
	XLogFlush(required);
}

/* Whether they have. */
bool
kgw_replicated_reached(void)
{
	XLogRecPtr	reached;

	if (required == InvalidXLogRecPtr || kgw_settings.send_when != KGW_SEND_REPLICATED ||
		!has_standbys())
		return true;
	LWLockAcquire(SyncRepLock, LW_SHARED);
	reached = WalSndCtl->lsn[SYNC_REP_WAIT_FLUSH];
	LWLockRelease(SyncRepLock);
	if (reached < required)
		return false;
	required = InvalidXLogRecPtr;
	return true;
}
