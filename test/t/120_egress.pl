#-------------------------------------------------------------------------
#
# test/t/120_egress.pl
#	  How requests leave: by kgwebhook.source_address and nothing else, through
#	  kgwebhook.proxy and past it never; and where that cannot be, it is said.
#
# Loopback has as many addresses as one wants, so a source is one of them.  The proxy is
# a real one, which looks names up itself that nobody else knows.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Kgwebhook::Certificates;
use Kgwebhook::OnCall;
use PostgreSQL::Test::Utils;
use Test::More;

my $certificates = Kgwebhook::Certificates->new;
$certificates->make('authority');
$certificates->make('shop', by => 'authority', for => 'DNS:shop.test,IP:127.0.0.1');
$certificates->make('proxy', by => 'authority', for => 'IP:127.0.0.1');
$certificates->make('outsider', for => 'IP:127.0.0.1');
my %tls = (cert => $certificates->file('shop.crt'), key => $certificates->file('shop.key'));

my $node = new_node(
	'main',
	'kgwebhook.retry_schedule' => "'1h'",
	'log_statement' => 'none',
	'kgwebhook.connect_timeout' => "'1500ms'",
	'kgwebhook.ca_file' => "'@{[ $certificates->file('authority.crt') ]}'");
my $secret = make_intents_table($node);
my $receiver = start_receiver(secret => $secret);
my $shop = start_receiver(secret => $secret, %tls);
my $ipv6 = start_receiver(secret => $secret, host => '::1');
my $on_call = Kgwebhook::OnCall->new($node);

sub says
{
	my ($url, $outcome, $error, $what) = @_;
	my $row = attempt_at($node, $url);

	is("$row->{outcome}: $row->{error}", "$outcome: $error", $what);
	return $row;
}

# Enough of them that it is more than one host's trouble.
my $threes = 0;
sub three_at
{
	my ($url) = @_;
	my @ids = map { 'three' . ++$threes } 1 .. 3;

	# each at a destination of its own, whose breaker knows nothing yet
	insert_intent($node, $ids[$_], $url =~ s/:(\d+)/':' . (2000 + $_)/er) foreach 0 .. 2;
	wait_for_log_rows($node, 3, 'object_id IN (' . join(', ', map { "'$_'" } @ids) . ')');
	return;
}

sub forget
{
	# what failed before counts against nobody's next attempt
	$node->safe_psql('postgres', 'DELETE FROM kgwebhook.queue');
	return;
}

#
# A source address
#
is(attempt_at($node, $receiver->url)->{outcome}, 'acknowledged', 'by itself');
is(($receiver->requests)[-1]{peer}, '127.0.0.1', 'from where the kernel says');
reload($node, 'kgwebhook.source_address' => "'127.0.0.2'");
is(attempt_at($node, $receiver->url)->{outcome}, 'acknowledged', 'a source address');
is(($receiver->requests)[-1]{peer}, '127.0.0.2', 'by no connection that was kept from before');
says($ipv6->url, 'unreachable', 'kgwebhook.source_address has no IPv6 address', 'not by another family');
is(scalar($ipv6->requests), 0, 'and nothing came');
is((($node->safe_psql('postgres', "SELECT outcome FROM kg_send_test('@{[ $receiver->url ]}')"))), 'acknowledged', 'a test');
is(($receiver->requests)[-1]{peer}, '127.0.0.2', 'takes the same way');

reload($node, 'kgwebhook.source_address' => "'::1, 127.0.0.3'");
forget();
is(attempt_at($node, $ipv6->url)->{outcome}, 'acknowledged', 'one of each family');
is(attempt_at($node, $receiver->url)->{outcome}, 'acknowledged', 'the other');
is_deeply([ map { ($_->requests)[-1]{peer} } $ipv6, $receiver ], [ '::1', '127.0.0.3' ], 'each its own');

reload($node, 'kgwebhook.source_address' => "'lo'");
is(attempt_at($node, $receiver->url)->{outcome}, 'acknowledged', 'an interface');
my $waiting = insert_intent($node, 'waiting', $receiver->url('/status/500'));
wait_for_log_rows($node, 1, q{object_id = 'waiting'});

