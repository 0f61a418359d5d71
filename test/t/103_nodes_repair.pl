#-------------------------------------------------------------------------
#
# test/t/103_nodes_repair.pl
#	  What goes wrong between a source and its node, and how it is found and repaired: a
#	  slot that is gone, rows that never came, a transaction that cannot be applied.
#	  And what the stream brings in odd shapes: a row that moves to another partition, a
#	  column that an UPDATE leaves out for its size, a prepared transaction.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Kgwebhook::Nodes;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $secret = 'whsec_' . 'p' x 32;
my $source = new_source('source');
my $receiver = start_receiver(secret => $secret);
my $url = $receiver->url('/ok');

#
# What the script refuses, and that UPDATEs go on whatever it does
#
sub refusal
{
	my ($table, %variables) = @_;

	return (prepare_source($source, tables => $table, %variables))[2];
}
$source->safe_psql('postgres', q{
	CREATE ROLE kg_reader LOGIN REPLICATION;
	CREATE TABLE keyless (id text, status text);
	INSERT INTO keyless VALUES ('a', 'new');
	CREATE UNLOGGED TABLE unlogged (id text PRIMARY KEY);
	CREATE TABLE secured (id text PRIMARY KEY, org_id text);
	ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
	CREATE POLICY own ON secured USING (org_id = current_user);
	CREATE TABLE restricted (LIKE secured INCLUDING ALL);
	ALTER TABLE restricted ENABLE ROW LEVEL SECURITY;
	CREATE POLICY narrow ON restricted AS RESTRICTIVE USING (org_id = current_user)});
like(refusal('keyless'), qr/table public\.keyless has no usable replica identity.*ADD PRIMARY KEY/s, 'no replica identity');
is($source->safe_psql('postgres', q{UPDATE keyless SET status = 'paid' RETURNING status}), 'paid', 'and its UPDATEs go on');
like(refusal('unlogged'), qr/table public\.unlogged cannot be published/, 'an unlogged table');
like(refusal('nothing'), qr/table "nothing" does not exist/, 'a table that is not there');
like(refusal('orders', node_role => 'nobody'), qr/role "nobody" does not exist.*CREATE ROLE nobody/s, 'a role that is not there');
like(refusal('restricted', node_role => 'kg_reader'), qr/row security hides rows of table public\.restricted/, 'a restrictive policy');
is((prepare_source($source, tables => 'secured', node_role => 'kg_reader', publication => 'other'))[0], 0, 'row security with a policy of our own');
is($source->safe_psql('postgres', q{SELECT polname FROM pg_policy WHERE polrelid = 'secured'::regclass AND polname = 'kg_node'}),
	'kg_node', 'which lets the node see all rows');
$source->safe_psql('postgres', q{CREATE PUBLICATION filtered FOR TABLE orders WHERE (id <> '')});
like(refusal('orders', publication => 'filtered'), qr/has a filter or a list of columns for table orders.*SET TABLE orders/s, 'a filter');
$source->safe_psql('postgres', 'DROP PUBLICATION filtered; DROP PUBLICATION other');

#
# Odd shapes: a partitioned table at the source, and what is left out of an UPDATE
#
$source->safe_psql('postgres', q{
	DROP TABLE orders;
	CREATE TABLE orders (id text, org_id text NOT NULL DEFAULT 'default', status text, version int NOT NULL DEFAULT 0,
		callback_url text, updated_at timestamptz NOT NULL DEFAULT clock_timestamp(), day int NOT NULL DEFAULT 1, big text, number int8 NOT NULL DEFAULT 7,
		PRIMARY KEY (id, day)) PARTITION BY LIST (day);
	CREATE TABLE orders_1 PARTITION OF orders FOR VALUES IN (1);
	CREATE TABLE orders_2 PARTITION OF orders FOR VALUES IN (2)});
is((prepare_source($source))[0], 0, 'a partitioned table is prepared');
like(($source->psql('postgres', 'ALTER TABLE orders DROP COLUMN updated_at'))[2],
	qr/other objects depend on .*trigger zz_kgsource_version on table orders/s, 'the column of the version cannot be dropped');
