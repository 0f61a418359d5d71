#-------------------------------------------------------------------------
#
# test/t/082_dashboard.pl
#	  The delivery page, in a real Chromium.
#
# Third parties plant what would run, in every place that they can write to: object
# ids, URLs, statuses, order_data, answers.  The browser must show it as text, run
# nothing, fetch nothing and complain of nothing; on a desk, on a phone, light,
# dark and without script.  Then the first wall is broken on purpose, by writing
# into the page, and the page's policy has to hold.  Where no Chromium can be had
# (Ubuntu's is a snap), the page is only read.
#
# And whatever keeps deliveries from going out is said at the top.
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Cwd qw(abs_path);
use Encode qw(encode decode);
use File::Basename qw(dirname);
use IPC::Run qw(run);
use Kgwebhook;
use MIME::Base64 qw(encode_base64url);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::Local qw(timegm);

my $look = abs_path(dirname(__FILE__) . '/../browser/look.mjs');
my $dir = PostgreSQL::Test::Utils::tempdir('pages');

my $node = new_node('main', 'kgwebhook.retry_schedule' => "'1h'");
my $secret = make_intents_table($node);
my $receiver = start_receiver(program => 'hostile.mjs');

sub quoted
{
	my ($text) = @_;

	$text =~ s/'/''/g;
	return "'$text'";
}

sub page
{
	my ($database, @set) = @_;

	return $node->safe_psql($database, join('; ', @set, 'SELECT kg_dashboard()')) . "\n";
}

sub save
{
	my ($name, $page) = @_;

	open my $file, '>', "$dir/$name" or die "could not write $name: $!";
	print $file $page;
	close $file or die "could not write $name: $!";
	return "$dir/$name";
}

# What Chromium saw of pages: a list of hashes, one a page and way of looking.
sub look_at
{
	my ($search, @files) = @_;
	my ($out, $err);

	run([ 'node', $look, '--directory', $dir, '--search', $search, @files ], '<', \undef, '>', \$out, '2>', \$err)
	  or die "the browser failed: $err";
	return map { Kgwebhook::Receiver::decode($_) } split /\n/, $out;
}

# A text cut off as the page does.
sub substr_text
{
	my ($bytes, $max) = @_;
	my $text = decode('UTF-8', $bytes);

	return encode('UTF-8', length $text > $max ? substr($text, 0, $max) . "\x{2026}" : $text);
}

# A moment in India, as the page has it beside UTC.
sub elsewhere
{
	my ($at) = @_;
	my ($y, $m, $d, @clock) = $at =~ /(\d+)/g;
	my ($s, $min, $h, $day, $month, $year) = gmtime(timegm(reverse(@clock), $d, $m - 1, $y) + 19800);

	return ' ' . ($day == $d ? '' : sprintf('%04d-%02d-%02d ', $year + 1900, $month + 1, $day)) . sprintf('%02d:%02d:%02d local', $h, $min, $s);
}

