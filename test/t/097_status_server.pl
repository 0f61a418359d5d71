#-------------------------------------------------------------------------
#
# test/t/097_status_server.pl
#	  Faults on our side: kg_status() leads with them, kg_explain() says of a delivery
#	  that it waits for that, and what they say to do is typed, and does away with it.
#
# One fault at a time, each from a state in which nothing is wrong to the next.  The
# delivery page has the same headline.  085_status.pl has what goes wrong at receivers.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use File::Copy qw(copy);
use Kgwebhook;
use Kgwebhook::Certificates;
use Kgwebhook::OnCall;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = init_node(
	'main',
	'autovacuum' => 'off',
	'kgwebhook.retry_schedule' => "'" . join(',', ('200ms') x 3, ('1s') x 10, ('3s') x 50, '1h') . "'",
	'kgwebhook.request_timeout' => "'2s'");
my $full = PostgreSQL::Test::Utils::tempdir('disk') . '/full';
my $full_disk = build_library('preload/full_disk');
my $on_call = Kgwebhook::OnCall->new($node);

sub start_server
{
	local $ENV{LD_PRELOAD} = $full_disk;
	local $ENV{KGW_FULL_DISK} = $full;

	$node->start;
	return;
}

start_server();
$node->safe_psql('postgres', 'SET client_min_messages = warning; CREATE EXTENSION kgwebhook CASCADE');
my $secret = make_intents_table($node);
my $receiver = start_receiver(secret => $secret);

sub sql
{
	return $node->safe_psql('postgres', shift);
}

# A critical finding leads, in psql and on the page; kg_explain says of an object that
# it waits for that, and what to do.  Returns the finding.
sub leads
{
	my ($what, $pattern, $object) = @_;
	my $row = $on_call->finds($pattern, qr/critical/);
	my ($cause) = ucfirst($row->{finding}) =~ /^([^,]*)/;

	like(($on_call->status)[0]{finding}, $pattern, "$what: is said first");
	like($on_call->headline, $pattern, "$what: is the page's headline");
	my $told = $on_call->explains($object,
		'the cause' => qr/^\Q$cause\E.*\. This is sent once that is over\.$/m,
		'the remedy' => qr/^What to do: \Q$row->{remedy}\E$/m);
	is(scalar(() = $told =~ /^What to do: /mg), 1, "$what: and no other remedy");
	return $row;
}

# The same, and its remedy, which is nothing but statements, is typed as it stands.
sub remedied
{
	my ($what, $pattern, $object) = @_;
	my $row = leads($what, $pattern, $object);

	sql($row->{remedy});
	$on_call->finds_all_well("$what: its remedy works");
	wait_until_settled($node);
	return;
}

#
# Nothing is wrong
#
$node->poll_query_until('postgres', q{SELECT worker_state = 'idle' FROM kgwebhook.stats}) or die 'no worker';
my ($ok, @more) = $on_call->status;
is_deeply([ $ok->{severity}, $ok->{finding}, $ok->{detail}, scalar @more ], [ 'ok', 'Deliveries flow', 'Nothing waits.', 0 ], 'one row: ok');
is($on_call->headline, 'Deliveries flow: nothing waits', 'and so says the page');

#
# Everything is stopped by an operator
#
sql('SELECT kg_pause()');
insert_intent($node, 'paused', $receiver->url);
remedied('all paused', qr/^Nothing is delivered: everything is paused since/, 'paused');

sql('ALTER SYSTEM SET kgwebhook.enabled = off; SELECT pg_reload_conf()');
$node->poll_query_until('postgres', q{SELECT worker_state = 'disabled' FROM kgwebhook.stats}) or die 'not disabled';
insert_intent($node, 'disabled', $receiver->url);
remedied('disabled', qr/^Nothing is delivered: kgwebhook\.enabled is off$/, 'disabled');

