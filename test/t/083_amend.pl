#-------------------------------------------------------------------------
#
# test/t/083_amend.pl
#	  kg_amend(): a dead letter's payload is corrected and sent, one or many, and
#	  it is kept who did so.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Test::More;

my $node = new_node('main', 'kgwebhook.retry_schedule' => "'10ms,10ms'");
my $receiver = start_receiver();

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# One request for an order, once it is there.
sub request_of
{
	my ($id) = @_;
	my ($request) = $receiver->wait_for_requests(1, if => sub { $_[0]{json}{id} eq $id });

	return $request;
}

$receiver->set_secret(sql(q{SELECT kg_create_secret() AS secret \gset
	CREATE TABLE orders (id text PRIMARY KEY, state text, hook text, data jsonb);
	DO $$ BEGIN PERFORM kg_watch('orders', 'order', 'id', 'state', 'hook', NULL,
	                            '{"id": "id", "state": "state", "data": "data"}'); END $$;
	SELECT :'secret'}));
sql(q{CREATE ROLE clerk; CREATE ROLE chief; GRANT USAGE ON SCHEMA kgwebhook TO clerk, chief;
	GRANT SELECT ON kgwebhook.dead_letter TO clerk, chief;
	GRANT EXECUTE ON FUNCTION kg_amend(bigint, jsonb) TO clerk;
	CREATE FUNCTION desk(bigint, jsonb) RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT kg_amend($1, $2)';
	ALTER FUNCTION desk OWNER TO clerk});

#
# One
#
my $url = $receiver->url('/ok');
sql(qq{INSERT INTO orders VALUES ('one', 'new', '$url', '{"cart": 9007199254740993, "note": "kept"}')});
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM kgwebhook.dead_letter}) or die 'no dead letter';
my ($id, $webhook_id) = split /\|/, sql('SELECT delivery_id, webhook_id FROM kgwebhook.dead_letter');
my $fix = q{SELECT kg_amend(delivery_id, jsonb_set(payload, '{data,cart}', '"9007199254740993"') || '{"timestamp": 1, "signature": "x"}')
	FROM kgwebhook.dead_letter};
like(sql_error($node, "SELECT kg_amend($id, payload) FROM kgwebhook.dead_letter"), qr/ERROR:  22003/,
	'what is still wrong is refused');
is(sql("SET ROLE clerk; $fix"), $id, 'kg_amend() returns the delivery');
my $request = request_of('one');
is("$request->{valid} $request->{headers}{'webhook-id'}", "1 $webhook_id", 'which arrives, under its webhook-id');
is_deeply($request->{json}{data}, { cart => '9007199254740993', note => 'kept' }, 'as it was corrected');
wait_until_settled($node);
is(sql('SELECT count(*) FROM kgwebhook.dead_letter'), 0, 'and is a dead letter no more');
is( sql(q{SELECT amended_by, org_id, object_id, former_payload -> 'data' ->> 'cart', payload -> 'data' ->> 'cart',
	payload ?| '{timestamp,signature}', former_reason LIKE 'invalid%', amended_at > now() - interval '1 hour' FROM kgwebhook.amendment}),
	'clerk|default|one|9007199254740993|9007199254740993|f|t|t', 'who did it, and what it was before');
like(slurp_log(), qr/kgwebhook: "clerk" has amended the payload of delivery $id/, 'also in the server\'s log');

#
# A bad column's, in one go, of two organizations and among others
#
sql(qq{INSERT INTO orders SELECT 'many' || i, 'new', '$url', jsonb_build_object('cart', 9007199254740993 + 2 * i) FROM generate_series(1, 20) i;
	INSERT INTO orders VALUES ('other', 'new', 'ftp://nowhere.example/', '{}')});
$node->poll_query_until('postgres', q{SELECT count(*) = 21 FROM kgwebhook.dead_letter}) or die 'not all are dead';
like(sql_error($node, q{SELECT kg_amend(delivery_id, CASE object_id WHEN 'many20' THEN payload ELSE payload || '{"data": null}' END)
	FROM kgwebhook.dead_letter WHERE object_id LIKE 'many%' ORDER BY delivery_id}), qr/ERROR:  22003/, 'one of them is still wrong');
is(sql(q{SELECT (SELECT count(*) FROM kgwebhook.dead_letter), (SELECT count(*) FROM kgwebhook.queue), (SELECT count(*) FROM kgwebhook.amendment)}),
	'21|0|1', 'so nothing is changed');
is(sql(q{SELECT count(*) FROM (SELECT desk(delivery_id, jsonb_set(payload, '{data,cart}', to_jsonb(payload #>> '{data,cart}')))
	FROM kgwebhook.dead_letter WHERE object_id LIKE 'many%') a}), 20, 'all of them at once');
is(request_of("many$_")->{json}{data}{cart}, '' . (9007199254740993 + 2 * $_), "many$_ arrives") foreach 1, 10, 20;
wait_until_settled($node);
is(sql('SELECT object_id FROM kgwebhook.dead_letter'), 'other', 'what was not named stays');
is(sql('SELECT amended_by, count(*) FROM kgwebhook.amendment GROUP BY 1'), 'clerk|21', 'each is kept, under the role that called');

#
# Refused
#
like(sql_error($node, "SELECT kg_amend($id, '{}')"), qr/ERROR:  P0002: delivery $id is not a dead letter\nDETAIL:  It is acknowledged\./, 'acknowledged');
like(sql_error($node, q{SELECT kg_amend(-1, '{}')}), qr/ERROR:  P0002: .*\nDETAIL:  No such delivery is known\./, 'unknown');
like(sql_error($node, qq{SELECT kg_amend($id, '[1]')}), qr/ERROR:  22023: payload is not a JSON object/, 'not an object');
like(sql_error($node, "SELECT kg_amend($_)"), qr/ERROR:  22004/, "NULL: $_") foreach "NULL, '{}'", "$id, NULL";
like(sql_error($node, q{SET ROLE chief; SELECT kg_amend(delivery_id, '{}') FROM kgwebhook.dead_letter}), qr/ERROR:  42501/, 'no right to');
sql(qq{SELECT kg_subscribe('default', '@{[ $receiver->url('/fail/9') ]}');
	INSERT INTO orders VALUES ('subscribed', 'new', NULL, '{}')});
$node->poll_query_until('postgres', q{SELECT count(*) = 2 FROM kgwebhook.dead_letter}) or die 'not dead';
sql('SELECT kg_unsubscribe(subscription_id) FROM kgwebhook.subscriptions');
like(sql_error($node, q{SELECT kg_amend(delivery_id, '{}') FROM kgwebhook.dead_letter WHERE object_id = 'subscribed'}),
	qr/ERROR:  55000: delivery \d+ cannot be sent again/, 'its subscription was removed');
is(sql(q{SELECT payload ->> 'id' FROM kgwebhook.dead_letter WHERE object_id = 'subscribed'}), 'subscribed', 'it stays as it was');

#
# Kept as long as the log
#
sql(q{UPDATE kgwebhook.amendment SET amended_at = amended_at - interval '31 days' WHERE object_id = 'one'; SELECT kgwebhook.drop_log_partitions()});
is(sql('SELECT count(*) FROM kgwebhook.amendment'), 20, 'retention');

$node->stop;
done_testing();

sub slurp_log
{
	return PostgreSQL::Test::Utils::slurp_file($node->logfile);
}
