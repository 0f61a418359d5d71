#-------------------------------------------------------------------------
#
# test/t/022_pause.pl
#	  kgwebhook.enabled = off, kg_pause() and kg_resume(): no new attempts, while
#	  those on their way come to their end.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Test::More;

my $node = new_node('main', 'kgwebhook.request_timeout' => "'120s'");
my $secret = make_intents_table($node);
my $paused = start_receiver(secret => $secret);
my $other = start_receiver(secret => $secret);
my $here = $paused->destination;
my $there = $other->destination;

sub state_of
{
	my ($destination) = @_;

	return $node->safe_psql('postgres',
		"SELECT state, pending FROM kgwebhook.destinations WHERE destination = '$destination'");
}

# How many requests a receiver has got.
sub got
{
	my ($receiver) = @_;

	return scalar(() = $receiver->lines);
}

# Says of what is done by $stop that it stops deliveries to the first receiver
# and not those that are on their way; and of $go that it lets them go on.
# $probe tells that the workers know.
sub stops_and_goes
{
	my ($name, $stop, $probe, $go) = @_;
	my $before;

	# An endpoint that nothing is known of is sent little at a time.
	insert_intent($node, "$name-known$_", $paused->url("/while/$name/ok")) foreach 1 .. 5;
	wait_until_settled($node);
	$before = got($paused);

	# Three on their way.  The clock is the server's: a request that begins
	# more than a second after the order is one too many.
	$paused->hold($name);
	insert_intent($node, "$name-way$_", $paused->url("/while/$name/ok")) foreach 1 .. 3;
	$paused->wait_for_requests($before + 3);
	$stop->();
	insert_intent($node, "$name-held$_", $paused->url) foreach 1 .. 5;
	$probe->();
	is(got($paused), $before + 3, "$name: nothing new goes");
	$paused->release($name);
	wait_until_settled($node, "object_id LIKE '$name-way%'");
	is( $node->safe_psql(
			'postgres', qq{
			SELECT string_agg(outcome || attempt, ' ') FROM kgwebhook.delivery_log
			 WHERE object_id LIKE '$name-way%'}),
		'acknowledged1 acknowledged1 acknowledged1',
		"$name: what is on its way comes to its end");
	is(got($paused), $before + 3, "$name: the others still wait");
	$go->();
	wait_until_settled($node);
	is(got($paused), $before + 8, "$name: and then they go");
	return;
}

# Another destination is served, so the workers have looked since.
sub other_is_served
{
	my $before = got($other);

	insert_intent($node, "other$before", $other->url);
	$other->wait_for_requests($before + 1);
	wait_until_settled($node, "object_id = 'other$before'");
	return;
}

# Nothing is served; a worker that has looked says so.
sub looked
{
	reload($node);
	return;
}

stops_and_goes(
	'disabled',
	sub { reload($node, 'kgwebhook.enabled' => 'off') },
	\&looked,
	sub { reload($node, 'kgwebhook.enabled' => 'on') });
stops_and_goes(
	'one',
	sub { $node->safe_psql('postgres', "SELECT kg_pause('$here')") },
	\&other_is_served,
	sub { $node->safe_psql('postgres', "SELECT kg_resume('$here')") });
stops_and_goes(
	'all',
	sub { $node->safe_psql('postgres', 'SELECT kg_pause()') },
	\&looked,
	sub { $node->safe_psql('postgres', 'SELECT kg_resume()') });

#
# Under load: nothing begins a second after the order
#
$node->safe_psql(
	'postgres', qq{
	INSERT INTO payment_intents (payment_intent_id, callback_url)
	SELECT 'load' || i, '@{[ $paused->url('/slow/20') ]}' FROM generate_series(1, 3000) i});
$paused->wait_for_requests(got($paused) + 50);
my $ordered = $node->safe_psql('postgres',
	"SELECT kg_pause('$here') \\gset \n SELECT clock_timestamp()");
$node->poll_query_until('postgres',
	"SELECT in_flight = 0 FROM kgwebhook.destinations WHERE destination = '$here'")
  or die 'waited for what was on its way';
like(state_of($here), qr/^paused\|[1-9]/, 'paused in the midst of it, as the view says');
my $sent = got($paused);
other_is_served();
is(got($paused), $sent, 'not one more goes');
is( $node->safe_psql(
		'postgres', qq{
		SELECT count(*) FROM kgwebhook.delivery_log
		 WHERE destination = '$here' AND started_at > '$ordered'::timestamptz + interval '1 s'}),
	0,
	'the last attempt began within a second of the order');

#
# It survives a restart, and DELETE of what waits
#
$node->restart;
wait_for_worker($node);
other_is_served();
like(state_of($here), qr/^paused\|/, 'paused after a restart');
is(got($paused), $sent, 'nothing goes after a restart');
$node->safe_psql('postgres', q{DELETE FROM kgwebhook.queue WHERE object_id LIKE 'load%'});
is(state_of($here), 'paused|0', 'paused with nothing to do');
is(state_of($there), 'ok|0', 'another is ok');

#
# What can be paused and resumed
#
$node->safe_psql('postgres', "SELECT kg_pause('$here'), kg_pause('$there'), kg_pause()");
is(state_of($here), 'paused|0', 'pausing twice is no error');
$node->safe_psql('postgres', "SELECT kg_resume('$there')");
is(state_of($there), 'paused|0', 'all of them are paused, one by one or not');
$node->safe_psql('postgres', 'SELECT kg_resume()');
is(state_of($_), 'ok|0', 'resuming everything resumes everything') foreach $here, $there;
$node->safe_psql('postgres', "SELECT kg_resume('$here'), kg_resume()");
pass('resuming what is not paused is no error');

foreach my $nonsense ('', 'nonsense', 'http://example.com', "$here/path", 'ftp://x:1',
	'http://:80', '*', $here . ' ', 'https://example.com:99999', 'https://example.com:0', 'https://user@example.com:443',
	'https://exam ple.com:443')
{
	my ($exit, $out, $err) = $node->psql('postgres', "SELECT kg_pause('$nonsense')");

	isnt($exit, 0, "kg_pause('$nonsense') is refused");
	like($err, qr/ERROR:  "\Q$nonsense\E" is not a destination\nDETAIL: .*\nHINT: /, 'with advice');
}
is($node->safe_psql('postgres', 'SELECT count(*) FROM kgwebhook.paused'), 0, 'and nothing is paused');
my (undef, undef, $advice) = $node->psql('postgres', q{SELECT kg_pause('https://example.com')});
like($advice, qr/HINT:  The destination of such a URL is https:\/\/example\.com:443\./, 'which it is of a URL');
(undef, undef, $advice) = $node->psql('postgres', q{SELECT kg_pause('https://merchnat.example:443')});
like($advice, qr/WARNING:  destination "https:\/\/merchnat\.example:443" is not known/, 'a slip of the pen');
is($node->safe_psql('postgres', 'SELECT destination FROM kgwebhook.paused'), 'https://merchnat.example:443', 'is paused anyway');
foreach my $known ($here, uc $here)
{
	(undef, undef, $advice) = $node->psql('postgres', "SELECT kg_pause('$known')");
	is($advice, '', "$known is known");
}
$node->psql('postgres', 'SELECT kg_resume()');
other_is_served();

$node->stop;
done_testing();
