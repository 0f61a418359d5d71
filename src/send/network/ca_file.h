/*-------------------------------------------------------------------------
 *
 * ca_file.h
 *	  Whose certificates are believed.
 *
 * src/send/network/ca_file.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SEND_NETWORK_CA_FILE_H
#define KGW_SEND_NETWORK_CA_FILE_H

#include <curl/curl.h>

extern void kgw_ca_file_look(void);
extern uint32 kgw_ca_file_generation(void);
extern bool kgw_ca_file_trust(CURL *easy, CURLoption file, CURLoption folder);

#endif							/* KGW_SEND_NETWORK_CA_FILE_H */
