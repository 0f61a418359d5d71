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
my $node = new_delivery_node('node', $secret, 'restart_after_crash' => 'on');
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
# A source that could not send all of its changes: the script refuses it, kg_follow() once more, and UPDATEs go on
#
sub follow_error
{
	my ($as) = @_;

	return sql_error($node, q{SELECT kg_follow('src', '} . $source->connstr . " dbname=postgres user=$as', 'orders', 'n1')");
}
my $user = $source->safe_psql('postgres', 'SELECT current_user');
like((prepare_source($node))[2], qr/ERROR:  wal_level is minimal, and has to be logical.*ALTER SYSTEM SET wal_level = logical/s, 'the script refuses a server whose wal_level is not logical');
is($node->safe_psql('postgres', q{SELECT (SELECT count(*) FROM pg_publication), to_regnamespace('kgsource') IS NULL}), '0|t', 'and leaves nothing there');
sub with_answer
{
	my ($answer) = @_;

	return sql_error($node, "BEGIN; SELECT kgwebhook.open_source('src', '$connection'); SELECT kgwebhook.check_source('src', 'kgwebhook', 'orders', kgwebhook.describe_source('src', 'kgwebhook') || '$answer')");
}
foreach my $version (150012, 160008, 170004)
{
	my $name = int($version / 10000) . '.' . $version % 10000;

	like(sql_error($source, "SELECT kgsource.check_server($version, 'logical')"), qr/0A000: PostgreSQL \Q$name\E can lose changes that are committed beside ALTER PUBLICATION.*Update the server to 15\.13, 16\.9, 17\.5/s, "the script refuses $name");
	like(with_answer(qq({"version": $version})), qr/0A000: source "src" can lose changes that are committed beside ALTER PUBLICATION.*It is PostgreSQL \Q$name\E\..*Update it to 15\.13/s, 'and so does kg_follow()');
}
is($source->safe_psql('postgres', q{SELECT kgsource.check_server(v, 'logical') FROM unnest('{150013,160009,170005,180000}'::int[]) v}), "\n\n\n", 'and takes those that have the repair');
is($node->safe_psql('postgres', q{SELECT string_agg(v::text, ' ') FROM unnest('{150012,150013,150099,160000,160008,160009,170004,170005,180000}'::int[]) v WHERE kgwebhook.loses_changes(v)}), '150012 160000 160008 170004', 'as does kg_follow()');
is($node->safe_psql('postgres', "BEGIN; SELECT kgwebhook.open_source('src', '$connection'); SELECT kgwebhook.describe_source('src', 'kgwebhook') ->> 'wal_level'; ROLLBACK"), "\nlogical", 'it asks for wal_level');
like(with_answer('{"wal_level": "replica"}'), qr/55000: wal_level of source "src" is replica, and has to be logical.*ALTER SYSTEM/s, 'and refuses one that was lowered later');
$source->safe_psql('postgres', 'ALTER TABLE orders DROP CONSTRAINT orders_pkey');
like(follow_error($user), qr/55000: table public\.orders of source "src" has no usable replica identity.*ALTER TABLE public\.orders ADD PRIMARY KEY/s, 'that the primary key was dropped');
like((prepare_source($source))[2], qr/ERROR:  table public\.orders has no usable replica identity.*ADD PRIMARY KEY/s, 'and the script says so, too');
$source->safe_psql('postgres', 'ALTER TABLE orders ADD PRIMARY KEY (id)');

# Row security: a role that may not see all rows is refused, whatever policies others have.
my %as = (node_role => 'kg_reader');
$source->safe_psql('postgres', q{CREATE ROLE kg_reader LOGIN REPLICATION; CREATE ROLE kg_other LOGIN REPLICATION});
is((prepare_source($source, %as))[0], 0, 'for a role');
$source->safe_psql('postgres', q{ALTER TABLE orders ENABLE ROW LEVEL SECURITY});
my $hidden = qr/42501: rows of table public\.orders are hidden from the role that connects to source "src".*node_role=/s;
like(follow_error('kg_reader'), $hidden, 'row security without a policy');
$source->safe_psql('postgres', q{CREATE POLICY others ON orders FOR SELECT TO kg_other USING (true); CREATE POLICY writes ON orders FOR UPDATE USING (true)});
like(follow_error('kg_reader'), $hidden, 'nor do policies of another role or of other commands show the rows');
$source->safe_psql('postgres', q{CREATE POLICY narrow ON orders AS RESTRICTIVE FOR SELECT USING (org_id <> 'o1')});
like((prepare_source($source, %as))[2], qr/ERROR:  row security hides rows of table public\.orders from role "kg_reader".*ALTER ROLE kg_reader BYPASSRLS/s, 'the script refuses a restrictive one');
$source->safe_psql('postgres', q{CREATE POLICY kg_node ON orders FOR SELECT TO kg_reader USING (true)});
like(follow_error('kg_reader'), $hidden, 'so does kg_follow(), if it came later');
$source->safe_psql('postgres', q{DROP POLICY narrow ON orders; DROP POLICY others ON orders; DROP POLICY kg_node ON orders});
is((prepare_source($source, node_role => $_))[0], 0, "the script is run for $_") foreach 'kg_reader', 'kg_other', 'kg_reader';
is($source->safe_psql('postgres', q{SELECT polroles::regrole[] FROM pg_policy WHERE polname = 'kg_node'}), '{kg_reader,kg_other}', 'and each of two nodes sees all rows');
is($node->safe_psql('postgres', q{BEGIN; SELECT kg_follow('src', '} . $source->connstr . qq{ dbname=postgres user=$_', 'orders', 'n1'); ROLLBACK}), '', "$_ can follow") foreach 'kg_reader', 'kg_other';
$source->safe_psql('postgres', q{DROP POLICY writes ON orders; ALTER TABLE orders DISABLE ROW LEVEL SECURITY});

# No slot: one is for the stream, one for the copy.
$source->safe_psql('postgres', q{SELECT pg_create_physical_replication_slot('s' || g) FROM generate_series(1, 19) g});
like(follow_error($user), qr/53400: source "src" has too few replication slots left.*19 of 20 are used.*Increase max_replication_slots/s, 'max_replication_slots is used up except for one');
$source->safe_psql('postgres', q{SELECT pg_create_physical_replication_slot('s20')});
like(follow_error($user), qr/53400: source "src" has too few replication slots left.*20 of 20 are used/s, 'or altogether');
like((prepare_source($source))[2], qr/WARNING:  there is no room for the replication slots of a node.*max_replication_slots is 20/s, 'of which the script warns');
is($source->safe_psql('postgres', q{SELECT count(*) FROM pg_replication_slots WHERE slot_type = 'logical'}), 0, 'no refusal leaves a slot');
$source->safe_psql('postgres', q{SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots});
is($source->safe_psql('postgres', q{UPDATE orders SET status = 'paid' WHERE id = 'old' RETURNING status}), 'paid', 'nor stops an UPDATE');
is($source->safe_psql('postgres', q{SELECT count(*) FROM kgsource.heartbeat}) . $node->safe_psql('postgres', q{SELECT count(*) FROM pg_subscription}), '00', 'nor leaves a node or a subscription');

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
# A trigger BEFORE INSERT, fired or not, would make the first copy insert row by row.
sub row_by_row
{
	return $node->safe_psql('postgres', 'SELECT string_agg(tgname, $$ $$) FROM pg_trigger WHERE tgrelid = $$' . shift() . '$$::regclass AND tgtype & 7 = 7');
}

is(row_by_row('orders'), '', 'and the first copy of it was made in batches');
$node->safe_psql('postgres', q{
	SELECT kg_create_payment_intents('made');
	ALTER TABLE made DISABLE TRIGGER kgwebhook_check;
	SELECT kgwebhook.mark_followed('made', 'src', 'n1')});
is(row_by_row('made'), '', 'that of a ready-made table would be');
$node->safe_psql('postgres', q{SELECT kgwebhook.mark_followed('made', NULL, NULL)});
is( $node->safe_psql('postgres', q{SELECT tgenabled::text || ' ' || pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname = 'kgwebhook_check'}),
	q{D CREATE TRIGGER kgwebhook_check BEFORE INSERT OR UPDATE ON public.made FOR EACH ROW EXECUTE FUNCTION kgwebhook.check_transition('payment_intent')},
	'which has its checks back when it is no longer followed');
$node->safe_psql('postgres', q{SELECT kg_unwatch('made'); DROP TABLE made});
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
# Two sources whose objects have equal identifiers: of one table or one kind they are refused, of two they are apart
#
$source->safe_psql('postgres', 'CREATE DATABASE other');
my $other = $source->connstr . ' dbname=other';
sub at_other { return $source->safe_psql('other', $_[0]); }
at_other(orders_table() . 'CREATE TABLE returns (LIKE orders INCLUDING ALL)');
sub watch_returns
{
	my ($event) = @_;

	return "SELECT count(*) FROM kg_watch('returns', '$event', 'id', 'status', 'callback_url', 'org_id', '{\"id\": \"id\", \"status\": \"status\", \"event\": \"\$type\"}')";
}
$node->safe_psql('postgres', 'CREATE TABLE returns (LIKE orders INCLUDING ALL); ' . watch_returns('order'));
prepare_source($source, database => 'other', tables => 'orders, returns');
like(sql_error($node, "SELECT kg_follow('src2', '$other', 'returns', 'n1')"),
	qr/42710: table public\.orders is followed from source "src" already.*Follow the other source from another database/s, 'a table that has its source has no second one');
at_other('ALTER PUBLICATION kgwebhook DROP TABLE orders');
like(sql_error($node, "SELECT kg_follow('src2', '$other', 'returns', 'n1')"),
	qr/42710: tables public\.orders and public\.returns would both make events "order".*sources "src" and "src2", whose objects can have equal identifiers.*Call kg_watch\(\) for one of them with another event/s, 'nor has a kind');
is(slots(), 1, 'and no slot is left');
is(at_other('SELECT count(*) FROM kgsource.heartbeat') . $node->safe_psql('postgres', q{SELECT count(*) FROM pg_subscription}), '01', 'nor node or subscription');
$node->safe_psql('postgres', watch_returns('return'));
$node->safe_psql('postgres', "SELECT kg_follow('src2', '$other', 'returns', 'n1')");
wait_for_state($node, 'streaming', 'src2');
like(sql_error($node, watch_returns('order')), qr/42710: tables public\.orders and public\.returns would both make events "order"/, 'nor is a followed table given the kind later');
$receiver->hold('slow');
my $row = q{'same', 'o1', 'new', '2026-03-03 03:03:03+00'};
$source->safe_psql('postgres', qq{INSERT INTO orders (id, org_id, status, updated_at, callback_url) VALUES ($row, '@{[ $receiver->url('/while/slow/ok') ]}')});
$receiver->wait_for_requests(1, path => '/while/slow/ok');
$source->safe_psql('postgres', qq{UPDATE orders SET status = 'paid', callback_url = '$url' WHERE id = 'same'});
wait_for_row($node, q{SELECT count(*) = 2 FROM kgwebhook.queue WHERE kind = 'order' AND object_id = 'same'}, 'the order to wait for its first event');
at_other(qq{INSERT INTO returns (id, org_id, status, updated_at, callback_url) VALUES ($row, '$url')});
at_other(qq{UPDATE returns SET status = 'paid' WHERE id = 'same'});
@got = $receiver->wait_for_requests(10);
is(join(' ', map { $_->{json}{event} } @got[ 8, 9 ]), 'return.new return.paid', 'what one holds up does not hold up the other\'s, though the identifiers are equal');
wait_until_settled($node, q{kind = 'return'});
my %held = map { $_ => 1 } split /\n/, $node->safe_psql('postgres', q{SELECT webhook_id FROM kgwebhook.queue WHERE object_id = 'same'});
is(scalar(grep { $held{ $_->{headers}{'webhook-id'} } } @got[ 8, 9 ]), 0, 'nor are their webhook-ids the same, at equal versions');
$receiver->release('slow');
wait_until_settled($node);
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT event || ' ' || outcome, ', ' ORDER BY event || ' ' || outcome) FROM kgwebhook.delivery_log WHERE object_id = 'same' AND outcome IN ('acknowledged', 'superseded')}),
	'order.new acknowledged, order.paid acknowledged, return.new acknowledged, return.paid acknowledged', 'and nothing is superseded');