is($source->safe_psql('postgres', q{BEGIN; INSERT INTO orders (id, status, updated_at) VALUES ('r', 'new', '2026-01-01'); ALTER TABLE orders RENAME COLUMN updated_at TO changed_at;
	UPDATE orders SET status = 'paid' WHERE id = 'r'; UPDATE orders SET status = 'odd', changed_at = '2026-02-01' WHERE id = 'r' RETURNING changed_at::date;
	INSERT INTO orders (id, changed_at) VALUES ('s', NULL) RETURNING changed_at > '2026-03-01'; UPDATE orders SET status = 'on' WHERE id = 'r' RETURNING changed_at > '2026-03-01'; ROLLBACK}),
	"2026-02-01\nt\nt", 'when it is renamed, changes go on, with a version each');
my $node = new_delivery_node('node', $secret);
$node->safe_psql('postgres', q{
	ALTER TABLE orders ADD COLUMN day int NOT NULL DEFAULT 1, ADD COLUMN big text, ADD COLUMN number int8 GENERATED ALWAYS AS IDENTITY, DROP CONSTRAINT orders_pkey, ADD PRIMARY KEY (id, day);
	SELECT count(*) FROM kg_watch('orders', 'order', 'id', 'status', 'callback_url', 'org_id', '{"id": "id", "status": "status", "big": "big", "day": "day"}')});
follow($node, $source, 'n1');

sub committed { $source->safe_psql('postgres', $_[0]); return; }
sub arrived
{
	my ($n) = @_;
	my $request = ($receiver->wait_for_requests($n))[ $n - 1 ];

	return "$request->{json}{id} $request->{json}{status}";
}
committed(qq{INSERT INTO orders (id, status, callback_url, big) SELECT 'big', 'new', '$url', string_agg(md5(g::text), '') FROM generate_series(1, 15000) g});
is(arrived(1), 'big new', 'a large row arrives');
committed(q{UPDATE orders SET day = 2 WHERE id = 'big'});
committed(q{UPDATE orders SET status = 'paid' WHERE id = 'big'});
is(arrived(2), 'big paid', 'a row that only moved to another partition is no event');
my @got = $receiver->requests;
is(length $got[1]{json}{big}, 480000, 'what the UPDATE left out for its size is in the payload');
is($got[1]{json}{big}, $got[0]{json}{big}, 'as it was');
committed(q{UPDATE orders SET day = 1, status = 'refunded' WHERE id = 'big'});
is(arrived(3), 'big refunded', 'a move with a change of status is one');
committed(qq{BEGIN; INSERT INTO orders (id, status, callback_url) VALUES ('two', 'new', '$url'); PREPARE TRANSACTION 'p'});
committed(q{UPDATE orders SET status = 'kept' WHERE id = 'big'});
is(arrived(4), 'big kept', 'what is prepared is none yet');
committed(q{COMMIT PREPARED 'p'});
is(arrived(5), 'two new', 'it is once it is committed');
committed(qq{BEGIN; SAVEPOINT a; INSERT INTO orders (id, status, callback_url) VALUES ('no', 'new', '$url'); ROLLBACK TO a;
	INSERT INTO orders (id, status, callback_url) VALUES ('yes', 'new', '$url'); COMMIT});
is(arrived(6), 'yes new', 'what a savepoint has taken back is none');

#
# A slot that is gone, and what it had
#
wait_until_settled($node);
committed(q{INSERT INTO kgsource.route (org_id, node) VALUES ('o4', 'n1')});
wait_for_row($node, q{SELECT EXISTS (SELECT FROM kgwebhook.routes WHERE org_id = 'o4')}, 'a route');
my $slot = $node->safe_psql('postgres', 'SELECT slot FROM kgwebhook.source');
$node->stop;
committed(q{UPDATE orders SET status = 'lost' WHERE id = 'two'});
committed(qq{INSERT INTO orders (id, status, callback_url) VALUES ('unseen', 'new', '$url')});
committed(q{DELETE FROM orders WHERE id = 'yes'});
committed(q{DELETE FROM kgsource.route WHERE org_id = 'o4'});
wait_for_row($source, "SELECT NOT active FROM pg_replication_slots WHERE slot_name = '$slot'");
committed("SELECT pg_drop_replication_slot('$slot')");
$node->start;
wait_for_state($node, 'slot lost');
like($node->safe_psql('postgres', q{SELECT finding FROM kg_status() WHERE severity = 'critical'}),
	qr/source "src" has lost the slot/, 'kg_status() says so');
