#-------------------------------------------------------------------------
#
# test/t/023_superseded.pl
#	  What a transition that can't be delivered does to the newer ones of its
#	  object: it holds them for max_hold while its destination is healthy, and for as
#	  long as it takes while its destination is backing off.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Test::More;

my $long = "'" . join(',', ('100ms') x 10, ('1h') x 5) . "'";
my $node = new_node(
	'main',
	'kgwebhook.retry_schedule' => $long,
	'kgwebhook.max_hold' => "'700ms'");
my $secret = make_intents_table($node);

# Attempts of an object, as "status outcome", oldest first; final ones in capitals.
sub attempts
{
	my ($id) = @_;

	return map {
		my ($status) = $_->{event} =~ /\.(\w+)/;
		$_->{final} ? uc "$status $_->{outcome}" : "$status $_->{outcome}"
	} delivery_log($node, "object_id = '$id'");
}

#
# The destination is healthy and refuses one transition
#
my $picky = start_receiver(secret => $secret);
insert_intent($node, 'refused', $picky->url('/refuse/pending/ok'));
set_status($node, 'refused', 'success');
insert_intent($node, 'beside', $picky->url);
set_status($node, 'beside', 'success');
wait_until_settled($node, q{object_id = 'beside'});
is($picky->statuses('beside'), 'pending success', 'another object does not wait');
wait_until_settled($node, q{object_id = 'refused'});
my @attempts = attempts('refused');
is($attempts[-1], 'SUCCESS ACKNOWLEDGED', 'the newer transition arrives in the end');
is($attempts[-2], 'PENDING SUPERSEDED', 'after the older one was superseded');
cmp_ok(scalar(grep { $_ eq 'pending rejected' } @attempts), '>=', 1, 'which was refused');
is(@attempts, 2 + grep({ $_ eq 'pending rejected' } @attempts), 'and nothing else');
like($picky->statuses('refused'), qr/^(pending )+success$/, 'the receiver sees them in order');
my ($held) = map { split /\|/ } $node->safe_psql(
	'postgres', q{
	SELECT extract(epoch FROM s.started_at - p.started_at) * 1000
	  FROM kgwebhook.delivery_log s, kgwebhook.delivery_log p
	 WHERE s.object_id = 'refused' AND s.outcome = 'acknowledged'
	   AND p.object_id = 'refused' AND p.attempt = 1 AND p.outcome = 'rejected'});
cmp_ok($held, '>=', 700, "it was held for max_hold ($held ms)");
is($node->safe_psql('postgres', q{SELECT state FROM kgwebhook.deliveries
		WHERE object_id = 'refused' ORDER BY delivery_id}),
	"superseded\nacknowledged", 'the view says so');
is($node->safe_psql('postgres', 'SELECT superseded, dead_letters FROM kgwebhook.stats'),
	'1|0', 'and stats');

# A newer one that comes later begins to be held only then.
insert_intent($node, 'alone', $picky->url('/refuse/pending/ok'));
wait_for_log_rows($node, 11, q{object_id = 'alone'});
is(scalar(grep { !/^pending rejected/ } attempts('alone')), 0,
	'one that holds nobody is not superseded, however often it is refused');
set_status($node, 'alone', 'success');
wait_until_settled($node, q{object_id = 'alone'});
is(join(', ', (attempts('alone'))[ -2, -1 ]),
	'PENDING SUPERSEDED, SUCCESS ACKNOWLEDGED',
	'until it does, and then it does not wait for its next attempt in an hour');

# A newer one to another path of the destination is held like any other.
insert_intent($node, 'elsewhere', $picky->url('/refuse/pending/ok'));
$node->safe_psql('postgres', qq{
	UPDATE payment_intents SET status = 'success', callback_url = '@{[ $picky->url('/ok') ]}'
	 WHERE payment_intent_id = 'elsewhere'});
wait_until_settled($node, q{object_id = 'elsewhere'});
is(join(', ', grep { /SUPERSEDED|ACK/ } attempts('elsewhere')),
	'PENDING SUPERSEDED, SUCCESS ACKNOWLEDGED', 'also where its URL is another one by then');

# Two that are refused, one after the other
insert_intent($node, 'twice', $picky->url('/refuse/pending/refuse/expired/refuse/success/ok'));
set_status($node, 'twice', 'expired');
set_status($node, 'twice', 'success');
set_status($node, 'twice', 'refunded');
wait_until_settled($node, q{object_id = 'twice'});
is( join(', ', grep { /SUPERSEDED|ACK/ } attempts('twice')),
	'PENDING SUPERSEDED, EXPIRED SUPERSEDED, SUCCESS SUPERSEDED, REFUNDED ACKNOWLEDGED',
	'each has its turn');
like($picky->statuses('twice'), qr/^(pending )+(expired )+(success )+refunded$/, 'in order');

