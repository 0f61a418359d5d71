#-------------------------------------------------------------------------
#
# test/t/090_readme.pl
#	  README.md and docs/*.md do what they say.
#
# Their sessions are typed again, and what comes out is compared; the README's
# receiver is saved as a file, started, and gets a delivery twice and a forgery;
# and the reference (README.md, and docs/tables.md for columns) names every
# setting, function and column that there is, and none that there isn't.
#
# Where a session gives other output, the document as it should be is left in
# check-output/, under its own name.  Have a look, and copy it.
#
# docs/receiving.md has programs, which 091_receiving.pl judges.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use File::Basename qw(basename dirname);
use lib dirname(__FILE__) . '/../perl';

use Cwd qw(abs_path);
use File::Copy qw(copy);
use IO::Socket::INET;
use IPC::Run qw(run);
use Kgwebhook;
use MIME::Base64;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Readme;
use Test::More;
use Time::HiRes qw(usleep);

my $top = abs_path(dirname(__FILE__) . '/../..');

# In the order in which their sessions are typed, all in one database: anyone who
# reads goes from the README to the operator's page, and that begins with the
# deliveries which the README has made.
my @documents = ('README.md', 'docs/operations.md');
push @documents, grep { $_ ne $documents[1] } map { 'docs/' . basename($_) } sort glob "$top/docs/*.md";
my %text_of = map { $_ => Readme->load("$top/$_") } @documents;
my $readme = $text_of{'README.md'};
my $dir = PostgreSQL::Test::Utils::tempdir('readme');
my %programs = $readme->programs;

# Ports of the documents, and those that are free here.
my %ports = map { $_ => PostgreSQL::Test::Cluster::get_free_port() } 18080 .. 18083;

#
# Helpers
#

sub spew
{
	my ($name, $bytes) = @_;

	open my $file, '>:raw', "$dir/$name" or die "could not write $name: $!";
	print $file $bytes;
	close $file or die "could not write $name: $!";
	return "$dir/$name";
}

sub one_line
{
	return join ' ', split ' ', $_[0];
}

# From their ports to ours, or back.
sub with_ports
{
	my ($text, %map) = @_;

	$text =~ s/(127\.0\.0\.1(?::| port ))$_\b/$1$map{$_}/g foreach keys %map;
	return $text;
}

# Runs a command; returns what it printed, without the last end of line.
sub output_of
{
	my ($env, @command) = @_;
	my $out;

	local %ENV = (%ENV, %$env);
	run \@command, '<', \undef, '>', \$out, '2>&1';
	$out =~ s/\n\z//;
	return $out;
}

# Types a statement into psql, as a person would.
my $node;

sub type_in
{
	my ($database, $sql) = @_;
	my $out;

	$sql = with_ports($sql, %ports);
	run [ 'psql', '-X', '-d', $node->connstr($database) ], '<', \$sql, '>', \$out, '2>&1';
	return with_ports($out, reverse %ports);
}

# The same until the output is as expected, if asking again does no harm.  After
# one that never was, the others aren't waited for as long.
my $patience = $PostgreSQL::Test::Utils::timeout_default;

sub type_until
{
	my ($statement) = @_;
	my $expected = Readme::mask($statement->{output});
	my $asks = $statement->{sql} =~ /^SELECT\b.*\bFROM kgwebhook\./s;
	my $end = time + $patience;
	my $out;

	for (;;)
	{
		$out = type_in($statement->{database}, $statement->{sql});
		last if !$asks || Readme::mask($out) eq $expected || time >= $end;
		usleep(50_000);
	}
	return $out;
}

# Runs a session of a document, which is corrected when it gives other output.
my %changed;

sub run_session
{
	my ($document, $block) = @_;
	my $good = 1;
	my $text = '';

	foreach my $statement (Readme::statements($block))
	{
		my $out = type_until($statement);
		my $same = is(Readme::mask($out), Readme::mask($statement->{output}),
			"$document: " . one_line($statement->{sql}));

		$good &&= $same;
		$patience = 3 unless $same;
		$text .= $statement->{input}
		  . ($same ? $statement->{output} : $out =~ s/\n*\z/\n/r);
	}
	return if $good;
	$text_of{$document}->replace($block, $text);
	$changed{$document} = 1;
	return;
}

#
# The sessions
#

my ($conf) = map { $_->{text} } $readme->blocks('ini');
ok($conf, 'README has settings for trying it');
$node = PostgreSQL::Test::Cluster->new('main');
$node->init;
# So that what waits for its second attempt still does when we look.
$node->append_conf('postgresql.conf',
	"shared_preload_libraries = 'kgwebhook'\nkgwebhook.retry_schedule = '1h,1h'\n$conf");
