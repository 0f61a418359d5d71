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

#include "access/xlogdefs.h"
#include "replication/syncrep.h"
#include "replication/walsender_private.h"
#include "storage/lwlock.h"

#include "pg/guc.h"
#include "queue/replicated.h"
#include "queue/wal.h"

/* What the standbys have to have before anything is sent, or invalid. */
static XLogRecPtr required;

static bool
has_standbys(void)
{
	return SyncRepStandbyNames != NULL && SyncRepStandbyNames[0] != '\0';
}

/* Rows were read: they are to be sent once the standbys have them. */
void
kgw_replicated_require(void)
{
	if (kgw_settings.send_when != KGW_SEND_REPLICATED || !has_standbys())
		return;
	required = kgw_wal_flush();
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
