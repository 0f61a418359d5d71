#-------------------------------------------------------------------------
#
# test/t/051_key_file.pl
#	  Secrets that are encrypted at rest: what becomes of those that there are,
#	  and of deliveries while the key can't be had.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', 'log_statement' => 'none');
my $receiver = start_receiver();
my $dir = PostgreSQL::Test::Utils::tempdir('keys');
my $file = "$dir/key";
my $first_key = 'the first key, of at least 32 characters';
my $second_key = 'the second key, which has as many of them';
my %secret;

sub write_key
{
	my ($path, $text, $mode) = @_;

	unlink $path;
	append_to_file($path, $text);
	chmod defined $mode ? $mode : 0600, $path or die "$!";
	return;
}

sub set_key_file
{
	my ($path) = @_;

	reload($node, 'kgwebhook.key_file' => "'$path'");
	return;
}

sub insert_of
{
	my ($org, $id) = @_;

	insert_intent($node, $id, $receiver->url, org_id => "'$org'");
	return;
}

# An event of the organization arrives, signed with its secret.
sub delivers
{
	my ($org, $id, $what) = @_;

	$receiver->set_secret($secret{$org});
	insert_of($org, $id);
	is(request_of($id)->{valid}, 1, $what);
	return;
}

sub request_of
{
	my ($id) = @_;
	my ($request) =
	  $receiver->wait_for_requests(1, if => sub { $_[0]{json}{payment_intent_id} eq $id });

	return $request;
}

sub create_secret
{
	my ($org) = @_;

	return $secret{$org} = $node->safe_psql('postgres', "SELECT kg_create_secret('$org')");
}

# What a statement is refused with.
sub refusal_of
{
	my ($statement) = @_;
	my (undef, undef, $error) =
	  $node->psql('postgres', "\\set VERBOSITY verbose\n$statement");

	return $error;
}

sub in_the_clear
{
	return $node->safe_psql('postgres',
		'SELECT string_agg(org_id, \',\' ORDER BY org_id) FROM kgwebhook.secret WHERE NOT encrypted');
}

#
# From clear to encrypted
#
$node->safe_psql('postgres', 'SELECT kg_create_payment_intents()');
create_secret('one');
$secret{rotating} = [ create_secret('rotating'),
	$node->safe_psql('postgres', q{SELECT kg_rotate_secret('rotating')}) ];
delivers('one', 'clear', 'without a key file');
is(in_the_clear(), 'one,rotating', 'secrets are kept in the clear');
$node->safe_psql('postgres', 'SELECT kg_create_signing_key(o) FROM unnest(ARRAY[\'keyed\', \'held\']) o');
my $holder = $node->background_psql('postgres', on_error_die => 1);
$holder->query_safe(q{BEGIN; SELECT org_id FROM kgwebhook.signing_key WHERE org_id = 'held' FOR UPDATE});

write_key($file, "# made for this test\n\n$first_key\n");
set_key_file($file);
$node->poll_query_until('postgres',
	'SELECT bool_and(encrypted) FROM kgwebhook.secret')
  or die 'secrets are not encrypted';
pass('once a key file is set, the worker encrypts what there is');
$node->wait_for_log(qr/LOG:  kgwebhook encrypted 3 secrets, private keys and headers/);
is($node->safe_psql('postgres', q{SELECT ok, detail, remedy FROM kg_check_setup() WHERE item = 'key file'}),
	'f|In the clear: 1 of the secrets, private keys and headers.|SELECT kg_encrypt_secrets();'
	  . ' VACUUM FULL kgwebhook.secret, kgwebhook.signing_key, kgwebhook.client_certificate, kgwebhook.request_header;',
	'but not a row that someone is changing, which kg_check_setup() counts');
