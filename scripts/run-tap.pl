#!/usr/bin/env perl
#-------------------------------------------------------------------------
#
# scripts/run-tap.pl [--jobs=N] --counts=FILE [--argument=WORD] TEST...
#	  What prove does, and in addition writes "PASSED FAILED" to FILE, and below
#	  it the names of the tests that failed, one a line.
#
# It is prove's own harness.  prove alone prints no count of passed tests that
# adds up when a test dies halfway: here such a file counts as one failure
# even if all it said before was "ok".
#
# A .pl file is run by Perl, .mjs by Node, anything else as the program it is;
# the latter two are given --argument.  VERBOSE=1 shows every test's line.
#
#-------------------------------------------------------------------------
use strict;
use warnings;
use Getopt::Long;
use TAP::Harness;

my ($jobs, $counts, $argument) = (1);
GetOptions(
	'jobs=i' => \$jobs,
	'counts=s' => \$counts,
	'argument=s' => \$argument) && $counts && @ARGV
  or die "usage: run-tap.pl [--jobs=N] --counts=FILE [--argument=WORD] TEST...\n";

my @argument = defined $argument ? ($argument) : ();

sub command_for
{
	my ($harness, $test) = @_;
	return [ $^X, $test ] if $test =~ /\.pl$/;
	return [ 'node', $test, @argument ] if $test =~ /\.mjs$/;
	return [ $test, @argument ];
}

my $harness = TAP::Harness->new(
	{
		jobs => $jobs,
		timer => 1,
		verbosity => $ENV{VERBOSE} ? 1 : 0,
		color => 0,
		failures => 1,
		exec => \&command_for
	});
my $result = $harness->runtests(@ARGV);

my ($passed, $failed) = (0, 0);
my @failed_tests;
foreach my $test ($result->descriptions)
{
	my ($parser) = $result->parsers($test);
	my $bad = $parser->failed;
	$passed += $parser->passed;
	$bad = 1 if $bad == 0 && $parser->has_problems;
	$failed += $bad;
	push @failed_tests, $test if $bad;
}

open my $out, '>', $counts or die "could not write $counts: $!\n";
print $out map { "$_\n" } "$passed $failed", @failed_tests;
close $out or die "could not write $counts: $!\n";
exit($failed ? 1 : 0);
