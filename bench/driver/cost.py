"""
bench/driver/cost.py
    What an event costs beside time: WAL, and the CPU of several workers.
"""

from . import machine
from .machine import BenchError, wait_until
from .runs import Sample, drain, finish_queue, wait_for_arrivals, warm_up

# The first change of a page after a checkpoint has the whole page with it.
WRITTEN = "SELECT pg_current_wal_insert_lsn() - '0/0'"


def _written(database):
    return database.sql.number(WRITTEN)


def wal(bench, _wanted):
    """
    Bytes of WAL for an event that is captured, delivered, logged and out of the
    queue, beyond the same INSERT into a table that nobody watches, over the bytes
    of the body.
    """
    count = bench.scaled(20000)
    with bench.server.database() as database:
        sql = database.sql
        warm_up(database, bench.http, "fast")
        sql("CREATE TABLE bare (LIKE payment_intents INCLUDING ALL)")
        sql("CHECKPOINT")
        before = _written(database)
        database.fill(count, bench.http.urls("fast"), vacuum=False, table="bare")
        bare = _written(database) - before
        database.disable()
        bench.http.reset()
        sql("CHECKPOINT")
        before = _written(database)
        database.fill(count, bench.http.urls("fast"), vacuum=False)
        database.enable()
        wait_for_arrivals(bench.http, "fast", count)
        finish_queue(database)
        ours = _written(database) - before
        body = sql.number("SELECT avg(octet_length(request_body))::int"
                          " FROM kgwebhook.delivery_log")
    beyond = (ours - bare) / count
    yield Sample(("wal", ""), beyond / body, beyond, body)


def _drain_by(bench, number):
    """Drains to ten destinations with so many workers; what it was, and its CPU."""
    count = bench.scaled(50000)
    with bench.server.database() as database:
        pids = wait_until("the workers", lambda: database.workers(number), 30)
        warm_up(database, bench.http, "healthy")
        before = [machine.cpu_seconds(pid) for pid in pids]
        drain(database, bench.http, "healthy", count)
        cpu = [machine.cpu_seconds(pid) - had for pid, had in zip(pids, before)]
    if min(cpu) <= 0:
        raise BenchError("a worker had nothing to do")
    return sum(cpu) / count


def workers(bench, _wanted):
    """CPU of a delivery with two and four workers, over that with one."""
    one = _drain_by(bench, 1)
    for number in (2, 4):
        bench.server.restart({"kgwebhook.workers": number})
        try:
            several = _drain_by(bench, number)
        finally:
            bench.server.restart({"kgwebhook.workers": "DEFAULT"})
        yield Sample(("workers", str(number)), several / one, several * 1e6,
                     one * 1e6)
