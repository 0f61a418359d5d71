/*-------------------------------------------------------------------------
 *
 * fuzz.h
 *	  What the fuzz targets share.
 *
 * A target takes bytes, hands them to a part of src/pure and holds what comes
 * out against what must always be true of it: not only that nothing crashes.
 * It must not keep anything from one input to the next but workspaces that the
 * module keeps as well, and must not ask for time or chance.
 *
 * Each target is a program twice: with libFuzzer, which looks for inputs that
 * break it (make fuzz), and with replay.c, which gives it the corpus (make
 * check-unit).
 *
 * test/fuzz/fuzz.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_FUZZ_H
#define KGW_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the program, and with it the input's innocence, unless it holds. */
#define MUST(condition) \
	((condition) ? (void) 0 : fuzz_failed(#condition, __FILE__, __LINE__))

static inline void
fuzz_failed(const char *condition, const char *file, int line)
{
	fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition);
	abort();
}

/* A sentence or reason that may go into a message: printable ASCII. */
static inline bool
fuzz_is_printable(const char *text)
{
	for (; *text != '\0'; text++)
	{
		if (*text < 0x20 || *text > 0x7e)
			return false;
	}
	return true;
}

/*
 * The input as a string that ends at its first NUL, in a piece of memory that
 * ends there too; to be freed.
 */
static inline char *
fuzz_string(const uint8_t *data, size_t size)
{
	const uint8_t *nul = size > 0 ? memchr(data, 0, size) : NULL;
	size_t		len = nul != NULL ? (size_t) (nul - data) : size;
	char	   *text = malloc(len + 1);

	MUST(text != NULL);
	if (len > 0)
		memcpy(text, data, len);
	text[len] = '\0';
	return text;
}

#endif							/* KGW_FUZZ_H */
