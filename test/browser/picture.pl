#-------------------------------------------------------------------------
#
# test/browser/picture.pl
#	  The picture of the delivery page in docs/dashboard.md, made again:
#
#	  make check-tap TAP=test/browser/picture.pl
#	  cp check-output/dashboard.png docs/dashboard.png
#
# A day of a shop is written into the log, as nobody has a day to wait for it:
# two waves of customers, and an hour in which one receiver was unwell.  What is
# backing off, paused, disabled and given up is so by real deliveries.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Copy qw(copy);
use Kgwebhook;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $look = abs_path(dirname(__FILE__) . '/look.mjs');
my $dir = PostgreSQL::Test::Utils::tempdir('picture');
my $node = new_node('main', 'kgwebhook.retry_schedule' => "'5s, 10min, 1h'");
my $receiver = start_receiver();
my $port = $receiver->port;
my $nobody = PostgreSQL::Test::Cluster::get_free_port();

$node->safe_psql('postgres', 'CREATE DATABASE shop');
$node->safe_psql('shop', q{
	SET client_min_messages = warning;
	CREATE EXTENSION kgwebhook CASCADE;
	SELECT kg_create_payment_intents(), kg_create_secret()});
wait_for_worker($node, 'shop');

# The day that was, and the one before.
$node->safe_psql('shop', q{
	INSERT INTO kgwebhook.delivery_log (attempt_id, delivery_id, webhook_id, org_id, event, object_id, url, destination,
		attempt, outcome, final, response_status, response_body, error, request_body, started_at, duration_ms)
	SELECT nextval('kgwebhook.attempt_id_seq'), nextval('kgwebhook.delivery_id_seq'), 'msg_' || n, 'default',
		'payment_intent.success', 'pi_' || n, 'https://' || shop || '.example/webhooks', 'https://' || shop || '.example:443',
		1, CASE WHEN bad THEN 'rejected' ELSE 'acknowledged' END, NOT bad, CASE WHEN bad THEN 503 ELSE 200 END,
		CASE WHEN bad THEN 'try later' ELSE 'ok' END, CASE WHEN bad THEN 'HTTP status 503' END, NULL, at,
		exp(3.2 + 1.6 * (random() + random() - 1) + CASE WHEN bad THEN 1.5 ELSE 0 END)
	  FROM (SELECT n, at, (ARRAY['books', 'hotel', 'fares'])[1 + n % 3] AS shop,
				   random() < CASE WHEN at BETWEEN now() - interval '9 h' AND now() - interval '7.8 h' THEN 0.3 ELSE 0.004 END AS bad
			  FROM (SELECT n, now() - interval '24 h' * n / 60000.0 + interval '40 min' * sin(n * 12.566 / 60000) AS at
					  FROM generate_series(1, 120000) n) spread
			 WHERE at < now() - interval '2 min') attempts
	 ORDER BY at});

# And what is now.
$node->safe_psql('shop', qq{
	SELECT kg_subscribe('default', 'http://ledger.localhost:$port/gone', events => '{*.success}', description => 'the ledger');
	SELECT kg_pause('https://fares.example:443');
	INSERT INTO payment_intents (payment_intent_id, status, callback_url, fiat_amount, fiat_currency)
	SELECT 'pi_' || n, 'pending', 'http://books.localhost:$port/ok', 40.25 + n % 30, 'USD' FROM generate_series(70001, 70020) n;
	INSERT INTO payment_intents (payment_intent_id, status, callback_url, fiat_amount, fiat_currency)
	SELECT 'pi_' || n, 'pending', 'http://hotel.localhost:$nobody/webhooks', 120.50 + n % 40, 'EUR' FROM generate_series(71001, 71014) n;
	UPDATE payment_intents SET status = 'success' WHERE payment_intent_id = 'pi_70007'});
$node->poll_query_until('shop', q{
	SELECT count(*) FILTER (WHERE state = 'backing_off') = 1 AND (SELECT disabled_at IS NOT NULL FROM kgwebhook.subscription)
	       AND (SELECT count(*) >= 21 FROM kgwebhook.delivery_log WHERE destination LIKE 'http://books%')
	  FROM kgwebhook.destinations}) or die 'nothing backs off';

open my $file, '>', "$dir/dashboard.html" or die "could not write the page: $!";
print $file $node->safe_psql('shop', 'SELECT kg_dashboard()');
close $file or die "could not write the page: $!";
command_ok([ 'node', $look, '--directory', $dir, '--shots', "$dir/dashboard.html" ], 'the page is looked at');
copy("$dir/dashboard.html", "$ENV{KGW_OUTPUT}/dashboard.html") or die "could not copy: $!" if defined $ENV{KGW_OUTPUT};
foreach my $way ('light', 'dark', 'phone')
{
	ok(-s "$dir/dashboard-$way.png", "there is a picture of it, $way");
	copy("$dir/dashboard-$way.png", "$ENV{KGW_OUTPUT}/dashboard" . ($way eq 'light' ? '' : "-$way") . '.png') or die "could not copy: $!"
	  if defined $ENV{KGW_OUTPUT};
}

$node->stop;
$receiver->stop;

done_testing();
