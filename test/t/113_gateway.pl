#-------------------------------------------------------------------------
#
# test/t/113_gateway.pl
#	  Two merchants who have a gateway, a token and docs/receiving.md, and nothing
#	  else: each sets up an endpoint that answers a challenge, verifies, filters, rotates, is down for a while, sees
#	  why, and catches up; and neither sees or touches what is the other's.
#
# The gateway (test/receivers/gateway.mjs, express and pg from npm: PostgREST is in neither
# Debian nor npm) knows nothing of kgwebhook but a setting's name.  The receivers are the programs of docs/receiving.md as they stand.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/../perl';

use Cwd qw(abs_path);
use Digest::SHA qw(hmac_sha256);
use HTTP::Tiny;
use IPC::Run;
use JSON::PP;
use Judge;
use Kgwebhook;
use Kgwebhook::Receiver;
use MIME::Base64 qw(encode_base64url);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Readme;
use Test::More;
use Time::HiRes qw(usleep);

my $top = abs_path(dirname(__FILE__) . '/../..');
my $dir = PostgreSQL::Test::Utils::tempdir('gateway');
my %programs = Readme->load("$top/docs/receiving.md")->programs;
Judge::spew("$dir/$_", $programs{$_}) foreach qw(server.mjs verify-header.mjs verify-body.mjs);
symlink "$top/test/receivers/node_modules", "$dir/node_modules" or die "could not link node_modules: $!";
my %running;
END { kill 'TERM', $_ foreach values %running; }

sub spawn
{
	my ($name, $environment, @command) = @_;
	my $pid = fork // die "could not fork: $!";

	return $running{$name} = $pid if $pid;
	$ENV{$_} = $environment->{$_} foreach keys %$environment;
	open STDIN, '<', '/dev/null';
	open STDOUT, '>>', "$dir/$name.out";
	open STDERR, '>&', \*STDOUT;
	{ exec @command };
	exit 127;
}

sub stop
{
	my ($name) = @_;

	kill 'TERM', $running{$name};
	waitpid delete $running{$name}, 0;
	return;
}

sub wait_for
{
	my ($what, $is_so) = @_;

	foreach (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		my $result = $is_so->();
		return $result if $result;
		usleep(100_000);
	}
	die "waited for $what";
}

#
# The platform: a table, a role for the gateway, a token for each merchant
#
my $node = new_node('main', 'kgwebhook.retry_schedule' => "'1h,1h'");
my $key = 'what the issuer of the tokens and the gateway know';
$node->safe_psql(
	'postgres', q{
	SELECT kg_create_payment_intents();
	CREATE ROLE merchants;
	CREATE ROLE authenticator LOGIN NOINHERIT IN ROLE merchants;
	SELECT kg_grant_gateway('merchants');
	SELECT kg_create_secret('acme'), kg_create_secret('rival')});

# A payment of each merchant's, in a currency.
sub pay
{
	my ($id, $currency) = @_;

	$node->safe_psql('postgres', qq{
		INSERT INTO payment_intents (payment_intent_id, org_id, fiat_amount, fiat_currency)
		SELECT '$id-' || o, o, 12.50, '$currency' FROM unnest('{acme,rival}'::text[]) o});
	return;
}

spawn('gateway', {}, 'node', "$top/test/receivers/gateway.mjs", '--port-file', "$dir/port", '--host', $node->host,
	'--port', $node->port, '--role', 'merchants', '--key', $key);
wait_for('the gateway', sub { -e "$dir/port" });
chomp(my $gateway = slurp_file("$dir/port"));

