/*-------------------------------------------------------------------------
 *
 * fuzz_number.c
 *	  Fuzzes the numbers of canonical JSON.
 *
 * Eight bytes are a double: what is printed must read back as that double, be
 * no longer than any decimal that does, be the nearest of that length, and have
 * ECMAScript's layout.  The judge is strtod(), and decimals come from
 * printf(), digit by digit; nothing of number.c is asked.
 *
 * And all bytes are a literal, if they are one.
 *
 * test/fuzz/fuzz_number.c
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include <math.h>

#include "pure/jcs/number.h"

#define LITERAL_MAX 2000

/* Significant digits of a number's text, and its exponent as 0.d1d2... */
typedef struct Digits
{
	int			n;
	int			point;
	char		digits[LITERAL_MAX + 1];
} Digits;

static double
value_of(const Digits *d)
{
	char		text[LITERAL_MAX + 32];

	snprintf(text, sizeof(text), "0.%se%d", d->digits, d->point);
	return strtod(text, NULL);
}

/* Reads the text of a number that isn't zero. */
static void
read_digits(const char *text, size_t len, Digits *d)
{
	bool		fraction = false;
	size_t		i;

	memset(d, 0, sizeof(*d));
	for (i = 0; i < len && text[i] != 'e' && text[i] != 'E'; i++)
	{
		if (text[i] == '.')
			fraction = true;
		if (text[i] < '0' || text[i] > '9')
			continue;
		if (d->n > 0 || text[i] != '0')
			d->digits[d->n++] = text[i];
		if (!fraction && d->n > 0)
			d->point++;
		if (fraction && d->n == 0)
			d->point--;
	}
	if (i < len)
		d->point += atoi(text + i + 1);
	while (d->n > 0 && d->digits[d->n - 1] == '0')
		d->digits[--d->n] = '\0';
}

/* The decimal of n digits next to a positive value, rounded down. */
static void
round_down(double value, int n, Digits *d)
{
	char		text[LITERAL_MAX];

	/* exact, then cut: a double has no more than 767 digits */
	snprintf(text, sizeof(text), "%.780e", value);
	read_digits(text, strlen(text), d);
	if (d->n > n)
		d->n = n;
	d->digits[d->n] = '\0';
	while (d->n < n)
		d->digits[d->n++] = '0';
	d->digits[d->n] = '\0';
}

/* One unit more in the last digit. */
static void
step_up(Digits *d)
{
	int			i = d->n - 1;

	while (i >= 0 && d->digits[i] == '9')
		d->digits[i--] = '0';
	if (i >= 0)
		d->digits[i]++;
	else
	{
		d->digits[0] = '1';
		d->point++;
	}
}

/* Is there a decimal of n digits that reads back as the value? */
static bool
reads_back_with(double value, int n)
{
	Digits		d;

	round_down(value, n, &d);
	if (value_of(&d) == value)
		return true;
	step_up(&d);
	return value_of(&d) == value;
}

static void
check_layout(double value, const char *text)
{
	const char *e = strchr(text, 'e');
	const char *dot = strchr(text, '.');
	size_t		last = strlen(text) - 1;

	MUST((e != NULL) == (value >= 1e21 || value < 1e-6));
	if (e != NULL)
	{
		MUST(e[1] == '+' || e[1] == '-');
		MUST(e[2] != '0');
		MUST(dot == NULL ? e == text + 1 : dot == text + 1 && e[-1] != '0');
		return;
	}
	MUST(text[0] != '0' || dot == text + 1);
	MUST(dot == NULL || (text[last] != '0' && text[last] != '.'));
}

