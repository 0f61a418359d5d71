#-------------------------------------------------------------------------
#
# test/t/090_readme.pl
#	  README.md does what it says.
#
# Its sessions are typed again, and what comes out is compared; its programs are
# saved as files and judge a real delivery, whole, tampered with and stale; and
# its reference names every setting, function and column that there is, and
# none that there isn't.
#
# Where a session gives other output, the README as it should be is left in
# check-output/README.md.  Have a look, and copy it.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use File::Basename qw(basename dirname);
use lib dirname(__FILE__) . '/../docs';

use Cwd qw(abs_path);
use File::Copy qw(copy);
use IO::Socket::INET;
use IPC::Run qw(run);
use JSON::PP;
use Kgwebhook;
use MIME::Base64;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Readme;
use Test::More;
use Time::HiRes qw(usleep);

my $top = abs_path(dirname(__FILE__) . '/../..');
my $readme = Readme->load("$top/README.md");
my $dir = PostgreSQL::Test::Utils::tempdir('readme');
my %programs = $readme->programs;

# Ports of the README, and those that are free here.
my %ports = map { $_ => PostgreSQL::Test::Cluster::get_free_port() } 18080, 18081;

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

# From the README's ports to ours, or back.
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
	my ($sql) = @_;
	my $out;

	$sql = with_ports($sql, %ports);
	run [ 'psql', '-X', '-d', $node->connstr('shop') ], '<', \$sql, '>', \$out, '2>&1';
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
		$out = type_in($statement->{sql});
		last if !$asks || Readme::mask($out) eq $expected || time >= $end;
		usleep(50_000);
	}
	return $out;
}

# Runs one of the README's sessions; true when all was as it says.
sub run_session
{
	my ($block) = @_;
	my $good = 1;
	my $text = '';

	foreach my $statement (Readme::statements($block))
	{
		my $out = type_until($statement);
		my $same = is(Readme::mask($out), Readme::mask($statement->{output}),
			'README: ' . one_line($statement->{sql}));

		$good &&= $same;
		$patience = 3 unless $same;
		$text .= $statement->{input}
		  . ($same ? $statement->{output} : $out =~ s/\n*\z/\n/r);
	}
	$readme->replace($block, $text) unless $good;
	return $good;
}

#
# The sessions, in the order of the README
#

my ($conf) = map { $_->{text} } $readme->blocks('ini');
ok($conf, 'README has settings for trying it');
$node = PostgreSQL::Test::Cluster->new('main');
$node->init;
# So that what waits for its second attempt still does when we look.
$node->append_conf('postgresql.conf',
	"shared_preload_libraries = 'kgwebhook'\nkgwebhook.retry_schedule = '1h,1h'\n$conf");
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE shop');

spew($_, $programs{$_}) foreach keys %programs;
symlink "$top/test/receivers/node_modules", "$dir/node_modules"
  or die "could not link node_modules: $!";

# Servers of the README, to be ended by their process ids.
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
		open STDOUT, '>', "$dir/$log";
		open STDERR, '>&', \*STDOUT;
		{ exec @command };
		POSIX::_exit(127);
	}
	push @servers, $pid;
	return;
}

END
{
	my $exit_code = $?;

	kill 'TERM', $_ foreach @servers;
	waitpid $_, 0 foreach @servers;
	$? = $exit_code;
}

my $secret;
my $changed = 0;

foreach my $block ($readme->blocks('psql'))
{
	if (!defined $secret && $block->{text} =~ /kg_send_test/)
	{
		$secret = $node->safe_psql('shop', 'SELECT secret FROM kgwebhook.secret');
		start_server('receiver.log', $secret, $ports{18080},
			'python3', 'receiver.py');
		wait_for_port($ports{18080});
	}
	$changed = 1 unless run_session($block);
}

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
	$changed = 1;
}

if ($changed && defined $ENV{KGW_OUTPUT})
{
	open my $out, '>', "$ENV{KGW_OUTPUT}/README.md";
	print $out $readme->text;
	close $out;
	diag('the README as it should be is in check-output/README.md');
}

#
# The other examples of SQL are at least good SQL
#
foreach my $block ($readme->blocks('sql'))
{
	my $sql = $block->{text};

	next if $sql =~ /^CREATE EXTENSION/;
	$sql =~ s/^/EXPLAIN / if $sql =~ /^(SELECT|DELETE)/;
	$sql = "BEGIN; CREATE ROLE oncall; $sql ROLLBACK" if $sql =~ /^GRANT/;
	is(($node->psql('shop', $sql))[0], 0, 'README: ' . one_line($sql));
}
$node->safe_psql('shop', 'ALTER SYSTEM RESET kgwebhook.enabled');
$node->reload;

