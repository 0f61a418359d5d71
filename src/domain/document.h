/*-------------------------------------------------------------------------
 *
 * document.h
 *	  jsonb to canonical form, with PostgreSQL's errors.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_DOCUMENT_H
#define KGW_DOCUMENT_H

#include "utils/jsonb.h"

#include "domain/weight.h"
#include "pure/canonical.h"

extern KgwCanonical *kgw_document_workspace(void);
extern const char *kgw_document_text(Jsonb *jsonb, KgwWeight *weight, size_t *len);
extern char *kgw_document_sentence(const char *problem);
extern int	kgw_document_errcode(KgwCanonicalStatus status);
extern const char *kgw_document_detail(const KgwCanonical *canonical);

#endif							/* KGW_DOCUMENT_H */
