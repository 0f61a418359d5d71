#-------------------------------------------------------------------------
#
# test/perl/Kgwebhook/Certificates.pm
#	  Certificate authorities of the test's own, and what they sign.
#
#-------------------------------------------------------------------------
package Kgwebhook::Certificates;

use strict;
use warnings;

use Kgwebhook::Receiver;
use PostgreSQL::Test::Utils;

=pod

=head2 Kgwebhook::Certificates->new

A folder for keys and certificates, with none in it yet.

=cut

sub new
{
	my ($class) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir('certificates');

	write_file("$dir/index", '');
	write_file("$dir/serial", "01\n");
	write_file("$dir/ca.cnf", <<"END");
[ca]
default_ca = any
[any]
database = $dir/index
new_certs_dir = $dir
serial = $dir/serial
default_md = sha256
unique_subject = no
policy = names
[names]
commonName = supplied
END
	return bless { dir => $dir }, $class;
}

=head2 $certificates->file($name)

The path of a file: NAME.crt, NAME.key.

=cut

sub file
{
	my ($self, $name) = @_;

	return "$self->{dir}/$name";
}

=head2 $certificates->make($name, %options)

Makes NAME.key and NAME.crt.  Options, all of which may be left out:

 by     the name of the authority that signs; else it signs itself
 for    what it is a certificate for, as a subjectAltName: 'IP:127.0.0.1';
        without, it is an authority
 from, until   when it is valid, as YYYYMMDDHHMMSSZ; else for two days from now

=cut

sub make
{
	my ($self, $name, %options) = @_;
	my $dir = $self->{dir};
	my @until = $options{until} ? ('-enddate', $options{until}) : ('-days', '2');
	my @from = $options{from} ? ('-startdate', $options{from}) : ();
	my $by = $options{by} || $name;

	write_file("$dir/$name.ext", $options{for}
		? "subjectAltName=$options{for}\n"
		: "basicConstraints=critical,CA:TRUE\n");
	openssl('req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
		'-subj', "/CN=$name", '-keyout', "$dir/$name.key", '-out', "$dir/$name.csr");
	openssl('ca', '-batch', '-notext', '-config', "$dir/ca.cnf",
		'-keyfile', "$dir/$by.key", '-in', "$dir/$name.csr", '-out', "$dir/$name.crt",
		'-extfile', "$dir/$name.ext", @from, @until,
		$options{by} ? ('-cert', "$dir/$by.crt") : ('-selfsign'));
	return;
}

=head2 $certificates->join($name, @of)

Makes NAME.crt of the certificates of others, one after the other.

=cut

sub join
{
	my ($self, $name, @of) = @_;

	write_file("$self->{dir}/$name.crt",
		map { slurp_file("$self->{dir}/$_.crt") } @of);
	return;
}

=head2 $certificates->receiver($name, %options)

Starts a receiver that shows NAME.crt and has its key, or that of another name:
"by".  The other options are Kgwebhook::Receiver's.

=cut

sub receiver
{
	my ($self, $name, %options) = @_;
	my $by = delete $options{by} || $name;

	return Kgwebhook::Receiver->start(
		cert => $self->file("$name.crt"),
		key => $self->file("$by.key"), %options);
}

sub write_file
{
	my ($path, @text) = @_;

	open my $file, '>', $path or die "could not write $path: $!";
	print $file @text;
	close $file or die "could not write $path: $!";
	return;
}

sub openssl
{
	system_log('openssl', @_) == 0 or die "openssl @_ failed";
	return;
}

1;
