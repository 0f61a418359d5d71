/*-------------------------------------------------------------------------
 *
 * removal.h
 *	  Noticing DROP EXTENSION.
 *
 * src/processes/removal.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_REMOVAL_H
#define KGW_REMOVAL_H

extern void kgw_removal_watch(void);

#endif							/* KGW_REMOVAL_H */
