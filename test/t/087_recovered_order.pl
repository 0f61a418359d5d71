#-------------------------------------------------------------------------
#
# test/t/087_recovered_order.pl
#	  A dead letter that kg_recover() queues again never arrives after a newer
#	  status of its object: neither when that was on its way, nor when it was
#	  acknowledged between kg_recover()'s look and the worker's.  Nor does what has
#	  waited for a paused subscription whose URL the object's own has become.  Where
#	  that one isn't paused, the newer one waits for the older, and the other way round.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Test::More;

my $node = new_node('main', 'kgwebhook.retry_schedule' => "'10ms,10ms'",
	'kgwebhook.request_timeout' => "'60s'");
my $secret = make_intents_table($node);
my $receiver = start_receiver(secret => $secret);
my $superseded = q{outcome = 'superseded' AND final AND error LIKE 'a newer status of the object was acknowledged%'};

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# An object's pending is a dead letter, and its success is on its way and held there.
sub overtaking
{
	my ($id, $path, %columns) = @_;

	insert_intent($node, $id, $receiver->url($path), %columns);
	$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM kgwebhook.dead_letter WHERE object_id = '$id'")
	  or die "waited for $id to die";
	$receiver->hold('held');
	set_status($node, $id, 'success');
	$receiver->wait_for_requests(1, if => sub { $_[0]{json}{payment_intent_id} eq $id && $_[0]{json}{status} eq 'success' });
	return sql("SELECT delivery_id FROM kgwebhook.dead_letter WHERE object_id = '$id'");
}

sub recover
{
	return sql(q{SELECT kg_recover(now() - interval '1 hour')});
}

# Returns when a worker has met what is in the queue.
my $markers = 0;

sub meet
{
	insert_intent($node, 'marker' . ++$markers, $receiver->url('/ok?marker'));
	wait_for_log_rows($node, 1, "object_id = 'marker$markers' AND subscription_id IS NULL AND outcome = 'acknowledged'");
	return;
}

# On its way while kg_recover() runs
my $delivery = overtaking('flies', '/refuse/pending/while/held/ok');
is(recover(), 1, 'what nothing acknowledged has overtaken is queued');
is(sql("SELECT recovered IS NOT NULL FROM kgwebhook.queue WHERE delivery_id = $delivery"), 't', 'and marked');
$receiver->release('held');
wait_until_settled($node);
is($receiver->statuses('flies'), 'pending pending pending success', 'it is not sent after the newer one');
is(sql("SELECT count(*) FROM kgwebhook.delivery_log WHERE delivery_id = $delivery AND $superseded"), 1, 'and is superseded');
is(sql("SELECT state FROM kgwebhook.deliveries WHERE delivery_id = $delivery"), 'superseded', 'as its state says');
is(recover(), 0, 'it is not recovered again');

# A person says: send it
sql("SELECT kg_redeliver($delivery)");
wait_until_settled($node);
is($receiver->statuses('flies'), 'pending pending pending success pending pending pending', 'kg_redeliver sends it anyway');

# Recovered, and then sent again by hand while it waits
$delivery = overtaking('hand', '/refuse/pending/while/held/ok');
sql("DELETE FROM kgwebhook.dead_letter WHERE object_id = 'flies'");
is(recover(), 1, 'recovered');
is(sql("SELECT kg_redeliver($delivery)"), $delivery, 'and sent by hand');
$receiver->release('held');
wait_until_settled($node);
is($receiver->statuses('hand'), 'pending pending pending success pending pending pending', 'the later word counts');

# So does kg_amend(), after it has died again
sql("SELECT kg_amend($delivery, payload || '{\"symbol\": \"USDC\"}') FROM kgwebhook.dead_letter");
wait_until_settled($node);
is($receiver->statuses('hand'), 'pending pending pending success' . ' pending' x 6, 'what was amended is sent');
sql('DELETE FROM kgwebhook.dead_letter');

