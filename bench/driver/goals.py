"""
bench/driver/goals.py
    What is measured, the floor that no figure may fall below, and the aim.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    row: str            # what `make bench ROW=...` goes by
    part: str           # which of a row's figures; "" when there is one
    text: str
    unit: str           # "x": a ratio; else what the figure is in
    floor: float
    aim: float
    more_is_better: bool

    @property
    def key(self):
        return self.row, self.part

    def result(self, figure):
        def reaches(goal):
            return figure >= goal if self.more_is_better else figure <= goal

        if reaches(self.aim):
            return "aim"
        return "pass" if reaches(self.floor) else "BELOW"


def _more(row, part, text, floor, aim):
    return Measure(row, part, text, "x", floor, aim, True)


def _less(row, part, text, unit, floor, aim):
    return Measure(row, part, text, unit, floor, aim, False)


# The contract has floors for most rows.  What it says nothing of, such as
# trigger_subscriptions, trigger_tables and log_scale's retention, has guesses here: they
# show a change, and are to be set by what an idle machine measures.
MEASURES = [
    _more("drain", "", "draining 50,000 deliveries to one receiver: "
          "rate over plain libcurl's", 0.5, 0.8),
    _more("node", "", "the same over the Node outbox's", 1.5, 2),
    _less("cpu", "", "worker CPU per delivery over plain libcurl's", "x",
          1.9, 1.4),
    _less("latency", "p50", "commit to arrival, one every 20 ms, p50", "ms",
          1.5, 0.7),
    _less("latency", "p99", "the same, p99", "ms", 8, 3),
    _less("latency_busy", "", "the same while 50,000 others drain, p99", "ms",
          100, 20),
    _more("trigger", "on", "one-row UPDATE, 4 clients, synchronous_commit on: "
          "rate over no trigger's", 0.78, 0.90),
    _more("trigger", "off", "the same, synchronous_commit off", 0.62, 0.80),
    _more("trigger_subscriptions", "on", "the same with ten subscriptions, three of "
          "which get the event, synchronous_commit on: rate over no trigger's",
          0.45, 0.65),
    _more("trigger_subscriptions", "off", "the same, synchronous_commit off", 0.25,
          0.45),
    _more("trigger_tables", "on", "a row of each of three watched tables in one "
          "transaction, synchronous_commit on: rate over no triggers'", 0.45, 0.75),
    _more("trigger_tables", "off", "the same, synchronous_commit off", 0.40, 0.65),
    _more("half_dead", "", "healthy destinations while half of the traffic "
          "goes to a dead one: rate over alone", 0.85, 0.97),
    _less("many_dead", "", "commit to arrival beside 10,000 dead destinations, "
          "p99", "ms", 250, 50),
    _less("changes", "p99", "a new secret, a pause, a subscription or 300 "
          "events, twice a second, beside 60,000 waiting destinations: another's "
          "commit to arrival, p99", "ms", 50, 10),
    _less("changes", "CPU", "the same: worker CPU", "%", 20, 5),
    _more("backlog", "rate", "draining 1,000,000: rate over that of 50,000",
          0.85, 0.97),
    _less("backlog", "memory", "the same: growth of the worker's memory", "MB",
          64, 32),
    _more("old_snapshot", "", "draining with an old snapshot held: rate over "
          "none held", 0.85, 0.97),
    _more("https", "", "draining over HTTPS, keep-alive: rate over plain "
          "libcurl's", 0.5, 0.8),
    _less("wal", "", "WAL of a delivered event beyond the bare INSERT, over the "
          "body's bytes", "x", 5.5, 3),
    _less("workers", "2", "two workers: CPU per delivery over one worker's", "x",
          1.3, 1.05),
    _less("workers", "4", "four workers: the same", "x", 1.6, 1.1),
    _more("wan", "256 little", "240 destinations that answer after 200 ms, 256 "
          "in flight: rate over Little's law", 0.75, 0.95),
    _more("wan", "256", "the same: over plain libcurl's with as many",
          0.75, 0.95),
    _more("wan", "1000 little", "1,000 in flight: over Little's law",
          0.70, 0.75),
    _more("wan", "1000", "the same: over plain libcurl's with as many",
          0.70, 0.75),
    _more("wan", "4000 little", "4,000 in flight: over Little's law",
          0.50, 0.75),
    _more("wan", "4000", "the same: over plain libcurl's with as many", 1, 1.4),
    _more("wan", "8000 little", "8,000 in flight: over Little's law",
          0.25, 0.50),
    _more("wan", "8000", "the same: over plain libcurl's with as many", 1.2, 2),
    _less("wan", "cpu", "worker CPU per delivery with 8,000 in flight over that "
          "with 32 to one that answers at once", "x", 2, 1.3),
    _more("wan_tls", "1000", "the same over TLS, 1,000 in flight: rate over plain "
          "libcurl's", 0.65, 0.75),
    _more("wan_tls", "4000", "the same, 4,000 in flight", 0.8, 1.2),
    _more("tls_close", "hits", "receivers that close after each answer: "
          "handshakes that resumed a session, over all", 0.95, 0.99),
    _less("tls_close", "cpu", "the same: worker CPU per delivery over plain "
          "libcurl's", "x", 1.9, 1.3),
    _more("tls_hosts", "rate", "10,000 TLS destinations, one event each: rate "
          "over plain libcurl's", 0.5, 0.8),
    _less("tls_hosts", "cpu", "the same: worker CPU per delivery over plain "
          "libcurl's", "x", 1.9, 1.3),
    _less("idle", "queries", "idle for a minute: queries", "", 0, 0),
    _less("idle", "wake-ups", "idle for a minute: wake-ups", "", 6, 1),
    _less("nodes_send", "p50", "commit at a source to arrival by its node, one "
          "every 20 ms, p50", "ms", 2.5, 1.2),
    _less("nodes_send", "p99", "the same, p99", "ms", 10, 4),
    _more("nodes_send", "apply", "a node that catches up: rate of one-row "
          "transactions over that without our trigger", 0.5, 0.6),
    _more("nodes_cost", "published on", "a source's one-row UPDATE, 4 clients, "
          "table published, one walsender, synchronous_commit on: rate over bare",
          0.75, 0.85),
    _more("nodes_cost", "published off", "the same, synchronous_commit off",
          0.65, 0.78),
    _less("nodes_cost", "commit", "the same at a third of the bare rate: a "
          "transaction's time over bare", "x", 1.15, 1.07),
    _more("nodes_cost", "outbox on", "an outbox, published, synchronous_commit "
          "on: rate over bare", 0.45, 0.70),
    _more("nodes_cost", "outbox off", "the same, synchronous_commit off", 0.33,
          0.54),
    _more("nodes_cost", "trigger on", "our trigger beside the payments, "
          "synchronous_commit on: rate over none", 0.78, 0.90),
    _more("nodes_cost", "trigger off", "the same, synchronous_commit off", 0.62,
          0.80),
    _less("nodes_copy", "events", "first copy of 1,000,000 rows: events", "", 0,
          0),
    _less("nodes_copy", "time", "the same: time over a plain subscription's",
          "x", 1.2, 1.1),
    _less("nodes_copy", "slot", "a lost slot, 3,000 of 1,000,000 rows changed: "
          "time until the last status has arrived", "s", 60, 15),
    _less("nodes_move", "wrong", "ten moves at 1,000 events a second: lost, "
          "doubled or out of order", "", 0, 0),
    _less("nodes_move", "standstill", "the same: longest pause of the "
          "organization that moves", "s", 2, 0.2),
    _less("operate", "status", "10,000,000 attempts in 30 days, 1,000,000 "
          "waiting: kg_status()", "ms", 500, 50),
    _less("operate", "exporter", "the same: the slowest query of the exporter",
          "ms", 500, 50),
    _less("operate", "views", "the same: a view, for one object, one "
          "organization or the latest 20", "ms", 500, 50),
    _less("operate", "merchant", "the same: a page of a merchant's log", "ms",
          500, 50),
    _less("operate", "page", "the same: kg_dashboard()", "ms", 3000, 1000),
    _less("operate", "reconcile", "the same: kg_reconcile() of a day", "ms",
          3000, 1000),
    _less("operate", "recover", "the same: kg_recover() of a day, dry run",
          "ms", 3000, 1000),
    _more("log_scale", "rate", "draining 50,000 with a log of 10,000,000 attempts over "
          "30 days: rate over that with an empty log", 0.95, 1),
    _more("log_scale", "retention", "the same while retention drops a day of it",
          0.70, 0.95),
]

ROWS = list(dict.fromkeys(measure.row for measure in MEASURES))
