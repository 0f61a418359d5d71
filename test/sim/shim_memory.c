/*-------------------------------------------------------------------------
 *
 * shim_memory.c
 *	  PostgreSQL's memory, lists and errors, as far as the simulation needs them.
 *
 * What is simulated is the product's own object code, which calls palloc() and
 * lappend().  The server that has these can't be linked, so here they are again,
 * on top of malloc(): each piece is one allocation, so that valgrind and the
 * sanitizers see every one.  A context is a list of its pieces and of the contexts
 * below it; sim_process_end() frees the one on top, as the end of a process would.
 *
 * test/sim/shim_memory.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <stdlib.h>

#include "nodes/memnodes.h"
#include "nodes/pg_list.h"
#include "utils/memutils.h"

#include "sim.h"

typedef struct SimContext SimContext;

/* In front of each piece; GetMemoryChunkContext() looks for the context just before it. */
typedef struct SimPiece
{
	struct SimPiece *next;
	struct SimPiece *prev;
	Size		size;
	SimContext *context;
} SimPiece;

struct SimContext
{
	MemoryContextData head;
	SimPiece	pieces;			/* of a ring */
	SimContext *below;			/* the first of those below */
	SimContext *beside;			/* the next of the same above */
};

MemoryContext CurrentMemoryContext;
MemoryContext TopMemoryContext;

MemoryContext
AllocSetContextCreateInternal(MemoryContext parent, const char *name, Size min, Size init, Size max)
{
	SimContext *context = calloc(1, sizeof(SimContext));
	SimContext *above = (SimContext *) parent;

	if (context == NULL)
		abort();
	context->head.type = T_AllocSetContext;
	context->head.name = name;
	context->pieces.next = context->pieces.prev = &context->pieces;
	if (above != NULL)
	{
		context->beside = above->below;
		above->below = context;
	}
	return &context->head;
}

void
MemoryContextReset(MemoryContext which)
{
	SimContext *context = (SimContext *) which;

	while (context->pieces.next != &context->pieces)
		pfree((char *) context->pieces.next + sizeof(SimPiece));
}

/* A context, and all below it, are no more. */
static void
delete_context(SimContext *context)
{
	while (context->below != NULL)
	{
		SimContext *below = context->below;

		context->below = below->beside;
		delete_context(below);
	}
	MemoryContextReset(&context->head);
	free(context);
}

/* The process has ended: all its memory is gone. */
void
sim_memory_end(void)
{
	if (TopMemoryContext != NULL)
		delete_context((SimContext *) TopMemoryContext);
	TopMemoryContext = CurrentMemoryContext = NULL;
}

/* A process begins. */
void
sim_memory_begin(void)
{
	TopMemoryContext = AllocSetContextCreateInternal(NULL, "top", 0, 0, 0);
	CurrentMemoryContext = TopMemoryContext;
}

void *
MemoryContextAlloc(MemoryContext which, Size size)
{
	SimContext *context = (SimContext *) which;
	SimPiece   *piece = malloc(sizeof(SimPiece) + size);

	if (piece == NULL)
		abort();
	piece->size = size;
	piece->context = context;
	piece->next = context->pieces.next;
	piece->prev = &context->pieces;
	piece->next->prev = piece->prev->next = piece;
	return (char *) piece + sizeof(SimPiece);
}

void *
MemoryContextAllocZero(MemoryContext context, Size size)
{
	return memset(MemoryContextAlloc(context, size), 0, size);
}

void *
MemoryContextAllocHuge(MemoryContext context, Size size)
{
	return MemoryContextAlloc(context, size);
}

void *
MemoryContextAllocExtended(MemoryContext context, Size size, int flags)
{
	return flags & MCXT_ALLOC_ZERO ? MemoryContextAllocZero(context, size) :
		MemoryContextAlloc(context, size);
}

void *
palloc(Size size)
{
	return MemoryContextAlloc(CurrentMemoryContext, size);
}

void *
palloc0(Size size)
{
	return MemoryContextAllocZero(CurrentMemoryContext, size);
}

void
pfree(void *pointer)
{
	SimPiece   *piece = (SimPiece *) ((char *) pointer - sizeof(SimPiece));

	piece->next->prev = piece->prev;
	piece->prev->next = piece->next;
	free(piece);
}

char *
pstrdup(const char *text)
{
	return strcpy(palloc(strlen(text) + 1), text);
}

char *
psprintf(const char *format,...)
{
	char	   *text = palloc(1024);
	va_list		args;

	va_start(args, format);
	vsnprintf(text, 1024, format, args);
	va_end(args);
	return text;
}

#if PG_VERSION_NUM >= 160000
MemoryContext
GetMemoryChunkContext(void *pointer)
{
	return &((SimPiece *) ((char *) pointer - sizeof(SimPiece)))->context->head;
}
#endif

/*
 * Lists, of which only those of pointers are used
 */

List *
lappend(List *list, void *datum)
{
	if (list == NIL)
	{
		list = palloc0(offsetof(List, initial_elements));
		list->type = T_List;
	}
	if (list->length == list->max_length)
	{
		int			room = Max(list->max_length * 2, 16);
		ListCell   *cells = palloc(room * sizeof(ListCell));

		if (list->length > 0)
		{
			memcpy(cells, list->elements, list->length * sizeof(ListCell));
			pfree(list->elements);
		}
		list->elements = cells;
		list->max_length = room;
	}
	list->elements[list->length++].ptr_value = datum;
	return list;
}

void
list_free(List *list)
{
	if (list == NIL)
		return;
	if (list->max_length > 0)
		pfree(list->elements);
	pfree(list);
}

void
list_free_deep(List *list)
{
	ListCell   *lc;

	foreach(lc, list)
		pfree(lfirst(lc));
	list_free(list);
}

/*
 * Errors: there are none that pass
 */

bool
errstart(int elevel, const char *domain)
{
	if (elevel >= ERROR)
		sim_wrong("raised", "an error was raised");
	return false;
}

/* What a compiler calls where it knows the level. */
bool
errstart_cold(int elevel, const char *domain)
{
	return errstart(elevel, domain);
}

void
errfinish(const char *filename, int lineno, const char *funcname)
{
}

int
errcode(int sqlerrcode)
{
	return 0;
}

int
errmsg(const char *fmt,...)
{
	return 0;
}

int
errdetail(const char *fmt,...)
{
	return 0;
}

int
errhint(const char *fmt,...)
{
	return 0;
}

/* What failed here is one of the functions of schedule/invariants.c, or an Assert. */
#if PG_VERSION_NUM >= 160000
void
ExceptionalCondition(const char *condition, const char *file, int line)
#else
void
ExceptionalCondition(const char *condition, const char *type, const char *file, int line)
#endif
{
	sim_wrong("assertion", "%s, line %d: %s", file, line, condition);
	abort();
}

int
pg_lltoa(int64 value, char *a)
{
	return sprintf(a, INT64_FORMAT, value);
}

int
pg_ltoa(int32 value, char *a)
{
	return sprintf(a, "%d", value);
}
