#-------------------------------------------------------------------------
#
# test/t/106_nodes_outbox.pl
#	  A source that publishes its events instead of its tables: what arrives, under which
#	  webhook-id, that no status between two others is lost with a replication slot, and
#	  that nothing of it fails a payment.  And the door in PL/pgSQL, which refuses what
#	  kgwebhook's own refuses, with the same errors.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Kgwebhook::Nodes;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $secret = 'whsec_' . 'u' x 32;
my $source = new_source('source');
my $receiver = start_receiver(secret => $secret);
my $url = $receiver->url('/ok');
my $node = new_node('node', 'wal_retrieve_retry_interval' => "'500ms'", 'max_worker_processes' => 20);
my $connection = $source->connstr . ' dbname=postgres';

sub committed { return $source->safe_psql('postgres', $_[0]); }
sub here { return $node->safe_psql('postgres', $_[0]); }

#
# A partitioned table without a primary key, which could not be published itself
#
committed(q{
	CREATE ROLE app LOGIN;
	CREATE ROLE kg_node LOGIN REPLICATION;
	CREATE DOMAIN whole AS int; CREATE DOMAIN positive AS whole CHECK (VALUE > 0);
	CREATE TABLE payments (id text, org_id text, status text, amount numeric, big int8, small positive, fee money, at timestamptz DEFAULT '2026-01-02 03:04:05.5+00',
		data json, url text, day int NOT NULL DEFAULT 1) PARTITION BY LIST (day);
	CREATE TABLE payments_1 PARTITION OF payments FOR VALUES IN (1);
	CREATE TABLE payments_2 PARTITION OF payments FOR VALUES IN (2);
	CREATE FUNCTION a_user() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		UPDATE payments SET status = 'paid' WHERE id = NEW.id;
		RETURN NULL;
	END $$;
	CREATE TRIGGER a_user AFTER INSERT ON payments FOR EACH ROW WHEN (NEW.id = 'auto') EXECUTE FUNCTION a_user();
	CREATE SCHEMA b;
	CREATE TABLE b.payments (LIKE payments);
	GRANT INSERT, UPDATE, SELECT, DELETE ON payments TO app});
my %outbox = (tables => 'payments', outbox => 'on', event => 'shop.payment', id_column => 'id', url_column => 'url');
like((prepare_source($source, %outbox, id_column => 'nothing'))[2], qr/column "nothing" of table (public\.)?payments does not exist/, 'a column that is not there');
like((prepare_source($source, %outbox, payload => '{"timestamp": "at"}'))[2], qr/a payload cannot have the members timestamp and signature/, 'a member that is reserved');
is((prepare_source($source, %outbox))[0], 0, 'the source is prepared');
is((prepare_source($source, %outbox, node_role => 'kg_node'))[0], 0, 'and once more, for a role');
like((prepare_source($source, %outbox, tables => 'b.payments'))[2], qr/table public\.payments writes its events into kgsource\.payments_outbox.*Those of table b\.payments .*ALTER TABLE b\.payments RENAME TO/s,
	'a table of the same name has no outbox of its own');
is(committed(q{SELECT string_agg(tablename, ' ' ORDER BY tablename) FROM pg_publication_tables WHERE pubname = 'kgwebhook'}), 'payments_outbox stream', 'its outbox is published');
committed(qq{INSERT INTO payments (id, status, url) VALUES ('before', 'new', '$url')});
here(qq{
	SELECT kg_set_secret(o, '$secret') FROM unnest('{default,o1}'::text[]) o;
	CREATE SCHEMA kgsource;
	CREATE TABLE kgsource.payments_outbox (seq int8 PRIMARY KEY, webhook_id text NOT NULL, org_id text NOT NULL, object_id text, status text NOT NULL,
		url text, payload jsonb, created_at timestamptz NOT NULL)});
like(sql_error($node, q{SELECT kg_watch('kgsource.payments_outbox', 'shop.payment', 'object_id', 'status', 'url', 'org_id', '{"a": "seq"}', payload_column => 'payload')}),
	qr/22023: payload and payload_column are given both/, 'a payload is made of columns or stands in one');
like(sql_error($node, q{SELECT kg_watch('kgsource.payments_outbox', 'shop.payment', 'object_id', 'status', 'url', 'org_id', payload_column => 'url')}),
	qr/42804: column "url" is not of type jsonb/, 'of type jsonb');
