/*-------------------------------------------------------------------------
 *
 * test_canonical_memory.c
 *	  Canonical JSON: what the workspace holds, gives back and does without.
 *
 * The only test that looks into the workspace: how much memory that has is
 * nobody else's business.
 *
 * test/unit/test_canonical_memory.c
 *
 *-------------------------------------------------------------------------
 */
#include "pure/jcs/jcs.h"
#include "pure/jcs/workspace.h"
#include "tap.h"
#include "workspace.h"

#include <sys/resource.h>

static size_t
held_bytes(void)
{
	return workspace->draft.capacity + workspace->open.capacity +
		workspace->kept.capacity + workspace->moved.capacity +
		workspace->ordered.capacity + workspace->signature.capacity;
}

static void
test_workspace(void)
{
	static const char small[] = "{\"b\":{\"d\":1,\"c\":2},\"a\":\"x\"}";
	char	   *json = long_string(KGW_CANONICAL_MAX_BYTES);
	const char *before;
	size_t		held;
	size_t		len;
	int			i;

	kgw_jcs_run(workspace, json, KGW_CANONICAL_MAX_BYTES, NULL);
	ok(held_bytes() > KGW_CANONICAL_MAX_BYTES, "a large document takes memory");
	before = canonical(small, NULL);
	held = held_bytes();
	ok(held < 6 * KGW_CANONICAL_KEEP_BYTES, "a small one gives it back");
	for (i = 0; i < 1000; i++)
		canonical(small, NULL);
	ok(kgw_jcs_text(workspace, &len) == before && held_bytes() == held,
	   "a thousand small ones take no more than the first");

	is_int(run_string("[", NULL), KGW_CANONICAL_MALFORMED, "after a failure");
	is_str(canonical(small, NULL), "{\"a\":\"x\",\"b\":{\"c\":2,\"d\":1}}",
		   "... the next document succeeds");
	is_str(kgw_jcs_problem(workspace), "", "... without a problem");
	is_int(kgw_jcs_run(workspace, NULL, 0, NULL),
		   KGW_CANONICAL_MALFORMED, "nothing at all is malformed");
	kgw_jcs_free(NULL);
	free(json);
}

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

/* Last, for it leaves the process without memory for a while. */
static void
test_no_memory(void)
{
#ifdef SANITIZED
	ok(true, "no memory # SKIP the sanitizer's own memory has no such limit");
#else
	char	   *json = long_string(KGW_CANONICAL_MAX_BYTES);
	struct rlimit limit;
	struct rlimit tight;
	KgwJcsStatus status;
	void	   *hoard = NULL;
	void	   *block;

	canonical("{}", NULL);
	getrlimit(RLIMIT_AS, &limit);
	tight = limit;
	tight.rlim_cur = 1;
	setrlimit(RLIMIT_AS, &tight);
	/* What earlier tests have freed is used up, block by block. */
	while ((block = malloc(KGW_CANONICAL_KEEP_BYTES)) != NULL)
	{
		*(void **) block = hoard;
		hoard = block;
	}
	status = kgw_jcs_run(workspace, json, KGW_CANONICAL_MAX_BYTES, NULL);
	setrlimit(RLIMIT_AS, &limit);
	while ((block = hoard) != NULL)
	{
		hoard = *(void **) block;
		free(block);
	}
	is_int(status, KGW_CANONICAL_NO_MEMORY, "no memory");
	is_str(kgw_jcs_problem(workspace), "out of memory",
		   "... and told so");
	is_int(kgw_jcs_run(workspace, json, KGW_CANONICAL_MAX_BYTES, NULL),
		   KGW_CANONICAL_OK, "with memory it succeeds again");
	free(json);
#endif
}

int
main(void)
{
	workspace = kgw_jcs_new();
	test_workspace();
	test_no_memory();
	kgw_jcs_free(workspace);
	return done_testing();
}
