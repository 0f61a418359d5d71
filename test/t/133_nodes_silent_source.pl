#-------------------------------------------------------------------------
#
# test/t/133_nodes_silent_source.pl
#	  A source that goes silent without closing a connection: packets get lost, and nobody
#	  is told.  Who waits on a node for the source's answer, with nothing under way that
#	  the kernel would have to send again, is told so in half a minute, by probes of ours;
#	  kg_status() says it while that goes on; and when the network is whole, all goes on.
#
# By default the kernel's first probe comes after two hours, so that a node without ours would
# wait for longer than any test.  What brings the changes has a limit of its own.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook::Network;
use IPC::Run;
use Kgwebhook;
use Kgwebhook::Nodes;
use Kgwebhook::OnCall;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

# Seconds: what the documentation says, and as much again for a machine that is busy.
my $bound = 60;

my $secret = 'whsec_' . 'k' x 32;
my $receiver = start_receiver(secret => $secret);
my $link = make_link();
my $source = elsewhere(sub { return new_source('source', 'listen_addresses' => "'10.9.$link.1'", 'wal_sender_timeout' => "'2s'"); });

append_to_file($source->data_dir . '/pg_hba.conf', "host all all 10.9.0.0/16 trust\n");
$source->reload;
prepare_source($source);
my $node = new_delivery_node('node', $secret, 'wal_receiver_timeout' => "'2s'");
my $on_call = Kgwebhook::OnCall->new($node);
$node->safe_psql('postgres', "SELECT kg_follow('src', 'host=10.9.$link.1 port=@{[ $source->port ]} dbname=postgres connect_timeout=2', 'orders', 'n1')");
wait_for_state($node, 'streaming');

sub order
{
	my ($id) = @_;

	$source->safe_psql('postgres', "INSERT INTO orders (id, status, callback_url) VALUES ('$id', 'new', '@{[ $receiver->url('/ok') ]}')");
	return;
}

# What the source's kernel has not acknowledged yet would be sent again, and has another limit.
sub wait_until_nothing_is_under_way
{
	my $deadline = time + $bound;

	while (`ss -tnH dst 10.9.$link.1` =~ /^\S+\s+\d+\s+[1-9]/m)
	{
		die 'waited for what was sent to be acknowledged' if time > $deadline;
		usleep(10_000);
	}
	return;
}

order('before');
$receiver->wait_for_requests(1);
wait_until_settled($node);
$on_call->finds_all_well('at first');

#
# A session of the node waits for an answer that takes its time, and the network is gone
#
my $lock = $source->background_psql('postgres', on_error_stop => 1);
$lock->query_safe('BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE');
my ($out, $err) = ('', '');
my $waiting = IPC::Run::start(
	[ 'psql', '-X', '-d', $node->connstr('postgres'), '-v', 'VERBOSITY=verbose', '-c', 'SELECT kg_compare()' ],
	'<', \undef, '>', \$out, '2>', \$err, IPC::Run::timeout(1.5 * $bound));
my $asks = q{FROM pg_stat_activity WHERE application_name = 'kgwebhook' AND wait_event_type = 'Lock' AND query ~ 'orders'};
wait_for_row($source, "SELECT count(*) = 1 $asks", 'kg_compare() to wait at the source');
my $pid = $source->safe_psql('postgres', "SELECT pid $asks");
wait_until_nothing_is_under_way();
cut_link($link, 'frozen');
my $since = time;
my $row = $on_call->finds(qr/^Nothing arrives: the source "src" is unreachable$/, 'critical');
cmp_ok(time - $since, '<', $bound, 'kg_status() says that the source does not answer');
ok(eval { $waiting->finish; 1 } || ($waiting->kill_kill, 0), 'the session comes to an end');
my $took = time - $since;
note(sprintf('%.1f s', $took));
cmp_ok($took, '<', $bound, 'in half a minute');
like($err, qr/ERROR:  08\w{3}: .*source "src"/, 'with an error that names the source');

#
# The network is whole again
#
cut_link($link, 'open');
$lock->quit;
wait_for_state($node, 'streaming');
order('after');
is(($receiver->wait_for_requests(2))[-1]{json}{id}, 'after', 'and all goes on');
wait_for_row($source, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)", 'the source to close that connection, too');
is($node->safe_psql('postgres', 'SELECT count(*) FROM kg_compare()'), 0, 'nothing is missing');
wait_until_settled($node);
$on_call->finds_all_well('nothing is left');

$node->stop;
$source->stop;
done_testing();