# Acknowledged after kg_recover() has looked, before what it queued can be seen; with a restart
$delivery = overtaking('late', '/refuse/pending/while/held/ok');
my $session = $node->background_psql('postgres');
$session->query_safe(q{BEGIN; SELECT kg_recover(now() - interval '1 hour')});
$receiver->release('held');
wait_for_log_rows($node, 1, q{object_id = 'late' AND outcome = 'acknowledged'});
sql('SELECT kg_pause()');
$session->query_safe('COMMIT');
$session->quit;
$node->restart;
is(sql("SELECT recovered IS NOT NULL FROM kgwebhook.queue WHERE delivery_id = $delivery"), 't', 'it waits in the queue');
sql('SELECT kg_resume()');
wait_until_settled($node);
is($receiver->statuses('late'), 'pending pending pending success', 'nor is it after a restart');
is(sql("SELECT count(*) FROM kgwebhook.delivery_log WHERE delivery_id = $delivery AND $superseded"), 1, 'but superseded');

# What others acknowledge, or what is not acknowledged, overtakes nothing
sql(q{
	SELECT kg_create_payment_intents('others');
	SELECT kg_create_secret('other')});
sql("SELECT kg_subscribe('default', '" . $receiver->url('/refuse/pending/ok') . "', '{*.success}')");
$delivery = overtaking('twice', '/while/held/status/500');
wait_for_log_rows($node, 1, q{object_id = 'twice' AND outcome = 'acknowledged' AND subscription_id IS NOT NULL});
sql("INSERT INTO others (payment_intent_id, org_id, callback_url) VALUES ('twice', 'other', '" . $receiver->url('/ok') . "')");
wait_for_log_rows($node, 1, q{object_id = 'twice' AND outcome = 'acknowledged' AND org_id = 'other'});
is(recover(), 1, 'recovered beside its namesake and a subscription');
meet();
$receiver->release('held');
wait_until_settled($node);
is( sql(q{SELECT string_agg(split_part(event, '.', 2) || attempt, ' ' ORDER BY attempt_id) FROM kgwebhook.delivery_log
		   WHERE object_id = 'twice' AND org_id = 'default' AND subscription_id IS NULL}),
	'pending1 pending2 pending3 success1 pending4 pending5 pending6 success2 success3',
	'it is sent, before the newer one is tried again');

# An object's own URL becomes that of a paused subscription, for which older events wait
sub moves_in
{
	my ($id) = @_;

	insert_intent($node, $id, $receiver->url('/ok?own'));
	wait_until_settled($node, "object_id = '$id' AND subscription_id IS NULL");
	sql("UPDATE payment_intents SET status = 'success', callback_url = '"
		  . $receiver->url('/while/held/ok?paused') . "' WHERE payment_intent_id = '$id'");
	return;
}

sub got_there
{
	my ($id) = @_;

	return join ' ', map { $_->{json}{status} }
	  $receiver->requests(if => sub { $_[0]{json}{payment_intent_id} eq $id && $_[0]{path} =~ /paused/ });
}

my $paused = sql("SELECT kg_subscribe('default', '" . $receiver->url('/while/held/ok?paused') . "', '{*}')");
sql("SELECT kg_pause_subscription($paused)");
insert_intent($node, 'stays', $receiver->url('/ok?own'));
moves_in('moves');
wait_until_settled($node, q{object_id = 'moves' AND event LIKE '%.success'});
$receiver->hold('held');
moves_in('flying');
$receiver->wait_for_requests(1, if => sub { $_[0]{json}{payment_intent_id} eq 'flying' && $_[0]{path} =~ /paused/ });
is( sql("SELECT string_agg(object_id || ' ' || event, ', ' ORDER BY delivery_id) FROM kgwebhook.queue WHERE subscription_id = $paused"),
	'stays payment_intent.pending, moves payment_intent.pending, flying payment_intent.pending', 'older ones wait for the subscription');
sql("SELECT kg_resume_subscription($paused)");
$receiver->wait_for_requests(1, if => sub { $_[0]{json}{payment_intent_id} eq 'stays' && $_[0]{path} =~ /paused/ });
$receiver->release('held');
wait_until_settled($node);
is(got_there('stays'), 'pending', 'what nothing has passed is sent');
is(got_there('moves'), 'success', 'what a newer status has passed is not');
is(got_there('flying'), 'success', 'nor while the newer one was on its way');
is(sql("SELECT string_agg(DISTINCT object_id, ' ') FROM kgwebhook.delivery_log WHERE subscription_id = $paused AND $superseded"),
	'flying moves', 'both are superseded, and say so');

