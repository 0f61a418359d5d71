"""
bench/driver/experiments.py
    How each row is measured: one function a row or a family of rows, one call
    a round.

A round measures kgwebhook and its yardstick one after the other, so that what
the machine does to the one it does to the other, and the ratio stays.
"""

import socket
import time

from . import machine, peers
from .cost import wal, workers
from .far import wan, wan_tls
from .handshakes import tls_close, tls_hosts
from .log_scale import log_scale
from .machine import BenchError, wait_until
from .nodes import nodes_copy, nodes_cost, nodes_move, nodes_send
from .operate import operate
from .runs import (WARM_UP, Sample, drain, finish_queue, latencies, percentile,
                   time_limit, wait_for_arrivals, warm_up)
from .trigger import trigger, trigger_subscriptions, trigger_tables

# ---------------------------------------------------------------- drain etc.

def _drain_node(bench, count):
    """The same as drain(), by the Node outbox."""
    with bench.server.database() as database:
        sql = database.sql
        sql(f"\\i {peers.BENCH}/node-outbox/schema.sql")
        fill = ("INSERT INTO outbox.message (url, body) SELECT '{}', "
                "regexp_replace(kgwebhook_sample.body, 'ID', i::text) "
                "FROM generate_series(1, {}) AS i, kgwebhook_sample; "
                "NOTIFY outbox")
        empty = "SELECT NOT EXISTS (SELECT FROM outbox.message)"
        url = bench.http.urls("fast")[0]
        # The body is as long as ours: it is one of ours, less its signature,
        # which Standard Webhooks has in a header only.
        warm_up(database, bench.http, "fast")
        sql("CREATE TABLE kgwebhook_sample AS SELECT request_body AS body"
            " FROM kgwebhook.delivery_log LIMIT 1")
        with peers.node_outbox(bench.server) as node:
            def finish():
                node.check_alive()
                wait_until("the outbox to become empty",
                           lambda: sql(empty) == ["t"], 60, 0.002)

            sql(fill.format(url, WARM_UP))
            finish()
            bench.http.reset()
            sql(fill.format(url, count))
            wait_for_arrivals(bench.http, "fast", count)
            finish()
            seconds = time.time() - bench.http.group("fast")["first_us"] / 1e6
        logged = sql.number("SELECT count(*) FROM outbox.attempt"
                            " WHERE status = 200")
        if logged != count + WARM_UP:
            raise BenchError(f"the Node outbox logged {logged} attempts")
    return count / seconds


def drains(bench, wanted):
    """drain, node and cpu: three rows from the same runs."""
    count = bench.scaled(50000)
    with bench.server.database() as database:
        warm_up(database, bench.http, "fast")
        ours = drain(database, bench.http, "fast", count)
    if wanted & {"drain", "cpu"}:
        plain = peers.plain_curl(bench.http.urls("fast"), count)
        rate = count / plain["seconds"]
        cpu = plain["cpu_seconds"] / count
        yield Sample(("drain", ""), ours.rate / rate, ours.rate, rate)
        yield Sample(("cpu", ""), ours.cpu / cpu, ours.cpu * 1e6, cpu * 1e6)
    if "node" in wanted:
        rate = _drain_node(bench, count)
        yield Sample(("node", ""), ours.rate / rate, ours.rate, rate)


def https(bench, _wanted):
    count = bench.scaled(50000)
    with bench.server.database() as database:
        warm_up(database, bench.tls, "fast")
        ours = drain(database, bench.tls, "fast", count)
    plain = peers.plain_curl(bench.tls.urls("fast"), count,
                             bench.certificates.authority)
    rate = count / plain["seconds"]
    yield Sample(("https", ""), ours.rate / rate, ours.rate, rate)


def backlog(bench, _wanted):
    few, many = bench.scaled(50000), bench.scaled(1000000)
    with bench.server.database() as database:
        warm_up(database, bench.http, "fast")
        small = drain(database, bench.http, "fast", few)
        before = machine.status_number(database.worker, "RssAnon")
        large = drain(database, bench.http, "fast", many)
    yield Sample(("backlog", "rate"), large.rate / small.rate,
                 large.rate, small.rate)
    yield Sample(("backlog", "memory"), max(0, large.memory - before) / 1024,
                 large.memory / 1024, before / 1024)


def old_snapshot(bench, _wanted):
    """
    The second of two drains, so that with the snapshot held there is a queue
    full of rows that are dead and can't be removed.
    """
    count = bench.scaled(50000)

    def second_drain(hold):
        with bench.server.database() as database:
            holder = bench.server.session()
            try:
                if hold:
                    holder("BEGIN ISOLATION LEVEL REPEATABLE READ")
                    holder("SELECT count(*) FROM kgwebhook.queue")
                warm_up(database, bench.http, "fast")
                drain(database, bench.http, "fast", count)
                return drain(database, bench.http, "fast", count).rate
            finally:
                holder.close()

    without = second_drain(False)
    with_one = second_drain(True)
    yield Sample(("old_snapshot", ""), with_one / without, with_one, without)


