#-------------------------------------------------------------------------
#
# test/t/121_signing_keys.pl
#	  Signatures that need no shared secret: who has kg_jwks() can verify, in each phase of
#	  a rotation; who has a secret goes on as ever; and nobody sees a private key.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/../perl';

use Cwd qw(abs_path);
use IPC::Run qw(run);
use JSON::PP;
use Kgwebhook;
use MIME::Base64;
use PostgreSQL::Test::Utils;
use Readme;
use Test::More;

my $verify = abs_path(dirname(__FILE__) . '/../receivers') . '/verify_key.mjs';
my $json = JSON::PP->new->utf8->canonical;
my $dir = PostgreSQL::Test::Utils::tempdir('keys');
my $node = new_node('main', 'log_statement' => "'all'", 'kgwebhook.retry_schedule' => "'1h'");
my $secret = make_intents_table($node);
$node->safe_psql('postgres', q{SELECT kg_set_secret(o, 'the secret of ' || o || ', long enough') FROM unnest(ARRAY['acme', 'plain']) o});
my $receiver = start_receiver(secret => [ $secret, map { "the secret of $_, long enough" } qw(acme plain) ]);

sub sql
{
	return $node->safe_psql('postgres', shift);
}

# The request of a new intent of an organization.
my $id = 0;
sub request_of
{
	my ($org) = @_;

	insert_intent($node, ++$id, $receiver->url, org_id => "'$org'");
	return ($receiver->wait_for_requests(1, path => '/ok', if => sub { $_[0]{json}{payment_intent_id} eq $id }))[0];
}

sub jwks
{
	return $json->decode(sql("SELECT kg_jwks('$_[0]')"));
}

sub key_ids
{
	return join ' ', map { $_->{kid} } @{ jwks($_[0])->{keys} };
}

# Which of an organization's public keys verify a request, in the header's order.
sub verified_by
{
	my ($request, $org) = @_;
	my $input = $json->encode({ jwks => jwks($org), headers => $request->{headers}, body => $request->{body} });
	my ($out, $error);

	run [ 'node', $verify ], \$input, \$out, \$error or die $error;
	return join ' ', split /\n/, $out;
}

# What the programs of docs/receiving.md say, both of them.
my %programs = Readme->load(abs_path(dirname(__FILE__) . '/../../docs/receiving.md'))->programs;
append_to_file("$dir/$_", $programs{$_}) foreach qw(verify-key.mjs verify_key.py);
append_to_file("$dir/run.mjs", <<'END');
import fs from 'node:fs';
import { verify } from './verify-key.mjs';
const { headers, body, keys, now } = JSON.parse(fs.readFileSync(0));
try {
	console.log(verify(headers, Buffer.from(body, 'base64'), keys, now).status);
} catch (error) {
	console.log(error.message);
}
END
append_to_file("$dir/run.py", <<'END');
import base64, json, sys
from verify_key import verify
q = json.load(sys.stdin)
try:
    print(verify(q['headers'], base64.b64decode(q['body']), q['keys'], q['now'])['status'])
except ValueError as error:
    print(error)
