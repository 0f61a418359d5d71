#-------------------------------------------------------------------------
#
# test/t/002_wire.pl
#	  What is on the wire: members, amounts, headers, signatures; judged by the
#	  receiver's own records and by third parties' libraries.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Digest::SHA qw(hmac_sha256_hex);
use Encode qw(decode_utf8 encode_utf8);
use Kgwebhook;
use MIME::Base64;
use Test::More;

my $node = new_node('main');
my $secret = make_intents_table($node);
my $receiver = start_receiver(secret => $secret);
my ($version) = $node->safe_psql('postgres',
	q{SELECT extversion FROM pg_extension WHERE extname = 'kgwebhook'});

sub is_valid
{
	my ($request, $what) = @_;

	is_deeply(
		$request->{checks},
		{
			standardwebhooks => 'valid',
			canonicalize => 'valid',
			tail => 'valid',
			age => 'valid'
		},
		"$what: all verifiers agree");
	return;
}

#
# The bytes, to the letter
#
my $order_data = q({"b": [1, 2.50, {"é": "\u00e9\u20ac\ud83d\ude02"}], "a": "x\"\\\\/\n\u0001",)
  . q( "n": 1e21, "z": 0.000001, "B": true, "e": {}, "l": [], "0": null});
my $url = $receiver->url('/ok?exact');
my $before = time;
insert_intent(
	$node, 'pi_exact', $url,
	order_data => "'$order_data'",
	fiat_amount => '300.0',
	crypto_amount => '0.00012300',
	received_crypto_amount => '123456789012345678901234567890.10');
my ($exact) = $receiver->requests_of('pi_exact', 1);
my $after = time;

my $stamp = $exact->{json}{timestamp};
ok($stamp >= $before && $stamp <= $after, 'stamped with the time of sending');
my $signed =
	qq({"callback_url":"$url","crypto_amount":"0.00012300",)
  . q("fiat_amount":"300.0","fiat_currency":"USD",)
  . q("order_data":{"0":null,"B":true,"a":"x\"\\\\/\n\u0001","b":[1,2.5,{"é":"é€😂"}],)
  . q("e":{},"l":[],"n":1e+21,"z":0.000001},)
  . q("payment_chain_id":"1","payment_intent_id":"pi_exact","payment_tx_hash":null,)
  . q("received_crypto_amount":"123456789012345678901234567890.10",)
  . qq("status":"pending","symbol":"USDT","timestamp":$stamp});
my $body = substr($signed, 0, -1)
  . sprintf(',"signature":"%s"}', hmac_sha256_hex($signed, $secret));
is(decode_base64($exact->{body_base64}),
	$body, 'the body is the canonical form and its signature');
is_valid($exact, 'a payload with unicode, escapes, numbers, nesting');

is($exact->{method}, 'POST', 'method');
is($exact->{path}, '/ok?exact', 'path and query');
my %headers = %{ $exact->{headers} };
is($headers{'content-type'}, 'application/json', 'content type');
is($headers{'user-agent'}, "kgwebhook/$version", 'user agent');
is($headers{'webhook-timestamp'}, $stamp, 'webhook-timestamp');
is($headers{'webhook-event'}, 'payment_intent.pending', 'webhook-event');
is($headers{'webhook-attempt'}, '1', 'webhook-attempt');
like($headers{'webhook-signature'}, qr{^v1,[0-9A-Za-z+/]{43}=$}, 'webhook-signature');
is($headers{'content-length'}, length($body), 'content length');
is_deeply(
	[ sort map { lc $_->[0] } @{ $exact->{raw_headers} } ],
	[
		qw(accept content-length content-type host user-agent
		  webhook-attempt webhook-event webhook-id webhook-signature
		  webhook-timestamp)
	],
	'no other header, and none twice');

#
# The log
#
my ($row) = wait_for_log_rows($node, 1, q{object_id = 'pi_exact'});
is(encode_utf8($row->{request_body}), $body, 'request_body is what was sent');
is($row->{webhook_id}, $headers{'webhook-id'}, 'the log knows the webhook-id');
is_deeply(
	[
		map { defined $_ ? "$_" : undef } @$row{
			qw(org_id event object_id url destination attempt outcome final
			  response_status response_body error is_test)
		}
	],
	[
		'default', 'payment_intent.pending', 'pi_exact', $url,
		$receiver->destination, 1, 'acknowledged', 1, 200, "status 200\n",
		undef, 0
	],
	'and the rest of the attempt');
cmp_ok($row->{duration_ms}, '>', 0, 'with its duration');

#
# NULL columns
#
insert_intent(
	$node, 'pi_null', $receiver->url,
	map { $_ => 'NULL' }
	  qw(payment_chain_id symbol fiat_amount fiat_currency crypto_amount));
