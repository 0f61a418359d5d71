--
-- The delivery page: what doesn't need a worker or a browser.  That a browser
-- shows it well and runs none of it is test/t/082_dashboard.pl's.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set refused :abs_srcdir '/sql/include/refused.sql'
\set ECHO none
\i :refused
\set ECHO all
\t on
\a
CREATE ROLE kgw_clerk;
CREATE ROLE kgw_monitor IN ROLE pg_monitor;
CREATE ROLE kgw_reader IN ROLE pg_monitor;
GRANT SELECT ON kgwebhook.delivery_log TO kgw_reader;

-- a page without its style and script, and only what is between tags
CREATE FUNCTION pg_temp.content(page text) RETURNS text LANGUAGE sql AS
	$$ SELECT regexp_replace(page, '<style>.*</style>|<script>.*</script>', '', 'g') $$;
CREATE FUNCTION pg_temp.said(page text) RETURNS text LANGUAGE sql AS
	$$ SELECT regexp_replace(regexp_replace(pg_temp.content(page), '<[^>]*>', ' ', 'g'), '\s+', ' ', 'g') $$;
CREATE FUNCTION pg_temp.times(page text, what text) RETURNS bigint LANGUAGE sql AS
	$$ SELECT (length(page) - length(replace(page, what, ''))) / length(what) $$;

-- the worker of this server is there, and disabled
DO $$
BEGIN
	FOR i IN 1 .. 6000 LOOP
		EXIT WHEN (SELECT worker_state = 'disabled' FROM kgwebhook.stats);
		PERFORM pg_sleep(0.01);
	END LOOP;
END $$;

--
-- Nothing there yet
--
BEGIN;
SELECT kg_dashboard() AS page \gset
SELECT :'page' ~ '^<!DOCTYPE html>\n<html lang="en">' AS begins, :'page' ~ '</html>\n$' AS ends;
SELECT substring(:'page' FROM '<title>[^<]*</title>');
SELECT substring(:'page' FROM '<div class="banner [a-z]*"');
SELECT word, pg_temp.said(:'page') LIKE '%' || word || '%' AS said FROM unnest(ARRAY[
	'Nothing is delivered: kgwebhook.enabled is off', 'nothing waits', 'nothing was given up',
	'no attempts in this time', 'no answers in this time', 'Nothing has been sent since the server started, and nothing waits.',
	'No attempt has failed in the last hour.', 'The log has no attempt that failed.']) word;
SELECT pg_temp.times(:'page', '<svg ') AS charts, pg_temp.times(:'page', '<desc ') AS described,
	pg_temp.times(:'page', '<script') AS scripts, pg_temp.times(:'page', '<style') AS styles,
	pg_temp.times(:'page', ' style=') AS styled;
-- nothing is fetched
SELECT m[1] FROM regexp_matches(pg_temp.content(:'page'), '\m(?:src|href|action|url)\s*[=(]\s*"?([^">\s]*)', 'g') m ORDER BY 1;
-- the policy names the hashes of what is there
SELECT what, position(format('%s-src ''sha256-%s''', what, encode(sha256(convert_to(substring(:'page' FROM format('<%s>(.*)</%s>', tag, tag)), 'UTF8')), 'base64')) IN :'page') > 0 AS named
  FROM (VALUES ('style', 'style'), ('script', 'script')) f (what, tag);
SELECT substring(:'page' FROM 'default-src ''[a-z]*''');

--
-- Who may
--
SET ROLE kgw_clerk;
SELECT pg_temp.refused('SELECT kg_dashboard()');
RESET ROLE;
SET ROLE kgw_monitor;
SELECT kg_dashboard() LIKE '%is shown to roles that may read <code>kgwebhook.delivery_log</code>%' AS without_bodies;
RESET ROLE;
-- a function of another's shows what its owner may see
CREATE FUNCTION pg_temp.page() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT public.kg_dashboard()';
ALTER FUNCTION pg_temp.page() OWNER TO kgw_monitor;
SELECT pg_temp.page() LIKE '%is shown to roles that may read <code>kgwebhook.delivery_log</code>%' AS without_bodies;
DROP FUNCTION pg_temp.page();

--
-- What third parties write is text, and no more than there is room for
--
CREATE TEMP TABLE planted (evil text);
INSERT INTO planted VALUES ($$</title></style></script><script>window.ran=1</script><!--"'><img src=x onerror="window.ran=2">&lt;&#60;ü😂$$
	|| U&'\202E\0007\0085\200B' || repeat('x', 50));
