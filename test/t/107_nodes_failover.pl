#-------------------------------------------------------------------------
#
# test/t/107_nodes_failover.pl
#	  Source and node that are killed together, and a node whose standby is promoted: they
#	  go on exactly.  A copy of a node that took its slot, and a source that fails over:
#	  what is missing is found, repaired, and sent under the webhook-id that it had.  From
#	  PostgreSQL 17 on the slot survives, and nothing is sent that the promoted server
#	  does not have.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Kgwebhook::Nodes;
use Kgwebhook::OnCall;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $secret = 'whsec_' . 'f' x 32;
my $source = new_source('source');
my $receiver = start_receiver(secret => $secret);
my $url = $receiver->url('/ok');
my $requests = 0;

prepare_source($source);
my $node = new_delivery_node('node', $secret, 'wal_level' => 'replica', 'max_wal_senders' => 5);
$node->backup('own');
my $own_standby = PostgreSQL::Test::Cluster->new('own_standby');
$own_standby->init_from_backup($node, 'own', has_streaming => 1);
$own_standby->start;
reload($node, 'synchronous_standby_names' => q{'own_standby'});
follow($node, $source, 'n1');

sub committed { return $source->safe_psql('postgres', $_[0]); }
sub here { return $node->safe_psql('postgres', $_[0]); }

