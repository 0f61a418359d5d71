#-------------------------------------------------------------------------
#
# test/t/005_restart.pl
#	  A full queue: over a restart, and from one COPY; each delivery arrives, and
#	  once.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Test::More;

my $node = new_node('main', 'kgwebhook.enabled' => 'off');
my $secret = make_intents_table($node);
my @receivers = map { start_receiver(secret => $secret) } 1 .. 3;

# What a receiver got more or less than once, of n objects with a prefix.
sub not_once
{
	my ($receiver, $prefix, $n) = @_;
	my %times = map { ("$prefix$_" => 0) } 1 .. $n;

	foreach ($receiver->lines)
	{
		die "not a record: $_" unless /"json":\{.*?"payment_intent_id":"([^"]*)"/;
		$times{$1}++;
	}
	return grep { $times{$_} != 1 } sort keys %times;
}

sub invalid
{
	my ($receiver) = @_;

	return grep { !/"valid":true/ } $receiver->lines;
}

sub log_summary
{
	my ($prefix) = @_;

	return $node->safe_psql(
		'postgres', qq{
		SELECT count(*), count(DISTINCT delivery_id), bool_and(final),
			   string_agg(DISTINCT outcome, ' ')
		  FROM kgwebhook.delivery_log WHERE object_id ~ '^$prefix\\d+\$'});
}

#
# Queued while nothing was delivered, delivered after a restart
#
my $n = 2000;
$node->safe_psql(
	'postgres', qq{
	INSERT INTO payment_intents (payment_intent_id, callback_url)
	SELECT 'full' || i, '@{[ $receivers[0]->url ]}' FROM generate_series(1, $n) i});
is($node->safe_psql('postgres', 'SELECT queue_depth, worker_state FROM kgwebhook.stats'),
	"$n|disabled", 'a full queue, and nobody who empties it');
$node->append_conf('postgresql.conf', 'kgwebhook.enabled = on');
$node->restart;
wait_until_settled($node);
is_deeply([ not_once($receivers[0], 'full', $n) ],
	[], 'each of them arrives once after the restart');
is(log_summary('full'), "$n|$n|t|acknowledged", 'and is logged once');
is_deeply([ invalid($receivers[0]) ], [], 'all are signed');

#
# Stopped in the midst of it.  What was in flight may come twice, with the same
# webhook-id; all the rest comes once.
#
$node->safe_psql(
	'postgres', qq{
	INSERT INTO payment_intents (payment_intent_id, callback_url)
	SELECT 'midst' || i, '@{[ $receivers[1]->url('/slow/40') ]}'
	  FROM generate_series(1, $n) i});
$receivers[1]->wait_for_requests(200);
$node->restart;
my $sent_before = $receivers[1]->requests;
cmp_ok($sent_before, '<', $n, 'a restart in the midst of the queue');
wait_until_settled($node);
my %ids;
$ids{ $_->{json}{payment_intent_id} }{ $_->{headers}{'webhook-id'} }++
  foreach $receivers[1]->requests;
is(keys %ids, $n, 'loses nothing');
is_deeply([ grep { keys %{ $ids{$_} } != 1 } sort keys %ids ],
	[], 'and sends nothing under two names');

# 32 on the network, and as many whose answers were about to be settled
cmp_ok(scalar($receivers[1]->requests) - $n,
	'<=', 64, 'twice come at most those that were in flight');

#
# One COPY
#
my $copied = 10_000;
my $rows = join '',
  map { "copy$_\t" . $receivers[2]->url . "\t$_.50\n" } 1 .. $copied;
$node->safe_psql('postgres',
	"COPY payment_intents (payment_intent_id, callback_url, fiat_amount) FROM STDIN;\n$rows\\.\n");
wait_until_settled($node);
is_deeply([ not_once($receivers[2], 'copy', $copied) ], [], 'each of them once');
is(log_summary('copy'), "$copied|$copied|t|acknowledged", 'and is logged once');
is( scalar(
		grep { !/"json":\{.*?"fiat_amount":"(\d+)\.50".*?"payment_intent_id":"copy\1"/ }
		  $receivers[2]->lines),
	0,
	'with its own payload');
is_deeply([ invalid($receivers[2]) ], [], 'all are signed');

$node->stop;
done_testing();