# An organization that is held at one source is not at the other.
my $before = $receiver->requests;
$node->safe_psql('postgres', q{INSERT INTO kgwebhook.route (source, org_id, node, previous, released, seq) VALUES ('src', 'o2', 'n1', 'n9', false, 1000000)});
$source->safe_psql('postgres', qq{INSERT INTO orders (id, org_id, status, callback_url) VALUES ('both', 'o2', 'new', '$url')});
wait_for_row($node, q{SELECT EXISTS (SELECT FROM kgwebhook.held)}, 'what is held');
at_other(qq{INSERT INTO returns (id, org_id, status, callback_url) VALUES ('both', 'o2', 'new', '$url')});
@got = $receiver->wait_for_requests($before + 1);
is($got[-1]{json}{event}, 'return.new', 'a move at one source holds nothing of the other');
is($node->safe_psql('postgres', q{SELECT string_agg(source || ' ' || kind, ', ') FROM kgwebhook.held}), 'src order', 'and only its own');
$node->safe_psql('postgres', q{SELECT kgwebhook.release_held('src2', true)});
is($node->safe_psql('postgres', q{SELECT count(*) FROM kgwebhook.held}), 1, 'nor is it released with the other');
$node->safe_psql('postgres', q{SELECT kgwebhook.release_held('src', true); DELETE FROM kgwebhook.route WHERE org_id = 'o2'});
$receiver->wait_for_requests($before + 2);
wait_until_settled($node);
is($node->safe_psql('postgres', q{SELECT count(*) FROM kg_compare('src2')}), 0, 'nothing differs');
$node->safe_psql('postgres', q{SELECT kg_unfollow('src2')});
is($node->safe_psql('postgres', q{SELECT string_agg(source || ' ' || state, ', ') FROM kgwebhook.sources}), 'src streaming', 'one is unfollowed, and the other goes on');
$before = $receiver->requests;

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
# A crash ends the follower's worker, whose successor starts one of its own
#
my $follower = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'kgwebhook follower'});
kill 'KILL', $follower or die "there is no follower to kill: $!";
wait_for_row($node, q{
	SELECT count(*) FILTER (WHERE f.backend_start > w.backend_start) = 1 AND count(*) = 1
	  FROM pg_stat_activity w, pg_stat_activity f
	 WHERE w.backend_type = 'kgwebhook worker' AND f.backend_type = 'kgwebhook follower' AND f.pid <> } . $follower,
	'one follower, which the new worker has started');
pass('after a crash there is one follower, not two');

#
# The end
#
$node->safe_psql('postgres', q{SELECT kg_unfollow('src')});
is(slots(), 0, 'kg_unfollow() takes the slot along');
is($source->safe_psql('postgres', 'SELECT count(*) FROM kgsource.heartbeat'), 0, 'and the node');
$node->safe_psql('postgres', qq{INSERT INTO orders (id, status, callback_url) VALUES ('mine', 'new', '$url')});
@got = $receiver->wait_for_requests($before + 1);
is($got[-1]{json}{id}, 'mine', 'the table is an ordinary one again');
ok($node->poll_query_until('postgres', q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'kgwebhook follower')}),
	'and nothing looks after sources');
my $log = slurp_file($node->logfile);
my $statements = () = $log =~ /statement: .*visible/g;
my $mentions = () = $log =~ /visible/g;
is($mentions - $statements, 0, 'no error shows a connection string');

$node->stop;
$source->stop;
done_testing();
