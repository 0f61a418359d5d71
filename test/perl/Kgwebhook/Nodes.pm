#-------------------------------------------------------------------------
#
# test/perl/Kgwebhook/Nodes.pm
#	  What the tests of delivery nodes share: a source without the extension, and
#	  what it has committed as the oracle.
#
# The source's table is "orders": each change of a row raises "version", and a trigger
# of the source writes what was committed to "audit".  What a node has enqueued or
# sent is compared with that.
#
#-------------------------------------------------------------------------
package Kgwebhook::Nodes;

use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter qw(import);
use File::Basename qw(dirname);
use IPC::Run;
use Kgwebhook;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(orders_table new_source prepare_source new_delivery_node start_delivery_node follow wait_for_state wait_for_row
  start_order_writer wait_until_all_sent compare_with_audit);

my $table = q{
	CREATE TABLE orders (id text PRIMARY KEY, org_id text NOT NULL DEFAULT 'default', status text,
		version int NOT NULL DEFAULT 0, callback_url text, updated_at timestamptz NOT NULL DEFAULT clock_timestamp());};

# The table "orders", as SQL.
sub orders_table
{
	return $table;
}

# A server with the table and its audit, started; further settings as in postgresql.conf,
# and initdb's wal_segsize.
sub new_source
{
	my ($name, %conf) = @_;
	my $source = PostgreSQL::Test::Cluster->new($name);

	%conf = (
		'max_prepared_transactions' => 10, 'max_connections' => 30, 'max_wal_senders' => 20,
		'max_replication_slots' => 20, 'wal_sender_timeout' => "'20s'", %conf);
	my $segments = delete $conf{wal_segsize};
	init_cluster($source, !$segments, allows_streaming => 'logical', extra => [ $segments ? "--wal-segsize=$segments" : () ]);
	$source->append_conf('postgresql.conf', join "\n", map { "$_ = $conf{$_}" } sort keys %conf);
	$source->start;
	$source->safe_psql(
		'postgres', qq{
		$table
		CREATE TABLE audit (n bigserial, id text, org_id text, status text, version int);
		CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS \$\$
		BEGIN
			IF TG_OP = 'INSERT' OR NEW.status IS DISTINCT FROM OLD.status THEN
				INSERT INTO audit (id, org_id, status, version) VALUES (NEW.id, NEW.org_id, NEW.status, NEW.version);
			END IF;
			RETURN NULL;
		END \$\$;
		CREATE TRIGGER audit AFTER INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION audit()});
	return $source;
}

my $script = abs_path(dirname(__FILE__) . '/../../../sources/kgwebhook-source.sql');

# Runs kgwebhook-source.sql with variables; returns psql's exit code, output and errors.
sub prepare_source
{
	my ($source, %variables) = @_;
	my ($stdout, $stderr);

	%variables = (tables => 'orders', %variables);
	my $database = delete $variables{database} // 'postgres';
	my $user = delete $variables{user};
	IPC::Run::run(
		[ 'psql', '-X', '-q', '-d', $source->connstr($database), ($user ? ('-U', $user) : ()),
			(map { ('-v', "$_=$variables{$_}") } sort keys %variables), '-f', $script ],
		'<', \undef, '>', \$stdout, '2>', \$stderr);
	return ($? >> 8, $stdout, $stderr);
}

# A node that watches the table, with a secret for each organization.
sub new_delivery_node
{
	my ($name, $secret, %conf) = @_;
	my $node = init_node($name, 'wal_retrieve_retry_interval' => "'500ms'", 'max_worker_processes' => 20, %conf);

	start_delivery_node($node, $secret);
	return $node;
}

