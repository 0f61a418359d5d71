#-------------------------------------------------------------------------
#
# test/perl/Kgwebhook/SmallWorld.pm
#	  A network of the test's own for a server to live in: a name server that
#	  answers what the test wants, and public addresses that are all this
#	  machine's.  See test/preload/small_world.c and
#	  test/receivers/nameserver.mjs.
#
#	  use Kgwebhook::SmallWorld;
#	  my $world = Kgwebhook::SmallWorld->create;
#	  $world->names('merchant.example' => { A => ['93.184.216.34'] });
#	  $world->start($node);
#	  ... $world->connections ... $world->requests(name => 'merchant.example') ...
#
# It is a receiver, too: what it receives are questions.
#
#-------------------------------------------------------------------------
package Kgwebhook::SmallWorld;

use strict;
use warnings;

use parent -norequire, 'Kgwebhook::Receiver';

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use JSON::PP;
use Kgwebhook::Receiver;
use PostgreSQL::Test::Utils;

my $here = abs_path(dirname(__FILE__));

=pod

=head2 Kgwebhook::SmallWorld->create(%options)

Returns a world once its name server listens.  It knows no name yet.
own_address is an IPv4 address that this host has besides.

=cut

sub create
{
	my ($class, %options) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir('world');
	my $self = bless {
		%options,
		dir => $dir,
		record => "$dir/record",
		log => "$dir/log"
	}, $class;

	system('gcc', '-shared', '-fPIC', '-o', "$dir/small_world.so",
		"$here/../../preload/small_world.c") == 0
	  or die 'could not build the small world';
	$self->names;
	$self->launch($dir, 'node', "$here/../../receivers/nameserver.mjs",
		'--port-file' => "$dir/port",
		'--record' => $self->{record},
		'--zone' => "$dir/zone");
	return $self;
}

=head2 $world->names(name => {...}, ...)

The names that there are from now on, as nameserver.mjs has them.

=cut

sub names
{
	my ($self, %names) = @_;

	open my $zone, '>', "$self->{dir}/zone.new" or die "could not write zone: $!";
	print $zone JSON::PP->new->canonical->encode(\%names);
	close $zone or die "could not write zone: $!";
	rename "$self->{dir}/zone.new", "$self->{dir}/zone" or die "could not rename zone: $!";
	return;
}

=head2 $world->start($node)

Starts a server in it, with whatever else is to be preloaded.

=cut

sub start
{
	my ($self, $node) = @_;

	local $ENV{LD_PRELOAD} = join ' ', "$self->{dir}/small_world.so", $ENV{LD_PRELOAD} // ();
	local $ENV{KGW_NAME_SERVER} = $self->port;
	local $ENV{KGW_CONNECTIONS} = "$self->{dir}/connections";
	local $ENV{KGW_OWN_ADDRESS} = $self->{own_address} || '127.0.0.1';
	$node->start;
	return;
}

=head2 $world->connections($port)

The addresses that were connected to at a port, in order.

=cut

sub connections
{
	my ($self, $port) = @_;
	my $file = "$self->{dir}/connections";

	return -e $file ? slurp_file($file) =~ /^(\S+) $port$/mg : ();
}

1;
