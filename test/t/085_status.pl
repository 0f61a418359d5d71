#-------------------------------------------------------------------------
#
# test/t/085_status.pl
#	  kg_status() says what is wrong, for each of twenty faults, and what it says to
#	  do about it does away with it.
#
# A fault is made, kg_status() has to name its cause, the organization and what
# waits, and a remedy that is a statement is run as it stands.  Receivers that fail
# come all at once; what stops everything comes one at a time.  The delivery page has
# the same headline each time.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use File::Copy qw(copy);
use Kgwebhook;
use Kgwebhook::Certificates;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $certificates = Kgwebhook::Certificates->new;
$certificates->make('authority');
$certificates->make('good', by => 'authority', for => 'IP:127.0.0.1');
$certificates->make('expired', by => 'authority', for => 'IP:127.0.0.1',
	from => '20200101000000Z', until => '20200201000000Z');
$certificates->make('misnamed', by => 'authority', for => 'DNS:merchant.example');

my $node = init_node(
	'main',
	'autovacuum' => 'off',
	'kgwebhook.retry_schedule' => "'100ms,100ms,100ms,300ms,300ms,300ms,300ms,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1h'",
	'kgwebhook.request_timeout' => "'2s'",
	'kgwebhook.ca_file' => "'" . $certificates->file('authority.crt') . "'");
my $full = PostgreSQL::Test::Utils::tempdir('disk') . '/full';
my $full_disk = build_library('preload/full_disk');

sub start_server
{
	local $ENV{LD_PRELOAD} = $full_disk;
	local $ENV{KGW_FULL_DISK} = $full;

	$node->start;
	return;
}

start_server();
$node->safe_psql('postgres', 'SET client_min_messages = warning; CREATE EXTENSION kgwebhook CASCADE');
my $secret = make_intents_table($node);
my $receiver = start_receiver(secret => $secret);

sub sql
{
	return $node->safe_psql('postgres', shift);
}

# The rows of kg_status(), as hashes.
sub status
{
	return map {
		my %row;
		@row{qw(severity finding detail remedy)} = split /\x1f/, $_, -1;
		\%row
	} split /\x1e/, $node->safe_psql('postgres',
		q{SELECT string_agg(concat_ws(E'\x1f', severity, finding, coalesce(detail, ''), coalesce(remedy, '')), E'\x1e') FROM kg_status()});
}

# Waits until something is found, and returns it.
sub wait_for_finding
{
	my ($pattern, $severity) = @_;
	my $until = time + $PostgreSQL::Test::Utils::timeout_default;
	my @rows;

	while (time < $until)
	{
		@rows = status();
		my ($row) = grep { $_->{finding} =~ $pattern } @rows;
		if ($row && (!$severity || $row->{severity} =~ $severity))
		{
			pass("found: $row->{severity}: $row->{finding}");
			return $row;
		}
		usleep(50_000);
	}
	fail("not found: $pattern; but " . join('; ', map { "$_->{severity}: $_->{finding}" } @rows));
	return { severity => '', finding => '', detail => '', remedy => '' };
}

# Waits until all is said to be right.
sub wait_for_ok
{
	my ($what) = @_;
	my $until = time + $PostgreSQL::Test::Utils::timeout_default;
	my @rows;

	while (time < $until)
	{
		@rows = grep { $_->{finding} !~ /^a worker had an error at .*, and has gone on since$/ } status();
		return pass($what) if !@rows || $rows[0]{severity} eq 'ok';
		usleep(50_000);
	}
	return fail("$what; but " . join('; ', map { "$_->{severity}: $_->{finding}" } @rows));
}

# The page's headline, as text.
sub headline
{
	my ($title) = $node->safe_psql('postgres', 'SELECT kg_dashboard()') =~ m{<title>(.*) - postgres</title>}s;

	return $title =~ s/&#39;/'/gr =~ s/&quot;/"/gr =~ s/&amp;/&/gr;
}

# A critical finding leads, on the page, too, and its remedy is run.
sub remedied
{
	my ($pattern, $what) = @_;
	my $row = wait_for_finding($pattern, qr/critical/);

	like((status())[0]{finding}, $pattern, "$what: is said first");
	like(headline(), $pattern, "$what: is the page's headline");
	sql($row->{remedy});
	wait_for_ok("$what: its remedy works");
	return;
}

