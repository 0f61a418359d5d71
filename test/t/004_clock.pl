#-------------------------------------------------------------------------
#
# test/t/004_clock.pl
#	  An hour later: receivers refuse what is older than five minutes, so a retry
#	  must be stamped and signed again.
#
# The first attempt fails, the server is stopped, and both it and the receiver
# come back in another hour: the server by a library that is preloaded
# (test/preload/shifted_clock.c says why not libfaketime), the receiver by an
# offset of its own.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use HTTP::Tiny;
use Kgwebhook;
use MIME::Base64;
use Test::More;

# The next attempt is due an hour after the first, and we are a little later.
my $later = 3600 + 60;
my $node = new_node('main', 'kgwebhook.retry_schedule' => "'1h,1h'");
my $secret = make_intents_table($node);

my $library = build_library('preload/shifted_clock');

my $receiver = start_receiver(secret => $secret);
insert_intent($node, 'pi', $receiver->url('/fail/1/ok'));
my ($first_row) = wait_for_log_rows($node, 1);
my ($first) = $receiver->requests;
is($first_row->{outcome}, 'rejected', 'the first attempt fails');
is($first->{valid}, 1, 'although it is fresh');
is( $node->safe_psql(
		'postgres', q{
		SELECT next_attempt_at BETWEEN now() + '59 minutes' AND now() + '61 minutes'
		  FROM kgwebhook.queue}),
	't',
	'the next one is due in an hour');

$node->stop;
$receiver->stop;
my $receiver_later = start_receiver(
	secret => $secret,
	port => $receiver->port,
	clock_offset => $later);
# What the first attempt sent would not do: this receiver does look.  It fails
# as the first one did, and so leaves none to the retry.
my %again = map { $_ => $first->{headers}{$_} }
  grep { /^(webhook-|content-type)/ } keys %{ $first->{headers} };
HTTP::Tiny->new->post($receiver_later->url('/fail/1/ok'),
	{ headers => \%again, content => decode_base64($first->{body_base64}) });
my ($stale) = $receiver_later->wait_for_requests(1);
is($stale->{checks}{age}, 'stale', 'an hour later, the first attempt would be stale');
is($stale->{checks}{tail}, 'valid', 'however well signed');

{
	local $ENV{LD_PRELOAD} = $library;
	local $ENV{KGW_CLOCK_SHIFT} = $later;
	$node->start;
}
cmp_ok($node->safe_psql('postgres', 'SELECT extract(epoch FROM now())'),
	'>', time + $later - 30, 'the server lives an hour later');

my (undef, $retry) = $receiver_later->wait_for_requests(2);
is($retry->{headers}{'webhook-attempt'}, 2, 'the retry');
is_deeply(
	$retry->{checks},
	{
		standardwebhooks => 'valid',
		canonicalize => 'valid',
		tail => 'valid',
		age => 'valid'
	},
	'is fresh, and signed');
is( $retry->{headers}{'webhook-id'},
	$first->{headers}{'webhook-id'},
	'it is the same event');
cmp_ok($retry->{json}{timestamp} - $first->{json}{timestamp},
	'>=', 3600, 'by its stamp');

my (undef, $row) = wait_for_log_rows($node, 2);
is("$row->{outcome} $row->{final}", 'acknowledged 1', 'the retry is acknowledged');

$node->stop;
done_testing();
