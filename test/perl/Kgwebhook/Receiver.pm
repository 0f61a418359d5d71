#-------------------------------------------------------------------------
#
# test/perl/Kgwebhook/Receiver.pm
#	  One receiver process: started, asked what it got, and ended by its
#	  process id, also when the test dies.
#
#-------------------------------------------------------------------------
package Kgwebhook::Receiver;

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use JSON::PP;
use POSIX qw(WNOHANG _exit);
use PostgreSQL::Test::Utils;
use Time::HiRes qw(usleep);

my $programs = abs_path(dirname(__FILE__) . '/../../receivers');
my $json = JSON::PP->new->utf8->max_depth(1024);
my %running;

# Decodes one line of JSON: bytes in, a structure out; true and false print as
# 1 and 0.
sub decode
{
	my ($line) = @_;

	return $json->decode($line);
}

=pod

=head2 Kgwebhook::Receiver->start(%options)

Returns the receiver once it listens.  Options, all of which may be left out:

 secret        a secret, or a reference to an array of them: requests are judged
 port          to come back where another one was; else any that is free
 host          '127.0.0.1', or '::1'
 clock_offset  seconds its clock is ahead
 cert, key     files: it speaks HTTPS
 program       'receiver.mjs', 'hostile.mjs', 'hostile_tls.mjs' or 'proxy.mjs'
 addresses     only the hostile ones: so many addresses more
 seed, certificates  only hostile_tls.mjs: whose plans it follows, and the folder of what it shows
 hosts, user   only proxy.mjs: 'NAME=ADDRESS,...' that it knows, and 'USER:PASSWORD' it wants
 client_ca     a file: it requires a client certificate of that authority's
 tls_max       the newest version of TLS it speaks: 'TLSv1.1'
 refuse_resumed  it breaks off a handshake that would resume a session

=cut

sub start
{
	my ($class, %options) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir('receiver');
	my $self = bless {
		host => $options{host} || '127.0.0.1',
		scheme => $options{cert} ? 'https' : 'http',
		record => "$dir/record",
		secret_file => "$dir/secrets",
		log => "$dir/log"
	}, $class;

	$self->set_secret($options{secret}) if defined $options{secret};
	my @command = (
		'node', "$programs/" . ($options{program} || 'receiver.mjs'),
		'--host' => $self->{host},
		'--port-file' => "$dir/port",
		'--record' => $self->{record},
		'--secret-file' => $self->{secret_file});
	foreach my $option (qw(port clock_offset cert key addresses client_ca tls_max refuse_resumed hosts user
		seed certificates))
	{
		(my $word = $option) =~ tr/_/-/;
		push @command, "--$word=$options{$option}"
		  if defined $options{$option};
	}

	$self->launch($dir, @command);
	return $self;
}

# Starts the command that a receiver is, and waits for the port it writes down.
sub launch
{
	my ($self, $dir, @command) = @_;

	$self->{pid} = spawn($self->{log}, @command);
	$running{ $self->{pid} } = $self;
	$self->wait_for("its port in $dir/port", sub { -e "$dir/port" });
	chomp($self->{port} = slurp_file("$dir/port"));
	return;
}

# Starts a command with its output in a file and its input closed.
sub spawn
{
	my ($log, @command) = @_;
	my $pid = fork;

	die "could not fork: $!" unless defined $pid;
	return $pid if $pid;

	open STDIN, '<', '/dev/null';
	open STDOUT, '>', $log;
	open STDERR, '>&', \*STDOUT;
	{ exec @command };
	_exit(127);
}

=head2 $receiver->port, ->url($path)

=cut

sub port { return $_[0]->{port}; }

sub url
{
	my ($self, $path) = @_;

	return $self->destination . (defined $path ? $path : '/ok');
}

=head2 $receiver->destination

scheme://host:port, as the extension has it.

=cut

sub destination
{
	my ($self) = @_;
	my $host = $self->{host} =~ /:/ ? "[$self->{host}]" : $self->{host};

	return "$self->{scheme}://$host:$self->{port}";
}

=head2 $receiver->set_secret($secret)

Judges by another secret, or a reference to an array of them, from now on.

=cut

