#-------------------------------------------------------------------------
#
# test/t/042_pg_upgrade.pl
#	  pg_upgrade: everything comes along, nothing is sent until kg_adopt(), and then
#	  each pending event once, in order, under the name it always had.
#
# pg_upgrade also goes from a version to itself, which takes the same way except for
# the catalogs' differences.  So this runs everywhere; with OLD_PG_CONFIG in the
# environment it goes from that version to this one, as in
# `make matrix SUITES=upgrade`.
#
# It goes twice: a copy of the files leaves the old cluster as it was, which then
# gives them away by --link.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use File::Basename qw(dirname);
use Kgwebhook;
use Kgwebhook::Copies;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $tmp = PostgreSQL::Test::Utils::tempdir;

# A PostgreSQL of the other version with our extension in it, built of this tree;
# returns where it is, as PostgreSQL::Test::Cluster wants it.
sub old_installation
{
	my ($pg_config) = @_;
	my $tree = "$tmp/tree";

	mkdir $tree;
	run_log(
		[
			'cp', '-R', 'Makefile', 'dev.mk', 'kgwebhook.control', 'install',
			'src', 'scripts', $tree
		]) or die;
	run_log([ 'find', $tree, '-name', '*.[od]', '-delete' ]) or die;
	run_log([ 'make', '-s', '-C', $tree, "PG_CONFIG=$pg_config", 'COPT=-Werror' ])
	  or die 'could not build for the old version';
	chomp(my $bindir = `PG_CONFIG=$pg_config $tree/scripts/stage.sh $tmp/old`);
	die 'could not make a stage of the old version' if $? != 0;
	return dirname($bindir);
}

#
# The old server, a busy one: things that were delivered, tried and given up, a
# day of the log that the new one will not keep, a destination that is paused,
# a rotation under way, a column with another name, a subscription, and events
# that wait.
#
my $old = PostgreSQL::Test::Cluster->new('old',
	$ENV{OLD_PG_CONFIG} ? (install_path => old_installation($ENV{OLD_PG_CONFIG})) : ());
$old->init(extra => ['--data-checksums']);
configure_node(
	$old,
	'kgwebhook.retry_schedule' => "'10min'",
	'kgwebhook.log_retention' => "'-1'");
$old->command_ok([ $old->installed_command('pg_resetwal'), '--epoch=7', '-D', $old->data_dir ],
	'a busy server');
$old->start;
$old->safe_psql('postgres',
	'SET client_min_messages = warning; CREATE EXTENSION kgwebhook CASCADE');
my $secret = make_intents_table($old);
my $receiver = start_receiver(secret => $secret);
my $paused = start_receiver(secret => $secret);
my $ok = $receiver->url;
my $old_day = $old->safe_psql('postgres',
	q{SELECT 'kgwebhook.delivery_log_' || to_char(now() AT TIME ZONE 'UTC' - interval '40 days', 'YYYYMMDD')});

$old->safe_psql(
	'postgres', qq{
	CREATE SCHEMA app;
	CREATE TABLE app.orders (id int PRIMARY KEY, gone text, total numeric, state text, hook text);
	ALTER TABLE app.orders DROP COLUMN gone;
	SELECT kg_watch('app.orders', 'order', 'id', 'state', 'hook', NULL,
		'{"id": "id", "status": "state", "total": "total"}');
	SELECT kg_watch_shape('app.orders', 'v2', '{"id": "id", "sum": "total"}');
	ALTER TABLE app.orders RENAME total TO amount;
	SELECT kg_create_signing_key('rotating');
	SELECT kg_sign_http('rotating');
	INSERT INTO kgwebhook.client_certificate VALUES ('rotating', 0, 'certificate', 'key');
	SELECT kg_create_secret('rotating');
	SELECT kg_rotate_secret('rotating');
	SELECT kg_subscribe('default', '$ok?subscribed', '{order.shipped}');
	SELECT kg_set_headers(1, '{"X-Tenant": "shop"}');
	SELECT kg_require_consent('elsewhere');
	SELECT kgwebhook.create_log_partition((now() AT TIME ZONE 'UTC')::date - 40);
	INSERT INTO kgwebhook.delivery_log (delivery_id, webhook_id, org_id, event, object_id, url,
		destination, attempt, outcome, final, started_at)
	VALUES (-1, 'msg_1', 'default', 'e.new', 'long ago', '$ok', '@{[ $receiver->destination ]}',
		1, 'acknowledged', true, now() - interval '40 days')});
insert_intent($old, 'old', $ok);
insert_intent($old, 'dead', $receiver->url('/status/410'));
insert_intent($old, 'tried', $receiver->url('/fail/1/ok'));
wait_for_log_rows($old, 3, 'started_at > now() - interval $$1 day$$');
$old->safe_psql('postgres', "SELECT kg_pause('@{[ $paused->destination ]}')");
reload($old, 'kgwebhook.enabled' => 'off');
$old->safe_psql('postgres',
	"UPDATE kgwebhook.queue SET next_attempt_at = now() WHERE object_id = 'tried'");
