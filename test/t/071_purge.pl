#-------------------------------------------------------------------------
#
# test/t/071_purge.pl
#	  kg_purge(): what is older goes, nothing else does, and the space comes back.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Test::More;

# Nobody writes to the log but this test.
my $node = new_node('main', 'kgwebhook.enabled' => 'off');

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# Attempts, one each $step, the newest begun at $newest.
sub fill
{
	my ($n, $newest, $step) = @_;

	sql(qq{
		INSERT INTO kgwebhook.delivery_log (delivery_id, webhook_id, org_id, event, object_id, url,
		       destination, attempt, outcome, final, request_body, started_at)
		SELECT -i, 'msg_' || i, 'default', 'e.new', 'filled' || i, 'https://m.example/', 'https://m.example:443',
		       1, 'acknowledged', true, repeat(md5(i::text), 20), $newest - i * interval '$step'
		  FROM generate_series(1, $n) i});
	return;
}

# All of our tables: heap, indexes and what is stored beside.
# Of all tables but the one that has a row for each organization whose attempts were removed.
sub size
{
	return sql(q{
		SELECT sum(pg_total_relation_size(oid)) FROM pg_class
		 WHERE relnamespace = 'kgwebhook'::regnamespace AND relkind = 'r' AND relname <> 'removed_events'});
}

