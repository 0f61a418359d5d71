#-------------------------------------------------------------------------
#
# test/perl/Judge.pm
#	  The verifiers of docs/receiving.md, each put to work in its own language.
#
# A case is a folder with a file for each thing a verifier goes by, without an
# end of line: id, timestamp and signature (the headers), body, secrets
# (separated by spaces), now (the receiver's clock, Unix seconds), and parsed
# (the body's own timestamp, for a language without a JSON parser).
#
# A driver judges many cases in one process, because some languages take a
# second to wake up.  It prints a line for each: "valid", or "refused: " and the
# reason.  It lets anything else that is thrown end it: a verifier that breaks
# has not refused.
#
#-------------------------------------------------------------------------
package Judge;

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use IPC::Run qw(run);

my $here = abs_path(dirname(__FILE__) . '/../languages');

# A verifier: the language and what of it has to be on the PATH, the program of the
# document, what it verifies, and the command that wants only the cases.
# Programs are saved in $dir, which becomes the working directory.
sub verifiers
{
	my ($dir) = @_;
	my @verifiers;
	my $add = sub {
		my ($language, $needs, $program, $way, @command) = @_;
		push @verifiers,
		  {
			name => "$language, $program, $way",
			language => $language,
			needs => $needs,
			program => $program,
			way => $way,
			command => \@command
		  };
	};

	$add->('Node', 'node', "verify-$_.mjs", $_, 'node', "$here/verify.mjs", "verify-$_.mjs")
	  foreach qw(header body parsed);
	$add->('Python', 'python3', $_, 'header', 'python3', "$here/verify.py", $_, 'verify')
	  foreach qw(verify_header.py receiver.py);
	$add->('Python', 'python3', 'verify_body.py', 'body',
		'python3', "$here/verify.py", 'verify_body.py', 'verify');
	$add->('Python', 'python3', 'verify_body.py', 'parsed',
		'python3', "$here/verify.py", 'verify_body.py', 'verify_parsed');
	foreach my $way (qw(header body))
	{
		$add->('Go', 'go', 'verify.go', $way, "$dir/receiving", $way);
		$add->('PHP', 'php', 'verify.php', $way, 'php', "$here/verify.php", 'verify.php', $way);
		$add->('Ruby', 'ruby', 'verify.rb', $way, 'ruby', "$here/verify.rb", 'verify.rb', $way);
		$add->('Java', 'javac', 'Webhook.java', $way, 'java', '-Xshare:auto', '-cp', '.', 'Verify', $way);
		$add->('shell', 'sh', "verify-$way.sh", $way, 'sh', "$here/verify.sh", "verify-$way.sh");
	}
	return @verifiers;
}

# Compiles what has to be; returns what the compiler complained about.
sub build
{
	my ($language, $dir) = @_;
	my $out = '';

	if ($language eq 'Go')
	{
		mkdir $_ foreach "$dir/go", "$dir/go/webhook";
		spew("$dir/go/go.mod", "module receiving\n\ngo 1.18\n");
		link "$dir/verify.go", "$dir/go/webhook/verify.go" or die "$!";
		spew("$dir/go/main.go", slurp("$here/verify.go"));
		local %ENV = (%ENV, go_environment($dir));
		run [ 'go', 'vet', './...' ], '>&', \$out, init => sub { chdir "$dir/go" };
		run [ 'go', 'build', '-o', "$dir/receiving", '.' ], '>&', \my $said,
		  init => sub { chdir "$dir/go" };
		$out = join '', grep { !/^#/ } split /^/, $out . $said;
	}
	elsif ($language eq 'Java')
	{
		run [ 'javac', '-Xlint:all', '-Werror', '-d', $dir, "$dir/Webhook.java", "$here/Verify.java" ],
		  '>&', \$out;
	}
	return $out;
}

# Go's own, away from the network and the user's files.
sub go_environment
{
	my ($dir) = @_;

	return (
		GOCACHE => "$dir/go/cache",
		GOPATH => "$dir/go/path",
		GOPROXY => 'off',
		GOTOOLCHAIN => 'local',
		GOFLAGS => '',
		CGO_ENABLED => 0);
}

# What a verifier says of each case.
sub judgments
{
	my ($verifier, $dir, @cases) = @_;
	my $out;

	local %ENV = (
		%ENV,
		PYTHONDONTWRITEBYTECODE => 1);
	run [ @{ $verifier->{command} }, @cases ], '<', \undef, '>&', \$out,
	  init => sub { chdir $dir };
	return split /\n/, $out;
}

# Is there such a command?
sub is_here
{
	my ($command) = @_;

	return scalar grep { -x "$_/$command" && !-d _ } split /:/, $ENV{PATH};
}

sub slurp
{
	my ($path) = @_;

	open my $file, '<:raw', $path or die "could not read $path: $!";
	local $/;
	return scalar <$file>;
}

sub spew
{
	my ($path, $bytes) = @_;

	open my $file, '>:raw', $path or die "could not write $path: $!";
	print $file $bytes;
	close $file or die "could not write $path: $!";
	return;
}

1;
