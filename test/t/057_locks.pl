#-------------------------------------------------------------------------
#
# test/t/057_locks.pl
#	  Locks of an operator: nothing is lost or sent twice for one, what it has no
#	  bearing on goes on, and the worker stays.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', 'deadlock_timeout' => "'10s'");
my $secret = make_intents_table($node);
my $receiver = start_receiver(secret => $secret);
my $operator = $node->background_psql('postgres', on_error_die => 1);
my ($worker) = wait_for_worker($node);

# Requests that wait for the receiver, in a destination that is trusted.  $sql comes
# between what makes it trusted and them.
sub send_and_hold
{
	my ($prefix, $n, $sql) = @_;

	open_endpoint($node, $receiver->url("/while/$prefix/ok"));
	$node->safe_psql('postgres', $sql) if defined $sql;
	my $opened = () = $receiver->requests(path => "/while/$prefix/ok");
	$receiver->hold($prefix);
	$node->safe_psql('postgres', qq{
		INSERT INTO payment_intents (payment_intent_id, callback_url)
		SELECT '$prefix' || i, '@{[ $receiver->url("/while/$prefix/ok") ]}'
		  FROM generate_series(1, $n) i});
	$receiver->wait_for_requests($opened + $n, path => "/while/$prefix/ok");
	return;
}

# Waits until the lock has been in the way after this moment.
sub wait_until_in_the_way
{
	my ($log) = @_;

	$node->wait_for_log(qr/kgwebhook worker ERROR:  canceling statement due to lock timeout/, $log);
	return;
}

sub all_went_once
{
	my ($prefix, $n) = @_;
	my %times;

	wait_until_settled($node, "object_id LIKE '$prefix%'");
	$times{$_}++ foreach map { /"payment_intent_id":"($prefix\d+)"/ } $receiver->lines;
	is_deeply(\%times, { map { ("$prefix$_" => 1) } 1 .. $n }, "$prefix: each is sent once");
	is( $node->safe_psql('postgres', qq{
			SELECT count(*), count(DISTINCT delivery_id), bool_and(final AND attempt = 1)
			  FROM kgwebhook.delivery_log WHERE object_id LIKE '$prefix%'}),
		"$n|$n|t", 'and logged once');
	is(join(' ', wait_for_worker($node)), $worker, 'by the same worker');
	return;
}

insert_intent($node, "known$_", $receiver->url) foreach 1 .. 16;
wait_until_settled($node);

#
# Each of our tables, while answers come
#
foreach my $table (qw(queue delivery_log dead_letter secret paused))
{
	send_and_hold("lock_$table", 8);
	$operator->query_safe("BEGIN; LOCK TABLE kgwebhook.$table IN ACCESS EXCLUSIVE MODE");
	my $log = -s $node->logfile;
	$receiver->release("lock_$table");
	wait_until_in_the_way($log) if $table =~ /^(queue|delivery_log)$/;
	$operator->query_safe('COMMIT');
	all_went_once("lock_$table", 8);
}

