/*-------------------------------------------------------------------------
 *
 * fuzz_header.c
 *	  Fuzzes what is read of an answer's headers: a line, and Retry-After.
 *
 * Whatever a receiver says, it makes us wait between no time and a day.  A
 * value that was taken is a part of the line, and the line is of that name.
 *
 * test/fuzz/fuzz_header.c
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include <strings.h>

#include "pure/http_header.h"
#include "pure/retry_schedule.h"

#define NAME "retry-after"
#define ROOM 64

static const int64_t clocks[] = {
	0, 784111777, 1700000000, INT64_C(253402300799), -1, INT64_MAX / 2, INT64_MIN / 2
};

static void
check_wait(const char *value, size_t len)
{
	size_t		digits = 0;
	size_t		i;

	while (digits < len && value[digits] >= '0' && value[digits] <= '9')
		digits++;
	for (i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++)
	{
		int64_t		wait = kgw_retry_schedule_parse_after(value, len, clocks[i]);

		MUST(wait >= -1 && wait <= KGW_RETRY_AFTER_CAP);
		if (digits == len && len > 0 && len <= 4)
			MUST(wait == atoi(value));
		if (digits == len && len > 0)
			MUST(wait >= 0);
		if (len == 0)
			MUST(wait == -1);
	}
}

static void
check_line(const char *line, size_t len)
{
	char		value[ROOM] = "untouched";
	char	   *fits = malloc(len + 1);
	size_t		value_len;

	MUST(fits != NULL);
	if (!kgw_http_header_value(line, len, NAME, value, sizeof(value)))
	{
		MUST(strcmp(value, "untouched") == 0);
		MUST(kgw_http_header_value(line, len, NAME, fits, len + 1) == false || len >= ROOM);
		free(fits);
		return;
	}
	value_len = strlen(value);
	MUST(len > strlen(NAME) && strncasecmp(line, NAME ":", strlen(NAME ":")) == 0);
	MUST(value_len < ROOM && value_len < len);
	MUST(value_len == 0 || memmem(line, len, value, value_len) != NULL);
	MUST(value_len == 0 ||
		 (strchr(" \t", value[0]) == NULL && strchr(" \t\r\n", value[value_len - 1]) == NULL));

	/* it takes exactly as much room as it takes */
	MUST(kgw_http_header_value(line, len, NAME, fits, value_len + 1));
	MUST(strcmp(fits, value) == 0);
	MUST(!kgw_http_header_value(line, len, NAME, fits, value_len));
	check_wait(value, value_len);
	free(fits);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *line = malloc(size + sizeof(NAME) + 2);
	char	   *value = fuzz_string(data, size);

	MUST(line != NULL);
	check_line((const char *) data, size);
	check_wait(value, strlen(value));

	/* with the name before it, so that it needn't be found first */
	memcpy(line, "Retry-After:", strlen(NAME) + 1);
	if (size > 0)
		memcpy(line + strlen(NAME) + 1, data, size);
	check_line(line, strlen(NAME) + 1 + size);
	free(line);
	free(value);
	return 0;
}
