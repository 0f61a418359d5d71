#-------------------------------------------------------------------------
#
# test/perl/Kgwebhook/Network.pm
#	  Networks between servers that can be cut in each direction, as the kernel has them:
#	  packets get lost, and nobody is told.
#
# "use Kgwebhook::Network;" comes first in a test.  The test then runs in a network
# namespace of its own, in a user namespace in which it may make others; no root
# is needed.  Where the system does not allow that, the test is skipped, and says so.
#
# A server that is started "elsewhere" is in another namespace, at the other end of
# links.  Each link has two addresses, and a direction is cut by telling its sender a
# hardware address that nobody has: what is sent then arrives nowhere, silently.
#
#-------------------------------------------------------------------------
package Kgwebhook::Network;

use strict;
use warnings;

use Exporter qw(import);
use IPC::Run;

our @EXPORT = qw(make_link elsewhere cut_link);

my $holder;
my ($in, $out) = ('', '');
my $wrappers;
my %links;

BEGIN
{
	my @unshare = qw(unshare --user --map-current-user --keep-caps --net);

	$ENV{PATH} .= ':/usr/sbin:/sbin';
	if (!$ENV{KGW_NETWORK})
	{
		my $said = '';
		my $may = eval {
			IPC::Run::run([ @unshare, 'sh', '-ec', 'ip link set lo up; ip link add probe0 type veth peer name probe1; unshare --net true' ],
				'<', \undef, '>&', \$said);
		};
		if (!$may)
		{
			($said) = split /\n/, $said || $@ || 'no reason given';
			print "1..0 # SKIP nobody may make network namespaces here: $said\n";
			exit 0;
		}
		$ENV{KGW_NETWORK} = 1;
		exec @unshare, $^X, (map { "-I$_" } grep { !ref } @INC), $0, @ARGV or die "could not run $0 again: $!";
	}
}

sub run_here
{
	my @command = @_;
	my $said = '';

	IPC::Run::run(\@command, '<', \undef, '>&', \$said) or die "@command: $said";
	return;
}

sub run_there
{
	return run_here('nsenter', '-t', $holder->{KIDS}[0]{PID}, '-n', @_);
}

# The namespace at the other ends of all links.  It ends with this program, whose end of the pipe closes.
sub open_elsewhere
{
	return if $holder;
	run_here('ip', 'link', 'set', 'lo', 'up');
	$holder = IPC::Run::start([ 'unshare', '--net', 'sh', '-c', 'echo ready; exec cat' ], '<', \$in, '>', \$out);
	$holder->pump until $out =~ /ready/;
	run_there('ip', 'link', 'set', 'lo', 'up');
	return;
}

# The number of a link, from 1 on: 10.9.NUMBER.1 is elsewhere, 10.9.NUMBER.2 is here.
sub make_link
{
	my $n = 1 + keys %links;
	my $pid;

	open_elsewhere();
	$pid = $holder->{KIDS}[0]{PID};
	run_here('ip', 'link', 'add', "here$n", 'address', hardware($n, 2), 'type', 'veth', 'peer', 'name', "there$n", 'address', hardware($n, 1), 'netns', $pid);
	run_here('ip', 'address', 'add', "10.9.$n.2/24", 'dev', "here$n");
	run_there('ip', 'address', 'add', "10.9.$n.1/24", 'dev', "there$n");
	run_here('ip', 'link', 'set', "here$n", 'up');
	run_there('ip', 'link', 'set', "there$n", 'up');
	$links{$n} = 1;
	cut_link($n, 'open');
	return $n;
}

sub hardware { return sprintf '02:00:00:00:%02x:%02x', @_; }

# open, deaf (what is sent there does not arrive here), mute (the other way around) or frozen (both).
sub cut_link
{
	my ($n, $how) = @_;
	my $nowhere = hardware(255, 255);

	run_here('ip', 'neighbor', 'replace', "10.9.$n.1", 'lladdr', $how =~ /mute|frozen/ ? $nowhere : hardware($n, 1), 'dev', "here$n", 'nud', 'permanent');
	run_there('ip', 'neighbor', 'replace', "10.9.$n.2", 'lladdr', $how =~ /deaf|frozen/ ? $nowhere : hardware($n, 2), 'dev', "there$n", 'nud', 'permanent');
	return;
}

# Runs what starts a server, which is elsewhere then; its socket is still here.
sub elsewhere
{
	my ($start) = @_;

	open_elsewhere();
	if (!$wrappers)
	{
		chomp(my $pg_ctl = `sh -c 'command -v pg_ctl'`);
		$wrappers = PostgreSQL::Test::Utils::tempdir();
		PostgreSQL::Test::Utils::append_to_file("$wrappers/pg_ctl", "#!/bin/sh\nexec nsenter -t $holder->{KIDS}[0]{PID} -n '$pg_ctl' \"\$@\"\n");
		chmod 0755, "$wrappers/pg_ctl" or die "chmod: $!";
	}
	local $ENV{PATH} = "$wrappers:$ENV{PATH}";
	return $start->();
}

1;