INSERT INTO kgwebhook.queue (delivery_id, webhook_id, org_id, event, object_id, url, destination, payload, attempts, next_attempt_at)
SELECT 2000000001, 'msg_' || evil, evil, evil, evil, 'https://' || evil, 'https://' || evil,
	jsonb_build_object('fiat_amount', '1.00', 'order_data', evil), 1, 'infinity' FROM planted;
INSERT INTO kgwebhook.dead_letter (delivery_id, webhook_id, org_id, event, object_id, url, destination, payload, attempts, next_attempt_at, enqueued_at, xid, reason)
SELECT 2000000002, 'msg_' || evil, evil, evil, evil, 'https://' || evil, 'https://' || evil,
	jsonb_build_object('fiat_amount', '12345.50', 'fiat_currency', left(evil, 16)), 1, now(), now(), '3', evil FROM planted;
INSERT INTO kgwebhook.delivery_log (delivery_id, webhook_id, org_id, event, object_id, url, destination, attempt, outcome, final, response_status, response_body, error, request_body, started_at, duration_ms)
SELECT n, 'msg_' || evil, evil, evil, evil, 'https://' || evil, 'https://' || evil, 1, 'rejected', n = 2000000002, 500, 'answer ' || evil, evil,
	format('{"order_data":"%s","signature":"%s"}', evil, repeat('5', 64)), now(), 10
  FROM planted, generate_series(2000000001, 2000000002) n;
SELECT pg_catalog.setval('kgwebhook.delivery_id_seq', 2000000002) > 0;
SELECT kg_dashboard() AS page \gset
SELECT pg_temp.times(:'page', '<script') AS scripts, pg_temp.times(:'page', '</script') AS ends,
	pg_temp.times(:'page', '<style') AS styles, pg_temp.times(:'page', '</title>') - pg_temp.times(:'page', '<title') AS titles,
	pg_temp.times(:'page', '<img') AS images, pg_temp.times(:'page', '<!--') AS comments,
	:'page' ~ '[^\x01-\x7f]' AS beyond_ascii, :'page' ~ '[\x01-\x09\x0b-\x1f\x7f]' AS control;
SELECT pg_temp.times(:'page', '&lt;/title&gt;&lt;/style&gt;&lt;/script&gt;&lt;script&gt;window.ran=1&lt;/script&gt;&lt;!--&quot;&#39;&gt;&lt;img src=x onerror=&quot;window.ran=2&quot;&gt;&amp;lt;&amp;#60;&#xFC;&#x1F602;&#xFFFD;&#xFFFD;&#xFFFD;&#xFFFD;x') > 10 AS as_text;
-- no tag but those we write
SELECT DISTINCT m[1] AS tag FROM regexp_matches(pg_temp.content(:'page'), '<([^\s>/]+)', 'g') m
 WHERE m[1] NOT IN ('!DOCTYPE', 'html', 'head', 'meta', 'link', 'title', 'body', 'header', 'nav', 'main', 'section', 'form', 'input',
	'h1', 'h2', 'p', 'div', 'span', 'b', 'small', 'q', 'ul', 'li', 'dl', 'dt', 'dd', 'abbr', 'code', 'a', 'time', 'table', 'thead',
	'tbody', 'tr', 'th', 'td', 'details', 'summary', 'figure', 'figcaption', 'svg', 'desc', 'text', 'path', 'rect', 'g');
-- what was answered and sent, without the signature
SELECT :'page' LIKE '%<code>answer &lt;/title&gt;%' AS answer, :'page' LIKE '%{&quot;order_data&quot;:&quot;&lt;/title&gt;%x&quot;}</code>%' AS sent,
	:'page' LIKE '%55555%' AS signature;
SELECT word, pg_temp.said(:'page') LIKE '%' || word || '%' AS said FROM unnest(ARRAY[
	' has no secret, 1 delivery waits since ', '1 delivery was given up: &lt;/title&gt;', 'when there is a signing secret',
	' 12,345.50 &lt;/title&gt;&lt;/sty', 'given up &lt;/title&gt;', ' 2 failed;']) word;
-- only for those who may read the log, and all of it
SET ROLE kgw_monitor;
SELECT kg_dashboard() ~ 'answer &lt;|order_data' AS monitor;
RESET ROLE;
SET ROLE kgw_reader;
SELECT kg_dashboard() ~ 'answer &lt;.*order_data' AS reader;
RESET ROLE;
CREATE POLICY none ON kgwebhook.delivery_log AS RESTRICTIVE USING (false);
SET ROLE kgw_reader;
SELECT kg_dashboard() ~ 'answer &lt;|order_data' AS reader_with_row_security;
RESET ROLE;