$node->start;
$node->safe_psql('postgres', "CREATE DATABASE $_") foreach 'shop', 'drill', 'moving';

spew($_, $programs{$_}) foreach keys %programs;

# What a reader of docs/coming-from.md has: the parts of pg_net and Hasura that are
# in the database, as if everything were sent at once.
$node->safe_psql('moving', q{
	CREATE SCHEMA net;
	CREATE UNLOGGED TABLE net.http_request_queue (id bigint, url text, body jsonb);
	CREATE TABLE net.sent (body jsonb);
	CREATE FUNCTION net.http_post(url text, body jsonb) RETURNS bigint LANGUAGE sql
		AS 'INSERT INTO net.sent VALUES (body) RETURNING 1::bigint';
	CREATE SCHEMA hdb_catalog;
	CREATE TABLE hdb_catalog.event_log (payload jsonb NOT NULL, delivered boolean NOT NULL, error boolean NOT NULL);
	CREATE FUNCTION hdb_catalog.notify() RETURNS trigger LANGUAGE plpgsql
		AS $$ BEGIN INSERT INTO hdb_catalog.event_log VALUES (to_jsonb(NEW), true, false); RETURN NULL; END $$;
	CREATE TABLE parcels (id bigint PRIMARY KEY, state text NOT NULL);
	CREATE TRIGGER "notify_hasura_parcels_hook_INSERT" AFTER INSERT ON parcels FOR EACH ROW EXECUTE FUNCTION hdb_catalog.notify();
	CREATE TRIGGER "notify_hasura_parcels_hook_UPDATE" AFTER UPDATE ON parcels FOR EACH ROW EXECUTE FUNCTION hdb_catalog.notify();
	INSERT INTO parcels VALUES (1, 'sent');
});

# Servers of the documents, to be ended by their process ids.
my @servers;

sub start_server
{
	my ($log, $secret, $port, @command) = @_;
	my $pid = fork;

	die "could not fork: $!" unless defined $pid;
	if ($pid == 0)
	{
		chdir $dir;
		$ENV{WEBHOOK_SECRET} = $secret;
		$ENV{PORT} = $port;
		open STDOUT, '>>', "$dir/$log";
		open STDERR, '>&', \*STDOUT;
		{ exec @command };
		POSIX::_exit(127);
	}
	push @servers, $pid;
	wait_for_port($port);
	return;
}

# The last one that was started.
sub stop_server
{
	my $pid = pop @servers;

	kill 'TERM', $pid;
	waitpid $pid, 0;
	return;
}

END
{
	my $exit_code = $?;

	stop_server() while @servers;
	$? = $exit_code;
}

sub secret_of
{
	my ($database) = @_;

	return $node->safe_psql($database, 'SELECT secret FROM kgwebhook.secret');
}

my $secret;
my @pages;

foreach my $document (@documents)
{
	foreach my $block ($text_of{$document}->blocks('psql', 'sh'))
	{
		# what is typed into a shell, where it is about the receiver
		if ($block->{lang} eq 'sh')
		{
			start_server('drill.log', secret_of('drill'), $ports{18082}, 'python3', 'receiver.py')
			  if $block->{text} =~ /PORT=18082/;
			start_server('moving.log', secret_of('moving'), $ports{18083}, 'python3', 'receiver.py')
			  if $block->{text} =~ /PORT=18083/;
			stop_server() if $block->{text} eq "kill %1\n";
			push @pages, $node->safe_psql('drill', $1)
			  if $block->{text} =~ /^psql -d drill -Atc '(.*)' > page.html$/;
			next;
		}
		if (!defined $secret && $block->{text} =~ /kg_send_test/)
		{
			$secret = secret_of('shop');
			start_server('receiver.log', $secret, $ports{18080}, 'python3', 'receiver.py');
		}
		run_session($document, $block);
	}
}

# The page of docs/rehearsal.md, during the outage and after it.
is(scalar(@pages), 2, 'docs/rehearsal.md: the page is made twice');
like($pages[0], $_, "docs/rehearsal.md: the page of the outage has $_")
  foreach qr/back office/, qr/its receiver has acknowledged nothing/, qr{<span class="amount">60\.0 <abbr>EUR</abbr>}, qr/the connection was refused/;
unlike($pages[1], $_, "docs/rehearsal.md: and the one after it hasn't $_")
  foreach qr/back office/, qr{<span class="amount">};

