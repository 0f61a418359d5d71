"""
bench/driver/log_scale.py
    The row "log_scale": whether deliveries are slower when the log is a month long.

The month is that of bench/operate.sql, without anything that waits.  It is made once, and
stands in a database beside the one with the empty log that it is held against, so
that pairs of drains alternate.  Then the same while retention drops a day of the month
with the function that the worker calls.
"""

from . import machine
from .machine import BenchError, Program
from .peers import BENCH
from .runs import Sample, drain, warm_up

MONTH = "month"
PAIRS = 3

# What retention leaves, pair by pair.
KEPT_DAYS = [28, 27, 26]


def _make_month(bench, database):
    """Makes the log, and leaves autovacuum as it was."""
    attempts = bench.scaled(10000000)
    database.disable()
    database.sql(f"\\set attempts {attempts}\n\\set waiting 0\n"
                 f"\\i {BENCH}/operate.sql\nVACUUM (ANALYZE)", seconds=3600)
    bench.server.set("autovacuum", "DEFAULT")
    bench.server.admin("CHECKPOINT", 600)


def _days(database):
    return database.sql.number("SELECT count(*) FROM pg_inherits WHERE inhparent"
                               " = 'kgwebhook.delivery_log'::regclass")


def _empty_rate(bench, count):
    with bench.server.database() as database:
        warm_up(database, bench.http, "fast")
        return drain(database, bench.http, "fast", count).rate


def _beside_retention(bench, month, count, days):
    """The rate of a drain in which everything older than so many days is dropped."""
    before = _days(month)
    bench.server.set("kgwebhook.log_retention", f"'{days} days'")
    dropping = []

    def drop():
        dropping.append(Program(
            "psql", [bench.server.bindir / "psql", "-X", "-A", "-t", "-q",
                     "-h", bench.server.directory, "-U", "postgres", "-d", MONTH,
                     "-c", "SELECT kgwebhook.drop_log_partitions()"],
            machine.WORLD_CORES))

    rate = drain(month, bench.http, "fast", count, beside=drop).rate
    if dropping[0].finish(120).strip() != "t" or _days(month) >= before:
        raise BenchError("retention dropped nothing")
    return rate


def log_scale(bench, _wanted):
    count = bench.scaled(50000)
    with bench.server.database(MONTH) as month:
        _make_month(bench, month)
        warm_up(month, bench.http, "fast")
        try:
            for _ in range(PAIRS):
                empty = _empty_rate(bench, count)
                rate = drain(month, bench.http, "fast", count).rate
                yield Sample(("log_scale", "rate"), rate / empty, rate, empty)
            for days in KEPT_DAYS:
                empty = _empty_rate(bench, count)
                rate = _beside_retention(bench, month, count, days)
                yield Sample(("log_scale", "retention"), rate / empty, rate, empty)
        finally:
            bench.server.set("kgwebhook.log_retention", "DEFAULT")
