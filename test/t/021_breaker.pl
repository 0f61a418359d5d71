#-------------------------------------------------------------------------
#
# test/t/021_breaker.pl
#	  A destination that is down costs nothing but its probes, and is not trampled
#	  when it comes back; one row that is refused does not open its destination's breaker.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Test::More;

my $cap = 12;
my $node = new_node(
	'main',
	'kgwebhook.max_in_flight_per_destination' => $cap,
	'kgwebhook.retry_schedule' => "'" . join(',', ('1s') x 30, ('1min') x 30) . "'");
my $secret = make_intents_table($node);
my $healthy = start_receiver(secret => $secret);
my $dead = start_receiver(secret => $secret);
my $destination = $dead->destination;

# A column of the destination that is down, as the view has it.
sub shown
{
	my ($columns) = @_;

	return $node->safe_psql('postgres',
		"SELECT $columns FROM kgwebhook.destinations WHERE destination = '$destination'");
}

sub wait_until_shown
{
	my ($condition) = @_;

	$node->poll_query_until('postgres',
		"SELECT $condition FROM kgwebhook.destinations WHERE destination = '$destination'")
	  or die "waited for $condition of $destination";
	return;
}

# Statuses in the order of their arrival, by object.
sub statuses
{
	my ($receiver) = @_;
	my %statuses;

	foreach ($receiver->lines)
	{
		my ($id) = /"payment_intent_id":"(\w+)"/ or die "not a record: $_";
		my ($status) = /"status":"(\w+)"/ or die "not a record: $_";
		push @{ $statuses{$id} }, $status;
	}
	return \%statuses;
}

#
# Down, with 2,000 objects and 4,000 transitions waiting
#
my $n = 2000;
$dead->stop;
insert_intents($node, 'wait', $n, $dead->url('/slow/10'));
wait_until_shown(q{state = 'backing_off'});
$node->safe_psql('postgres', q{UPDATE payment_intents SET status = 'success'});
is(shown('pending'), 2 * $n, 'all of it waits');
is(shown('failures_in_a_row >= 5'), 't', 'after a few failures');
is(shown('last_success IS NULL'), 't', 'and no success so far');

insert_intents($node, 'healthy', 500, $healthy->url);
wait_until_settled($node, "destination = '@{[ $healthy->destination ]}'");
is(scalar(() = $healthy->lines), 500, 'another destination is served in the meantime');

# Two more probes are two more attempts, however many there are to be sent.
my $before = shown('failures_in_a_row');
wait_until_shown("failures_in_a_row >= $before + 2");
my $attempts = $node->safe_psql('postgres',
	"SELECT count(*) FROM kgwebhook.delivery_log WHERE destination = '$destination'");
cmp_ok($attempts, '<', 5 + $cap + 20, "$attempts attempts are all that it costs");
wait_until_shown('next_try > now()');
is(shown(q{state || ' ' || pending}), 'backing_off ' . 2 * $n, 'nothing is given up');
is( $node->safe_psql(
		'postgres', qq{
		SELECT count(*) FROM (
			SELECT started_at - lag(started_at) OVER (ORDER BY started_at) AS pause
			  FROM kgwebhook.delivery_log WHERE destination = '$destination'
			 ORDER BY started_at DESC LIMIT 2) p
		 WHERE pause < '400 ms'}),
	0,
	'between probes there are pauses');

#
# Back again
#
my $back = start_receiver(secret => $secret, port => $dead->port);
wait_until_settled($node, "destination = '$destination'");
wait_until_shown(q{state = 'ok'});
pass('it is healthy when it is back');
is(shown('failures_in_a_row'), 0, 'the failures are over');
is(shown('last_success > now() - interval \'1 hour\''), 't', 'with a success');
my $statuses = statuses($back);
is(scalar(keys %$statuses), $n, 'every object arrives');
is_deeply([ grep { "@{ $statuses->{$_} }" ne 'pending success' } sort keys %$statuses ],
	[], 'each transition once, and in order');
is( $node->safe_psql(
		'postgres', q{
		SELECT count(*) FROM kgwebhook.delivery_log WHERE outcome = 'superseded'}),
	0,
	'none is superseded');

# The window opens by one with each success: of the first k requests, no more
# can be in flight than have been answered.
my @in_flight = map { /"in_flight":(\d+)/ } $back->lines;
is($in_flight[0], 1, 'the first request comes alone');
is_deeply([ grep { $in_flight[$_] > 1 && $in_flight[$_] > $_ + 1 - $in_flight[$_] } 0 .. 50 ],
	[], 'the others as fast as it answers');
my ($peak) = sort { $b <=> $a } @in_flight;
cmp_ok($peak, '<=', $cap, 'never more than max_in_flight_per_destination');
cmp_ok($peak, '>', 2, 'but more than a few in the end');

#
# A row that is refused, among others that aren't
#
my $well = start_receiver(secret => $secret);
$destination = $well->destination;
reload($node, 'kgwebhook.retry_schedule' => "'" . join(',', ('20ms') x 60) . "'");
insert_intent($node, 'poison', $well->url('/status/500'));
wait_for_log_rows($node, 10, q{object_id = 'poison'});
is(shown('state'), 'ok', 'an object that is refused time and again backs off, not its destination');
insert_intents($node, 'beside', 300, $well->url);
wait_until_settled($node, q{object_id LIKE 'beside%'});
is(scalar(() = $well->requests(path => '/ok')), 300, 'the others beside it arrive');
wait_until_settled($node);
is( $node->safe_psql('postgres', q{SELECT attempts FROM kgwebhook.dead_letter
		WHERE object_id = 'poison'}),
	61,
	'and it is tried until the end of its schedule');
is(shown('state'), 'ok', 'which its destination survives');

#
# A receiver that comes back around a restart, which has forgotten the breaker: the
# first success releases what was put off before, an hour ahead of its time
#
reload($node, 'kgwebhook.retry_schedule' => "'1h,1h'");
$well->hold('broken');
insert_intents($node, 'put off', 6, $well->url('/faulty/broken/status/500/then/ok'));
$node->poll_query_until('postgres', q{
	SELECT count(*) = 6 FROM kgwebhook.queue WHERE attempts = 1 AND next_attempt_at > now() + interval '50 min'}) or die 'not put off';
$well->release('broken');
$node->restart;
is(shown('failures_in_a_row > 0'), 't', 'after a restart it is known who was failing');
insert_intent($node, 'newer', $well->url('/faulty/broken/status/500/then/ok'));
wait_until_settled($node);
is($node->safe_psql('postgres', q{
		SELECT count(*) FROM kgwebhook.delivery_log WHERE object_id LIKE 'put off%' AND outcome = 'acknowledged' AND attempt = 2}),
	6, 'and what was put off there goes as soon as a newer one is acknowledged');

$node->stop;
done_testing();
