#-------------------------------------------------------------------------
#
# test/perl/Kgwebhook.pm
#	  What the TAP tests share: a server that delivers, and receivers.
#
# A node is PostgreSQL::Test::Cluster's, so everything its documentation
# promises works on it.  A receiver is a process of its own
# (test/receivers/receiver.mjs); what it got is read from the file that it
# writes before it answers.  So once an attempt is in delivery_log, its request
# is in ->requests.
#
# Nothing here sleeps for a while and hopes.  What is waited for is a state,
# looked at every 20 ms, for PG_TEST_TIMEOUT_DEFAULT seconds (180) at most.
#
#	  use Kgwebhook;
#	  my $node = new_node('main', 'kgwebhook.retry_schedule' => "'1s'");
#	  my $secret = $node->safe_psql('postgres', 'SELECT kg_create_secret()');
#	  my $receiver = start_receiver(secret => $secret);
#	  ... insert with callback_url = $receiver->url('/fail/1/ok') ...
#	  my @got = $receiver->wait_for_requests(2);
#	  is($got[1]{valid}, 1, 'signed again');
#
#-------------------------------------------------------------------------
package Kgwebhook;

use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter qw(import);
use File::Basename qw(basename dirname);
use Kgwebhook::Polling;
use Kgwebhook::Receiver;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(
  new_node init_node init_cluster configure_node start_receiver make_intents_table insert_intent
  insert_intents make_plain_table set_status open_endpoint wait_for_log_rows attempt_at wait_until_settled
  delivery_log wait_for_worker worker_pids memory_of memory_peak memory_has reload build_library sql_error
);

# How many nodes are copies of the one cluster, one at most.
my $copied = 0;

# Settings of a test's server, as in postgresql.conf; new_node overrides them.
my %default_conf = (
	'shared_preload_libraries' => "'kgwebhook'",
	'kgwebhook.allow_http' => 'on',
	'kgwebhook.allowed_networks' => "'127.0.0.0/8, ::1/128'",
	'kgwebhook.retry_schedule' => "'200ms,200ms,200ms'",
	'kgwebhook.retry_jitter' => '0',
	'kgwebhook.request_timeout' => "'60s'",	# no noise of the machine's is a timeout
	'max_prepared_transactions' => '10',
	'max_connections' => '20',
	'log_min_messages' => 'info',
	'log_line_prefix' => "'%m [%p] %b %q%a '");

=pod

=head2 init_node($name, %conf)

Makes a node with our settings, neither started nor with the extension.  A
value is written to postgresql.conf as it stands, so strings bring their own
quotes; undef leaves a default of ours out.

A program's first node is a copy of the cluster that scripts/check.sh made once
for all: initdb takes seven times as long as copying.  The others are made by
initdb, because copies have one system identifier, and by that we tell servers
apart.

=cut

sub init_node
{
	my ($name, %conf) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	init_cluster($node, 1);
	configure_node($node, %conf);
	return $node;
}

=head2 init_cluster($node, $may_copy, %options)

What $node->init(%options) does; the program's first one by copying, if that is allowed.

=cut

sub init_cluster
{
	my ($node, $may_copy, %options) = @_;
	my $copy = $may_copy && !$copied++;
	my $run = \&PostgreSQL::Test::Utils::system_or_bail;

	no warnings 'redefine';
	local *PostgreSQL::Test::Utils::system_or_bail = sub {
		my ($program) = @_;

		return $run->(@_) if $program ne 'initdb' || !$copy || !defined $ENV{KGW_TEMPLATE};
		return $run->('cp', '-RPp', $ENV{KGW_TEMPLATE}, $node->data_dir);
	};

	$node->init(%options);
	return;
}

=pod

=head2 configure_node($node, %conf)

Gives our settings to a node that was made in another way.

=cut

sub configure_node
{
	my ($node, %conf) = @_;

	%conf = (%default_conf, %conf);
	$node->append_conf('postgresql.conf',
		join "\n",
		map { "$_ = $conf{$_}" } grep { defined $conf{$_} } sort keys %conf);
	return;
}

=head2 new_node($name, %conf)

The same, started, with the extension in the database postgres.

=cut

