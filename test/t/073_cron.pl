#-------------------------------------------------------------------------
#
# test/t/073_cron.pl
#	  kg_schedule_maintenance() with the real pg_cron, in the same database and
#	  in another one; a job that really runs.
#
# pg_cron's clock knows no less than a minute.  So what has to be waited for is
# begun first.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', 'max_worker_processes' => 24);
my $receiver = start_receiver();
$receiver->set_secret(make_intents_table($node));

sub sql
{
	my ($database, $sql) = @_;

	return $node->safe_psql($database, $sql);
}

# What psql says of an error, with its SQLSTATE.
sub error_of
{
	my ($database, $sql) = @_;

	return sql_error($node, $sql, $database) =~ s/^psql:\S+ //mr =~ s/^LOCATION.*\n?//mgr =~ s/\s+\z//r;
}

my $major = sql('postgres', q{SELECT current_setting('server_version_num')::int / 10000});
my $how = "HINT:  Install the package postgresql-$major-cron, add pg_cron to \"shared_preload_libraries\", "
  . 'name a database in "cron.database_name", restart, and run CREATE EXTENSION pg_cron in that database.';

#
# Without pg_cron
#
foreach my $function ('kg_schedule_maintenance()', 'kg_unschedule_maintenance()')
{
	is(error_of('postgres', "SELECT $function"),
		"ERROR:  55000: pg_cron is not loaded\nDETAIL:  There is no setting cron.database_name.\n$how",
		"$function: says how to get it");
}

#
# The report.  The worker is off, so that what is made here stays as it is.
#
my $hint = 'HINT:  SELECT * FROM kgwebhook.unacknowledged shows them; kg_explain() says what became of one, '
  . 'and kg_recover() sends again what was given up.';

# What the report returns, and what it puts into the log, with its level.
sub report
{
	my $log_end = -s $node->logfile;
	my $found = sql('postgres', 'SET client_min_messages = error; SELECT kgwebhook.report_unacknowledged()');
	my @told = slurp_file($node->logfile, $log_end) =~
	  /((?:WARNING|LOG):  kgwebhook: \d+ deliveries.*|DETAIL:  In database.*|HINT:  .*)/g;

	return join "\n", $found, map { s/of \d{4}-.*?;/of TIME;/r } @told;
}

# What it should say: level, deliveries, waiting, given up, superseded, new.
sub told
{
	my ($level, $deliveries, $waiting, $dead, $superseded, $news) = @_;

	return "$deliveries\n$level:  kgwebhook: $deliveries deliveries of an object's latest status were never acknowledged\n"
	  . qq{DETAIL:  In database "postgres": $waiting have waited for more than an hour, $dead were given up, }
	  . "$superseded were superseded.  The oldest is of TIME; $news are new in the last hour.\n$hint";
}

# Ages all that there is.
sub age
{
	my ($interval) = @_;

	sql('postgres', qq{
		UPDATE kgwebhook.queue SET enqueued_at = enqueued_at - interval '$interval';
		UPDATE kgwebhook.dead_letter SET enqueued_at = enqueued_at - interval '$interval', died_at = died_at - interval '$interval';
		UPDATE kgwebhook.delivery_log SET started_at = started_at - interval '$interval'});
	return;
}

sql('postgres', 'ALTER SYSTEM SET kgwebhook.enabled = off');
$node->reload;
$node->poll_query_until('postgres', q{SELECT worker_state = 'disabled' FROM kgwebhook.stats})
  or die 'waited for the worker to rest';
