/*-------------------------------------------------------------------------
 *
 * sealing.h
 *	  Secrets as they are kept in the table when kgwebhook.key_file is set.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SEALING_H
#define KGW_SEALING_H

extern text *kgw_seal(text *org_id, text *secret);
extern text *kgw_unseal(text *org_id, text *sealed, bool *by_first);

#endif							/* KGW_SEALING_H */
