/*-------------------------------------------------------------------------
 *
 * row_fault.h
 *	  Why a row of the queue cannot be sent, before its payload is looked at.
 *
 * src/send/row_fault.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SEND_ROW_FAULT_H
#define KGW_SEND_ROW_FAULT_H

#include "queue/delivery.h"

extern const char *kgw_row_fault(const KgwDelivery *row);

#endif							/* KGW_SEND_ROW_FAULT_H */