# The banner, as a reader has it.
sub banner
{
	my ($page) = @_;
	my ($banner) = $page =~ m{<div class="banner (.*?)</div>}s or return 'no banner';
	my ($severity) = $banner =~ /^(\w+)/;

	$banner =~ s/^[^>]*>//;
	$banner =~ s/<[^>]*>//g;
	return "$severity $banner" =~ s/&#39;/'/gr =~ s/&#\w+;//gr;
}

#
# What is planted.  The first closes whatever it may stand in.
#
my $evil = q{</title></style></script></code></td><script>window.ran='%s'</script>}
  . q{<img src=x onerror="window.ran='%s'"><svg onload="window.ran='%s'"></svg><!--"'> onmouseover=1 style=color:red &lt;}
  . encode('UTF-8', "\x{fc}\x{1F602}");
my %evil = map { $_ => $evil =~ s/%s/$_/gr } qw(id url status data answer);

my $answer = "HTTP/1.1 500 No\r\ncontent-length: " . length($evil{answer}) . "\r\n\r\n$evil{answer}";
my $url = $receiver->url('/raw/close/' . encode_base64url($answer));

insert_intent($node, $evil{id}, $url, order_data => quoted('{"note": "' . ($evil{data} =~ s/(["\\])/\\$1/gr) . '"}'));
$node->safe_psql('postgres', q{
	CREATE TABLE odd (id text, status text, url text);
	SELECT kg_watch('odd', 'odd', 'id', 'status', 'url', NULL)});
$node->safe_psql('postgres', "INSERT INTO odd VALUES ('odd status', " . quoted($evil{status}) . ", " . quoted($url) . "),"
	. "('odd url', 'new', " . quoted("http://127.0.0.1:1/$evil{url}") . ")");
insert_intent($node, "fine $_", $receiver->url('/raw/open/' . encode_base64url("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")))
  foreach 1 .. 30;
wait_for_log_rows($node, 33);
# and more lists that are longer than what is seen of them at once
$node->safe_psql('postgres', q{
	INSERT INTO kgwebhook.delivery_log (delivery_id, webhook_id, org_id, event, object_id, url, destination,
		attempt, outcome, final, response_status, error, started_at, duration_ms)
	SELECT nextval('kgwebhook.delivery_id_seq'), 'msg_' || n, 'merchant ' || n, 'payment_intent.success', 'busy ' || n,
		'https://hooks' || n || '.example/webhooks/payments', 'https://hooks' || n || '.example:443',
		1, 'rejected', true, 503, 'HTTP status 503', now(), 20
	  FROM generate_series(1, 12) n});

my $page = page('postgres');
like(banner($page), qr/^warning !Warning: Deliveries flow, but /, 'deliveries flow, but not all');
like($page, qr{<li class="warning"><b>1 delivery was given up: }, 'and what was given up is said');
unlike($page, qr/[^\x00-\x7f]/, 'the page is ASCII');
cmp_ok(length $page, '<', 1_000_000, 'and small');

# And one where the first wall has a hole.
my $hole = '<script>window.ran="slip"</script><img src="x" onerror="window.ran=2"><p style="position:fixed">'
  . '<a href="#" id="link" onclick="window.ran=3">x</a></p><iframe srcdoc="<script>parent.ran=4</script>"></iframe>'
  . '<script src="http://127.0.0.1:' . $receiver->port . '/leak"></script><style>body { display: none }</style>';
my $slip = $page;
ok($slip =~ s/(<main>)/$1$hole/, 'a hole is made');

$node->safe_psql('postgres', 'CREATE DATABASE empty');
$node->safe_psql('empty', 'SET client_min_messages = warning; CREATE EXTENSION kgwebhook CASCADE');
wait_for_worker($node, 'empty');
$node->poll_query_until('empty', q{SELECT worker_state = 'idle' FROM kgwebhook.stats}) or die 'no worker';

SKIP:
{
	my $why = "there is no chromium here";

	unless (grep { -x "$_/chromium" } split /:/, $ENV{PATH})
	{
		diag("$why: how the page looks was not tested");
		skip $why, 1;
	}

	my @seen = look_at('FINE 1', save('page.html', $page), save('slip.html', $slip), save('empty.html', page('empty')));
	is(scalar @seen, 24, 'three pages were looked at in eight ways');
	my %seen = map { ("$_->{file} $_->{way}" => $_) } @seen;

	foreach my $saw (grep { $_->{file} ne 'slip.html' } @seen)
	{
		my $name = "$saw->{file}, $saw->{way}";

		is($saw->{ran}, undef, "$name: nothing ran");
		is_deeply($saw->{said}, [], "$name: nothing is complained of");
		is_deeply($saw->{requests}, [], "$name: nothing is asked for");
		is_deeply($saw->{handlers}, [], "$name: no attribute that would run, style or fetch");
		is($saw->{scripts}, 1, "$name: one script");
		is_deeply([ grep { /^(img|iframe|object|embed|base|video|audio)$/ } sort keys %{ $saw->{elements} } ],
			[], "$name: no element of a third party's");
		is($saw->{scroll}, $saw->{width}, "$name: nothing beside the screen");
		is_deeply($saw->{faint}, [], "$name: every word stands out from its ground");
		cmp_ok($saw->{words}, '>', 20, "$name: and there are words");
		is($saw->{form} ? 1 : 0, $saw->{file} eq 'page.html' && $saw->{way} ne 'without script' ? 1 : 0,
			"$name: the search is offered where it works");
	}

	foreach my $way ('light', 'phone', 'without script')
	{
		my $saw = $seen{"page.html $way"};
		my ($id) = grep { /window\.ran/ } @{ $saw->{ids} };

		is(encode('UTF-8', $id // ''), substr_text($evil{id}, 100), "$way: the object id is text");
		foreach my $what (qw(url status data answer))
		{
			my $text = $what eq 'data' ? $evil{$what} =~ s/(["\\])/\\$1/gr : $evil{$what};

			like(encode('UTF-8', $saw->{hidden}), qr/\Q@{[substr_text($text, 60) =~ s{\xe2\x80\xa6$}{}r]}\E/, "$way: so is what was planted as $what");
		}
	}

	foreach my $saw (map { $seen{"page.html $_"} } 'light', 'elsewhere')
	{
		# half past five hours ahead of UTC
		my @wrong = grep { ($_->{local} // '') ne ($saw->{way} eq 'light' ? '' : elsewhere($_->{at})) } @{ $saw->{times} };

		cmp_ok(scalar @{ $saw->{times} }, '>', 30, "$saw->{way}: there are times");
		is_deeply(\@wrong, [], "$saw->{way}: " . ($saw->{way} eq 'light' ? 'nothing beside them where UTC is local' : 'and what is local is beside UTC'));
	}
	isnt($seen{'page.html dark'}{ground}, $seen{'page.html light'}{ground}, 'dark is another ground than light');
	# a request whose connection had died is another row
	my @objects = map { s/<[^>]*>//gr } $page =~ m{<tr class="row">.*?<td class="id[^>]*>(.*?)</td>}gs;
	my ($all, $hits) = (scalar @objects, scalar grep { /fine 1/ } @objects);
	cmp_ok($hits, '>=', 11, 'there are rows to be found');
	cmp_ok($all, '>=', 48, 'and others');
	is_deeply($seen{'page.html light'}{hits}, { seen => $hits, all => $all, said => "$hits of $all rows on this page", afterwards => $all },
		'the search finds by object id, in whatever case, and shows all again');
	# what made 16,000 pixels on a phone is folded, and unfolds; a desk shows all
	foreach my $way ('phone', 'small phone')
	{
		my $saw = $seen{"page.html $way"};

		cmp_ok($saw->{height}, '<', 3500, "$way: the page is short");
		cmp_ok($saw->{folded}{cells}, '<', $saw->{folded}{all}, "$way: a card unfolds");
		is_deeply([ grep { !/: folded, opens$/ } @{ $saw->{folded}{sections} } ], [], "$way: so do sections");
		cmp_ok(scalar @{ $saw->{folded}{sections} }, '>=', 4, "$way: charts, reasons, failures, deliveries");
	}
	cmp_ok($seen{'page.html tablet'}{height}, '<', 6500, 'tablet: not long, either');
	is_deeply([ @{ $seen{'page.html light'}{folded} }{qw(cells sections)} ], [ $seen{'page.html light'}{folded}{all}, [] ], 'nothing is folded on a desk');
	foreach my $way ('light', 'dark', 'phone')
	{
		my %chart = map { $_->{id} => $_ } @{ $seen{"page.html $way"}{folded}{charts} };

		is_deeply([ sort keys %chart ], [qw(day-count day-time hour-count hour-time)], "$way: four charts");
		cmp_ok($chart{$_}{bars}, '>=', 2, "$way: $_ has bars, of acknowledged and failed attempts") foreach qw(day-count hour-count);
		cmp_ok($chart{$_}{lines}, '>', 0, "$way: $_ has lines") foreach qw(day-time hour-time);
	}
	is_deeply([ grep { $_->{bars} + $_->{lines} } @{ $seen{'empty.html light'}{charts} } ], [], 'nothing is drawn of an empty log');
	like($seen{'empty.html light'}{text}, qr/Deliveries flow: nothing waits/, 'an empty database is healthy');
	like($seen{'empty.html light'}{text}, qr/no attempts in this time.*no answers in this time/s, 'and its charts say that they are empty');
	like($seen{'empty.html light'}{title}, qr/^Deliveries flow: nothing waits - empty$/, 'as does the title');

	foreach my $saw (grep { $_->{file} eq 'slip.html' } @seen)
	{
		is($saw->{ran}, undef, "a hole, $saw->{way}: still nothing ran");
		isnt($saw->{text}, '', "a hole, $saw->{way}: a third party's style does not count");
		is_deeply($saw->{requests}, [], "a hole, $saw->{way}: nothing goes out");
	}
	cmp_ok(scalar(grep { /Content Security Policy/ } @{ $seen{'slip.html light'}{said} }), '>=', 4,
		'and the browser says that the policy forbade it');
}

#
# Whatever stops deliveries is said at the top
#
$node->safe_psql('postgres', 'SELECT kg_pause()');
like(banner(page('postgres')), qr/^alarm Alarm: Nothing is delivered: everything is paused since [0-9:]+$/, 'paused');
$node->safe_psql('postgres', 'SELECT kg_resume()');

reload($node, 'kgwebhook.enabled' => 'off');
$node->poll_query_until('postgres', q{SELECT worker_state = 'disabled' FROM kgwebhook.stats}) or die 'not disabled';
is(banner(page('postgres')), "alarm Alarm: Nothing is delivered: kgwebhook.enabled is off", 'disabled');
reload($node, 'kgwebhook.enabled' => 'on');

$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE empty');
$node->poll_query_until('copy', q{SELECT worker_state = 'not adopted' FROM kgwebhook.stats}) or die 'adopted';
is(banner(page('copy')), "alarm Alarm: Nothing is delivered: this database is a copy of another", 'a copy');

my $nobody = PostgreSQL::Test::Cluster::get_free_port();

# A destination where nothing listens backs off after five failures.
$node->safe_psql('postgres', q{
	INSERT INTO payment_intents (payment_intent_id, callback_url, fiat_amount, fiat_currency)
	SELECT 'down ' || n, 'http://127.0.0.1:} . $nobody . q{/hook', '10.25', 'USD' FROM generate_series(1, 6) n});
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM kgwebhook.destinations WHERE state = 'backing_off'}) or die 'not backing off';
$page = page('postgres');
like(banner($page), qr{^warning !Warning: Deliveries flow, but http://127\.0\.0\.1:$nobody/hook \(organization default\): the connection was refused since [0-9:]+, 6 waiting, 61\.50 USD$}, 'one that is down, whose it is and what waits');
my ($signature) = $node->safe_psql('postgres', q{SELECT request_body FROM kgwebhook.delivery_log WHERE object_id = 'down 1' LIMIT 1}) =~ /"signature":\s*"([0-9a-f]{64})"/;
like($page, qr{<summary>Sent</summary><code>[^<]*&quot;down 1&quot;}, 'with what was sent');
unlike($page, qr{\Q$_\E}, 'but neither secret nor signature') foreach $secret, $signature // die 'it was not signed';
like($page, qr{<dt>Destinations backing off</dt><dd><b>1</b> <span>next probe }, 'until when');
like($page, qr{<b>http://127\.0\.0\.1:$nobody</b> <small>organization default</small></td><td class="key" data-label="State"><span class="state warning">backing off</span>}, 'which');
like($page, qr{data-label="Last error">[^<]*refused}, 'and why');
like($page, qr{<span class="amount">361\.50 <abbr>USD</abbr>}, 'and the money at stake: of these, and of what was refused');

# Subscriptions: one gone, one paused by hand, one down for long, one healthy.
my %subscription = map { $_ => $node->safe_psql('postgres', 'SELECT kg_subscribe(' . quoted('default') . ', '
		. quoted($_ eq 'gone' ? $receiver->url('/raw/close/' . encode_base64url("HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n"))
			: "http://127.0.0.1:$nobody/$_") . ", events => '{made.up.$_}', description => " . quoted("<script>window.ran='$_'</script>") . ')') }
  qw(gone paused down healthy);
$node->safe_psql('postgres', "SELECT kg_pause_subscription($subscription{paused})");
$node->safe_psql('postgres', "UPDATE kgwebhook.subscription SET failing_since = now() - interval '11 min' WHERE subscription_id = $subscription{down}");
$node->safe_psql('postgres', "UPDATE kgwebhook.subscription SET events = '{*}' WHERE subscription_id = $subscription{gone}");
insert_intent($node, 'gone', undef);
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM kgwebhook.subscriptions WHERE state = 'disabled'}) or die 'not disabled';
$page = page('postgres');
like($page, qr{<li class="warning"><b>subscription $subscription{gone} of organization default \([^<]*\) is disabled since [0-9:]+\.</b>}, 'a subscription that is disabled');
like($page, qr{<li class="warning"><b>subscription $subscription{down} of organization default \([^<]*\) has acknowledged nothing since [0-9: -]+\.</b>}, 'one that fails for long');
like($page, qr{<li class="warning"><b>subscription $subscription{paused} of organization default \([^<]*\) is paused since [0-9:]+\.</b>}, 'and one that is paused');
is_deeply([ $page =~ m{data-label="Subscription">(\d+)</td><td class="key" data-label="State"><span class="state warning">(\w+)<}g ],
	[ $subscription{gone}, 'disabled', $subscription{down}, 'failing', $subscription{paused}, 'paused' ],
	'are listed, the worst first, and not what is healthy');
like($page, qr{data-label="Reason">[^<]*410}, 'with the reason');
unlike($page, qr{<script>window}, 'and their descriptions are text');
like($page, qr{<dt>Paused receivers</dt><dd><b>1</b> <span>1 subscription</span>}, 'paused ones are counted');

$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
is(banner(page('postgres')), "alarm Alarm: Nothing is delivered: the server does not preload kgwebhook", 'not preloaded');

$node->stop;
$receiver->stop;

done_testing();
