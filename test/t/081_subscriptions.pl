#-------------------------------------------------------------------------
#
# test/t/081_subscriptions.pl
#	  Subscriptions: one event to several receivers, and what becomes of those who
#	  are paused, refuse, are gone or fail for long, while the others get theirs.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main',
	'kgwebhook.retry_schedule' => "'100ms,100ms,100ms'",
	'kgwebhook.workers' => 2);
my $secret = make_intents_table($node);
my $zenith = $node->safe_psql('postgres', q{SELECT kg_create_secret('zenith')});
my $own = start_receiver(secret => $secret);
my $platform = start_receiver(secret => $secret);
my $elsewhere = start_receiver(secret => $zenith);

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sub subscribe
{
	my ($url, $events, $org_id) = @_;

	return sql(sprintf q{SELECT kg_subscribe('%s', '%s', '{%s}')},
		$org_id || 'default', $url, $events || '*');
}

# What a receiver has got for a path, as "object status", in the order of arrival.
sub got
{
	my ($receiver, $path) = @_;

	return
	  map { "$_->{json}{payment_intent_id} $_->{json}{status}" }
	  grep { !defined $path || $_->{path} eq $path } $receiver->requests;
}

sub state_of
{
	my ($id) = @_;

	return sql("SELECT state, reason, pending FROM kgwebhook.subscriptions WHERE subscription_id = $id");
}

sub queued
{
	my ($where) = @_;

	return sql("SELECT count(*) FROM kgwebhook.queue WHERE $where");
}

#
# Fan-out: every subscription gets it, each once, each signed
#
my $all = subscribe($platform->url('/ok?all'));
my $paid = subscribe($platform->url('/ok?paid'), 'payment_intent.success,transfer.*');
subscribe($elsewhere->url, '*', 'zenith');
insert_intent($node, 'one', $own->url);
set_status($node, 'one', 'success');
wait_until_settled($node);
insert_intent($node, 'bare', undef);
insert_intent($node, 'theirs', undef, org_id => "'zenith'");
wait_until_settled($node);
is_deeply([ got($own) ], [ 'one pending', 'one success' ], 'its own URL gets it');
is_deeply(
	[ got($platform, '/ok?all') ],
	[ 'one pending', 'one success', 'bare pending' ],
	'who wants all gets all, in order, with and without a callback_url');
is_deeply([ got($platform, '/ok?paid') ], ['one success'], 'who wants some gets those');
is_deeply([ got($elsewhere) ], ['theirs pending'], 'each organization for itself');

my @success = grep { $_->{json}{status} eq 'success' } $own->requests, $platform->requests;
is(scalar(@success), 3, 'three have the success');
is(scalar(grep { $_->{valid} } @success), 3, 'each has a valid signature');
is(keys %{ { map { $_->{headers}{'webhook-id'} => 1 } @success } }, 1, 'and the same webhook-id');
my @bodies = map {
	my %body = %{ $_->{json} };
	delete @body{qw(timestamp signature)};
	join ' ', map { defined $body{$_} && !ref $body{$_} ? "$_=$body{$_}" : $_ } sort keys %body;
} @success;
is($bodies[$_], $bodies[0], 'and the same payload') foreach 1, 2;
my %bodies_at;
$bodies_at{ $_->{json}{timestamp} }{ $_->{json}{signature} }++ foreach @success;
is_deeply([ grep { keys %$_ > 1 } values %bodies_at ], [], 'in one second also the same signature');
is( sql(q{SELECT string_agg(coalesce(subscription_id::text, '-'), ' ' ORDER BY subscription_id NULLS FIRST)
            FROM kgwebhook.delivery_log WHERE event = 'payment_intent.success'}),
	"- $all $paid", 'the log says whom each was for');
is(($elsewhere->requests)[0]{valid}, 1, "signed with the organization's own secret");

# One URL, one request: the object's own and a subscription to the same
insert_intent($node, 'same', $platform->url('/ok?all'));
wait_until_settled($node);
is_deeply([ grep { /^same/ } got($platform) ], ['same pending'], 'one URL gets an event once');

