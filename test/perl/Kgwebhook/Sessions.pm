#-------------------------------------------------------------------------
#
# test/perl/Kgwebhook/Sessions.pm
#	  One psql for what a test asks one thing after the other.
#
# PostgreSQL::Test::Cluster starts a psql, and with it a backend, for each
# statement.  That is 70 ms of CPU, and over all tests it was more than what they
# test.  Here safe_psql() and poll_query_until() keep a psql for a while, and give
# the next statement to it after DISCARD ALL.  What they return and die of is the
# same.
#
# A session that was kept is not in every respect a new one, so a psql of its own
# still runs what would notice: whatever another database is asked, psql's own
# commands, what stays open or held after its statement, what counts sessions, and
# what changes the settings that new sessions start with.  A session ends before its
# server stops or reads its settings again, and after two seconds: one that reads
# the log for the first time just while a partition is being attached may not see
# that partition until the next one is.
#
# If the server has gone and come back, DISCARD ALL fails, and since the statement
# was not sent before that, a new session can run it.
#
#-------------------------------------------------------------------------
package Kgwebhook::Sessions;

use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use Time::HiRes qw(time);

# How long a session lasts, seconds.
my $lifetime = 2;

# What needs a psql of its own.
my $needs_its_own = qr{
	\\
	| \b (?: BEGIN | START \s+ TRANSACTION | PREPARE | LISTEN | TEMP | TEMPORARY ) \b
	| advisory_lock
	| \b (?: CREATE | ALTER | DROP ) \s+ (?: DATABASE | ROLE | USER | EXTENSION | SYSTEM ) \b
	| pg_reload_conf | pg_terminate_backend | pg_cancel_backend | pg_backend_pid
	| pg_stat_ (?! activity [^;]* kgwebhook\ (?: worker | launcher ) )
}xi;

my $ready = 'what was before is forgotten';
my $mark = "end of an answer\n";

# Sessions by node and where they connect to.
my %kept;
my $owner = $$;

# Where a session would connect to, by all that says so.
sub place
{
	my ($node, $dbname) = @_;

	return join "\0", $node->name, $node->connstr($dbname),
	  map { "$_=$ENV{$_}" } grep { /^(PG|TZ$)/ } sort keys %ENV;
}

sub start_session
{
	my ($node, $dbname) = @_;
	my ($in, $out, $err) = ('', '', '');
	my @psql = ($node->installed_command('psql'), '-XAtq', '-d', $node->connstr($dbname), '-f', '-');

	return {
		node => $node->name,
		until => time + $lifetime,
		in => \$in,
		out => \$out,
		err => \$err,
		command => \@psql,
		psql => IPC::Run::start(\@psql, '<', \$in, '>', \$out, '2>', \$err)
	};
}

sub end_session
{
	my ($session) = @_;

	${ $session->{in} } = "\\q\n";
	eval { $session->{psql}->finish; 1 } or eval { $session->{psql}->kill_kill };
	return;
}

=head2 end_sessions($node)

Ends the sessions that are kept with a node, or all.

=cut

sub end_sessions
{
	my ($node) = @_;

	# those of a process that forked are not its children's
	%kept = () if $owner != $$;
	$owner = $$;
	foreach my $place (keys %kept)
	{
		next if $node && $kept{$place}{node} ne $node->name;
		end_session(delete $kept{$place});
	}
	return;
}

# Whether all has been said.
sub ends
{
	return substr($_[0], -length($mark)) eq $mark;
}

=head2 ask($node, $dbname, $sql, $stop_at_error)

Has a kept session run SQL.  Returns its output and its errors; or undef, the errors,
and the session, which has ended: by an error when it was to stop at one, or because
the server has gone.

=cut

sub ask
{
	my ($node, $dbname, $sql, $stop_at_error) = @_;
	local %ENV = $node->_get_env();
	my $place = place($node, $dbname);

	end_sessions() if $owner != $$;
	end_session(delete $kept{$place}) if $kept{$place} && time > $kept{$place}{until};
	while (1)
	{
		my $session = delete $kept{$place};
		my $is_new = !$session;

		$session //= start_session($node, $dbname);
		my ($out, $err) = ($session->{out}, $session->{err});
		# who looks again and again needn't forget what it asked for
		my $forgets = !$is_new && ($stop_at_error || $session->{sql} ne $sql);
		$$out = $$err = '';
		${ $session->{in} } =
			"\\set ON_ERROR_STOP 1\n"
		  . ($forgets ? "DISCARD ALL;\n" : '')
		  . "\\echo $ready\n"
		  . ($stop_at_error ? '' : "\\set ON_ERROR_STOP 0\n")
		  . "$sql\n;\n\\echo $mark\\warn $mark";
		if (eval { $session->{psql}->pump until ends($$out) && ends($$err); 1 })
		{
			$session->{sql} = $sql;
			$kept{$place} = $session;
		}
		else
		{
			my $why = $@;

			eval { $session->{psql}->finish };
			next if !$is_new && $$out !~ /^\Q$ready\E$/m;
			$$err ||= $why;
			undef $session->{in};
		}
		s/\Q$mark\E\z//, s/\A\Q$ready\E\n// for $$out, $$err;
		chomp(my @said = ($$out, $$err));
		return $session->{in} ? @said : (undef, $said[1], $session);
	}
}

my $by_its_own_psql = \&PostgreSQL::Test::Cluster::safe_psql;

sub safe_psql
{
	my ($self, $dbname, $sql, %params) = @_;

	if (%params || $dbname ne 'postgres' || $sql =~ $needs_its_own)
	{
		end_sessions($self);
		return $by_its_own_psql->(@_);
	}

	my ($out, $err, $ended) = ask($self, $dbname, $sql, 1);
	if ($ended)
	{
		my $status = $ended->{psql}->result(0) // 0;
		my $running = "while running '@{ $ended->{command} }'";

		die "connection error: '$err'\n$running" if $status == 2;
		die "error running SQL: '$err'\n$running with sql '$sql'";
	}
	print "#### Begin standard error\n$err\n#### End standard error\n" if $err ne '';
	return $out;
}

# What new sessions are not to find, or would not be like.
sub ends_sessions_first
{
	my ($method) = @_;
	my $does = PostgreSQL::Test::Cluster->can($method);

	return sub {
		my ($self) = @_;

		end_sessions($self);
		return $does->(@_);
	};
}

{
	no strict 'refs';
	no warnings qw(redefine once);
	foreach my $method (qw(start stop kill9 restart reload promote teardown_node))
	{
		*{"PostgreSQL::Test::Cluster::$method"} = ends_sessions_first($method);
	}
	*PostgreSQL::Test::Cluster::safe_psql = \&safe_psql;
}

END
{
	local $?;
	end_sessions();
}

1;
