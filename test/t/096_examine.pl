#-------------------------------------------------------------------------
#
# test/t/096_examine.pl
#	  kg_examine(): a careful receiver passes, one that accepts everything and
#	  one that refuses everything fail in what they do wrong, and so does each
#	  that has one fault.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main');
my $secret = $node->safe_psql('postgres', q{SELECT kg_create_secret('acme')});
my $beta = $node->safe_psql('postgres', q{SELECT kg_create_secret('beta')});
my $receiver = start_receiver(secret => $secret);

my @good = ('good request', 'duplicate webhook-id', 'older status after a newer',
	'unknown members', 'unknown event type');
my @bad = ('wrong signature', 'stale timestamp', 'future timestamp');
my @rotation = map { "rotation: $_" }
  ('before the activation', 'after the activation', 'after the retirement');

sub sql { return $node->safe_psql('postgres', shift); }

# An exam's rows: probe, expected, seen, ok.
sub examine
{
	my ($url, $role) = @_;

	return map { [ split /\|/, $_, -1 ] } split /\n/,
	  sql(($role ? "SET ROLE $role; " : '') . "SELECT * FROM kg_examine('$url', 'acme')");
}

# Those that did not pass.
sub failed { return map { $_->[0] } grep { $_->[3] ne 't' } @_; }

#
# A careful one
#
my @rows = examine($receiver->url('/judge/ok'));
is_deeply([ map { "$_->[0], $_->[1]: $_->[2]" } @rows ],
	[
		(map { "$_, accepted: accepted with status 200" } @good),
		(map { "$_, refused: refused with status 401" } @bad)
	],
	'a careful receiver: what it gets, and how it is seen');
is_deeply([ failed(@rows) ], [], 'it passes');

my @got = $receiver->requests;
is(@got, 8, 'one request for each');
is(join(' ', map { $_->{valid} } @got), '1 1 1 1 1 0 0 0', 'third parties judge them alike');
my @ids = map { $_->{headers}{'webhook-id'} } @got;
is($ids[1], $ids[0], 'the duplicate is the first again');
is($got[1]{headers}{'webhook-attempt'}, 2, 'as its second attempt');
my %ids = map { $_ => 1 } @ids;
is(scalar keys %ids, 7, 'all others have identifiers of their own');
is( join(' ', map { "$_->{json}{payment_intent_id} $_->{json}{status}" } @got[ 0, 2 ]),
	"$got[0]{json}{payment_intent_id} success $got[0]{json}{payment_intent_id} pending",
	'the older status is the same payment\'s');
like($got[0]{json}{payment_intent_id}, qr/^pi_test_/, 'which is known as a test');
is($got[4]{headers}{'webhook-event'}, 'kgwebhook_test.unknown', 'an event nobody knows');
like($got[6]{age_seconds}, qr/^9\d\d\b/, 'a quarter of an hour old');
like($got[7]{age_seconds}, qr/^-(?:9|8)\d\d\b/, 'and as much ahead');

#
# In the log, as tests; in no statistics
#
is( sql(q{SELECT string_agg(DISTINCT concat(org_id, is_test, final), ' '), count(*) FROM kgwebhook.delivery_log}),
	'acmett|8', 'each is in the log as a test');
is( sql(q{SELECT request_body FROM kgwebhook.delivery_log ORDER BY attempt_id DESC LIMIT 1}),
	$got[7]{body}, 'with the bytes that were sent');
is( sql(q{SELECT (SELECT count(*) FROM kgwebhook.deliveries), (SELECT count(*) FROM kg_events_since('acme')),
	             (SELECT concat_ws(' ', acknowledged, rejected, queue_depth) FROM kgwebhook.stats)}),
	'0|0|0 0 0', 'it is no delivery and no event, and counts for nothing');

#
# Those with faults
#
is_deeply([ failed(examine($receiver->url('/ok'))) ], \@bad, 'one that accepts everything');
is_deeply([ failed(examine($receiver->url('/status/401'))) ], \@good, 'one that refuses everything');
is_deeply([ failed(examine($receiver->url('/status/500'))) ],
	[ @good, @bad ], 'one that always falls over has refused nothing');
is_deeply([ failed(examine($receiver->url('/status/429'))) ],
	[ @good, @bad ], 'nor has one that asks to come later');
is_deeply([ failed(examine($receiver->url('/refuse/pending/judge/ok'))) ],
	['older status after a newer'], 'one that falls over at the older status');
@rows = examine($receiver->url('/redirect'));
is($rows[0][2], 'answered with status 302; redirects are not followed', 'a redirect is not followed');
is_deeply([ failed(@rows) ], [ @good, @bad ], 'and is no answer');

my $count = $receiver->requests;
@rows = examine($receiver->url('/close'));
like($rows[0][2], qr/^unreachable: ./, 'one that resets the connection');
is($receiver->requests, $count + 1, 'gets no more requests');
is(join(' ', map { "$_->[2]$_->[3]" } @rows[ 1 .. 7 ]), join(' ', ('not sent') x 7), 'and is not judged on them');

@rows = examine('http://169.254.169.254/');
like($rows[0][2], qr/^blocked: ./, 'the SSRF filter holds');
is($rows[0][3], 'f', 'and that is no refusal');

#
# Another's secret, and a rotation
#
$receiver->set_secret($beta);
is_deeply([ failed(examine($receiver->url('/judge/ok'))) ], \@good, 'one with another secret');

my $new = sql(q{SELECT kg_rotate_secret('acme')});
$receiver->set_secret([ $secret, $new ]);
@rows = examine($receiver->url('/judge/ok'));
is_deeply([ map { $_->[0] } @rows ], [ @good, @rotation, @bad ], 'a rotation is examined, too');
is_deeply([ failed(@rows) ], [], 'and passed with both secrets');
$receiver->set_secret([ $secret, $beta ]);
is_deeply([ failed(examine($receiver->url('/judge/ok'))) ],
	[ @rotation[ 1, 2 ] ], 'without the new one: it fails from the activation on');

#
# A merchant's role, for its own organization
#
sql(q{CREATE ROLE acme; SELECT kg_grant_org('acme', 'acme')});
$receiver->set_secret([ $secret, $new ]);
is_deeply([ failed(examine($receiver->url('/judge/ok'), 'acme')) ], [], 'a merchant examines its own');
$count = $receiver->requests;
my ($exit, $out, $err) = $node->psql('postgres',
	"SET ROLE acme; SELECT * FROM kg_examine('@{[ $receiver->url ]}', 'beta')");
like($err, qr/role "acme" does not act for organization "beta"/, 'and nobody else\'s');
is($receiver->requests, $count, 'which sends nothing');

#
# An error tells that something may have been sent
#
($exit, $out, $err) = $node->psql('postgres',
	"SET statement_timeout = '300ms'; SELECT * FROM kg_examine('@{[ $receiver->url('/hang') ]}', 'acme')");
like($err, qr/statement timeout.*CONTEXT:.*The test may have been sent/s, 'one that hangs can be cancelled');
($exit, $out, $err) = $node->psql('postgres',
	"BEGIN; SELECT FROM kg_examine('@{[ $receiver->url ]}', 'acme'); ROLLBACK");
like($err, qr/the log keeps this test only if the transaction commits/, 'a transaction block is told');
($exit, $out, $err) = $node->psql('postgres', q{SELECT * FROM kg_examine('http://10.0.0.7/', 'nobody')});
like($err, qr/organization "nobody" has no signing secret/, 'no secret');

$node->stop;
done_testing();
