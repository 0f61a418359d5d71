#-------------------------------------------------------------------------
#
# test/t/085_status.pl
#	  Faults of receivers: kg_status() and kg_explain() say the cause, when it is tried
#	  next and what to do, and what they say to do is done to its good end.
#
# The faults come all at once, each an organization's whose name it is.  Nothing is
# sent anywhere: the server lives in a small world, whose hosts are all receivers of
# this test's.  A remedy that is a statement is typed as it stands.  Where it is to
# ask the organization for something, the test is the organization, and does that;
# then what waits has to arrive without anything else being done.  Last comes a restart:
# who was failing before it is still known.  097_status_server.pl has what goes wrong
# on our side.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Kgwebhook::Certificates;
use Kgwebhook::OnCall;
use Kgwebhook::SmallWorld;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $certificates = Kgwebhook::Certificates->new;
$certificates->make('authority');
foreach my $org (qw(expired misnamed))
{
	$certificates->make("$org good", by => 'authority', for => "DNS:$org.example");
}
$certificates->make('expired', by => 'authority', for => 'DNS:expired.example',
	from => '20200101000000Z', until => '20200201000000Z');
$certificates->make('misnamed', by => 'authority', for => 'DNS:merchant.example');

my $world = Kgwebhook::SmallWorld->create;
my %names = map { ("$_.example" => { A => ['93.184.216.34'] }) } qw(down expired misnamed missing moved angry silent slow crowded asking);
$world->names(%names);

# Quick enough to see soon what comes of a remedy, and long enough for the test.
my $node = init_node(
	'main',
	'autovacuum' => 'off',
	'kgwebhook.retry_schedule' => "'" . join(',', ('200ms') x 3, ('1s') x 10, ('3s') x 50, '1h') . "'",
	'kgwebhook.request_timeout' => "'2s'",
	'kgwebhook.ca_file' => "'" . $certificates->file('authority.crt') . "'",
	'kgwebhook.allowed_networks' => "''");
$world->start($node);
$node->safe_psql('postgres', 'SET client_min_messages = warning; CREATE EXTENSION kgwebhook CASCADE');
make_intents_table($node);
my $on_call = Kgwebhook::OnCall->new($node);

sub sql
{
	return $node->safe_psql('postgres', shift);
}

my $receiver = start_receiver();
my $port = $receiver->port;
my $nobody = PostgreSQL::Test::Cluster::get_free_port();
my %tls = map { $_ => start_receiver(cert => $certificates->file("$_.crt"), key => $certificates->file("$_.key")) } qw(expired misnamed);
$receiver->hold($_) foreach qw(missing moved angry silent slow);

