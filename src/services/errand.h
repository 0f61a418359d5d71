/*-------------------------------------------------------------------------
 *
 * errand.h
 *	  A statement in another database of this server.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_ERRAND_H
#define KGW_ERRAND_H

extern bool kgw_errand_run(const char *database, const char *statement, int expected);

#endif							/* KGW_ERRAND_H */
