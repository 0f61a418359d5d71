#-------------------------------------------------------------------------
#
# test/t/131_nodes_control.pl
#	  What a control node decides about whom to trust arrives at a delivery node: client
#	  certificates, the consent of endpoints, and each stage of a secret's rotation.
#
# A stage is not waited for: the control node's row is given other times, which arrive
# like everything else.  The rest of what is replicated is in 103_nodes_repair.pl.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Kgwebhook::Certificates;
use Kgwebhook::Nodes;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $certificates = Kgwebhook::Certificates->new;
$certificates->make('authority');
$certificates->make('server', by => 'authority', for => 'IP:127.0.0.1');
$certificates->make($_, by => 'authority', for => "DNS:$_.example") foreach qw(first second);
my $ca_file = "'@{[ $certificates->file('authority.crt') ]}'";

my $old = 'whsec_' . 'c' x 32;
my $source = new_source('source');
my $node = new_delivery_node('node', $old, 'kgwebhook.ca_file' => $ca_file, 'kgwebhook.retry_schedule' => "'1h,1h'");
my $control = new_node('control', 'wal_level' => 'logical', 'max_wal_senders' => 10, 'kgwebhook.retry_schedule' => "'1h,1h'");
my %receiver = map { $_ => start_receiver(secret => $old) } qw(old new asked);
my $strict = start_receiver(secret => $old, client_ca => $certificates->file('authority.crt'),
	cert => $certificates->file('server.crt'), key => $certificates->file('server.key'));
my $directory = $receiver{asked}{record} =~ s{/[^/]*$}{}r;

prepare_source($source);
follow($node, $source, 'n1');
$control->safe_psql('postgres', orders_table() . qq{
	SELECT count(*) FROM kg_watch('orders', 'order', 'id', 'status', 'callback_url', 'org_id');
	SELECT kg_set_secret(o, '$old') FROM unnest('{default,o1,o2,o3,o4,o5}'::text[]) o;
	CREATE PUBLICATION config FOR TABLE kgwebhook.secret, kgwebhook.signing_key, kgwebhook.client_certificate, kgwebhook.http_signature,
		kgwebhook.request_header, kgwebhook.consent, kgwebhook.subscription, kgwebhook.paused});
$node->safe_psql('postgres', 'DELETE FROM kgwebhook.secret');
$node->safe_psql('postgres', "CREATE SUBSCRIPTION config CONNECTION '@{[ $control->connstr ]} dbname=postgres' PUBLICATION config");
wait_for_row($node, q{SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel});

# A change at the control node, which has arrived.
sub decided
{
	my ($command) = @_;
	my $answer = $control->safe_psql('postgres', $command);

	$control->wait_for_catchup('config');
	return $answer;
}

# An order at the source; its identifier.
my $orders = 0;
sub ordered
{
	my ($org, $url) = @_;
	my $id = 'o' . ++$orders;

	$source->safe_psql('postgres', "INSERT INTO orders (id, org_id, status, callback_url) VALUES ('$id', '$org', 'new', " . (defined $url ? "'$url'" : 'NULL') . ')');
	return $id;
}

