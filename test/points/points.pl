#-------------------------------------------------------------------------
#
# test/points/points.pl
#	  A worker that ends, stops or fails at each step between a commit and the end of
#	  the delivery: nothing is lost, nothing is invented, and order holds.
#
# The steps are those of src/shmem/point.h; their files, in the data directory, say what
# is to happen.  Some cases by SEED, or each alone and in pairs with KGW_DEEP (make
# points), of which KGW_PART=2/5 takes the second fifth.
#
# Each case has its own objects: some change in one transaction, some in two, some are
# refused at first, and some are rolled back.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Kgwebhook::Points;
use Test::More;

my @points = qw(read flushed chosen signed connected sent answered logged dequeued
  committed durable published);
my $deep = $ENV{KGW_DEEP};
my $seed = $ENV{SEED} || time;
my ($part, $parts) = split m{/}, $ENV{KGW_PART} || '1/1';
my $patience = 30;

my $node = new_node('main',
	'restart_after_crash' => 'on',
	'kgwebhook.retry_schedule' => "'200ms,200ms,200ms,1s,2s,5s,5s'");
my $receiver = start_receiver(secret => make_intents_table($node));
my $at = Kgwebhook::Points->new($node);

# An error is the worker's to raise where libcurl is not on the stack.
sub actions_at
{
	my ($point) = @_;

	return $point eq 'connected' ? qw(kill stop) : qw(kill stop error);
}

# A transaction on a server that may just be starting again after a crash.
sub commit
{
	my ($sql) = @_;
	my $deadline = time + $patience;

	while (1)
	{
		my ($status) = $node->psql('postgres', $sql, on_error_stop => 1);

		return if $status == 0;
		die "no commit: $sql" if time > $deadline;
		select undef, undef, undef, 0.1;
	}
}

# What a case writes: its objects begin with its name.  Where a commit was not
# answered it is tried again, so each statement may be run twice.
sub write_events
{
	my ($name) = @_;
	my ($ok, $refused) = ($receiver->url, $receiver->url('/fail/1/ok'));
	my $insert = 'INSERT INTO payment_intents (payment_intent_id, callback_url)';

	commit(
		qq{BEGIN;
		$insert SELECT '$name-one' || i, '$ok' FROM generate_series(1, 3) i ON CONFLICT DO NOTHING;
		UPDATE payment_intents SET status = 'success'
		 WHERE payment_intent_id LIKE '$name-one%' AND status = 'pending';
		COMMIT});
	commit(
		qq{BEGIN;
		$insert SELECT '$name-phantom' || i, '$ok' FROM generate_series(1, 3) i;
		ROLLBACK;
		$insert SELECT '$name-refused' || i, '$refused' FROM generate_series(1, 2) i ON CONFLICT DO NOTHING});
	commit(
		qq{UPDATE payment_intents SET status = 'success'
		 WHERE payment_intent_id LIKE '$name-refused%' AND status = 'pending'});
	return;
}

# What is wrong with what the receiver got of a case, and with what was written down.
sub faults
{
	my ($name) = @_;
	my (@faults, %got, %first, %ids);
	my $at = 0;

	foreach my $request ($receiver->requests)
	{
		my $object = $request->{json}{payment_intent_id};
		my $status = $request->{json}{status};

		next unless $object =~ /^\Q$name\E-/;
		push @faults, "phantom: $object" if $object =~ /phantom/;
		push @faults, "forged: $object" unless $request->{valid};
		$first{"$object $status"} //= ++$at;
		$ids{"$object $status"}{ $request->{headers}{'webhook-id'} } = 1;
	}
	foreach my $object ((map { "$name-one$_" } 1 .. 3), (map { "$name-refused$_" } 1 .. 2))
	{
		push @faults, map { "lost: $object $_" } grep { !$first{"$object $_"} } qw(pending success);
		push @faults, "out of order: $object"
		  if ($first{"$object pending"} // 0) > ($first{"$object success"} // 0);
	}
	push @faults, map { "mixed: $_" } grep { keys %{ $ids{$_} } != 1 } sort keys %ids;
	push @faults, map { "logged: $_" } split /\n/,
	  $node->safe_psql(
		'postgres', qq{
		SELECT object_id || ' ' || event || ' ' || count(*) FILTER (WHERE outcome = 'acknowledged')
		  FROM kgwebhook.delivery_log WHERE object_id LIKE '$name-%'
		 GROUP BY object_id, event, delivery_id
		HAVING count(*) FILTER (WHERE outcome = 'acknowledged' AND final) <> 1});
	return @faults;
}

# One case: a list of [point, action].
sub dies_at
{
	my ($number, @deaths) = @_;
	my $name = "case$number";
	my $title = join ', then ', map { "$_->[1] at $_->[0]" } @deaths;

	$at->arm(@$_) foreach @deaths;
	write_events($name);
	is(join(' ', map { $_->[1] } wait_until_reached(map { [ $at, @$_ ] } @deaths)), '', "$title: is reached");
	wait_until_settled($node, "object_id LIKE '$name-%'");
	is_deeply([ faults($name) ], [], "$title: nothing lost, nothing invented, in order");
	return;
}

# All, or so many by the seed: of those alone, the killed ones first, and a pair.
my @alone = map { my $p = $_; map { [ [ $p, $_ ] ] } actions_at($p) } @points;
my @pairs = map {
	my $p = $_;
	map { my $q = $_; [ [ $p, 'kill' ], [ $q, 'kill' ] ], [ [ $p, 'kill' ], [ $q, 'stop' ] ] }
	  grep { $_ ne $p } @points
} @points;
my @each = (@alone, @pairs);
srand($seed);
my @cases =
  $deep
  ? @each[ grep { $_ % $parts == $part % $parts } 0 .. $#each ]
  : ((map { splice @alone, int(rand @alone), 1 } 1 .. 7), $pairs[ rand @pairs ]);

diag("SEED=$seed") unless $deep;
my $number = 0;
dies_at(++$number, @$_) foreach @cases;

# A worker that leaves with a commit that nobody has flushed does that first: the next one
# finds the delivery gone.  Who else would flush it stands still; something is under way.
insert_intent($node, 'underway', $receiver->url('/slow/10000'));
$receiver->wait_for_requests(1, if => sub { $_[0]{json}{payment_intent_id} eq 'underway' });
$node->safe_psql('postgres', 'CREATE EXTENSION pageinspect');
my ($worker) = wait_for_worker($node);
my @others = split /\n/, $node->safe_psql('postgres',
	q{SELECT pid FROM pg_stat_activity WHERE backend_type IN ('walwriter', 'kgwebhook launcher')});
kill 'STOP', @others;
$at->arm('committed', 'error');
insert_intent($node, 'leaving', $receiver->url);
is(join(' ', map { $_->[1] } wait_until_reached([ $at, 'committed', 'error' ])), '', 'a commit that is not flushed: is reached');
$node->poll_query_until('postgres', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $worker)")
  or die 'waited for the worker to leave';
is( $node->safe_psql(
		'postgres', q{
		SELECT max((page_header(get_raw_page(c.oid::regclass::text, page))).lsn) <= pg_current_wal_flush_lsn()
		  FROM pg_class c, generate_series(0, pg_relation_size(c.oid) / 8192 - 1) page
		 WHERE c.relname ~ '^delivery_log_' AND c.relkind = 'r'}),
	't', 'a worker that leaves flushes what it has committed');
kill 'CONT', @others;
wait_until_settled($node);

done_testing();
