#-------------------------------------------------------------------------
#
# test/t/104_send_when.pl
#	  kgwebhook.send_when = replicated: no callback leaves before the synchronous standby
#	  has its commit, though the writer didn't wait for it.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use PostgreSQL::Test::Cluster;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(allows_streaming => 1);
configure_node($node);
$node->start;
$node->safe_psql('postgres', 'SET client_min_messages = warning; CREATE EXTENSION kgwebhook CASCADE');
my $receiver = start_receiver(secret => make_intents_table($node));
my $url = $receiver->url('/ok');

$node->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'b', has_streaming => 1);
$standby->start;
reload($node, 'synchronous_standby_names' => "'*'", 'kgwebhook.send_when' => 'replicated', 'synchronous_commit' => 'local');
insert_intent($node, 'before', $url);
$receiver->wait_for_requests(1);
pass('with its standby, the server sends');
wait_until_settled($node);

$standby->stop;
insert_intent($node, 'local', $url);
insert_intent($node, 'off', $url);

# The worker has looked, and waits: it says so by answering, and nothing has left.
my ($pid) = worker_pids($node, 'postgres');
my $log_end = -s $node->logfile;
$node->safe_psql('postgres', "SELECT pg_log_backend_memory_contexts($pid)");
$node->wait_for_log(qr/logging memory contexts of PID $pid\b/, $log_end);
is(scalar(() = $receiver->lines), 1, 'without it, nothing leaves');
$standby->start;
my @got = $receiver->wait_for_requests(3);
is(join(' ', sort map { $_->{json}{payment_intent_id} } @got), 'before local off', 'when it is back, everything does');

$standby->stop;
insert_intent($node, 'flushed', $url);
reload($node, 'kgwebhook.send_when' => 'flushed');
@got = $receiver->wait_for_requests(4);
is($got[3]{json}{payment_intent_id}, 'flushed', 'flushed waits for no standby');

$node->stop;
done_testing();
