#-------------------------------------------------------------------------
#
# test/t/041_standby.pl
#	  Physical copies: a streaming standby is idle, and goes on where the primary
#	  ended; a base backup that is started elsewhere is, to all that it can
#	  know of itself, the original.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use PostgreSQL::Test::Cluster;
use Test::More;

my $primary = init_node('primary');
$primary->append_conf('postgresql.conf', 'wal_level = replica
max_wal_senders = 5
hot_standby = on');
$primary->append_conf('pg_hba.conf', 'local replication all trust');
$primary->start;
$primary->safe_psql('postgres',
	'SET client_min_messages = warning; CREATE EXTENSION kgwebhook CASCADE');
my $secret = make_intents_table($primary);
my $receiver = start_receiver(secret => $secret);

# How often each object's event has come, "name" => times.
sub got
{
	my %times;

	$times{ $_->{json}{payment_intent_id} }++ foreach $receiver->requests;
	return \%times;
}

insert_intent($primary, 'first', $receiver->url);
wait_until_settled($primary);

# A destination that fails for now: what waits for it is what must not be lost.
reload($primary, 'kgwebhook.enabled' => 'off');
insert_intent($primary, "waits$_", $receiver->url) foreach 1 .. 20;
$primary->backup('base');

#
# The standby has the queue, and nobody who sends
#
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', 'kgwebhook.enabled = on');
$standby->start;
insert_intent($primary, "later$_", $receiver->url) foreach 1 .. 20;
$primary->safe_psql('postgres', q{INSERT INTO kgwebhook.source (source, node, subscription, slot, publication)
	VALUES ('elsewhere', 'here', 's', 's', 'p')});
$primary->wait_for_catchup($standby);
is( $standby->safe_psql('postgres',
		'SELECT queue_depth, workers, worker_state FROM kgwebhook.stats'),
	'40|0|standby',
	'a standby has the queue and says what it is');
is( $standby->safe_psql(
		'postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type ~ 'kgwebhook'}),
	0,
	'and has no process that could send');
is( $standby->safe_psql('postgres', 'SELECT severity, finding FROM kg_status()'),
	'info|this server is a standby, and sends nothing',
	'kg_status() finds no fault with it, not even that it follows no source');
$primary->safe_psql('postgres', 'DELETE FROM kgwebhook.source');
$primary->wait_for_catchup($standby);
my ($status, undef, $stderr) = $standby->psql('postgres', 'SELECT kg_adopt()');
like($stderr, qr/ERROR:  cannot execute .* (in a read-only transaction|during recovery)/,
	'and can not be adopted');

#
# Promoted, it delivers
#
$primary->stop('immediate');
$standby->promote;
wait_until_settled($standby);
is_deeply(
	got(),
	{ first => 1, map { ("waits$_" => 1, "later$_" => 1) } 1 .. 20 },
	'once it is promoted it sends all that was committed, each once');
insert_intent($standby, 'after', $receiver->url);
wait_until_settled($standby);
is(got()->{after}, 1, 'and what comes then');
ok($standby->poll_query_until('postgres', q{SELECT worker_state = 'idle' FROM kgwebhook.stats}),
	'it needs nobody to adopt it');
$standby->stop;

#
# A base backup that is started elsewhere, as the README says: with sending
# off, until everything is paused.
#
my $before = () = $receiver->lines;
my $elsewhere = PostgreSQL::Test::Cluster->new('elsewhere');
$elsewhere->init_from_backup($primary, 'base');
$elsewhere->append_conf('postgresql.conf', 'kgwebhook.enabled = off');
$elsewhere->start;
$elsewhere->safe_psql('postgres', 'SELECT kg_pause()');
reload($elsewhere, 'kgwebhook.enabled' => 'on');
insert_intent($elsewhere, 'trial', $receiver->url);
is( $elsewhere->safe_psql(
		'postgres', 'SELECT queue_depth, worker_state, in_flight FROM kgwebhook.stats'),
	'21|idle|0',
	'a base backup does not know that it is a copy');
is( $elsewhere->safe_psql(
		'postgres', "SELECT outcome FROM kg_send_test('@{[ $receiver->url ]}')"),
	'acknowledged',
	'it can send');
is(() = $receiver->lines, $before + 1, 'and sends nothing while everything is paused');
$elsewhere->safe_psql('postgres', "DELETE FROM kgwebhook.queue WHERE object_id <> 'trial'");
$elsewhere->safe_psql('postgres', 'SELECT kg_resume()');
wait_until_settled($elsewhere);
is(() = $receiver->lines, $before + 2, 'of what was the original\'s, nothing was sent');
is(got()->{trial}, 1, 'and of its own, each event');
$elsewhere->stop;
done_testing();
