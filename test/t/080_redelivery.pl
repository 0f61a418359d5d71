#-------------------------------------------------------------------------
#
# test/t/080_redelivery.pl
#	  Sending again: kg_redeliver(), kg_redeliver_object(), kg_recover(), what
#	  kg_reconcile() and kg_explain() say before and after; and kg_replay().
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Test::More;

my $node = new_node('main', 'kgwebhook.retry_schedule' => "'10ms,10ms'");
my $secret = make_intents_table($node);
my $receiver = start_receiver(secret => $secret);

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sub seen
{
	my ($id) = @_;

	return $receiver->requests(if => sub { $_[0]{json}{payment_intent_id} eq $id });
}

sub told
{
	my ($id) = @_;

	return sql("SELECT kg_explain(max(delivery_id)) FROM kgwebhook.deliveries WHERE object_id = '$id'");
}

#
# One that was acknowledged
#
insert_intent($node, 'had', $receiver->url);
wait_until_settled($node);
my $delivery = sql(q{SELECT delivery_id FROM kgwebhook.delivery_log WHERE object_id = 'had'});
like(told('had'), qr/of payment_intent had of organization default.*acknowledged after \d+ ms.*nothing is left to do/s, 'acknowledged, in words');
is(sql("SELECT kg_redeliver($delivery)"), $delivery, 'kg_redeliver says which delivery it sends');
wait_for_log_rows($node, 2, q{object_id = 'had'});
my @had = seen('had');
is(scalar(@had), 2, 'the receiver gets it once more');
is($had[1]{headers}{'webhook-id'}, $had[0]{headers}{'webhook-id'}, 'with the same webhook-id');
is($had[1]{headers}{'webhook-attempt'}, 2, 'as a new attempt');
is( sql(q{SELECT state, attempts FROM kgwebhook.deliveries WHERE object_id = 'had'}),
	'acknowledged|2', 'it is one delivery still');

like(sql_error($node, 'SELECT kg_redeliver(987654321)'),
	qr/P0002: delivery 987654321 does not exist.*HINT:/s, 'no such delivery');
like(sql_error($node, q{SELECT kg_redeliver_object('nobody')}),
	qr/P0002: nothing can be sent again for "nobody"/, 'no such object');
my $test = sql("SELECT delivery_id FROM kg_send_test('" . $receiver->url . "')");
like(sql_error($node, "SELECT kg_redeliver($test)"), qr/55000: delivery \d+ was a test/, 'a test is no delivery');

like(sql_error($node, 'SELECT kg_reconcile(NULL)'), qr/22004: since must not be null.*HINT:/s, 'since is needed');
like(sql_error($node, q{SELECT kg_reconcile('-1 day')}), qr/22023: since is negative.*DETAIL:  It is -1 days;.*HINT:/s,
	'and in the past');

#
# One that was given up, and is in order again
#
insert_intent($node, 'dead', $receiver->url('/fail/3/ok'));
wait_until_settled($node);
like(told('dead'), qr/given up at .*gave up after 3 attempts.*kg_redeliver\(\d+\)/s, 'a dead letter, in words');
is(sql(q{SELECT object_id, state, why LIKE 'gave up%' FROM kg_reconcile()}),
	'dead|dead|t', 'kg_reconcile knows of it');
is(sql(q{SELECT count(*) FROM kg_redeliver_object('dead')}), 1, 'back into the queue');
wait_until_settled($node);
is(sql(q{SELECT state, attempts FROM kgwebhook.deliveries WHERE object_id = 'dead'}),
	'acknowledged|4', 'and delivered');
is(sql('SELECT count(*) FROM kgwebhook.dead_letter'), 0, 'it is no dead letter any more');
is(sql('SELECT count(*) FROM kg_reconcile()'), 0, 'nothing is unacknowledged');