#
# A test to all of them
#
sql("SELECT kg_pause_subscription($paid)");
my $before = () = $platform->lines;
is( sql(q{SELECT string_agg(subscription_id || outcome || is_test, ' ') FROM kg_send_test()}),
	"${all}acknowledgedtrue", 'kg_send_test() goes to who is active');
sql("SELECT kg_resume_subscription($paid)");
is( sql(q{SELECT string_agg(subscription_id || outcome, ' ' ORDER BY subscription_id), count(DISTINCT webhook_id)
            FROM kg_send_test()}),
	"${all}acknowledged ${paid}acknowledged|1", 'to all of them, as one event');
is(scalar(() = $platform->lines), $before + 3, 'one request each');
is(scalar(grep { $_->{valid} } ($platform->requests)[ -1, -2, -3 ]), 3, 'signed');

#
# Paused: it waits and costs nothing, and holds up nobody
#
sql("SELECT kg_pause_subscription($all)");
insert_intent($node, 'paused', $platform->url('/ok?own'));
set_status($node, 'paused', 'success');
wait_until_settled($node, "subscription_id IS DISTINCT FROM $all");
is_deeply([ got($platform, '/ok?own') ], [ 'paused pending', 'paused success' ],
	'the same destination gets what is not paused');
is_deeply([ grep { /^paused/ } got($platform, '/ok?paid') ],
	['paused success'], 'so does another subscription');
is(state_of($all), 'paused|kg_pause_subscription() was called|2', 'and it waits');
like(sql("SELECT kg_explain(min(delivery_id)) FROM kgwebhook.queue"),
	qr/Its subscription $all is paused since .*; it is sent once that is resumed\.\nWhat to do: SELECT kg_resume_subscription\($all\);/, 'in words');

# more of it than a destination may have in memory: the others go anyway
sql(qq{
	INSERT INTO kgwebhook.queue (webhook_id, org_id, event, object_id, url, destination, payload, subscription_id)
	SELECT 'msg_' || n, 'default', 'payment_intent.pending', 'backlog' || n, '@{[ $platform->url('/ok?all') ]}',
	       '@{[ $platform->destination ]}', '{}', $all
	  FROM generate_series(1, 20000) n});
insert_intent($node, 'behind', $platform->url('/ok?own'));
wait_until_settled($node, "subscription_id IS DISTINCT FROM $all");
is_deeply([ grep { /^behind/ } got($platform, '/ok?own') ], ['behind pending'],
	'so it does behind twenty thousand that are paused');

# and nobody looks whether it goes on
$node->poll_query_until(
	'postgres', q{
	SELECT bool_and(state = 'idle' AND state_change < now() - interval '500 ms')
	  FROM pg_stat_activity WHERE backend_type = 'kgwebhook worker'})
  or die 'waited for idle workers';
pass('idle');
sql("DELETE FROM kgwebhook.queue WHERE object_id ~ '^(backlog|behind)'");
$node->restart;
insert_intent($node, 'after', $platform->url('/ok?own'));
wait_until_settled($node, "subscription_id IS DISTINCT FROM $all");
is(queued("subscription_id = $all"), 3, 'also after a restart');
ok(!(grep { /^(paused|after)/ } got($platform, '/ok?all')), 'nothing was sent');
sql("SELECT kg_resume_subscription($all)");
wait_until_settled($node);
is_deeply([ grep { /^paused/ } got($platform, '/ok?all') ],
	[ 'paused pending', 'paused success' ], 'resumed, it gets what waited, in order');
is_deeply([ grep { /^after/ } got($platform, '/ok?all') ], ['after pending'], 'all of it');
is(state_of($all), 'ok||0', 'and is healthy');

#
# Refusing: neither held nor superseded is who stands at the same destination
#
my $refusing = subscribe($platform->url('/status/404'));
reload($node,
	'kgwebhook.retry_schedule' => "'1h'",
	'kgwebhook.max_hold' => "'1h'");
