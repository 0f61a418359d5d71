#-------------------------------------------------------------------------
#
# test/t/008_ssrf_filter.pl
#	  By default nothing goes to an address that is not public, however it is
#	  written; and what the administrator allows does, from the reload on.
#
# "Nothing" means that no connection was made: receivers number those.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Socket;
use Test::More;

# http, so that a receiver would understand us; and a proxy which nobody asked
# for, in the environment of the server.
my $receiver = start_receiver();
my $proxy = start_receiver();
my $node = init_node('main', 'kgwebhook.allowed_networks' => undef,
	'kgwebhook.retry_schedule' => "'50ms'");
{
	local $ENV{http_proxy} = $proxy->url('');
	local $ENV{https_proxy} = $proxy->url('');
	local $ENV{all_proxy} = $proxy->url('');
	local $ENV{ALL_PROXY} = $proxy->url('');
	$node->start;
}
make_plain_table($node, $receiver);
my $port = $receiver->port;
my $id = 0;

# The first attempts of events that go to these URLs.
sub outcomes_of
{
	my @urls = @_;
	my $first = $id + 1;
	my @rows;

	$id += @urls;
	$node->safe_psql('postgres',
		'INSERT INTO t VALUES '
		  . join(', ', map { "('" . ($first + $_) . "', 'new', '$urls[$_]')" } 0 .. $#urls));
	foreach my $object ($first .. $id)
	{
		$node->poll_query_until('postgres',
			"SELECT count(*) > 0 FROM kgwebhook.delivery_log WHERE object_id = '$object'")
		  or die "waited for $urls[$object - $first]";
		push @rows, (delivery_log($node, "object_id = '$object'"))[0];
	}
	return @rows;
}

sub is_outcome
{
	my ($url, $outcome, $what) = @_;
	my ($row) = outcomes_of($url);

	is($row->{outcome}, $outcome, "$what: $url") or diag($row->{error});
	return $row;
}

#
# By default
#
my $row = is_outcome("http://127.0.0.1:$port/ok", 'blocked', 'loopback');
ok($row->{error}, 'with a reason');
is($row->{response_status}, undef, 'and no status');
ok( $node->poll_query_until('postgres',
		"SELECT EXISTS (SELECT FROM kgwebhook.dead_letter WHERE object_id = '$id')"),
	'no longer than the schedule is');
like(
	$node->safe_psql('postgres', "SELECT reason FROM kgwebhook.dead_letter WHERE object_id = '$id'"),
	qr/^gave up after \d attempts?/,
	'the dead letter says so');

# From here on nothing is given up: that a destination has failed for long would
# be the reason then, and not what we look for.
reload($node, 'kgwebhook.retry_schedule' => "'50ms,1h'");
is( $node->safe_psql('postgres', "SELECT outcome FROM kg_send_test('http://127.0.0.1:$port/ok')"),
	'blocked', 'kg_send_test goes by the same filter');

my @hosts = (
	'2130706433', '0x7f000001', '017700000001', '127.1', '127.0.1', '0177.0.0.1',
	'0x7f.1', 'localhost', 'LOCALHOST', 'localhost.', '0.0.0.0', '0', '127.127.127.127',
	'[::1]', '[::]', '[::ffff:127.0.0.9]', '[::ffff:7f00:1]', '[::127.0.0.1]',
	'[64:ff9b::7f00:1]', '[2002:7f00:1::]', '[0:0:0:0:0:0:0:1]', '[fe80::1]',
	'[fc00::1]', '10.0.0.1', '172.16.0.1', '192.168.0.1', '169.254.169.254',
	'100.64.0.1', '224.0.0.1', '255.255.255.255', 'user@127.0.0.1', '127.0.0.1%00.example.com');
my @got = outcomes_of(map { "http://$_:$port/ok" } @hosts);
foreach my $i (0 .. $#hosts)
{
	like($got[$i]{outcome}, qr/^(blocked|invalid)$/, "nothing goes to $hosts[$i]")
	  or diag($got[$i]{error});
}
# those that every parser takes for what they are
is_deeply(
	[ map { $_->{outcome} } outcomes_of(map { "http://$_/" } 'localhost', '0.0.0.0', '[::1]', '10.0.0.1') ],
	[ ('blocked') x 4 ],
	'plain ones are blocked by address');

#
# Schemes and ports
#
is_outcome("http://127.0.0.1:$_/ok", 'invalid', 'a port that is not allowed')
  foreach 22, 1023, 0, 65536;
is_outcome("$_://127.0.0.1:$port/ok", 'invalid', 'a scheme that is not allowed')
  foreach 'ftp', 'file', 'gopher', 'dict', 'HTTP';
reload($node, 'kgwebhook.allow_http' => 'off');
$row = is_outcome("http://127.0.0.1:$port/ok", 'invalid', 'http while allow_http is off');
like($row->{error}, qr/allow_http/, 'which the error names');
ok($row->{final}, 'and which no retry would help');
reload($node, 'kgwebhook.allow_http' => 'on');

is(scalar($receiver->requests), 0, 'nothing has arrived');

#
# What is allowed, on reload
#
reload($node, 'kgwebhook.allowed_networks' => "'127.0.0.1/32'");
is_outcome("http://127.0.0.1:$port/ok", 'acknowledged', 'an allowed network');
is(($receiver->requests)[0]{connection}, 1, 'which was the first connection ever made');
is_outcome("http://127.0.0.2:$port/ok", 'blocked', 'its neighbor');
is_outcome("http://[::ffff:127.0.0.1]:$port/ok", 'blocked', 'the same as an IPv6 address');

reload($node, 'kgwebhook.allowed_ports' => "'1-1023'");
is_outcome("http://127.0.0.1:$port/ok", 'invalid', 'a port that is no longer allowed');
reload($node, 'kgwebhook.allowed_ports' => "'$port'");
is_outcome("http://127.0.0.1:$port/ok", 'acknowledged', 'the only port that is');

#
# A connection that is kept alive does not get around it
#
my @before = $receiver->requests;
is($before[-1]{connection}, $before[0]{connection}, 'connections are kept')
  or diag('so the next test shows nothing');
reload($node, 'kgwebhook.allowed_networks' => "''");
is_outcome("http://127.0.0.1:$port/ok", 'blocked', 'a kept connection, no longer allowed');
is(scalar($receiver->requests), scalar(@before), 'nothing went over it');

#
# Bad values are refused, and the good ones stay
#
my $log_end = -s $node->logfile;
reload($node, 'kgwebhook.allowed_networks' => "'127.0.0.1/33'");
$node->wait_for_log(qr/invalid value for parameter "kgwebhook.allowed_networks"/, $log_end);
is_outcome("http://127.0.0.1:$port/ok", 'blocked', 'a network that can not be read allows nothing');

#
# IPv6, where there is any
#
SKIP:
{
	my $socket;
	socket($socket, AF_INET6, SOCK_STREAM, 0)
	  && bind($socket, sockaddr_in6(0, Socket::inet_pton(AF_INET6, '::1')))
	  or skip 'no IPv6 here', 3;
	close $socket;
	my $six = start_receiver(host => '::1');
	reload($node, 'kgwebhook.allowed_ports' => "'1024-65535'");
	is_outcome($six->url, 'blocked', 'IPv6 loopback');
	reload($node, 'kgwebhook.allowed_networks' => "'::1/128'");
	is_outcome($six->url, 'acknowledged', 'and allowed');
	is(($six->requests)[0]{connection}, 1, 'by the first connection ever made');
}

is(scalar($proxy->requests), 0, 'no proxy of the environment was used');

$node->stop;
done_testing();
