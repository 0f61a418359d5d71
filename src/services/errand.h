/*-------------------------------------------------------------------------
 *
 * errand.h
 *	  A statement in another database of this server.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_ERRAND_H
#define KGW_ERRAND_H

extern char *kgw_errand_run_here(const char *guard, const char *statement);
extern char *kgw_errand_run(const char *database, const char *guard, const char *statement);

#endif							/* KGW_ERRAND_H */