my ($null) = $receiver->requests_of('pi_null', 1);
is_deeply(
	[
		map { exists $null->{json}{$_} ? $null->{json}{$_} : 'absent' }
		  qw(payment_chain_id symbol fiat_amount fiat_currency crypto_amount
		  received_crypto_amount payment_tx_hash order_data)
	],
	[ (undef) x 8 ],
	'a NULL column is null');
is_valid($null, 'nulls');

#
# order_data, as it went in
#
my %documents = (
	scalar_string => '"just text"',
	scalar_number => '42',
	scalar_null => 'null',
	json_array => '[[], [[]], {}, ""]',
	beyond_bmp => qq({"\x{1F602}": 1, "\x{FB33}": 2, "\x{FFFD}": 3}),
	controls => '{"\b\f\t\r\u001f\u007f\u2028": "\"\\\\\/"}',
	numbers => '[0, -0.0, 1E2, 1e-7, 123456789.125, 5e-324, 1.7976931348623157e308, 0.1]',
	deep => ('[' x 60) . (']' x 60),
	looks_like_ours => '{"signature": "x", "timestamp": 1, "}": ",\"signature\":\"0\"}"}');
foreach my $name (sort keys %documents)
{
	(my $literal = $documents{$name}) =~ s/'/''/g;
	insert_intent($node, $name, $receiver->url, order_data => encode_utf8("'$literal'"));
	my ($got) = $receiver->requests_of($name, 1);
	is_valid($got, "order_data $name");
	wait_for_log_rows($node, 1, "object_id = '$name'");
	is( $node->safe_psql(
			'postgres', "SELECT order_data = (l.request_body::jsonb -> 'order_data')
			  FROM payment_intents JOIN kgwebhook.delivery_log l ON object_id = payment_intent_id
			 WHERE payment_intent_id = '$name'"),
		't',
		"order_data $name: unaltered");
}

#
# JSON that is as deep as a body may be, deeper, and so deep that it is left out
#
my $too_deep = 'more than 512 arrays and objects inside each other';
my $left_out = qq{member "doc" can't be sent: $too_deep};
$node->safe_psql('postgres', q{
	CREATE TABLE deep (id text, status text, url text, doc jsonb, text json);
	SELECT kg_watch('deep', 'deep', 'id', 'status', 'url', NULL)});
$node->safe_psql('postgres', "INSERT INTO deep SELECT n, 'new', '@{[ $receiver->url ]}', d::jsonb, d::json
	FROM unnest(ARRAY[511, 512, 1024, 1025]) n, LATERAL (SELECT repeat('[', n) || repeat(']', n) AS d) s");
wait_for_log_rows($node, 4, "kind = 'deep' AND final");
is($node->safe_psql('postgres', q{
	SELECT object_id, outcome, error, request_body IS NOT NULL FROM kgwebhook.delivery_log WHERE kind = 'deep' ORDER BY object_id::int}),
	"511|acknowledged||t\n512|invalid|$too_deep|f\n1024|invalid|$too_deep|f\n1025|invalid|$left_out|f", 'how deep JSON may be');
is($node->safe_psql('postgres', q{
	SELECT object_id, length(payload ->> 'doc'), length(payload ->> 'text'), problem FROM kgwebhook.dead_letter WHERE kind = 'deep' ORDER BY object_id::int}),
	"512|1024|1024|\n1024|2048|2048|\n1025|||$left_out", 'and what a dead letter has of it');
$node->safe_psql('postgres', q{SELECT kg_amend(delivery_id, payload || '{"doc": "deep", "text": null}') FROM kgwebhook.dead_letter WHERE object_id = '1024'});
wait_for_log_rows($node, 1, q{object_id = '1024' AND outcome = 'acknowledged'});

#
# Several attempts of one event
#
insert_intent($node, 'pi_again', $receiver->url('/fail/2/ok'));
my @again = $receiver->requests_of('pi_again', 3);
is_valid($_, "attempt $_->{headers}{'webhook-attempt'}") foreach @again;
is_deeply([ map { $_->{headers}{'webhook-attempt'} } @again ],
	[ 1, 2, 3 ], 'attempts are numbered');
my %ids = map { $_->{headers}{'webhook-id'} => 1 } @again;
is(keys %ids, 1, 'one webhook-id for all attempts of an event');
isnt((keys %ids)[0], $headers{'webhook-id'}, 'another event has another');

set_status($node, 'pi_again', 'success');
(undef, undef, undef, my $success) = $receiver->requests_of('pi_again', 4);
is($success->{headers}{'webhook-event'}, 'payment_intent.success', 'the next event');
ok(!$ids{ $success->{headers}{'webhook-id'} }, 'has its own webhook-id');

#
# Secrets of every shape.  The body is signed with all of their bytes, the
# header with the key that the standardwebhooks library takes.
#
my %secrets = (
	made => undef,
	prefixed => 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
	base64 => 'MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
	unpadded => 'whsec_c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV',
	raw => 'correct horse battery staple!',
	prefixed_raw => 'whsec_not base64 at all, but long',
	accented => "clé très secrète, longue assez \x{1F511}",
	quotes => q{it's "quoted" \ and $dollared %s});
foreach my $name (sort keys %secrets)
{
	my $value = $secrets{$name};

	if (defined $value)
	{
		(my $literal = encode_utf8($value)) =~ s/'/''/g;
		$node->safe_psql('postgres', "SELECT kg_set_secret('org_$name', '$literal')");
		$value = encode_utf8($value);
	}
	else
	{
		$value = $node->safe_psql('postgres', "SELECT kg_create_secret('org_$name')");
		like($value, qr{^whsec_[0-9A-Za-z+/]{43}=$}, 'the form of a secret of ours');
	}
	$receiver->set_secret($value);
	insert_intent($node, "secret_$name", $receiver->url, org_id => "'org_$name'");
	my ($got) = $receiver->requests_of("secret_$name", 1);
	is_valid($got, "secret $name");
}
$receiver->set_secret($secret);

#
# A table of the user's own may have any text for a status
#
$node->safe_psql(
	'postgres', q{
	CREATE TABLE wild (id text, status text, callback_url text);
	SELECT kg_watch('wild', event => 'wild', id_column => 'id', org_column => NULL)});
my %statuses = (
	newline => "ok\r\nX-Injected: yes",
	body => "ok\r\n\r\n{\"injected\":1}",
	tab => "a\tb",
	unicode => "réussi \x{1F602}",
	quotes => q{a"b\c'd},
	percent => 'x%0d%0aX-Injected: yes',
	empty => '',
	long => 'x' x 1000);
foreach my $name (sort keys %statuses)
{
	(my $literal = encode_utf8($statuses{$name})) =~ s/'/''/g;
	$node->safe_psql('postgres',
		"INSERT INTO wild VALUES ('wild_$name', '$literal', '@{[ $receiver->url ]}')");
	my ($got) = $receiver->wait_for_requests(1,
		if => sub { ($_[0]{json}{id} // '') eq "wild_$name" });
	is_valid($got, "status $name");
	is($got->{json}{status}, $statuses{$name}, "status $name: is whole in the body");
	is_deeply([ grep { /injected/i } keys %{ $got->{headers} } ],
		[], "status $name: no header of its own");
	like($got->{headers}{'webhook-event'},
		qr/^wild\.[\x21-\x7e]*$/, "status $name: visible ASCII in webhook-event");
}

#
# Names of columns: the order of their bytes is not always theirs
#
my %columns = (
	after => '"timestamps" int, "Z" int, "~" int, "zz" int, "a-longer-name" int, "b" int',
	before => '"a" int, "tim" int, "TIMESTAMP" int, "callback" int',
	between => '"timestamq" int, "timestam" int, "signatures" int',
	accents => qq("\x{E9}" int, "z" int, "\x{FB33}" int, "\x{1F602}" int),
	escapes => qq("a\tb" int, "a""b" int, "a\\b" int, "a b" int),
	rest => '"txt" text, "j" jsonb');
my %values = (rest => q{E'\u0001\u007f"\\\\', '[{"b": -0.0, "a": [{}]}, 9007199254740992, 1.50e300, 1e-7]'});
foreach my $name (sort keys %columns)
{
	my $count = () = $columns{$name} =~ / (?:int|text|jsonb)\b/g;
	my $given = $values{$name} // join ', ', 1 .. $count;

	$node->safe_psql('postgres', encode_utf8(qq{
		CREATE TABLE named_$name (id text, status text, callback_url text, $columns{$name});
		SELECT kg_watch('named_$name', event => 'named', id_column => 'id', org_column => NULL);
		INSERT INTO named_$name VALUES ('$name', 'new', '@{[ $receiver->url('/fail/1/ok') ]}', $given)}));
	my @got = $receiver->wait_for_requests(2, if => sub { ($_[0]{json}{id} // '') eq $name });
	is_valid($_, "columns $name, attempt $_->{headers}{'webhook-attempt'}") foreach @got;
	wait_for_log_rows($node, 2, "object_id = '$name'");
	is($node->safe_psql('postgres', "SELECT bool_and((request_body::jsonb - '{type,event_id,occurred_at,timestamp,signature}'::text[]) = to_jsonb(t))
			  FROM named_$name t, kgwebhook.delivery_log WHERE object_id = '$name'"),
		't', "columns $name: all of them, unaltered");
}

$node->stop;
done_testing();
