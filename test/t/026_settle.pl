#-------------------------------------------------------------------------
#
# test/t/026_settle.pl
#	  What can't be written down is neither lost nor in the way of the rest; and
#	  a worker that has nothing to do does nothing.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use Kgwebhook;
use MIME::Base64;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', 'autovacuum' => 'off');
my $secret = make_intents_table($node);
my $receiver = start_receiver(secret => $secret);

# How often each object with this prefix has arrived.
sub arrivals_of
{
	my ($prefix) = @_;
	my %times;

	$times{$_}++ foreach grep { /^$prefix/ }
	  map { /"payment_intent_id":"(\w+)"/ } $receiver->lines;
	return \%times;
}

sub last_error_is
{
	my ($like, $name) = @_;

	like($node->safe_psql('postgres', 'SELECT last_error FROM kgwebhook.stats'), $like, $name);
	return;
}

#
# A log that someone holds
#
my $operator = $node->background_psql('postgres', on_error_die => 1);
my ($worker) = wait_for_worker($node);
$operator->query_safe('BEGIN; LOCK TABLE kgwebhook.delivery_log IN ACCESS EXCLUSIVE MODE');
insert_intents($node, 'locked', 40, $receiver->url);
insert_intent($node, 'row', $receiver->url);
set_status($node, 'row', 'success');
$node->poll_query_until('postgres',
	q{SELECT last_error LIKE '%lock timeout%' FROM kgwebhook.stats})
  or die 'waited for the lock to be in the way';
$receiver->wait_for_requests(1);
is($node->safe_psql('postgres', 'SELECT queue_depth FROM kgwebhook.stats'),
	42, 'a log that is locked: nothing is settled');
$operator->query_safe('COMMIT');
$operator->quit;
wait_until_settled($node);
my $times = arrivals_of('locked');
is(scalar(keys %$times), 40, 'when it is free again, all is delivered');
is_deeply([ grep { $times->{$_} != 1 } sort keys %$times ],
	[], 'and nothing twice: what was sent is remembered');
is(arrivals_of('row')->{row}, 2, 'the newer transition, too');
is($node->safe_psql('postgres', q{
		SELECT count(*), count(DISTINCT delivery_id) FROM kgwebhook.delivery_log}),
	'42|42', 'all is logged, once');
is(join(' ', wait_for_worker($node)), $worker, 'by the same worker');
last_error_is(qr/lock timeout/, 'stats tells of it');

#
# One row that can't be settled, among many
#
$node->safe_psql(
	'postgres', q{
	CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		RAISE EXCEPTION 'row % is not to be deleted', OLD.object_id;
	END $$;
	CREATE TRIGGER refuse BEFORE DELETE ON kgwebhook.queue FOR EACH ROW
		WHEN (OLD.object_id = 'poison') EXECUTE FUNCTION refuse();
	ALTER TABLE kgwebhook.queue ENABLE ALWAYS TRIGGER refuse});
$node->safe_psql(
	'postgres', qq{
	BEGIN;
	INSERT INTO payment_intents (payment_intent_id, callback_url)
	SELECT 'around' || i, '@{[ $receiver->url ]}' FROM generate_series(1, 100) i;
	INSERT INTO payment_intents (payment_intent_id, callback_url)
	VALUES ('poison', '@{[ $receiver->url ]}');
	UPDATE payment_intents SET status = 'success' WHERE payment_intent_id LIKE 'around%';
	COMMIT});
set_status($node, 'poison', 'success');
wait_until_settled($node, q{object_id <> 'poison'});
my $around = arrivals_of('around');
is(scalar(keys %$around), 100, 'a row that cannot be settled: the others are');
is_deeply([ grep { $around->{$_} != 2 } sort keys %$around ], [], 'and not sent once more for it');
$node->poll_query_until('postgres',
	q{SELECT last_error LIKE 'row poison is not to be deleted' FROM kgwebhook.stats})
  or die 'waited for the error';
pass('stats says which');

# It is tried again and again, but only to be written down.
my $log = -s $node->logfile;
$node->wait_for_log(qr/row poison is not to be deleted/, $log);
insert_intents($node, 'later', 50, $receiver->url);
wait_until_settled($node, q{object_id LIKE 'later%'});
is(arrivals_of('poison')->{poison}, 1, 'it is sent once, and its successor waits');
is($node->safe_psql('postgres', q{
		SELECT count(*) FROM kgwebhook.delivery_log WHERE object_id = 'poison'}),
	0, 'what is not settled is not logged');