# what is not here
my $log_end = -s $node->logfile;
reload($node, 'kgwebhook.source_address' => "'198.51.100.7'");
$node->wait_for_log(qr/LOG:  kgwebhook sends nothing: kgwebhook\.source_address is not an address of this server/, $log_end);
my $requests = $receiver->requests;
my $stuck = says($receiver->url, 'unreachable', 'kgwebhook.source_address is not an address of this server', 'an address of another host');
is(scalar($receiver->requests), $requests, 'and nothing leaves by another');
my $elsewhere = $on_call->finds(qr/^Nothing is delivered: kgwebhook\.source_address is not an address of this server$/, qr/critical/);
like($elsewhere->{remedy}, qr/^ALTER SYSTEM SET kgwebhook\.source_address = /, 'what to do');
$on_call->explains($stuck->{object_id}, 'the cause' => qr/^Nothing is delivered: kgwebhook\.source_address is not an address of this server\. This is sent once that is over\.$/m);
reload($node, 'kgwebhook.source_address' => "'nosuch0'");
$on_call->finds(qr/^Nothing is delivered: kgwebhook\.source_address names no interface of this server$/, qr/critical/);
reload($node, 'kgwebhook.source_address' => "''");
forget();

# what cannot be
foreach my $bad ('10.0.0.300', '127.0.0.2, 127.0.0.3', 'lo, 127.0.0.2', '0.0.0.0', 'fe80::1', 'a/b', '127.0.0.2,')
{
	like(sql_error($node, "ALTER SYSTEM SET kgwebhook.source_address = '$bad'"),
		qr/22023: invalid value for parameter "kgwebhook\.source_address".*DETAIL:  ".*" is not the one interface/s, "'$bad' is refused");
}

#
# A proxy
#
my $shop_port = $shop->port;
my %names = ('shop.test' => '127.0.0.1', 'gone.test' => '127.0.0.1', 'other.test' => '127.0.0.1');
my $proxy = start_receiver(
	program => 'proxy.mjs',
	hosts => join(',', map { "$_=$names{$_}" } sort keys %names),
	user => 'kgw:p:ss@word');
my $credentials = PostgreSQL::Test::Utils::tempdir('credentials') . '/proxy';
my $password = 'p:ss@word';
append_to_file($credentials, "kgw:$password\n");
chmod 0600, $credentials;

says("https://shop.test:$shop_port/ok", 'unreachable', "the host's name could not be resolved", 'a name that only the proxy knows');
reload($node, 'kgwebhook.proxy' => "'@{[ $proxy->destination ]}'", 'kgwebhook.source_address' => "'127.0.0.5'");
forget();
says("https://other.test:$shop_port/ok", 'unreachable', 'kgwebhook.proxy requires credentials, or refuses those that it was sent', 'no credentials');
three_at("https://other.test:1/ok");
$on_call->finds(qr/^Nothing is delivered: kgwebhook\.proxy requires credentials/, qr/critical/);
$log_end = -s $node->logfile;
reload($node, 'kgwebhook.proxy_credentials_file' => "'$credentials'");
forget();
my $through = attempt_at($node, "https://shop.test:$shop_port/ok");
is("$through->{outcome} $through->{response_status}", 'acknowledged 200', 'through the proxy, by TLS');
my ($asked) = ($proxy->requests)[-1];
is($asked->{target}, "shop.test:$shop_port", 'which is asked for a name, unresolved');
is($asked->{peer}, '127.0.0.5', 'from the source address');
is_deeply([ grep { /^webhook-|signature|content-/ } keys %{ $asked->{headers} } ], [], 'and gets nothing of the request itself');
ok(($shop->requests)[-1]{valid}, 'what came through is signed as ever');
is(scalar(grep { /proxy/i } keys %{ ($shop->requests)[-1]{headers} }), 0, 'and knows nothing of a proxy');
my $tunnels = $proxy->requests;
is(attempt_at($node, "https://shop.test:$shop_port/ok")->{outcome}, 'acknowledged', 'again');
is(scalar($proxy->requests), $tunnels, 'by the tunnel that was kept');
my $plain = "http://shop.test:@{[ $receiver->port ]}";
is(attempt_at($node, "$plain/ok")->{outcome}, 'acknowledged', 'http:// goes through a tunnel as well');
is(($proxy->requests)[-1]{target}, "shop.test:@{[ $receiver->port ]}", 'by CONNECT');
my $is_test = $node->safe_psql('postgres', "SELECT outcome FROM kg_send_test('https://shop.test:$shop_port/ok')");
is($is_test, 'acknowledged', 'a test takes the same way');

