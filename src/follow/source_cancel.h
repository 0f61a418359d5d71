/*-------------------------------------------------------------------------
 *
 * source_cancel.h
 *	  Having a source give up what it is doing for us.
 *
 * src/follow/source_cancel.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_FOLLOW_SOURCE_CANCEL_H
#define KGW_FOLLOW_SOURCE_CANCEL_H

#include "libpq-fe.h"

/*
 * Cancel the query of a connection to the source, and wait for its end; "patience" is
 * milliseconds, for each of the two.  No interrupt is served in that time.  False when the source
 * did not answer: to ask it again would wait as long.  Where there is no descriptor left to
 * ask, it has not been asked, and true.
 */
extern bool kgw_source_cancel(const char *source, const char *conninfo, PGconn *conn, int patience);

#endif							/* KGW_FOLLOW_SOURCE_CANCEL_H */