is($node->safe_psql('postgres', q{SELECT string_agg(object_id, ' ' ORDER BY object_id) FROM kg_compare()}), 'two unseen yes',
	'kg_compare() lists what differs');
is( $node->safe_psql('postgres', q{
		BEGIN;
		UPDATE kgwebhook.watch SET version_column = NULL, org_column = NULL;
		SELECT string_agg(object_id, ' ' ORDER BY object_id) FROM kg_compare();
		ROLLBACK}), 'two unseen yes', 'also without columns of version and organization');
is($node->safe_psql('postgres', 'SELECT events, changed, gone FROM kg_resync(dry_run => true)'), '2|2|1', 'a dry run counts');
is($node->safe_psql('postgres', 'SELECT events, changed, gone FROM kg_resync()'), '2|2|1', 'kg_resync() takes them over');
wait_for_state($node, 'streaming');
@got = $receiver->wait_for_requests(8);
is(join(' ', sort map { "$_->{json}{id}:$_->{json}{status}" } @got[ 6, 7 ]), 'two:lost unseen:new', 'each last status is sent');
is($node->safe_psql('postgres', 'SELECT count(*) FROM kg_compare()'), 0, 'nothing differs any more');
is($node->safe_psql('postgres', q{SELECT count(*) FROM kgwebhook.routes WHERE org_id = 'o4'}), 0, 'a route that is gone is gone');
committed(q{UPDATE orders SET status = 'on' WHERE id = 'unseen'});
is(arrived(9), 'unseen on', 'and the stream goes on');
is($source->safe_psql('postgres', 'SELECT count(*) FROM pg_replication_slots'), 1, 'by one slot');

#
# A transaction that cannot be applied
#
$node->safe_psql('postgres', q{SET session_replication_role = replica; INSERT INTO orders (id) VALUES ('dup')});
committed(qq{BEGIN; INSERT INTO orders (id, status, callback_url) VALUES ('dup', 'new', '$url'), ('beside', 'new', '$url'); COMMIT});
committed(q{UPDATE orders SET status = 'waits' WHERE id = 'unseen'});
wait_for_state($node, 'broken');
is($node->safe_psql('postgres', q{SELECT string_agg(object_id || ' ' || status, ' ' ORDER BY object_id) FROM kg_skip()}),
	'beside new dup new', 'kg_skip() names its objects');
wait_for_state($node, 'streaming');
@got = $receiver->wait_for_requests(12);
is(join(' ', sort map { "$_->{json}{id}:$_->{json}{status}" } @got[ 9 .. 11 ]), 'beside:new dup:new unseen:waits', 'and loses nothing');
is($node->safe_psql('postgres', 'SELECT skipped FROM kgwebhook.sources'), 1, 'it is counted');
is($node->safe_psql('postgres', 'SELECT count(*) FROM kg_compare()'), 0, 'nothing differs');
my (undef, undef, $stderr) = $node->psql('postgres', 'SELECT * FROM kg_skip()');
like($stderr, qr/source "src" does not stand still at a transaction/, 'there is nothing to skip now');

