#-------------------------------------------------------------------------
#
# test/t/014_https.pl
#	  HTTPS: receivers are verified against ca_file, and one that isn't who it
#	  should be gets nothing.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Kgwebhook::Certificates;
use Test::More;

my $certificates = Kgwebhook::Certificates->new;
my $dir = $certificates->file('.');

$certificates->make('authority');
$certificates->make('other_authority');
$certificates->make('trusted', by => 'authority', for => 'IP:127.0.0.1');
$certificates->make('misnamed', by => 'authority', for => 'DNS:merchant.example,IP:127.0.0.2');
$certificates->make('untrusted', by => 'other_authority', for => 'IP:127.0.0.1');
$certificates->make('self_signed', for => 'IP:127.0.0.1');

# As it is in production: no plain HTTP.
my $node = new_node(
	'main',
	'kgwebhook.allow_http' => 'off',
	'kgwebhook.retry_schedule' => "'50ms'",
	'kgwebhook.ca_file' => "'$dir/authority.crt'");
my $secret = make_intents_table($node);

#
# The right one
#
my $trusted = $certificates->receiver('trusted', secret => $secret);
foreach my $n (1 .. 5)
{
	insert_intent($node, "trusted$n", $trusted->url);
	# a receiver notes a request before it answers, and until then its connection is taken
	wait_until_settled($node);
}
is(scalar(grep { $_->{valid} } $trusted->requests), 5, 'a receiver that our authority vouches for');
is_deeply([ map { $_->{connection} } $trusted->requests ],
	[ (1) x 5 ], 'whose connection is kept');
is( $node->safe_psql('postgres', q{SELECT string_agg(DISTINCT outcome, ' ') FROM kgwebhook.delivery_log}),
	'acknowledged', 'as the log says');

#
# The wrong ones
#
foreach my $name (qw(self_signed untrusted misnamed))
{
	my $wrong = $certificates->receiver($name);

	insert_intent($node, $name, $wrong->url);
	my ($first) = wait_for_log_rows($node, 2, "object_id = '$name'");
	is($first->{outcome}, 'unreachable', "one with a certificate that is $name");
	like($first->{error}, qr/certificate|SSL/i, 'with an error that tells') or diag($first->{error});
	is($first->{response_status}, undef, 'without a status');
	is(scalar($wrong->requests), 0, 'gets nothing');
	my $test = $node->safe_psql('postgres', "SELECT outcome, error FROM kg_send_test('@{[ $wrong->url ]}')");
	is($test, "unreachable|$first->{error}", 'kg_send_test says the same');
	$wrong->stop;
}

# Something that speaks no TLS
my $plain = start_receiver();
(my $url = $plain->url) =~ s/^http:/https:/;
insert_intent($node, 'plain', $url);
my ($spoke) = wait_for_log_rows($node, 1, q{object_id = 'plain'});
is($spoke->{outcome}, 'unreachable', 'one that speaks no TLS');
is(scalar($plain->requests), 0, 'gets nothing either');

#
# ca_file on reload
#
my $untrusted = $certificates->receiver('untrusted', secret => $secret);
reload($node, 'kgwebhook.ca_file' => "'$dir/other_authority.crt'");
insert_intent($node, 'now_trusted', $untrusted->url);
is(($untrusted->wait_for_requests(1))[0]{valid}, 1, 'another authority, from the reload on');

# The connection from before was verified by what no longer counts.
insert_intent($node, 'no_longer', $trusted->url);
my ($no_longer) = wait_for_log_rows($node, 1, q{object_id = 'no_longer'});
is($no_longer->{outcome}, 'unreachable', 'and the one before no longer vouches for anyone');

reload($node, 'kgwebhook.ca_file' => "''");
insert_intent($node, 'system', $untrusted->url);
my ($system) = wait_for_log_rows($node, 1, q{object_id = 'system'});
is($system->{outcome}, 'unreachable', "an empty ca_file means the system's authorities");

reload($node, 'kgwebhook.ca_file' => "'$dir/none.crt'");
insert_intent($node, 'missing', $untrusted->url);
my ($missing) = wait_for_log_rows($node, 1, q{object_id = 'missing'});
is($missing->{outcome}, 'unreachable', 'a ca_file that is not there verifies nobody');
like($missing->{error}, qr/none\.crt|certificate|CA/i, 'with an error that tells');

reload($node, 'kgwebhook.ca_file' => "'$dir/authority.crt'");
insert_intent($node, 'again', $trusted->url);
is((wait_for_log_rows($node, 1, q{object_id = 'again'}))[0]{outcome}, 'acknowledged', 'and back');

$node->stop;
done_testing();
