#-------------------------------------------------------------------------
#
# test/t/034_reading.pl
#	  Beside many destinations with something that waits, a new secret, a pause, a
#	  subscription or a burst of events reads what it is about, and not the queue.
#
# What is counted is how often the queue's indexes were asked, not how long it took.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Test::More;

my $node = new_node('main', 'kgwebhook.retry_schedule' => "'1d'");
my $secret = make_intents_table($node);
my $receiver = start_receiver(secret => $secret);
my $refusing = start_receiver();
my $closed = $refusing->port;
$refusing->stop;

# Destinations that wait for tomorrow
my $waiting = 1000;
$node->safe_psql(
	'postgres', qq{
	INSERT INTO payment_intents (payment_intent_id, callback_url)
	SELECT 'wait' || i, format('http://127.1.%s.%s:$closed/', i / 250, i % 250 + 1)
	  FROM generate_series(1, $waiting) i});
wait_for_log_rows($node, $waiting);
insert_intent($node, 'warm', $receiver->url);
wait_until_settled($node, q{object_id = 'warm'});

# An idle worker has reported what it did.
sub scans
{
	$node->poll_query_until('postgres', q{
		SELECT bool_and(state = 'idle') FROM pg_stat_activity WHERE backend_type = 'kgwebhook worker'});
	return $node->safe_psql('postgres', q{
		SELECT idx_scan FROM pg_stat_all_tables WHERE relid = 'kgwebhook.queue'::regclass});
}

# Does it a few times, each time with an event after it that was delivered by a
# worker which had heard of it; and says how often the queue was asked.
sub costs
{
	my ($name, $sql) = @_;
	my $before = scans();

	foreach my $i (1 .. 3)
	{
		$node->safe_psql('postgres', $sql->($i));
		insert_intent($node, "$name-after$i", $receiver->url);
		wait_until_settled($node, "object_id LIKE '$name%'");
	}
	my $scans = scans() - $before;
	cmp_ok($scans, '<', $waiting, "$name: the queue was asked $scans times in all");
	return;
}

# ... and as many that wait for another organization's secret
$node->safe_psql(
	'postgres', qq{
	INSERT INTO payment_intents (payment_intent_id, org_id, callback_url)
	SELECT 'mute' || i, 'mute', format('http://127.2.%s.%s:$closed/', i / 250, i % 250 + 1)
	  FROM generate_series(1, $waiting) i});
wait_for_log_rows($node, $waiting, q{org_id = 'mute'});

costs('secret', sub { "SELECT kg_create_secret('org$_[0]')" });
costs('pause', sub { "SELECT kg_pause('https://elsewhere.example:443'); SELECT kg_resume('https://elsewhere.example:443')" });
costs('subscription',
	sub { "SELECT kg_subscribe('org$_[0]', '@{[ $receiver->url ]}')" });
costs(
	'burst',
	sub {
		"INSERT INTO payment_intents (payment_intent_id, callback_url)
		 SELECT 'burst$_[0]-' || i, '@{[ $receiver->url ]}' FROM generate_series(1, 300) i";
	});

#
# What is about someone is heard by whom it is about
#
insert_intent($node, 'keyless', $receiver->url, org_id => "'late'");
wait_for_log_rows($node, 1, q{object_id = 'keyless'});
$receiver->set_secret([ $secret, 'agreed upon, at last' ]);
$node->safe_psql('postgres', q{SELECT kg_set_secret('late', 'agreed upon, at last')});
wait_until_settled($node, q{object_id = 'keyless'});
pass('what waits for a secret goes when there is one');

my $id = $node->safe_psql('postgres', "SELECT kg_subscribe('default', '@{[ $receiver->url('/ok?subscribed') ]}')");
$node->safe_psql('postgres', "SELECT kg_pause_subscription($id)");
insert_intent($node, "held$_", $receiver->url) foreach 1 .. 3;
wait_until_settled($node, q{object_id LIKE 'held%' AND subscription_id IS NULL});
is( $node->safe_psql('postgres', 'SELECT count(*) FROM kgwebhook.queue WHERE subscription_id IS NOT NULL'),
	3, 'what is for a paused subscription waits');
$node->safe_psql('postgres', "SELECT kg_resume_subscription($id)");
wait_until_settled($node, 'subscription_id IS NOT NULL');
pass('and goes when it is resumed');

my $here = $receiver->destination;
$node->safe_psql('postgres', "SELECT kg_pause('$here')");
insert_intent($node, 'paused', $receiver->url);
$node->safe_psql('postgres', "SELECT kg_resume('$here')");
wait_until_settled($node, q{object_id = 'paused'});
pass('so does what was enqueued during a pause');

$node->stop;
done_testing();
