"""
bench/soak/judge.py
    What may not grow: the second half of the run, held against the first.

The first half begins when caches have filled and every receiver has been paused and
served at once, which is when connections and their buffers are the most: after five
minutes, or a quarter of a short run.  A figure is the median or the most of its half.  It may exceed the first half's by a
factor and by an amount, because a short run and a machine that others use are no reason
to be red; what grows for hours exceeds any amount.  Times have wider bounds than
sizes: they tell of the machine, too.
"""

from dataclasses import dataclass
from statistics import median

WARM_UP_SECONDS = 300
WARM_UP_PART = 0.25

MB = 1024 * 1024


@dataclass(frozen=True)
class Rule:
    column: str
    text: str
    unit: str
    of_half: callable
    factor: float
    amount: float           # in the column's unit
    scale: float = 1        # from the column's unit to the one that is shown


@dataclass(frozen=True)
class Finding:
    rule: Rule
    first: float
    second: float

    @property
    def bound(self):
        return self.first * self.rule.factor + self.rule.amount

    @property
    def grew(self):
        return self.second > self.bound


RULES = [
    Rule("memory_kb", "worker's memory (RssAnon)", "MB", median, 1, 5 * 1024, 1024),
    Rule("memory_kb", "the same, the most", "MB", max, 1, 8 * 1024, 1024),
    Rule("descriptors", "worker's descriptors", "", median, 1.1, 32),
    Rule("descriptors", "the same, the most", "", max, 1.1, 64),
    Rule("threads", "worker's threads", "", max, 1, 2),
    Rule("waiting", "deliveries that wait", "", median, 1.3, 100),
    Rule("queue_bytes", "queue, the most", "MB", max, 1.25, 2 * MB, MB),
    Rule("queue_index_bytes", "indexes of the queue, the most", "MB", max, 1.25,
         2 * MB, MB),
    Rule("dead_tuples", "dead rows of the queue", "", median, 1.5, 2000),
    Rule("log_bytes", "log, the most", "MB", max, 1.25, 8 * MB, MB),
    Rule("log_index_bytes", "indexes of the log, the most", "MB", max, 1.25, 4 * MB,
         MB),
    Rule("partitions", "partitions of the log, the most", "", max, 1, 1),
    Rule("dead_letter_bytes", "dead letters, the most", "MB", max, 1.25, MB, MB),
    Rule("other_bytes", "all other tables of kgwebhook, the most", "MB", max, 1.1,
         MB / 4, MB),
    Rule("cpu_us", "worker's CPU per attempt", "µs", median, 1.3, 40),
    Rule("p50_ms", "commit to arrival, p50", "ms", median, 1.5, 1),
    Rule("p99_ms", "commit to arrival, p99 of ten seconds", "ms", median, 2, 10),
]


def halves(samples, column):
    """The column's values in the first half, less the warm-up, and in the second."""
    end = samples[-1]["seconds"]
    start = min(WARM_UP_SECONDS, WARM_UP_PART * end)
    known = [sample for sample in samples if sample[column] is not None]
    return ([s[column] for s in known if start <= s["seconds"] < end / 2],
            [s[column] for s in known if s["seconds"] >= end / 2])


def findings(samples):
    """What each rule finds."""
    found = []
    for rule in RULES:
        first, second = halves(samples, rule.column)
        if first and second:
            found.append(Finding(rule, rule.of_half(first), rule.of_half(second)))
    return found


def faults(found, counts, left, complaints):
    """What is wrong with a run, a sentence each."""
    wrong = [f"{f.rule.text} grew" for f in found if f.grew]
    wrong += [f"{number:,} events {what}" for what, number in list(counts.items())[3:]
              if number]
    if counts["acknowledged"] == 0:
        wrong.append("nothing was acknowledged")
    if left:
        wrong.append(f"{left:,} deliveries are left in the queue")
    if complaints:
        wrong.append(f"{len(complaints):,} errors in the server's log")
    return wrong
