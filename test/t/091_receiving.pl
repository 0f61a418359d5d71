#-------------------------------------------------------------------------
#
# test/t/091_receiving.pl
#	  docs/receiving.md does what it says.
#
# Its programs are saved as files and judge real deliveries: an ordinary one
# with all that makes canonical JSON hard, one in the middle of a rotation, one
# of kg_send_test(), and the guide's own example.  Each is judged as it came and
# with one thing wrong with it.  The clock is an argument, so the five minutes
# are tested to the second.
#
# All languages are Debian's, and scripts/deps.sh installs them: one that isn't
# here is a failure.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/../perl';

use Cwd qw(abs_path);
use Digest::SHA qw(hmac_sha256);
use IPC::Run qw(run start);
use Judge;
use Kgwebhook;
use MIME::Base64;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Readme;
use Test::More;
use Time::HiRes qw(usleep);

my $top = abs_path(dirname(__FILE__) . '/../..');
my $guide = Readme->load("$top/docs/receiving.md");
my %programs = $guide->programs;
my %readme_programs = Readme->load("$top/README.md")->programs;
my $dir = PostgreSQL::Test::Utils::tempdir('receiving');
my @verifiers = Judge::verifiers($dir);

$programs{'receiver.py'} = $readme_programs{'receiver.py'};
Judge::spew("$dir/$_", $programs{$_}) foreach keys %programs;
symlink "$top/test/receivers/node_modules", "$dir/node_modules"
  or die "could not link node_modules: $!";
my %tested = map { $_->{program} => 1 } @verifiers;
# those that go by a public key: 121_signing_keys.pl
is_deeply([ sort(keys %tested, 'server.mjs', 'verify-key.mjs', 'verify_key.py') ], [ sort keys %programs ],
	'every program of the guide is tested here');

# The README's receiver verifies as the guide does.
my ($guides) = $programs{'verify_header.py'} =~ /^(def verify.*)\z/ms;
ok(index($programs{'receiver.py'}, $guides) > 0, 'receiver.py has the verifier of the guide');

#
# Deliveries
#
my $node = new_node('main');
my $secret = make_intents_table($node);
my $receiver = start_receiver(secret => $secret);

# A request as a verifier sees it, from what the receiver got.
sub request
{
	my ($got) = @_;
	my %headers = %{ $got->{headers} };

	return {
		id => $headers{'webhook-id'},
		timestamp => $headers{'webhook-timestamp'},
		signature => $headers{'webhook-signature'},
		body => decode_base64($got->{body_base64}),
		secrets => $secret,
		now => $got->{json}{timestamp},
		parsed => $got->{json}{timestamp}
	};
}

my $order_data = '{"😂": 1, "ﬃ": "Zoë\u0007\"\\\\", "10": 1e-7, "9a": 0.000001, '
  . '"timestamp": 5, "signature": "x", "big": 1e21, "less": 123456789012345680000, '
  . '"half": -0.5, "cents": 19.90, "list": [null, true, {"b": [], "a": {}}]}';
insert_intent($node, 'pi_hard', $receiver->url, order_data => "'$order_data'");
my $hard = ($receiver->wait_for_requests(1))[0];
is($hard->{valid}, 1, 'the delivery is valid to third parties');

$node->safe_psql('postgres', "SELECT kg_send_test('@{[ $receiver->url ]}')");
my $test = ($receiver->wait_for_requests(2))[1];
like($test->{json}{payment_intent_id}, qr/^pi_test_/, 'a test is known by its identifier');

my $new = $node->safe_psql('postgres', 'SELECT kg_rotate_secret()');
insert_intent($node, 'pi_rotation', $receiver->url);
my $rotation = ($receiver->wait_for_requests(3))[2];

# Secrets that the parties agreed on: what is not base64, what is without being
# meant to be, and what the decoder of Standard Webhooks lets pass.
my %agreed = (
	'of words' => 'correct-horse-battery-staple',
	'of words, after the prefix' => 'whsec_correct-horse-battery-staple',
	'of letters' => 'ThisIsAllLettersAndDigits1',
	'of letters, one left over' => 'ThisIsAllLettersAndDigits',
	'of letters, a hyphen left over' => 'ThisIsAllLettersAndDigit-',
	'of letters, one = too many' => 'ThisIsAllLettersAndDigits123=');
