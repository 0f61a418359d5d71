#-------------------------------------------------------------------------
#
# test/perl/Kgwebhook/Copies.pm
#	  What the tests of copies share, be they made by pg_dump or by pg_upgrade:
#	  all that a copy has to have of its original, and whether it is fenced.
#
# The original has a payment_intents, and a table app.orders of its own.
#
#-------------------------------------------------------------------------
package Kgwebhook::Copies;

use strict;
use warnings;

use Exporter qw(import);
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(contents worker_state_is told got);

my @contents = (
	'SELECT * FROM kgwebhook.queue ORDER BY delivery_id',
	'SELECT * FROM kgwebhook.delivery_log ORDER BY attempt_id',
	'SELECT * FROM kgwebhook.dead_letter',
	'SELECT * FROM kgwebhook.secret ORDER BY org_id COLLATE "C"',
	'SELECT * FROM kgwebhook.paused',
	'SELECT * FROM kgwebhook.subscription ORDER BY subscription_id',
	'SELECT relation, event, id_column, status_column, url_column, org_column, payload
	   FROM kgwebhook.watch ORDER BY event COLLATE "C"',
	'SELECT relation, shape, payload FROM kgwebhook.shape ORDER BY relation::text COLLATE "C", shape',
	'SELECT * FROM kgwebhook.signing_key ORDER BY org_id COLLATE "C"',
	'SELECT * FROM kgwebhook.http_signature',
	'SELECT * FROM kgwebhook.client_certificate',
	'SELECT * FROM kgwebhook.request_header',
	'SELECT * FROM kgwebhook.consent',
	q{SELECT tableoid::regclass, count(*) FROM kgwebhook.delivery_log
	   WHERE tableoid <> 'kgwebhook.delivery_log_default'::regclass GROUP BY tableoid ORDER BY tableoid::regclass::text},
	'SELECT last_value, is_called FROM kgwebhook.delivery_id_seq',
	'SELECT last_value, is_called FROM kgwebhook.attempt_id_seq',
	'SELECT last_value, is_called FROM kgwebhook.subscription_id_seq',
	q{SELECT tgrelid::regclass, tgname, tgenabled, d.deptype FROM pg_trigger t
	    JOIN pg_depend d ON d.classid = 'pg_trigger'::regclass AND d.objid = t.oid
	         AND d.refclassid = 'pg_extension'::regclass
	   WHERE tgname LIKE 'kgwebhook%' ORDER BY tgrelid::regclass::text COLLATE "C", 2},
	'SELECT * FROM payment_intents ORDER BY payment_intent_id',
	'SELECT * FROM app.orders');

=pod

=head2 contents($node, $database)

What a copy has to have: a list of texts, table by table.  The last two are
the user's tables.

=cut

sub contents
{
	my ($node, $database) = @_;

	return [ map { $node->safe_psql($database, $_) } @contents ];
}

=head2 worker_state_is($node, $database, $state)

Waits until kgwebhook.stats says so.

=cut

sub worker_state_is
{
	my ($node, $database, $state) = @_;

	$node->poll_query_until($database,
		"SELECT worker_state = '$state' FROM kgwebhook.stats")
	  or die "waited for $database to be $state";
	pass("$database: $state");
	return;
}

=head2 told($node, $database)

How often the server's log has said that a database is a copy.

=cut

sub told
{
	my ($node, $database) = @_;

	return scalar(() = slurp_file($node->logfile) =~
		  /WARNING:  kgwebhook sends nothing from database "$database": it is a copy\n.*DETAIL:  It was (?:database \d+ of system \d+|given deliveries of another database), and is database \d+ of system \d+\.\n.*HINT:  If it takes the original's place, call kg_adopt\(\)/g);
}

=head2 got($receiver, $since)

What a receiver has got since its first $since requests: object => times.

=cut

sub got
{
	my ($from, $since) = @_;
	my %times;
	my @requests = $from->requests;

	splice @requests, 0, $since;
	$times{ $_->{json}{payment_intent_id} // "order $_->{json}{id}" }++ foreach @requests;
	return \%times;
}

1;
