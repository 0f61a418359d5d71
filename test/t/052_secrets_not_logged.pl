#-------------------------------------------------------------------------
#
# test/t/052_secrets_not_logged.pl
#	  Where secrets must not be seen: the server's log with everything turned on
#	  that logs statements of ours, pg_stat_activity, pg_stat_statements.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node(
	'main',
	'shared_preload_libraries' => "'kgwebhook, pg_stat_statements, auto_explain'",
	'log_statement' => 'none',
	'log_min_messages' => 'debug1',
	'log_parameter_max_length_on_error' => '-1',
	'pg_stat_statements.track' => 'all',
	'auto_explain.log_min_duration' => '0',
	'auto_explain.log_analyze' => 'on',
	'auto_explain.log_nested_statements' => 'on');
$node->safe_psql('postgres', 'CREATE EXTENSION pg_stat_statements');

# The distinctive part of each secret that must not be seen.
my @hidden;

sub hide
{
	my ($secret) = @_;

	(my $core = $secret) =~ s/^whsec_//;
	push @hidden, $core;
	return $secret;
}

# Neither in the log nor in the statistics by now.
sub nowhere
{
	my ($what) = @_;
	my $log = slurp_file($node->logfile);

	is_deeply([ grep { index($log, $_) >= 0 } @hidden ], [], "$what: not in the log");
	is($node->safe_psql('postgres',
			'SELECT count(*) FROM pg_stat_statements s, unnest(ARRAY['
			  . join(',', map { "'$_'" } @hidden)
			  . ']) h WHERE strpos(s.query, h) > 0'),
		0, "$what: not in pg_stat_statements");
	return;
}

#
# What is made here, with every statement explained
#
my $receiver = start_receiver();
$node->safe_psql('postgres', 'SELECT kg_create_payment_intents()');
my $made = hide($node->safe_psql('postgres', 'SELECT kg_create_secret()'));
hide($node->safe_psql('postgres', 'SELECT kg_rotate_secret()'));
insert_intent($node, 'pi', $receiver->url);
wait_for_log_rows($node, 1);
$node->safe_psql('postgres', "SELECT kg_send_test('@{[ $receiver->url ]}')");
# the queries of these would be checked below in vain, were they not recorded
like(slurp_file($node->logfile), qr/Query Text: SELECT kg_rotate_secret/, 'statements are explained');
is($node->safe_psql('postgres',
		q{SELECT count(*) > 0 FROM pg_stat_statements WHERE query ~ 'INSERT INTO kgwebhook.secret'}),
	't', 'and counted, also those inside');
# the check itself must not be what puts them there
$node->append_conf('postgresql.conf', 'auto_explain.log_min_duration = -1');
$node->reload;
$node->poll_query_until('postgres',
	q{SELECT current_setting('auto_explain.log_min_duration') = '-1'}) or die;
nowhere('made here');

# nor by the plans of what runs inside, which any caller may have printed
(undef, undef, my $plans) = $node->psql('postgres',
	q{SELECT kg_create_secret('plans'); SET debug_print_plan = on; SET client_min_messages = log; SELECT kg_rotate_secret('plans')});
like($plans, qr/PLANNEDSTMT/, 'plans are printed');
unlike($plans, qr/@{[ join ' ', unpack 'C*', 'whsec_' ]}/, 'but none with a secret');

#
# What is passed in
#
my $marker = 'passed in and not to be seen';
push @hidden, $marker;
my ($code, undef, $error) =
  $node->psql('postgres', "SET auto_explain.log_min_duration = '1h'; SELECT kg_set_secret('a', 'any other secret of 24 bytes')");
