/*-------------------------------------------------------------------------
 *
 * bench/plaincurl.c
 *	  The ceiling: how fast one thread of libcurl can post what we post.
 *
 *	  plaincurl --url URL ... [--count N] [--in-flight C] [--ca-file FILE]
 *
 * The same requests as kgwebhook's (a payment intent's payload of A1 with its
 * signature, and the same headers), made and signed here as cheaply as they
 * can be: by snprintf and a kept HMAC context.  The loop is libcurl's own,
 * curl_multi_perform and curl_multi_poll, on easy handles that are reused and
 * connections that are kept alive, with a refill as soon as a handle is free.
 * Of several URLs, each handle has one, by turns; where there are more URLs than
 * handles, each request has the next.
 * A thousand requests, and two for each handle, go ahead of those that are
 * measured, as they do for every sender of the bench, so that connections and
 * handshakes are made by then.
 * There is no queue, no database, no log and no care for failures: whatever a
 * sender does on top of this is its own doing, and that is what the bench
 * measures.
 *
 * It prints one line of JSON, and fails when a request was not answered 200.
 *
 *-------------------------------------------------------------------------
 */
#include <curl/curl.h>
#include <getopt.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define BODY_MAX_BYTES 1024
#define WARM_UP 1000
#define MAC_BYTES 32
#define MAX_URLS 10000

typedef struct Slot
{
	CURL	   *easy;
	const char *url;
	struct curl_slist *headers;
	char		body[BODY_MAX_BYTES];
} Slot;

static const char secret[] = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

static const char *urls[MAX_URLS];
static long nurls;
static const char *ca_file;
static long in_flight = 25;

static CURLM *multi;
static EVP_MAC_CTX *body_mac;
static EVP_MAC_CTX *header_mac;
static long count;
static long started;
static long finished;
static long failed;

static void
die(const char *what)
{
	fprintf(stderr, "plaincurl: %s\n", what);
	exit(1);
}

static double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

static double
cpu_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
		(double) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/*-------------------------------------------------------------------------
 * Requests
 *-------------------------------------------------------------------------
 */

static EVP_MAC_CTX *
make_mac(const char *key, size_t length)
{
	char		digest[] = "SHA256";
	EVP_MAC_CTX *context = EVP_MAC_CTX_new(EVP_MAC_fetch(NULL, "HMAC", NULL));
	OSSL_PARAM	parameters[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end()
	};

	if (context == NULL ||
		EVP_MAC_init(context, (const unsigned char *) key, length, parameters) != 1)
		die("no HMAC");
	return context;
}

/* The MAC of two texts, one after the other; the key stays in the context. */
static void
sign(EVP_MAC_CTX *context, const char *first, size_t first_length,
	 const char *second, size_t second_length, unsigned char *mac)
{
	size_t		length;

	if (EVP_MAC_init(context, NULL, 0, NULL) != 1 ||
		EVP_MAC_update(context, (const unsigned char *) first, first_length) != 1 ||
		EVP_MAC_update(context, (const unsigned char *) second, second_length) != 1 ||
		EVP_MAC_final(context, mac, &length, MAC_BYTES) != 1)
		die("can't sign");
}

/* Writes payload and signature, and returns the body's length. */
static size_t
make_body(char *body, const char *url, long id, long timestamp)
{
	static const char hex[] = "0123456789abcdef";
	static const char before[] = ",\"signature\":\"";
	unsigned char mac[MAC_BYTES];
	size_t		length = (size_t)
		snprintf(body, BODY_MAX_BYTES,
				 "{\"callback_url\":\"%s\",\"crypto_amount\":\"300.0\","
				 "\"fiat_amount\":\"300.0\",\"fiat_currency\":\"USD\","
				 "\"order_data\":{\"order\":\"2026-000123\",\"region\":\"eu\"},"
				 "\"payment_chain_id\":\"56\",\"payment_intent_id\":\"pi_%012ld\","
				 "\"payment_tx_hash\":\"0x5c504ed432cb51138bcf09aa5e8a410d"
				 "d4a1e204ef84bfed1be16dfba1b22060\","
				 "\"received_crypto_amount\":\"300.0\",\"status\":\"pending\","
				 "\"symbol\":\"USDT\",\"timestamp\":%ld}", url, id, timestamp);

	sign(body_mac, body, length, NULL, 0, mac);
	length--;					/* the brace that closes the payload */
	memcpy(body + length, before, sizeof(before) - 1);
	length += sizeof(before) - 1;
	for (int i = 0; i < MAC_BYTES; i++)
	{
		body[length++] = hex[mac[i] >> 4];
		body[length++] = hex[mac[i] & 15];
	}
	body[length++] = '"';
	body[length++] = '}';
	return length;
}

