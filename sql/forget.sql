--
-- kg_forget(): what an object's payloads said goes, their hashes stay, and nothing of it is sent.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set refused :abs_srcdir '/sql/include/refused.sql'
\set ECHO none
\i :refused
\set ECHO all
\t on
\a
ALTER SEQUENCE kgwebhook.delivery_id_seq RESTART;
CREATE TEMP VIEW remembered AS
	SELECT 'queue' AS place, object_id, org_id, kind, payload::text AS payload, NULL AS sha256 FROM kgwebhook.queue
	UNION ALL SELECT 'dead: ' || reason, object_id, org_id, kind, payload::text, forgotten_sha256 FROM kgwebhook.dead_letter
	UNION ALL SELECT 'log', object_id, org_id, kind, concat(request_body, ' / ', response_body), forgotten_sha256 FROM kgwebhook.delivery_log
	UNION ALL SELECT 'amendment', object_id, org_id, NULL, concat(payload, ' ', former_payload), forgotten_sha256::text FROM kgwebhook.amendment;
CREATE TABLE visits (id text, status text, who text, url text, org_id text);
SELECT count(*) FROM kg_watch('visits', 'visit', 'id', 'status', 'url', payload => '{"id": "id", "who": "who"}');
CREATE TABLE others (LIKE visits);
SELECT count(*) FROM kg_watch('others', 'other', 'id', 'status', 'url', payload => '{"id": "id", "who": "who"}');
SELECT kg_set_secret('a', 'the secret of a, which is long');
INSERT INTO visits SELECT '1', 'new', 'Jane', 'https://m.example/', o FROM unnest(ARRAY['a', 'b']) o;
INSERT INTO visits VALUES ('2', 'new', 'Jane', 'https://m.example/', 'a');
INSERT INTO others VALUES ('1', 'new', 'Jane', 'https://m.example/', 'a');
SELECT min(delivery_id) AS first FROM kgwebhook.queue \gset
-- one that was tried, and one that died and was corrected before
INSERT INTO kgwebhook.delivery_log (delivery_id, webhook_id, org_id, event, kind, object_id, url, destination, attempt, outcome, final,
		response_status, response_body, request_body, started_at)
	VALUES (:first, 'msg_1', 'a', 'visit.new', 'visit', '1', 'https://m.example/', 'https://m.example:443', 1, 'rejected', false,
		500, 'no Jane here', '{"who":"Jane"}', now());
INSERT INTO kgwebhook.dead_letter (delivery_id, webhook_id, org_id, event, kind, object_id, url, destination, payload,
		attempts, next_attempt_at, enqueued_at, xid, reason)
	VALUES (999999, 'msg_2', 'a', 'visit.old', 'visit', '1', 'https://m.example/', 'https://m.example:443', '{"who": "Jane"}',
		1, now(), now(), '1', 'refused');
INSERT INTO kgwebhook.amendment (delivery_id, amended_by, org_id, object_id, payload, former_payload, former_reason)
	VALUES (999999, 'me', 'a', '1', '{"who": "Jane"}', '{"who": "Jan"}', 'a typo');

SELECT pg_temp.refused($$SELECT kg_forget(NULL, '1')$$);
SELECT pg_temp.refused($$SELECT kg_forget('a', NULL)$$);
SELECT pg_temp.refused($$SELECT kg_forget('a', '1')$$);
SELECT kg_forget('a', 'unknown'), kg_forget('c', '1');
SELECT kg_forget('a', '1', 'visit');
SELECT place, object_id, org_id, kind, payload, sha256 FROM remembered ORDER BY sha256 IS NULL, org_id, object_id, kind, place COLLATE "C";
SELECT encode(sha256('{"who":"Jane"}'), 'hex') AS sent, encode(sha256('{"who": "Jane"}'), 'hex') AS payload;
-- nothing more to do
SELECT kg_forget('a', '1', 'visit');
-- and nothing to send
SELECT pg_temp.refused(format('SELECT kg_redeliver(%s)', :first));
SELECT pg_temp.refused($$SELECT kg_redeliver(999999)$$);
SELECT pg_temp.refused($$SELECT kg_amend(999999, '{"who": "Jane"}')$$);
SELECT kg_recover('2020-01-01', org_id => 'a');
SELECT split_part(kg_explain(999999), E'\n', -1);
SELECT object_id, event, body IS NULL AS forgotten FROM kg_events_since('a') ORDER BY object_id, event;

DROP TABLE visits, others;
DELETE FROM kgwebhook.queue;
DELETE FROM kgwebhook.dead_letter;
DELETE FROM kgwebhook.delivery_log;
DELETE FROM kgwebhook.amendment;
DELETE FROM kgwebhook.secret;
