"""
bench/driver/nodes.py
    Delivery nodes: what they cost their source, how late they send, and how long a
    copy, a move and a repair take.

The source is a server without the extension, made one by kgwebhook-source.sql; it
and two nodes are started once, with the first row that needs them.
"""

import json
import random
import subprocess
import time
from contextlib import ExitStack, contextmanager

from . import machine, peers
from .machine import BenchError, Program, wait_until
from .pgbench import pgbench
from .runs import Sample, finish_queue, latencies, percentile, time_limit, \
    wait_for_arrivals
from .server import DATABASE, FILL, Server

SCRIPT = peers.BENCH.parent / "sources" / "kgwebhook-source.sql"

SOURCE = """
shared_preload_libraries = ''
wal_level = logical
max_wal_senders = 20
max_replication_slots = 20
max_slot_wal_keep_size = 20GB
"""
NODE = """
max_worker_processes = 20
wal_retrieve_retry_interval = 500ms
"""

# As kg_create_payment_intents() makes it, less what no row here has.
TABLE = """CREATE TABLE payment_intents (
    payment_intent_id text PRIMARY KEY, org_id text NOT NULL DEFAULT 'default',
    status text NOT NULL DEFAULT 'pending', payment_chain_id text, symbol text,
    fiat_amount numeric, fiat_currency text, crypto_amount numeric,
    received_crypto_amount numeric, payment_tx_hash text, order_data jsonb,
    callback_url text, updated_at timestamptz NOT NULL DEFAULT now())"""

UPDATE = """\\set id random(1, {rows})
UPDATE payment_intents SET status =
    CASE status WHEN 'pending' THEN 'success' ELSE 'pending' END
 WHERE payment_intent_id = 'pi_' || lpad((:id)::text, 12, '0');
"""
ROWS = 10000


class Source:
    """The database that is followed."""

    def __init__(self, bench):
        self.server = bench.nodes["source"]
        self.server.admin(f"CREATE DATABASE {DATABASE}")
        self.sql = self.server.session()
        self.sql(TABLE)

    def prepare(self, **variables):
        """Runs kgwebhook-source.sql."""
        done = subprocess.run(
            [self.server.bindir / "psql", "-X", "-q", "-h", self.server.directory,
             "-U", "postgres", "-d", DATABASE, "-f", SCRIPT,
             *(word for name, value in variables.items()
               for word in ("-v", f"{name}={value}"))],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=60, check=False)
        if done.returncode != 0:
            raise BenchError(f"the source was not prepared: {done.stderr}")

    def fill(self, count, url):
        self.sql(FILL.format(table="payment_intents", first=1, count=count,
                             urls=url, nurls=1), seconds=60 + count / 1000)
        self.sql("VACUUM (ANALYZE) payment_intents", seconds=600)

    def position(self):
        return self.sql("SELECT pg_current_wal_lsn()")[0]

    def number(self, query):
        return self.sql.number(query)

    def drop(self):
        self.sql.close()
        self.server.admin("SELECT pg_drop_replication_slot(slot_name)"
                          " FROM pg_replication_slots")
        self.server.admin(f"DROP DATABASE {DATABASE} WITH (FORCE)")


def _start_servers(bench):
    """The source has the clients' core, as a database elsewhere has its own."""
    if bench.nodes:
        return
    for name, settings in (("source", SOURCE), ("n1", NODE), ("n2", NODE)):
        directory = bench.directory / name
        directory.mkdir()
        bench.nodes[name] = Server(bench.server.bindir, directory,
                                   bench.certificates.authority, settings)
    machine.move_to_cores(bench.nodes["source"].pid, machine.WORLD_CORES)


@contextmanager
def _source(bench):
    _start_servers(bench)
    source = Source(bench)
    try:
        yield source
    finally:
        source.drop()


