#-------------------------------------------------------------------------
#
# test/t/105_nodes_status.pl
#	  Each way in which a source stands still, as someone on call sees it: the state in
#	  kgwebhook.sources, the finding of kg_status(), and its remedy, which is typed.
#	  What kg_explain() and kg_reconcile() say of an object then; the delivery page; and
#	  a node's standby, where nothing is wrong.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Kgwebhook::Nodes;
use Kgwebhook::OnCall;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $secret = 'whsec_' . 'o' x 32;
my $source = new_source('source', wal_segsize => 1, 'max_slot_wal_keep_size' => "'2MB'", 'min_wal_size' => "'2MB'", 'max_wal_size' => "'4MB'");
my $receiver = start_receiver(secret => $secret);
my $url = $receiver->url('/ok');
my $node = init_node('node', 'wal_retrieve_retry_interval' => "'500ms'", 'max_worker_processes' => 20, 'track_commit_timestamp' => 'on',
	'wal_level' => 'replica', 'max_wal_senders' => 5);
my $on_call = Kgwebhook::OnCall->new($node);

$source->safe_psql('postgres', 'ALTER SYSTEM SET wal_keep_size = 0');
prepare_source($source);
start_delivery_node($node, $secret);
follow($node, $source, 'n1');

sub committed { $source->safe_psql('postgres', $_[0]); return; }
sub here { return $node->safe_psql('postgres', $_[0]); }
my $subscription = here('SELECT subscription FROM kgwebhook.source');
my $events = 0;

# One more event is committed, and arrives once its remedy has been typed.
sub arrives_after
{
	my ($what) = @_;

	$events++;
	committed(qq{INSERT INTO orders (id, status, callback_url) VALUES ('pi_$events', 'new', '$url')});
	my @got = $receiver->wait_for_requests($events);
	is($got[-1]{json}{id}, "pi_$events", "$what: its remedy works");
	wait_until_settled($node);
	$on_call->finds_all_well("$what: nothing is left");
	return;
}
arrives_after('at first');

#
# Disabled
#
here("ALTER SUBSCRIPTION $subscription DISABLE");
my $row = $on_call->finds(qr/^Nothing arrives: the source "src" is disabled$/, 'critical');
is($row->{remedy}, "ALTER SUBSCRIPTION $subscription ENABLE;", 'disabled: what to do');
is(here('SELECT worker_state FROM kgwebhook.stats'), 'source broken', 'the workers do not call that idle');
like(join("\n", here(q{SELECT kg_explain('pi_1')})), qr/^The last that has arrived of it from source "src" is order\.new\.\nOrganization default is served by this node, "n1", since .*\nSource "src" is disabled, and has brought nothing since .*: its subscription is disabled; it goes on where it stood\.\nWhat to do: ALTER SUBSCRIPTION $subscription ENABLE;/m,
	'kg_explain() says so of an object');
my $page = here('SELECT kg_dashboard()');
like($page, qr/<h2>Sources<\/h2>.*<b>src<\/b>.*as node n1.*<span class="state alarm">disabled<\/span>/s, 'the page shows it');
is(here(q{SET ROLE pg_monitor; SELECT state FROM kgwebhook.sources}), 'disabled', 'a monitoring role may read the view');
is(here(q{SET ROLE pg_monitor; SELECT worker_state FROM kgwebhook.stats}), 'source broken', 'and the state of the workers');
$on_call->types($row->{remedy});
arrives_after('disabled');

#
# streaming = parallel, from 16 on
#
SKIP:
{
	skip 'streaming = parallel came with PostgreSQL 16', 4 if $node->pg_version < 16;
	here("ALTER SUBSCRIPTION $subscription SET (streaming = parallel)");
	$row = $on_call->finds(qr/^Nothing arrives: the source "src" is broken$/, 'critical');
	is($row->{remedy}, "ALTER SUBSCRIPTION $subscription SET (streaming = on);", 'parallel: what to do');
	$on_call->types($row->{remedy});
	arrives_after('parallel');
}

