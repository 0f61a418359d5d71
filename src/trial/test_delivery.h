/*-------------------------------------------------------------------------
 *
 * test_delivery.h
 *	  Deliveries that are sent in the caller's backend and waited for.
 *
 * src/trial/test_delivery.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_TRIAL_TEST_DELIVERY_H
#define KGW_TRIAL_TEST_DELIVERY_H

#include "send/attempt.h"

typedef struct KgwTest
{
	KgwDelivery		row;
	KgwAttempt	attempt;
	bool		prepared;		/* can be sent */
	const char *header;			/* a line more than a delivery has, or NULL */
} KgwTest;

typedef struct KgwTests
{
	MemoryContextCallback end;
	int			count;
	KgwTest		test[FLEXIBLE_ARRAY_MEMBER];
} KgwTests;

extern KgwTests *kgw_test_delivery_new(int count);
extern void kgw_test_delivery_keyring(const char *org_id, int64 subscription_id, KgwKeyring *keyring);
extern const char *kgw_test_delivery_wire(const char *text);
extern void kgw_test_delivery_send(KgwTests *tests);
extern int64 kgw_test_delivery_log(const KgwTest *test);
extern void kgw_test_delivery_warn(void);
extern void kgw_test_delivery_context(ErrorContextCallback *context);

#endif							/* KGW_TRIAL_TEST_DELIVERY_H */
