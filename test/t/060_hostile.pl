#-------------------------------------------------------------------------
#
# test/t/060_hostile.pl
#	  Whatever a receiver answers: the log says what became of it, by the rule
#	  that status line and headers decide; it costs the worker no memory and no
#	  descriptor; and nobody else waits for it.
#
# Each answer comes from an address of its own (hostile.mjs), and each delivery
# has one attempt, so a row of the log is an answer.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use MIME::Base64 qw(encode_base64url);
use PostgreSQL::Test::Utils;
use Test::More;

# How much more memory the worker may have after all of this, kB; one endless
# body alone would be more.
my $memory_limit = 64 * 1024;

# Bytes that a receiver can have sent when it is told to stop: what is read of
# an answer, and what the kernel's buffers hold.
my $written_limit = 24 * 1024 * 1024;

# Bytes, and how the connection ends after them.
sub raw
{
	my ($end, $bytes) = @_;

	return "/raw/$end/" . encode_base64url($bytes);
}

sub with_headers
{
	return raw('open', "HTTP/1.1 200 OK\r\n$_[0]content-length: 2\r\n\r\nok");
}

# name => [path, outcome, status, what the error has to match or the body to be]
my %cases = (
	# more than anyone needs, before the headers are complete
	endless_status => [ '/endless/status', 'unreachable', undef ],
	endless_line => [ '/endless/line', 'unreachable', undef ],
	endless_headers => [ '/endless/headers', 'unreachable', undef, qr/^the answer's headers are too long$/ ],
	endless_continue => [ '/endless/continue', 'unreachable', undef, qr/^the answer's headers are too long$/ ],
	endless_hints => [ '/endless/hints', 'unreachable', undef, qr/^the answer's headers are too long$/ ],

	# and after
	endless_body => [ '/endless/body', 'acknowledged', 200 ],
	endless_chunks => [ '/endless/chunks', 'acknowledged', 200 ],
	endless_extension => [ '/endless/extension', 'acknowledged', 200 ],
	endless_trailers => [ '/endless/trailers', 'acknowledged', 200 ],
	gzip_content => [ '/gzip/content-encoding', 'acknowledged', 200 ],
	gzip_transfer => [ '/gzip/transfer-encoding', 'any', undef ],

	# slow: these have little time
	slow_status => [ '/slow/status', 'timed_out', undef ],
	slow_headers => [ '/slow/headers', 'timed_out', undef ],
	slow_continue => [ '/slow/continue', 'timed_out', undef ],
	slow_body => [ '/slow/body', 'acknowledged', 200 ],
	slow_extension => [ '/slow/extension', 'acknowledged', 200 ],
	slow_silence => [ '/hang', 'timed_out', undef ],

	# cut off
	reset_before => [ raw('reset', ''), 'unreachable', undef ],
	reset_in_headers => [ raw('reset', "HTTP/1.1 200 OK\r\nx: y\r\n"), 'unreachable', undef ],
	closed_before => [ raw('close', ''), 'unreachable', undef ],
	closed_in_status => [ raw('close', 'HTTP/1.1 20'), 'unreachable', undef ],
	closed_after_status => [ raw('close', "HTTP/1.1 200 OK\r\n"), 'unreachable', undef, qr/^the answer ended within its headers$/ ],
	closed_in_headers => [ raw('close', "HTTP/1.1 200 OK\r\nx: y\r\nconte"), 'unreachable', undef, qr/^the answer ended within its headers$/ ],
	closed_after_continue => [ raw('close', "HTTP/1.1 100 Continue\r\n\r\n"), 'unreachable', undef ],
	closed_in_body => [ raw('close', "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbeginning"), 'acknowledged', 200, 'beginning' ],
	closed_in_chunk => [ raw('close', "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n64\r\nbeginning"), 'acknowledged', 200, 'beginning' ],
	closed_in_error => [ raw('close', "HTTP/1.1 500 No\r\ncontent-length: 100\r\n\r\nbeginning"), 'rejected', 500, qr/500/ ],
	until_close => [ raw('close', "HTTP/1.1 200 OK\r\n\r\nall of it"), 'acknowledged', 200, 'all of it' ],
	bad_chunk => [ raw('close', "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnonsense"), 'acknowledged', 200 ],

	# not HTTP/1.1
	http09 => [ raw('close', "Hello.\n"), 'unreachable', undef ],
	http09_page => [ raw('close', '<html>200 OK</html>'), 'unreachable', undef ],
	ssh => [ raw('open', "SSH-2.0-OpenSSH_9.2p1\r\n"), 'unreachable', undef ],
	http2_preface => [ raw('open', "\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x64" . "\0" x 12), 'unreachable', undef ],
	http2_status => [ raw('open', "HTTP/2 200\r\ncontent-length: 0\r\n\r\n"), 'any', undef ],
	upgrade => [ raw('open', "HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n"), 'rejected', 101, qr/101/ ],
	header_without_colon => [ raw('close', "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n"), 'unreachable', undef ],
	header_with_nul => [ raw('close', "HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 0\r\n\r\n"), 'unreachable', undef ],
	two_lengths => [ raw('close', "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 7\r\n\r\nok"), 'any', undef ],
	negative_length => [ raw('close', "HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nok"), 'any', undef ],
	status_99 => [ raw('close', "HTTP/1.1 99 Low\r\n\r\n"), 'unreachable', undef ],
	status_1000 => [ raw('close', "HTTP/1.1 2000 High\r\n\r\n"), 'any', undef ],
	status_999 => [ raw('open', "HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n"), 'rejected', 999, qr/999/ ],
	line_feeds_only => [ raw('open', "HTTP/1.1 200 OK\ncontent-length: 2\n\nok"), 'acknowledged', 200, 'ok' ],

	# bodies that are no text
	no_text => [ raw('close', "HTTP/1.1 200 OK\r\n\r\na\0b\xff\xc3(\xe2\x82"), 'acknowledged', 200,
		"a\x{fffd}b\x{fffd}\x{fffd}(\x{fffd}\x{fffd}" ],
	escapes => [ raw('close', "HTTP/1.1 200 OK\r\n\r\n\e]0;owned\a\e[2J\x9b1m\xc2\x9b\x7f\b!"), 'acknowledged', 200,
		"\x{fffd}]0;owned\x{fffd}\x{fffd}[2J\x{fffd}1m" . "\x{fffd}" x 4 . '!' ],
	escapes_in_status => [ raw('close', "HTTP/1.1 500 \e[2J\r\ncontent-length: 0\r\n\r\n"), 'rejected', 500, qr/^answered with status 500$/ ],

	# helpful
	location => [ raw('open', "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"), 'rejected', 302, qr/redirects are not followed/ ],
	location_307 => [ raw('open', "HTTP/1.1 307 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n"), 'rejected', 307, qr/redirects are not followed/ ],
	authenticate => [ raw('open', "HTTP/1.1 401 No\r\nwww-authenticate: Basic realm=x\r\ncontent-length: 0\r\n\r\n"), 'rejected', 401, qr/401/ ],
	proxy_authenticate => [ raw('open', "HTTP/1.1 407 No\r\nproxy-authenticate: NTLM\r\ncontent-length: 0\r\n\r\n"), 'rejected', 407, qr/407/ ],
	expectation => [ raw('open', "HTTP/1.1 417 No\r\ncontent-length: 0\r\n\r\n"), 'rejected', 417, qr/417/ ],
	helpful => [ with_headers("set-cookie: a=b\r\nalt-svc: h2=\":1\"\r\nstrict-transport-security: max-age=9999\r\nrefresh: 0; url=http://127.0.0.1:1/\r\n"), 'acknowledged', 200, 'ok' ],

	# Retry-After; see %waits
	huge_wait => [ raw('open', "HTTP/1.1 503 No\r\nretry-after: 99999999999999999999\r\ncontent-length: 0\r\n\r\n"), 'rejected', 503, qr/503/ ],
	far_date => [ raw('open', "HTTP/1.1 429 No\r\nretry-after: Fri, 31 Dec 9999 23:59:59 GMT\r\ncontent-length: 0\r\n\r\n"), 'rejected', 429, qr/429/ ],
	negative_wait => [ raw('open', "HTTP/1.1 503 No\r\nretry-after: -1\r\ncontent-length: 0\r\n\r\n"), 'rejected', 503, qr/503/ ],
	garbled_wait => [ raw('open', "HTTP/1.1 503 No\r\nretry-after: 5\tseconds\r\ncontent-length: 0\r\n\r\n"), 'rejected', 503, qr/503/ ],
	hinted_wait => [ raw('open', "HTTP/1.1 103 Hints\r\nretry-after: 7200\r\n\r\nHTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n"), 'rejected', 503, qr/503/ ],
	trailing_wait => [ raw('open', "HTTP/1.1 503 No\r\ntransfer-encoding: chunked\r\ntrailer: retry-after\r\n\r\n0\r\nretry-after: 7200\r\n\r\n"), 'rejected', 503, qr/503/ ],
);

# Seconds until the next attempt; the schedule has 3600.
my %waits = (
	huge_wait => 86400,
	far_date => 86400,
	negative_wait => 3600,
	garbled_wait => 3600,
	hinted_wait => 3600,
	trailing_wait => 3600);

my @names = sort keys %cases;
my $node = new_node('main',
	'kgwebhook.retry_schedule' => "'1h'",
	'kgwebhook.request_timeout' => "'2min'");
$node->safe_psql(
	'postgres', q{
	CREATE TABLE t (id text, status text, callback_url text, note text);
	SELECT kg_watch('t', event => 't', id_column => 'id', org_column => NULL);
	SELECT kg_create_secret()});
my $hostile = start_receiver(program => 'hostile.mjs', addresses => scalar(@names) + 10);
my $port = $hostile->port;
my $healthy = start_receiver();
my ($worker) = wait_for_worker($node);

sub insert_rows
{
	my (@rows) = @_;

	$node->safe_psql('postgres',
		'INSERT INTO t VALUES ' . join(', ', map { "('$_->[0]', 'new', '$_->[1]')" } @rows));
	return;
}

sub sockets_of_worker
{
	return scalar(grep { (readlink($_) || '') =~ /^socket:/ } glob "/proc/$worker/fd/*");
}

# Each case of these, by an address of its own, and its row of the log.
sub play
{
	my ($prefix, $address, @cases) = @_;

	insert_rows(map { [ "$prefix$_", "http://127.0.1." . $address++ . ":$port$cases{$_}[0]" ] } @cases);
	return wait_for_log_rows($node, scalar(@cases), "object_id LIKE '$prefix%'");
}

#
# What the log says
#
my @fast = grep { !/^slow/ } @names;
my @slow = grep { /^slow/ } @names;
my %log = map { ($_->{object_id} =~ /^in_(.*)/ => $_) } play('in_', 1, @fast);
reload($node, 'kgwebhook.request_timeout' => "'5s'");
%log = (%log, map { ($_->{object_id} =~ /^out_(.*)/ => $_) } play('out_', 1 + @fast, @slow));
reload($node, 'kgwebhook.request_timeout' => "'2min'");
foreach my $name (@names)
{
	my ($path, $outcome, $status, $rest) = @{ $cases{$name} };
	my $row = $log{$name};

	# where libcurl's versions differ, anything but an endless wait
	is($row->{outcome}, $outcome, "$name: $outcome") or diag($row->{error})
	  if $outcome ne 'any';
	is($row->{response_status}, $status, "$name: status") if $outcome ne 'any';
	ok($row->{outcome} eq 'acknowledged' || $row->{error}, "$name: an error unless it is acknowledged");
	like($row->{error}, $rest, "$name: the error") if ref $rest;
	ok($row->{response_body} eq $rest, "$name: the body") if defined $rest && !ref $rest;
}
foreach my $name (sort keys %waits)
{
	is( $node->safe_psql(
			'postgres', qq{
			SELECT round(extract(epoch FROM next_attempt_at - now()) / 600) * 600
			  FROM kgwebhook.queue WHERE object_id = 'in_$name'}),
		$waits{$name},
		"$name: the next attempt");
}
is( $node->safe_psql(
		'postgres', q{
		SELECT count(*) FROM kgwebhook.delivery_log
		 WHERE error ~ '[\x01-\x1f\x7f-\x9f]' OR length(response_body) > 4096}),
	0,
	'no control character in an error, no body beyond the limit');

#
# One attempt, one request
#
my @requests = grep { !$_->{event} } $hostile->requests;
is(scalar(@requests), scalar(@names), 'each attempt was one request, no redirect was followed');
is_deeply([ grep { $_->{headers}{cookie} || $_->{headers}{authorization} } @requests ],
	[], 'nothing that a receiver asked for is sent along');

#
# An answer before the request was read, which is far more than a socket holds
#
$node->safe_psql('postgres',
	"INSERT INTO t VALUES ('early', 'new', 'http://127.0.1." . (@names + 5) . ":$port/early', repeat('x', 900000))");
my ($early) = wait_for_log_rows($node, 1, "object_id = 'early'");
is($early->{response_status}, 413, 'an answer that comes before the request was read')
  or diag($early->{error});

#
# Memory and descriptors, after the same again and again
#
my $memory = memory_of($worker);
my $sockets = sockets_of_worker();
play("again$_", 1, @fast) foreach 1 .. 2;
cmp_ok(memory_of($worker) - $memory, '<', $memory_limit, 'memory stays flat')
  or diag("from $memory kB");
cmp_ok(sockets_of_worker() - $sockets, '<=', 20, 'no sockets are left behind');
cmp_ok($_->{written}, '<', $written_limit, "$_->{path} was cut off")
  foreach grep { $_->{event} && ($_->{path} || '') =~ m{^/endless} } $hostile->requests;
is( $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE pid = $worker"),
	1, 'it is the same worker still');

#
# Nobody else waits.  The slow ones are given two minutes, and a new destination
# gets two requests; that the healthy ones arrive before any of the slow is logged
# shows it, however slow the machine.
#
my @crawling = map { "http://127.0.1." . (@names + $_) . ":$port" } 1 .. 4;
insert_rows(map { [ "crawling$_", $crawling[ $_ % 4 ] . ('/slow/status', '/slow/headers', '/slow/body', '/hang')[ $_ % 4 ] ] } 1 .. 64);
$node->poll_query_until('postgres', 'SELECT in_flight = 8 FROM kgwebhook.stats')
  or die 'the slow ones are not in flight';
insert_rows(map { [ "healthy$_", $healthy->url ] } 1 .. 50);
wait_for_log_rows($node, 50, "object_id LIKE 'healthy%'");
is( $node->safe_psql('postgres', "SELECT count(*) FROM kgwebhook.delivery_log WHERE object_id LIKE 'crawling%'"),
	0, 'healthy destinations are served while slow ones are on');

$node->stop('fast');
done_testing();
