#-------------------------------------------------------------------------
#
# test/t/047_dns_timeouts.pl
#	  A name server that never answers holds up nobody whose name is known; its
#	  threads are bounded, take no signals, and keep no worker from stopping.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Kgwebhook::SmallWorld;
use PostgreSQL::Test::Utils;
use Test::More;

my $world = Kgwebhook::SmallWorld->create;
my $receiver = start_receiver();
my $port = $receiver->port;
my $node = init_node(
	'main',
	'kgwebhook.allowed_networks' => undef,
	'kgwebhook.max_in_flight' => 16,
	'kgwebhook.retry_schedule' => "'1h'");
my @silent = map { "silent$_.example" } 1 .. 60;
my %names = (
	'public.example' => { A => ['93.184.216.34'] },
	map { $_ => { silent => JSON::PP::true } } @silent);
$world->names(%names);
$world->start($node);
make_plain_table($node, $receiver);
my ($worker) = wait_for_worker($node);

sub send_to
{
	my ($prefix, @hosts) = @_;

	$node->safe_psql('postgres',
		'INSERT INTO t VALUES '
		  . join(', ', map { "('$prefix$_', 'new', 'http://$hosts[$_]:$port/ok')" } 0 .. $#hosts));
	return;
}

# Threads of the worker as { thread id => blocked signals }.  All that can be
# blocked is fffffffe7ffbfeff: KILL and STOP can't, and two are the C library's.
sub threads
{
	my %found;

	foreach my $folder (glob "/proc/$worker/task/*")
	{
		open my $status, '<', "$folder/status" or next;
		my ($blocked) = map { /^SigBlk:\s*(\w+)/ ? $1 : () } <$status>;
		$found{ $1 } = $blocked if $folder =~ /(\d+)$/ && defined $blocked;
	}
	return %found;
}

send_to('first', 'public.example');
wait_for_log_rows($node, 1, q{outcome = 'acknowledged'});
reload($node, 'kgwebhook.connect_timeout' => "'100ms'");

#
# Sixty names that nobody answers for
#
send_to('silent', @silent);
my ($most, @open) = (0);
my $sent = 0;
my $timed_out = q{object_id LIKE 'silent%' AND outcome = 'timed_out'};

# as long as it takes until half of the slots are taken by what was given up
until ($node->safe_psql('postgres', "SELECT count(*) FROM kgwebhook.delivery_log WHERE $timed_out") >= 8)
{
	my %threads = threads();

	$most = keys %threads if keys %threads > $most;
	push @open, grep { $_ != $worker && $threads{$_} !~ /^f{7}[ef][7f]ffbfeff$/ } keys %threads;
}

# The healthy one, while they hang
foreach my $n (1 .. 10)
{
	send_to("healthy$n.", 'public.example');
	$receiver->wait_for_requests(1 + $n);
	my %threads = threads();

	$most = keys %threads if keys %threads > $most;
	$sent++ if keys %threads > 1;
}
is($sent, 10, 'ten deliveries arrived, each while lookups were hanging');
is( $node->safe_psql(
		'postgres', q{
		SELECT count(*) FROM kgwebhook.queue
		 WHERE object_id LIKE 'silent%' AND attempts = 0}) > 0,
	1,
	'there were still others to look up');
cmp_ok($most, '>', 1, 'lookups have threads');
cmp_ok($most, '<=', 1 + 16, 'which are not more than requests may be in flight');
is_deeply(\@open, [], 'none takes a signal');
is( (delivery_log($node, $timed_out))[0]{error},
	"the host's name was not resolved in time",
	'and the log says what took too long');

#
# Stopping does not wait for them
#
my $log_end = -s $node->logfile;
my %threads = threads();
cmp_ok(scalar(keys %threads), '>', 1, 'while lookups are hanging');
$node->stop('fast');
unlike(slurp_file($node->logfile, $log_end), qr/terminated by signal|PANIC|was aborted/,
	'the server stops, without anything going wrong');
my @asked = $world->requests(if => sub { $_[0]{name} =~ /^silent/ });
my %asked = map { $_->{name} => 1 } @asked;
cmp_ok(scalar(keys %asked), '<', 60, 'and before all were asked for');

#
# And when the name server is back, so are they
#
$world->names('public.example' => $names{'public.example'},
	map { $_ => { A => ['93.184.216.34'] } } @silent);
$node->append_conf('postgresql.conf', "kgwebhook.connect_timeout = '5s'");
$world->start($node);
wait_for_log_rows($node, 20, q{object_id LIKE 'silent%' AND outcome = 'acknowledged'});
pass('names that are answered for again are delivered to');

$node->stop;
done_testing();
