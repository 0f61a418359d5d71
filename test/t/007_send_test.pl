#-------------------------------------------------------------------------
#
# test/t/007_send_test.pl
#	  kg_send_test(): what comes back, in the same statement.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use IPC::Run;
use Kgwebhook;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = new_node('main');
my $secret = make_intents_table($node);
my $receiver = start_receiver(secret => $secret);

# The rows a call returns, as hashes; arguments as SQL.
sub send_test
{
	my ($arguments) = @_;
	my $rows = $node->safe_psql('postgres', "SELECT to_jsonb(t) FROM kg_send_test($arguments) t");

	return map { Kgwebhook::Receiver::decode($_) } split /\n/, $rows;
}

# The error a call ends with.
sub error_of
{
	my ($arguments, $before) = @_;
	my ($exit, $out, $err) = $node->psql('postgres',
		($before || '') . "SELECT * FROM kg_send_test($arguments)");

	isnt($exit, 0, "kg_send_test($arguments) is an error");
	return $err;
}

sub quoted
{
	my ($path) = @_;

	return "'" . $receiver->url($path) . "'";
}

#
# One that is acknowledged
#
my @rows = send_test(quoted('/ok?test'));
my @got = $receiver->requests;
is(@rows, 1, 'one row');
is(@got, 1, 'of one request');
my ($row, $got) = ($rows[0], $got[0]);
is( join('|', @$row{qw(outcome response_status response_body attempt final is_test)}),
	"acknowledged|200|status 200\n|1|1|1",
	'what came back');
is( join('|', @$row{qw(org_id event url destination)}),
	join('|', 'default', 'payment_intent.success', $receiver->url('/ok?test'), $receiver->destination),
	'where it went');
is($row->{request_body}, $got->{body}, 'the bytes that were sent');
is($row->{webhook_id}, $got->{headers}{'webhook-id'}, 'under that webhook-id');
is($got->{valid}, 1, 'all verifiers agree');
is( join(' ', sort keys %{ $got->{json} }),
	'callback_url crypto_amount fiat_amount fiat_currency order_data'
	  . ' payment_chain_id payment_intent_id payment_tx_hash received_crypto_amount'
	  . ' signature status symbol timestamp',
	'with the members of a real one');
is_deeply([ delivery_log($node) ], \@rows, 'the row is in the log');
is( $node->safe_psql('postgres', 'SELECT queue_depth, acknowledged FROM kgwebhook.stats'),
	'0|1',
	'nothing is queued, and it is counted');

($row) = send_test(quoted('/ok') . ", status => 'refunded'");
is($row->{event}, 'payment_intent.refunded', 'another status');
is(($receiver->requests(path => '/ok'))[0]{json}{status}, 'refunded', 'is what is sent');

$node->safe_psql('postgres', q{
	CREATE TABLE orders (id text, state text, total numeric, hook text);
	DO $$ BEGIN PERFORM kg_watch('orders', 'shop.order', 'id', 'state', 'hook', NULL, '{"id": "id", "state": "state", "total": "total"}'); END $$});
($row) = send_test(quoted('/ok?order') . ", status => 'shop.order.shipped'");
is("$row->{event} $row->{outcome}", 'shop.order.shipped acknowledged', 'an event of another kind');
$got = ($receiver->requests(path => '/ok?order'))[0];
is(join(' ', $got->{headers}{'webhook-event'}, $got->{valid}, @{ $got->{json} }{qw(state total)}),
	'shop.order.shipped 1 shipped 300.0', 'is what is sent, with its members');
like($got->{json}{id}, qr/^shop\.order_test_[0-9a-f]{32}$/, 'and an identifier that is no real one');
like(error_of(quoted('/ok?never') . ", status => 'sucess'"),
	qr/"sucess" is not a status of a payment_intent.*pending, success.*HINT:.*shop\.order/s, 'a status that there is not');
is(scalar($receiver->requests(path => '/ok?never')), 0, 'is not sent');

my $other = $node->safe_psql('postgres', q{SELECT kg_create_secret('other')});
$receiver->set_secret($other);
($row) = send_test(quoted('/ok?other') . ", 'other'");
is($row->{org_id}, 'other', 'another organization');
is(($receiver->requests(path => '/ok?other'))[0]{valid}, 1, 'has its own secret');
$receiver->set_secret($secret);

#
# Others are an answer, not an error, and are not repeated
#
my $count = $receiver->requests;
($row) = send_test(quoted('/status/500'));
is("$row->{outcome} $row->{response_status} $row->{final}", 'rejected 500 1', 'answered with 500');
($row) = send_test(quoted('/redirect'));
is("$row->{outcome} $row->{response_status}", 'rejected 302', 'answered with a redirect');
($row) = send_test(quoted('/slow/200'));
cmp_ok($row->{duration_ms}, '>=', 200, 'a slow answer is waited for');
($row) = send_test(quoted('/close'));
is($row->{outcome}, 'unreachable', 'a connection that is reset');

