#-------------------------------------------------------------------------
#
# test/t/045_address_spellings.pl
#	  However this host, or a private one, is written in a URL: nothing is even
#	  connected to, also where the locale has its own ideas about letters.
#
# What the URL check takes for a name is looked up as one, and a number like
# 2130706433 is an address to the resolver.  So the list of connections decides,
# not how a refusal came about.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Kgwebhook::SmallWorld;
use PostgreSQL::Test::Utils;
use Test::More;

my $world = Kgwebhook::SmallWorld->create;
my $receiver = start_receiver();
my $port = $receiver->port;

# The letter I is another one in Turkish.
my $locales = PostgreSQL::Test::Utils::tempdir('locales');
my $turkish = system("localedef -i tr_TR -f UTF-8 $locales/tr_TR.UTF-8 >/dev/null 2>&1") == 0;
my $node = init_node('main', 'kgwebhook.allowed_networks' => undef, 'kgwebhook.retry_schedule' => "'1h'");
{
	local $ENV{LOCPATH} = $locales;
	$world->start($node);
}

my @hosts = (
	# numbers
	qw(2130706433 0x7f000001 0X7F000001 017700000001 127.1 127.0.1 0177.1 0177.0.0.1 0x7f.1
	  0x7f.0.0.1 127.0.0.01 4294967296 2130706433.0 0 00 0.0 0x0 127.127.127.127),
	# names
	qw(localhost LOCALHOST LocalHost localhost. foo.localhost LOCALHOST.localhost
	  localhost.localdomain ip6-localhost ip6-loopback metadata.google.internal),
	# percent-encoded
	qw(127%2e0%2e0%2e1 %31%32%37.0.0.1 %6cocalhost 127.0.0.1%00.example.com 127.0.0.1%2f
	  127.0.0.1%23 localhost%20),
	# IPv6
	qw([::] [::1] [0:0:0:0:0:0:0:1] [::ffff:127.0.0.1] [::FFFF:127.0.0.1] [::ffff:7f00:1]
	  [::ffff:0:127.0.0.1] [::127.0.0.1] [64:ff9b::7f00:1] [64:ff9b:1::a00:1]
	  [2002:7f00:1::] [fec0::1] [fe80::1] [fc00::1] [fd00:ec2::254] [ff02::1] [100::1]
	  [fe80::1%lo] [fe80::1%25lo] [::1%lo] [::1%251] [::1%25] [127.0.0.1] [localhost] [] [:::1]
	  [::1 ::1),
	# letters and digits that some take for ASCII
	"\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1",    # full-width digits
	"127\xe3\x80\x820\xe3\x80\x820\xe3\x80\x821",    # ideographic full stops
	"127\xef\xbc\x8e0\xef\xbc\x8e0\xef\xbc\x8e1",    # full-width ones
	"127\xef\xbd\xa10\xef\xbd\xa10\xef\xbd\xa11",    # half-width ones
	"\xe2\x93\x9b\xe2\x93\x9e\xe2\x93\x92\xe2\x93\x90\xe2\x93\x9b\xe2\x93\x97\xe2\x93\x9e\xe2\x93\xa2\xe2\x93\xa3",
	"\xe2\x91\xa0\xe2\x91\xa1\xe2\x91\xa6.0.0.1",    # circled
	"local\xe2\x80\x8bhost", "local\xe2\x80\x8dhost", "local\xef\xbb\xbfhost",    # zero-width
	"local\xc2\xadhost", "loca\xc5\x82host", "LOCALHO\xc5\xbfT",                  # long s
	"\xf0\x9d\x9f\xad\xf0\x9d\x9f\xae\xf0\x9d\x9f\xb3.0.0.1",    # mathematical digits
	"127.0.0.1\xe3\x80\x82", "\xd9\xa1\xd9\xa2\xd9\xa7.0.0.1",   # Arabic digits
	# whose host is it?
	'user@127.0.0.1', 'user:password@127.0.0.1', '@127.0.0.1', "example.com#\@127.0.0.1",
	"example.com?\@127.0.0.1", 'example.com%40@127.0.0.1', 'a@b@127.0.0.1',
	"example.com\\\@127.0.0.1", "127.0.0.1\\.example.com", "127.0.0.1\\", "\\127.0.0.1",
	# what isn't seen
	"127.0.0.1\t", "\t127.0.0.1", "127.0\n.0.1", "127.0.0.1\r\nHost: a", "\r127.0.0.1",
	"local\thost", ' 127.0.0.1', '127.0.0.1 ', "127.0.0.1\x01", "local\x7fhost",
	'', '.', '..', '127.0.0.1.', '127..0.1', '-', '*', "127.0.0.1;", "127.0.0.1,example.com");
my @urls = map { "http://$_:$port/ok" } @hosts;
push @urls, map { "http://127.0.0.1$_" } (
	':', ':/ok', ':0/', ':00/', ":0$port/", ":+$port/", ":-1/", ":$port.0/", ":0x50/", ":$port:$port/",
	':65536/', ':' . (65536 + $port) . '/', ': 80/', ":\xef\xbc\x98\xef\xbc\x90/", ':http/', ':%38%30/',
	":22/", ":5432x/");
push @urls, map { "$_//127.0.0.1:$port/ok" } (
	'HTTP:', 'Http:', "ht\ttp:", ' http:', "\x01http:", "H\xc4\xb0TTP:", 'hTTP:', 'ftp:', 'file:', 'gopher:',
	'dict:', 'ldap:', 'smb:', 'telnet:', 'tftp:', 'rtsp:', 'mqtt:', 'scp:', 'ws:', 'javascript:', 'data:',
	'view-source:http:', 'http:http:', 'url:http:', '', ':', 'http', 'https', 'http:\\', 'http:/');
push @urls, "http:127.0.0.1:$port/ok", "http:/127.0.0.1:$port/ok", "http:\\\\127.0.0.1:$port\\ok",
  "127.0.0.1:$port", "//127.0.0.1:$port/", "file:///etc/passwd", "unix:/tmp/.s", "http+unix://%2ftmp/",
  "http://127.0.0.1:$port" . '/' x 3000, '';

sub quote
{
	my ($text) = @_;

	$text =~ s/'/''/g;
	return "'$text'";
}

sub try_all
{
	my ($database) = @_;
	my $ctype = $node->safe_psql($database,
		'SELECT datctype FROM pg_database WHERE datname = current_database()');

	$node->safe_psql(
		$database, q{
		SET client_min_messages = warning;
		CREATE EXTENSION kgwebhook CASCADE;
		CREATE TABLE t (id text, status text, callback_url text);
		SELECT kg_watch('t', event => 't', id_column => 'id', org_column => NULL);
		SELECT kg_create_secret()});
	$node->safe_psql($database,
		'INSERT INTO t VALUES ' . join ', ', map { "($_, 'new', " . quote($urls[$_]) . ')' } 0 .. $#urls);
	$node->poll_query_until($database,
		'SELECT count(DISTINCT object_id) = ' . @urls . ' FROM kgwebhook.delivery_log')
	  or die 'waited for all to be tried';
	my $not = $node->safe_psql(
		$database, q{
		SELECT DISTINCT object_id, outcome, error FROM kgwebhook.delivery_log
		 WHERE outcome NOT IN ('blocked', 'invalid')});

	# names and numbers that mean nothing to the resolver
	my @unresolved = grep { /\|the host's name could not be resolved$/ } split /\n/, $not;
	is( join(' ', map { (split /\|/)[1] } grep { !/\|the host's name could not be resolved$/ } split /\n/, $not),
		'', "$ctype: none is tried") or diag($not);
	cmp_ok(scalar(@unresolved), '<', 12, 'and with few exceptions, none is a name to ask for');
	is( $node->safe_psql(
			$database, q{
			SELECT string_agg(DISTINCT error, '; ') FROM kgwebhook.delivery_log WHERE outcome = 'blocked'}),
		"the host's address is not allowed",
		'those that are addresses are blocked, with one reason');
	is( $node->safe_psql(
			$database,
			q{SELECT count(*) FROM kgwebhook.delivery_log WHERE outcome = 'invalid' AND NOT final}),
		0,
		'those that are no URLs are invalid, for good');
	return;
}

try_all('postgres');
SKIP:
{
	skip 'no Turkish here', 4 unless $turkish;
	$node->safe_psql('postgres',
		q{CREATE DATABASE turkish TEMPLATE template0 ENCODING 'UTF8' LOCALE 'tr_TR.UTF-8'});
	try_all('turkish');
}
is_deeply([ $world->connections('\d+') ], [], 'nothing was connected to at any port');
is(scalar($receiver->requests), 0, 'nothing has arrived');

$node->stop;
done_testing();
