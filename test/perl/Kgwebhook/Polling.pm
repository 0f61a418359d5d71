#-------------------------------------------------------------------------
#
# test/perl/Kgwebhook/Polling.pm
#	  poll_query_until() by a session that is kept.
#
# What is looked for, and for how long, is the same as with PostgreSQL's own, which
# starts a psql for each look; see Kgwebhook::Sessions for what that costs.
#
#-------------------------------------------------------------------------
package Kgwebhook::Polling;

use strict;
use warnings;

use Kgwebhook::Sessions;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

# How long to wait between two looks: short at first, because most states come
# at once.
my $shortest = 20_000;
my $longest = 100_000;

=head2 ask_until($node, $dbname, $query, $accepts, $shortest, $longest)

Asks again and again, until $accepts->($output, $errors), for timeout_default seconds at
most; $shortest and $longest are microseconds between two looks.  Returns whether it was
accepted, and the last output and errors.

=cut

sub ask_until
{
	my ($node, $dbname, $query, $accepts, $wait, $most) = @_;
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
	my ($accepted, $out, $err);

	$wait //= $shortest;
	$most //= $longest;
	while (1)
	{
		($out, $err) = Kgwebhook::Sessions::ask($node, $dbname, $query, 0);
		$accepted = defined $out && $accepts->($out, $err);
		last if $accepted || time >= $deadline;
		usleep($wait);
		$wait = $wait * 1.5 < $most ? $wait * 1.5 : $most;
	}
	# a session in another database is in the way of what drops or copies it
	Kgwebhook::Sessions::end_sessions($node) if $dbname ne 'postgres';
	return ($accepted, $out // '', $err);
}

my $by_a_psql_each = \&PostgreSQL::Test::Cluster::poll_query_until;

sub poll_query_until
{
	my ($self, $dbname, $query, $expected) = @_;

	# Without a query, what is waited for is that a connection can be made.
	return $by_a_psql_each->(@_) unless defined $query;

	$expected = 't' unless defined $expected;
	my ($accepted, $out, $err) =
	  ask_until($self, $dbname, $query, sub { $_[0] eq $expected && $_[1] eq '' });
	return 1 if $accepted;
	diag "poll_query_until timed out executing this query:\n$query\n"
	  . "expecting this output:\n$expected\n"
	  . "last actual query output:\n$out\nwith stderr:\n$err";
	return 0;
}

{
	no warnings qw(redefine once);
	*PostgreSQL::Test::Cluster::poll_query_until = \&poll_query_until;
}

1;