static void
check_double(double value)
{
	char		text[KGW_NUMBER_SIZE];
	char		again[KGW_NUMBER_SIZE];
	char		nearest[64];
	char	   *end;
	Digits		d;
	int			len = kgw_jcs_number_format(value, text);

	MUST(len == (int) strlen(text) && len <= 25);
	MUST(strtod(text, &end) == value && *end == '\0');
	MUST(kgw_jcs_number_canonical(text, (size_t) len, again) == len);
	MUST(strcmp(again, text) == 0);
	if (value == 0)
	{
		MUST(strcmp(text, "0") == 0);
		return;
	}
	MUST((text[0] == '-') == (value < 0));
	read_digits(text, (size_t) len, &d);
	value = fabs(value);
	check_layout(value, text + (text[0] == '-'));
	MUST(d.n <= 17 && (d.n == 1 || !reads_back_with(value, d.n - 1)));

	/* of several of that length, the nearest */
	snprintf(nearest, sizeof(nearest), "%.*e", d.n - 1, value);
	if (strtod(nearest, NULL) == value)
	{
		Digits		best;

		read_digits(nearest, strlen(nearest), &best);
		MUST(best.n == d.n && best.point == d.point &&
			 strcmp(best.digits, d.digits) == 0);
	}
}

static size_t
skip_digits(const char *p, size_t len)
{
	size_t		n = 0;

	while (n < len && p[n] >= '0' && p[n] <= '9')
		n++;
	return n;
}

/* RFC 8259, section 6 */
static bool
is_literal(const char *p, size_t len)
{
	const char *end = p + len;
	size_t		n;

	if (p < end && *p == '-')
		p++;
	n = skip_digits(p, (size_t) (end - p));
	if (n == 0 || (n > 1 && *p == '0'))
		return false;
	p += n;
	if (p < end && *p == '.')
	{
		p++;
		n = skip_digits(p, (size_t) (end - p));
		if (n == 0)
			return false;
		p += n;
	}
	if (p < end && (*p == 'e' || *p == 'E'))
	{
		p++;
		if (p < end && (*p == '+' || *p == '-'))
			p++;
		n = skip_digits(p, (size_t) (end - p));
		if (n == 0)
			return false;
		p += n;
	}
	return p == end;
}

/* An integer must be held to the last digit, as far as a double's digits go. */
static bool
is_held_integer(const Digits *d, double value)
{
	char		text[64];
	Digits		held;

	if (d->n > d->point || d->n > 17)
		return true;
	snprintf(text, sizeof(text), "%.*e", d->n - 1, fabs(value));
	read_digits(text, strlen(text), &held);
	if (held.n == d->n && strcmp(held.digits, d->digits) == 0)
		return true;
	kgw_jcs_number_format(fabs(value), text);
	read_digits(text, strlen(text), &held);
	return held.n == d->n && strcmp(held.digits, d->digits) == 0;
}

static void
check_literal(const char *literal, size_t len)
{
	char	   *text = fuzz_string((const uint8_t *) literal, len);
	char		out[KGW_NUMBER_SIZE];
	double		value = strtod(text, NULL);
	int			n = kgw_jcs_number_canonical(literal, len, out);
	Digits		d;

	read_digits(text, len, &d);
	if (n < 0)
	{
		/* fifteen digits are always held, unless out of range or subnormal */
		MUST(d.n > 15 || isinf(value) || fabs(value) < 2.3e-308);
	}
	else
	{
		MUST(n == (int) strlen(out) && n <= 25);
		MUST(strtod(out, NULL) == value && !isinf(value));
		MUST((value == 0) == (d.n == 0));
		MUST(is_held_integer(&d, value));
		check_double(value);
		if (value != 0)
		{
			char		formatted[KGW_NUMBER_SIZE];

			kgw_jcs_number_format(value, formatted);
			MUST(strcmp(formatted, out) == 0);
		}
	}
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t		at;

	if (size <= LITERAL_MAX && is_literal((const char *) data, size))
		check_literal((const char *) data, size);
	for (at = 0; at + sizeof(double) <= size && at < 64; at += sizeof(double))
	{
		double		value;

		memcpy(&value, data + at, sizeof(value));
		if (isfinite(value))
			check_double(value);
	}
	return 0;
}
