#-------------------------------------------------------------------------
#
# test/t/003_retries.pl
#	  What an answer, or the lack of one, does to a delivery.
#
# Receivers that only fail have an address of their own, so that one that is
# bad is never taken for one that is down.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Test::More;

my $node = new_node('main');
my $secret = make_intents_table($node);

sub fresh_receiver
{
	return start_receiver(secret => $secret);
}

# The attempts of an object once it is settled.
sub settled_log
{
	my ($id) = @_;

	$node->poll_query_until('postgres',
		"SELECT EXISTS (SELECT FROM kgwebhook.delivery_log WHERE object_id = '$id' AND final)")
	  or die "waited for the end of $id";
	return delivery_log($node, "object_id = '$id'");
}

sub outcomes
{
	return join ' ', map { $_->{outcome} } @_;
}

sub dead_letter
{
	my ($id) = @_;

	return $node->safe_psql('postgres',
		"SELECT attempts, reason FROM kgwebhook.dead_letter WHERE object_id = '$id'");
}

#
# 500 twice, then 200
#
my $receiver = fresh_receiver();
insert_intent($node, 'twice', $receiver->url('/fail/2/ok'));
my @log = settled_log('twice');
is(outcomes(@log), 'rejected rejected acknowledged', '500 twice, then 200');
is(join(' ', map { $_->{response_status} } @log), '500 500 200', 'statuses are logged');
is(join(' ', map { $_->{final} ? 1 : 0 } @log), '0 0 1', 'only the last is final');
is(join(' ', map { $_->{attempt} } @log), '1 2 3', 'attempts are numbered');
like($log[0]{error}, qr/500/, 'the error says why');
my @got = $receiver->requests_of('twice', 3);
is(scalar(grep { $_->{valid} } @got), 3, 'each attempt is validly signed');
cmp_ok($got[$_]{arrival} - $got[ $_ - 1 ]{arrival},
	'>=', 195, "attempt $_ waits for the schedule's delay")
  foreach 1, 2;
