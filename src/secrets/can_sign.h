/*-------------------------------------------------------------------------
 *
 * can_sign.h
 *	  Which of those that wait for a secret can sign by now.
 *
 * src/secrets/can_sign.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SECRETS_CAN_SIGN_H
#define KGW_SECRETS_CAN_SIGN_H

#include "nodes/pg_list.h"

/*
 * Those of these holders (of type KgwSecretHolder) for which there is a secret that can be
 * used: a list of the same pointers, in the current memory context.  Their secrets are
 * remembered (secret_cache.c).  Needs SPI to be connected; one that can't be decrypted
 * raises no error.
 */
extern List *kgw_can_sign(const List *holders);

#endif							/* KGW_SECRETS_CAN_SIGN_H */
