#-------------------------------------------------------------------------
#
# test/t/130_nodes_owner.pl
#	  A source as it is at a managed service: who prepares it owns the tables and is no
#	  superuser, nodes connect as a role that only replicates and reads, row security is
#	  on.  Tables of one name in two schemas have rows of equal identifiers, and a
#	  generated column.  Then what happens in the middle: transactions that are streamed
#	  before they end, nodes that are killed during a move, a node that is drained while
#	  a receiver does not answer.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Kgwebhook::Nodes;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $secret = 'whsec_' . 'e' x 32;
my $source = new_source('source', 'logical_decoding_work_mem' => "'64kB'");
my $receiver = start_receiver(secret => $secret);
my $url = $receiver->url('/ok');
my $connection = $source->connstr . ' dbname=postgres user=kg_node';
my %node;

sub tables
{
	return join '', map { qq{
		CREATE TABLE $_.orders (id text PRIMARY KEY, org_id text NOT NULL, status text, amount numeric, doubled numeric GENERATED ALWAYS AS (amount * 2) STORED,
			big text, callback_url text, updated_at timestamptz NOT NULL DEFAULT clock_timestamp());} } 'east', 'west';
}
sub committed { return $source->safe_psql('postgres', $_[0]); }
sub here { return $node{ $_[0] }->safe_psql('postgres', $_[1]); }

#
# Owner and role without a superuser's rights
#
committed(q{CREATE ROLE shop LOGIN; CREATE ROLE kg_node LOGIN REPLICATION; GRANT CREATE ON DATABASE postgres TO shop;
	CREATE SCHEMA east AUTHORIZATION shop; CREATE SCHEMA west AUTHORIZATION shop});
committed('SET ROLE shop;' . tables() . q{
	ALTER TABLE east.orders ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON east.orders USING (org_id = current_user);
	ALTER TABLE west.orders ENABLE ROW LEVEL SECURITY; ALTER TABLE west.orders FORCE ROW LEVEL SECURITY; CREATE POLICY own ON west.orders USING (true)});
my %prepared = (user => 'shop', tables => 'east.orders, west.orders', node_role => 'kg_node');
my ($code, undef, $stderr) = prepare_source($source, %prepared);
is($code, 0, 'the owner of the tables prepares the source') or diag($stderr);
($code) = prepare_source($source, %prepared);
is($code, 0, 'and once more');
committed(qq{SET ROLE shop; INSERT INTO east.orders (id, org_id, status, amount, callback_url) VALUES ('old', 'o1', 'new', 1.50, '$url')});
foreach my $name ('n1', 'n2')
{
	$node{$name} = new_node($name, 'wal_level' => 'logical', 'max_wal_senders' => 5, 'wal_retrieve_retry_interval' => "'500ms'", 'max_worker_processes' => 20);
	here($name, 'CREATE SCHEMA east; CREATE SCHEMA west;' . tables() . qq{
		SELECT kg_set_secret('o' || g, '$secret') FROM generate_series(1, 3) g;
		SELECT count(*) FROM kg_watch('east.orders', 'east.order', 'id', payload => '{"id": "id", "status": "status", "doubled": "doubled", "big": "big", "event": "\$type"}');
		SELECT count(*) FROM kg_watch('west.orders', 'west.order', 'id', payload => '{"id": "id", "status": "status", "doubled": "doubled", "big": "big", "event": "\$type"}')});
	here($name, "SELECT kg_follow('src', '$connection', 'east.orders', '$name')");
	wait_for_state($node{$name}, 'streaming');
	committed(q{SET ROLE shop; INSERT INTO kgsource.route (org_id, node) VALUES ('*', 'n1'), ('o2', 'n2')}) if $name eq 'n1';
}
wait_for_row($source, q{SELECT bool_and(joined) FROM kgsource.heartbeat});
is(here('n1', 'SELECT id, doubled FROM east.orders'), 'old|3.00', 'a role that only replicates and reads copies all rows, whatever row security hides from others');

my $requests = 0;
sub arrived
{
	my ($n) = @_;
	my @got = $receiver->wait_for_requests($requests += $n);

	return map { "$_->{json}{event} $_->{json}{id}" . ($_->{valid} ? '' : ' not signed') } sort { $a->{json}{event} cmp $b->{json}{event} } @got[ $requests - $n .. $requests - 1 ];
}
committed(qq{SET ROLE shop; INSERT INTO east.orders (id, org_id, status, amount, callback_url) VALUES ('1', 'o1', 'e1', 300.0, '$url'), ('2', 'o2', 'e2', 300.0, '$url');
	INSERT INTO west.orders (id, org_id, status, amount, callback_url, big) VALUES ('1', 'o1', 'w1', 300.0, '$url', (SELECT string_agg(md5(g::text), '') FROM generate_series(1, 1000) g)), ('2', 'o2', 'w2', 300.0, '$url', NULL)});
