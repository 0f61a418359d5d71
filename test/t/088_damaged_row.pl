#-------------------------------------------------------------------------
#
# test/t/088_damaged_row.pl
#	  A row of the queue that cannot be read, because what is stored apart from it
#	  is damaged, is one invalid attempt: the worker lives, and others get theirs.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main');
my $secret = make_intents_table($node);
my $receiver = start_receiver(secret => $secret);

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

if (sql(q{SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_surgery'}) == 0)
{
	plan skip_all => 'pg_surgery is not installed';
}
sql('CREATE EXTENSION pg_surgery');
my $toast = sql(q{SELECT reltoastrelid::regclass FROM pg_class WHERE oid = 'kgwebhook.queue'::regclass});
my $long = q{(SELECT to_jsonb(string_agg(md5(random()::text), '')) FROM generate_series(1, 300))};
my $query = join '', map { sprintf '%08x', rand 2**32 } 1 .. 235;

insert_intent($node, 'before', $receiver->url);
wait_until_settled($node);
my ($worker) = wait_for_worker($node);

# Two whose values are gone: the payload, and the URL as well
sql('SELECT kg_pause()');
insert_intent($node, 'payload', $receiver->url, order_data => $long);
insert_intent($node, 'both', $receiver->url("/ok?$query"), order_data => $long);
is(sql("SELECT count(DISTINCT chunk_id) >= 3 FROM $toast"), 't', 'three values are stored apart');
sql("SELECT heap_force_kill('$toast', array_agg(ctid)) FROM $toast");
like(($node->psql('postgres', q{SELECT payload FROM kgwebhook.queue WHERE object_id = 'payload'}))[2],
	qr/missing chunk number 0/, 'and cannot be read any more');
insert_intent($node, 'whole', $receiver->url, order_data => $long);
set_status($node, 'payload', 'success');
sql('UPDATE kgwebhook.queue SET attempts = attempts');
sql('SELECT kg_resume()');
wait_until_settled($node);

foreach my $id ('payload', 'both')
{
	my ($row, @more) = delivery_log($node, "object_id = '$id' AND event = 'payment_intent.pending'");
	is("$row->{outcome} $row->{final} $row->{attempt}", 'invalid 1 1', "$id: invalid, at once");
	is(scalar(@more), 0, "$id: once");
	like($row->{error}, qr/^the delivery cannot be read from the queue: missing chunk number 0/, "$id: with the reason");
	is(sql("SELECT payload FROM kgwebhook.dead_letter WHERE object_id = '$id' AND reason LIKE '%cannot be read from the queue%'"),
		'{}', "$id: a dead letter, without it");
}
is( sql(q{SELECT string_agg(object_id || ' ' || outcome, ', ' ORDER BY object_id) FROM kgwebhook.delivery_log
		   WHERE outcome <> 'invalid'}),
	'before acknowledged, payload acknowledged, whole acknowledged', 'the others go, also the next of the same object');
is((wait_for_worker($node))[0], $worker, 'and the worker is the same');
like(slurp_file($node->logfile), qr/WARNING:  delivery \d+ cannot be read from kgwebhook\.queue/, 'it says so in the log');

# It can be sent with another payload
sql(q{SELECT kg_amend(delivery_id, '{"payment_intent_id": "payload", "status": "pending"}')
		FROM kgwebhook.dead_letter WHERE object_id = 'payload'});
wait_until_settled($node);
is(sql(q{SELECT count(*) FROM kgwebhook.delivery_log WHERE object_id = 'payload' AND outcome = 'acknowledged'}),
	2, 'kg_amend sends it');

$node->stop;
done_testing();
