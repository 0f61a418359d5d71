"""
bench/driver/runs.py
    What the experiments are made of: warming up, draining a queue, and the
    times from commit to arrival.
"""

import time
from dataclasses import dataclass

from . import machine
from .machine import BenchError, wait_until

WARM_UP = 1000


@dataclass
class Sample:
    """One figure of one round; ours and theirs are what it was made of."""

    key: tuple
    figure: float
    ours: float
    theirs: float = None


@dataclass
class Drained:
    rate: float
    cpu: float          # of the worker, seconds a delivery
    memory: int         # the most the worker had, kB


def percentile(values, percent):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def time_limit(count):
    """Seconds within which that many must have been delivered."""
    return 60 + count / 500


def wait_for_arrivals(receiver, group, count):
    wait_until(f"{count} arrivals", lambda: receiver.count(group) >= count,
               time_limit(count), 0.05)


def warm_up(database, receiver, group):
    """Connections, plans and caches are there before anything is measured."""
    database.enable()
    database.fill(WARM_UP, receiver.urls(group), vacuum=False)
    finish_queue(database)


def finish_queue(database):
    wait_until("the queue to become empty", database.queue_is_empty, 60, 0.002)


def drain(database, receiver, group, count, beside=None):
    """
    Fills the queue while delivery is off, switches it on, and measures from the
    first arrival until the last delivery is settled and logged.  What goes on beside
    it is begun right after it.  Whether the queue is empty is asked late, for that
    walks over the rows that were in it.
    """
    last = database.last_attempt()
    database.disable()
    database.fill(count, receiver.urls(group))
    receiver.reset()
    memory = 0
    cpu = machine.cpu_seconds(database.worker)

    def arrived():
        nonlocal memory
        memory = max(memory, machine.status_number(database.worker, "RssAnon"))
        return receiver.count(group) >= count

    database.enable()
    if beside:
        beside()
    wait_until(f"{count} arrivals", arrived, time_limit(count), 0.05)
    wait_until(f"{count} attempts", lambda: database.last_attempt() >= last + count, 60, 0.002)
    finish_queue(database)
    seconds = time.time() - receiver.group(group)["first_us"] / 1e6
    cpu = machine.cpu_seconds(database.worker) - cpu
    logged = database.acknowledged(after=last)
    if logged != count:
        raise BenchError(f"{count} deliveries, and {logged} logged")
    return Drained(count / seconds, cpu / count, memory)


def latencies(arrivals, moments):
    """Milliseconds from commit to arrival of each, in order."""
    missing = [number for number in moments if number not in arrivals]
    if missing:
        raise BenchError(f"{len(missing)} commits never arrived")
    return [(arrivals[number] - moment) / 1000
            for number, moment in sorted(moments.items())]