-- as much as they like, of what takes most room
INSERT INTO kgwebhook.delivery_log (delivery_id, webhook_id, org_id, event, object_id, url, destination, attempt, outcome, final, response_status, response_body, error, request_body, started_at, duration_ms)
SELECT 2000000100 + n, '', '', repeat('😂', 5000), repeat('😂', 5000), repeat('😂', 5000), repeat('😂', 4000) || n, 1, 'superseded', true, 500,
	repeat('😂', 5000), repeat('😂', 5000) || n, format('{"a":"%s"}', repeat('😂', 5000)), now(), 10 FROM generate_series(1, 300) n;
INSERT INTO kgwebhook.queue (delivery_id, webhook_id, org_id, event, object_id, url, destination, payload)
SELECT 2000001000 + n, '', '', repeat('😂', 5000), repeat('😂', 5000), repeat('😂', 5000), repeat('😂', 500) || n, '{}' FROM generate_series(1, 300) n;
SELECT pg_catalog.setval('kgwebhook.delivery_id_seq', 2000001300) > 0;
SELECT kg_dashboard() AS page \gset
SELECT octet_length(:'page') < 1000000 AS small, :'page' LIKE '%do not fit on this page%' AS says_so,
	:'page' LIKE '%more are in <code>kgwebhook.destinations</code>%' AS of_destinations;
ROLLBACK;

--
-- Everything paused, and one destination
--
BEGIN;
SELECT kg_pause('https://m.example:443'), kg_pause();
SELECT word, pg_temp.said(kg_dashboard()) LIKE '%' || word || '%' AS said FROM unnest(ARRAY[
	'Nothing is delivered: everything is paused since ', 'https://m.example:443 is paused since ', 'https://m.example:443 paused', 'after kg_resume()']) word;
ROLLBACK;

--
-- Success and latency of today and of the day before; whose destinations are, and their last error
--
BEGIN;
INSERT INTO kgwebhook.queue (delivery_id, webhook_id, org_id, event, object_id, url, destination, payload, attempts)
SELECT 2000000000 + n, 'm', (ARRAY['acme', 'beta', 'beta'])[n], 'e.new', 'o1', 'https://a.example/', (ARRAY['https://a.example:443', 'https://a.example:443', 'https://b.example:443'])[n], '{}', 1
  FROM generate_series(1, 3) n;
INSERT INTO kgwebhook.delivery_log (delivery_id, webhook_id, org_id, event, object_id, url, destination, attempt, outcome, final, response_status, error, started_at, duration_ms, is_test)
SELECT 2000000000 + n, 'm', org, 'e.new', 'o1', 'https://a.example/', 'https://' || host || '.example:443', 1, outcome, true, 500, error, now() - age, took, test
  FROM (VALUES (11, 'acme', 'a', 'acknowledged', NULL, interval '5 min', 10, false), (12, 'acme', 'a', 'acknowledged', NULL, '5 min', 20, false),
	(13, 'acme', 'a', 'acknowledged', NULL, '5 min', 30, false), (1, 'acme', 'a', 'rejected', 'an older error', '5 min', 40, false),
	(2, 'beta', 'a', 'rejected', 'no such hook', '4 min', 50, false),
	(14, 'beta', 'b', 'acknowledged', NULL, '5 min', 1000, false), (15, 'beta', 'b', 'unreachable', 'a test''s', '5 min', 1000, true),
	(16, 'beta', 'b', 'superseded', 'newer', '5 min', 1000, false),
	(3, 'beta', 'b', 'timed_out', 'no answer of old', '3 days', 1000, false),
	(17, 'beta', 'b', 'acknowledged', NULL, '25 h', 1, false), (18, 'beta', 'b', 'blocked', 'x', '25 h', 1, false)) l (n, org, host, outcome, error, age, took, test);
SELECT word, pg_temp.said(kg_dashboard()) LIKE '%' || word || '%' AS said FROM unnest(ARRAY[
	' https://a.example:443 organization acme and 1 other ok ', ' 60.0 % of 5 30 ms p95 48 ms 2 ',
	' https://b.example:443 organization beta ok ', ' 100 % of 1 1,000 ms p95 1,000 ms 1 ', ' no answer of old ',
	' 66.66 % of 6 attempts in the last 24 hours were acknowledged, 16.66 points more than the day before: 50.00 % of 2. ']) word;
