#-------------------------------------------------------------------------
#
# test/t/086_money.pl
#	  Columns of type money: the same bytes from every session, whatever its
#	  lc_monetary, with the decimals of the session that called kg_watch().
#
# The locales are made for the test, in a folder that only its server looks into.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use PostgreSQL::Test::Utils;
use Test::More;

my @locales = qw(en_US de_DE ja_JP ar_KW);
my $folder = PostgreSQL::Test::Utils::tempdir();

foreach my $name (@locales)
{
	# it warns of what a locale lacks, and makes it nevertheless
	system("localedef -c -i $name -f UTF-8 $folder/$name.UTF-8 >$folder/log 2>&1");
	plan skip_all => 'no sources of locales here' unless -d "$folder/$name.UTF-8";
}
$ENV{LOCPATH} = $folder;

my $node = new_node('main', 'kgwebhook.enabled' => 'off');

# Payloads of one row, written by a session of each locale.
sub totals
{
	my ($table) = @_;

	foreach my $name (@locales)
	{
		$node->safe_psql('postgres',
			"SET lc_monetary = '$name.UTF-8';
			 SELECT total FROM $table;
			 UPDATE $table SET state = '$name'");
	}
	return $node->safe_psql('postgres',
		"SELECT string_agg(DISTINCT payload::text, ' ') FROM kgwebhook.queue
		  WHERE event LIKE '$table.%' AND problem IS NULL HAVING count(*) = " . @locales);
}

my %expected = (en_US => '1234.50', ja_JP => '123450', ar_KW => '123.450');
foreach my $name (sort keys %expected)
{
	my $table = lc $name;

	$node->safe_psql('postgres',
		"CREATE TABLE $table (id int, state text, hook text, total money, totals money[]);
		 INSERT INTO $table VALUES (1, 'new', 'https://m.example/');
		 SET lc_monetary = '$name.UTF-8';
		 SELECT kg_watch('$table', '$table', 'id', 'state', 'hook', NULL,
			'{\"total\": \"total\", \"totals\": \"totals\"}');
		 RESET lc_monetary;
		 ALTER TABLE $table DISABLE TRIGGER USER;
		 UPDATE $table SET total = '1234.50', totals = '{-1234.50}';
		 ALTER TABLE $table ENABLE TRIGGER USER;");
	is( totals($table),
		qq({"total": "$expected{$name}", "totals": ["-$expected{$name}"]}),
		"watched from $name");
}

$node->stop;
done_testing();
