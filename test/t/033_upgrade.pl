#-------------------------------------------------------------------------
#
# test/t/033_upgrade.pl
#	  From this version to the next, which is made here of this one and of
#	  test/upgrade: the package first, then the server's restart, then ALTER
#	  EXTENSION UPDATE.  In each state in between payments commit, and what is
#	  committed is delivered or waits; and an upgrade ends with the
#	  same objects as a fresh install.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Cwd qw(getcwd);
use File::Copy qw(copy);
use Kgwebhook;
use PostgreSQL::Test::Utils;
use Test::More;

my $tree = getcwd;
my $tmp = PostgreSQL::Test::Utils::tempdir;
my $next_tree = "$tmp/next";

# This version: whatever the tree's control file says.
slurp_file('kgwebhook.control') =~ /^default_version = '([\d.]+)'/m
  or die 'no version in kgwebhook.control';
my $this = $1;
my $next = $this =~ s/(\d+)$/$1 + 1/er;

# Installs what is built in a tree as a package would: over the one before.
sub install
{
	my ($dir) = @_;

	run_log([ 'make', '-s', '-C', $dir, 'install', "PG_CONFIG=$tmp/bin/pg_config" ])
	  or die "could not install from $dir";
	return;
}

# What an upgrade script adds, a new version's install script has in its parts.
# Here all of it follows the part that closes what is not granted.
sub add_to_part
{
	my ($part, $script) = @_;

	$script =~ s/.*?SELECT kgwebhook\.on_install\(\);//s
	  or die 'an upgrade script does not begin as it should';
	open my $out, '>>', $part or die "could not open $part: $!";
	print $out $script;
	close $out or die "could not write $part: $!";
	return;
}

# The next version's tree.  Only what knows the version is compiled again.
sub make_next_tree
{
	mkdir $next_tree;
	run_log([ 'cp', '-a', 'Makefile', 'dev.mk', 'kgwebhook.control', 'src', 'install', $next_tree ]) or die;
	mkdir "$next_tree/install/upgrade";
	copy('test/upgrade/next.sql', "$next_tree/install/upgrade/kgwebhook--$this--$next.sql") or die;
	add_to_part("$next_tree/install/privileges.sql", slurp_file('test/upgrade/next.sql'));
	copy('test/upgrade/next.c', "$next_tree/src/api/next.c") or die;
	my $control = slurp_file('kgwebhook.control') =~ s/'\Q$this\E'/'$next'/r;
	open my $out, '>', "$next_tree/kgwebhook.control" or die;
	print $out $control;
	close $out or die;
	my $written = (stat 'kgwebhook.control')[9];
	utime $written, $written, "$next_tree/kgwebhook.control" or die;
	foreach my $source (glob("$next_tree/src/*/*.c"), glob("$next_tree/src/*/*/*.c"))
	{
		unlink $source =~ s/c$/o/r if slurp_file($source) =~ /KGW_VERSION/;
	}
	run_log(
		[
			'make', '-s', '-C', $next_tree,
			"PG_CONFIG=$tmp/bin/pg_config", 'COPT=' . ($ENV{KGW_COPT} || '')
		]) or die 'could not build the next version';
	return;
}

# A PostgreSQL of this test's own, because it is given another library midway.
chomp(my $bindir = `scripts/stage.sh $tmp/stage`);
die 'could not make a stage' if $? != 0;
symlink $bindir, "$tmp/bin" or die "could not link: $!";
make_next_tree();
$ENV{PATH} = "$bindir:$ENV{PATH}";

#
# Each upgrade script there is begins by asking the library
#
foreach my $script ('test/upgrade/next.sql', glob 'install/upgrade/kgwebhook--*.sql')
{
	my ($first) = slurp_file($script) =~ m{\\quit\n(?:\s|/\*.*?\*/|--[^\n]*\n)*([^;]*;)}s;
	is($first, 'SELECT kgwebhook.on_install();', "$script begins by asking the library");
}

#
# A busy server of this version
#
my $node = new_node(
	'main',
	'kgwebhook.request_timeout' => "'10min'",
	'kgwebhook.max_in_flight_per_destination' => '8');
my $secret = make_intents_table($node);
my $receiver = start_receiver(secret => $secret);
my $slow = start_receiver(secret => $secret);
my $ok = $receiver->url;
my $held = 40;

