#-------------------------------------------------------------------------
#
# test/t/101_nodes_follow.pl
#	  A source without the extension, prepared by kgwebhook-source.sql, and a node that
#	  follows it: what arrives, under which webhook-id, what people may write, what is
#	  left behind when following fails, and what is shown of the connection.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Kgwebhook::Nodes;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $secret = 'whsec_' . 'n' x 32;
my $source = new_source('source');
my $node = new_delivery_node('node', $secret);
my $receiver = start_receiver(secret => $secret);
my $connection = $source->connstr . ' dbname=postgres';
my $url = $receiver->url('/ok');

sub slots { return $source->safe_psql('postgres', 'SELECT count(*) FROM pg_replication_slots') }

#
# Refusals, and what they leave behind
#
like(sql_error($node, "SELECT kg_follow('src', '$connection', 'orders', 'n1')"),
	qr/55000: database "postgres" of source "src" is not prepared.*kgwebhook-source\.sql/s, 'an unprepared source');
is((prepare_source($source))[0], 0, 'the source is prepared');
is((prepare_source($source))[0], 0, 'and once more');
$source->safe_psql('postgres', qq{INSERT INTO orders (id, status, callback_url) VALUES ('old', 'paid', '$url')});
like(sql_error($node, "SELECT kg_follow('src', 'host=/nowhere password=visible', 'orders', 'n1')"),
	qr/08006: source "src" cannot be reached/, 'a source that is not there');
like(sql_error($node, "SELECT kg_follow('src', 'visible = = x', 'orders', 'n1')"),
	qr/42601: the connection string of source "src" cannot be parsed/, 'a string that is none');
like(sql_error($node, "SELECT kg_follow('src', '$connection', 'kgwebhook.queue', 'n1')"),
	qr/42704: publication "kgwebhook" of source "src" does not have table kgwebhook\.queue/, 'a table that is not published');
like(sql_error($node, "BEGIN; SELECT kg_follow('src', '$connection', 'orders', 'n1'); SELECT 1/0; COMMIT"),
	qr/22012: division by zero/, 'a transaction that fails after kg_follow()');
is(slots(), 0, 'leaves no slot');
$node->safe_psql('postgres', "BEGIN; SAVEPOINT a; SELECT kg_follow('src', '$connection', 'orders', 'n1'); ROLLBACK TO a; COMMIT");
is(slots(), 0, 'nor does a savepoint that is rolled back');
is($source->safe_psql('postgres', 'SELECT count(*) FROM kgsource.heartbeat'), 0, 'nor a node that is said to be there');
like(sql_error($node, "BEGIN; SELECT kg_follow('src', '$connection', 'orders', 'n1'); PREPARE TRANSACTION 'x'"),
	qr/0A000: cannot prepare a transaction that has been in touch with a source/, 'it cannot be prepared');
$node->safe_psql('postgres', "INSERT INTO orders (id) VALUES ('here')");
like(sql_error($node, "SELECT kg_follow('src', '$connection', 'orders', 'n1')"), qr/55000: table public\.orders is not empty/, 'a table with rows');
$node->safe_psql('postgres', "DELETE FROM orders; DELETE FROM kgwebhook.queue; ALTER TABLE orders DROP COLUMN version");
like(sql_error($node, "SELECT kg_follow('src', '$connection', 'orders', 'n1')"),
	qr/42703: table public\.orders lacks columns of source "src".*version/s, 'a table that lacks a column');
