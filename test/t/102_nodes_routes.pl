#-------------------------------------------------------------------------
#
# test/t/102_nodes_routes.pl
#	  Two nodes and one source: organizations move between them while they are
#	  written to, one node is slow, one is killed.  What the receiver got is compared
#	  with what the source committed: nothing lost, nothing under two identifiers,
#	  each object's events in order.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Kgwebhook::Nodes;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $secret = 'whsec_' . 'r' x 32;
my $source = new_source('source');
my $receiver = start_receiver(secret => $secret);
my $url = $receiver->url('/ok');
my %node;

prepare_source($source);
$node{n1} = new_delivery_node('first', $secret);
follow($node{n1}, $source, 'n1');
$source->safe_psql('postgres', q{INSERT INTO kgsource.route (org_id, node) VALUES ('*', 'n1'), ('o2', 'n2')});
$node{n2} = new_delivery_node('second', $secret);

# What is committed before the second node has caught up is the first one's.
$source->safe_psql('postgres', qq{INSERT INTO orders (id, org_id, status, callback_url) VALUES ('early', 'o2', 's0', '$url')});
$receiver->wait_for_requests(1);
wait_until_settled($node{n1});
is($node{n1}->safe_psql('postgres', q{SELECT count(*) FROM kgwebhook.delivery_log WHERE object_id = 'early'}),
	1, 'an organization stays with its node until the other one follows');
follow($node{n2}, $source, 'n2');
wait_for_row($node{$_}, q{SELECT count(*) = 1 FROM kgwebhook.routes WHERE org_id = 'o2' AND node = 'n2' AND waits_for IS NULL}) foreach 'n1', 'n2';
$source->safe_psql('postgres', qq{INSERT INTO orders (id, org_id, status, callback_url) VALUES ('late', 'o2', 's0', '$url')});
$receiver->wait_for_requests(2);
wait_until_settled($node{n2});
is($node{n2}->safe_psql('postgres', q{SELECT string_agg(object_id, ' ') FROM kgwebhook.delivery_log}), 'late', 'and moves then');

#
# A receiver that does not answer keeps its organization from being released
#
$receiver->hold('silent');
my $silent = $receiver->url('/while/silent/ok');
$source->safe_psql('postgres', qq{INSERT INTO orders (id, org_id, status, callback_url) VALUES ('stuck', 'o3', 's0', '$silent')});
$receiver->wait_for_requests(1, path => '/while/silent/ok');
$node{n1}->safe_psql('postgres', q{SELECT kg_hand_over('o3', 'n2')});
$source->safe_psql('postgres', q{UPDATE orders SET status = 's1' WHERE id = 'stuck'});
wait_for_row($node{n2}, q{SELECT held_deliveries = 1 OR (SELECT count(*) FROM kgwebhook.queue) + (SELECT count(*) FROM kgwebhook.delivery_log) > 1
	FROM kgwebhook.routes WHERE org_id = 'o3'}, 'the move');
is( $node{n2}->safe_psql('postgres', q{
		SELECT held_deliveries, (SELECT count(*) FROM kgwebhook.queue), (SELECT count(*) FROM kgwebhook.delivery_log WHERE object_id = 'stuck')
		  FROM kgwebhook.routes WHERE org_id = 'o3'}),
	'1|0|0', 'the new node holds what is its own');
# The sessions whose last query is a follower's look; those of kg_follow() and kg_hand_over() end by themselves.
my $followers = q{SELECT pid FROM pg_stat_activity
	WHERE application_name = 'kgwebhook' AND backend_type = 'walsender' AND state = 'idle' AND query ~ 'pg_replication_slots.*heartbeat'};