sql("SELECT kg_pause('@{[ $receiver->destination ]}')");
insert_intent($node, 'paused too', $receiver->url);
my $paused = $on_call->finds(qr/^\Q@{[ $receiver->destination ]}\E is paused since .*, 1 delivery waits$/, qr/warning/);
like($on_call->headline, qr/^Deliveries flow, but http/, 'one destination is paused, and the others flow');
$on_call->explains('paused too',
	'the cause' => qr/^Its destination \Q@{[ $receiver->destination ]}\E is paused since [0-9-]{10} [0-9:+]+; it is sent once that is resumed\.$/m,
	'the remedy' => qr/^What to do: \Q$paused->{remedy}\E$/m);
sql($paused->{remedy});
$on_call->finds_all_well('and is not any more');

#
# A copy, which takes its original's place
#
sql('CREATE DATABASE original');
$node->safe_psql('original', 'SET client_min_messages = warning; CREATE EXTENSION kgwebhook CASCADE');
my $made = make_intents_table_in('original');
$node->safe_psql('original', qq{
	SELECT kg_pause(); INSERT INTO payment_intents (payment_intent_id, callback_url) VALUES ('copied', '@{[ $receiver->url ]}')});
wait_for_worker($node, 'original');
sql('CREATE DATABASE copy TEMPLATE original');
$node->safe_psql('original', 'DELETE FROM kgwebhook.queue; SELECT kg_resume()');
$node->safe_psql('copy', 'SELECT kg_resume()');
$receiver->set_secret([ $secret, $made ]);
my $on_copy = Kgwebhook::OnCall->new($node, 'copy');
my $copied = $on_copy->finds(qr/^Nothing is delivered: this database is a copy of another$/, qr/critical/);
is($copied->{remedy}, 'SELECT kg_adopt();', 'a copy: what to do');
$on_copy->explains('copied',
	'the cause' => qr/^Nothing is delivered: this database is a copy of another\. This is sent once that is over\.$/m,
	'when not' => qr/^Adopt it only if it takes the original's place: two databases that send the same are worse\.$/m,
	'the remedy' => qr/^What to do: SELECT kg_adopt\(\);$/m);
$node->safe_psql('copy', $copied->{remedy});
$on_copy->finds_all_well('a copy: its remedy works');
$node->poll_query_until('copy', 'SELECT NOT EXISTS (SELECT FROM kgwebhook.queue)') or die 'not delivered';

sub make_intents_table_in
{
	return $node->safe_psql(shift, q{SELECT kg_create_payment_intents() \gset
		SELECT kg_create_secret()});
}

#
# A lock
#
my $operator = $node->background_psql('postgres', on_error_die => 1);
insert_intent($node, 'locked', $receiver->url('/status/500'));
my $locked = sql(q{SELECT max(delivery_id) FROM kgwebhook.queue});
$operator->query_safe('BEGIN; LOCK TABLE kgwebhook.queue IN ACCESS EXCLUSIVE MODE');
my $lock = $on_call->finds(qr/^Nothing is delivered: session \d+ holds a lock on kgwebhook\.queue since/, qr/critical/);
like($lock->{detail}, qr/Its last statement was: LOCK TABLE kgwebhook\.queue IN ACCESS EXCLUSIVE MODE/, 'a lock: the statement');
like(sql("SELECT kg_explain($locked)"),
	qr/^Delivery $locked cannot be looked up: a table of the schema kgwebhook is locked\.\nNothing is delivered: session \d+ holds a lock on kgwebhook\.queue since [0-9:]+\. This is sent once that is over\.\nWhat to do: \Q$lock->{remedy}\E$/,
	'a lock: kg_explain does not wait for it');
like(sql(q{SELECT * FROM kg_explain('locked')}), qr/^Deliveries cannot be looked up: .*\nNothing is delivered: session \d+ holds a lock/, 'nor does it for an object');
like($on_call->headline, qr/^Nothing is delivered: session \d+ holds a lock on kgwebhook\.queue since/, 'nor does the page');
sql($lock->{remedy});
eval { $operator->quit };