END
sub guide_says
{
	my ($request, $keys, $later) = @_;
	my $now = $request->{headers}{'webhook-timestamp'} + ($later // 0);
	my $input = $json->encode({ headers => $request->{headers}, body => $request->{body_base64}, keys => $keys, now => $now });
	my @said = map {
		my ($out, $error);
		run $_, \$input, \$out, \$error or die $error;
		chomp $out;
		$out
	} [ 'node', "$dir/run.mjs" ], [ '/usr/bin/python3', "$dir/run.py" ];

	return join ', ', @said;
}

#
# A key
#
my $plain = request_of('plain');
like($plain->{headers}{'webhook-signature'}, qr/^v1,\S{44}$/, 'without a key, the signature of the secret and no more');
is(sql(q{SELECT kg_jwks('default')}), '{"keys": []}', 'no keys yet');
my $public = sql('SELECT kg_create_signing_key()');
like($public, qr/^whpk_[A-Za-z0-9+\/]{43}=$/, 'a public key');
sql(q{SELECT kg_create_signing_key('acme')});
my ($jwk) = @{ jwks('default')->{keys} };
is(decode_base64(substr($public, 5)), decode_base64($jwk->{x} =~ tr{-_}{+/}r . '='), 'kg_jwks() has the same');
is_deeply([ @$jwk{qw(kty crv use alg)} ], [qw(OKP Ed25519 sig EdDSA)], 'as RFC 8037 has it');
my $request = request_of('default');
like($request->{headers}{'webhook-signature'}, qr/^v1,\S{44} v1a,\S{88}$/, 'both signatures');
is($request->{valid}, 1, 'who has the secret accepts it, by the library standardwebhooks, too');
is(verified_by($request, 'default'), $jwk->{kid}, 'who has the public key as well');
is(verified_by($request, 'acme'), 'none', 'and by no other organization\'s key');
my %changed = %$request;
$changed{body} =~ s/300\.0/900.0/;
is(verified_by(\%changed, 'default'), 'none', 'nor when the body was changed');
like(request_of('plain')->{headers}{'webhook-signature'}, qr/^v1,\S{44}$/, 'another organization has none');

my $keys = jwks('default')->{keys};
is(guide_says($request, $keys), 'pending, pending', 'the programs of docs/receiving.md accept it');
is(guide_says($request, [$public]), 'pending, pending', 'by the public key alone, too');
is(guide_says($request, jwks('acme')->{keys}), 'wrong signature, wrong signature', 'not by another\'s');
is(guide_says({ %$request, body_base64 => encode_base64($changed{body}, '') }, $keys), 'wrong signature, wrong signature', 'not when it was changed');
is(guide_says($plain, $keys), 'wrong signature, wrong signature', 'nor without such a signature');
is(guide_says($request, $keys, 301), 'stale, stale', 'and not when it is old');
is(guide_says($request, $keys, -301), 'from the future, from the future', 'nor from the future');

# once more, by a program that knows nothing of webhooks
my ($signature) = $request->{headers}{'webhook-signature'} =~ /v1a,(\S+)/;
open my $file, '>', "$dir/message" or die $!;
binmode $file;
print $file join '.', @{ $request->{headers} }{qw(webhook-id webhook-timestamp)}, decode_base64($request->{body_base64});
close $file;
append_to_file("$dir/signature", decode_base64($signature));
append_to_file("$dir/public", "\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00" . decode_base64(substr($public, 5)));
is(system_log('openssl', 'pkeyutl', '-verify', '-rawin', '-pubin', '-keyform', 'DER', '-inkey', "$dir/public",
		'-in', "$dir/message", '-sigfile', "$dir/signature"), 0, 'openssl says so, too');

sql("SELECT count(*) FROM kg_send_test('@{[ $receiver->url('/ok?test') ]}')");
my ($test) = $receiver->wait_for_requests(1, path => '/ok?test');
is(verified_by($test, 'default'), $jwk->{kid}, 'a test is signed alike');
is(sql("SELECT string_agg(probe, ', ') FROM kg_examine('@{[ $receiver->url('/ok?exam') ]}', 'default') WHERE expected ~ 'accept'"
	  . ' AND NOT ok'), '', 'an exam');
my @exam = $receiver->requests(path => '/ok?exam');
is(scalar(grep { $_->{headers}{'webhook-signature'} !~ /v1a/ } @exam), 1, 'has a key\'s signature in all but the one that must be refused');

#
# HTTP Message Signatures
#
sub http_result
{
	my ($request, $org) = @_;
	my $input = $json->encode({ jwks => jwks($org), origin => "http://$request->{headers}{host}", map { $_ => $request->{$_} } qw(path headers body_base64) });
	my ($out, $error);

	run [ 'node', $verify =~ s/verify_key/verify_http/r ], \$input, \$out, \$error or die $error;
	chomp $out;
	return $out;
}

is(http_result($request, 'default'), 'wrong digest', 'none unless one is asked for');
like(sql_error($node, q{SELECT kg_sign_http('plain')}), qr/55000: organization "plain" has no signing key to sign with/, 'one needs a key');
sql(q{SELECT kg_sign_http('default')});
my $subscription = sql("SELECT kg_subscribe('default', '@{[ $receiver->url('/sub/ok?x=%20y&z') ]}')");
$request = request_of('default');
is(http_result($request, 'default'), "$jwk->{kid} valid", 'an object\'s own URL');
my ($subscribed) = $receiver->wait_for_requests(1, path => '/sub/ok?x=%20y&z');
is($subscribed->{headers}{signature}, undef, 'a subscription only if it asks for it');
sql("SELECT kg_sign_http('default', $subscription); SELECT kg_sign_http('default', enabled => false)");
is(request_of('default')->{headers}{signature}, undef, 'no more to the own URL');
($subscribed) = $receiver->wait_for_requests(2, path => '/sub/ok?x=%20y&z');
$subscribed = ($receiver->wait_for_requests(2, path => '/sub/ok?x=%20y&z'))[1];
is(http_result($subscribed, 'default'), "$jwk->{kid} valid", 'but to the subscription, its query included');
is($subscribed->{valid}, 1, 'and the other signatures are there as ever');
unlike(http_result($subscribed, 'acme'), qr{valid}, 'by no other key');
foreach my $change ([ path => '/sub/ok?x=%20y&Z' ], [ path => '/Sub/ok?x=%20y&z' ])
{
	is(http_result({ %$subscribed, @$change }, 'default'), 'wrong signature', "not for @$change");
}
foreach my $name (qw(webhook-id webhook-timestamp content-type))
{
	my %headers = (%{ $subscribed->{headers} }, $name => '1');
	is(http_result({ %$subscribed, headers => \%headers }, 'default'), 'wrong signature', "not with another $name");
}
is(http_result({ %$subscribed, body_base64 => encode_base64($changed{body}, '') }, 'default'), 'wrong digest', 'not of another body');
sql("SELECT kg_unsubscribe($subscription)");
is(sql('SELECT count(*) FROM kgwebhook.http_signature'), 0, 'an unsubscribed one leaves nothing behind');
sql(q{SELECT kg_sign_http('default')});
insert_intent($node, 'numbers', 'http://127.1:' . $receiver->port . '/ok?numbers');
my ($numbers) = $receiver->wait_for_requests(1, path => '/ok?numbers');
is($numbers->{headers}{host}, '127.0.0.1:' . $receiver->port, 'an address in another form is sent in the usual one');
is(http_result($numbers, 'default'), "$jwk->{kid} valid", 'and signed as it is sent');

#
# A rotation
#
my $first = key_ids('default');
like(sql_error($node, 'SELECT kg_create_signing_key()'),
	qr/42710: organization "default" has a signing key already/, 'there is one already');
sql('SELECT kg_rotate_signing_key()');
my ($second) = map { $_->{kid} } grep { $_->{kid} ne $first } @{ jwks('default')->{keys} };
is(key_ids('default'), "$first $second", 'the next one is published');
my $before = request_of('default');
is(verified_by($before, 'default'), "$first $second", 'before the activation: both sign, the old one first');
is(http_result($before, 'default'), "$first valid", 'and an HTTP message is signed by that');
like(sql_error($node, 'SELECT kg_rotate_signing_key()'),
	qr/55000: a rotation of the signing key of organization "default" is under way\n.*DETAIL:  The new key comes first from 20/s, 'one at a time');
sql(q{UPDATE kgwebhook.signing_key SET activates_at = now() - interval '1 min' WHERE retires_at IS NULL AND org_id = 'default'});
my $after = request_of('default');
is(verified_by($after, 'default'), "$second $first", 'after it: the new one first');
is(http_result($after, 'default'), "$second valid", 'which signs the HTTP message, too');
sql(q{UPDATE kgwebhook.signing_key SET retires_at = now() - interval '10 s' WHERE retires_at IS NOT NULL});
is(verified_by(request_of('default'), 'default'), $second, 'after the retirement: the new one alone');
is(key_ids('default'), $second, 'and it alone is published');
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM kgwebhook.signing_key WHERE org_id = 'default'})
  or die 'the old key is still there';
