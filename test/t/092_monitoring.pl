#-------------------------------------------------------------------------
#
# test/t/092_monitoring.pl
#	  The files of monitoring/, with the real exporter and the real promtool.
#
# The exporter asks the server as a member of pg_monitor and nothing else, is
# scraped over loopback, and its numbers are compared with what the tables say.
# Then the alerts are put to promtool, and the dashboard and the guide are
# held against the scrape: they may name no metric and no label it hasn't.
#
# The programs are Debian's (scripts/monitoring-tools.sh).
#
#-------------------------------------------------------------------------
use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use HTTP::Tiny;
use IPC::Run qw(run start);
use JSON::PP;
use Kgwebhook;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $top = abs_path(dirname(__FILE__) . '/../..');
my %tool;
foreach my $name ('prometheus-postgres-exporter', 'promtool')
{
	($tool{$name}) = grep { -x $_ } "$top/test/monitoring/tools/$name",
	  map { "$_/$name" } split /:/, $ENV{PATH};
	plan skip_all => "there is no $name here, nor an apt to fetch it with"
	  unless $tool{$name};
}

my $dir = PostgreSQL::Test::Utils::tempdir('monitoring');
my $node = new_node('main', 'kgwebhook.retry_schedule' => "'1h,1h'");
my $receiver = start_receiver();
$receiver->set_secret(make_intents_table($node));
$node->safe_psql('postgres', 'CREATE ROLE watchman LOGIN IN ROLE pg_monitor');

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

#
# The exporter
#
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $exporter_log = '';
my $exporter;

sub stop_exporter
{
	$exporter->kill_kill(grace => 10) if $exporter;
	$exporter = undef;
	return;
}

END
{
	my $exit_code = $?;

	stop_exporter();
	$? = $exit_code;
}

# Asks a new one, which remembers nothing, once.
sub scrape
{
	my $http = HTTP::Tiny->new(timeout => 30);
	my $end = time + $PostgreSQL::Test::Utils::timeout_default;
	my $answer;

	local $ENV{DATA_SOURCE_NAME} =
	  'user=watchman dbname=postgres sslmode=disable host=' . $node->host . ' port=' . $node->port;
	$exporter = start [
		$tool{'prometheus-postgres-exporter'}, '--disable-default-metrics', '--disable-settings-metrics',
		"--web.listen-address=127.0.0.1:$port", "--extend.query-path=$top/monitoring/postgres_exporter.yaml"
	  ],
	  '<', \undef, '>&', \$exporter_log;
	for (;;)
	{
		$answer = $http->get("http://127.0.0.1:$port/metrics");
		last if $answer->{success} || $answer->{status} != 599 || time >= $end;
		usleep(20_000);
		$exporter->pump_nb;
	}
	$exporter->pump_nb;
	stop_exporter();
	$answer->{success} or die "no metrics: $answer->{status} $answer->{content}\n$exporter_log";
	return $answer->{content};
}

# A scrape as a hash: 'name{label="value", ...}' without the label "server".
sub samples
{
	my ($text) = @_;
	my %samples;

	foreach (split /\n/, $text)
	{
		next unless /^(kgwebhook_\w+)\{(.*)\} (\S+)$/;
		my ($name, $labels, $value) = ($1, $2, $3);
		my @labels = $labels =~ /(\w+="(?:[^"\\]|\\.)*")/g;

		$samples{"$name\{" . join(',', sort grep { !/^server=/ } @labels) . '}'} = $value;
	}
	return \%samples;
}

#
# A bit of everything
#
my $down = start_receiver();
$down->stop;
insert_intent($node, "ok$_", $receiver->url) foreach 1 .. 3;
insert_intent($node, 'refused', $receiver->url('/status/500'), fiat_amount => "'0.25'");
insert_intent($node, 'gone1', $receiver->url('/status/410'));
insert_intent($node, 'gone2', $receiver->url('/status/410'), fiat_amount => "'19.90'", fiat_currency => "'EUR'");
insert_intent($node, 'gone3', $receiver->url('/status/410'), fiat_currency => "'x\"}\n'");
insert_intent($node, 'blocked', 'http://10.0.0.1/');
insert_intent($node, 'no_secret', $receiver->url, org_id => "'nobody'");
sql(qq{
	INSERT INTO payment_intents (payment_intent_id, callback_url)
	SELECT 'down' || i, '@{[ $down->url ]}' FROM generate_series(1, 12) i});

