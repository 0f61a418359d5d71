#-------------------------------------------------------------------------
#
# test/t/017_heavy.pl
#	  Rows that are small on disk and gigabytes as text, or nested as deep as
#	  PostgreSQL takes them: no write fails that wouldn't without us, worker and
#	  backends stay small, and each delivery is acknowledged or invalid.
#
#	  The second half makes such rows at random.  SEED=n repeats a run.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use PostgreSQL::Test::Utils;
use Test::More;

# What worker or backend may have used at any time, in kilobytes.
use constant MOST => 200 * 1024;

my $node = new_node('main', 'jit' => 'off');
my $receiver = start_receiver();
my $url = $receiver->url;
my $huge = q{('[' || rtrim(repeat('1e131071,', 9000), ',') || ']')};
my $deep = q{(repeat('[', 14000) || repeat(']', 14000))};

$node->safe_psql(
	'postgres', q{
	CREATE TYPE money_of AS (amount numeric, more numeric[], note text);
	CREATE TABLE t (id text PRIMARY KEY, status text, callback_url text, payment_deadline timestamptz,
		j jsonb, l json, n numeric, a numeric[], c money_of, ca money_of[], s text, r numrange, q tsquery);
	SELECT kg_watch('t', 't', 'id', org_column => NULL);
	CREATE TABLE u (LIKE t);
	SELECT kg_create_payment_intents();
	SELECT kg_create_secret()});
my ($worker) = wait_for_worker($node);

# Runs SQL in a session of its own; returns the session's peak of memory.
my $peak = q{SELECT substring(pg_read_file('/proc/self/status') FROM 'VmHWM:\s+(\d+)')};

sub peak_after
{
	my ($sql) = @_;
	my ($out) = $node->safe_psql('postgres', "$sql\n;\n$peak") =~ /(\d+)\s*$/;

	return $out;
}

#
# One of each
#
my %heavy = (
	jsonb => [ 'j', "$huge\::jsonb", qr/digits/ ],
	json => [ 'l', "$huge\::json", qr/digits/ ],
	jsonb_scale => [ 'j', q{('[' || rtrim(repeat('1e-16383,', 9000), ',') || ']')::jsonb}, qr/larger than/ ],
	jsonb_deep => [ 'j', "$deep\::jsonb", qr/inside each other/ ],
	json_deep => [ 'l', "$deep\::json", qr/inside each other|stack depth/ ],
	array => [ 'a', q{array_fill(1e131071::numeric, ARRAY[20000])}, qr/longer|larger|number/ ],
	composite => [ 'ca', q{array_fill(ROW(1e131071, array_fill(1e131071::numeric, ARRAY[500]), 'x')::money_of, ARRAY[50])},
		qr/longer|larger|number/ ],
	text => [ 's', q{repeat('x', 3000000)}, qr/larger than/ ],
	control => [ 's', q{repeat(E'\x01', 1000000)}, qr/longer than/ ],
	keys => [ 'j', q{(SELECT jsonb_object_agg(i, i) FROM generate_series(1, 200000) i)}, qr/larger than/ ]);
foreach my $name (sort keys %heavy)
{
	my ($column, $value, $reason) = @{ $heavy{$name} };
	my $used = peak_after("INSERT INTO t (id, status, callback_url, $column) VALUES ('$name', 'new', '$url', $value)");
	my ($row) = wait_for_log_rows($node, 1, "object_id = '$name'");

	cmp_ok($used, '<', MOST, "$name: the backend stays small");
	is("$row->{outcome} $row->{final}", 'invalid 1', "$name: invalid");
	like($row->{error}, $reason, "$name: with the reason");
}

# A dozen at once, and what a few columns of numbers add up to
cmp_ok(peak_after(qq{INSERT INTO t (id, status, callback_url, j)
	SELECT 'dozen' || i, 'new', '$url', ('[' || rtrim(repeat('1e131071,', 1000), ',') || ']')::jsonb FROM generate_series(1, 12) i}),
	'<', MOST, 'a dozen: the backend stays small');
