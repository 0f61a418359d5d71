#-------------------------------------------------------------------------
#
# test/t/108_nodes_prepared.pl
#	  Nodes that follow with two_phase: what is prepared at the source is prepared on the
#	  node, is sent when it is committed, and keeps its organization from being
#	  released in between.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Kgwebhook::Nodes;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $secret = 'whsec_' . '2' x 32;
my $source = new_source('source');
my $receiver = start_receiver(secret => $secret);
my $url = $receiver->url('/ok');
my $connection = $source->connstr . ' dbname=postgres';
my $requests = 0;

sub committed { return $source->safe_psql('postgres', $_[0]); }
sub follow_sql { return "SELECT kg_follow('src', '$connection', 'orders', '$_[0]', two_phase => $_[1])"; }
sub arrived
{
	my @got = $receiver->wait_for_requests(++$requests);

	return "$got[-1]{json}{id}:$got[-1]{json}{status}";
}

prepare_source($source);
my $first = new_delivery_node('first', $secret);
my $second = new_delivery_node('second', $secret, 'max_prepared_transactions' => 0);
$first->safe_psql('postgres', follow_sql('n1', 'true'));
wait_for_state($first, 'streaming');
committed(q{INSERT INTO kgsource.route (org_id, node) VALUES ('*', 'n1')});
like(sql_error($second, follow_sql('n2', 'false')), qr/22023: source "src": the nodes of a source have the same two_phase.*two_phase => t/s, 'all nodes or none');
like(sql_error($second, follow_sql('n2', 'true')), qr/55000: this server cannot prepare transactions.*max_prepared_transactions/s, 'a server that cannot prepare');
is(committed('SELECT count(*) FROM pg_replication_slots'), 1, 'neither leaves a slot');
$second->append_conf('postgresql.conf', 'max_prepared_transactions = 10');
$second->restart;
$second->safe_psql('postgres', follow_sql('n2', 'true'));
wait_for_state($second, 'streaming');
wait_for_row($_, q{SELECT subtwophasestate = 'e' FROM pg_subscription}, 'two_phase to be enabled') foreach $first, $second;

#
# Prepared, and committed or rolled back
#
committed(qq{BEGIN; INSERT INTO orders (id, org_id, status, callback_url) VALUES ('a', 'o1', 'new', '$url'); PREPARE TRANSACTION 'a'});
wait_for_row($first, 'SELECT count(*) = 1 FROM pg_prepared_xacts', 'what is prepared');
is($first->safe_psql('postgres', 'SELECT count(*) FROM kgwebhook.queue'), 0, 'it is prepared on the node, and no event yet');
committed(q{COMMIT PREPARED 'a'});
is(arrived(), 'a:new', 'it is one as soon as it is committed, though nothing follows');
committed(qq{BEGIN; UPDATE orders SET status = 'undone' WHERE id = 'a'; PREPARE TRANSACTION 'b'});
wait_for_row($first, 'SELECT count(*) = 1 FROM pg_prepared_xacts', 'what is prepared');
committed(q{ROLLBACK PREPARED 'b'; UPDATE orders SET status = 'kept' WHERE id = 'a'});
is(arrived(), 'a:kept', 'what is rolled back is none');
wait_until_settled($first);

#
# An organization moves while a transaction of it is prepared
#
committed(qq{BEGIN; UPDATE orders SET status = 'before' WHERE id = 'a'; PREPARE TRANSACTION 'c'});
wait_for_row($_, 'SELECT count(*) = 1 FROM pg_prepared_xacts', 'what is prepared') foreach $first, $second;
committed(q{INSERT INTO kgsource.route (org_id, node) VALUES ('o1', 'n2')});
wait_for_row($_, q{SELECT node = 'n2' FROM kgwebhook.routes WHERE org_id = 'o1'}, 'the move') foreach $first, $second;
my $seen = $first->safe_psql('postgres', 'SELECT looked_at FROM kgwebhook.source_look');
wait_for_row($first, "SELECT looked_at > '$seen' FROM kgwebhook.source_look", 'a turn of the follower');
is(committed(q{SELECT released FROM kgsource.route WHERE org_id = 'o1'}), 'f', 'it is not released while it is prepared');
committed(qq{INSERT INTO orders (id, org_id, status, callback_url) VALUES ('b', 'o1', 'new', '$url')});
wait_for_row($second, q{SELECT held_deliveries = 1 FROM kgwebhook.routes WHERE org_id = 'o1'}, 'the new node to hold');
like(sql_error($second, 'SELECT * FROM kg_resync()'), qr/55006: source "src" has prepared transactions/, 'nor could a stream begin between the two');
committed(q{COMMIT PREPARED 'c'; UPDATE orders SET status = 'after' WHERE id = 'a'});
is(arrived(), 'a:before', 'the old node sends what it had prepared');
my @got = $receiver->wait_for_requests($requests += 2);
is(join(' ', sort map { "$_->{json}{id}:$_->{json}{status}" } @got[ -2, -1 ]), 'a:after b:new', 'and then the new one what came after');
wait_until_settled($_) foreach $first, $second;
is($first->safe_psql('postgres', q{SELECT string_agg(event, ' ' ORDER BY attempt_id) FROM kgwebhook.delivery_log}), 'order.new order.kept order.before', 'each its own');
$second->safe_psql('postgres', 'SELECT * FROM kg_resync()');
wait_for_state($second, 'streaming');
wait_for_row($second, q{SELECT subtwophasestate = 'e' FROM pg_subscription}, 'two_phase after a resync');

#
# A slot that is lost between PREPARE and its end
#
my $slot = $second->safe_psql('postgres', 'SELECT slot FROM kgwebhook.source');
my $subscription = $second->safe_psql('postgres', 'SELECT subscription FROM kgwebhook.source');
committed(qq{BEGIN; INSERT INTO orders (id, org_id, status, callback_url) VALUES ('orphan', 'o1', 'new', '$url'); PREPARE TRANSACTION 'd'});
wait_for_row($second, 'SELECT count(*) = 1 FROM pg_prepared_xacts', 'what is prepared');
$second->safe_psql('postgres', "ALTER SUBSCRIPTION $subscription DISABLE");
wait_for_row($source, "SELECT NOT active FROM pg_replication_slots WHERE slot_name = '$slot'");
committed("SELECT pg_drop_replication_slot('$slot')");
committed(q{COMMIT PREPARED 'd'});
my $error = sql_error($second, q{SET lock_timeout = '5s'; SELECT * FROM kg_resync()});
like($error, qr/55006: transactions of source "src" are still prepared here.*ROLLBACK PREPARED 'pg_gid_\d+_\d+'/s, 'kg_resync() does not wait for what nobody ends');
is($second->safe_psql('postgres', q{SELECT events FROM kg_resync(dry_run => true)}), 1, 'a dry run counts');
$second->safe_psql('postgres', $error =~ /(ROLLBACK PREPARED '\w+')/);
is($second->safe_psql('postgres', q{SET lock_timeout = '30s'; SELECT events FROM kg_resync()}), 1, 'and takes over what it has come to');
is(arrived(), 'orphan:new', 'which is sent');

$first->stop;
$second->stop;
$source->stop;
done_testing();
