/*-------------------------------------------------------------------------
 *
 * error.h
 *	  Sentences about what keeps a document from becoming canonical.
 *
 * src/pure/jcs/error.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PURE_JCS_ERROR_H
#define KGW_PURE_JCS_ERROR_H

#include "pure/jcs/workspace.h"

/* All set the sentence and return the status. */
extern KgwJcsStatus kgw_jcs_error_malformed(KgwJcs *c,   const char *what);
extern KgwJcsStatus kgw_jcs_error_bad_unicode(KgwJcs *c, const char *what);
extern KgwJcsStatus kgw_jcs_error_inexact(KgwJcs *c, const char *number, size_t len);
extern KgwJcsStatus kgw_jcs_error_duplicate(KgwJcs *c,   const KgwJcsMember *member);
extern KgwJcsStatus kgw_jcs_error_fail(KgwJcs *c,  KgwJcsStatus status);

#endif							/* KGW_PURE_JCS_ERROR_H */
