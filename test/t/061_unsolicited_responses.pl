#-------------------------------------------------------------------------
#
# test/t/061_unsolicited_responses.pl
#	  What a receiver says unasked on a kept connection is never taken for the
#	  answer to the next request.
#
# Each case is two deliveries to one destination.  The first is answered with
# more than one answer, or with another one a little later.  The second gets no
# answer; so if it is acknowledged, that was meant for someone else.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use MIME::Base64 qw(encode_base64url);
use Test::More;

my $ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
my $chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
my $empty = "HTTP/1.1 204 None\r\n\r\n";

sub at_once { return '/raw/open/' . encode_base64url(join '', @_); }
sub later { return '/late/' . encode_base64url(join '', @_); }

# name => path of the first
my %cases = (
	two => at_once($ok, $ok),
	two_chunked => at_once($chunked, $ok),
	two_empty => at_once($empty, $ok),
	many => '/many/2000',
	later => later($ok),
	later_empty => later($empty),
	later_status => later("HTTP/1.1 200 OK\r\n"),
	later_continue => later("HTTP/1.1 100 Continue\r\n\r\n"),
	later_blank => later("\r\n"),
	says_close => at_once("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", $ok));

my @names = sort keys %cases;
my $node = new_node('main',
	'kgwebhook.retry_schedule' => "'1h'",
	'kgwebhook.request_timeout' => "'3s'");
$node->safe_psql(
	'postgres', q{
	CREATE TABLE t (id text, status text, callback_url text);
	SELECT kg_watch('t', event => 't', id_column => 'id', org_column => NULL);
	SELECT kg_create_secret()});
my $hostile = start_receiver(program => 'hostile.mjs', addresses => @names + 1);

sub insert_rows
{
	my (@rows) = @_;

	$node->safe_psql('postgres',
		'INSERT INTO t VALUES ' . join(', ', map { "('$_->[0]', 'new', '$_->[1]')" } @rows));
	return;
}

sub url_of
{
	my ($n, $path) = @_;

	return "http://127.0.1.$n:" . $hostile->port . $path;
}

insert_rows(map { [ "first_$names[$_]", url_of($_ + 1, $cases{ $names[$_] }) ] } 0 .. $#names);
wait_for_log_rows($node, scalar(@names), "object_id LIKE 'first%' AND outcome = 'acknowledged'");
$hostile->wait_for_requests(scalar(grep { /^later/ } @names), event => 'unasked');
insert_rows(map { [ "second_$names[$_]", url_of($_ + 1, '/hang') ] } 0 .. $#names);
my %second = map { ($_->{object_id} => $_) }
  wait_for_log_rows($node, scalar(@names), "object_id LIKE 'second%'");
foreach my $name (@names)
{
	my $row = $second{"second_$name"};
	my @got = grep { !$_->{event} && $_->{json}{id} eq "second_$name" } $hostile->requests;

	is($row->{outcome}, 'timed_out', "$name: nothing is taken for an answer") or diag($row->{error});
	is(scalar(@got), 1, "$name: and the receiver got the request once");
}

# Without anything unasked, the connection is used again
foreach my $n (1 .. 3)
{
	insert_rows([ "plain$n", url_of(@names + 1, '/ok') ]);
	wait_for_log_rows($node, 1, "object_id = 'plain$n' AND outcome = 'acknowledged'");
}
my %plain = map { ($_->{connection} => 1) }
  grep { !$_->{event} && $_->{json}{id} =~ /^plain/ } $hostile->requests;
is(keys %plain, 1, 'a quiet connection is used again');

$node->stop;
done_testing();