#
# The destination is down, for longer than max_hold
#
my $short = "'" . join(',', ('10ms') x 10, ('1h') x 5) . "'";
reload($node, 'kgwebhook.retry_schedule' => $short, 'kgwebhook.max_hold' => "'1500ms'");
my $down = start_receiver(secret => $secret);
my $destination = $down->destination;
$down->stop;

# one object alone, whose failures open the breaker
my $solo = start_receiver(secret => $secret);
$solo->stop;
insert_intent($node, 'solo', $solo->url);
set_status($node, 'solo', 'success');
$node->safe_psql(
	'postgres', qq{
	DO \$\$
	BEGIN
		FOR i IN 1 .. 20 LOOP
			INSERT INTO payment_intents (payment_intent_id, callback_url)
				VALUES ('down' || i, '@{[ $down->url ]}');
			UPDATE payment_intents SET status = 'expired' WHERE payment_intent_id = 'down' || i;
			UPDATE payment_intents SET status = 'success' WHERE payment_intent_id = 'down' || i;
		END LOOP;
	END \$\$});

# Probes come half a second after the breaker has opened, then 1 and 2 seconds
# after each other: more than max_hold.
$node->poll_query_until('postgres', q{
	SELECT count(*) = 2 FROM kgwebhook.destinations
	 WHERE state = 'backing_off' AND failures_in_a_row >= 8})
  or die 'waited for three probes';
is(join(' ', grep { $_ ne 'pending unreachable' } attempts('solo')),
	'', 'the time of an outage is not counted');
is( $node->safe_psql('postgres', qq{
		SELECT count(*), bool_or(attempts > 0) FROM kgwebhook.queue
		 WHERE destination = '$destination'}),
	'60|t', 'while the destination is backing off, everything waits');
my $up = start_receiver(secret => $secret, port => $down->port);
my $solo_up = start_receiver(secret => $secret, port => $solo->port);
wait_until_settled($node);
is($solo_up->statuses('solo'), 'pending success', 'when it is over, both arrive');
is_deeply([ grep { $up->statuses("down$_") ne 'pending expired success' } 1 .. 20 ],
	[], 'and then everything is delivered, in order');
is( $node->safe_psql('postgres', q{
		SELECT string_agg(DISTINCT outcome, ' ' ORDER BY outcome) FROM kgwebhook.delivery_log
		 WHERE object_id LIKE 'down%'}),
	'acknowledged unreachable', 'nothing is superseded');

#
# Down for longer than the whole schedule
#
reload($node, 'kgwebhook.retry_schedule' => "'500ms,500ms,500ms'");
my $gone = start_receiver(secret => $secret);
$gone->stop;
$node->safe_psql(
	'postgres', qq{
	INSERT INTO payment_intents (payment_intent_id, callback_url)
	SELECT 'gone' || i, '@{[ $gone->url ]}' FROM generate_series(1, 200) i});
wait_until_settled($node, q{object_id LIKE 'gone%'});
is($node->safe_psql('postgres', q{SELECT count(*) FROM kgwebhook.dead_letter
		WHERE object_id LIKE 'gone%'}),
	200, 'everything is given up in the end');
like( $node->safe_psql('postgres', q{
		SELECT DISTINCT reason FROM kgwebhook.dead_letter
		 WHERE object_id LIKE 'gone%' AND attempts = 0}),
	qr/^gave up after 0 attempts: the destination was unavailable .*retry_schedule$/,
	'also what was never tried; and the reason says so');
is( $node->safe_psql('postgres', q{
		SELECT count(*) FROM kgwebhook.dead_letter
		 WHERE object_id LIKE 'gone%' AND died_at < enqueued_at + interval '1.5 s'
		   AND attempts < 4}),
	0, 'nothing before its time');
is( $node->safe_psql('postgres', q{
		SELECT count(*) FROM kgwebhook.delivery_log l
		 WHERE object_id LIKE 'gone%' AND outcome <> 'unreachable'}),
	0, 'the log says why');
cmp_ok($node->safe_psql('postgres', q{
		SELECT count(*) FROM kgwebhook.delivery_log
		 WHERE object_id LIKE 'gone%' AND request_body IS NOT NULL}),
	'<', 60, 'of which few went out');
is( $node->safe_psql('postgres', q{
		SELECT count(*) FROM kgwebhook.delivery_log WHERE object_id LIKE 'gone%' AND final}),
	200, 'and which has the end of each');

# a destination is not given up with its deliveries
my $new = start_receiver(secret => $secret, port => $gone->port);
reload($node, 'kgwebhook.retry_schedule' => $long);
insert_intent($node, 'newer', $new->url);
wait_until_settled($node, q{object_id = 'newer'});
is($new->statuses('newer'), 'pending', 'what comes after the outage is delivered');

$node->stop;
done_testing();
