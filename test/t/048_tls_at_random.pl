#-------------------------------------------------------------------------
#
# test/t/048_tls_at_random.pl
#	  Handshakes and records of TLS made from a grammar and its breaches, by seed: what
#	  counts as an answer came in whole, under the receiver's keys, before any breach.
#
# tls_plans.mjs says what a plan is to come to.  What is legal has to be an answer; what
# breaks a rule must be none, except where OpenSSL is known to be lenient (%lenient, with the
# reason); of what is too much of something, either.  Never is there an answer that the
# receiver has not sealed, or a status that is not the one in it.
#
# Where a receiver goes silent in the middle, the attempt ends by its timeout; these
# plans have a short one, and all others one that no load of a machine can reach.
#
# SEED=n has other plans; KGW_CASES=n fewer or more of them (make tls).
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use JSON::PP;
use Kgwebhook;
use Kgwebhook::Certificates;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{SEED} // 1;
my $count = $ENV{KGW_CASES} // 200;

# How much more memory the worker may have after all of this, kB.
my $memory_limit = 64 * 1024;

# Seconds beyond its timeout that an attempt may last on a busy machine.
my $slack = 20;

# Breaches after which OpenSSL goes on.
my %lenient = ('empty handshake record' => 'what has no content has no effect, up to 32 of them');

# One address more than there are plans has a receiver that breaks no rule.
my $certificates = Kgwebhook::Certificates->new;
my $names = join ',', map { "IP:127.0.1.$_" } 1 .. $count + 1;
$certificates->make('authority');
$certificates->make('good', by => 'authority', for => $names);
$certificates->make('foreign', for => $names);
$certificates->join('long', 'good', ('authority') x 20);
$certificates->join('huge', 'good', ('authority') x 400);

my $node = new_node('main',
	'kgwebhook.ca_file' => "'" . $certificates->file('authority.crt') . "'",
	'kgwebhook.retry_schedule' => "'1h'",
	'kgwebhook.connect_timeout' => "'1min'",
	'kgwebhook.request_timeout' => "'2min'");
$node->safe_psql(
	'postgres', q{
	CREATE TABLE t (id text, status text, callback_url text);
	SELECT kg_watch('t', event => 't', id_column => 'id', org_column => NULL);
	SELECT kg_create_secret()});
my $hostile = start_receiver(program => 'hostile_tls.mjs', addresses => $count + 1, seed => $seed,
	certificates => $certificates->file(''));
my $port = $hostile->port;
my ($worker) = wait_for_worker($node);

# An attempt of each of these plans: log rows by number.
sub attempts
{
	my @numbers = @_;
	my $list = join ',', map { "('$_', 'new', 'https://127.0.1.$_:$port/$_')" } @numbers;

	$node->safe_psql('postgres', "INSERT INTO t VALUES $list") if @numbers;
	return map { ($_->{object_id} => $_) } wait_for_log_rows($node, scalar(@numbers),
		'object_id = ANY (\'{' . join(',', @numbers) . '}\')');
}

my $program = "$ENV{PWD}/test/receivers/tls_plans.mjs";
my @plans = map { decode_json($_) } split /\n/, `node $program --seed=$seed --count=$count`;
is(scalar(@plans), $count, "seed $seed: $count plans");

# Memory is compared with that of a worker that has sent something.
my %row = attempts($count + 1);
is($row{ $count + 1 }{outcome}, 'acknowledged', 'a receiver that breaks no rule');
my $memory = memory_of($worker);

%row = attempts(map { $_->{n} } grep { !$_->{stops} } @plans);
reload($node, 'kgwebhook.connect_timeout' => "'1s'", 'kgwebhook.request_timeout' => "'2s'");
my %stopped = attempts(map { $_->{n} } grep { $_->{stops} } @plans);

my (@wrong, @invented, %seen, %asked);
my $lenient = 0;
$asked{ $_->{n} }++ foreach $hostile->requests;
foreach my $plan (@plans)
{
	my $row = $row{ $plan->{n} } // $stopped{ $plan->{n} };
	my ($status, $said, $meant) = ($row->{response_status} // '', $plan->{said} // '', $plan->{meant} // '');
	my $fault = $plan->{fault};
	my $told = sprintf 'plan %d, TLS %s, %s: %s, status %s, %s; said %s, meant %s', $plan->{n}, $plan->{version},
	  $fault ? "$fault->{kind} in $fault->{stage}: $fault->{name}" : 'no fault', $row->{outcome},
	  $status || 'none', $row->{error} // 'no error', $said || 'none', $meant || 'none';

	note $told;
	$seen{ $row->{outcome} }++;
	push @invented, $told
	  if ($status ne '' && ($status ne $said || !$asked{ $plan->{n} }))
	  || ($row->{outcome} eq 'acknowledged') != ($status =~ /^2/)
	  || ($asked{ $plan->{n} } // 0) > 1;
	next if $status eq $meant;
	next if $status eq '' && @{ $plan->{limits} };
	if ($status ne '' && grep { $lenient{$_} } @{ $plan->{breaks} })
	{
		$lenient++;
		next;
	}
	push @wrong, $told;
}
is_deeply(\@wrong, [], 'what is legal is an answer, and what breaks a rule is none');
is_deeply(\@invented, [], 'no status that was not sealed, each outcome by the status, one request for each');
is_deeply([ grep { $_->{duration_ms} > 1000 * ($slack + 2) } values %stopped ], [], 'silence ends by the timeout');
cmp_ok($seen{$_} // 0, '>', $count / 20, "$_: " . ($seen{$_} // 0)) foreach qw(acknowledged rejected unreachable);
note "$lenient of $count were answers by a rule that is listed";

#
# What is legal, and never ends: others are served in the meantime, and it ends by its timeout
#
my @endless = ('many tickets', 'many key updates', 'many key updates, asked for');
my $other = start_receiver();
my $before = $hostile->requests;
foreach my $what (@endless)
{
	my $path = $what =~ s/ /%20/gr;
	my $last = $count + 1;

	$node->safe_psql('postgres', "INSERT INTO t VALUES ('$what', 'new', 'https://127.0.1.$last:$port/endless/$path')");
}
$hostile->wait_for_requests($before + @endless);
$node->safe_psql('postgres', "INSERT INTO t VALUES ('other', 'new', '" . $other->url . "')");
my ($first, @more) = sort { $a->{attempt_id} <=> $b->{attempt_id} }
  wait_for_log_rows($node, @endless + 1, "object_id ~ '^(many|other)'");
is("$first->{object_id} $first->{outcome}", 'other acknowledged', 'another is served while records come without end');
is(join(' ', map { $_->{outcome} } @more), 'timed_out timed_out timed_out', 'and these end by their timeout');

cmp_ok(memory_of($worker) - $memory, '<', $memory_limit, 'the worker has not grown');
is((worker_pids($node, 'postgres'))[0], $worker, 'it is still the same worker');

$node->stop;
done_testing();
