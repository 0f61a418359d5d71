#-------------------------------------------------------------------------
#
# test/t/015_stats.pl
#	  kgwebhook.stats, and a worker that has nothing to do: no query, no
#	  wake-up.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node(
	'main',
	'autovacuum' => 'off',
	'kgwebhook.retry_schedule' => "'50ms'");
my $receiver = start_receiver();
$receiver->set_secret(make_intents_table($node));

sub stats
{
	my ($columns) = @_;

	return $node->safe_psql('postgres', "SELECT $columns FROM kgwebhook.stats");
}

sub wait_for_stats
{
	my ($condition, $what) = @_;

	ok($node->poll_query_until('postgres', "SELECT $condition FROM kgwebhook.stats"), $what);
	return;
}

#
# Counters
#
my $outcomes = 'acknowledged, rejected, timed_out, unreachable, blocked, invalid, superseded';
is(stats("enqueued, $outcomes"), '0|0|0|0|0|0|0|0', 'nothing yet');
is( stats('queue_depth, oldest_pending_age, in_flight, dead_letters, workers, last_error'),
	'0||0|0|1|', 'and no backlog');
is(stats('since <= now() AND since > now() - interval \'10 min\''), 't', 'since the server started');

my $down = start_receiver();
$down->stop;
insert_intent($node, 'ok', $receiver->url);
insert_intent($node, 'rejected', $receiver->url('/status/500'));
insert_intent($node, 'down', $down->url);
insert_intent($node, 'blocked', 'http://10.0.0.1/');
insert_intent($node, 'no_secret', $receiver->url, org_id => "'nobody'");
$node->psql('postgres', q{BEGIN; UPDATE payment_intents SET status = 'success'; ROLLBACK});
wait_until_settled($node, q{org_id <> 'nobody'});
reload($node, 'kgwebhook.request_timeout' => "'100ms'");    # only now: all others are to be answered
insert_intent($node, 'hang', $receiver->url('/hang'));
wait_until_settled($node, q{org_id <> 'nobody'});
wait_for_stats(q{queue_depth = 1}, 'one waits for its secret');
is(stats("enqueued, $outcomes"), '6|1|2|2|2|2|1|0', 'each outcome is counted');
is(stats('dead_letters'), 4, 'and the dead letters');
is( stats('oldest_pending_age > interval \'0\' AND oldest_pending_age < interval \'1 min\''),
	't', 'the age of what waits');
is( $node->safe_psql(
		'postgres', q{
		SELECT string_agg(object_id || ' ' || state || ' ' || attempts, ', ' ORDER BY object_id)
		  FROM kgwebhook.deliveries}),
	'blocked dead 2, down dead 2, hang dead 2, no_secret retrying 1, ok acknowledged 1, rejected dead 2',
	'the view deliveries');
$node->safe_psql('postgres', q{DELETE FROM kgwebhook.queue});

#
# States
#
wait_for_stats(q{worker_state = 'idle'}, 'idle');
reload($node, 'kgwebhook.request_timeout' => "'1h'");
insert_intent($node, 'busy', $receiver->url('/hang?busy'));
wait_for_stats(q{worker_state = 'busy' AND in_flight = 1}, 'busy while a request is in flight');
$node->restart;
wait_for_stats(q{worker_state = 'busy' AND in_flight = 1}, 'also after a restart');
is(stats('enqueued'), 0, 'which starts the counters again');
$node->safe_psql('postgres', q{DELETE FROM kgwebhook.queue});
$node->append_conf('postgresql.conf', 'kgwebhook.enabled = off');
$node->restart;
wait_for_stats(q{worker_state = 'disabled'}, 'disabled');
reload($node, 'kgwebhook.enabled' => 'on');
wait_for_stats(q{worker_state = 'idle'}, 'and idle again');

#
# What autovacuum goes by: the worker's own writes are reported, the last ones
# included, though it goes to sleep after them.
#
$node->safe_psql(
	'postgres', qq{
	INSERT INTO payment_intents (payment_intent_id, callback_url)
	SELECT 'reported' || i, '@{[ $receiver->url ]}' FROM generate_series(1, 100) i});
wait_until_settled($node);
ok( $node->poll_query_until(
		'postgres', q{
		SELECT n_tup_del >= 100 FROM pg_stat_user_tables
		 WHERE schemaname = 'kgwebhook' AND relname = 'queue'}),
	'what the worker deletes is reported');

#
# Idle.  Others commit, in this database and in another one whose worker is
# busy; ours neither wakes nor begins a transaction.
#
$node->safe_psql('postgres',
	'CREATE DATABASE elsewhere; CREATE TABLE nothing_of_ours (n int)');
$node->safe_psql(
	'elsewhere', q{
	SET client_min_messages = warning;
	CREATE EXTENSION kgwebhook CASCADE;
	SELECT kg_create_secret(), kg_create_payment_intents()});
$node->safe_psql('postgres', 'SELECT kg_rotate_secret()');    # which ends in two days
my ($pid) = worker_pids($node, 'postgres');

# How often it has gone to sleep, and the transactions it has begun: a backend's
# virtual transaction numbers count them.
sub sleeps
{
	my ($sleeps) = slurp_file("/proc/$pid/status") =~ /^voluntary_ctxt_switches:\s+(\d+)/m;

	return $sleeps;
}

sub last_query
{
	return $node->safe_psql('postgres',
		"SELECT state, state_change, xact_start, query_start FROM pg_stat_activity WHERE pid = $pid");
}

# It may still be putting the last work away.
my $before = -1;
$before = sleeps() while $before != sleeps() || !$node->poll_query_until('postgres',
	"SELECT state = 'idle' AND state_change < now() - interval '1500 ms' FROM pg_stat_activity WHERE pid = $pid");
my $query_before = last_query();
foreach my $n (1 .. 20)
{
	$node->safe_psql('elsewhere',
		"INSERT INTO payment_intents (payment_intent_id, callback_url)"
		  . " VALUES ('elsewhere$n', '@{[ $receiver->url('/ok?elsewhere') ]}')");
	$node->safe_psql('postgres', 'INSERT INTO nothing_of_ours VALUES (1)');
	$receiver->wait_for_requests($n, path => '/ok?elsewhere');
}
is(last_query(), $query_before, 'an idle worker runs no query');
my $asleep = sleeps();
cmp_ok($asleep - $before, '<=', 1, 'and does not wake up');
insert_intent($node, 'awake', $receiver->url('/ok?awake'));
$receiver->wait_for_requests(1, path => '/ok?awake');
wait_until_settled($node);

# It goes to sleep again in a moment, which is when it is counted.
my $tries = 1000;
$node->safe_psql('postgres', 'SELECT') while sleeps() == $asleep && $tries-- > 0;
cmp_ok(sleeps(), '>', $asleep, 'until there is something to do');
isnt(last_query(), $query_before, 'which is seen by these means');

$node->stop;
done_testing();