# Subscriptions in every state, for events that never come; one has something waiting.
sql(q{
	SELECT kg_subscribe('default', 'https://m29.example/' || i, '{e.never}') FROM generate_series(1, 10) i;
	UPDATE kgwebhook.subscription SET failing_since = now() WHERE subscription_id > 4;
	UPDATE kgwebhook.subscription SET paused_at = now() WHERE subscription_id > 7;
	UPDATE kgwebhook.subscription SET disabled_at = now(), disabled_reason = 'the receiver answered 410 Gone' WHERE subscription_id > 9;
	INSERT INTO kgwebhook.queue (webhook_id, org_id, event, object_id, url, destination, payload, subscription_id)
	SELECT 'msg_s' || i, 'default', 'e.never', 's' || i, 'https://m29.example/9', 'https://m29.example:443', '{}', 9
	  FROM generate_series(1, 2) i});

# Destinations as third parties could make them: many, long, and of odd characters.
sql(q{
	INSERT INTO kgwebhook.paused (destination)
	SELECT 'https://m' || i || '.example:443' FROM generate_series(1, 30) i
	UNION ALL SELECT 'https://' || repeat('a', 100) || i FROM generate_series(1, 2) i
	UNION ALL SELECT unnest(ARRAY[U&'https://\00fc', U&'https://\00e4', E'https://"\n\\\\']);
	INSERT INTO kgwebhook.queue (webhook_id, org_id, event, object_id, url, destination, payload)
	SELECT 'msg_' || i, 'default', 'e.new', i, p.destination, p.destination, '{}'
	  FROM generate_series(1, 3) i, kgwebhook.paused p
	 WHERE p.destination !~ 'm[0-9]+[.]' OR p.destination = 'https://m30.example:443'});

# Two sources whose subscriptions someone has dropped; an organization of one waits for another node.
sql(q{
	INSERT INTO kgwebhook.source (source, node, subscription, slot, publication, joined, beat, beat_at, beat_applied_at, gaps, skipped, differing)
		VALUES ('src', 'n1', 'gone_1', 's', 'p', true, 7, now() - interval '1 h', now() - interval '1 h', 2, 3, 4),
		       (U&'\00fc', 'n1', 'gone_2', 's', 'p', true, 7, now(), now(), 0, 0, NULL);
	INSERT INTO kgwebhook.source_look (source, looked_at, wal_status, safe_wal_size, wal_kept, behind)
		VALUES ('src', now(), 'extended', 1000, 3000, 500), (U&'\00fc', now(), 'reserved', NULL, 30, 5);
	INSERT INTO kgwebhook.route (source, org_id, node, previous, released, seq, since) VALUES ('src', 'o1', 'n1', 'n2', false, 1, now() - interval '1 h');
	INSERT INTO kgwebhook.held (webhook_id, org_id, event, object_id, url, destination, payload, source)
		SELECT 'msg_h' || i, 'o1', 'e.new', 'h', 'https://h.example/', 'https://h.example:443', '{}', 'src' FROM generate_series(1, 3) i});
$node->poll_query_until('postgres', qq{
	SELECT (SELECT count(*) FROM kgwebhook.delivery_log WHERE object_id !~ 'down') = 9
	   AND (SELECT state = 'backing_off' AND in_flight = 0 FROM kgwebhook.destinations
	         WHERE destination = '@{[ $down->destination ]}')})
  or die 'waited for things to stand still';