#
# A change that cannot be applied: for its key, or for a column that is only there
#
here(q{SET session_replication_role = replica; INSERT INTO orders (id) VALUES ('dup')});
committed(qq{INSERT INTO orders (id, status, callback_url) VALUES ('dup', 'new', '$url')});
$row = $on_call->finds(qr/^Nothing arrives: the source "src" is broken$/, 'critical');
like($row->{detail}, qr/^(?:Duplicate key value violates unique constraint "orders_pkey"\.  Key \(id\)=\(dup\) already exists|Conflict detected on relation "public\.orders": conflict=insert_exists\.  Key \(id\)=\(dup\))\.  What was committed there until .* has arrived\.$/, 'a duplicate: the reason');
like($row->{remedy}, qr/SELECT \* FROM kg_skip\('src'\);$/, 'a duplicate: what to do');
$on_call->types($row->{remedy});
$receiver->wait_for_requests(++$events);
arrives_after('a duplicate');
committed(q{ALTER TABLE orders ADD COLUMN extra text});
committed(qq{INSERT INTO orders (id, status, callback_url, extra) VALUES ('extra', 'new', '$url', 'x')});
$row = $on_call->finds(qr/^Nothing arrives: the source "src" is broken$/, 'critical');
like($row->{detail}, qr/missing replicated column: "extra"/, 'a missing column: the reason');
like($row->{remedy}, qr/^Add the columns here as they are at the source, by ALTER TABLE/, 'a missing column: what to do');
here(q{ALTER TABLE orders ADD COLUMN extra text});
$receiver->wait_for_requests(++$events);
arrives_after('a missing column');

#
# A lock on the node: the heartbeat before is an old one
#
my $locker = $node->background_psql('postgres');
my $holder = $locker->query_safe(q{BEGIN; LOCK TABLE orders IN SHARE MODE; SELECT pg_backend_pid()});
committed(q{INSERT INTO orders (id) VALUES ('locked')});
wait_for_row($node,
	qq{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type LIKE 'logical replication%' AND $holder = ANY (pg_blocking_pids(pid)))});
here(q{UPDATE kgwebhook.source SET beat_applied_at = beat_applied_at - interval '1 min'; UPDATE kgwebhook.source_look SET beat = beat + 1});
$row = $on_call->finds(qr/^the source "src" is behind$/, 'warning');
like($row->{remedy}, qr/^SELECT pg_terminate_backend\(\d+\); for the session that holds a lock/, 'a lock: what to do');
$on_call->types($row->{remedy});
arrives_after('a lock');
$locker->{run}->finish;

#
# The source is not there; what it was last seen with stays
#
$source->stop('immediate');
$row = $on_call->finds(qr/^Nothing arrives: the source "src" is unreachable$/, 'critical');
like($row->{remedy}, qr/^See that the source runs and lets this server in; where it has moved: ALTER SUBSCRIPTION $subscription CONNECTION/, 'unreachable: what to do');
$source->start;
arrives_after('unreachable');

#
# The slot: gone, moved on, and overtaken by max_slot_wal_keep_size
#
sub slot { return here('SELECT slot FROM kgwebhook.source'); }
sub without_node
{
	my ($command) = @_;
	my $slot = slot();

	here("ALTER SUBSCRIPTION $subscription DISABLE");
	wait_for_row($source, "SELECT NOT active FROM pg_replication_slots WHERE slot_name = '$slot'");
	$events++;
	committed(qq{INSERT INTO orders (id, status, callback_url) VALUES ('pi_$events', 'new', '$url')});
	committed($command =~ s/SLOT/'$slot'/r);
	return;
}
without_node('SELECT pg_drop_replication_slot(SLOT)');
here("ALTER SUBSCRIPTION $subscription ENABLE");
$row = $on_call->finds(qr/^Nothing arrives: the source "src" has lost the slot$/, 'critical');
is($row->{remedy}, q{SELECT * FROM kg_resync('src');}, 'a slot that was dropped: what to do');
$on_call->types($row->{remedy});
$receiver->wait_for_requests($events);
arrives_after('a slot that was dropped');

wait_for_row($node, 'SELECT beat IS NOT NULL FROM kgwebhook.source');
without_node(q{SELECT kgsource.beat('n1'), kgsource.beat('n1')});
committed(q{SELECT pg_replication_slot_advance('} . slot() . q{', pg_current_wal_lsn())});
here("ALTER SUBSCRIPTION $subscription ENABLE");
committed(q{SELECT kgsource.beat('n1')});
$row = $on_call->finds(qr/^changes of source "src" are missing$/, 'warning');
like($row->{detail}, qr/^Heartbeats were missing once: the slot was moved/, 'a slot that was moved: the reason');
is($row->{remedy}, q{SELECT * FROM kg_compare('src'); shows which; SELECT * FROM kg_resync('src'); takes them over.}, 'a slot that was moved: what to do');
$on_call->types($row->{remedy});
$receiver->wait_for_requests($events);
arrives_after('a slot that was moved');

without_node(q{SELECT 1});
committed(q{CREATE TABLE big (t text)});
foreach (1 .. 20)
{
	committed(q{INSERT INTO big SELECT repeat(md5(g::text), 30) FROM generate_series(1, 2000) g; SELECT pg_switch_wal()});
	committed('CHECKPOINT');
	last if $source->safe_psql('postgres', q{SELECT wal_status FROM pg_replication_slots WHERE slot_name = '} . slot() . q{'}) eq 'lost';
}
here("ALTER SUBSCRIPTION $subscription ENABLE");
$row = $on_call->finds(qr/^Nothing arrives: the source "src" has lost the slot$/, 'critical');
like($row->{detail}, qr/^The source keeps no more WAL for this node than max_slot_wal_keep_size/, 'a slot that was overtaken: the reason');
$on_call->types($row->{remedy});
$receiver->wait_for_requests($events);
$source->safe_psql('postgres', q{ALTER SYSTEM SET max_slot_wal_keep_size = '1GB'});
$source->reload;
arrives_after('a slot that was overtaken');

