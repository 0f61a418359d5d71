#-------------------------------------------------------------------------
#
# test/t/110_merchants.pl
#	  Merchants' roles in a restored database: each is restricted as before, and
#	  one whose organization did not come along acts for none.  A cursor of
#	  kg_events_since() goes on there, and says when events are not kept any more.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = init_node('main');
# The events after a cursor, and the last one's cursor.
sub events
{
	my ($db, $cursor, $most) = @_;

	$most //= 100;
	return split /\n/, $node->safe_psql($db, qq{
		SET ROLE acme;
		SELECT object_id || ' ' || kg_verify(body, 'the secret of acme, long enough') || '|' || cursor
		  FROM kg_events_since('acme', }.(defined $cursor ? "'$cursor'" : 'NULL').qq{, $most)});
}

my $dir = PostgreSQL::Test::Utils::tempdir;
$node->start;

# What a role sees in a database.
sub seen
{
	my ($db, $role) = @_;

	return $node->safe_psql($db, qq{
		SET ROLE $role;
		SELECT (SELECT string_agg(DISTINCT org_id, ',') FROM kgwebhook.delivery_log),
		       (SELECT string_agg(DISTINCT org_id, ',') FROM kgwebhook.deliveries),
		       (SELECT string_agg(DISTINCT org_id, ',') FROM kgwebhook.dead_letter)});
}

$node->safe_psql('postgres', 'CREATE DATABASE shop; CREATE ROLE acme; CREATE ROLE app IN ROLE acme; CREATE ROLE gone; CREATE ROLE support');
$node->safe_psql(
	'shop', q{
	SET client_min_messages = warning;
	CREATE EXTENSION kgwebhook CASCADE;
	SELECT kg_grant_org('acme', 'acme'), kg_grant_org('gone', 'beta');
	GRANT USAGE ON SCHEMA kgwebhook TO support;
	GRANT SELECT ON kgwebhook.delivery_log, kgwebhook.deliveries, kgwebhook.dead_letter TO support;
	INSERT INTO kgwebhook.delivery_log (delivery_id, webhook_id, org_id, event, kind, object_id, url, destination, attempt,
			outcome, final, started_at)
		SELECT 0, 'msg_' || o, o, 'pay.new', 'pay', '0', 'https://m.example/', 'https://m.example:443', 1, 'acknowledged', true, now()
		  FROM unnest(ARRAY['acme', 'beta']) o});
is(seen('shop', 'acme'), 'acme|acme|', 'a merchant sees its own rows');
is(seen('shop', 'app'), 'acme|acme|', 'and so does a role that inherits from its role');
is(seen('shop', 'support'), 'acme,beta|acme,beta|', 'staff sees all');

# events: delivered ones, ones that wait, and one that is committed late
my $receiver = start_receiver();
$node->safe_psql(
	'shop', q{
	CREATE TABLE pays (id text, status text, url text, org_id text);
	SELECT kg_watch('pays', 'pay', 'id', 'status', 'url');
	SELECT kg_set_secret('acme', 'the secret of acme, long enough'), kg_set_secret('beta', 'the secret of beta, long enough')});
