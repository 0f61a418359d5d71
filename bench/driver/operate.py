"""
bench/driver/operate.py
    The row "operate": what operators, exporter and merchants ask, of a month's log
    and a long queue.

The month is made by bench/operate.sql.  Delivery is off, so that nothing changes.  Each
question is asked twice in one session, as by someone who has just looked, and the
second answer counts: the first one's time is mostly that of the disk.  A figure is the
slowest of its group, whose questions are printed.
"""

import re
import time

from .peers import BENCH
from .runs import Sample

FIND = "SELECT * FROM kgwebhook.{} WHERE object_id = '{}'"
LOG_PAGE = ("SELECT * FROM kgwebhook.delivery_log"
            " ORDER BY attempt_id DESC LIMIT 50")
LATEST = "SELECT * FROM kgwebhook.{} {} ORDER BY {} DESC LIMIT 20"
VIEWS = {"deliveries": "delivery_id", "pending": "delivery_id",
         "unacknowledged": "delivery_id", "delivery_log": "attempt_id",
         "dead_letter": "died_at"}


def exporter_queries():
    """The queries of the exporter, by their names."""
    text = (BENCH.parent / "monitoring/postgres_exporter.yaml").read_text()
    return dict(re.findall(
        r"^(\w+):\n(?:  \w+:.*\n)*?  query: \|\n((?:    .*\n)+)", text, re.M))


def questions(attempts, waiting):
    """What is asked: {part of the row: {name: SQL}}."""
    views = {}
    for view, order in VIEWS.items():
        for identifier in (f"pi_{attempts // 4}", f"pi_q{waiting // 4}"):
            views[f"{view} of {identifier}"] = FIND.format(view, identifier)
        views[f"{view}, latest"] = LATEST.format(view, "", order)
        views[f"{view} of m37, latest"] = LATEST.format(
            view, "WHERE org_id = 'm37'", order)
    views["delivery_log, latest by time"] = LATEST.format(
        "delivery_log", "", "started_at")
    for view in ("stats", "waiting", "destinations", "subscriptions",
                 "failures", "latency"):
        views[view] = f"SELECT * FROM kgwebhook.{view}"
    return {
        "status": {"kg_status()": "SELECT * FROM kg_status()"},
        "exporter": exporter_queries(),
        "views": views,
        "merchant": {"a page of the log": LOG_PAGE,
                     "its deliveries, latest": LATEST.format(
                         "deliveries", "", "delivery_id"),
                     "one of its objects": FIND.format(
                         "deliveries", f"pi_{attempts // 4}")},
        "page": {"kg_dashboard()": "SELECT length(kg_dashboard())"},
        "reconcile": {"kg_reconcile()": "SELECT count(*) FROM kg_reconcile()"},
        "recover": {"kg_recover()": "SELECT kg_recover(now() - interval"
                    " '1 day', dry_run => true)"},
    }


MERCHANT = """
CREATE ROLE bench_merchant;
SELECT kg_grant_org('bench_merchant', 'm37')
"""


def operate(bench, _wanted):
    attempts, waiting = bench.scaled(10000000), bench.scaled(1000000)
    with bench.server.database() as database:
        sql = database.sql
        database.disable()
        sql(f"\\set attempts {attempts}\n\\set waiting {waiting}\n"
            f"\\i {BENCH}/operate.sql\nVACUUM (ANALYZE)", seconds=3600)
        sql(MERCHANT)
        try:
            for part, group in questions(attempts, waiting).items():
                if part == "merchant":
                    sql("SET ROLE bench_merchant")
                took = {name: _second_time(sql, query)
                        for name, query in group.items()}
                sql("RESET ROLE")
                for name, ms in took.items():
                    print(f"    {part}: {name}: {ms:.0f} ms", flush=True)
                yield Sample(("operate", part), max(took.values()),
                             max(took.values()))
        finally:
            sql("SELECT kg_revoke_org('bench_merchant', 'm37');"
                " DROP OWNED BY bench_merchant; DROP ROLE bench_merchant")


def _second_time(sql, query):
    """Milliseconds that a query takes when it is asked again."""
    sql(query, seconds=600)
    start = time.monotonic()
    sql(query, seconds=600)
    return 1000 * (time.monotonic() - start)
