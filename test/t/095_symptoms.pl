#-------------------------------------------------------------------------
#
# test/t/095_symptoms.pl
#	  docs/operations.md leads from what is seen to what to do, and misses nothing.
#
# Its table names each alert of monitoring/alerts.yaml; each line of the log that it
# names is one of the sources'; and where it sends its reader, there is a section.
# That the remedies work is seen in 085_status.pl and 097_status_server.pl.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use PostgreSQL::Test::Utils;
use Test::More;

my $top = abs_path(dirname(__FILE__) . '/../..');
my $page = slurp_file("$top/docs/operations.md");
my ($table) = $page =~ /^## From what you see\n(.*?)^##/ms;
my %rows;
push @{ $rows{ $_->[0] } }, $_ foreach map { [ split / \| / ] } $table =~ /^\| (.*) \|$/mg;

# The anchors of a page's sections.
sub sections
{
	my ($text) = @_;

	return map { '#' . lc($_) =~ s/[^\w -]//gr =~ s/ /-/gr } $text =~ /^#+ (.*)$/mg;
}

#
# Links
#
my %sections = map { $_ => 1 } sections($page);
foreach my $link ($page =~ /\]\((#[^)]*)\)/g)
{
	ok($sections{$link}, "there is a section $link");
}

#
# Alerts
#
my @told = map { $_->[1] =~ /`(Kgwebhook\w+)`/g } @{ $rows{alert} };
my @alerts = slurp_file("$top/monitoring/alerts.yaml") =~ /alert: (\w+)/g;
is_deeply([ sort @told ], [ sort @alerts ], 'each alert is in the table, once');

#
# Lines of the log
#
my $sources = join '', map { slurp_file($_) } glob("$top/src/*/*.c $top/src/*/*/*.c $top/install/*.sql");
$sources =~ s/\\"|'//g;
foreach my $line (map { $_->[1] =~ /`(\w[^`]{20,})`/g } @{ $rows{log} })
{
	my $fixed = $line =~ s/^kgwebhook: //r =~ s/'//gr;
	my @missing = grep { /\w{2}/ && index($sources, $_) < 0 } split / ?\xe2\x80\xa6 ?/, $fixed;

	is("@missing", '', "the sources have a line: $line");
}

done_testing();