# The receiver has resumed, and what comes now is as before
insert_intent($node, 'next', $receiver->url('/ok?own'));
wait_until_settled($node);
is(got_there('next'), 'pending', 'new events are sent');

# One that isn't paused: nobody listens there for a while
reload($node, 'kgwebhook.retry_schedule' => "'" . join(',', ('50ms') x 3, ('1s') x 20, ('5s') x 40) . "'", 'kgwebhook.max_hold' => "'700ms'");

sub subscribe
{
	return sql("SELECT kg_subscribe('default', '$_[0]', '{payment_intent.*}')");
}

# The object's status and URL change; returns when a worker has met that.
sub moves_on
{
	my ($id, $url) = @_;

	sql("UPDATE payment_intents SET status = 'success', callback_url = '$url' WHERE payment_intent_id = '$id'");
	meet();
	return;
}

# The statuses of an object that came to a URL with this query.
sub came_to
{
	my ($id, $query) = @_;

	return join ' ', map { $_->{json}{status} }
	  $receiver->requests(if => sub { $_[0]{json}{payment_intent_id} eq $id && $_[0]{path} =~ /\?$query$/ });
}

my $closed = $receiver->url('/faulty/closed/close/then/ok?closed');
my $subscription = subscribe($closed);
$receiver->hold('closed');
insert_intent($node, 'into', $receiver->url('/ok?own'));
wait_for_log_rows($node, 2, "object_id = 'into' AND subscription_id = $subscription");
moves_on('into', $closed);
like(came_to('into', 'closed'), qr/^pending( pending)*$/, 'a newer one of the object waits for the older one of the subscription');
like( sql(q{SELECT kg_explain(delivery_id) FROM kgwebhook.queue WHERE object_id = 'into' AND subscription_id IS NULL}),
	qr/It waits for delivery \d+, an older status of the same object \(payment_intent\.pending\), which goes first\./, 'and says so');
is(sql(q{SELECT waits_for FROM kgwebhook.pending WHERE object_id = 'into' AND subscription_id IS NULL}), 'older', 'as the view does');
insert_intent($node, 'out of', $closed);
wait_for_log_rows($node, 2, "object_id = 'out of' AND url = '$closed'");
moves_on('out of', $receiver->url('/ok?own'));
like(came_to('out of', 'closed'), qr/^pending( pending)*$/, 'and the other way round');
$node->restart;
moves_on('into', $closed);
like(came_to($_, 'closed'), qr/^pending( pending)*$/, "$_: also after a restart") foreach 'into', 'out of';
$receiver->release('closed');
wait_until_settled($node);
like(came_to($_, 'closed'), qr/^(pending )+success$/, "$_: then both arrive, in order") foreach 'into', 'out of';
is(sql(q{SELECT count(*) FROM kgwebhook.delivery_log WHERE object_id IN ('into', 'out of') AND outcome = 'superseded'}), 0, 'nothing is superseded');

# One that refuses the older one: it holds the newer one for so long, and no longer
my $refusing = $receiver->url('/refuse/pending/ok?refusing');
$subscription = subscribe($refusing);
insert_intent($node, 'refused', $receiver->url('/ok?own'));
wait_for_log_rows($node, 1, "object_id = 'refused' AND subscription_id = $subscription AND outcome = 'rejected'");
sql("UPDATE payment_intents SET status = 'success', callback_url = '$refusing' WHERE payment_intent_id = 'refused'");
wait_until_settled($node);
like(came_to('refused', 'refusing'), qr/^(pending )+success$/, 'a newer one waits for one that is refused');
is( sql(qq{SELECT string_agg(outcome, ' ' ORDER BY attempt_id) FROM kgwebhook.delivery_log
		   WHERE object_id = 'refused' AND url = '$refusing' AND outcome <> 'rejected'}),
	'superseded acknowledged', 'until that is superseded');
is( sql(qq{SELECT bool_and(s.started_at - f.started_at >= '600 milliseconds') FROM kgwebhook.delivery_log s
		   JOIN kgwebhook.delivery_log f ON f.delivery_id = s.delivery_id AND f.attempt = 1
		  WHERE s.object_id = 'refused' AND s.outcome = 'superseded'}),
	't', 'after kgwebhook.max_hold');

$node->stop;
done_testing();
