#-------------------------------------------------------------------------
#
# test/t/094_access.pl
#	  The roles of docs/access.md: each block is run as it stands there, and then
#	  each role does what it is for, and is refused what it is not.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use Kgwebhook;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', 'kgwebhook.enabled' => 'off');

make_intents_table($node);

my $page = slurp_file(abs_path(dirname(__FILE__) . '/../../docs/access.md'));
my @blocks = $page =~ /^```sql\n(.*?)^```$/msg;

is(scalar @blocks, 4, 'the page has a block for each kind of role');
$node->safe_psql('postgres', $_) foreach @blocks;

sub as_role
{
	my ($role, $query) = @_;

	return $node->safe_psql('postgres', "SET ROLE $role; $query");
}

# What a role is told that may not do something.
sub refused
{
	my ($role, $query) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY sqlstate\nSET ROLE $role; $query");

	return $err =~ /ERROR:\s+42501/ ? 'refused' : "$out$err";
}

# Events of two organizations, and an attempt of each.
$node->safe_psql('postgres', q{
	INSERT INTO payment_intents (payment_intent_id, org_id, callback_url)
	VALUES ('pi_a', 'acme', 'https://a.example/'), ('pi_z', 'zenith', 'https://z.example/');
	INSERT INTO kgwebhook.delivery_log (delivery_id, webhook_id, org_id, event, kind, object_id, url, destination,
		attempt, outcome, final, started_at)
	SELECT q.delivery_id, q.webhook_id, q.org_id, q.event, q.kind, q.object_id, q.url, q.destination, 1, 'unreachable', false, now()
	  FROM kgwebhook.queue q});

my $delivery = $node->safe_psql('postgres', q{SELECT delivery_id FROM kgwebhook.queue WHERE object_id = 'pi_z'});

# On call: everything, of all organizations, although a merchant's role is restricted.
is(as_role('oncall', 'SELECT count(DISTINCT org_id) FROM kgwebhook.delivery_log'), 2, 'on call: a whole log');
like(as_role('oncall', 'SELECT finding FROM kg_status()'), qr/kgwebhook\.enabled is off/, 'on call: kg_status()');
like(as_role('oncall', "SELECT kg_explain($delivery)"), qr/pi_z/, 'on call: kg_explain() by number');
like(as_role('oncall', q{SELECT kg_explain('pi_a')}), qr/pi_a/, 'on call: kg_explain() by object');
like(as_role('oncall', 'SELECT kg_dashboard()'), qr/pi_z/, 'on call: the page');
foreach my $view (qw(deliveries destinations subscriptions pending waiting failures latency unacknowledged stats queue dead_letter))
{
	like(as_role('oncall', "SELECT count(*) FROM kgwebhook.$view"), qr/^\d+$/, "on call: $view");
}
is(as_role('oncall', 'SELECT count(*) FROM kg_reconcile()'), 2, 'on call: kg_reconcile()');
is(as_role('oncall', "SELECT kg_redeliver($delivery)"), $delivery, 'on call: kg_redeliver()');
$node->safe_psql('postgres', q{SELECT kg_create_secret('zenith')});
like(as_role('oncall', q{SELECT kg_preview('payment_intents', 'pi_z')}), qr/"payment_intent_id":"pi_z",.*"signature":"/, 'on call: kg_preview()');
as_role('oncall', 'SELECT kg_pause(); SELECT kg_resume()');
is(refused('oncall', 'SELECT * FROM kgwebhook.secret'), 'refused', 'on call: no secret');
is(refused('oncall', q{SELECT kg_create_secret('acme')}), 'refused', 'on call: no new secret');

# The backend: payments, secrets, subscriptions.
as_role('backend', q{INSERT INTO payment_intents (payment_intent_id, org_id, callback_url) VALUES ('pi_b', 'acme', 'https://a.example/')});
like(as_role('backend', q{SELECT kg_create_secret('beta')}), qr/^whsec_/, 'backend: a secret');
like(as_role('backend', q{SELECT kg_subscribe('beta', 'https://b.example/')}), qr/^\d+$/, 'backend: a subscription');
is(as_role('backend', 'SELECT url FROM kgwebhook.subscriptions'), 'https://b.example/', 'backend: reads it');
is(refused('backend', 'SELECT * FROM kgwebhook.queue'), 'refused', 'backend: no payload of others');
like(as_role('backend', q{SELECT kg_preview('payment_intents', 'pi_z')}), qr/"signature":"/, 'backend: a body of its table');
$node->safe_psql('postgres', q{
	CREATE TABLE payouts (id text, status text);
	SELECT count(*) FROM kg_watch('payouts', 'payout', 'id', url_column => NULL, org_column => NULL);
	INSERT INTO payouts VALUES ('po_1', 'new')});
is(refused('backend', q{SELECT kg_preview('payouts', 'po_1')}), 'refused', 'backend: none of another');
is(refused('backend', 'SELECT kg_pause()'), 'refused', 'backend: does not pause all');

# Migrations: tables of their own.
is( as_role('migrations', q{
	CREATE TABLE orders (id text PRIMARY KEY, status text, callback_url text);
	SELECT count(*) > 0 FROM kg_watch('orders', 'order', 'id', org_column => NULL);
	INSERT INTO orders VALUES ('o1', 'new', 'https://a.example/')}), 't', 'migrations: watch a table of their own');
is($node->safe_psql('postgres', q{SELECT event FROM kgwebhook.queue WHERE kind = 'order'}), 'order.new', 'which then makes events');
is(refused('migrations', q{SELECT kg_watch('payment_intents')}), 'refused', 'migrations: not one of another');

# A merchant: what is its own.
is(as_role('merchant_acme', 'SELECT DISTINCT org_id FROM kgwebhook.delivery_log'), 'acme', 'a merchant: its log');
is(refused('merchant_acme', 'SELECT * FROM kgwebhook.queue'), 'refused', 'a merchant: no queue');

# To bind a role needs the tables that merchants read, which lock_timeout may end the wait for.
$node->safe_psql('postgres', 'CREATE ROLE hasty');
foreach my $table (qw(delivery_log dead_letter))
{
	my $reader = $node->background_psql('postgres', on_error_die => 1);

	$reader->query_safe("BEGIN; LOCK TABLE kgwebhook.$table IN ACCESS SHARE MODE");
	like(sql_error($node, q{SET lock_timeout = '100ms'; SELECT kg_grant_org('hasty', 'acme')}), qr/55P03: canceling statement due to lock timeout/,
		"kg_grant_org() beside a reader of $table: lock_timeout ends it");
	$reader->quit;
}

$node->stop;

done_testing();
