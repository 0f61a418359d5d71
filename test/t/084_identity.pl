#-------------------------------------------------------------------------
#
# test/t/084_identity.pl
#	  An object is what organization, kind and identifier name together.  Others
#	  with the same identifier are never held up, superseded, hidden, overtaken or
#	  sent again with it: of another table, of another organization, at the same
#	  host, by the same URL or for the same subscription.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Test::More;

# One that is refused would hold its object's newer ones for an hour.
my $node = new_node(
	'main',
	'kgwebhook.retry_schedule' => "'10ms,10ms,1h'",
	'kgwebhook.max_hold' => "'1h'");
my $receiver = start_receiver();

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# Two tables, of kinds with a dot, and one whose statuses have one.
sql(q{
	CREATE TABLE orders (org text, id int, status text, url text, PRIMARY KEY (org, id));
	CREATE TABLE refunds (LIKE orders INCLUDING ALL);
	CREATE TABLE shops (LIKE orders INCLUDING ALL);
	SELECT kg_watch('orders', 'shop.order', 'id', 'status', 'url', 'org', '{"id": "id", "status": "status", "org": "org"}');
	SELECT kg_watch('refunds', 'shop.refund', 'id', 'status', 'url', 'org', '{"id": "id", "status": "status", "org": "org"}');
	SELECT kg_watch('shops', 'shop', 'id', 'status', 'url', 'org', '{"id": "id", "status": "status", "org": "org"}');
	SELECT kg_create_secret(o) FROM unnest(ARRAY['a', 'b', 'c']) o});

sub insert
{
	my ($table, $org, $status, $path) = @_;
	my $url = defined $path ? "'" . $receiver->url($path) . "'" : 'NULL';

	sql("INSERT INTO $table VALUES ('$org', 7, '$status', $url)");
	return;
}

sub wait_for_ack
{
	my ($org, $event) = @_;

	wait_for_log_rows($node, 1, "org_id = '$org' AND event = '$event' AND outcome = 'acknowledged'");
	pass("$event 7 of $org is not held up");
	return;
}

#
# Order 7 of a is refused, again and again
#
insert('orders', 'a', 'paid', '/refuse/paid/ok');
wait_for_log_rows($node, 3, q{org_id = 'a'});
insert('refunds', 'a', 'made', '/ok');
wait_for_ack('a', 'shop.refund.made');
insert('orders', 'b', 'placed', '/refuse/paid/ok');
wait_for_ack('b', 'shop.order.placed');
insert('shops', 'a', 'order.open', '/refuse/paid/ok');
wait_for_ack('a', 'shop.order.open');

# One subscription that gets both kinds, and has another's URL
sql(q{SELECT kg_subscribe('c', '} . $receiver->url('/refuse/paid/ok') . q{', '{shop.*}')});
insert('orders', 'c', 'paid');
wait_for_log_rows($node, 3, q{org_id = 'c'});
insert('refunds', 'c', 'made');
wait_for_ack('c', 'shop.refund.made');

is( sql(q{SELECT kind, object_id, count(*) FROM kgwebhook.queue GROUP BY 1, 2}),
	'shop.order|7|2', 'the kind is stored, not cut out of the name');
is( sql(q{SELECT DISTINCT org_id, kind, event FROM kgwebhook.delivery_log ORDER BY 1, 2}),
	join("\n",
		'a|shop|shop.order.open',
		'a|shop.order|shop.order.paid',
		'a|shop.refund|shop.refund.made',
		'b|shop.order|shop.order.placed',
		'c|shop.order|shop.order.paid',
		'c|shop.refund|shop.refund.made'),
	'and logged with each attempt');

# What the same URL has acknowledged of others hides nothing
my $open = "a|shop.order|shop.order.paid\nc|shop.order|shop.order.paid";
is(sql('SELECT org_id, kind, event FROM kgwebhook.unacknowledged ORDER BY 1'), $open, 'unacknowledged shows it');
is(sql('SELECT org_id, kind, event FROM kg_reconcile() ORDER BY 1'), $open, 'and so does kg_reconcile');

