/*-------------------------------------------------------------------------
 *
 * tap.h
 *	  Just enough of the Test Anything Protocol for the unit tests in C.
 *
 * A test is a program: it calls ok(), is_str() and is_int() as often as it
 * likes and ends with "return done_testing();", which prints the plan.  The
 * plan comes last on purpose: nobody has to count, and a test that dies half
 * way has no plan and so fails under prove.
 *
 * The header holds the functions too, because each test is one program and
 * a library for forty lines would be more to explain than it saves.
 *
 * test/unit/tap.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_TAP_H
#define KGW_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int	tap_run = 0;
static int	tap_failed = 0;

/* One line of result; the name must not hold a line feed or a '#'. */
static inline bool
tap_report(bool pass, const char *fmt, va_list args)
{
	tap_run++;
	if (!pass)
		tap_failed++;
	printf("%sok %d - ", pass ? "" : "not ", tap_run);
	vprintf(fmt, args);
	putchar('\n');
	fflush(stdout);
	return pass;
}

/* Passes when the condition holds; returns it. */
__attribute__((format(printf, 2, 3)))
static inline bool
ok(bool pass, const char *fmt,...)
{
	va_list		args;

	va_start(args, fmt);
	tap_report(pass, fmt, args);
	va_end(args);
	return pass;
}

/* Passes when both strings are equal, or both NULL; shows them if not. */
__attribute__((format(printf, 3, 4)))
static inline bool
is_str(const char *got, const char *want, const char *fmt,...)
{
	bool		pass;
	va_list		args;

	pass = got == NULL || want == NULL ? got == want : strcmp(got, want) == 0;
	va_start(args, fmt);
	tap_report(pass, fmt, args);
	va_end(args);
	if (!pass)
		printf("#      got: %s\n# expected: %s\n",
			   got ? got : "(null)", want ? want : "(null)");
	return pass;
}

/* Passes when both integers are equal; shows them if not. */
__attribute__((format(printf, 3, 4)))
static inline bool
is_int(long long got, long long want, const char *fmt,...)
{
	va_list		args;

	va_start(args, fmt);
	tap_report(got == want, fmt, args);
	va_end(args);
	if (got != want)
		printf("#      got: %lld\n# expected: %lld\n", got, want);
	return got == want;
}

/* Prints the plan; what main() returns. */
static inline int
done_testing(void)
{
	printf("1..%d\n", tap_run);
	if (tap_failed > 0)
		printf("# %d of %d failed\n", tap_failed, tap_run);
	return tap_failed > 0 || tap_run == 0;
}

#endif							/* KGW_TAP_H */