sub token
{
	my ($claims, $with, $alg) = @_;
	my $text = join '.', map { encode_base64url(encode_json($_)) } { alg => $alg // 'HS256', typ => 'JWT' }, $claims;

	return "$text." . encode_base64url(hmac_sha256($text, $with // $key));
}

# What a merchant has: a token, and from here on only this.
my %token = map { $_ => token({ org_id => $_ }) } qw(acme rival);

sub ask
{
	my ($token, $method, $path, $arguments) = @_;
	my $answer = HTTP::Tiny->new(timeout => 60)->request($method, "http://127.0.0.1:$gateway/$path", {
			headers => { 'content-type' => 'application/json', $token ne '' ? (authorization => "Bearer $token") : () },
			defined $arguments ? (content => encode_json($arguments)) : () });
	my $result = $answer->{content} =~ /^[\[{]/ ? decode_json($answer->{content}) : $answer->{content};

	return wantarray ? ($answer->{status}, $result) : $answer->{status} == 200 ? $result :
	  die "$method $path: $answer->{status} $answer->{content}";
}

# A function's only value, its rows, and what a view has.
sub value { my ($who, $function, %arguments) = @_; return ask($token{$who}, 'POST', "rpc/$function", \%arguments)->[0]{result}; }
sub rows { my ($who, $function, %arguments) = @_; return @{ ask($token{$who}, 'POST', "rpc/$function", \%arguments) }; }
sub view { my ($who, $path) = @_; return @{ ask($token{$who}, 'GET', $path) }; }

#
# Each sets up an endpoint
#
my %port = map { $_ => PostgreSQL::Test::Cluster::get_free_port() } qw(acme rival);
my %wanted = (acme => 'EUR', rival => 'USD');
my (%subscription, %secret);

# The guide's server, with these secrets.
sub receive
{
	my ($who, @secrets) = @_;

	spawn($who, { WEBHOOK_SECRET => "@secrets", PORT => $port{$who} }, 'node', "$dir/server.mjs");
	wait_for("the receiver of $who", sub { IO::Socket::INET->new("127.0.0.1:$port{$who}") });
	return;
}

# The payments whose events it has accepted, each once.
sub accepted { my ($who) = @_; return -e "$dir/$who.out" ? slurp_file("$dir/$who.out") =~ /^payment_intent\.\S+ (msg_\S+)/mg : (); }

foreach my $who (qw(acme rival))
{
	$subscription{$who} = value($who, 'kg_subscribe', org_id => $who, url => "http://127.0.0.1:$port{$who}/hooks",
		events => ['payment_intent.*'], filter => encode_json({ fiat_currency => [ $wanted{$who} ] }), verify => JSON::PP::true);
	$secret{$who} = value($who, 'kg_create_secret', subscription_id => $subscription{$who});
	value($who, 'kg_set_headers', subscription_id => $subscription{$who}, headers => encode_json({ 'X-Tenant' => $who }), bearer_token => "token-of-$who");
	value($who, 'kg_update_subscription', subscription_id => $subscription{$who}, rate_limit => 50);
	is_deeply([ map { ($_->{rate_limit}, @{ $_->{header_names} }) } view($who, 'subscriptions') ], [ 50, 'X-Tenant', 'Authorization' ], "$who: sees its limit, and the names of its headers");

	# nothing listens there yet
	wait_for('the challenge to fail', sub { grep { $_->{event} eq 'endpoint.challenge' && $_->{state} eq 'retrying' } view($who, 'deliveries') });
	is((view($who, "subscriptions?subscription_id=$subscription{$who}"))[0]{state}, 'unverified', "$who: its endpoint is unverified");
	receive($who, $secret{$who});
	value($who, 'kg_send_challenge', subscription_id => $subscription{$who});
	wait_for('the endpoint to be verified', sub { (view($who, "subscriptions?subscription_id=$subscription{$who}"))[0]{state} eq 'ok' });
	pass("$who: the guide's receiver answers the challenge");
	is((rows($who, 'kg_send_test', org_id => $who))[0]{outcome}, 'acknowledged', "$who: a test is verified and answered");
	my @failed = grep { !$_->{ok} && $_->{probe} !~ /^older/ } rows($who, 'kg_examine', org_id => $who, url => "http://127.0.0.1:$port{$who}/hooks");
	is_deeply(\@failed, [], "$who: the guide's receiver passes the exam");
	my ($members) = map { $_->{members} } grep { $_->{kind} eq 'payment_intent' } @{ value($who, 'kg_event_catalog') };
	is(scalar(grep { $_->{member} eq 'fiat_currency' } @$members), 1, "$who: the catalog has the member to filter by");
}

# Events: what each wants, and no other's
my %before = map { $_ => scalar accepted($_) } qw(acme rival);
pay('first', 'EUR');
pay('second', 'USD');
pay('third', 'GBP');
wait_for('the events', sub { !grep { !grep { $_->{state} eq 'acknowledged' && !$_->{is_test} } view($_, 'deliveries?event=payment_intent.pending') } qw(acme rival) });
is_deeply({ map { $_ => [ sort map { $_->{object_id} } grep { $_->{object_id} !~ /test|^msg_/ } view($_, 'deliveries') ] } qw(acme rival) },
	{ acme => ['first-acme'], rival => ['second-rival'] }, 'each gets the currency that it has asked for');

#
# Rotation, by both at once, with a receiver that knows both secrets
#
foreach my $who (qw(acme rival))
{
	my $next = value($who, 'kg_rotate_secret', subscription_id => $subscription{$who}, activate_after => '0', keep_old => '1 day');
	stop($who);
	receive($who, $secret{$who}, $next);
	$secret{$who} = $next;
}
pay('rotated', $wanted{$_}) foreach qw(acme);
$node->safe_psql('postgres', q{INSERT INTO payment_intents (payment_intent_id, org_id, fiat_amount, fiat_currency) VALUES ('rotated-rival-2', 'rival', 1, 'USD')});
wait_for('the events of a rotation', sub { 2 == grep { my $who = $_; grep { $_->{object_id} =~ /^rotated/ && $_->{state} eq 'acknowledged' } view($who, 'deliveries') } qw(acme rival) });
pass('events in a rotation are verified');

#
# Down for a while: why, and catching up by pull and by redelivery
#
my %cursor = map { my $who = $_; $who => (rows($who, 'kg_events_since', org_id => $who, subscription_id => $subscription{$who}))[-1]{cursor} } qw(acme rival);
stop('acme');
pay('down', 'EUR');
pay('down2', 'USD');
wait_for('an attempt to fail', sub { grep { $_->{object_id} eq 'down-acme' && $_->{state} eq 'retrying' } view('acme', 'deliveries') });
my ($late) = grep { $_->{object_id} eq 'down-acme' } view('acme', 'deliveries');
is($late->{last_error}, 'the connection was refused', 'acme sees why');
like(value('acme', 'kg_explain', delivery_id => $late->{delivery_id}), qr/the connection was refused/, 'and has it explained');
like(value('acme', 'kg_dashboard', org_id => 'acme'), qr/127\.0\.0\.1:$port{acme}.*refused/s, 'on its page, too');
is((view('acme', "subscriptions?subscription_id=$subscription{acme}"))[0]{state}, 'failing', 'its subscription is failing');
is((view('rival', 'subscriptions'))[0]{state}, 'ok', "the other's is not");

my @missed = rows('acme', 'kg_events_since', org_id => 'acme', cursor => $cursor{acme}, subscription_id => $subscription{acme});
is_deeply([ map { $_->{object_id} } @missed ], ['down-acme'], 'what it has missed is fetched');
Judge::spew("$dir/body", $missed[0]{body});
Judge::spew("$dir/judge.mjs", "import { readFileSync } from 'node:fs';\nimport { verify } from './verify-body.mjs';\n"
	  . "console.log(verify(readFileSync('$dir/body'), process.argv.slice(2)).payment_intent_id);\n");
my $out = '';
IPC::Run::run([ 'node', "$dir/judge.mjs", $secret{acme} ], '>', \$out, '2>&1');
is($out, "down-acme\n", "the guide's program accepts it, with the endpoint's own secret");
receive('acme', $secret{acme});
value('acme', 'kg_redeliver', delivery_id => $late->{delivery_id});
wait_for('the redelivery', sub { grep { $_->{object_id} eq 'down-acme' && $_->{state} eq 'acknowledged' } view('acme', 'deliveries') });
pass('and sent again on request');

#
# Neither sees or touches the other's: what is not its own isn't there
#
my ($theirs) = grep { $_->{object_id} !~ /test/ } view('rival', 'deliveries');
my %own = map { my $who = $_; $who => [ map { $_->{org_id} } map { view($who, $_) } qw(deliveries delivery_log subscriptions dead_letter) ] } qw(acme rival);
is_deeply([ grep { $_ ne 'acme' } @{ $own{acme} } ], [], 'acme sees only its own rows');
is_deeply([ grep { $_ ne 'rival' } @{ $own{rival} } ], [], 'so does the other');
ok(scalar(@{ $own{acme} }), 'and there are some');
is_deeply([ view('acme', "delivery_log?delivery_id=$theirs->{delivery_id}") ], [], "another's row by its number");
unlike(value('acme', 'kg_dashboard', org_id => 'acme'), qr/rival|:$port{rival}/, "nothing of the other's on the page");

# The same answer for another's number as for one that nobody has, except for the number.
sub answer
{
	my ($who, $function, %arguments) = @_;
	my ($status, $result) = ask($token{$who}, 'POST', "rpc/$function", \%arguments);

	(my $message = join '|', $status, map { $_ // '' } @$result{qw(code message detail hint)}) =~ s/\b\d{1,9}\b(?=[^|]*(?: does|$))/N/g
	  if ref $result eq 'HASH';
	return $message // "$status|" . ($result->[0]{result} // 'accepted');
}
foreach my $case (
	[ kg_explain => 'delivery_id' ], [ kg_redeliver => 'delivery_id' ], [ kg_unsubscribe => 'subscription_id' ],
	[ kg_pause_subscription => 'subscription_id' ], [ kg_send_challenge => 'subscription_id' ], [ kg_resume_subscription => 'subscription_id' ],
	[ kg_update_subscription => 'subscription_id', filter => '{}' ], [ kg_update_subscription => 'subscription_id', shape => 'v2' ],
	[ kg_create_secret => 'subscription_id' ], [ kg_rotate_secret => 'subscription_id' ], [ kg_cancel_rotation => 'subscription_id' ],
	[ kg_drop_secret => 'subscription_id' ], [ kg_set_headers => 'subscription_id', headers => '{"X-Tenant": "mine"}' ],
	[ kg_update_subscription => 'subscription_id', rate_limit => 0.01 ])
{
	my ($function, $argument, @more) = @$case;
	my $number = $argument eq 'delivery_id' ? $theirs->{delivery_id} : $subscription{rival};
	my ($real, $none) = map { answer('acme', $function, $argument => $_, @more) } $number, 987654;

	s/\b(?:$number|987654)\b/N/g foreach $real, $none;
	is($real, $none, "$function: another's number is like nobody's");
	like($real, $function eq 'kg_explain' ? qr/^200\|.* is not known/ : qr/^(?:400|403|404)\|/, "$function: and refused");
}
foreach my $call ([ 'kg_events_since' ], [ 'kg_rotate_secret' ], [ 'kg_dashboard' ], [ 'kg_send_test' ], [ 'kg_subscribe', url => 'http://127.0.0.1:4444/' ])
{
	my ($function, @more) = @$call;
	my ($real, $none) = map { my $a = answer('acme', $function, org_id => $_, @more); $a =~ s/\b$_\b/X/g; $a } qw(rival nobody);

	is($real, $none, "$function: another organization is like none");
	like($real, qr/^403\|42501/, "$function: and not acme's");
}
is((ask($token{acme}, 'POST', 'rpc/kg_events_since', { org_id => 'acme', subscription_id => $subscription{rival} }))[0], 404, "another's subscription in its own events");
is_deeply([ map { $_->{state} } view('rival', 'subscriptions') ], ['ok'], "the other's subscription is as it was");
is((rows('rival', 'kg_send_test', org_id => 'rival'))[0]{outcome}, 'acknowledged', 'and its secret, too');

#
# Past the gateway: forged tokens, and what isn't for merchants
#
is((ask($_->[0], 'GET', 'deliveries'))[0], 401, $_->[1])
  foreach [ '', 'no token' ], [ token({ org_id => 'acme' }, 'another key'), 'a forged one' ], [ token({ org_id => 'acme' }, '', 'none'), 'one that nobody has signed' ],
  [ token({ org_id => 'acme' }, $key, 'none'), 'one whose algorithm is none' ];
is((ask(token({ sub => 'acme' }), 'POST', 'rpc/kg_events_since', { org_id => 'acme' }))[0], 403, 'a token without an organization acts for none');
is_deeply([ ask(token({ org_id => '*' }), 'GET', 'deliveries') ]->[1], [], "nor does the platform's name");
foreach my $function (qw(kg_fingerprints kg_status kg_pause kg_recover kg_set_secret kg_watch_shape kg_encrypt_secrets kg_grant_org))
{
	like(answer('acme', $function), qr/^(?:403\|42501|400\|42883)/, "$function is not a merchant's");
}
is((ask($token{acme}, 'GET', $_))[0], 403, "$_ is not a merchant's") foreach qw(secret subscription queue shape watch);
my $log = join '', map { slurp_file("$dir/$_.out") } qw(gateway);
is($log, '', 'the gateway has seen no error of its own');
done_testing();
