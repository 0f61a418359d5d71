#-------------------------------------------------------------------------
#
# test/perl/Kgwebhook/Points.pm
#	  Points of death of a running server: what is to happen at which, and whether it did.
#
# See src/shmem/point.c.  The server has to be of a build with assertions.
#
#	  my $points = Kgwebhook::Points->new($node);
#	  $points->arm('sent', 'kill');
#	  wait_until_reached([ $points, 'sent', 'kill' ]);
#
#-------------------------------------------------------------------------
package Kgwebhook::Points;

use strict;
use warnings;

use Exporter qw(import);
use Time::HiRes qw(sleep time);

our @EXPORT = qw(wait_until_reached);

my $patience = 30;

=pod

=head2 Kgwebhook::Points->new($node)

The points of a node's processes.

=cut

sub new
{
	my ($class, $node) = @_;
	my $folder = $node->data_dir . '/kgwebhook_points';

	mkdir $folder or die "$folder: $!";
	return bless { folder => $folder }, $class;
}

=head2 $points->arm($point, $action)

The next process that comes there does that, once: kill, stop or error.  It is said by
a rename: no process may read half a file.

=cut

sub arm
{
	my ($self, $point, $action) = @_;
	my $folder = $self->{folder};

	open my $file, '>', "$folder/new" or die "$folder/new: $!";
	print $file "$action\n";
	close $file;
	rename "$folder/new", "$folder/$point" or die "$folder/$point: $!";
	return;
}

=head2 $points->reached($point, $action)

Whether a process has been there by now; one that is stopped there goes on.

=cut

sub reached
{
	my ($self, $point, $action) = @_;
	my $path = "$self->{folder}/$point.reached";

	return 0 unless -s $path;
	open my $file, '<', $path or die "$path: $!";
	my $pid = <$file>;
	close $file;
	chomp $pid;
	unlink "$self->{folder}/$point", $path;
	kill 'CONT', $pid if $action eq 'stop';
	return 1;
}

=head2 $points->disarm($point)

It is waited for no more.

=cut

sub disarm
{
	my ($self, $point) = @_;

	unlink "$self->{folder}/$point";
	return;
}

=head2 wait_until_reached([ $points, $point, $action ], ...)

Waits for all of these, in whatever order they come; returns those that did not.

=cut

sub wait_until_reached
{
	my @waits = @_;
	my $deadline = time + $patience;

	while ((@waits = grep { my ($points, @at) = @$_; !$points->reached(@at) } @waits) && time < $deadline)
	{
		sleep 0.02;
	}
	$_->[0]->disarm($_->[1]) foreach @waits;
	return @waits;
}

1;
