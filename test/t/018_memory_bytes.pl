#-------------------------------------------------------------------------
#
# test/t/018_memory_bytes.pl
#	  What waits in memory is counted in bytes: many destinations with as many
#	  events as a page has, and a few whose events are large, don't make the worker
#	  grow beyond what design Part C allows; and what is larger than a destination's
#	  share goes anyway.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node(
	'main',
	'shared_buffers' => "'8MB'",	# what is touched of them counts as the worker's
	'kgwebhook.request_timeout' => "'10min'",
	'kgwebhook.enabled' => 'off');
my $secret = make_intents_table($node);
my $fresh = start_receiver(secret => $secret);
my $held = start_receiver(host => '0.0.0.0');
my $port = $held->port;
my $limit = 64 * 1024;

# So many destinations, each with 256 events of this size, that answer when they
# are told to; and the growth of a worker that meets them.
sub growth_by
{
	my ($name, $destinations, $note) = @_;

	# one that is known to acknowledge has slots that those who hang can't take
	$node->restart;
	my ($worker) = wait_for_worker($node);
	reload($node, 'kgwebhook.enabled' => 'on');
	insert_intent($node, "known-$name", $fresh->url);
	wait_until_settled($node);
	reload($node, 'kgwebhook.enabled' => 'off');
	my $before = memory_peak($worker);

	$held->hold($name);
	$node->safe_psql(
		'postgres', qq{
		INSERT INTO payment_intents (payment_intent_id, callback_url, order_data)
		SELECT format('$name-%s-%s', d, i),
			   format('http://127.0.%s.%s:$port/while/$name/ok', d / 250, d % 250 + 1), $note
		  FROM generate_series(1, $destinations) d, generate_series(1, 256) i});
	reload($node, 'kgwebhook.enabled' => 'on');

	# each destination has had its page when all that may be sent is on its way
	$node->poll_query_until('postgres', "SELECT count(*) = $destinations
		FROM kgwebhook.destination_notices() WHERE destination LIKE '%:$port'")
	  or die 'waited for destinations';
	insert_intent($node, "fresh-$name", $fresh->url);
	wait_until_settled($node, "object_id = 'fresh-$name'");
	insert_intent($node, "again-$name", $fresh->url);
	wait_until_settled($node, "object_id = 'again-$name'");
	is(join(' ', worker_pids($node, 'postgres')), $worker, "$name: by one worker");
	my $growth = memory_peak($worker) - $before;
	$node->safe_psql('postgres', 'TRUNCATE kgwebhook.queue');
	$held->release($name);
	reload($node, 'kgwebhook.enabled' => 'off');
	return $growth;
}

my $many = growth_by('many', 1000, q{'{"item": "a", "price": "300.0"}'});
cmp_ok($many, '<', $limit, "1,000 destinations with 256 events each: grown by $many kB");
my $large = growth_by('large', 16,
	q{jsonb_build_object('note', (SELECT string_agg(md5(n::text || d || i), '') FROM generate_series(1, 3200) n))});
cmp_ok($large, '<', $limit, "16 destinations with 256 events of 100 kB each: grown by $large kB");

#
# Larger than what a destination has for its own when all memory is taken
#
$node->safe_psql(
	'postgres', q{
	CREATE TABLE huge (id text PRIMARY KEY, status text, url text, data jsonb);
	SELECT kg_watch('huge', 'huge', 'id', 'status', 'url', NULL)});
foreach my $i (1 .. 3)
{
	$node->safe_psql('postgres', qq{
		INSERT INTO huge VALUES ('h$i', 'new', '@{[ $fresh->url ]}', to_jsonb(repeat('x', 300000 * $i)));
		UPDATE huge SET status = 'old' WHERE id = 'h$i'});
}
reload($node, 'kgwebhook.enabled' => 'on');
wait_until_settled($node);
is( $node->safe_psql('postgres', q{
		SELECT string_agg(object_id || event || outcome, ' ' ORDER BY object_id, attempt_id)
		  FROM kgwebhook.delivery_log WHERE object_id LIKE 'h_'}),
	join(' ', map { ("h${_}huge.newacknowledged", "h${_}huge.oldacknowledged") } 1 .. 3),
	'what is large goes as well, in order');

$node->stop;
done_testing();