like(sql_error($node, q{SELECT kg_watch('kgsource.payments_outbox', 'shop.payment', 'object_id', 'status', 'url', 'org_id', payload_column => 'payload', webhook_id_column => 'x')}),
	qr/42703: column "x" of table "payments_outbox" does not exist.*webhook_id_column/s, 'of columns that are there');
is(here(q{SELECT source, note FROM kg_watch('kgsource.payments_outbox', 'shop.payment', 'object_id', 'status', 'url', 'org_id',
	payload_column => 'payload', webhook_id_column => 'webhook_id') WHERE source IS NOT NULL}), 'payload|the payload is what this column has', 'kg_watch() says where it stands');
here("SELECT kg_follow('src', '$connection', 'kgsource.payments_outbox', 'n1', announce_since => '2026-01-01')");
wait_for_state($node, 'streaming');

my $requests = 0;
sub arrived
{
	my @got = $receiver->wait_for_requests(++$requests);

	return $got[ $requests - 1 ];
}
is(arrived()->{json}{id}, 'before', 'announce_since covers what was there before');
committed(qq{SET ROLE app; INSERT INTO payments (id, org_id, status, amount, big, small, fee, data, url) VALUES ('p1', 'o1', 'new', 300.0, 9007199254740993, 5, 1.5, '{"b": [1.50], "a": null}', '$url')});
my $got = arrived();
my $stored = committed(q{SELECT webhook_id FROM kgsource.payments_outbox WHERE object_id = 'p1'});
is($got->{headers}{'webhook-id'}, $stored, 'the webhook-id is the outbox\'s');
is($got->{headers}{'webhook-event'}, 'shop.payment.new', 'the event\'s name');
ok($got->{valid}, 'it is signed');
my %json = %{ $got->{json} };
delete @json{qw(timestamp signature occurred_at)};
is_deeply(\%json, { id => 'p1', status => 'new', amount => '300.0', big => '9007199254740993', small => 5, fee => '1.50', at => '2026-01-02T03:04:05.5Z',
		data => { b => [1.5], a => undef }, url => $url, day => 1, type => 'shop.payment.new', event_id => $stored },
	'the payload is that of kg_watch() for such a table');
committed(q{UPDATE payments SET day = 2 WHERE id = 'p1'});
committed(q{UPDATE payments SET status = 'paid' WHERE id = 'p1'; UPDATE payments SET amount = 1 WHERE id = 'p1'});
is(arrived()->{json}{status}, 'paid', 'a row that moves to another partition, and one without a new status, are none');
committed(qq{BEGIN; INSERT INTO payments (id, status, url) VALUES ('undone', 'new', '$url'); ROLLBACK});
committed(qq{INSERT INTO payments (id, status, data, url) VALUES ('odd', 'new', '{"a": "\\u0000"}', '$url')});
wait_for_row($node, q{SELECT EXISTS (SELECT FROM kgwebhook.dead_letter WHERE object_id = 'odd')});
is(here(q{SELECT reason FROM kgwebhook.dead_letter}), 'invalid: the column that has the payload is null', 'what cannot be a payload is invalid, and the payment has committed');
is(committed(q{BEGIN; INSERT INTO payments (id, status) SELECT g::text, 's' FROM generate_series(1, 50) g;
	SELECT bool_and(payload ->> 'occurred_at' ~ '[.]\d{6}Z$') FROM kgsource.payments_outbox; ROLLBACK}), 't', 'a time of ours has six decimals');
committed(qq{INSERT INTO payments (id, status, url) VALUES ('auto', 'new', '$url')});
is(join(' ', map { arrived()->{json}{status} } 1 .. 2), 'new paid', 'a trigger that moves the row on comes after ours');

#
# A row that goes and comes back: whose it is, and what cannot be made JSON
#
committed(q{UPDATE payments SET day = 2 WHERE id = 'odd'; DELETE FROM payments WHERE id = 'odd'});
committed(qq{INSERT INTO payments (id, org_id, status, url) VALUES ('7', 'default', 'new', '$url')});
is(arrived()->{json}{id}, '7', 'an object of one organization');
committed(qq{BEGIN; DELETE FROM payments WHERE id = '7'; INSERT INTO payments (id, org_id, status, url) VALUES ('7', 'o1', 'new', '$url'); COMMIT});
is(arrived()->{json}{id}, '7', 'does not take that of another along');
is(committed(q{SELECT string_agg(org_id, ' ' ORDER BY seq) FROM kgsource.payments_outbox WHERE object_id IN ('7', 'odd')}), 'default default o1', 'and a move is no event');

