#-------------------------------------------------------------------------
#
# test/perl/Kgwebhook/Polling.pm
#	  poll_query_until() by one psql for as long as it waits.
#
# PostgreSQL's own starts a psql, and with it a backend, for each look.  That is
# 30 ms of CPU ten times a second, and over all tests more than what they test.
# Here one psql gets the query again and again; another takes its place when the
# server has gone and come back, and every other second: a session that reads the
# log for the first time just while a partition is being attached may not see that
# partition until the next one is.  What is looked for, and for how long, is the
# same.
#
#-------------------------------------------------------------------------
package Kgwebhook::Polling;

use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

# How long to wait between two looks: short at first, because most states come
# at once.
my $shortest = 20_000;
my $longest = 100_000;

# How long a session lasts, seconds.
my $lifetime = 2;

my $mark = 'end of a look';

# Runs the query in the session, and returns its output and its errors; or
# undef and why, if the session is over.
sub look
{
	my ($session, $query) = @_;
	my ($out, $err) = ($session->{out}, $session->{err});

	$$out = $$err = '';
	${ $session->{in} } = "$query\n;\n\\echo $mark\n\\warn $mark\n";
	eval {
		$session->{psql}->pump
		  until $$out =~ /^\Q$mark\E$/m && $$err =~ /^\Q$mark\E$/m;
		1;
	} or return (undef, $$err || $@);
	s/^\Q$mark\E\n//m for $$out, $$err;
	chomp($$out, $$err);
	return ($$out, $$err);
}

sub start_session
{
	my ($node, $dbname) = @_;
	my ($in, $out, $err) = ('', '', '');

	return {
		until => time + $lifetime,
		in => \$in,
		out => \$out,
		err => \$err,
		psql => IPC::Run::start(
			[ $node->installed_command('psql'), '-XAtq', '-d', $node->connstr($dbname) ],
			'<', \$in, '>', \$out, '2>', \$err)
	};
}

sub end_session
{
	my ($session) = @_;

	${ $session->{in} } = "\\q\n";
	eval { $session->{psql}->finish; 1 } or eval { $session->{psql}->kill_kill };
	return;
}

=head2 ask_until($node, $dbname, $query, $accepts, $shortest, $longest)

Asks again and again, until $accepts->($output, $errors), for timeout_default seconds at
most; $shortest and $longest are microseconds between two looks.  Returns whether it was
accepted, and the last output and errors.

=cut

sub ask_until
{
	my ($node, $dbname, $query, $accepts, $wait, $most) = @_;
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
	my $accepted = 0;
	my ($session, $out, $err);

	$wait //= $shortest;
	$most //= $longest;
	local %ENV = $node->_get_env();
	while (1)
	{
		if ($session && time > $session->{until})
		{
			end_session($session);
			undef $session;
		}
		$session //= start_session($node, $dbname);
		($out, $err) = look($session, $query);
		if (!defined $out)
		{
			end_session($session);
			undef $session;
		}
		elsif ($accepts->($out, $err))
		{
			$accepted = 1;
			last;
		}
		last if time >= $deadline;
		usleep($wait);
		$wait = $wait * 1.5 < $most ? $wait * 1.5 : $most;
	}
	end_session($session) if $session;
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
