#-------------------------------------------------------------------------
#
# test/t/025_memory.pl
#	  A backlog of more than memory may hold, most of it by one COPY: the worker
#	  stays small, and others are served in the meantime, also while one destination is
#	  dead and another never answers.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node(
	'main',
	'kgwebhook.request_timeout' => "'10min'",
	'kgwebhook.enabled' => 'off',
	'kgwebhook.retry_schedule' => "'1h,1h,1h,1h'");
my $secret = make_intents_table($node);
my $live = start_receiver(host => '0.0.0.0');
my $dead = start_receiver();
my $fresh = start_receiver();
my $held = start_receiver();
my $port = $live->port;
$dead->stop;

# A first delivery warms the worker up.
sub warm_up
{
	reload($node, 'kgwebhook.enabled' => 'on');
	insert_intent($node, 'warm', $fresh->url);
	wait_until_settled($node);
	return;
}

warm_up();
my ($worker) = wait_for_worker($node);
my $memory = memory_of($worker);

# A destination that doesn't answer, with 50 MB that wait for it
$held->hold('held');
$node->safe_psql(
	'postgres', qq{
	INSERT INTO payment_intents (payment_intent_id, callback_url, order_data)
	SELECT 'held' || i, '@{[ $held->url('/while/held/ok') ]}',
		   jsonb_build_object('note', repeat('x', 2500))
	  FROM generate_series(1, 20000) i});
$held->wait_for_requests(1);

# Three of four go to where nobody is.
my $n = 40_000;
my @urls = ("http://127.0.0.1:$port/ok", "http://127.0.0.2:$port/ok", ($dead->url) x 6);
my $rows = join '', map { "copy$_\t$urls[ $_ % @urls ]\n" } 1 .. $n;
$node->safe_psql('postgres',
	"COPY payment_intents (payment_intent_id, callback_url) FROM STDIN;\n$rows\\.\n");

#
# Others, while it drains
#
my $peak = 0;
my $served = 0;

while ($node->safe_psql('postgres', "SELECT EXISTS (SELECT FROM kgwebhook.queue
		WHERE destination LIKE '%:$port')") eq 't')
{
	insert_intent($node, "fresh$served", $fresh->url);
	wait_until_settled($node, "object_id = 'fresh$served'");
	$served++;
	my $now = memory_of($worker);
	$peak = $now if $now > $peak;
}
cmp_ok($served, '>=', 3, "$served times another is served before the backlog has gone");
is(join(' ', wait_for_worker($node)), $worker, 'by the same worker');
my $growth = $peak - $memory;
cmp_ok($growth, '<', 32 * 1024, "which has grown by $growth kB");

my %times;
$times{$_}++ foreach map { /"payment_intent_id":"(\w+)"/ } $live->lines;
is(scalar(keys %times), $n * 2 / @urls, 'all of the backlog that can arrive has arrived');
is(scalar(grep { $_ != 1 } values %times), 0, 'once');
is( $node->safe_psql('postgres', q{
		SELECT destination, pending FROM kgwebhook.destinations WHERE state = 'backing_off'}),
	$dead->destination . '|' . $n * 6 / @urls,
	'the rest waits');
cmp_ok( $node->safe_psql('postgres', q{
		SELECT count(*) FROM kgwebhook.delivery_log WHERE outcome = 'unreachable'}),
	'<', 60, 'and costs next to nothing');
cmp_ok(scalar(() = $held->lines), '<', 33, 'one that does not answer keeps nobody waiting');
$node->safe_psql('postgres', 'TRUNCATE kgwebhook.queue');
$held->release('held');

#
# Two workers
#
$node->append_conf('postgresql.conf', 'kgwebhook.workers = 2');
$node->restart;
my @workers = wait_for_worker($node, 'postgres', 2);
my $before = () = $live->lines;
my $objects = 1000;
$node->safe_psql(
	'postgres', qq{
	INSERT INTO payment_intents (payment_intent_id, callback_url)
	SELECT 'pair' || i, format('http://127.0.0.%s:$port/ok', i % 10 + 1)
	  FROM generate_series(1, $objects) i;
	UPDATE payment_intents SET status = 'expired' WHERE payment_intent_id LIKE 'pair%';
	UPDATE payment_intents SET status = 'success' WHERE payment_intent_id LIKE 'pair%'});
wait_until_settled($node);
my @got = $live->lines;
my %statuses;
foreach (@got[ $before .. $#got ])
{
	/"json":\{.*?"payment_intent_id":"(\w+)".*?"status":"(\w+)"/ or die "not a record: $_";
	push @{ $statuses{$1} }, $2;
}
is(scalar(keys %statuses), $objects, 'with two workers, every object arrives');
is_deeply([ grep { "@{ $statuses{$_} }" ne 'pending expired success' } sort keys %statuses ],
	[], 'each transition once, and in order');

is(join(' ', worker_pids($node, 'postgres')), "@workers", 'both have lived through it');

$node->stop;
done_testing();
