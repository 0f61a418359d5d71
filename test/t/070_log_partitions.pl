#-------------------------------------------------------------------------
#
# test/t/070_log_partitions.pl
#	  The days of the log: made when there is something to log, dropped by the
#	  worker when they are old, and in nobody's way.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use POSIX qw(strftime);
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', 'kgwebhook.log_retention' => "'30 days'");
my $receiver = start_receiver();
my $delivered = 0;

# Nothing of a session's or a database's defaults may reach names and bounds, a
# date that is never UTC's least of all.
my $elsewhere = (gmtime)[2] < 12 ? 'Etc/GMT+12' : 'Etc/GMT-12';
$node->safe_psql('postgres', $_)
  foreach qq{ALTER DATABASE postgres SET TimeZone = '$elsewhere'},
  q{ALTER DATABASE postgres SET DateStyle = 'SQL, DMY'};
$receiver->set_secret(make_intents_table($node));

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# One delivery, logged.
sub deliver
{
	my $n = ++$delivered;

	insert_intent($node, "pi_$n", $receiver->url);
	wait_for_log_rows($node, 1, "object_id = 'pi_$n'");
	return;
}

# A worker that knows nothing of days yet.
sub new_worker
{
	my ($pid) = wait_for_worker($node);

	sql("SELECT pg_terminate_backend($pid)");
	$node->poll_query_until('postgres',
		"SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'kgwebhook worker' AND pid <> $pid")
	  or die 'waited for another worker';
	return;
}

# The worker drops old days after it has logged the first outcome; here it has.
sub wait_until_dropped
{
	$node->poll_query_until('postgres', q{
		SELECT query = 'SELECT kgwebhook.reindex_queue()' AND state = 'idle'
		  FROM pg_stat_activity WHERE backend_type = 'kgwebhook worker'})
	  or die 'waited for the worker to drop old days';
	return;
}

# Changes the retention, also for sessions to come.
sub keep_for
{
	my ($interval) = @_;

	reload($node, 'kgwebhook.log_retention' => "'$interval'");
	$node->poll_query_until('postgres', "SELECT current_setting('kgwebhook.log_retention') = '$interval'")
	  or die 'waited for a reload';
	return;
}

sub days
{
	return sql(q{
		SELECT string_agg(inhrelid::regclass::text, ' ' ORDER BY inhrelid::regclass::text)
		  FROM pg_inherits WHERE inhparent = 'kgwebhook.delivery_log'::regclass}
	) =~ s/kgwebhook\.delivery_log_//gr;
}

# The days that there should be, beginning with today.  If midnight comes in
# between, there is one more.
sub expected_days
{
	my ($today) = @_;

	return join(' ', (map { strftime('%Y%m%d', gmtime($today + $_ * 86400)) } 0 .. 3), 'default');
}

#
# None before there is something to log
#
is(days(), 'default', 'no day is made by CREATE EXTENSION, nor by a worker at its start');
sql(q{SELECT * FROM kg_send_test('} . $receiver->url . q{')});
is(days(), 'default', 'nor by kg_send_test()');
my $today = time;
deliver();
SKIP:
{
	skip 'midnight', 1 if int($today / 86400) != int(time / 86400);
	is(days(), expected_days($today), 'today and three days ahead, before the first outcome is logged');
}
my $day = strftime('%Y%m%d', gmtime($today));
is( sql('SELECT DISTINCT tableoid::regclass FROM kgwebhook.delivery_log'),
	"kgwebhook.delivery_log_$day",
	'attempts are in it, those that the default partition had included');
is( sql("SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE oid = 'kgwebhook.delivery_log_$day'::regclass"),
	sql("SELECT format('FOR VALUES FROM (%L) TO (%L)', d, d + interval '24 hours')"
		  . " FROM CAST('" . strftime('%d/%m/%Y', gmtime($today)) . " 00:00:00 UTC' AS timestamptz) d"),
	'a day is one by UTC');