#
# Columns that are renamed or dropped fail no payment
#
like(($source->psql('postgres', "ALTER TABLE payments DROP COLUMN $_"))[2], qr/other objects depend on .*trigger 0_kgsource_outbox on table payments/s, "column $_ cannot be dropped")
	foreach qw(id status org_id url);
committed(q{ALTER TABLE payments RENAME COLUMN id TO number; ALTER TABLE payments RENAME COLUMN status TO state; ALTER TABLE payments RENAME COLUMN org_id TO org;
	ALTER TABLE payments RENAME COLUMN url TO target});
my ($code, undef, $stderr) = $source->psql('postgres', qq{SET ROLE app; INSERT INTO payments (number, org, state, target) VALUES ('renamed', 'o1', 'new', '$url');
	UPDATE payments SET state = 'paid' WHERE number = 'renamed'; UPDATE payments SET amount = 1, day = 2 WHERE number = 'renamed'});
is($code, 0, 'they commit');
like($stderr, qr/WARNING:  columns of table public\.payments_1 are not what they were.*Run kgwebhook-source\.sql again/s, 'with a warning');
is(committed(q{SELECT string_agg(concat_ws(' ', org_id, status, payload IS NULL), ', ' ORDER BY seq) FROM kgsource.payments_outbox WHERE object_id = 'renamed' AND url IS NOT NULL}),
	'o1 new t, o1 paid t', 'and their events are written, wherever the columns are');
committed(q{ALTER TABLE payments RENAME COLUMN number TO id; ALTER TABLE payments RENAME COLUMN state TO status; ALTER TABLE payments RENAME COLUMN org TO org_id;
	ALTER TABLE payments RENAME COLUMN target TO url});
wait_for_row($node, q{SELECT count(*) = 2 FROM kgwebhook.dead_letter WHERE object_id = 'renamed'}, 'what has no payload');

#
# Nor are events lost in a database that was restored from a dump, where all numbers are others
#
committed(q{CREATE TABLE plain (id text PRIMARY KEY, status text, dropped int, updated_at timestamptz); ALTER TABLE plain DROP COLUMN dropped; GRANT INSERT, UPDATE, SELECT ON plain TO app;
	ALTER TABLE payments ADD COLUMN dropped int; ALTER TABLE payments DROP COLUMN dropped});
is((prepare_source($source, tables => 'plain', publication => 'plain'))[0], 0, 'a table that is published itself');
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';
$source->command_ok([ 'pg_dump', '-f', $dump, '-d', $source->connstr('postgres') ], 'a dump');
committed('CREATE DATABASE restored');
$source->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $source->connstr('restored') ], 'is restored');
sub restored { return $source->safe_psql('restored', $_[0]); }
my $last = 'SELECT object_id, org_id, status, url IS NULL, payload IS NULL FROM kgsource.payments_outbox ORDER BY seq DESC LIMIT 1';
is(restored(qq{SET ROLE app; INSERT INTO payments (id, org_id, status, url) VALUES ('r1', 'o1', 'new', '$url'); RESET ROLE; $last}), 'r1|o1|new|f|f', 'its events are written');
restored(q{ALTER TABLE payments RENAME COLUMN id TO "the ""number"" of it)"; ALTER TABLE payments RENAME COLUMN status TO state; ALTER TABLE payments RENAME COLUMN org_id TO org; ALTER TABLE payments RENAME COLUMN url TO "Target"});
is(restored(qq{SET ROLE app; INSERT INTO payments ("the ""number"" of it)", org, state, "Target") VALUES ('r2', 'o1', 'new', '$url'); RESET ROLE; $last}), 'r2|o1|new|f|t', 'also when columns are renamed there');
is(restored(qq{SET ROLE app; UPDATE payments SET state = 'paid', day = 2 WHERE org = 'o1' AND state = 'new' AND "the ""number"" of it)" = 'r2'; RESET ROLE; $last}), 'r2|o1|paid|f|t', 'and rows move to another partition');
is(restored(q{SET ROLE app; UPDATE payments SET day = 1 WHERE state = 'paid' AND "the ""number"" of it)" = 'r2'; RESET ROLE; SELECT count(*) FROM kgsource.payments_outbox WHERE object_id = 'r2'}), 2, 'which alone is no event');
restored(q{ALTER TABLE plain RENAME COLUMN updated_at TO "Changed at"});
is(restored(q{SET ROLE app; INSERT INTO plain (id, status) VALUES ('a', 'new'); CREATE TEMP TABLE was AS SELECT "Changed at" AS at FROM plain; UPDATE plain SET status = 'paid'; SELECT at < "Changed at" FROM plain, was}),
	't', 'and a row that changes has another version, by an ordinary role, too');

