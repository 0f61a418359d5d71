/*-------------------------------------------------------------------------
 *
 * value_style.c
 *	  The session's settings that change how a value is written.
 *
 * What a receiver gets must not depend on who has written the row: DateStyle,
 * extra_float_digits and their like belong to the writer's session.  They are
 * set aside by assignment, as setting them by name would cost every payment
 * more than all the rest.  Those of a locale have caches behind them, and are set
 * by name, only where a type or a cast of the user's may read them.
 *
 * src/capture/value/value_style.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/bytea.h"
#include "utils/float.h"
#include "utils/guc.h"

#include "capture/value/value_style.h"

/* Set aside what the session, or code that has just run in it, says of style. */
void
kgw_value_style_pin(void)
{
	static pg_tz *utc;

	if (utc == NULL)
		utc = pg_tzset("GMT");
	DateStyle = USE_ISO_DATES;
	IntervalStyle = INTSTYLE_POSTGRES;
	extra_float_digits = 1;
	bytea_output = BYTEA_OUTPUT_HEX;
	quote_all_identifiers = false;
	session_timezone = utc;
}

/*
 * From here to kgw_value_style_end(), which has to be called also after an
 * error, values are written the same way in every session: dates as ISO 8601,
 * times in UTC, floats to the last digit.
 */
void
kgw_value_style_begin(KgwValueStyle *session)
{
	session->date_style = DateStyle;
	session->interval_style = IntervalStyle;
	session->float_digits = extra_float_digits;
	session->bytea_output = bytea_output;
	session->quote_all = quote_all_identifiers;
	session->timezone = session_timezone;
	kgw_value_style_pin();
}

/* Give the session its own settings back. */
void
kgw_value_style_end(const KgwValueStyle *session)
{
	DateStyle = session->date_style;
	IntervalStyle = session->interval_style;
	extra_float_digits = session->float_digits;
	bytea_output = session->bytea_output;
	quote_all_identifiers = session->quote_all;
	session_timezone = session->timezone;
}

/* What casts and types of others may write by; until the section's end. */
void
kgw_value_style_pin_locale(void)
{
	static const char *const names[] = {"lc_monetary", "lc_numeric", "lc_time"};

	for (size_t i = 0; i < lengthof(names); i++)
		(void) set_config_option(names[i], "C", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
}
