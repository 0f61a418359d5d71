#-------------------------------------------------------------------------
#
# test/t/085_status.pl
#	  kg_status() says what is wrong, for faults that stop everything and for receivers
#	  that fail, and what it says to do about the former does away with them.
#
# A fault is made, kg_status() has to name its cause, the organization and what
# waits, and a remedy that is a statement is run as it stands.  Receivers that fail
# come all at once; what stops everything comes one at a time.  The delivery page has
# the same headline each time.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

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

$node->stop;
$_->stop foreach $receiver, values %tls;
done_testing();
