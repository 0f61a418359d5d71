#-------------------------------------------------------------------------
#
# test/t/030_create_drop.pl
#	  The extension comes and goes, also with requests on the network, and also
#	  rolled back: the worker follows what was committed, payments stay, nothing
#	  crashes.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = init_node('main', 'kgwebhook.request_timeout' => '30s');
$node->start;
my $receiver = start_receiver();

sub sql
{
	my ($text) = @_;

	return $node->safe_psql('postgres', "SET client_min_messages = warning; $text");
}

sub crashes
{
	return scalar(() = slurp_file($node->logfile) =~ /was terminated by signal|PANIC|TRAP/g);
}

#
# CREATE EXTENSION, rolled back and committed
#
sql('BEGIN; CREATE EXTENSION kgwebhook CASCADE; ROLLBACK');
is(scalar(worker_pids($node, 'postgres')), 0, 'no worker for an extension that was rolled back');
sql('CREATE EXTENSION kgwebhook CASCADE');
my ($pid) = wait_for_worker($node);
my $secret = make_intents_table($node);
$receiver->set_secret($secret);
insert_intent($node, 'first', $receiver->url);
is(($receiver->wait_for_requests(1))[0]{valid}, 1, 'delivered after CREATE EXTENSION');
wait_until_settled($node);

#
# DROP EXTENSION, rolled back, with a request on the network
#
my $hold = $receiver->{record};
$hold =~ s{[^/]*$}{hold};
append_to_file($hold, '');
insert_intent($node, 'held', $receiver->url('/while/hold/ok'));
$receiver->wait_for_requests(1, if => sub { $_[0]{json}{payment_intent_id} eq 'held' });
sql('BEGIN; DROP EXTENSION kgwebhook; ROLLBACK');
sql('BEGIN; SAVEPOINT s; DROP EXTENSION kgwebhook; ROLLBACK TO s; COMMIT');
insert_intent($node, 'between', $receiver->url('/ok?between'));
wait_until_settled($node, "object_id = 'between'");
is_deeply([ worker_pids($node, 'postgres') ], [$pid], 'the worker stays when DROP EXTENSION is rolled back');
unlink $hold;
wait_until_settled($node);
is( scalar($receiver->requests(if => sub { $_[0]{json}{payment_intent_id} eq 'held' })),
	1,
	'and goes on waiting for what was on the network');

#
# DROP EXTENSION with requests on the network
#
insert_intent($node, "hangs$_", $receiver->url("/hang?$_")) foreach 1 .. 5;
$receiver->wait_for_requests(2, if => sub { $_[0]{path} =~ m{^/hang} });
sql('DROP EXTENSION kgwebhook');
wait_for_worker($node, 'postgres', 0);
pass('the worker leaves with the extension');
is( sql(q{SELECT string_agg(tgname, ' ') FROM pg_trigger
		   WHERE tgrelid = 'payment_intents'::regclass AND NOT tgisinternal}),
	'',
	'no trigger stays behind');
is(sql('SELECT count(*) FROM payment_intents'), 8, 'the payments stay');
sql(q{UPDATE payment_intents SET status = 'success';
	  INSERT INTO payment_intents (payment_intent_id) VALUES ('without')});
is(sql(q{SELECT string_agg(evtname, ' ') FROM pg_event_trigger}), '', 'nor an event trigger');
sql('CREATE TABLE other (a int); DROP TABLE other');

#
# Again, with the table that there is
#
sql('CREATE EXTENSION kgwebhook');
wait_for_worker($node);
sql(q{SELECT kg_watch('payment_intents')});
$secret = sql('SELECT kg_create_secret()');
$receiver->set_secret($secret);
insert_intent($node, 'again', $receiver->url('/ok?again'));
is( ($receiver->wait_for_requests(1, path => '/ok?again'))[0]{valid}, 1,
	'delivered by the extension that came again');

#
# Gone and come again in one transaction, with a request on the network
#
insert_intent($node, 'replaced', $receiver->url('/hang?replaced'));
$receiver->wait_for_requests(1, path => '/hang?replaced');
($pid) = worker_pids($node, 'postgres');
sql(q{BEGIN; DROP EXTENSION kgwebhook; CREATE EXTENSION kgwebhook; SELECT kg_watch('payment_intents');
	  COMMIT});
$node->poll_query_until('postgres',
	"SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)");
wait_for_worker($node);
$secret = sql('SELECT kg_create_secret()');
$receiver->set_secret($secret);
insert_intent($node, 'after', $receiver->url('/ok?after'));
is( ($receiver->wait_for_requests(1, path => '/ok?after'))[0]{valid}, 1,
	'delivered by the extension that replaced itself');
is( sql(q{SELECT count(*) FROM kgwebhook.delivery_log WHERE object_id = 'replaced'}),
	0, 'which knows nothing of what was sent before');

#
# Again and again, with deliveries under way
#
foreach my $round (1 .. 5)
{
	sql(qq{INSERT INTO payment_intents (payment_intent_id, callback_url)
		   SELECT 'round$round-' || i, '@{[ $receiver->url("/slow/20?round") ]}' FROM generate_series(1, 50) i;
		   DROP EXTENSION kgwebhook;
		   CREATE EXTENSION kgwebhook;
		   SELECT kg_watch('payment_intents')});
}
$secret = sql('SELECT kg_create_secret()');
$receiver->set_secret($secret);
insert_intent($node, 'last', $receiver->url('/ok?last'));
is(($receiver->wait_for_requests(1, path => '/ok?last'))[0]{valid}, 1, 'delivered after five changes');
is(crashes(), 0, 'nothing crashed');
# A lock that DROP EXTENSION keeps for long is waited for a while, then again.
is( scalar(
		() = slurp_file($node->logfile) =~
		  /kgwebhook (?:worker|launcher) ERROR:  (?!canceling statement due to lock timeout)/g),
	0, 'and no worker met an error');

$node->stop;
done_testing();
