/*-------------------------------------------------------------------------
 *
 * test_number.c
 *	  Numbers: how doubles are printed, and which literals are refused.
 *
 * The tables are RFC 8785's own samples (appendix B) and the boundaries that
 * number.c decides on.  What a million other doubles look like is compared
 * with an ECMAScript engine by test/receivers/compare_numbers.mjs.
 *
 * test/unit/test_number.c
 *
 *-------------------------------------------------------------------------
 */
#include "pure/jcs/number.h"
#include "tap.h"

#include <locale.h>
#include <stdint.h>
#include <stdlib.h>

static void
test_appendix_b(void)
{
	static const struct
	{
		uint64_t	bits;
		const char *text;
	}			table[] = {
		{UINT64_C(0x0000000000000000), "0"},
		{UINT64_C(0x8000000000000000), "0"},
		{UINT64_C(0x0000000000000001), "5e-324"},
		{UINT64_C(0x8000000000000001), "-5e-324"},
		{UINT64_C(0x7fefffffffffffff), "1.7976931348623157e+308"},
		{UINT64_C(0xffefffffffffffff), "-1.7976931348623157e+308"},
		{UINT64_C(0x4340000000000000), "9007199254740992"},
		{UINT64_C(0xc340000000000000), "-9007199254740992"},
		{UINT64_C(0x4430000000000000), "295147905179352830000"},
		{UINT64_C(0x44b52d02c7e14af5), "9.999999999999997e+22"},
		{UINT64_C(0x44b52d02c7e14af6), "1e+23"},
		{UINT64_C(0x44b52d02c7e14af7), "1.0000000000000001e+23"},
		{UINT64_C(0x444b1ae4d6e2ef4e), "999999999999999700000"},
		{UINT64_C(0x444b1ae4d6e2ef4f), "999999999999999900000"},
		{UINT64_C(0x444b1ae4d6e2ef50), "1e+21"},
		{UINT64_C(0x3eb0c6f7a0b5ed8c), "9.999999999999997e-7"},
		{UINT64_C(0x3eb0c6f7a0b5ed8d), "0.000001"},
		{UINT64_C(0x41b3de4355555553), "333333333.3333332"},
		{UINT64_C(0x41b3de4355555554), "333333333.33333325"},
		{UINT64_C(0x41b3de4355555555), "333333333.3333333"},
		{UINT64_C(0x41b3de4355555556), "333333333.3333334"},
		{UINT64_C(0x41b3de4355555557), "333333333.33333343"},
		{UINT64_C(0xbecbf647612f3696), "-0.0000033333333333333333"},
		{UINT64_C(0x43143ff3c1cb0959), "1424953923781206.2"},
	};
	size_t		i;

	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++)
	{
		char		out[KGW_NUMBER_SIZE];
		double		value;
		int			len;

		memcpy(&value, &table[i].bits, sizeof(value));
		len = kgw_jcs_number_format(value, out);
		is_str(out, table[i].text, "appendix B: %s", table[i].text);
		is_int(len, strlen(out), "... and its length");
	}
}

/* Powers of two, where the interval that reads back is lopsided. */
static void
test_powers_of_two(void)
{
	static const struct
	{
		double		value;
		const char *text;
	}			table[] = {
		{0x1p-44, "5.684341886080802e-14"},
		{0x1p-24, "5.960464477539063e-8"},
		{0x1p89, "6.189700196426902e+26"},
		{0x1p-1022, "2.2250738585072014e-308"},
		{0x1p-1023, "1.1125369292536007e-308"},
		{0x1p1023, "8.98846567431158e+307"},
	};
	size_t		i;

	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++)
	{
		char		out[KGW_NUMBER_SIZE];

		kgw_jcs_number_format(table[i].value, out);
		is_str(out, table[i].text, "a power of two: %s", table[i].text);
	}
}