foreach my $n (1 .. 8)
{
	insert_intent($node, "refused$n", $platform->url('/ok?own'));
	set_status($node, "refused$n", 'success');
}
wait_until_settled($node, "subscription_id IS DISTINCT FROM $refusing");
is(scalar(grep { /^refused/ } got($platform, '/ok?own')), 16, 'the own URL gets its own');
is(scalar(grep { /^refused/ } got($platform, '/ok?all')), 16, 'and so does another subscription');
wait_for_log_rows($node, 8, "subscription_id = $refusing");
is(queued("subscription_id = $refusing"), 16, 'what is refused waits, its successors behind it');
is(sql("SELECT count(*) FROM kgwebhook.delivery_log WHERE outcome = 'superseded'"), 0, 'nothing is superseded');
is(state_of($refusing), 'failing|its receiver has acknowledged nothing since|16', 'it is failing');
is( sql("SELECT state FROM kgwebhook.destinations WHERE destination = '@{[ $platform->destination ]}'"),
	'ok', 'and the destination well');
is( sql(q{SELECT string_agg(DISTINCT subscription_id::text, ' ') FROM kgwebhook.unacknowledged}),
	$refusing, 'who has it not acknowledged is told from who has');
is(sql('SELECT count(*) FROM kgwebhook.unacknowledged'), 8, 'for each object its latest status');

# eight objects refused in a row, with nothing acknowledged in between, are still
# one receiver's failure: of what comes then, one at a time is its probe
sql("SELECT kg_pause_subscription($all)");
sql(q{INSERT INTO payment_intents (payment_intent_id) SELECT 'burst' || n FROM generate_series(1, 8) n});
wait_for_log_rows($node, 9, "subscription_id = $refusing");
is( sql("SELECT state FROM kgwebhook.destinations WHERE destination = '@{[ $platform->destination ]}'"),
	'ok', 'one that refuses everything does not make the destination back off');
sql("SELECT kg_resume_subscription($all)");
wait_until_settled($node, "subscription_id IS DISTINCT FROM $refusing");

# removed with things queued: they go at once, whatever their time
sql("SELECT kg_unsubscribe($refusing)");
wait_until_settled($node);
is( sql("SELECT DISTINCT reason, count(*) OVER () FROM kgwebhook.dead_letter WHERE subscription_id = $refusing"),
	"subscription $refusing was removed|24", 'removed, with what waited for it');
is( sql(qq{SELECT outcome, error, final, count(*) FROM kgwebhook.delivery_log
            WHERE subscription_id = $refusing AND final GROUP BY 1, 2, 3}),
	"invalid|subscription $refusing was removed|t|24", 'and each has its last row of the log');
is( sql("SELECT max(attempts) FROM kgwebhook.dead_letter WHERE subscription_id = $refusing"),
	1, 'which counts as no attempt');
is(sql('SELECT count(*) FROM kgwebhook.unacknowledged'), 0, 'nobody waits for it');
is(sql(q{SELECT count(*) FROM kg_reconcile()}), 0, 'nor is it reported');
is(sql(q{SELECT kg_recover('-infinity')}), 0, 'or recovered');

# Disabled with things that are to be tried in an hour: they go at once as well
my $waiting = subscribe($platform->url('/refuse/success/gone'), '*.success,*.cancelled');
insert_intent($node, "waiting$_", $own->url) foreach 1, 2;
set_status($node, 'waiting1', 'success');
wait_for_log_rows($node, 1, "subscription_id = $waiting");
set_status($node, 'waiting2', 'cancelled');
wait_until_settled($node);
is( sql(qq{SELECT string_agg(object_id || ' ' || attempts || ' ' || (reason ~ 'is disabled since'), ', ' ORDER BY object_id)
            FROM kgwebhook.dead_letter WHERE subscription_id = $waiting}),
	'waiting1 1 true, waiting2 1 false', 'what waits for its time becomes a dead letter when 410 disables');
sql("SELECT kg_unsubscribe($waiting)");

#
# A session that locks its row holds up neither deliveries nor their settling
#
reload($node,
	'kgwebhook.retry_schedule' => "'100ms,100ms,100ms'",
	'kgwebhook.max_hold' => "'5min'");