# It has the whole schedule before it again.
insert_intent($node, 'long', $receiver->url('/fail/5/ok'));
wait_until_settled($node);
sql(q{SELECT kg_redeliver_object('long')});
wait_until_settled($node);
is(sql(q{SELECT state, attempts FROM kgwebhook.deliveries WHERE object_id = 'long'}),
	'acknowledged|6', 'three more attempts, and not one');

# A URL that was corrected by hand
sql(q{ALTER TABLE payment_intents DISABLE TRIGGER kgwebhook_check});
insert_intent($node, 'typo', 'ftp://127.0.0.1/x');
sql(q{ALTER TABLE payment_intents ENABLE TRIGGER kgwebhook_check});
wait_until_settled($node);
sql("UPDATE kgwebhook.dead_letter SET url = '" . $receiver->url . "' WHERE object_id = 'typo'");
sql(q{SELECT kg_redeliver_object('typo')});
wait_until_settled($node);
is( sql(q{SELECT state, destination FROM kgwebhook.deliveries WHERE object_id = 'typo'}),
	'acknowledged|' . $receiver->destination, 'its destination is that of the new URL');

#
# An outage, longer than the schedule
#
my $down = start_receiver(secret => $secret);
my $since = sql('SELECT now()');
my $url = $down->url;
my $port = $down->port;
$down->stop;
foreach my $id (1 .. 5)
{
	insert_intent($node, "lost$id", $url);
	set_status($node, "lost$id", 'success');
}
wait_until_settled($node);
is(sql('SELECT count(*) FROM kgwebhook.dead_letter'), 10, 'all of it died');
is(sql('SELECT count(*), count(DISTINCT object_id), min(event) FROM kg_reconcile()'),
	'5|5|payment_intent.success', 'kg_reconcile shows the latest of each object');
is(sql("SELECT kg_recover('$since', dry_run => true)"), 10, 'a dry run counts');
is(sql('SELECT count(*) FROM kgwebhook.queue'), 0, 'and does nothing');
is(sql("SELECT kg_recover('$since', destination => 'https://elsewhere.example:443')"), 0, 'another destination has lost nothing');
is(sql("SELECT kg_recover('$since', org_id => 'other')"), 0, 'nor has another organization');
$down = start_receiver(secret => $secret, port => $port);
reload($node, 'kgwebhook.retry_schedule' => "'100ms,1min,1min'");
is(sql("SELECT kg_recover('$since', destination => '" . uc($down->destination) . "')"), 10, 'kg_recover queues it again');
wait_until_settled($node);
is(sql("SELECT kg_recover('$since')"), 0, 'once');
my %order;
push @{ $order{ $_->{json}{payment_intent_id} } }, $_->{json}{status} foreach $down->requests;
is_deeply(\%order, { map { ("lost$_" => [ 'pending', 'success' ]) } 1 .. 5 }, 'everything arrives, in order');
is(sql('SELECT count(*) FROM kg_reconcile()'), 0, 'nothing is unacknowledged');

# What a newer status has overtaken stays away.
reload($node, 'kgwebhook.retry_schedule' => "'10ms,10ms'");
insert_intent($node, 'past', $receiver->url('/refuse/pending/ok'));
wait_until_settled($node);
set_status($node, 'past', 'success');
wait_until_settled($node);
my ($code, $out, $err) = $node->psql('postgres', "SELECT kg_recover('$since')");
is($out, 0, 'an older status is not sent after a newer one');
like($err, qr/1 deliveries were left out.*newer status.*kg_redeliver/s, 'which it says');

like(sql_error($node, 'SELECT kg_recover(NULL)'), qr/22004: since, until and dry_run must not be null/, 'since is needed');
like(sql_error($node, q{SELECT kg_recover(now(), now() - interval '1 day')}),
	qr/22023: the span to recover ends before it begins/, 'and has to be before until');
like(sql_error($node, q{SELECT kg_recover('-infinity', destination => 'shop.example')}),
	qr/22023: "shop\.example" is not a destination.*scheme:\/\/host:port/s, 'a host alone is no destination, which "0" would hide');