#
# While kg_resync() waits for the source, other subscriptions go on
#
my $locker = $source->background_psql('postgres');
$locker->query_safe('BEGIN; LOCK TABLE orders');
my ($out, $err) = ('', '');
my $resync = IPC::Run::start([ 'psql', '-X', '-d', $node->connstr('postgres'), '-c', 'SELECT * FROM kg_resync()' ], '>', \$out, '2>', \$err);
wait_for_row($source, q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'walsender' AND wait_event_type = 'Lock')}, 'kg_resync() to wait');
is($node->safe_psql('postgres', q{SET lock_timeout = '1s'; SELECT count(*) FROM pg_subscription}), 1, 'kg_resync() does not hold pg_subscription while it reads the source');
$locker->query_safe('COMMIT');
$locker->quit;
$resync->finish;
like($out, qr/1 row/, 'and goes on then') or diag($err);
wait_for_state($node, 'streaming');

#
# Who gives up waiting is not kept by a source that is stopped
#
# a partition, which only who reads the rows waits for
my $partition = $source->safe_psql('postgres', q{SELECT min(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'orders'::regclass});
$locker = $source->background_psql('postgres');
$locker->query_safe("BEGIN; LOCK TABLE $partition");
($out, $err) = ('', '');
$resync = IPC::Run::start([ 'psql', '-X', '-d', $node->connstr('postgres'), '-c', 'SELECT * FROM kg_resync()' ], '>', \$out, '2>', \$err);
wait_for_row($source, q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'walsender' AND wait_event_type = 'Lock')}, 'kg_resync() to wait');
my $postmaster = $source->data_dir . '/postmaster.pid';
my ($pid) = split /\n/, slurp_file($postmaster);
kill 'STOP', $pid;
$node->safe_psql('postgres', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query = 'SELECT * FROM kg_resync()' AND state = 'active'});
my $ended = $node->poll_query_until('postgres', q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE query = 'SELECT * FROM kg_resync()' AND state = 'active')});
kill 'CONT', $pid;
ok($ended, 'its session ends');
$resync->finish;
like($err, qr/canceling statement due to user request/, 'as it was told to');
like($err, qr/could not clean up at source "src".*Run this at the source: SELECT pg_catalog\.pg_drop_replication_slot/s, 'and says what is left there');
$locker->query_safe('COMMIT');
$locker->quit;

#
# What a control node has changed is in effect at once, though it arrives by replication
#
my $control = new_node('control', 'wal_level' => 'logical', 'max_wal_senders' => 10, 'kgwebhook.enabled' => 'off');
my $next = 'whsec_' . 'q' x 32;
my $hook = '/ok?hook';
my $orders = 0;

# A change at the control node, which has arrived.
sub decided
{
	my ($command) = @_;
	my $answer = $control->safe_psql('postgres', $command);

	$control->wait_for_catchup('config');
	return $answer;
}

# An order for each status, of an organization; only subscriptions get its event.
sub ordered
{
	committed(join '', map { "INSERT INTO orders (id, org_id, status) VALUES ('c" . ++$orders . "', 'o1', '$_');" } @_);
	return;
}

# What the subscription got lastly, once it got so much in all.
sub hooked
{
	my ($n) = @_;
	my @hooked = $receiver->wait_for_requests($n, path => $hook);

	return $n == @hooked ? $hooked[-1] : die "$n requests, not " . @hooked;
}

# How much it got before what is committed next, for another receiver, has arrived there.
my $after = 0;
my $aside = start_receiver(secret => $secret);
sub hooks_so_far
{
	$after++;
	committed(qq{INSERT INTO orders (id, org_id, status, callback_url) VALUES ('after$after', 'o2', 'new', '@{[ $aside->url ]}')});
	$aside->wait_for_requests($after);
	return scalar(grep { $_->{path} eq $hook } $receiver->requests);
}

$control->safe_psql('postgres', qq{
	CREATE TABLE orders (id text PRIMARY KEY, org_id text, status text, callback_url text, version int, day int);
	SELECT count(*) FROM kg_watch('orders', 'order', 'id', 'status', 'callback_url', 'org_id', '{"id": "id", "status": "status", "day": "day"}');
	SELECT kg_set_secret('o1', '$secret');
	CREATE PUBLICATION config FOR TABLE kgwebhook.secret, kgwebhook.signing_key, kgwebhook.client_certificate, kgwebhook.http_signature,
		kgwebhook.request_header, kgwebhook.consent, kgwebhook.subscription, kgwebhook.paused});