$node->safe_psql('postgres', 'DROP TRIGGER refuse ON kgwebhook.queue');
wait_until_settled($node);
is( $node->safe_psql('postgres', q{
		SELECT string_agg(event || ' ' || outcome || ' ' || attempt, ', ' ORDER BY attempt_id)
		  FROM kgwebhook.delivery_log WHERE object_id = 'poison'}),
	'payment_intent.pending acknowledged 1, payment_intent.success acknowledged 1',
	'when it can be settled it is');
is(arrivals_of('poison')->{poison}, 2, 'each transition was sent once');

#
# A delivery that someone deletes while it is on its way
#
open_endpoint($node, $receiver->url('/while/deleted/ok'));
my $opened = () = $receiver->requests(path => '/while/deleted/ok');
$receiver->hold('deleted');
insert_intents($node, 'deleted', 5, $receiver->url('/while/deleted/ok'));
$receiver->wait_for_requests($opened + 5, path => '/while/deleted/ok');
$node->safe_psql('postgres', 'DELETE FROM kgwebhook.queue');
$receiver->release('deleted');
wait_for_log_rows($node, 5, q{object_id LIKE 'deleted%' AND outcome = 'acknowledged'});
is(scalar(() = $receiver->requests(path => '/while/deleted/ok')), $opened + 5,
	'what is deleted on its way is logged anyway, and not sent again');

#
# Deliveries whose payload is to be forgotten while they are on their way, however they end
#
my %ends = (acknowledged => 'ok', retried => 'status/500', dead => 'status/410');
$receiver->hold('forgotten');
insert_intent($node, $_, $receiver->url("/while/forgotten/$ends{$_}")) foreach sort keys %ends;
my %sent = map { $_ => decode_base64(($receiver->requests_of($_, 1))[0]{body_base64}) } keys %ends;
is($node->safe_psql('postgres', qq{SELECT kg_forget('default', '$_')}), 1, "$_: kg_forget() finds it in the queue") foreach sort keys %ends;
$receiver->release('forgotten');
foreach my $id (sort keys %ends)
{
	my ($row) = wait_for_log_rows($node, 1, "object_id = '$id'");
	is_deeply([ @$row{qw(request_body response_body forgotten_sha256)} ], [ undef, undef, sha256_hex($sent{$id}) ],
		"$id: the log has no more than the hash of what was sent");
}
is($node->safe_psql('postgres', q{SELECT string_agg(reason, ', ') FROM kgwebhook.dead_letter WHERE payload = '{}'}),
	'forgotten, forgotten, forgotten', 'nothing of them is left to be sent');

#
# Idle
#
my $counter = $node->background_psql('postgres', on_error_die => 1);

# What the worker has done: its last query, and how often it has woken up.
sub doings
{
	my $status = slurp_file("/proc/$worker/status");

	$status =~ /^voluntary_ctxt_switches:\s+(\d+)/m or die "no switches of $worker";
	return (
		$counter->query_safe("SELECT query_start, state_change, xact_start, backend_xid
			FROM pg_stat_activity WHERE pid = $worker"),
		$1);
}

$node->poll_query_until('postgres',
	q{SELECT worker_state = 'idle' AND queue_depth = 0 FROM kgwebhook.stats})
  or die 'waited for an idle worker';

# Statistics may be put off for up to a second, and are then sent once; so
# the five seconds begin after two.
sub seconds_pass
{
	my ($n) = @_;
	my $now = $counter->query_safe('SELECT clock_timestamp()');

	$node->poll_query_until('postgres',
		"SELECT clock_timestamp() > '$now'::timestamptz + interval '$n s'");
	return;
}

seconds_pass(2);
my ($activity, $switches) = doings();
seconds_pass(5);
my ($activity_later, $switches_later) = doings();
is($activity_later, $activity, 'an idle worker runs no query');
cmp_ok($switches_later - $switches, '<=', 1, 'nor does it wake up');
insert_intent($node, 'again', $receiver->url);
wait_until_settled($node);
pass('until there is something to do');

$counter->quit;
$node->stop;
done_testing();