like(sql_error($node, q{SELECT kg_recover('-infinity', destination => 'https://shop.example:99999')}),
	qr/22023: "https:\/\/shop\.example:99999" is not a destination/, 'nor is what has no such port');
like(sql_error($node, q{SELECT kg_recover('-infinity', destination => 'https://shop.example/hook')}),
	qr/22023: .*is not a destination.*The destination of such a URL is https:\/\/shop\.example:443\./s, 'of a URL it says which one it has');

#
# Recorded events, once more to a receiver of one's own
#
my %secret_of = map { $_ => sql("SELECT kg_create_secret('$_')") } 'acme', 'beta';
my $theirs = start_receiver(secret => $secret_of{acme});
my $desk = start_receiver(secret => $secret_of{acme});
$since = sql('SELECT now()');
my $subscription = sql("SELECT kg_subscribe('acme', '" . $theirs->url('/ok/all') . "', events => '{*.success}')");
sql("SELECT kg_send_test('" . $theirs->url . "', 'acme')");
insert_intent($node, 'r1', $theirs->url, org_id => "'acme'");
insert_intent($node, 'r2', $theirs->url('/fail/1/ok'), org_id => "'acme'");
insert_intent($node, 'b1', $receiver->url, org_id => "'beta'");
wait_until_settled($node);
set_status($node, 'r1', 'success');
wait_until_settled($node);
sql("SELECT kg_redeliver(min(delivery_id)) FROM kgwebhook.delivery_log WHERE object_id = 'r1'");
wait_until_settled($node);