# One that waits for a lock keeps all behind it waiting, and a transaction need have no session.
my $reader = $node->background_psql('postgres', on_error_die => 1);
my $waiter = $node->background_psql('postgres');
$reader->query_safe('BEGIN; SELECT count(*) FROM kgwebhook.queue');
$waiter->query_until(qr/^asked/m, "\\echo asked\nBEGIN; LOCK TABLE kgwebhook.queue IN ACCESS EXCLUSIVE MODE;\n");
my $behind = $on_call->finds(qr/^Nothing is delivered: session \d+ waits for a lock on kgwebhook\.queue since [0-9:]+, and others wait behind it$/, qr/critical/);
sql($behind->{remedy});
$reader->query_safe('COMMIT');
$reader->quit;
eval { $waiter->quit };
sql(q{BEGIN; LOCK TABLE kgwebhook.queue IN ACCESS EXCLUSIVE MODE; PREPARE TRANSACTION 'Bob''s'});
my $prepared = $on_call->finds(qr/^Nothing is delivered: prepared transaction "Bob's" holds a lock on kgwebhook\.queue since [0-9:]+$/, qr/critical/);
is($prepared->{remedy}, q{Ask the role that prepared it: COMMIT PREPARED 'Bob''s'; or ROLLBACK PREPARED 'Bob''s';}, 'a prepared lock: what to do');
sql(q{ROLLBACK PREPARED 'Bob''s';});
sql(q{UPDATE kgwebhook.queue SET url = replace(url, '/status/500', '/ok')});
wait_until_settled($node);
$on_call->finds_all_well('a lock: its remedy works');

#
# Requests that cannot leave this server
#
reload($node, 'kgwebhook.source_address' => "'198.51.100.7'");
insert_intent($node, 'sourceless', $receiver->url);
leads('no source', qr/^Nothing is delivered: kgwebhook\.source_address is not an address of this server$/, 'sourceless');
reload($node, 'kgwebhook.source_address' => "''", 'kgwebhook.proxy' => "'http://127.0.0.1:1'");
insert_intent($node, "proxyless$_", $receiver->url =~ s/127\.0\.0\.1/127.0.0.$_/r) foreach 1 .. 3;
leads('no proxy', qr/^Nothing is delivered: no connection to kgwebhook\.proxy could be made$/, 'proxyless1');
sql(q{UPDATE kgwebhook.queue SET url = replace(replace(url, '127.0.0.2', '127.0.0.1'), '127.0.0.3', '127.0.0.1'),
	destination = replace(replace(destination, '127.0.0.2', '127.0.0.1'), '127.0.0.3', '127.0.0.1')});
reload($node, 'kgwebhook.proxy' => "''");
$on_call->finds_all_well('once they can, they do');
wait_until_settled($node);

#
# A full disk
#
append_to_file($full, sql(q{
	SELECT pg_relation_filepath(oid) FROM pg_class
	 WHERE relkind IN ('r', 'i', 't') AND pg_relation_filepath(oid) IS NOT NULL
	   AND (relname LIKE 'delivery_log%' OR relname LIKE 'pg_toast_%'
			AND oid IN (SELECT reltoastrelid FROM pg_class WHERE relname LIKE 'delivery_log%'))}) . "\n");
sql(qq{
	INSERT INTO payment_intents (payment_intent_id, callback_url, order_data)
	SELECT 'full' || i, '@{[ $receiver->url ]}', jsonb_build_object('note', repeat('x', 500))
	  FROM generate_series(1, 100) i});
my $object = 'full100';
my $disk = $on_call->finds(qr/^Nothing can be written down: the disk is full$/, qr/critical/);
like($disk->{detail}, qr/^Since .*, \d+ errors; the last at .*No space left on device; HINT: Check free disk space/, 'with the hint');
like($disk->{remedy}, qr/^Free room on the disk of /, 'a full disk: the remedy');
like(sql('SELECT last_error FROM kgwebhook.stats'), qr/No space left on device; HINT: Check free disk space/, 'last_error has it, too');
$on_call->explains(sql('SELECT max(object_id) FROM kgwebhook.queue'),
	'the cause' => qr/^Nothing can be written down: the disk is full\. This is sent once that is over\.$/m,
	'what the log lacks' => qr/^Attempts that were made since then are not in the log yet\.$/m,
	'the remedy' => qr/^What to do: Free room on the disk of /m);
