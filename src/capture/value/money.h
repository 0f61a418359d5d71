/*-------------------------------------------------------------------------
 *
 * money.h
 *	  The type money as text, the same in every session.
 *
 * src/capture/value/money.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_CAPTURE_VALUE_MONEY_H
#define KGW_CAPTURE_VALUE_MONEY_H

#include "utils/cash.h"

/* Decimals that the session's lc_monetary has, 0 to 10. */
extern int	kgw_money_digits(void);

/* Both are palloc'd; "digits" are decimals, as above. */
extern char *kgw_money_text(Cash amount, int digits);
extern char *kgw_money_range_text(Oid type, Datum datum, int digits);

#endif							/* KGW_CAPTURE_VALUE_MONEY_H */
