#-------------------------------------------------------------------------
#
# test/t/031_databases.pl
#	  Databases that are dropped, renamed, moved and copied are never refused for
#	  the sake of our workers, which come back afterwards; templates have none.
#
# PostgreSQL waits five seconds for others to leave a database and then refuses,
# so that a statement succeeds is what there is to see.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use IPC::Run ();
use Kgwebhook;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main',
	'kgwebhook.request_timeout' => '60s',
	'allow_in_place_tablespaces' => 'on');
my ($bystander) = wait_for_worker($node);
my $receiver = start_receiver();

sub sql
{
	my ($text, $database) = @_;

	return $node->safe_psql($database || 'postgres', "SET client_min_messages = warning; $text");
}

sub succeeds
{
	my ($statement) = @_;
	my ($status, $out, $error) = $node->psql('postgres', $statement);

	is($error, '', $statement);
	return;
}

sub install
{
	my ($database) = @_;

	sql('CREATE EXTENSION kgwebhook CASCADE', $database);
	return;
}

# A session that does this and then nothing more, until it is ended.
sub session
{
	my ($name, $statement) = @_;

	return IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres') . " application_name=$name", '-c', $statement ],
		'<', \undef, '>', \my $out, '2>', \my $error);
}

sub end_session
{
	my ($name, $handle) = @_;

	sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '$name'");
	$handle->finish;
	return;
}

#
# With requests on the network
#
sql('CREATE DATABASE shop');
install('shop');
wait_for_worker($node, 'shop');
sql( q{SELECT kg_create_payment_intents(); SELECT kg_create_secret()}, 'shop');
sql( qq{INSERT INTO payment_intents (payment_intent_id, callback_url)
		VALUES ('hangs', '@{[ $receiver->url('/hang') ]}')}, 'shop');
$receiver->wait_for_requests(1);

succeeds('ALTER DATABASE shop RENAME TO store');
wait_for_worker($node, 'store');
$receiver->wait_for_requests(2);
succeeds('CREATE DATABASE store2 TEMPLATE store');
wait_for_worker($node, 'store2');
wait_for_worker($node, 'store');
sql(q{CREATE TABLESPACE elsewhere LOCATION ''});
succeeds('ALTER DATABASE store SET TABLESPACE elsewhere');
wait_for_worker($node, 'store');
succeeds('DROP DATABASE store2');
is(sql('SELECT count(*) FROM payment_intents', 'store'), 1, 'and nothing is the worse for it');

#
# Who may not is refused, and nobody leaves for it
#
my ($pid) = wait_for_worker($node, 'store');
sql('CREATE ROLE nobody; CREATE ROLE maker CREATEDB');
foreach (
	[ 'nobody', 'DROP DATABASE store' ],
	[ 'nobody', 'DROP DATABASE store WITH (FORCE)' ],
	[ 'maker', 'ALTER DATABASE store RENAME TO mine' ],
	[ 'maker', 'ALTER DATABASE store SET TABLESPACE pg_default' ],
	[ 'maker', 'CREATE DATABASE mine TEMPLATE store' ],
	[ 'nobody', 'CREATE DATABASE mine TEMPLATE template1' ])
{
	my ($role, $statement) = @$_;
	my ($status, $out, $error) = $node->psql('postgres', "SET ROLE $role;\n$statement");

	like($error, qr/permission denied|must be owner/, "$role: $statement");
}
is_deeply([ worker_pids($node, 'store') ], [$pid], 'the worker has not left for any of these');

#
# A session that ends in the midst of such a statement
#
my $locker = session('locker', 'BEGIN; LOCK TABLE pg_database IN SHARE MODE; SELECT pg_sleep(600)');
$node->poll_query_until('postgres',
	q{SELECT count(*) = 1 FROM pg_locks WHERE relation = 'pg_database'::regclass AND mode = 'ShareLock' AND granted});
my $dropper = session('dropper', 'DROP DATABASE store');
$node->poll_query_until('postgres',
	q{SELECT count(*) = 1 FROM pg_locks WHERE relation = 'pg_database'::regclass AND NOT granted});
is(scalar(worker_pids($node, 'store')), 0, 'the worker leaves before DROP DATABASE');
end_session('dropper', $dropper);
end_session('locker', $locker);
wait_for_worker($node, 'store');
pass('and comes back when the session was ended');
succeeds('DROP DATABASE store WITH (FORCE)');

#
# Templates
#
sql('CREATE DATABASE model');
install('model');
wait_for_worker($node, 'model');
succeeds('ALTER DATABASE model IS_TEMPLATE true');
wait_for_worker($node, 'model', 0);
pass('a template has no worker');
succeeds('CREATE DATABASE copy TEMPLATE model');
wait_for_worker($node, 'copy');
pass('a copy of it has one, at once');
sql('BEGIN; ALTER DATABASE copy IS_TEMPLATE true; ROLLBACK');
succeeds('ALTER DATABASE model IS_TEMPLATE false');
wait_for_worker($node, 'model');
pass('what is a template no more has one');
succeeds('ALTER DATABASE model ALLOW_CONNECTIONS false');
wait_for_worker($node, 'model', 0);
pass('a database that takes no connections has none');
succeeds('ALTER DATABASE model ALLOW_CONNECTIONS true');
wait_for_worker($node, 'model');
install('template1');
sql(q{SELECT kg_create_payment_intents();
	  INSERT INTO payment_intents (callback_url) VALUES ('https://m.example/')}, 'template1');
succeeds('CREATE DATABASE plain');
wait_for_worker($node, 'plain');
pass('what is in template1 is in new databases');
is(scalar(worker_pids($node, 'template1')), 0, 'though not at work in template1');
sql('DROP EXTENSION kgwebhook CASCADE; DROP TABLE payment_intents', 'template1');
succeeds("DROP DATABASE $_") foreach qw(plain copy);

is_deeply([ worker_pids($node, 'postgres') ], [$bystander],
	'the worker of another database was never disturbed');

#
# Many databases, of which three have it
#
sql('CREATE DATABASE third');
install('third');
$node->safe_psql('postgres', join "\n", map { "CREATE DATABASE empty$_;" } 1 .. 46);
is(sql('SELECT count(*) FROM pg_database WHERE datallowconn AND NOT datistemplate'), 49, '50 databases with template1');
my $log_end = -s $node->logfile;
$node->restart;
wait_for_worker($node, $_) foreach qw(postgres model third);
cmp_ok(
	sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'kgwebhook worker' AND datname LIKE 'empty%'}),
	'<=', 1, 'one is looked into at a time');
succeeds('DROP DATABASE empty1');
install('empty46');
wait_for_worker($node, 'empty46');
pass('one of the many gets it, and a worker');
my $log = substr(slurp_file($node->logfile), $log_end);
unlike($log, qr/no background worker is free/, 'with no more than eight processes');
unlike(slurp_file($node->logfile), qr/was terminated by signal|PANIC|TRAP/, 'nothing crashed');

$node->stop;
done_testing();
