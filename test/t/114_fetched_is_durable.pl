#-------------------------------------------------------------------------
#
# test/t/114_fetched_is_durable.pl
#	  What kg_events_since() has shown survives a crash, also when it was committed
#	  asynchronously; and what takes a lost transaction's number is not passed by.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Test::More;

my $node = init_node('main');
# nothing else flushes in the meantime; the WAL writer does when a page of WAL is full
$node->append_conf('postgresql.conf', "kgwebhook.enabled = off\nwal_writer_delay = 10s\nautovacuum = off\nfull_page_writes = off");
$node->start;
$node->safe_psql(
	'postgres', q{
	SET client_min_messages = warning;
	CREATE EXTENSION kgwebhook CASCADE;
	SELECT kg_set_secret('acme', 'the secret of acme, long enough');
	CREATE TABLE pay (id text PRIMARY KEY, org text, status text, url text);
	CREATE TABLE other (id text);
	SELECT kg_watch('pay', 'pay', 'id', 'status', 'url', 'org')});

sub pay
{
	my ($id, $commit) = @_;

	$node->safe_psql('postgres', "SET synchronous_commit = $commit; INSERT INTO pay VALUES ('$id', 'acme', 'new', 'https://m.example/')");
}

# The identifiers after a cursor, and the last row's cursor.
sub fetch
{
	my ($cursor) = @_;
	my @rows = split /\n/, $node->safe_psql('postgres',
		"SELECT object_id || ' ' || cursor FROM kg_events_since('acme', " . (defined $cursor ? "'$cursor'" : 'NULL') . ')');

	$cursor = (split / /, $rows[-1])[1] if @rows;
	return (join(',', map { (split / /)[0] } @rows), $cursor);
}

pay('first', 'on');
pay('a', 'off');
# another's transaction, whose number the cursor says was seen
$node->safe_psql('postgres', "SET synchronous_commit = off; INSERT INTO other VALUES ('x')");
my ($shown, $cursor) = fetch();
is($shown, 'first,a', 'an event of an asynchronous commit is shown');
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', q{SELECT (SELECT string_agg(id, '' ORDER BY id) FROM pay), (SELECT count(*) FROM other)}), 'afirst|1', '... and survives a crash, with all that the cursor has seen');
pay($_, 'on') foreach 'b', 'c';
($shown) = fetch($cursor);
is($shown, 'b,c', 'a cursor from before goes on behind it');

done_testing();