#
# The numbers, as the tables have them.  A probe of the sick destination may
# come between; then both are asked again.
#
my $expected_sql = q{
	SELECT name || '{' || concat_ws(',', label1, 'datname="postgres"', label2, label3, label4) || '} ' || value
	  FROM (
	SELECT 'kgwebhook_enqueued_total', NULL, NULL, NULL, NULL, s.enqueued::numeric FROM kgwebhook.worker_stats() s
	UNION ALL SELECT 'kgwebhook_queue_depth', NULL, NULL, NULL, NULL, count(*) FROM kgwebhook.queue
	UNION ALL SELECT 'kgwebhook_in_flight', NULL, NULL, NULL, NULL, 0
	UNION ALL SELECT 'kgwebhook_dead_letters', NULL, NULL, NULL, NULL, count(*) FROM kgwebhook.dead_letter
	UNION ALL SELECT 'kgwebhook_workers', NULL, NULL, NULL, NULL, 1
	UNION ALL SELECT 'kgwebhook_last_error_timestamp_seconds', NULL, NULL, NULL, NULL, 0
	UNION ALL SELECT 'kgwebhook_worker_info', NULL, 'state="idle"', NULL, NULL, 1
	UNION ALL SELECT 'kgwebhook_attempts_total', NULL, format('outcome="%s"', o), NULL, NULL, count(l.outcome)
	  FROM unnest('{acknowledged,rejected,timed_out,unreachable,blocked,invalid,superseded}'::text[]) o
	  LEFT JOIN kgwebhook.delivery_log l ON l.outcome = o GROUP BY o
	UNION ALL SELECT 'kgwebhook_pending_deliveries', NULL, format('waits_for="%s"', w), NULL, NULL, count(p.waits_for)
	  FROM unnest('{secret,resume,challenge,destination,retry,older,rate,window,turn}'::text[]) w
	  LEFT JOIN kgwebhook.pending p ON p.waits_for = w GROUP BY w
	UNION ALL SELECT 'kgwebhook_destinations_known', NULL, format('state="%s"', s), NULL, NULL, count(d.state)
	  FROM unnest('{ok,backing_off,paused}'::text[]) s LEFT JOIN kgwebhook.destinations d ON d.state = s GROUP BY s
	UNION ALL SELECT 'kgwebhook_destinations_pending', NULL, format('state="%s"', s), NULL, NULL,
	       (SELECT count(*) FROM kgwebhook.queue q JOIN kgwebhook.destinations d USING (destination) WHERE d.state = s)
	  FROM unnest('{ok,backing_off,paused}'::text[]) s
	UNION ALL SELECT 'kgwebhook_subscriptions_known', NULL, format('state="%s"', s), NULL, NULL, n
	  FROM (VALUES ('ok', 4), ('failing', 3), ('unverified', 0), ('paused', 2), ('disabled', 1)) v (s, n)
	UNION ALL SELECT 'kgwebhook_subscriptions_pending', NULL, format('state="%s"', s), NULL, NULL, n
	  FROM (VALUES ('ok', 0), ('failing', 0), ('unverified', 0), ('paused', 2), ('disabled', 0)) v (s, n)
	UNION ALL SELECT 'kgwebhook_source_info', NULL, 'source="src"', 'state="broken"', 'wal_status="extended"', 1
	UNION ALL SELECT 'kgwebhook_source_info', NULL, 'source="?"', 'state="broken"', 'wal_status="reserved"', 1
	UNION ALL SELECT 'kgwebhook_source_stream_' || n, NULL, 'source="src"', NULL, NULL, v
	  FROM (VALUES ('lag_bytes', 500), ('wal_kept_bytes', 3000), ('safe_wal_bytes', 1000), ('heartbeat_gaps', 2),
	               ('updates_missing', 0), ('differing_objects', 4), ('skipped', 3)) v (n, v)
	UNION ALL SELECT 'kgwebhook_routes_held', NULL, 'source="src"', NULL, NULL, 1
	UNION ALL SELECT 'kgwebhook_routes_held_deliveries', NULL, 'source="src"', NULL, NULL, 3
	UNION ALL SELECT 'kgwebhook_backing_off_destination_pending', NULL, 'destination="DOWN"', 'state="backing_off"', NULL, 12
	UNION ALL SELECT 'kgwebhook_backing_off_destination_pending', NULL, 'destination="https://m30.example:443"', 'state="paused"', NULL, 3
	UNION ALL SELECT 'kgwebhook_backing_off_destination_pending', NULL, 'destination="https://?"', 'state="paused"', NULL, 6
	UNION ALL SELECT 'kgwebhook_backing_off_destination_pending', NULL, format('destination="https://%s"', repeat('a', 92)), 'state="paused"', NULL, 6
	UNION ALL SELECT 'kgwebhook_backing_off_destination_failures_in_a_row', NULL, 'destination="DOWN"', 'state="backing_off"', NULL, count(*)
	  FROM kgwebhook.delivery_log WHERE outcome = 'unreachable'
	UNION ALL SELECT 'kgwebhook_failures_last_hour', NULL, format('outcome="%s"', outcome),
	       format('status="%s"', coalesce(left(response_status::text, 1) || 'xx', 'none')), NULL, count(*)
	  FROM kgwebhook.delivery_log WHERE outcome <> 'acknowledged' GROUP BY outcome, left(response_status::text, 1)
	UNION ALL SELECT 'kgwebhook_unacknowledged_objects', NULL, format('state="%s"', s), NULL, NULL,
	       (SELECT count(DISTINCT (d.object_id, d.url)) FROM kgwebhook.deliveries d WHERE d.state = s)
	  FROM unnest('{pending,retrying,dead,superseded}'::text[]) s
	UNION ALL SELECT 'kgwebhook_unacknowledged_fiat_amount', 'currency="EUR"', 'state="dead"', NULL, NULL, 19.9
	UNION ALL SELECT 'kgwebhook_unacknowledged_fiat_amount', 'currency="USD"', 'state="dead"', NULL, NULL, 300
	UNION ALL SELECT 'kgwebhook_unacknowledged_fiat_amount', 'currency="USD"', 'state="retrying"', NULL, NULL, 600.25
	) e (name, label1, label2, label3, label4, value)
	ORDER BY 1};