my $hooked = $control->safe_psql('postgres', qq{SELECT kg_subscribe('o1', '@{[ $receiver->url($hook) ]}', filter => '{"status": "wanted"}')});
$node->safe_psql('postgres', q{DELETE FROM kgwebhook.secret WHERE org_id = 'o1'});
$node->safe_psql('postgres', "CREATE SUBSCRIPTION config CONNECTION '@{[ $control->connstr ]} dbname=postgres' PUBLICATION config");
wait_for_row($node, q{SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel});
committed(qq{INSERT INTO orders (id, org_id, status, callback_url) VALUES ('signed', 'o1', 'first', '$url')});
@got = $receiver->wait_for_requests(13);
is("$got[12]{json}{status} $got[12]{valid}", 'first 1', 'a secret that was copied signs');
$receiver->set_secret([ $secret, $next ]);
decided("SELECT kg_set_secret('o1', '$next')");
$receiver->set_secret($next);
committed(q{UPDATE orders SET status = 'second' WHERE id = 'signed'});
@got = $receiver->wait_for_requests(14);
is("$got[13]{json}{status} $got[13]{valid}", 'second 1', 'and so does one that has changed, at once');

# Subscriptions
ordered('unwanted', 'wanted');
is(hooked(1)->{json}{status}, 'wanted', 'a subscription that was copied gets what its filter takes');
decided(qq{SELECT kg_update_subscription($hooked, filter => '{"status": ["wanted", "more"]}')});
ordered('unwanted', 'more');
is(hooked(2)->{json}{status}, 'more', 'a filter that has changed');
decided(qq{SELECT kg_update_subscription($hooked, events => '{order.wanted}', filter => '{}')});
ordered('more', 'wanted');
is(hooked(3)->{json}{status}, 'wanted', 'events that have changed');
decided(qq{SELECT kg_update_subscription($hooked, events => '{*}')});

# Pauses, of the subscription and of its destination
decided("SELECT kg_pause_subscription($hooked)");
ordered('paused');
is(hooks_so_far(), 3, 'a subscription that is paused');
decided("SELECT kg_resume_subscription($hooked)");
is(hooked(4)->{json}{status}, 'paused', 'and resumed');
decided("SELECT kg_pause('@{[ $receiver->destination ]}')");
ordered('all');
is(hooks_so_far(), 4, 'a destination that is paused');
is($node->safe_psql('postgres', "SELECT state FROM kgwebhook.destinations WHERE destination = '@{[ $receiver->destination ]}'"), 'paused', 'is said to be');
decided("SELECT kg_resume('@{[ $receiver->destination ]}')");
is(hooked(5)->{json}{status}, 'all', 'and goes on');

# A secret of its own, headers, a signing key
my $own = decided("SELECT kg_create_secret($hooked)");
$receiver->set_secret($own);
ordered('own');
is(hooked(6)->{valid}, 1, 'a secret of its own signs');
decided("SELECT kg_drop_secret($hooked)");
$receiver->set_secret($next);
ordered('dropped');
is(hooked(7)->{valid}, 1, 'until it is dropped');
decided(qq{SELECT kg_set_headers($hooked, '{"X-Api-Key": "k1"}')});
ordered('header');
is(hooked(8)->{headers}{'x-api-key'}, 'k1', 'a header');
unlike(hooked(8)->{headers}{'webhook-signature'}, qr/v1a,/, 'no signing key so far');
decided(q{SELECT kg_create_signing_key('o1')});
ordered('key');
like(hooked(9)->{headers}{'webhook-signature'}, qr/^v1,\S{44} v1a,\S{88}$/, 'a signing key signs');
is($node->safe_psql('postgres', q{SELECT kg_jwks('o1')}), $control->safe_psql('postgres', q{SELECT kg_jwks('o1')}), 'which kg_jwks() has on both');

