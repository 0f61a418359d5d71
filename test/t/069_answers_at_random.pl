#-------------------------------------------------------------------------
#
# test/t/069_answers_at_random.pl
#	  Answers made from a grammar of HTTP/1.1, by seed: what the log says of each is
#	  what a strict parser says of the same bytes.
#
# answers.mjs makes them, and asks Node's client (llhttp).  Status line and headers
# decide; so an answer is its status once its headers are complete, and no answer if
# they never are or break a rule.  Where an answer breaks a rule, libcurl may be more
# lenient, or stricter, only as %differences says; and never is an answer taken for an
# acknowledgment whose status line does not say so.
#
# SEED=n has other answers; KGW_CASES=n fewer.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use JSON::PP;
use Kgwebhook;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{SEED} // 1;
my $count = $ENV{KGW_CASES} // 230;

# How much more memory the worker may have after all of this, kB.
my $memory_limit = 64 * 1024;

# Rules that an answer may break and still be one to libcurl, but not to llhttp; and why.
my %lenient = (
	'line end' => 'a line feed ends a line as well, and a carriage return alone is text',
	version => 'HTTP/2 is taken for a version, whatever the connection speaks',
	status => 'three digits are read; what follows them is not looked at',
	reason => 'it is not looked at, except for NUL and for its length',
	name => 'the characters of names are not looked at, except for NUL',
	value => 'control characters are text, except for NUL',
	header => 'a line that begins with a blank, or with the colon, is taken',
	folding => 'folded lines are joined, as RFC 9112 lets a user agent do',
	length => 'the headers are an answer, whatever they say of the body',
	chunk => 'the same; llhttp may meet the breach before it reports the headers');

# And the other way round.
my %stricter = (
	version => 'an empty line before the status line is no answer',
	status => 'no status is below 100',
	reason => 'a NUL in it is no text',
	coding => 'codings that libcurl does not know are refused when it reads the header',
	flood => 'informational answers count as headers, all together; llhttp counts each by itself');

my $node = new_node('main',
	'kgwebhook.retry_schedule' => "'1h'",
	'kgwebhook.request_timeout' => "'2min'");
$node->safe_psql(
	'postgres', q{
	CREATE TABLE t (id text, status text, callback_url text);
	SELECT kg_watch('t', event => 't', id_column => 'id', org_column => NULL);
	SELECT kg_create_secret()});
my $hostile = start_receiver(program => 'hostile.mjs', addresses => $count + 1);
my $port = $hostile->port;
my ($worker) = wait_for_worker($node);

# Memory is compared with that of a worker that has sent something.
$node->safe_psql('postgres', "INSERT INTO t VALUES ('before', 'new', 'http://127.0.1." . ($count + 1) . ":$port/ok')");
wait_for_log_rows($node, 1, "object_id = 'before' AND outcome = 'acknowledged'");
my $memory = memory_of($worker);

$node->safe_psql('postgres',
	"INSERT INTO t SELECT n, 'new', 'http://127.0.1.' || n || ':$port/made/$seed/' || n FROM generate_series(1, $count) n");
my %row = map { ($_->{object_id} => $_) } wait_for_log_rows($node, $count, "object_id ~ '^[0-9]+\$'");

my $program = "$ENV{PWD}/test/receivers/answers.mjs";
my @answers = map { decode_json($_) } split /\n/, `node $program --seed=$seed --count=$count`;
my (@wrong, @invented, %seen);
my $differ = 0;
is(scalar(@answers), $count, "seed $seed: $count answers");
foreach my $answer (@answers)
{
	my $row = $row{ $answer->{n} };
	my ($status, $strict) = ($row->{response_status} // '', $answer->{strict} // '');
	my $outcome = $status eq '' ? 'unreachable' : $status =~ /^2/ ? 'acknowledged' : 'rejected';
	my $said = sprintf 'answer %d: %s, status %s, %s; strictly %s; breaks %s', $answer->{n}, $row->{outcome},
	  $status || 'none', $row->{error} // 'no error', $strict || 'none', "@{ $answer->{breaks} }" || 'nothing';
	my $allowed = $strict eq '' ? \%lenient : \%stricter;

	$seen{ $row->{outcome} }++;
	push @invented, $said if $row->{outcome} ne $outcome || ($status ne '' && $status ne ($answer->{meant} // ''));
	next if $status eq $strict;
	$differ++;
	note $said;
	push @wrong, $said
	  if ($status ne '' && $strict ne '') || !grep { $allowed->{$_} } @{ $answer->{breaks} };
}
is_deeply(\@wrong, [], 'each is what a strict parser says, except by the rules that are listed');
is_deeply(\@invented, [], 'no status that is not in the status line, and each outcome by the status');
cmp_ok($seen{$_} // 0, '>', $count / 20, "$_: $seen{$_}") foreach qw(acknowledged rejected unreachable);
note "$differ of $count differ by a rule that is listed";

cmp_ok(memory_of($worker) - $memory, '<', $memory_limit, 'the worker has not grown');
is((worker_pids($node, 'postgres'))[0], $worker, 'it is still the same worker');
my @requests = grep { !$_->{event} && $_->{path} =~ m{^/made/} } $hostile->requests;
is(scalar(@requests), $count, 'each attempt was one request');

$node->stop;
done_testing();