sub rows
{
	my ($where) = @_;

	return sql('SELECT count(*) FROM kgwebhook.delivery_log WHERE ' . ($where // 'true'));
}

#
# Days of their own, the default partition, and one made by hand
#
is(sql('SELECT kg_purge()'), 0, 'nothing to do');
like(sql(q{SELECT count(*) FROM pg_inherits WHERE inhparent = 'kgwebhook.delivery_log'::regclass}),
	qr/^[56]$/, 'it makes the days of now');
my $empty = size();

sql(q{SELECT kgwebhook.create_log_partition((now() AT TIME ZONE 'UTC')::date - i) FROM generate_series(29, 40) i});
sql(q{CREATE TABLE by_hand PARTITION OF kgwebhook.delivery_log FOR VALUES FROM ('2019-01-01 UTC') TO ('2020-01-01 UTC')});
fill(200, 'now()', '6 hours');
fill(5, q{'2019-06-01'::timestamptz}, '1 hour');
fill(7, q{'2018-06-01'::timestamptz}, '1 hour');
my $old = rows(q{started_at < now() - interval '30 days'});
my $new = rows(q{started_at >= now() - interval '30 days'});
is("$old $new", '93 119', 'old and new ones');
is(sql('SELECT kg_purge()'), $old, 'kg_purge() returns how many were older than kgwebhook.log_retention');
is(rows(), $new, 'the others are there');
is(sql('SELECT kg_purge()'), 0, 'a second time there is nothing to do');
is(rows(q{started_at < now() - interval '30 days'}), 0, 'the older ones are gone');
is(sql(q{SELECT count(*) FROM pg_class WHERE relname ~ '^delivery_log_[0-9]*$' AND relname < to_char(now() - interval '30 days', '"delivery_log_"YYYYMMDD') COLLATE "C"}),
	0, 'and so are their days');
isnt(sql(q{SELECT to_regclass('by_hand')}), '', 'a partition that someone made by hand is emptied, not dropped');

#
# Any age, to the moment
#
my $count = rows(q{started_at < now() - interval '100 hours'});
is(sql(q{SELECT kg_purge('100 hours')}), $count, 'a given age');
is(rows(), $new - $count, 'the others are there');
is(sql(q{SELECT kg_purge('0')}), $new - $count, 'everything');
is(rows(), 0, 'is gone');
sql('DROP TABLE by_hand');
is(size(), $empty, 'and the tables are as large as before');

#
# What comes in in the meantime stays
#
fill(1000, 'now()', '1 us');
fill(1, q{now() + interval '1 min'}, '0');
is(sql(q{SELECT kg_purge('0')}), 1000, 'where something is newer');
is(rows(), 1, 'only the others are deleted');
sql(q{SELECT kg_purge('0')});
fill(10, 'now()', '1 us');
is( sql(q{BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT kg_purge('0') \gset
	COMMIT; SELECT :kg_purge}), 10, 'a snapshot that doesn\'t see what is newer deletes row by row');
is(rows(), 1, 'nothing else');

#
# All of it or nothing
#
fill(10, q{now() - interval '40 days'}, '1 us');
sql(q{SELECT kgwebhook.create_log_partition((now() AT TIME ZONE 'UTC')::date - 41)});
sql(q{BEGIN; SELECT kg_purge(); ROLLBACK});
is(rows(), 11, 'a rollback brings everything back');
is(sql(q{SELECT count(*) FROM kgwebhook.delivery_log WHERE attempt_id = (SELECT max(attempt_id) FROM kgwebhook.delivery_log)}), 1, 'one attempt is found by its number');
is(sql(q{SET lock_timeout = '7s'; SELECT kg_purge() \gset
	SHOW lock_timeout}), '7s', 'lock_timeout is the caller\'s again');

#
# Errors
#
my ($ret, $out, $err) = $node->psql('postgres', q{\set VERBOSITY verbose
SELECT kg_purge('-1 day')});
like($err, qr/ERROR:  22023: older_than is negative\nHINT:  Give the age from which attempts are removed, such as '30 days'\./,
	'a negative age');

#
# A large log: the space comes back
#
sql('DELETE FROM kgwebhook.delivery_log; VACUUM kgwebhook.delivery_log');
sql(q{SELECT kgwebhook.create_log_partition((now() AT TIME ZONE 'UTC')::date - i) FROM unnest(ARRAY[1, 31, 32]) i});
my $empty_days = size();
fill(30000, q{now() - interval '31 days'}, '1 s');
fill(30000, 'now()', '1 s');
sql('VACUUM ANALYZE kgwebhook.delivery_log');
my $full = size();
cmp_ok($full, '>', $empty_days + 40_000_000, 'a large log');
is(sql('SELECT kg_purge()'), 30000, 'retention');
cmp_ok(size() - $empty_days, '<', 0.6 * ($full - $empty_days), 'gives its share of it back');
is(sql(q{SELECT kg_purge('0')}), 30000, 'and everything');
cmp_ok(size(), '<=', $empty_days, 'the rest');

#
# What a backlog leaves of the queue.  A table that isn't vacuumed yet, someone
# who holds a lock, and a transaction block: none of these is waited for or held up.
#
sub queue_indexes
{
	return sql(q{SELECT pg_indexes_size('kgwebhook.queue')});
}

sql(q{
	INSERT INTO kgwebhook.queue (webhook_id, org_id, event, object_id, url, destination, payload)
	SELECT 'msg_' || i, 'default', 'e.new', 'waiting' || i, 'https://m.example/', 'https://m.example:443', '{}'
	  FROM generate_series(1, 200000) i;
	DELETE FROM kgwebhook.queue WHERE object_id <> 'waiting7'});
my $large = queue_indexes();
cmp_ok($large, '>', 16 * 1024 * 1024, 'a backlog makes large indexes');
sql('SELECT kg_purge()');
is(queue_indexes(), $large, 'before vacuum has been there they are left alone');
sql('VACUUM kgwebhook.queue');
my $payment = $node->background_psql('postgres', on_error_die => 1);
$payment->query_safe('BEGIN; LOCK TABLE kgwebhook.queue IN ROW EXCLUSIVE MODE');
is(sql('SELECT kgwebhook.reindex_queue()'), 'f', 'nor while a payment is under way');
is(sql('SELECT kg_purge()'), 0, 'which is no error');
$payment->quit;
$node->psql('postgres', 'SELECT kg_purge()\; SELECT 1');
is(queue_indexes(), $large, 'nor in a string of several statements');
$node->psql('postgres', 'SELECT 1\; SELECT kg_purge()');
is(queue_indexes(), $large, 'also as the last of them');
sql('BEGIN; SELECT kg_purge(); COMMIT');
is(queue_indexes(), $large, 'nor in a transaction that may go on');
sql('DO $$ BEGIN PERFORM kg_purge(); END $$');
is(queue_indexes(), $large, 'nor in a block of code that may');
sql(q{CREATE FUNCTION nightly() RETURNS bigint LANGUAGE sql AS 'SELECT kg_purge(); SELECT 1::bigint'; SELECT nightly(); DROP FUNCTION nightly()});
is(queue_indexes(), $large, 'nor in a function of someone\'s');
sql('SELECT kg_purge()');
cmp_ok(queue_indexes(), '<', 200_000, 'then they are rebuilt');
is(sql('SELECT object_id FROM kgwebhook.queue WHERE delivery_id > 0'), 'waiting7', 'for what waits');
is(sql('SELECT kgwebhook.reindex_queue()'), 't', 'once is enough');

$node->stop;
done_testing();
