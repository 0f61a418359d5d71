#-------------------------------------------------------------------------
#
# test/t/012_keep_alive.pl
#	  Connections are kept and reused; and one that dies never makes one attempt
#	  into two requests.
#
# libcurl sends a request again, unasked, when a reused connection is closed
# under it.  The receiver's own count is held against the log.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Test::More;

my $node = new_node('main',
	'kgwebhook.retry_schedule' => "'" . join(',', ('20ms') x 30, '1h') . "'");
my $secret = make_intents_table($node);

# Requests that came more than once for one attempt.
sub doubled
{
	my ($receiver) = @_;
	my %times;

	$times{"$_->{json}{payment_intent_id} attempt $_->{headers}{'webhook-attempt'}"}++
	  foreach $receiver->requests;
	return grep { $times{$_} > 1 } sort keys %times;
}

# Attempts that the log has no row for.
sub unlogged
{
	my ($receiver) = @_;
	my %logged = map { ("$_->{object_id} attempt $_->{attempt}" => 1) }
	  delivery_log($node, "destination = '@{[ $receiver->destination ]}'");

	return grep { !$logged{$_} }
	  map { "$_->{json}{payment_intent_id} attempt $_->{headers}{'webhook-attempt'}" }
	  $receiver->requests;
}

#
# Reuse
#
my $receiver = start_receiver(secret => $secret);
foreach my $n (1 .. 10)
{
	insert_intent($node, "single$n", $receiver->url);
	# a receiver notes a request before it answers, and until then its connection is taken
	wait_until_settled($node);
}
is_deeply([ map { $_->{connection} } $receiver->requests ],
	[ (1) x 10 ], 'one after the other, by one connection');
insert_intents($node, 'many', 1000, $receiver->url);
wait_until_settled($node);
my ($most) = sort { $b <=> $a } map { $_->{connection} } $receiver->requests;
cmp_ok($most, '<=', 33, "a thousand by $most connections");
is(scalar($receiver->requests), 1010, 'each came once');

#
# A kept connection that is closed before the next request
#
my $leaving = start_receiver(secret => $secret);
foreach my $n (1 .. 10)
{
	insert_intent($node, "leaving$n", $leaving->url('/keepalive-close'));
	# by whichever attempt: one can die on the connection of the one before
	$leaving->wait_for_requests(1, if => sub { $_[0]{json}{payment_intent_id} eq "leaving$n" });
}
insert_intents($node, 'leaving_many', 300, $leaving->url('/keepalive-close'));
wait_until_settled($node);
is_deeply([ doubled($leaving) ], [], 'a connection that closes between requests: none is doubled');
is_deeply([ unlogged($leaving) ], [], 'and all are in the log');
is( $node->safe_psql(
		'postgres', q{
		SELECT count(*) FROM kgwebhook.delivery_log
		 WHERE object_id LIKE 'leaving%' AND outcome = 'acknowledged'}),
	310,
	'all arrive');

#
# One that dies when the next request is on it: the moment at which libcurl
# would send it again
#
my $dying = start_receiver(secret => $secret);
foreach my $n (1 .. 10)
{
	insert_intent($node, "alive$n", $dying->url);
	wait_until_settled($node);
	insert_intent($node, "dying$n", $dying->url('/close'));
	wait_for_log_rows($node, 1, "object_id = 'dying$n'");
	$node->safe_psql('postgres', 'TRUNCATE kgwebhook.queue');
}
ok((grep { $_->{path} eq '/close' && $_->{headers}{'webhook-attempt'} == 1 } $dying->requests) >= 10,
	'requests have died on kept connections');
is_deeply([ doubled($dying) ], [], 'none is doubled');
is_deeply([ unlogged($dying) ], [], 'and all are in the log');
is( $node->safe_psql(
		'postgres', q{
		SELECT count(*) FROM kgwebhook.delivery_log
		 WHERE object_id LIKE 'dying%' AND (outcome <> 'unreachable' OR error IS NULL)}),
	0,
	'as unreachable, with an error');

#
# A receiver that restarts, with connections kept from before
#
insert_intents($node, 'before', 50, $receiver->url);
wait_until_settled($node);
$receiver->stop;
my $again = start_receiver(secret => $secret, port => $receiver->port);
insert_intents($node, 'after', 50, $again->url);
wait_until_settled($node);
is_deeply([ doubled($again) ], [], 'a receiver that was restarted: none is doubled');
my %arrived = map { $_->{json}{payment_intent_id} => 1 } $again->requests;
is(keys %arrived, 50, 'all arrive');

$node->stop;
done_testing();