my $gone = start_receiver();
$gone->stop;
($row) = send_test("'@{[ $gone->url ]}'");
is($row->{outcome}, 'unreachable', 'nobody listens');
like($row->{error}, qr/connect/i, 'with an error');
ok($row->{final}, 'is not tried again');

($row) = send_test(q{'http://169.254.169.254/latest/meta-data'});
is($row->{outcome}, 'blocked', 'a forbidden address');
ok($row->{error}, 'with an error');
($row) = send_test(q{'https://[fd00::1]:8443/'});
is($row->{outcome}, 'blocked', 'and another');

reload($node, 'kgwebhook.request_timeout' => "'300ms'");
($row) = send_test(quoted('/hang'));
is($row->{outcome}, 'timed_out', 'request_timeout');
reload($node, 'kgwebhook.request_timeout' => "'30s'");

is(scalar($receiver->requests) - $count, 5, 'one request for each call');
is( $node->safe_psql('postgres', 'SELECT count(*) FROM kgwebhook.dead_letter'),
	0, 'no dead letter');

#
# Errors say what to do
#
like(error_of('NULL'), qr/HINT:.*kg_/s, 'no URL');
like(error_of(''), qr/HINT:.*kg_/s, 'no argument at all');
like(error_of("'$_'"), qr/URL.*DETAIL:/s, "a bad URL: $_")
  foreach 'ftp://example.com/', 'https://user@example.com/', 'nonsense', '',
  'https://example.com:22/', "https://example.com/\x01";
like(error_of(quoted('/ok') . ", 'unknown'"),
	qr/"unknown" has no signing secret.*HINT:.*kg_create_secret/s, 'no secret');
like(error_of(quoted('/ok') . ', NULL'), qr/org_id must not be null/, 'no organization');
my $rows = scalar(delivery_log($node));

#
# Patience that ends
#
my $began = time;
like(error_of(quoted('/hang'), q{SET statement_timeout = '300ms'; }),
	qr/statement timeout/, 'statement_timeout while the receiver hangs');
cmp_ok(time - $began, '<', 15, 'ends at once');

my ($out, $err) = ('', '');
my $before = $receiver->requests(path => '/hang?cancel');
my $call = IPC::Run::start(
	[
		'psql', '-XAtq', '-d', $node->connstr('postgres'),
		'-c', "SELECT * FROM kg_send_test(@{[ quoted('/hang?cancel') ]})",
		'-c', "SELECT 'still here: ' || outcome FROM kg_send_test(@{[ quoted('/ok') ]})"
	],
	'<', \undef, '>', \$out, '2>', \$err);
$receiver->wait_for_requests($before + 1, path => '/hang?cancel');
$node->safe_psql(
	'postgres', q{
	SELECT pg_cancel_backend(pid) FROM pg_stat_activity
	 WHERE query LIKE '%hang?cancel%' AND pid <> pg_backend_pid()});
$call->finish;
like($err, qr/canceling statement due to user request/, 'a cancel while the receiver hangs');
is($out, "still here: acknowledged\n", 'the session can send another');
is(scalar(delivery_log($node)), $rows + 1, 'what was cancelled is rolled back');

# A hundred in one session leave nothing open behind.
my $open = q{SELECT count(*) FROM pg_ls_dir('/proc/' || pg_backend_pid() || '/fd');};
my ($first, $many, $last) = split /\n/, $node->safe_psql(
	'postgres', qq{
	SELECT FROM kg_send_test(@{[ quoted('/ok?many') ]}) WHERE false; $open
	SELECT count(*) FROM generate_series(1, 100), LATERAL kg_send_test(@{[ quoted('/ok?many') ]})
	 WHERE outcome = 'acknowledged'; $open});
is($many, 100, 'many in one session');
cmp_ok($last, '<', $first + 50, 'leave no descriptors open, except those of the tables that they met');

#
# Where nothing is delivered
#
reload($node, 'kgwebhook.enabled' => 'off');
($row) = send_test(quoted('/ok?disabled'));
is($row->{outcome}, 'acknowledged', 'while kgwebhook.enabled is off');

$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
($row) = send_test(quoted('/ok?bare'));
is($row->{outcome}, 'acknowledged', 'where it is not preloaded');
is(($receiver->requests(path => '/ok?bare'))[0]{valid}, 1, 'also signed');

$node->stop;
done_testing();