my $held = subscribe($platform->url('/status/410'));
my $operator = $node->background_psql('postgres', on_error_die => 1);
$operator->query_safe("BEGIN; UPDATE kgwebhook.subscription SET description = 'held' WHERE subscription_id = $held");
insert_intent($node, 'held1', $own->url);
wait_until_settled($node);
is(state_of($held), 'ok||0', 'who is held is not disabled');
is(sql("SELECT reason FROM kgwebhook.dead_letter WHERE object_id = 'held1'"),
	'the receiver answered 410 Gone', 'but its delivery settled');
$operator->query_safe('COMMIT');
$operator->quit;
insert_intent($node, 'held2', $own->url);
wait_until_settled($node);
is(state_of($held), 'disabled|the receiver answered 410 Gone|0', 'and the next outcome disables it');
sql("SELECT kg_unsubscribe($held)");

#
# A crash while one receiver has answered and the other has not
#
my $slow = subscribe($platform->url('/while/slow/ok'), 'payment_intent.pending');
sql(qq{INSERT INTO payment_intents (payment_intent_id, callback_url)
       SELECT 'opens' || n, '@{[ $own->url ]}' FROM generate_series(1, 16) n});
wait_until_settled($node);
$platform->hold('slow');
sql(qq{INSERT INTO payment_intents (payment_intent_id, callback_url)
       SELECT 'crash' || n, '@{[ $own->url ]}' FROM generate_series(1, 10) n});
wait_until_settled($node, "object_id ~ '^crash' AND subscription_id IS DISTINCT FROM $slow");
$platform->wait_for_requests(26, path => '/while/slow/ok');
$node->stop('immediate');
$platform->release('slow');
$node->start;
wait_until_settled($node);
my (%times, %ids);
foreach my $request (grep { $_->{json}{payment_intent_id} =~ /^crash/ } $own->requests, $platform->requests)
{
	$times{ $request->{path} }{ $request->{json}{payment_intent_id} }++;
	$ids{ $request->{json}{payment_intent_id} }{ $request->{headers}{'webhook-id'} }++;
}
is(keys %{ $times{'/while/slow/ok'} }, 10, 'after a crash it gets everything');
is_deeply([ sort keys %{ $times{'/ok'} } ], [ sort map { "crash$_" } 1 .. 10 ], 'so has the other');
is(scalar(grep { $_ > 1 } values %{ $times{'/ok'} }), 0, 'who had answered gets nothing twice');
is(scalar(grep { keys %$_ != 1 } values %ids), 0, 'and all of an event has one webhook-id');
sql("SELECT kg_unsubscribe($slow)");

#
# Gone: 410 disables, and what comes later becomes a dead letter
#
my $log_end = -s $node->logfile;
my $gone = subscribe($platform->url('/while/alive/gone'));
$platform->hold('alive');
insert_intent($node, 'gone1', $own->url);
insert_intent($node, 'gone2', $own->url);
wait_until_settled($node, "subscription_id IS DISTINCT FROM $gone");
$platform->release('alive');
wait_until_settled($node);
like(state_of($gone), qr/^disabled\|the receiver answered 410 Gone\|0$/, '410 disables it');
$node->wait_for_log(
	qr/WARNING:  kgwebhook has disabled subscription $gone\n.*DETAIL:  Its events become dead letters: the receiver answered 410 Gone\.\n.*HINT:  .*kg_resume_subscription\($gone\)/,
	$log_end);
pass('the log says so');
insert_intent($node, 'gone3', $own->url);
set_status($node, 'gone3', 'success');
wait_until_settled($node);
is( sql(qq{SELECT string_agg(object_id || ' ' || attempts, ', ' ORDER BY delivery_id) FROM kgwebhook.dead_letter
            WHERE subscription_id = $gone AND reason ~ '^subscription $gone is disabled since 20.* UTC: the receiver answered 410 Gone\$'}),
	'gone3 0, gone3 0', 'what comes later is a dead letter at once, with the reason');
is(scalar(grep { /^gone3/ } got($own)), 2, 'and its own URL gets it');
is_deeply([ grep { /^gone3/ } got($platform, '/while/alive/gone') ], [], 'nothing was sent to it');
is(sql("SELECT count(*) FROM kgwebhook.unacknowledged WHERE subscription_id = $gone"), 3, 'it is missed');