is( sql("SELECT relowner::regrole || ', ' || obj_description(oid, 'pg_class') FROM pg_class WHERE relname = 'delivery_log_$day'"),
	sql("SELECT extowner::regrole FROM pg_extension WHERE extname = 'kgwebhook'")
	  . ', attempts of ' . strftime('%Y-%m-%d', gmtime($today)) . ', UTC',
	'it belongs to the owner of the extension, and says what it is');
is( sql("SELECT count(*), count(obj_description(indexrelid, 'pg_class')) FROM pg_index WHERE indrelid = 'kgwebhook.delivery_log_$day'::regclass"),
	'8|8', 'it has its indexes');
is( sql("SELECT count(*) FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = 'kgwebhook.delivery_log_$day'::regclass AND deptype = 'e'"),
	0, 'and is not a member of the extension, which could not be dumped');

#
# A dump has them, and a restore makes them; until then they are in nobody's way
#
my $dump = PostgreSQL::Test::Utils::tempdir('dump') . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr('postgres') ], 'pg_dump');
sql('CREATE DATABASE copy');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('copy'), $dump ],
	'pg_restore, beside a running worker');
is( $node->safe_psql('copy',
		'SELECT tableoid::regclass, count(*) FROM kgwebhook.delivery_log GROUP BY 1'),
	sql('SELECT tableoid::regclass, count(*) FROM kgwebhook.delivery_log GROUP BY 1'),
	'the copy has the log');
is( $node->safe_psql('copy',
		"SELECT count(*) FROM pg_index WHERE indrelid = 'kgwebhook.delivery_log_$day'::regclass"),
	8, 'with its indexes, once each');
$node->safe_psql('copy', 'DROP EXTENSION kgwebhook');
is( $node->safe_psql('copy', "SELECT count(*) FROM pg_class WHERE relname LIKE 'delivery_log%'"),
	0, 'DROP EXTENSION takes the days along');

#
# Someone reads the log, or dumps it: deliveries go on
#
sql(q{SELECT kgwebhook.create_log_partition('2020-01-01')});
sql(qq{DROP TABLE kgwebhook.delivery_log_$day});
my $reader = $node->background_psql('postgres');
$reader->query_safe('BEGIN; SELECT count(*) FROM kgwebhook.delivery_log');
new_worker();
deliver();
deliver();
unlike(days(), qr/$day/, 'a day can\'t be made while someone reads the log');
like(days(), qr/20200101/, 'and an old one can\'t be dropped');
is( sql('SELECT count(*) FROM kgwebhook.delivery_log_default'), 2, 'the default partition takes what comes');
my ($ret, $out, $err) = $node->psql('postgres', 'SELECT kg_purge()');
is($ret, 3, 'kg_purge() fails');
like($err, qr/ERROR:  could not lock kgwebhook.delivery_log\nDETAIL:  Another session has used it for more than two seconds, for example pg_dump.  Nothing was removed.\nHINT:  Run kg_purge\(\) again later./,
	'with advice');
$reader->quit;
$node->restart;
deliver();
like(days(), qr/$day/, 'the day is made when the reader is gone');
is( sql('SELECT tableoid::regclass, count(*) FROM kgwebhook.delivery_log GROUP BY 1'),
	"kgwebhook.delivery_log_$day|3", 'and has what came in the meantime');
ok( $node->poll_query_until('postgres', q{SELECT to_regclass('kgwebhook.delivery_log_20200101') IS NULL}),
	'the old one is dropped after that');

#
# What is too much to be moved stays
#
sub fill
{
	my ($n, $started_at) = @_;

	sql(qq{
		INSERT INTO kgwebhook.delivery_log (delivery_id, webhook_id, org_id, event, object_id, url,
		       destination, attempt, outcome, final, request_body, started_at)
		SELECT -i, 'msg_' || i, 'default', 'e.new', 'filled' || i, 'https://m.example/', 'https://m.example:443',
		       1, 'acknowledged', true, repeat(md5(i::text), 20), $started_at
		  FROM generate_series(1, $n) i});
	return;
}