is(join(', ', arrived(4)), 'east.order.e1 1, east.order.e2 2, west.order.w1 1, west.order.w2 2', 'tables of one name and rows of one identifier are told apart');
my @got = $receiver->requests;
is(scalar(keys %{ { map { $_->{headers}{'webhook-id'} => 1 } @got } }), 4, 'each has its webhook-id');
is(join(' ', map { $_->{json}{doubled} } @got), '600.0 600.0 600.0 600.0', 'a generated column is in the payload');
wait_until_settled($node{$_}) foreach 'n1', 'n2';
is(join(' ', map { here($_, q{SELECT string_agg(DISTINCT org_id, ' ') FROM kgwebhook.delivery_log}) } 'n1', 'n2'), 'o1 o2', 'each node has sent what is its own');
committed(q{SET ROLE shop; UPDATE west.orders SET status = 'w3' WHERE id = '1'});
is(join(', ', arrived(1)), 'west.order.w3 1', 'an UPDATE');
is(length(($receiver->requests)[-1]{json}{big}), 32000, 'with what it has left out');

# A column comes on the nodes first.
here($_, 'ALTER TABLE east.orders ADD COLUMN extra text') foreach 'n1', 'n2';
committed(q{SET ROLE shop; UPDATE east.orders SET status = 'e3' WHERE id = '1'; ALTER TABLE east.orders ADD COLUMN extra text; UPDATE east.orders SET status = 'e4', extra = 'x' WHERE id = '1'});
is(join(', ', arrived(2)), 'east.order.e3 1, east.order.e4 1', 'a column that is added, on the nodes first, stops nothing');

#
# A transaction that is sent before it ends
#
# Twenty thousand events, of which two thousand are sent, while n1 pauses: what is in the queue is exact, and neither who
# applies nor who sends has grown by it.
sub many { return qq{INSERT INTO east.orders (id, org_id, status, callback_url, big) SELECT '$_[0]' || g, 'o1', 's', '$url', repeat(md5(g::text), 20) FROM generate_series(1, $_[1]) g;}; }
sub memory
{
	my %size = split /[|\n]/, here('n1', q{SELECT backend_type, pid FROM pg_stat_activity WHERE backend_type IN ('logical replication worker', 'logical replication apply worker', 'kgwebhook worker')});

	return map { slurp_file("/proc/$size{$_}/status") =~ /^VmPeak:\s+(\d+) kB/m ? ($_ => $1) : () } keys %size;
}
my %before = memory();
is(scalar(keys %before), 2, 'a process that applies, and one that sends');
here('n1', 'SELECT kg_pause()');
committed('SET ROLE shop; BEGIN;' . many('kept', 19000) . 'SAVEPOINT a;' . many('undone', 1000) . 'ROLLBACK TO a;' . many('more', 1000) . 'COMMIT');
wait_for_row($node{n1}, q{SELECT EXISTS (SELECT FROM kgwebhook.queue)}, 'its events');
is(here('n1', q{SELECT count(*), count(DISTINCT object_id), count(DISTINCT webhook_id), count(*) FILTER (WHERE object_id LIKE 'undone%'), min(length(payload ->> 'big')) FROM kgwebhook.queue WHERE event = 'east.order.s'}), '20000|20000|20000|0|640',
	'of a large transaction all is enqueued once, but what a savepoint has taken back');
wait_for_row($source, q{SELECT bool_and(stream_txns > 0 AND stream_count > 20) FROM pg_stat_replication_slots}, 'the slots to have streamed it in many parts');
here('n1', q{DELETE FROM kgwebhook.queue WHERE object_id LIKE 'kept%' AND substr(object_id, 5)::int > 1000});
here('n1', 'SELECT kg_resume()');
$requests += 2000;
wait_for_row($node{n1}, q{SELECT count(*) >= 2000 AND NOT EXISTS (SELECT FROM kgwebhook.queue) FROM kgwebhook.delivery_log WHERE event = 'east.order.s'}, 'all of it');
is(here('n1', q{SELECT count(*), count(DISTINCT object_id) FROM kgwebhook.delivery_log WHERE event = 'east.order.s'}), '2000|2000', 'and sent once');
my %after = memory();
diag("$_ grew by " . ($after{$_} - $before{$_}) . ' kB') foreach sort keys %after;
cmp_ok($after{$_} - $before{$_}, '<', 16 * 1024, "the memory of the $_ is bounded") foreach sort keys %after;