sub set_secret
{
	my ($self, $secret) = @_;
	my $new = "$self->{secret_file}.new";

	open my $file, '>', $new or die "could not write $new: $!";
	print $file map { "$_\n" } ref $secret ? @$secret : $secret;
	close $file or die "could not write $new: $!";
	rename $new, $self->{secret_file} or die "could not rename $new: $!";
	return;
}

=head2 $receiver->requests(%only)

What it got so far, oldest first, as receiver.mjs records it.  %only picks
those whose member is equal, such as path => '/ok', or those a function takes:
if => sub { $_[0]{json}{status} eq 'success' }.

=cut

sub requests
{
	my ($self, %only) = @_;
	my $if = delete $only{if};

	my @records = $self->records;
	foreach my $member (keys %only)
	{
		@records = grep { $_->{$member} eq $only{$member} } @records;
	}
	return $if ? grep { $if->($_) } @records : @records;
}

# All records; each is decoded once.
sub records
{
	my ($self) = @_;
	my @lines = $self->lines;
	my $decoded = $self->{decoded} ||= [];

	push @$decoded, decode($_) foreach @lines[ @$decoded .. $#lines ];
	return @$decoded;
}

=head2 $receiver->lines

The same as lines of JSON.  For thousands of requests: Perl takes a millisecond
to decode one.

=cut

sub lines
{
	my ($self) = @_;
	my $lines = $self->{lines} ||= [];

	return unless -e $self->{record};

	# A line that is still being written has no end yet.
	my $more = slurp_file($self->{record}, $self->{read} || 0);
	$self->{read} += $+[0] if $more =~ /.*\n/s;
	push @$lines, $more =~ /^(.*)\n/mg;
	return @$lines;
}

=head2 $receiver->wait_for_requests($n, %only)

The same, once there are $n or more.

=cut

sub wait_for_requests
{
	my ($self, $n, %only) = @_;
	my @got;

	$self->wait_for("$n requests",
		sub { @got = $self->requests(%only); @got >= $n });
	return @got;
}

=head2 $receiver->requests_of($id, $n)

The same of one object.

=cut

sub requests_of
{
	my ($self, $id, $n) = @_;

	return $self->wait_for_requests($n, if => sub { $_[0]{json}{payment_intent_id} eq $id });
}

=head2 $receiver->statuses($id)

The statuses of an object that it got so far, in their order: 'pending success'.

=cut

sub statuses
{
	my ($self, $id) = @_;
	my $mine = qq{"payment_intent_id":"$id"};

	return join ' ', map { decode($_)->{json}{status} } grep { index($_, $mine) >= 0 } $self->lines;
}

# Waits until a condition holds, which it can't once the receiver is gone.
sub wait_for
{
	my ($self, $what, $condition) = @_;
	my $end = Time::HiRes::time() +
	  $PostgreSQL::Test::Utils::timeout_default;

	until ($condition->())
	{
		my $why =
			Time::HiRes::time() > $end ? 'in vain'
		  : waitpid($self->{pid}, WNOHANG) != 0 ? 'but it is gone'
		  : undef;
		die "waited for $what of a receiver, $why; it said: "
		  . (-e $self->{log} ? slurp_file($self->{log}) : 'nothing')
		  . ' and got '
		  . (-e $self->{record} ? slurp_file($self->{record}) : 'nothing')
		  if defined $why;
		usleep(20_000);
	}
	return;
}

=head2 $receiver->hold($name), ->release($name)

Requests to /while/NAME/... get no answer in between.

=cut

sub hold
{
	my ($self, $name) = @_;

	append_to_file(dirname($self->{record}) . "/$name", '');
	return;
}

sub release
{
	my ($self, $name) = @_;

	unlink dirname($self->{record}) . "/$name" or die "nothing is held by $name: $!";
	return;
}

=head2 $receiver->stop

Ends it, at once.  What it got can still be asked.

=cut

sub stop
{
	my ($self) = @_;

	return unless delete $running{ $self->{pid} };
	kill 'TERM', $self->{pid};
	waitpid $self->{pid}, 0;
	return;
}

END
{
	# The exit code is the test's.
	my $exit_code = $?;

	$_->stop foreach values %running;
	$? = $exit_code;
}

1;
