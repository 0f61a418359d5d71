#-------------------------------------------------------------------------
#
# test/t/111_endpoint_events.pl
#	  That an endpoint is failing, is disabled and is back is told to those who
#	  asked for it: the organization's other endpoints, the platform, and LISTEN.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Test::More;

my $node = new_node('main', 'kgwebhook.retry_schedule' => "'100ms,100ms'");
my $secret = make_intents_table($node);
my $of_platform = $node->safe_psql('postgres', q{SELECT kg_create_secret('*')});
my $ours = start_receiver(secret => $secret);
my $platform = start_receiver(secret => $of_platform);

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sub subscribe
{
	my ($org_id, $url, $events) = @_;

	return sql("SELECT kg_subscribe('$org_id', '$url', '{$events}')");
}

# Which endpoint events a receiver has got, in order.
sub told
{
	my ($receiver, $n) = @_;

	$receiver->wait_for_requests($n);
	return join(', ', map { "$_->{headers}{'webhook-event'} $_->{json}{subscription_id} of $_->{json}{org_id}" } $receiver->requests);
}

my $failing = subscribe('default', $ours->url('/status/500'), 'payment_intent.*');
my $watcher = subscribe('default', $ours->url('/ok?watcher'), 'endpoint.*');
my $silent = subscribe('default', $ours->url('/ok?silent'), 'endpoint.recovered');
my $of_all = subscribe('*', $platform->url('/ok?all'), 'endpoint.*');
my $other = subscribe('zenith', $ours->url('/ok?zenith'), 'endpoint.*');

# not before an hour, and not by one failure
my $listener = $node->background_psql('postgres');
$listener->query('LISTEN kgwebhook');
sql("UPDATE kgwebhook.subscription SET failing_since = now() - interval '2 hours' WHERE subscription_id = $failing");
insert_intent($node, 'first', undef);
is(told($platform, 2), "endpoint.failing $failing of default, endpoint.disabled $failing of default",
	'the platform is told of what has failed for long, and then is disabled');
$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM kgwebhook.delivery_log WHERE event = 'endpoint.failing' AND subscription_id = $watcher AND outcome = 'acknowledged'")
  or die 'not told';
is(sql("SELECT count(*) FROM kgwebhook.delivery_log WHERE event LIKE 'endpoint.%' AND subscription_id IN ($silent, $other, $failing)"),
	'0', 'and no other: not who asked for something else, nor another organization, nor itself');
like($listener->query('SELECT 1'), qr/Asynchronous notification "kgwebhook" with payload "\{"type": "endpoint\.failing", "subscription_id": $failing\}"/,
	'and a session that listens: by number only, because every role may');
$listener->quit;

# told once, however often it goes on failing
wait_until_settled($node);
insert_intent($node, 'second', undef);
wait_until_settled($node);
is(sql("SELECT count(*) FROM kgwebhook.delivery_log WHERE event = 'endpoint.failing' AND subscription_id = $watcher"), '1', 'once');

# it is back
sql("SELECT kg_resume_subscription($failing)");
sql("SELECT kg_update_subscription($failing, '@{[ $ours->url('/ok?again') ]}')");
insert_intent($node, 'third', undef);
$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM kgwebhook.delivery_log WHERE event = 'endpoint.recovered' AND subscription_id = $silent AND outcome = 'acknowledged'")
  or die 'not told';
is(sql("SELECT told_at IS NULL AND failing_since IS NULL FROM kgwebhook.subscription WHERE subscription_id = $failing"), 't', 'it is back, and that is told');

# it is gone
sql("SELECT kg_update_subscription($failing, '@{[ $ours->url('/status/410') ]}')");
insert_intent($node, 'fourth', undef);
$node->poll_query_until('postgres', "SELECT count(*) = 2 FROM kgwebhook.delivery_log WHERE event = 'endpoint.disabled' AND subscription_id = $of_all AND outcome = 'acknowledged'")
  or die 'not told';
my ($last) = sql("SELECT request_body FROM kgwebhook.delivery_log WHERE event = 'endpoint.disabled' AND subscription_id = $of_all ORDER BY attempt_id DESC LIMIT 1");
like($last, qr/"org_id":"default".*"reason":"answered with status 410".*"type":"endpoint.disabled".*\/status\/410/, 'with which endpoint it is, and why');

done_testing();