like($error, qr/WARNING:  the secret may be in the server's log/, 'a module that logs statements is told of');
like($error, qr/The setting "auto_explain.log_min_duration" makes/, 'by name');
(undef, undef, $error) = $node->psql('postgres', "SELECT kg_set_secret('a', '$marker')");
is($error, '', 'where nothing logs it, there is no warning');
nowhere('a literal');

my $too_long = $marker . 'x' x 600;
(undef, undef, $error) = $node->psql('postgres', "SELECT kg_set_secret('a', '$too_long')");
like($error, qr/secret is too long/, 'one that is refused');
like(slurp_file($node->logfile), qr/STATEMENT:  SELECT kg_set_secret\(\.\.\.\)/, 'is logged without the literal');
(undef, undef, $error) = $node->psql('postgres',
	"PREPARE s AS SELECT kg_set_secret('a', \$1); EXECUTE s('$too_long')");
like($error, qr/secret is too long/, 'by EXECUTE');
(undef, undef, $error) = $node->psql('postgres',
	"CREATE FUNCTION wrapped() RETURNS void LANGUAGE plpgsql AS 'BEGIN PERFORM kg_set_secret(''a'', repeat(''x'', 600)); END'");
(undef, undef, $error) = $node->psql('postgres', 'SELECT wrapped()');
unlike($error, qr/PERFORM|wrapped/, 'a caller in PL/pgSQL is not quoted');
$node->safe_psql('postgres', q{SELECT kg_subscribe('a', 'https://merchant.example/')});
(undef, undef, $error) = $node->psql('postgres', qq{SELECT kg_set_headers(1, '{"X-Key": "$marker"}', 'me', '$marker')});
is($error, '', 'headers');
(undef, undef, $error) = $node->psql('postgres', qq{SELECT kg_set_headers(1, '{"X-Key": "$marker", "Host": "$marker"}', 'me', '$marker')});
like($error, qr/header "Host" cannot be set/, 'headers that are refused');
like(slurp_file($node->logfile), qr/STATEMENT:  SELECT kg_set_headers\(\.\.\.\)/, 'are logged without them');
my $script = PostgreSQL::Test::Utils::tempdir('pgbench') . '/script';
append_to_file($script, "SELECT kg_set_secret('a', :secret);\n");
$node->command_checks_all(
	[ 'pgbench', '-n', '-M', 'extended', '-t', 1, '-D', "secret=$too_long", '-f', $script,
		'-h', $node->host, '-p', $node->port, 'postgres' ],
	2, [], [qr/secret is too long/], 'as a parameter of the extended protocol');
nowhere('refused');

#
# Who looks while it happens, or afterwards
#
my $blocker = $node->background_psql('postgres');
my $setter = $node->background_psql('postgres', on_error_stop => 0);
my $pid = $setter->query_safe('SELECT pg_backend_pid()');
chomp $pid;
$blocker->query_safe('BEGIN; LOCK TABLE kgwebhook.secret IN EXCLUSIVE MODE');
$setter->query_until(qr/started/, "\\echo started\nSELECT kg_set_secret('a', '$marker');\n");
$node->poll_query_until('postgres',
	"SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $pid")
  or die 'nobody waits';
is($node->safe_psql('postgres', "SELECT query FROM pg_stat_activity WHERE pid = $pid"),
	'SELECT kg_set_secret(...)', 'pg_stat_activity does not show it while it runs');
my $log_end = -s $node->logfile;
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
$node->wait_for_log(qr/canceling statement due to user request/, $log_end);
$blocker->query_safe('ROLLBACK');
$setter->query_until(qr/again/, "SELECT kg_set_secret('a', '$marker');\n\\echo again\n");
is($node->safe_psql('postgres', "SELECT query, state FROM pg_stat_activity WHERE pid = $pid"),
	'SELECT kg_set_secret(...)|idle', 'nor afterwards');
$_->quit foreach $blocker, $setter;
nowhere('cancelled');

# What comes next is shown again.
(undef, undef, $error) = $node->psql('postgres',
	"SELECT kg_set_secret('a', '$marker');\nSELECT 1/0 AS shown;");
like(slurp_file($node->logfile), qr{STATEMENT:  SELECT 1/0 AS shown}, 'the next statement is shown as ever');

$node->stop;
done_testing();
