#-------------------------------------------------------------------------
#
# test/t/054_clock_steps.pl
#	  A clock that is set by a day, forth and back, while deliveries wait: none
#	  stalls, none goes before its time, and the worker doesn't run hot.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Fcntl;
use Kgwebhook;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $day = 86400;
my $file = PostgreSQL::Test::Utils::tempdir('clock') . '/shift';
my $node = init_node('main',
	'kgwebhook.retry_schedule' => "'2s,2s,2s,2s,2s,2s,2s,2s,2s,2s'");

# The server's clock is set: so many seconds ahead of ours from now on.
sub set_clock
{
	my ($shift) = @_;

	# in place: the server has it mapped
	sysopen my $out, $file, O_WRONLY | O_CREAT or die "could not open $file: $!";
	syswrite $out, pack('q', $shift) or die "could not write $file: $!";
	close $out;
	return;
}

set_clock(0);
{
	local $ENV{LD_PRELOAD} = build_library('preload/shifted_clock');
	local $ENV{KGW_CLOCK_STEPS} = $file;
	$node->start;
}
$node->safe_psql('postgres',
	'SET client_min_messages = warning; CREATE EXTENSION kgwebhook CASCADE');
make_intents_table($node);
my $receiver = start_receiver();
my ($worker) = wait_for_worker($node);

# How often the worker goes to sleep, while nothing is due, in two seconds.
sub sleeps
{
	my $count = sub {
		slurp_file("/proc/$worker/status") =~ /^voluntary_ctxt_switches:\s+(\d+)/m
		  or die "no switches of $worker";
		return $1;
	};
	my $before = $count->();
	my $cpu = sub { (split / /, slurp_file("/proc/$worker/stat"))[13] };
	my $ticks = $cpu->();
	my $end = time + 2;

	usleep(50_000) while time < $end;
	return ($count->() - $before, $cpu->() - $ticks);
}

# Something that has an hour to wait, whatever the clock says.
insert_intent($node, 'hour', $receiver->url('/retry-after/3600'));
wait_for_log_rows($node, 1, q{object_id = 'hour'});

foreach my $step ([ 'forth', $day ], [ 'back', 0 ], [ 'back', -$day ], [ 'forth', 0 ])
{
	my ($way, $shift) = @$step;
	my $id = "retry$shift$way";

	# one that waits for its second attempt, and one whose transaction is open
	insert_intent($node, $id, $receiver->url('/fail/1/ok'));
	wait_for_log_rows($node, 1, "object_id = '$id'");
	my $session = $node->background_psql('postgres', on_error_die => 1);
	$session->query_safe(qq{BEGIN;
		INSERT INTO payment_intents (payment_intent_id, callback_url)
		VALUES ('open$id', '@{[ $receiver->url ]}')});
	set_clock($shift);
	my ($first, $second) = $receiver->requests_of($id, 2);
	my $waited = ($second->{arrival} - $first->{arrival}) / 1000;
	cmp_ok($waited, '>=', 1.9, sprintf("the clock goes $way to %+d s: a retry waits as long as it was to (%.1f s)", $shift, $waited));
	$session->query_safe('COMMIT');
	$session->quit;
	$receiver->requests_of("open$id", 1);
	pass('what was enqueued before that goes, too');
	insert_intent($node, "after$id", $receiver->url);
	$receiver->requests_of("after$id", 1);
	pass('and what is enqueued now');
	wait_until_settled($node, q{object_id <> 'hour'});
	my ($switches, $ticks) = sleeps();
	cmp_ok($switches, '<=', 20, "without a hot loop: the worker slept $switches times in two seconds");
	cmp_ok($ticks, '<', 100, "and took $ticks of 200 ticks");
}
is(scalar($receiver->requests_of('hour', 1)), 1, 'what has an hour to wait still waits');

# the clock has been set back, and its row is read from the table again
my $elsewhere = start_receiver();
$node->safe_psql('postgres', "SELECT kg_pause('@{[ $receiver->destination ]}')");
insert_intent($node, 'elsewhere', $elsewhere->url);
$elsewhere->wait_for_requests(1);
$node->safe_psql('postgres', "SELECT kg_resume('@{[ $receiver->destination ]}')");
insert_intent($node, 'after reading', $receiver->url('/fail/2/ok'));
$receiver->requests_of('after reading', 3);
is(scalar($receiver->requests_of('hour', 1)), 1, 'also after it is read again: longer than the schedule, as the receiver has asked');

#
# A destination that is backing off: its rows are let go, and read from the table again,
# where they are due a day too late
#
my $port = $receiver->port;
$receiver->stop;
insert_intent($node, "down$_", $receiver->url) foreach 1 .. 6;
$node->poll_query_until('postgres',
	qq{SELECT state = 'backing_off' FROM kgwebhook.destinations WHERE destination LIKE '%:$port'})
  or die 'waited for the breaker to open';
$node->poll_query_until('postgres',
	q{SELECT count(*) = 6 FROM kgwebhook.queue WHERE object_id LIKE 'down%' AND attempts > 0}, 't')
  or die 'waited for attempts';
set_clock(-$day);
$receiver = start_receiver(port => $port);
wait_until_settled($node, q{object_id LIKE 'down%'});
pass('a destination that was backing off when the clock was set back is not forgotten for a day');

$node->stop;
done_testing();