SELECT pg_temp.said(kg_dashboard()) ~ ' no such hook ([0-9-]+ )?[0-9:]+ 4 min ago ' AS last_error;
-- failures are grouped by delivery, the latest first; equal ids of two organizations are two
INSERT INTO kgwebhook.delivery_log (delivery_id, webhook_id, org_id, event, object_id, url, destination, attempt, outcome, final, response_status, error, started_at, duration_ms)
SELECT 2000000001, 'm', 'acme', 'e.new', 'o1', 'https://a.example/', 'https://a.example:443', 1 + n, CASE n WHEN 12 THEN 'unreachable' ELSE 'rejected' END, false,
	CASE WHEN n < 12 THEN 503 END, 'error ' || n, now() - interval '1 min' * (20 - n), 1 FROM generate_series(1, 12) n;
SELECT regexp_replace(pg_temp.said(regexp_replace(r.row, '</tbody>.*', '')), '(\d+-\d+-\d+ )?\d+:\d+:\d+', 'T', 'g') AS row
  FROM regexp_split_to_table(split_part(split_part(kg_dashboard(), '<section id="failures">', 2), '</section>', 1), '<tr class="row">') WITH ORDINALITY r (row, n)
 WHERE r.n > 1 ORDER BY r.n;
SELECT pg_temp.said(kg_dashboard()) LIKE '% o1 e.new organization beta delivery 2000000002 SELECT kg_explain(2000000002); %' AS whose;
-- what is to be copied is whole
SELECT count(*) > 0 AS some, bool_and(position('<code class="copy">' || replace(replace(replace(replace(remedy, '&', '&amp;'), chr(39), '&#39;'), '"', '&quot;'), '>', '&gt;') || '</code>' IN kg_dashboard()) > 0) AS whole
  FROM kg_status() WHERE remedy IS NOT NULL;
DELETE FROM kgwebhook.delivery_log WHERE delivery_id = 2000000018;
SELECT substring(kg_dashboard() FROM '<span class="state [a-z]*">[0-9.]* points [a-z]*</span>');
DELETE FROM kgwebhook.delivery_log WHERE delivery_id = 2000000017;
SELECT pg_temp.said(kg_dashboard()) LIKE '%; the day before had none.%' AS says_so;
ROLLBACK;

--
-- What towers above all others is cut off, which the chart says
--
BEGIN;
INSERT INTO kgwebhook.delivery_log (delivery_id, webhook_id, org_id, event, object_id, url, destination, attempt, outcome, final, started_at, duration_ms)
SELECT 2000000000, 'm', 'o', 'e', 'o', 'u', 'd', 1, CASE WHEN i % 2 = 0 THEN 'acknowledged' ELSE 'rejected' END, true, now() - interval '1 min' * minute, 1
  FROM generate_series(1, 12) minute, generate_series(1, CASE minute WHEN 5 THEN 43 ELSE 10 END) i;
SELECT pg_temp.times(kg_dashboard(), 'class="cut"') AS cut;
INSERT INTO kgwebhook.delivery_log (delivery_id, webhook_id, org_id, event, object_id, url, destination, attempt, outcome, final, started_at, duration_ms)
SELECT 2000000000, 'm', 'o', 'e', 'o', 'u', 'd', 1, CASE WHEN i % 2 = 0 THEN 'acknowledged' ELSE 'rejected' END, true, now() - interval '5 min', 1 FROM generate_series(1, 957) i;
SELECT pg_temp.times(page, 'class="cut"') AS cut, pg_temp.said(page) LIKE '% attempts a minute %: 499 acknowledged, 501 failed %&#9650; higher than the axis, cut off at 10 %' AS says_so,
	(SELECT array_agg(DISTINCT m[1]::float8) FROM regexp_matches(page, '499 acknowledged, 501 failed</title><rect [^>]*height="([0-9.]*)"', 'g') m) AS half
  FROM kg_dashboard() page;
ROLLBACK;

--
-- Too much money to look at each
--
BEGIN;
INSERT INTO kgwebhook.queue (delivery_id, webhook_id, org_id, event, object_id, url, destination, payload, next_attempt_at, enqueued_at)
SELECT 2000000000 + n, 'm', 'o', 'e.new', 'o' || n, 'https://m/', 'https://m:443', '{"fiat_amount": "1.5", "fiat_currency": "USD"}',
	now() - interval '1 min', now() - interval '3 h' FROM generate_series(1, 20001) n;
SELECT word, pg_temp.said(kg_dashboard()) LIKE '%' || word || '%' AS said FROM unnest(ARRAY[
	' 20,001 the oldest for 3 h 0 min ', ' 30,001.50 USD estimated from what has waited longest']) word;
ROLLBACK;
SELECT setval('kgwebhook.delivery_id_seq', (SELECT coalesce(max(delivery_id), 0) + 1 FROM kgwebhook.queue), false) > 0;

REVOKE SELECT ON kgwebhook.delivery_log FROM kgw_reader;
DROP ROLE kgw_clerk, kgw_monitor, kgw_reader;