unlink $full or die "could not remove $full: $!";
$on_call->finds_all_well('a full disk: with room again, all is right');
wait_until_settled($node);

#
# No secret
#
insert_intent($node, 'secretless', $receiver->url, org_id => "'acme'", fiat_amount => "'12.50'", fiat_currency => "'USD'");
my $secretless = $on_call->finds(qr/^organization acme has no secret, 1 delivery waits since [0-9:]+, 12\.50 USD$/, qr/warning/);
is($secretless->{remedy}, q{SELECT kg_create_secret('acme');}, 'no secret: what to do');
$on_call->explains('secretless',
	'the cause' => qr/^It waits for a signing secret of organization acme\. It is sent as soon as/m,
	'the remedy' => qr/^What to do: SELECT kg_create_secret\('acme'\);$/m);
sql($secretless->{remedy});
$on_call->finds_all_well('no secret: its remedy works');

#
# A payload that cannot be sent, and a URL that cannot be called
#
sql(q{CREATE TABLE odd (id text, status text, amount jsonb, url text)});
sql(q{SELECT kg_watch('odd', 'odd', 'id', 'status', 'url', NULL)});
sql(qq{INSERT INTO odd VALUES ('poison', 'new', '9007199254740993', '@{[ $receiver->url ]}')});
my $poison = $on_call->finds(qr/^1 delivery was given up: invalid: /, qr/warning/);
like($poison->{detail}, qr/^It is odd poison of organization default, to http/, 'poison: which');
$on_call->explains('poison',
	'the cause' => qr/^It was given up at [0-9-]{10} [0-9:+]+: invalid: /m,
	'what is next' => qr/^Nothing more happens automatically\.$/m,
	'the remedy' => qr/^What to do: \Q$poison->{remedy}\E$/m);
like($poison->{remedy}, qr/^SELECT kg_amend\(\d+, payload \|\| '\{"amount": "value"\}'\) FROM kgwebhook\.dead_letter WHERE delivery_id = \d+; with what is right, or leave it\.$/, 'poison: what to do');
$on_call->types($poison->{remedy} =~ s/"value"/"9007199254740993"/r);
$on_call->finds_all_well('poison: its remedy works');

