#-------------------------------------------------------------------------
#
# test/t/104_send_when.pl
#	  kgwebhook.send_when = replicated: no callback leaves before the synchronous standby
#	  has its commit, though the writer didn't wait for it; and the worker can say what
#	  WAL that takes when the WAL ends with a page.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
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

# A worker reads when the WAL ends with a page.  The next position is past that page's
# header then, and nobody has written so far.
insert_intent($node, 'keyless', $url, org_id => "'keyless'");
$node->poll_query_until('postgres', q{SELECT next_attempt_at = 'infinity' FROM kgwebhook.queue WHERE object_id = 'keyless'})
	or die 'it does not wait for a secret';
my $at_page = q{SELECT (pg_current_wal_insert_lsn() - '0/0') % 8192 IN (24, 40)};
my $before = -s $node->logfile;

# The first of them may still prune what it reads, which writes WAL.
$node->safe_psql('postgres', 'VACUUM; CHECKPOINT');
foreach my $try (1 .. 5)
{
	$node->safe_psql('postgres', q{
		DO $$
		DECLARE
			remaining int;
		BEGIN
			FOR i IN 1 .. 500 LOOP
				remaining := 8192 - (pg_current_wal_insert_lsn() - '0/0') % 8192;
				EXIT WHEN remaining IN (8192 - 24, 8192 - 40);
				PERFORM pg_logical_emit_message(false, '', repeat('x', CASE WHEN remaining BETWEEN 56 AND 280 THEN remaining - 51 ELSE 100 END));
			END LOOP;
		END $$});
	my ($former) = worker_pids($node, 'postgres');
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($former)");
	$node->poll_query_until('postgres',
		"SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'kgwebhook worker' AND datname = 'postgres'"
		  . " AND pid <> $former AND state = 'idle'") or die 'no worker';
	last if $node->safe_psql('postgres', $at_page) eq 't';
}
is($node->safe_psql('postgres', $at_page), 't', 'a worker reads when the WAL ends with a page');
unlike(substr(slurp_file($node->logfile), $before), qr/xlog flush request/, 'and asks for no more than there is');
insert_intent($node, 'page', $url);
$receiver->wait_for_requests(2);

$standby->stop;
insert_intent($node, 'local', $url);
insert_intent($node, 'off', $url);

# The worker has looked, and waits: it says so by answering, and nothing has left.
my ($pid) = worker_pids($node, 'postgres');
my $log_end = -s $node->logfile;
$node->safe_psql('postgres', "SELECT pg_log_backend_memory_contexts($pid)");
$node->wait_for_log(qr/logging memory contexts of PID $pid\b/, $log_end);
is(scalar(() = $receiver->lines), 2, 'without it, nothing leaves');
$standby->start;
my @got = $receiver->wait_for_requests(4);
is(join(' ', sort map { $_->{json}{payment_intent_id} } @got), 'before local off page', 'when it is back, everything does');

$standby->stop;
insert_intent($node, 'flushed', $url);
reload($node, 'kgwebhook.send_when' => 'flushed');
@got = $receiver->wait_for_requests(5);
is($got[4]{json}{payment_intent_id}, 'flushed', 'flushed waits for no standby');

$node->stop;
done_testing();
