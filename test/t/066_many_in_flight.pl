#-------------------------------------------------------------------------
#
# test/t/066_many_in_flight.pl
#	  Hundreds of requests to hundreds of destinations share several of libcurl's
#	  handles: each destination keeps its connection, and when the number in flight
#	  is changed, nothing that is on the network is lost or sent again, and no
#	  connection stays behind.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use PostgreSQL::Test::Utils;
use Test::More;

my $destinations = 200;
my $node = new_node(
	'main',
	'kgwebhook.max_in_flight' => '1000',
	'kgwebhook.retry_schedule' => "'1h'");
my $secret = make_intents_table($node);
my $receiver = start_receiver(secret => $secret, host => '0.0.0.0');
my $port = $receiver->port;
my ($worker) = wait_for_worker($node);

# Inserts an intent for each destination.
sub insert_all
{
	my ($prefix, $path) = @_;

	$node->safe_psql(
		'postgres', qq{
		INSERT INTO payment_intents (payment_intent_id, callback_url)
		SELECT '$prefix' || i, 'http://127.0.1.' || i || ':$port$path'
		  FROM generate_series(1, $destinations) i});
	return;
}

# Which connections the requests with this prefix came by.
sub connections
{
	my ($prefix) = @_;
	my %by;

	push @{ $by{ $_->{connection} } }, $_
	  foreach grep { $_->{json}{payment_intent_id} =~ /^$prefix\d/ } $receiver->requests;
	return \%by;
}

# The sockets that the worker has open.
sub sockets
{
	return scalar grep { (readlink($_) // '') =~ /^socket:/ } glob "/proc/$worker/fd/*";
}

sub all_acknowledged
{
	my ($prefix, $what) = @_;

	wait_until_settled($node);
	is( $node->safe_psql(
			'postgres', qq{
			SELECT count(*), count(DISTINCT webhook_id), min(outcome), max(outcome)
			  FROM kgwebhook.delivery_log WHERE object_id ~ '^$prefix\\d'}),
		"$destinations|$destinations|acknowledged|acknowledged",
		"$what: all were acknowledged, each at its first attempt");
	is(scalar(grep { $_->{json}{payment_intent_id} =~ /^$prefix\d/ } $receiver->requests),
		$destinations, "$what: and each was sent once");
	return;
}

sub wait_for_in_flight
{
	my ($n) = @_;

	$node->poll_query_until('postgres',
		"SELECT count(*) = $n FROM kgwebhook.destinations WHERE in_flight = 1")
	  or die "never $n in flight";
	return;
}

#
# Each destination keeps its connection
#
insert_all('first', '/ok');
all_acknowledged('first', 'first');
insert_all('second', '/ok');
all_acknowledged('second', 'second');
is_deeply(
	[ sort keys %{ connections('second') } ],
	[ sort keys %{ connections('first') } ],
	'each goes by the connection that its destination has');

#
# Changed, while all are on the network
#
my $before = sockets();
foreach my $limit (100, 1000)
{
	$receiver->hold('gate');
	insert_all("held$limit", '/while/gate/ok');
	wait_for_in_flight($limit == 100 ? $destinations : 100);
	reload($node, 'kgwebhook.max_in_flight' => $limit);
	$receiver->release('gate');
	all_acknowledged("held$limit", "set to $limit");
	insert_all("after$limit", '/ok');
	all_acknowledged("after$limit", "after it was set to $limit");
}
cmp_ok(sockets(), '<=', $before, 'connections of the handles that are no more are closed');
is(scalar(wait_for_worker($node)), 1, 'there is a worker');
is((wait_for_worker($node))[0], $worker, 'the same as before');

$node->stop;
done_testing();