static void
test_accepted(void)
{
	static const char *const table[][2] = {
		/* RFC 8785 section 3.2.2 */
		{"333333333.33333329", "333333333.3333333"},
		{"1E30", "1e+30"},
		{"4.50", "4.5"},
		{"2e-3", "0.002"},
		{"0.000000000000000000000000001", "1e-27"},
		/* zeros */
		{"0", "0"},
		{"-0", "0"},
		{"-0.0e-7", "0"},
		{"0e99999999999999999999", "0"},
		/* short ones */
		{"1.0", "1"},
		{"-1", "-1"},
		{"0.1", "0.1"},
		{"-300.0", "-300"},
		{"1700000000", "1700000000"},
		{"999999999999999", "999999999999999"},
		{"1000000000000000", "1000000000000000"},
		{"100e-2", "1"},
		{"0.00001e5", "1"},
		/* where the layout changes */
		{"1e20", "100000000000000000000"},
		{"1e21", "1e+21"},
		{"123e19", "1.23e+21"},
		{"123456e15", "123456000000000000000"},
		{"0.000001", "0.000001"},
		{"0.0000001", "1e-7"},
		{"0.00000123", "0.00000123"},
		{"1.5e-7", "1.5e-7"},
		/* exact, or as exact as they were written */
		{"9007199254740992", "9007199254740992"},
		{"9007199254740994", "9007199254740994"},
		{"18446744073709551616", "18446744073709552000"},
		{"1e23", "1e+23"},
		{"9.999999999999999e22", "1e+23"},
		{"0.1000000000000000055511151231257827", "0.1"},
		{"0.30000000000000004", "0.30000000000000004"},
		/* what is printed is taken back, though 2^89 rounds to ...901e26 */
		{"6.189700196426902e+26", "6.189700196426902e+26"},
		/* the ends of the range */
		{"1.7976931348623157e308", "1.7976931348623157e+308"},
		{"2.2250738585072014e-308", "2.2250738585072014e-308"},
		{"5e-324", "5e-324"},
		{"4.9e-324", "5e-324"},
		{"4.94065645841246544e-324", "5e-324"},
		{"-1.1125369292536007e-308", "-1.1125369292536007e-308"},
	};
	size_t		i;

	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++)
	{
		char		out[KGW_NUMBER_SIZE];
		int			len;

		len = kgw_jcs_number_canonical(table[i][0], strlen(table[i][0]), out);
		if (!is_int(len, strlen(table[i][1]), "%s is accepted", table[i][0]))
			continue;
		is_str(out, table[i][1], "... as %s", table[i][1]);
	}
}

static void
test_refused(void)
{
	static const char *const table[] = {
		"9007199254740993",
		"-9007199254740993",
		"9007199254740993.0",
		"90071992547409930e-1",
		"12345678901234567890",
		"99999999999999999",
		"0.1234567890123456789",
		"0.100000000000000005",
		"1e400",
		"-1e400",
		"1e309",
		"1.7976931348623159e308",
		"1e-400",
		"1e-324",
		"3e-324",
		"7e-324",
		"1e99999999999999999999",
		"1e-99999999999999999999",
		"0.00000000000000000000000000000000000000000001e-9999999999999999",
	};
	size_t		i;

	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++)
	{
		char		out[KGW_NUMBER_SIZE];

		is_int(kgw_jcs_number_canonical(table[i], strlen(table[i]), out), -1,
			   "%s is refused", table[i]);
	}
}

/* A literal of "zeros" zeros between head and tail. */
static int
canonical_long(const char *head, size_t zeros, const char *tail, char *out)
{
	size_t		head_len = strlen(head);
	size_t		tail_len = strlen(tail);
	char	   *text = malloc(head_len + zeros + tail_len);
	int			len;

	memcpy(text, head, head_len);
	memset(text + head_len, '0', zeros);
	memcpy(text + head_len + zeros, tail, tail_len);
	len = kgw_jcs_number_canonical(text, head_len + zeros + tail_len, out);
	free(text);
	return len;
}

static void
test_long(void)
{
	char		out[KGW_NUMBER_SIZE];

	is_int(canonical_long("1.", 1000000, "", out), 1,
		   "a million zeros after the point");
	is_str(out, "1", "... are nothing");
	is_int(canonical_long("1.", 1000000, "1", out), -1,
		   "a million digits are refused");
	is_int(canonical_long("0.", 1000000, "1e1000001", out), 1,
		   "a million zeros and an exponent that takes them back");
	is_str(out, "1", "... are nothing either");
	is_int(canonical_long("1", 1000000, "e-1000000", out), 1,
		   "the same the other way round");
	is_str(out, "1", "... too");
	is_int(canonical_long("1", 1000000, "", out), -1,
		   "a number of a million digits is infinite");
	is_int(canonical_long("1e", 1000000, "2", out), 3,
		   "zeros before an exponent");
	is_str(out, "100", "... don't count");
	is_int(canonical_long("0.5", 796, "1", out), -1,
		   "798 significant digits that no double has");
	is_int(canonical_long("0.5", 900, "1", out), -1, "more than 800");
}

/* The sanitizers see to it that not one byte beyond len is read. */
static void
test_not_terminated(void)
{
	char		out[KGW_NUMBER_SIZE];
	char	   *text = malloc(3);

	memcpy(text, "4.5", 3);
	is_int(kgw_jcs_number_canonical(text, 3, out), 3, "no NUL is needed");
	is_str(out, "4.5", "... nor looked for");
	is_int(kgw_jcs_number_canonical(text, 1, out), 1, "the length counts");
	is_str(out, "4", "... and ends the literal");
	free(text);
}

static void
test_locale(void)
{
	char		out[KGW_NUMBER_SIZE];

	if (setlocale(LC_NUMERIC, "de_DE.UTF-8") == NULL)
	{
		ok(true, "a decimal comma does no harm # SKIP no such locale here");
		return;
	}
	kgw_jcs_number_canonical("0.30000000000000004", 19, out);
	is_str(out, "0.30000000000000004", "a decimal comma does no harm");
	setlocale(LC_NUMERIC, "C");
}

int
main(void)
{
	test_appendix_b();
	test_powers_of_two();
	test_accepted();
	test_refused();
	test_long();
	test_not_terminated();
	test_locale();
	return done_testing();
}
