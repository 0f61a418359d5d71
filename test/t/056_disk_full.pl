#-------------------------------------------------------------------------
#
# test/t/056_disk_full.pl
#	  A disk that is full under the log: outcomes wait, nothing is lost, and
#	  nothing is sent twice.
#
# test/preload/full_disk.c is how the disk gets full.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = init_node('main', 'autovacuum' => 'off');
my $full = PostgreSQL::Test::Utils::tempdir('disk') . '/full';
{
	local $ENV{LD_PRELOAD} = build_library('preload/full_disk');
	local $ENV{KGW_FULL_DISK} = $full;
	$node->start;
}
$node->safe_psql('postgres',
	'SET client_min_messages = warning; CREATE EXTENSION kgwebhook CASCADE');
my $secret = make_intents_table($node);
my $receiver = start_receiver(secret => $secret);

# The log has partitions, indexes and TOAST tables; none of them can grow.
insert_intent($node, 'before', $receiver->url);
wait_until_settled($node);
my ($worker) = wait_for_worker($node);
append_to_file($full, $node->safe_psql('postgres', q{
	SELECT pg_relation_filepath(oid) FROM pg_class
	 WHERE relkind IN ('r', 'i', 't') AND pg_relation_filepath(oid) IS NOT NULL
	   AND (relname LIKE 'delivery_log%' OR relname LIKE 'pg_toast_%'
			AND oid IN (SELECT reltoastrelid FROM pg_class WHERE relname LIKE 'delivery_log%'))})
	. "\n");

my $n = 100;
$node->safe_psql(
	'postgres', qq{
	INSERT INTO payment_intents (payment_intent_id, callback_url, order_data)
	SELECT 'full' || i, '@{[ $receiver->url ]}', jsonb_build_object('note', repeat('x', 500))
	  FROM generate_series(1, $n) i});
$receiver->wait_for_requests($n + 1);
$node->poll_query_until('postgres',
	q{SELECT last_error LIKE '%No space left on device%' FROM kgwebhook.stats})
  or die 'waited for the disk to be full';
pass('a full disk shows in stats');

# It is tried again and again; what was logged in the room that there was is
# settled, the rest waits.
my $log = -s $node->logfile;
$node->wait_for_log(qr/kgwebhook worker ERROR:  .*No space left on device/, $log);
my $left = $node->safe_psql('postgres', 'SELECT count(*) FROM kgwebhook.queue');
cmp_ok($left, '>', 0, 'what cannot be logged stays in the queue');
is($node->safe_psql('postgres', q{
		SELECT count(*) FROM kgwebhook.queue JOIN kgwebhook.delivery_log USING (delivery_id)}),
	0, 'and nothing is both');
is(scalar(() = $receiver->lines), $n + 1, 'nothing is sent again for it');

# Payments go on in the meantime.
insert_intent($node, 'during', $receiver->url);
$receiver->wait_for_requests($n + 2);

unlink $full or die "could not remove $full: $!";
wait_until_settled($node);
is($node->safe_psql('postgres', q{
		SELECT count(*), count(DISTINCT delivery_id), bool_and(outcome = 'acknowledged')
		  FROM kgwebhook.delivery_log}),
	$n + 2 . '|' . ($n + 2) . '|t', 'with room again, all is logged, once');
is(scalar(() = $receiver->lines), $n + 2, 'and each was sent once');
is(join(' ', wait_for_worker($node)), $worker, 'all by the same worker');

$node->stop;
done_testing();
