#-------------------------------------------------------------------------
#
# test/t/040_dump.pl
#	  pg_dump and pg_restore: all that there is comes along, a copy sends nothing
#	  until kg_adopt(), and then sends each pending event once.
#
# The original's transaction numbers are far beyond those of the server that it
# is restored to, as those of a busy server are.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Kgwebhook::Copies;
use PostgreSQL::Test::Utils;
use Test::More;

my $n = 20;
my $dir = PostgreSQL::Test::Utils::tempdir;

#
# The original: things that were delivered and given up, a destination that is
# paused, and events that wait.
#
my $origin = init_node('origin');
command_ok([ 'pg_resetwal', '--epoch=7', '-D', $origin->data_dir ], 'a busy server');
$origin->start;
$origin->safe_psql('postgres',
	'SET client_min_messages = warning; CREATE EXTENSION kgwebhook CASCADE');
my $secret = make_intents_table($origin);
my $receiver = start_receiver(secret => $secret);
my $paused = start_receiver(secret => $secret);

$origin->safe_psql(
	'postgres', q{
	CREATE SCHEMA app;
	CREATE TABLE app.orders (id int PRIMARY KEY, gone text, total numeric, state text, hook text);
	ALTER TABLE app.orders DROP COLUMN gone;
	SELECT kg_watch('app.orders', 'order', 'id', 'state', 'hook', NULL,
		'{"id": "id", "status": "state", "total": "total"}');
	SELECT kg_watch_shape('app.orders', 'v2', '{"id": "id", "status": "state", "sum": "total"}');
	SELECT kg_create_signing_key('acme');
	SELECT kg_sign_http('acme');
	INSERT INTO kgwebhook.client_certificate VALUES ('acme', 0, 'certificate', 'key')});

# subscriptions: one that is for what happens in the copies, one that is disabled
$origin->safe_psql(
	'postgres', qq{
	SELECT kg_subscribe('default', '@{[ $receiver->url('/ok?subscribed') ]}', '{order.shipped}', 'the ledger', shape => 'v2');
	SELECT kg_subscribe('default', '@{[ $receiver->url('/ok?disabled') ]}');
	SELECT kg_set_headers(1, '{"X-Tenant": "shop"}');
	SELECT kg_require_consent('elsewhere');
	UPDATE kgwebhook.subscription SET events = '{*.shipped}', paused_at = now(), disabled_at = now(),
		disabled_reason = 'the receiver answered 410 Gone', failing_since = now() WHERE subscription_id = 2});
insert_intent($origin, "old$_", $receiver->url) foreach 1 .. 3;
insert_intent($origin, 'dead', $receiver->url('/status/410'));
wait_until_settled($origin);
$origin->safe_psql('postgres', "SELECT kg_pause('@{[ $paused->destination ]}')");
reload($origin, 'kgwebhook.enabled' => 'off');
insert_intent($origin, "held$_", $paused->url) foreach 1 .. 3;
insert_intent($origin, "new$_", $receiver->url) foreach 1 .. $n;
$origin->safe_psql('postgres',
	"INSERT INTO app.orders VALUES (1, 12.50, 'placed', '@{[ $receiver->url ]}')");

my $pending = $n + 1;
my $sent = () = $receiver->lines;

my $original = contents($origin, 'postgres');
isnt($_, '', 'the original has something of everything') foreach @$original;

sub restored
{
	my ($node, $database, @command) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->command_ok(\@command, "$database: restored without an error");
	return;
}