pass('the old one leaves the table');
sql(q{SELECT kg_rotate_signing_key('default', '0', '1 hour')});
like(($node->psql('postgres', q{SELECT kg_cancel_key_rotation('default')}))[2],
	qr/WARNING:  the new signing key of organization "default" has signed already/, 'a rotation is cancelled');
is(verified_by(request_of('default'), 'default'), $second, 'and the old one signs alone');
sql(q{SELECT kg_rotate_signing_key('default', '1 second', '0')});
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM kgwebhook.signing_key WHERE org_id = 'default'})
  or die 'the old key is still there';
my $third = key_ids('default');
isnt($third, $second, 'without anyone\'s doing, a key retires at its second');
is(verified_by(request_of('default'), 'default'), $third, 'and its successor signs');
foreach my $case (
	[ q{kg_cancel_key_rotation('default')}, qr/55000: no rotation of the signing key of organization "default" is under way/ ],
	[ q{kg_rotate_signing_key('plain')}, qr/55000: organization "plain" has no signing key to rotate/ ],
	[ q{kg_rotate_signing_key('acme', '-1 s')}, qr/22023: activate_after must be an interval that is not negative/ ],
	[ q{kg_rotate_signing_key('acme', NULL)}, qr/22023: activate_after must be an interval/ ],
	[ q{kg_create_signing_key(NULL)}, qr/22004: org_id must not be null/ ],
	[ q{kg_create_signing_key('')}, qr/22023: org_id/ ])
{
	like(sql_error($node, "SELECT $case->[0]"), $case->[1], "$case->[0] is refused");
}

