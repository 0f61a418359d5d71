#-------------------------------------------------------------------------
#
# test/t/132_nodes_fetch.pl
#	  A merchant fetches its events from delivery nodes, while its organization moves
#	  from one to the other and back: each node has its own part and its own cursors,
#	  refuses the other's, and what was held is passed over by no cursor, also not by
#	  one that goes on by time in a copy of the node.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Kgwebhook::Nodes;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $secret = 'whsec_' . 'f' x 32;
my $receiver = start_receiver(secret => $secret);
my $source = new_source('source');
my %node;

prepare_source($source);
foreach my $name ('n1', 'n2')
{
	$node{$name} = new_delivery_node($name, $secret);
	follow($node{$name}, $source, $name);
	$source->safe_psql('postgres', q{INSERT INTO kgsource.route (org_id, node) VALUES ('*', 'n1')}) if $name eq 'n1';
}
wait_for_row($source, q{SELECT bool_and(joined) FROM kgsource.heartbeat});

sub committed { return $source->safe_psql('postgres', $_[0]); }

# An order's next status at the source.
sub change
{
	my ($status, $path) = @_;
	my $url = $receiver->url($path // '/ok');

	committed("INSERT INTO orders (id, org_id, status, callback_url) VALUES ('a', 'o1', '$status', '$url')
		ON CONFLICT (id) DO UPDATE SET status = excluded.status, callback_url = excluded.callback_url, version = orders.version + 1");
	return;
}

# What o1 has there after a cursor, and the last one's cursor; all of it must be signed.
sub fetch
{
	my ($node, $cursor, $database) = @_;
	my @rows = map { [ split / / ] } split /\n/, $node->safe_psql($database // 'postgres',
		"SELECT split_part(event, '.', 2) || ' ' || kg_verify(body, '$secret') || ' ' || cursor FROM kg_events_since('o1', " . (defined $cursor ? "'$cursor'" : 'NULL') . ')');

	is(join(' ', grep { $_ ne 'valid' } map { $_->[1] } @rows), '', 'each is signed') if @rows;
	return (join(' ', map { $_->[0] } @rows), @rows ? $rows[-1][2] : $cursor);
}

# Waits until an event is where it belongs: its node has it in the queue or in the log.
sub arrived
{
	my ($name, $status) = @_;

	wait_for_row($node{$name}, "SELECT EXISTS (SELECT FROM kgwebhook.queue WHERE event = 'order.$status' UNION ALL SELECT FROM kgwebhook.delivery_log WHERE event = 'order.$status')", "$status on $name");
	return;
}

sub moved
{
	my ($to) = @_;

	committed("INSERT INTO kgsource.route (org_id, node) VALUES ('o1', '$to') ON CONFLICT (org_id) DO UPDATE SET node = excluded.node");
	return;
}

my $refused = qr/22023: cursor is of another delivery node\n.*HINT:  Keep a cursor for each node/s;
my (%cursor, $got);

change('s1');
arrived('n1', 's1');
moved('n2');
change('s2');
arrived('n2', 's2');
($got, $cursor{n1}) = fetch($node{n1});
is($got, 's1', 'the first node has what it had until the move');
like(sql_error($node{n2}, "SELECT kg_events_since('o1', '$cursor{n1}')"), $refused, 'the second one does not go on by its cursor');
($got, $cursor{n2}) = fetch($node{n2});
is($got, 's2', 'but has all since the move, from the beginning');
like(sql_error($node{n1}, "SELECT kg_events_since('o1', '$cursor{n2}')"), $refused, 'nor does the first one go on by that one\'s');

#
# Back to the first one, which holds what it has until the second one has sent its own
#
$receiver->hold('silent');
change('s3', '/while/silent/ok');
$receiver->wait_for_requests(1, path => '/while/silent/ok');
moved('n1');
change('s4');
wait_for_row($node{n1}, q{SELECT held_deliveries = 1 FROM kgwebhook.routes WHERE org_id = 'o1'}, 'the first node to hold it');
($got, $cursor{n2}) = fetch($node{n2}, $cursor{n2});
is($got, 's3', 'what is not sent yet is fetched where it is to be sent');
is((fetch($node{n1}, $cursor{n1}))[0], '', 'and what comes after it is not shown before');
# it has been held for long when cursors are given, of which the second one says until when all was seen
$node{n1}->safe_psql('postgres', q{UPDATE kgwebhook.held SET enqueued_at = enqueued_at - interval '3 hours'});
my $given = $cursor{n1};
foreach my $time ('what is sent again comes again', '... and again')
{
	$node{n1}->safe_psql('postgres', q{SELECT kg_redeliver(delivery_id) FROM kgwebhook.delivery_log WHERE event = 'order.s1' AND final ORDER BY attempt_id LIMIT 1});
	($got, $given) = fetch($node{n1}, $given);
	is($got, 's1', $time);
	wait_until_settled($node{n1});
}
$receiver->release('silent');
arrived('n1', 's4');
is((fetch($node{n1}, $given))[0], 's4', 'then it comes');
is((fetch($node{n2}, $cursor{n2}))[0], '', 'and on the second node nothing');

#
# A copy of the node goes on by time, in place of the original
#
wait_until_all_sent($source, values %node);
$node{n1}->safe_psql('postgres', 'ALTER SYSTEM SET kgwebhook.enabled = off');
$node{n1}->stop;
$node{n1}->append_conf('postgresql.conf', 'max_logical_replication_workers = 0');
$node{n1}->start;
$node{n1}->safe_psql('template1', 'CREATE DATABASE copied TEMPLATE postgres');
$node{n1}->safe_psql('copied', 'SELECT kg_adopt()');
like((fetch($node{n1}, $given, 'copied'))[0], qr/\bs4$/, 'what was held when a cursor was given is passed over by time neither');
like(sql_error($node{n1}, "SELECT kg_events_since('o1', '$cursor{n2}')", 'copied'), $refused, 'the other node\'s is refused there, too');

$_->stop foreach values %node;
$source->stop;
done_testing();
