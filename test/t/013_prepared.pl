#-------------------------------------------------------------------------
#
# test/t/013_prepared.pl
#	  Prepared transactions: nothing before COMMIT PREPARED, which tells nobody,
#	  and nothing ever after ROLLBACK PREPARED.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Test::More;
use Time::HiRes qw(time);

my $node = new_node('main', 'max_prepared_transactions' => '5');
my $secret = make_intents_table($node);
my $receiver = start_receiver(secret => $secret);
my $url = $receiver->url;

sub prepare
{
	my ($id, $sql) = @_;

	$sql ||= "INSERT INTO payment_intents (payment_intent_id, callback_url) VALUES ('$id', '$url')";
	$node->safe_psql('postgres', "BEGIN; $sql; PREPARE TRANSACTION '$id'");
	return;
}

# Something that is delivered later: what had to be before it has been.
my $controls = 0;

sub after_a_delivery
{
	my $id = 'control' . ++$controls;

	insert_intent($node, $id, $url);
	$receiver->requests_of($id, 1);
	return;
}

sub came
{
	my ($id) = @_;

	return scalar($receiver->requests(if => sub { $_[0]{json}{payment_intent_id} eq $id }));
}

prepare('committed');
prepare('rolled_back');
after_a_delivery();
is(came('committed'), 0, 'nothing goes before COMMIT PREPARED');

my $began = time;
$node->safe_psql('postgres', "COMMIT PREPARED 'committed'");
my ($committed) = $receiver->requests_of('committed', 1);
my $took = time - $began;
is($committed->{valid}, 1, 'it goes after it');
cmp_ok($took, '<', 5, sprintf('soon: after %.1f s, with nothing else going on', $took));

$node->safe_psql('postgres', "ROLLBACK PREPARED 'rolled_back'");
after_a_delivery();
is(came('rolled_back'), 0, 'nothing goes after ROLLBACK PREPARED');
is( $node->safe_psql('postgres',
		"SELECT count(*) FROM payment_intents WHERE payment_intent_id = 'rolled_back'"),
	0,
	'because nothing was');

#
# Over a restart
#
prepare('survives');
$node->restart;
after_a_delivery();
is(came('survives'), 0, 'a prepared transaction over a restart');
$node->safe_psql('postgres', "COMMIT PREPARED 'survives'");
is(($receiver->requests_of('survives', 1))[0]{valid}, 1, 'goes after COMMIT PREPARED');

#
# Of one object, prepared and not: each delivery once
#
insert_intent($node, 'mixed', $url);
$receiver->requests_of('mixed', 1);
prepare('mixed', "UPDATE payment_intents SET status = 'success' WHERE payment_intent_id = 'mixed'");
$node->safe_psql('postgres', "COMMIT PREPARED 'mixed'");
set_status($node, 'mixed', 'refunded');
is(join(' ', map { $_->{json}{status} } $receiver->requests_of('mixed', 3)),
	'pending success refunded', 'a prepared transition among others');

#
# A secret
#
insert_intent($node, 'waits', $url, org_id => "'prepared'");
wait_for_log_rows($node, 1, q{object_id = 'waits'});
$receiver->set_secret([ $secret, 'a secret that was prepared' ]);
prepare('secret', q{SELECT kg_set_secret('prepared', 'a secret that was prepared')});
$node->safe_psql('postgres', "COMMIT PREPARED 'secret'");
is(($receiver->requests_of('waits', 1))[0]{valid}, 1, 'a secret of a prepared transaction frees what waits for it');

wait_until_settled($node);
is(came($_), 1, "$_ came once") foreach qw(committed survives waits);

$node->stop;
done_testing();