sql(q{INSERT INTO odd VALUES ('uncallable', 'new', '1', 'ftp://shop.example/hook')});
my $uncallable = $on_call->finds(qr/^1 delivery was given up: invalid: the URL cannot be called: /, qr/warning/);
$on_call->explains('uncallable', 'the remedy' => qr/^What to do: \Q$uncallable->{remedy}\E$/m);
my $right = $receiver->url;
$on_call->types($uncallable->{remedy} =~ s!https://host/path!$right!r);
$on_call->finds_all_well('a URL that cannot be called: its remedy works');

#
# A key file that is another one
#
my $keys = PostgreSQL::Test::Utils::tempdir('keys') . '/key';
append_to_file($keys, 'the key that all secrets are encrypted with, and more');
chmod 0600, $keys;
copy($keys, "$keys.kept") or die $!;
reload($node, 'kgwebhook.key_file' => "'$keys'");
sql('SELECT kg_encrypt_secrets()');
unlink $keys;
append_to_file($keys, 'another key, which none of them is encrypted with at all');
chmod 0600, $keys;
$node->stop;
start_server();
insert_intent($node, 'keyless', $receiver->url);
# each look at the key is an error, and no sign that the worker fails
reload($node) foreach 1 .. 4;
my $key = $on_call->finds(qr/^Nothing can be signed: no secret can be decrypted, 1 delivery waits$/, qr/critical/);
is($key->{remedy}, "Restore $keys, then SELECT pg_reload_conf();", 'a wrong key: what to do');
like($on_call->headline, qr/^Nothing can be signed: no secret can be decrypted/, 'a wrong key: the page');
unlike(join("\n", map { $_->{finding} } $on_call->status), qr/fails again and again/, 'a wrong key: and the worker does its work');
$on_call->explains('keyless',
	'the cause' => qr/^It waits for the key to decrypt the signing secret of organization default, which is there\./m,
	'the remedy' => qr/^What to do: \Q$key->{remedy}\E$/m);
copy("$keys.kept", $keys) or die $!;
$on_call->types($key->{remedy});
$on_call->finds_all_well('a wrong key: its remedy works');
wait_until_settled($node);

# What else is kept encrypted: a private key, and another organization's header
sql(q{SELECT kg_create_signing_key(o) FROM unnest(ARRAY['default', 'acme']) o});
my $foreign = sql(q{SELECT kg_subscribe('acme', 'https://acme.example/', '{endpoint.*}')});
sql("SELECT kg_set_headers($foreign, bearer_token => 'token')");
is(sql(q{SELECT bool_and(encrypted) FROM (SELECT encrypted FROM kgwebhook.signing_key UNION ALL SELECT encrypted FROM kgwebhook.request_header) e}), 't', 'keys and headers are encrypted');
my $setup = q{SELECT ok, detail FROM kg_check_setup() WHERE item = 'key file'};
like(sql($setup), qr/^t\|/, 'kg_check_setup() has nothing to say of the key file');
sql(q{
	CREATE TABLE kept AS SELECT org_id, private_key FROM kgwebhook.signing_key;
	UPDATE kgwebhook.signing_key g SET private_key = k.private_key FROM kept k WHERE g.org_id = 'default' AND k.org_id = 'acme';
	UPDATE kgwebhook.request_header SET lines = (SELECT private_key FROM kept WHERE org_id = 'default')});
insert_intent($node, 'unsigned', $receiver->url);
my $unsigned = $on_call->finds(qr/^the signing key of organization default cannot be decrypted, 1 delivery waits since [0-9:]+, 300 USD$/, qr/warning/);
is($unsigned->{remedy}, $key->{remedy}, 'a key of a key: what to do');
$on_call->explains('unsigned',
	'the cause' => qr/^It waits for the key to decrypt the signing key of organization default, which is there\./m,
	'the remedy' => qr/^What to do: \Q$key->{remedy}\E$/m);
is(sql($setup), "f|Cannot be decrypted: the headers (Authorization) of subscription $foreign of organization acme, and something of 1 other.", 'kg_check_setup() sees headers and keys');
sql(q{
	UPDATE kgwebhook.signing_key g SET private_key = k.private_key FROM kept k WHERE k.org_id = g.org_id;
	DELETE FROM kgwebhook.request_header});
$on_call->types($unsigned->{remedy});
$on_call->finds_all_well('a key of a key: its remedy works');
wait_until_settled($node);

# What is one subscription's own, encrypted with a key that is gone: that one waits, and no other
my $certificates = Kgwebhook::Certificates->new;
$certificates->make('client');
my ($headed, $certified, $bare) = map { sql(qq{SELECT kg_subscribe('default', '@{[ $receiver->url("/ok/$_") ]}')}) } qw(headed certified bare);
append_to_file("$keys.new", "the key of these two things, and of nothing else\n" . slurp_file("$keys.kept"));
chmod 0600, "$keys.new";
copy("$keys.new", $keys) or die $!;
sql(qq{SELECT kg_set_headers($headed, '{"X-Shop": "7"}', bearer_token => 'first')});
sql("SELECT kg_set_client_certificate('default', '@{[ slurp_file($certificates->file('client.crt')) ]}', '@{[ slurp_file($certificates->file('client.key')) ]}', $certified)");
copy("$keys.kept", $keys) or die $!;
my $log_end = -s $node->logfile;
reload($node);
insert_intent($node, 'own things', $receiver->url('/ok/own'));
wait_for_log_rows($node, 4, q{object_id = 'own things'});
is(sql(q{SELECT string_agg(concat_ws(': ', coalesce(subscription_id::text, 'own'), outcome, error), '; ' ORDER BY subscription_id) FROM kgwebhook.delivery_log WHERE object_id = 'own things'}),
	"$headed: invalid: the subscription's headers cannot be decrypted at present; "
	  . "$certified: invalid: the client certificate cannot be decrypted at present; $bare: acknowledged; own: acknowledged",
	'an own thing of a subscription: the others go on');
my %locked = (
	$headed => ["headers (X-Shop, Authorization) of subscription $headed of organization default", 'kg_set_headers',
		"It waits for the headers of subscription $headed, which cannot be decrypted at present.\nWhat to do: set them again with kg_set_headers(), or ask the operator."],
	$certified => ["client certificate of subscription $certified of organization default", 'kg_set_client_certificate',
		'It waits for a client certificate, which cannot be decrypted at present: ask the operator.']);
sql(q{CREATE ROLE merchant; SELECT kg_grant_org('merchant', 'default')});
foreach my $id ($headed, $certified)
{
	my ($what, $function, $to_merchant) = @{ $locked{$id} };
	my $locked = $on_call->finds(qr/^the \Q$what\E cannot be decrypted, 1 delivery waits since [0-9:]+, 300 USD$/, qr/warning/);

	is($locked->{remedy}, "$key->{remedy}  Or set them again with $function().", "$what: what to do");
	like(sql("SELECT kg_explain(delivery_id) FROM kgwebhook.queue WHERE subscription_id = $id"),
		qr/^It waits for the key to decrypt the \Q$what\E, which is there\. .*, or what it waits for is set again; .*\nWhat to do: \Q$locked->{remedy}\E$/m,
		"$what: kg_explain says the same");
	my $delivery = sql("SELECT delivery_id FROM kgwebhook.queue WHERE subscription_id = $id");
	like(sql("SET ROLE merchant; SELECT kg_explain($delivery)"), qr/^\Q$to_merchant\E$/m, "$what: what the merchant is told");
	(my $logged = $what) =~ s/organization default/organization "default"/;
	$node->wait_for_log(qr/LOG:  kgwebhook: the \Q$logged\E cannot be decrypted/, $log_end);
	like(sql_error($node, "SELECT kg_replay('default', '@{[ $receiver->url ]}', now() - interval '1 hour', subscription_id => $id)"),
		qr/F0000: the \Q$logged\E cannot be decrypted\n.*HINT: .* again with $function\(\)\./s, "$what: and so does a request of one's own");
}
sql("SELECT kg_set_headers($headed, bearer_token => 'second')");
wait_until_settled($node, "subscription_id = $headed");
is(($receiver->wait_for_requests(1, path => '/ok/headed'))[-1]{headers}{authorization}, 'Bearer second', 'headers that are set again let what waits go');
is(sql('SELECT string_agg(subscription_id::text, $$ $$) FROM kgwebhook.queue'), $certified, 'and nothing else');
copy("$keys.new", $keys) or die $!;
$on_call->types($key->{remedy});
wait_until_settled($node);
$on_call->finds_all_well('an own thing of a subscription: its remedy works');
sql("SELECT kg_unsubscribe(s) FROM unnest(ARRAY[$headed, $certified, $bare]) s");

#
# A worker that ends by an error again and again
#
insert_intent($node, 'crashing', $receiver->url('/status/500'));
wait_for_log_rows($node, 1, q{object_id = 'crashing'});
sql('ALTER TABLE kgwebhook.queue RENAME COLUMN problem TO trouble');
sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'kgwebhook worker' AND datname = 'postgres'});
my $crash = $on_call->finds(qr/^Nothing is delivered: the worker fails again and again$/, qr/critical/);
like($crash->{detail}, qr/column "problem" does not exist/, 'a worker that ends again and again: why');
like($on_call->headline, qr/^Nothing is delivered: the worker fails again and again/, 'and so says the page');
$on_call->explains('crashing',
	'the cause' => qr/^Nothing is delivered: the worker fails again and again\. This is sent once that is over\.$/m,
	'the remedy' => qr/^What to do: \Q$crash->{remedy}\E$/m);