# A rate: one in a hundred seconds, and then none
decided("SELECT kg_update_subscription($hooked, rate_limit => 0.01)");
ordered(qw(rate1 rate2 rate3 rate4));
cmp_ok(hooks_so_far(), '<=', 10, 'a rate that it may not exceed');
decided("SELECT kg_update_subscription($hooked, rate_limit => 0)");
hooked(13);
pass('what waited for it goes when it is lifted');

# The end of it, with something that waits
decided("SELECT kg_pause_subscription($hooked)");
ordered('waits');
wait_for_row($node, "SELECT EXISTS (SELECT FROM kgwebhook.queue WHERE subscription_id = $hooked)", 'what waits for the subscription');
decided("SELECT kg_unsubscribe($hooked)");
wait_for_row($node, "SELECT EXISTS (SELECT FROM kgwebhook.dead_letter WHERE subscription_id = $hooked)", 'a dead letter');
ordered('nobody');
is(hooks_so_far(), 13, 'a subscription that was removed gets nothing more');
is($node->safe_psql('postgres', "SELECT reason FROM kgwebhook.dead_letter WHERE subscription_id = $hooked"), "subscription $hooked was removed", 'and what waited is a dead letter');
$node->safe_psql('postgres', 'DROP SUBSCRIPTION config');
$control->stop;

#
# A row that is copied and then deleted is no event, of an organization that is held either
#
committed(q{INSERT INTO orders (id, org_id, status) VALUES ('copied', 'o5', 'new')});
wait_for_row($node, q{SELECT EXISTS (SELECT FROM orders WHERE id = 'copied')});
$node->safe_psql('postgres', q{INSERT INTO kgwebhook.route (source, org_id, node, previous, released, seq) VALUES ('src', 'o5', 'n1', 'n9', false, 1000000)});
committed(qq{BEGIN; INSERT INTO orders (id, org_id, status, callback_url, day) VALUES ('copied', 'o5', 'new', '$url', 2); DELETE FROM orders WHERE id = 'copied' AND day = 1;
	INSERT INTO orders (id, org_id, status, callback_url) VALUES ('held', 'o5', 'new', '$url'); COMMIT});
wait_for_row($node, q{SELECT EXISTS (SELECT FROM kgwebhook.held WHERE object_id = 'held')}, 'what is held');
is($node->safe_psql('postgres', q{SELECT string_agg(object_id, ' ') FROM kgwebhook.held}), 'held', 'the copy is withdrawn from what is held');
$node->safe_psql('postgres', q{SELECT kgwebhook.release_held('src', true)});
is(($receiver->wait_for_requests(1, if => sub { $_[0]{json}{id} eq 'held' }))[0]{json}{status}, 'new', 'and the rest is sent');

#
# A slot that another has taken does not keep kg_unfollow()'s transaction, and its locks
#
$slot = $node->safe_psql('postgres', 'SELECT slot FROM kgwebhook.source');
$node->safe_psql('postgres', 'ALTER SUBSCRIPTION ' . $node->safe_psql('postgres', 'SELECT subscription FROM kgwebhook.source') . ' DISABLE');
wait_for_row($source, "SELECT NOT active FROM pg_replication_slots WHERE slot_name = '$slot'");
my $thief = IPC::Run::start([ 'pg_recvlogical', '-d', $source->connstr('postgres'), '--slot', $slot, '--start', '--no-loop',
		'-o', 'proto_version=1', '-o', 'publication_names=kgwebhook', '-f', '/dev/null' ]);
wait_for_row($source, "SELECT active FROM pg_replication_slots WHERE slot_name = '$slot'");
(undef, undef, $stderr) = $node->psql('postgres', q{SELECT kg_unfollow('src')});
like($stderr, qr/could not clean up at source "src".*pg_drop_replication_slot\('$slot'\)/s, 'a slot in use is left, and named');
is($source->safe_psql('postgres', 'SELECT count(*) FROM kgsource.heartbeat'), 0, 'the node has left');
$thief->signal('INT');
$thief->finish;
$node->stop;
$source->stop;
done_testing();