# What the receiver of docs/rehearsal.md has done: two tests, and four payments.
my @done = slurp_file("$dir/drill.log") =~ /^payment_intent\.(\w+) msg_/mg;
is("@{[ sort @done ]}", 'pending pending pending pending success success success success success success',
	'docs/rehearsal.md: each event is done once');

# docs/coming-from.md: between the former senders and ours, each event once.
my @moved = slurp_file("$dir/moving.log") =~ /^(\w+\.\w+) \S+$/mg;
is("@{[ sort @moved ]}", 'invoice.issued invoice.paid invoice.paid order.paid parcel.delivered payout.paid refund.paid',
	'docs/coming-from.md: what came after the change is sent once');
is($node->safe_psql('moving', q{SELECT (SELECT string_agg(body ->> 'state', ' ') FROM net.sent),
	                                   (SELECT string_agg(payload ->> 'state', ' ') FROM hdb_catalog.event_log)}),
	'placed|sent', 'docs/coming-from.md: the former triggers had what came before');
is($node->safe_psql('moving', q{SELECT count(*) FROM kgwebhook.delivery_log l JOIN outbox o ON o.event_id::text = l.webhook_id AND o.invoice = l.object_id}),
	3, 'docs/coming-from.md: an outbox keeps its identifiers');

sub wait_for_port
{
	my ($port) = @_;
	my $end = time + $PostgreSQL::Test::Utils::timeout_default;

	until (IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port))
	{
		die "nobody listens at port $port: " . join '', map { slurp_file($_) } glob "$dir/*.log"
		  if time >= $end;
		usleep(20_000);
	}
	return;
}

my ($printed) = $readme->blocks('receiver');
my $said = slurp_file("$dir/receiver.log") =~ s/^order.*//msr;
unless (is(Readme::mask($said), Readme::mask($printed->{text}),
		'README: what the receiver printed'))
{
	$readme->replace($printed, $said);
	$changed{'README.md'} = 1;
}

foreach my $document (defined $ENV{KGW_OUTPUT} ? sort keys %changed : ())
{
	my $name = basename($document);

	open my $out, '>', "$ENV{KGW_OUTPUT}/$name" or die "could not write $name: $!";
	print $out $text_of{$document}->text;
	close $out;
	diag("$document as it should be is in check-output/$name");
}

#
# The other examples of SQL are at least good SQL
#

# An example as it can be tried without changing anything: queries are planned,
# and what gives rights is taken back, with the roles that it gives them to.
sub harmless
{
	my ($sql) = @_;

	$sql =~ s/^(?=SELECT|DELETE)/EXPLAIN /mg;
	return $sql if $sql !~ /^(CREATE ROLE|GRANT|CREATE POLICY)/m;

	my %made = map { $_ => 1 } $sql =~ /^CREATE ROLE (\w+)/mg;
	my %roles = map { $_ => 1 } grep { !$made{$_} } $sql =~ /\bTO (\w+)/g;
	return join('', 'BEGIN; ', (map { "CREATE ROLE $_; " } sort keys %roles), $sql, 'ROLLBACK');
}

foreach my $document (@documents)
{
	next if $document eq 'docs/receiving.md';	# its database is a receiver's

	foreach my $sql (map { $_->{text} } $text_of{$document}->blocks('sql'))
	{
		next if $sql =~ /^(CREATE|ALTER) EXTENSION/;
		is(($node->psql('shop', harmless($sql)))[0], 0, "$document: " . one_line($sql));
	}
}
$node->safe_psql('shop', 'ALTER SYSTEM RESET kgwebhook.enabled');
$node->reload;

