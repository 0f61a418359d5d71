#-------------------------------------------------------------------------
#
# test/t/109_nodes_network.pl
#	  The network between a source and its nodes is cut, in one direction, in the
#	  other, and in both, while payments are written and organizations move: what the
#	  kernel does then, and not a program that stands between.  Nothing at the source
#	  waits for it, the nodes say so, and afterwards nothing is lost.
#
# It needs no root, but a system on which an ordinary user may make namespaces.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook::Network;
use Kgwebhook;
use Kgwebhook::Nodes;
use Kgwebhook::OnCall;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $secret = 'whsec_' . 'w' x 32;
my $receiver = start_receiver(secret => $secret);
my %link = map { $_ => make_link() } 'n1', 'n2';
my $source = elsewhere(sub {
	return new_source('source', 'listen_addresses' => "'10.9.1.1,10.9.2.1'", 'wal_sender_timeout' => "'2s'");
});
my %node;

append_to_file($source->data_dir . '/pg_hba.conf', "host all all 10.9.0.0/16 trust\n");
$source->reload;
prepare_source($source);

sub committed { return $source->safe_psql('postgres', $_[0]); }
sub here { return $node{ $_[0] }->safe_psql('postgres', $_[1]); }

foreach my $name ('n1', 'n2')
{
	$node{$name} = new_delivery_node($name, $secret, 'wal_receiver_timeout' => "'2s'");
	here($name, "SELECT kg_follow('src', 'host=10.9.$link{$name}.1 port=@{[ $source->port ]} dbname=postgres connect_timeout=2 tcp_user_timeout=3000', 'orders', '$name')");
	wait_for_state($node{$name}, 'streaming');
	committed(q{INSERT INTO kgsource.route (org_id, node) VALUES ('*', 'n1'), ('o2', 'n2')}) if $name eq 'n1';
}
wait_for_row($source, q{SELECT bool_and(joined) FROM kgsource.heartbeat});
my @writers = map { start_order_writer($source, $_, $receiver->url('/ok'), 0.05) } 1 .. 2;
$receiver->wait_for_requests(20);

#
# What the first node sends does not arrive, and what is sent to the second does not: both say so.  It
# happens in the middle of two moves, which wait for a receiver.
#
$receiver->hold('silent');
committed("INSERT INTO orders (id, org_id, status, callback_url) SELECT 'stuck' || n, 'o' || n, 's0', '@{[ $receiver->url('/while/silent/ok') ]}' FROM generate_series(1, 2) n");
$receiver->wait_for_requests(2, path => '/while/silent/ok');
committed(q{UPDATE kgsource.route SET node = 'n1' WHERE org_id = 'o2'; INSERT INTO kgsource.route (org_id, node) VALUES ('o1', 'n2')});
wait_for_row($node{$_}, q{SELECT count(*) = 2 FROM kgwebhook.routes WHERE waits_for IS NOT NULL}, 'the moves') foreach sort keys %node;
cut_link($link{n1}, 'mute');
cut_link($link{n2}, 'deaf');
$receiver->release('silent');
wait_for_state($node{$_}, 'unreachable') foreach sort keys %node;
my $before = committed('SELECT count(*) FROM audit');
wait_for_row($source, "SELECT count(*) > $before + 20 FROM audit");
pass('both nodes say that they cannot reach the source, and payments go on');
Kgwebhook::OnCall->new($node{$_})->finds(qr/^Nothing arrives: the source "src" is unreachable$/, 'critical') foreach sort keys %node;
is(committed(q{SELECT string_agg(org_id, ' ' ORDER BY org_id) FROM kgsource.route WHERE NOT released}), 'o1 o2', 'moves wait for the nodes that are cut off');

#
# In both directions; who asks the source waits no longer than for a connection
#
cut_link($link{n1}, 'frozen');
like(sql_error($node{n1}, q{SELECT kg_hand_over('o3', 'n2')}), qr/08006: source "src" cannot be reached/, 'what needs the source fails');
wait_for_state($node{n1}, 'unreachable');

#
# The network is whole again
#
cut_link($link{$_}, 'open') foreach sort keys %node;
wait_for_state($node{$_}, 'streaming') foreach sort keys %node;
wait_for_row($source, q{SELECT bool_and(released) FROM kgsource.route}, 'the moves to end');
committed('CREATE TABLE stop ()');
$_->finish foreach @writers;
wait_until_all_sent($source, values %node);
compare_with_audit($source, $receiver);
foreach my $name (sort keys %node)
{
	is(here($name, 'SELECT count(*) FROM kg_compare()'), 0, "$name has all that the source has");
	is(here($name, 'SELECT gaps FROM kgwebhook.sources'), 0, 'and has missed no heartbeat');
}

$_->stop foreach values %node;
$source->stop;
done_testing();
