#-------------------------------------------------------------------------
#
# test/t/046_tls_verification.pl
#	  What is wrong with a receiver's TLS is told apart, in words; an authority
#	  that is trusted no more vouches for nobody from the reload on, by no kept
#	  connection and no resumed session either; and handshakes are few.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use File::Copy qw(copy);
use Kgwebhook;
use Kgwebhook::Certificates;
use Test::More;

my $certificates = Kgwebhook::Certificates->new;
my %here = (for => 'IP:127.0.0.1');
$certificates->make('authority');
$certificates->make('outsider');
$certificates->make('intermediate', by => 'authority');
$certificates->make('good', by => 'authority', %here);
$certificates->make('expired', by => 'authority', %here,
	from => '20200101000000Z', until => '20200201000000Z');
$certificates->make('early', by => 'authority', %here,
	from => '20960101000000Z', until => '20960201000000Z');
$certificates->make('self_signed', %here);
$certificates->make('misnamed', by => 'authority', for => 'DNS:merchant.example,IP:127.0.0.2');
$certificates->make('unknown', by => 'outsider', %here);
$certificates->make('incomplete', by => 'intermediate', %here);
$certificates->join('complete', 'incomplete', 'intermediate');
$certificates->join('unknown_with_root', 'unknown', 'outsider');

my $ca_file = $certificates->file('trusted.pem');
copy($certificates->file('authority.crt'), $ca_file) or die $!;
my $node = new_node(
	'main',
	'kgwebhook.allow_http' => 'off',
	'kgwebhook.retry_schedule' => "'1h'",
	'kgwebhook.ca_file' => "'$ca_file'");
my $secret = make_intents_table($node);

#
# Which it was
#
my $issuer = "the certificate's issuer is not known: its authority is not trusted,"
  . ' or the receiver leaves an intermediate certificate out';
my @wrong = (
	[ 'expired', 'expired', 'the certificate, or one that it depends on, has expired' ],
	[ 'early', 'early', 'the certificate, or one that it depends on, is not valid yet' ],
	[ 'self_signed', 'self_signed', 'the certificate is self-signed' ],
	[ 'misnamed', 'misnamed', 'the certificate is for another host' ],
	[ 'unknown', 'unknown', $issuer ],
	[ 'unknown_with_root', 'unknown', "the certificate's authority is not trusted" ],
	[ 'incomplete', 'incomplete', $issuer ],
	[ 'good', 'good', 'the other side does not offer TLS 1.2 or newer', tls_max => 'TLSv1.1' ]);
foreach my $case (@wrong)
{
	my ($crt, $key, $error, @more) = @$case;
	my $receiver = $certificates->receiver($crt, by => $key, @more);
	my $row = attempt_at($node, $receiver->url);

	is("$row->{outcome}: $row->{error}", "unreachable: $error", "$crt @more");
	is(scalar($receiver->requests), 0, 'gets nothing');
	$receiver->stop;
}
my $plain = start_receiver();
(my $url = $plain->url) =~ s/^http:/https:/;
is(attempt_at($node, $url)->{error}, 'the TLS handshake failed', 'one that hangs up when it sees no HTTP');
$plain->stop;
is(attempt_at($node, $url)->{error}, 'the connection was refused', 'nobody');

my $complete = $certificates->receiver('complete', by => 'incomplete', secret => $secret);
is(attempt_at($node, $complete->url)->{outcome}, 'acknowledged', 'a whole chain is verified');
my $oldest = $certificates->receiver('good', secret => $secret, tls_max => 'TLSv1.2');
is(attempt_at($node, $oldest->url)->{outcome}, 'acknowledged', 'TLS 1.2 is new enough');

#
# Handshakes
#
my $good = $certificates->receiver('good', secret => $secret);
attempt_at($node, $good->url) foreach 1 .. 10;
is_deeply([ map { $_->{connection} } $good->requests ],
	[ (1) x 10 ], 'ten requests, one handshake');
my $closing = $certificates->receiver('good', secret => $secret, tls_max => 'TLSv1.2');
attempt_at($node, $closing->url('/once')) foreach 1 .. 6;
my @closed = $closing->requests;
is($closed[-1]{connection}, 6, 'where each connection is closed, six');

#
# Trust that changes under the same file name
#
sub trust
{
	my ($name) = @_;

	copy($certificates->file("$name.crt"), $ca_file) or die $!;
	reload($node);
	return;
}

my $unknown = $certificates->receiver('unknown', secret => $secret);
my ($requests, $closes) = (scalar($good->requests), scalar($closing->requests));
trust('outsider');
is(attempt_at($node, $good->url)->{error}, $issuer, 'no kept connection is good for an authority that has gone');
is(scalar($good->requests), $requests, 'nothing goes over it');
is(attempt_at($node, $closing->url('/once'))->{error}, $issuer, 'nor is a session');
is(scalar($closing->requests), $closes, 'nothing went');
is(attempt_at($node, $unknown->url)->{outcome}, 'acknowledged', 'and the new one counts');

trust('authority');
is(attempt_at($node, $unknown->url)->{error}, $issuer, 'the same back again');
is(attempt_at($node, $good->url)->{outcome}, 'acknowledged', 'whom the old one vouched for is good');
my $last = ($good->requests)[-1];
# a receiver may have counted the connection that was broken off, too
cmp_ok($last->{connection}, '>', 1, 'by a new connection');
ok(!$last->{resumed}, 'after a full handshake');

reload($node);
attempt_at($node, $good->url);
is(($good->requests)[-1]{connection}, $last->{connection}, 'a reload that finds the same file changes nothing');

# another file put in its place, as tools do
rename $ca_file, "$ca_file.old" or die $!;
copy($certificates->file('outsider.crt'), "$ca_file.new") or die $!;
rename "$ca_file.new", $ca_file or die $!;
reload($node);
is(attempt_at($node, $good->url)->{error}, $issuer, 'also when the file was replaced');

# none at all
my $log_end = -s $node->logfile;
unlink $ca_file or die $!;
reload($node);
ok( $node->wait_for_log(qr/WARNING:  kgwebhook could not read file "\Q$ca_file\E"/, $log_end) > 0,
	'the server log names a file that is missing');
my $row = attempt_at($node, $unknown->url);
is($row->{error}, 'the certificate authorities of kgwebhook.ca_file could not be read',
	'the delivery log does not');
like(
	$node->safe_psql('postgres', "SELECT error FROM kg_send_test('@{[ $unknown->url ]}')"),
	qr/^the certificate authorities of kgwebhook.ca_file could not be read$/,
	'and kg_send_test says the same');

$node->stop;
done_testing();