sub pay
{
	my ($db, @ids) = @_;

	$node->safe_psql($db, "INSERT INTO pays VALUES ('$_', 'new', '@{[ $receiver->url ]}', 'acme'), ('$_', 'new', '@{[ $receiver->url ]}', 'beta')")
	  foreach @ids;
}
pay('shop', 1 .. 4);
$node->poll_query_until('shop', 'SELECT count(*) = 0 FROM kgwebhook.queue') or die 'not delivered';
reload($node, 'kgwebhook.enabled' => 'off');
my $late = $node->background_psql('shop', on_error_stop => 1);
$late->query_safe("BEGIN; INSERT INTO pays VALUES ('late', 'new', '@{[ $receiver->url ]}', 'acme')");
pay('shop', 5 .. 6);
my @events = events('shop');
is(join(', ', map { s/\|.*//r } @events), '1 valid, 2 valid, 3 valid, 4 valid, 5 valid, 6 valid', 'what was sent and what waits');
my ($fourth, $last) = map { /\|(.*)/ } @events[ 3, 5 ];
$late->query_safe('COMMIT');
$late->quit;
is(join(', ', map { s/\|.*//r } events('shop', $last)), 'late valid', 'then what is committed late');
is(join(', ', map { s/\|.*//r } events('shop', $fourth)), '5 valid, 6 valid, late valid', 'and from the middle');

# the role goes, and its row stays behind
$node->safe_psql('shop', 'DROP OWNED BY gone; DROP ROLE gone');
$node->run_log([ 'pg_dump', '-Fc', '-f', "$dir/shop.dump", $node->connstr('shop') ]);
$node->safe_psql('postgres', 'CREATE DATABASE copy; CREATE DATABASE part');
command_ok([ 'pg_restore', '-e', '-d', $node->connstr('copy'), "$dir/shop.dump" ], 'restored');
is($node->safe_psql('copy', 'SELECT role, org_id FROM kgwebhook.organization_role'),
	'acme|acme', 'a role that has gone is not restored as a number');
is(seen('copy', 'acme'), 'acme|acme|', 'a merchant sees its own rows in the copy');
is(seen('copy', 'support'), 'acme,beta|acme,beta|', 'staff sees all');

# it goes on where it was; what came lately may come again, and nothing is left out
my ($result, $stdout, $stderr) = $node->psql('copy', "SELECT count(*) FROM kg_events_since('acme', '$last')");
like($stderr, qr/this database is a copy that has not been adopted/, 'not before it is adopted');
$node->safe_psql('copy', 'SELECT kg_adopt()');
pay('copy', 7);
my %again = map { /^(\S+) valid/ ? ($1 => 1) : () } events('copy', $last);
ok($again{late} && $again{7}, 'what the cursor had not seen in the original, and what the copy has');
@events = events('copy');
is(join(' ', sort map { /^(\S+) valid/ } @events), '1 2 3 4 5 6 7 late', 'from the beginning, each once');
my ($here) = $events[-1] =~ /\|(.*)/;
is(scalar(events('copy', $here)), 0, 'and then none');
pay('copy', 8);
is(join(', ', map { s/\|.*//r } events('copy', $here)), '8 valid', 'until there is one');

# the end of what is kept
reload($node, 'kgwebhook.enabled' => 'on');
$node->poll_query_until('shop', 'SELECT count(*) = 0 FROM kgwebhook.queue') or die 'not delivered';
$node->safe_psql('shop', q{SELECT kg_purge('0')});
($result, $stdout, $stderr) = $node->psql('shop', "SELECT count(*) FROM kg_events_since('acme', '$last')");
like($stderr, qr/events after this cursor have been removed/, 'a cursor of before is told so');
is(scalar(events('shop')), 0, 'from the beginning, there are none');

# who begins after something was removed goes on from page to page, until more is
pay('shop', $_) foreach 9, 10;
my ($first) = events('shop', undef, 1);
$first =~ s/^9 valid\|//;
is(join(', ', map { s/\|.*//r } events('shop', $first, 1)), '10 valid', 'from the beginning, page by page');
$node->poll_query_until('shop', 'SELECT count(*) = 0 FROM kgwebhook.queue') or die 'not delivered';
$node->safe_psql('shop', q{SELECT kg_purge('0')});
($result, $stdout, $stderr) = $node->psql('shop', "SELECT count(*) FROM kg_events_since('acme', '$first')");
like($stderr, qr/events after this cursor have been removed/, '... until what comes next is removed');

# without the rows that say whose role it is
my $list = `pg_restore -l $dir/shop.dump`;
$list =~ s/^.*TABLE DATA kgwebhook organization_role.*\n//m or die "no such entry: $list";
append_to_file("$dir/list", $list);
command_ok([ 'pg_restore', '-e', '-L', "$dir/list", '-d', $node->connstr('part'), "$dir/shop.dump" ],
	'restored without whose roles they are');
is(seen('part', 'acme'), '||', 'a merchant sees nothing there');
is(seen('part', 'support'), 'acme,beta|acme,beta|', 'staff sees all');

done_testing();
