#-------------------------------------------------------------------------
#
# test/t/089_full_destination.pl
#	  More waits at one failing endpoint of a host than a worker keeps in memory of
#	  a host: the other endpoints are served, no object gets out of order, and when
#	  it works again everything arrives.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Test::More;

my $node = new_node('main', 'kgwebhook.retry_schedule' => "'30s,30s,30s,30s,30s,30s,30s,30s,30s,30s'",
	'kgwebhook.request_timeout' => "'1s'");
my $secret = make_intents_table($node);
my $receiver = start_receiver(secret => $secret);
my $many = 17_000;				# DESTINATION_ENTRIES is 16384

sub arrivals
{
	my ($id) = @_;

	return join ' ', map { $_->{json}{status} . ($_->{path} =~ /held/ ? '' : ' elsewhere') }
	  $receiver->requests(if => sub { $_[0]{json}{payment_intent_id} eq $id });
}

# It answers nothing
$receiver->hold('held');
my $failing = $receiver->url('/while/held/ok');
$node->safe_psql(
	'postgres', qq{
	INSERT INTO payment_intents (payment_intent_id, callback_url)
	SELECT 'stays' || i, '$failing' FROM generate_series(1, $many) i});
$node->poll_query_until('postgres',
	q{SELECT count(DISTINCT object_id) >= 5 FROM kgwebhook.delivery_log WHERE outcome = 'timed_out'})
  or die 'waited for five that time out';

# One of the last of these moves on, to another URL of the host
$node->safe_psql('postgres', "UPDATE payment_intents SET status = 'success', callback_url = '"
	  . $receiver->url('/ok?other') . "' WHERE payment_intent_id = 'stays$many'");

foreach my $id (1 .. 3)
{
	insert_intent($node, "good$id", $receiver->url('/ok?good'));
	$receiver->wait_for_requests(1, if => sub { $_[0]{json}{payment_intent_id} eq "good$id" });
}
pass('others at the host are served');
insert_intent($node, 'good4', $receiver->url('/ok?other'));
$receiver->wait_for_requests(1, if => sub { $_[0]{json}{payment_intent_id} eq 'good4' });
is(arrivals("stays$many"), '', 'a later status of what waits there has not gone before it');
wait_until_settled($node, q{object_id LIKE 'good%'});
is($node->safe_psql('postgres', 'SELECT count(*) FROM kgwebhook.queue'), $many + 1, 'nothing else has left the queue');

# It answers again
$receiver->release('held');
wait_until_settled($node);
is($node->safe_psql('postgres', q{SELECT count(DISTINCT delivery_id), count(*) FROM kgwebhook.delivery_log WHERE outcome = 'acknowledged'}),
	join('|', ($many + 5) x 2), 'everything is delivered, once');
is(arrivals("stays$many"), 'pending success elsewhere', 'in order');

$node->stop;
done_testing();