# The function of one table's trigger has the name that another table's will get.
restored(q{CREATE TABLE twin (id text PRIMARY KEY, org_id text, status text, url text, updated_at timestamptz)});
my $trigger = q{pg_trigger t WHERE t.tgrelid = 'payments'::regclass AND t.tgname = '0_kgsource_outbox'};
restored(sprintf 'ALTER FUNCTION %s() RENAME TO enqueue_%s', restored("SELECT tgfoid::regproc FROM $trigger"), restored(q{SELECT 'twin'::regclass::oid}));
is((prepare_source($source, %outbox, tables => 'twin', database => 'restored'))[0], 0, 'the script is run for another table there');
is(restored(qq{INSERT INTO twin (id, org_id, status) VALUES ('t1', 'o1', 'new'); INSERT INTO payments ("the ""number"" of it)", org, state, "Target") VALUES ('r3', 'o1', 'new', '$url'); $last}), 'r3|o1|new|f|t', 'which takes no function from under a trigger');
is(restored(q{SELECT string_agg(object_id, ' ') FROM kgsource.twin_outbox}), 't1', 'each table has its own events');

# A table that is renamed keeps the outbox that nodes follow.
restored('ALTER TABLE twin RENAME TO other');
is((prepare_source($source, %outbox, tables => 'other', database => 'restored'))[0], 0, 'the script is run for a table that was renamed');
is(restored(q{INSERT INTO other (id, org_id, status) VALUES ('t2', 'o1', 'new'); SELECT string_agg(object_id, ' ' ORDER BY seq) FROM kgsource.twin_outbox}), 't1 t2', 'it goes on with the outbox that it had');
committed('DROP DATABASE restored');

#
# Nobody writes events by the trigger of another table
#
my $function = committed(q{SELECT tgfoid::regproc FROM pg_trigger WHERE tgname = '0_kgsource_outbox' AND tgparentid = 0});
my $forged = "CREATE TEMP TABLE forged (id text, org_id text, status text, url text); CREATE TRIGGER t AFTER INSERT ON forged FOR EACH ROW EXECUTE FUNCTION $function();
	INSERT INTO forged (id, org_id, status) VALUES ('forged', 'o1', 'new')";
like(sql_error($source, "SET ROLE kg_node; $forged"), qr/42501: permission denied for function kgsource\.enqueue_/, 'the node\'s role cannot');
like(($source->psql('postgres', $forged))[2], qr/WARNING:  table forged has the trigger of another/, 'nor does the owner by mistake');
is(committed(q{SELECT count(*) FROM kgsource.payments_outbox WHERE object_id = 'forged'}), 0, 'no event is written');
is(committed(q{SELECT string_agg(p.proname, ' ' ORDER BY p.proname) FROM pg_proc p WHERE p.pronamespace = 'kgsource'::regnamespace AND has_function_privilege('kg_node', p.oid, 'EXECUTE')}),
	'beat enroll hand_over leave owner_of release', 'it may call what nodes call');