#
# Nothing is wrong
#
$node->poll_query_until('postgres', q{SELECT worker_state = 'idle' FROM kgwebhook.stats}) or die 'no worker';
my ($ok, @more) = status();
is_deeply([ $ok->{severity}, $ok->{finding}, $ok->{detail}, scalar @more ], [ 'ok', 'Deliveries flow', 'Nothing waits.', 0 ], 'one row: ok');
is(headline(), 'Deliveries flow: nothing waits', 'and so says the page');

#
# Everything is stopped by an operator
#
sql('SELECT kg_pause()');
insert_intent($node, 'paused', $receiver->url);
remedied(qr/^Nothing is delivered: everything is paused since/, 'paused');

sql('ALTER SYSTEM SET kgwebhook.enabled = off; SELECT pg_reload_conf()');
remedied(qr/^Nothing is delivered: kgwebhook.enabled is off$/, 'disabled');

sql("SELECT kg_pause('@{[ $receiver->destination ]}')");
insert_intent($node, 'paused too', $receiver->url);
my $paused = wait_for_finding(qr/^\Q@{[ $receiver->destination ]}\E is paused since .*, 1 delivery waits$/, qr/warning/);
like(headline(), qr/^Deliveries flow, but http/, 'one destination is paused, and the others flow');
sql($paused->{remedy});
wait_for_ok('and is not any more');

#
# A copy
#
sql('CREATE DATABASE original');
$node->safe_psql('original', 'SET client_min_messages = warning; CREATE EXTENSION kgwebhook CASCADE');
wait_for_worker($node, 'original');
sql('CREATE DATABASE copy TEMPLATE original');
$node->poll_query_until('copy', q{SELECT finding = 'Nothing is delivered: this database is a copy of another' AND remedy = 'SELECT kg_adopt();'
	AND severity = 'critical' FROM kg_status() LIMIT 1}) or die 'no copy';
$node->safe_psql('copy', $node->safe_psql('copy', 'SELECT remedy FROM kg_status()'));
$node->poll_query_until('copy', q{SELECT severity = 'ok' FROM kg_status()}) or die 'not adopted';
pass('a copy: kg_adopt() works');

#
# A lock
#
my $operator = $node->background_psql('postgres', on_error_die => 1);
$operator->query_safe('BEGIN; LOCK TABLE kgwebhook.queue IN ACCESS EXCLUSIVE MODE');
my $lock = wait_for_finding(qr/^Nothing is delivered: session \d+ holds a lock on kgwebhook.queue since/, qr/critical/);
sql($lock->{remedy});
wait_for_ok('a lock: its remedy works');
eval { $operator->quit };

#
# A full disk
#
append_to_file($full, sql(q{
	SELECT pg_relation_filepath(oid) FROM pg_class
	 WHERE relkind IN ('r', 'i', 't') AND pg_relation_filepath(oid) IS NOT NULL
	   AND (relname LIKE 'delivery_log%' OR relname LIKE 'pg_toast_%'
			AND oid IN (SELECT reltoastrelid FROM pg_class WHERE relname LIKE 'delivery_log%'))}) . "\n");
sql(qq{
	INSERT INTO payment_intents (payment_intent_id, callback_url, order_data)
	SELECT 'full' || i, '@{[ $receiver->url ]}', jsonb_build_object('note', repeat('x', 500))
	  FROM generate_series(1, 100) i});
my $disk = wait_for_finding(qr/^Nothing can be written down: the disk is full$/, qr/critical/);
like($disk->{detail}, qr/^Since .*, \d+ errors; the last at .*No space left on device; HINT: Check free disk space/, 'with the hint');
like($disk->{remedy}, qr/^Free room on the disk of /, 'a full disk: the remedy');
like(sql('SELECT last_error FROM kgwebhook.stats'), qr/No space left on device; HINT: Check free disk space/, 'last_error has it, too');
unlink $full or die "could not remove $full: $!";
wait_for_ok('a full disk: with room again, all is right');

