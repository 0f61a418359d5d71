/*-------------------------------------------------------------------------
 *
 * fuzz_http_date.c
 *	  Fuzzes dates as HTTP writes them.
 *
 * The judges are gmtime() and strftime(), in the C locale: a date that was
 * understood, written by them in the preferred form, is understood the same.
 *
 * test/fuzz/fuzz_http_date.c
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include <time.h>

#include "pure/http_date.h"

#define LAST INT64_C(253402300799)

/* Two digits of a year may mean one that is fifty years from now. */
#define LATEST (LAST + 51 * INT64_C(366) * 86400)

static const int64_t clocks[] = {0, 784111777, 1700000000, 4102444800, LAST, -5};

/* The same moment in the preferred form. */
static void
check_again(int64_t moment)
{
	time_t		seconds = (time_t) moment;
	struct tm	tm;
	char		text[64];
	int64_t		again;
	size_t		len;

	MUST(gmtime_r(&seconds, &tm) != NULL);
	len = strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);

	/* four digits, also of the years before 1000 */
	if (len != strlen("Sun, 06 Nov 1994 08:49:37 GMT"))
		return;
	MUST(kgw_http_date_parse(text, len, 0, &again));
	MUST(again == moment);
	len = strftime(text, sizeof(text), "%a %b %e %H:%M:%S %Y", &tm);
	MUST(kgw_http_date_parse(text, len, 0, &again));
	MUST(again == moment);
}

/* What strptime() makes of the preferred form. */
static void
compare_with_strptime(const char *text, size_t size, int64_t moment)
{
	struct tm	tm;
	char	   *end;

	memset(&tm, 0, sizeof(tm));
	if (size != strlen("Sun, 06 Nov 1994 08:49:37 GMT"))
		return;
	end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
	if (end == NULL || *end != '\0')
		return;
	MUST((int64_t) timegm(&tm) == moment);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *bytes = (const char *) data;
	char	   *text = fuzz_string(data, size);
	size_t		i;

	for (i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++)
	{
		int64_t		moment = INT64_MIN;

		if (!kgw_http_date_parse(bytes, size, clocks[i], &moment))
		{
			MUST(moment == INT64_MIN);
			continue;
		}
		MUST(moment <= LATEST);
		MUST(size >= 24 && size <= 33);
		check_again(moment);
		if (i == 0)
			compare_with_strptime(text, strlen(text), moment);
	}
	free(text);
	return 0;
}
