#-------------------------------------------------------------------------
#
# test/t/029_endpoints.pl
#	  Bad endpoints beside a good one at the same host: they fail by themselves,
#	  whatever they belong to and however many wait there; and what has waited for
#	  a retry is due at once when they work again.
#
# How long anything takes is measured by the log and held against a limit that
# no noise can reach; by the old rules it was hours.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Test::More;

my $node = new_node(
	'main',
	'kgwebhook.request_timeout' => "'2s'",
	'kgwebhook.max_in_flight_per_destination' => '16',
	'kgwebhook.retry_schedule' => "'1s,2s,4s,1h,1h,1h,1h,1h'");
my $secret = make_intents_table($node);
my $other = $node->safe_psql('postgres', q{SELECT kg_create_secret('other')});

sub insert_many
{
	my ($prefix, $n, $url, $org) = @_;

	$node->safe_psql(
		'postgres', qq{
		INSERT INTO payment_intents (payment_intent_id, callback_url, org_id)
		SELECT '$prefix' || i, '$url', '$org' FROM generate_series(1, $n) i});
	return;
}

# How long an object's only delivery took from commit to its one attempt, seconds.
sub seconds_until_served
{
	my ($id) = @_;

	$node->poll_query_until('postgres',
		"SELECT EXISTS (SELECT FROM kgwebhook.delivery_log WHERE object_id = '$id' AND outcome = 'acknowledged')")
	  or die "waited for $id";
	return $node->safe_psql(
		'postgres', qq{
		SELECT extract(epoch FROM l.started_at - p.created_at)
		  FROM kgwebhook.delivery_log l JOIN payment_intents p ON p.payment_intent_id = l.object_id
		 WHERE l.object_id = '$id'});
}

sub shown
{
	my ($destination, $columns) = @_;

	return $node->safe_psql('postgres',
		"SELECT $columns FROM kgwebhook.destinations WHERE destination = '$destination'");
}

sub wait_until_shown
{
	my ($destination, $condition) = @_;

	$node->poll_query_until('postgres',
		"SELECT $condition FROM kgwebhook.destinations WHERE destination = '$destination'")
	  or die "waited for $condition of $destination";
	return;
}

sub poll
{
	my ($condition) = @_;

	$node->poll_query_until('postgres', "SELECT $condition") or die "waited for $condition";
	return;
}

#
# Every kind of bad endpoint beside a good one that is new, and then known
#
my %kinds = (
	unknown => '/status/404',
	unauthorized => '/status/401',
	broken => '/status/500',
	hanging => '/hang');
my @receivers;
foreach my $kind (sort keys %kinds)
{
	foreach my $bad ([ 'default', 15 ], [ 'other', 100 ])
	{
		my ($org, $n) = @$bad;
		my $receiver = start_receiver(secret => [ $secret, $other ]);
		my $url = $receiver->url($kinds{$kind});
		my $name = "${kind}_$org";

		insert_many("${name}_", $n, $url, $org);
		insert_intent($node, "new_$name", $receiver->url('/ok'));
		cmp_ok(seconds_until_served("new_$name"),
			'<', 30, "$kind, $n objects of organization $org: a new endpoint beside it");

		# several objects have failed there by now
		poll(qq{(SELECT count(DISTINCT object_id) FROM kgwebhook.delivery_log
				 WHERE url = '$url' AND outcome <> 'acknowledged') >= 5});
		insert_intent($node, "known_$name", $receiver->url('/ok'));
		cmp_ok(seconds_until_served("known_$name"), '<', 30, 'and one that is known');
		is(shown($receiver->destination, 'state'), 'ok', 'its destination is healthy');
		push @receivers, $receiver;
	}
}
is( $node->safe_psql(
		'postgres', q{
		SELECT count(*) FROM kgwebhook.delivery_log WHERE outcome = 'superseded' OR final AND outcome <> 'acknowledged'}),
	0,
	'nothing is given up');