insert_intent($old, "held$_", $paused->url) foreach 1 .. 3;
insert_intent($old, "new$_", $ok) foreach 1 .. 20;
set_status($old, "new$_", 'success') foreach 1 .. 20;
set_status($old, "new$_", 'refunded') foreach 1 .. 10;
$old->safe_psql('postgres', "INSERT INTO app.orders VALUES (1, 12.50, 'placed', '$ok')");
is($old->safe_psql('postgres', q{SELECT attempts FROM kgwebhook.queue WHERE object_id = 'tried'}),
	1, 'a delivery between two attempts');

my %expected = ('tried' => 1, 'order 1' => 1, map { ("new$_" => $_ > 10 ? 2 : 3) } 1 .. 20);
my $original = contents($old, 'postgres');
isnt($_, '', 'the original has something of everything') foreach @$original;
my %names = map { split /\|/ } split /\n/,
  $old->safe_psql('postgres',
	q{SELECT object_id || ' ' || event, webhook_id FROM kgwebhook.queue});

# As pg_upgrade starts it, it would send.
$old->append_conf('postgresql.conf', 'kgwebhook.enabled = on');
$old->stop;

# A new cluster, and how the old one is upgraded to it by a server's programs.
sub new_cluster
{
	my ($name) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(extra => ['--data-checksums']);
	return $node;
}

sub pg_upgrade
{
	my ($node, $bindir, @options) = @_;

	return (
		"$bindir/pg_upgrade", '--no-sync', '--retain',
		'--old-datadir' => $old->data_dir,
		'--new-datadir' => $node->data_dir,
		'--old-bindir' => $old->config_data('--bindir'),
		'--new-bindir' => $bindir,
		'--socketdir' => $node->host,
		'--old-port' => $old->port,
		'--new-port' => $node->port,
		@options);
}

