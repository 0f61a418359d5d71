#-------------------------------------------------------------------------
#
# test/t/072_expire.pl
#	  kg_expire_intents(): each intent past its deadline expires once and gets its
#	  callback; one that is being paid doesn't, and nobody waits for anyone.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Test::More;

my $node = new_node('main');
my $secret = make_intents_table($node);
my $receiver = start_receiver(secret => $secret);

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# What psql says of an error, with its SQLSTATE.
sub error_of
{
	my ($sql) = @_;

	return sql_error($node, $sql) =~ s/^psql:\S+ //mr =~ s/^(LOCATION|CONTEXT|  ).*\n?//mgr =~ s/\s+\z//r;
}

sub expire
{
	my ($table) = @_;

	return sql("SELECT kg_expire_intents('" . ($table // 'payment_intents') . "')");
}

sub status_of
{
	return sql("SELECT status FROM payment_intents WHERE payment_intent_id = '$_[0]'");
}

#
# What is due, and nothing else
#
sub insert
{
	my ($id, $deadline) = @_;

	insert_intent($node, $id, $receiver->url("/ok?$id"), payment_deadline => $deadline);
	return;
}

insert('due1', q{now() - interval '1 s'});
insert('due2', q{'-infinity'});
insert('later', q{now() + interval '1 day'});
insert('never', 'NULL');
insert('paid', q{now() - interval '1 day'});
set_status($node, 'paid', 'success');
is(expire(), 2, 'those past their deadline expire');
is( sql(q{SELECT string_agg(payment_intent_id || ' ' || status, ', ' ORDER BY payment_intent_id) FROM payment_intents}),
	'due1 expired, due2 expired, later pending, never pending, paid success', 'and no others');
is(expire(), 0, 'once');
foreach my $id ('due1', 'due2')
{
	my @got = $receiver->wait_for_requests(2, path => "/ok?$id");

	is($got[-1]{json}{status}, 'expired', "$id: the callback");
	is($got[-1]{valid}, 1, 'is signed');
}
set_status($node, 'due1', 'success');
is(status_of('due1'), 'success', 'a late payment still counts');
is(expire(), 0, 'and does not expire again');

#
# Someone is paying
#
insert($_, 'now()') foreach 'paying', 'slow', 'forgotten';
my $payer = $node->background_psql('postgres');
$payer->query_safe(q{BEGIN; UPDATE payment_intents SET status = 'success' WHERE payment_intent_id = 'paying'});
my $looker = $node->background_psql('postgres');
$looker->query_safe(q{BEGIN; SELECT FROM payment_intents WHERE payment_intent_id = 'slow' FOR UPDATE});
is(expire(), 1, 'what someone has locked is passed over, without waiting');
is(status_of('forgotten'), 'expired', 'the others expire');
$payer->query_safe('COMMIT');
$looker->query_safe('ROLLBACK');
is(expire(), 1, 'the next time');
is(status_of('slow'), 'expired', 'what was only looked at expires');
is(status_of('paying'), 'success', 'and what was paid is paid');
$_->quit foreach $payer, $looker;

# Two at once share the work.
insert("both$_", 'now()') foreach 1 .. 20;
my $first = $node->background_psql('postgres');
$first->query_safe('BEGIN');
like($first->query_safe(q{SELECT kg_expire_intents('payment_intents')}), qr/^20$/, 'one takes all of them');
is(expire(), 0, 'another takes none, and does not wait');
$first->query_safe('ROLLBACK');
is(expire(), 20, 'after a rollback they are due again');
$first->quit;
wait_until_settled($node);
is( sql(q{SELECT count(*), count(DISTINCT object_id) FROM kgwebhook.delivery_log WHERE event = 'payment_intent.expired'}),
	'24|24', 'each got one callback');

#
# A bounded number in one go
#
sql(q{INSERT INTO payment_intents (payment_intent_id, payment_deadline)
	SELECT 'many' || i, now() - i * interval '1 s' FROM generate_series(1, 10001) i});
is(expire(), 10000, 'ten thousand at once');
is(sql(q{SELECT payment_intent_id FROM payment_intents WHERE status = 'pending' AND payment_deadline < now()}),
	'many1', 'the oldest first');
is(expire(), 1, 'then the rest');

#
# The user's own tables: other names, partitions, an enum
#
sql(q{
	CREATE TYPE state AS ENUM ('pending', 'expired', 'success');
	CREATE TABLE "My orders" (id int, "The state" state, payment_deadline timestamptz, hook text)
		PARTITION BY RANGE (id);
	CREATE TABLE low PARTITION OF "My orders" FOR VALUES FROM (0) TO (10);
	CREATE TABLE high (hook text, payment_deadline timestamptz, id int, "The state" state);
	ALTER TABLE "My orders" ATTACH PARTITION high FOR VALUES FROM (10) TO (20);
	SELECT kg_watch('"My orders"', 'order', 'id', 'The state', 'hook', NULL);
	INSERT INTO "My orders" SELECT i, 'pending', now(), NULL FROM generate_series(0, 19) i;
	ALTER TABLE "My orders" RENAME "The state" TO state});
is(expire('"My orders"'), 20, 'a partitioned table with names of its own');
is(sql(q{SELECT string_agg(DISTINCT state::text, ' ') FROM "My orders"}), 'expired', 'all of it');

#
# All tables, as far as the caller may
#
sql(q{
	CREATE ROLE clerk;
	GRANT SELECT, UPDATE ON payment_intents TO clerk;
	GRANT EXECUTE ON FUNCTION kg_expire_intents(regclass) TO clerk;
	SELECT kg_create_transfers();
	CREATE TABLE broken (id int, status text CHECK (status = 'pending'), payment_deadline timestamptz);
	SELECT kg_watch('broken', 'broken', 'id', 'status', NULL, NULL);
	INSERT INTO broken VALUES (1, 'pending', now());
	INSERT INTO "My orders" VALUES (1, 'pending', now(), NULL)});
insert('all', 'now()');
is(sql('SET ROLE clerk; SELECT kg_expire_intents(NULL)'), 1, 'a role expires what it may update');
is(status_of('all'), 'expired', 'which is this');
insert('all2', 'now()');
my ($ret, $out, $err) = $node->psql('postgres', 'SELECT kg_expire_intents(NULL)');
is($out, 2, 'its owner everything');
like($err, qr/^psql:\S+ WARNING:  intents of table "broken" could not expire\nDETAIL:  new row for relation "broken" violates check constraint/,
	'what can\'t expire is a warning, and keeps nothing from expiring');
sql('DROP TABLE broken');
is($node->psql('postgres', 'SELECT kg_expire_intents(NULL)'), 0, 'a table that is gone is none');

#
# Errors
#
is(error_of(q{SELECT kg_expire_intents('transfers')}),
	qq{ERROR:  42703: column "payment_deadline" of table "transfers" does not exist\n}
	  . qq{HINT:  kg_create_payment_intents() creates a table that has it.}, 'no deadline');
sql(q{CREATE TABLE unwatched (status text, payment_deadline timestamptz)});
is(error_of(q{SELECT kg_expire_intents('unwatched')}),
	qq{ERROR:  55000: table "unwatched" is not watched\n}
	  . qq{DETAIL:  No callback would be sent for intents that expire in this table.\n}
	  . qq{HINT:  SELECT relation FROM kgwebhook.watch shows those that are.}, 'not watched');
sql(q{
	CREATE TABLE by_day (id int, status text, payment_deadline date);
	SELECT kg_watch('by_day', 'x', 'id', 'status', NULL, NULL)});
is(error_of(q{SELECT kg_expire_intents('by_day')}),
	qq{ERROR:  42804: column "payment_deadline" of table "by_day" is not a timestamptz\n}
	  . qq{HINT:  Use ALTER TABLE to change the column's type.}, 'a deadline of another type');
sql('ALTER TABLE by_day ALTER payment_deadline TYPE timestamptz, DROP status');
is(error_of(q{SELECT kg_expire_intents('by_day')}),
	qq{ERROR:  42703: the status column of table "by_day" no longer exists\n}
	  . qq{HINT:  kg_create_payment_intents() creates a table that has it.}, 'no status');
like(error_of(q{SET ROLE clerk; SELECT kg_expire_intents('"My orders"')}),
	qr/ERROR:  42501: permission denied for table My orders/, 'no right to update');

# Objects under our operators' and functions' names in the caller's path are not ours.
sql(q{
	CREATE SCHEMA trap;
	CREATE FUNCTION trap.now() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$;
	CREATE FUNCTION trap.equal(text, text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$;
	CREATE OPERATOR trap.= (FUNCTION = trap.equal, LEFTARG = text, RIGHTARG = text)});
insert('trap', 'now()');
is(sql(q{SET search_path = trap, pg_catalog, public; SELECT kg_expire_intents('payment_intents')}), 1,
	'names are resolved where they should be');

$node->stop;
done_testing();
