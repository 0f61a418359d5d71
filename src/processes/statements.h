/*-------------------------------------------------------------------------
 *
 * statements.h
 *	  Statements of others that concern our workers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_STATEMENTS_H
#define KGW_STATEMENTS_H

extern void kgw_statements_watch(void);

#endif							/* KGW_STATEMENTS_H */
