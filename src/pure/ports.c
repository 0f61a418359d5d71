/*-------------------------------------------------------------------------
 *
 * ports.c
 *	  Ports: one, as it stands in a URL, and the set of them in a setting.
 *
 * There is one way to write a port, also in the setting: without a sign, a leading zero
 * or a base.  What the one parser takes and another takes for something else would let a
 * URL through that is called at another port.
 *
 * Ranges may overlap, and need no order: a set is small, and searched from its beginning.
 *
 * src/pure/ports.c
 *
 *-------------------------------------------------------------------------
 */
#include "pure/ports.h"

#include <stdio.h>
#include <string.h>

#include "pure/text/ascii.h"
#include "pure/text/list_setting.h"

/* A port written the one way there is to write it; -1 when it is not. */
int
kgw_ports_number(const char *text, size_t len)
{
	int			port = 0;
	size_t		i;

	if (len < 1 || len > 5 || text[0] == '0')
		return -1;
	for (i = 0; i < len; i++)
	{
		if (!kgw_ascii_is_digit(text[i]))
			return -1;
		port = port * 10 + (text[i] - '0');
	}
	return port <= 65535 ? port : -1;
}

/* One port or range, "443" or "1024-65535"; false when it is neither. */
static bool
parse_range(const char *item, size_t len, int *low, int *high)
{
	const char *dash = len > 0 ? memchr(item, '-', len) : NULL;
	size_t		left;
	size_t		right;

	if (dash == NULL)
	{
		*low = *high = kgw_ports_number(item, len);
		return *low > 0;
	}

	left = (size_t) (dash - item);
	right = len - left - 1;
	while (left > 0 && kgw_item_blank(item[left - 1]))
		left--;
	while (right > 0 && kgw_item_blank(item[len - right]))
		right--;
	*low = kgw_ports_number(item, left);
	*high = kgw_ports_number(item + len - right, right);
	return *low > 0 && *high >= *low;
}

/* Parse a list of ports: see ports.h. */
bool
kgw_ports_parse(const char *text, KgwPorts *out, char *problem, size_t problem_size)
{
	const char *rest = kgw_items_begin(text);
	const char *item;
	size_t		len;
	char		shown[KGW_ITEM_SHOWN_SIZE];

	memset(out, 0, sizeof(*out));
	while (kgw_items_next(&rest, &item, &len))
	{
		if (out->n == KGW_PORTS_MAX)
		{
			snprintf(problem, problem_size,
					 "There are more than %d ports and ranges.", KGW_PORTS_MAX);
			return false;
		}
		if (!parse_range(item, len, &out->range[out->n].low,
						 &out->range[out->n].high))
		{
			snprintf(problem, problem_size,
					 "\"%s\" is not a port from 1 to 65535 or a range such as 1024-65535.",
					 kgw_item_show(shown, item, len));
			return false;
		}
		out->n++;
	}
	return true;
}

bool
kgw_ports_contain(const KgwPorts *ports, int port)
{
	int			i;

	for (i = 0; i < ports->n; i++)
	{
		if (port >= ports->range[i].low && port <= ports->range[i].high)
			return true;
	}
	return false;
}