# An organization that nothing is known of yet, and its secret can't be read.
$node->safe_psql('postgres', q{SELECT kg_set_secret('other', 'a secret of the other''s')});
$receiver->set_secret([ $secret, q{a secret of the other's} ]);
$operator->query_safe('BEGIN; LOCK TABLE kgwebhook.secret IN ACCESS EXCLUSIVE MODE');
my $log = -s $node->logfile;
insert_intent($node, 'other1', $receiver->url, org_id => "'other'");
wait_until_in_the_way($log);
$operator->query_safe('COMMIT');
all_went_once('other', 1);
is( (grep { $_->{json}{payment_intent_id} eq 'other1' } $receiver->requests)[0]{valid},
	1, 'signed, when its secret can be read again');

# Canceled while it waits for that, which is no word on the secret: the worker ends,
# as for every request to end, and the next one reads it.
$node->safe_psql('postgres', q{SELECT kg_set_secret('third', 'a secret of the third''s')});
$receiver->set_secret([ $secret, q{a secret of the third's} ]);
$operator->query_safe('BEGIN; LOCK TABLE kgwebhook.secret IN ACCESS EXCLUSIVE MODE');
$log = -s $node->logfile;
insert_intent($node, 'third1', $receiver->url, org_id => "'third'");
$node->poll_query_until('postgres', q{
	SELECT count(*) FILTER (WHERE pg_cancel_backend(pid)) > 0 FROM pg_locks l
	 WHERE NOT granted AND relation = 'kgwebhook.secret'::regclass
	   AND EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = l.pid AND backend_type = 'kgwebhook worker')})
  or die 'waited for the worker to wait';
$node->wait_for_log(qr/kgwebhook worker ERROR:  canceling statement due to user request/, $log);
$operator->query_safe('COMMIT');
$node->poll_query_until('postgres', qq{
	SELECT count(*) FILTER (WHERE pid <> $worker) = 1 FROM pg_stat_activity WHERE backend_type = 'kgwebhook worker'})
  or die 'waited for another worker';
pass('a request to end is not kept from the worker');
($worker) = wait_for_worker($node);
all_went_once('third', 1);
is( (grep { $_->{json}{payment_intent_id} eq 'third1' } $receiver->requests)[0]{valid},
	1, 'what could not be read was not taken for a secret that is of no use');
unlike(slurp_file($node->logfile, $log), qr/cannot be decrypted/, 'nor does anything say so');

#
# VACUUM FULL in the midst of it
#
$node->safe_psql('postgres', qq{
	INSERT INTO payment_intents (payment_intent_id, callback_url)
	SELECT 'vacuum' || i, '@{[ $receiver->url('/slow/5') ]}' FROM generate_series(1, 600) i});
foreach my $table (qw(queue delivery_log dead_letter queue delivery_log secret))
{
	$node->safe_psql('postgres', "VACUUM FULL kgwebhook.$table");
}
all_went_once('vacuum', 600);

#
# What is in flight is gone, and what waits has taken its place
#
send_and_hold('gone', 4, 'VACUUM FULL kgwebhook.queue');
$node->safe_psql('postgres', "SELECT kg_pause('@{[ $receiver->destination ]}')");
insert_intent($node, "waiting$_", $receiver->url) foreach 1 .. 4;
my $places = q{SELECT string_agg(ctid::text, ' ' ORDER BY ctid) FROM kgwebhook.queue
				WHERE object_id LIKE '%s%%'};
my $taken = $node->safe_psql('postgres', sprintf($places, 'gone'));
$node->safe_psql('postgres', q{DELETE FROM kgwebhook.queue WHERE object_id LIKE 'gone%'});
$node->safe_psql('postgres', 'VACUUM FULL kgwebhook.queue');
is($node->safe_psql('postgres', sprintf($places, 'waiting')), $taken, 'rows that took places');
$receiver->release('gone');
wait_for_log_rows($node, 4, q{object_id LIKE 'gone%'});
is($node->safe_psql('postgres', q{SELECT count(*) FROM kgwebhook.queue WHERE object_id LIKE 'waiting%'}),
	4, 'a place is not taken for what was there');
$node->safe_psql('postgres', "SELECT kg_resume('@{[ $receiver->destination ]}')");
all_went_once('waiting', 4);

#
# What is in flight has moved
#
send_and_hold('moved', 4);
$node->safe_psql('postgres', 'UPDATE kgwebhook.queue SET attempts = attempts');
$receiver->release('moved');
all_went_once('moved', 4);

#
# A row: all others are settled
#
send_and_hold('row', 8);
$operator->query_safe(q{BEGIN; SELECT FROM kgwebhook.queue WHERE object_id = 'row3' FOR UPDATE});
$receiver->release('row');
wait_until_settled($node, q{object_id LIKE 'row%' AND object_id <> 'row3'});
pass('a row that is held: the others are settled');
insert_intent($node, "beside$_", $receiver->url) foreach 1 .. 3;
all_went_once('beside', 3);
is($node->safe_psql('postgres', 'SELECT object_id FROM kgwebhook.queue'), 'row3', 'it alone is not');

#
# What would be a deadlock: we have the log and want the row, the operator has the
# row and wants the log
#
$operator->query_safe('LOCK TABLE kgwebhook.delivery_log IN ACCESS EXCLUSIVE MODE');
pass('a deadlock is not the operator\'s to bear');
$operator->query_safe('COMMIT');
all_went_once('row', 8);
unlike(slurp_file($node->logfile), qr/deadlock detected/, 'nor is there one');

$operator->quit;
$node->stop;
done_testing();