#
# A caller that names one has to say which
#
foreach my $function ('kg_redeliver_object', 'kg_explain')
{
	like( sql_error($node, "SELECT $function('7')"),
		qr/21000: 6 objects have the identifier "7".*DETAIL: .*shop of organization a, shop\.order of organization a, shop\.refund of organization a, shop\.order of organization b,.*HINT:  Specify org_id and kind/s,
		"$function names those there are");
	like(sql_error($node, "SELECT $function('7', org_id => 'a')"), qr/21000: 3 objects/, 'also of one organization');
	like(sql_error($node, "SELECT $function('7', kind => 'shop.order')"), qr/21000: 3 objects/, 'and of one kind');
	like(sql_error($node, "SELECT $function(NULL)"), qr/42725|22004/, 'and needs an identifier');
}
like( sql(q{SELECT kg_explain('7', 'a', 'shop.order')}),
	qr/^Delivery \d+ is shop\.order\.paid of shop\.order 7 of organization a, to .*answered with status 500.*Next is attempt 4/s,
	'kg_explain of one says whose it is');
is( sql(q{SELECT count(*) FROM kg_explain('7', kind => 'shop')}), 1, 'a kind is not the beginning of another');
like(sql(q{SELECT kg_explain('7', 'nobody')}), qr/^No delivery of an object "7" is known for organization nobody/, 'nor is there one of another');
my ($mine) = sql(q{SELECT delivery_id FROM kgwebhook.deliveries WHERE org_id = 'a' AND kind = 'shop.refund'});
is(sql(q{SELECT kg_redeliver_object('7', 'a', 'shop.refund')}), $mine, 'kg_redeliver_object sends one');
wait_until_settled($node, q{org_id = 'a' AND kind = 'shop.refund'});
is( sql(q{SELECT org_id, kind, max(attempt) FROM kgwebhook.delivery_log WHERE outcome = 'acknowledged' GROUP BY 1, 2 ORDER BY 1, 2}),
	"a|shop|1\na|shop.refund|2\nb|shop.order|1\nc|shop.refund|1", 'and no other');
is(sql(q{SELECT count(*) FROM kgwebhook.queue}), 2, 'those that are refused wait as they did');

#
# Given up, and recovered: what others have got since overtakes nobody
#
reload($node, 'kgwebhook.retry_schedule' => "'10ms'");
sql(q{SELECT kg_redeliver_object('7', 'a', 'shop.order')});
wait_until_settled($node, q{org_id = 'a'});
sql(q{UPDATE orders SET status = 'sent' WHERE org = 'b'; UPDATE refunds SET status = 'done' WHERE org IN ('a', 'c')});
wait_until_settled($node, q{kind <> 'shop.order' OR org_id <> 'c'});
is(sql(q{SELECT kg_recover('-infinity', org_id => 'a', dry_run => true)}), 1, 'kg_recover takes it back');
is(sql(q{SELECT org_id, kind, state FROM kgwebhook.unacknowledged ORDER BY 1}),
	"a|shop.order|dead\nc|shop.order|retrying", 'both are at stake');
is(sql(q{SELECT kind FROM kgwebhook.dead_letter}), 'shop.order', 'a dead letter knows its kind');
is(sql(q{SELECT kg_recover('-infinity', org_id => 'a')}), 1, 'back into the queue');
is(sql(q{SELECT count(DISTINCT (org_id, kind, object_id)) FROM kgwebhook.delivery_log}), 6, 'as what it was');
wait_until_settled($node, q{org_id = 'a'});
is(sql(q{SELECT count(*) FROM kgwebhook.delivery_log WHERE outcome = 'superseded'}), 0, 'nobody has superseded anyone');

# Tests are of a kind too, and too long an organization has no secret
is(sql(q{SELECT kind FROM kg_send_test('} . $receiver->url . q{', 'a')}), 'payment_intent', 'a test has a kind');
sql(q{INSERT INTO orders VALUES (repeat('x', 9000), 8, 'paid', '} . $receiver->url . q{')});
wait_until_settled($node, q{object_id = '8'});
is( sql(q{SELECT length(org_id), outcome, error FROM kgwebhook.delivery_log WHERE object_id = '8'}),
	q{255|invalid|the organization's identifier is longer than 255 bytes}, 'and is logged anyway');

$node->stop;
done_testing();
