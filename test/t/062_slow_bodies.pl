#-------------------------------------------------------------------------
#
# test/t/062_slow_bodies.pl
#	  Receivers that acknowledge and then let their body trickle: each holds its
#	  slot until the request's timeout and no longer, and many of them leave slots
#	  for everyone else, those that were prompt until now included.
#
# hostile.mjs has an address for each, so each is a destination of its own.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Test::More;

# Of 16 slots, 4 are for those that have nothing in flight.  Half of the slots is
# for those that are new or known as slow, and of these the slow ones get 6.
my $node = new_node(
	'main',
	'kgwebhook.max_in_flight' => 16,
	'kgwebhook.max_in_flight_per_destination' => 12);
my $hostile = start_receiver(program => 'hostile.mjs', addresses => 8);
my $healthy = start_receiver();
$healthy->set_secret(make_intents_table($node));

sub url
{
	my ($address, $path) = @_;

	return sprintf 'http://127.0.1.%d:%d%s', $address, $hostile->port, $path;
}

# So many to each of these.
sub insert_many
{
	my ($prefix, $n, @urls) = @_;

	$node->safe_psql(
		'postgres', qq{
		INSERT INTO payment_intents (payment_intent_id, callback_url)
		SELECT '$prefix' || n || '-' || i, url
		  FROM generate_series(1, $n) i,
		       unnest(ARRAY['@{[ join "', '", @urls ]}']) WITH ORDINALITY u(url, n)});
	return;
}

sub wait_for_in_flight
{
	my ($n) = @_;

	$node->poll_query_until('postgres', "SELECT in_flight = $n FROM kgwebhook.stats")
	  or die "waited for $n requests in flight";
	return;
}

# These are all served, and none of those that trickle has come to its end.
sub others_are_served
{
	my ($prefix, $n, $name, @urls) = @_;

	insert_many($prefix, $n, @urls);
	wait_for_log_rows($node, $n * @urls, "object_id LIKE '$prefix%' AND outcome = 'acknowledged'");
	is( $node->safe_psql('postgres', q{SELECT count(*) FROM kgwebhook.delivery_log WHERE object_id LIKE 'trickling%'}),
		0, $name);
	return;
}

#
# No longer than the timeout
#
my @slow = map { url($_, '/slow/body') } 1 .. 3;
my @turning = map { url($_, '/?slow/body') } 4 .. 6;    # the endpoint that was prompt
my @new = map { url($_, '/') } 7 .. 8;

insert_many('prompt', 40, $healthy->url, map { url($_, '/') } 1 .. 6);
wait_until_settled($node);
reload($node, 'kgwebhook.request_timeout' => "'1s'");
insert_many('cut', 1, @slow);
foreach my $row (wait_for_log_rows($node, 3, q{object_id LIKE 'cut%'}))
{
	is($row->{outcome}, 'acknowledged', "$row->{object_id}: status line and headers decide");
	like($row->{response_body}, qr/^x+$/, 'what came of the body is logged');
	cmp_ok($row->{duration_ms}, '>=', 1000, 'it had its time');
	cmp_ok($row->{duration_ms}, '<', 20_000, 'and no more');
}

#
# Known to be slow: less than half of the slots, which leaves some for who is new
#
reload($node, 'kgwebhook.request_timeout' => "'10min'");
insert_many('trickling', 20, @slow);
wait_for_in_flight(6);
others_are_served('known', 50, 'those that are known as slow leave slots for others', $healthy->url);
others_are_served('new', 10, 'and for who is new', $new[0]);

#
# Prompt until now: their windows are open, and they may take all but the reserve
#
insert_many('trickling_too', 20, @turning);
wait_for_in_flight(12);
others_are_served('busy', 20, 'those that turn slow leave slots for others', $healthy->url);
others_are_served('newer', 10, 'and for who is new', $new[1]);

$node->stop('fast');
done_testing();