$holder->query_safe('COMMIT');
$holder->quit;
$node->safe_psql('postgres', 'SELECT kg_encrypt_secrets()');
is($node->safe_psql('postgres', q{SELECT ok FROM kg_check_setup() WHERE item = 'key file'}), 't', 'and kg_encrypt_secrets() does the rest');
delivers('one', 'encrypted', 'which goes on signing');
delivers('rotating', 'rotating', 'also in the middle of a rotation');
create_secret('two');
$secret{three} = 'a secret that was agreed elsewhere';
$node->safe_psql('postgres', "SELECT kg_set_secret('three', '$secret{three}')");
$secret{two} = [ $secret{two}, $node->safe_psql('postgres', q{SELECT kg_rotate_secret('two')}) ];
is(in_the_clear(), '', 'new ones are never in the clear');
delivers($_, "new $_", "they sign ($_)") foreach qw(two three);

my $dump = "$dir/dump";
$node->command_ok([ 'pg_dump', '-f', $dump, '-d', $node->connstr('postgres') ], 'a dump');
my $table = slurp_file($dump);
like($table, qr/COPY kgwebhook\.secret/, 'has the secrets');
foreach my $secret (map { ref $_ ? @$_ : $_ } values %secret)
{
	(my $core = $secret) =~ s/^whsec_//;
	is(index($table, $core), -1, 'but none in the clear');
}
is(index($table, $first_key), -1, 'nor the key');

SKIP:
{
	skip 'only Linux has /proc', 1 unless -e '/proc/self/mem';
	my ($worker) = wait_for_worker($node);
	isnt((stat "/proc/$worker/mem")[4], $>,
		'no core file or debugger of the same user gets at the memory of the worker');
}

#
# Files that won't do
#
sub refuses
{
	my ($path, $detail, $what) = @_;

	set_key_file($path);
	my $error = refusal_of(q{SELECT kg_create_secret('never')});
	like($error, qr/ERROR:  F0000: the file of "kgwebhook.key_file" cannot be used/, "$what: refused");
	like($error, $detail, "$what: and says so");
	return;
}

