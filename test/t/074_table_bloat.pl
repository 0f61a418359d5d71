#-------------------------------------------------------------------------
#
# test/t/074_table_bloat.pl
#	  After many deliveries and a retention run, the tables are as small as before.
#
# KGW_DELIVERIES says how many: 5,000 in `make check`, 1,000,000 by
# `make check-space`, which also prints the sizes.  Nothing is made up: each
# delivery is an event of a row, sent by the worker to a receiver, and logged.
# Then the server's clock goes on by 40 days, and the worker itself drops what
# is older than kgwebhook.log_retention.
#
# Events come a batch at a time, the next when the queue is empty, so the queue
# has what it has where receivers keep up.  Its indexes keep the room that a batch
# took, and use it again.  The receiver is the bench's: one that
# writes down what it gets would be what is waited for.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use Kgwebhook;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $asked = $ENV{KGW_DELIVERIES};
my $deliveries = $asked // 5000;
my $batch = $deliveries > 100_000 ? 20_000 : 1000;

my $node = new_node('main', 'autovacuum' => 'off', 'max_wal_size' => "'4GB'", 'log_min_messages' => 'warning');
make_intents_table($node);

#
# The receiver
#
my $build = PostgreSQL::Test::Utils::tempdir('receiver');
my $bench = abs_path(dirname(__FILE__) . '/../../bench');
system('make', '-s', '-C', $bench, "BUILD=$build", "$build/receiver") == 0 or die 'could not build the receiver';
my $receiver = open my $said, '-|', "$build/receiver", 'all=1:now' or die "could not start the receiver: $!";
my $ports = readline($said) // '';
my ($port) = $ports =~ /"all": \[(\d+)\]/ or die "the receiver said: $ports";

# Names the handle as well: closed any earlier, it would wait for the receiver.
END
{
	my $exit_code = $?;

	kill 'TERM', $receiver if $receiver;
	close $said if $said;
	$? = $exit_code;
}

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# Makes events, and returns when they have been acknowledged and logged.
my $made = 0;

sub deliver
{
	my ($n) = @_;

	sql(qq{
		INSERT INTO payment_intents (payment_intent_id, symbol, crypto_amount, fiat_amount, fiat_currency, order_data, callback_url)
		SELECT 'pi_' || i, 'USDT', '300.0', '300.0', 'USD', jsonb_build_object('order', i), 'http://127.0.0.1:$port/webhooks'
		  FROM generate_series($made + 1, $made + $n) i});
	$made += $n;
	wait_until_settled($node);
	# What autovacuum does every minute or so; here nothing else may come in between.
	sql('VACUUM kgwebhook.queue');
	return;
}

# What there is, by kind, in bytes.
my @kinds = ('queue', 'indexes of the queue', 'log', 'indexes of the log', 'dead letters', 'sequences', 'all other tables of kgwebhook');

sub sizes
{
	return map { split /\|/ } split /\n/, sql(q{
		SELECT kind, sum(bytes) FROM (
			SELECT CASE WHEN relname = 'queue' THEN 'queue' WHEN relname ~ '^delivery_log' THEN 'log'
			            WHEN relname = 'dead_letter' THEN 'dead letters' WHEN relkind = 'S' THEN 'sequences'
			            ELSE 'all other tables of kgwebhook' END AS kind,
			       pg_table_size(oid) + CASE WHEN relname ~ '^(queue|delivery_log)' THEN 0 ELSE pg_indexes_size(oid) END AS bytes
			  FROM pg_class WHERE relnamespace = 'kgwebhook'::regnamespace AND relkind IN ('r', 'S')
			UNION ALL
			SELECT 'indexes of the ' || CASE relname WHEN 'queue' THEN 'queue' ELSE 'log' END, pg_indexes_size(oid)
			  FROM pg_class WHERE relnamespace = 'kgwebhook'::regnamespace AND relkind = 'r' AND relname ~ '^(queue|delivery_log)') s
		 GROUP BY kind});
}

sub tables
{
	my (%size) = @_;

	return join "\n", map { "$_: $size{$_}" } grep { $_ ne 'indexes of the queue' } @kinds;
}

# What a batch makes of the queue's indexes is no growth.
deliver($batch);
sql(q{SELECT kg_purge('0')});
deliver(1);
my %before = sizes();
my $started = time;
deliver($batch) while $made < $batch + $deliveries;
my $took = time - $started;
my %full = sizes();
my $logged = sql(q{SELECT count(*) FROM kgwebhook.delivery_log WHERE outcome = 'acknowledged'});
is($logged, $made - $batch, 'each was acknowledged and logged');
cmp_ok($full{log}, '>', 500 * $logged, 'which takes its room');

{
	local $ENV{LD_PRELOAD} = build_library('preload/shifted_clock');
	local $ENV{KGW_CLOCK_SHIFT} = 40 * 86400;
	$node->restart;
	deliver(1);
	ok( $node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM kgwebhook.delivery_log}),
		'40 days later the worker drops what it has kept for long enough');
}
my %after = sizes();
is(tables(%after), tables(%before), 'the tables have the size that they had before');
cmp_ok($after{'indexes of the queue'}, '<=', 2.5 * $before{'indexes of the queue'},
	'and the indexes of the queue are no larger than a batch or two makes them');
is(sql(q{SELECT last_value FROM kgwebhook.delivery_id_seq}), $made, 'each delivery had its number');

if (defined $asked && defined $ENV{KGW_OUTPUT})
{
	my $size = sub { reverse(join ',', unpack '(A3)*', reverse int($_[0] / 1024)) };

	open my $out, '>', "$ENV{KGW_OUTPUT}/space.md" or die "could not write space.md: $!";
	printf $out "%d deliveries in %.0f s, a batch of %d at a time; kB.\n\n", $logged - 1, $took, $batch;
	print $out "| | before | when they are delivered | after the retention run |\n|---|--:|--:|--:|\n";
	foreach my $kind (@kinds)
	{
		printf $out "| %s | %s | %s | %s |\n", $kind, map { scalar $size->($_->{$kind}) } \%before, \%full, \%after;
	}
	close $out;
}

$node->stop;
done_testing();
