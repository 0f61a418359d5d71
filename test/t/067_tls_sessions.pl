#-------------------------------------------------------------------------
#
# test/t/067_tls_sessions.pl
#	  A receiver that closes its connection after each answer costs one whole
#	  handshake, and then resumed ones: by whatever handle a request goes, for its
#	  own destination only, until a reload, for an hour at most, and not after one
#	  that brought no answer.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Kgwebhook::Certificates;
use Kgwebhook::WaitingClock;
use Test::More;

my $certificates = Kgwebhook::Certificates->new;
$certificates->make('authority');
$certificates->make('good', by => 'authority', for => 'IP:127.0.0.1');
my $node = init_node(
	'main',
	'kgwebhook.allow_http' => 'on',
	'kgwebhook.retry_schedule' => "'1h'",
	'kgwebhook.ca_file' => "'" . $certificates->file('authority.crt') . "'");
my $clock = Kgwebhook::WaitingClock->start($node);
my $secret = make_intents_table($node);
my %tls = (
	secret => $secret,
	cert => $certificates->file('good.crt'),
	key => $certificates->file('good.key'));
my @receivers = map { start_receiver(%tls) } 1 .. 2;
my $plain = start_receiver(secret => $secret);

# Delivers to each URL, one after the other; whether each resumed a session, as
# a text of 0 and 1.
my $id = 0;
sub resumed
{
	my ($receiver, $n, $path) = @_;
	my $before = () = $receiver->requests;

	foreach (1 .. $n)
	{
		insert_intent($node, ++$id, $receiver->url($path));
		wait_until_settled($node);
	}
	my @requests = $receiver->requests;
	return join '', map { $_->{resumed} ? 1 : 0 } @requests[ $before .. $#requests ];
}

# Node gives no new ticket when one is resumed.  libcurl 8.12 and newer use up the two
# of a whole handshake; before, the same one serves until it is too old.
like(resumed($receivers[0], 4, '/once'), qr/^011/, 'one whole handshake, then resumed ones');
is(resumed($receivers[1], 3, '/once'), '011', 'another destination has a session of its own');
is(resumed($plain, 2, '/once'), '00', 'no TLS, no session');
is(resumed($receivers[0], 2, '/once'), '11', 'which others have not displaced');

# several at once have as many handles, all of which find it
open_endpoint($node, $receivers[0]->url('/once'));
my $before = () = $receivers[0]->requests;
$receivers[0]->hold('gate');
$node->safe_psql(
	'postgres', qq{
	INSERT INTO payment_intents (payment_intent_id, callback_url)
	SELECT 'many' || i, '@{[ $receivers[0]->url('/while/gate/once') ]}' FROM generate_series(1, 8) i});
$receivers[0]->wait_for_requests($before + 2);
$receivers[0]->release('gate');
wait_until_settled($node);
my @requests = $receivers[0]->requests;
cmp_ok(scalar(grep { $_->{resumed} } @requests[ $before .. $#requests ]), '>=', 2, 'several at once resume it');

reload($node, 'kgwebhook.request_timeout' => "'14s'");
is(resumed($receivers[0], 2, '/once'), '01', 'after a reload it is verified again');
$clock->set_waited(3590);
is(resumed($receivers[0], 1, '/once'), '1', 'and resumed for an hour');
$clock->set_waited(3700);
is(resumed($receivers[0], 2, '/once'), '01', 'but no longer');
is( $node->safe_psql('postgres', q{SELECT count(*) FROM kgwebhook.delivery_log WHERE outcome <> 'acknowledged'}),
	'0',
	'all were acknowledged');

#
# A receiver that breaks off each handshake that would resume a session
#
my $breaking = start_receiver(%tls, refuse_resumed => 1);
reload($node, 'kgwebhook.retry_schedule' => "'20ms,1h'");
insert_intent($node, 'whole', $breaking->url('/once'));
wait_until_settled($node);
insert_intent($node, 'broken', $breaking->url('/once'));
wait_for_log_rows($node, 2, q{object_id = 'broken'});
is_deeply(
	[ map { $_->{outcome} } sort { $a->{attempt} <=> $b->{attempt} } delivery_log($node, q{object_id = 'broken'}) ],
	[qw(unreachable acknowledged)],
	'a session that brought no answer is not resumed again');

$node->stop;
done_testing();
