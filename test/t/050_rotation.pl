#-------------------------------------------------------------------------
#
# test/t/050_rotation.pl
#	  A rotation, second by second: at none of them is anything sent that a
#	  receiver would refuse which has the old secret until the new one is active,
#	  or the new one from then on, or both.
#
# The clock is stopped and moved by hand, so that each second is seen, the
# boundaries too.  Nobody tells the worker: it learns of the rotation once, at
# its beginning, and must get through it by its own clock.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Digest::SHA qw(hmac_sha256);
use File::Basename qw(dirname);
use Kgwebhook;
use MIME::Base64;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir('clock');
my $library = "$dir/shifted_clock.so";
system('gcc', '-shared', '-fPIC', '-o', $library,
	dirname(__FILE__) . '/../preload/shifted_clock.c') == 0
  or die 'could not build the clock';

# Stops the server's clock at a second.
sub stop_clock
{
	my ($second) = @_;

	open my $file, (-e "$dir/second" ? '+<' : '>'), "$dir/second" or die "$!";
	binmode $file;
	syswrite($file, pack('q', $second)) == 8 or die "$!";
	close $file;
	return;
}

stop_clock(0);
my $node = init_node('main', 'log_statement' => 'none');
{
	local $ENV{LD_PRELOAD} = $library;
	local $ENV{KGW_CLOCK_FILE} = "$dir/second";
	$node->start;
}
$node->safe_psql('postgres',
	'SET client_min_messages = warning; CREATE EXTENSION kgwebhook CASCADE');
my $old = make_intents_table($node);
my %receivers = map { $_ => start_receiver } qw(old new both);
my $sent = 0;

# One payment for each receiver; what each of them got.
sub send_to_all
{
	my ($id) = @_;

	$node->safe_psql('postgres',
		'INSERT INTO payment_intents (payment_intent_id, callback_url) VALUES '
		  . join ', ', map { "('$id-$_', '@{[ $receivers{$_}->url ]}')" } sort keys %receivers);
	$sent++;
	return map { $_ => ($receivers{$_}->wait_for_requests($sent))[-1] } keys %receivers;
}

sub is_accepted
{
	my ($request) = @_;
	my $checks = $request->{checks};

	return join ' ', map { $checks->{$_} eq 'valid' ? 'yes' : 'no' }
	  qw(standardwebhooks canonicalize tail);
}

# Whether a signature of the header is by this secret.
sub is_by
{
	my ($signature, $request, $secret) = @_;
	my $headers = $request->{headers};
	my $signed = join '.', @$headers{qw(webhook-id webhook-timestamp)},
	  decode_base64($request->{body_base64});

	(my $key = $secret) =~ s/^whsec_//;
	return $signature eq 'v1,' . encode_base64(hmac_sha256($signed, decode_base64($key)), '');
}

my $begin = time;
stop_clock($begin);
$receivers{$_}->set_secret($old) foreach qw(old new both);
my %before = send_to_all('before');
is(is_accepted($before{old}), 'yes yes yes', 'before the rotation the old secret signs');
my ($worker) = wait_for_worker($node);

