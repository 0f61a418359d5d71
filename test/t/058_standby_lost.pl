#-------------------------------------------------------------------------
#
# test/t/058_standby_lost.pl
#	  A synchronous standby that is lost, while payments go on with
#	  synchronous_commit = local: events go, and are settled, for which this
#	  server's disk is enough.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Test::More;

# What the sessions of this test commit waits for nobody.
my $node = new_node(
	'main',
	'synchronous_commit' => 'local',
	'wal_level' => 'replica',
	'max_wal_senders' => '5');
my $secret = make_intents_table($node);
my $receiver = start_receiver(secret => $secret);

$node->safe_psql('postgres', q{ALTER SYSTEM SET synchronous_standby_names = 'lost'});
$node->restart;
wait_for_worker($node);

foreach my $i (1 .. 3)
{
	insert_intent($node, "pay$i", $receiver->url);
	set_status($node, "pay$i", 'success');
	wait_until_settled($node, "object_id = 'pay$i'");
}
is(join(' ', map { "$_->{json}{payment_intent_id} $_->{json}{status}" } $receiver->requests),
	join(' ', map { ("pay$_ pending", "pay$_ success") } 1 .. 3),
	'every event goes, in order');

is( $node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity
		WHERE backend_type = 'kgwebhook worker' AND wait_event = 'SyncRep'}),
	0,
	'and no worker waits for the standby');

$node->stop;
done_testing();
