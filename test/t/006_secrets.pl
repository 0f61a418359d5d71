#-------------------------------------------------------------------------
#
# test/t/006_secrets.pl
#	  Secrets that are missing, come late, change, or go; and where they must
#	  never be seen.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Digest::SHA qw(hmac_sha256_hex);
use Kgwebhook;
use MIME::Base64;
use PostgreSQL::Test::Utils;
use Test::More;

# What the user's own statements say is up to them; what we say is ours.
my $node = new_node(
	'main',
	'log_statement' => 'none',
	'log_min_error_statement' => 'panic',
	'log_min_messages' => 'debug1');
my $receiver = start_receiver();
my @secrets;

sub set_secret
{
	my ($org, $secret) = @_;

	push @secrets, $secret;
	$node->safe_psql('postgres', "SELECT kg_set_secret('$org', '$secret')");
	return $secret;
}

sub create_secret
{
	my ($org) = @_;
	my $secret = $node->safe_psql('postgres', "SELECT kg_create_secret('$org')");

	push @secrets, $secret;
	return $secret;
}

sub insert_of
{
	my ($org, $id, $path) = @_;

	insert_intent($node, $id, $receiver->url($path), org_id => "'$org'");
	return;
}

sub is_signed_by
{
	my ($request, $secret, $what) = @_;
	my $signed = substr(decode_base64($request->{body_base64}), 0, -80) . '}';

	is($request->{json}{signature}, hmac_sha256_hex($signed, $secret), $what);
	return;
}

sub invalid_rows
{
	my ($id) = @_;

	return scalar(delivery_log($node, "object_id = '$id' AND outcome = 'invalid'"));
}

$node->safe_psql('postgres', 'SELECT kg_create_payment_intents()');
my $good = create_secret('good');

#
# None yet
#
insert_of('late', 'late1');
insert_of('late', 'late2');
my ($row) = wait_for_log_rows($node, 2, q{org_id = 'late'});
is($row->{outcome}, 'invalid', 'an attempt without a secret is invalid');
like($row->{error}, qr/signing secret/, 'for that reason');
ok(!$row->{final}, 'but not the end');
is($row->{request_body}, undef, 'there was nothing to send');

# The same worker, the same destination.
insert_of('good', 'good1');
is_signed_by(($receiver->requests_of('good1', 1))[0], $good, 'other organizations go on');

# All sorts of reasons to look at the queue again
set_secret('someone', 'a secret of someone else');
reload($node);
$node->restart;
insert_of('good', 'good2');
$receiver->requests_of('good2', 1);
wait_until_settled($node, q{org_id = 'good'});
is(invalid_rows('late1'), 1, 'it is logged once');
is(invalid_rows('late2'), 1, 'for each delivery');
is($node->safe_psql('postgres', q{SELECT count(*) FROM kgwebhook.queue WHERE org_id = 'late'}),
	2, 'and they wait');
is($node->safe_psql('postgres', q{SELECT count(*) FROM kgwebhook.dead_letter}),
	0, 'none is given up');

my $late = create_secret('late');
is_signed_by(($receiver->requests_of($_, 1))[0], $late, "$_ goes out when there is a secret")
  foreach qw(late1 late2);
wait_until_settled($node);
is(invalid_rows('late1'), 1, 'and is not called invalid once more');

#
# A secret that comes while its absence is being written down
#
my $blocker = $node->background_psql('postgres');
$blocker->query_safe('BEGIN; LOCK TABLE kgwebhook.delivery_log IN SHARE MODE');
insert_of('race', 'race1');
$node->poll_query_until('postgres',
	q{SELECT wait_event_type = 'Lock' FROM pg_stat_activity
	   WHERE backend_type = 'kgwebhook worker'})
  or die 'the worker does not wait';
my $race = create_secret('race');
$blocker->query_safe('COMMIT');
$blocker->quit;
is_signed_by(($receiver->requests_of('race1', 1))[0],
	$race, 'a secret that is created while its absence is settled');

#
# Another one in its place
#
my $old = set_secret('good', 'the old secret of good, quite long');
insert_of('good', 'changed', '/retry-after/3600');
my ($first) = $receiver->requests_of('changed', 1);
is_signed_by($first, $old, 'an attempt before the change');
my $new = set_secret('good', 'the new secret of good, quite long');
wait_for_log_rows($node, 1, q{object_id = 'changed'});
$node->safe_psql('postgres', q{SELECT kg_redeliver(delivery_id) FROM kgwebhook.queue WHERE object_id = 'changed'});
my (undef, $second) = $receiver->requests_of('changed', 2);
is_signed_by($second, $new, 'a retry is signed with the secret of its day');
insert_of('good', 'changed_too');
is_signed_by(($receiver->requests_of('changed_too', 1))[0], $new, 'so is what is new');
insert_of('late', 'unaffected');
is_signed_by(($receiver->requests_of('unaffected', 1))[0], $late, 'other organizations keep theirs');

$node->safe_psql('postgres',
	q{BEGIN; SELECT kg_set_secret('good', 'a secret that was taken back again'); ROLLBACK});
insert_of('good', 'taken_back');
is_signed_by(($receiver->requests_of('taken_back', 1))[0], $new, 'a change that is rolled back');

# The new one is known and the table has another by the time of the commit.
$node->safe_psql(
	'postgres', qq{
	BEGIN;
	INSERT INTO payment_intents (payment_intent_id, org_id, callback_url)
	VALUES ('together', 'newest', '@{[ $receiver->url ]}');
	SELECT kg_set_secret('newest', 'a secret made in the same transaction');
	COMMIT});
is_signed_by(($receiver->requests_of('together', 1))[0],
	'a secret made in the same transaction',
	'a secret of the same transaction');

#
# None any more
#
$node->safe_psql('postgres', q{DELETE FROM kgwebhook.secret WHERE org_id = 'late'});
insert_of('late', 'orphan');
wait_for_log_rows($node, 1, q{object_id = 'orphan'});
is(invalid_rows('orphan'), 1, 'without its secret an organization waits again');
my $back = set_secret('late', 'the secret of late is back again');
is_signed_by(($receiver->requests_of('orphan', 1))[0], $back, 'until it has one');

#
# Where they must not be
#
$node->psql('postgres', q{SELECT kg_set_secret('good', 'short')});
$node->psql('postgres', q{SELECT kg_create_secret('good')});
wait_until_settled($node);
my $log = slurp_file($node->logfile);
foreach my $secret (@secrets)
{
	(my $core = $secret) =~ s/^whsec_//;
	my $where = $node->safe_psql(
		'postgres', qq{
		SELECT 'delivery_log' FROM kgwebhook.delivery_log x WHERE strpos(x::text, '$core') > 0
		UNION SELECT 'queue' FROM kgwebhook.queue x WHERE strpos(x::text, '$core') > 0
		UNION SELECT 'dead_letter' FROM kgwebhook.dead_letter x WHERE strpos(x::text, '$core') > 0
		UNION SELECT 'stats' FROM kgwebhook.stats x WHERE strpos(x::text, '$core') > 0
		UNION SELECT 'activity' FROM pg_stat_activity x
			   WHERE backend_type ~ 'kgwebhook' AND strpos(x::text, '$core') > 0});
	is($where, '', 'a secret is in no table but its own');
	is(index($log, $core), -1, 'nor in the server log');
}
is_deeply([ grep { index($_, 'secret of') >= 0 } $receiver->lines ],
	[], 'nor on the wire');

$node->stop;
done_testing();