@contextmanager
def _followed(source, database, name):
    """From kg_follow() to kg_unfollow()."""
    database.sql(f"SELECT kg_follow('src', '{_conninfo(source)}',"
                 f" 'payment_intents', '{name}')")
    try:
        yield
    finally:
        database.sql("SELECT kg_unfollow('src')")


@contextmanager
def _following(bench, source, name="n1"):
    """A node's database that follows the source."""
    with bench.nodes[name].database() as database, \
            _followed(source, database, name):
        _wait_until_streaming(source, database, name)
        yield database


def _conninfo(source):
    return f"host={source.server.directory} user=postgres dbname={DATABASE}"


def _wait_until_streaming(source, database, name):
    wait_until(f"{name} to stream", lambda: database.sql(
        "SELECT state FROM kgwebhook.sources") == ["streaming"], 300)
    wait_until(f"{name} to join", lambda: source.sql(
        f"SELECT joined FROM kgsource.heartbeat WHERE node = '{name}'")
        == ["t"], 60)


def _applied(database, position):
    """Whether a node has applied all up to a position of its source."""
    return database.sql(
        f"SELECT bool_and(o.remote_lsn >= '{position}') FROM pg_subscription s"
        " JOIN pg_replication_origin_status o ON o.external_id = 'pg_' || s.oid"
    ) == ["t"]


def _subscription(database, what):
    name = database.sql("SELECT subscription FROM kgwebhook.source")[0]
    database.sql(f"ALTER SUBSCRIPTION {name} {what}")


def _stop_stream(source, database):
    """Nobody uses the slot then."""
    _subscription(database, "DISABLE")
    wait_until("the walsender to end", lambda: source.sql(
        "SELECT NOT bool_or(active) FROM pg_replication_slots") == ["t"], 30)


# ------------------------------------------------------------------- sending

def _waits(bench, server, count):
    """Milliseconds from commits at a server to their arrival, a list."""
    bench.http.reset()
    output = peers.commits(server, count).finish(time_limit(count * 10))
    wait_for_arrivals(bench.http, "fast", count)
    return latencies(bench.http.arrivals("fast"), peers.moments(output))


def _latency(bench, source, database):
    """Beside what a trigger reaches that stands beside the payments."""
    count = bench.scaled(500)
    url = bench.http.urls("fast")[0]
    source.fill(count, url)
    wait_until("the node to have it", lambda: _applied(
        database, source.position()), 60)
    finish_queue(database)
    ours = _waits(bench, source.server, count)
    with bench.server.database() as local:
        local.fill(count, [url])
        finish_queue(local)
        theirs = _waits(bench, bench.server, count)
    for part, percent in (("p50", 50), ("p99", 99)):
        wait = percentile(ours, percent)
        yield Sample(("nodes_send", part), wait, wait,
                     percentile(theirs, percent))


def _apply_rate(bench, source, database, enqueues):
    """One-row transactions that have waited, applied with or without our trigger."""
    each = bench.scaled(100000) // 4
    script = bench.directory / "apply.sql"
    script.write_text(UPDATE.format(rows=bench.scaled(500)))
    database.sql("ALTER TABLE payment_intents "
                 f"{'ENABLE ALWAYS' if enqueues else 'DISABLE'}"
                 " TRIGGER kgwebhook_enqueue")
    _stop_stream(source, database)
    pgbench(source.server, script, 60, "off", transactions=each)
    source.sql("VACUUM payment_intents")
    database.sql("TRUNCATE kgwebhook.queue")
    database.sql("CHECKPOINT", seconds=120)
    end = source.position()
    _subscription(database, "ENABLE")
    wait_until("the walsender", lambda: source.sql(
        "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
        " OR state = 'catchup'") == ["1"], 60, 0.002)
    begun = time.monotonic()
    wait_until("the node to apply", lambda: _applied(database, end), 120, 0.005)
    return 4 * each / (time.monotonic() - begun)