is(report(), 0, 'all is healthy, and nothing is said');
sql('postgres', q{
	INSERT INTO kgwebhook.queue (delivery_id, webhook_id, org_id, event, object_id, url, destination, payload, attempts, enqueued_at)
	SELECT i, 'msg_' || i, 'default', 'e.new', 'queued' || i, 'https://m.example/', 'https://m.example:443', '{}', i % 2, now() - age
	  FROM unnest(ARRAY[interval '59 min', '61 min', '100 min']) WITH ORDINALITY a (age, i);
	INSERT INTO kgwebhook.dead_letter (delivery_id, webhook_id, org_id, event, object_id, url, destination, payload, attempts, next_attempt_at, enqueued_at, xid, reason)
	SELECT i, 'msg_' || i, 'default', 'e.new', 'dead' || i, 'https://m.example/', 'https://m.example:443', '{}', 1, now(), now(), '3', 'gone'
	  FROM generate_series(11, 12) i;
	INSERT INTO kgwebhook.delivery_log (delivery_id, webhook_id, org_id, event, object_id, url, destination, attempt, outcome, final, started_at, is_test)
	SELECT i, 'msg_' || i, 'default', 'e.new', object, 'https://m.example/', 'https://m.example:443', attempt, outcome, true, now(), test
	  FROM (VALUES (21, 'superseded1', 1, 'superseded', false), (22, 'superseded2', 1, 'superseded', false),
	               (23, 'superseded2', 1, 'acknowledged', false), (13, 'dead12', 1, 'acknowledged', false),
	               (4, 'queued3', 1, 'acknowledged', true), (31, 'both', 1, 'acknowledged', false)) l (i, object, attempt, outcome, test);
	SELECT kg_subscribe('default', 'https://s.example/');
	INSERT INTO kgwebhook.dead_letter (delivery_id, webhook_id, org_id, event, object_id, url, destination, payload, attempts, next_attempt_at, enqueued_at, xid, reason, subscription_id)
	SELECT i, 'msg_31', 'default', 'e.new', object, 'https://s.example/', 'https://s.example:443', '{}', 1, now(), now(), '3', 'gone', subscription
	  FROM (VALUES (32, 'both', 1), (33, 'removed', 2)) l (i, object, subscription)});
is(report(), told('WARNING', 5, 2, 2, 1, 5), 'what nobody has acknowledged, and what is not on its way');
is(report(), told('WARNING', 5, 2, 2, 1, 5), 'reported again, the same');
is(sql('postgres', q{SELECT string_agg(object_id, ' ' ORDER BY object_id COLLATE "C") FROM kg_reconcile('1 day')}),
	'both dead11 queued1 queued2 queued3 superseded1', 'kg_reconcile() has these, and what was queued within the hour');
is(sql('postgres', q{SELECT url FROM kgwebhook.unacknowledged WHERE object_id = 'both'}), 'https://s.example/',
	'that one receiver has it doesn\'t count for the other');
my ($ret, $out, $err) = $node->psql('postgres', 'SELECT kgwebhook.report_unacknowledged()');
like($err, qr/WARNING:  kgwebhook: 5 deliveries/, 'who runs it by hand sees it');
age('30 min');
is(report(), told('WARNING', 6, 3, 2, 1, 5), 'what has become an hour old');
age('66 min');
is(report(), told('LOG', 6, 3, 2, 1, 0), 'an hour later it is no news');
age('20 days');
is(report(), told('LOG', 6, 3, 2, 1, 0), 'but never forgotten');
sql('postgres', q{
	INSERT INTO kgwebhook.delivery_log (delivery_id, webhook_id, org_id, event, object_id, url, destination, attempt, outcome, final, started_at)
	SELECT q.delivery_id, q.webhook_id, q.org_id, q.event, q.object_id, q.url, q.destination, 2, 'acknowledged', true, now()
	  FROM kgwebhook.queue q;
	DELETE FROM kgwebhook.queue});
is(report(), told('LOG', 3, 0, 2, 1, 0), 'until it is acknowledged');