#
# Both nodes are killed in the middle of a move
#
$receiver->hold('silent');
my $silent = $receiver->url('/while/silent/ok');
committed(qq{SET ROLE shop; INSERT INTO west.orders (id, org_id, status, callback_url) VALUES ('moves', 'o3', 'm0', '$silent')});
$receiver->wait_for_requests(1, path => '/while/silent/ok');
committed(q{SET ROLE shop; INSERT INTO kgsource.route (org_id, node) VALUES ('o3', 'n2'); UPDATE west.orders SET status = 'm1' WHERE id = 'moves'});
wait_for_row($node{n2}, q{SELECT held_deliveries = 1 FROM kgwebhook.routes WHERE org_id = 'o3'}, 'the new node to hold');
$node{$_}->stop('immediate') foreach 'n1', 'n2';
$node{$_}->start foreach 'n1', 'n2';
wait_for_state($node{$_}, 'streaming') foreach 'n1', 'n2';
is(here('n2', q{SELECT held_deliveries, waits_for FROM kgwebhook.routes WHERE org_id = 'o3'}), '1|n1', 'what was held is still held, for whom it was');
is(committed(q{SELECT released FROM kgsource.route WHERE org_id = 'o3'}), 'f', 'and nothing is released');

#
# A node is drained while a receiver does not answer: it says what it waits for, and is not in a hurry
#
is(here('n1', q{SELECT org_id, moved_to, released FROM kg_drain('n1', timeout => '1 s')}), '*|n2|t', 'a node is drained of what nothing waits for');
my ($out, $err) = ('', '');
my $drain = IPC::Run::start([ 'psql', '-XAtq', '-d', $node{n2}->connstr('postgres'), '-c', q{SELECT string_agg(concat_ws(' ', org_id, moved_to, released), ', ' ORDER BY org_id) FROM kg_drain('n2', timeout => '2 min')} ],
	'>', \$out, '2>', \$err);
wait_for_row($source, q{SELECT count(*) = 2 FROM kgsource.route WHERE org_id IN ('*', 'o2') AND node = 'n1'}, 'what does not move to go');
is(committed(q{SELECT node FROM kgsource.route WHERE org_id = 'o3'}), 'n2', 'a node is drained to which an organization is still on its way: that waits');
$receiver->release('silent');
$drain->finish;
is("$out$err", "* n1 t, o2 n1 t, o3 n1 t\n", 'and is moved on when it has arrived');
wait_for_row($node{n2}, q{SELECT EXISTS (SELECT FROM kgwebhook.delivery_log WHERE event = 'west.order.m1' AND outcome = 'acknowledged')}, 'the event after the move');
like(join(' ', map { $_->{json}{status} } grep { $_->{json}{id} eq 'moves' } $receiver->requests), qr/^m0( m0)* m1$/, 'in order');
wait_until_settled($node{$_}) foreach 'n1', 'n2';
$receiver->hold('down');
my $down = $receiver->url('/while/down/ok');
committed(qq{SET ROLE shop; INSERT INTO west.orders (id, org_id, status, callback_url) VALUES ('waits', 'o2', 'd0', '$down')});
$receiver->wait_for_requests(1, path => '/while/down/ok');
is(here('n1', q{SELECT moved_to, released FROM kg_drain('n1', timeout => '1 s') WHERE org_id = 'o2'}), 'n2|f', 'it is told what has not been released when the time is over');
committed(q{SET ROLE shop; UPDATE west.orders SET status = 'd1' WHERE id = 'waits'});
wait_for_row($node{n2}, q{SELECT held_deliveries = 1 FROM kgwebhook.routes WHERE org_id = 'o2'}, 'the other node to hold');
$receiver->release('down');
wait_for_row($source, q{SELECT bool_and(released) FROM kgsource.route}, 'the drain to end');
wait_for_row($node{n2}, q{SELECT EXISTS (SELECT FROM kgwebhook.delivery_log WHERE event = 'west.order.d1' AND outcome = 'acknowledged')}, 'the event after the drain');
like(join(' ', map { $_->{json}{status} } grep { $_->{json}{id} eq 'waits' } $receiver->requests), qr/^d0( d0)* d1$/, 'and then the other node sends, in order');