write_key("$dir/loose", "$first_key\n", 0640);
refuses("$dir/loose", qr/permissions are 0640/, 'readable by the group');
write_key("$dir/public", "$first_key\n", 0602);
refuses("$dir/public", qr/permissions are 0602/, 'writable by others');
symlink $file, "$dir/link" or die "$!";
refuses("$dir/link", qr/symbolic link/, 'a symbolic link');
refuses($dir, qr/not an ordinary file/, 'a directory');
refuses('/etc/passwd', qr/belongs to another user/, q{someone else's});
refuses("$dir/none", qr/cannot be opened: No such file/, 'missing');
write_key("$dir/empty", "# nothing\n\n");
refuses("$dir/empty", qr/no key in it/, 'empty');
write_key("$dir/short", "$first_key\nshort\n");
refuses("$dir/short", qr/line 2 has 5 characters/, 'a key that is too short');
write_key("$dir/many", "$first_key\n" x 9);
refuses("$dir/many", qr/more than 8 keys/, 'too many keys');
write_key("$dir/long", 'x' x 9000);
refuses("$dir/long", qr/longer than 8192 bytes/, 'too long');
my $inside = $node->data_dir . '/key';
write_key($inside, "$first_key\n");
refuses($inside, qr/lies in the data directory/, 'in the data directory');
symlink $node->data_dir, "$dir/data" or die "$!";
refuses("$dir/data/key", qr/lies in the data directory/, 'in it by way of a link');
unlink $inside;
my $log_end = -s $node->logfile;
$node->append_conf('postgresql.conf', "kgwebhook.key_file = 'relative'");
$node->reload;
$node->wait_for_log(qr/invalid value for parameter "kgwebhook.key_file"/, $log_end);
pass('a relative path is refused at the reload');

#
# Deliveries wait for the key, and go once it is there
#
my $waiting = 0;

sub waits
{
	my ($path, $detail, $what) = @_;
	my $id = 'wait' . ++$waiting;
	my $log_end = -s $node->logfile;

	set_key_file($path);
	insert_of('one', $id);
	insert_of('three', "$id too");
	insert_of($_ % 2 ? 'one' : 'three', "$id of many $_") foreach 1 .. 4;
	my ($row) = wait_for_log_rows($node, 1, "object_id = '$id'");
	is("$row->{outcome} $row->{final}", 'invalid 0', "$what: the delivery waits");
	is( $row->{error},
		q{the organization's signing secret cannot be decrypted at present},
		"$what: with the reason");
	wait_for_log_rows($node, 6, "object_id LIKE '$id%'");
	$node->wait_for_log($detail, $log_end);
	my $log = substr slurp_file($node->logfile), $log_end;
	like($log, qr/LOG:  kgwebhook: .*(?:key_file" cannot be used|cannot be decrypted)/, "$what: where \"kgwebhook\" finds it");
	# once a start from the tables: reload() makes two, a changed secret another
	cmp_ok(scalar(() = $log =~ /$detail/g), '<=', 3, "$what: not for every delivery in the server's log");
	like($node->safe_psql('postgres', 'SELECT last_error FROM kgwebhook.stats'),
		qr/key_file" cannot be used|cannot be decrypted/, "$what: and in stats");
	is( $node->safe_psql('postgres',
			"SELECT next_attempt_at FROM kgwebhook.queue WHERE object_id = '$id'"),
		'infinity', "$what: without limit");
	return;
}

# What is in the clear still signs.
set_key_file("$dir/none");
$secret{clear} = 'a secret that was put there by hand';
$node->safe_psql('postgres',
	"INSERT INTO kgwebhook.secret (org_id, secret) VALUES ('clear', '$secret{clear}')");
waits("$dir/none", qr/It cannot be opened: No such file/, 'missing');
delivers('clear', 'in the clear', 'others go on in the meantime');
waits("$dir/loose", qr/Its permissions are 0640/, 'open to others');
write_key("$dir/wrong", "$second_key\n");	# but good for what is in the clear
waits("$dir/wrong", qr/None of the keys/, 'the wrong key');
waits('', qr/It is encrypted, and "kgwebhook.key_file" is not set/, 'no key file');
like( refusal_of(q{SELECT kg_send_test('http://10.0.0.7/', 'one')}),
	qr/F0000: the secret of organization "one" cannot be decrypted.*key_file" is not set/s,
	'a test is refused with the reason');
like(refusal_of(q{SELECT kg_rotate_secret('one')}),
	qr/F0000: the secret of organization "one" cannot be decrypted/, 'so is a rotation');

# Nothing replaces what cannot be decrypted, and nobody is told to.
my $explain = q{SELECT kg_explain(delivery_id) FROM kgwebhook.queue WHERE object_id = 'wait1'};
foreach my $path ('', "$dir/none", "$dir/wrong")
{
	set_key_file($path);
	is($node->safe_psql('postgres', q{SELECT secret, fingerprint IS NULL FROM kg_fingerprints('rotating')}),
		"present|t\nnext|t", 'there is no fingerprint of what cannot be decrypted');
	like(refusal_of(q{SELECT kg_cancel_rotation('rotating')}), qr/F0000/, 'and no going back to it');
	foreach my $org (qw(one rotating))
	{
		my $error = refusal_of("SELECT kg_set_secret('$org', 'another secret, of enough bytes')");
		like($error, qr/F0000: the present secret of organization "$org" cannot be decrypted, and would be lost/,
			"key file '$path': the secret of $org is not replaced");
		like($error, qr/HINT:  Restore the file of "kgwebhook.key_file" and reload/, 'the hint says what to do');
		like(refusal_of("SELECT kg_set_secret('$org', 'another secret, of enough bytes', NULL)"),
			qr/F0000/, 'NULL is no yes');
	}
	my $told = $node->safe_psql('postgres', $explain);
	like($told, qr/key_file is restored/, 'kg_explain() says to restore it');
	unlike($told, qr/kg_(create|set)_secret/, 'and not to make another');
	like(refusal_of(q{SELECT kg_create_secret('one')}), qr/42710|F0000/, 'kg_create_secret() replaces nothing');
}
$node->safe_psql('postgres', q{SELECT kg_set_secret('clear', 'what can be decrypted is replaced')});

$receiver->set_secret([ $secret{one}, $secret{three} ]);
set_key_file($file);
foreach my $n (1 .. $waiting)
{
	is(request_of("wait$n$_")->{valid}, 1, "wait$n$_ goes once the key is there")
	  foreach '', ' too';
}
wait_until_settled($node);
is( $node->safe_psql('postgres',
		q{SELECT count(*) FROM kgwebhook.delivery_log WHERE outcome = 'invalid'}),
	6 * $waiting, 'nothing was called invalid more than once');
is($node->safe_psql('postgres', 'SELECT count(*) FROM kgwebhook.dead_letter'), 0, 'nothing was given up');

#
# Another key
#
$node->poll_query_until('postgres', 'SELECT bool_and(encrypted) FROM kgwebhook.secret')
  or die 'not all is encrypted';
write_key($file, "$second_key\n$first_key\n");
set_key_file($file);
delivers('one', 'two keys', 'all keys decrypt');
my $fingerprints = q{SELECT * FROM kg_fingerprints('rotating')};
my $before = $node->safe_psql('postgres', $fingerprints);
like(refusal_of('SELECT kg_encrypt_secrets()'), qr/6 secrets, private keys and headers were encrypted/,
	'kg_encrypt_secrets() goes over to the first one');
is($node->safe_psql('postgres', 'SELECT kg_encrypt_secrets()'), 0, 'once');
is($node->safe_psql('postgres', $fingerprints), $before, 'which is the same secret, as its fingerprint shows');
like($before, qr/present\|[0-9a-f]{12}\|.*\nrotating\|next\|[0-9a-f]{12}\|/, 'of which each has one');
write_key($file, "$second_key\n");
set_key_file($file);
delivers('one', 'one key', 'after which the old key can go');
delivers('rotating', 'one key, rotating', 'also in the middle of a rotation');
$node->safe_psql('postgres', q{SELECT kg_cancel_rotation('rotating')});
$secret{rotating} = $secret{rotating}[0];
delivers('rotating', 'back', 'and with the old one alone, once it is taken back');

#
# A row of someone else's
#
$node->safe_psql('postgres', q{
	UPDATE kgwebhook.secret SET secret = (SELECT secret FROM kgwebhook.secret WHERE org_id = 'one')
	 WHERE org_id = 'two'});
insert_of('two', 'stolen');
my ($row) = wait_for_log_rows($node, 1, q{object_id = 'stolen'});
like($row->{error}, qr/cannot be decrypted/, q{an encrypted secret is no good in another organization's row});
$node->safe_psql('postgres', q{
	UPDATE kgwebhook.secret SET secret = overlay(secret placing '00' from 41) WHERE org_id = 'one'});
insert_of('one', 'changed');
($row) = wait_for_log_rows($node, 1, q{object_id = 'changed'});
like($row->{error}, qr/cannot be decrypted/, 'nor one in which a byte was changed');

#
# Lost for good
#
like(refusal_of(q{SELECT kg_set_secret('one', 'agreed on after the loss, 24 bytes')}), qr/F0000/, 'it is not replaced by itself');
$receiver->set_secret($secret{one} = 'agreed on after the loss, 24 bytes');
is(refusal_of("SELECT kg_set_secret('one', '$secret{one}', replace_undecryptable => true)"), '', 'but by so many words');
delivers('one', 'after the loss', 'with which it delivers');
is(request_of('changed')->{valid}, 1, 'also what has waited');

my $log = slurp_file($node->logfile);
is(index($log, $_), -1, 'no key in the log') foreach $first_key, $second_key;
$node->stop;
done_testing();
