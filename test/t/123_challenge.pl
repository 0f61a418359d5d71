#-------------------------------------------------------------------------
#
# test/t/123_challenge.pl
#	  A subscription that is verified: its receiver gets a challenge first, and no event
#	  before it has returned what that asks for.
#
# A challenge that fails waits for an hour, so that each is one request until someone asks for
# another.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Test::More;

my $node = new_node('main', 'kgwebhook.retry_schedule' => "'1h,1h'");
my $secret = make_intents_table($node);
my $receiver = start_receiver(secret => $secret);
my $other = start_receiver(secret => $secret);
my $directory = $receiver->{record} =~ s{/[^/]*$}{}r;

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sub subscribe
{
	my ($path) = @_;

	return sql(sprintf q{SELECT kg_subscribe('default', '%s', '{payment_intent.*}', verify => true)}, $receiver->url($path));
}

sub state_of
{
	my ($id) = @_;

	return sql("SELECT state FROM kgwebhook.subscriptions WHERE subscription_id = $id");
}

sub wait_for_state
{
	my ($id, $state) = @_;

	$node->poll_query_until('postgres', "SELECT state = '$state' FROM kgwebhook.subscriptions WHERE subscription_id = $id")
	  or die "waited for subscription $id to be $state";
	return;
}

# The outcomes and errors of a subscription's challenges, once there are so many.
sub answers
{
	my ($id, $n) = @_;

	return join ', ', map { "$_->{outcome}: " . ($_->{error} // '') }
	  wait_for_log_rows($node, $n, "subscription_id = $id AND event = 'endpoint.challenge'");
}

# What a path has got: "challenge", or an object and its status, in order.
sub got
{
	my ($path) = @_;

	return join ', ', map { $_->{json}{type} ? 'challenge' : "$_->{json}{payment_intent_id} $_->{json}{status}" }
	  grep { $_->{path} eq $path } $receiver->requests;
}

sub touch { my ($name) = @_; open my $file, '>', "$directory/$name" or die $!; close $file; return; }

#
# Nothing before it has answered; then everything, in order
#
my $path = '/faulty/shut/challenge/another/then/challenge/text?first';
touch('shut');
my $first = subscribe($path);
insert_intent($node, 'one', undef);
set_status($node, 'one', 'success');
insert_intent($node, 'two', $other->url);
wait_until_settled($node, 'subscription_id IS NULL');
is(answers($first, 1), 'rejected: answered with status 200, and did not return the challenge', 'a wrong answer is none');
is(sql("SELECT state, reason, pending, verify, verified_at IS NULL FROM kgwebhook.subscriptions WHERE subscription_id = $first"),
	'unverified|its receiver has not answered the challenge|4|t|t', 'it is unverified');
$node->poll_query_until('postgres', q{SELECT attempts = 1 FROM kgwebhook.queue WHERE event = 'endpoint.challenge'}) or die 'not settled';
is(sql("SELECT string_agg(waits_for || ' ' || count, ', ' ORDER BY waits_for) FROM (SELECT waits_for, count(*) FROM kgwebhook.pending GROUP BY 1) w"),
	'challenge 3, retry 1', 'its events wait for the answer');
is(sql("SELECT string_agg(waits_for || ' ' || deliveries, ', ' ORDER BY waits_for) FROM kgwebhook.waiting WHERE deliveries > 0"),
	'challenge 3, retry 1', 'so it is counted');
like(sql("SELECT kg_explain(max(delivery_id)) FROM kgwebhook.queue"),
	qr/Its subscription $first is unverified: .* the last attempt: answered with status 200, and did not return the challenge\.\nWhat to do: .*SELECT kg_send_challenge\($first\);/,
	'and explained');
like(sql("SELECT kg_explain(delivery_id) FROM kgwebhook.queue WHERE event = 'endpoint.challenge'"), qr/return what a challenge asks for/, 'so is the challenge');
is(sql(q{SELECT count(*) FROM kg_reconcile() WHERE event = 'endpoint.challenge'}) . sql(q{SELECT count(*) FROM kgwebhook.unacknowledged WHERE event = 'endpoint.challenge'}),
	'00', 'a challenge is no payment that nobody has acknowledged');
is(sql(q{SELECT count(*) FROM kg_status() WHERE finding LIKE '%unverified%'}), '0', 'for a while that is nothing to tell');
sql("UPDATE kgwebhook.subscription SET challenged_at = now() - interval '1 hour'");
like(sql(q{SELECT finding, detail, remedy FROM kg_status() WHERE finding LIKE '%unverified%'}),
	qr/^subscription $first of organization default .* is unverified since .*Its events are queued and wait.*kg_send_challenge\($first\)/, 'then it is');
like(sql("SELECT kg_dashboard('default')"), qr/unverified/, "it is on the merchant's page");
like(sql("SELECT kg_dashboard()"), qr/unverified/, "and the operator's");

# through a restart
$node->restart;
set_status($node, 'two', 'success');
wait_until_settled($node, 'subscription_id IS NULL');
is(got($path), 'challenge', 'only the challenge was sent');
unlink "$directory/shut";
my $second = sql("SELECT kg_send_challenge($first)");
wait_until_settled($node);
like(got($path), qr/^challenge, challenge, (?:(?:one|two) (?:pending|success)(?:, |$)){4}$/, 'when it has answered, all that waited, and nothing before');
is($receiver->statuses($_), 'pending success', "in order: $_") foreach qw(one two);
my @challenges = grep { $_->{json}{type} } $receiver->requests;
is(scalar(grep { $_->{valid} } @challenges), 2, 'challenges are signed');
like($_->{json}{challenge}, qr/^[0-9a-f]{64}$/, 'and random') foreach @challenges;
isnt($challenges[0]{json}{challenge}, $challenges[1]{json}{challenge}, 'each its own');
is($challenges[1]{headers}{'webhook-id'}, $challenges[1]{json}{event_id}, 'named by its webhook-id');
is_deeply([ @{ $challenges[1]{json} }{qw(type org_id subscription_id url)} ], [ 'endpoint.challenge', 'default', $first, $receiver->url($path) ], 'it says for whom');
is(sql("SELECT state, verified_at > now() - interval '1 hour' FROM kgwebhook.subscriptions WHERE subscription_id = $first"), 'ok|t', 'it is verified');
is(answers($first, 3), 'rejected: answered with status 200, and did not return the challenge, superseded: its subscription does not wait for this challenge any more, acknowledged: ',
	'the first challenge does not count any more');
is(sql("SELECT count(*) FROM kg_events_since('default') WHERE event = 'endpoint.challenge'"), '0', 'a challenge is no event to fetch');
is(sql("SELECT count(*) FROM kgwebhook.recorded_events('default', '-infinity', 100, NULL) WHERE event = 'endpoint.challenge'"), '0', 'nor to replay');
is(sql("SELECT kg_recover(now() - interval '1 day', dry_run => true)"), '0', 'nor to recover');
sql("SELECT kg_unsubscribe($first)");

#
# What is an answer: also where the log keeps none
#
reload($node, 'kgwebhook.response_body_limit' => 0);
my %good = map { $_ => subscribe("/challenge/$_?good") } qw(text string json spaced);
my $good = join ', ', values %good;
$node->poll_query_until('postgres', "SELECT bool_and(state = 'ok') FROM kgwebhook.subscriptions WHERE subscription_id IN ($good)") or die 'not verified';
pass('as text and as JSON');
is(sql("SELECT count(*) FROM kgwebhook.delivery_log WHERE response_body <> '' AND subscription_id IN ($good)"), '0', 'without a trace in the log');
reload($node, 'kgwebhook.response_body_limit' => '4kB');

#
# What is none
#
my %status = (500 => 'answered with status 500', 302 => 'answered with status 302; redirects are not followed', 204 => 'answered with status 204, and did not return the challenge');
my %bad = map { $_ => subscribe("/challenge/$_?bad") } qw(mirror member header another shorter twice long 500 302 204);
is(answers($bad{$_}, 1), 'rejected: ' . ($status{$_} // 'answered with status 200, and did not return the challenge'), "no answer: $_") foreach sort keys %bad;

# what it had to return before, which is in the log by then
my $before = $bad{before} = subscribe('/challenge/before?bad');
answers($before, 1);
like(sql("SELECT request_body FROM kgwebhook.delivery_log WHERE subscription_id = $before"), qr/"challenge":"[0-9a-f]{64}"/, 'the log has what was sent');
sql("SELECT kg_send_challenge($before)");
$node->poll_query_until('postgres', "SELECT count(*) = 2 FROM kgwebhook.delivery_log WHERE subscription_id = $before AND outcome = 'rejected'") or die 'not answered';
like(sql("SELECT response_body FROM kgwebhook.delivery_log WHERE subscription_id = $before AND outcome = 'rejected' ORDER BY attempt_id DESC LIMIT 1"),
	qr/^[0-9a-f]{64}$/, 'a challenge from the log is an answer');
is(state_of($before), 'unverified', 'to no other');

# too late
reload($node, 'kgwebhook.request_timeout' => '1s');
my $late = $bad{late} = subscribe('/challenge/after-3000?bad');
like(answers($late, 1), qr/^timed_out/, 'the right answer, too late');
is(state_of($late), 'unverified', 'is none');
reload($node, 'kgwebhook.request_timeout' => '15s');

# the right answer to a challenge that has been replaced while it was on its way
touch('wait');
my $overtaken = $bad{overtaken} = subscribe('/while/wait/challenge/text?overtaken');
$receiver->wait_for_requests(1, path => '/while/wait/challenge/text?overtaken');
sql("SELECT kg_update_subscription($overtaken, '@{[ $receiver->url('/challenge/another?overtaken') ]}')");
like(answers($overtaken, 1), qr/did not return/, 'the new URL has not answered');
unlink "$directory/wait";
$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM kgwebhook.delivery_log WHERE subscription_id = $overtaken AND outcome = 'acknowledged'") or die 'not answered';
is(state_of($overtaken), 'unverified', 'and the old one, which has, does not count');

# none of them gets anything
is(sql("SELECT string_agg(DISTINCT state, ' ') FROM kgwebhook.subscriptions WHERE subscription_id IN (@{[ join ', ', values %bad ]})"), 'unverified', 'all of them are unverified');
insert_intent($node, 'three', $other->url);
wait_until_settled($node, "event <> 'endpoint.challenge' AND coalesce(subscription_id, 0) <> ALL ('{@{[ join ',', values %bad ]}}')");
is_deeply([ grep { !$_->{json}{type} && $_->{path} =~ /bad|overtaken/ } $receiver->requests ], [], 'who has not answered gets no event');
is_deeply([ map { got("/challenge/$_?good") } sort keys %good ], [ ('challenge, three pending') x 4 ], 'who has gets it');
sql("SELECT kg_unsubscribe(subscription_id) FROM kgwebhook.subscription");
wait_until_settled($node);

#
# Rolled back; asked for by two at once; while its subscription is locked
#
sql("BEGIN; SELECT kg_subscribe('default', '@{[ $receiver->url('/challenge/text?rolled') ]}', verify => true); ROLLBACK");
touch('shut');
$path = '/faulty/shut/challenge/another/then/challenge/json?twice';
my $twice = subscribe($path);
answers($twice, 1);
unlink "$directory/shut";
my ($one, $two) = map { $node->background_psql('postgres') } 1, 2;
$one->query_safe('BEGIN');
$one->query_safe("SELECT kg_send_challenge($twice)");
$two->query_until(qr/asked/, "\\echo asked\nSELECT kg_send_challenge($twice);\n");
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%kg_send_challenge%' AND pid <> pg_backend_pid()}) or die 'not waiting';
$one->query_safe('COMMIT');
$two->quit;
wait_for_state($twice, 'ok');
wait_until_settled($node);
is(sql("SELECT count(*) FILTER (WHERE outcome = 'acknowledged' AND webhook_id = (SELECT max(webhook_id) FILTER (WHERE final) FROM kgwebhook.delivery_log m WHERE m.attempt_id = l.attempt_id)) BETWEEN 1 AND 2, count(DISTINCT webhook_id) FROM kgwebhook.delivery_log l WHERE subscription_id = $twice"),
	't|3', 'each call is a challenge of its own');
is_deeply([ $receiver->requests(path => '/challenge/text?rolled') ], [], 'what was rolled back was never sent');

touch('wait');
$path = '/while/wait/challenge/string?locked';
my $locked = subscribe($path);
$receiver->wait_for_requests(1, path => $path);
$one->query_safe("BEGIN; SELECT FROM kgwebhook.subscription WHERE subscription_id = $locked FOR UPDATE");
unlink "$directory/wait";
insert_intent($node, 'beside', $other->url);
wait_until_settled($node, "object_id = 'beside' AND subscription_id IS NULL");
is(state_of($locked), 'unverified', 'a lock holds up the answer, and nobody else');
$one->query_safe('COMMIT');
$one->quit;
wait_for_state($locked, 'ok');
wait_until_settled($node);
is(got($path), 'challenge, beside pending', 'the answer is not lost for that');
sql("SELECT kg_unsubscribe(subscription_id) FROM kgwebhook.subscription");

#
# Paused, and unverified
#
$path = '/challenge/text?paused';
my $paused = sql("BEGIN; SELECT kg_subscribe('default', '@{[ $receiver->url($path) ]}', verify => true); SELECT kg_pause_subscription(max(subscription_id)) FROM kgwebhook.subscription; COMMIT") =~ s/\s+$//r;
insert_intent($node, 'four', $other->url);
wait_until_settled($node, "subscription_id IS NULL");
is(state_of($paused) . got($path), 'paused', 'not even the challenge goes to who is paused');
sql("SELECT kg_resume_subscription($paused)");
wait_until_settled($node);
is(got($path), 'challenge, four pending', 'resumed, it is challenged first');

#
# Another URL has not answered; and its own URL is the same one
#
$path = '/faulty/shut/challenge/another/then/challenge/text?moved';
touch('shut');
sql("SELECT kg_update_subscription($paused, description => 'the same')");
is(state_of($paused), 'ok', 'a change of anything else does not matter');
sql("SELECT kg_update_subscription($paused, '@{[ $receiver->url($path) ]}')");
insert_intent($node, 'five', $receiver->url($path));
set_status($node, 'five', 'success');
$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM kgwebhook.delivery_log WHERE subscription_id = $paused AND outcome = 'rejected'") or die 'not answered';
is(state_of($paused), 'unverified', 'another URL has to answer');
is(sql("SELECT count(*) FROM kgwebhook.queue WHERE subscription_id IS NULL"), '0', "an object's own URL that is such a subscription's is no way around");
unlink "$directory/shut";
sql("SELECT kg_send_challenge($paused)");
wait_until_settled($node);
is(got($path), 'challenge, challenge, five pending, five success', 'then it gets what waited, once');

# no longer asked for
touch('shut');
$path = '/faulty/shut/challenge/another/then/challenge/text?waived';
sql("SELECT kg_update_subscription($paused, '@{[ $receiver->url($path) ]}')");
$node->poll_query_until('postgres', "SELECT count(*) = 2 FROM kgwebhook.delivery_log WHERE subscription_id = $paused AND outcome = 'rejected'") or die 'not answered';
insert_intent($node, 'six', undef);
sql("SELECT kg_update_subscription($paused, verify => false)");
wait_until_settled($node);
is(got($path), 'challenge, six pending', 'without being verified it gets what waited');
sql("SELECT kg_update_subscription($paused, verify => true)");
$node->poll_query_until('postgres', "SELECT count(*) = 3 FROM kgwebhook.delivery_log WHERE subscription_id = $paused AND outcome = 'rejected'") or die 'not answered';
is(state_of($paused), 'unverified', 'and has to answer when that is asked for later');
unlink "$directory/shut";
sql("SELECT kg_unsubscribe($paused)");
wait_until_settled($node);

#
# Gone, and back
#
my $gone = subscribe('/challenge/410?gone');
insert_intent($node, 'seven', undef);
wait_for_state($gone, 'disabled');
wait_until_settled($node);
is(sql("SELECT string_agg(event, ' ' ORDER BY event) FROM kgwebhook.dead_letter WHERE subscription_id = $gone"), 'endpoint.challenge payment_intent.pending', 'who is gone gets dead letters');
$path = '/challenge/text?back';
sql("SELECT kg_update_subscription($gone, '@{[ $receiver->url($path) ]}')");
wait_until_settled($node);
is(state_of($gone) . got($path), 'disabled', 'a disabled one is not challenged');
sql("SELECT kg_resume_subscription($gone)");
wait_for_state($gone, 'ok');
wait_until_settled($node);
is(got($path), 'challenge', 'it is when it is resumed');
is(sql("SELECT kg_recover(now() - interval '1 day')"), '1', 'and what it missed is recovered, without the challenge');
wait_until_settled($node);
is(got($path), 'challenge, seven pending', 'and sent, to the URL that has answered');
is(got('/challenge/410?gone'), 'challenge', 'not to the one that never did');

# what was queued for a former URL, by a transaction that has lasted until now
my $writer = $node->background_psql('postgres');
$writer->query_safe(q{BEGIN; INSERT INTO payment_intents (payment_intent_id) VALUES ('eight')});
my $newest = '/challenge/text?newest';
sql("SELECT kg_update_subscription($gone, '@{[ $receiver->url($newest) ]}')");
wait_for_state($gone, 'ok');
$writer->query_safe('COMMIT');
$writer->quit;
wait_until_settled($node);
is(sql(q{SELECT reason FROM kgwebhook.dead_letter WHERE object_id = 'eight'}), 'its subscription has another URL since, and this one has not answered a challenge', 'is not sent there');
is(sql(q{SELECT kg_redeliver(delivery_id) = delivery_id FROM kgwebhook.dead_letter WHERE object_id = 'eight'}), 't', 'and can be sent again');
wait_until_settled($node);
is(got($path) . '; ' . got($newest), 'challenge, seven pending; challenge, eight pending', 'to the new one');

done_testing();