# What the node's first attempt of a new order came to, and why not.
sub outcome
{
	my ($org, $url) = @_;
	my ($attempt) = wait_for_log_rows($node, 1, "object_id = '" . ordered($org, $url) . q{'});

	return $attempt->{outcome} . ($attempt->{error} // '' ? ": $attempt->{error}" : '');
}

#
# Client certificates
#
sub set_certificate
{
	my ($name, @more) = @_;
	my @pem = map { "'" . slurp_file($certificates->file("$name.$_")) . "'" } qw(crt key);

	return decided('SELECT kg_set_client_certificate(' . join(', ', q{'o1'}, @pem, @more) . ')');
}

# Whose certificate the last request came with.
sub shown
{
	my @got = $strict->requests;

	return @got ? $got[-1]{client} : 'nothing';
}

my $needed = 'unreachable: the other side requires a client certificate, and kgwebhook has none';
is(outcome('o1', $strict->url('/ok')), $needed, 'without a client certificate');
set_certificate('first');
is(outcome('o1', $strict->url('/ok')) . ' ' . shown(), 'acknowledged first', 'one that was set at the control node is shown by the delivery node');
set_certificate('second');
is(outcome('o1', $strict->url('/ok')) . ' ' . shown(), 'acknowledged second', 'and another one instead, though the connection was kept');
is(outcome('o2', $strict->url('/ok')), $needed, 'it is not another organization\'s');
my $hook = decided("SELECT kg_subscribe('o1', '@{[ $strict->url('/ok/hook') ]}')");
set_certificate('first', $hook);
ordered('o1');
is(($strict->wait_for_requests(1, path => '/ok/hook'))[-1]{client}, 'first', 'a subscription shows its own');
decided("SELECT kg_set_client_certificate('o1', NULL, NULL, $hook)");
my ($without) = wait_for_log_rows($node, 1, "object_id = '" . ordered('o1') . q{'});
is("$without->{outcome}: $without->{error}", $needed, 'until that is taken away');
decided("SELECT kg_unsubscribe($hook); SELECT kg_set_client_certificate('o1', NULL)");
is(outcome('o1', $strict->url('/ok')), $needed, 'and so is the organization\'s');

#
# Consent: the control node asks, and the delivery node waits for the answer
#
my $path = '/faulty/shut/challenge/another/then/challenge/text';

sub shut { open my $file, '>', "$directory/shut" or die $!; close $file; return; }
sub open_up { unlink "$directory/shut" or die $!; return; }

# Waits until an order's delivery waits for a challenge, on the delivery node.
sub waits
{
	my ($id) = @_;

	wait_for_row($node, "SELECT waits_for = 'challenge' FROM kgwebhook.pending WHERE object_id = '$id'", "$id to wait for the challenge");
	return;
}

sub arrives
{
	my ($id) = @_;

	$receiver{asked}->wait_for_requests(1, if => sub { ($_[0]{json}{id} // '') eq $id });
	return;
}

# Waits until the receiver has answered so many challenges wrongly.
sub challenged
{
	wait_for_log_rows($control, shift, q{event = 'endpoint.challenge' AND outcome = 'rejected'});
	return;
}

shut();
my $asked = decided("SELECT kg_subscribe('o4', '@{[ $receiver{asked}->url($path) ]}', '{order.*}', verify => true)");
challenged(1);
my $waiting = ordered('o4');
waits($waiting);
is(join(' ', map { $_->{json}{type} // $_->{json}{id} } $receiver{asked}->requests), 'endpoint.challenge', 'no event before the challenge is answered');
open_up();
$control->safe_psql('postgres', "SELECT kg_send_challenge($asked)");
arrives($waiting);
is($node->safe_psql('postgres', "SELECT state FROM kgwebhook.subscriptions WHERE subscription_id = $asked"), 'ok', 'then what has waited; it is verified');
shut();
decided("SELECT kg_update_subscription($asked, '@{[ $receiver{asked}->url(\"$path/ok/moved\") ]}')");
my $moved = ordered('o4');
waits($moved);
challenged(2);
open_up();
$control->safe_psql('postgres', "SELECT kg_send_challenge($asked)");
arrives($moved);
pass('a new URL has to answer again');

decided(q{SELECT kg_require_consent('o5')});
my $own = ordered('o5', $receiver{asked}->url("$path/ok/own"));
waits($own);
my $consent = $control->safe_psql('postgres', "SELECT kg_subscribe('o5', '@{[ $receiver{asked}->url($path) ]}', '{endpoint.*}', verify => true)");
arrives($own);
pass('an own URL gets its events once one above it has consented');
decided("SELECT kg_unsubscribe($consent)");
my $again = ordered('o5', $receiver{asked}->url("$path/ok/own"));
waits($again);
decided(q{SELECT kg_require_consent('o5', false)});
arrives($again);
pass('or once that is not required any more');
is($node->safe_psql('postgres', q{SELECT count(*) FROM kgwebhook.delivery_log WHERE event = 'endpoint.challenge'}), 0, 'the delivery node has asked nobody');

#
# A rotation, stage by stage
#
# What each receiver takes: the signatures' header, and the body by two ways; and how many signatures it has.
sub stage
{
	my @got;

	foreach my $has (qw(old new))
	{
		my $id = ordered('o3', $receiver{$has}->url);
		my ($request) = $receiver{$has}->wait_for_requests(1, if => sub { $_[0]{json}{id} eq $id });

		push @got, "$has: " . join ' ', (map { $request->{checks}{$_} eq 'valid' ? 'yes' : 'no' } qw(standardwebhooks canonicalize tail)),
		  scalar(split / /, $request->{headers}{'webhook-signature'});
	}
	return join ', ', @got;
}

sub rotate
{
	my $new = decided(q{SELECT kg_rotate_secret('o3', '1h', '1h')});

	$receiver{new}->set_secret($new);
	return $new;
}

my $canceled = rotate();
is(stage(), 'old: yes yes yes 2, new: yes no no 2', 'from the call on both sign, the old one first');
decided(q{SELECT kg_cancel_rotation('o3')});
is(stage(), 'old: yes yes yes 1, new: no no no 1', 'a rotation that is taken back');
my $new = rotate();
isnt($new, $canceled, 'another one');
is(stage(), 'old: yes yes yes 2, new: yes no no 2', 'begins like that');
decided(q{UPDATE kgwebhook.secret SET activates_at = date_trunc('second', now()) - interval '1 minute' WHERE org_id = 'o3'});
is(stage(), 'old: yes no no 2, new: yes yes yes 2', 'from the activation on the new one signs the body');
decided(q{UPDATE kgwebhook.secret SET retires_at = date_trunc('second', now()) - interval '1 second' WHERE org_id = 'o3'});
is(stage(), 'old: no no no 1, new: yes yes yes 1', 'what has retired signs nothing');
wait_for_row($node, "SELECT next_secret IS NULL AND secret = '$new' FROM kgwebhook.secret WHERE org_id = 'o3'", 'the old secret to leave the table');
$control->wait_for_catchup('config');
is($node->safe_psql('postgres', q{SELECT string_agg(source || ' ' || state, ', ') FROM kgwebhook.sources}), 'src streaming', 'and payments go on');
is($node->safe_psql('postgres', q{SELECT count(*) FROM kgwebhook.secret}), $control->safe_psql('postgres', q{SELECT count(*) FROM kgwebhook.secret}), 'with all secrets there');

$node->safe_psql('postgres', 'DROP SUBSCRIPTION config');
$_->stop foreach $node, $control, $source;
done_testing();
