/*-------------------------------------------------------------------------
 *
 * ports.h
 *	  Ports: one, and the set of them in a setting.
 *
 * src/pure/ports.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PURE_PORTS_H
#define KGW_PURE_PORTS_H

#include <stdbool.h>
#include <stddef.h>

#define KGW_PORTS_MAX 32

/* A set of ports, as inclusive ranges. */
typedef struct KgwPorts
{
	int			n;
	struct
	{
		int			low;
		int			high;
	}			range[KGW_PORTS_MAX];
} KgwPorts;

/* A port from 1 to 65535, written the one way there is to write it; -1 when it is not. */
extern int	kgw_ports_number(const char *text, size_t len);

/*
 * Parse a list of ports and ranges of ports, such as "443,80,1024-65535", from
 * a NUL-terminated text; "" is no port at all.  On false, "problem" (of
 * "problem_size" bytes) holds a sentence that says why, and "out" is not to be
 * used.
 */
extern bool kgw_ports_parse(const char *text, KgwPorts *out, char *problem, size_t problem_size);
extern bool kgw_ports_contain(const KgwPorts *ports, int port);

#endif							/* KGW_PURE_PORTS_H */
