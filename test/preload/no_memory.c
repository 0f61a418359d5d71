/*-------------------------------------------------------------------------
 *
 * no_memory.c
 *	  A library to preload: in a worker of ours, the N-th allocation fails, or all do from
 *	  the N-th to another, or from the N-th on for a while.
 *
 * The file that KGW_NO_MEMORY names holds a struct KgwMemory (below), by which a test
 * says which allocations are to fail, and learns how many there were.  What a failed
 * one was called by is written to the same path with ".stacks" behind it.
 *
 * An allocation of PostgreSQL's own is not counted, unless "all" is set: when there is
 * no memory it raises an error, which is another thing than a NULL to look at.  Whose
 * an allocation is, is told by who called malloc(), the C library and the loader left out:
 * strdup() and getaddrinfo() allocate for someone else.  Only then is the stack looked at,
 * which costs more than a TLS handshake if it is done for each.
 *
 * One kind is spared: what libcurl copies for a TLS session when OpenSSL calls it back with one.
 * Without memory for the strings of its settings, libcurl 7.88 seems to free the host's name,
 * to keep the pointer, and to free it again at the next session: the server ended in there once,
 * with its heap damaged.
 *
 * Only calls in a process that is a worker count, from its first instruction as one;
 * those of the threads that it starts for lookups, too.  The address of
 * MyBgworkerEntry, which the server exports, leads to what kind of process this is.
 *
 * test/preload/no_memory.c
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define FRAMES 48

/* Of what follows one another, so many tell who called. */
#define STACKS 40

/* Of BackgroundWorker, which begins with its name. */
#define WORKER "kgwebhook worker"

struct KgwMemory
{
	volatile int64_t fails_at;	/* 1: the next one; 0: none, and none is counted */
	volatile int64_t fails_until;	/* the last one that fails */
	volatile int64_t fails_for;	/* how long after the first, microseconds; 0: that does not matter */
	volatile int64_t all;		/* PostgreSQL's own, too */
	int64_t		first_failed;	/* when, by a clock that nobody sets */
	int64_t		calls;			/* so far */
	int64_t		failed;
};

typedef struct
{
	uintptr_t	begin;
	uintptr_t	end;
} Range;

extern char *MyBgworkerEntry __attribute__((weak));
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static struct KgwMemory *memory;
static char stacks[4096];
static Range server;
static Range skipped[3];		/* this library, the C library and the loader */
static int	skipped_count;
static __thread bool inside __attribute__((tls_model("initial-exec")));

/* Note where the code of what concerns us is. */
static int
note_range(struct dl_phdr_info *info, size_t size, void *arg)
{
	Range		range = {UINTPTR_MAX, 0};
	const char *name = strrchr(info->dlpi_name, '/');

	(void) size;
	(void) arg;
	for (int i = 0; i < info->dlpi_phnum; i++)
	{
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
		uintptr_t	begin = info->dlpi_addr + segment->p_vaddr;

		if (segment->p_type != PT_LOAD)
			continue;
		range.begin = begin < range.begin ? begin : range.begin;
		range.end = begin + segment->p_memsz > range.end ? begin + segment->p_memsz : range.end;
	}
	if (info->dlpi_name[0] == '\0')
		server = range;
	else if (name != NULL && skipped_count < 3 &&
			 (strncmp(name, "/libc.so", 8) == 0 || strncmp(name, "/ld-", 4) == 0 ||
			  strncmp(name, "/no_memory", 10) == 0))
		skipped[skipped_count++] = range;
	return 0;
}

static void __attribute__((constructor))
begin(void)
{
	const char *path = getenv("KGW_NO_MEMORY");
	void	   *frames[2];
	void	   *map;
	int			fd;

	if (path == NULL)
		return;
	/* its first call loads a library */
	(void) backtrace(frames, 2);
	dl_iterate_phdr(note_range, NULL);
	snprintf(stacks, sizeof(stacks), "%s.stacks", path);
	fd = open(path, O_RDWR | O_CLOEXEC);
	map = mmap(NULL, sizeof(struct KgwMemory), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd < 0 || map == MAP_FAILED)
		abort();
	close(fd);
	memory = map;
}

static bool
is_in(const Range *range, const void *address)
{
	return (uintptr_t) address >= range->begin && (uintptr_t) address < range->end;
}