# A log of 100,000 attempts is no reason to read them.
sql('postgres', q{
	INSERT INTO kgwebhook.delivery_log (delivery_id, webhook_id, org_id, event, object_id, url, destination, attempt, outcome, final, started_at)
	SELECT 1000 + i, 'msg_' || i, 'default', 'e.new', 'object' || i, 'https://m.example/', 'https://m.example:443', 1, 'acknowledged', true, now()
	  FROM generate_series(1, 100000) i;
	ANALYZE kgwebhook.queue, kgwebhook.dead_letter, kgwebhook.delivery_log});
my $reads = q{SELECT coalesce(sum(seq_tup_read + idx_tup_fetch), 0) FROM pg_stat_xact_user_tables WHERE relname ~ '^delivery_log'};
cmp_ok(sql('postgres', "BEGIN; SELECT kgwebhook.report_unacknowledged() \\gset\n$reads"), '<', 100, 'the report reads little of a long log');
is(report(), told('LOG', 3, 0, 2, 1, 0), 'and finds the same');
sql('postgres', q{
	INSERT INTO kgwebhook.dead_letter (delivery_id, webhook_id, org_id, event, object_id, url, destination, payload, attempts, next_attempt_at, enqueued_at, xid, reason, died_at)
	SELECT -i, 'msg_' || i, 'default', 'e.new', 'many' || i, 'https://m.example/', 'https://m.example:443', '{}', 1, d, d, '3', 'gone', d
	  FROM generate_series(1, 10000) i, (SELECT now() - interval '3 days') a (d)});
like(report(), qr/^10000\nWARNING:  kgwebhook: 10000 deliveries or more of an object's latest status were never acknowledged\n/,
	'there are news that the report doesn\'t see when there is too much');
sql('postgres', 'DELETE FROM kgwebhook.dead_letter; SELECT kg_unsubscribe(1); TRUNCATE kgwebhook.delivery_log; ALTER SYSTEM RESET kgwebhook.enabled');
$node->reload;
$node->poll_query_until('postgres', q{SELECT worker_state = 'idle' FROM kgwebhook.stats})
  or die 'waited for the worker to go on';

