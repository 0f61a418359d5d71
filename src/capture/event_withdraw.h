/*-------------------------------------------------------------------------
 *
 * event_withdraw.h
 *	  Events that turn out to be no news before their transaction ends.
 *
 * src/capture/event_withdraw.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_CAPTURE_EVENT_WITHDRAW_H
#define KGW_CAPTURE_EVENT_WITHDRAW_H

#include "capture/enqueue.h"

extern void kgw_event_withdraw_note(int64 first, int64 last, bool created);
extern bool kgw_event_withdraw_concerns(const KgwNewDelivery *object);
extern void kgw_event_withdraw(const KgwNewDelivery *event);
extern void kgw_event_withdraw_undo(const KgwNewDelivery *object);

#endif							/* KGW_CAPTURE_EVENT_WITHDRAW_H */