#
# A lost slot loses no status
#
my $slot = here('SELECT slot FROM kgwebhook.source');
my $subscription = here('SELECT subscription FROM kgwebhook.source');
here("ALTER SUBSCRIPTION $subscription DISABLE");
wait_for_row($source, "SELECT NOT active FROM pg_replication_slots WHERE slot_name = '$slot'");
committed(qq{INSERT INTO payments (id, status, url) VALUES ('lost', 's1', '$url')});
committed(qq{UPDATE payments SET status = 's$_' WHERE id = 'lost'}) foreach 2 .. 4;
committed(q{CREATE INDEX backward ON kgsource.payments_outbox (seq DESC); CLUSTER kgsource.payments_outbox USING backward; DROP INDEX kgsource.backward});
committed("SELECT pg_drop_replication_slot('$slot')");
here("ALTER SUBSCRIPTION $subscription ENABLE");
wait_for_state($node, 'slot lost');
is(here('SELECT count(*) FROM kg_compare()'), 4, 'kg_compare() lists what is missing, event by event');
is(here('SELECT events FROM kg_resync()'), 4, 'kg_resync() takes it over');
is(join(' ', map { arrived()->{json}{status} } 1 .. 4), 's1 s2 s3 s4', 'each status is sent, in order, wherever its row lies');
wait_for_state($node, 'streaming');
is(here('SELECT count(*) FROM kg_compare()'), 0, 'nothing differs any more');
committed(q{UPDATE kgsource.payments_outbox SET created_at = '2099-01-01' WHERE object_id = 'lost'});
wait_for_row($node, q{SELECT count(*) = 4 FROM kgsource.payments_outbox WHERE created_at = '2099-01-01'});
here(q{CREATE INDEX backward ON kgsource.payments_outbox (seq DESC); CLUSTER kgsource.payments_outbox USING backward; DROP INDEX kgsource.backward});
is(here(q{SELECT kg_announce('2099-01-01')}), 4, 'events of one moment are announced');
is(join(' ', map { arrived()->{json}{status} } 1 .. 4), 's1 s2 s3 s4', 'in the order of the outbox');
committed(q{UPDATE kgsource.payments_outbox SET created_at = '2026-01-01' WHERE created_at = '2099-01-01'});
wait_until_settled($node);
is(here('SELECT count(*) FROM kg_reconcile()'), 2, 'and nothing is open but the dead letters');
committed(q{SELECT kgsource.purge_outbox('0')});
wait_for_row($node, q{SELECT NOT EXISTS (SELECT FROM kgsource.payments_outbox)}, 'the node to delete what the source has deleted');
committed(q{UPDATE payments SET status = 'after' WHERE id = 'lost'});
is(arrived()->{json}{status}, 'after', 'and the stream goes on');

#
# Identifiers that no receiver could take for one
#
here(qq{
	CREATE TABLE own (id text, status text, url text, body jsonb, event_id text);
	SELECT count(*) FROM kg_watch('own', 'own', 'id', 'status', 'url', NULL, payload_column => 'body', webhook_id_column => 'event_id');
	INSERT INTO own VALUES ('a', 's', '$url', '{"n": 1}', 'evt_1'), ('b', 's', '$url', '{}', 'evt.1'), ('c', 's', '$url', '[]', 'evt_2'), ('d', 's', '$url', '{"signature": 1}', 'evt_3')});
$got = arrived();
is("$got->{headers}{'webhook-id'} $got->{json}{n}", 'evt_1 1', 'a table that is written here can have payload and webhook-id as well');
wait_for_row($node, q{SELECT count(*) = 3 FROM kgwebhook.dead_letter WHERE kind = 'own'});
is(here(q{SELECT string_agg(object_id || ' ' || reason, E'\n' ORDER BY object_id) FROM kgwebhook.dead_letter WHERE kind = 'own'}),
	qq{b invalid: the webhook-id has other characters than letters, digits, "_" and "-", or more than 255\n}
	  . qq{c invalid: the payload is not an object\n} . q{d invalid: member "signature" is reserved: every attempt gets its own},
	'what cannot be sent is invalid');

#
# The door: the same errors on both sides
#
here(q{SET client_min_messages = warning; SELECT kg_create_payment_intents(), kg_create_transfers(); SELECT kg_unwatch('payment_intents'), kg_unwatch('transfers')});
foreach my $table ('payment_intents', 'transfers')
{
	my $key = $table eq 'transfers' ? 'transfer_id' : 'payment_intent_id';

	committed(qq{CREATE TABLE $table ($key text PRIMARY KEY, status text NOT NULL DEFAULT 'pending', order_data jsonb, callback_url text, updated_at timestamptz NOT NULL DEFAULT now())});
	is((prepare_source($source, tables => $table, publication => $table, door => $table eq 'transfers' ? 'transfer' : 'payment_intent'))[0], 0, "$table gets its door");
	committed(qq{GRANT INSERT ON $table TO app; SET ROLE app; INSERT INTO $table ($key, order_data, callback_url) VALUES ('app', '{"n": 1}', 'https://m.example/')});
}
my $refused = q{
	CREATE FUNCTION pg_temp.refused(command text) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE code text; message text; detail text; hint text;
	BEGIN
		EXECUTE command;
		RETURN 'accepted';
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
		RETURN concat_ws(' | ', code, message, detail, hint);
	END $$;};
