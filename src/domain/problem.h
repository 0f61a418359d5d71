/*-------------------------------------------------------------------------
 *
 * problem.h
 *	  Why a request got no answer, in words.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PROBLEM_H
#define KGW_PROBLEM_H

#include "domain/transfer.h"

extern const char *kgw_problem(const KgwTransfer *transfer, CURLcode code);

#endif							/* KGW_PROBLEM_H */