#
# The receiver: each event once, forgeries never
#
my $wire = start_receiver(secret => $secret);
$node->safe_psql('shop',
	"INSERT INTO payment_intents (payment_intent_id, crypto_amount, callback_url)
	 VALUES ('pi_wire', '300.0', '" . $wire->url . "')");
my ($got) = $wire->wait_for_requests(1);
is($got->{valid}, 1, 'the delivery is valid to third parties');

my $body = decode_base64($got->{body_base64});
my %headers = %{ $got->{headers} };
my $tampered = $body =~ s/"300\.0"/"900.0"/r;

sub post
{
	my ($port, $body_file) = @_;

	return output_of({}, 'curl', '-s', '-o', "$dir/answer", '-w', '%{http_code}',
		(map { ('-H', "$_: $headers{$_}") } grep { /^webhook-|^content-type/ } sort keys %headers),
		'--data-binary', "\@$body_file", "http://127.0.0.1:$port/");
}

is(post($ports{18080}, spew('body.json', $tampered)), 401, 'receiver.py refuses a forgery');
is(post($ports{18080}, spew('body.json', $body)), 200, 'it takes the delivery');
is(post($ports{18080}, spew('body.json', $body)), 200, 'it takes it twice');
is(() = slurp_file("$dir/receiver.log") =~ /$headers{'webhook-id'}/g, 1, 'it does it once');
is_deeply([ keys %programs ], ['receiver.py'], 'there is no other program in the README');

#
# The reference
#
my $settings = $node->safe_psql('shop', q{
	SELECT format('| `%s` |%s| %s |', name,
	              CASE WHEN boot = '' THEN ' ' ELSE ' `' || boot || '` ' END,
	              CASE context WHEN 'postmaster' THEN 'on restart' WHEN 'user' THEN 'at any time'
	                           ELSE 'on reload' END)
	  FROM (SELECT name, context,
	               CASE WHEN vartype = 'bool' OR unit IS NULL THEN boot_val
	                    ELSE current_setting(name) END AS boot
	          FROM pg_settings WHERE name LIKE 'kgwebhook.%') s
	 WHERE name <> 'kgwebhook.retry_schedule'
	 UNION ALL
	SELECT format('| `%s` | `%s` | on reload |', name, boot_val)
	  FROM pg_settings WHERE name = 'kgwebhook.retry_schedule'
	 ORDER BY 1});
is( join("\n", sort($readme->section('Settings') =~ /^(\| `kgwebhook\..*?\|.*?\|.*?\|)/mg)),
	$settings,
	'README has every setting, its default and when it takes effect');

# Arguments and result, without defaults, which the server spells its own way.
sub signature
{
	my ($text) = @_;

	$text =~ s/\s+/ /g;
	$text =~ s/ DEFAULT ('[^']*'|\w+(\(\))?)//g;
	$text =~ s/timestamp with time zone/timestamptz/g;
	return $text;
}

my $reference = $readme->section('SQL reference');
my @functions = map { signature($_) }
  split /\n/, $node->safe_psql('shop', q{
	SELECT format('%s(%s) → %s', p.proname, pg_get_function_identity_arguments(p.oid),
	              pg_get_function_result(p.oid))
	  FROM pg_depend d
	  JOIN pg_proc p ON p.oid = d.objid
	 WHERE d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
	   AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'kgwebhook')
	   AND p.pronamespace <> 'kgwebhook'::regnamespace});
is_deeply(
	[ sort map { signature($_) } $reference =~ /^```\n(kg_\w+\(.*?)\n```$/msg ],
	[ sort @functions ],
	'README has every function as it is');
foreach my $name (map { /^(\w+)/ } @functions)
{
	like($reference, qr/^#### $name$/m, "README: $name() under its own heading");
}

foreach my $document (@documents)
{
	my %mentioned = map { $_ => 1 } $text_of{$document}->text =~ /\b(kg_[a-z_]+)\b/g;
	delete $mentioned{$_} foreach map { /^(\w+)/ } @functions;
	is_deeply([ sort keys %mentioned ], [], "$document has no function that there isn't");
}

my @relations = split /\n/, $node->safe_psql('shop', q{
	SELECT relname FROM pg_class
	 WHERE relnamespace = 'kgwebhook'::regnamespace AND relkind IN ('r', 'p', 'v')
	   AND NOT relispartition ORDER BY 1});
my $tables = $text_of{'docs/tables.md'};
is_deeply([ sort $readme->section('Tables and views') =~ /^\| \[`kgwebhook\.(\w+)`\]/mg ],
	\@relations, 'README has every table and view');
is_deeply([ sort $tables->text =~ /^## kgwebhook\.(\w+)$/mg ],
	\@relations, 'docs/tables.md has every table and view');
foreach my $relation (@relations)
{
	my @rows = $tables->section("kgwebhook.$relation") =~ /^\| (`[^|]+) \|/mg;
	my $columns = $node->safe_psql('shop', "
		SELECT string_agg(attname, ' ' ORDER BY attname) FROM pg_attribute
		 WHERE attrelid = 'kgwebhook.$relation'::regclass AND attnum > 0 AND NOT attisdropped");

	is(join(' ', sort map { /`(\w+)`/g } @rows),
		join(' ', sort split / /, $columns), "docs/tables.md has every column of kgwebhook.$relation");
}

done_testing();
