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
	my ($ret, $out, $err) = $node->psql($database, "\\set VERBOSITY verbose\n$sql");

	return $err =~ s/^psql:\S+ //mr =~ s/^LOCATION.*\n?//mgr =~ s/\s+\z//r;
}

my $major = sql('postgres', q{SELECT current_setting('server_version_num')::int / 10000});
my $how = "HINT:  Install the package postgresql-$major-cron, add pg_cron to shared_preload_libraries, "
  . 'name a database in cron.database_name, restart, and run CREATE EXTENSION pg_cron in that database.';

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
# The sweep
#
is(sql('postgres', 'SELECT kgwebhook.sweep()'), 0, 'all is well');
sql('postgres', q{
	INSERT INTO kgwebhook.queue (webhook_id, org_id, event, object_id, url, destination, payload, next_attempt_at, enqueued_at)
	SELECT 'msg_' || i, 'default', 'e.new', i, 'https://m.example/', 'https://m.example:443', '{}', now() + interval '1 day', now() - interval '61 min'
	  FROM generate_series(1, 2) i;
	INSERT INTO kgwebhook.dead_letter (delivery_id, webhook_id, org_id, event, object_id, url, destination, payload, attempts, next_attempt_at, enqueued_at, xid, reason, died_at)
	SELECT -i, 'msg_' || i, 'default', 'e.new', i, 'https://m.example/', 'https://m.example:443', '{}', 1, now(), now(), '3', 'gone', now() - i * interval '29 min'
	  FROM generate_series(1, 3) i});
my ($ret, $out, $err) = $node->psql('postgres', 'SELECT kgwebhook.sweep()');
is($out, 4, 'what waits for long, and what was given up lately');
like($err, qr/WARNING:  4 kgwebhook deliveries have not been acknowledged\nDETAIL:  2 have waited for more than an hour; 2 were given up in the last hour\.\nHINT:/,
	'is warned of');
sql('postgres', 'DELETE FROM kgwebhook.queue; DELETE FROM kgwebhook.dead_letter');

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
  . qq{DETAIL:  It should be in database "postgres", says cron.database_name.\n$how};
is(error_of('postgres', 'SELECT kg_schedule_maintenance()'), $absent, 'not created in this database');
is(error_of('other shop', 'SELECT "the hooks".kg_schedule_maintenance()'), $absent, 'not created in the other database');

#
# In the same database
#
sql('postgres', 'CREATE EXTENSION pg_cron');
insert_intent($node, 'due', $receiver->url('/ok?due'), payment_deadline => 'now()');
sql('postgres', 'SELECT kg_schedule_maintenance()');
my $here = join "\n",
  'kgwebhook expire of postgres|* * * * *|SELECT public.kg_expire_intents(NULL)|postgres|postgres|t',
  'kgwebhook purge of postgres|5 0 * * *|SELECT public.kg_purge()|postgres|postgres|t',
  'kgwebhook sweep of postgres|17 * * * *|SELECT kgwebhook.sweep()|postgres|postgres|t';
is(jobs(), $here, 'the jobs of this database');
sql('postgres', 'BEGIN; SELECT kg_unschedule_maintenance(); ROLLBACK');
is(jobs(), $here, 'a rollback changes nothing');

#
# In another database, at a time when pg_cron's lives here
#
my $there = join "\n",
  'kgwebhook expire of other shop|* * * * *|SELECT "the hooks".kg_expire_intents(NULL)|other shop|postgres|t',
  'kgwebhook purge of other shop|5 0 * * *|SELECT "the hooks".kg_purge()|other shop|postgres|t',
  'kgwebhook sweep of other shop|17 * * * *|SELECT kgwebhook.sweep()|other shop|postgres|t';
sql('other shop', 'SELECT "the hooks".kg_schedule_maintenance()');
is(jobs(q{database = 'other shop'}), $there, 'the jobs of the other database');
is(jobs(q{database = 'postgres'}), $here, 'beside those of this one');
sql('postgres', q{UPDATE cron.job SET schedule = '1 1 1 1 1' WHERE jobname LIKE '%purge%'});
sql('postgres', q{DELETE FROM cron.job WHERE jobname LIKE '%sweep%'});
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