# one attempt, one row, one request: what the proxy says is no answer of the receiver's
my $refused = attempt_at($node, "https://refused.test:$shop_port/ok");
is("$refused->{outcome}: $refused->{error}", 'unreachable: kgwebhook.proxy refused to connect to the host', 'a host that it refuses');
is($refused->{response_status}, undef, 'its answer is not taken for the receiver\'s');
$proxy->wait_for_requests(1, target => "refused.test:$shop_port");
says("https://gone.test:1025/ok", 'unreachable', 'kgwebhook.proxy could not connect to the host', 'a host where nobody is');
says("https://closed.test:$shop_port/ok", 'unreachable', 'kgwebhook.proxy broke the connection off before there was a tunnel', 'a tunnel that is broken off');
says("https://silent.test:$shop_port/ok", 'timed_out', 'kgwebhook.proxy did not connect to the host in time', 'a proxy that does not answer');
says("https://other.test:$shop_port/ok", 'unreachable', 'the certificate is for another host', 'a receiver is verified through the tunnel');
is($node->safe_psql('postgres', q{SELECT count(*) FROM kg_status() WHERE finding ~ '^Nothing is delivered'}), 0, 'none of which is said of the proxy as a whole');
like($on_call->finds(qr/^https:\/\/gone\.test:1025.*: kgwebhook\.proxy could not connect to the host since/)->{remedy},
	qr/^The log of kgwebhook\.proxy says whether/, 'what to do about a host that it does not reach');

# what the proxy must not be asked for
my $asked_for = $proxy->requests;
reload($node, 'kgwebhook.allowed_networks' => "'127.0.0.1/32'");
forget();
says($_, 'blocked', "the host's address is not allowed", "not asked for: $_")
  foreach 'http://10.0.0.1:8080/', 'http://[::1]:8080/', 'http://127.2:8080/', 'http://0x7f000002:8080/', 'http://localhost:8080/',
  'http://a.LOCALHOST:8080/';
is(scalar($proxy->requests), $asked_for, 'no tunnel was');
reload($node, 'kgwebhook.allowed_networks' => "''");
forget();
says("https://shop.test:$shop_port/ok", 'blocked', 'the address of kgwebhook.proxy is not allowed', "the proxy's own address is judged");
three_at("https://shop.test:1/ok");
my $judged = $on_call->finds(qr/^Nothing is delivered: the address of kgwebhook\.proxy is not allowed$/, qr/critical/);
like($judged->{remedy}, qr/^Add the network of the proxy to kgwebhook\.allowed_networks/, 'what to do');
reload($node, 'kgwebhook.allowed_networks' => "'127.0.0.0/8, ::1/128'");
forget();
is(attempt_at($node, "https://shop.test:$shop_port/ok")->{outcome}, 'acknowledged', 'and once it is allowed, all is right');

# credentials: in a file that is private, and nowhere else
chmod 0644, $credentials;
my $file_log = -s $node->logfile;
reload($node);
$node->wait_for_log(qr/kgwebhook sends nothing: the file of kgwebhook\.proxy_credentials_file cannot be used.*\n.*DETAIL:  Its permissions are 0644/, $file_log);
forget();
says("https://shop.test:$shop_port/ok", 'unreachable', 'the file of kgwebhook.proxy_credentials_file cannot be used', 'a file that others can read');
$on_call->finds(qr/^Nothing is delivered: the file of kgwebhook\.proxy_credentials_file cannot be used$/, qr/critical/);
chmod 0600, $credentials;
reload($node);
forget();
is(attempt_at($node, "https://shop.test:$shop_port/ok")->{outcome}, 'acknowledged', 'and once it is private again, all is right');
SKIP:
{
	my ($worker) = wait_for_worker($node);

	skip 'the memory of a process of the same user cannot be read', 2 unless defined memory_has($worker, '');
	is(memory_has($worker, $password), 1, 'the worker has the password in its memory');
	my $looker = $node->background_psql('postgres', on_error_die => 1);
	my ($pid) = $looker->query_safe('SELECT count(*) FROM kg_status(); SELECT pg_backend_pid()') =~ /(\d+)\s*$/;
	is(memory_has($pid, $password), 0, 'and a session that has called kg_status() has not');
	$looker->quit;
}
my $inline = sql_error($node, "ALTER SYSTEM SET kgwebhook.proxy = 'http://kgw:in-the-open\@127.0.0.1:3128'");
like($inline, qr/22023: invalid value for parameter "kgwebhook\.proxy"\n.*DETAIL:  It has credentials in it/s, 'credentials in the setting are refused');
$node->append_conf('postgresql.conf', "kgwebhook.proxy = 'http://kgw:in-the-open\@127.0.0.1:3128'");
$node->reload;
$node->wait_for_log(qr/invalid value for parameter "kgwebhook\.proxy"/, $file_log);
unlike(slurp_file($node->logfile), qr/in-the-open|\Q$password\E/, 'and neither they nor the password are in the log');
like(sql_error($node, "ALTER SYSTEM SET kgwebhook.proxy = '$_'"),
	qr/22023: invalid value for parameter "kgwebhook\.proxy"/, "'$_' is refused")
  foreach 'proxy:3128', 'socks5://127.0.0.1:1080', 'http://127.0.0.1', 'http://127.0.0.1:3128/path', 'http://127.0.0.1:3128?x';
