#-------------------------------------------------------------------------
#
# test/t/063_connections.pl
#	  A kept connection that has died is nobody's failure: what goes by it goes
#	  again at once by a fresh one, once, and no health is touched.  Connections
#	  that a firewall has forgotten cost one timeout, not one each; and none is
#	  kept for long.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use File::Basename qw(dirname);
use IO::Socket::INET;
use Kgwebhook;
use Kgwebhook::WaitingClock;
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;

my $node = init_node('main',
	'kgwebhook.retry_schedule' => "'1h'",
	'kgwebhook.request_timeout' => "'2s'",
	'kgwebhook.connect_timeout' => "'1s'");
my $clock = Kgwebhook::WaitingClock->start($node);
my $secret = make_intents_table($node);

# The attempts of an object, as "attempt outcome final".
sub attempts_of
{
	my ($id) = @_;

	return [ map { "$_->{attempt} $_->{outcome} $_->{final}" }
		  sort { $a->{attempt} <=> $b->{attempt} } delivery_log($node, "object_id = '$id'") ];
}

sub health_of
{
	my ($receiver) = @_;

	return $node->safe_psql('postgres',
		"SELECT state, failures_in_a_row FROM kgwebhook.destinations WHERE destination = '@{[ $receiver->destination ]}'");
}

#
# A receiver that closes without announcing it
#
# The schedule is an hour: what arrives has gone again at once.
my $closing = start_receiver(secret => $secret);
my $url = $closing->url('/first-only/ok');
foreach my $n (1 .. 8)
{
	insert_intent($node, "closing$n", $url);
	wait_until_settled($node);
}
my $dropped = 'the kept-alive connection was closed before an answer came';
my @dropped = delivery_log($node, "outcome <> 'acknowledged'");
cmp_ok(scalar(@dropped), '>=', 6, 'attempts have died with kept connections');
is_deeply([ grep { $_->{outcome} ne 'unreachable' || $_->{error} ne $dropped || $_->{final} } @dropped ],
	[], 'which the log says, each in a row of its own');
is( $node->safe_psql(
		'postgres', q{
		SELECT count(*), count(DISTINCT (delivery_id, webhook_id)), max(attempts)
		  FROM kgwebhook.deliveries WHERE state = 'acknowledged'}),
	'8|8|2',
	'all have arrived, by their second attempt at the latest');
is(health_of($closing), 'ok|0', 'the destination is not backing off');
is(scalar($closing->requests), 8 + @dropped, 'one row of the log is one request');

#
# It takes no step of the schedule, and a fresh connection that dies is a failure
#
my $failing = start_receiver(secret => $secret);
reload($node, 'kgwebhook.retry_schedule' => "'20ms,1h'");
insert_intent($node, 'warm', $failing->url);
wait_until_settled($node);
insert_intent($node, 'failing', $failing->url('/first-only/status/500'));
$failing->wait_for_requests(2, path => '/first-only/status/500');
insert_intent($node, 'warm2', $failing->url);
wait_until_settled($node, "object_id = 'warm2'");
wait_for_log_rows($node, 2, "object_id = 'failing' AND outcome = 'rejected'");
my @steps = grep { $_->{outcome} eq 'rejected' } delivery_log($node, q{object_id = 'failing'});
is(scalar(@steps), 2, 'both steps of the schedule were answers');
is( $node->safe_psql(
		'postgres', q{
		SELECT attempts - attempts_before, next_attempt_at > now() + interval '30 min'
		  FROM kgwebhook.queue WHERE object_id = 'failing'}),
	'2|t',
	'what died with kept connections was none');
$node->safe_psql('postgres', 'DELETE FROM kgwebhook.queue');

my $dying = start_receiver(secret => $secret);
reload($node, 'kgwebhook.retry_schedule' => "'1h'");
insert_intent($node, 'alive', $dying->url);
wait_until_settled($node);
$node->safe_psql(
	'postgres', qq{
	SELECT kg_subscribe('default', '@{[ $dying->url('/close') ]}');
	INSERT INTO payment_intents (payment_intent_id) VALUES ('dying')});
wait_for_log_rows($node, 2, q{object_id = 'dying'});
ok( $node->poll_query_until('postgres',
		"SELECT failures_in_a_row = 1 FROM kgwebhook.destinations WHERE destination = '@{[ $dying->destination ]}'"),
	'of two attempts one is held against the destination');
is( $node->safe_psql(
		'postgres', q{
		SELECT s.failing_since = l.started_at
		  FROM kgwebhook.subscription s, kgwebhook.delivery_log l
		 WHERE l.object_id = 'dying' AND l.attempt = 2}),
	't', 'and against the subscription');
$node->safe_psql('postgres', 'SELECT kg_unsubscribe(subscription_id) FROM kgwebhook.subscription');
insert_intent($node, 'alive2', $dying->url);
wait_until_settled($node, "object_id = 'alive2'");
my @dying = delivery_log($node, q{object_id = 'dying' AND outcome = 'unreachable'});
is(scalar(@dying), 2, 'it is tried again at once, and only once');
is_deeply([ map { $_->{error} eq $dropped ? 'kept' : 'fresh' } sort { $a->{attempt} <=> $b->{attempt} } @dying ],
	[qw(kept fresh)], 'by a fresh connection');
