#-------------------------------------------------------------------------
#
# test/t/009_settings.pl
#	  Settings: in force from the reload on, bad ones refused.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use IO::Socket::INET;
use Kgwebhook;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main');
my $secret = make_intents_table($node);
my $receiver = start_receiver(secret => $secret, host => '0.0.0.0');
my $port = $receiver->port;

# One receiver is as many destinations as loopback has addresses.
sub url
{
	my ($address, $path) = @_;

	return "http://127.0.0.$address:$port$path";
}

# Intents with numbers 1 .. n under a prefix, all at once; $url has %d for
# the number of the address, which goes round from 1 to $addresses.
sub insert_many
{
	my ($prefix, $n, $url, $addresses) = @_;

	$node->safe_psql(
		'postgres', qq{
		INSERT INTO payment_intents (payment_intent_id, callback_url)
		SELECT '$prefix' || i, format('$url', i % $addresses + 1)
		  FROM generate_series(1, $n) i});
	return;
}

sub requests_like
{
	my ($prefix) = @_;

	return $receiver->requests(
		if => sub { $_[0]{json}{payment_intent_id} =~ /^$prefix\d/ });
}

# The most requests that were in flight at once.
sub peak
{
	my ($prefix) = @_;
	my ($peak) = sort { $b <=> $a } map { $_->{in_flight} } requests_like($prefix);

	return $peak;
}

sub stays_refused
{
	my ($name, $value, $expected) = @_;
	my $log_end = -s $node->logfile;

	reload($node, "kgwebhook.$name" => "'$value'");
	$node->wait_for_log(qr/invalid value for parameter "kgwebhook.$name"/, $log_end);
	is($node->safe_psql('postgres', "SHOW kgwebhook.$name"),
		$expected, "$name = '$value' is refused, and the good value stays");
	return slurp_file($node->logfile, $log_end);
}

#
# enabled
#
reload($node, 'kgwebhook.enabled' => 'off');
insert_intent($node, 'held', url(1, '/ok'));
reload($node);    # the worker has had its chance
is(scalar($receiver->requests), 0, 'enabled = off: nothing goes');
is($node->safe_psql('postgres', 'SELECT queue_depth, worker_state FROM kgwebhook.stats'),
	'1|disabled', 'it is queued');
reload($node, 'kgwebhook.enabled' => 'on');
my ($held) = $receiver->wait_for_requests(1);
is($held->{valid}, 1, 'enabled = on: it goes');
wait_until_settled($node);

#
# Timeouts
#
reload($node, 'kgwebhook.request_timeout' => "'200ms'", 'kgwebhook.retry_schedule' => "'10s'");
insert_intent($node, 'slow', url(1, '/slow/10000'));
my ($slow) = wait_for_log_rows($node, 1, q{object_id = 'slow'});
is($slow->{outcome}, 'timed_out', 'request_timeout');
cmp_ok($slow->{duration_ms}, '<', 5000, 'in time');

# A listener that is full lets nobody else connect.
my $full = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1) or die $!;
my @fill = map {
	IO::Socket::INET->new(
		PeerAddr => '127.0.0.1', PeerPort => $full->sockport, Blocking => 0)
} 1 .. 8;
reload($node, 'kgwebhook.request_timeout' => "'1h'", 'kgwebhook.connect_timeout' => "'200ms'");
insert_intent($node, 'connect', 'http://127.0.0.1:' . $full->sockport . '/');
my ($connect) = wait_for_log_rows($node, 1, q{object_id = 'connect'});
is($connect->{outcome}, 'timed_out', 'connect_timeout');
cmp_ok($connect->{duration_ms}, '<', 5000, 'in time');
$node->safe_psql('postgres', 'DELETE FROM kgwebhook.queue');
undef @fill;
reload(
	$node,
	'kgwebhook.request_timeout' => "'15s'",
	'kgwebhook.connect_timeout' => "'5s'",
	'kgwebhook.retry_schedule' => "'200ms'");