sql('ALTER TABLE kgwebhook.queue RENAME COLUMN trouble TO problem');
sql(q{UPDATE kgwebhook.queue SET url = replace(url, '/status/500', '/ok')});
$on_call->finds_all_well('a worker that ends again and again: it goes on by itself');

#
# A backlog that is worked off is no fault, however long it is
#
$receiver->hold('drain');
sql(qq{INSERT INTO payment_intents (payment_intent_id, callback_url)
	SELECT 'drain' || i, '@{[ $receiver->url('/while/drain/ok') ]}' FROM generate_series(1, 3000) i});
my @drain = grep { $_->{finding} !~ /^a worker had an error/ } $on_call->status;
is(join('; ', map { $_->{finding} =~ s/^Deliveries flow$//r } @drain), '', 'a backlog that is worked off is no finding');
$on_call->explains('drain2500', 'what it waits for' => qr/^It waits for its turn: \d+ requests? (?:is|are) in flight to \S+, and [0-9,]+ deliveries to its URL go before it\.$/m);
$receiver->release('drain');
sql(q{UPDATE kgwebhook.queue SET next_attempt_at = now() - interval '1 hour', enqueued_at = now() - interval '1 hour'
	WHERE object_id LIKE 'drain%' AND delivery_id > (SELECT min(delivery_id) + 1000 FROM kgwebhook.queue)});
unlike(join("\n", map { $_->{finding} } $on_call->status), qr/late/, 'nor is it late while others of its destination go') foreach 1 .. 5;
wait_until_settled($node);
$on_call->finds_all_well('and then nothing waits');

#
# A worker that hangs
#
sql(q{SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE backend_type = 'kgwebhook worker' AND datname = 'postgres'});
$node->poll_query_until('postgres', q{SELECT worker_state = 'idle' FROM kgwebhook.stats}) or die 'no worker';
my ($pid) = worker_pids($node, 'postgres');
kill 'STOP', $pid;
# a destination that has not just acknowledged something
insert_intent($node, 'stuck', $receiver->url =~ s/127\.0\.0\.1/localhost/r);
sql(q{UPDATE kgwebhook.queue SET next_attempt_at = now() - interval '11 min'});
is( sql(qq{SELECT string_agg(finding, '; ') FROM kg_status(), pg_stat_activity
	WHERE pid = $pid AND clock_timestamp() - backend_start < '4 s' AND finding ~ 'late'}),
	'', 'it is not said of a worker that has just started, however old what waits is');
my $late = $on_call->finds(qr/1 delivery is late since/);
$on_call->explains('stuck',
	'the cause' => qr/^Its time came at [0-9-]{10} [0-9:+]+, nothing holds it, and it is not sent: a worker may hang\.$/m,
	'the remedy' => qr/^What to do: \Q$late->{remedy}\E$/m);
kill 'CONT', $pid;
sql($late->{remedy});
$on_call->finds_all_well('late: its remedy works');

#
# Not preloaded
#
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->stop;
start_server();
insert_intent($node, 'unloaded', $receiver->url);
my $preload = leads('not preloaded', qr/^Nothing is delivered: the server does not preload kgwebhook$/, 'unloaded');
my ($statement) = $preload->{remedy} =~ /^(ALTER SYSTEM [^;]*;) then restart the server$/;
is($statement, q{ALTER SYSTEM SET shared_preload_libraries = 'kgwebhook';}, 'not preloaded: what to do');
sql($statement);
$node->stop;
start_server();
$on_call->finds_all_well('not preloaded: its remedy works');
wait_until_settled($node);
$on_call->has_a_test('On this side', $on_copy);

$node->stop;
$receiver->stop;
done_testing();
