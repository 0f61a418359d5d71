/*-------------------------------------------------------------------------
 *
 * openssl_algorithms.h
 *	  All that OpenSSL can do, loaded while there is memory for it.
 *
 * src/send/openssl_algorithms.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SEND_OPENSSL_ALGORITHMS_H
#define KGW_SEND_OPENSSL_ALGORITHMS_H

extern void kgw_openssl_algorithms_load(void);

#endif							/* KGW_SEND_OPENSSL_ALGORITHMS_H */
