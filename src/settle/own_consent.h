/*-------------------------------------------------------------------------
 *
 * own_consent.h
 *	  Which organizations' own URLs have to be those of verified subscriptions.
 *
 * src/settle/own_consent.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SETTLE_OWN_CONSENT_H
#define KGW_SETTLE_OWN_CONSENT_H

#include "queue/delivery.h"

extern bool kgw_own_consent_withholds(const KgwDelivery *row);
extern TimestampTz kgw_own_consent_changed_at(const KgwDelivery *row);
extern bool kgw_own_consent_reread(void);
extern void kgw_own_consent_forget(void);

#endif							/* KGW_SETTLE_OWN_CONSENT_H */