# What is wrong with what a receiver got since, if anything: an event under another
# name, an attempt with another number, a signature, a status after a later one.
sub faults
{
	my ($since) = @_;
	my @requests = $receiver->requests;
	my (%last, @faults);
	my %rank = (pending => 0, success => 1, refunded => 2, placed => 0);

	splice @requests, 0, $since;
	foreach my $request (@requests)
	{
		my $id = $request->{json}{payment_intent_id} // $request->{json}{id};
		my $status = $request->{json}{status};
		my $event = "$id $request->{headers}{'webhook-event'}";

		push @faults, "$event: another webhook-id"
		  if $request->{headers}{'webhook-id'} ne ($names{$event} // '');
		push @faults, "$event: attempt $request->{headers}{'webhook-attempt'}"
		  if $request->{headers}{'webhook-attempt'} != ($id eq 'tried' ? 2 : 1);
		push @faults, "$event: not valid" unless $request->{valid};
		push @faults, "$event: too late" if $rank{$status} < ($last{$id} // 0);
		$last{$id} = $rank{$status};
	}
	return join "\n", @faults;
}

#
# Without the extension in the new installation there is no upgrade
#
chdir $tmp or die "could not change to $tmp: $!";
SKIP:
{
	chomp(my $bindir = `$ENV{PG_CONFIG} --bindir`);
	chomp(my $libdir = `$ENV{PG_CONFIG} --pkglibdir`);
	skip 'kgwebhook is installed in the system', 2 if -e "$libdir/kgwebhook.so";

	my $node = new_cluster('without');
	$node->command_checks_all([ pg_upgrade($node, $bindir, '--check') ],
		1, [qr/required libraries +fatal/], [], 'pg_upgrade wants the library');
	my ($list) = split /\n/, `find @{[ $node->data_dir ]} -name loadable_libraries.txt`;
	like(
		slurp_file($list),
		qr{could not load library "\$libdir/kgwebhook": .*\n.*In database: postgres},
		'and says which, and for which database');
}

foreach my $mode ('copy', 'link')
{
	my @options = $mode eq 'link' ? ('--link') : ();

	#
	# Everything comes along, and nothing is sent
	#
	my $node = new_cluster($mode);
	my $before = () = $receiver->lines;

	configure_node($node);
	ok(run_log([ pg_upgrade($node, $node->config_data('--bindir'), @options) ]),
		"$mode: pg_upgrade")
	  or BAIL_OUT('without it there is nothing to test');
	my ($log) = glob $node->data_dir . '/pg_upgrade_output.d/*/log/pg_upgrade_server.log';
	unlike(slurp_file($log), qr/kgwebhook (?:launcher|worker \d)/,
		"$mode: which starts nobody who could send");
	$node->start;
	worker_state_is($node, 'postgres', 'not adopted');
	is_deeply(contents($node, 'postgres'), $original, "$mode: everything came along");
	is(told($node, 'postgres'), 1, "$mode: said once in the log");
	is( $node->safe_psql('postgres', q{
			SELECT count(*) FROM kgwebhook.queue WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())}),
		0,
		"$mode: the transactions of before are of the past");

	# what happens before it is adopted waits with the others
	insert_intent($node, 'between', $ok);
	is( $node->safe_psql('postgres', "SELECT outcome FROM kg_send_test('$ok')"),
		'acknowledged',
		"$mode: kg_send_test() sends");
	$node->restart;
	worker_state_is($node, 'postgres', 'not adopted');
	is(() = $receiver->lines, $before + 1, "$mode: and nothing else did");
	is($node->safe_psql('postgres', "SELECT to_regclass('$old_day') IS NOT NULL"),
		't', "$mode: no day of the log is dropped in the meantime");

	#
	# Adopted, it sends what waits, and goes on
	#
	$before++;
	$names{'between payment_intent.pending'} = $node->safe_psql('postgres',
		q{SELECT webhook_id FROM kgwebhook.queue WHERE object_id = 'between'});
	$node->safe_psql('postgres', 'SELECT kg_adopt()');
	wait_until_settled($node, "object_id NOT LIKE 'held%'");
	worker_state_is($node, 'postgres', 'idle');
	is_deeply(
		got($receiver, $before),
		{ %expected, between => 1 },
		"$mode: each pending event is sent once, and nothing else");
	is(faults($before), '', "$mode: in order, under its name, signed");
	is(() = $paused->lines, 0, "$mode: what was paused still is");
	is( $node->safe_psql('postgres', q{
			SELECT count(*) FROM kgwebhook.delivery_log WHERE object_id <> 'between'
			   AND NOT is_test AND delivery_id IN (SELECT delivery_id FROM kgwebhook.delivery_log
			   WHERE outcome = 'acknowledged' GROUP BY delivery_id HAVING count(*) > 1)}),
		0,
		"$mode: each was acknowledged once");
	ok( $node->poll_query_until('postgres', "SELECT to_regclass('$old_day') IS NULL"),
		"$mode: days of the log that are too old go");
	is( $node->safe_psql('postgres', q{
			SELECT count(*) FROM kgwebhook.delivery_log_default WHERE started_at > now() - interval '1 hour'
			   AND NOT is_test}),
		0,
		"$mode: and what is logged has its day");

	$before = () = $receiver->lines;
	$node->safe_psql(
		'postgres', qq{
		INSERT INTO app.orders VALUES (2, 7.00, 'placed', '$ok');
		UPDATE payment_intents SET status = 'refunded' WHERE payment_intent_id = 'new11'});
	my @new = $receiver->wait_for_requests($before + 2);
	my ($order) = grep { defined $_->{json}{id} } @new[ $before .. $before + 1 ];
	is_deeply(
		[ @{ $order->{json} }{qw(id total status)}, "$order->{valid}" ],
		[ 2, '7.00', 'placed', '1' ],
		"$mode: goes on with new events, columns with another name included");
	wait_until_settled($node, "object_id NOT LIKE 'held%'");

	$before = () = $receiver->lines;
	$node->safe_psql('postgres', q{UPDATE app.orders SET state = 'shipped' WHERE id = 2});
	$receiver->wait_for_requests($before + 2);
	is_deeply(
		[ sort map { $_->{path} } ($receiver->requests)[ $before, $before + 1 ] ],
		[ '/ok', '/ok?subscribed' ],
		"$mode: who had subscribed gets its events");
	wait_until_settled($node, "object_id NOT LIKE 'held%'");

	# functions of each kind: C and SQL, that read and that write
	is( $node->safe_psql('postgres', q{
			SELECT kg_verify(request_body, '} . $secret . q{')
			  FROM kgwebhook.delivery_log WHERE object_id = 'new11' ORDER BY attempt_id DESC LIMIT 1}),
		'valid',
		"$mode: kg_verify()");
	like(
		$node->safe_psql('postgres', q{
			SELECT kg_explain(delivery_id) FROM kgwebhook.delivery_log WHERE object_id = 'tried' LIMIT 1}),
		qr/acknowledged/,
		"$mode: kg_explain()");
	is($node->safe_psql('postgres', q{SELECT count(*) FROM kg_redeliver_object('dead')}),
		1, "$mode: kg_redeliver_object()");
	wait_for_log_rows($node, 2, "object_id = 'dead'");
	is( $node->safe_psql('postgres', q{
			SELECT count(DISTINCT webhook_id), max(attempt) FROM kgwebhook.delivery_log WHERE object_id = 'dead'}),
		'1|2',
		"$mode: of what was given up before");
	if ($mode eq 'link')
	{
		$node->safe_psql('postgres', "SELECT kg_resume('@{[ $paused->destination ]}')");
		wait_until_settled($node);
		is_deeply(
			got($paused, 0),
			{ held1 => 1, held2 => 1, held3 => 1 },
			"$mode: what was paused goes when it is resumed");
	}
	$node->stop;
}

done_testing();
