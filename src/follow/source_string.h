/*-------------------------------------------------------------------------
 *
 * source_string.h
 *	  By which string a source is connected.
 *
 * src/follow/source_string.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_FOLLOW_SOURCE_STRING_H
#define KGW_FOLLOW_SOURCE_STRING_H

/*
 * The string, palloc'd; it may have a password in it.  Raises an error for a source that
 * is not followed, and where the caller may not read pg_subscription.
 */
extern char *kgw_source_string(const char *source);

#endif							/* KGW_FOLLOW_SOURCE_STRING_H */