my @url = ('https://m.example', 'https://M.Example:8443/x?y#z', 'https://[2606:4700::1111]/', 'https://[2606:4700::1111]:9443/', 'https://1.1.1.1:443/', 'https://m.example/@x',
	'', ' https://m.example/', 'https://m.example/ ', 'm.example', 'HTTPS://m.example/', 'javascript:alert(1)', 'https:///x', 'https://user:pw@m.example/',
	'https://m.example#@evil.example/', 'https://m.example\@evil.example/', 'https://m.example:0/', 'https://m.example:65536/', 'https://m.example:', 'https://m.example:44a/',
	'https://m..example/', 'https://.m.example/', 'https://m.example./', 'https://[::1%25lo]/', 'https://[fe80::1/', 'https://[fe80::1]x/', 'https://[1.2.3.4]/',
	"https://m\xc3\xbcnchen.example/", "https://m.example/\xc3\xbc", "https://m.example/a\r\nX: 1", 'https://m.example/<x>', 'https://%6d.example/',
	'https://' . 'a' x 64 . '.example/', 'https://' . 'a.' x 130 . 'example/', 'https://m.example/' . 'x' x 2031);
my @data = ('{}', 'null', '5', '"text"', '{"a": {"b": [1.50, -0, 1e23, 9007199254740992]}}', '{"n": "12345678901234567890"}', '{"id": 9007199254740993}',
	'{"id": [{"x": 12345678901234567890}]}', '1e400', '{"eth": 1.234567890123456789}', '[' x 511 . ']' x 511, '[' x 512 . ']' x 512, '["' . 'x' x 524284 . '"]', '["' . 'x' x 524285 . '"]');
my @command;
push @command, map { "INSERT INTO payment_intents (payment_intent_id, callback_url) VALUES (gen_random_uuid(), '$_')" } @url;
push @command, map { "INSERT INTO payment_intents (payment_intent_id, order_data) VALUES (gen_random_uuid(), '$_')" } @data;
foreach my $machine ([ 'payment_intent', qw(pending success expired refunded cancelled) ], [ 'transfer', qw(pending processing success failed cancelled) ])
{
	my ($kind, @status) = @$machine;

	foreach my $to (@status, 'odd', '')
	{
		push @command, "INSERT INTO ${kind}s (${kind}_id, status) VALUES (gen_random_uuid(), '$to')";
		push @command, "UPDATE ${kind}s SET status = '$to' WHERE ${kind}_id = '$_'" foreach @status;
	}
}
my $rows = '';
foreach my $kind ('payment_intent', 'transfer')
{
	my @status = $kind eq 'transfer' ? qw(processing success failed cancelled) : qw(success expired cancelled);

	$rows .= "INSERT INTO ${kind}s (${kind}_id) SELECT unnest('{pending,processing,success,failed,expired,refunded,cancelled}'::text[]);";
	$rows .= "UPDATE ${kind}s SET status = '$_' WHERE ${kind}_id = '$_';" foreach @status;
	$rows .= "UPDATE ${kind}s SET status = 'success' WHERE ${kind}_id = 'refunded'; UPDATE ${kind}s SET status = 'refunded' WHERE ${kind}_id = 'refunded';" if $kind eq 'payment_intent';
}
my %said;
my $script = $refused . $rows . join '', map { 'BEGIN; SELECT pg_temp.refused($c$' . $_ . '$c$); ROLLBACK;' . "\n" } @command;
$said{here} = here("SET client_encoding = 'UTF8';" . $script);
$said{there} = committed("SET client_encoding = 'UTF8';" . $script);
my @here = split /\n/, $said{here};
my @there = split /\n/, $said{there};
is(scalar @here, scalar @there, 'as many answers');
is($there[$_], $here[$_], 'the door of the source: ' . substr($command[$_] // '', 0, 120)) foreach grep { $there[$_] ne $here[$_] } 0 .. $#here;
cmp_ok(scalar(grep { !/^accepted/ } @there), '>', 60, 'most are refused, all with the same code, message, detail and hint');
is((prepare_source($source, tables => 'transfers', publication => 'transfers', door => 'off'))[0], 0, 'the door is taken away');
committed(q{INSERT INTO transfers (transfer_id, status) VALUES ('x', 'odd')});
like((prepare_source($source, tables => 'transfers', publication => 'transfers', door => 'x'))[2], qr/there is no door "x"/, 'there are two');

$node->stop;
$source->stop;
done_testing();