#
# Rows without an event, and when what waits was committed
#
here(q{ALTER TABLE orders DISABLE TRIGGER kgwebhook_enqueue});
committed(qq{INSERT INTO orders (id, status, callback_url) VALUES ('unheard', 'new', '$url'), ('nobodys', 'new', NULL)});
wait_for_row($node, q{SELECT count(*) = 2 FROM orders WHERE id IN ('unheard', 'nobodys')});
here(q{ALTER TABLE orders ENABLE ALWAYS TRIGGER kgwebhook_enqueue});
is(here(q{SELECT object_id, event, state FROM kg_reconcile()}), 'unheard|order.new|missing', 'kg_reconcile() lists a row that has no delivery');
my $told = here(q{SELECT why FROM kg_reconcile()});
like($told, qr/^arrived from source "src", and no delivery of it is known; SELECT kg_announce\('.*', 'default', source => 'src'\); makes it$/, 'and says what to do');
here($told =~ /; (SELECT .*); makes it/);
my @got = $receiver->wait_for_requests(++$events);
is($got[-1]{json}{id}, 'unheard', 'which sends it');
wait_until_settled($node);
is(here(q{SELECT count(*) FROM kg_reconcile()}), 0, 'and that was all');
here(q{SELECT kg_pause()});
committed(qq{INSERT INTO orders (id, status, callback_url) VALUES ('paused', 'new', '$url')});
wait_for_row($node, q{SELECT EXISTS (SELECT FROM kgwebhook.queue)});
like(here(q{SELECT kg_explain(delivery_id) FROM kgwebhook.queue}), qr/^It was committed at the source at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}, and applied here \d+ ms later\.$/m,
	'kg_explain() says when it was committed');
here(q{ALTER TABLE orders DISABLE TRIGGER kgwebhook_enqueue});
committed(qq{INSERT INTO orders (id, status, callback_url) VALUES ('taken', 'new', '$url')});
wait_for_row($node, q{SELECT EXISTS (SELECT FROM orders WHERE id = 'taken')});
here(q{ALTER TABLE orders ENABLE ALWAYS TRIGGER kgwebhook_enqueue; SET session_replication_role = replica; DELETE FROM orders WHERE id = 'taken'});
is(here('SELECT events FROM kg_resync()'), 1, 'what kg_resync() has taken over');
unlike(here(q{SELECT kg_explain(delivery_id) FROM kgwebhook.queue WHERE object_id = 'taken'}), qr/committed at the source/, 'has no time at the source');
$events++;
here(q{SELECT kg_resume()});
$receiver->wait_for_requests(++$events);

#
# At a standby of the node nothing is wrong
#
$node->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'b', has_streaming => 1);
$standby->start;
is($standby->safe_psql('postgres', 'SELECT state FROM kgwebhook.sources'), 'standby', 'a standby is none that is broken');
is($standby->safe_psql('postgres', 'SELECT worker_state FROM kgwebhook.stats'), 'standby', 'nor are its workers');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM kg_status() WHERE severity <> 'info'}), 0, 'nor does kg_status() find anything');
$standby->stop;

#
# A subscription that someone has dropped
#
my $slot = slot();
here("ALTER SUBSCRIPTION $subscription DISABLE; ALTER SUBSCRIPTION $subscription SET (slot_name = NONE)");
here("DROP SUBSCRIPTION $subscription");
$row = $on_call->finds(qr/^Nothing arrives: the source "src" is broken$/, 'critical');
like($row->{detail}, qr/^Its subscription is gone\./, 'no subscription: the reason');
my (undef, undef, $stderr) = $node->psql('postgres', $row->{remedy} =~ /^(SELECT kg_unfollow\('src'\);)/);
like($stderr, qr/Run this there, or its disk fills up: (SELECT kgsource\.leave\('n1'\); SELECT pg_drop_replication_slot\('$slot'\);)/, 'no subscription: what to do there');
committed($stderr =~ /Run this there, or its disk fills up: (.*;)$/m);
here('TRUNCATE orders');
here("SELECT kg_follow('src', '@{[ $source->connstr ]} dbname=postgres', 'orders', 'n1')");
wait_for_state($node, 'streaming');
$subscription = here('SELECT subscription FROM kgwebhook.source');
arrives_after('no subscription');

$node->stop;
$source->stop;
done_testing();
