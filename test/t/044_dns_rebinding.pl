#-------------------------------------------------------------------------
#
# test/t/044_dns_rebinding.pl
#	  A name means what its owner's name server says this second, and nothing is
#	  ever connected to because of it that isn't public.
#
# The names come from a real name server by the real resolver; connections go to
# loopback wherever they were meant for, and are written down (see
# test/preload/small_world.c).  What matters is that list: of a blocked address
# not even a connection may be tried.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Kgwebhook::SmallWorld;
use Test::More;

my ($public, $other, $own) = ('93.184.216.34', '93.184.216.35', '93.184.216.36');
my $world = Kgwebhook::SmallWorld->create(own_address => $own);
my $receiver = start_receiver();
my $port = $receiver->port;
my $node = init_node('main', 'kgwebhook.allowed_networks' => undef,
	'kgwebhook.retry_schedule' => "'50ms,1h'");
$world->start($node);
make_plain_table($node, $receiver);
my $id = 0;

# Sends an event to each of these names, and returns the first attempts.
sub attempts_at
{
	my @hosts = @_;
	my @ids = map { ++$id } @hosts;

	$node->safe_psql('postgres',
		'INSERT INTO t VALUES '
		  . join(', ', map { "('$ids[$_]', 'new', 'http://$hosts[$_]:$port/ok')" } 0 .. $#hosts));
	my %first = map { $_->{object_id} => $_ }
	  wait_for_log_rows($node, scalar(@ids),
		'attempt = 1 AND object_id IN (' . join(', ', map { "'$_'" } @ids) . ')');
	return map { $first{$_} } @ids;
}

# Addresses that were connected to since this was last asked.
my $known = 0;
sub new_connections
{
	my @all = $world->connections($port);
	my @new = @all[ $known .. $#all ];

	$known = @all;
	return \@new;
}

#
# Every class of the SSRF filter, as an answer
#
my %private = (
	A => [
		qw(0.0.0.0 10.0.0.1 100.64.0.1 127.0.0.1 127.8.8.8 169.254.169.254 172.16.0.1
		  172.31.255.255 192.0.0.1 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1
		  198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 240.0.0.1 255.255.255.255),
		$own
	],
	AAAA => [
		qw(:: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:93.184.216.34 64:ff9b::7f00:1
		  64:ff9b:1::a00:1 100::1 2001::1 2001:db8::1 2002:7f00:1:: 3fff::1 4000::1
		  5f00::1 fc00::1 fd00:ec2::254 fe80::1 fec0::1 ff02::1)
	]);
my %names;
foreach my $type (qw(A AAAA))
{
	my $n = 0;
	$names{ lc($type) . ++$n . '.example' } = { $type => [$_] } foreach @{ $private{$type} };
}
my @private = sort keys %names;
$world->names(%names);
my @rows = attempts_at(@private);
is( join(' ', grep { $rows[$_]{outcome} ne 'blocked' && $private[$_] =~ /^a\d/ } 0 .. $#private),
	'', 'a name with a private IPv4 address is blocked');
SKIP:
{
	# without IPv6 nobody asks for such addresses
	skip 'no IPv6 here', 1 unless $world->requests(type => 'AAAA');
	is( join(' ', map { $private[$_] } grep { $rows[$_]{outcome} ne 'blocked' } 0 .. $#private),
		'', 'and one with an IPv6 address that is not global');
}
is_deeply(new_connections(), [], 'none of them was connected to');

#
# What the log tells of it: the same of all, and no time that a lookup took
#
is_deeply(
	[ keys %{ { map { $_->{error} => 1 } grep { $_->{outcome} eq 'blocked' } @rows } } ],
	["the host's address is not allowed"],
	'of whatever is blocked the log says the same');
is_deeply(
	[ grep { $_->{duration_ms} != 0 || defined $_->{response_status} || defined $_->{response_body} }
		grep { $_->{outcome} eq 'blocked' } @rows ],
	[],
	'without a duration, a status or a body');
is( $node->safe_psql(
		'postgres', q{
		SELECT count(*) FROM kgwebhook.delivery_log l
		 WHERE outcome = 'blocked' AND l::text ~ '10[.]0[.]0[.]1|169[.]254|93[.]184'}),
	0,
	'and no column has the address');

#
# Names with public addresses, and with both
#
$world->names(
	'public.example' => { A => [$public] },
	'both.example' => { A => [ '10.0.0.1', $public, '127.0.0.1' ] },
	'all-ways.example' => { A => [ '192.168.0.1', $public ], AAAA => [ '::1', 'fd00::1' ] },
	'alias.example' => { CNAME => 'public.example' },
	'private-alias.example' => { CNAME => 'middle.example' },
	'middle.example' => { CNAME => 'metadata.internal' },
	'metadata.internal' => { A => ['169.254.169.254'] },
	'local-alias.example' => { CNAME => 'localhost' },
	'localhost' => { A => ['127.0.0.1'] },
	'long.example' => { A => [ ('10.0.0.1') x 60 ], truncate => JSON::PP::true },
	'long-public.example' => { A => [$public], truncate => JSON::PP::true },
	'nothing.example' => {},
	'broken.example' => { refuse => JSON::PP::true });

sub is_attempt
{
	my ($host, $outcome, $connections, $what) = @_;
	my ($row) = attempts_at($host);

	is($row->{outcome}, $outcome, $what) or diag($row->{error});
	is_deeply(new_connections(), $connections, "$what: connects to "
		  . (@$connections ? "@$connections" : 'nothing'));
	return $row;
}

is_attempt('public.example', 'acknowledged', [$public], 'a public address');
is(($receiver->requests)[-1]{headers}{host}, "public.example:$port", 'by its name');
is_attempt('both.example', 'acknowledged', [$public], 'public and private ones');
is_attempt('all-ways.example', 'acknowledged', [$public], 'of both families');
is_attempt('alias.example', 'acknowledged', [$public], 'another name for a public one');
is_attempt('private-alias.example', 'blocked', [], 'another name for a private one');
is_attempt('local-alias.example', 'blocked', [], 'another name for this host');
is_attempt('long.example', 'blocked', [], 'an answer that comes by TCP');
is_attempt('long-public.example', 'acknowledged', [$public], 'a good one that comes by TCP');
ok( scalar($world->requests(name => 'long.example', transport => 'tcp')),
	'and it was asked for by TCP');
foreach my $name (qw(nothing.example broken.example nowhere.example))
{
	my $row = is_attempt($name, 'unreachable', [], "a name without address ($name)");
	is($row->{error}, "the host's name could not be resolved", 'which the log says');
}

# A name that is public, but whose receiver is this host itself
$world->names('own.example' => { A => [$own] });
is_attempt('own.example', 'blocked', [], "a public address of this host's own");

#
# Names that change their mind
#
# kg_send_test remembers no name: each asks again.
$world->names('rebound.example' => { A => [ [$public], ['127.0.0.1'], [$other] ] });
my @tests = map {
	$node->safe_psql('postgres',
		"SELECT outcome FROM kg_send_test('http://rebound.example:$port/ok')")
} 1 .. 3;
is("@tests", 'acknowledged blocked acknowledged', 'each lookup is judged for itself');
is_deeply(new_connections(), [ $public, $other ], 'by what it is connected to');

# Between attempts, with a worker that knows nothing of the first
$world->names('moved.example' => { A => [ [$public], ['10.0.0.1'] ] });
$node->append_conf('postgresql.conf', "kgwebhook.retry_schedule = '4s,1h'");
$node->reload;
$node->safe_psql('postgres',
	"INSERT INTO t VALUES ('moved', 'new', 'http://moved.example:$port/status/500')");
wait_for_log_rows($node, 1, "object_id = 'moved'");
$world->start($node) if $node->stop;
my (undef, $second) = wait_for_log_rows($node, 2, "object_id = 'moved'");
is($second->{outcome}, 'blocked', 'private at the second attempt');
is_deeply(new_connections(), [$public], 'only the first was connected to');

# Between connecting and the next request: what was connected to stays what it
# is, and nothing is asked again
$world->names('kept.example' => { A => [ [$public], ['127.0.0.1'] ] });
is_attempt('kept.example', 'acknowledged', [$public], 'public when it was connected to');
is_attempt('kept.example', 'acknowledged', [], 'a kept connection is to the address of then');

# An address may become forbidden while a connection to it is kept.
my $n = $receiver->requests;
reload($node, 'kgwebhook.allowed_networks' => "'$other/32'");
is_attempt('kept.example', 'acknowledged', [], 'and is still judged as public');
$world->names('excepted.example' => { A => ['10.9.9.9'] });
reload($node, 'kgwebhook.allowed_networks' => "'10.9.9.9/32'");
is_attempt('excepted.example', 'acknowledged', ['10.9.9.9'], 'an exception');
$n = $receiver->requests;
reload($node, 'kgwebhook.allowed_networks' => "''");
my $row = is_attempt('excepted.example', 'blocked', [], 'that is one no more, by a kept connection');
is($row->{error}, "the host's address is not allowed", 'with the same reason');
is(scalar($receiver->requests), $n, 'nothing went over it');

$node->stop;
done_testing();
