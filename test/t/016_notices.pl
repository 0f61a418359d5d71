#-------------------------------------------------------------------------
#
# test/t/016_notices.pl
#	  Notices of destinations when there is no room: who has one keeps it, who is new takes
#	  the place of the one that has been at rest for longest, and where none is at
#	  rest, is left out.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Test::More;

# What waits for a retry is at rest: nothing is in flight, and no breaker is open.
my $node = new_node('main', 'kgwebhook.retry_schedule' => "'1h'");
my $secret = make_intents_table($node);
my $healthy = start_receiver(host => '0.0.0.0');
my $port = $healthy->port;
my $refusing = start_receiver();
my $closed = $refusing->port;
$refusing->stop;

my $room = 16384;

sub url
{
	my ($n, $at) = @_;

	return sprintf 'http://127.%d.%d.%d:%d/ok', 1 + ($n >> 14), $n >> 7 & 127, 1 + ($n & 127), $at;
}

# One event to each of these destinations.
sub insert_events
{
	my ($prefix, $at, @numbers) = @_;
	my $rows = join '', map { "$prefix$_\t" . url($_, $at) . "\n" } @numbers;

	$node->safe_psql('postgres',
		"COPY payment_intents (payment_intent_id, callback_url) FROM STDIN;\n$rows\\.\n");
	return;
}

sub notices
{
	return $node->safe_psql('postgres', 'SELECT count(*) FROM kgwebhook.destination_notices()');
}

sub has_notice
{
	my ($n, $at) = @_;
	my ($destination) = url($n, $at) =~ m{^(.*)/ok};

	return $node->safe_psql('postgres',
		"SELECT count(*) FROM kgwebhook.destination_notices() WHERE destination = '$destination'");
}

# The longest at rest, so the first that would have to go.
insert_events('first', $port, 1);
wait_until_settled($node);
insert_events('down', $closed, 2 .. $room);
$node->poll_query_until('postgres',
	"SELECT count(*) >= $room FROM kgwebhook.delivery_log")
  or die 'waited for attempts';
$node->poll_query_until('postgres',
	"SELECT count(*) = $room FROM kgwebhook.destination_notices()")
  or die 'waited for notices: ' . notices();

# Who has a notice is posted again, and nobody has to go for that.
insert_events('again', $closed, 2 .. 40);
wait_for_log_rows($node, 39, q{object_id LIKE 'again%'});
is(notices(), $room, 'there is no room, and none is made');
is(has_notice(1, $port), 1, 'nobody has gone for the sake of one that was there');

# Who is new takes a place, and it is that of who was at rest for longest.
insert_events('new', $port, 20000);
wait_until_settled($node, q{object_id LIKE 'new%'});
$node->poll_query_until('postgres', "SELECT NOT EXISTS (
	SELECT FROM kgwebhook.destination_notices() WHERE destination = 'http://127.1.0.2:$port')")
  or die 'waited for a place';
is(has_notice(20000, $port), 1, 'a new one has its notice');
is(has_notice(1, $port), 0, 'in the place of the one at rest for longest');
is(notices(), $room, 'of all that there is room for');

$node->stop;
done_testing();