#
# Receivers, all at once: what is wrong, whose it is, and how much waits
#
my $nobody = PostgreSQL::Test::Cluster::get_free_port();
my %tls = map { $_ => start_receiver(cert => $certificates->file("$_.crt"), key => $certificates->file("$_.key")) } qw(expired misnamed);
my %fault = (
	down => [ "http://127.0.0.1:$nobody/hook", 'the connection was refused', qr/is running and lets us in/ ],
	expired => [ $tls{expired}->url, 'the certificate, or one that it depends on, has expired', qr/renew the certificate of 127\.0\.0\.1/ ],
	misnamed => [ $tls{misnamed}->url, 'the certificate is for another host', qr/correct the certificate of 127\.0\.0\.1/ ],
	nameless => [ 'http://no-such-host.invalid/hook', qr/the host's name (could not be|was not) resolved( in time)?/, qr/whether no-such-host\.invalid is right/ ],
	missing => [ $receiver->url('/status/404'), 'answered with status 404', qr/answer at / ],
	moved => [ $receiver->url('/redirect/301'), 'answered with status 301; redirects are not followed', qr/redirects are not followed/ ],
	private => [ 'http://10.0.0.7/hook', q{the host's address is not allowed}, qr/^If this address is meant: ALTER SYSTEM SET kgwebhook\.allowed_networks = '127\.0\.0\.0\/8, ::1\/128, 10\.0\.0\.7\/32'; SELECT pg_reload_conf\(\);$/ ],
	angry => [ $receiver->url('/status/500'), 'answered with status 500', qr/why its receiver answers 500/ ],
	silent => [ $receiver->url('/hang?silent'), 'no answer came in time', qr/answer first and work later/ ]);
sql(join '; ', map { "SELECT kg_set_secret('$_', 'the secret of $_')" } keys %fault);
insert_intent($node, "$_ object", $fault{$_}[0], org_id => "'$_'", fiat_amount => "'2587.00'", fiat_currency => "'EUR'") foreach sort keys %fault;
foreach my $org (sort keys %fault)
{
	my ($url, $cause, $remedy) = @{ $fault{$org} };

	$cause = ref $cause ? $cause : quotemeta $cause;
	$url =~ s/\?.*//;
	my $row = wait_for_finding(qr/^\Q$url\E \(organization $org\): $cause since [0-9:]+, 1 waiting, 2,587 EUR$/, qr/warning|info/);
	like($row->{remedy}, $remedy, "$org: what to do");
	like($row->{detail}, qr/SELECT kg_explain\(\d+\);/, "$org: and where to read on");
}
is((grep { $_->{severity} eq 'critical' } status()), 0, 'none of these is critical');
like(headline(), qr/^Deliveries flow, but http/, 'and the page says the worst of them');

#
# A restart: who was failing before is known.  Some are right again by then, and what
# waits goes by itself.
#
$tls{$_}->stop foreach keys %tls;
my @good = map { start_receiver(cert => $certificates->file('good.crt'), key => $certificates->file('good.key'), port => $tls{$_}->port) } sort keys %tls;
my $back = start_receiver(port => $nobody);
$node->stop;
start_server();
wait_for_finding(qr/organization missing\): answered with status 404 since/);
$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM kgwebhook.queue WHERE org_id IN ('down', 'expired', 'misnamed')})
  or die 'they did not come back';
unlike(join("\n", map { $_->{finding} } status()), qr/organization (down|expired|misnamed)/, 'those that came back are no finding any more');
sql(q{DELETE FROM kgwebhook.queue});
wait_for_ok('and nothing is wrong without them');

#
# No secret
#
insert_intent($node, 'secretless', $receiver->url, org_id => "'acme'", fiat_amount => "'12.50'", fiat_currency => "'USD'");
my $secretless = wait_for_finding(qr/^organization acme has no secret, 1 delivery waits since [0-9:]+, 12\.50 USD$/, qr/warning/);
is($secretless->{remedy}, q{SELECT kg_create_secret('acme');}, 'no secret: what to do');
sql($secretless->{remedy});
wait_for_ok('no secret: its remedy works');

#
# A payload that cannot be sent
#
sql(q{CREATE TABLE odd (id text, status text, amount float8, url text); SELECT kg_watch('odd', 'odd', 'id', 'status', 'url', NULL)});
sql(qq{INSERT INTO odd VALUES ('poison', 'new', 'NaN', '@{[ $receiver->url ]}')});
my $poison = wait_for_finding(qr/^1 delivery was given up: invalid: /, qr/warning/);
like($poison->{detail}, qr/^It is odd poison of organization default, to http/, 'poison: which');
(my $amend = $poison->{remedy}) =~ s/; with what is right.*//;
sql($amend =~ s/"member": "value"/"amount": "0"/r);
wait_for_ok('poison: its remedy works');

