#-------------------------------------------------------------------------
#
# test/t/032_worker_loop.pl
#	  Workers that can't run: no room for them, or an error each time.  It is said,
#	  once or ever more rarely; it is tried again; the server stays up; and what was
#	  queued in the meantime is delivered.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::Local qw(timegm);

my $node = new_node('main');
my $secret = make_intents_table($node);
my $receiver = start_receiver(secret => $secret);
my $started = $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');

sub new_log
{
	my ($from) = @_;

	return substr(slurp_file($node->logfile), $from);
}

# The seconds at which a worker met an error.
sub errors
{
	my ($from) = @_;
	my $log = new_log($from);
	my @at;

	push @at, timegm($6, $5, $4, $3, $2 - 1, $1) + $7 / 1000
	  while $log =~ /^(\d+)-(\d+)-(\d+) (\d+):(\d+):(\d+)\.(\d+) .*kgwebhook worker ERROR/mg;
	return @at;
}

#
# An error each time
#
my $log_end = -s $node->logfile;
$node->safe_psql('postgres', 'ALTER TABLE kgwebhook.queue RENAME COLUMN payload TO renamed');
insert_intent($node, 'broken', $receiver->url);
my $log_start = $log_end;
for my $n (1 .. 4)
{
	$node->wait_for_log(qr/kgwebhook worker ERROR/, $log_end);
	$log_end = -s $node->logfile;
}
my @at = errors($log_start);
cmp_ok($at[2] - $at[1], '>=', 0.9, 'after an error a worker waits');
cmp_ok($at[3] - $at[2], '>=', 1.9, 'and after each longer');
like($node->safe_psql('postgres', 'SELECT last_error FROM kgwebhook.stats'),
	qr/payload/, 'kgwebhook.stats says what it is');
set_status($node, 'broken', 'success');
is($node->safe_psql('postgres', 'SELECT queue_depth FROM kgwebhook.stats'), 2, 'payments go on, and the queue holds');
$node->safe_psql('postgres', 'ALTER TABLE kgwebhook.queue RENAME COLUMN renamed TO payload');
is(join(' ', map { $_->{json}{status} } $receiver->wait_for_requests(2)),
	'pending success', 'fixed, all is delivered');
is($node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()'), $started, 'the server stayed up');
unlike(new_log($log_start), qr/all server processes terminated/, 'and no other process was ended');

#
# No room for workers: of three databases two have one
#
foreach my $name (qw(second third))
{
	$node->safe_psql('postgres', "CREATE DATABASE $name");
	$node->safe_psql($name, 'SET client_min_messages = warning; CREATE EXTENSION kgwebhook CASCADE');
	$node->safe_psql($name, 'SELECT kg_create_payment_intents()');
	wait_for_worker($node, $name);
}

# room for two beside the launcher and PostgreSQL's own
my $others = $node->safe_psql('postgres',
	q{SELECT count(*) FROM pg_stat_activity WHERE backend_type IN ('kgwebhook launcher', 'logical replication launcher')});
$node->append_conf('postgresql.conf', 'max_worker_processes = ' . ($others + 2));
$log_end = -s $node->logfile;
$node->restart;
$node->wait_for_log(qr/WARNING:  no background worker is free for kgwebhook/, $log_end);
$node->poll_query_until('postgres',
	q{SELECT count(*) = 2 FROM pg_stat_activity WHERE backend_type = 'kgwebhook worker'});
my ($without) = grep { !worker_pids($node, $_) } qw(postgres second third);
my ($with) = grep { worker_pids($node, $_) } qw(second third);
$node->safe_psql($_,
		q{SELECT kg_set_secret('default', 'a secret of at least 24 bytes');
		  INSERT INTO payment_intents (payment_intent_id, callback_url) VALUES ('waited', '} . $receiver->url('/ok?waited') . q{')})
  foreach $without;
is($node->safe_psql($without, 'SELECT queue_depth, worker_state FROM kgwebhook.stats'),
	'1|not running', 'what has no worker queues');
$node->safe_psql($with, 'SET client_min_messages = warning; DROP EXTENSION kgwebhook CASCADE');
$receiver->set_secret('a secret of at least 24 bytes');
is(($receiver->wait_for_requests(1, path => '/ok?waited'))[0]{valid},
	1, 'and is delivered when there is room');
is(scalar(() = new_log($log_end) =~ /no background worker is free/g), 1, 'it was said once');

$node->stop;
done_testing();
