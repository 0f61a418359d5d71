/*-------------------------------------------------------------------------
 *
 * transaction.h
 *	  Short transactions of a process that has none of its own.
 *
 * src/pg/transaction.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PG_TRANSACTION_H
#define KGW_PG_TRANSACTION_H

extern void kgw_transaction_begin(const char *activity);
extern void kgw_transaction_end(void);
extern void kgw_transaction_run(const char *activity, void (*act) (void *), void *arg);

#endif							/* KGW_PG_TRANSACTION_H */