# An organization's URL; the cause in words; what to do; what it is that makes it right.
my %fault = (
	down => {
		url => "http://down.example:$nobody/ok",
		cause => 'the connection was refused',
		remedy => "Ask organization down whether its receiver at http://down.example:$nobody/ok is running and lets us in; what waits is then sent by itself, in order.",
		repair => sub { start_receiver(port => $nobody) }
	},
	expired => {
		url => 'https://expired.example:' . $tls{expired}->port . '/ok',
		cause => 'the certificate, or one that it depends on, has expired',
		remedy => 'Ask organization expired to renew the certificate of expired.example; what waits is then sent by itself, in order.',
		repair => sub { renew('expired') }
	},
	misnamed => {
		url => 'https://misnamed.example:' . $tls{misnamed}->port . '/ok',
		cause => 'the certificate is for another host',
		remedy => 'Ask organization misnamed to correct the certificate of misnamed.example; what waits is then sent by itself, in order.',
		repair => sub { renew('misnamed') }
	},
	nameless => {
		url => "http://nameless.example:$port/ok",
		cause => qr/the host's name (?:could not be|was not) resolved(?: in time)?/,
		remedy => 'Ask organization nameless whether nameless.example is right; "getent ahosts nameless.example" on the server shows what the name servers say; what waits is then sent by itself, in order.',
		repair => sub { $world->names(%names, 'nameless.example' => { A => ['93.184.216.34'] }) }
	},
	missing => {
		url => "http://missing.example:$port/faulty/missing/status/404/then/ok",
		cause => 'answered with status 404',
		said => qr/^The receiver said: status 404/m,
		remedy => "Ask organization missing to have its receiver answer at http://missing.example:$port/faulty/missing/status/404/then/ok; what waits is then sent by itself, in order.",
		repair => sub { $receiver->release('missing') }
	},
	moved => {
		url => "http://moved.example:$port/faulty/moved/redirect/301/then/ok",
		cause => 'answered with status 301; redirects are not followed',
		finding => quotemeta 'answered with status 301 (a redirect)',
		remedy => "Ask organization moved for the URL that http://moved.example:$port/faulty/moved/redirect/301/then/ok leads to: redirects are not followed.  New events go to the new URL; what waits needs the old one to acknowledge.",
		repair => sub { $receiver->release('moved') }
	},
	private => {
		url => "http://10.0.0.7:$port/ok",
		cause => q{the host's address is not allowed},
		remedy => q{If this address is meant: ALTER SYSTEM SET kgwebhook.allowed_networks = '10.0.0.7/32'; SELECT pg_reload_conf();},
		repair => sub { $on_call->types($_[0]) }
	},
	angry => {
		url => "http://angry.example:$port/faulty/angry/refuse/expired/ok/then/ok",
		cause => 'answered with status 500',
		said => qr/^The receiver said: status 500/m,
		remedy => 'Ask organization angry why its receiver answers 500; what waits is then sent by itself, in order.',
		repair => sub { $receiver->release('angry') }
	},
	silent => {
		url => "http://silent.example:$port/faulty/silent/hang/then/ok",
		cause => 'no answer came in time',
		remedy => 'Ask organization silent to have its receiver answer first and work later; what waits is then sent by itself, in order.',
		repair => sub { $receiver->release('silent') }
	});

# A receiver comes back with a certificate that is right.
sub renew
{
	my ($org) = @_;
	my $at = $tls{$org}->port;

	$tls{$org}->stop;
	$tls{$org} = start_receiver(cert => $certificates->file("$org good.crt"), key => $certificates->file("$org good.key"), port => $at);
	return;
}

#
# What is wrong, whose it is, since when, how much waits, and when it is tried next
#
sql(join '; ', map { "SELECT kg_set_secret('$_', 'the secret of $_, long enough')" } 'slow', 'subscriber', 'crowd', 'patient', keys %fault);
sql('INSERT INTO payment_intents (payment_intent_id, callback_url, org_id, fiat_amount, fiat_currency) VALUES '
	  . join(', ', map { "('$_ 1', '$fault{$_}{url}', '$_', '2587.00', 'EUR')" } sort keys %fault));
# what is angry takes any status except "expired"
wait_until_settled($node, q{org_id = 'angry'});
set_status($node, 'angry 1', 'expired');
foreach my $org (sort keys %fault)
{
	my $fault = $fault{$org};
	my $cause = ref $fault->{cause} ? $fault->{cause} : quotemeta $fault->{cause};
	my $found = $fault->{finding} // $cause;
	my $row = $on_call->finds(qr/^\Q$fault->{url}\E \(organization $org\): $found since [0-9:]+, 1 waiting, 2,587 EUR$/, qr/warning|info/);

	$fault->{typed} = $row->{remedy};
	is($row->{remedy}, $fault->{remedy}, "$org: what to do");
	like($row->{detail}, qr/The next (?:try|probe) is (?:at [0-9:]+|under way|within a minute)\./, "$org: when it is tried next");
	like($row->{detail}, qr/SELECT kg_explain\(\d+\);/, "$org: and where to read on");
	$on_call->explains("$org 1",
		'the cause' => qr/^The last attempt, number \d+, .*: $cause\.$/m,
		$fault->{said} ? ('the receiver itself' => $fault->{said}) : (),
		'what is next' => qr/^(?:Next is attempt \d+, at [0-9-]{10} [0-9:+]+, in |.* The next probe is (?:at [0-9-]{10} [0-9:+]+|under way); |Attempt \d+ is under way)/m,
		'the end' => qr/^If nothing changes, it is given up at about [0-9-]{10} [0-9:+]+ \(kgwebhook\.retry_schedule\)\.$/m,
		'the remedy' => qr/^What to do: \Q$fault->{remedy}\E$/m);
}
is((grep { $_->{severity} eq 'critical' } $on_call->status), 0, 'none of these is critical');
like($on_call->headline, qr/^Deliveries flow, but http/, 'and the page says the worst of them');

#
# A receiver that acknowledges, and takes its time about it
#
my $slow = "http://slow.example:$port/faulty/slow/slow/1200/then/ok";
sql(qq{INSERT INTO payment_intents (payment_intent_id, callback_url, org_id) SELECT 'slow ' || i, '$slow', 'slow' FROM generate_series(1, 1000) i});
my $row = $on_call->finds(qr{^\Q$slow\E \(organization slow\) acknowledges, but takes [1-9][\d.]* s a request, \d+ deliveries wait$}, qr/info/);
is($row->{remedy}, 'Ask organization slow to have its receiver answer first and work later.', 'slow: what to do');
$on_call->explains('slow 1000',
	'what it waits for' => qr/^It waits for its turn: \d+ requests? (?:is|are) in flight to http:\/\/slow\.example:$port, and \d+ deliver(?:y|ies) to its URL go(?:es)? before it\.$/m,
	'the receiver is slow' => qr/^Its receiver takes [1-9][\d.]* s to acknowledge a request\.$/m,
	'when it is next' => qr/^Its turn comes at about [0-9-]{10} [0-9:+]+\.$/m,
	'the remedy' => qr/^What to do: Ask organization slow to have its receiver answer first and work later\.$/m);
$receiver->release('slow');
wait_until_settled($node, q{org_id = 'slow'});
pass('slow: its remedy works');

#
# Each does as it was asked, and gets what waits
#
$fault{$_}{repair}->($fault{$_}{typed}) foreach sort keys %fault;
wait_until_settled($node);
is(sql(q{SELECT count(*) FROM kgwebhook.dead_letter}), '0', 'nothing was given up');
$on_call->finds_all_well('every remedy works');

#
# One organization's URLs hang, and another's at the same host has no turn for it
#
my $crowded = "http://crowded.example:$port";
$receiver->hold('crowd');
sql(qq{INSERT INTO payment_intents (payment_intent_id, callback_url, org_id)
	SELECT 'crowd ' || i, '$crowded/faulty/crowd/hang/then/ok/' || i, 'crowd' FROM generate_series(1, 400) i});
wait_for_log_rows($node, 1, q{org_id = 'crowd' AND outcome = 'timed_out'});
insert_intent($node, 'patient', "$crowded/ok", org_id => q{'patient'}, fiat_amount => q{'12.50'}, fiat_currency => q{'EUR'});
sql(q{UPDATE kgwebhook.queue SET next_attempt_at = now() - interval '5 min', enqueued_at = now() - interval '5 min' WHERE org_id = 'patient'});
my $crowd = $on_call->finds(qr{^\Q$crowded\E/ok \(organization patient\) waits behind requests of organization crowd at \Q$crowded\E since [0-9: -]+, 1 waiting, 12\.50 EUR$}, qr/warning/);
is($crowd->{remedy}, "Ask organization crowd to have its receivers at $crowded answer first and work later; what waits is then sent by itself, in order.", 'a crowd: what to do');
my $next = qr/\(\d+\) leave it no room; those of organization crowd take \d+\.\d s each\.  ?Each ends within kgwebhook\.request_timeout \(2s\), and turns go round\./;
like($crowd->{detail}, qr/^It has had no turn since then: the requests in flight there $next  SELECT kg_explain\(\d+\); says more\.$/, 'a crowd: what it waits for');
$on_call->explains('patient',
	'what it waits for' => qr/^It waits for its turn since [0-9-]{10} [0-9:+]+: the requests in flight to \Q$crowded\E $next$/m,
	'the remedy' => qr/^What to do: \Q$crowd->{remedy}\E$/m);
like($on_call->headline, qr{^Deliveries flow, but \Q$crowded\E/ok \(organization patient\) waits behind}, 'and so says the page');
$receiver->release('crowd');
wait_until_settled($node);
$on_call->finds_all_well('a crowd: its remedy works');

#
# A subscription whose receiver has gone, and one that someone has paused
#
$receiver->hold('gone');
my $id = sql("SELECT kg_subscribe('subscriber', 'http://slow.example:$port/faulty/gone/gone/then/ok')");
insert_intent($node, 'subscribed', undef, org_id => q{'subscriber'});
my $disabled = $on_call->finds(qr/^subscription $id of organization subscriber \(.*\) is disabled since [0-9:]+$/, qr/warning/);
my $gone = $on_call->finds(qr/^1 delivery was given up: the receiver answered 410 Gone$/, qr/warning/);
$on_call->explains('subscribed',
	'the cause' => qr/^It was given up at [0-9-]{10} [0-9:+]+: the receiver answered 410 Gone\.$/m,
	'what is next' => qr/^Nothing more happens automatically\.$/m,
	'the remedy' => qr/^What to do: fix the cause; then enable the subscription by SELECT kg_resume_subscription\($id\); after that SELECT kg_redeliver\(\d+\); sends it again\.$/m);
$receiver->release('gone');
$on_call->types($disabled->{remedy});
$on_call->types($gone->{remedy});
$on_call->finds_all_well('a subscription that is gone: its remedies work');
sql("SELECT kg_pause_subscription($id)");
set_status($node, 'subscribed', 'success');
my $paused = $on_call->finds(qr/^subscription $id of organization subscriber \(.*\) is paused since [0-9:]+$/, qr/warning/);
$on_call->explains('subscribed',
	'the cause' => qr/^Its subscription $id is paused since [0-9-]{10} [0-9:+]+; it is sent once that is resumed\.$/m,
	'the remedy' => qr/^What to do: \Q$paused->{remedy}\E$/m);
$on_call->types($paused->{remedy});
wait_until_settled($node);
$on_call->finds_all_well('a subscription that is paused: its remedy works');

# One that has not answered its challenge, and an own URL that nothing covers
$receiver->hold('dumb');
$id = sql("SELECT kg_subscribe('subscriber', 'http://slow.example:$port/faulty/dumb/ok/then/challenge/text', '{endpoint.*}', verify => true)");
wait_for_log_rows($node, 1, "subscription_id = $id AND outcome = 'rejected'");
sql("UPDATE kgwebhook.subscription SET challenged_at = now() - interval '1 hour' WHERE subscription_id = $id");
my $unverified = $on_call->finds(qr/^subscription $id of organization subscriber \(.*\) is unverified since [0-9:]+$/, qr/warning/);
# in this order: a retry may be answered before anything is typed
$on_call->types($unverified->{remedy});
$receiver->release('dumb');
$on_call->finds_all_well('a subscription that is unverified: its remedy works');
sql(q{SELECT kg_require_consent('subscriber')});

# when another's has arrived, the worker has noticed
insert_intent($node, 'noticed', "http://slow.example:$port/ok", org_id => q{'slow'});
wait_until_settled($node, q{object_id = 'noticed'});
insert_intent($node, 'asks', "http://asking.example:$port/challenge/text/ok", org_id => q{'subscriber'});
sql(q{UPDATE kgwebhook.queue SET enqueued_at = now() - interval '1 hour', next_attempt_at = now() - interval '1 hour' WHERE object_id = 'asks'});
my $consent = $on_call->finds(qr/^1 delivery to an own URL waits for consent of organization subscriber since [0-9:]+, such as that of http/, qr/warning/);
is(join('; ', grep { /late/ } map { $_->{finding} } $on_call->status), '', 'and it is not late');
$on_call->types($consent->{remedy});
wait_until_settled($node);
$on_call->finds_all_well('an own URL that has not consented: its remedy works');
$on_call->has_a_test('At receivers');

#
# A restart
#
$receiver->hold('missing');
$tls{expired}->stop;
sql('INSERT INTO payment_intents (payment_intent_id, callback_url, org_id) VALUES '
	  . join(', ', map { my $org = $_; map { "('$org $_', '$fault{$org}{url}', '$org')" } 2 .. 7 } qw(expired missing)));
$node->poll_query_until('postgres', q{
	SELECT max(attempts) FILTER (WHERE org_id = 'expired') >= 3 AND max(attempts) FILTER (WHERE org_id = 'missing') >= 1 FROM kgwebhook.queue})
  or die 'not tried';
$node->stop;
$world->start($node);
my $destination = 'https://expired.example:' . $tls{expired}->port;
my $before = sql(qq{SELECT failures_in_a_row >= 3 AND last_success IS NOT NULL FROM kgwebhook.destinations WHERE destination = '$destination'});
is($before, 't', 'after a restart: kgwebhook.destinations knows who was failing, and when it last was not');
$on_call->finds(qr/^https:.* \(organization expired\): the connection was refused since/);
$on_call->finds(qr/^http:.* \(organization missing\): answered with status 404 since/);
renew('expired');
$receiver->release('missing');
wait_until_settled($node);
$on_call->finds_all_well('after a restart: those that come back get what waits');

$node->stop;
$_->stop foreach $receiver, $world, values %tls;
done_testing();