# What is ours alone: a node that was killed under load and is back may send the writers' again, at any time.
my @ours = (if => sub { ($_[0]{json}{id} // '') =~ /^[a-z]$/ });

sub arrived
{
	my ($n) = @_;
	my @got = $receiver->wait_for_requests($requests += $n // 1, @ours);

	return map { "$_->{json}{id}:$_->{json}{status}" } sort { $a->{json}{id} cmp $b->{json}{id} } @got[ $requests - ($n // 1) .. $requests - 1 ];
}

# Its next heartbeat goes at once.
sub beats
{
	my ($server) = @_;
	my $before = $server->safe_psql('postgres', 'SELECT coalesce(beat, 0) FROM kgwebhook.source');

	$server->safe_psql('postgres', 'UPDATE kgwebhook.source_look SET beat_sent_at = NULL, looked_at = looked_at - interval \'1 min\'');
	$server->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'kgwebhook follower'});
	wait_for_row($server, "SELECT beat > $before FROM kgwebhook.source", 'a heartbeat');
	return;
}

# The source knows that all it has written so far was received: it sends that to nobody else any more.
sub confirmed
{
	my ($server) = @_;
	my $slot = $server->safe_psql('postgres', 'SELECT slot FROM kgwebhook.source');
	my $end = $source->safe_psql('postgres', 'SELECT pg_current_wal_lsn()');

	wait_for_row($source, "SELECT confirmed_flush_lsn >= '$end' FROM pg_replication_slots WHERE slot_name = '$slot'", 'a confirmation');
	return;
}

#
# Source and node are killed together under load, and start again in either order; what writers of the source have
# committed without waiting for its disk may be gone there, and then nobody was told of it
#
my $writers = 0;
my @writers;

# One whose receiver answers, and one whose events wait in the queue.
sub start_writers
{
	local $ENV{PGOPTIONS} = '-c synchronous_commit=off';

	@writers = map { start_order_writer($source, ++$writers, $_) } $url, $receiver->url('/while/waits/ok');
	wait_for_row($node, q{SELECT count(*) > 40 FROM kgwebhook.queue}, 'deliveries that wait');
	return;
}
committed(q{INSERT INTO kgsource.route (org_id, node) VALUES ('*', 'n1')});
foreach my $servers ([ $source, $node ], [ $node, $source ])
{
	$receiver->hold('waits');
	start_writers();
	$_->stop('immediate') foreach @$servers;
	$_->finish foreach @writers;
	$_->start foreach @$servers;
	$receiver->release('waits');
}
$receiver->hold('waits');
start_writers();

#
# The node is lost, and its standby takes its place; then it comes back
#
my $lost = $node;
$lost->stop('immediate');
$own_standby->promote;
$node = $own_standby;
my $on_call = Kgwebhook::OnCall->new($node);
$receiver->release('waits');
my $had = here('SELECT count(*) FROM kgwebhook.delivery_log');
wait_for_row($node, "SELECT count(*) > $had + 20 FROM kgwebhook.delivery_log", 'the promoted node to deliver');
committed('CREATE TABLE stop ()');
$_->finish foreach @writers;
wait_until_all_sent($source, $node);
compare_with_audit($source, $receiver);
is(here('SELECT state, gaps FROM kgwebhook.sources'), 'streaming|0', 'the promoted node lacks nothing');
is(here('SELECT count(*) FROM kg_compare()'), 0, 'and no row of it differs');
$lost->start;
my $old = Kgwebhook::OnCall->new($lost)->finds(qr/^Nothing arrives: the source "src" is broken$/, 'critical');
like($old->{detail}, qr/^Another server uses its replication slot: .*is active for PID \d+/, 'the old one that comes back finds that its place is taken');
like($old->{remedy}, qr/^If a copy of this server, or its promoted standby, follows in its place, stop this one\./, 'and says what to do');
$lost->stop;

#
# A copy of the node, while the node is away
#
committed(qq{INSERT INTO orders (id, status, callback_url) VALUES ('a', 'new', '$url')});
is_deeply([ arrived() ], ['a:new'], 'the node sends');
beats($node);
wait_until_settled($node);
$node->stop;
$node->backup_fs_cold('copy');
my $clone = PostgreSQL::Test::Cluster->new('clone');
$clone->init_from_backup($node, 'copy');
$clone->start;
committed(q{UPDATE orders SET status = 'taken' WHERE id = 'a'});
is_deeply([ arrived() ], ['a:taken'], 'a copy of it takes its slot, and sends');
my $taken = ($receiver->requests(@ours))[-1]{headers}{'webhook-id'};
beats($clone);
confirmed($clone);
$clone->stop;
$node->start;
committed(qq{INSERT INTO orders (id, status, callback_url) VALUES ('b', 'new', '$url')});
is_deeply([ arrived() ], ['b:new'], 'the node goes on, and has not seen that');
beats($node);
my $row = $on_call->finds(qr/^changes of source "src" are missing$/, 'warning');
like($row->{detail}, qr/Heartbeats were missing once: .*a copy of this node has used it/, 'it is found by the heartbeats that the copy has had');
is(here(q{SELECT object_id FROM kg_compare('src')}), 'a', 'kg_compare() names the object');
$on_call->types($row->{remedy});
is_deeply([ arrived() ], ['a:taken'], 'kg_resync() sends it');
is(($receiver->requests(@ours))[-1]{headers}{'webhook-id'}, $taken, 'under the webhook-id that the receiver has had');
wait_for_state($node, 'streaming');
$on_call->finds_all_well('and that was all');

#
# The source fails over to a standby that has not got all of it, and has no slots
#
sub start_standby
{
	my ($name, %conf) = @_;
	my $standby = PostgreSQL::Test::Cluster->new($name);

	$source->backup("for_$name");
	$standby->init_from_backup($source, "for_$name", has_streaming => 1);
	$standby->append_conf('postgresql.conf', join "\n", map { "$_ = $conf{$_}" } sort keys %conf);
	$standby->start;
	$source->wait_for_catchup($standby, 'replay');
	return $standby;
}

# It gets nothing any more: a walreceiver that is only stopped would still take what is under way to it.
sub deafen
{
	my ($standby) = @_;

	$standby->append_conf('postgresql.conf', "primary_conninfo = ''");
	$standby->reload;
	wait_for_row($standby, 'SELECT NOT EXISTS (SELECT FROM pg_stat_wal_receiver)', 'no walreceiver');
	return;
}

sub fail_over_to
{
	my ($standby) = @_;

	$source->stop('immediate');
	$standby->promote;
	$source = $standby;
	here('ALTER SUBSCRIPTION ' . here('SELECT subscription FROM kgwebhook.source') . " CONNECTION '@{[ $source->connstr ]} dbname=postgres'");
	return;
}
my $standby = start_standby('standby');
deafen($standby);
committed(q{UPDATE orders SET status = 'phantom' WHERE id = 'b'});
committed(qq{INSERT INTO orders (id, status, callback_url) VALUES ('c', 'gone', '$url')});
is_deeply([ arrived(2) ], [ 'b:phantom', 'c:gone' ], 'what the standby has not got is sent');
wait_until_settled($node);
fail_over_to($standby);
committed(qq{INSERT INTO orders (id, status, callback_url) VALUES ('d', 'between', '$url')});
$row = $on_call->finds(qr/^Nothing arrives: the source "src" has lost the slot$/, 'critical');
is(here(q{SELECT string_agg(object_id, ' ' ORDER BY object_id) FROM kg_compare()}), 'b c d', 'kg_compare() lists what differs');
$on_call->types($row->{remedy});
is_deeply([ arrived(2) ], [ 'b:new', 'd:between' ], 'kg_resync() sends what the promoted server has');
wait_for_state($node, 'streaming');
is(here(q{SELECT count(*) FROM kg_compare()}), 0, 'nothing differs');
is(here(q{SELECT string_agg(id, ' ' ORDER BY id) FROM orders WHERE id !~ '^w'}), 'a b d', 'what it has lost is gone here');
committed(q{UPDATE orders SET status = 'on' WHERE id = 'd'});
is_deeply([ arrived() ], ['d:on'], 'and it goes on');

#
# With failover slots
#
SKIP:
{
	skip 'failover slots came with PostgreSQL 17', 5 if $source->pg_version < 17;
	committed(q{SELECT pg_create_physical_replication_slot('physical', true)});
	$standby = start_standby('second', 'sync_replication_slots' => 'on', 'hot_standby_feedback' => 'on', 'primary_slot_name' => q{'physical'},
		'primary_conninfo' => "'@{[ $source->connstr ]} dbname=postgres'", 'synchronized_standby_slots' => q{''});
	committed(q{ALTER SYSTEM SET synchronized_standby_slots = 'physical'});
	$source->reload;
	my $slot = here('SELECT slot FROM kgwebhook.source');
	wait_for_row($standby, "SELECT synced AND NOT temporary FROM pg_replication_slots WHERE slot_name = '$slot'", 'the slot on the standby');
	committed(q{UPDATE orders SET status = 'both' WHERE id = 'd'});
	is_deeply([ arrived() ], ['d:both'], 'what the standby has is sent');
	wait_for_row($standby, "SELECT confirmed_flush_lsn >= (SELECT s.received_lsn FROM (SELECT pg_last_wal_replay_lsn() AS received_lsn) s) - 8192 FROM pg_replication_slots WHERE slot_name = '$slot'");
	deafen($standby);
	committed(q{UPDATE orders SET status = 'phantom' WHERE id = 'd'});
	wait_for_row($source, qq{SELECT wait_event = 'WaitForStandbyConfirmation' FROM pg_stat_activity WHERE pid = (SELECT active_pid FROM pg_replication_slots WHERE slot_name = '$slot')}, 'the walsender to wait for the standby');
	is(here(q{SELECT status FROM orders WHERE id = 'd'}), 'both', 'what the standby has not got does not arrive');
	fail_over_to($standby);
	committed(q{ALTER SYSTEM RESET synchronized_standby_slots});
	$source->reload;
	committed(q{UPDATE orders SET status = 'next' WHERE id = 'd'});
	is_deeply([ arrived() ], ['d:next'], 'the slot has survived: the stream goes on, without a resync');
	is(here(q{SELECT count(*) FROM kg_compare()}), 0, 'nothing differs');
	is(scalar(grep { ($_->{json}{status} // '') eq 'phantom' && $_->{json}{id} eq 'd' } $receiver->requests), 0, 'and the receiver was told of nothing that was lost');
}

$node->stop;
$source->stop;
done_testing();
