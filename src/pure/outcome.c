/*-------------------------------------------------------------------------
 *
 * outcome.c
 *	  How attempts end.
 *
 * A word for each way, the same in the log, in the views and in the counters of
 * shared memory, which is why it stands below all of them.  What makes an attempt
 * end in one way or the other is decided in domain/.
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
