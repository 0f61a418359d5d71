/*-------------------------------------------------------------------------
 *
 * fuzz_address.c
 *	  Fuzzes the address guard.
 *
 * The bytes are taken for an IPv4 address, an IPv6 address, any socket address
 * of any length, and the text of an address.  What is denied is held against a
 * second telling of design B6, as ranges of integers; and an IPv4 address is
 * denied in all of its IPv6 disguises.
 *
 * test/fuzz/fuzz_address.c
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "pure/ip_filter.h"

static const KgwNetworks none;

/* First and last address of what is denied. */
static const uint32_t denied[][2] = {
	{0x00000000, 0x00ffffff}, {0x0a000000, 0x0affffff}, {0x64400000, 0x647fffff},
	{0x7f000000, 0x7fffffff}, {0xa9fe0000, 0xa9feffff}, {0xac100000, 0xac1fffff},
	{0xc0000000, 0xc00000ff}, {0xc0000200, 0xc00002ff}, {0xc0586300, 0xc05863ff},
	{0xc0a80000, 0xc0a8ffff}, {0xc6120000, 0xc613ffff}, {0xc6336400, 0xc63364ff},
	{0xcb007100, 0xcb0071ff}, {0xe0000000, 0xffffffff},
};

static bool
ipv4_is_denied(uint32_t address)
{
	size_t		i;

	for (i = 0; i < sizeof(denied) / sizeof(denied[0]); i++)
	{
		if (address >= denied[i][0] && address <= denied[i][1])
			return true;
	}
	return false;
}

static bool
ipv6_is_denied(const uint8_t b[16])
{
	uint32_t	high = (uint32_t) b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3];

	return high < 0x20000000 || high > 0x3fffffff ||
		(high >= 0x20010000 && high <= 0x200101ff) ||
		high == 0x20010db8 ||
		(high >= 0x20020000 && high <= 0x2002ffff) ||
		(high >= 0x3fff0000 && high <= 0x3fff0fff);
}

static const char *
judge_ipv4(uint32_t address, const KgwNetworks *allowed, const KgwNetworks *own)
{
	struct sockaddr_in sa;

	memset(&sa, 0, sizeof(sa));
	sa.sin_family = AF_INET;
	sa.sin_addr.s_addr = htonl(address);
	return kgw_ip_filter_judge((struct sockaddr *) &sa, sizeof(sa), allowed, own);
}

static const char *
judge_ipv6(const uint8_t bytes[16], uint32_t zone, const KgwNetworks *allowed,
		   const KgwNetworks *own)
{
	struct sockaddr_in6 sa;

	memset(&sa, 0, sizeof(sa));
	sa.sin6_family = AF_INET6;
	sa.sin6_scope_id = zone;
	memcpy(&sa.sin6_addr, bytes, 16);
	return kgw_ip_filter_judge((struct sockaddr *) &sa, sizeof(sa), allowed, own);
}

/* An address of 4 or 16 bytes, as a network of itself. */
static KgwNetworks
only(int family, const uint8_t *bytes)
{
	KgwNetworks nets;

	memset(&nets, 0, sizeof(nets));
	nets.n = 1;
	nets.net[0].family = family;
	nets.net[0].bits = family == AF_INET ? 32 : 128;
	memcpy(nets.net[0].bytes, bytes, family == AF_INET ? 4 : 16);
	return nets;
}

static void
check_ipv4(const uint8_t *b)
{
	static const uint8_t before[][13] = {
		{12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, /* mapped */
		{12},					/* compatible */
		{12, 0, 0x64, 0xff, 0x9b},	/* NAT64 */
		{2, 0x20, 0x02},		/* 6to4 */
	};
	uint32_t	address = (uint32_t) b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3];
	KgwNetworks self = only(AF_INET, b);
	size_t		i;

	MUST((judge_ipv4(address, &none, &none) != NULL) == ipv4_is_denied(address));
	MUST(judge_ipv4(address, &self, &none) == NULL);
	MUST(judge_ipv4(address, &self, &self) == NULL);
	MUST(judge_ipv4(address, &none, &self) != NULL);
	for (i = 0; i < sizeof(before) / sizeof(before[0]); i++)
	{
		uint8_t		disguise[16] = {0};

		memcpy(disguise, before[i] + 1, before[i][0]);
		memcpy(disguise + before[i][0], b, 4);
		MUST(judge_ipv6(disguise, 0, &none, &none) != NULL);
		MUST(judge_ipv6(disguise, 0, &self, &none) != NULL);
	}
}

static void
check_ipv6(const uint8_t *b)
{
	KgwNetworks self = only(AF_INET6, b);

	MUST((judge_ipv6(b, 0, &none, &none) != NULL) == ipv6_is_denied(b));
	MUST(judge_ipv6(b, 1, &none, &none) != NULL);
	MUST(judge_ipv6(b, 0, &self, &self) == NULL);
	MUST(judge_ipv6(b, 0, &none, &self) != NULL);
}

/* Text that is an address means one address, and none other. */
static void
check_text(const uint8_t *data, size_t size)
{
	char	   *text = fuzz_string(data, size);
	struct sockaddr_storage ss;
	struct sockaddr_storage again;
	char		shown[INET6_ADDRSTRLEN];
	size_t		len;
	size_t		again_len;

	if (!kgw_ip_filter_parse_address(text, &ss, &len))
		MUST(len == 0);
	else
	{
		const void *bytes = ss.ss_family == AF_INET ?
			(void *) &((struct sockaddr_in *) &ss)->sin_addr :
			(void *) &((struct sockaddr_in6 *) &ss)->sin6_addr;

		MUST(inet_ntop(ss.ss_family, bytes, shown, sizeof(shown)) != NULL);
		MUST(kgw_ip_filter_parse_address(shown, &again, &again_len));
		MUST(again_len == len && memcmp(&again, &ss, sizeof(ss)) == 0);
	}
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* any length, any family: it is read or refused, not overread */
	kgw_ip_filter_judge((const struct sockaddr *) data, size, &none, &none);
	if (size < 2 || (data[0] != AF_INET && data[0] != AF_INET6) || data[1] != 0)
		MUST(kgw_ip_filter_judge((const struct sockaddr *) data, size, &none, &none) != NULL);
	if (size >= 4)
		check_ipv4(data);
	if (size >= 16)
		check_ipv6(data);
	check_text(data, size);
	return 0;
}
