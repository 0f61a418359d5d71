#-------------------------------------------------------------------------
#
# test/t/028_unheard.pl
#	  A delivery that is committed by an apply worker's COMMIT PREPARED, of which
#	  nobody hears: it goes though nothing else happens; and a worker beside which
#	  nothing is prepared sleeps.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use PostgreSQL::Test::Cluster;
use Test::More;

my $source = PostgreSQL::Test::Cluster->new('source');
$source->init(allows_streaming => 'logical');
$source->append_conf('postgresql.conf', 'max_prepared_transactions = 10');
$source->start;
my $table = 'CREATE TABLE orders (id text PRIMARY KEY, status text, url text)';
$source->safe_psql('postgres', "$table; CREATE PUBLICATION p FOR TABLE orders");

my $node = new_node('main');
my $secret = $node->safe_psql('postgres', 'SELECT kg_create_secret()');
my $receiver = start_receiver(secret => $secret);
$node->safe_psql(
	'postgres', qq{
	$table;
	SELECT kg_watch('orders', 'order', 'id', 'status', 'url', NULL);
	ALTER TABLE orders ENABLE ALWAYS TRIGGER kgwebhook_enqueue;
	CREATE SUBSCRIPTION s CONNECTION '@{[ $source->connstr ]} dbname=postgres'
		PUBLICATION p WITH (two_phase = true, copy_data = false)});
$source->wait_for_catchup('s');

# Two-phase is on once the table has been taken up.
$node->poll_query_until('postgres', q{SELECT subtwophasestate = 'e' FROM pg_subscription})
  or die 'waited for two_phase';

foreach my $end ('COMMIT', 'ROLLBACK', 'COMMIT')
{
	my $before = () = $receiver->lines;
	my $id = "$end$before";

	$source->safe_psql('postgres', "BEGIN;
		INSERT INTO orders VALUES ('$id', 'new', '@{[ $receiver->url ]}');
		PREPARE TRANSACTION '$id'");
	$node->poll_query_until('postgres', 'SELECT count(*) = 1 FROM pg_prepared_xacts')
	  or die 'waited for PREPARE';
	is(scalar(() = $receiver->lines), $before, 'nothing goes while it is prepared');
	$source->safe_psql('postgres', "$end PREPARED '$id'");
	$node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM pg_prepared_xacts')
	  or die "waited for $end PREPARED";
	$receiver->wait_for_requests($before + 1) if $end eq 'COMMIT';
	is(scalar(grep { /"id":"$id"/ } $receiver->lines), $end eq 'COMMIT' ? 1 : 0,
		"$end PREPARED: the event " . ($end eq 'COMMIT' ? 'goes, though nobody calls' : 'never was'));
}
wait_until_settled($node);
is(scalar(() = $receiver->lines), 2, 'each of them once');

$node->stop;
$source->stop;
done_testing();
