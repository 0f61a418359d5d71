#-------------------------------------------------------------------------
#
# test/t/011_order.pl
#	  The transitions of one object arrive in order and one at a time, whatever
#	  fails on the way; and nobody else waits for them.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use IPC::Run;
use Kgwebhook;
use Test::More;

my $transitions = 8;

# The hour at its end gives old deliveries time: what is older than the whole
# schedule is given up.
my $node = new_node('main',
	'kgwebhook.retry_schedule' => "'" . join(',', ('30ms') x 20, '1h') . "'");
my $receiver = start_receiver();
$receiver->set_secret(
	$node->safe_psql(
		'postgres', q{
	CREATE TABLE t (id text PRIMARY KEY, status int, callback_url text);
	SELECT kg_watch('t', event => 't', id_column => 'id', org_column => NULL);
	SELECT kg_create_secret()}));

# What each object's receiver got: ids => [ [status, attempt, arrival], ... ].
sub by_object
{
	my ($prefix) = @_;
	my %objects;

	foreach my $got ($receiver->requests)
	{
		next unless $got->{json}{id} =~ /^$prefix/;
		push @{ $objects{ $got->{json}{id} } },
		  [ $got->{json}{status}, $got->{headers}{'webhook-attempt'}, $got->{arrival} ];
	}
	return %objects;
}

# Four sessions at once, which don't wait for their commits, move their own
# objects on; $url is where they go, a session's three objects to an endpoint of
# their own, so that no five at one fail in a row: a circuit breaker would open,
# and what is to be seen here would take minutes.
sub move_all
{
	my ($prefix, $url) = @_;
	my @sessions;

	foreach my $session (1 .. 4)
	{
		my $sql = 'SET synchronous_commit = off;';

		$sql .= "INSERT INTO t SELECT '$prefix$session-' || i, 1, '$url/$session' FROM generate_series(1, 3) i;";
		$sql .= "UPDATE t SET status = $_ WHERE id LIKE '$prefix$session-%';"
		  foreach 2 .. $transitions;
		push @sessions,
		  IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \$sql);
	}
	foreach my $session (@sessions)
	{
		$session->finish or die 'a session failed';
	}
	wait_until_settled($node);
	return;
}

#
# A receiver that is slow: two at a time would be seen
#
move_all('slow', $receiver->url('/slow/15'));
my %slow = by_object('slow');
is(keys %slow, 12, 'all objects');
is_deeply([ grep { join(' ', map { $_->[0] } @{ $slow{$_} }) ne join(' ', 1 .. $transitions) } sort keys %slow ],
	[], 'each has its transitions in order');
my @overlapping = grep {
	my $got = $slow{$_};

	grep { $got->[$_][2] - $got->[ $_ - 1 ][2] < 14 } 1 .. $#$got
} sort keys %slow;
is_deeply(\@overlapping, [], 'one at a time');
is(scalar(grep { !$_->{valid} } $receiver->requests), 0, 'committed asynchronously, sent signed');

#
# A receiver that fails at each of them once
#
move_all('fails', $receiver->url('/fail-each/1/ok'));
my %fails = by_object('fails');
is_deeply(
	[
		grep {
			join(' ', map { "$_->[0]/$_->[1]" } @{ $fails{$_} }) ne
			  join(' ', map { ("$_/1", "$_/2") } 1 .. $transitions)
		} sort keys %fails
	],
	[],
	'each is tried again before the next one goes');
is( $node->safe_psql(
		'postgres', q{
		SELECT count(*) FROM (
			SELECT final AND outcome = 'acknowledged' AS done, attempt,
				   lead(attempt) OVER w AS next_attempt, delivery_id,
				   lead(delivery_id) OVER w AS next_delivery
			  FROM kgwebhook.delivery_log WHERE object_id LIKE 'fails%'
			WINDOW w AS (PARTITION BY object_id ORDER BY attempt_id)) x
		 WHERE next_delivery <> delivery_id AND (NOT done OR next_attempt <> 1)}),
	0,
	'as the log says');

#
# One that fails for good holds up only its own
#
reload($node, 'kgwebhook.retry_schedule' => "'1h'");
$node->safe_psql(
	'postgres', qq{
	INSERT INTO t VALUES ('stuck', 1, '@{[ $receiver->url('/fail/1/ok') ]}');
	UPDATE t SET status = 2 WHERE id = 'stuck'});
wait_for_log_rows($node, 1, q{object_id = 'stuck'});
$node->safe_psql('postgres',
	"INSERT INTO t SELECT 'free' || i, 1, '@{[ $receiver->url ]}' FROM generate_series(1, 50) i");
wait_until_settled($node, q{object_id LIKE 'free%'});
my %free = by_object('free');
is(keys %free, 50, 'others to the same destination go on');
my %stuck = by_object('stuck');
is(join(' ', map { $_->[0] } @{ $stuck{stuck} }), '1', 'its own next transition waits');

# The retry is made due by hand, which the worker notices.
$node->safe_psql('postgres', 'UPDATE kgwebhook.queue SET next_attempt_at = now()');
wait_until_settled($node);
%stuck = by_object('stuck');
is(join(' ', map { "$_->[0]/$_->[1]" } @{ $stuck{stuck} }), '1/1 1/2 2/1', 'until it is through');

#
# Many transitions in one transaction; those that are taken back never were
#
$node->safe_psql(
	'postgres', qq{
	BEGIN;
	INSERT INTO t VALUES ('one', 1, '@{[ $receiver->url ]}');
	UPDATE t SET status = 2 WHERE id = 'one';
	SAVEPOINT s;
	UPDATE t SET status = 66 WHERE id = 'one';
	ROLLBACK TO s;
	UPDATE t SET status = 3 WHERE id = 'one';
	COMMIT;
	BEGIN;
	UPDATE t SET status = 77 WHERE id = 'one';
	ROLLBACK;
	UPDATE t SET status = 4 WHERE id = 'one'});
wait_until_settled($node);
my %one = by_object('one');
is(join(' ', map { $_->[0] } @{ $one{one} }), '1 2 3 4', 'one transaction, with a savepoint');

$node->stop;
done_testing();
