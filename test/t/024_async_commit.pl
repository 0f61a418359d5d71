#-------------------------------------------------------------------------
#
# test/t/024_async_commit.pl
#	  No phantoms: whatever has arrived survives a crash, also when its writer
#	  did not wait for its commit to be written (synchronous_commit = off).
#
# With wal_writer_delay at its longest, an asynchronous commit reaches the disk
# within 30 seconds by itself.  The test gets its callbacks sooner, stops the
# server as a crash would, and looks for the payments.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Test::More;

my $node = new_node(
	'main',
	'wal_writer_delay' => "'10s'",
	'bgwriter_delay' => "'10s'",
	'autovacuum' => 'off',
	'kgwebhook.retry_schedule' => "'100ms,1s,5s,1min'");
my $secret = make_intents_table($node);
my $receiver = start_receiver(secret => $secret);

# Ids and statuses that have arrived.
sub arrived
{
	return map {
		/"payment_intent_id":"(\w+)".*"status":"(\w+)"/ ? "$1 $2" : die "not a record: $_"
	} grep { !/"payment_intent_id":"opens/ } map { /"json":(\{.*?\})/ } $receiver->lines;
}

# Of what has arrived, what there is no trace of.
sub phantoms
{
	my %known = map { (tr/|/ /r => 1) } split /\n/,
	  $node->safe_psql('postgres', 'SELECT id, status FROM known');

	return grep { !$known{$_} } arrived();
}

# A row for each status that an intent has had, written with it.
$node->safe_psql(
	'postgres', q{
	CREATE TABLE known (id text, status text);
	CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO known VALUES (NEW.payment_intent_id, NEW.status);
		RETURN NULL;
	END $$;
	CREATE TRIGGER note AFTER INSERT OR UPDATE ON payment_intents
		FOR EACH ROW EXECUTE FUNCTION note()});

sub write_asynchronously
{
	my ($session, $sql) = @_;

	$session->query_safe("SET synchronous_commit = off; $sql");
	return;
}

sub crash
{
	$node->stop('immediate');
	$node->start;
	return;
}

# The receiver doesn't answer while it is held, so the worker has nothing to
# write down itself, which would flush what was written before.
foreach my $round (1 .. 6)
{
	my @sessions = map { $node->background_psql('postgres', on_error_die => 1) } 1 .. 2;
	my $held = $receiver->url("/while/crash$round/ok");
	my $n = $round % 3 == 2 ? 40 : 1;

	# one alone, or several at once from two sessions, or a successor
	# (what a worker knows nothing of is sent little at a time)
	insert_intent($node, "r${round}i$_", $receiver->url) foreach 1 .. 8;
	open_endpoint($node, $held);
	wait_until_settled($node);
	my $before = () = $receiver->lines;
	$receiver->hold("crash$round");
	if ($round % 3 == 0)
	{
		write_asynchronously($sessions[0], "UPDATE payment_intents
			SET status = 'success', callback_url = '$held'
			WHERE payment_intent_id = 'r${round}i1'");
	}
	else
	{
		write_asynchronously($sessions[ $_ % 2 ], "
			INSERT INTO payment_intents (payment_intent_id, callback_url)
			VALUES ('r${round}n$_', '$held')") foreach 1 .. $n;
	}
	$receiver->wait_for_requests($before + ($n > 1 ? 8 : 1));
	crash();
	is_deeply([ phantoms() ], [], "crash $round: what has arrived is there");
	$receiver->release("crash$round");
	wait_until_settled($node);
	is_deeply([ phantoms() ], [], 'and nothing else comes after it');
}

# None the less what is there has arrived.
my %arrived = map { ($_ => 1) } arrived();
my @known = map { tr/|/ /r } split /\n/,
  $node->safe_psql('postgres', "SELECT id, status FROM known WHERE id NOT LIKE 'opens%'");
cmp_ok(scalar(@known), '>=', 6 * 8 + 20, 'what was to survive has survived');
is_deeply([ grep { !$arrived{$_} } @known ], [], 'and all of it has arrived');

# That it is us who flush: what is of no concern to us is lost, unless the WAL
# writer has happened to come by.
my $lost;
$node->safe_psql('postgres', 'CREATE TABLE unwatched (n int)');
foreach my $try (1 .. 5)
{
	my $session = $node->background_psql('postgres', on_error_die => 1);

	write_asynchronously($session, "INSERT INTO unwatched VALUES ($try)");
	crash();
	$lost = $node->safe_psql('postgres',
		"SELECT NOT EXISTS (SELECT FROM unwatched WHERE n = $try)") eq 't';
	last if $lost;
}
ok($lost, 'the server loses what it was not asked to keep');

$node->stop;
done_testing();
