#-------------------------------------------------------------------------
#
# test/perl/Kgwebhook/WaitingClock.pm
#	  A server for which more time passes than for the test: hours of waiting,
#	  without waiting.  See test/preload/shifted_clock.c.
#
#	  use Kgwebhook::WaitingClock;
#	  my $clock = Kgwebhook::WaitingClock->start($node);
#	  $clock->set_waited(3600);
#
#-------------------------------------------------------------------------
package Kgwebhook::WaitingClock;

use strict;
use warnings;

use Fcntl qw(O_CREAT O_WRONLY);
use Kgwebhook;
use PostgreSQL::Test::Utils;

=pod

=head2 Kgwebhook::WaitingClock->start($node)

Starts a node of init_node() under such a clock, and creates the extension.

=cut

sub start
{
	my ($class, $node) = @_;
	my $self = bless { file => PostgreSQL::Test::Utils::tempdir('clock') . '/waited' }, $class;

	$self->set_waited(0);
	{
		local $ENV{LD_PRELOAD} = build_library('preload/shifted_clock');
		local $ENV{KGW_CLOCK_WAITED} = $self->{file};
		$node->start;
	}
	$node->safe_psql('postgres',
		'SET client_min_messages = warning; CREATE EXTENSION kgwebhook CASCADE');
	return $self;
}

=head2 $clock->set_waited($seconds)

So many seconds more have passed for the server since its start than for us.

=cut

sub set_waited
{
	my ($self, $seconds) = @_;

	# in place: the server has it mapped
	sysopen my $out, $self->{file}, O_WRONLY | O_CREAT or die "could not open $self->{file}: $!";
	syswrite $out, pack('q', $seconds) or die "could not write $self->{file}: $!";
	close $out;
	return;
}

1;
