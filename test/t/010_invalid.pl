#-------------------------------------------------------------------------
#
# test/t/010_invalid.pl
#	  Events that can't be delivered: the payment commits, the log says why, the
#	  dead letter keeps what there is, and the others go on.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Test::More;

my $node = new_node('main');
my $receiver = start_receiver();
my $url = $receiver->url;
my $table = q{
	CREATE TABLE t (id text, status text, callback_url text, org_id text,
		order_data jsonb, loose json, amount numeric, price float8, tags text[]);
	SELECT kg_watch('t', event => 't', id_column => 'id');
	SELECT kg_create_secret()};
$receiver->set_secret($node->safe_psql('postgres', $table));

sub is_dead
{
	my ($id, $reason, $what) = @_;

	my ($row) = wait_for_log_rows($node, 1, "object_id = '$id'");
	is("$row->{outcome} $row->{final} $row->{attempt}", 'invalid 1 1', "$what: invalid, at once");
	like($row->{error}, $reason, "$what: with the reason");
	is($row->{request_body}, undef, "$what: nothing was sent");
	my ($why, $kept) = split /\|/, $node->safe_psql('postgres',
		"SELECT reason, jsonb_typeof(payload) FROM kgwebhook.dead_letter WHERE object_id = '$id'"), 2;
	like($why, $reason, "$what: a dead letter");
	is($kept, 'object', "$what: with what there is of the payload");
	is($node->safe_psql('postgres', "SELECT count(*) FROM t WHERE id = '$id'"),
		1, "$what: the payment is there");
	return;
}

#
# URLs
#
my %urls = (
	scheme => 'ftp://example.com/',
	nonsense => 'not a URL',
	empty => '',
	credentials => 'https://user:pass@example.com/',
	space => 'https://example.com/a b',
	control => "https://example.com/\x01",
	unicode => 'https://exämple.com/',
	port => 'https://example.com:22/',
	long => 'https://example.com/' . 'x' x 100_000);
foreach my $name (sort keys %urls)
{
	(my $literal = $urls{$name}) =~ s/'/''/g;
	$node->safe_psql('postgres',
		"INSERT INTO t (id, status, callback_url) VALUES ('url_$name', 'new', '$literal')");
	is_dead("url_$name", qr/URL/, "URL $name");
}

#
# Payloads, one of each in a crowd of good ones
#
my %payloads = (
	integer => [ 'order_data', q('{"n": 9007199254740993}'), qr/9007199254740993/ ],
	digits => [ 'order_data', q('[12345678901234567890]'), qr/12345678901234567890/ ],
	huge => [ 'order_data', q('{"n": 1e400}'), qr/number/i ],
	loose_nul => [ 'loose', q('"\u0000"'), qr/JSON/ ],
	loose_half => [ 'loose', q('"\ud83d"'), qr/JSON/ ],
	deep => [ 'order_data', q((repeat('[', 3000) || repeat(']', 3000))::jsonb), qr/inside each other/ ],
	large => [ 'order_data', q(to_jsonb(repeat('x', 4000000))), qr/larg|bytes|long/i ]);
$node->safe_psql('postgres',
	    "BEGIN; INSERT INTO t (id, status, callback_url)\n"
	  . "SELECT 'good' || i, 'new', '$url' FROM generate_series(1, 100) i;\n"
	  . join(
		'',
		map {
			"INSERT INTO t (id, status, callback_url, $payloads{$_}[0])\n"
			  . "VALUES ('bad_$_', 'new', '$url', $payloads{$_}[1]);\n"
		  }
		  sort keys %payloads)
	  . "INSERT INTO t (id, status, callback_url)\n"
	  . "SELECT 'good' || i, 'new', '$url' FROM generate_series(101, 200) i;\nCOMMIT;");
is_dead("bad_$_", $payloads{$_}[2], "payload $_") foreach sort keys %payloads;
my @good = $receiver->wait_for_requests(200);
is(scalar(grep { $_->{valid} } @good), 200, 'the good ones among them all arrive');

$node->safe_psql('postgres',
	"INSERT INTO t (id, status, callback_url) VALUES (NULL, 'new', '$url')");
my ($no_id) = wait_for_log_rows($node, 1, q{object_id = ''});
is("$no_id->{outcome} $no_id->{final}", 'invalid 1', 'an object without an id');
wait_until_settled($node);

# What may look bad and isn't
$node->safe_psql(
	'postgres', qq{
	INSERT INTO t (id, status, callback_url, amount, price, tags, order_data)
	VALUES ('odd', 'new', '$url', 'NaN', 'Infinity', '{a,NULL}', '{"n": 9007199254740992}')});
