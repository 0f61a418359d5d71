#-------------------------------------------------------------------------
#
# test/t/124_own_consent.pl
#	  Organizations whose objects' own URLs have to consent: they get nothing before a
#	  subscription that covers them has answered a challenge, and lose nothing.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Test::More;

my $node = new_node('main', 'kgwebhook.retry_schedule' => "'1h,1h'", 'kgwebhook.workers' => 2);
my $secret = make_intents_table($node);
$node->safe_psql('postgres', "SELECT kg_set_secret('acme', '$secret')");
my $receiver = start_receiver(secret => $secret);
my $directory = $receiver->{record} =~ s{/[^/]*$}{}r;

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# Another organization's event has arrived: what was done before has been noticed.
my $noticed = 0;
sub notice
{
	insert_intent($node, 'notice' . ++$noticed, $receiver->url('/ok/notice'));
	wait_until_settled($node, q{org_id = 'default'});
	return;
}

sub pay
{
	my ($id, $path, $status) = @_;

	insert_intent($node, $id, $receiver->url($path), org_id => q{'acme'});
	set_status($node, $id, 'success') if $status;
	return;
}

# What paths that match have got, in order.
sub got
{
	my ($path) = @_;

	return join ', ', map { $_->{json}{type} ? 'challenge' : "$_->{json}{payment_intent_id} $_->{json}{status}" }
	  grep { $_->{path} =~ $path } $receiver->requests;
}

sub waiting
{
	return sql(q{SELECT coalesce(string_agg(object_id || ' ' || waits_for, ', ' ORDER BY delivery_id), '') FROM kgwebhook.pending WHERE kind <> 'endpoint'});
}

# before it is required; then nothing, and another organization as ever
pay('before', '/ok/hooks/before');
wait_until_settled($node);
is(got(qr{/ok/hooks}), 'before pending', 'nobody has to consent unless that is required');
sql(q{SELECT kg_require_consent('acme')});
notice();
pay('one', '/ok/hooks/one?a=1', 'success');
pay('elsewhere', '/ok/elsewhere');
pay('beside', '/ok/hooks-of-another');
pay('up', '/ok/hooks/../up');
insert_intent($node, 'others', $receiver->url('/ok/hooks/others'));
wait_until_settled($node, q{org_id = 'default'});
is(waiting(), 'one challenge, one challenge, elsewhere challenge, beside challenge, up challenge', 'they wait for consent');
is(got(qr{/ok/hooks}), 'before pending, others pending', 'another organization\'s do not');
is(sql(q{SELECT deliveries FROM kgwebhook.waiting WHERE waits_for = 'challenge'}), '5', 'in the figures, too');
like(sql(q{SELECT kg_explain(min(delivery_id)) FROM kgwebhook.queue}), qr{Its URL has not consented: .*\nWhat to do: SELECT kg_subscribe\('acme', 'http.*/ok/hooks/one', '\{endpoint\.\*\}', verify => true\);}, 'in words');
like(sql(q{SELECT why FROM kg_reconcile() WHERE object_id = 'one'}), qr/its URL has not consented/, 'for the report');
is(sql(q{SELECT count(*) FROM kg_status() WHERE finding LIKE '%for consent%'}), '0', 'for a while that is nothing to tell');
sql(q{UPDATE kgwebhook.queue SET enqueued_at = now() - interval '1 hour' WHERE object_id = 'elsewhere'});
like(sql(q{SELECT finding FROM kg_status() WHERE finding LIKE '%for consent%'}), qr/^5 deliveries to own URLs wait for consent of organization acme since /, 'then it is');
like(sql(q{SELECT kg_dashboard('acme')}), qr/unverified/, "on the merchant's page, too");

# a subscription that has not answered is no consent, through a restart
my $path = '/faulty/shut/challenge/another/then/challenge/text';
open my $file, '>', "$directory/shut" or die $!;
close $file;
pay('under', "$path/ok/1", 'success');
my $id = sql("SELECT kg_subscribe('acme', '@{[ $receiver->url($path) ]}', '{endpoint.*}')");
is(sql("SELECT verify FROM kgwebhook.subscription WHERE subscription_id = $id"), 't', 'who has to consent is challenged without being asked for it');
wait_for_log_rows($node, 1, q{event = 'endpoint.challenge' AND outcome = 'rejected'});
$node->restart;
pay('after', "$path/ok/2");
pay('root', $path . '?q');
notice();
is(got(qr/faulty/), 'challenge', 'a wrong answer is none');

# the right one is, for all that is below it, in order
unlink "$directory/shut";
sql("SELECT kg_send_challenge($id)");
wait_until_settled($node, q{object_id IN ('under', 'after', 'root')});
is($receiver->statuses('under'), 'pending success', 'below it, in order');
is($receiver->statuses($_), 'pending', $_) foreach qw(after root);
is(waiting(), 'one challenge, one challenge, elsewhere challenge, beside challenge, up challenge', 'others wait on');
pay('new', "$path/ok/new");
wait_until_settled($node, q{object_id = 'new'});
is($receiver->statuses('new'), 'pending', 'what comes now goes at once');

# an object whose URL changes to one that has consented: the older status does not come afterwards
insert_intent($node, 'moved', $receiver->url('/challenge/text/ok/moved'), org_id => q{'acme'});
sql("UPDATE payment_intents SET status = 'success', callback_url = '@{[ $receiver->url(\"$path/ok/moved\") ]}' WHERE payment_intent_id = 'moved'");
wait_until_settled($node, q{object_id = 'moved' AND event = 'payment_intent.success'});
pay('alike', '/challenge/text-of-another/ok');
pay('climbs', '/challenge/text/ok/../../../ok');
pay('encoded', '/challenge/text/ok/%2e%2e/ok');
my $hooks = sql("SELECT kg_subscribe('acme', '@{[ $receiver->url('/challenge/text') ]}', '{endpoint.*}')");
wait_until_settled($node, q{object_id = 'moved'});
is($receiver->statuses('moved'), 'success', 'no older status after a newer one');
like(waiting(), qr/, alike challenge, climbs challenge, encoded challenge$/, 'what only begins alike, or leads up again, has not consented');
is(sql(q{SELECT outcome FROM kgwebhook.delivery_log WHERE object_id = 'moved' AND event = 'payment_intent.pending'}), 'superseded', 'it is superseded');

# withdrawn: by another URL, or without the subscription
sql("SELECT kg_unsubscribe($id)");
notice();
pay('late', "$path/ok/late");
notice();
like(waiting(), qr/late challenge$/, 'without the subscription there is no consent');

# not required any more: all of it goes
sql(q{SELECT kg_require_consent('acme', false)});
wait_until_settled($node);
is($receiver->statuses('one'), 'pending success', 'what waited goes, in order, when it is not required any more');
is(join(' ', map { $receiver->statuses($_) } qw(elsewhere beside up alike climbs encoded late)), join(' ', ('pending') x 7), 'and nothing was lost');
is(sql(q{SELECT count(*) FROM kgwebhook.dead_letter WHERE kind = 'payment_intent'}), '0', 'nor given up');

# what a merchant's role may not do
sql(q{CREATE ROLE merchant; SELECT kg_grant_org('merchant', 'acme'); SELECT kg_require_consent('acme')});
like(sql_error($node, "SET ROLE merchant; SELECT kg_subscribe('acme', 'http://127.0.0.1:4444/', verify => false)"), qr/55000: endpoints of organization "acme" have to answer a challenge/, 'it cannot do without');
like(sql_error($node, "SET ROLE merchant; SELECT kg_require_consent('acme', false)"), qr/42501/, 'nor change what is required');
done_testing();
