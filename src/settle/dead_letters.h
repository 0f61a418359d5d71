/*-------------------------------------------------------------------------
 *
 * dead_letters.h
 *	  Where deliveries go that are given up.
 *
 * src/settle/dead_letters.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SETTLE_DEAD_LETTERS_H
#define KGW_SETTLE_DEAD_LETTERS_H

#include "settle/settlement.h"

/*
 * Move those of a batch that are given up from the queue to the dead letters.  Within
 * the settling transaction, with SPI connected; raises what the statements raise.
 * Returns how many were not in the queue any more.
 */
extern int	kgw_dead_letters_settle(KgwSettlement *settlements, int count);

#endif							/* KGW_SETTLE_DEAD_LETTERS_H */
