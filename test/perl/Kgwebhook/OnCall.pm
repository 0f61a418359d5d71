#-------------------------------------------------------------------------
#
# test/perl/Kgwebhook/OnCall.pm
#	  Someone on call, with psql only: reads kg_status() and kg_explain(), and types
#	  what they say.
#
#	  use Kgwebhook::OnCall;
#	  my $on_call = Kgwebhook::OnCall->new($node);
#	  my $row = $on_call->finds(qr/^hooks\.example .*: answered with status 404/);
#	  $on_call->types($row->{remedy});
#	  $on_call->finds_all_well('and that was it');
#
# A remedy is a statement, typed as it stands; or it says what someone has to do
# and names the statement for afterward, and then the test does the former.
#
#-------------------------------------------------------------------------
package Kgwebhook::OnCall;

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use Kgwebhook::Polling;
use PostgreSQL::Test::Utils;
use Test::More;

my $operations = abs_path(dirname(__FILE__) . '/../../../docs/operations.md');

=pod

=head2 Kgwebhook::OnCall->new($node, $database)

=cut

sub new
{
	my ($class, $node, $database) = @_;

	return bless { node => $node, database => $database // 'postgres', found => [] }, $class;
}

sub sql
{
	my ($self, $text) = @_;

	return $self->{node}->safe_psql($self->{database}, $text);
}

=head2 $on_call->status

The rows of kg_status(), as hashes.

=cut

my $status =
  q{SELECT string_agg(concat_ws(E'\x1f', severity, finding, coalesce(detail, ''), coalesce(remedy, '')), E'\x1e') FROM kg_status()};

sub status
{
	my ($self) = @_;

	return rows_of($self->sql($status));
}

sub rows_of
{
	my ($text) = @_;

	return map {
		my %row;
		@row{qw(severity finding detail remedy)} = split /\x1f/, $_, -1;
		\%row
	} split /\x1e/, $text;
}

# Asks until what is said is accepted, which the caller looks at again: in one session, whose
# second look needs no plans to be made.
sub ask
{
	my ($self, $query, $accepts) = @_;

	Kgwebhook::Polling::ask_until($self->{node}, $self->{database}, $query,
		sub { $_[1] eq '' && $accepts->($_[0]) }, 50_000, 200_000);
	return;
}

=head2 $on_call->finds($pattern, $severity)

Waits until something is found, and returns its row.

=cut

sub finds
{
	my ($self, $pattern, $severity) = @_;
	my (@rows, $row);

	$self->ask(
		$status,
		sub {
			@rows = rows_of($_[0]);
			($row) = grep { $_->{finding} =~ $pattern } @rows;
			return $row && (!$severity || $row->{severity} =~ $severity);
		});
	if ($row && (!$severity || $row->{severity} =~ $severity))
	{
		pass("found: $row->{severity}: $row->{finding}");
		push @{ $self->{found} }, $row;
		return $row;
	}
	fail("not found: $pattern; but " . join('; ', map { "$_->{severity}: $_->{finding}" } @rows));
	return { severity => '', finding => '', detail => '', remedy => '' };
}

=head2 $on_call->finds_all_well($what)

Waits until nothing is wrong any more, except an error that is over.

=cut

sub finds_all_well
{
	my ($self, $what) = @_;
	my @rows;
	my $well = 0;

	$self->ask(
		$status,
		sub {
			@rows = grep { $_->{finding} !~ /^a worker had an error at .*, and has gone on since$/ } rows_of($_[0]);
			return $well = !@rows || $rows[0]{severity} eq 'ok';
		});
	return pass($what) if $well;
	return fail("$what; but " . join('; ', map { "$_->{severity}: $_->{finding}" } @rows));
}

=head2 $on_call->types($remedy)

Types what of a remedy is to be typed: the statements in it, one by one.

=cut

sub types
{
	my ($self, $remedy) = @_;
	my @statements = $remedy =~ /\b((?:SELECT|ALTER SYSTEM SET|ALTER SUBSCRIPTION|UPDATE) (?:'[^']*'|[^';])*;)/g;

	@statements or die "nothing to type in: $remedy";
	$self->sql($_) foreach @statements;
	return;
}

=head2 $on_call->explains($object, %says)

What kg_explain() says of an object's delivery that is not settled: waits until it
has all of these patterns, each of which is a test.

=cut

sub explains
{
	my ($self, $object, %says) = @_;
	my $told = '';

	$self->ask(
		"SELECT kg_explain(max(delivery_id)) FROM kgwebhook.deliveries WHERE object_id = '$object' AND state NOT IN ('acknowledged', 'superseded')",
		sub {
			($told) = @_;
			return !grep { $told !~ $_ } values %says;
		});
	like($told, $says{$_}, "kg_explain of $object: $_") foreach sort keys %says;
	unlike($told, qr/due now/, "kg_explain of $object: and nothing is called due that is held");
	return $told;
}

=head2 $on_call->has_a_test($section)

Each row of this section's table in docs/operations.md is a finding that was found,
with the remedy it had then; and each that was found has such a row.  In the table,
an ellipsis stands for what differs.

=cut

sub has_a_test
{
	my ($self, $section, @others) = @_;
	my @found = @{ $self->{found} };
	my ($text) = slurp_file($operations) =~ /^### \Q$section\E\n(.*?)^##/ms;
	my @rows = map { [ map { pattern($_) } /`([^`]+)`/g ] } $text =~ /^\| (`.*) \|$/mg;
	my %met;

	push @found, @{ $_->{found} } foreach @others;
	foreach my $row (@rows)
	{
		my @such = grep { $_->{finding} =~ $row->[0] && ($_->{remedy} =~ s/  +/ /gr) =~ $row->[-1] } @found;

		ok(scalar @such, "operations.md: what is told of $row->[0] was done");
		$met{ $_->{finding} } = 1 foreach @such;
	}
	is(join("\n", grep { !$met{$_} } map { $_->{finding} } @found), '', 'operations.md tells of all that was found');
	return;
}

# A text of the table as a pattern.
sub pattern
{
	my ($text) = @_;
	my $pattern = join '.*', map { quotemeta } split /\xe2\x80\xa6/, $text, -1;

	return qr/^$pattern$/s;
}

=head2 $on_call->headline

The delivery page's, as text.

=cut

sub headline
{
	my ($self) = @_;
	my ($title) = $self->sql('SELECT kg_dashboard()') =~ m{<title>(.*) - \Q$self->{database}\E</title>}s;

	return $title =~ s/&#39;/'/gr =~ s/&quot;/"/gr =~ s/&amp;/&/gr;
}

1;