#
# The verifiers, on a delivery with all that makes canonical JSON hard
#
my $wire = start_receiver(secret => $secret);
my $order_data = '{"😂": 1, "ﬃ": "Zoë\u0007\"\\\\", "10": 1e-7, "9a": 0.000001, '
  . '"timestamp": 5, "signature": "x", "big": 1e21, "less": 123456789012345680000, '
  . '"half": -0.5, "cents": 19.90, "list": [null, true, {"b": [], "a": {}}]}';
$node->safe_psql('shop',
	"INSERT INTO payment_intents (payment_intent_id, crypto_amount, order_data, callback_url)
	 VALUES ('pi_wire', '300.0', '$order_data', '" . $wire->url . "')");
my ($got) = $wire->wait_for_requests(1);
is($got->{valid}, 1, 'the delivery is valid to third parties');

my $body = decode_base64($got->{body_base64});
my %headers = %{ $got->{headers} };
my $now = $got->{json}{timestamp};

# A request for each thing that can be wrong: [ headers, body, clock, secret ].
my $tampered = $body =~ s/"300\.0"/"900.0"/r;
my $unsigned = $body =~ s/,"signature":"[0-9a-f]{64}"\}\z/}/r;
my $other_secret = 'whsec_' . encode_base64('x' x 32, '');
my %cases = (
	'as it came' => [ \%headers, $body, $now, $secret ],
	'five minutes later' => [ \%headers, $body, $now + 300, $secret ],
	'five minutes earlier' => [ \%headers, $body, $now - 300, $secret ],
	'stale' => [ \%headers, $body, $now + 301, $secret ],
	'an hour stale' => [ \%headers, $body, $now + 3600, $secret ],
	'from the future' => [ \%headers, $body, $now - 301, $secret ],
	'tampered with' => [ \%headers, $tampered, $now, $secret ],
	'without signature' => [ { %headers, 'webhook-signature' => '' }, $unsigned, $now, $secret ],
	'by another secret' => [ \%headers, $body, $now, $other_secret ],
	'with another id' => [ { %headers, 'webhook-id' => 'msg_0' }, $body, $now, $secret ],
	'with two signatures' => [
		{ %headers, 'webhook-signature' => "v1,AAAA $headers{'webhook-signature'}" },
		$body, $now, $secret ]);
my %good = map { $_ => 1 } 'as it came', 'five minutes later',
  'five minutes earlier', 'with two signatures';

# A clock for the shell.
mkdir "$dir/bin";
spew('bin/date', "#!/bin/sh\necho \$KGW_NOW\n");
chmod 0755, "$dir/bin/date";

# How each verifier is asked.
my $node_driver = "$top/test/docs/verify.mjs";
my $python_driver = "$top/test/docs/verify.py";
my %verifiers = (
	'receiver.py' => sub { ('python3', $python_driver, "$dir/receiver.py", @_) },
	'verify_body.py' => sub { ('python3', $python_driver, "$dir/verify_body.py", @_) },
	'verify_body.py, parsed' =>
	  sub { ('python3', $python_driver, "$dir/verify_body.py", @_, 'parsed') },
	'verify-standard.mjs' => sub { ('node', $node_driver, "$dir/verify-standard.mjs", @_) },
	'verify-body.mjs' => sub { ('node', $node_driver, "$dir/verify-body.mjs", @_) },
	'verify-parsed.mjs' => sub { ('node', $node_driver, "$dir/verify-parsed.mjs", @_) },
	'verify-header.sh' => sub {
		my ($file, $body_file) = @_;
		my $h = decode_json(slurp_file($file));
		('sh', "$dir/verify-header.sh", @$h{qw(webhook-id webhook-timestamp webhook-signature)},
			$body_file);
	},
	'verify-body.sh' => sub { ('sh', "$dir/verify-body.sh", $_[1]) });

# Headers are not what the body's signature covers.
my %covers_id = map { $_ => 1 } 'receiver.py', 'verify-standard.mjs', 'verify-header.sh';

