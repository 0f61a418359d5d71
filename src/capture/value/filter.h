/*-------------------------------------------------------------------------
 *
 * filter.h
 *	  Whether a payload fits the filter of a subscription.
 *
 * src/capture/value/filter.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_CAPTURE_VALUE_FILTER_H
#define KGW_CAPTURE_VALUE_FILTER_H

#include "utils/jsonb.h"

/*
 * Whether a payload fits a filter; "whole" when none of its members was left out.  A
 * filter that isn't an object lets everything through.  Raises no error.
 */
extern bool kgw_filter_fits(Jsonb *filter, Jsonb *payload, bool whole);

#endif							/* KGW_CAPTURE_VALUE_FILTER_H */