$node->safe_psql('postgres', "ALTER TABLE orders ADD COLUMN version int NOT NULL DEFAULT 0;
	SELECT count(*) FROM kg_watch('orders', 'order', 'id', 'status', 'callback_url', 'org_id',
		'{\"id\": \"id\", \"status\": \"status\", \"version\": \"version\", \"at\": \"\$occurred_at\", \"sequence\": \"\$sequence\"}')");
is(slots(), 0, 'none of which leaves a slot');

#
# It follows
#
follow($node, $source, 'n1');
pass('streaming');
is(slots(), 1, 'by one slot');
is($node->safe_psql('postgres', 'SELECT count(*) FROM orders'), 1, 'what was there is copied');
$source->safe_psql('postgres', qq{INSERT INTO orders (id, status, callback_url) VALUES ('pi_1', 'new', '$url')});
$source->safe_psql('postgres', q{UPDATE orders SET status = 'paid', version = 1 WHERE id = 'pi_1'});
$source->safe_psql('postgres', q{UPDATE orders SET version = 2 WHERE id = 'pi_1'});
my @got = $receiver->wait_for_requests(2);
is_deeply([ map { "$_->{json}{id} $_->{json}{status} $_->{valid}" } @got ], [ 'pi_1 new 1', 'pi_1 paid 1' ],
	'transitions arrive in order, and the copied row does not');
is($got[1]{json}{version}, 1, 'as they were committed');

# Time and sequence are those of the row; the identifier is made of the row.
is($source->safe_psql('postgres', q{SELECT updated_at > now() - interval '1 minute' FROM orders WHERE id = 'pi_1'}),
	't', 'the source sets the version at an UPDATE that does not');
my $kept = $source->safe_psql('postgres', qq{
	INSERT INTO orders (id, status, callback_url, updated_at) VALUES ('pi_2', 'new', '$url', '2026-01-02 03:04:05.678901+00')
	RETURNING (extract(epoch FROM updated_at) * 1000000)::bigint});
@got = $receiver->wait_for_requests(3);
is($got[2]{json}{at}, '2026-01-02T03:04:05.678901Z', '$occurred_at is the version of the row');
is($got[2]{json}{sequence}, $kept, '$sequence, too');
my $id = $got[2]{headers}{'webhook-id'};
wait_until_settled($node);
is($node->safe_psql('postgres', q{SELECT kg_announce('2026-01-01', dry_run => true)}), 3, 'kg_announce() counts');
$node->safe_psql('postgres', q{SELECT kg_announce('2026-01-01')});
@got = $receiver->wait_for_requests(6);
is_deeply([ map { "$_->{json}{id} $_->{json}{status}" } @got[ 3 .. 5 ] ], [ 'pi_2 new', 'old paid', 'pi_1 paid' ], 'and sends what is');
is($got[3]{headers}{'webhook-id'}, $id, 'under the webhook-id that the event had');
is($got[3]{json}{sequence}, $kept, 'with the same body');

#
# Nobody else writes the table
#
foreach my $write (q{INSERT INTO orders (id) VALUES ('x')}, q{UPDATE orders SET status = 'x'}, q{DELETE FROM orders}, 'TRUNCATE orders')
{
	like(sql_error($node, $write), qr/55000: table "orders" is followed from source "src"/, (split / /, $write)[0] . ' is refused');
}
$node->safe_psql('postgres', 'CREATE TABLE gone AS SELECT 1');
like(sql_error($node, q{SELECT kg_expire_intents('orders')}), qr/55000: table "orders" is followed from source "src"/, 'so is kg_expire_intents()');
like(sql_error($node, q{SELECT kg_unwatch('orders')}),
	qr/55000: table "orders" is followed from source "src".*would be no event.*kg_unfollow\('src'\)/s, 'and kg_unwatch(), after which changes would be no events');
is($node->safe_psql('postgres', 'SELECT kg_expire_intents(NULL)'), 0, 'which passes it over among others');

#
# A second node has nothing to do without routes
#
my $second = new_delivery_node('second', $secret);
my ($code, undef, $stderr) = $second->psql('postgres', "SELECT kg_follow('src', '$connection', 'orders', 'n2')");
like($stderr, qr/node "n1" serves all organizations, because there are no routes.*INSERT INTO kgsource\.route/s, 'a second node is refused');
($code, undef, $stderr) = $second->psql('postgres', "SELECT kg_follow('src', '$connection', 'orders', 'n1')");
like($stderr, qr/a node "n1" follows already/, 'and so is one of the same name');
is(slots(), 1, 'neither leaves a slot');
$second->stop;

#
# What is wrong is said; secrets are not
#
$node->safe_psql('postgres', q{SET session_replication_role = replica; INSERT INTO orders (id, status) VALUES ('twice', 'new')});
$source->safe_psql('postgres', q{INSERT INTO orders (id, status) VALUES ('twice', 'new')});
wait_for_state($node, 'broken');
wait_for_row($node, q{SELECT why ~ '(duplicate key|insert_exists).*[(]id[)]=[(]twice[)]' FROM kgwebhook.sources}, 'the reason');
is($node->safe_psql('postgres', q{SELECT count(*) FROM kgwebhook.sources WHERE why ~ 'row [(]'}), 0, 'without the rows');
is($node->safe_psql('postgres', 'SELECT worker_state FROM kgwebhook.stats'), 'source broken', 'stats says that the source is broken');
$node->safe_psql('postgres', q{SET session_replication_role = replica; DELETE FROM orders WHERE id = 'twice'});
wait_for_state($node, 'streaming');
$node->safe_psql('postgres', 'ALTER SUBSCRIPTION ' . $node->safe_psql('postgres', 'SELECT subscription FROM kgwebhook.sources') . ' DISABLE');
wait_for_state($node, 'disabled');
$node->safe_psql('postgres', 'ALTER SUBSCRIPTION ' . $node->safe_psql('postgres', 'SELECT subscription FROM kgwebhook.sources') . ' ENABLE');
wait_for_state($node, 'streaming');
$source->stop('immediate');
wait_for_state($node, 'unreachable');
$source->start;
wait_for_state($node, 'streaming');
pass('broken, disabled, unreachable, and streaming again');
$source->safe_psql('postgres', q{UPDATE orders SET status = 'back' WHERE id = 'pi_2'});
@got = $receiver->wait_for_requests(7);
is($got[6]{json}{status}, 'back', 'it goes on');

#
# Routes are found whatever the database's collation is
#
SKIP:
{
	skip 'PostgreSQL is built without ICU', 1
	  if $node->safe_psql('postgres', q{SELECT count(*) FROM pg_collation WHERE collprovider = 'i'}) == 0;
	$node->safe_psql('postgres', q{CREATE DATABASE icu TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C' LOCALE_PROVIDER icu ICU_LOCALE 'en'});
	is( $node->safe_psql('icu', q{
			SET client_min_messages = warning;
			CREATE EXTENSION kgwebhook CASCADE;
			INSERT INTO kgwebhook.route (source, org_id, node, released, seq)
				SELECT 's', o, 'n', true, 1 FROM unnest('{a,B,c,D,e,F}'::text[]) o;
			SELECT count(*) FROM kgwebhook.route WHERE kgwebhook.route_state('s', 'n', org_id) = 'mine'}),
		6, 'each route is found where capitals are sorted between small letters');
	$node->safe_psql('postgres', 'DROP DATABASE icu');
}

#
# The end
#
$node->safe_psql('postgres', q{SELECT kg_unfollow('src')});
is(slots(), 0, 'kg_unfollow() takes the slot along');
is($source->safe_psql('postgres', 'SELECT count(*) FROM kgsource.heartbeat'), 0, 'and the node');
$node->safe_psql('postgres', qq{INSERT INTO orders (id, status, callback_url) VALUES ('mine', 'new', '$url')});
@got = $receiver->wait_for_requests(8);
is($got[7]{json}{id}, 'mine', 'the table is an ordinary one again');
ok($node->poll_query_until('postgres', q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'kgwebhook follower')}),
	'and nothing looks after sources');
my $log = slurp_file($node->logfile);
my $statements = () = $log =~ /statement: .*visible/g;
my $mentions = () = $log =~ /visible/g;
is($mentions - $statements, 0, 'no error shows a connection string');

$node->stop;
$source->stop;
done_testing();
