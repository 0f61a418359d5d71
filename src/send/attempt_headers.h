/*-------------------------------------------------------------------------
 *
 * attempt_headers.h
 *	  The headers of an attempt that are ours.
 *
 * src/send/attempt_headers.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SEND_ATTEMPT_HEADERS_H
#define KGW_SEND_ATTEMPT_HEADERS_H

#include "send/attempt.h"

/*
 * Fill the headers of an attempt whose body is made, stamped with that Unix second and signed
 * by these signers, at least one, and by the keyring's keys.  False when a signature could not
 * be made; the headers are then good for nothing.  Allocates nothing that outlives it.
 */
extern bool kgw_attempt_headers_make(KgwAttempt *attempt, const KgwDelivery *row, KgwSigner **signers,
									 int count, const KgwKeyring *keys, int64 now);

#endif							/* KGW_SEND_ATTEMPT_HEADERS_H */
