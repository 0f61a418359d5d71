#-------------------------------------------------------------------------
#
# test/t/019_workers.pl
#	  Four workers: each destination has one of them, none has most of the
#	  destinations, and each object's statuses arrive once and in order.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use PostgreSQL::Test::Utils;
use Test::More;

my $destinations = 64;
my $node = new_node('main', 'kgwebhook.workers' => '4');
my $secret = make_intents_table($node);
my $receiver = start_receiver(secret => $secret, host => '0.0.0.0');
my $port = $receiver->port;
my @workers = wait_for_worker($node, 'postgres', 4);
is(scalar(@workers), 4, 'there are four');

$node->safe_psql(
	'postgres', qq{
	INSERT INTO payment_intents (payment_intent_id, callback_url)
	SELECT 'pi' || i, 'http://127.0.1.' || i % $destinations || ':$port/ok'
	  FROM generate_series(1, 4 * $destinations) i;
	UPDATE payment_intents SET status = 'success';
	UPDATE payment_intents SET status = 'refunded'});
wait_until_settled($node);

my %statuses;
push @{ $statuses{ $_->{json}{payment_intent_id} } }, $_->{json}{status} foreach $receiver->requests;
is(keys %statuses, 4 * $destinations, 'all objects are served');
is_deeply([ grep { "@{ $statuses{$_} }" ne 'pending success refunded' } sort keys %statuses ],
	[], 'each status once, and in order');

# The connections that are kept say who serves whom: socket inodes of each worker, and
# to which address each leads.
my %leads_to;
foreach my $line (split /\n/, slurp_file('/proc/net/tcp'))
{
	my (undef, undef, $remote, $state, @more) = split ' ', $line;
	my ($address, $remote_port) = split /:/, $remote;

	$leads_to{ $more[5] } = $address
	  if defined $remote_port && $remote_port =~ /^[0-9A-F]+$/ && hex($remote_port) == $port && $state eq '01';
}
my %served_by;
my %share;
foreach my $worker (@workers)
{
	my %mine = map { $_ => 1 }
	  grep { defined } map { (readlink($_) // '') =~ /^socket:\[(\d+)\]/ ? $leads_to{$1} : undef }
	  glob "/proc/$worker/fd/*";

	push @{ $served_by{$_} }, $worker foreach keys %mine;
	$share{$worker} = keys %mine;
}
is(scalar(keys %served_by), $destinations, 'each destination has a connection');
is_deeply([ grep { @{ $served_by{$_} } != 1 } sort keys %served_by ], [], 'and one worker');
is_deeply([ grep { $share{$_} < 1 || $share{$_} > $destinations / 2 } sort keys %share ],
	[], 'no worker has none, or most of them');

$node->stop;
done_testing();