# ------------------------------------------------------------------- latency

def latency(bench, _wanted):
    count = bench.scaled(500)
    with bench.server.database() as database:
        database.fill(count, bench.http.urls("fast"))
        finish_queue(database)
        bench.http.reset()
        output = peers.commits(bench.server, count).finish(time_limit(count * 10))
        wait_for_arrivals(bench.http, "fast", count)
        waits = latencies(bench.http.arrivals("fast"), peers.moments(output))
    for part, percent in (("p50", 50), ("p99", 99)):
        wait = percentile(waits, percent)
        yield Sample(("latency", part), wait, wait)


def _latency_beside(bench, database, commits, others, seconds):
    """
    Commits to "fast" while the queue holds what the others wait for; returns
    the latencies of what was committed from the first of theirs on.
    """
    committing = peers.commits(bench.server, commits)
    try:
        start = time.time()
        database.enable()
        wait_until("the others", others, seconds, 0.05)
        end = time.time()
        committing.check_alive()
        committing.tell_to_stop()
        moments = peers.moments(committing.finish(60))
    finally:
        committing.end()
    beside = {number: moment for number, moment in moments.items()
              if start <= moment / 1e6 <= end}
    if not beside:
        raise BenchError("nothing was committed in the meantime: raise SCALE")
    return latencies(_arrivals_in_the_end(bench, moments), beside)


def _arrivals_in_the_end(bench, moments):
    """
    When each arrived.  One that didn't for half a minute arrives now: starved is
    a figure too, and a bad one.
    """
    deadline = time.monotonic() + 30
    while bench.http.count("fast") < len(moments):
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    now = time.time() * 1e6
    return {**dict.fromkeys(moments, now), **bench.http.arrivals("fast")}


def latency_busy(bench, _wanted):
    count = bench.scaled(50000)
    commits = 3000
    with bench.server.database() as database:
        database.fill(commits, bench.http.urls("fast"))
        finish_queue(database)
        database.disable()
        database.fill(count, bench.http.urls("other"))
        bench.http.reset()
        waits = _latency_beside(
            bench, database, commits,
            lambda: bench.http.count("other") >= count, 50)
    wait = percentile(waits, 99)
    yield Sample(("latency_busy", ""), wait, wait)


# ---------------------------------------------------------- dead destinations

def half_dead(bench, _wanted):
    count = bench.scaled(50000)
    healthy = bench.http.urls("healthy")

    def rate(urls, total):
        with bench.server.database() as database:
            warm_up(database, bench.http, "healthy")
            database.disable()
            database.fill(total, urls)
            bench.http.reset()
            database.enable()
            wait_for_arrivals(bench.http, "healthy", count)
            seen = bench.http.group("healthy")
            return count * 1e6 / (seen["last_us"] - seen["first_us"])

    dead = bench.http.urls("dead")[0]
    alone = rate(healthy, count)
    beside = rate([url for good in healthy for url in (good, dead)], 2 * count)
    yield Sample(("half_dead", ""), beside / alone, beside, alone)