$node->safe_psql('postgres', 'DELETE FROM kgwebhook.queue');

#
# Connections that are forgotten without a word, and a receiver that is fine
#
my $forgetful = start_receiver(secret => $secret);
my $file = dirname($forgetful->{record}) . '/forgotten';
reload($node, 'kgwebhook.retry_schedule' => "'100ms,100ms,1s,1s,1s,1h'");
$url = $forgetful->url('/forget/forgotten/slow/20');
insert_intents($node, 'burst', 200, $url);
wait_until_settled($node);
my ($kept) = sort { $b <=> $a } map { $_->{connection} } $forgetful->requests;
cmp_ok($kept, '>=', 10, "a burst leaves $kept connections");
sleep 1 while time <= (stat $forgetful->{record})[9];
append_to_file($file, '');
insert_intents($node, 'late', 6, $url);
wait_until_settled($node, "object_id LIKE 'late%'");
is_deeply(
	[ grep { $_ !~ /^(1 timed_out 0 2 )?\S*acknowledged 1$|^1 acknowledged 1$/ }
		map { join ' ', @{ attempts_of("late$_") } } 1 .. 6 ],
	[],
	'one timeout at most, then a fresh connection');
insert_intents($node, 'later', 60, $url);
wait_until_settled($node, "object_id LIKE 'later%'");
is( $node->safe_psql(
		'postgres', q{
		SELECT count(*), max(attempt) FROM kgwebhook.delivery_log WHERE object_id LIKE 'later%'}),
	'60|1',
	'and their siblings carry nothing more');

#
# Over which nothing goes any more
#
# After its first answer the receiver reads nothing more of a connection, so that the
# rest of a body stays with our kernel, as where a firewall drops what it has forgotten.
sub start_black_hole
{
	my $listener = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1', Timeout => 1) or die "$!";
	my $test = $$;
	my @kept;

	setsockopt $listener, SOL_SOCKET, SO_RCVBUF, 2048 or die "$!";
	my $child = fork;
	die "could not fork: $!" unless defined $child;
	return ($listener->sockport, $child) if $child;
	while (getppid == $test)
	{
		my $socket = $listener->accept or next;
		my $request = '';

		while ($request !~ /"signature":"[0-9a-f]{64}"\}$/)
		{
			sysread $socket, $request, 65536, length $request or last;
		}
		syswrite $socket, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
		push @kept, $socket;
	}
	POSIX::_exit(0);
}

# Each is found dead in a second, also one that has the descriptor of another.
my ($hole, $hole_pid) = start_black_hole();
reload($node, 'kgwebhook.retry_schedule' => "'1h'", 'kgwebhook.request_timeout' => "'10min'");
foreach my $n (1 .. 3)
{
	insert_intent($node, "hole$n", "http://127.0.0.1:$hole/", order_data => q{to_jsonb(repeat('x', 14000))});
	wait_until_settled($node, "object_id = 'hole$n'");
	is_deeply(attempts_of("hole$n"),
		$n == 1 ? ['1 acknowledged 1'] : [ '1 unreachable 0', '2 acknowledged 1' ],
		"delivery $n: bytes that nobody takes are waited for no longer than for a connection");
}
is( $node->safe_psql(
		'postgres', qq{
		SELECT DISTINCT error = '$dropped', duration_ms >= 900
		  FROM kgwebhook.delivery_log WHERE object_id LIKE 'hole%' AND outcome <> 'acknowledged'}),
	't|t',
	'and its connection is what the log names');
is( $node->safe_psql('postgres',
		"SELECT state, failures_in_a_row FROM kgwebhook.destinations WHERE destination = 'http://127.0.0.1:$hole'"),
	'ok|0', 'which counts against nobody');
kill 'KILL', $hole_pid;    # our handlers of other signals are its own, too
waitpid $hole_pid, 0;

#
# None is kept for long
#
my $aging = start_receiver(secret => $secret);
my $waited = 0;
foreach my $n (1 .. 5)
{
	# 0, 30, 61, 107 and 137 seconds
	$waited += (0, 0, 30, 31, 46, 30)[$n];
	$clock->set_waited($waited);
	insert_intent($node, "aging$n", $aging->url);
	$aging->wait_for_requests($n);
	wait_until_settled($node, "object_id = 'aging$n'");
}
is_deeply([ map { $_->{connection} } $aging->requests ],
	[ 1, 1, 2, 3, 3 ], 'one that is a minute old, or was idle for most of one, is not used again');

# The kernel probes an idle one: 02 is its keep-alive timer, which ends within 15 seconds.
my $port = sprintf ':%04X', $aging->port;
my @timers = map { /^\s*\d+: \S+ \S+$port 01 \S+ (\d\d):([0-9A-F]+)/ ? [ $1, hex $2 ] : () }
  split /\n/, slurp_file('/proc/net/tcp');
is_deeply([ grep { $_->[0] ne '02' || $_->[1] > 1500 } @timers ], [], 'and while it is kept it is soon probed');
isnt(scalar(@timers), 0, 'by the kernel');

$node->stop;
done_testing();
