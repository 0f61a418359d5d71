#-------------------------------------------------------------------------
#
# test/t/064_addresses.pl
#	  Of a name's addresses one that is silent keeps no event from the others;
#	  and a name that moves is followed.
#
# 127.0.1.2 and 127.0.1.3 take no connection, as behind a firewall or when a
# machine has died: the queues of their sockets are full.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Errno qw(EINPROGRESS);
use IO::Select;
use Kgwebhook;
use Kgwebhook::SmallWorld;
use PostgreSQL::Test::Utils;
use Socket;
use Test::More;

sub make_socket
{
	socket(my $socket, PF_INET, SOCK_STREAM, 0) or die "no socket: $!";
	return $socket;
}

# Listens there, and fills the queue until a connection stays half open.
sub silent_address
{
	my ($ip, $port) = @_;
	my $address = pack_sockaddr_in($port, inet_aton($ip));
	my @sockets = make_socket();

	setsockopt($sockets[0], SOL_SOCKET, SO_REUSEADDR, 1);
	bind($sockets[0], $address) && listen($sockets[0], 0) or die "could not listen at $ip: $!";
	foreach (1 .. 100)
	{
		my $socket = make_socket();

		push @sockets, $socket;
		$socket->blocking(0);
		connect($socket, $address) || $! == EINPROGRESS or die "could not connect to $ip: $!";
		return \@sockets unless IO::Select->new($socket)->can_write(1);
	}
	die "$ip takes all connections";
}

my $world = Kgwebhook::SmallWorld->create;
my $receiver = start_receiver(host => '127.0.1.4');
my $port = $receiver->port;
my @silent = map { silent_address($_, $port) } '127.0.1.2', '127.0.1.3';
my $node = init_node('main',
	'kgwebhook.allowed_networks' => "'127.0.0.0/8'",
	'kgwebhook.connect_timeout' => "'6s'",
	'kgwebhook.request_timeout' => "'60s'",
	'kgwebhook.retry_schedule' => "'50ms,1h'");
$world->names(
	'two.example' => { A => [ '127.0.1.2', '127.0.1.4' ] },
	'three.example' => { A => [ '127.0.1.2', '127.0.1.3', '127.0.1.4' ] },
	'moving.example' => { A => [ ['127.0.1.5'], ['127.0.1.4'] ] },
	'none.example' => { A => ['10.0.0.1'] },
	'nobody.example' => { silent => JSON::PP::true });
$world->start($node);
make_plain_table($node, $receiver);

sub send_to
{
	my ($host) = @_;

	$node->safe_psql('postgres', "INSERT INTO t VALUES ('$host', 'new', 'http://$host:$port/ok')");
	return;
}

#
# What libcurl's resolver threads answer through is waited for, also where its
# descriptor has the number of an earlier one
#
# Descriptors in the worker's epoll set for libcurl: the one that is in another.
sub waited_for
{
	my ($worker) = @_;
	my %sets;

	foreach my $fd (glob "/proc/$worker/fd/*")
	{
		my ($n) = $fd =~ /(\d+)$/;

		next unless (readlink($fd) || '') eq 'anon_inode:[eventpoll]';
		$sets{$n} = [ slurp_file("/proc/$worker/fdinfo/$n") =~ /^tfd:\s+(\d+)/mg ];
	}
	foreach my $inner (keys %sets)
	{
		return @{ $sets{$inner} } if grep { $_ == $inner } map { @$_ } values %sets;
	}
	return;
}

my ($worker) = wait_for_worker($node);
foreach my $n (1 .. 3)
{
	$node->safe_psql('postgres',
		"INSERT INTO t VALUES ('none$n', 'new', 'http://none.example:$port/ok')");
	wait_for_log_rows($node, 1, "object_id = 'none$n' AND outcome = 'blocked'");
}
$node->safe_psql('postgres', 'DELETE FROM kgwebhook.queue');
is_deeply([ waited_for($worker) ], [], 'after some lookups nothing is waited for');
send_to('nobody.example');
$world->wait_for_requests(1, name => 'nobody.example');
is(scalar(waited_for($worker)), 1, 'while a name is looked up, its answer is');
$node->safe_psql('postgres', 'DELETE FROM kgwebhook.queue');

#
# Several addresses
#
my %way = (
	'two.example' => [ '127.0.1.2', '127.0.1.4' ],
	'three.example' => [ '127.0.1.2', '127.0.1.3', '127.0.1.4' ]);
foreach my $host (qw(two.example three.example))
{
	my $before = () = $world->connections($port);

	send_to($host);
	my ($row) = wait_for_log_rows($node, 1, "object_id = '$host'");
	is($row->{outcome}, 'acknowledged', "$host: the last address is the first that answers")
	  or diag($row->{error});
	my @all = $world->connections($port);
	is_deeply([ @all[ $before .. $#all ] ], $way{$host}, 'the others were tried before');
}
my ($test) = map { Kgwebhook::Receiver::decode($_) } $node->safe_psql('postgres',
	"SELECT to_jsonb(t) FROM kg_send_test('http://two.example:$port/ok') t");
is($test->{outcome}, 'acknowledged', 'kg_send_test() finds the second one, too');

#
# A name that moves
#
send_to('moving.example');
my ($first, $second) = wait_for_log_rows($node, 2, q{object_id = 'moving.example'});
is($first->{error}, 'the connection was refused', 'where it was, nobody is');
is($second->{outcome}, 'acknowledged', 'and the retry finds where it is now');

$node->stop;
done_testing();