my $new = $node->safe_psql('postgres', q{SELECT kg_rotate_secret('default', '4s', '5s')});
my ($activates, $retires) = split /\|/,
  $node->safe_psql('postgres',
	'SELECT extract(epoch FROM activates_at)::bigint, extract(epoch FROM retires_at)::bigint
	   FROM kgwebhook.secret');
is($activates, $begin + 4, 'it activates when it was told to');
is($retires, $begin + 9, 'and keeps the old one as long as it was told to');
$receivers{new}->set_secret($new);
$receivers{both}->set_secret([ $old, $new ]);

foreach my $second ($begin .. $begin + 12)
{
	my $at = $second - $begin;

	stop_clock($second);
	my %got = send_to_all("at$at");
	my $body = $second < $activates ? $old : $new;
	my @signatures = split / /, $got{both}{headers}{'webhook-signature'};

	is($got{both}{json}{timestamp}, $second, "second $at: stamped by it");
	is(is_accepted($got{both}), 'yes yes yes', 'a receiver with both takes it by all three ways');
	is( is_accepted($got{old}),
		($second < $retires ? 'yes' : 'no') . ($second < $activates ? ' yes yes' : ' no no'),
		'one with the old secret: by the header until it retires, by the body until activation');
	is( is_accepted($got{new}),
		'yes' . ($second >= $activates ? ' yes yes' : ' no no'),
		'one with the new secret: by the header at once, by the body from activation');
	is(scalar(@signatures), $second < $retires ? 2 : 1, 'no more signatures than are needed');
	ok(is_by($signatures[0], $got{both}, $body), 'first is that of the secret that signs the body');
}

# What has retired is not kept.
$node->poll_query_until('postgres',
	'SELECT next_secret IS NULL AND activates_at IS NULL AND retires_at IS NULL FROM kgwebhook.secret')
  or die 'the old secret is still in the table';
is($node->safe_psql('postgres', 'SELECT secret FROM kgwebhook.secret'), $new,
	'the worker takes what has retired out of the table');
is_deeply([ wait_for_worker($node) ], [$worker], 'it is the same worker throughout');

#
# Another one, which ends in other ways
#
my $third = $node->safe_psql('postgres', 'SELECT kg_rotate_secret()');
send_to_all('third');
$receivers{both}->set_secret([ $new, $third ]);
$node->safe_psql('postgres',
	"SELECT kg_send_test('@{[ $receivers{both}->url ]}')");
my ($send_test) = ($receivers{both}->wait_for_requests(++$sent))[-1];
my @signatures = split / /, $send_test->{headers}{'webhook-signature'};
is(scalar(@signatures), 2, 'kg_send_test() has both signatures, too');
ok(is_by($signatures[0], $send_test, $new) && is_by($signatures[1], $send_test, $third),
	'by both secrets');
is(is_accepted($send_test), 'yes yes yes', 'and is good');
my ($code, undef, $error) = $node->psql('postgres', 'SELECT kg_rotate_secret()');
isnt($code, 0, 'a second rotation at the same time is refused');
like($error, qr/a rotation of organization "default" is under way/, 'in words');

my $agreed = 'agreed elsewhere, in a great hurry';
$node->safe_psql('postgres', "SELECT kg_set_secret('default', '$agreed')");
$_->set_secret($agreed) foreach values %receivers;
insert_intent($node, 'agreed', $receivers{old}->url);
my ($request) = $receivers{old}->wait_for_requests(1,
	if => sub { $_[0]{json}{payment_intent_id} eq 'agreed' });
is(is_accepted($request), 'yes yes yes', 'kg_set_secret() ends a rotation at once');
is(scalar(split / /, $request->{headers}{'webhook-signature'}), 1, 'with one signature');

$node->safe_psql('postgres', q{BEGIN; SELECT kg_rotate_secret(activate_after => '0'); ROLLBACK});
insert_intent($node, 'taken back', $receivers{old}->url);
($request) = $receivers{old}->wait_for_requests(1,
	if => sub { $_[0]{json}{payment_intent_id} eq 'taken back' });
is($request->{valid}, 1, 'a rotation that is rolled back is none');
is(scalar(split / /, $request->{headers}{'webhook-signature'}), 1, 'in no part');

my $at_once = $node->safe_psql('postgres',
	q{SELECT kg_rotate_secret('default', '0', '0')});
$receivers{old}->set_secret($at_once);
insert_intent($node, 'at once', $receivers{old}->url);
($request) = $receivers{old}->wait_for_requests(1,
	if => sub { $_[0]{json}{payment_intent_id} eq 'at once' });
is(is_accepted($request), 'yes yes yes', 'at once means the very second');
is(scalar(split / /, $request->{headers}{'webhook-signature'}), 1, 'with nothing kept of the old');
wait_until_settled($node);
is($node->safe_psql('postgres', 'SELECT secret FROM kgwebhook.secret'),
	$at_once, 'also in the table');

# Where nothing is sent, the worker wakes for it: at the time, and not before.
my $last = $node->safe_psql('postgres', q{SELECT kg_rotate_secret('default', '0', '2s')});
my $kept = 'SELECT next_secret IS NOT NULL FROM kgwebhook.secret';
stop_clock($begin + 13);
is($node->safe_psql('postgres', $kept), 't', 'an old secret stays until its time');
stop_clock($begin + 14);
ok($node->poll_query_until('postgres', $kept, 'f'), 'and is taken out then, unasked');
is($node->safe_psql('postgres', 'SELECT secret FROM kgwebhook.secret'), $last,
	'the new one is what stays');
is_deeply([ wait_for_worker($node) ], [$worker], 'by the same worker as ever');

stop_clock(0);
$node->stop;
done_testing();