#
# Values that can't be
#
my $said = stays_refused('retry_schedule', '5s,soon', '200ms');
like($said, qr/DETAIL: .*soon/, 'a detail says why');
stays_refused('retry_schedule', '5s,-1s', '200ms');
stays_refused('retry_jitter', 'much', '0');
stays_refused('max_in_flight', 'many', '1000');
stays_refused('allowed_ports', '0-99999', '443,80,1024-65535');
$node->adjust_conf('postgresql.conf', "kgwebhook.$_", undef)
  foreach qw(retry_jitter max_in_flight allowed_ports);
$node->append_conf('postgresql.conf',
	"kgwebhook.retry_schedule = '200ms'\nkgwebhook.retry_jitter = 0");

foreach my $statement (
	'SET kgwebhook.nonsense = 1',
	'ALTER SYSTEM SET kgwebhook.nonsense = 1',
	'ALTER DATABASE postgres SET kgwebhook.nonsense = 1')
{
	my ($exit, $out, $err) = $node->psql('postgres', "LOAD 'kgwebhook'; $statement");

	isnt($exit, 0, "refused: $statement");
	like($err, qr/"kgwebhook.nonsense"/, 'by name');
}
foreach my $name (qw(enabled workers allow_http allowed_networks))
{
	my ($exit, $out, $err) = $node->psql('postgres', "SET kgwebhook.$name = 'on'");

	like($err, qr/cannot be changed/, "$name is not for a session to set");
}

#
# Requests in flight
#
reload($node, 'kgwebhook.max_in_flight_per_destination' => '2');
insert_many('two', 40, url(1, '/slow/20'), 1);
$receiver->wait_for_requests(40, if => sub { $_[0]{json}{payment_intent_id} =~ /^two/ });
wait_until_settled($node);
is(peak('two'), 2, 'max_in_flight_per_destination');

reload($node,
	'kgwebhook.request_timeout' => "'10min'",
	'kgwebhook.max_in_flight_per_destination' => '32',
	'kgwebhook.max_in_flight' => '3');
insert_many('three', 60, "http://127.0.0.%s:$port/slow/20", 4);
wait_until_settled($node);
is(scalar(requests_like('three')), 60, 'all destinations are served');
is(peak('three'), 3, 'max_in_flight, of all destinations');

reload($node, 'kgwebhook.max_in_flight' => '1000');
insert_many('more', 60, "http://127.0.0.%s:$port/slow/20", 4);
wait_until_settled($node);
cmp_ok(peak('more'), '>', 3, 'and more when it is raised');

#
# Two workers
#
my $log_end = -s $node->logfile;
$node->append_conf('postgresql.conf', 'kgwebhook.workers = 2');
$node->reload;
$node->wait_for_log(qr/"kgwebhook.workers" cannot be changed without restarting/, $log_end);
$node->restart;
my @pids = wait_for_worker($node, 'postgres', 2);
is(@pids, 2, 'workers = 2');
is($node->safe_psql('postgres', 'SELECT workers FROM kgwebhook.stats'), 2, 'as stats says');

insert_many('pair', 300, "http://127.0.0.%s:$port/ok", 20);
$node->safe_psql(
	'postgres', q{
	UPDATE payment_intents SET status = 'success' WHERE payment_intent_id LIKE 'pair%';
	UPDATE payment_intents SET status = 'refunded' WHERE payment_intent_id LIKE 'pair%'});
wait_until_settled($node);
my %statuses;
push @{ $statuses{ $_->{json}{payment_intent_id} } }, $_->{json}{status}
  foreach requests_like('pair');
is(keys %statuses, 300, 'every destination is served');
is_deeply([ grep { "@{ $statuses{$_} }" ne 'pending success refunded' } sort keys %statuses ],
	[], 'once, and in order');
is( $node->safe_psql(
		'postgres', q{
		SELECT count(*) FROM kgwebhook.delivery_log
		 WHERE object_id LIKE 'pair%' AND outcome = 'acknowledged'}),
	900,
	'and logged once');

# Each of them: a change of secrets reaches both.
my $new = 'another secret, and long enough';
$receiver->set_secret($new);
$node->safe_psql('postgres', "SELECT kg_set_secret('default', '$new')");
insert_many('renewed', 40, "http://127.0.0.%s:$port/ok", 20);
wait_until_settled($node);
is(scalar(grep { !$_->{valid} } requests_like('renewed')), 0, 'both know of a new secret');

$node->stop;
done_testing();
