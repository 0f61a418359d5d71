/*-------------------------------------------------------------------------
 *
 * jsonb_canonical.h
 *	  jsonb to canonical form, with PostgreSQL's errors.
 *
 * src/pg/jsonb_canonical.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PG_JSONB_CANONICAL_H
#define KGW_PG_JSONB_CANONICAL_H

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

#include "pg/value_weight.h"
#include "pure/jcs/jcs.h"

extern KgwJcs *kgw_jsonb_canonical_workspace(void);
extern void kgw_jsonb_canonical_string(StringInfo out, const char *text, int len);
extern bool kgw_jsonb_canonical_append(StringInfo out, Jsonb *jsonb, KgwWeight *weight);
extern const char *kgw_jsonb_canonical_text(Jsonb *jsonb, KgwWeight *weight, size_t *len);
extern char *kgw_jsonb_canonical_sentence(const char *problem);
extern int	kgw_jsonb_canonical_errcode(KgwJcsStatus status);
extern const char *kgw_jsonb_canonical_detail(const KgwJcs *canonical);

#endif							/* KGW_PG_JSONB_CANONICAL_H */
