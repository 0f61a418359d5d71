#-------------------------------------------------------------------------
#
# test/t/075_publication.pl
#	  A publication FOR ALL TABLES from before the extension on: what is installed,
#	  delivered, kept, purged and adopted; and who sees secrets.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = init_node('main', 'wal_level' => 'logical');
my $receiver = start_receiver();
my $dump = PostgreSQL::Test::Utils::tempdir('dump') . '/dump';

sub sql
{
	return $node->safe_psql($_[1] // 'postgres', "SET client_min_messages = warning; $_[0]");
}

# Whether a publication's stream has a text; its slot stays where it is.
sub streams
{
	my ($publication, $text) = @_;

	return sql(qq{
		SELECT coalesce(bool_or(position(convert_to('$text', 'UTF8') IN data) > 0), false)
		  FROM pg_logical_slot_peek_binary_changes('watcher', NULL, NULL,
		       'proto_version', '1', 'publication_names', '$publication')});
}

my $without_identity = q{
	SELECT string_agg(c.relname, ' ') FROM pg_class c
	 WHERE c.relnamespace = 'kgwebhook'::regnamespace AND c.relkind IN ('r', 'p') AND c.relreplident <> 'f'
	   AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)};

$node->start;
sql(q{CREATE PUBLICATION everything FOR ALL TABLES; CREATE EXTENSION kgwebhook CASCADE});
$receiver->set_secret(my $secret = make_intents_table($node));
sql(q{CREATE PUBLICATION payments FOR TABLE payment_intents;
	SELECT pg_create_logical_replication_slot('watcher', 'pgoutput')});

#
# The worker makes its days, delivers, settles, and drops what is old
#
insert_intent($node, 'pi_1', $receiver->url('/ok'));
set_status($node, 'pi_1', 'success');
my @got = $receiver->wait_for_requests(2);
is_deeply([ map { "$_->{json}{status} $_->{valid}" } @got ], [ 'pending 1', 'success 1' ], 'deliveries go on');
wait_until_settled($node);
cmp_ok(sql(q{SELECT count(*) FROM pg_inherits WHERE inhparent = 'kgwebhook.delivery_log'::regclass}),
	'>=', 5, 'the worker has made its days');
is(sql($without_identity), '', 'each of which has a replica identity');
sql(q{SELECT kgwebhook.create_log_partition((now() AT TIME ZONE 'UTC')::date - 40)});
is(sql(q{SELECT kgwebhook.drop_log_partitions()}), 't', 'old ones are dropped');
is(sql(q{SELECT count(*) FROM pg_class WHERE relname = to_char(now() AT TIME ZONE 'UTC' - interval '40 days', '"delivery_log_"YYYYMMDD')}),
	0, 'and stay so');

#
# A copy
#
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-d', $node->connstr('postgres') ], 'a dump');
sql('CREATE DATABASE copy');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('copy'), $dump ], 'is restored');
is(sql($without_identity, 'copy'), '', 'with replica identities');
is(sql(q{SELECT count(*) FROM pg_publication WHERE puballtables}, 'copy'), 1, 'and the publication');
sql('SELECT kg_adopt()', 'copy');
$node->poll_query_until('copy', q{SELECT worker_state IN ('idle', 'busy') FROM kgwebhook.stats})
  or die 'the copy does not deliver';
pass('kg_adopt() lets it deliver');
is(sql(q{SELECT kg_purge('0')}, 'copy'), 2, 'and kg_purge() empties its log');

#
# Who sees secrets
#
sql(q{SELECT kg_set_secret('streamed', 'a secret in plain sight of who replicates')});
is(streams('everything', 'a secret in plain sight of who replicates'), 't', 'a publication of all tables has secrets');
is(streams('payments', 'a secret in plain sight of who replicates'), 'f', 'one of the payments has not');
is(streams('payments', 'pi_1'), 't', 'but has the payments');

$node->stop;
done_testing();