#
# Encrypted with the key file, like secrets
#
sub write_keys
{
	unlink "$dir/file";
	append_to_file("$dir/file", join '', map { "$_\n" } @_);
	chmod 0600, "$dir/file";
	return;
}

my $private = sql(q{SELECT private_key FROM kgwebhook.signing_key WHERE org_id = 'default'});
like($private, qr/^whsk_/, 'without a key file, in the clear');
write_keys('the first key that these are encrypted with');
reload($node, 'kgwebhook.key_file' => "'$dir/file'");
$node->poll_query_until('postgres', 'SELECT bool_and(encrypted) FROM kgwebhook.signing_key') or die 'not encrypted';
unlike(sql('SELECT string_agg(private_key, E\'\n\') FROM kgwebhook.signing_key'), qr/whsk_|[^0-9a-f\n]/, 'with one, encrypted');
is(verified_by(request_of('default'), 'default'), $third, 'it signs as before');
sql(q{SELECT kg_create_signing_key('late')});
is(sql('SELECT count(*) FROM kgwebhook.signing_key WHERE NOT encrypted'), 0, 'a new one is never in the clear');
write_keys('the second key that these are encrypted with', 'the first key that these are encrypted with');
reload($node);
is(sql('SELECT kg_encrypt_secrets()'), 6, 'encrypted by the new key: three secrets and three keys');
write_keys('the second key that these are encrypted with');
reload($node);
is(verified_by(request_of('default'), 'default'), $third, 'the first key is not needed any more');
sql(q{UPDATE kgwebhook.signing_key SET private_key = (SELECT private_key FROM kgwebhook.signing_key WHERE org_id = 'default')
	WHERE org_id = 'acme'});
insert_intent($node, 'copied', $receiver->url, org_id => q{'acme'});
my ($copied) = wait_for_log_rows($node, 1, q{object_id = 'copied'});
is($copied->{error}, "the organization's signing key cannot be decrypted at present", 'a key copied from another organization signs nothing');
sql(q{DELETE FROM kgwebhook.signing_key WHERE org_id = 'acme'; DELETE FROM kgwebhook.queue});

#
# A dump
#
$node->command_ok([ 'pg_dump', '-f', "$dir/dump", '-d', $node->connstr('postgres') ], 'a dump');
sql('CREATE DATABASE copy');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-o', "$dir/restored", '-f', "$dir/dump", '-d', $node->connstr('copy') ], 'is restored');
is($node->safe_psql('copy', q{SELECT kg_jwks('default')}), sql(q{SELECT kg_jwks('default')}), 'with its keys');
my $signed = $node->safe_psql('copy', "SELECT outcome FROM kg_send_test('@{[ $receiver->url('/ok?copy') ]}')");
is($signed, 'acknowledged', 'which sign there');
is(verified_by(($receiver->requests(path => '/ok?copy'))[0], 'default'), $third, 'as they did');

#
# Who sees and does what
#
sql(q{CREATE ROLE acme; SELECT kg_grant_org('acme', 'acme'); CREATE ROLE nobody});
sub as
{
	my ($role, $statement) = @_;

	return sql_error($node, "SET ROLE $role; $statement");
}
is(sql(q{SET ROLE acme; SELECT kg_jwks('acme')}), '{"keys": []}', 'a merchant\'s role has its organization\'s keys');
my $existing = as('acme', q{SELECT kg_jwks('default')});
like($existing, qr/42501: role "acme" does not act for organization "default"/, 'and no other\'s');
is(as('acme', q{SELECT kg_jwks('defaulx')}) =~ s/defaulx/default/gr, $existing, 'whether there is such a one');
like(as('acme', q{SELECT kg_sign_http('default')}), qr/42501: role "acme" does not act for organization "default"/, 'nor does it change what is another\'s');
like(as('acme', $_), qr/42501: permission denied/, "nor may it: $_")
  foreach q{SELECT kg_rotate_signing_key('acme')}, q{SELECT kg_create_signing_key('acme')}, 'SELECT * FROM kgwebhook.signing_key',
  q{SELECT kgwebhook.kg_jwks('acme')};
like(as('nobody', q{SELECT kg_jwks('acme')}), qr/42501: permission denied/, 'who has no privilege has none');
my $log = slurp_file($node->logfile);
unlike($log, qr/whsk_|\Q@{[ substr($private, 5, 40) ]}\E/, 'no private key is in the log, which has all statements');
done_testing();