# A copy that has been restored: fenced until kg_adopt(), and then complete.
sub adopted_copy
{
	my ($node, $database) = @_;

	worker_state_is($node, $database, 'not adopted');
	is_deeply(contents($node, $database), $original, "$database: everything came along");
	is(told($node, $database), 1, "$database: said once in the log");

	my $before = () = $receiver->lines;
	$node->safe_psql($database, 'SELECT kg_adopt()');
	$node->poll_query_until($database, 'SELECT count(*) = 3 FROM kgwebhook.queue')
	  or die 'waited for the deliveries of a copy';
	is_deeply(
		got($receiver, $before),
		{ 'order 1' => 1, map { ("new$_" => 1) } 1 .. $n },
		"$database: each pending event is sent once, and nothing else");
	worker_state_is($node, $database, 'idle');
	is( $node->safe_psql(
			$database, q{
			SELECT count(*) FROM kgwebhook.queue
			 WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())}),
		0,
		"$database: what still waits has a transaction number of this server");

	# the watched tables are watched, whatever their columns' numbers
	$before = () = $receiver->lines;
	$node->safe_psql(
		$database, qq{
		INSERT INTO app.orders VALUES (2, 7.00, 'placed', '@{[ $receiver->url ]}');
		UPDATE payment_intents SET status = 'success' WHERE payment_intent_id = 'new1'});
	my @new = $receiver->wait_for_requests($before + 2);
	my ($order) = grep { defined $_->{json}{id} } @new[ $before .. $before + 1 ];
	is_deeply(
		[ @{ $order->{json} }{qw(id total status)}, "$order->{valid}" ],
		[ 2, '7.00', 'placed', '1' ],
		"$database: and goes on as the original would");

	# so are its subscriptions
	$before = () = $receiver->lines;
	$node->safe_psql($database, "UPDATE app.orders SET state = 'shipped' WHERE id = 2");
	$receiver->wait_for_requests($before + 2);
	$node->poll_query_until($database, 'SELECT count(*) = 3 FROM kgwebhook.queue')
	  or die 'waited for the deliveries of a subscription';
	is_deeply([ sort map { $_->{path} } grep { ($_->{json}{status} // '') eq 'shipped' } ($receiver->requests)[ $before .. $before + 1 ] ],
		[ '/ok', '/ok?subscribed' ], "$database: who had subscribed gets its events");
	is_deeply([ map { [ @{ $_->{json} }{qw(sum total)} ] } grep { $_->{path} eq '/ok?subscribed' } ($receiver->requests)[ $before .. $before + 1 ] ],
		[ [ '7.00', undef ] ], "$database: in the shape that it has asked for");
	is( $node->safe_psql($database, 'SELECT reason FROM kgwebhook.dead_letter WHERE subscription_id = 2')
		  =~ /^subscription 2 is disabled since .* UTC: the receiver answered 410 Gone$/, 1,
		"$database: who was disabled doesn't");
	is($node->safe_psql($database, q{SELECT kg_subscribe('other', 'http://127.0.0.1/')}),
		3, "$database: and numbers go on");
	return;
}

#
# Plain, custom, in one transaction, and a directory in parallel: to another
# server
#
my $other = new_node('other', 'max_worker_processes' => 20);
my $port = $origin->port;
my @source = ('-h', $origin->host, '-p', $port);

command_ok([ 'pg_dump', @source, '-f', "$dir/plain.sql", 'postgres' ], 'plain dump');
command_ok([ 'pg_dump', @source, '-Fc', '-f', "$dir/custom", 'postgres' ], 'custom dump');
command_ok([ 'pg_dump', @source, '-Fd', '-j2', '-f', "$dir/directory", 'postgres' ],
	'directory dump, in parallel');

restored($other, 'plain', 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1',
	'-f', "$dir/plain.sql", 'plain');
restored($other, 'custom', 'pg_restore', '--exit-on-error', '-d', 'custom', "$dir/custom");
restored($other, 'single', 'pg_restore', '--single-transaction', '-d', 'single',
	"$dir/custom");
restored($other, 'parallel', 'pg_restore', '--exit-on-error', '-j2', '-d', 'parallel',
	"$dir/directory");
is(() = $receiver->lines, $sent, 'nothing was sent by restoring');

adopted_copy($other, $_) foreach qw(plain single parallel);

#
# What happens in a copy before it is adopted waits as well; a test goes, as
# its caller says where
#
worker_state_is($other, 'custom', 'not adopted');
$other->safe_psql(
	'custom', qq{
	INSERT INTO payment_intents (payment_intent_id, callback_url)
	VALUES ('later', '@{[ $receiver->url ]}')});
my $before = () = $receiver->lines;
is( $other->safe_psql('custom', "SELECT outcome FROM kg_send_test('@{[ $receiver->url ]}')"),
	'acknowledged',
	'kg_send_test() sends from a copy');
is($other->safe_psql('custom', 'SELECT count(*) FROM kgwebhook.queue'),
	$pending + 4, 'an event of the copy waits with the others');
$other->restart;
worker_state_is($other, 'custom', 'not adopted');
is(() = $receiver->lines, $before + 1, 'also after a restart');
$other->safe_psql('custom', 'SELECT kg_adopt()');
$receiver->wait_for_requests($before + 1 + $pending + 1);
wait_until_idle($other, 'custom');
is(got($receiver, $before)->{later}, 1, 'and goes when the copy is adopted');
my (undef, undef, $notice) = $other->psql('custom', 'SELECT kg_adopt()');
like(
	$notice,
	qr/NOTICE:  nothing was adopted\nDETAIL:  This database is not a copy, and delivers\./,
	'there is nothing to adopt twice');

sub wait_until_idle
{
	my ($node, $database) = @_;

	$node->poll_query_until($database,
		'SELECT count(*) = 3 FROM kgwebhook.queue')
	  or die 'waited for an empty queue';
	return;
}

#
# A template makes another database; a new name doesn't
#
$other->safe_psql('postgres',
	'CREATE DATABASE clone TEMPLATE plain; ALTER DATABASE plain RENAME TO renamed');
$other->safe_psql('clone', "INSERT INTO app.orders VALUES (3, 1, 'placed', '@{[ $receiver->url ]}')");
worker_state_is($other, 'clone', 'not adopted');
worker_state_is($other, 'renamed', 'idle');
is(told($other, 'renamed'), 0, 'a renamed database is no copy');

#
# Without data there is no queue, and no word of which tables are watched
#
restored($other, 'schema', 'pg_restore', '--exit-on-error', '--schema-only', '-d', 'schema',
	"$dir/custom");
worker_state_is($other, 'schema', 'idle');
my ($status, undef, $stderr) = $other->psql(
	'schema', q{
	\set VERBOSITY verbose
	INSERT INTO payment_intents (payment_intent_id, callback_url) VALUES ('a', NULL)});
like(
	$stderr,
	qr/ERROR:  55000: table "payment_intents" is not watched\n.*HINT:  Call kg_watch\(\) for the table, or drop the trigger\./s,
	'schema: says what to do');
$other->safe_psql('schema', "SELECT kg_watch('payment_intents')");
$other->safe_psql('schema',
	"INSERT INTO payment_intents (payment_intent_id, callback_url) VALUES ('a', NULL)");
pass('schema: and works then');

#
# The data alone, into the schema.  Rows that a restore inserts are rows that
# are inserted; without their triggers they aren't.
#
$other->safe_psql('schema',
	'DELETE FROM kgwebhook.watch; TRUNCATE payment_intents');
my $events = 'SELECT count(*) FROM kgwebhook.queue WHERE origin = kgwebhook.origin()';
$other->command_ok(
	[
		'pg_restore', '--exit-on-error', '--data-only', '--disable-triggers',
		'-d', 'schema', "$dir/custom"
	],
	'the data alone, with --disable-triggers');
is_deeply(
	[ @{ contents($other, 'schema') }[ 0 .. 7, 12, 13 ] ],
	[ @$original[ 0 .. 7, 12, 13 ] ],
	'everything came along');
is($other->safe_psql('schema', $events), 0, 'and no event was made of it');

# its arrival fired no trigger either, so the worker hears of it by the next event
$before = () = $receiver->lines;
$other->safe_psql(
	'schema', qq{
	INSERT INTO payment_intents (payment_intent_id, callback_url)
	VALUES ('next', '@{[ $receiver->url ]}')});
worker_state_is($other, 'schema', 'not adopted');
is(() = $receiver->lines, $before, 'nothing was sent');

#
# The queue alone, of which nobody knows where it is from but itself; the
# sequences don't know either
#
$other->safe_psql('postgres', 'CREATE DATABASE alone');
$other->safe_psql('alone',
	'SET client_min_messages = warning; CREATE EXTENSION kgwebhook CASCADE');
$other->safe_psql('alone', "SELECT kg_create_payment_intents(), kg_set_secret('default', '$secret')");
worker_state_is($other, 'alone', 'idle');
$other->command_ok(
	[
		'pg_restore', '--exit-on-error', '--data-only', '-n', 'kgwebhook', '-t', 'queue',
		'-d', 'alone', "$dir/custom"
	],
	'the queue alone');
worker_state_is($other, 'alone', 'not adopted');
$before = () = $receiver->lines;
$other->safe_psql('alone', "SELECT kg_pause('@{[ $paused->destination ]}'); SELECT kg_adopt()");
wait_until_idle($other, 'alone');
is(keys %{ got($receiver, $before) }, $pending, 'sends each of its events once, when adopted');
$other->safe_psql(
	'alone', qq{
	INSERT INTO payment_intents (payment_intent_id, callback_url)
	VALUES ('beyond', '@{[ $receiver->url ]}')});
$receiver->wait_for_requests($before + $pending + 1);
$other->poll_query_until('alone', q{SELECT EXISTS (SELECT FROM kgwebhook.delivery_log WHERE object_id = 'beyond')})
  or die 'waited for the log';
is( $other->safe_psql(
		'alone', q{
		SELECT bool_and(q.delivery_id < l.delivery_id) FROM kgwebhook.queue q, kgwebhook.delivery_log l
		 WHERE l.object_id = 'beyond'}),
	't',
	'and its numbers go on from there');

#
# A copy to play with, as the documentation makes it, has nobody of the
# original's to send anything to
#
my $trial = start_receiver(secret => 'a secret for trials');
my $trial_url = $trial->url;
my ($recipe) = slurp_file('docs/copies.md') =~ /^## A copy to play with\n.*?^```\n(.*?)^```\n/ms;
$recipe =~ s{https://trial\.example/webhooks}{$trial_url} or die 'no URL in the recipe';
restored($other, 'trial', 'pg_restore', '--exit-on-error', '-d', 'trial', "$dir/custom");
$other->safe_psql('trial', "UPDATE app.orders SET hook = '$trial_url'");
worker_state_is($other, 'trial', 'not adopted');
$before = () = $receiver->lines;
$other->safe_psql('trial', $recipe);
$other->safe_psql(
	'trial', q{
	SELECT kg_recover('-infinity');
	UPDATE payment_intents SET status = 'success';
	UPDATE app.orders SET state = 'shipped'});
$other->poll_query_until('trial', 'SELECT count(*) = 0 FROM kgwebhook.queue')
  or die 'waited for an empty queue';
is_deeply(
	got($trial, 0),
	{ 'order 1' => 1, map { ($_ => 1) } split /\n/, $other->safe_psql('trial', 'SELECT payment_intent_id FROM payment_intents') },
	'trial: its own events go where it is told, once each, and nothing else');
is(scalar(grep { !$_->{valid} } $trial->requests), 0, 'trial: signed by its own secret');
is(() = $receiver->lines, $before, "trial: and nothing to the original's");
$other->stop;

#
# To the same server, where the original sends what is its own
#
$origin->append_conf('postgresql.conf', 'kgwebhook.enabled = on');
$origin->safe_psql('postgres', 'SELECT kg_pause()');
$origin->restart;
restored($origin, 'twin', 'pg_restore', '--exit-on-error', '-d', 'twin', "$dir/custom");
adopted_copy($origin, 'twin');
$before = () = $receiver->lines;
$origin->safe_psql('postgres', "DELETE FROM kgwebhook.paused WHERE destination = '*'");
wait_until_idle($origin, 'postgres');
is_deeply(
	got($receiver, $before),
	{ 'order 1' => 1, map { ("new$_" => 1) } 1 .. $n },
	'the original was no copy at any time');
is(told($origin, 'postgres'), 0, 'and was never said to be one');

$origin->stop;
done_testing();
