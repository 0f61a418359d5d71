#-------------------------------------------------------------------------
#
# test/torture/torture.pl
#	  A worker in which one allocation fails, each in its turn, or all do for a stretch:
#	  nothing is lost, nothing counts as acknowledged that was not, and the server lives.
#
# A scenario is what becomes of one event: its delivery over a kept connection, over
# a new one, after a refusal, by TLS, and so on.  For N = 1, 2, 3 ... the N-th allocation
# outside of PostgreSQL fails once (test/preload/no_memory.c) while an event is on its way,
# until an event needs fewer than N.  Each N has an object of its own, named after it, so that
# all are judged together at the end of the scenario.
#
# Or a stretch begins with the N-th: all fail, so many or for so long; in "all" those of
# PostgreSQL, too, which raises errors.
#
# Some N by SEED, or each with KGW_DEEP (make torture).  KGW_PART=2/5 takes the second fifth
# of them, SCENARIO='tls named' those scenarios only, and STRETCH='30 second' those stretches.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Kgwebhook::Certificates;
use Kgwebhook::SmallWorld;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $deep = $ENV{KGW_DEEP};
my $seed = $ENV{SEED} || time;
my ($part, $parts) = split m{/}, $ENV{KGW_PART} || '1/1';
my $samples = 5;
my $never = 1 << 40;
my $patience = 40;

#
# A server whose worker can be out of memory, and receivers
#
my $certificates = Kgwebhook::Certificates->new;
$certificates->make('authority');
$certificates->make('trusted', by => 'authority', for => 'IP:127.0.0.1');
$certificates->make('client', by => 'authority', for => 'DNS:client.example');

my $dir = PostgreSQL::Test::Utils::tempdir('torture');
my $control = "$dir/memory";
append_to_file($control, "\0" x 56);
append_to_file("$dir/keys", "the key of this test, which has enough characters\n");
append_to_file("$dir/credentials", "kgwebhook:a password\n");
chmod 0600, "$dir/keys", "$dir/credentials" or die $!;

my $world = Kgwebhook::SmallWorld->create;
$world->names('merchant.example' => { A => ['127.0.0.1'] });
my $node = init_node(
	'main',
	'restart_after_crash' => 'on',
	'log_statement' => 'none',
	# OpenSSL may wait for more where it had no memory to read what came
	'kgwebhook.request_timeout' => "'3s'",
	'kgwebhook.allowed_networks' => "'127.0.0.0/8'",
	'kgwebhook.key_file' => "'$dir/keys'",
	'kgwebhook.proxy_credentials_file' => "'$dir/credentials'",
	'kgwebhook.ca_file' => "'@{[ $certificates->file('authority.crt') ]}'",
	# what has no memory for an attempt has had one: a stretch must not use up the schedule
	'kgwebhook.retry_schedule' => "'@{[ join ',', ('20ms') x 20, ('100ms') x 30, '1s', '2s', '5s' ]}'");
my $library = build_library('preload/no_memory');
start_server();
$node->safe_psql('postgres', 'SET client_min_messages = warning; CREATE EXTENSION kgwebhook CASCADE');
my @secrets = (make_intents_table($node), 'the secret of acme, which is long enough');
my %tls = (cert => $certificates->file('trusted.crt'), key => $certificates->file('trusted.key'));
my $http = start_receiver(secret => \@secrets);
my $https = start_receiver(secret => \@secrets, %tls);
my $strict = start_receiver(secret => \@secrets, %tls, client_ca => $certificates->file('authority.crt'));
my $proxy = start_receiver(program => 'proxy.mjs', user => 'kgwebhook:a password');

# acme has all that an endpoint can have, and it is encrypted.
$node->safe_psql(
	'postgres', qq{
	SELECT kg_set_secret('acme', '$secrets[1]');
	SELECT kg_create_signing_key('acme');
	SELECT kg_subscribe('acme', '@{[ $strict->url('/once') ]}') AS id \\gset
	SELECT kg_sign_http('acme', :id);
	SELECT kg_set_headers(:id, '{"x-torture": "headers"}');
	SELECT kg_set_client_certificate('acme', '@{[ slurp_file($certificates->file('client.crt')) ]}',
		'@{[ slurp_file($certificates->file('client.key')) ]}', :id)});

