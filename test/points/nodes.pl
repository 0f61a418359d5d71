#-------------------------------------------------------------------------
#
# test/points/nodes.pl
#	  A delivery node that ends, stops or fails at each step of its own: nothing is lost,
#	  nothing has two identifiers, and order holds over a move.
#
# Its own steps are: a change is applied, a route is applied, a delivery is held for the
# node before, what was held is released, and the follower has looked at its source, where
# it says what it has let go of.  In each case an organization moves from one node
# to the other while its receiver does not answer, so that each of them is come to.
#
# Some cases by SEED, or each alone and in pairs with KGW_DEEP (make points), of which
# KGW_PART=2/5 takes the second fifth.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Kgwebhook;
use Kgwebhook::Nodes;
use Kgwebhook::Points;
use Test::More;
use Time::HiRes qw(sleep time);

# From which side of a move each step is come to.
my @steps = map { my $side = $_->[0]; map { [ $side, $_ ] } @$_[ 1 .. $#$_ ] }
  ([ 'from', qw(applied routed looked) ], [ 'to', qw(applied routed held released looked) ]);
my $deep = $ENV{KGW_DEEP};
my $seed = $ENV{SEED} || time;
my ($part, $parts) = split m{/}, $ENV{KGW_PART} || '1/1';
my $patience = 30;

my $secret = 'whsec_' . 'p' x 32;
my $source = new_source('source');
my $receiver = start_receiver(secret => $secret);
my (%node, %points);

prepare_source($source);
foreach my $name (qw(n1 n2))
{
	$node{$name} = new_delivery_node($name, $secret,
		'restart_after_crash' => 'on',
		'kgwebhook.retry_schedule' => "'200ms,200ms,200ms,1s,2s,5s,5s'");
	follow($node{$name}, $source, $name);
	$points{$name} = Kgwebhook::Points->new($node{$name});
	$source->safe_psql('postgres', q{INSERT INTO kgsource.route (org_id, node) VALUES ('*', 'n1'), ('o1', 'n1')}) if $name eq 'n1';
}

# A case's objects, which all move on twice while their organization moves.
sub write_events
{
	my ($number, $to, $url) = @_;
	my $mine = "id LIKE 'w$number-%'";

	$source->safe_psql(
		'postgres', qq{
		INSERT INTO orders (id, org_id, status, callback_url)
			SELECT 'w$number-' || i, 'o1', 's1', '$url' FROM generate_series(1, 3) i;
		UPDATE kgsource.route SET node = '$to' WHERE org_id = 'o1';
		UPDATE orders SET status = 's2', version = version + 1 WHERE $mine;
		UPDATE orders SET status = 's3', version = version + 1 WHERE $mine});
	return;
}

# Until the new node holds something, or all that was to happen has; a node may be down.
sub wait_until_held
{
	my ($to, @deaths) = @_;
	my $deadline = time + $patience;
	my @left = @deaths;

	while (time < $deadline)
	{
		my ($status, $held) = $node{$to}->psql('postgres', 'SELECT count(*) > 0 FROM kgwebhook.held');

		@left = grep { my ($points, @at) = @$_; !$points->reached(@at) } @left;
		last if !@left || ($status == 0 && $held eq 't');
		sleep 0.05;
	}
	return @left;
}

# One case: a list of [side, step, action].
my $at = 'n1';
sub dies_at
{
	my ($number, @deaths) = @_;
	my ($from, $to) = ($at, $at eq 'n1' ? 'n2' : 'n1');
	my $title = join "; ", map { "$_->[2] at $_->[1], at the node that it moves $_->[0]" } @deaths;
	my @waits = map { [ $points{ $_->[0] eq 'from' ? $from : $to }, $_->[1], $_->[2] ] } @deaths;

	$receiver->hold("gate$number");
	$_->[0]->arm(@$_[ 1, 2 ]) foreach @waits;
	write_events($number, $to, $receiver->url("/while/gate$number/ok"));
	@waits = wait_until_held($to, @waits);
	$receiver->release("gate$number");
	is(join(' ', map { $_->[1] } wait_until_reached(@waits)), '', "$title: is reached");
	wait_for_row($_, 'SELECT true') foreach values %node;
	wait_until_all_sent($source, values %node);
	$at = $to;
	return;
}

my @alone = map { my $step = $_; map { [ [ @$step, $_ ] ] } qw(kill stop error) } @steps;
my @pairs = map {
	my $p = $_;
	map { [ [ @$p, 'kill' ], [ @$_, 'kill' ] ] } grep { "@$_" gt "@$p" } @steps
} @steps;
my @each = (@alone, @pairs);
srand $seed;
my @cases =
  $deep
  ? @each[ grep { $_ % $parts == $part % $parts } 0 .. $#each ]
  : ($alone[ rand @alone ], $pairs[ rand @pairs ]);

diag("SEED=$seed") unless $deep;
my $number = 0;
dies_at(++$number, @$_) foreach @cases;
compare_with_audit($source, $receiver);

$_->stop foreach values %node;
$source->stop;
done_testing();
