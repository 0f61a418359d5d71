#-------------------------------------------------------------------------
#
# test/t/122_client_certificates.pl
#	  A receiver that demands a certificate of its own authority gets it, and a
#	  connection or a session that was made with one serves no other endpoint.  And where
#	  kgwebhook.ca_file is set, nothing but that file vouches for a receiver.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Kgwebhook::Certificates;
use PostgreSQL::Test::Utils;
use Test::More;

my $certificates = Kgwebhook::Certificates->new;
$certificates->make('authority');
$certificates->make('outsider');
$certificates->make('server', by => 'authority', for => 'IP:127.0.0.1');
$certificates->make($_, by => 'authority', for => "DNS:$_.example") foreach qw(own subscribed);
$certificates->make('foreign', by => 'outsider', for => 'DNS:foreign.example');
$certificates->make('expired', by => 'authority', for => 'DNS:expired.example',
	from => '20200101000000Z', until => '20200201000000Z');

# a folder of the system's in which the outsider is
$certificates->make('elsewhere', by => 'outsider', for => 'IP:127.0.0.1');
my $authorities = PostgreSQL::Test::Utils::tempdir('authorities');
chomp(my $hash = `openssl x509 -noout -hash -in @{[ $certificates->file('outsider.crt') ]}`);
symlink $certificates->file('outsider.crt'), "$authorities/$hash.0" or die $!;
my $node = init_node(
	'main',
	'log_statement' => 'none',
	'kgwebhook.retry_schedule' => "'1h'",
	'kgwebhook.ca_file' => "'@{[ $certificates->file('authority.crt') ]}'");
{
	local $ENV{LD_PRELOAD} = build_library('preload/system_authorities');
	local $ENV{KGW_AUTHORITIES} = $authorities;
	$node->start;
}
$node->safe_psql('postgres', 'SET client_min_messages = warning; CREATE EXTENSION kgwebhook CASCADE');
my $secret = make_intents_table($node);
$node->safe_psql('postgres', "SELECT kg_set_secret('acme', '$secret')");
my $receiver = start_receiver(secret => $secret, client_ca => $certificates->file('authority.crt'),
	cert => $certificates->file('server.crt'), key => $certificates->file('server.key'));

sub sql
{
	return $node->safe_psql('postgres', shift);
}

# A file's contents as an SQL literal.
sub pem
{
	my ($name) = @_;

	return "'" . slurp_file($certificates->file($name)) . "'";
}

sub set_certificate
{
	my ($org, $name, $subscription) = @_;

	return sql("SELECT kg_set_client_certificate('$org', @{[ pem(\"$name.crt\") ]}, @{[ pem(\"$name.key\") ]}"
		  . (defined $subscription ? ", $subscription" : '') . ')');
}

