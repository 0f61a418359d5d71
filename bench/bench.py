#!/usr/bin/env python3
"""
bench/bench.py --packages DIRECTORY [--row ROW]... [--rounds N] [--scale X]
    Measures the rows asked for, or all, and prints them as a table with floor
    and aim.  Run it by `make bench`; bench/README.md tells the method.

It fails when a row is below its floor, and when anything goes wrong, with the
end of the server's log.
"""

import argparse
import os
import shutil
import sys
from collections import defaultdict
from pathlib import Path

from driver import machine, report
from driver.build import build
from driver.experiments import EXPERIMENTS, drains
from driver.goals import MEASURES, ROWS
from driver.machine import BenchError
from driver.peers import BENCH, Certificates, Receiver
from driver.server import Server


class Bench:
    """What the experiments have: a server, the receivers, and a scale."""

    def __init__(self, directory, scale):
        self.directory = directory
        self.scale = scale
        self.dead_destinations = max(20, self.scaled(10000) // 2 * 2)
        self.server = self.http = self.tls = None
        self.nodes = {}             # and their source; see driver/nodes.py
        self.certificates = Certificates(directory)

    def scaled(self, count):
        """A number of deliveries, made smaller for a quick look."""
        return max(10, round(count * self.scale))

    def start(self, bindir):
        self.http = Receiver(fast="1:now", other="1:now", healthy="10:now",
                             dead="1:never",
                             silent=f"{self.dead_destinations // 2}:never",
                             wan="240:200")
        self.tls = Receiver(self.certificates, fast="1:now", wan="240:200",
                            closing="8:close",
                            hosts=f"{max(20, self.scaled(10000))}:now")
        self.server = Server(bindir, self.directory,
                             self.certificates.authority)

    def stop(self):
        for receiver in (self.http, self.tls):
            if receiver:
                receiver.end()
        for server in (*self.nodes.values(), self.server):
            if server:
                server.stop()


def arguments():
    parser = argparse.ArgumentParser(description="kgwebhook's bench")
    parser.add_argument("--packages", required=True,
                        help="node_modules of the Node outbox")
    parser.add_argument("--row", action="append", choices=[*ROWS, "nodes"],
                        help="nodes: all rows of delivery nodes")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0,
                        help="of the numbers of deliveries; 0.1 for a look")
    chosen = parser.parse_args()
    if chosen.rounds < 1 or chosen.scale <= 0:
        parser.error("rounds and scale must be above 0")
    if chosen.row and "nodes" in chosen.row:
        chosen.row = [row for row in ROWS
                      if row in chosen.row or row.startswith("nodes_")]
    return chosen


def measure(bench, rows, rounds):
    """
    Runs the rounds of each experiment; returns {measure.key: [Sample]}.

    Two drains that aren't counted come first: to a virtual machine its host gives
    memory page by page, when it is first touched, and what touches it first then
    costs half as much again.
    """
    for _ in range(2):
        list(drains(bench, set()))
    by_key = {m.key: m for m in MEASURES}
    samples = defaultdict(list)
    for experiment, most in dict.fromkeys(EXPERIMENTS[row] for row in rows):
        for number in range(1, min(rounds, most or rounds) + 1):
            for sample in experiment(bench, set(rows)):
                if sample.key[0] in rows:
                    samples[sample.key].append(sample)
                    print(f"round {number}, "
                          f"{report.progress(by_key[sample.key], sample)}",
                          flush=True)
    return samples


def conclude(bench, samples, rounds, busy, stolen):
    """Prints the table, and under which circumstances it was made."""
    version = bench.server.admin("SHOW server_version")[0].split()[0]
    print(f"\n{machine.describe()}, PostgreSQL {version}; "
          f"{rounds} interleaved rounds"
          f"{'' if bench.scale == 1 else f', SCALE={bench.scale:g}'}; "
          f"medians, smallest … largest.\n"
          f"Before the start the machine was {100 * busy:.0f} % busy; "
          f"in that time its host took {100 * stolen:.0f} % away.\n")
    print(report.table(MEASURES, samples))
    if busy > 0.1:
        print("\nOther programs were running: the ratios are not to be relied "
              "on.")


def stop(bench):
    """Stops what runs; a server that has died already has been told of."""
    try:
        bench.stop()
    except BenchError as error:
        print(error, file=sys.stderr)


def main():
    chosen = arguments()
    rows = chosen.row or ROWS
    bench = None
    try:
        bindir = build()
        shutil.copytree(chosen.packages, BENCH / "node-outbox/node_modules")
        bench = Bench(Path(os.environ["KGW_SCRATCH"]), chosen.scale)
        busy = machine.busy_now()
        before = machine.cpu_times()
        bench.start(bindir)
        samples = measure(bench, rows, chosen.rounds)
        conclude(bench, samples, chosen.rounds, busy,
                 machine.stolen_since(before))
        bad = report.below(MEASURES, samples)
    except BenchError as error:
        print(f"\nThe bench did not work: {error}", file=sys.stderr)
        if bench and bench.server:
            print("The end of the server's log:", bench.server.log_end(),
                  sep="\n", file=sys.stderr)
        return 2
    finally:
        if bench:
            stop(bench)
    if bad:
        print("\nBelow the floor:", ", ".join(" ".join(m.key).strip()
                                              for m in bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
