#-------------------------------------------------------------------------
#
# test/t/053_role_database_settings.pl
#	  Defaults of database and role that are meant for people, or meant to harm: the
#	  worker doesn't go by them, and a payload is the same under all of them.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Test::More;

my @hostile = (
	"statement_timeout = '1ms'",
	"lock_timeout = '1ms'",
	"idle_in_transaction_session_timeout = '1ms'",
	"idle_session_timeout = '1ms'",
	'default_transaction_read_only = on',
	'default_transaction_deferrable = on',
	"default_transaction_isolation = 'serializable'",
	'search_path = evil, pg_catalog, public',
	"session_replication_role = 'origin'",
	'row_security = on',
	"bytea_output = 'escape'",
	"xmlbinary = 'hex'",
	"datestyle = 'German, DMY'",
	"intervalstyle = 'sql_standard'",
	"timezone = 'Pacific/Chatham'",
	"lc_monetary = 'C'",
	'extra_float_digits = -15',
	"work_mem = '64kB'",
	'synchronous_commit = off',
	'jit = on',
	'jit_above_cost = 0',
	"plan_cache_mode = 'force_custom_plan'",
	'array_nulls = off',
	'standard_conforming_strings = off',
	'quote_all_identifiers = on',
	map { "enable_$_ = off" }
	  qw(seqscan indexscan indexonlyscan bitmapscan tidscan sort nestloop hashjoin mergejoin
	  hashagg material memoize));

# Our own sessions are spared, by what connections say.
my $spared = join ' ', map { "-c $_" }
  qw(statement_timeout=0 lock_timeout=0 idle_in_transaction_session_timeout=0
  idle_session_timeout=0 default_transaction_read_only=off
  default_transaction_deferrable=off search_path=public role=none);
my $node = new_node('main');
my $secret = make_intents_table($node);
my $receiver = start_receiver(secret => $secret);

#
# The trigger: what is written in a hostile session is what is written in any
#
$node->safe_psql(
	'postgres', q{
	CREATE TABLE shapes (id text PRIMARY KEY, status text, url text, org_id text DEFAULT 'default',
		amount numeric, n bigint, ratio float8, single float4, at timestamptz, local timestamp,
		day date, took interval, raw bytea, doc jsonb, tags text[], yes boolean);
	SELECT kg_watch('shapes', 'shape', 'id', 'status', 'url', 'org_id');
	CREATE ROLE merchant LOGIN;
	GRANT SELECT, INSERT, UPDATE ON shapes TO merchant;
	CREATE SCHEMA evil;
	CREATE TABLE evil.queue (delivery_id bigint);
	CREATE TABLE evil.shapes (id text);
	CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE sql AS $$ SELECT 'epoch'::timestamptz $$;
	CREATE FUNCTION evil.eq(bigint, bigint) RETURNS boolean LANGUAGE sql AS $$ SELECT false $$;
	CREATE OPERATOR evil.= (leftarg = bigint, rightarg = bigint, procedure = evil.eq);
	CREATE FUNCTION evil.jsonb_build_object(VARIADIC "any") RETURNS jsonb LANGUAGE internal AS 'jsonb_build_object_noargs';
	GRANT USAGE ON SCHEMA evil TO merchant});