# The statement that is waited for: until no delivery of an object is left.
$node->safe_psql(
	'postgres', qq{
	CREATE TABLE late (object text);
	CREATE PROCEDURE wait_for_end(object text) LANGUAGE plpgsql AS \$\$
	BEGIN
		FOR i IN 1 .. $patience * 500 LOOP
			IF NOT EXISTS (SELECT FROM kgwebhook.queue WHERE object_id = object) THEN
				RETURN;
			END IF;
			PERFORM pg_sleep(0.002);
		END LOOP;
		INSERT INTO late VALUES (object);
	END \$\$});

sub start_server
{
	local $ENV{LD_PRELOAD} = $library;
	local $ENV{KGW_NO_MEMORY} = $control;
	$world->start($node);
	return;
}

#
# Scenarios: where an event goes, what is done before, and what a request has to be like
#
my $name_at = $http->url('/once') =~ s/127\.0\.0\.1/merchant.example/r;
my %scenarios = (
	'plain' => { url => $http->url },
	'new' => { url => $http->url('/once') },
	'refused' => { url => $http->url('/fail/1/ok'), refusals => 1 },
	'dropped' => { url => $http->url('/first-only/ok') },
	'named' => { url => $name_at, before => \&forget },
	'proxied' => { url => $http->url('/once'), before => \&forget, proxy => 1 },
	'tls' => { url => $https->url('/once'), before => \&forget, at => $https },
	'resumed' => { url => $https->url('/once'), before => \&warm_up, at => $https },
	'acme' => {
		org => 'acme', before => \&forget, at => $strict,
		wants => sub {
			my ($request) = @_;
			my $headers = $request->{headers};

			return ($request->{client} // '') eq 'client' && ($headers->{'x-torture'} // '') eq 'headers'
			  && $headers->{'webhook-signature'} =~ / v1a,/ && defined $headers->{'signature-input'};
		}
	});
my @order = qw(plain new refused dropped named proxied tls resumed acme);

# How long memory is missing: allocations, or microseconds, and whether for PostgreSQL, too.
my %stretches = (
	'once' => { calls => 1 },
	'3' => { calls => 3 },
	'30' => { calls => 30 },
	'300' => { calls => 300 },
	'second' => { calls => $never, for => 1_000_000 },
	'all' => { calls => $never, for => 1_000_000, all => 1 });

#
# One event
#
my $worker;

sub set_control
{
	my ($fails_at, $stretch) = @_;
	my $until = $fails_at ? $fails_at + $stretch->{calls} - 1 : 0;

	open my $file, '+<:raw', $control or die "$control: $!";
	syswrite $file, pack('q7', $fails_at, $until, $stretch->{for} // 0, $stretch->{all} // 0, 0, 0, 0)
	  or die "$control: $!";
	close $file;
	return;
}

# How many allocations there were, and how many of them failed.
sub counted
{
	open my $file, '<:raw', $control or die "$control: $!";
	sysread $file, my $bytes, 56;
	close $file;
	return (unpack 'q7', $bytes)[ 5, 6 ];
}

# The worker makes its handles, TLS sessions and keyrings again.
sub forget
{
	kill 'HUP', $worker;
	return;
}

sub commit_and_wait
{
	my ($object, $scenario) = @_;
	my $url = $scenario->{url} ? "'$scenario->{url}'" : 'NULL';
	my $org = $scenario->{org} // 'default';
	my $log_end = -s $node->logfile;

	eval {
		$worker = $node->safe_psql(
			'postgres', qq{
			INSERT INTO payment_intents (payment_intent_id, callback_url, org_id)
			VALUES ('$object', $url, '$org');
			CALL wait_for_end('$object');
			SELECT pid FROM pg_stat_activity WHERE backend_type = 'kgwebhook worker'});
		1;
	} and return;
	note("$object: $@");
	set_control(0);
	# a server that starts again after a crash; what was not committed is not waited for
	$node->poll_query_until('postgres', 'SELECT true') or die 'the server does not come back';
	($worker) = wait_for_worker($node);
	wait_until_settled($node, "object_id = '$object'");
	return;
}

# A session to resume, however the last handshake ended.
sub warm_up
{
	my ($object, $scenario) = @_;

	set_control(0);
	commit_and_wait("warm-$object", $scenario);
	return;
}

# The pause after a worker's end grows, and there is no use in waiting for that.
sub start_again
{
	$node->stop;
	start_server();
	($worker) = wait_for_worker($node);
	return;
}

# One event in which the N-th allocation fails, and what follows it; how many there were, and
# failed.
sub torture
{
	my ($name, $stretch, $n) = @_;
	my $scenario = $scenarios{$name};
	my $object = objects_of($name, $stretch) . $n;
	my @result;

	warm_up($object, $scenario) if $scenario->{before} && $scenario->{before} == \&warm_up;
	set_control($n, $stretches{$stretch});
	forget() if $scenario->{before} && $scenario->{before} == \&forget;
	commit_and_wait($object, $scenario);
	@result = counted();
	set_control(0);
	return @result;
}

#
# What is wrong with what became of a scenario's events
#

# What the names of its objects begin with.
sub objects_of
{
	my ($name, $stretch) = @_;

	return $stretch eq 'once' ? "$name-" : "$name-$stretch-";
}

sub requests_of
{
	my ($receiver, $prefix) = @_;
	my %of;

	push @{ $of{ $_->{json}{payment_intent_id} } }, $_
	  foreach grep { ($_->{json}{payment_intent_id} // '') =~ /^\Q$prefix\E\d+$/ } $receiver->requests;
	return \%of;
}

sub faults_of_request
{
	my ($scenario, $request) = @_;
	my @faults;

	push @faults, 'forged' unless $request->{valid};
	push @faults, 'no user agent' unless ($request->{headers}{'user-agent'} // '') =~ m{^kgwebhook/};
	push @faults, 'not as the endpoint wants it' if $scenario->{wants} && !$scenario->{wants}->($request);
	return @faults;
}

sub faults_of_log
{
	my ($prefix) = @_;

	return split /\n/, $node->safe_psql(
		'postgres', qq{
		SELECT payment_intent_id || ': ' || count(*) FILTER (WHERE outcome = 'acknowledged') || ' times acknowledged; '
			|| coalesce(string_agg(attempt || ' ' || outcome || ' ' || coalesce(error, ''), ', '), 'no attempt')
		  FROM payment_intents LEFT JOIN kgwebhook.delivery_log ON object_id = payment_intent_id
		 WHERE payment_intent_id ~ '^$prefix\\d+\$'
		 GROUP BY payment_intent_id
		HAVING count(*) FILTER (WHERE outcome = 'acknowledged' AND final) <> 1
			OR count(*) FILTER (WHERE outcome = 'acknowledged') <> 1
		 UNION ALL
		SELECT object_id || ': dead letter, ' || reason FROM kgwebhook.dead_letter WHERE object_id ~ '^$prefix\\d+\$'
		 UNION ALL
		SELECT object || ': not settled for $patience seconds' FROM late WHERE object ~ '^$prefix\\d+\$'});
}

sub faults
{
	my ($name, $stretch, @ns) = @_;
	my $scenario = $scenarios{$name};
	my $prefix = objects_of($name, $stretch);
	my $got = requests_of($scenario->{at} // $http, $prefix);
	my @faults = faults_of_log($prefix);

	foreach my $object (map { "$prefix$_" } @ns)
	{
		my @requests = @{ delete $got->{$object} // [] };
		my %ids = map { $_->{headers}{'webhook-id'} => 1 } @requests;

		push @faults, "$object: acknowledged, and not answered" if @requests <= ($scenario->{refusals} // 0);
		push @faults, "$object: under several ids" if keys %ids > 1;
		push @faults, map { "$object: $_" } map { faults_of_request($scenario, $_) } @requests;
	}
	push @faults, map { "$_: never committed" } sort keys %$got;
	return @faults;
}

# Past the proxy, or without saying who asks.
sub faults_of_proxy
{
	my @refused = grep { $_->{status} != 200 } $proxy->requests;
	my @led = grep { $_->{status} == 200 } $proxy->requests;
	my @got = grep { $_->{json}{payment_intent_id} =~ /^proxied-/ } $http->requests;

	# each request has a connection of its own
	return ((@got > @led ? 'past the proxy: ' . (@got - @led) : ()),
		(@refused ? 'refused by the proxy: ' . @refused : ()));
}

# All N up to where an event needs fewer, or some.
sub numbers
{
	my ($total, $stretch) = @_;
	my %some;

	return grep { $_ % $parts == $part % $parts } 1 .. $total if $deep;
	$some{ 1 + int rand $total } = 1 foreach 1 .. ($stretch eq 'once' ? $samples : 1);
	return sort { $a <=> $b } keys %some;
}

# Also for the reader of a long run that found nothing.
sub report
{
	my ($line) = @_;

	note($line);
	append_to_file("$ENV{KGW_OUTPUT}/torture", "$line\n") if $ENV{KGW_OUTPUT};
	return;
}

# A scenario with memory that is missing so long, from each of some allocations on.
sub run_stretch
{
	my ($name, $stretch) = @_;
	my $log_begin = -s $node->logfile;
	my ($ended, $failed, $total, @first, @ns) = (0, 0);

	# the first event of all opens, connects and reads what later ones find
	@first = $stretch eq 'once' ? qw(01 02) : ();
	torture($name, $stretch, $_) foreach @first;
	warm_up("$name-$stretch", $scenarios{$name}) unless @first;
	($total) = torture($name, $stretch, $never);
	foreach my $n (numbers($total, $stretch))
	{
		my $before = $worker;
		my (undef, $did) = torture($name, $stretch, $n);

		$failed += $did > 0;
		push @ns, $n;
		next if $worker eq $before;
		$ended++;
		start_again();
	}
	report("$name, $stretch: $total allocations, $failed of " . @ns . " failed, $ended times the worker ended");
	is(join("\n", faults($name, $stretch, @first, @ns, $never), $scenarios{$name}{proxy} ? faults_of_proxy() : ()),
		'', "$name, $stretch: nothing lost, nothing that was not answered");
	cmp_ok($failed, '>', 0, "$name, $stretch: allocations failed");
	unlike(slurp_file($node->logfile, $log_begin), qr/was terminated by signal|PANIC|TRAP/,
		"$name, $stretch: the server lives");
	return;
}

sub run_scenario
{
	my ($name, @with) = @_;

	reload($node, 'kgwebhook.proxy' => "'http://127.0.0.1:@{[ $proxy->port ]}'") if $scenarios{$name}{proxy};
	run_stretch($name, $_) foreach @with;
	reload($node, 'kgwebhook.proxy' => q{''}) if $scenarios{$name}{proxy};
	return;
}

# One scenario of a short run has all of them.
sub stretches_for
{
	my ($name, $chosen) = @_;

	return split ' ', $ENV{STRETCH} if $ENV{STRETCH};
	return $deep || $name ne $chosen ? ('once') : ('once', grep { $_ ne 'once' } sort keys %stretches);
}

srand $seed;
diag("SEED=$seed") unless $deep;
($worker) = wait_for_worker($node);
my @names = $ENV{SCENARIO} ? split ' ', $ENV{SCENARIO} : @order;
my $chosen = $names[ int rand @names ];
run_scenario($_, stretches_for($_, $chosen)) foreach @names;
$node->stop;
append_to_file("$ENV{KGW_OUTPUT}/torture.stacks", slurp_file("$control.stacks")) if $ENV{KGW_OUTPUT};
done_testing();