def _dead_urls(bench, count, refusing_port):
    """Half of them refuse the connection, half take it and never answer."""
    silent = bench.http.urls("silent")[:count // 2]
    refusing = [f"http://127.1.{i // 250}.{1 + i % 250}:{refusing_port}/"
                for i in range(count - len(silent))]
    return [url for pair in zip(silent, refusing) for url in pair]


def many_dead(bench, _wanted):
    commits = 3000
    seconds = max(2, 15 * bench.scale)
    with socket.socket() as unheard, bench.server.database() as database:
        unheard.bind(("127.0.0.1", 0))      # and never listens
        dead = _dead_urls(bench, bench.dead_destinations,
                          unheard.getsockname()[1])
        database.fill(commits, bench.http.urls("fast"))
        finish_queue(database)
        database.disable()
        database.fill(2 * len(dead), dead)
        bench.http.reset()
        deadline = time.monotonic() + seconds
        waits = _latency_beside(bench, database, commits,
                                lambda: time.monotonic() > deadline,
                                seconds + 10)
    wait = percentile(waits, 99)
    yield Sample(("many_dead", ""), wait, wait)


# ------------------------------------------------------- changes by the second

def _fill_waiting(database, count):
    """As many destinations, each with a retry that waits for tomorrow."""
    database.disable()
    database.sql("INSERT INTO payment_intents (payment_intent_id, callback_url)"
                 " SELECT 'wait' || i, format('http://127.%s.%s.%s:9999/',"
                 " 1 + i / 62500, i / 250 % 250, 1 + i % 250)"
                 f" FROM generate_series(1, {count}) i", seconds=120)
    database.sql("UPDATE kgwebhook.queue SET attempts = 1,"
                 " next_attempt_at = now() + '1 day'", seconds=120)
    database.sql("VACUUM (ANALYZE) payment_intents, kgwebhook.queue",
                 seconds=600)
    database.enable()
    for _ in range(60):
        before = machine.cpu_seconds(database.worker)
        time.sleep(1)
        if machine.cpu_seconds(database.worker) - before < 0.02:
            return
    raise BenchError("the worker does not come to rest")


def _changes(bench, database):
    """What may happen on a busy day: by name, what does it for the nth time."""
    def statement(text):
        return lambda n: database.sql(text.format(n=n, on=n % 2 and "pause"
                                                  or "resume"))

    return {
        "secret": statement("SELECT kg_create_secret('org{n}')"),
        "pause": statement("SELECT kg_{on}('http://127.1.0.2:9999')"),
        "subscription": statement(
            "SELECT kg_subscribe('org{n}', 'https://m.example/')"),
        "burst": lambda n: database.fill(300, bench.http.urls("other"),
                                         vacuum=False),
    }


def changes(bench, _wanted):
    """
    Something twice a second, of each kind for a while, beside a commit every
    20 ms to a healthy port.  The figures are the worst kind's.
    """
    seconds = max(2, 10 * bench.scale)
    phases = []
    with bench.server.database() as database:
        database.fill(3000, bench.http.urls("fast"))
        finish_queue(database)
        _fill_waiting(database, bench.scaled(60000))
        bench.http.reset()
        committing = peers.commits(bench.server, 3000)
        try:
            for change in _changes(bench, database).values():
                start, cpu = time.time(), machine.cpu_seconds(database.worker)
                for n in range(int(2 * seconds)):
                    change(n)
                    time.sleep(max(0, start + (n + 1) / 2 - time.time()))
                cpu = machine.cpu_seconds(database.worker) - cpu
                phases.append((start, time.time(), cpu))
            committing.check_alive()
            committing.tell_to_stop()
            moments = peers.moments(committing.finish(60))
        finally:
            committing.end()
        arrivals = _arrivals_in_the_end(bench, moments)
    wait = max(percentile(latencies(arrivals, {
        number: moment for number, moment in moments.items()
        if start <= moment / 1e6 <= end}), 99) for start, end, _ in phases)
    load = max(100 * cpu / (end - start) for start, end, cpu in phases)
    yield Sample(("changes", "p99"), wait, wait)
    yield Sample(("changes", "CPU"), load, load)


# ---------------------------------------------------------------------- idle

def idle(bench, _wanted):
    """
    A minute, from ten seconds after the last delivery on.  Queries are counted by
    the transactions of the database and by the worker's own last moments; what
    we ask in the meantime is asked of another database.
    """
    def transactions():
        return bench.server.admin.number(
            "SELECT xact_commit + xact_rollback FROM pg_stat_database"
            " WHERE datname = 'bench'")

    def last_moments():
        return bench.server.admin(
            "SELECT xact_start, query_start, state_change FROM"
            f" pg_stat_activity WHERE pid = {database.worker}")

    def wake_ups():
        return machine.status_number(database.worker, "voluntary_ctxt_switches")

    with bench.server.database() as database:
        bench.server.set("autovacuum", "off")   # its transactions count too
        try:
            warm_up(database, bench.http, "fast")
            time.sleep(10)
            before = transactions(), last_moments(), wake_ups()
            time.sleep(60)
            after = transactions(), last_moments(), wake_ups()
        finally:
            bench.server.set("autovacuum", "on")
    queries = max(after[0] - before[0], int(after[1] != before[1]))
    yield Sample(("idle", "queries"), queries, queries)
    yield Sample(("idle", "wake-ups"), after[2] - before[2],
                 after[2] - before[2])


# Which function measures a row, and in how many rounds at most: backlog takes
# minutes, and nothing is random about an idle minute.
EXPERIMENTS = {
    "drain": (drains, None),
    "node": (drains, None),
    "cpu": (drains, None),
    "latency": (latency, None),
    "latency_busy": (latency_busy, None),
    "trigger": (trigger, None),
    "trigger_subscriptions": (trigger_subscriptions, None),
    "trigger_tables": (trigger_tables, None),
    "half_dead": (half_dead, None),
    "many_dead": (many_dead, None),
    "changes": (changes, None),
    "backlog": (backlog, 3),
    "old_snapshot": (old_snapshot, None),
    "https": (https, None),
    "wal": (wal, 3),
    "workers": (workers, 3),
    "wan": (wan, 3),
    "wan_tls": (wan_tls, 3),
    "tls_close": (tls_close, None),
    "tls_hosts": (tls_hosts, 3),
    "idle": (idle, 1),
    "nodes_send": (nodes_send, None),
    "nodes_cost": (nodes_cost, None),
    "nodes_copy": (nodes_copy, 3),
    "nodes_move": (nodes_move, 3),
    "operate": (operate, 1),
    "log_scale": (log_scale, 1),
}