is_deeply(
	[ sort(map { s/, parsed//r } grep { !/,/ } keys %verifiers), 'server.mjs' ],
	[ sort(grep { $_ ne 'server.mjs' } keys %programs), 'server.mjs' ],
	'every program of the README is tested here');

foreach my $verifier (sort keys %verifiers)
{
	foreach my $case (sort keys %cases)
	{
		my ($headers, $bytes, $clock, $key) = @{ $cases{$case} };
		my $said = output_of(
			{
				WEBHOOK_SECRET => $key,
				KGW_NOW => $clock,
				PATH => "$dir/bin:$ENV{PATH}",
				PYTHONDONTWRITEBYTECODE => 1
			},
			$verifiers{$verifier}->(
				spew('headers.json', encode_json($headers)),
				spew('body.json', $bytes), $clock));

		if ($good{$case} || ($case eq 'with another id' && !$covers_id{$verifier}))
		{
			like($said, qr/^(valid|pending)$/, "$verifier: $case");
		}
		else
		{
			like($said, qr/^(refused: .+|no signature|wrong signature|stale|from the future)$/,
				"$verifier: $case is refused");
		}
	}
}

#
# The servers: each event once, forgeries never
#
my $server_port = PostgreSQL::Test::Cluster::get_free_port();
start_server('server.log', $secret, $server_port, 'node', 'server.mjs');
wait_for_port($server_port);

sub post
{
	my ($port, $body_file) = @_;

	return output_of({}, 'curl', '-s', '-o', "$dir/answer", '-w', '%{http_code}',
		(map { ('-H', "$_: $headers{$_}") } grep { /^webhook-|^content-type/ } sort keys %headers),
		'--data-binary', "\@$body_file", "http://127.0.0.1:$port/");
}

foreach my $server ([ 'receiver.py', 'receiver.log', $ports{18080} ],
	[ 'server.mjs', 'server.log', $server_port ])
{
	my ($name, $log, $port) = @$server;

	is(post($port, spew('body.json', $tampered)), 401, "$name refuses a forgery");
	is(post($port, spew('body.json', $body)), 200, "$name takes the delivery");
	is(post($port, spew('body.json', $body)), 200, "$name takes it twice");
	is(() = slurp_file("$dir/$log") =~ /$headers{'webhook-id'}/g, 1, "$name does it once");
}

#
# Python's canonical form against ours
#
my $numbers = output_of({ PYTHONDONTWRITEBYTECODE => 1 }, 'python3', '-c', <<"PYTHON");
import json, random, struct, sys
sys.path.insert(0, '$dir')
from verify_body import canonical
random.seed(8785)
bits = [random.getrandbits(64) for i in range(2000)]
floats = [struct.unpack('<d', struct.pack('<Q', b))[0] for b in bits]
floats += [m * 10.0 ** e for e in range(-9, 24) for m in (1, 1.5, -123.25)]
floats = [f for f in floats if f - f == 0] + [0.0, -0.0, 5e-324, 1e21, 1e-6, 1e-7]
print(json.dumps(floats))
print(canonical(floats))
PYTHON
my ($plain, $canonical) = split /\n/, $numbers;
is($node->safe_psql('shop', "SELECT kg_canonical_json('$plain')"),
	$canonical, 'Python canonicalises numbers as the extension does');

#
# The reference
#
my $settings = $node->safe_psql('shop', q{
	SELECT format('| `%s` |%s| on %s |', name,
	              CASE WHEN boot = '' THEN ' ' ELSE ' `' || boot || '` ' END,
	              CASE context WHEN 'postmaster' THEN 'restart' ELSE 'reload' END)
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

my %mentioned = map { $_ => 1 } $readme->text =~ /\b(kg_[a-z_]+)\b/g;
delete $mentioned{$_} foreach map { /^(\w+)/ } @functions;
is_deeply([ sort keys %mentioned ], [], 'README has no function that there isn\'t');

my @relations = split /\n/, $node->safe_psql('shop', q{
	SELECT relname FROM pg_class
	 WHERE relnamespace = 'kgwebhook'::regnamespace AND relkind IN ('r', 'p', 'v')
	   AND NOT relispartition ORDER BY 1});
is_deeply([ sort $reference =~ /^#### kgwebhook\.(\w+)$/mg ],
	\@relations, 'README has every table and view');
foreach my $relation (@relations)
{
	my @rows = $readme->section("kgwebhook.$relation") =~ /^\| (`[^|]+) \|/mg;
	my $columns = $node->safe_psql('shop', "
		SELECT string_agg(attname, ' ' ORDER BY attname) FROM pg_attribute
		 WHERE attrelid = 'kgwebhook.$relation'::regclass AND attnum > 0 AND NOT attisdropped");

	is(join(' ', sort map { /`(\w+)`/g } @rows),
		join(' ', sort split / /, $columns), "README has every column of kgwebhook.$relation");
}

#
# Links lead somewhere
#
# What the headings of a text can be linked by.
sub anchors_of
{
	my ($text) = @_;

	return map {
		my $anchor = lc;
		$anchor =~ s/[^\w\- ]//g;
		$anchor =~ tr/ /-/;
		$anchor => 1
	} $text =~ /^#+ (.*)$/mg;
}

# Whether a link of a document leads to a file that is there, and a heading in it.
sub leads_somewhere
{
	my ($document, $link) = @_;
	my ($file, $anchor) = split /#/, $link, 2;
	my $path = $file eq '' ? "$top/$document" : dirname("$top/$document") . "/$file";

	return 0 unless -e $path;
	return 1 unless defined $anchor;
	return { anchors_of(slurp_file($path)) }->{$anchor};
}

foreach my $document ('README.md', 'SECURITY.md', map { "docs/$_" } map { basename($_) } glob "$top/docs/*.md")
{
	foreach my $link (slurp_file("$top/$document") =~ /\]\(([^)]+)\)/g)
	{
		next if $link =~ /^https:/;
		ok(leads_somewhere($document, $link), "$document: link to $link");
	}
}

done_testing();