# The first attempts of a new intent: to its own URL, and to subscriptions.
my $id = 0;
sub attempts
{
	my ($org, $path, $n) = @_;

	insert_intent($node, ++$id, $receiver->url($path), org_id => "'$org'");
	return sort { $a->{url} cmp $b->{url} } wait_for_log_rows($node, $n // 1, "object_id = '$id'");
}

sub last_at
{
	my ($path) = @_;

	return ($receiver->requests(path => $path))[-1];
}

my $needed = 'unreachable: the other side requires a client certificate, and kgwebhook has none';
my ($without) = attempts('default', '/ok/own');
is("$without->{outcome}: $without->{error}", $needed, 'without a certificate');

my $subscription = sql("SELECT kg_subscribe('default', '@{[ $receiver->url('/ok/sub') ]}')");
set_certificate('default', 'subscribed', $subscription);
my ($own, $sub) = attempts('default', '/ok/own', 2);
is("$own->{outcome}: $own->{error}", $needed, 'the certificate of a subscription is not for the own URL');
is($sub->{outcome}, 'acknowledged', 'and is for the subscription');
is(last_at('/ok/sub')->{client}, 'subscribed', 'which shows it');
my ($same) = attempts('default', '/ok/sub');
is("$same->{outcome} $same->{subscription_id}", "acknowledged $subscription", 'also where an own URL is the same: it goes to the subscription');

sql('DELETE FROM kgwebhook.queue');
set_certificate('default', 'own');
my $other = sql("SELECT kg_subscribe('acme', '@{[ $receiver->url('/ok/other') ]}')");
set_certificate('acme', 'subscribed', $other);
foreach my $round (1 .. 3)
{
	is_deeply([ map { $_->{outcome} } attempts('default', '/ok/own', 2) ], [ ('acknowledged') x 2 ], "round $round: both");
	insert_intent($node, ++$id, undef, org_id => q{'acme'});
	wait_for_log_rows($node, 1, "object_id = '$id'");
}
my %clients = map { $_ => { map { $_->{client} => 1 } $receiver->requests(path => "/ok/$_") } } qw(own sub other);
is_deeply(\%clients, { own => { own => 1 }, sub => { subscribed => 1 }, other => { subscribed => 1 } }, 'each endpoint shows its own');
my %connections;
$connections{ $_->{connection} }{ $_->{path} } = 1 foreach $receiver->requests;
is_deeply([ grep { keys %{ $connections{$_} } > 1 } keys %connections ], [], 'and no connection serves two of them');
is(scalar(keys %{ { map { $_->{connection} => 1 } $receiver->requests(path => '/ok/other') } }), 1, 'though each is kept');
foreach my $path ('/ok/own', '/ok/sub', '/ok/other')
{
	ok(!($receiver->requests(path => $path))[0]{resumed}, "$path begins with a handshake of its own");
}

# sessions, where each connection is closed
sql("SELECT kg_update_subscription($subscription, '@{[ $receiver->url('/once/sub') ]}')");
attempts('default', '/once/own', 2) foreach 1 .. 3;
is_deeply([ map { $_->{client} } $receiver->requests(path => '/once/own') ], [ ('own') x 3 ], 'a session that is resumed is its endpoint\'s');
is_deeply([ map { $_->{client} } $receiver->requests(path => '/once/sub') ], [ ('subscribed') x 3 ], 'the other\'s as well');

# an exam gets in by it with each of its questions, also the one that another secret signs
is(sql("SELECT string_agg(probe || ': ' || seen, '; ') FROM kg_examine('@{[ $receiver->url('/ok/own') ]}', 'default') WHERE seen ~ 'certificate|not sent'"),
	'', 'an exam shows it');

# what the receiver does not accept
set_certificate('default', 'foreign');
$node->safe_psql('postgres', "SELECT kg_unsubscribe($subscription)");
my ($strange) = attempts('default', '/ok/own');
# Node's TLS closes the connection, and sends no alert; what we have sent by then makes it a reset
like("$strange->{outcome}: $strange->{error}", qr/^unreachable: the connection (?:was closed without an answer|broke)$/, 'of another authority');
is(sql('SELECT count(*) FROM kgwebhook.client_certificate WHERE subscription_id = ' . $subscription), 0, 'what is unsubscribed leaves none behind');

# what cannot be
my ($good, $key) = (pem('own.crt'), pem('own.key'));
my $unusable = qr/22023: the client certificate cannot be used\n.*DETAIL:  /s;
foreach my $case (
	[ "'default', $good, @{[ pem('server.key') ]}", qr/${unusable}The private key is not the certificate's\./ ],
	[ "'default', 'x', $key", qr/${unusable}The certificate cannot be read/ ],
	[ "'default', $good, $good", qr/${unusable}The private key cannot be read/ ],
	[ "'default', @{[ pem('expired.crt') ]}, @{[ pem('expired.key') ]}", qr/${unusable}The certificate has expired\./ ],
	[ "'default', $good", qr/22004: private_key must not be null/ ],
	[ "NULL, $good, $key", qr/22004: org_id must not be null/ ],
	[ "'default', $good, $key, $other", qr/P0002: organization "default" has no subscription $other/ ],
	[ "'default', $good, $key, 0", qr/P0002: organization "default" has no subscription 0/ ])
{
	like(sql_error($node, "SELECT kg_set_client_certificate($case->[0])"), $case->[1], 'refused: ' . $case->[1]);
}
unlike(slurp_file($node->logfile), qr/PRIVATE KEY/, 'no private key is in the log, refused ones neither');

# in memory: as long as it is set
SKIP:
{
	my ($worker) = wait_for_worker($node);
	my $part = substr(slurp_file($certificates->file('foreign.key')), 60, 80);

	skip 'the memory of a process of the same user cannot be read', 2 unless defined memory_has($worker, '');
	is(memory_has($worker, $part), 1, 'the worker has the private key in its memory');
	sql(q{SELECT kg_set_client_certificate('default', NULL)});
	$receiver->wait_for('a worker that has forgotten the key', sub { !memory_has($worker, $part) });
	pass('and not when it was taken away, though what was sent with it waits to be used again');
}

# encrypted as secrets are
set_certificate('default', 'own');
my $file = PostgreSQL::Test::Utils::tempdir('keys') . '/key';
append_to_file($file, "the key that all of these are encrypted with\n");
chmod 0600, $file;
reload($node, 'kgwebhook.key_file' => "'$file'");
$node->poll_query_until('postgres', 'SELECT bool_and(encrypted) FROM kgwebhook.client_certificate') or die 'not encrypted';
unlike(sql('SELECT private_key FROM kgwebhook.client_certificate'), qr/PRIVATE KEY/, 'the private key is encrypted');
is((attempts('default', '/ok/own'))[0]{outcome}, 'acknowledged', 'and shown as before');
is(sql("SELECT outcome FROM kg_send_test('@{[ $receiver->url('/ok?test') ]}')"), 'acknowledged', 'a test shows it, too');
is(last_at('/ok?test')->{client}, 'own', 'the endpoint\'s');
sql(q{SELECT kg_set_client_certificate('default', NULL)});
($without) = attempts('default', '/ok/own');
is("$without->{outcome}: $without->{error}", $needed, 'NULL takes it away, and no kept connection remembers it');
like(sql_error($node, "CREATE ROLE nobody; SET ROLE nobody; SELECT kg_set_client_certificate('default', NULL)"),
	qr/42501: permission denied/, 'an operator\'s matter');

#
# Whom ca_file vouches for
#
my $elsewhere = start_receiver(secret => $secret, cert => $certificates->file('elsewhere.crt'), key => $certificates->file('elsewhere.key'));
insert_intent($node, 'file', $elsewhere->url);
my ($by_file) = wait_for_log_rows($node, 1, q{object_id = 'file'});
like($by_file->{error}, qr/^the certificate's issuer is not known/, 'an authority of the system\'s folder does not vouch beside ca_file');
reload($node, 'kgwebhook.ca_file' => "''");
insert_intent($node, 'folder', $elsewhere->url);
my ($by_folder) = wait_for_log_rows($node, 1, q{object_id = 'folder'});
is("$by_folder->{outcome}: @{[ $by_folder->{error} // '' ]}", 'acknowledged: ', 'and does where none is set');
done_testing();