sql(qq{DROP TABLE kgwebhook.delivery_log_$day});
fill(1001, 'now()');
my $log_end = -s $node->logfile;
$node->restart;
deliver();
$node->wait_for_log(qr/WARNING:  attempts of .* stay in kgwebhook.delivery_log_default/, $log_end);
is( sql('SELECT tableoid::regclass, count(*) FROM kgwebhook.delivery_log GROUP BY 1'),
	'kgwebhook.delivery_log_default|1002', 'what is too much to be moved under a lock stays where it is');
sql('TRUNCATE kgwebhook.delivery_log_default');

#
# What the worker drops
#
sql(qq{SELECT kgwebhook.create_log_partition((d AT TIME ZONE 'UTC')::date) FROM unnest(ARRAY[now() - interval '31 days', now() - interval '32 days', now() - interval '28 days']) d});
fill(10, $_) foreach q{now() - interval '31 days'}, q{now() - interval '32 days'}, q{now() - interval '28 days'},
  q{now() - interval '60 days'};
is(sql('SELECT count(*) FROM kgwebhook.delivery_log_default'), 10, 'old attempts, some of which have no day');
$node->restart;
deliver();
ok( $node->poll_query_until('postgres',
		q{SELECT count(*) = 10 FROM kgwebhook.delivery_log WHERE object_id LIKE 'filled%'}),
	'what is older than kgwebhook.log_retention goes');
is( sql(q{SELECT count(*) FROM kgwebhook.delivery_log WHERE object_id LIKE 'filled%' AND started_at > now() - interval '29 days'}),
	10, 'and nothing else');
is(sql('SELECT last_error FROM kgwebhook.stats'), '', 'none of this was an error');

keep_for('-1');
fill(10, q{now() - interval '900 days'});
is(sql('SELECT kgwebhook.drop_log_partitions(), kg_purge()'), 't|0', 'log_retention = -1 keeps everything');
keep_for('2 years');
is(sql('SELECT kgwebhook.drop_log_partitions(), kg_purge()'), 't|0', 'what has been dropped is gone');
is(sql(q{SELECT count(*) FROM kgwebhook.delivery_log WHERE object_id LIKE 'filled%'}), 10, 'by the new setting');
keep_for('1 week');
is(sql('SELECT kgwebhook.drop_log_partitions()'), 't', 'a shorter one');
is(sql(q{SELECT count(*) FROM kgwebhook.delivery_log WHERE object_id LIKE 'filled%'}), 0, 'holds from the reload on');

foreach my $nonsense ('0', '-2', '-3 days', '23 hours', 'infinity', 'for ever', '', '1 day -1 year')
{
	$log_end = -s $node->logfile;
	reload($node, 'kgwebhook.log_retention' => "'$nonsense'");
	$node->wait_for_log(qr/invalid value for parameter "kgwebhook.log_retention"/, $log_end);
	like(slurp_file($node->logfile, $log_end),
		qr/DETAIL:  It is an interval of at least one day, or -1 to keep everything\./, "'$nonsense' is refused");
	is(sql('SELECT kgwebhook.log_retention()'), '7 days', 'and the old value stays');
}

#
# A default partition that has grown is emptied by and by
#
fill(10001, q{now() - interval '10 days'});
is(sql('SELECT kgwebhook.drop_log_partitions()'), 'f', 'there is more to delete');
is(sql('SELECT count(*) FROM kgwebhook.delivery_log_default'), 1, 'after ten thousand');
is(sql('SELECT kgwebhook.drop_log_partitions()'), 't', 'and then no more');
is(sql('SELECT count(*) FROM kgwebhook.delivery_log_default'), 0, 'that is all');

#
# Default privileges don't open a day past the log's own
#
sql('CREATE ROLE onlooker');
sql('ALTER DEFAULT PRIVILEGES IN SCHEMA kgwebhook GRANT SELECT ON TABLES TO PUBLIC, onlooker');
sql(q{SELECT kgwebhook.create_log_partition('2031-01-01')});
is( sql(q{SELECT relacl FROM pg_class c, aclexplode(c.relacl) a
		 WHERE c.oid = 'kgwebhook.delivery_log_20310101'::regclass AND a.grantee <> c.relowner}),
	'', 'only the owner may read a new day');

$node->stop;
done_testing();