def nodes_send(bench, _wanted):
    """From commit to arrival, and how many events one apply worker enqueues."""
    with _source(bench) as source:
        source.prepare()
        with _following(bench, source) as database:
            source.sql("INSERT INTO kgsource.route (org_id, node)"
                       " VALUES ('*', 'n1')")
            yield from _latency(bench, source, database)
            database.disable()
            plain = _apply_rate(bench, source, database, False)
            ours = _apply_rate(bench, source, database, True)
            if database.queue_is_empty():
                raise BenchError("the node has enqueued nothing")
            yield Sample(("nodes_send", "apply"), ours / plain, ours, plain)


# ------------------------------------------------- what the source pays for it

@contextmanager
def _walsender(source):
    """What a node is to its source: who reads its publication."""
    slot = source.sql("SELECT slot_name FROM"
                      " pg_create_logical_replication_slot('bench', 'pgoutput')")
    program = Program(
        "pg_recvlogical",
        [source.server.bindir / "pg_recvlogical", "-d", _conninfo(source),
         "--slot", slot[0], "--start", "-o", "proto_version=1",
         "-o", "publication_names=kgwebhook", "-f", "/dev/null"],
        machine.ALL_CORES)
    try:
        wait_until("the walsender", lambda: source.sql(
            "SELECT bool_or(active) FROM pg_replication_slots") == ["t"], 30)
        yield
        program.check_alive()
    finally:
        program.end()
        wait_until("the walsender to end", lambda: source.sql(
            "SELECT NOT bool_or(active) FROM pg_replication_slots") == ["t"], 30)
        source.sql("SELECT pg_drop_replication_slot('bench')")


def _update_rate(bench, server, sql, synchronous_commit, rate=None):
    """One-row updates of the status, from a clean table."""
    sql("VACUUM payment_intents")
    script = bench.directory / "update.sql"
    script.write_text(UPDATE.format(rows=ROWS))
    return pgbench(server, script, max(1, round(8 * bench.scale)),
                   synchronous_commit, rate)


def _costs_of(bench, source, bare, what):
    """With what has been prepared at the source, over the bare table."""
    with _walsender(source):
        for setting in ("on", "off"):
            found = _update_rate(bench, source.server, source.sql, setting).rate
            yield Sample(("nodes_cost", f"{what} {setting}"),
                         found / bare[setting], found, bare[setting])


def _commit_latency(bench, source, limit):
    """At a third of what the bare table reaches."""
    return _update_rate(bench, source.server, source.sql, "on",
                        max(1, round(limit))).latency


def _cost_of_trigger(bench):
    """The same for the extension beside the payments, sending nothing."""
    machine.move_to_cores(bench.server.pid, machine.ALL_CORES)
    try:
        with bench.server.database() as database:
            database.disable()
            database.fill(ROWS, bench.http.urls("fast"))
            database.sql("DROP TRIGGER kgwebhook_check ON payment_intents")
            for setting in ("on", "off"):
                rates = {}
                for state in ("DISABLE", "ENABLE"):
                    database.sql("TRUNCATE kgwebhook.queue")
                    database.sql(f"ALTER TABLE payment_intents {state} TRIGGER"
                                 " kgwebhook_enqueue")
                    rates[state] = _update_rate(bench, bench.server, database.sql,
                                                setting).rate
                yield Sample(("nodes_cost", f"trigger {setting}"),
                             rates["ENABLE"] / rates["DISABLE"],
                             rates["ENABLE"], rates["DISABLE"])
    finally:
        machine.move_to_cores(bench.server.pid, machine.SENDER_CORES)