sub replay
{
	my ($path, $more) = @_;

	return map { [ split /\|/, $_, -1 ] } split /\n/,
	  sql("SELECT concat_ws(' ', object_id, event), outcome, response_status, translate(response_body, e'\\n', ' '), error, webhook_id"
		  . " FROM kg_replay('acme', '" . $desk->url($path) . "', " . ($more // "'$since'") . ')');
}
sub unchanged
{
	return sql(q{SELECT (SELECT concat(count(*), max(attempt_id)) FROM kgwebhook.delivery_log),
	                    (SELECT string_agg(concat_ws(' ', delivery_id, state, attempts), ',' ORDER BY delivery_id) FROM kgwebhook.deliveries),
	                    (SELECT concat_ws(' ', acknowledged, rejected, unreachable, blocked, timed_out, invalid, queue_depth) FROM kgwebhook.stats)});
}
my $before = unchanged();
my @rows = replay('/ok');
is_deeply([ map { "$_->[0] $_->[1] $_->[2]$_->[4]" } @rows ],
	[
		'r1 payment_intent.pending acknowledged 200',
		'r2 payment_intent.pending acknowledged 200',
		'r1 payment_intent.success acknowledged 200'
	],
	'each event of the organization once, in order, whatever was sent again, and no test');
my @replayed = $desk->requests;
is(join(' ', map { "$_->{json}{payment_intent_id}.$_->{json}{status}" } @replayed), 'r1.pending r2.pending r1.success', 'so they arrive');
is(join(' ', map { "$_->{valid}$_->{headers}{'webhook-attempt'}$_->{headers}{'webhook-replay'}" } @replayed),
	'11true 11true 11true', 'stamped and signed now, and marked');
is(join(' ', map { $_->[5] } @rows), join(' ', map { $_->{headers}{'webhook-id'} } @replayed), 'the rows say which');
my @originals = $theirs->requests;
is(scalar(grep { exists $_->{headers}{'webhook-replay'} } @originals), 0, 'no delivery is marked');
my ($original) = grep { $_->{headers}{'webhook-id'} eq $rows[1][5] } @originals;
my %members = map { $_ => 1 } keys %{ $original->{json} }, keys %{ $replayed[1]{json} };
delete @members{ 'timestamp', 'signature' };
is_deeply([ map { $replayed[1]{json}{$_} } sort keys %members ], [ map { $original->{json}{$_} } sort keys %members ],
	'with the members and the webhook-id that they had');
is(unchanged(), $before, 'nothing is logged, counted or changed');
like(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/LOG:  kgwebhook: "[^"]+" replays events of organization "acme" to \Q@{[ $desk->destination ]}\E\n/, 'but in the server\'s log');

sql("SELECT kg_set_headers($subscription, bearer_token => 'only-theirs')");
$desk->set_secret(my $own = sql("SELECT kg_create_secret($subscription)"));
is_deeply([ map { $_->[0] } replay('/ok', "'$since', subscription_id => $subscription") ],
	['r1 payment_intent.success'], 'of one subscription, what it was sent');
is(($desk->requests)[-1]{valid}, 1, 'signed with its own secret');
is(($desk->requests)[-1]{headers}{authorization}, undef, 'and without the token that is for its host');
$desk->set_secret($secret_of{acme});

is(sql("SELECT count(*) > 0 FROM kg_forget('acme', 'r2')"), 't', 'one is forgotten');
my $count = $desk->requests;
@rows = replay('/ok');
is_deeply([ map { "$_->[0] $_->[1]$_->[4]" } @rows ],
	[
		'r1 payment_intent.pending acknowledged',
		'r2 payment_intent.pending not sent: kg_forget() has removed its payload',
		'r1 payment_intent.success acknowledged'
	],
	'and left out, which is said');
is(scalar(() = $desk->requests), $count + 2, 'nothing of it is sent');
is_deeply([ map { $_->[0] } replay('/ok', q{now() + interval '1 hour'}) ], [], 'nothing was sent since then');

($code, $out, $err) = $node->psql('postgres', "SELECT count(*) FROM kg_replay('acme', '" . $desk->url . "', '$since', 1)");
is($out, 1, 'no more than are wanted');
like($err, qr/NOTICE:  there are more events than were replayed.*first 1 of them.*larger max_events/s, 'which is said');

@rows = replay('/status/500');
is(join(' ', map { "$_->[1]$_->[2]" } @rows), 'rejected500  rejected500', 'what it refuses is not sent again, and the next one is');
$count = $desk->requests;
@rows = replay('/close');
is(scalar(() = $desk->requests), $count + 1, 'what gets no answer is the last');
is("$rows[0][1], $rows[2][1]$rows[2][4]", 'unreachable, not sent: one before it got no answer', 'which is said, too');
is(sql("SELECT string_agg(outcome, ' ') FROM kg_replay('acme', 'http://169.254.169.254/', '$since')"), 'blocked', 'the SSRF filter holds');
($code, $out, $err) = $node->psql('postgres',
	"SET statement_timeout = '300ms'; SELECT count(*) FROM kg_replay('acme', '" . $desk->url('/hang') . "', '$since')");
like($err, qr/statement timeout.*CONTEXT:.*Events that have been replayed: 0\./s, 'it can be cancelled');
is(unchanged() =~ s/\|.*//sr, $before =~ s/\|.*//sr, 'none of all this is in the log');

like(sql_error($node, "SELECT * FROM kg_replay('acme', 'ftp://x/', now())"), qr/22023: URL cannot be called/, 'a URL that cannot be called');
like(sql_error($node, "SELECT * FROM kg_replay('acme', 'https://x.example/', NULL)"), qr/22004: since and max_events must not be null/, 'since is needed');
like(sql_error($node, "SELECT * FROM kg_replay('acme', 'https://x.example/', now(), $_)"), qr/22023: max_events is out of range.*1 to 1000/s, "not $_ events")
  foreach 0, 1001;
like(sql_error($node, "SELECT * FROM kg_replay('beta', 'https://x.example/', now(), subscription_id => $subscription)"),
	qr/P0002: subscription $subscription does not exist/, 'another organization\'s subscription');
like(sql_error($node, "SELECT * FROM kg_replay('none', 'https://x.example/', now())"), qr/55000: organization "none" has no signing secret/, 'no secret');
sql(q{CREATE ROLE merchant; SELECT kg_grant_org('merchant', 'acme')});
like(sql_error($node, "SET ROLE merchant; SELECT * FROM kg_replay('acme', 'https://x.example/', now())"),
	qr/42501: permission denied for function kg_replay/, 'it is not for merchants');
sql("SELECT kg_unsubscribe($subscription)");
sql('CREATE DATABASE copy TEMPLATE postgres');
is($node->safe_psql('copy', "SELECT count(*) FROM kg_replay('acme', '" . $desk->url . "', '$since') WHERE outcome = 'acknowledged'"),
	2, 'a copy that has not been adopted replays, too');

#
# What kg_explain says of what is still queued
#
reload($node, 'kgwebhook.retry_schedule' => "'1h,1h'");
insert_intent($node, 'later', $receiver->url('/status/500'));
wait_for_log_rows($node, 1, q{object_id = 'later'});
set_status($node, 'later', 'success');
like(told('later'), qr/No attempt has been made.*waits for delivery \d+, an older status of the same object \(payment_intent\.pending\)/s, 'behind an older one');
like(sql(q{SELECT kg_explain(min(delivery_id)) FROM kgwebhook.queue WHERE object_id = 'later'}),
	qr/number 1, .*rejected.*status 500.*Next is attempt 2, at .*, in 00:.*why its receiver answers 500/s, 'its next attempt, and what to do');
sql('SELECT kg_pause()');
like(told('later'), qr/everything is paused since .*This is sent once that is over\.\nWhat to do: SELECT kg_resume\(\);/, 'paused');
sql('SELECT kg_resume()');
insert_intent($node, 'mute', $receiver->url, org_id => "'mute'");
wait_for_log_rows($node, 1, q{object_id = 'mute'});
like(told('mute'), qr/waits for a signing secret of organization mute\..*\nWhat to do: SELECT kg_create_secret\('mute'\);/, 'without a secret');

# Probes of its destination may come sooner than its own time, and aren't for it.
my $silent = start_receiver();
$silent->stop;
insert_intent($node, "silent$_", $silent->url) foreach 1 .. 5;
wait_for_log_rows($node, 5, q{object_id LIKE 'silent%'});
set_status($node, 'silent1', 'success');
$node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM kgwebhook.destinations WHERE state = 'backing_off')});
my ($again) = sql(q{SELECT kg_explain(min(delivery_id)) FROM kgwebhook.queue WHERE object_id = 'silent1'})
  =~ /(?:cannot be reached|is failing|has succeeded since) \(5 failures in a row\)\. The next probe is at (\S+ \S+); this is sent once one succeeds/;
