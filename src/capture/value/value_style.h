/*-------------------------------------------------------------------------
 *
 * value_style.h
 *	  The session's settings that change how a value is written.
 *
 * src/capture/value/value_style.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_CAPTURE_VALUE_VALUE_STYLE_H
#define KGW_CAPTURE_VALUE_VALUE_STYLE_H

#include "pgtime.h"

typedef struct KgwValueStyle
{
	int			date_style;
	int			interval_style;
	int			float_digits;
	int			bytea_output;
	bool		quote_all;
	pg_tz	   *timezone;
} KgwValueStyle;

extern void kgw_value_style_begin(KgwValueStyle *session);
extern void kgw_value_style_end(const KgwValueStyle *session);
extern void kgw_value_style_pin(void);
extern void kgw_value_style_pin_locale(void);

#endif							/* KGW_CAPTURE_VALUE_VALUE_STYLE_H */
