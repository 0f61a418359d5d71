#-------------------------------------------------------------------------
#
# test/t/027_arrivals.pl
#	  Sequence order is not commit order, and neither is the order in which
#	  transactions began: nothing is missed, and no object gets out of order.
#
# A worker that is stopped (SIGSTOP) finds many transactions at once when it
# goes on, in whatever order the test has made them.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Test::More;

# On a busy machine one receiver may be long in taking a thousand connections.
my $node = new_node('main', 'kgwebhook.connect_timeout' => "'60s'", 'kgwebhook.request_timeout' => "'60s'");
my $secret = make_intents_table($node);
my $receiver = start_receiver(secret => $secret, host => '0.0.0.0');
my ($worker) = wait_for_worker($node);

sub url
{
	my ($address) = @_;

	return "http://127.0.0.$address:" . $receiver->port . '/ok';
}

sub insert
{
	my ($id, $address) = @_;

	return "INSERT INTO payment_intents (payment_intent_id, callback_url)
		VALUES ('$id', '@{[ url($address) ]}')";
}

sub insert_many
{
	my ($prefix, $n, $address) = @_;

	return "INSERT INTO payment_intents (payment_intent_id, callback_url)
		SELECT '$prefix' || i, '@{[ url($address) ]}' FROM generate_series(1, $n) i";
}

# A session that has a transaction id.
sub begin
{
	my $session = $node->background_psql('postgres', on_error_die => 1);

	$session->set_query_timer_restart;
	$session->query_safe('BEGIN; SELECT pg_current_xact_id()');
	return $session;
}

#
# The lower number is committed later
#
my $late = begin();
$late->query_safe(insert('late', 1));
insert_intent($node, 'early', url(1));
wait_until_settled($node);
is($receiver->statuses('early'), 'pending', 'the higher number is committed first, and goes');
is($receiver->statuses('late'), '', 'the lower one has to wait for its commit');
$late->query_safe('COMMIT');
wait_for_log_rows($node, 1, q{object_id = 'late'});
is($receiver->statuses('late'), 'pending', 'and then goes as well');

# the same without a wake-up: nobody tells of COMMIT PREPARED
$late->query_safe('BEGIN');
$late->query_safe(insert('prepared', 1));
$late->query_safe(q{PREPARE TRANSACTION 'p'});
insert_intent($node, 'unprepared', url(1));
wait_until_settled($node);
$late->query_safe(q{COMMIT PREPARED 'p'});
wait_for_log_rows($node, 1, q{object_id = 'prepared'});
is($receiver->statuses('prepared'), 'pending', 'so does one that was prepared');
$late->quit;

#
# The older transaction has the newer transition, and there is more than can be
# read at a time
#
my $older = begin();
my $many = begin();
kill 'STOP', $worker;
insert_intent($node, 'crossed', url(1));
$older->query_safe(q{UPDATE payment_intents SET status = 'success' WHERE payment_intent_id = 'crossed'});
$older->query_safe('COMMIT');
$many->query_safe(insert_many('many', 700, 2));
$many->query_safe('COMMIT');
kill 'CONT', $worker;
wait_until_settled($node);
is($receiver->statuses('crossed'), 'pending success', 'by the order of its transitions, not of transactions');

# the same, while pages of a backlog are read
$node->safe_psql('postgres', "SELECT kg_pause('http://127.0.0.3:@{[ $receiver->port ]}')");
$node->safe_psql('postgres', insert_many('backlog', 1200, 3));
$older->query_safe('BEGIN; SELECT pg_current_xact_id()');
$many->query_safe('BEGIN; SELECT pg_current_xact_id()');
kill 'STOP', $worker;
insert_intent($node, "crossed$_", url(3)) foreach 1 .. 3;
$older->query_safe(q{UPDATE payment_intents SET status = 'success' WHERE payment_intent_id LIKE 'crossed_'});
$older->query_safe('COMMIT');
$node->safe_psql('postgres', 'SELECT kg_resume()');
$many->query_safe(insert_many('more', 700, 3));
$many->query_safe('COMMIT');
kill 'CONT', $worker;
wait_until_settled($node);
is($receiver->statuses("crossed$_"), 'pending success', "nor of pages ($_)") foreach 1 .. 3;

#
# A long transaction that ends while another's rows are being read
#
$older->query_safe('BEGIN; SELECT pg_current_xact_id()');
kill 'STOP', $worker;
$node->safe_psql('postgres', insert_many('span', 2000, 2));
kill 'CONT', $worker;
foreach my $i (1 .. 20)
{
	$older->query_safe('BEGIN') if $i > 1;
	$older->query_safe(insert("between$i", 1));
	$older->query_safe('COMMIT');
	set_status($node, "between$i", 'success');
}
wait_until_settled($node);
is_deeply([ grep { $receiver->statuses("between$_") ne 'pending success' } 1 .. 20 ],
	[], 'what is committed in the midst of it is in order');

#
# Again the older transaction has the newer transition, with more than is read
# whole, for more destinations than have a page a turn
#
$_->quit foreach $older, $many;
$older = begin();
$many = begin();
kill 'STOP', $worker;
insert_intent($node, 'overflowed', url(90));
$older->query_safe(q{UPDATE payment_intents SET status = 'success' WHERE payment_intent_id = 'overflowed'});
$older->query_safe('COMMIT');
$many->query_safe(q{INSERT INTO payment_intents (payment_intent_id, callback_url)
	SELECT 'over' || i, format('http://127.0.0.%s:%s/ok', 10 + i % 50, } . $receiver->port . q{)
	  FROM generate_series(1, 5000) i});
$many->query_safe('COMMIT');
kill 'CONT', $worker;
wait_until_settled($node);
is($receiver->statuses('overflowed'), 'pending success', 'in order when it is named only');

is( $node->safe_psql('postgres', q{SELECT outcome, error, count(*) FROM kgwebhook.delivery_log
		WHERE outcome <> 'acknowledged' GROUP BY 1, 2}), '', 'each at the first attempt');
is( $node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT delivery_id)
		FROM kgwebhook.delivery_log'),
	join("|", (scalar(() = $receiver->lines)) x 2),
	'all of it once');

$_->quit foreach $older, $many;
$node->stop;
done_testing();
