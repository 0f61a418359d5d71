/*-------------------------------------------------------------------------
 *
 * number.c
 *	  Numbers in canonical JSON (RFC 8785 section 3.2.2.3).
 *
 * Receivers canonicalize what they parsed, and most of them parse numbers
 * into doubles.  So the canonical text of a number is what ECMAScript prints
 * for the nearest double, and a number that no double holds can't be sent at
 * all: rounding it would be a lie about money, printing it as written would
 * break the signature.  This file decides which it is and prints it.
 *
 * PostgreSQL's double_to_shortest_decimal() (Ryu) is not used.  It treats the
 * two ends of the rounding interval as outside, ECMAScript treats them as
 * inside when the mantissa is even, so 1e23 would come out as
 * 9.999999999999999e+22.  Instead strtod() is the judge of what reads back,
 * as in ECMAScript's own definition.  It and printf() are exact in glibc,
 * and they are only reached by numbers of more than 15 digits, or by
 * subnormal ones: up to DBL_DIG digits always survive the way to a double and
 * back, so that such a number is its own shortest text, and digits are merely
 * laid out again.  Those are the numbers that people send.
 *
 * What strtod() is given has no decimal point, and what printf() gives is
 * searched for digits only, so a foreign LC_NUMERIC does no harm.
 *
 * src/pure/jcs/number.c
 *
 *-------------------------------------------------------------------------
 */
#include "pure/jcs/number.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The longest exact decimal of a double has 767 significant digits, so no
 * literal of more digits can be one.
 */
#define MAX_DIGITS 800

/* Significant digits that always identify a double. */
#define IDENTIFYING_DIGITS 17

/* Powers of ten beyond this are infinite, or zero, to any double. */
#define MAX_EXPONENT 400

/* 0.d1d2...dn * 10^point; n is 0 for zero, else d1 and dn are not '0'. */
typedef struct KgwJcsDecimal
{
	int			n;
	long		point;
	char		digits[MAX_DIGITS + 1];
} KgwJcsDecimal;

/*
 * Lays out digits as Number::toString does.  The names of the variables are
 * those of ECMA-262: k digits, the decimal point after the n-th.
 */
static int
lay_out(char *out, bool negative, const char *digits, int k, int n)
{
	char	   *p = out;

	if (negative)
		*p++ = '-';
	if (k <= n && n <= 21)
	{
		memcpy(p, digits, k);
		memset(p + k, '0', n - k);
		p += n;
	}
	else if (0 < n && n <= 21)
	{
		memcpy(p, digits, n);
		p[n] = '.';
		memcpy(p + n + 1, digits + n, k - n);
		p += k + 1;
	}
	else if (-6 < n && n <= 0)
	{
		memcpy(p, "0.000000", 2 - n);
		memcpy(p + 2 - n, digits, k);
		p += 2 - n + k;
	}
	else
	{
		*p++ = digits[0];
		if (k > 1)
		{
			*p++ = '.';
			memcpy(p, digits + 1, k - 1);
			p += k - 1;
		}
		return (int) (p - out) + sprintf(p, "e%+d", n - 1);
	}
	*p = '\0';
	return (int) (p - out);
}

/* Drops the zeros at the end. */
static void
strip_zeros(KgwJcsDecimal *d)
{
	while (d->n > 0 && d->digits[d->n - 1] == '0')
		d->n--;
}

/* The double nearest to a decimal. */
static double
to_double(KgwJcsDecimal *d)
{
	char		text[MAX_DIGITS + 24];

	d->digits[d->n] = '\0';
	snprintf(text, sizeof(text), "%se%ld", d->digits, d->point - d->n);
	return strtod(text, NULL);
}

/* A positive double, correctly rounded to n digits. */
static void
from_double(KgwJcsDecimal *d, double value, int n)
{
	char		text[MAX_DIGITS + 24];
	char	   *p = text;

	snprintf(text, sizeof(text), "%.*e", n - 1, value);
	for (d->n = 0; *p != 'e'; p++)
	{
		if (*p >= '0' && *p <= '9')
			d->digits[d->n++] = *p;
	}
	d->point = strtol(p + 1, NULL, 10) + 1;
	strip_zeros(d);
}

/* One unit more in the n-th digit. */
static void
step_up(KgwJcsDecimal *d, int n)
{
	memset(d->digits + d->n, '0', n - d->n);
	for (d->n = n; d->n > 0 && d->digits[d->n - 1] == '9';)
		d->n--;
	if (d->n > 0)
		d->digits[d->n - 1]++;
	else
	{
		d->digits[d->n++] = '1';
		d->point++;
	}
}

/*
 * The shortest decimal that reads back as the value, and of those the one
 * closest to it.
 *
 * The closest decimal of n digits comes from printf().  It may fail to read
 * back while its upper neighbor does: at a power of two the interval that
 * reads back reaches only half as far down as up.  That takes decimals spaced
 * wider than a quarter of the interval, so with 17 digits it can't happen;
 * with 15 or fewer nothing but the closest can ever read back, and trailing
 * zeros show whether fewer would do.  Subnormals have less precision than
 * that, and an even interval: there all lengths are tried.
 */