is($node->safe_psql('postgres', "SELECT state, attempts, last_status FROM kgwebhook.deliveries
	WHERE object_id = 'twice'"), 'acknowledged|3|200', 'the view deliveries');

foreach my $status (200, 201, 204, 299)
{
	insert_intent($node, "ok$status", $receiver->url("/status/$status"));
	is(outcomes(settled_log("ok$status")), 'acknowledged', "$status acknowledges");
}

#
# The schedule comes to its end
#
my $failing = fresh_receiver();
insert_intent($node, 'exhausted', $failing->url('/status/500'));
@log = settled_log('exhausted');
is(outcomes(@log), 'rejected rejected rejected rejected',
	'a first attempt, and one after each delay of the schedule');
is(join(' ', map { $_->{final} ? 1 : 0 } @log), '0 0 0 1', 'the last is final');
like(dead_letter('exhausted'), qr/^4\|gave up after 4 attempts.*500/, 'the dead letter says why');
is($node->safe_psql('postgres', 'SELECT count(*) FROM kgwebhook.queue'), 0, 'nothing is queued');
is($node->safe_psql('postgres', "SELECT state, last_status FROM kgwebhook.deliveries
	WHERE object_id = 'exhausted'"), 'dead|500', 'the view deliveries');
is( $node->safe_psql(
		'postgres', q{
		SELECT d.webhook_id = l.webhook_id AND d.payload ->> 'payment_intent_id' = 'exhausted'
		  FROM kgwebhook.dead_letter d
		  JOIN kgwebhook.delivery_log l USING (delivery_id)
		 WHERE final}),
	't',
	'the dead letter keeps webhook_id and payload');
is(scalar($failing->requests), 4, 'as many requests as log rows');

#
# Redirects
#
foreach my $status (301, 302, 303, 307, 308)
{
	my $moved = fresh_receiver();

	insert_intent($node, "moved$status", $moved->url("/redirect/$status"));
	my ($first) = wait_for_log_rows($node, 1, "object_id = 'moved$status'");
	is("$first->{outcome} $first->{response_status}",
		"rejected $status", "$status is a failure");
	@log = settled_log("moved$status");
	is_deeply([ grep { $_->{path} !~ m{^/redirect} } $moved->requests ],
		[], 'and is not followed');
	$moved->stop;
}
like($log[0]{error}, qr/redirect/, 'the error says so');

#
# 410
#
my $gone = fresh_receiver();
insert_intent($node, 'gone', $gone->url('/gone'));
@log = settled_log('gone');
is(outcomes(@log), 'rejected', '410 gives up at once');
like(dead_letter('gone'), qr/^1\|.*410/, 'with a reason');

#
# Retry-After
#
my $busy = fresh_receiver();
my %retry_after = (
	seconds429 => [ '/retry-after/2/429', 2000 ],
	seconds503 => [ '/retry-after/2/503', 2000 ],
	date429 => [ '/retry-after-date/3', 2000 ]);
insert_intent($node, $_, $busy->url($retry_after{$_}[0])) foreach sort keys %retry_after;

# Those that have nothing to say on the matter
my %elsewise = (
	on500 => '/retry-after/3600/500',
	nonsense => '/retry-after/soon/503',
	negative => '/retry-after/-5/503',
	past => '/retry-after-date/-3600');
my $elsewise = fresh_receiver();
insert_intent($node, $_, $elsewise->url($elsewise{$_})) foreach sort keys %elsewise;

my $patient = fresh_receiver();
insert_intent($node, 'patient', $patient->url('/retry-after/99999999/503'));
wait_for_log_rows($node, 1, q{object_id = 'patient'});
is( $node->safe_psql(
		'postgres', q{
		SELECT next_attempt_at > now() + '23 hours 59 minutes',
			   next_attempt_at <= now() + '24 hours', attempts
		  FROM kgwebhook.queue WHERE object_id = 'patient'}),
	't|t|1',
	'Retry-After is capped at a day');

# A wish for less than the schedule's delay is none
my $hasty = fresh_receiver();
insert_intent($node, 'now', $hasty->url('/retry-after/0/503'));
insert_intent($node, 'just', $hasty->url('/retry-after/0'));
insert_intent($node, 'long_ago', $hasty->url('/retry-after-date/-1'));
foreach my $id (qw(now just long_ago))
{
	is(outcomes(settled_log($id)), 'rejected acknowledged', "Retry-After $id");
	my ($first, $second) = $hasty->requests_of($id, 2);
	cmp_ok($second->{arrival} - $first->{arrival},
		'>=', 195, 'never makes it earlier than the schedule');
}

foreach my $id (sort keys %elsewise)
{
	is(outcomes(settled_log($id)),
		'rejected acknowledged', "Retry-After $id: goes by the schedule");
}
foreach my $id (sort keys %retry_after)
{
	is(outcomes(settled_log($id)), 'rejected acknowledged', "Retry-After $id");
	my ($first, $second) = $busy->requests_of($id, 2);
	cmp_ok($second->{arrival} - $first->{arrival},
		'>=', $retry_after{$id}[1] - 5, 'is honored');
}

#
# A receiver that is down, and comes back
#
$node->append_conf('postgresql.conf',
	"kgwebhook.retry_schedule = '" . join(',', ('100ms') x 50) . "'");
reload($node);
my $down = fresh_receiver();
$down->stop;
insert_intent($node, 'refused', $down->url);
my ($refused) = wait_for_log_rows($node, 1, q{object_id = 'refused'});
is($refused->{outcome}, 'unreachable', 'a receiver that is down');
is($refused->{response_status}, undef, 'has no status');
like($refused->{error}, qr/connect/i, 'but an error');
ok($refused->{request_body}, 'and what would have been sent');
my $up = start_receiver(secret => $secret, port => $down->port);
my ($arrived) = $up->requests_of('refused', 1);
is($arrived->{valid}, 1, 'gets it when it is back');
@log = settled_log('refused');
is($log[-1]{outcome}, 'acknowledged', 'which is acknowledged');
is($arrived->{headers}{'webhook-attempt'}, @log, 'as the attempt that the log says');

#
# Slow, silent, rude
#
my $slow = fresh_receiver();
insert_intent($node, 'slow', $slow->url('/slow/300'));
@log = settled_log('slow');
is(outcomes(@log), 'acknowledged', 'a slow receiver');
cmp_ok($log[0]{duration_ms}, '>=', 300, 'the log says how slow');

reload($node, 'kgwebhook.request_timeout' => "'1s'");
my $hanging = fresh_receiver();
insert_intent($node, 'hang', $hanging->url('/hang'));
my ($hang) = wait_for_log_rows($node, 1, q{object_id = 'hang'});
is($hang->{outcome}, 'timed_out', 'one that never answers');
like($hang->{error}, qr/time/i, 'with an error');
cmp_ok($hang->{duration_ms}, '>=', 990, 'after request_timeout');
cmp_ok($hang->{duration_ms}, '<', 5000, 'and not long after it');

my $stalling = fresh_receiver();
insert_intent($node, 'stall', $stalling->url('/stall'));
@log = settled_log('stall');
is(outcomes(@log), 'acknowledged', 'the status decides, also when the body never ends');
is($log[0]{response_body}, 'the beginning', 'what came of the body is kept');

reload($node, 'kgwebhook.request_timeout' => "'10s'");
my $closing = fresh_receiver();
insert_intent($node, 'close', $closing->url('/close'));
my ($close) = wait_for_log_rows($node, 1, q{object_id = 'close'});
is($close->{outcome}, 'unreachable', 'a connection that is reset');
ok($close->{error}, 'with an error');

#
# Bodies
#
my $talking = fresh_receiver();
insert_intent($node, 'big', $talking->url('/big/2000000'));
@log = settled_log('big');
is(outcomes(@log), 'acknowledged', 'a huge answer');
is($log[0]{response_body}, 'x' x 4096, 'is cut at the limit');
reload($node, 'kgwebhook.response_body_limit' => '10');
insert_intent($node, 'bigger', $talking->url('/big/100'));
@log = settled_log('bigger');
is($log[0]{response_body}, 'x' x 10, 'which is a setting');
reload($node, 'kgwebhook.response_body_limit' => '0');
insert_intent($node, 'none', $talking->url('/big/100'));
@log = settled_log('none');
is($log[0]{response_body}, '', 'also none at all');
reload($node, 'kgwebhook.response_body_limit' => "'4kB'");
insert_intent($node, 'binary', $talking->url('/binary'));
@log = settled_log('binary');
is(outcomes(@log), 'acknowledged', 'an answer that is not text');
like($log[0]{response_body}, qr/^b.+\(e$/s, 'is made into text');
unlike($log[0]{response_body}, qr/\0/, 'without NUL');

#
# No URL
#
my $enqueued = $node->safe_psql('postgres', 'SELECT enqueued FROM kgwebhook.stats');
insert_intent($node, 'nowhere', undef);
set_status($node, 'nowhere', 'success');
is($node->safe_psql('postgres', 'SELECT enqueued FROM kgwebhook.stats'),
	$enqueued, 'a NULL url enqueues nothing');
$node->safe_psql('postgres',
	"UPDATE payment_intents SET callback_url = '@{[ $talking->url ]}' WHERE payment_intent_id = 'nowhere'");
is($node->safe_psql('postgres', 'SELECT enqueued FROM kgwebhook.stats'),
	$enqueued, 'nor does a URL, without a transition');
set_status($node, 'nowhere', 'refunded');
my ($nowhere) = $talking->requests_of('nowhere', 1);
is($nowhere->{json}{status}, 'refunded', 'the next transition goes there');

#
# Every attempt on the wire has its row, and every row is true
#
foreach my $one ($receiver, $failing, $gone, $elsewise, $busy, $patient, $up, $slow,
	$stalling, $talking)
{
	my $rows = $node->safe_psql('postgres',
		    "SELECT count(*) FROM kgwebhook.delivery_log WHERE response_status IS NOT NULL"
		  . " AND destination = '@{[ $one->destination ]}'");
	is(scalar($one->requests), $rows, 'one row for each request at ' . $one->port);
}
is( $node->safe_psql(
		'postgres', q{
		SELECT count(*) FROM (
			SELECT FROM kgwebhook.delivery_log GROUP BY delivery_id HAVING count(*) FILTER (WHERE final) > 1) x}),
	0,
	'no delivery ended twice');

$node->stop;
done_testing();
