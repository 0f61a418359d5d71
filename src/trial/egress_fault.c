/*-------------------------------------------------------------------------
 *
 * egress_fault.c
 *	  kgwebhook.egress_fault(): whether requests could leave this server.
 *
 * It tries what a worker would do before it connects, here and now, and connects to
 * nothing: a source address is bound to, the proxy's credentials are read.  Whether
 * the proxy answers is known from what became of attempts.
 *
 * src/trial/egress_fault.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "send/network/egress.h"

PG_FUNCTION_INFO_V1(kg_egress_fault);

/*
 * kgwebhook.egress_fault() -> text: NULL when there is none
 */
Datum
kg_egress_fault(PG_FUNCTION_ARGS)
{
	const char *fault = kgw_egress_try();

	if (fault == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(fault));
}