#
# A key file that is another one
#
my $keys = PostgreSQL::Test::Utils::tempdir('keys') . '/key';
append_to_file($keys, 'the key that all secrets are encrypted with, and more');
chmod 0600, $keys;
copy($keys, "$keys.kept") or die $!;
reload($node, 'kgwebhook.key_file' => "'$keys'");
sql('SELECT kg_encrypt_secrets()');
unlink $keys;
append_to_file($keys, 'another key, which none of them is encrypted with at all');
chmod 0600, $keys;
$node->restart;
insert_intent($node, 'keyless', $receiver->url);
my $key = wait_for_finding(qr/^Nothing can be signed: no secret can be decrypted, 1 delivery waits$/, qr/critical/);
is($key->{remedy}, "Restore $keys, then SELECT pg_reload_conf();", 'a wrong key: what to do');
copy("$keys.kept", $keys) or die $!;
sql('SELECT pg_reload_conf()');
wait_for_ok('a wrong key: its remedy works');

#
# A worker that ends by an error again and again
#
sql('ALTER TABLE kgwebhook.queue RENAME COLUMN problem TO trouble');
sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'kgwebhook worker' AND datname = 'postgres'});
my $crash = wait_for_finding(qr/^Nothing is delivered: the worker fails again and again$/, qr/critical/);
like($crash->{detail}, qr/column "problem" does not exist/, 'a worker that ends again and again: why');
sql('ALTER TABLE kgwebhook.queue RENAME COLUMN trouble TO problem');
wait_for_ok('a worker that ends again and again: it goes on by itself');

#
# A receiver that takes its time, and a backlog that is worked off
#
insert_intent($node, "slow $_", $receiver->url('/slow/700')) foreach 1 .. 12;
wait_for_finding(qr{^\Q@{[ $receiver->url('/slow/700') ]}\E \(organization default\) acknowledges, but takes 0\.7 s a request, \d+ (delivery waits|deliveries wait)$}, qr/info/);
wait_until_settled($node);
$receiver->hold('drain');
sql(qq{INSERT INTO payment_intents (payment_intent_id, callback_url)
	SELECT 'drain' || i, '@{[ $receiver->url('/while/drain/ok') ]}' FROM generate_series(1, 3000) i});
my @drain = status();
like($drain[0]{finding}, qr/^Deliveries flow|a worker had an error/, 'a backlog that is worked off is no finding');
$receiver->release('drain');
sql(q{UPDATE kgwebhook.queue SET next_attempt_at = now() - interval '1 hour', enqueued_at = now() - interval '1 hour'
	WHERE object_id LIKE 'drain%' AND delivery_id > (SELECT min(delivery_id) + 1000 FROM kgwebhook.queue)});
unlike(join("\n", map { $_->{finding} } status()), qr/late/, 'nor is it late while others of its destination go') foreach 1 .. 5;
wait_until_settled($node);
wait_for_ok('and then nothing waits');

#
# A worker that hangs
#
my ($pid) = worker_pids($node);
kill 'STOP', $pid;
insert_intent($node, 'stuck', $receiver->url);
sql(q{UPDATE kgwebhook.queue SET next_attempt_at = now() - interval '11 min'});
my $late = wait_for_finding(qr/1 delivery is late since/);
kill 'CONT', $pid;
sql($late->{remedy});
wait_for_ok('late: its remedy works');

#
# Not preloaded
#
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
my $preload = wait_for_finding(qr/^Nothing is delivered: the server does not preload kgwebhook$/, qr/critical/);
like(headline(), qr/^Nothing is delivered: the server does not preload kgwebhook$/, 'not preloaded: the page');
my ($statement) = $preload->{remedy} =~ /^(ALTER SYSTEM [^;]*);/;
is($statement, q{ALTER SYSTEM SET shared_preload_libraries = 'kgwebhook'}, 'not preloaded: what to do');
sql($statement);
$node->restart;
wait_for_ok('not preloaded: its remedy works');

$node->stop;
$receiver->stop;
done_testing();
