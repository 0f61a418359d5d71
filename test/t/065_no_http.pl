#-------------------------------------------------------------------------
#
# test/t/065_no_http.pl
#	  What is no HTTP/1.1 is named by what it is, each in a sentence of its own;
#	  a URL's path goes as it is written; and what kg_send_test() says when its
#	  row can't stay.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Kgwebhook::Certificates;
use MIME::Base64 qw(encode_base64url);
use PostgreSQL::Test::Utils;
use Test::More;

my $certificates = Kgwebhook::Certificates->new;
$certificates->make('authority');
$certificates->make('server', by => 'authority', for => 'IP:127.0.0.1');
my $node = new_node('main',
	'kgwebhook.connect_timeout' => "'1s'",
	'kgwebhook.request_timeout' => "'60s'",
	'kgwebhook.ca_file' => "'" . $certificates->file('authority.crt') . "'");
my $secret = make_intents_table($node);
my $hostile = start_receiver(program => 'hostile.mjs', secret => $secret);

sub test_row
{
	my ($url) = @_;

	return Kgwebhook::Receiver::decode($node->safe_psql('postgres',
		"SELECT to_jsonb(t) FROM kg_send_test('$url') t"));
}

sub is_named
{
	my ($url, $error, $what, $outcome) = @_;
	my $row = test_row($url);

	is("$row->{outcome}: $row->{error}", ($outcome || 'unreachable') . ": $error", $what);
	return;
}

sub raw
{
	my ($bytes, $end) = @_;

	return $hostile->url('/raw/' . ($end || 'close') . '/' . encode_base64url($bytes));
}

#
# A plain port on which something else is spoken
#
is_named(raw("\x15\x03\x01\x00\x02\x02\x46"),
	'the other side speaks TLS on this port: its URL has to begin with https', 'a TLS alert');
is_named(raw("\x00\x00\x00\x04\x00\x00\x00\x00\x00"),
	'the other side speaks HTTP/2 on this port, and not HTTP/1.1', 'SETTINGS of HTTP/2');
is_named(raw("\x00\x00\x12\x04\x00\x00\x00\x00\x00" . "\0\3\0\0\0\x64" x 3 . "\x00\x00\x08\x07\0\0\0\0\0" . "\0" x 8),
	'the other side speaks HTTP/2 on this port, and not HTTP/1.1', 'with settings, and GOAWAY');
is_named(raw("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"), 'the answer is not HTTP/1.1', 'something else');
is_named(raw("220 mail.example ESMTP\r\n"), 'the answer is not HTTP/1.1', 'mail');
is_named(raw("HTTP/1.1 200 OK\r\nno header\r\n\r\n"), 'the answer is not HTTP/1.1', 'headers that are none');
foreach my $status ('2000', '20', '2x0', '')
{
	is_named(raw("HTTP/1.1 $status\r\ncontent-length: 0\r\n\r\n"),
		'the answer is not HTTP/1.1', "a status that is none: \"$status\"");
}
is_named(raw("http/1.1 500 No\r\ncontent-length: 0\r\n\r\n"), 'the answer is not HTTP/1.1', 'a version in small letters');
is(test_row(raw("HTTP/1.1 204\r\n\r\n"))->{outcome}, 'acknowledged', 'a status without a reason is one');

#
# TLS
#
(my $tls = $hostile->url('/hang')) =~ s/^http:/https:/;
is_named($tls, 'the TLS handshake was not done in time', 'a handshake that hangs', 'timed_out');
my @https = (
	cert => $certificates->file('server.crt'),
	key => $certificates->file('server.key'),
	client_ca => $certificates->file('authority.crt'));
is_named(start_receiver(@https)->url,
	'the other side requires a client certificate, and kgwebhook has none',
	'a client certificate is required, by TLS 1.3');
is_named(
	start_receiver(@https, tls_max => 'TLSv1.2')->url,
	'the other side refused the TLS handshake: it may require a client certificate,'
	  . ' which kgwebhook has none of, or have no cipher in common',
	'and by TLS 1.2');

#
# None of libcurl's own words
#
is( $node->safe_psql(
		'postgres', q{
		SELECT string_agg(error, ' ') FROM kgwebhook.delivery_log
		 WHERE error ~ 'Unsupported|Weird|HTTP/0.9|SSL|routines'}),
	'',
	'nothing is in libcurl\'s words');

#
# A path goes as it is written
#
my $receiver = start_receiver(secret => $secret);
foreach my $path ('/a/../b', '/./x/..', '/a/%2e%2e/b?c=/../d')
{
	test_row($receiver->url($path));
	is(($receiver->requests)[-1]{path}, $path, "$path goes as it is");
}

#
# kg_send_test() that can't keep its row
#
my $ok = $receiver->url;
my ($exit, $out, $err) = $node->psql('postgres', "BEGIN; SELECT outcome FROM kg_send_test('$ok'); ROLLBACK");
is($out, 'acknowledged', 'in a transaction that is rolled back');
like($err, qr/NOTICE:  the log keeps this test only if the transaction commits/, 'it says so beforehand');
is($node->safe_psql('postgres', "SELECT count(*) FROM kgwebhook.delivery_log WHERE url = '$ok'"), 0, 'as it is');
(undef, undef, $err) = $node->psql('postgres', "SELECT outcome FROM kg_send_test('$ok')");
is($err, '', 'without a transaction block it says nothing');
my $hang = $receiver->url('/hang');
(undef, undef, $err) =
  $node->psql('postgres', "SET statement_timeout = '1s'; SELECT outcome FROM kg_send_test('$hang')");
like($err, qr/canceling statement due to statement timeout/, 'one that is cancelled');
like($err, qr/CONTEXT:  The test may have been sent; the log has no row of it[.]/, 'says what it leaves behind');
is(scalar($receiver->requests(path => '/hang')), 1, 'it was sent');

$node->stop;
done_testing();
