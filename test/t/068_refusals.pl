#-------------------------------------------------------------------------
#
# test/t/068_refusals.pl
#	  Only a refusal supersedes.  What never got an answer with a status holds its
#	  object's newer ones for as long as it takes, however few the objects are and
#	  whatever is restarted in between; and no restart, pause or reload begins the
#	  hold of what is refused again.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Kgwebhook::Certificates;
use Test::More;

my $certificates = Kgwebhook::Certificates->new;
$certificates->make('authority');
$certificates->make('expired', by => 'authority', for => 'IP:127.0.0.1',
	from => '20200101000000Z', until => '20200201000000Z');
$certificates->make('misnamed', by => 'authority', for => 'DNS:merchant.example');

# Four attempts, too few to open a breaker, of which the last comes long after
# max_hold.
my $schedule = "'20ms,20ms,1s,1s,1s,1h'";
my $node = new_node(
	'main',
	'kgwebhook.retry_schedule' => $schedule,
	'kgwebhook.request_timeout' => "'3s'",
	'kgwebhook.ca_file' => "'@{[ $certificates->file('authority.crt') ]}'",
	'kgwebhook.max_hold' => "'100ms'");
my $secret = make_intents_table($node);
my $receiver = start_receiver(secret => $secret);

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sub first_statuses
{
	my ($from, $id) = @_;
	my %seen;

	return join ' ', grep { !$seen{$_}++ } split / /, $from->statuses($id);
}

sub superseded
{
	my ($id) = @_;

	return sql("SELECT count(*) FROM kgwebhook.delivery_log WHERE object_id LIKE '$id' AND outcome = 'superseded'");
}

#
# One payment, and nobody answers
#
my $down = start_receiver(secret => $secret);
$down->stop;
(my $tls = $receiver->url) =~ s/^http:/https:/;
my %silent = (
	refused => [ $down->url, 4 ],
	tls => [ $tls, 4 ],
	blocked => [ 'http://10.0.0.7/', 4 ],
	hangs => [ start_receiver()->url('/hang'), 2 ]);
$silent{$_} = [ $certificates->receiver($_, secret => $secret)->url, 4 ] foreach qw(expired misnamed);