sub insert_shape
{
	my ($id, $role, $before) = @_;

	$node->safe_psql('postgres', qq{
		$before
		INSERT INTO public.shapes (id, status, url, amount, n, ratio, single, at, local, day, took, raw,
			doc, tags, yes)
		VALUES ('$id', 'made', '@{[ $receiver->url ]}', 12.3400, 9007199254740993, 0.1::float8 * 3,
			1.1, '2026-03-04 05:06:07.89+00', '2026-03-04 05:06:07', '2026-03-04',
			'1 day 02:03:04', decode('deadbeef', 'hex'), '{"a": [1, 2.50]}', ARRAY['x', NULL, 'NULL'], true)},
		extra_params => [ '-U', $role ]);
	my ($got) = $receiver->wait_for_requests(1, if => sub { ($_[0]{json}{id} // '') eq $id });
	my %payload = %{ $got->{json} };

	is($got->{valid}, 1, "$id is delivered, and signed");
	delete @payload{qw(id event_id occurred_at timestamp signature)};
	return \%payload;
}

my $owner = $node->safe_psql('postgres', 'SELECT current_user');
my $tame = insert_shape('tame', $owner, '');
my $settings = join '', map { "SET $_;\n" } grep { !/timeout|read_only|replication/ } @hostile;
is_deeply(insert_shape('hostile', 'merchant', $settings), $tame,
	'a payload is the same, whatever the session is set to');
is_deeply(
	insert_shape('serializable', 'merchant',
		"SET default_transaction_isolation = 'serializable'; SET statement_timeout = '1min';"), $tame,
	'also when its transaction is serializable, and limited in time');

#
# The worker
#
$ENV{PGOPTIONS} = $spared;
foreach my $setting (@hostile)
{
	$node->safe_psql('postgres', "ALTER DATABASE postgres SET $setting");
	$node->safe_psql('postgres', "ALTER ROLE $owner SET $setting");
}
$node->safe_psql('postgres', 'ALTER DATABASE postgres SET role = merchant');
$node->safe_psql('postgres', 'ALTER ROLE ALL SET default_transaction_read_only = on');
my ($worker) = wait_for_worker($node);
$node->safe_psql('postgres', "SELECT pg_terminate_backend($worker)");
$node->poll_query_until('postgres', qq{
	SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'kgwebhook worker' AND pid <> $worker})
  or die 'waited for another worker';
my $log = -s $node->logfile;

insert_intent($node, 'good', $receiver->url);
insert_intent($node, 'again', $receiver->url('/fail/2/ok'));
insert_intent($node, 'gone', $receiver->url('/gone'));
insert_intent($node, "many$_", $receiver->url) foreach 1 .. 5;
set_status($node, 'good', 'success');
wait_until_settled($node);
is( $node->safe_psql(
		'postgres', q{
		SELECT string_agg(object_id || ' ' || outcome, ', ' ORDER BY object_id, attempt_id)
		  FROM kgwebhook.delivery_log WHERE object_id IN ('good', 'again', 'gone')}),
	'again rejected, again rejected, again acknowledged, gone rejected, good acknowledged, good acknowledged',
	'a worker goes by settings of its own: it sends, tries again and gives up');
is($node->safe_psql('postgres', 'SELECT count(*) FROM kgwebhook.dead_letter'), 1, 'and writes it down');
is($node->safe_psql('postgres', 'SELECT last_error FROM kgwebhook.stats'), '', 'without an error');
$node->restart;
insert_intent($node, 'restarted', $receiver->url);
wait_until_settled($node);
pass('also from the start of the server');
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile, $log),
	qr/kgwebhook \w+ (ERROR|FATAL):  (?!terminating)/, 'no process of ours has failed');

#
# Writing that the trigger isn't told of: none of it loses what is queued
#
$node->safe_psql('postgres', q{SELECT kg_pause()});
insert_intent($node, 'truncated', $receiver->url);
$node->safe_psql('postgres', 'TRUNCATE payment_intents');
$node->safe_psql('postgres', qq{
	SET session_replication_role = replica;
	INSERT INTO payment_intents (payment_intent_id, callback_url)
	VALUES ('replicated', '@{[ $receiver->url ]}')});
$node->safe_psql('postgres', 'SELECT kg_resume()');
wait_until_settled($node);
is($node->safe_psql('postgres', q{
		SELECT string_agg(object_id || ' ' || outcome, ', ') FROM kgwebhook.delivery_log
		 WHERE object_id IN ('truncated', 'replicated')}),
	'truncated acknowledged',
	'a delivery outlives its truncated payment; what a replica applies is no event');

$node->stop;
done_testing();
