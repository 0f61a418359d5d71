/*-------------------------------------------------------------------------
 *
 * wal.h
 *	  What a crash can undo is written down first.
 *
 * src/queue/wal.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_QUEUE_WAL_H
#define KGW_QUEUE_WAL_H

#include "access/xlogdefs.h"

extern XLogRecPtr kgw_wal_flush(void);

#endif							/* KGW_QUEUE_WAL_H */