$_->stop foreach @receivers;

#
# What is about a delivery delays that one alone
#
my $picky = start_receiver(secret => $secret);
insert_many('unfit_', 100, $picky->url('/status/422'), 'default');
poll(q{(SELECT count(DISTINCT object_id) FROM kgwebhook.delivery_log WHERE object_id LIKE 'unfit%') = 100});
is(shown($picky->destination, 'state'), 'ok', '100 objects that are refused make nobody fail');
$picky->stop;

#
# A backlog of a bad endpoint is read past, to what is older and newer there
#
my $behind = start_receiver(secret => $secret);
$node->safe_psql(
	'postgres', qq{
	INSERT INTO payment_intents (payment_intent_id, callback_url)
	SELECT CASE WHEN i % 1000 = 0 THEN 'among_' || i ELSE 'backlog_' || i END,
		   CASE WHEN i % 1000 = 0 THEN '@{[ $behind->url('/ok') ]}' ELSE '@{[ $behind->url('/hang') ]}' END
	  FROM generate_series(1, 5000) i});
cmp_ok(seconds_until_served("among_${_}000"), '<', 30, "the good one at ${_}000") foreach 1 .. 5;
insert_intent($node, 'behind', $behind->url('/ok'));
cmp_ok(seconds_until_served('behind'), '<', 30, 'and one that comes later');
$behind->stop;

#
# An identifier in each URL
#
my $endless = start_receiver(secret => [ $secret, $other ]);
insert_intent($node, 'first', $endless->url('/ok'));
seconds_until_served('first');
$node->safe_psql(
	'postgres', qq{
	INSERT INTO payment_intents (payment_intent_id, callback_url, org_id)
	SELECT 'endless_' || i, '@{[ $endless->url('/status/404') ]}/' || i, 'other' FROM generate_series(1, 1500) i});
poll(q{(SELECT count(*) FROM kgwebhook.delivery_log WHERE object_id LIKE 'endless%') >= 100});
insert_intent($node, 'among', $endless->url('/ok'));
cmp_ok(seconds_until_served('among'), '<', 30, '1,500 bad URLs of an organization do not hold up another');
poll(q{(SELECT count(DISTINCT object_id) FROM kgwebhook.delivery_log WHERE object_id LIKE 'endless%') >= 250});
insert_intent($node, 'nor', $endless->url('/ok'));
seconds_until_served('nor');
cmp_ok(
	$node->safe_psql(
		'postgres', q{SELECT count(DISTINCT object_id) FROM kgwebhook.delivery_log WHERE object_id LIKE 'endless%'}),
	'<', 600, 'nor are all of them tried: beyond some they share a breaker');
$endless->stop;

#
# When an endpoint works again, what waits for a retry is due at once, in order
#
reload($node, 'kgwebhook.retry_schedule' => "'1h,1h,1h'");
my $silent = start_receiver(secret => $secret);
$silent->hold('silence');
insert_many('silent_', 12, $silent->url('/while/silence/ok'), 'default');
$node->safe_psql('postgres', q{
	UPDATE payment_intents SET status = 'success' WHERE payment_intent_id LIKE 'silent%'});
insert_intent($node, 'speaking', $silent->url('/ok'));
seconds_until_served('speaking');
poll(q{(SELECT count(DISTINCT object_id) FROM kgwebhook.delivery_log WHERE object_id LIKE 'silent%') >= 6});
is( $node->safe_psql('postgres', q{
		SELECT count(*) FROM kgwebhook.delivery_log WHERE object_id LIKE 'silent%' AND response_status IS NOT NULL}),
	0, 'an endpoint is silent');
$silent->release('silence');
wait_until_settled($node, q{object_id LIKE 'silent%'});
is( $node->safe_psql(
		'postgres', q{
		SELECT count(*), count(DISTINCT object_id) FROM kgwebhook.delivery_log
		 WHERE object_id LIKE 'silent%' AND outcome = 'acknowledged'}),
	'24|12',
	'what waited for an hour arrives when it answers again');
