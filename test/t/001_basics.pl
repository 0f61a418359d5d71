#-------------------------------------------------------------------------
#
# test/t/001_basics.pl
#	  Who has a worker, and when: from CREATE EXTENSION, without a restart of
#	  the server, until DROP EXTENSION, and in every database that has it.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use PostgreSQL::Test::Utils;
use Test::More;

my $create = 'SET client_min_messages = warning;
	CREATE EXTENSION kgwebhook CASCADE;';
my $receiver = start_receiver();
my $node = init_node('main');
$node->start;

# The worker that a database has, by what its queue does: makes a table there,
# and waits for the event of a new intent.
sub delivers
{
	my ($database, $id, $what) = @_;

	$node->safe_psql(
		$database, qq{
		SELECT kg_create_payment_intents('t_$id');
		INSERT INTO t_$id (payment_intent_id, status, callback_url)
		VALUES ('$id', 'pending', '@{[ $receiver->url ]}')});
	my ($got) = $receiver->wait_for_requests(1,
		if => sub { $_[0]{json}{payment_intent_id} eq $id });
	is($got->{json}{status}, 'pending', $what);
	return;
}

#
# A running server
#
$node->poll_query_until('postgres',
	q{SELECT count(*) = 1 FROM pg_stat_activity
	   WHERE backend_type = 'kgwebhook launcher'})
  or die 'no launcher';
$node->safe_psql('postgres', 'CREATE EXTENSION pgcrypto');
is_deeply([ worker_pids($node, 'postgres') ],
	[], 'no worker for a database without the extension');

$node->safe_psql('postgres', $create);
my ($pid) = wait_for_worker($node);
ok($pid, 'CREATE EXTENSION starts a worker, without a restart');
like(slurp_file("/proc/$pid/cmdline"),
	qr/kgwebhook/, 'its process title says whose it is');
$receiver->set_secret(
	$node->safe_psql('postgres', 'SELECT kg_create_secret()'));
delivers('postgres', 'first', 'it delivers');
is( ($receiver->requests)[0]{valid}, 1,
	'what it delivers is signed as third parties have it');

is( $node->safe_psql(
		'postgres', 'SELECT worker_state IN (\'idle\', \'busy\'), workers
		 FROM kgwebhook.stats'),
	't|1',
	'stats knows of it');

#
# After a restart
#
$node->restart;
my ($pid_after) = wait_for_worker($node);
isnt($pid_after, $pid, 'a restart starts a new worker by itself');
delivers('postgres', 'second', 'which delivers');

#
# A second database
#
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', $create);
wait_for_worker($node, 'other');
$node->safe_psql('other', q{SELECT kg_create_secret()});
delivers('other', 'other1', 'a second database has its own worker');
$node->restart;
wait_for_worker($node, 'other');
wait_for_worker($node, 'postgres');
delivers('other', 'other2', 'also after a restart');
delivers('postgres', 'third', 'beside that of the first');
is( $node->safe_psql('other', 'SELECT count(*) FROM kgwebhook.delivery_log'),
	2, 'each logs its own');

#
# A database that goes without a word.  Its worker may be started once more and
# find nothing; the end of this test looks whether that was all.
#
my $log_end = -s $node->logfile;
$node->safe_psql('postgres', 'CREATE DATABASE short_lived');
$node->safe_psql('short_lived', $create);
wait_for_worker($node, 'short_lived');
$node->safe_psql('postgres', 'DROP DATABASE short_lived WITH (FORCE)');

#
# CREATE EXTENSION that is taken back
#
$node->safe_psql('postgres', 'CREATE DATABASE undecided');
$node->safe_psql('undecided', "BEGIN; $create ROLLBACK");
is_deeply([ worker_pids($node, 'undecided') ],
	[], 'an aborted CREATE EXTENSION leaves no worker');
$node->safe_psql('undecided', $create);
wait_for_worker($node, 'undecided');
$node->safe_psql('undecided', 'SELECT kg_create_secret()');
delivers('undecided', 'undecided', 'CREATE EXTENSION after an aborted one');
$node->safe_psql('undecided', 'BEGIN; DROP EXTENSION kgwebhook CASCADE; ROLLBACK');
delivers('undecided', 'undecided2', 'an aborted DROP EXTENSION');

#
# DROP EXTENSION
#
$node->safe_psql('postgres',
	'SET client_min_messages = warning; DROP EXTENSION kgwebhook CASCADE');
wait_for_worker($node, 'postgres', 0);
pass('DROP EXTENSION makes the worker leave');
is($node->safe_psql('postgres', 'SELECT count(*) FROM t_first'),
	1, 'the payments stay');
is( $node->psql('postgres',
		"UPDATE t_first SET status = 'success' WHERE status = 'pending'"),
	0,
	'and can still be changed');
$node->safe_psql('postgres', $create);
wait_for_worker($node);
$node->safe_psql('postgres', 'SELECT kg_create_secret()');
delivers('postgres', 'fourth', 'CREATE EXTENSION starts it again');

$node->safe_psql('undecided',
	'SET client_min_messages = warning; DROP EXTENSION kgwebhook CASCADE');
wait_for_worker($node, 'undecided', 0);
$node->safe_psql('postgres', 'DROP DATABASE undecided');
pass('a database that had the extension can be dropped');
my ($exit, $out, $err) = $node->psql('postgres', 'DROP DATABASE other');
is($err, '', 'and one that has it');

is( scalar(grep { !$_->{json}{signature} } $receiver->requests),
	0, 'nothing went out unsigned');

#
# Not preloaded
#
my $bare = init_node('bare', shared_preload_libraries => undef);
$bare->start;
($exit, $out, $err) =
  $bare->psql('postgres', 'CREATE EXTENSION kgwebhook CASCADE');
is($exit, 0, 'CREATE EXTENSION where nothing is preloaded');
like($err, qr/WARNING: .*not preloaded/, 'there is a warning');
like($err, qr/HINT: .*shared_preload_libraries/, 'with a hint');
$receiver->set_secret(make_intents_table($bare));
insert_intent($bare, 'queued', $receiver->url);
is( $bare->safe_psql('postgres',
		'SELECT queue_depth, worker_state FROM kgwebhook.stats'),
	'1|not preloaded',
	'events are queued');

# The settings can't be there without the module, so it is loaded at last.
$bare->append_conf('postgresql.conf', "shared_preload_libraries = 'kgwebhook'");
$bare->restart;
my ($queued) = $receiver->wait_for_requests(1,
	if => sub { $_[0]{json}{payment_intent_id} eq 'queued' });
is($queued->{valid}, 1, 'and delivered once it is preloaded');

#
# Looking back
#
$bare->stop;
$node->stop;
my $log = slurp_file($node->logfile, $log_end);
my @in_vain = $log =~ /kgwebhook worker FATAL:  database \d+ does not exist/g;
cmp_ok(scalar(@in_vain), '<=', 1, 'no worker is sought for a database that is gone');
# A worker waits a tenth of a second for a lock: DROP EXTENSION may hold it longer where the machine is busy.
# A stop may find autovacuum at work, and ends it.
is_deeply(
	[ grep { !/terminating (?:background worker|autovacuum process)|does not exist|worker ERROR:  canceling statement due to lock timeout/ }
		  $log =~ /^(.*(?:PANIC|FATAL|ERROR|WARNING|terminated by signal).*)$/mg ],
	[],
	'no error on the way');

done_testing();