foreach my $kind (sort keys %agreed)
{
	$node->safe_psql('postgres', "SELECT kg_set_secret('default', '$agreed{$kind}')");
	insert_intent($node, $kind =~ s/\W+/_/gr, $receiver->url);
	# or a worker that is slow would sign it by the next one
	wait_until_settled($node);
}
my @agreed = ($receiver->wait_for_requests(3 + keys %agreed))[ 3 .. 2 + keys %agreed ];
my %by_id = map { $_->{json}{payment_intent_id} => $_ } @agreed;

# The guide's example.
my ($block) = $guide->blocks('http');
my ($head, $body) = split /\n\n/, $block->{text}, 2;
my %example = map { /^webhook-(\w+): (.*)$/ ? ($1 => $2) : () } split /\n/, $head;
chomp $body;
my $example = {
	(map { $_ => $example{$_} } qw(id timestamp signature)),
	body => $body,
	secrets => $guide->text =~ /The secret is `(whsec_[^`]+)`/,
	now => $guide->text =~ /the clock stands at (\d+)/,
	parsed => $example{timestamp}
};
is( $node->safe_psql('postgres',
		"SELECT kg_verify('$body', '$example->{secrets}', at => to_timestamp($example->{now}))"),
	'valid', 'the example is valid');

#
# Cases: what a verifier says, by what it goes by
#
my $outsider = 'whsec_' . encode_base64('x' x 32, '');
my @cases;

# What is expected is for all ways, or for (header, body).
sub add_case
{
	my ($name, $got, $change, @expected) = @_;
	my $request = $got->{body_base64} ? request($got) : {%$got};

	@expected = (@expected) x 2 if @expected == 1;
	%$request = (%$request, %$change);
	my $case = "$dir/case" . scalar @cases;
	mkdir $case;
	Judge::spew("$case/$_", $request->{$_}) foreach keys %$request;
	push @cases,
	  {
		name => $name,
		dir => $case,
		header => $expected[0],
		body => $expected[1],
		parsed => $expected[1]
	  };
	return;
}

my $wire = request($hard);
my $unsigned = $wire->{body} =~ s/,"signature":"[0-9a-f]{64}"\}\z/}/r;
my $wrong = 'refused: wrong signature';
add_case('as it came', $hard, {}, 'valid');
add_case('five minutes later', $hard, { now => $wire->{now} + 300 }, 'valid');
add_case('five minutes earlier', $hard, { now => $wire->{now} - 300 }, 'valid');
add_case('a second later', $hard, { now => $wire->{now} + 301 }, 'refused: stale');
add_case('an hour later', $hard, { now => $wire->{now} + 3600 }, 'refused: stale');
add_case('a second earlier', $hard, { now => $wire->{now} - 301 }, 'refused: from the future');
add_case('with another amount', $hard, { body => $wire->{body} =~ s/"300\.0"/"900.0"/r }, $wrong);
add_case('with another stamp', $hard,
	{ timestamp => $wire->{timestamp} + 1 }, $wrong, 'valid');
add_case('with a stamp in its order_data', $hard,
	{ body => $wire->{body} =~ s/"timestamp":5/"timestamp":6/r }, $wrong);
add_case('without signature', $hard,
	{ signature => '', body => $unsigned }, $wrong, 'refused: no signature');
add_case('with an empty signature', $hard,
	{ signature => 'v1,', body => $unsigned =~ s/\}\z/,"signature":""}/r },
	$wrong, 'refused: no signature');
add_case('by another secret', $hard, { secrets => $outsider }, $wrong);
add_case('by the second secret of two', $hard, { secrets => "$outsider $secret" }, 'valid');
add_case('with another id', $hard, { id => 'msg_0' }, $wrong, 'valid');
add_case('with a signature before it', $hard,
	{ signature => "v1,AAAA $wire->{signature}" }, 'valid');
add_case('with a signature of another version', $hard,
	{ signature => $wire->{signature} =~ s/^v1/v2/r }, $wrong, 'valid');
add_case('a test', $test, {}, 'valid');
add_case('the example', $example, {}, 'valid');
add_case('the example today', $example, { now => time }, 'refused: stale');
foreach my $kind (sort keys %agreed)
{
	add_case("a secret $kind", $by_id{ $kind =~ s/\W+/_/gr }, { secrets => $agreed{$kind} }, 'valid');
}
add_case('by an empty secret', $hard,
	{
		secrets => 'whsec_',
		signature => join(' ',
			map { 'v1,' . encode_base64(hmac_sha256("$wire->{id}.$wire->{timestamp}.$wire->{body}", $_), '') }
			  ('', 'whsec_'))
	},
	'refused: no secret', $wrong);
add_case('rotation, old secret', $rotation, { secrets => $secret }, 'valid');
add_case('rotation, new secret', $rotation, { secrets => $new }, 'valid', $wrong);
add_case('rotation, both', $rotation, { secrets => "$new $secret" }, 'valid');

#
# Judgments
#
my %built;

foreach my $verifier (@verifiers)
{
	my ($name, $language, $way) = @$verifier{qw(name language way)};

  SKIP:
	{
		unless (Judge::is_here($verifier->{needs}))
		{
			fail("$name: there is no $verifier->{needs} here");
			skip "no $verifier->{needs} here", scalar @cases;
		}
		unless ($built{$language}++)
		{
			is(Judge::build($language, $dir), '', "$language: compiles without a warning");
		}
		my @said = Judge::judgments($verifier, $dir, map { $_->{dir} } @cases);
		is(scalar @said, scalar @cases, "$name: judges every case")
		  or diag(join "\n", @said);
		foreach my $case (@cases)
		{
			my $said = shift @said // '';
			my $expected = $case->{$way};

			# A library has words of its own, and what lacks a signature has a wrong one.
			$said =~ s/: .*/: .../, $expected =~ s/: .*/: .../
			  if $verifier->{program} eq 'verify-header.mjs';
			$said =~ s/no signature/wrong signature/, $expected =~ s/no signature/wrong signature/
			  if $way ne 'body';
			is($said, $expected, "$name: $case->{name}");
		}
	}
}

# Without a clock, the shell's go by the machine's.
foreach my $program ('verify-header.sh "$(cat id)" "$(cat timestamp)" "$(cat signature)"', 'verify-body.sh')
{
	my ($case) = grep { $_->{name} eq 'the example' } @cases;
	run [ 'sh', '-c', "cd $case->{dir} && WEBHOOK_SECRET=\$(cat secrets) sh $dir/$program body" ],
	  '>&', \my $said;
	my $expected = time > $example->{now} + 300 ? "stale\n" : "from the future\n";
	is($said, $expected, ($program =~ /^(\S+)/)[0] . ': goes by the machine\'s clock');
}

#
# Recipes: what can be checked without the frameworks
#
my %recipes = map { /^\*\*([\w.\/]+)\*\*.*?^```\w+\n(.*?)^```$/ms ? ($1 => $2) : () }
  split /^(?=\*\*\w)/m, $guide->section('The raw body');
is_deeply(
	[ sort keys %recipes ],
	[ sort qw(Express Next Fastify Flask Django FastAPI Laravel Rails Spring net/http ASP.NET) ],
	'each framework has a recipe');
my %check = (
	(map { $_ => [ 'node', '--check', 'recipe.mjs' ] } qw(Express Next Fastify)),
	(map { $_ => [ 'python3', '-c', 'compile(open("recipe.py").read(), "recipe", "exec")' ] }
		  qw(Flask Django FastAPI)),
	Laravel => [ 'php', '-l', 'recipe.php' ],
	Rails => [ 'ruby', '-wc', 'recipe.rb' ],
	'net/http' => [ 'go', 'vet', './webhook' ]);
foreach my $framework (sort keys %check)
{
	my ($file) = grep { /^recipe/ } @{ $check{$framework} };
	my $in = $dir;
	my $text = $recipes{$framework};

	if ($framework eq 'Laravel')
	{
		$text = "<?php\n$text";
	}
	elsif ($framework eq 'net/http')
	{
		$in = "$dir/go";
		$file = 'webhook/recipe.go';
		$text = join "\n", 'package webhook', (map { "import \"$_\"" } qw(io net/http time)),
		  'var secrets []string', 'func inbox(id string, body []byte) error { return nil }',
		  'var _ http.HandlerFunc = webhooks', $text;
	}
	Judge::spew("$in/" . ($file // 'recipe.py'), $text);
	local %ENV = (%ENV, Judge::go_environment($dir));
	run $check{$framework}, '<', \undef, '>&', \my $said, init => sub { chdir $in };
	is($?, 0, "the recipe for $framework can be read") or diag($said);
}

#
# Serializers that are not canonical: on the sample they fail, and not because
# the program is wrong
#
my %naive = (
	Node => [
		'node', '-e',
		'const { signature, ...rest } = JSON.parse(fs.readFileSync(0)); process.stdout.write(JSON.stringify(rest))'
	],
	Python => [
		'python3', '-c',
		'import json, sys; rest = json.load(sys.stdin.buffer); del rest["signature"]; '
		  . 'sys.stdout.buffer.write(json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())'
	],
	PHP => [
		'php', '-r',
		'$rest = json_decode(stream_get_contents(STDIN), true); unset($rest["signature"]); '
		  . 'echo json_encode($rest, JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE);'
	],
	Ruby => [
		'ruby', '-rjson', '-e',
		'rest = JSON.parse($stdin.read); rest.delete("signature"); print JSON.generate(rest)'
	]);
foreach my $language (sort keys %naive)
{
	my $plain = '{"a":"b","timestamp":1';
	my $signed = $body =~ s/,"signature":"[0-9a-f]{64}"\}\z/}/r;
	run $naive{$language}, '<', \qq($plain,"signature":"00"}), '>', \my $said;
	is($said, "$plain}", "$language: serializes what is plain as it came");
	run $naive{$language}, '<', \$body, '>', \$said;
	like($said, qr/"status":"success"/, "$language: serializes the sample");
	isnt($said, $signed, "$language: but not as it was signed");
}

#
# The server: each event once, forgeries never
#
my $port = PostgreSQL::Test::Cluster::get_free_port();
my ($log, $server) = ('');
{
	local $ENV{WEBHOOK_SECRET} = "$new $secret";
	local $ENV{PORT} = $port;
	$server = start [ 'node', 'server.mjs' ], '<', \undef, '>&', \$log, init => sub { chdir $dir };
}
END
{
	my $exit_code = $?;

	$server->kill_kill if $server;
	$? = $exit_code;
}

sub post
{
	my ($body) = @_;
	my $status;

	Judge::spew("$dir/posted", $body);
	run [
		'curl', '-s', '-o', "$dir/answer", '-w', '%{http_code}', '--retry', 20,
		'--retry-connrefused', '--retry-delay', 1,
		(map { ('-H', "$_: $rotation->{headers}{$_}") } grep { /^webhook-/ } keys %{ $rotation->{headers} }),
		'--data-binary', "\@$dir/posted", "http://127.0.0.1:$port/" ], '>', \$status;
	return $status;
}

my $bytes = request($rotation)->{body};
is(post($bytes =~ s/"300\.0"/"900.0"/r), 401, 'server.mjs refuses a forgery');
is(post($bytes), 200, 'it takes the delivery');
is(post($bytes), 200, 'it takes it twice');
my $end = time + $PostgreSQL::Test::Utils::timeout_default;
until ($log =~ /$rotation->{headers}{'webhook-id'}/ || time >= $end)
{
	$server->pump_nb;
	usleep(20_000);
}
is(() = $log =~ /$rotation->{headers}{'webhook-id'}/g, 1, 'it does it once');

#
# The inbox: each event once
#
my ($inbox) = grep { $_->{text} =~ /webhook_inbox/ } $guide->blocks('sql');
my ($create, $insert) = $inbox->{text} =~ /(CREATE.*?;)\s*(INSERT.*;)/s;
is( $node->safe_psql('postgres', "
	$create
	PREPARE take AS $insert
	EXECUTE take('msg_1', 'payment_intent.success', '{}');
	EXECUTE take('msg_1', 'payment_intent.success', '{}');
	SELECT count(*), count(done_at) FROM webhook_inbox"),
	'1|0', 'the inbox takes an event once');

#
# Python's canonical form against ours
#
my $numbers;
run [ 'python3', '-B', '-c', <<"PYTHON" ], '>', \$numbers;
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
is($node->safe_psql('postgres', "SELECT kg_canonical_json('$plain')"),
	$canonical, 'Python canonicalizes numbers as the extension does');

#
# What the guide says of the platform's side
#
foreach my $function ($guide->text =~ /\b(kg_\w+)\(/g)
{
	is($node->safe_psql('postgres', "SELECT count(*) > 0 FROM pg_proc WHERE proname = '$function'"),
		't', "$function() is there");
}
my ($schedule) = $guide->text =~ /by default after (.*?), then given up/;
$schedule =~ s/ and /,/;
$schedule =~ s/ //g;
is( $schedule,
	$node->safe_psql('postgres',
		q{SELECT boot_val FROM pg_settings WHERE name = 'kgwebhook.retry_schedule'}),
	'the schedule is the default one');

done_testing();
