/*-------------------------------------------------------------------------
 *
 * canonical_cli.c
 *	  The canonicalizer as a filter, for comparing it with other languages.
 *
 * canonical_cli numbers
 *		reads lines of 16 hex digits, the bits of a double, and writes the
 *		canonical text of each on a line
 * canonical_cli documents
 *		reads frames (four bytes of length, little-endian, and a JSON text)
 *		and writes for each a byte of KgwJcsStatus and a frame with the
 *		canonical text, or the problem
 *
 * test/unit/canonical_cli.c
 *
 *-------------------------------------------------------------------------
 */
#include "pure/jcs/jcs.h"
#include "pure/jcs/number.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int
numbers(void)
{
	char		line[64];
	char		text[KGW_NUMBER_SIZE];

	while (fgets(line, sizeof(line), stdin) != NULL)
	{
		uint64_t	bits = strtoull(line, NULL, 16);
		double		value;

		memcpy(&value, &bits, sizeof(value));
		kgw_jcs_number_format(value, text);
		puts(text);
	}
	return 0;
}

static void
write_frame(KgwJcsStatus status, const char *bytes, size_t len)
{
	unsigned char head[5];

	head[0] = status;
	head[1] = len & 255;
	head[2] = len >> 8 & 255;
	head[3] = len >> 16 & 255;
	head[4] = len >> 24 & 255;
	fwrite(head, 1, sizeof(head), stdout);
	fwrite(bytes, 1, len, stdout);
}

static int
documents(void)
{
	KgwJcs *c = kgw_jcs_new();
	char	   *json = malloc(KGW_CANONICAL_MAX_BYTES);
	unsigned char head[4];

	if (c == NULL || json == NULL)
		return 1;
	while (fread(head, 1, sizeof(head), stdin) == sizeof(head))
	{
		size_t		len = head[0] | head[1] << 8 | head[2] << 16;
		KgwJcsStatus status;
		const char *text;

		if (head[3] != 0 || len > KGW_CANONICAL_MAX_BYTES ||
			fread(json, 1, len, stdin) != len)
			return 1;
		status = kgw_jcs_run(c, json, len, NULL);
		if (status == KGW_CANONICAL_OK)
			text = kgw_jcs_text(c, &len);
		else
		{
			text = kgw_jcs_problem(c);
			len = strlen(text);
		}
		write_frame(status, text, len);
	}
	free(json);
	kgw_jcs_free(c);
	return 0;
}

int
main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "numbers") == 0)
		return numbers();
	if (argc == 2 && strcmp(argv[1], "documents") == 0)
		return documents();
	fprintf(stderr, "usage: canonical_cli numbers | documents\n");
	return 2;
}
