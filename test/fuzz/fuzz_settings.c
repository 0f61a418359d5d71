/*-------------------------------------------------------------------------
 *
 * fuzz_settings.c
 *	  Fuzzes the lists that settings are written in: the retry schedule, ports
 *	  and networks.
 *
 * What is accepted, written down again from what was understood, must be
 * accepted and understood the same.  What is refused comes with a sentence.
 *
 * test/fuzz/fuzz_settings.c
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <math.h>

#include "pure/ip_filter.h"
#include "pure/retry_schedule.h"
#include "pure/url.h"

#define PROBLEM_SIZE 160
#define LIST_SIZE (KGW_NETWORKS_MAX * 64)

#define DAY_US (INT64_C(86400) * 1000000)

static void
check_problem(const char *problem)
{
	size_t		len = strlen(problem);

	MUST(len > 1 && len < PROBLEM_SIZE - 1);
	MUST(problem[len - 1] == '.' && fuzz_is_printable(problem));
}

static void
check_delays(const KgwSchedule *schedule)
{
	int64_t		sum = 0;
	int			i;

	for (i = 0; i < schedule->n; i++)
	{
		int64_t		us = schedule->delay_us[i];

		MUST(us >= 1 && us <= 30 * DAY_US);
		MUST(kgw_retry_schedule_delay(schedule, i + 1, 0, 0.7) == us);
		MUST(kgw_retry_schedule_delay(schedule, i + 1, 1, 0) >= 0);
		MUST(kgw_retry_schedule_delay(schedule, i + 1, 1, 0.9999999) <= 2 * us);
		MUST(kgw_retry_schedule_delay(schedule, i + 1, 0.2, 0.5) == us);
		MUST(kgw_retry_schedule_delay(schedule, i + 1, NAN, NAN) == us);
		sum += us;
	}
	MUST(kgw_retry_schedule_span(schedule) == sum);
	MUST(kgw_retry_schedule_delay(schedule, schedule->n + 1, 0, 0) == -1);
	MUST(schedule->n == 0 ||
		 kgw_retry_schedule_delay(schedule, 0, 0, 0) == schedule->delay_us[0]);
}

static void
check_schedule(const char *text)
{
	KgwSchedule schedule;
	KgwSchedule again;
	char		problem[PROBLEM_SIZE] = "";
	char		list[LIST_SIZE] = "";
	int			at = 0;
	int			i;

	if (!kgw_retry_schedule_parse(text, &schedule, problem, sizeof(problem)))
	{
		check_problem(problem);
		return;
	}
	MUST(schedule.n >= 0 && schedule.n <= KGW_SCHEDULE_MAX);
	check_delays(&schedule);
	for (i = 0; i < schedule.n; i++)
		at += snprintf(list + at, sizeof(list) - at, "%s%" PRId64 "us",
					   i > 0 ? "," : "", schedule.delay_us[i]);
	MUST(kgw_retry_schedule_parse(list, &again, problem, sizeof(problem)));
	MUST(memcmp(&again, &schedule, sizeof(again)) == 0);
}

static void
check_ports(const char *text)
{
	KgwPorts	ports;
	KgwPorts	again;
	char		problem[PROBLEM_SIZE] = "";
	char		list[LIST_SIZE] = "";
	int			at = 0;
	int			i;

	if (!kgw_ports_parse(text, &ports, problem, sizeof(problem)))
	{
		check_problem(problem);
		return;
	}
	MUST(ports.n >= 0 && ports.n <= KGW_PORTS_MAX);
	MUST(!kgw_ports_contain(&ports, 0) && !kgw_ports_contain(&ports, 65536) &&
		 !kgw_ports_contain(&ports, -1));
	for (i = 0; i < ports.n; i++)
	{
		int			low = ports.range[i].low;
		int			high = ports.range[i].high;

		MUST(low >= 1 && low <= high && high <= 65535);
		MUST(kgw_ports_contain(&ports, low) && kgw_ports_contain(&ports, high));
		at += snprintf(list + at, sizeof(list) - at, "%s%d-%d", i > 0 ? "," : "", low, high);
	}
	MUST(kgw_ports_parse(list, &again, problem, sizeof(problem)));
	MUST(memcmp(&again, &ports, sizeof(again)) == 0);
}

/* Does the network hold its own first address, and deny it when not asked? */
static void
check_network(const KgwNetwork *net, const KgwNetworks *allowed)
{
	static const KgwNetworks none;
	struct sockaddr_storage ss;
	char		shown[INET6_ADDRSTRLEN];
	size_t		len;

	MUST(net->bits >= 0 && net->bits <= (net->family == AF_INET ? 32 : 128));
	MUST(inet_ntop(net->family, net->bytes, shown, sizeof(shown)) != NULL);
	MUST(kgw_ip_filter_parse_address(shown, &ss, &len));
	MUST(kgw_ip_filter_judge((struct sockaddr *) &ss, len, allowed, &none) == NULL);
	MUST(kgw_ip_filter_judge((struct sockaddr *) &ss, len, &none, allowed) != NULL);
}

static void
check_networks(const char *text)
{
	KgwNetworks networks;
	KgwNetworks again;
	char		problem[PROBLEM_SIZE] = "";
	char		list[LIST_SIZE] = "";
	char		shown[INET6_ADDRSTRLEN];
	int			at = 0;
	int			i;

	if (!kgw_ip_filter_parse_networks(text, &networks, problem, sizeof(problem)))
	{
		check_problem(problem);
		return;
	}
	MUST(networks.n >= 0 && networks.n <= KGW_NETWORKS_MAX);
	for (i = 0; i < networks.n; i++)
	{
		const KgwNetwork *net = &networks.net[i];

		check_network(net, &networks);
		inet_ntop(net->family, net->bytes, shown, sizeof(shown));
		at += snprintf(list + at, sizeof(list) - at, "%s%s/%d", i > 0 ? "," : "",
					   shown, net->bits);
	}
	MUST(kgw_ip_filter_parse_networks(list, &again, problem, sizeof(problem)));
	MUST(memcmp(&again, &networks, sizeof(again)) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text = fuzz_string(data, size);

	check_schedule(text);
	check_ports(text);
	check_networks(text);
	free(text);
	return 0;
}