is( $node->safe_psql(
		'postgres', q{
		SELECT count(*) FROM kgwebhook.delivery_log a JOIN kgwebhook.delivery_log b USING (object_id)
		 WHERE object_id LIKE 'silent%' AND a.outcome = 'acknowledged' AND b.outcome = 'acknowledged'
		   AND a.delivery_id < b.delivery_id AND a.started_at >= b.started_at}),
	0,
	'in order');

#
# The same for a host that was down
#
my $down = start_receiver(secret => $secret);
$down->stop;
insert_many('down_', 12, $down->url('/ok'), 'default');
$node->safe_psql('postgres', q{
	UPDATE payment_intents SET status = 'success' WHERE payment_intent_id LIKE 'down%'});
wait_until_shown($down->destination, q{state = 'backing_off'});
my $up = start_receiver(secret => $secret, port => $down->port);
wait_until_settled($node, q{object_id LIKE 'down%'});
is( $node->safe_psql(
		'postgres', q{
		SELECT count(*) FROM kgwebhook.delivery_log WHERE object_id LIKE 'down%' AND outcome = 'acknowledged'}),
	24,
	'and when a host is there again');

#
# An endpoint that comes and goes uses up nothing of the schedule by that
#
my $moody = start_receiver(secret => $secret);
my $refuse = $moody->url('/refuse/pending/ok');
$node->safe_psql(
	'postgres', q{
	CREATE TABLE things (id text PRIMARY KEY, status text, url text);
	SELECT kg_watch('things', 'thing', 'id', 'status', 'url', NULL)});

sub insert_things
{
	my ($prefix, $n, $status) = @_;

	$node->safe_psql('postgres',
		"INSERT INTO things SELECT '$prefix' || i, '$status', '$refuse' FROM generate_series(1, $n) i");
	return;
}

insert_things('moody', 6, 'pending');
poll(q{(SELECT count(DISTINCT object_id) FROM kgwebhook.delivery_log WHERE object_id LIKE 'moody%') = 6});
foreach my $time (1 .. 3)
{
	insert_things("well${time}_", 1, 'fine');
	wait_until_settled($node, "object_id LIKE 'well${time}%'");
	poll(q{(SELECT bool_and(attempts = 2) FROM kgwebhook.queue WHERE object_id LIKE 'moody%')});
}
is( $node->safe_psql(
		'postgres', q{
		SELECT DISTINCT q.attempts, q.attempts_before,
			   abs(extract(epoch FROM q.next_attempt_at - l.started_at) - 3600) < 60
		  FROM kgwebhook.queue q JOIN kgwebhook.delivery_log l USING (delivery_id)
		 WHERE q.object_id LIKE 'moody%' AND l.attempt = 1}),
	'2|1|t',
	'what waits is tried once when its endpoint works again, and waits for its time as before');

#
# Nor does a receiver that asked for time by Retry-After get anything sooner
#
my $later = $moody->url('/retry-after/3600/503');
insert_many('later', 6, $later, 'default');
wait_for_log_rows($node, 6, q{object_id LIKE 'later%'});
foreach my $id (1, 6)
{
	poll(qq{(SELECT attempts = 1 FROM kgwebhook.queue WHERE object_id = 'later$id')});
	$node->safe_psql('postgres', "SELECT kg_redeliver(delivery_id) FROM kgwebhook.queue WHERE object_id = 'later$id'");
	wait_until_settled($node, "object_id = 'later$id'");
}
is( $node->safe_psql(
		'postgres', q{
		SELECT count(*) FILTER (WHERE attempts = 1), bool_and(not_before > enqueued_at + interval '59 min')
		  FROM kgwebhook.queue WHERE object_id LIKE 'later%'}),
	'4|t',
	'who asked for an hour has it, also when the endpoint works again');

$node->stop;
done_testing();
