/*-------------------------------------------------------------------------
 *
 * replay.c
 *	  A fuzz target without a fuzzer: gives it each file of its corpus.
 *
 *	  fuzz_NAME CORPORA		reads CORPORA/NAME and speaks TAP
 *
 * It is built with gcc and its sanitizers, so that `make check` needs no
 * clang.  Each file is given whole, cut off after each of its bytes, and with
 * each of its bits turned: that is cheap, always the same, and finds what reads
 * on past an end.  Every input has memory of its own size, so that the address
 * sanitizer sees a byte too many.
 *
 * test/fuzz/replay.c
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include <dirent.h>

#include "../unit/tap.h"

/* Longer files are given whole, and no more. */
#define CUT_MAX 600

static char *
read_file(const char *path, size_t *size)
{
	FILE	   *file = fopen(path, "rb");
	char	   *bytes;
	long		len;

	MUST(file != NULL && fseek(file, 0, SEEK_END) == 0);
	len = ftell(file);
	rewind(file);
	bytes = malloc((size_t) len + 1);
	MUST(bytes != NULL && fread(bytes, 1, (size_t) len, file) == (size_t) len);
	fclose(file);
	*size = (size_t) len;
	return bytes;
}

/* Gives the target a copy of these bytes that ends where they do. */
static void
give(const char *bytes, size_t size)
{
	uint8_t    *copy = malloc(size > 0 ? size : 1);

	MUST(copy != NULL);
	memcpy(copy, bytes, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

static void
give_variants(char *bytes, size_t size)
{
	size_t		i;
	int			bit;

	for (i = 0; i < size; i++)
	{
		give(bytes, i);
		for (bit = 0; bit < 8; bit++)
		{
			bytes[i] = (char) (bytes[i] ^ (1 << bit));
			give(bytes, size);
			bytes[i] = (char) (bytes[i] ^ (1 << bit));
		}
	}
}

static int
is_file(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

int
main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/');
	const char *name = (slash != NULL ? slash + 1 : argv[0]) + strlen("fuzz_");
	struct dirent **entries;
	char		path[4096];
	char	   *bytes;
	size_t		size;
	int			n;
	int			i;

	MUST(argc == 2);
	snprintf(path, sizeof(path), "%s/%s", argv[1], name);
	n = scandir(path, &entries, is_file, alphasort);
	ok(n > 0, "%s has a corpus", name);
	for (i = 0; i < n; i++)
	{
		printf("# %s\n", entries[i]->d_name);
		fflush(stdout);
		snprintf(path, sizeof(path), "%s/%s/%s", argv[1], name, entries[i]->d_name);
		bytes = read_file(path, &size);
		give(bytes, size);
		if (size <= CUT_MAX)
			give_variants(bytes, size);
		ok(true, "%s", entries[i]->d_name);
		free(bytes);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
	return done_testing();
}