my $destination = $down->destination;
$expected_sql =~ s/DOWN/$destination/g;

my ($text, $expected, $again);
for my $try (1 .. 5)
{
	$expected = sql($expected_sql);
	$text = scrape();
	$again = sql($expected_sql);
	last if $expected eq $again;
}
is($expected, $again, 'nothing changed while the exporter was asked');
my $samples = samples($text);

# How a sample of the scrape reads beside the expected one.
sub shown
{
	my ($name) = @_;

	return defined $samples->{$name} ? "$name " . ($samples->{$name} + 0) : "$name: none";
}

foreach my $line (split /\n/, $expected)
{
	my ($name, $value) = $line =~ /^(.*\}) (.*)$/;

	is(shown($name), "$name " . ($value + 0), $name);
}
like($text, qr/^pg_exporter_last_scrape_error 0$/m, 'the exporter is content');
like($text, qr/^pg_exporter_user_queries_load_error\{.*\} 0$/m, 'with the query file');
like($text, qr/^pg_up.* 1$/m, 'and the server');

# A time: within a minute of what it should be.
sub about
{
	my ($name, $seconds) = @_;

	cmp_ok(abs(($samples->{$name} // 1e9) - $seconds), '<', 60, $name);
	return;
}
my $age = sql('SELECT extract(epoch FROM now() - min(enqueued_at)) FROM kgwebhook.queue');
about('kgwebhook_oldest_pending_age_seconds{datname="postgres"}', $age);
about('kgwebhook_start_timestamp_seconds{datname="postgres"}', sql('SELECT extract(epoch FROM pg_postmaster_start_time())'));
about(qq(kgwebhook_pending_oldest_seconds{datname="postgres",waits_for="$_"}), $age) foreach qw(secret resume challenge destination retry older rate window turn);
about(qq(kgwebhook_pending_overdue_seconds{datname="postgres",waits_for="turn"}), 0);
about(qq(kgwebhook_backing_off_destination_oldest_pending_age_seconds{datname="postgres",destination="$destination",state="backing_off"}), $age);
about('kgwebhook_source_stream_lag_seconds{datname="postgres",source="src"}', 3600);
about('kgwebhook_source_stream_seen_seconds{datname="postgres",source="src"}', 0);
about('kgwebhook_routes_held_seconds{datname="postgres",source="src"}', 3600);
is($samples->{'kgwebhook_source_stream_safe_wal_bytes{datname="postgres",source="?"}'}, '+Inf', 'a slot without a limit');
about(qq(kgwebhook_unacknowledged_oldest_seconds{datname="postgres",state="$_"}), $age) foreach qw(retrying dead);
my $ok = $receiver->destination;
foreach my $percentile (50, 95, 99)
{
	my $name = qq(kgwebhook_latency_seconds{datname="postgres",destination="$ok",percentile="$percentile"});
	my $ms = sql(qq{
		SELECT percentile_cont($percentile / 100.0) WITHIN GROUP (ORDER BY duration_ms) FROM kgwebhook.delivery_log
		 WHERE destination = '$ok' AND outcome IN ('acknowledged', 'rejected')});

	cmp_ok(abs($samples->{$name} - $ms / 1000), '<', 1e-6, $name);
}

# What is due, and has been for ten minutes, when no worker is there for it.
sql(q{ALTER SYSTEM SET kgwebhook.enabled = off});
$node->reload;
$node->poll_query_until('postgres', q{SELECT worker_state = 'disabled' FROM kgwebhook.stats})
  or die 'waited for the worker to stop';
sql(q{INSERT INTO kgwebhook.queue (webhook_id, org_id, event, object_id, url, destination, payload, next_attempt_at)
	VALUES ('msg_late', 'default', 'e.new', 'late', 'https://late.example/', 'https://late.example:443', '{}', now() - interval '10 min')});
$samples = samples(scrape());
about('kgwebhook_pending_overdue_seconds{datname="postgres",waits_for="turn"}', 600);
is(shown('kgwebhook_worker_info{datname="postgres",state="disabled"}'),
	'kgwebhook_worker_info{datname="postgres",state="disabled"} 1', 'a state that is not well');

#
# However many destinations there are
#
my @backing_off = grep { /^kgwebhook_backing_off_destination_pending/ } keys %$samples;
is(scalar @backing_off, 21, 'the worst destinations have series of their own, the others one');
my $sum = 0;
$sum += $samples->{$_} foreach @backing_off;
is($sum, sql(q{SELECT sum(pending) FROM kgwebhook.destinations WHERE state <> 'ok'}), 'and none is left out');
unlike(join("\n", keys %$samples), qr/[^ -~\n]|destination="[^"]{101}/, 'no label is long or odd');

#
# promtool
#
sub promtool
{
	my ($input, @arguments) = @_;
	my $out = '';

	my $good = run [ $tool{promtool}, @arguments ], '<', \$input, '>', \$out, '2>&1';
	return ($good, $out);
}

my ($good, $out) = promtool(join('', map { "$_\n" } grep { /kgwebhook_/ } split /\n/, $text), 'check', 'metrics');
ok($good, 'promtool: metrics are named as they should be') or diag($out);
($good, $out) = promtool('', 'check', 'rules', "$top/monitoring/alerts.yaml");
ok($good, 'promtool: the alerts are good rules') or diag($out);
($good, $out) = promtool('', 'test', 'rules', "$top/test/monitoring/alerts_test.yaml");
ok($good, 'promtool: the alerts see what they should') or diag($out);

#
# Nobody names what the scrape hasn't
#
my (%labels, %values);
foreach (split /\n/, $text)
{
	next unless /^(kgwebhook_\w+)\{(.*)\} /;
	my ($metric, $labels) = ($1, $2);

	while ($labels =~ /(\w+)="((?:[^"\\]|\\.)*)"/g)
	{
		$labels{$metric}{$1} = 1;
		$values{$metric}{$1}{$2} = 1;
	}
}

