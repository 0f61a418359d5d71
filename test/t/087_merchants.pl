#-------------------------------------------------------------------------
#
# test/t/087_merchants.pl
#	  Merchants' roles in a restored database: each is restricted as before, and
#	  one whose organization did not come along acts for none.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir;
my $node = init_node('main');
$node->start;

# What a role sees in a database.
sub seen
{
	my ($db, $role) = @_;

	return $node->safe_psql($db, qq{
		SET ROLE $role;
		SELECT (SELECT string_agg(org_id, ',' ORDER BY org_id) FROM kgwebhook.delivery_log),
		       (SELECT string_agg(org_id, ',' ORDER BY org_id) FROM kgwebhook.deliveries),
		       (SELECT string_agg(org_id, ',' ORDER BY org_id) FROM kgwebhook.dead_letter)});
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
		SELECT 1, 'msg_' || o, o, 'pay.new', 'pay', '1', 'https://m.example/', 'https://m.example:443', 1, 'acknowledged', true, now()
		  FROM unnest(ARRAY['acme', 'beta']) o});
is(seen('shop', 'acme'), 'acme|acme|', 'a merchant sees its own rows');
is(seen('shop', 'app'), 'acme|acme|', 'and so does a role that inherits from its role');
is(seen('shop', 'support'), 'acme,beta|acme,beta|', 'staff sees all');

# the role goes, and its row stays behind
$node->safe_psql('shop', 'DROP OWNED BY gone; DROP ROLE gone');
$node->run_log([ 'pg_dump', '-Fc', '-f', "$dir/shop.dump", $node->connstr('shop') ]);
$node->safe_psql('postgres', 'CREATE DATABASE copy; CREATE DATABASE part');
command_ok([ 'pg_restore', '-e', '-d', $node->connstr('copy'), "$dir/shop.dump" ], 'restored');
is($node->safe_psql('copy', 'SELECT role, org_id FROM kgwebhook.organization_role'),
	'acme|acme', 'a role that has gone is not restored as a number');
is(seen('copy', 'acme'), 'acme|acme|', 'a merchant sees its own rows in the copy');
is(seen('copy', 'support'), 'acme,beta|acme,beta|', 'staff sees all');

# without the rows that say whose role it is
my $list = `pg_restore -l $dir/shop.dump`;
$list =~ s/^.*TABLE DATA kgwebhook organization_role.*\n//m or die "no such entry: $list";
append_to_file("$dir/list", $list);
command_ok([ 'pg_restore', '-e', '-L', "$dir/list", '-d', $node->connstr('part'), "$dir/shop.dump" ],
	'restored without whose roles they are');
is(seen('part', 'acme'), '||', 'a merchant sees nothing there');
is(seen('part', 'support'), 'acme,beta|acme,beta|', 'staff sees all');

done_testing();