my ($odd) = $receiver->wait_for_requests(1, if => sub { $_[0]{json}{id} eq 'odd' });
is($odd->{valid}, 1, 'NaN, Infinity and arrays have a form');
is($odd->{json}{amount}, 'NaN', 'such as this');
is( scalar($receiver->requests),
	201, 'nothing invalid has arrived');

#
# Databases of another encoding
#
$node->safe_psql('postgres',
	q{CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0});
$node->safe_psql('postgres',
	q{CREATE DATABASE bytes ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0});
foreach my $database ('latin', 'bytes')
{
	my $other = start_receiver(secret =>
		$node->safe_psql($database,
			"SET client_min_messages = warning; CREATE EXTENSION kgwebhook CASCADE; $table"));

	$node->safe_psql($database,
		    "INSERT INTO t (id, status, callback_url, order_data)"
		  . " VALUES ('accent', 'n' || chr(233), '@{[ $other->url('/binary') ]}',"
		  . q[ to_jsonb('x' || chr(233)))])
	  if $database eq 'latin';
	$node->safe_psql($database,
		"INSERT INTO t (id, status, callback_url) VALUES ('plain', 'ok', '@{[ $other->url('/binary') ]}')");
	my ($plain) = $other->wait_for_requests(1, if => sub { $_[0]{json}{id} eq 'plain' });
	is($plain->{valid}, 1, "$database: plain text");

	if ($database eq 'latin')
	{
		my ($accent) = $other->wait_for_requests(1, if => sub { $_[0]{json}{id} eq 'accent' });
		is($accent->{valid}, 1, 'latin: an accent is valid UTF-8 on the wire');
		is($accent->{json}{order_data}, "x\x{e9}", 'latin: and the same character');

		# an organization that has an accent itself: one that waits for its secret, then has it
		$node->safe_psql($database, "INSERT INTO t (id, status, callback_url, org_id)"
			  . " VALUES ('cafe', 'ok', '@{[ $other->url('/binary') ]}', 'caf' || chr(233))");
		$node->poll_query_until($database, q{SELECT NOT isfinite(next_attempt_at) FROM kgwebhook.queue WHERE object_id = 'cafe'})
		  or die 'waited for a delivery to wait for a secret';
		my $own = 'the secret of an organization that has an accent';
		$other->set_secret($own);
		$node->safe_psql($database, "SET client_min_messages = error; SELECT kg_set_secret('caf' || chr(233), '$own')");
		is(($other->wait_for_requests(1, if => sub { $_[0]{json}{id} eq 'cafe' }))[0]{valid}, 1, "latin: signed with the secret of an organization that has an accent");
		is($node->safe_psql($database, "SELECT outcome, org_id = 'caf' || chr(233)"
				  . " FROM kg_send_test('@{[ $other->url('/ok?test') ]}', 'caf' || chr(233))"), 'acknowledged|t', 'latin: a test for it');
		is(($other->requests(path => '/ok?test'))[0]{valid}, 1, 'latin: signed, too');
		is($node->safe_psql($database, "SELECT seen FROM kg_examine('@{[ $other->url('/ok?exam') ]}', 'caf' || chr(233)) WHERE probe = 'good request'"),
			'accepted with status 200', 'latin: and an exam');
	}
	else
	{
		$node->safe_psql($database,
			"INSERT INTO t (id, status, callback_url) VALUES ('raw', E'\\xff', '@{[ $other->url ]}')");
		$node->poll_query_until($database,
			q{SELECT count(*) = 1 FROM kgwebhook.dead_letter
			   WHERE object_id = 'raw' AND reason LIKE '%UTF-8%'})
		  or die 'no dead letter';
		pass('bytes: what has no UTF-8 form is invalid');
		like(sql_error($node, "SELECT kg_send_test('@{[ $other->url ]}', status => E't.\\xff')", $database),
			qr/22021: the request has no UTF-8 form\n.*DETAIL:  The encoding of the database is SQL_ASCII,/s,
			'bytes: nor is it a test');
	}
	$node->poll_query_until($database,
		q{SELECT count(*) > 0 FROM kgwebhook.delivery_log WHERE object_id = 'plain'})
	  or die 'no log';
	is( $node->safe_psql($database,
			q{SELECT outcome FROM kgwebhook.delivery_log WHERE object_id = 'plain'}),
		'acknowledged',
		"$database: the log takes what the receiver says");
}

$node->stop;
done_testing();