# Starts a server that has our settings, and makes it such a node.
sub start_delivery_node
{
	my ($node, $secret) = @_;

	$node->start;
	$node->safe_psql('postgres', 'SET client_min_messages = warning; CREATE EXTENSION kgwebhook CASCADE');
	$node->safe_psql(
		'postgres', "$table
		SELECT kg_set_secret(o, '$secret') FROM unnest('{default,o1,o2,o3,o4,o5}'::text[]) o;
		SELECT count(*) FROM kg_watch('orders', 'order', 'id', 'status', 'callback_url', 'org_id',
			'{\"id\": \"id\", \"status\": \"status\", \"version\": \"version\", \"org_id\": \"org_id\",
			  \"at\": \"\$occurred_at\", \"sequence\": \"\$sequence\"}')");
	return;
}

# Has a node follow the source as "src".
sub follow
{
	my ($node, $source, $as) = @_;

	$node->safe_psql('postgres',
		"SELECT kg_follow('src', '@{[ $source->connstr ]} dbname=postgres', 'orders', '$as')");
	wait_for_state($node, 'streaming');
	return;
}

# Waits until a source (src) of a node is in a state.
sub wait_for_state
{
	my ($node, $state, $name) = @_;

	$name //= 'src';
	return if $node->poll_query_until('postgres', "SELECT state = '$state' FROM kgwebhook.sources WHERE source = '$name'");
	die "waited for source $name to be $state: " . $node->safe_psql('postgres', "SELECT state, why FROM kgwebhook.sources WHERE source = '$name'");
}

# Waits until a query on a node answers "t"; dies with what was waited for.
sub wait_for_row
{
	my ($node, $query, $what) = @_;

	$node->poll_query_until('postgres', $query) or die 'waited for ' . ($what // $query);
	return;
}

# Starts a session that writes orders "wN-0" to "wN-39" of o1 to o4, each with a new status s1, s2, ... each
# time, until there is a table "stop"; one after each pause, in seconds.
sub start_order_writer
{
	my ($source, $n, $url, $pause) = @_;
	my $output = '';

	$pause //= 0.01;
	return IPC::Run::start(
		[ 'psql', '-X', '-q', '-d', $source->connstr('postgres'), '-c', qq{
			DO \$\$ DECLARE n int := 0; BEGIN
				WHILE to_regclass('stop') IS NULL LOOP
					n := n + 1;
					INSERT INTO orders (id, org_id, status, callback_url)
						VALUES ('w$n-' || n % 40, 'o' || 1 + n % 4, 's' || n, '$url')
						ON CONFLICT (id) DO UPDATE SET status = excluded.status, version = orders.version + 1;
					COMMIT;
					PERFORM pg_sleep($pause);
				END LOOP;
			END \$\$} ],
		'>&', \$output);
}

# Waits until each move is over, and the nodes have applied and sent all that the source has committed.
sub wait_until_all_sent
{
	my ($source, @nodes) = @_;

	wait_for_row($source, q{SELECT bool_and(released) FROM kgsource.route}, 'every release');
	foreach my $node (@nodes)
	{
		my $slot = $node->safe_psql('postgres', 'SELECT slot FROM kgwebhook.source');
		my $lsn = $source->safe_psql('postgres', 'SELECT pg_current_wal_lsn()');

		wait_for_row($source, "SELECT confirmed_flush_lsn >= '$lsn' FROM pg_replication_slots WHERE slot_name = '$slot'", $node->name . ' to catch up');
		wait_for_row($node, 'SELECT NOT EXISTS (SELECT FROM kgwebhook.held) AND NOT EXISTS (SELECT FROM kgwebhook.queue)', $node->name . ' to be done');
	}
	return;
}

# What writers have committed, beside what the receiver got: nothing lost, nothing made up, nothing under two
# identifiers, each object in order.
sub compare_with_audit
{
	my ($source, $receiver) = @_;
	my (%got, %ids, %last, @disorder);

	foreach my $r ($receiver->requests)
	{
		my ($id, $status) = ($r->{json}{id}, $r->{json}{status});

		next unless $id =~ /^w/;
		my $first = !$got{"$id $status"}++;
		$ids{"$id $status"}{ $r->{headers}{'webhook-id'} } = 1;
		(my $n = $status) =~ s/^s//;
		push @disorder, "$id $status" if $first && $n < ($last{$id} // 0);
		$last{$id} = $n if $first;
	}
	my @committed = split /\n/, $source->safe_psql('postgres', q{SELECT id || ' ' || status FROM audit WHERE id LIKE 'w%'});
	my %committed = map { $_ => 1 } @committed;
	is(scalar(grep { !$got{$_} } @committed), 0, 'nothing is lost of ' . @committed);
	is(scalar(grep { !$committed{$_} } keys %got), 0, 'nothing is made up');
	is(scalar(grep { keys %$_ > 1 } values %ids), 0, 'nothing has two webhook-ids');
	is("@disorder", '', 'each object is in order');
	diag(scalar(grep { $_ > 1 } values %got) . ' of ' . @committed . ' arrived twice');
	return;
}

1;