sub new_node
{
	my $node = init_node(@_);

	$node->start;
	$node->safe_psql('postgres',
		'SET client_min_messages = warning;
		 CREATE EXTENSION kgwebhook CASCADE');
	return $node;
}

=head2 start_receiver(%options)

Starts a receiver and returns it once it listens.  See Kgwebhook::Receiver.

=cut

sub start_receiver
{
	return Kgwebhook::Receiver->start(@_);
}

=head2 make_intents_table($node)

The ready-made payment_intents, and a secret for the organization "default",
which is returned.

=cut

sub make_intents_table
{
	my ($node) = @_;

	return $node->safe_psql(
		'postgres', q{
		SELECT kg_create_payment_intents() \gset
		SELECT kg_create_secret()});
}

=head2 insert_intent($node, $id, $url, %columns)

A pending payment intent.  Other columns are given as SQL expressions; a $url
of undef is NULL.

=cut

sub insert_intent
{
	my ($node, $id, $url, %columns) = @_;

	%columns = (
		payment_intent_id => quote($id),
		callback_url => quote($url),
		status => "'pending'",
		payment_chain_id => "'1'",
		symbol => "'USDT'",
		fiat_amount => "'300.0'",
		fiat_currency => "'USD'",
		crypto_amount => "'300.0'",
		%columns);
	my @names = sort keys %columns;
	$node->safe_psql('postgres',
			'INSERT INTO payment_intents ('
		  . join(', ', @names)
		  . ') VALUES ('
		  . join(', ', @columns{@names})
		  . ')');
	return;
}

=head2 insert_intents($node, $prefix, $n, $url)

So many pending payment intents to one URL, in one statement: ${prefix}1 and on.

=cut

sub insert_intents
{
	my ($node, $prefix, $n, $url) = @_;

	$node->safe_psql(
		'postgres', qq{
		INSERT INTO payment_intents (payment_intent_id, callback_url)
		SELECT '$prefix' || i, '$url' FROM generate_series(1, $n) i});
	return;
}

=head2 make_plain_table($node, $receiver)

The extension on a node of init_node(); a table t (id, status, callback_url),
watched as kind t; and a secret, which the receiver gets.

=cut

sub make_plain_table
{
	my ($node, $receiver) = @_;

	$node->safe_psql(
		'postgres', q{
		SET client_min_messages = warning;
		CREATE EXTENSION kgwebhook CASCADE;
		CREATE TABLE t (id text, status text, callback_url text);
		SELECT kg_watch('t', event => 't', id_column => 'id', org_column => NULL)});
	$receiver->set_secret($node->safe_psql('postgres', 'SELECT kg_create_secret()'));
	return;
}

=head2 set_status($node, $id, $status)

Moves a payment intent on.

=cut

sub set_status
{
	my ($node, $id, $status) = @_;

	$node->safe_psql('postgres',
			'UPDATE payment_intents SET status = '
		  . quote($status)
		  . ' WHERE payment_intent_id = '
		  . quote($id));
	return;
}

=head2 wait_for_log_rows($node, $n, $where)

Waits until delivery_log has at least $n rows for which the SQL condition
$where holds (all rows by default); returns delivery_log($node, $where).

=cut

sub wait_for_log_rows
{
	my ($node, $n, $where) = @_;

	$where = 'true' unless defined $where;
	$node->poll_query_until('postgres',
		"SELECT count(*) >= $n FROM kgwebhook.delivery_log WHERE $where")
	  or die "waited for $n rows of delivery_log where $where";
	return delivery_log($node, $where);
}

=head2 attempt_at($node, $url)

The first attempt of a new intent's event, as delivery_log() returns it.

=cut

my $attempts = 0;

sub attempt_at
{
	my ($node, $url) = @_;
	my $id = 'attempt' . ++$attempts;

	insert_intent($node, $id, $url);
	return (wait_for_log_rows($node, 1, "object_id = '$id'"))[0];
}

=head2 open_endpoint($node, $url)

Has an endpoint acknowledge so much that it is trusted with sixteen requests at a
time: of one that is new, nothing is known, and it gets two.

=cut

sub open_endpoint
{
	my ($node, $url) = @_;

	$node->safe_psql(
		'postgres', qq{
		INSERT INTO payment_intents (payment_intent_id, callback_url)
		SELECT 'opens' || gen_random_uuid(), '$url' FROM generate_series(1, 16)});
	wait_until_settled($node, "object_id LIKE 'opens%'");
	return;
}

=head2 wait_until_settled($node, $where)

Waits until no delivery for which $where holds is left in the queue.

=cut

sub wait_until_settled
{
	my ($node, $where) = @_;

	$where = 'true' unless defined $where;
	$node->poll_query_until('postgres',
		"SELECT NOT EXISTS (SELECT FROM kgwebhook.queue WHERE $where)")
	  or die "waited for an empty queue where $where";
	return;
}

=head2 delivery_log($node, $where)

The attempts for which $where holds, oldest first, as hashes by column.

=cut

sub delivery_log
{
	my ($node, $where) = @_;

	$where = 'true' unless defined $where;
	my $rows = $node->safe_psql('postgres',
			"SELECT to_jsonb(l) FROM kgwebhook.delivery_log l WHERE $where "
		  . 'ORDER BY attempt_id');
	return map { Kgwebhook::Receiver::decode($_) } split /\n/, $rows;
}

=head2 worker_pids($node, $database)

Process ids of a database's workers.

=cut

sub worker_pids
{
	my ($node, $database) = @_;

	return split /\n/,
	  $node->safe_psql('postgres',
			q{SELECT pid FROM pg_stat_activity
			   WHERE backend_type = 'kgwebhook worker' AND datname = }
		  . quote($database)
		  . ' ORDER BY pid');
}

=head2 memory_of($pid)

A process's own memory (RssAnon), in kB.

=cut

sub memory_of
{
	my ($pid) = @_;

	slurp_file("/proc/$pid/status") =~ /^RssAnon:\s+(\d+) kB/m or die "no RssAnon of $pid";
	return $1;
}

=head2 memory_peak($pid)

The most memory that a process has had so far, in kB.

=cut

sub memory_peak
{
	my ($pid) = @_;

	slurp_file("/proc/$pid/status") =~ /^VmHWM:\s+(\d+) kB/m or die "no VmHWM of $pid";
	return $1;
}

=head2 memory_has($pid, $text)

Whether a text is in memory that a process has of its own; undef when that cannot be read.

=cut

sub memory_has
{
	my ($pid, $text) = @_;

	open my $memory, '<:raw', "/proc/$pid/mem" or return undef;
	my @areas = slurp_file("/proc/$pid/maps") =~ /^([0-9a-f]+)-([0-9a-f]+) rw.p/mg;
	while (my ($begin, $end) = map { hex } splice @areas, 0, 2)
	{
		sysseek $memory, $begin, 0;
		sysread $memory, my $bytes, $end - $begin;
		return 1 if index($bytes // '', $text) >= 0;
	}
	return 0;
}

=head2 wait_for_worker($node, $database, $n)

Waits until a database (postgres) has exactly $n workers (1); returns their
process ids.

=cut

sub wait_for_worker
{
	my ($node, $database, $n) = @_;

	$database = 'postgres' unless defined $database;
	$n = 1 unless defined $n;
	$node->poll_query_until('postgres',
			"SELECT count(*) = $n FROM pg_stat_activity"
		  . q{ WHERE backend_type = 'kgwebhook worker' AND datname = }
		  . quote($database))
	  or die "waited for $n workers of $database";
	return worker_pids($node, $database);
}

=head2 reload($node, %conf)

Changes settings, written as in postgresql.conf, and returns when the workers of
the database postgres go by them.

A reload reaches the workers by way of the postmaster, at a time that nobody
can see.  So they are told directly as well, and then asked for a sign of life
which they give no earlier.

=cut

sub reload
{
	my ($node, %conf) = @_;
	my $log_end = -s $node->logfile;

	$node->append_conf('postgresql.conf',
		join "\n", map { "$_ = $conf{$_}" } sort keys %conf);
	$node->reload;
	foreach my $pid (worker_pids($node, 'postgres'))
	{
		kill 'HUP', $pid;
		$node->safe_psql('postgres', "SELECT pg_log_backend_memory_contexts($pid)");
		$node->wait_for_log(qr/logging memory contexts of PID $pid\b/, $log_end);
	}
	return;
}

=head2 build_library($source)

Compiles a library to preload from test/$source.c, such as preload/shifted_clock;
returns its path.

=cut

sub build_library
{
	my ($source) = @_;
	my $library = PostgreSQL::Test::Utils::tempdir('library') . '/' . basename($source) . '.so';

	system('gcc', '-shared', '-fPIC', '-o', $library,
		abs_path(dirname(__FILE__) . "/../$source.c"), '-ldl') == 0
	  or die "could not build $source";
	return $library;
}

=head2 sql_error($node, $sql, $database)

What psql says of an error, with its SQLSTATE.

=cut

sub sql_error
{
	my ($node, $sql, $database) = @_;
	my (undef, undef, $error) = $node->psql($database || 'postgres', $sql,
		extra_params => [ '-v', 'VERBOSITY=verbose' ]);

	return $error;
}

# An SQL literal.
sub quote
{
	my ($text) = @_;

	return 'NULL' unless defined $text;
	$text =~ s/'/''/g;
	return "'$text'";
}

1;
