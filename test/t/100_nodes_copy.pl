#-------------------------------------------------------------------------
#
# test/t/100_nodes_copy.pl
#	  A subscription's initial copy of a watched table tells nobody anything; the
#	  first event is of the first commit after it, though writers never pause.  And a
#	  source that brings nothing isn't called idle.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Kgwebhook::Nodes;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $source = new_source('source');
my $node = new_node('node', 'kgwebhook.enabled' => 'off');
my $connection = $source->connstr . ' dbname=postgres';

$source->safe_psql(
	'postgres', q{
	INSERT INTO orders (id, status) SELECT 'o' || g, 'new' FROM generate_series(1, 3000) g;
	CREATE PUBLICATION p FOR TABLE orders});
$node->safe_psql(
	'postgres', orders_table() . q{
	SELECT kg_create_secret() \gset
	SELECT count(*) FROM kg_watch('orders', 'order', 'id', 'status', 'callback_url', 'org_id',
		'{"id": "id", "status": "status", "version": "version"}');
	SELECT kg_subscribe('default', 'http://127.0.0.1:9999/');
	ALTER TABLE orders ENABLE ALWAYS TRIGGER kgwebhook_enqueue});

# Three writers, from before the copy until after it.
my @writers;
foreach my $w (1 .. 3)
{
	my $output = '';
	my $writer = IPC::Run::start(
		[ 'psql', '-X', '-q', '-d', $connection, '-c', qq{
			DO \$\$ BEGIN
				WHILE to_regclass('stop') IS NULL LOOP
					UPDATE orders SET status = CASE status WHEN 'new' THEN 'paid' ELSE 'new' END, version = version + 1
					 WHERE id = 'o' || (3 * (random() * 900)::int + $w);
					COMMIT;
				END LOOP;
			END \$\$} ],
		'>&', \$output);
	push @writers, $writer;
}
wait_for_row($source, 'SELECT count(*) > 3200 FROM audit');
$node->safe_psql('postgres', "CREATE SUBSCRIPTION s CONNECTION '$connection' PUBLICATION p");
wait_for_row($node, q{SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel});
my $events = $source->safe_psql('postgres', 'SELECT count(*) FROM audit');
wait_for_row($source, "SELECT count(*) > $events + 300 FROM audit");
$source->safe_psql('postgres', 'CREATE TABLE stop ()');
$_->finish foreach @writers;
$source->wait_for_catchup('s');

# Of each object the events are its last transitions, each of them once, and to the end.
$node->safe_psql('postgres', 'CREATE TABLE truth (n bigint, id text, org_id text, status text, version int)');
my $truth = PostgreSQL::Test::Utils::tempdir() . '/truth';
$source->safe_psql('postgres', "COPY audit TO '$truth'");
$node->safe_psql('postgres', "COPY truth FROM '$truth'");
is( $node->safe_psql(
		'postgres', q{
		WITH sent AS (SELECT object_id, (payload ->> 'version')::int AS version, count(*) AS times
		                FROM kgwebhook.queue GROUP BY 1, 2),
		first AS (SELECT object_id, min(version) AS version FROM sent GROUP BY 1)
		SELECT (SELECT count(*) FROM sent WHERE times > 1),
		       (SELECT count(*) FROM truth t JOIN first f ON f.object_id = t.id AND t.version >= f.version
		         WHERE NOT EXISTS (SELECT FROM sent s WHERE s.object_id = t.id AND s.version = t.version)),
		       (SELECT count(*) FROM sent s WHERE NOT EXISTS
		         (SELECT FROM truth t WHERE t.id = s.object_id AND t.version = s.version))}),
	'0|0|0', 'nothing twice, nothing left out, nothing made up');
my ($queued, $all) = split /\|/, $node->safe_psql('postgres',
	'SELECT (SELECT count(*) FROM kgwebhook.queue), (SELECT count(*) FROM truth)');
cmp_ok($queued, '>=', 300, "what was committed after the copy is an event ($queued of $all)");
cmp_ok($queued, '<', $all - 3000, 'the copied rows are none');
is( $node->safe_psql('postgres', q{SELECT count(*) FROM kgwebhook.queue WHERE payload ->> 'version' = '0'}),
	0, 'nor is a row that nobody has changed');

#
# A source that brings nothing
#
sub state_is
{
	my ($state, $name) = @_;

	ok( $node->poll_query_until('postgres', "SELECT worker_state = '$state' FROM kgwebhook.stats"), $name);
	return;
}

reload($node, 'kgwebhook.enabled' => 'on', 'wal_retrieve_retry_interval' => "'500ms'");
$node->safe_psql('postgres', 'DELETE FROM kgwebhook.subscription; DELETE FROM kgwebhook.queue');
state_is('idle', 'a source that streams: idle');
$node->safe_psql('postgres', 'ALTER SUBSCRIPTION s DISABLE');
state_is('source broken', 'disabled: source broken');
is( $node->safe_psql('postgres', q{SELECT severity, finding, remedy FROM kg_status() WHERE finding ~ 'subscription'}),
	'critical|Nothing arrives: subscription "s" brings no changes|ALTER SUBSCRIPTION s ENABLE;',
	'and kg_status() says which, and what to do');
$node->safe_psql('postgres', 'ALTER SUBSCRIPTION s ENABLE');
state_is('idle', 'enabled: idle');
$source->stop('immediate');
state_is('source broken', 'the source is down: source broken');
$source->start;
state_is('idle', 'it is back: idle');
$node->safe_psql('postgres', q{INSERT INTO orders (id, status) VALUES ('twice', 'new')});
$source->safe_psql('postgres', q{INSERT INTO orders (id, status) VALUES ('twice', 'new')});
state_is('source broken', 'a row that cannot be applied: source broken');
$node->safe_psql('postgres', q{DELETE FROM orders WHERE id = 'twice'});
state_is('idle', 'it can be: idle');

$node->stop;
$source->stop;
done_testing();
