/*-------------------------------------------------------------------------
 *
 * ca_file.h
 *	  Whose certificates are believed.
 *
 * src/send/ca_file.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SEND_CA_FILE_H
#define KGW_SEND_CA_FILE_H

extern void kgw_ca_file_look(void);
extern const char *kgw_ca_file_path(void);

#endif							/* KGW_SEND_CA_FILE_H */