foreach my $id (sort keys %silent)
{
	insert_intent($node, $id, $silent{$id}[0]);
	set_status($node, $id, 'success');
}
my %fault = (expired => qr/has expired/, misnamed => qr/certificate is for another host/);
foreach my $id (sort keys %silent)
{
	my @rows = wait_for_log_rows($node, $silent{$id}[1], "object_id = '$id'");
	like($rows[0]{error}, $fault{$id}, "$id: that is what is wrong") if $fault{$id};
	is( sql("SELECT DISTINCT event FROM kgwebhook.delivery_log WHERE object_id = '$id' AND outcome IN ('unreachable', 'timed_out', 'blocked')"),
		'payment_intent.pending', "$id: goes on being tried");
	is(superseded($id), 0, 'and is not superseded');
	like( sql("SELECT kg_explain(max(delivery_id)) FROM kgwebhook.queue WHERE object_id = '$id'"),
		qr/an older status of the same object \([\w.]+\), which goes first\. Only one that is refused is superseded|can't be reached|cannot be reached|is failing/, 'which kg_explain says');
}

# Several of them, and a restart while they back off
insert_intent($node, "six$_", $down->url) foreach 1 .. 6;
set_status($node, "six$_", 'success') foreach 1 .. 6;
$node->poll_query_until('postgres', q{
	SELECT EXISTS (SELECT FROM kgwebhook.destinations WHERE state = 'backing_off' AND failures_in_a_row > 6)})
  or die 'waited for an outage';
my $logged = sql(q{SELECT count(*) FROM kgwebhook.delivery_log WHERE object_id LIKE 'six%'});
$node->restart;
wait_for_log_rows($node, $logged + 3, q{object_id LIKE 'six%'});
is(superseded('six%'), 0, 'nothing is superseded after a restart');
my $up = start_receiver(secret => $secret, port => $down->port);
sql(qq{SELECT kg_redeliver(delivery_id) FROM kgwebhook.queue WHERE url = '@{[ $down->url ]}'});
wait_until_settled($node, q{object_id LIKE 'six%' OR object_id = 'refused'});
is_deeply([ map { first_statuses($up, $_) } 'refused', map { "six$_" } 1 .. 6 ],
	[ ('pending success') x 7 ], 'everything arrives in order when the outage is over');
sql('DELETE FROM kgwebhook.queue');

#
# What is refused: the hold is written down, and ends when it is said to
#
reload($node, 'kgwebhook.retry_schedule' => "'20ms,20ms,1h,1h,1h'", 'kgwebhook.max_hold' => "'30min'",
	'kgwebhook.request_timeout' => "'60s'");

sub refuse
{
	my ($id, $path) = @_;

	insert_intent($node, $id, $receiver->url($path));
	set_status($node, $id, 'success');
	wait_for_log_rows($node, 3, "object_id = '$id'");
	$node->poll_query_until('postgres', qq{SELECT EXISTS (SELECT FROM kgwebhook.queue WHERE object_id = '$id' AND attempts = 3)});
	return;
}

# As if it had been so for an hour, of which nobody has seen anything since
sub let_an_hour_pass
{
	my ($id) = @_;

	sql(qq{UPDATE kgwebhook.queue SET refused_at = refused_at - interval '1 hour' WHERE object_id = '$id' AND attempts > 0});
	return;
}

refuse('held', '/refuse/pending/ok');
is( sql(q{
	SELECT q.held BETWEEN 1 AND extract(epoch FROM q.refused_at - l.started_at) * 1000000
	  FROM kgwebhook.queue q JOIN kgwebhook.delivery_log l USING (delivery_id) WHERE l.attempt = 1 AND l.object_id = 'held'}),
	't', 'it counts from the first refusal');
is(sql(q{SELECT pg_stat_get_tuples_hot_updated('kgwebhook.queue'::regclass) > 0}), 't', 'in place');
my $until = sql(q{SELECT date_trunc('second', refused_at - held * interval '1 microsecond' + interval '30 min')
	  FROM kgwebhook.queue WHERE object_id = 'held' AND attempts > 0});
like( sql(q{SELECT string_agg(e, E'\n') FROM kg_explain('held') e}),
	qr/Next is attempt 4.*Delivery \d+, a newer status .*, waits for it\. If it is refused until \Q$until\E, it is superseded.*waits for delivery \d+, an older status .* If it is refused until \Q$until\E/s,
	'and kg_explain says when it ends');
let_an_hour_pass('held');
$node->restart;
wait_until_settled($node, q{object_id = 'held'});
is(first_statuses($receiver, 'held'), 'pending success', 'a restart does not begin it again');

# The worker that is stopped may have begun that attempt, and the next begins it again
like( sql(q{SELECT string_agg(outcome, ' ' ORDER BY attempt_id) FROM kgwebhook.delivery_log WHERE object_id = 'held'}),
	qr/^(rejected ){4,5}superseded acknowledged$/, 'but there is one more attempt before it is superseded');

# That attempt has the last word
refuse('taken', '/fail-each/3/ok');
let_an_hour_pass('taken');
wait_until_settled($node, q{object_id = 'taken' AND event LIKE '%.pending'});
is( sql(q{SELECT string_agg(outcome, ' ' ORDER BY attempt_id) FROM kgwebhook.delivery_log WHERE object_id = 'taken' AND event LIKE '%.pending'}),
	'rejected rejected rejected acknowledged', 'a receiver that takes it by then gets it');

my $gone = start_receiver(secret => $secret);
insert_intent($node, 'gone', $gone->url('/refuse/pending/ok'));
set_status($node, 'gone', 'success');
wait_for_log_rows($node, 3, q{object_id = 'gone'});
$node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM kgwebhook.queue WHERE object_id = 'gone' AND attempts = 3)});
$gone->stop;
reload($node, 'kgwebhook.retry_schedule' => "'20ms,20ms,20ms,1h,1h'");
let_an_hour_pass('gone');
$node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM kgwebhook.queue WHERE object_id = 'gone' AND attempts = 4)});
is( sql(q{SELECT refused_at IS NULL, held < 60000000 FROM kgwebhook.queue WHERE object_id = 'gone' AND attempts = 4}),
	't|t', 'one that is not answered then is no refusal, and the hour does not count');
is(superseded('gone'), 0, 'nor is it superseded');

# The same when everything is paused or read again
reload($node, 'kgwebhook.retry_schedule' => "'20ms,20ms,1h,1h,1h'");
refuse('paused', '/refuse/pending/ok');
sql('SELECT kg_pause()');
let_an_hour_pass('paused');
sql('SELECT kg_resume()');
wait_until_settled($node, q{object_id = 'paused'});
is(superseded('paused'), 1, 'a pause does not begin it again');

# Nobody waits at first
reload($node, 'kgwebhook.max_hold' => "'10ms'");
insert_intent($node, 'alone', $receiver->url('/refuse/pending/ok'));
wait_for_log_rows($node, 3, q{object_id = 'alone'});
set_status($node, 'alone', 'success');
wait_until_settled($node, q{object_id = 'alone'});
is(superseded('alone'), 1, 'time that nobody waited counts as well');

$node->stop;
done_testing();