def nodes_cost(bench, _wanted):
    """
    A source's rate of one-row updates: bare, with its tables published and one
    walsender, with an outbox that is published, with our local trigger.
    """
    _start_servers(bench)
    machine.move_to_cores(bench.nodes["source"].pid, machine.ALL_CORES)
    try:
        with _source(bench) as source:
            source.fill(ROWS, "https://127.0.0.1/webhooks")
            bare = {setting: _update_rate(bench, source.server, source.sql,
                                          setting).rate
                    for setting in ("on", "off")}
            third = bare["on"] / 3
            calm = _commit_latency(bench, source, third)
            source.prepare()
            yield from _costs_of(bench, source, bare, "published")
            with _walsender(source):
                beside = _commit_latency(bench, source, third)
            yield Sample(("nodes_cost", "commit"), beside / calm, beside, calm)
        with _source(bench) as source:
            source.fill(ROWS, "https://127.0.0.1/webhooks")
            source.prepare(outbox="on")
            yield from _costs_of(bench, source, bare, "outbox")
    finally:
        machine.move_to_cores(bench.nodes["source"].pid, machine.WORLD_CORES)
    yield from _cost_of_trigger(bench)


# ------------------------------------------------------------ copy and repair

def _plain_copy(bench, source):
    """Seconds of a subscription's copy into a table that nobody watches."""
    node = bench.nodes["n1"]
    node.admin("CREATE DATABASE plain")
    session = node.session("plain")
    try:
        session(TABLE)
        source.sql("CREATE PUBLICATION plain FOR TABLE payment_intents")
        begun = time.monotonic()
        session(f"CREATE SUBSCRIPTION plain CONNECTION '{_conninfo(source)}'"
                " PUBLICATION plain")
        wait_until("the plain copy", lambda: session(
            "SELECT bool_and(srsubstate IN ('s', 'r')) FROM pg_subscription_rel")
            == ["t"], 600)
        seconds = time.monotonic() - begun
        session("DROP SUBSCRIPTION plain")
    finally:
        session.close()
        node.admin("DROP DATABASE plain WITH (FORCE)")
    return seconds


def _repair(bench, source, database, count):
    """Seconds from a slot that is gone to the last status announced."""
    _stop_stream(source, database)
    source.sql("SELECT pg_drop_replication_slot(slot_name)"
               " FROM pg_replication_slots")
    source.sql("UPDATE payment_intents SET status = 'success' WHERE"
               f" payment_intent_id <= 'pi_' || lpad('{count}', 12, '0')",
               seconds=120)
    bench.http.reset()
    begun = time.monotonic()
    database.sql("SELECT * FROM kg_resync()", seconds=600)
    wait_for_arrivals(bench.http, "fast", count)
    return time.monotonic() - begun


def nodes_copy(bench, _wanted):
    """A million rows: the first copy, and what is done when the slot is lost."""
    rows, changed = bench.scaled(1000000), bench.scaled(3000)
    with _source(bench) as source:
        source.prepare()
        source.fill(rows, bench.http.urls("fast")[0])
        plain = _plain_copy(bench, source)
        with ExitStack() as stack:
            database = stack.enter_context(bench.nodes["n1"].database())
            begun = time.monotonic()
            stack.enter_context(_followed(source, database, "n1"))
            wait_until("the copy", lambda: database.sql(
                "SELECT bool_and(srsubstate IN ('s', 'r'))"
                " FROM pg_subscription_rel") == ["t"], 600)
            ours = time.monotonic() - begun
            _wait_until_streaming(source, database, "n1")
            events = database.sql.number(
                "SELECT (SELECT count(*) FROM kgwebhook.queue)"
                " + (SELECT count(*) FROM kgwebhook.delivery_log)")
            yield Sample(("nodes_copy", "events"), events, events)
            yield Sample(("nodes_copy", "time"), ours / plain, ours, plain)
            seconds = _repair(bench, source, database, changed)
            yield Sample(("nodes_copy", "slot"), seconds, seconds)


# ---------------------------------------------------------------------- moves

MOVES = 10
LOAD = 1000         # events a second, of four organizations
OBJECTS = 400

STEP = f"""\\set id random(1, {OBJECTS})
UPDATE payment_intents SET status = 's' || (substr(status, 2)::int + 1)
 WHERE payment_intent_id = 'm' || :id;
"""
AUDIT = """
CREATE TABLE audit (id text, event text);
CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit VALUES (NEW.payment_intent_id, 'payment_intent.' || NEW.status);
    RETURN NULL;
END $$;
CREATE TRIGGER audit AFTER INSERT OR UPDATE ON payment_intents
    FOR EACH ROW EXECUTE FUNCTION audit()"""


