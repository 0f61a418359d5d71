#-------------------------------------------------------------------------
#
# test/t/098_status_backlog.pl
#	  With 200,000 deliveries waiting, kg_status(), kg_explain(), the page's headline and a
#	  merchant's page say the same truth as with few, and read no more rows for it.
#
# All of it is at one host.  One organization has most of the backlog, and its receiver
# is about to answer; behind that wait those of an organization whose path is wrong, and
# of one that has no secret.  Two watched tables have the same ids, and so have the
# organizations.
#
# What is read is counted by the server, for the transaction that asks: no other
# session and no slow machine changes it.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Kgwebhook::OnCall;
use PostgreSQL::Test::Utils;
use Test::More;

# A retry comes after the test, and so does the end of a request that is held.
my $node = new_node('main', 'autovacuum' => 'off', 'kgwebhook.retry_schedule' => "'1h,1h'",
	'kgwebhook.request_timeout' => "'1h'", 'jit' => 'off');
my $on_call = Kgwebhook::OnCall->new($node);
my $receiver = start_receiver();
my $host = $receiver->destination;

sub sql { return $node->safe_psql('postgres', shift); }

# So many payments and as many orders, with the same ids, of an organization's.
sub insert_both
{
	my ($org, $path, $from, $to) = @_;

	sql(qq{INSERT INTO $_ SELECT 'o' || i, 'pending', '$host$path', '$org', '10.00', 'EUR' FROM generate_series($from, $to) i})
	  foreach qw(payments orders);
	return;
}

# Rows that an index alone tells of are not read; a vacuum makes it so.  The planner
# learns nothing of what they hold, unless it is told.
sub vacuum
{
	my ($analyze) = @_;

	$node->poll_query_until('postgres', "VACUUM @{[ $analyze ? 'ANALYZE' : '' ]} kgwebhook.queue;" . q{
		SELECT relallvisible > 0.95 * relpages FROM pg_class WHERE oid = 'kgwebhook.queue'::regclass})
	  or die 'not vacuumed';
	return;
}

# How many rows of the queue are read for the answer to a query.
sub rows_read
{
	my ($query) = @_;

	return sql(qq{
		BEGIN;
		SELECT count(*) FROM ($query) q \\gset
		SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_all_tables WHERE relid = 'kgwebhook.queue'::regclass;
		COMMIT});
}

sql(q{
	CREATE TABLE payments (id text, status text, callback_url text, org_id text, fiat_amount text, fiat_currency text);
	CREATE TABLE orders (LIKE payments);
	SELECT kg_watch('payments', 'payment', 'id'), kg_watch('orders', 'order', 'id');
	SELECT kg_create_secret('most'), kg_create_secret('wrong')});
$receiver->hold('drain');

#
# More than all of which is read, and what it takes
#
insert_both('most', '/while/drain/ok', 1, 12500);
$node->poll_query_until('postgres', 'SELECT in_flight > 0 FROM kgwebhook.stats') or die 'nothing goes';
vacuum();
my %ask = (
	'kg_status()' => 'SELECT * FROM kg_status()',
	'kg_dashboard()' => 'SELECT * FROM kg_dashboard()',
	'kg_dashboard(org_id)' => q{SELECT * FROM kg_dashboard('most')},
	'kg_explain()' => q{SELECT * FROM kg_explain('o12500', 'most', 'order')});
my %read = map { $_ => rows_read($ask{$_}) } keys %ask;
cmp_ok($read{$_}, '>', 1000, "$_ reads rows of a backlog of 25,000: $read{$_}") foreach sort keys %read;

#
# Eight times that
#
insert_both('most', '/while/drain/ok', 12501, 70000);
insert_both('wrong', '/status/404', 1, 20000);
insert_both('secretless', '/ok', 1, 10000);
is(sql('SELECT count(*) FROM kgwebhook.queue'), 200000, '200,000 deliveries wait');
wait_for_log_rows($node, 3, q{org_id = 'wrong'});
wait_for_log_rows($node, 1, q{org_id = 'secretless'});