static void
shortest(KgwJcsDecimal *d, double value)
{
	int			n = value < DBL_MIN ? 1 : DBL_DIG;

	for (; n < IDENTIFYING_DIGITS; n++)
	{
		from_double(d, value, n);
		if (to_double(d) == value)
			return;
		if (n == DBL_DIG + 1)
		{
			step_up(d, n);
			if (to_double(d) == value)
				return;
		}
	}
	from_double(d, value, IDENTIFYING_DIGITS);
}

int
kgw_jcs_number_format(double value, char out[KGW_NUMBER_SIZE])
{
	KgwJcsDecimal		d;

	if (value == 0)
	{
		memcpy(out, "0", 2);
		return 1;
	}
	shortest(&d, fabs(value));
	return lay_out(out, value < 0, d.digits, d.n, (int) d.point);
}

/* An exponent with its sign; far beyond any double it stops growing. */
static long
read_exponent(const char *p, const char *end)
{
	bool		negative = *p == '-';
	long		exponent = 0;

	if (*p == '-' || *p == '+')
		p++;
	for (; p < end; p++)
	{
		if (exponent < 100000000)
			exponent = exponent * 10 + (*p - '0');
	}
	return negative ? -exponent : exponent;
}

/*
 * Reads a literal without its sign.  False when it has more significant
 * digits than any double.  Zeros are held back until a digit follows that
 * needs them, so that a megabyte of them costs no room.
 */
static bool
read_literal(KgwJcsDecimal *d, const char *p, const char *end)
{
	long		zeros = 0;
	bool		fraction = false;

	d->n = 0;
	d->point = 0;
	for (; p < end && *p != 'e' && *p != 'E'; p++)
	{
		if (*p == '.')
		{
			fraction = true;
			continue;
		}
		if (!fraction && (d->n > 0 || *p != '0'))
			d->point++;
		else if (fraction && d->n == 0 && *p == '0')
			d->point--;
		if (*p == '0')
		{
			zeros += d->n > 0;
			continue;
		}
		if (d->n + zeros >= MAX_DIGITS)
			return false;
		memset(d->digits + d->n, '0', zeros);
		d->n += zeros;
		zeros = 0;
		d->digits[d->n++] = *p;
	}
	if (p < end)
		d->point += read_exponent(p + 1, end);
	return true;
}

static bool
same(const KgwJcsDecimal *a, const KgwJcsDecimal *b)
{
	return a->n == b->n && a->point == b->point &&
		memcmp(a->digits, b->digits, a->n) == 0;
}

/*
 * Does the nearest double stand for the decimal?  Yes if the double, exact as
 * it is, rounds to the digits that were written.  And yes for a fraction of
 * up to 17 digits, which is how programs write doubles: RFC 8785's own
 * 333333333.33333329 is more precise than its double, yet names it.  Integers
 * get no such grace: an identifier that is off by one is another one.  But
 * what we print ourselves must be taken back, and for some powers of two, from
 * 2^89 on, that is not the double rounded.
 */
static bool
is_held(const KgwJcsDecimal *d, double value)
{
	KgwJcsDecimal		other;
	bool		integer = d->point >= d->n;

	if (isinf(value) || value == 0)
		return false;
	if (!integer && d->n <= IDENTIFYING_DIGITS && value >= DBL_MIN)
		return true;
	from_double(&other, value, d->n);
	if (same(d, &other))
		return true;
	shortest(&other, value);
	return same(d, &other);
}

/* Identifiers, counts and times, which are nearly all there is. */
static bool
is_short_integer(const char *p, size_t len)
{
	if (len > DBL_DIG || *p == '-')
		return false;
	for (; len > 0; p++, len--)
	{
		if (*p < '0' || *p > '9')
			return false;
	}
	return true;
}

int
kgw_jcs_number_canonical(const char *text, size_t len, char out[KGW_NUMBER_SIZE])
{
	KgwJcsDecimal		d;
	double		value;
	bool		negative = text[0] == '-';

	if (is_short_integer(text, len))
	{
		memcpy(out, text, len);
		out[len] = '\0';
		return (int) len;
	}
	if (!read_literal(&d, text + negative, text + len))
		return -1;
	if (d.n == 0)
		return kgw_jcs_number_format(0, out);
	if (d.n <= DBL_DIG && d.point > DBL_MIN_10_EXP + 1 &&
		d.point <= DBL_MAX_10_EXP)
		return lay_out(out, negative, d.digits, d.n, (int) d.point);
	if (labs(d.point) > MAX_EXPONENT)
		return -1;

	value = to_double(&d);
	if (!is_held(&d, value))
		return -1;
	return kgw_jcs_number_format(negative ? -value : value, out);
}