sub ids_in_queue { return $node->safe_psql('postgres', 'SELECT count(*) FROM kgwebhook.queue') }

sub extension_version
{
	return $node->safe_psql('postgres',
		q{SELECT extversion FROM pg_extension WHERE extname = 'kgwebhook'});
}

# A payment, and that it arrives.
sub is_delivered
{
	my ($id, $name) = @_;

	insert_intent($node, $id, $ok);
	wait_until_settled($node, "object_id = '$id'");
	is(scalar(requests_of($id)), 1, $name);
	return;
}

# What is refused: SQLSTATE, message, detail and hint.
sub refusal
{
	my ($sql) = @_;
	my ($ret, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql");

	return join "\n", $err =~ /^.*?ERROR:  (.*)$/m, $err =~ /^((?:DETAIL|HINT):  .*)$/mg;
}

# What a receiver got of payments with a prefix.
sub requests_of
{
	my ($prefix, $from) = @_;

	return ($from || $receiver)->requests(
		if => sub { $_[0]{json}{payment_intent_id} =~ /^$prefix/ });
}

# Held after as many have arrived, so that all that may be on the network are.
is(extension_version(), $this, "version $this");
insert_intents($node, 'opens', $held, $slow->url('/while/held/ok'));
wait_until_settled($node);
$slow->hold('held');
insert_intents($node, 'held', $held, $slow->url('/while/held/ok'));
$slow->wait_for_requests($held + 8);

#
# The package is there, the server runs on with the library it has
#
install($next_tree);
is( refusal('ALTER EXTENSION kgwebhook UPDATE'),
	"55000: the library of kgwebhook is older than the extension\n"
	  . qq{DETAIL:  The server has loaded version $this of the library; the extension in database "postgres" is version $next.\n}
	  . "HINT:  Install the library of version $next and restart the server.",
	'before the restart, ALTER EXTENSION UPDATE is refused');
is(extension_version(), $this, 'which changes nothing');
is_delivered('before', 'and deliveries go on');

#
# The server is restarted, the extension is the old one
#
my $log_end = -s $node->logfile;
$node->restart;
my ($worker) = wait_for_worker($node);
is_delivered('between', 'the new library serves the old extension');
like(
	slurp_file($node->logfile, $log_end),
	qr/WARNING:  the extension kgwebhook is older than its library.*DETAIL:  The server has loaded version \Q$next\E of the library; the extension in database "postgres" is version \Q$this\E, and is served as such\..*HINT:  Run ALTER EXTENSION kgwebhook UPDATE in that database\./s,
	'and reminds of what is still to be done');

#
# ALTER EXTENSION UPDATE, with requests on the network and more that wait
#
$slow->wait_for_requests($held + 9);
my $session = $node->background_psql('postgres', on_error_die => 1);
$session->query_safe(qq{INSERT INTO payment_intents (payment_intent_id, callback_url)
	VALUES ('session1', '$ok')});
is(ids_in_queue() >= $held, 1, 'a queue that is not empty');
$node->safe_psql('postgres', 'ALTER EXTENSION kgwebhook UPDATE');
is(extension_version(), $next, "version $next");
$session->query_safe(qq{INSERT INTO payment_intents (payment_intent_id, callback_url)
	VALUES ('session2', '$ok')});
$session->quit;
wait_until_settled($node, "object_id LIKE 'session%'");
is( join(' ', sort map { $_->{json}{payment_intent_id} } requests_of('session')),
	'session1 session2',
	'a session from before goes on');
is_delivered('after', 'deliveries go on');
is(join(' ', wait_for_worker($node)), $worker, 'by the same worker');
is($node->safe_psql('postgres', 'SELECT kgwebhook.next_library()'), $next, 'a new function');
is($node->safe_psql('postgres', 'SELECT next_notes FROM kgwebhook.stats'), 0, 'a view with more');
is( $node->safe_psql('postgres', "SELECT outcome, is_test FROM kg_send_test('$ok')"),
	'acknowledged|t', 'what returns rows of a table that has grown');
$slow->release('held');
wait_until_settled($node);
my (%times, %ids);
foreach (requests_of('held', $slow))
{
	$times{ $_->{json}{payment_intent_id} }++;
	$ids{ $_->{headers}{'webhook-id'} } = 1;
}
is(keys %times, $held, 'what was in flight and what waited arrives');
is(keys %ids, $held, 'under one name each');
is( scalar(grep { $_ > 2 } values %times) . ' ' . scalar(grep { $_ == 2 } values %times),
	'0 8', 'and only what the restart cut off comes twice');

#
# The package taken back: what the old library doesn't know it leaves alone
#
install($tree);
$node->restart;
insert_intent($node, 'kept', $ok);
$node->poll_query_until('postgres',
	q{SELECT last_error LIKE 'the library of kgwebhook is older than the extension%' FROM kgwebhook.stats})
  or die 'waited for the worker to refuse';
is(ids_in_queue(), 1, 'with a library that is too old, payments commit and their deliveries wait');
is($node->safe_psql('postgres', 'SELECT next_note IS NULL FROM kgwebhook.queue'),
	't', 'in rows that are whole');
is(scalar(requests_of('kept')), 0, 'nothing is sent');
install($next_tree);
$node->restart;
wait_until_settled($node);
is(scalar(requests_of('kept')), 1, 'until there is a library that knows');

#
# Upgraded or freshly installed, it is the same
#
$node->safe_psql('postgres', 'CREATE DATABASE fresh');
$node->safe_psql('fresh',
	'SET client_min_messages = warning; CREATE EXTENSION kgwebhook CASCADE');

# All that the extension consists of, as CREATE statements: as soon as nothing is
# a member any more, pg_dump dumps it like anyone's.
sub whole_of
{
	my ($database) = @_;
	my $config = $node->safe_psql(
		$database, q{
		SELECT c::regclass, condition
		  FROM pg_extension, unnest(extconfig, extcondition) AS u(c, condition)
		 WHERE extname = 'kgwebhook' ORDER BY 1::text});

	$node->safe_psql(
		$database, q{
		SET client_min_messages = warning;
		DROP TABLE IF EXISTS payment_intents;
		SELECT format('DROP TABLE %s', inhrelid::regclass)
		  FROM pg_inherits
		 WHERE inhparent = 'kgwebhook.delivery_log'::regclass
		   AND NOT EXISTS (SELECT FROM pg_depend
							WHERE classid = 'pg_class'::regclass AND objid = inhrelid
							  AND deptype = 'e') \gexec
		SELECT format('ALTER EXTENSION kgwebhook DROP %s %s', i.type, i.identity)
		  FROM pg_extension e
		  JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass
			   AND d.refobjid = e.oid AND d.deptype = 'e',
			   pg_identify_object(d.classid, d.objid, 0) i
		 WHERE e.extname = 'kgwebhook'
		   AND i.type IN ('event trigger', 'function', 'schema', 'sequence', 'table', 'type', 'view')
		   AND NOT EXISTS (SELECT FROM pg_type t
							WHERE d.classid = 'pg_type'::regclass AND t.oid = d.objid
							  AND (t.typrelid <> 0 OR t.typelem <> 0)) \gexec
	});
	is( $node->safe_psql(
			$database, q{
			SELECT i.type, i.identity
			  FROM pg_extension e
			  JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass
				   AND d.refobjid = e.oid AND d.deptype = 'e',
				   pg_identify_object(d.classid, d.objid, 0) i
			 WHERE e.extname = 'kgwebhook' AND d.classid <> 'pg_type'::regclass}),
		'', "all of it can be looked at ($database)");
	my ($dump, $err) = run_command([ 'pg_dump', '--schema-only', '--no-sync', '-d',
			$node->connstr($database) ]);

	# a random word of newer versions of pg_dump
	$dump =~ s/^\\(un)?restrict .*\n//mg;
	return "$config\n$dump";
}

my $upgraded = whole_of('postgres');
my $installed = whole_of('fresh');
like($installed, qr/^COMMENT ON COLUMN kgwebhook\.queue\.next_note IS/m, 'with comments');
like($installed, qr/^GRANT ALL ON FUNCTION kgwebhook\.next_library\(\) TO pg_monitor/m, 'with rights');
is($upgraded, $installed, "upgraded or freshly installed, version $next is the same");

$node->stop;
done_testing();
