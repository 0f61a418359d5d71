/*-------------------------------------------------------------------------
 *
 * test/unit/test_url.c
 *	  What kgw_url_parse takes, and every disguise it must see through.
 *
 * The refusals are compared by their reason and not only by their being
 * refused: a disguise that fails for an unrelated reason would prove nothing
 * about the check that is meant to catch it.
 *
 *-------------------------------------------------------------------------
 */
#include "pure/url.h"

#include <stdlib.h>

#include "tap.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define SCHEME "scheme is not https or http"
#define USERINFO "user name or password in it"
#define CONTROL "control character in it"
#define BACKSLASH "backslash in it"
#define EMPTY_HOST "host is empty"
#define HOST_CHAR "host has a character that is not ASCII letters, digits, '-', '_' or '.'"
#define EMPTY_LABEL "host has an empty label"
#define LAST_DOT "host ends in a dot"
#define PORT "port is not a number from 1 to 65535"
#define IPV6 "host in brackets is not an IPv6 address without a zone"
#define ENCODE "character in it that must be percent-encoded"
#define NOT_ASCII "character in it that is not ASCII"

/* From a copy that ends where the URL ends, so that a sanitizer sees overruns. */
static const char *
parse_exact(const char *url, size_t len, KgwUrl *out)
{
	char	   *copy = malloc(len > 0 ? len : 1);
	const char *reason;

	memcpy(copy, url, len);
	reason = kgw_url_parse(copy, len, out);
	free(copy);
	return reason;
}

static void
accepts(const char *url, bool https, bool ipv6, const char *host, int port,
		const char *destination)
{
	KgwUrl		out;

	is_str(parse_exact(url, strlen(url), &out), NULL, "well formed: %s", destination);
	is_str(out.host, host, "its host is %s", host);
	is_str(out.destination, destination, "its destination is %s", destination);
	is_int(out.port, port, "its port is %d", port);
	ok(out.https == https, "its scheme is right");
	ok(out.ipv6 == ipv6, "its kind of host is right");
}

static void
test_accepted(void)
{
	accepts("https://example.com", true, false, "example.com", 443,
			"https://example.com:443");
	accepts("http://example.com/", false, false, "example.com", 80,
			"http://example.com:80");
	accepts("https://EXAMPLE.com:8443/Hook?A=b%20c&d=e@f#Frag", true, false,
			"example.com", 8443, "https://example.com:8443");
	accepts("https://a/@b", true, false, "a", 443, "https://a:443");
	accepts("https://a?b=1", true, false, "a", 443, "https://a:443");
	accepts("https://a#b", true, false, "a", 443, "https://a:443");
	accepts("https://a/x#@b", true, false, "a", 443, "https://a:443");
	accepts("https://a:1", true, false, "a", 1, "https://a:1");
	accepts("https://a:65535/", true, false, "a", 65535, "https://a:65535");
	accepts("http://a:443/", false, false, "a", 443, "http://a:443");
	accepts("https://my_host-1.x", true, false, "my_host-1.x", 443,
			"https://my_host-1.x:443");
	accepts("https://a/b//c/../:;,!$&'()*+~[]=%00", true, false, "a", 443,
			"https://a:443");

	/* numbers that some clients take for 127.0.0.1 are the guard's to judge */
	accepts("http://2130706433/", false, false, "2130706433", 80,
			"http://2130706433:80");
	accepts("http://0x7f.1/", false, false, "0x7f.1", 80, "http://0x7f.1:80");
	accepts("http://127.1/", false, false, "127.1", 80, "http://127.1:80");
	accepts("http://0177.0.0.01/", false, false, "0177.0.0.01", 80,
			"http://0177.0.0.01:80");
}