#
# ... and once enabled again it gets what it has missed, in order
#
my (undef, undef, $notice) = $node->psql('postgres', q{SELECT kg_recover('-infinity')});
like($notice, qr/NOTICE:  4 deliveries were left out\nDETAIL:  They are for subscriptions that are disabled\./,
	'not while it is disabled');
sql("UPDATE kgwebhook.subscription SET url = '@{[ $platform->url('/ok?back') ]}' WHERE subscription_id = $gone");
sql("UPDATE kgwebhook.dead_letter SET url = '@{[ $platform->url('/ok?back') ]}' WHERE subscription_id = $gone");
(undef, undef, $notice) = $node->psql('postgres', "SELECT kg_resume_subscription($gone)");
my ($recover) = $notice =~ /HINT:  SELECT (kg_recover\(.*\)) sends it/;
is(sql("SELECT $recover"), 4, 'what the hint says finds all');
wait_until_settled($node);
is_deeply(
	[ sort grep { /^gone/ } got($platform, '/ok?back') ],
	[ 'gone1 pending', 'gone2 pending', 'gone3 pending', 'gone3 success' ],
	'all is sent');
is_deeply([ grep { /^gone3/ } got($platform, '/ok?back') ], [ 'gone3 pending', 'gone3 success' ], 'in order');
is(state_of($gone), 'ok||0', 'and it is healthy');
is(sql('SELECT count(*) FROM kgwebhook.unacknowledged'), 0, 'nothing is unacknowledged');

#
# Failing for long: disabled when something is given up and nothing was taken
# for the whole span of the schedule; not when something was taken in the meantime
#
my $dead = start_receiver();
my $long = subscribe($dead->url('/status/500'));
my $fickle = subscribe($dead->url('/refuse/expired/ok'));
reload($node, 'kgwebhook.retry_schedule' => "'500ms,500ms,1h'");
insert_intent($node, 'long1', $own->url);
set_status($node, 'long1', 'expired');
wait_for_log_rows($node, 1, "subscription_id = $fickle AND attempt = 3");
like(state_of($fickle), qr/^failing\|/, 'its failures are seen');
insert_intent($node, 'long2', $own->url);
wait_for_log_rows($node, 1, "subscription_id = $fickle AND object_id = 'long2'");

# only now the last attempt, after the whole span of the next schedule, however quickly that came
$node->poll_query_until('postgres',
	"SELECT failing_since < clock_timestamp() - interval '1500 ms' FROM kgwebhook.subscription WHERE subscription_id = $long")
  or die 'it does not fail';
reload($node, 'kgwebhook.retry_schedule' => "'500ms,500ms,500ms'");
sql('UPDATE kgwebhook.queue SET next_attempt_at = now()');
wait_until_settled($node);
like(state_of($fickle), qr/^failing\|/, 'who has taken something in the meantime stays enabled');
insert_intent($node, 'long2b', $own->url);
wait_until_settled($node);
is(state_of($fickle), 'ok||0', 'and the next acknowledgement is seen');
like(state_of($long),
	qr/^disabled\|nothing was acknowledged for the whole span of kgwebhook\.retry_schedule; the last attempt: .+\|0$/,
	'disabled after a long failure');
is(sql(q{SELECT count(*) FROM kgwebhook.dead_letter WHERE subscription_id IS NULL}), 0, 'nobody else lost anything');

# the one delivery that it did not take is a dead letter, the others it has
is(sql("SELECT string_agg(object_id || event, ' ') FROM kgwebhook.dead_letter WHERE subscription_id = $fickle"),
	'long1payment_intent.expired', 'and what was given up is a dead letter');
is( sql(q{SELECT string_agg(coalesce(subscription_id::text, '-') || ':' || attempts, ' ' ORDER BY subscription_id NULLS FIRST)
            FROM kgwebhook.deliveries WHERE object_id = 'long1' AND event = 'payment_intent.expired'}),
	"-:1 $all:1 $gone:1 $long:0 $fickle:4", 'each is tried as often as it needs: who was disabled in the meantime not at all');