#
# Row security that the source gets later: what it hides is not gone
#
my $rows = here('n1', 'SELECT count(*) FROM west.orders');
committed('SET ROLE shop; ALTER TABLE west.orders ENABLE ROW LEVEL SECURITY; CREATE POLICY narrow ON west.orders AS RESTRICTIVE USING (false)');
foreach my $call ('kg_compare()', 'kg_resync(dry_run => true)', 'kg_resync()')
{
	like(sql_error($node{n1}, "SELECT * FROM $call"), qr/rows of table west\.orders are hidden from the role that connects to source "src".*node_role/s,
		"$call is refused while rows are hidden");
}
is(here('n1', 'SELECT count(*) FROM west.orders'), $rows, 'and nothing is taken away');
committed('SET ROLE shop; DROP POLICY narrow ON west.orders; ALTER TABLE west.orders DISABLE ROW LEVEL SECURITY');
wait_for_state($node{n1}, 'streaming');

#
# The end
#
is(here($_, 'SELECT count(*) FROM kg_compare()'), 0, "$_ has all that the source has") foreach 'n1', 'n2';
here($_, q{SELECT kg_unfollow('src')}) foreach 'n2', 'n1';
is(committed('SELECT (SELECT count(*) FROM pg_replication_slots), (SELECT count(*) FROM kgsource.heartbeat)'), '0|0', 'nothing is left at the source');

#
# A database that has the extension hands over to a node
#
$node{$_}->safe_psql('postgres', 'CREATE DATABASE pay') foreach 'n1', 'n2';
sub pay { return $node{ $_[0] }->safe_psql('pay', $_[1]); }
pay($_, 'SET client_min_messages = warning; CREATE EXTENSION kgwebhook CASCADE;' . orders_table() . qq{
	SELECT kg_set_secret('default', '$secret');
	SELECT count(*) FROM kg_watch('orders', 'order', 'id', 'status', 'callback_url', 'org_id', '{"id": "id", "status": "status", "event": "\$type"}')}) foreach 'n1', 'n2';
is((prepare_source($node{n2}, database => 'pay'))[0], 0, 'it is prepared as a source');
pay('n2', q{SELECT kgsource.enroll('local', false); INSERT INTO kgsource.route (org_id, node) VALUES ('*', 'local')});
pay('n1', "SELECT kg_follow('pay', '@{[ $node{n2}->connstr ]} dbname=pay', 'orders', 'n1')");
ok($node{n1}->poll_query_until('pay', q{SELECT state = 'streaming' FROM kgwebhook.sources}), 'a node follows it');
ok($node{n2}->poll_query_until('pay', q{SELECT joined FROM kgsource.heartbeat WHERE node = 'n1'}), 'and is ready');
$receiver->hold('last');
pay('n2', qq{INSERT INTO orders (id, status, callback_url) VALUES ('over', 's0', '@{[ $receiver->url('/while/last/ok') ]}')});
$receiver->wait_for_requests(1, path => '/while/last/ok');
pay('n2', q{BEGIN; SELECT kg_unwatch('orders'); UPDATE kgsource.route SET node = 'n1' WHERE org_id = '*'; COMMIT});
pay('n2', qq{UPDATE orders SET status = 's1', callback_url = '$url' WHERE id = 'over'});
ok($node{n1}->poll_query_until('pay', q{SELECT held_deliveries = 1 FROM kgwebhook.routes WHERE org_id = '*'}), 'the node holds what is committed after the hand-over');
$receiver->release('last');
ok($node{n2}->poll_query_until('pay', q{SELECT NOT EXISTS (SELECT FROM kgwebhook.queue)}), 'what was before it is sent there');
pay('n2', q{UPDATE kgsource.route SET released = true WHERE org_id = '*'; SELECT kgsource.leave('local')});
ok($node{n1}->poll_query_until('pay', q{SELECT EXISTS (SELECT FROM kgwebhook.delivery_log WHERE outcome = 'acknowledged')}), 'then the node sends');
like(join(' ', map { $_->{json}{status} } grep { $_->{json}{id} eq 'over' } $receiver->requests), qr/^s0( s0)* s1$/, 'each event comes from one of them, in order');
pay('n1', q{SELECT kg_unfollow('pay')});

$_->stop foreach values %node;
$source->stop;
done_testing();