my $wrong = $on_call->finds(qr{^\Q$host\E/status/404 \(organization wrong\): answered with status 404 since [0-9:]+, about (?:39|40),\d\d\d waiting, at least [0-9,]+ EUR$});
is($wrong->{remedy}, "Ask organization wrong to have its receiver answer at $host/status/404; what waits is then sent by itself, in order.", 'a wrong path: what to do');
my $secretless = $on_call->finds(qr/^organization secretless has no secret, about (?:19|20),\d\d\d deliveries wait since [0-9:]+, at least [0-9,]+ EUR$/, qr/warning/);
is($secretless->{remedy}, q{SELECT kg_create_secret('secretless');}, 'no secret: what to do');
is((grep { $_->{finding} =~ /organization most|late/ } $on_call->status), 0, 'and nothing is wrong with what is about to be answered');
like($on_call->headline, qr/^Deliveries flow, but organization secretless has no secret, about (?:19|20),\d\d\d deliveries wait/, 'the page says the worst of it');
# each is rounded
is(sql('SELECT sum(deliveries) BETWEEN 199990 AND 200010 FROM kgwebhook.waiting'), 't', 'the figures by what is waited for add up');

# One of two objects with this id, and what is told of it.
sub told
{
	my ($object, $org) = @_;

	my @told = split /\n(?=Delivery \d+ is )/, sql("SELECT * FROM kg_explain('$object', '$org', 'order')");
	is(scalar @told, 1, "kg_explain of $org\'s order $object: no other is told of");
	like($told[0], qr/^Delivery \d+ is order\.pending of order $object of organization $org, to /, 'it is that one');
	return $told[0];
}

my $told = told('o69000', 'most');
like($told, qr{^It waits for its turn: \d+ requests? (?:is|are) in flight to \Q$host\E, and at least [0-9,]+ deliveries to its URL go before it\.$}m, 'the cause, and what goes first');
$told = told('o19000', 'wrong');
like($told, qr/^(?:Its URL is failing, while others at its destination \Q$host\E are not: |Its destination \Q$host\E, or its URL there, is failing .* The next probe is )/m, 'the cause, and what is next');
like($told, qr/^The last failure there is that of delivery \d+, at [0-9-]{10} [0-9:+]+: answered with status 404\.$/m, 'which others have met before it was tried');
like($told, qr/^What to do: \Q$wrong->{remedy}\E$/m, 'the remedy');
$told = told('o9000', 'secretless');
like($told, qr/^It waits for a signing secret of organization secretless\./m, 'the cause');
like($told, qr/^What to do: \Q$secretless->{remedy}\E$/m, 'the remedy');

foreach my $analyze (0, 1)
{
	vacuum($analyze);
	foreach (sort keys %ask)
	{
		my $now = rows_read($ask{$_});

		cmp_ok($now, '<=', $read{$_} + 15000, "$_ reads as many rows of 200,000: $now" . ($analyze ? ', with statistics' : ''));
	}
}

# What was not counted is not said to be all, and a subscription's is counted by its index
sub waiting_of
{
	my ($org, $url) = @_;

	sql("SELECT kg_dashboard('$org')") =~ m{\Q$url\E <small>.*?"Waiting"[^>]*>([^<]*)<}s or return 'no such row';
	return $1 =~ s/&#160;/ /gr;
}
is(waiting_of('most', "$host/while/drain/ok"), 'at least 10,000', 'what waits for an own URL');
is(waiting_of('secretless', "$host/ok"), 'at least 10,000', 'also where nothing was sent');
my $subscription = sql("SELECT kg_subscribe('most', '$host/while/drain/subscribed')");
insert_both('most', '/while/drain/ok', 70001, 76000);
is(waiting_of('most', "$host/while/drain/subscribed"), '12,000', 'what waits for a subscription');
vacuum();
cmp_ok(rows_read($ask{'kg_dashboard(org_id)'}), '<=', $read{'kg_dashboard(org_id)'} + 15000, 'by its index');

$receiver->release('drain');
$node->stop;
$receiver->stop;
done_testing();