is(scalar(got($dead, '/refuse/expired/ok')), 7, 'three acknowledged, one tried four times');
$node->restart;
insert_intent($node, 'long3', $own->url);
wait_until_settled($node);
is_deeply([ grep { /^long3/ } got($dead, '/status/500') ], [], 'also after a restart');
is(sql("SELECT count(*) FROM kgwebhook.dead_letter WHERE subscription_id = $long AND object_id = 'long3'"),
	1, 'it is a dead letter');

#
# A rate limit: no more than that, nobody else is held up, and what waits is said to
#
sql('SELECT kg_unsubscribe(subscription_id) FROM kgwebhook.subscriptions');
my $calm = sql("SELECT kg_subscribe('default', '@{[ $own->url('/ok/calm') ]}', rate_limit => 0.01)");
insert_intent($node, "calm$_", $own->url("/ok/own$_")) foreach 1 .. 3;
$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM kgwebhook.queue WHERE subscription_id IS NULL}) or die 'others wait';
sql(q{UPDATE kgwebhook.queue SET next_attempt_at = now() - interval '1 hour', enqueued_at = now() - interval '1 hour'});
$node->poll_query_until('postgres', q{SELECT count(*) BETWEEN 2 AND 3 AND bool_and(waits_for = 'rate') FROM kgwebhook.pending}) or die 'not at its rate';
is(sql(q{SELECT waits_for FROM kgwebhook.waiting WHERE deliveries > 0}), 'rate', 'in the figures, too');
like(sql(q{SELECT kg_explain(max(delivery_id)) FROM kgwebhook.queue}),
	qr/^It waits for its turn: subscription $calm gets 0\.01 requests a second at most \(rate_limit\), and \d+ deliver(?:y goes|ies go) before it\.  Its turn comes at about /m, 'explained');
is(sql(q{SELECT string_agg(finding, ', ') FROM kg_status() WHERE finding ~ 'late|hang'}), '', 'nothing hangs');
# before what waits gets its turns
my $from = sql('SELECT clock_timestamp()');
sql("SELECT kg_update_subscription($calm, rate_limit => 5)");
insert_intent($node, "more$_", $own->url("/ok/own$_")) foreach 1 .. 12;
$node->restart;
wait_until_settled($node);
my ($count, $gap) = split /\|/, sql(qq{
	SELECT count(*), extract(epoch FROM max(started_at) - min(started_at)) / (count(*) - 1)
	  FROM kgwebhook.delivery_log WHERE subscription_id = $calm AND started_at > '$from'});
cmp_ok($count, '>=', 14, 'all of it arrives');
cmp_ok($gap, '>=', 0.17, 'each after its gap, before and after a restart');

# taken away, and set while there is a backlog
sql("SELECT kg_update_subscription($calm, rate_limit => 0.01)");
insert_intent($node, "slow$_", $own->url("/ok/own$_")) foreach 1 .. 20;
$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM kgwebhook.queue WHERE subscription_id IS NULL}) or die 'others wait';
cmp_ok(queued("subscription_id = $calm"), '>=', 18, 'one in 100 seconds');
sql("SELECT kg_update_subscription($calm, description => 'the same')");
cmp_ok(queued("subscription_id = $calm"), '>=', 18, 'which nothing else changes');
sql("SELECT kg_update_subscription($calm, rate_limit => 0)");
wait_until_settled($node);
is(sql("SELECT rate_limit IS NULL FROM kgwebhook.subscriptions"), 't', 'and without a limit all of it goes');

# what was left in the table for a pause is read again after it, whatever was changed in between
sql("SELECT kg_pause_subscription($calm)");
insert_intent($node, 'left', $own->url('/ok/own1'));
$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM kgwebhook.queue WHERE subscription_id IS NULL}) or die 'others wait';
sql("SELECT kg_update_subscription($calm, description => 'the same again')");
insert_intent($node, 'between', $own->url('/ok/between'), org_id => q{'zenith'});
wait_until_settled($node, q{object_id = 'between'});
sql("SELECT kg_resume_subscription($calm)");
wait_until_settled($node);
is(scalar(grep { $_ eq 'left pending' } got($own, '/ok/calm')), 1, 'resumed after another change');
unlike(slurp_file($node->logfile), qr/leaked/, 'and no scan is left open');

$node->stop;
done_testing();