static bool
is_skipped(const void *address)
{
	for (int i = 0; i < skipped_count; i++)
	{
		if (is_in(&skipped[i], address))
			return true;
	}
	return false;
}

/* Whether these callers lead to PostgreSQL itself. */
static bool
is_servers(void *const *frames, int count)
{
	for (int i = 0; i < count; i++)
	{
		if (!is_skipped(frames[i]))
			return is_in(&server, frames[i]);
	}
	return false;
}

static void
write_stack(int64_t number, void *const *frames, int count)
{
	int			fd = open(stacks, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	char		line[32];
	int			len = snprintf(line, sizeof(line), "-- %lld\n", (long long) number);

	if (fd < 0 || write(fd, line, (size_t) len) != len)
		abort();
	backtrace_symbols_fd(frames, count, fd);
	close(fd);
}

/* Whether a call from there is PostgreSQL's own. */
static bool
is_from_server(void *caller)
{
	void	   *frames[FRAMES];

	if (!is_skipped(caller))
		return is_in(&server, caller);
	return is_servers(frames, backtrace(frames, FRAMES));
}

static bool
is_of(const void *address, const char *library)
{
	Dl_info		info;

	return dladdr(address, &info) != 0 && info.dli_fname != NULL &&
		strstr(info.dli_fname, library) != NULL;
}

/* Three functions of libcurl's down from OpenSSL, and a string: see above. */
static bool
is_spared(void *const *frames, int count)
{
	int			at = 0;
	int			of_libcurl = 0;

	while (at < count && is_skipped(frames[at]))
		at++;
	for (; at < count && is_of(frames[at], "/libcurl"); at++)
		of_libcurl++;
	return of_libcurl >= 3 && at < count && is_of(frames[at], "/libssl");
}

/* Whether memory has been missing for as long as it should. */
static bool
is_over(void)
{
	struct timespec spec;
	int64_t		now;
	int64_t		first = 0;

	if (memory->fails_for == 0)
		return false;
	clock_gettime(CLOCK_MONOTONIC, &spec);
	now = spec.tv_sec * INT64_C(1000000) + spec.tv_nsec / 1000;
	if (__atomic_compare_exchange_n(&memory->first_failed, &first, now, false, __ATOMIC_SEQ_CST,
									__ATOMIC_SEQ_CST))
		return false;
	return now - first > memory->fails_for;
}

/* Count a call; whether it is one that is to fail. */
static bool
is_its_turn(void *caller)
{
	void	   *frames[FRAMES];
	int64_t		number;
	int			count;

	if (!memory->all && is_from_server(caller))
		return false;
	number = __atomic_add_fetch(&memory->calls, 1, __ATOMIC_SEQ_CST);
	if (number < memory->fails_at || number > memory->fails_until || is_over())
		return false;
	count = backtrace(frames, FRAMES);
	if (is_spared(frames, count))
		return false;
	if (__atomic_add_fetch(&memory->failed, 1, __ATOMIC_SEQ_CST) <= STACKS)
		write_stack(number, frames, count);
	return true;
}

static bool
fails(void *caller)
{
	bool		result;
	int			saved = errno;

	if (memory == NULL || memory->fails_at == 0 || inside || &MyBgworkerEntry == NULL ||
		MyBgworkerEntry == NULL || strncmp(MyBgworkerEntry, WORKER, strlen(WORKER)) != 0)
		return false;
	inside = true;
	result = is_its_turn(caller);
	inside = false;
	errno = result ? ENOMEM : saved;
	return result;
}

void *
malloc(size_t size)
{
	return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *
calloc(size_t count, size_t size)
{
	return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
}

/* To make something smaller may fail, too; to free it may not. */
void *
realloc(void *old, size_t size)
{
	return size > 0 && fails(__builtin_return_address(0)) ? NULL : __libc_realloc(old, size);
}

void *
memalign(size_t alignment, size_t size)
{
	return fails(__builtin_return_address(0)) ? NULL : __libc_memalign(alignment, size);
}

void *
aligned_alloc(size_t alignment, size_t size)
{
	return memalign(alignment, size);
}

int
posix_memalign(void **out, size_t alignment, size_t size)
{
	void	   *made = memalign(alignment, size);

	if (made == NULL)
		return ENOMEM;
	*out = made;
	return 0;
}
