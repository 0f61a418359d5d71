#-------------------------------------------------------------------------
#
# test/t/055_stops.pl
#	  A server that is stopped or killed while receivers don't answer: it stops
#	  at once, and what was on its way is sent again under the same webhook-id.
#
# The receiver would answer in a minute: whatever ends before has not waited for
# it.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Test::More;
use Time::HiRes qw(time);

my $answer_after = 60;
my $node = new_node(
	'main',
	'restart_after_crash' => 'on',
	'kgwebhook.request_timeout' => "'5min'",
	'kgwebhook.max_in_flight' => '64');
my $secret = make_intents_table($node);
my $receiver;

# Two deliveries, as many as a new destination is trusted with, to a receiver that
# doesn't answer.
sub send_to_the_deaf
{
	my ($prefix) = @_;

	$receiver = start_receiver(secret => $secret);
	insert_intent($node, "$prefix$_", $receiver->url('/slow/' . $answer_after * 1000))
	  foreach 1 .. 2;
	$receiver->wait_for_requests(2);
	return;
}

# They are there yet, and are sent again.
sub are_sent_again
{
	my ($prefix) = @_;
	my @got = $receiver->wait_for_requests(4);
	my %ids;

	$ids{ $_->{json}{payment_intent_id} }{ $_->{headers}{'webhook-id'} }++ foreach @got;
	is_deeply([ map { scalar keys %$_ } values %ids ],
		[ 1, 1 ], "$prefix: sent again, under the same webhook-id");
	is( $node->safe_psql('postgres', qq{
			SELECT count(*), sum(attempts) FROM kgwebhook.queue WHERE object_id ~ '^$prefix\\d\$'}),
		'2|0', 'and not counted as failed');
	$node->safe_psql('postgres', 'DELETE FROM kgwebhook.queue');
	return;
}

# A killed postmaster's memory is in use until its children have left.
sub start_again
{
	my $end = time + $PostgreSQL::Test::Utils::timeout_default;

	until ($node->start(fail_ok => 1))
	{
		die 'the server does not start' if time > $end;
		Time::HiRes::usleep(100_000);

		# pg_ctl's failure may be that of a server that is up
		last if $node->psql('postgres', 'SELECT 1') == 0;
	}
	return;
}

foreach my $mode (qw(fast smart immediate))
{
	send_to_the_deaf($mode);
	my $log = -s $node->logfile;
	my $began = time;
	$node->stop($mode);
	my $took = time - $began;
	my $said = substr PostgreSQL::Test::Utils::slurp_file($node->logfile), $log;
	cmp_ok($took, '<', $answer_after / 2,
		sprintf('a %s stop does not wait for a receiver: %.1f s', $mode, $took));
	if ($mode ne 'immediate')
	{
		like($said, qr/LOG:  kgwebhook worker 0 of database "postgres" has stopped\n.*DETAIL:  It was asked to end\./, 'the log says that the worker has stopped');
		unlike($said, qr/kgwebhook \w+ (?:FATAL|ERROR|WARNING)/, 'and that nothing was wrong with that');
	}
	$log = -s $node->logfile;
	$node->start;
	ok($node->wait_for_log(qr/LOG:  kgwebhook worker 0 of database "postgres" has started$/m, $log), 'and when one has started');
	are_sent_again($mode);
}

#
# Killed
#
my %process = (
	worker => 'kgwebhook worker',
	launcher => 'kgwebhook launcher',
	backend => 'client backend');

foreach my $name (sort keys %process)
{
	send_to_the_deaf($name);
	my $victim = $node->background_psql('postgres', on_error_die => 0);
	my $pid = $node->safe_psql('postgres', qq{
		SELECT pid FROM pg_stat_activity
		 WHERE backend_type = '$process{$name}' AND pid <> pg_backend_pid() LIMIT 1});
	my $log = -s $node->logfile;
	kill 'KILL', $pid or die "there is no $name to kill: $!";
	$node->wait_for_log(qr/all server processes terminated; reinitializing/, $log);
	$victim->{run}->kill_kill;
	$node->poll_query_until('postgres', 'SELECT true') or die 'waited for the server';
	are_sent_again($name);
}

send_to_the_deaf('postmaster');
my ($worker) = wait_for_worker($node);
$node->kill9;
my $end = time + $PostgreSQL::Test::Utils::timeout_default;
while (kill 0, $worker)
{
	die 'the worker outlives its postmaster' if time > $end;
	Time::HiRes::usleep(20_000);
}
pass('a worker does not outlive its postmaster');
start_again();
are_sent_again('postmaster');

# No accident was among these.
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile),
	qr/PANIC|terminated by signal (?!9)/, 'nothing else has died');
insert_intent($node, 'well', start_receiver(secret => $secret)->url);
wait_until_settled($node);
pass('and all is healthy');

$node->stop;
done_testing();