is(sql("SELECT '$again' > now() + interval '40 min'"), 't', 'its destination is backing off');
ok( $node->poll_query_until('postgres',
		q{SELECT next_try > now() + interval '40 min' FROM kgwebhook.destinations WHERE state = 'backing_off'}),
	'which has nothing to probe it with until then');
sql(q{DELETE FROM kgwebhook.queue WHERE object_id LIKE 'silent%'});

reload($node, 'kgwebhook.enabled' => 'off');
$node->poll_query_until('postgres', q{SELECT worker_state = 'disabled' FROM kgwebhook.stats});
like(told('later'), qr/Nothing is delivered: kgwebhook\.enabled is off\. This is sent once that is over\./, 'switched off');
like(sql('SELECT kg_explain(987654321)'), qr/^Delivery 987654321 is not known/, 'and what was never there');

# A retry that waits is hurried, and twice is not more.
is(sql(q{SELECT count(*) FROM kg_redeliver_object('later')}), 2, 'both are hurried');
is(sql(q{SELECT count(*) FROM kg_redeliver_object('later')}), 2, 'twice');
is(sql(q{SELECT count(*), max(next_attempt_at) <= now() FROM kgwebhook.queue WHERE object_id = 'later'}),
	'2|t', 'and are there once');

$node->stop;
done_testing();