static void
test_accepted_ipv6(void)
{
	accepts("https://[::1]/", true, true, "::1", 443, "https://[::1]:443");
	accepts("http://[2001:DB8:0:0::1]:8080", false, true, "2001:db8::1", 8080,
			"http://[2001:db8::1]:8080");
	accepts("https://[0:0:0:0:0:0:0:1]?q", true, true, "::1", 443,
			"https://[::1]:443");
	accepts("https://[::ffff:127.0.0.1]#f", true, true, "::ffff:127.0.0.1",
			443, "https://[::ffff:127.0.0.1]:443");
	accepts("https://[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535/",
			true, true, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535,
			"https://[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
}

static const struct
{
	const char *name;
	const char *url;
	const char *reason;
}			refused[] = {
	{"nothing", "", SCHEME},
	{"scheme alone", "https:", SCHEME},
	{"one slash", "https:/a", SCHEME},
	{"no slash", "https:a", SCHEME},
	{"scheme in upper case", "HTTPS://a/", SCHEME},
	{"scheme in mixed case", "Http://a/", SCHEME},
	{"no scheme", "example.com/", SCHEME},
	{"relative to the scheme", "//example.com/", SCHEME},
	{"ftp", "ftp://a/", SCHEME},
	{"file", "file:///etc/passwd", SCHEME},
	{"gopher", "gopher://a/", SCHEME},
	{"dict", "dict://a:11211/", SCHEME},
	{"javascript", "javascript://a/", SCHEME},
	{"scheme that begins like ours", "httpsx://a/", SCHEME},
	{"a blank before it", " https://a/", SCHEME},

	{"user name", "https://u@a/", USERINFO},
	{"user name and password", "https://u:p@a/", USERINFO},
	{"empty user name", "https://@a/", USERINFO},
	{"two at-signs", "https://a@b@c/", USERINFO},
	{"host before at-sign", "https://example.com@127.0.0.1/", USERINFO},
	{"port before at-sign", "https://example.com:443@127.0.0.1/", USERINFO},
	{"fragment hides the host", "http://a#@b/", USERINFO},
	{"query hides the host", "https://a?b@c", USERINFO},
	{"query hides the host and has a path", "https://a?@c/d", USERINFO},
	{"fragment after a port hides the host", "https://a:80#@b", USERINFO},
	{"userinfo before brackets", "https://u@[::1]/", USERINFO},

	{"backslash before at-sign", "http://a\\@b", BACKSLASH},
	{"backslash for slash", "https://a\\b", BACKSLASH},
	{"backslashes in the scheme", "https:\\\\a", BACKSLASH},
	{"backslash in the path", "https://a/b\\c", BACKSLASH},
	{"backslash in the query", "https://a/?b\\c", BACKSLASH},

	{"tab in the host", "https://a\tb/", CONTROL},
	{"line feed in the host", "https://a\nb/", CONTROL},
	{"CR LF in the path", "https://a/\r\nX-Evil: 1", CONTROL},
	{"CR in the query", "https://a/?\r", CONTROL},
	{"line feed at the end", "https://a/\n", CONTROL},
	{"tab at the beginning", "\thttps://a/", CONTROL},
	{"tab in the scheme", "ht\ttps://a/", CONTROL},
	{"tab between the slashes", "https:/\t/a/", CONTROL},
	{"DEL in the path", "https://a/\x7f", CONTROL},
	{"unit separator", "https://a/\x1f", CONTROL},

	{"three slashes", "https:///x", EMPTY_HOST},
	{"no host", "https://", EMPTY_HOST},
	{"port without host", "https://:443/", EMPTY_HOST},
	{"query without host", "https://?a", EMPTY_HOST},
	{"fragment without host", "https://#a", EMPTY_HOST},

	{"space in the host", "https://a b/", HOST_CHAR},
	{"percent-encoded host", "https://%31%32%37.0.0.1/", HOST_CHAR},
	{"percent-encoded at-sign", "https://a%40b/", HOST_CHAR},
	{"percent-encoded slash", "https://a%2fb/", HOST_CHAR},
	{"percent-encoded NUL", "https://a%00.b/", HOST_CHAR},
	{"umlaut", "https://b\xc3\xbc" "cher.example/", HOST_CHAR},
	{"full-width digits", "https://\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1/", HOST_CHAR},
	{"ideographic full stop", "https://127\xe3\x80\x82" "0.0.1/", HOST_CHAR},
	{"full-width full stop", "https://127\xef\xbc\x8e" "0.0.1/", HOST_CHAR},
	{"half-width ideographic full stop", "https://127\xef\xbd\xa1" "0.0.1/", HOST_CHAR},
	{"zero-width space", "https://a\xe2\x80\x8b.b/", HOST_CHAR},
	{"zero-width joiner", "https://a\xe2\x80\x8d.b/", HOST_CHAR},
	{"soft hyphen", "https://a\xc2\xad.b/", HOST_CHAR},
	{"byte order mark", "https://\xef\xbb\xbf" "a/", HOST_CHAR},
	{"right-to-left override", "https://a\xe2\x80\xae.b/", HOST_CHAR},
	{"full-width solidus", "https://a\xef\xbc\x8f.b/", HOST_CHAR},
	{"full-width number sign", "https://a\xef\xbc\x83.b/", HOST_CHAR},
	{"circled digits", "https://\xe2\x91\xa0.0.0.1/", HOST_CHAR},
	{"Latin-1 byte", "https://a\xe9/", HOST_CHAR},
	{"semicolon", "https://a;b/", HOST_CHAR},
	{"comma", "https://a,b/", HOST_CHAR},
	{"ampersand", "https://a&b/", HOST_CHAR},
	{"asterisk", "https://*/", HOST_CHAR},
	{"braces for globbing", "https://{a,b}/", HOST_CHAR},
	{"brackets for globbing", "https://a[1-2]/", HOST_CHAR},
	{"quote", "https://a'b/", HOST_CHAR},

	{"a dot alone", "https://./", EMPTY_LABEL},
	{"dot in front", "https://.a/", EMPTY_LABEL},
	{"two dots", "https://a..b/", EMPTY_LABEL},
	{"dot at the end", "https://a./", LAST_DOT},
	{"dot at the end before a port", "https://localhost.:443/", LAST_DOT},
	{"two dots at the end", "https://a../", EMPTY_LABEL},

	{"empty port", "https://a:/", PORT},
	{"empty port at the end", "https://a:", PORT},
	{"port 0", "https://a:0/", PORT},
	{"port with zero in front", "https://a:0443/", PORT},
	{"port 65536", "https://a:65536/", PORT},
	{"port that wraps around 16 bits", "https://a:65979/", PORT},
	{"port that wraps around 32 bits", "https://a:4294967739/", PORT},
	{"port with sign", "https://a:+443/", PORT},
	{"negative port", "https://a:-1/", PORT},
	{"port in hexadecimal", "https://a:0x50/", PORT},
	{"port with blank", "https://a:443 /", PORT},
	{"two ports", "https://a:443:80/", PORT},
	{"port with letters", "https://a:443x/", PORT},
	{"port in full-width digits", "https://a:\xef\xbc\x98\xef\xbc\x90/", PORT},
	{"percent-encoded port", "https://a:%38%30/", PORT},
	{"service name", "https://a:https/", PORT},
	{"IPv6 with empty port", "https://[::1]:/", PORT},

	{"IPv6 without brackets", "https://::1/", EMPTY_HOST},
	{"IPv6 without brackets, long", "https://fd00::1/", PORT},
	{"empty brackets", "https://[]/", IPV6},
	{"zone id", "https://[fe80::1%eth0]/", IPV6},
	{"percent-encoded zone id", "https://[fe80::1%25eth0]/", IPV6},
	{"name in brackets", "https://[example.com]/", IPV6},
	{"IPv4 in brackets", "https://[127.0.0.1]/", IPV6},
	{"IPvFuture", "https://[v1.fe80]/", IPV6},
	{"two double colons", "https://[1::2::3]/", IPV6},
	{"group of five digits", "https://[00001::]/", IPV6},
	{"nine groups", "https://[1:2:3:4:5:6:7:8:9]/", IPV6},
	{"too long for an address", "https://[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]/", IPV6},
	{"longer by one than the longest address", "https://[0000:0000:0000:0000:0000:0000:255.255.255.2555]/", IPV6},
	{"letter that is no hexadecimal digit", "https://[::g]/", IPV6},
	{"blank in brackets", "https://[ ::1]/", IPV6},
	{"bracket not closed", "https://[::1", "host has '[' without ']'"},
	{"bracket closed in the path", "https://[::1/]", "host has '[' without ']'"},
	{"text after the bracket", "https://[::1]a/",
	"something other than a port follows the host in brackets"},
	{"name after the bracket", "https://[::1].example.com/",
	"something other than a port follows the host in brackets"},
	{"bracket after a name", "https://a[::1]/", HOST_CHAR},

	{"space in the path", "https://a/b c", ENCODE},
	{"space at the end", "https://a/ ", ENCODE},
	{"space in the query", "https://a/?b c", ENCODE},
	{"double quote", "https://a/\"", ENCODE},
	{"less-than", "https://a/<", ENCODE},
	{"greater-than", "https://a/>", ENCODE},
	{"caret", "https://a/^", ENCODE},
	{"backtick", "https://a/`", ENCODE},
	{"opening brace", "https://a/{", ENCODE},
	{"closing brace", "https://a/}", ENCODE},
	{"bar", "https://a/|", ENCODE},
	{"umlaut in the path", "https://a/\xc3\xbc", NOT_ASCII},
	{"umlaut in the fragment", "https://a#\xc3\xbc", NOT_ASCII},
	{"0x80 in the query", "https://a?\x80", NOT_ASCII},
};

static void
test_refused(void)
{
	static const KgwUrl zeros;
	size_t		i;

	for (i = 0; i < COUNT(refused); i++)
	{
		KgwUrl		out;

		memset(&out, 0xff, sizeof(out));
		is_str(parse_exact(refused[i].url, strlen(refused[i].url), &out),
			   refused[i].reason, "refused: %s", refused[i].name);
		ok(memcmp(&out, &zeros, sizeof(out)) == 0,
		   "nothing is left of it: %s", refused[i].name);
	}
}

/* NUL hides the rest from a reader of C strings. */
static void
test_nul(void)
{
	static const char in_host[] = "https://example.com\0.evil.test/";
	static const char in_path[] = "https://example.com/a\0b";
	KgwUrl		out;

	is_str(parse_exact(in_host, sizeof(in_host) - 1, &out), CONTROL,
		   "NUL in the host is refused");
	is_str(parse_exact(in_path, sizeof(in_path) - 1, &out), CONTROL,
		   "NUL in the path is refused");
	is_str(parse_exact(in_path, sizeof(in_path), &out), CONTROL,
		   "NUL at the end is refused");
}

/* Each byte, alone, in a host and in a path. */
static void
test_each_byte(void)
{
	static const char host_bytes[] =
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
	static const char host_ends[] = "/?#";
	static const char path_denied[] = "\"<>^`{}|\\";
	KgwUrl		out;
	int			byte;
	int			wrong_host = 0;
	int			wrong_path = 0;

	for (byte = 1; byte < 256; byte++)
	{
		char		host[] = "https://a?b";
		char		path[] = "https://a/?";
		bool		in_host = strchr(host_bytes, byte) != NULL;
		bool		ends_host = strchr(host_ends, byte) != NULL;
		bool		in_path = byte > 0x20 && byte < 0x7f &&
			strchr(path_denied, byte) == NULL;

		host[9] = (char) byte;
		path[10] = (char) byte;
		if ((parse_exact(host, 11, &out) == NULL) != (in_host || ends_host))
			wrong_host++;
		if ((parse_exact(path, 11, &out) == NULL) != in_path)
			wrong_path++;
	}
	is_int(wrong_host, 0, "every byte is judged rightly in a host");
	is_int(wrong_path, 0, "every byte is judged rightly in a path");
}

/* "https://" + "n" bytes made of labels of "label" bytes. */
static size_t
long_host(char *url, int n, int label)
{
	size_t		len = strlen(strcpy(url, "https://"));
	int			i;

	for (i = 1; i <= n; i++)
		url[len++] = i % (label + 1) == 0 ? '.' : 'a';
	return len;
}

static void
test_lengths(void)
{
	char		url[KGW_URL_MAX + 2];
	KgwUrl		out;
	size_t		len;

	memset(url, 'a', sizeof(url));
	memcpy(url, "https://a/", 10);
	is_str(parse_exact(url, KGW_URL_MAX, &out), NULL, "2048 bytes are taken");
	is_str(parse_exact(url, KGW_URL_MAX + 1, &out), "longer than 2048 bytes",
		   "2049 bytes are refused");

	len = long_host(url, 253, 62);
	is_str(parse_exact(url, len, &out), NULL, "a host of 253 bytes is taken");
	is_int((long long) strlen(out.destination), 8 + 253 + 4,
		   "and its destination is whole");
	memcpy(url + len, ":65535", 6);
	is_str(parse_exact(url, len + 6, &out), NULL,
		   "the longest destination is taken");
	is_int((long long) strlen(out.destination), 8 + 253 + 6,
		   "and is whole");
	len = long_host(url, 254, 62);
	is_str(parse_exact(url, len, &out), "host is longer than 253 bytes",
		   "a host of 254 bytes is refused");

	len = long_host(url, 63, 63);
	is_str(parse_exact(url, len, &out), NULL, "a label of 63 bytes is taken");
	len = long_host(url, 64, 64);
	is_str(parse_exact(url, len, &out), "host has a label longer than 63 bytes",
		   "a label of 64 bytes is refused");
}

static void
test_ports(void)
{
	KgwPorts	ports;
	char		problem[128] = "";

	ok(kgw_ports_parse("443,80,1024-65535", &ports, problem, sizeof(problem)),
	   "the default ports parse");
	is_int(ports.n, 3, "as three ranges");
	ok(kgw_ports_contain(&ports, 443), "443 is in them");
	ok(kgw_ports_contain(&ports, 80), "80 is in them");
	ok(!kgw_ports_contain(&ports, 79), "79 is not");
	ok(!kgw_ports_contain(&ports, 81), "81 is not");
	ok(!kgw_ports_contain(&ports, 1023), "1023 is not");
	ok(kgw_ports_contain(&ports, 1024), "1024 is");
	ok(kgw_ports_contain(&ports, 65535), "65535 is");

	ok(kgw_ports_parse("", &ports, problem, sizeof(problem)), "no ports parse");
	ok(!kgw_ports_contain(&ports, 443), "and contain none");
	ok(kgw_ports_parse(" \t", &ports, problem, sizeof(problem)) && ports.n == 0,
	   "blanks are no ports either");
	ok(kgw_ports_parse(" 1 - 2 , 65535 ", &ports, problem, sizeof(problem)),
	   "blanks around numbers are allowed");
	ok(ports.n == 2 && kgw_ports_contain(&ports, 1) &&
	   kgw_ports_contain(&ports, 2) && !kgw_ports_contain(&ports, 3) &&
	   kgw_ports_contain(&ports, 65535), "and change nothing");
}

static void
test_ports_refused(void)
{
	static const char *const bad[] = {
		"0", "65536", "-1", "1-", "-", "2-1", "1-2-3", "http", "443;80",
		"443,", ",443", "443,,80", ",", "0443", "4 43", "+443", "1-65536",
		"0-80", "443.0", "99999999999"
	};
	KgwPorts	ports;
	char		problem[128];
	char		many[KGW_PORTS_MAX * 3 + 3] = "";
	size_t		i;

	for (i = 0; i < COUNT(bad); i++)
	{
		problem[0] = '\0';
		ok(!kgw_ports_parse(bad[i], &ports, problem, sizeof(problem)) &&
		   problem[0] != '\0', "no list of ports: '%s'", bad[i]);
	}
	kgw_ports_parse("443, 0x50", &ports, problem, sizeof(problem));
	is_str(problem,
		   "\"0x50\" is not a port from 1 to 65535 or a range such as 1024-65535.",
		   "the sentence quotes the item");
	kgw_ports_parse("\xc3\xbc", &ports, problem, sizeof(problem));
	is_str(problem,
		   "\"??\" is not a port from 1 to 65535 or a range such as 1024-65535.",
		   "but no byte that could be invalid in an encoding");
	kgw_ports_parse("123456789012345678901234567890123", &ports, problem,
					sizeof(problem));
	is_str(problem,
		   "\"12345678901234567890123456789012...\" is not a port from 1 to 65535 or a range such as 1024-65535.",
		   "and not all of a long one");
	kgw_ports_parse("x", &ports, problem, 5);
	is_str(problem, "\"x\" ", "and never more than there is room for");

	for (i = 0; i < KGW_PORTS_MAX; i++)
		strcat(many, i == 0 ? "80" : ",80");
	ok(kgw_ports_parse(many, &ports, problem, sizeof(problem)) &&
	   ports.n == KGW_PORTS_MAX, "32 ports parse");
	strcat(many, ",80");
	ok(!kgw_ports_parse(many, &ports, problem, sizeof(problem)),
	   "33 do not");
}

static void
test_judge(void)
{
	KgwPorts	ports;
	KgwUrl		url;
	char		problem[128];

	kgw_ports_parse("443,80", &ports, problem, sizeof(problem));

	kgw_url_parse("https://a/", 10, &url);
	is_str(kgw_url_judge(&url, false, &ports), NULL, "https passes");
	kgw_url_parse("http://a/", 9, &url);
	is_str(kgw_url_judge(&url, false, &ports),
		   "scheme is http and kgwebhook.allow_http is off",
		   "http does not pass unless allowed");
	is_str(kgw_url_judge(&url, true, &ports), NULL, "http passes when allowed");
	kgw_url_parse("https://a:22/", 13, &url);
	is_str(kgw_url_judge(&url, true, &ports),
		   "port is not in kgwebhook.allowed_ports",
		   "a port that is not listed does not pass");
}

static bool
covers(const char *above, const char *url)
{
	return kgw_url_covers(above, strlen(above), url, strlen(url));
}

static void
test_covers(void)
{
	ok(covers("https://a/h", "https://a/h"), "a URL covers itself");
	ok(covers("https://a/h?k=1", "https://a/h?k=2#f"), "whatever the query and the fragment");
	ok(covers("https://a/h", "https://a/h/1/2?k=1"), "and what is below it");
	ok(covers("https://a/h/", "https://a/h/1"), "also with a slash at its end");
	ok(covers("https://a", "https://a/h"), "a host all of its paths");
	ok(!covers("https://a/h", "https://a/hooks"), "not what only begins alike");
	ok(!covers("https://a", "https://a.example/"), "nor a host");
	ok(!covers("https://a", "https://a:444/"), "nor a port");
	ok(!covers("https://a/h/", "https://a/h"), "nor what is above it");
	ok(!covers("https://a/h", "https://a/h/../x"), "nor what leads up again");
	ok(!covers("https://a/h", "https://a/h/%2e%2e/x"), "in any spelling");
	ok(!covers("https://a/h", "https://a/h/\\x"), "or with a backslash");
	ok(covers("https://a/h", "https://a/h?../x"), "which is nothing in a query");
	ok(!covers("", "https://a/h"), "no URL covers nothing");
	ok(!kgw_url_covers("https://a/h", 11, "https://a/h", 10), "only the bytes that are given count");
}

static void
test_target(void)
{
	static const char *const cases[][2] = {
		{"https://a", "/"},
		{"https://a:444?k=1", "/?k=1"},
		{"https://a#f", "/"},
		{"https://a/h/%2e%2E/../x?k=/#f", "/h/%2e%2E/../x?k=/"},
		{"http://[::1]:80/?", "/?"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char	   *out = malloc(strlen(cases[i][0]) + 2);

		kgw_url_target(cases[i][0], out);
		ok(strcmp(out, cases[i][1]) == 0, "a request line has %s of %s", cases[i][1], cases[i][0]);
		free(out);
	}
}

int
main(void)
{
	test_accepted();
	test_accepted_ipv6();
	test_refused();
	test_nul();
	test_each_byte();
	test_lengths();
	test_ports();
	test_ports_refused();
	test_judge();
	test_covers();
	test_target();
	return done_testing();
}