if (sql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_cron'}) == 0)
{
	diag("pg_cron can't be had for PostgreSQL $major: only what needs none was tested");
	done_testing();
	exit;
}

sub jobs
{
	my ($where) = @_;

	return sql('postgres',
		'SELECT jobname, schedule, command, database, username, active FROM cron.job WHERE '
		  . ($where // 'true') . ' ORDER BY database, username, jobname');
}

#
# pg_cron is loaded, but not created yet
#
$node->append_conf('postgresql.conf', qq{
shared_preload_libraries = 'kgwebhook, pg_cron'
cron.use_background_workers = on
});
$node->restart;
sql('postgres', 'CREATE DATABASE "other shop"');
sql('other shop', q{
	SET client_min_messages = warning;
	CREATE SCHEMA "the hooks";
	CREATE EXTENSION pgcrypto;
	CREATE EXTENSION kgwebhook SCHEMA "the hooks"});
my $absent = qq{ERROR:  55000: extension "pg_cron" does not exist\n}
  . qq{DETAIL:  pg_cron should be in database "postgres", says cron.database_name.\n$how};
is(error_of('postgres', 'SELECT kg_schedule_maintenance()'), $absent, 'not created in this database');
is(error_of('other shop', 'SELECT "the hooks".kg_schedule_maintenance()'), $absent, 'not created in the other database');

# What someone else has made under pg_cron's names isn't called.
sql('postgres', q{CREATE ROLE mallory; GRANT CREATE ON DATABASE postgres TO mallory});
sql('postgres', q{
	SET ROLE mallory;
	CREATE SCHEMA cron;
	GRANT USAGE ON SCHEMA cron TO PUBLIC;
	CREATE TABLE cron.job (jobid bigint, jobname text, username text);
	INSERT INTO cron.job SELECT i, j, 'postgres' FROM generate_series(1, 3) i,
		unnest(ARRAY['kgwebhook purge of postgres', 'kgwebhook purge of other shop']) j;
	GRANT SELECT ON cron.job TO PUBLIC;
	CREATE FUNCTION cron.schedule(text, text, text) RETURNS bigint LANGUAGE plpgsql
		AS 'BEGIN ALTER ROLE mallory SUPERUSER; RETURN 1; END';
	CREATE FUNCTION cron.schedule_in_database(text, text, text, text) RETURNS bigint LANGUAGE plpgsql
		AS 'BEGIN ALTER ROLE mallory SUPERUSER; RETURN 1; END';
	CREATE FUNCTION cron.unschedule(bigint) RETURNS bool LANGUAGE plpgsql
		AS 'BEGIN ALTER ROLE mallory SUPERUSER; RETURN true; END'});
foreach my $call ('kg_schedule_maintenance()', 'kg_unschedule_maintenance()')
{
	is(error_of('postgres', "SELECT $call"), $absent, "$call calls nothing of someone else's here");
	is(error_of('other shop', qq{SELECT "the hooks".$call}), $absent, "$call nor in the other database");
}
is(sql('postgres', q{SELECT rolsuper FROM pg_roles WHERE rolname = 'mallory'}), 'f', 'so nobody gains by it');
sql('postgres', 'DROP OWNED BY mallory; DROP ROLE mallory');

#
# In the same database
#
sql('postgres', 'CREATE EXTENSION pg_cron');
sql('postgres', q{CREATE FUNCTION cron.schedule(name, name, name) RETURNS bigint LANGUAGE sql AS 'SELECT 1'});
my $mixed = qq{ERROR:  55000: schema "cron" has what does not belong to pg_cron\n}
  . qq{DETAIL:  pg_cron should be in database "postgres", says cron.database_name.\n$how};
is(error_of('postgres', 'SELECT kg_schedule_maintenance()'), $mixed, 'beside pg_cron\'s functions there are others');
is(error_of('other shop', 'SELECT "the hooks".kg_schedule_maintenance()'), $mixed, 'the same from the other database');
sql('postgres', 'DROP FUNCTION cron.schedule(name, name, name)');
insert_intent($node, 'due', $receiver->url('/ok?due'), payment_deadline => 'now()');
sql('postgres', 'SELECT kg_schedule_maintenance()');
my $here = join "\n",
  'kgwebhook expire of postgres|* * * * *|SELECT public.kg_expire_intents(NULL)|postgres|postgres|t',
  'kgwebhook purge of postgres|5 0 * * *|SELECT public.kg_purge()|postgres|postgres|t',
  'kgwebhook report of postgres|17 * * * *|SELECT kgwebhook.report_unacknowledged()|postgres|postgres|t';
is(jobs(), $here, 'the jobs of this database');
sql('postgres', 'BEGIN; SELECT kg_unschedule_maintenance(); ROLLBACK');
is(jobs(), $here, 'a rollback changes nothing');

#
# In another database, at a time when pg_cron's lives here
#
my $there = join "\n",
  'kgwebhook expire of other shop|* * * * *|SELECT "the hooks".kg_expire_intents(NULL)|other shop|postgres|t',
  'kgwebhook purge of other shop|5 0 * * *|SELECT "the hooks".kg_purge()|other shop|postgres|t',
  'kgwebhook report of other shop|17 * * * *|SELECT kgwebhook.report_unacknowledged()|other shop|postgres|t';
sql('other shop', 'SELECT "the hooks".kg_schedule_maintenance()');
is(jobs(q{database = 'other shop'}), $there, 'the jobs of the other database');
is(jobs(q{database = 'postgres'}), $here, 'beside those of this one');
sql('postgres', q{UPDATE cron.job SET schedule = '1 1 1 1 1' WHERE jobname LIKE '%purge%'});
sql('postgres', q{DELETE FROM cron.job WHERE jobname LIKE '%report%'});
foreach my $time (1, 2)
{
	sql('other shop', 'SELECT "the hooks".kg_schedule_maintenance()');
	sql('postgres', 'SELECT kg_schedule_maintenance()');
	is(jobs(q{database = 'other shop'}), $there, 'called again, it puts them right there');
	is(jobs(q{database = 'postgres'}), $here, 'and here');
}

#
# They run as who asked for them, who has to be allowed to
#
sql('postgres', q{CREATE ROLE keeper LOGIN});
sql($_->[0], "GRANT EXECUTE ON FUNCTION $_->[1].kg_schedule_maintenance(), $_->[1].kg_unschedule_maintenance() TO keeper")
  foreach [ 'postgres', 'public' ], [ 'other shop', '"the hooks"' ];
sql('other shop', 'GRANT USAGE ON SCHEMA "the hooks" TO keeper');
my $log_end = -s $node->logfile;
is(error_of('other shop', 'SET ROLE keeper; SELECT "the hooks".kg_schedule_maintenance()'),
	qq{ERROR:  42501: permission denied for schema cron\nCONTEXT:  in database "postgres"}, 'no right on pg_cron');
like(error_of('postgres', 'SET ROLE keeper; SELECT kg_schedule_maintenance()'),
	qr/ERROR:  42501: permission denied for schema cron/, 'nor here');
sql('postgres', 'GRANT USAGE ON SCHEMA cron TO keeper;
	GRANT EXECUTE ON FUNCTION cron.schedule_in_database(text, text, text, text, text, boolean) TO keeper');
sql('other shop', 'SET ROLE keeper; SELECT "the hooks".kg_schedule_maintenance()');
sql('postgres', 'SET ROLE keeper; SELECT kg_schedule_maintenance()');
is(jobs(q{username = 'keeper'}), "$there\n$here" =~ s/\|postgres\|t/|keeper|t/gr, 'with it, jobs of its own');
sql('other shop', 'SET ROLE keeper; SELECT "the hooks".kg_unschedule_maintenance()');
is(jobs(q{username = 'keeper'}), $here =~ s/\|postgres\|t/|keeper|t/gr, 'which it can take away');
sql('postgres', 'SET ROLE keeper; SELECT kg_unschedule_maintenance()');
is(jobs(q{username = 'keeper'}), '', 'here as well');
is(jobs(), "$there\n$here", 'the others stay');
sql('postgres', 'REVOKE CONNECT ON DATABASE postgres FROM PUBLIC');
is(error_of('other shop', 'SET ROLE keeper; SELECT "the hooks".kg_schedule_maintenance()'),
	qq{ERROR:  42501: permission denied for database "postgres"\n}
	  . qq{DETAIL:  User does not have CONNECT privilege.\nCONTEXT:  in database "postgres"}, 'no right to connect there');

#
# The commands do what they say
#
foreach my $job (split /\n/, "$here\n$there")
{
	my (undef, undef, $command, $database) = split /\|/, $job;

	next if $command =~ /kg_expire_intents/ && $database eq 'postgres';    # in its time
	is(sql($database, $command), 0, "$database: $command");
}
ok( $node->poll_query_until('postgres',
		q{SELECT status = 'expired' FROM payment_intents WHERE payment_intent_id = 'due'}),
	'a minute later an intent expires by itself');
my @got = $receiver->wait_for_requests(2, path => '/ok?due');
is($got[1]{json}{status}, 'expired', 'and is called back');
ok( $node->poll_query_until('postgres', q{
		SELECT count(DISTINCT database) = 2 FROM cron.job_run_details
		 WHERE command LIKE '%expire%' AND status = 'succeeded'}), 'pg_cron is content in both databases');

#
# Away
#
sql('other shop', 'SELECT "the hooks".kg_unschedule_maintenance(), "the hooks".kg_unschedule_maintenance()');
is(jobs(), $here, 'the other database\'s jobs are taken away');
sql('postgres', 'SELECT kg_unschedule_maintenance(), kg_unschedule_maintenance()');
is(jobs(), '', 'and this one\'s');

$node->stop;
done_testing();