static struct curl_slist *
make_headers(const char *body, size_t body_length, long id, long timestamp)
{
	struct curl_slist *headers = NULL;
	unsigned char mac[MAC_BYTES];
	char		line[128];
	char		signed_part[64];
	int			length;

	headers = curl_slist_append(headers, "Content-Type: application/json");
	headers = curl_slist_append(headers, "Expect:");
	headers = curl_slist_append(headers, "Accept:");
	headers = curl_slist_append(headers, "webhook-event: payment_intent.pending");
	headers = curl_slist_append(headers, "webhook-attempt: 1");
	snprintf(line, sizeof(line), "webhook-id: msg_%027ld", id);
	headers = curl_slist_append(headers, line);
	snprintf(line, sizeof(line), "webhook-timestamp: %ld", timestamp);
	headers = curl_slist_append(headers, line);

	length = snprintf(signed_part, sizeof(signed_part), "msg_%027ld.%ld.",
					  id, timestamp);
	sign(header_mac, signed_part, (size_t) length, body, body_length, mac);
	length = snprintf(line, sizeof(line), "webhook-signature: v1,");
	EVP_EncodeBlock((unsigned char *) line + length, mac, MAC_BYTES);
	return curl_slist_append(headers, line);
}

static size_t
drop_answer(char *bytes, size_t size, size_t n, void *context)
{
	(void) bytes;
	(void) context;
	return size * n;
}

static void
open_slot(Slot *slot, const char *url)
{
	CURL	   *easy = curl_easy_init();

	if (easy == NULL)
		die("no easy handle");
	slot->url = url;
	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_POST, 1L);
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, 5000L);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 15000L);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "plaincurl");
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, drop_answer);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDS, slot->body);
	curl_easy_setopt(easy, CURLOPT_PRIVATE, slot);
	if (ca_file != NULL)
		curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file);
	slot->easy = easy;
	slot->headers = NULL;
}

/* Puts the next request on its way, if there is one left. */
static void
start(Slot *slot)
{
	struct curl_slist *headers;
	long		timestamp = (long) time(NULL);
	size_t		length;

	if (started == count)
		return;
	if (nurls > in_flight)
	{
		slot->url = urls[started % nurls];
		curl_easy_setopt(slot->easy, CURLOPT_URL, slot->url);
	}
	started++;
	length = make_body(slot->body, slot->url, started, timestamp);
	headers = make_headers(slot->body, length, started, timestamp);
	curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDSIZE, (long) length);
	curl_easy_setopt(slot->easy, CURLOPT_HTTPHEADER, headers);
	curl_slist_free_all(slot->headers);
	slot->headers = headers;
	curl_multi_add_handle(multi, slot->easy);
}

/* Takes what is done, and starts another in its place. */
static void
reap(void)
{
	CURLMsg    *message;
	int			left;

	while ((message = curl_multi_info_read(multi, &left)) != NULL)
	{
		CURL	   *easy = message->easy_handle;
		CURLcode	result = message->data.result;
		long		status = 0;
		char	   *slot;

		curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
		curl_easy_getinfo(easy, CURLINFO_PRIVATE, &slot);
		curl_multi_remove_handle(multi, easy);
		finished++;
		if (result != CURLE_OK || status != 200)
			failed++;
		start((Slot *) slot);
	}
}

/*-------------------------------------------------------------------------
 * The run
 *-------------------------------------------------------------------------
 */

/* Posts that many, and returns when the last is answered. */
static void
run(Slot *slots, long requests)
{
	int			running;

	count = requests;
	started = finished = 0;
	for (long i = 0; i < in_flight; i++)
		start(&slots[i]);
	while (finished < count)
	{
		if (curl_multi_perform(multi, &running) != CURLM_OK)
			die("curl_multi_perform failed");
		reap();
		if (finished < count &&
			curl_multi_poll(multi, NULL, 0, 1000, NULL) != CURLM_OK)
			die("curl_multi_poll failed");
	}
}

static int
usage(void)
{
	fprintf(stderr, "usage: plaincurl --url URL ... [--count N]"
			" [--in-flight C] [--ca-file FILE]\n");
	return 2;
}

static void
allow_many_files(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{"url", required_argument, NULL, 'u'},
		{"count", required_argument, NULL, 'n'},
		{"in-flight", required_argument, NULL, 'c'},
		{"ca-file", required_argument, NULL, 'a'},
		{NULL, 0, NULL, 0}
	};
	long		measured = 50000;
	Slot	   *slots;
	double		elapsed;
	double		cpu;
	int			option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (option)
		{
			case 'u':
				if (nurls == MAX_URLS)
					die("too many URLs");
				urls[nurls++] = optarg;
				break;
			case 'n':
				measured = atol(optarg);
				break;
			case 'c':
				in_flight = atol(optarg);
				break;
			case 'a':
				ca_file = optarg;
				break;
			default:
				return usage();
		}
	if (nurls == 0 || measured < 1 || in_flight < 1)
		return usage();

	allow_many_files();
	curl_global_init(CURL_GLOBAL_ALL);
	multi = curl_multi_init();
	slots = calloc((size_t) in_flight, sizeof(Slot));
	if (multi == NULL || slots == NULL)
		die("out of memory");
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, in_flight);
	body_mac = make_mac(secret, sizeof(secret) - 1);
	header_mac = make_mac(secret, sizeof(secret) - 1);
	for (long i = 0; i < in_flight; i++)
		open_slot(&slots[i], urls[i % nurls]);

	run(slots, WARM_UP + 2 * in_flight);
	elapsed = seconds();
	cpu = cpu_seconds();
	run(slots, measured);
	elapsed = seconds() - elapsed;
	cpu = cpu_seconds() - cpu;

	printf("{\"count\": %ld, \"failed\": %ld, \"seconds\": %.6f,"
		   " \"cpu_seconds\": %.6f}\n", measured, failed, elapsed, cpu);
	return failed == 0 ? 0 : 1;
}