$node->safe_psql('postgres', "CREATE TABLE wide (id text, status text, callback_url text);
	SELECT format('ALTER TABLE wide %s', string_agg(format('ADD n%s numeric', i), ', ')) FROM generate_series(1, 700) i \\gexec
	SELECT kg_watch('wide', 'wide', 'id', org_column => NULL)");
cmp_ok(peak_after("SELECT format('INSERT INTO wide SELECT ''wide'', ''new'', ''$url'', %s', string_agg('1e131071', ', '))
	FROM generate_series(1, 700) i \\gexec"), '<', MOST, 'wide: the backend stays small');
wait_until_settled($node);
is($node->safe_psql('postgres', "SELECT count(*), count(*) FILTER (WHERE outcome = 'invalid') FROM kgwebhook.delivery_log
	 WHERE object_id LIKE 'dozen%' OR object_id = 'wide'"), '13|13', 'each is invalid');

# A number that is long but right goes as it is
$node->safe_psql('postgres', "INSERT INTO t (id, status, callback_url, n) VALUES ('long', 'new', '$url', 1e131071)");
my ($long) = wait_for_log_rows($node, 1, "object_id = 'long'");
is($long->{outcome}, 'acknowledged', 'one long number is sent');
like($long->{request_body}, qr/"n":"1(?:0{32767}){4}000"/, 'with all its digits');

#
# At the door of a ready-made table
#
foreach my $document ($huge, q{('[' || rtrim(repeat('1e-16383,', 9000), ',') || ']')}, $deep)
{
	my $session = "\\set ON_ERROR_STOP off
		INSERT INTO payment_intents (payment_intent_id, callback_url, order_data) VALUES ('door', '$url', $document\::jsonb);\n$peak";
	my ($out, $err);

	$node->psql('postgres', $session, stdout => \$out, stderr => \$err);
	like($err, qr/order_data (is too large|cannot be canonicalized)/, 'refused at the door');
	cmp_ok($out =~ /(\d+)\s*$/ ? $1 : MOST, '<', MOST, 'without being written out');
}
foreach my $function ("kg_canonical_json($huge\::jsonb)", "kg_sign($huge\::jsonb, 'a secret of some length')")
{
	my ($out, $err);

	$node->psql('postgres', "\\set ON_ERROR_STOP off\nSELECT $function;\n$peak", stdout => \$out, stderr => \$err);
	like($err, qr/canonicalized|signed/, 'refused by the functions for receivers');
	cmp_ok($out =~ /(\d+)\s*$/ ? $1 : MOST, '<', MOST, 'without being written out');
}

#
# Deep ones do not fail an update, however deep its own stack is
#
$node->safe_psql(
	'postgres', qq{
	CREATE FUNCTION calls(n int) RETURNS void LANGUAGE plpgsql AS \$\$
	BEGIN
		IF n > 0 THEN PERFORM calls(n - 1); ELSE UPDATE deep SET status = 'paid'; UPDATE deep SET status = 'new'; END IF;
	END \$\$;
	CREATE TABLE deep (id text, status text, callback_url text, payment_deadline timestamptz, j jsonb);
	SELECT kg_watch('deep', 'deep', 'id', org_column => NULL);
	INSERT INTO deep SELECT 'deep' || d, 'new', NULL, now(), (repeat('[', d) || repeat(']', d))::jsonb
	  FROM (SELECT * FROM generate_series(100, 1000, 100) UNION SELECT * FROM generate_series(14000, 14500, 20)) g(d)});
foreach my $calls (0, 3, 20)
{
	is($node->psql('postgres', "SELECT calls($calls)"), 0, "an update from $calls calls down");
}
$node->safe_psql('postgres', "UPDATE deep SET status = 'pending', callback_url = '$url'");
is($node->safe_psql('postgres', "SELECT kg_expire_intents('deep') = (SELECT count(*) FROM deep)"), 't', 'all of them expire');
wait_until_settled($node);
is($node->safe_psql('postgres', "SELECT string_agg(outcome || ' ' || n, ', ' ORDER BY outcome) FROM (SELECT outcome, count(*) AS n
	FROM kgwebhook.delivery_log WHERE event = 'deep.expired' GROUP BY outcome) o"), 'acknowledged 5, invalid 31', 'as deep as a body may be, they are sent');

#
# What is in the queue anyway
#
reload($node, 'kgwebhook.enabled' => 'off');
$node->safe_psql('postgres', "INSERT INTO t (id, status, callback_url) SELECT 'queued' || i, 'new', '$url' FROM generate_series(1, 20) i");
$node->safe_psql('postgres', "UPDATE kgwebhook.queue SET payload = CASE delivery_id % 3 WHEN 0 THEN $huge\::jsonb
	WHEN 1 THEN jsonb_build_object('a', $huge\::jsonb) ELSE jsonb_build_object('s', repeat('x', 30000000)) END WHERE object_id <> 'queued20'");
reload($node, 'kgwebhook.enabled' => 'on');
wait_until_settled($node);
is($node->safe_psql('postgres', "SELECT string_agg(outcome || ' ' || n, ', ' ORDER BY outcome) FROM (SELECT outcome, count(*) AS n
	FROM kgwebhook.delivery_log WHERE object_id LIKE 'queued%' GROUP BY outcome) o"), 'acknowledged 1, invalid 19', 'each is invalid, the others are sent');

#
# At random
#
my $seed = $ENV{SEED} || int(rand(2**31));
note "SEED=$seed";
$node->safe_psql('postgres', slurp_file('test/t/017_heavy.sql'));
my $made = $node->safe_psql('postgres', "SET client_min_messages = warning; SELECT setseed(" . $seed / 2**31 . "); CALL fuzz(250, '$url')");
is($node->safe_psql('postgres', 'SELECT id, message FROM differs'), '', "no write failed that a table of nobody's took (SEED=$seed)");
wait_until_settled($node);
is($node->safe_psql('postgres', q{
	SELECT id, string_agg(outcome, ',') FROM u LEFT JOIN kgwebhook.delivery_log ON object_id = id
	 GROUP BY id HAVING string_agg(outcome, ',') NOT IN ('acknowledged', 'invalid') OR count(outcome) <> 1}),
	'', "each delivery was acknowledged or invalid, once (SEED=$seed)");
note $node->safe_psql('postgres', q{SELECT outcome, left(error, 70), count(*) FROM kgwebhook.delivery_log WHERE object_id LIKE 'fuzz%' GROUP BY 1, 2 ORDER BY 3 DESC});
is($node->safe_psql('postgres', q{SELECT count(DISTINCT outcome) FROM kgwebhook.delivery_log WHERE object_id LIKE 'fuzz%'}), 2, 'some of both');

is((worker_pids($node, 'postgres'))[0], $worker, 'the worker has lived through it');
cmp_ok(memory_peak($worker), '<', MOST, 'and stayed small');
done_testing();