is($node->safe_psql('postgres', 'CREATE ROLE monitor LOGIN; GRANT pg_monitor TO monitor; SET ROLE monitor; SHOW kgwebhook.proxy'),
	$proxy->destination, 'what others are shown has none');

# a proxy that is gone
$proxy->stop;
reload($node, 'kgwebhook.proxy' => "'@{[ $proxy->destination ]}'");
forget();
says("https://shop.test:$shop_port/ok", 'unreachable', 'no connection to kgwebhook.proxy could be made', 'a proxy that is gone');
three_at("https://shop.test:1/ok");
my $gone = $on_call->finds(qr/^Nothing is delivered: no connection to kgwebhook\.proxy could be made$/, qr/critical/);
like($gone->{remedy}, qr/^Start the proxy at http:\/\/127/, 'what to do');

# TLS on the way to the proxy itself
my $secure = start_receiver(program => 'proxy.mjs', hosts => 'shop.test=127.0.0.1',
	cert => $certificates->file('proxy.crt'), key => $certificates->file('proxy.key'));
my $strange = start_receiver(program => 'proxy.mjs', hosts => 'shop.test=127.0.0.1',
	cert => $certificates->file('outsider.crt'), key => $certificates->file('outsider.key'));
reload($node, 'kgwebhook.proxy' => "'@{[ $strange->destination ]}/'", 'kgwebhook.proxy_credentials_file' => "''");
forget();
says("https://shop.test:$shop_port/ok", 'unreachable', 'the certificate of kgwebhook.proxy could not be verified', 'an https:// proxy that nobody vouches for');
three_at("https://shop.test:1/ok");
like($on_call->finds(qr/^Nothing is delivered: the certificate of kgwebhook\.proxy could not be verified$/, qr/critical/)->{remedy},
	qr/^Put the authority that has issued the certificate of http.* into the file of kgwebhook\.ca_file/, 'what to do');
reload($node, 'kgwebhook.proxy' => "'@{[ $secure->destination ]}'");
forget();
is(attempt_at($node, "https://shop.test:$shop_port/ok")->{outcome}, 'acknowledged', 'an https:// proxy');
is(scalar($secure->requests(target => "shop.test:$shop_port")), 1, 'by a tunnel within its TLS');

# a request that is on its way while another authority becomes the only one
insert_intent($node, 'slow', "https://shop.test:$shop_port/slow/2000");
$shop->wait_for_requests(1, path => '/slow/2000');
reload($node, 'kgwebhook.ca_file' => "'@{[ $certificates->file('outsider.crt') ]}'");
is((wait_for_log_rows($node, 1, q{object_id = 'slow'}))[0]{outcome}, 'acknowledged', 'what is on its way through it when the authorities change arrives');
says("https://shop.test:$shop_port/ok", 'unreachable', 'the certificate of kgwebhook.proxy could not be verified', 'the next finds them changed');
reload($node, 'kgwebhook.ca_file' => "'@{[ $certificates->file('authority.crt') ]}'");
forget();
is(attempt_at($node, "https://shop.test:$shop_port/ok")->{outcome}, 'acknowledged', 'and changed back');
my $tunnels_by_tls = $secure->requests(target => "shop.test:$shop_port");

# and without one again
reload($node, 'kgwebhook.proxy' => "''", 'kgwebhook.source_address' => "''");
forget();
is(attempt_at($node, $shop->url)->{outcome}, 'acknowledged', 'without a proxy again');
is(scalar($secure->requests(target => 'shop.test:' . $shop->port)), $tunnels_by_tls, 'past it');
is($node->safe_psql('postgres', q{SELECT count(*) FROM kg_status() WHERE finding ~ '^Nothing is delivered'}), 0, 'and nothing is wrong');

done_testing();
