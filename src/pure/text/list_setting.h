/*-------------------------------------------------------------------------
 *
 * list_setting.h
 *	  The comma-separated lists that some settings are written in.
 *
 * Retry schedule, ports and networks share one outer grammar: items with
 * commas between them, blanks allowed around each, and a text that is empty or
 * all blanks is the empty list.  Sharing it here keeps the three from growing
 * apart in what they take for an empty item: "a,,b" and "a," have one, which
 * is handed out with length 0 so that each language can refuse it by name.
 *
 * It is a header and not a .c file so that a unit or fuzz program of one of
 * the languages still links that one object only.
 *
 * src/pure/text/list_setting.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PURE_TEXT_LIST_SETTING_H
#define KGW_PURE_TEXT_LIST_SETTING_H

#include <stdbool.h>
#include <stddef.h>

/* Longest part of an item that messages quote, bytes. */
#define KGW_ITEM_SHOWN 32

/* Room for a quoted item: "..." may follow, and a NUL. */
#define KGW_ITEM_SHOWN_SIZE (KGW_ITEM_SHOWN + 4)

static inline bool
kgw_item_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' ||
		c == '\v';
}

/* Where to start in a NUL-terminated text; NULL when the list is empty. */
static inline const char *
kgw_items_begin(const char *text)
{
	while (kgw_item_blank(*text))
		text++;
	return *text == '\0' ? NULL : text;
}

/*
 * The next item, trimmed of blanks; false when there is none left.  "*rest"
 * comes from kgw_items_begin and is ours to move; "*item" points into the text.
 */
static inline bool
kgw_items_next(const char **rest, const char **item, size_t *len)
{
	const char *start = *rest;
	const char *end;

	if (start == NULL)
		return false;

	while (kgw_item_blank(*start))
		start++;
	end = start;
	while (*end != '\0' && *end != ',')
		end++;
	*rest = *end == ',' ? end + 1 : NULL;

	while (end > start && kgw_item_blank(end[-1]))
		end--;
	*item = start;
	*len = (size_t) (end - start);
	return true;
}

/*
 * An item as messages may quote it: cut short, and every byte that is not
 * printable ASCII shown as '?', because a cut or foreign sequence of bytes
 * would be invalid in the server's encoding.  Returns "shown".
 */
static inline const char *
kgw_item_show(char shown[KGW_ITEM_SHOWN_SIZE], const char *item, size_t len)
{
	size_t		n = len > KGW_ITEM_SHOWN ? KGW_ITEM_SHOWN : len;
	size_t		i;

	for (i = 0; i < n; i++)
		shown[i] = item[i] >= 0x20 && item[i] <= 0x7e ? item[i] : '?';
	for (; len > KGW_ITEM_SHOWN && i < KGW_ITEM_SHOWN + 3; i++)
		shown[i] = '.';
	shown[i] = '\0';
	return shown;
}

#endif							/* KGW_PURE_TEXT_LIST_SETTING_H */