def _load_and_move(bench, source, rng):
    """Moves an organization to and fro while all are written to."""
    script = bench.directory / "step.sql"
    script.write_text(STEP)
    load = Program(
        "pgbench",
        [source.server.bindir / "pgbench", "-n", "-M", "prepared", "-c", "4",
         "-R", str(LOAD), "-T", "600", "-f", script, "-h",
         source.server.directory, "-U", "postgres", DATABASE],
        machine.WORLD_CORES)
    try:
        time.sleep(1)
        for number in range(MOVES):
            source.sql("UPDATE kgsource.route SET node ="
                       f" 'n{1 + (number + 1) % 2}' WHERE org_id = 'o1'")
            wait_until("the move", lambda: source.sql(
                "SELECT released FROM kgsource.route WHERE org_id = 'o1'")
                == ["t"], 60)
            time.sleep(rng.uniform(0.3, 0.7))
        load.check_alive()
    finally:
        load.end()


def _acknowledged(database):
    """What a node has sent: (object, event, organization, moment)."""
    return [json.loads(line) for line in database.sql(
        "SELECT json_build_array(object_id, event, org_id,"
        " extract(epoch FROM started_at)) FROM kgwebhook.delivery_log"
        " WHERE outcome = 'acknowledged'", seconds=120)]


def _judge(committed, sent):
    """How many were lost, doubled or out of order; and o1's longest silence."""
    sent = sorted(sent, key=lambda each: each[3])
    seen, last, wrong = set(), {}, 0
    for object_id, event, _, _ in sent:
        number = int(event.rpartition(".s")[2])
        if (object_id, event) in seen or number < last.get(object_id, -1):
            wrong += 1
        seen.add((object_id, event))
        last[object_id] = max(number, last.get(object_id, -1))
    wrong += len(committed ^ seen)
    moments = [moment for _, _, org_id, moment in sent if org_id == "o1"]
    return wrong, max(b - a for a, b in zip(moments, moments[1:]))


def nodes_move(bench, _wanted):
    """An organization between two nodes, ten times, at 1,000 events a second."""
    rng = random.Random(1)
    with _source(bench) as source:
        source.sql(AUDIT)
        source.prepare()
        with _following(bench, source, "n1") as one:
            source.sql("INSERT INTO kgsource.route (org_id, node)"
                       " VALUES ('*', 'n1'), ('o1', 'n1')")
            with _following(bench, source, "n2") as two:
                for database in (one, two):
                    database.sql("SELECT kg_set_secret('o' || g, 'whsec_"
                                 "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw')"
                                 " FROM generate_series(1, 4) g")
                source.sql("INSERT INTO payment_intents (payment_intent_id,"
                           " org_id, status, callback_url) SELECT 'm' || g,"
                           " 'o' || 1 + g % 4, 's0',"
                           f" '{bench.http.urls('fast')[0]}'"
                           f" FROM generate_series(1, {OBJECTS}) g")
                _load_and_move(bench, source, rng)
                end = source.position()
                for database in (one, two):
                    wait_until("the nodes to apply",
                               lambda d=database: _applied(d, end), 60)
                    wait_until("nothing to be held", lambda d=database: d.sql(
                        "SELECT NOT EXISTS (SELECT FROM kgwebhook.held)")
                        == ["t"], 60)
                    finish_queue(database)
                committed = {tuple(json.loads(line)) for line in source.sql(
                    "SELECT json_build_array(id, event) FROM audit")}
                wrong, silence = _judge(committed, _acknowledged(one)
                                        + _acknowledged(two))
    yield Sample(("nodes_move", "wrong"), wrong, wrong)
    yield Sample(("nodes_move", "standstill"), silence, silence)
