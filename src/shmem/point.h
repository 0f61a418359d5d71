/*-------------------------------------------------------------------------
 *
 * point.h
 *	  Points of death: where a test ends, stops or fails a process, or slows it down.
 *
 * Every step between the commit of an event and the end of its delivery has a name.
 * In a build with assertions a test can have a process die there; in one with KGW_LAG
 * (make check-slow) it sometimes sleeps there, so that tests that take a fast worker
 * for granted fail.  In any other this is nothing at all.
 *
 * src/shmem/point.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SHMEM_POINT_H
#define KGW_SHMEM_POINT_H

#if defined(USE_ASSERT_CHECKING) || defined(KGW_LAG)
extern void kgw_point_reached(const char *name);
#define KGW_POINT(name) kgw_point_reached(name)
#else
#define KGW_POINT(name) ((void) 0)
#endif

#endif							/* KGW_SHMEM_POINT_H */