# What is wrong with an expression: metrics, labels and values nobody has.
sub faults
{
	my ($expr) = @_;
	my (@faults, %known);

	while ($expr =~ /\b(kgwebhook_\w+)(?:\{(.*?)\})?/g)
	{
		my ($metric, $matchers) = ($1, $2 // '');

		push @faults, "metric $metric" unless $labels{$metric};
		%known = (%known, %{ $labels{$metric} // {} });
		while ($matchers =~ /(\w+)(=~|!~|!=|=)"([^"]*)"/g)
		{
			push @faults, "label $1 of $metric" unless $labels{$metric}{$1};
			push @faults, "value $3 of $1 of $metric" if $2 eq '=' && !$values{$metric}{$1}{$3};
		}
	}
	push @faults, "no metric in $expr" unless %known;
	foreach my $list ($expr =~ /\b(?:by|without|on|ignoring) \(([^)]*)\)/g)
	{
		push @faults, map { "label $_" } grep { !$known{$_} } split /, */, $list;
	}
	return ([@faults], \%known);
}

my $alerts = slurp_file("$top/monitoring/alerts.yaml");
foreach my $alert ($alerts =~ /^ +- (alert: .*?)(?=^ +- alert: |\z)/msg)
{
	my ($name) = $alert =~ /^alert: (\w+)/;
	my ($expr) = $alert =~ /expr:(.*?)^ +(?:for|labels):/ms;
	my ($faults, $known) = faults($expr);

	push @$faults, map { "label $_" } grep { !$known->{$_} } $alert =~ /\$labels\.(\w+)/g;
	push @$faults, map { "view $_" }
	  grep { sql("SELECT to_regclass('$_') IS NULL") eq 't' } $alert =~ /FROM (kgwebhook\.\w+)/g;
	push @$faults, map { "function $_" }
	  grep { sql("SELECT count(*) FROM pg_proc WHERE proname = '$_'") eq '0' } $alert =~ /\b(kg_\w+)\(/g;
	is("@$faults", '', "$name names only what there is");
}

my $dashboard = decode_json(slurp_file("$top/monitoring/grafana.json"));
my (%ids, %cells, $rules);
foreach my $panel (@{ $dashboard->{panels} })
{
	my ($title, $grid) = ($panel->{title}, $panel->{gridPos});
	my @overlaps;

	ok(!$ids{ $panel->{id} }++, "panel \"$title\" has a number of its own");
	foreach my $x ($grid->{x} .. $grid->{x} + $grid->{w} - 1)
	{
		push @overlaps, grep { $cells{"$x,$_"}++ } $grid->{y} .. $grid->{y} + $grid->{h} - 1;
	}
	ok(!@overlaps && $grid->{x} + $grid->{w} <= 24, "panel \"$title\" has a place of its own");
	ok(scalar @{ $panel->{targets} }, "panel \"$title\" shows something");
}
foreach my $target ((map { @{ $_->{targets} } } @{ $dashboard->{panels} }), @{ $dashboard->{annotations}{list} })
{
	my $expr = $target->{expr};
	my $format = $target->{legendFormat} // $target->{titleFormat};
	my ($faults, $known) = faults($expr =~ s/=~"\$datname"/=~".*"/gr);
	my %shown = $expr =~ /\bby \(([^)]*)\)/ ? map { $_ => 1 } split /, */, $1
	  : $expr =~ /\bsum|\bmax/ ? () : %$known;

	push @$faults, map { "label $_" } grep { !$shown{$_} } $format =~ /\{\{(\w+)\}\}/g;
	push @$faults, 'another data source' unless $target->{datasource}{uid} eq '${datasource}';
	is("@$faults", '', "dashboard: $expr");
	$expr =~ s/\$__rate_interval/5m/g;
	$expr =~ s/"\$datname"/".*"/g;
	$rules .= "  - record: r\n    labels: {n: \"" . length($rules // '') . "\"}\n    expr: '$expr'\n";
}
foreach my $variable (@{ $dashboard->{templating}{list} })
{
	next if $variable->{type} eq 'datasource';
	my ($metric, $label) = $variable->{definition} =~ /^label_values\((\w+), (\w+)\)$/;

	ok($labels{$metric}{$label}, "dashboard: variable $variable->{name}");
}
append_to_file("$dir/dashboard.yaml", "groups:\n- name: dashboard\n  rules:\n$rules");
($good, $out) = promtool('', 'check', 'rules', "$dir/dashboard.yaml");
ok($good, 'promtool: the dashboard asks good questions') or diag($out);

my $guide = slurp_file("$top/docs/monitoring.md");
my %told = $guide =~ /^\| `(kgwebhook_\w+)` \| ([^|]*?) \|/mg;
is_deeply(
	{ map { $_ => join ', ', map { "`$_`" } grep { !/^(datname|server)$/ } sort keys %{ $labels{$_} } } keys %labels },
	\%told, 'docs/monitoring.md names every metric with its labels');
is_deeply([ sort $guide =~ /^\| `(Kgwebhook\w+)` \|/mg ], [ sort $alerts =~ /alert: (\w+)/g ],
	'and every alert');

$node->stop;
done_testing();