my @before;
until (@before == 2)
{
	wait_for_row($source, "SELECT count(*) = 2 FROM ($followers) f", 'a follower of each node');
	@before = split /\n/, $source->safe_psql('postgres', $followers);
}
my $seen = $node{n1}->safe_psql('postgres', 'SELECT looked_at FROM kgwebhook.source_look');
wait_for_row($node{n1}, "SELECT looked_at > '$seen' FROM kgwebhook.source_look", 'a turn of the follower');
my %after = map { $_ => 1 } split /\n/, $source->safe_psql('postgres', 'SELECT pid FROM pg_stat_activity');
is(join(' ', grep { !$after{$_} } @before), '', 'a follower keeps its connection, in turns that have no use for it, too');
$source->safe_psql('postgres', 'CREATE DATABASE other');
my $others = 'CREATE TABLE others (id text PRIMARY KEY, status text, callback_url text, updated_at timestamptz)';
$source->safe_psql('other', $others);
prepare_source($source, database => 'other', tables => 'others');
$node{n1}->safe_psql('postgres', "$others; SELECT count(*) FROM kg_watch('others', 'other', 'id', 'status', 'callback_url', NULL);
	SELECT kg_follow('other', '@{[ $source->connstr ]} dbname=other', 'others', 'n1')");
wait_for_row($source, "SELECT count(*) = 1 FROM ($followers AND datname = 'other') f", 'a look at the second source');
my $second = $source->safe_psql('postgres', "$followers AND datname = 'other'");
$node{n1}->safe_psql('postgres', q{SELECT kg_unfollow('other')});
wait_for_row($source, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $second)", 'the follower to let go of it');
pass('and closes the connection to a source that is followed no more');
my (undef, undef, $stderr) = $source->psql('postgres', q{UPDATE kgsource.route SET node = 'n1' WHERE org_id = 'o3' AND NOT released});
like($stderr, qr/organization "o3" is still on its way to node "n2"/, 'a move that is not over is followed by none');
$receiver->release('silent');
wait_for_row($node{n2}, q{SELECT EXISTS (SELECT FROM kgwebhook.delivery_log WHERE object_id = 'stuck' AND event = 'order.s1')});
like(join(' ', map { $_->{json}{status} } grep { $_->{json}{id} eq 'stuck' } $receiver->requests),
	qr/^s0( s0)* s1$/, 'the new node waits until the old one has sent what it had');

#
# Moves at random under load, and a node that is killed
#
my @writers = map { start_order_writer($source, $_, $url) } 1 .. 2;
srand(42);
my $moves = 0;
foreach my $round (1 .. 30)
{
	my $org = ('o1', 'o2', 'o3', 'o4', '*')[ int rand 5 ];
	my $to = ('n1', 'n2')[ int rand 2 ];
	my ($code) = $source->psql('postgres', qq{
		INSERT INTO kgsource.route (org_id, node) VALUES ('$org', '$to')
			ON CONFLICT (org_id) DO UPDATE SET node = excluded.node});
	$moves++ if $code == 0;
	my $events = $source->safe_psql('postgres', 'SELECT count(*) FROM audit');
	wait_for_row($source, "SELECT count(*) > $events + 25 FROM audit");
	next unless $round == 10 || $round == 20;
	my $killed = $round == 10 ? 'n1' : 'n2';
	$node{$killed}->stop('immediate');
	$node{$killed}->start;
}
$source->safe_psql('postgres', 'CREATE TABLE stop ()');
$_->finish foreach @writers;
wait_until_all_sent($source, values %node);
cmp_ok($moves, '>', 10, "$moves moves");

compare_with_audit($source, $receiver);

#
# Draining a node
#
is( $node{n1}->safe_psql('postgres', q{SELECT bool_and(moved_to = 'n2' AND released) FROM kg_drain('n1')}),
	't', 'kg_drain() moves everything away');
is($source->safe_psql('postgres', q{SELECT count(*) FROM kgsource.route WHERE node = 'n1'}), 0, 'and leaves nothing');
$source->safe_psql('postgres', qq{INSERT INTO orders (id, org_id, status, callback_url) VALUES ('after', 'o5', 's0', '$url')});
wait_for_row($node{n2}, q{SELECT EXISTS (SELECT FROM kgwebhook.delivery_log WHERE object_id = 'after')});
pass('the other node serves what no route names');

$_->stop foreach values %node;
$source->stop;
done_testing();
