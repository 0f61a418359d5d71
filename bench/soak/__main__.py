"""
bench/soak/__main__.py
    python3 -m soak [--hours H] [--rate R]: the run itself, and its end.

Fails when something grew that may not, when an event was lost, came twice or was never
made, and when the worker ended.  Run it by `make soak`; bench/soak/README.md tells
what it does and what it has shown.
"""

import argparse
import os
import sys
import time
from pathlib import Path

from driver import machine
from driver.build import build
from driver.machine import BenchError

from . import judge, operations, page, samples
from .ledger import Ledger
from .operations import Operations
from .samples import Sampler
from .traffic import PROBE_EVERY_MS, Probe, payments
from .world import DAYS, World

# What is refused for as long as the schedule lasts is settled within that, and what
# nobody answers; nothing is paused then.
SETTLED_WITHIN = 300


def arguments():
    parser = argparse.ArgumentParser(prog="make soak")
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--rate", type=int, default=60,
                        help="transactions of clients a second, half of which pay")
    chosen = parser.parse_args()
    if chosen.hours < 0.04 or chosen.rate < 1:
        parser.error("HOURS must be 0.04 or more, and RATE 1 or more")
    return chosen


class Beats:
    """What is to be done every so often, from a start on."""

    def __init__(self, start):
        self._start = start
        self._beats = []                # [every, next, number, what]

    def every(self, seconds, what):
        self._beats.append([seconds, self._start + seconds, 0, what])

    def run_until(self, end):
        while True:
            beat = min(self._beats, key=lambda each: each[1])
            if beat[1] >= end:
                return
            time.sleep(max(0, beat[1] - time.monotonic()))
            beat[3](beat[2])
            beat[1], beat[2] = beat[1] + beat[0], beat[2] + 1


def soak(world, database, seconds, rate, output):
    """The run; returns samples, counts, what was done, and what was left."""
    probes = round(seconds * 1000 / PROBE_EVERY_MS) + 100
    ledger = Ledger()
    world.prepare(database, probes)
    probe = Probe(world.server, probes)
    clients = payments(world, seconds, rate)
    sampler = Sampler(world, database, probe, ledger, output / "samples.csv")
    doing = Operations(world, database, ledger, probes)

    def sample(_):
        clients.check_alive()
        probe.check_alive()
        sampler.sample()

    try:
        start = time.monotonic()
        beats = Beats(start)
        beats.every(samples.EVERY_SECONDS, sample)
        beats.every(operations.EVERY_SECONDS, doing.next)
        beats.every(seconds / DAYS, lambda _: doing.next_day())
        beats.run_until(start + seconds - 2)
        clients.finish(60)
        probe.stop()
        doing.resume()
        left = _settle(database)
        sampler.take_arrivals()
        doing.archive(everything=True)
    finally:
        clients.end()
        probe.end()
        sampler.close()
    return sampler.samples, ledger.compare(), doing.done, left


def _settle(database):
    """Waits for the end of what is under way; returns how much had none."""
    try:
        machine.wait_until("the queue's end", database.queue_is_empty,
                           SETTLED_WITHIN, 0.2)
    except BenchError:
        pass
    return database.sql.number("SELECT count(*) FROM kgwebhook.queue")


def complaints(server):
    """Errors in the server's log."""
    return [line for line in server.log.read_text().splitlines()
            if any(f" {level}: " in line for level in ("ERROR", "FATAL", "PANIC"))]


def circumstances(world, chosen, taken, busy):
    """Where and how a run was made, in a paragraph."""
    version = world.server.admin("SHOW server_version")[0].split()[0]
    elsewhere = [s["machine_busy"] for s in taken]
    return (f"{machine.describe()}, PostgreSQL {version}; {time.strftime('%Y-%m-%d')}, "
            f"{chosen.hours:g} h with {chosen.rate} transactions a second, "
            f"{DAYS} days by the server's clock; {taken[-1]['attempts']:,} attempts. "
            f"Before the start the machine was {100 * busy:.0f} % busy; during the run "
            f"{100 * sum(elsewhere) / len(elsewhere):.0f} % on average and "
            f"{100 * max(elsewhere):.0f} % at most in ten seconds, this included; its host took "
            f"{100 * sum(s['stolen'] for s in taken) / len(taken):.1f} % away.")


def write(output, world, chosen, busy, result):
    """Both reports; returns what is wrong."""
    taken, counts, done, left = result
    complained = complaints(world.server)
    found = judge.findings(taken)
    wrong = judge.faults(found, counts, left, complained)
    title = "A soak run"
    words = circumstances(world, chosen, taken, busy)
    summary = page.markdown(title, words, found, counts, done, wrong)
    (output / "summary.md").write_text(summary)
    (output / "soak.html").write_text(
        page.page(title, words, taken, found, counts, done, wrong))
    print(summary)
    print(*complained[:20], sep="\n")
    print("charts: check-output/soak/soak.html")
    return wrong


def main():
    chosen = arguments()
    output = Path(os.environ["KGW_OUTPUT"]) / "soak"
    output.mkdir()
    world = None
    try:
        bindir = build()
        busy = machine.busy_now()
        world = World(bindir, os.environ["KGW_SCRATCH"])
        with world.server.database() as database:
            result = soak(world, database, chosen.hours * 3600, chosen.rate, output)
        wrong = write(output, world, chosen, busy, result)
    except BenchError as error:
        print(f"\nThe soak did not work: {error}", file=sys.stderr)
        if world and world.server:
            print("The end of the server's log:", world.server.log_end(), sep="\n",
                  file=sys.stderr)
        return 2
    finally:
        if world:
            world.stop()
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
