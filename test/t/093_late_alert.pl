#-------------------------------------------------------------------------
#
# test/t/093_late_alert.pl
#	  The alert for late deliveries: silent where everything is as it should be,
#	  however long it takes, and fires when a worker is stuck.
#
# A real server is brought into each of the states; what the exporter's query says of
# it is put to promtool with the alert's real rule, as if it stayed like that for an
# hour.  The states are the ones in which much waits, for long, and rightly:
#
#	an organization without a secret	 waits for someone to make one
#	a merchant whose receiver fails		 what is behind a status waits for that
#	a backlog that is worked off		 all of it is due, some for an hour
#	a subscription with a rate limit	 the same, and nothing of it is in flight
#
# That the backlog has 3,000 deliveries here and not 200,000 makes no difference to
# the rule: it asks whether its destination is being sent to.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use IPC::Run qw(run);
use Kgwebhook;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = abs_path(dirname(__FILE__) . '/../..');
my ($promtool) = grep { -x $_ } "$top/test/monitoring/tools/promtool", map { "$_/promtool" } split /:/, $ENV{PATH};
plan skip_all => 'there is no promtool here, nor an apt to fetch it with' unless $promtool;

my $dir = PostgreSQL::Test::Utils::tempdir('alert');
my $node = new_node('main', 'autovacuum' => 'off', 'kgwebhook.retry_schedule' => "'50ms,50ms,1h'");
my $receiver = start_receiver(secret => make_intents_table($node));
$node->safe_psql('postgres', 'CREATE ROLE watchman LOGIN IN ROLE pg_monitor');

# What the exporter asks of kgwebhook.pending.
my ($query) = slurp_file("$top/monitoring/postgres_exporter.yaml") =~ /^kgwebhook_pending:\n  query: \|\n(.*?)^  metrics:/ms;

# How many wait for each thing, and for how long the longest overdue has been due.
sub pending
{
	my %pending;

	foreach (split /\n/, $node->safe_psql('postgres', "SET ROLE watchman; $query"))
	{
		my ($database, $waits_for, $deliveries, $oldest, $overdue) = split /\|/;
		next unless defined $overdue;
		$pending{$waits_for} = { deliveries => $deliveries, oldest => $oldest, overdue => int($overdue / 60) * 60 };
	}
	return \%pending;
}

# Whether promtool expects these alerts when things stay as they are for an hour.
sub alerts_as
{
	my ($pending, $what, @expected) = @_;
	my $file = "$dir/test.yaml";
	my $out = '';
	my $series = join '', map {
		my ($waits_for, $now) = ($_, $pending->{$_});
		my $labels = qq({datname="shop", waits_for="$waits_for"});
		"      - {series: 'kgwebhook_pending_deliveries$labels', values: '$now->{deliveries}x60'}\n"
		  . "      - {series: 'kgwebhook_pending_oldest_seconds$labels', values: '" . int($now->{oldest}) . "+60x60'}\n"
		  . "      - {series: 'kgwebhook_pending_overdue_seconds$labels', values: '$now->{overdue}x60'}\n"
	} sort keys %$pending;

	unlink $file;
	append_to_file($file, "rule_files: [$top/monitoring/alerts.yaml]\nevaluation_interval: 1m\ntests:\n"
		  . "  - interval: 1m\n    input_series:\n$series    alert_rule_test:\n"
		  . "      - eval_time: 55m\n        alertname: KgwebhookLate\n        exp_alerts: [@expected]\n");
	ok(run([ $promtool, 'test', 'rules', $file ], '>', \$out, '2>&1'), $what) or diag($out, slurp_file($file));
	return;
}

#
# What waits, and rightly
#
insert_intent($node, "secretless $_", $receiver->url, org_id => "'acme'") foreach 1 .. 3;
foreach (1 .. 6)
{
	insert_intent($node, "missing $_", $receiver->url('/status/404'));
	set_status($node, "missing $_", 'success');
}
$node->poll_query_until('postgres', q{
	SELECT count(*) FILTER (WHERE waits_for = 'secret') = 3 AND count(*) FILTER (WHERE waits_for IN ('older', 'destination')) >= 6
	  FROM kgwebhook.pending}) or die 'not as it should be';
$receiver->hold('drain');
$node->safe_psql('postgres', qq{
	INSERT INTO payment_intents (payment_intent_id, callback_url)
	SELECT 'drain' || i, '@{[ $receiver->url('/while/drain/ok') ]}' FROM generate_series(1, 3000) i});
$node->safe_psql('postgres', q{
	UPDATE kgwebhook.queue SET enqueued_at = enqueued_at - interval '1 hour',
		next_attempt_at = CASE WHEN isfinite(next_attempt_at) AND attempts = 0 THEN now() - interval '1 hour' ELSE next_attempt_at END});
$node->poll_query_until('postgres', 'SELECT in_flight > 0 FROM kgwebhook.stats') or die 'nothing goes';
my $calm = start_receiver();
$node->safe_psql('postgres', "SELECT kg_create_secret('calm'), kg_subscribe('calm', '@{[ $calm->url ]}', rate_limit => 0.01)");
insert_intent($node, "calm $_", undef, org_id => q{'calm'}) foreach 1 .. 3;
$node->safe_psql('postgres', q{
	UPDATE kgwebhook.queue SET enqueued_at = enqueued_at - interval '1 hour', next_attempt_at = now() - interval '1 hour' WHERE org_id = 'calm'});
$node->poll_query_until('postgres', q{SELECT count(*) BETWEEN 2 AND 3 FROM kgwebhook.pending WHERE waits_for = 'rate'}) or die 'not at its rate';
my $rightly = pending();
is($rightly->{secret}{deliveries}, 3, 'some wait for a secret');
cmp_ok($rightly->{older}{deliveries} + $rightly->{destination}{deliveries}, '>=', 6, 'some are behind one that fails');
cmp_ok($rightly->{window}{deliveries} + $rightly->{destination}{deliveries}, '>=', 2900, 'and many wait for room');
cmp_ok($rightly->{rate}{deliveries}, '>=', 2, 'some for their rate');
cmp_ok($_->{oldest}, '>=', 3600, 'for an hour') foreach grep { $_->{deliveries} > 0 } values %$rightly;
alerts_as($rightly, 'the alert is silent');

#
# A worker that is stuck
#
$receiver->release('drain');
wait_until_settled($node, q{object_id LIKE 'drain%'});
my ($pid) = worker_pids($node, 'postgres');
kill 'STOP', $pid;
insert_intent($node, 'stuck', 'https://another.example/');
$node->safe_psql('postgres', q{UPDATE kgwebhook.queue SET next_attempt_at = now() - interval '11 min' WHERE object_id = 'stuck'});
my $stuck = pending();
cmp_ok($stuck->{turn}{overdue}, '>=', 660, 'it is seen that one waits for nothing');
my $minutes = $stuck->{turn}{overdue} / 60;
alerts_as($stuck, 'the alert fires', <<"END" =~ s/\n//gr);
{exp_labels: {severity: page, datname: shop, waits_for: turn},
 exp_annotations: {summary: "Deliveries of database shop are due and not sent",
 description: "One has been due for ${minutes}m 0s, although neither its destination nor a retry keeps it waiting. SELECT * FROM kgwebhook.pending WHERE waits_for = 'turn' ORDER BY next_attempt_at."}}
END
kill 'CONT', $pid;

$node->stop;
$receiver->stop;
done_testing();
