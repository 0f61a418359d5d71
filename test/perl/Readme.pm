#-------------------------------------------------------------------------
#
# test/perl/Readme.pm
#	  A document (README.md, docs/*.md) as a test sees it: blocks of code, and
#	  what they promise.
#
# A reader copies what stands in a document and expects to see what stands below
# it.  So nothing is kept twice: the tests take commands, programs and
# expected output out of the document itself.
#
#	  ```psql		a session: prompts "shop=# " and "shop-# " with the name of the
#					database, and the output; a transaction with its prompts
#					"shop=*# " and "shop-*# " is typed as one
#	  any other		a program, if its first or second line is a comment that
#					begins with a file's name and a colon
#
# What differs from run to run (identifiers, secrets, times, signatures) is
# masked before two outputs are compared, and so are the widths of columns,
# which follow from it.
#
#-------------------------------------------------------------------------
package Readme;

use strict;
use warnings;

# Masks, applied in this order.
my @masks = (
	[ qr/msg_[0-9a-f]{32}/ => '<webhook-id>' ],
	[ qr/pi_test_[0-9a-f]{32}/ => '<test-id>' ],
	[ qr/whsec_[A-Za-z0-9+\/]{43}=/ => '<secret>' ],
	[ qr/"signature":"[0-9a-f]{64}"/ => '"signature":<hex>' ],
	[ qr/"timestamp":\d{10}\b/ => '"timestamp":<seconds>' ],
	[ qr/\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d(:\d\d)?|Z)/ => '<time>' ],
	[ qr/\b\d\d:\d\d:\d\d(\.\d+)?\b/ => '<interval>' ],
	[ qr/duration_ms +\| [\d.e-]+/ => 'duration_ms | <number>' ],
	[ qr/^xid +\| \d+/m => 'xid | <number>' ],
	# libcurl's words, which differ from version to version
	[
		qr/(?: port |:)\d+ after \d+ ms: Could(n't| not) connect/ =>
		  ':<port> after <number> ms: could not connect'
	]);

sub mask
{
	my ($text) = @_;

	foreach my $mask (@masks)
	{
		my ($pattern, $name) = @$mask;
		$text =~ s/$pattern/$name/g;
	}
	$text =~ s/-{2,}/-/g;
	$text =~ s/[ \t]+/ /g;
	$text =~ s/ ?\| ?/|/g;
	$text =~ s/ $//mg;
	$text =~ s/\n+/\n/g;
	$text =~ s/^\n|\n$//g;
	return $text;
}

sub load
{
	my ($class, $file) = @_;
	my (@lines, @blocks, $block);

	open my $in, '<', $file or die "could not read $file: $!";
	@lines = <$in>;
	close $in;
	for my $i (0 .. $#lines)
	{
		if (!$block && $lines[$i] =~ /^```(\w+)?$/)
		{
			$block = { lang => defined $1 ? $1 : '', from => $i + 1 };
		}
		elsif ($block && $lines[$i] eq "```\n")
		{
			$block->{to} = $i - 1;
			$block->{text} = join '', @lines[ $block->{from} .. $block->{to} ];
			push @blocks, $block;
			$block = undef;
		}
	}
	die "$file: a block of code has no end" if $block;
	return bless { file => $file, lines => \@lines, blocks => \@blocks }, $class;
}

sub text { return join '', @{ $_[0]->{lines} }; }

# Those in one of these languages.
sub blocks
{
	my ($self, @langs) = @_;
	my %wanted = map { $_ => 1 } @langs;

	return grep { $wanted{ $_->{lang} } } @{ $self->{blocks} };
}

# The programs, by the name of the file to save them as.
sub programs
{
	my ($self) = @_;
	my %programs;

	foreach my $block (@{ $self->{blocks} })
	{
		next if $block->{lang} eq 'psql';
		$programs{$1} = $block->{text}
		  if $block->{text} =~ /\A(?:(?:#!|<\?php).*\n)?(?:#|\/\/) ([\w.-]+\.\w+):/;
	}
	return %programs;
}

# The part below a heading, down to the next heading of its level or above.
sub section
{
	my ($self, $heading) = @_;
	my $text = $self->text;

	$text =~ /^(#+) \Q$heading\E\n(.*?)(?=^#{1,6} |\z)/ms
	  or die "$self->{file} has no heading \"$heading\"";
	my $level = length $1;
	$text =~ /^#{$level} \Q$heading\E\n(.*?)(?=^#{1,$level} |\z)/ms;
	return $1;
}

# The statements of a session, each with its output as it stands there.
sub statements
{
	my ($block) = @_;
	my @statements;

	foreach my $line (split /^/, $block->{text})
	{
		if ($line =~ /^(\w+)=# (.*\n)/)
		{
			push @statements, { database => $1, sql => $2, input => $line, output => '' };
		}
		elsif ($line =~ /^\w+(?:-\*?|=\*)# (.*\n)/)
		{
			$statements[-1]{sql} .= $1;
			$statements[-1]{input} .= $line;
		}
		elsif (@statements)
		{
			$statements[-1]{output} .= $line;
		}
	}
	return @statements;
}

# Puts another text into a block.
sub replace
{
	my ($self, $block, $text) = @_;

	$self->{lines}[$_] = '' foreach $block->{from} .. $block->{to};
	$self->{lines}[ $block->{from} - 1 ] .= $text;
	return;
}

1;
