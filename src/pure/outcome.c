/*-------------------------------------------------------------------------
 *
 * outcome.c
 *	  How attempts end.
 *
 * A word for each way, the same in the log, in the views and in the counters of
 * shared memory, which is why it stands below all of them.  What makes an attempt
 * end in one way or the other is decided in send/; what a status says of the
 * receiver, here.
 *
 * src/pure/outcome.c
 *
 *-------------------------------------------------------------------------
 */
#include "pure/outcome.h"

/* The word of the log for an outcome; a constant. */
const char *
kgw_outcome_name(KgwOutcome outcome)
{
	static const char *const names[KGW_OUTCOMES] = {
		"acknowledged", "rejected", "timed_out", "unreachable", "blocked",
		"invalid", "superseded"
	};

	return names[outcome];
}

/* What an answer that doesn't acknowledge says about whom it was sent to. */
KgwSign
kgw_outcome_sign(int status)
{
	/* it answers, but not what a challenge asks for */
	if (status >= 200 && status <= 299)
		return KGW_SIGN_REFUSED;

	/* the end of that delivery, and of its subscription */
	if (status == 410)
		return KGW_SIGN_NONE;
	if (status < 400 || status > 499)
		return KGW_SIGN_FAILED;
	switch (status)
	{
		case 401:				/* who asks, where, how or how often is not accepted: */
		case 403:				/* so it will be for the next delivery */
		case 404:
		case 405:
		case 407:
		case 408:
		case 421:
		case 425:
		case 426:
		case 429:
			return KGW_SIGN_FAILED;
		default:
			return KGW_SIGN_REFUSED;
	}
}
