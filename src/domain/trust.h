/*-------------------------------------------------------------------------
 *
 * trust.h
 *	  Whose certificates are believed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_TRUST_H
#define KGW_TRUST_H

extern void kgw_trust_look(void);
extern const char *kgw_trust_file(void);

#endif							/* KGW_TRUST_H */
