#-------------------------------------------------------------------------
#
# test/t/112_own_secrets.pl
#	  A subscription's own secret signs what its receiver gets, body and headers, and
#	  nobody else's: delivered, tested and examined; rotated, encrypted, with its key
#	  lost and found again, and dropped.  So do the headers that it wants besides.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use MIME::Base64;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', 'log_statement' => 'all');
my $dir = PostgreSQL::Test::Utils::tempdir('keys');
my $key = 'a key of at least 32 characters, for secrets';

sub sql { return $node->safe_psql('postgres', shift); }

sql(q{CREATE TABLE orders (id text PRIMARY KEY, state text, hook text, org_id text DEFAULT 'acme');
	SELECT kg_watch('orders', 'order', 'id', 'state', 'hook')});
my $shared = sql(q{SELECT kg_create_secret('acme')});
my $shop = start_receiver(secret => $shared);
my $partner = start_receiver();
sql("SELECT kg_subscribe('acme', '@{[ $partner->url ]}')");
my $own = sql('SELECT kg_create_secret(1)');
$partner->set_secret($own);
my $next = 1;

# An event that both get; whether each takes it for signed.
sub both
{
	my ($what) = @_;
	my $id = 'o' . $next++;

	sql("INSERT INTO orders VALUES ('$id', 'paid', '@{[ $shop->url ]}')");
	my ($own_url, $subscribed) = map {
		my $r = $_;
		$r->wait_for("order $id", sub { grep { ($_->{json}{id} // '') eq $id } $r->requests });
		(grep { ($_->{json}{id} // '') eq $id } $r->requests)[0];
	} $shop, $partner;
	is_deeply([ map { "$_->{valid}" } $own_url, $subscribed ], [ 1, 1 ], "$what: each by its own secret");
	is($own_url->{headers}{'webhook-id'}, $subscribed->{headers}{'webhook-id'}, "$what: the same event");
	return $subscribed;
}

my $first = both('delivered');
is(scalar(split / /, $first->{headers}{'webhook-signature'}), 1, 'one signature, not the organization\'s too');

# tests and exams of its URL, and of another
is(sql("SELECT subscription_id, outcome FROM kg_send_test('@{[ $partner->url ]}', 'acme')"), '1|acknowledged', 'a test to its URL is logged as its own');
is(sql("SELECT subscription_id, outcome FROM kg_send_test(NULL, 'acme')"), '1|acknowledged', 'so is one to all');
is_deeply([ map { "$_->{valid}" } ($partner->requests)[ -2, -1 ] ], [ 1, 1 ], 'both signed with its secret');
sql("SELECT kg_send_test('@{[ $shop->url ]}', 'acme')");
is(($shop->requests)[-1]{valid}, 1, "a test to another URL is signed with the organization's");
is(sql("SELECT seen FROM kg_examine('@{[ $partner->url ]}', 'acme') WHERE probe = 'good request'"), 'accepted with status 200', 'examined');
is(scalar(grep { $_->{valid} } $partner->requests) > 4, 1, 'with its secret');

# rotation: the new one signs, both sign the header, the organization's is as before
my $new = sql(q{SELECT kg_rotate_secret(1, '0', '1 day')});
$partner->set_secret($new);
my $during = both('in a rotation');
is(scalar(split / /, $during->{headers}{'webhook-signature'}), 2, 'both sign the header');
$partner->set_secret($own);
sql('SELECT kg_cancel_rotation(1)');
both('taken back');

# encrypted: with the others, and only with the key
append_to_file("$dir/key", $key);
chmod 0600, "$dir/key";
reload($node, 'kgwebhook.key_file' => "'$dir/key'");
$node->poll_query_until('postgres', 'SELECT bool_and(encrypted) AND count(*) = 2 FROM kgwebhook.secret')
  or die 'waited for the secrets to be encrypted';
unlike(sql('SELECT secret FROM kgwebhook.secret'), qr/\Q$own\E|\Q$shared\E/, 'encrypted at rest');
both('encrypted');
is(sql(qq{SET log_statement = 'none'; SET log_min_duration_statement = -1; SELECT fingerprint = kg_fingerprint('$own') FROM kg_fingerprints('acme') WHERE subscription_id = 1}), 't', 'known by its fingerprint');

# an organization that has none of its own waits for it alone, whatever others get: that is no attempt
sql("INSERT INTO orders VALUES ('none', 'new', '@{[ $shop->url ]}', 'bare')");
my $bare = start_receiver();
sql("SELECT kg_subscribe('bare', '@{[ $bare->url ]}')");
$bare->set_secret(sql('SELECT kg_create_secret(2)'));
$node->poll_query_until('postgres', q{SELECT NOT isfinite(next_attempt_at) FROM kgwebhook.queue WHERE object_id = 'none'})
  or die 'waited for a delivery to wait for a secret';
foreach my $n (1 .. 3)
{
	sql("SELECT kg_create_secret('another $n')");
	sql("INSERT INTO orders VALUES ('after $n', 'new', NULL, 'bare')");
	$bare->wait_for("order after $n", sub { grep { ($_->{json}{id} // '') eq "after $n" } $bare->requests });
}
wait_until_settled($node, "object_id LIKE 'after%'");
is(sql(q{SELECT attempts || ' ' || (SELECT count(*) FROM kgwebhook.delivery_log WHERE object_id = 'none') FROM kgwebhook.queue WHERE object_id = 'none'}), '1 1', 'that its subscription can sign is no reason to try');
sql(q{SELECT kg_create_secret('bare')});
wait_until_settled($node);
is(sql(q{SELECT max(attempt) FROM kgwebhook.delivery_log WHERE object_id = 'none' AND outcome = 'acknowledged'}), 2, 'its own is');

# its key is lost: it waits, and is never signed by another's
reload($node, 'kgwebhook.key_file' => "''");
sql("INSERT INTO orders VALUES ('waits', 'paid', NULL)");
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM kgwebhook.queue WHERE object_id = 'waits' AND NOT isfinite(next_attempt_at)})
  or die 'waited for a delivery to wait for its key';
like(sql(q{SELECT kg_explain(delivery_id) FROM kgwebhook.queue}), qr/waits for the key to decrypt/, 'explained');
reload($node, 'kgwebhook.key_file' => "'$dir/key'");
$partner->wait_for('what waited', sub { grep { ($_->{json}{id} // '') eq 'waits' } $partner->requests });
is((grep { ($_->{json}{id} // '') eq 'waits' } $partner->requests)[0]{valid}, 1, 'signed when the key is back');

# dropped: the organization's again
sql('SELECT kg_drop_secret(1)');
$partner->set_secret($shared);
both('dropped');

#
# Headers of its own
#
sub set_headers { return sql("SET log_statement = 'none'; SELECT kg_set_headers($_[0])") }
sub headers_of { return join ' ', map { $_[0]{headers}{$_} // '-' } qw(x-api-key authorization) }
my @parts = ('the first value', 'the second value', 'a pässword', 'a-token-of-many');

set_headers(qq{1, '{"X-Api-Key": "$parts[0]"}', 'shop', '$parts[2]'});
my $basic = 'Basic ' . encode_base64("shop:$parts[2]", '');
sql("SELECT kg_create_secret('beta')");
sql("SELECT kg_subscribe('beta', '@{[ $partner->url('/ok/beta') ]}')");
sql("INSERT INTO orders VALUES ('b', 'paid', NULL, 'beta')");
is(headers_of(both('with headers')), "$parts[0] $basic", 'the receiver gets both');
is(headers_of(($shop->requests)[-1]), '- -', 'an object\'s own URL gets none of them');
$partner->wait_for('beta', sub { $partner->requests(path => '/ok/beta') });
is(headers_of(($partner->requests(path => '/ok/beta'))[0]), '- -', 'nor does another organization at the same host');
is(($partner->requests)[0]{headers}{$_}, ($partner->requests)[-1]{headers}{$_}, "$_ is ours, as it was") foreach qw(host user-agent content-type);

# where the object's own URL is the subscription's
sql("INSERT INTO orders VALUES ('same', 'paid', '@{[ $partner->url ]}')");
wait_until_settled($node);
is(join(', ', map { headers_of($_) } grep { ($_->{json}{id} // '') eq 'same' } $partner->requests), "$parts[0] $basic", 'sent once, with them');

# a test and an exam, the forged requests, too
my $before = () = $partner->requests;
sql("SELECT kg_send_test('@{[ $partner->url ]}', 'acme')");
sql("SELECT kg_examine('@{[ $partner->url ]}', 'acme')");
my %asked = map { headers_of($_) => 1 } ($partner->requests)[ $before .. scalar(() = $partner->requests) - 1 ];
is_deeply([ keys %asked ], ["$parts[0] $basic"], 'tested and examined with them');
sql("SELECT kg_send_test('@{[ $partner->url('/ok/else') ]}', 'acme')");
is(headers_of(($partner->requests)[-1]), '- -', 'a test to another URL has none');

# encrypted at once where secrets are, and later where they were not
unlike(sql('SELECT lines FROM kgwebhook.request_header'), qr/\Q$parts[0]\E|Basic/, 'encrypted');
reload($node, 'kgwebhook.key_file' => "''");
set_headers(qq{1, bearer_token => '$parts[3]'});
is(sql('SELECT lines FROM kgwebhook.request_header'), "Authorization: Bearer $parts[3]\n", 'in the clear without a key');
reload($node, 'kgwebhook.key_file' => "'$dir/key'");
$node->poll_query_until('postgres', 'SELECT encrypted FROM kgwebhook.request_header') or die 'waited for headers to be encrypted';
unlike(sql('SELECT lines FROM kgwebhook.request_header'), qr/\Q$parts[3]\E/, 'encrypted by the worker');
is(headers_of(both('encrypted headers')), "- Bearer $parts[3]", 'the latest are all there is, and sent');
append_to_file("$dir/new", "$key that is newer\n$key\n");
chmod 0600, "$dir/new";
reload($node, 'kgwebhook.key_file' => "'$dir/new'");
my $sealed = sql('SELECT lines FROM kgwebhook.request_header');
sql('SELECT kg_encrypt_secrets()');
isnt(sql('SELECT lines FROM kgwebhook.request_header'), $sealed, 'with a new key by kg_encrypt_secrets()');

# a retry has what is set by then; and after a restart
reload($node, 'kgwebhook.retry_schedule' => "'1h'");
sql("SELECT kg_update_subscription(1, '@{[ $partner->url('/fail/1/ok') ]}')");
sql("INSERT INTO orders VALUES ('again', 'paid', NULL)");
wait_for_log_rows($node, 1, q{object_id = 'again'});
set_headers(qq{1, '{"X-Api-Key": "$parts[1]"}'});
$node->restart;
sql(q{SELECT kg_redeliver_object('again')});
wait_until_settled($node);
is(join(', ', map { headers_of($_) } grep { ($_->{json}{id} // '') eq 'again' } $partner->requests), "- Bearer $parts[3], $parts[1] -", 'each attempt has those of its time');

# another host's: not even a request that was queued before
my $other = start_receiver(secret => $shared);
$node->psql('postgres', "SELECT kg_pause_subscription(1)");
sql("INSERT INTO orders VALUES ('moved', 'paid', NULL)");
my (undef, undef, $notice) = $node->psql('postgres', "SELECT kg_update_subscription(1, '@{[ $other->url ]}'), kg_resume_subscription(1)");
like($notice, qr/NOTICE:  the headers of subscription 1 were removed/, 'told');
$other->wait_for('what moved', sub { $other->requests });
is(headers_of(($other->requests)[0]), '- -', 'they stay behind');
is(sql('SELECT count(*) FROM kgwebhook.request_header'), 0, 'nowhere');

my $warning = qr/WARNING:  the headers' values may be in the server's log/;
like(($node->psql('postgres', qq{SELECT kg_set_headers(1, '{"X-Warned": "x"}')}))[2], $warning, 'statement logging is told of');
my $log = slurp_file($node->logfile);
unlike($log, qr/\Q$own\E|\Q$new\E/, 'no secret in the log');
is_deeply([ grep { index($log, $_) >= 0 } @parts, encode_base64("shop:$parts[2]", '') ], [], 'and no header\'s value');
done_testing();
