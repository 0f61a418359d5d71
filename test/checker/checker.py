#!/usr/bin/env python3
"""
test/checker/checker.py --bindir DIR --directory DIR [--seconds N] [--seed N]
    Breaks a server in every way we know of while payments are written and
    delivered, and then asks whether anything was lost or invented.

Writers commit, roll back and prepare; receivers write down what comes; faults
strike at moments that the seed decides, in storms with calms between; merchants fetch
their events by cursor.  At the end all is healed, the queue drains, and comparison.py,
conduct.py, terms.py and pulls.py compare; then the database is purged and copied
(aftermath.py).  The same seed strikes with the same faults in the same order; what they
hit is up to the machine.

It fails when a delivery is lost, invented or out of order; when one was superseded
without a refusal, came before its time, or came late in a calm to an endpoint that is
healthy; when there are more duplicates than were in flight; when the terms of an endpoint
were not kept; when an event is fetched never, twice, or without having been committed;
when a purge takes what waits, or a copy sends; or when the server has had an accident
of its own: a signal that nobody sent, or a panic.
"""

import argparse
import random
import re
import sys
import time
from pathlib import Path

from aftermath import Aftermath
from comparison import Comparison
from conduct import Conduct
from faults import Faults
from load import Load
from pulls import Pulls
from server import CheckerError, Receiver, Server, adopt_orphans, wait_until
from terms import Terms
from world import FIRST_SECRETS, World
from writers import Shared, Watcher, Writer, end_prepared, pause

WRITERS = 6
RECEIVERS = 3

# Seconds; a calm begins to count when backlogs of the storm have had this long.
STORM = 12
CALM = 14
SETTLE = 3

# How long the queue may take to drain once all is healthy.
DRAIN = 300

ACCIDENT = re.compile(r"PANIC|TRAP|was terminated by signal (?!9)|stuck spinlock")


def say(text=""):
    print(text, flush=True)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[2])
    parser.add_argument("--bindir", required=True)
    parser.add_argument("--directory", required=True)
    parser.add_argument("--seconds", type=int, default=100)
    parser.add_argument("--seed", type=int)
    return parser.parse_args()


def set_up(arguments):
    """A server with the extension, receivers, writers and faults."""
    directory = Path(arguments.directory)
    server = Server(arguments.bindir, directory)
    server.start()
    receivers = [Receiver(directory, f"receiver{i}", FIRST_SECRETS)
                 for i in range(RECEIVERS + 2)]
    # one of the last two limits rates, and one gets little that it acknowledges
    world = World(receivers[:-2], *receivers[-2:])
    server.must("SET client_min_messages = warning;" + world.setup())
    shared = Shared(server, world)
    writers = [Writer(shared, i, arguments.seed) for i in range(WRITERS)]
    faults = Faults(server, receivers, shared, writers, arguments.seed)
    faults.tell_secrets()
    return server, receivers, shared, writers, faults


def complain_of(writers):
    for writer in writers:
        if writer.error is not None:
            raise CheckerError(f"a writer failed: {writer.error!r}")


def strike_for(seconds, menu, context, rng, began):
    """Faults of a menu at random moments for so long."""
    server, writers, faults = context
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(rng.uniform(0.2, 2))
        name = faults.strike(menu)
        say(f"{time.monotonic() - began:7.1f} s  {name}")
        end_prepared(server, rng, 3)
        complain_of(writers)


def break_things(arguments, server, writers, faults):
    """Storms and calms until the time is over; when the calms were."""
    rng = random.Random(f"{arguments.seed} moments")
    context = server, writers, faults
    calms = []
    began = time.monotonic()
    while time.monotonic() - began < arguments.seconds:
        strike_for(STORM, faults.storm, context, rng, began)
        faults.heal()
        time.sleep(SETTLE)
        calm = time.time()
        say(f"{time.monotonic() - began:7.1f} s  calm")
        strike_for(CALM, faults.calm, context, rng, began)
        calms.append((calm, time.time()))
    return calms


def drain(server, world, faults, rng):
    """Nothing strikes any more: what is queued goes, except for what nobody takes."""
    end_prepared(server, rng)
    faults.heal("well")
    for number in world.numbers("rated"):
        server.must(f"SELECT kg_update_subscription({number}, rate_limit => 0)")
    nobody = " AND ".join(f"NOT starts_with(url, '{base}')" for base in world.down)
    wait_until("the queue to drain", lambda: server.sql(
        f"SELECT NOT EXISTS (SELECT FROM kgwebhook.queue WHERE {nobody})") == ["t"], DRAIN)


def accidents_of(*servers):
    """What servers' logs say of crashes that nobody caused."""
    return [line for server in servers for line in server.log.read_text(
        encoding="utf-8", errors="replace").splitlines() if ACCIDENT.search(line)]


def report(arguments, faults, shared, lines, found):
    """Says how it went, and what of "found", by its name, is wrong; whether nothing is."""
    found = {name: what for name, what in found.items() if what}
    say()
    say(f"seed        {arguments.seed}")
    say(f"faults      {sum(faults.counts.values())} in {arguments.seconds} s: " + ", ".join(
        f"{name} {n}" for name, n in sorted(faults.counts.items())))
    if faults.longest:
        say("stops       " + ", ".join(
            f"{mode} {took:.1f} s at most" for mode, took in sorted(faults.longest.items())))
    say(f"writers     {len(shared.promised)} transitions promised,"
        f" {len(shared.asynchronous)} asynchronous, {shared.rolled_back} rolled back,"
        f" {shared.prepared} transactions prepared, {shared.failed} sessions failed")
    for line in lines:
        say(line)
    for name, what in found.items():
        say(f"\nWRONG: {name}")
        for item in what[:20]:
            say(f"    {item}")
    say("\n" + ("red" if found else "green"))
    return not found


def main():
    arguments = parse_arguments()
    adopt_orphans()
    if arguments.seed is None:
        arguments.seed = random.SystemRandom().randrange(1000000)
    say(f"seed {arguments.seed}, {arguments.seconds} s")
    server, receivers, shared, writers, faults = set_up(arguments)
    try:
        shared.running.set()
        load = Load(server, shared.over)
        pulls = Pulls([server], server, shared, receivers[0], arguments.seed)
        for thread in [Watcher(shared), load, pulls, *writers]:
            thread.start()
        calms = break_things(arguments, server, writers, faults)
        pause(shared, writers)
        shared.over.set()
        limited_until = time.time()
        try:
            drain(server, shared.world, faults, random.Random(arguments.seed))
        except CheckerError as error:
            say(f"\n{error}")   # the comparison tells what is left
        # what nobody takes would go on being tried while we look
        server.stop("fast")
        server.start("kgwebhook.enabled = off")
        comparison = Comparison(server, receivers, shared, faults.allowed)
        conduct = Conduct(server, comparison, calms, faults.excused, load)
        terms = Terms(comparison, conduct.log, shared.world, faults,
                      receivers[0].secrets, limited_until)
        found = comparison.faults() | conduct.faults() | terms.faults() \
            | pulls.finish(comparison.committed)
        found |= Aftermath(server, receivers, shared.world, pulls.merchants[0]).found
        found["accidents"] = accidents_of(server)
        lines = comparison.lines() + conduct.lines() + terms.lines() + pulls.lines()
        return 0 if report(arguments, faults, shared, lines, found) else 1
    finally:
        for receiver in receivers:
            receiver.kill()
        server.stop("immediate")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CheckerError as failure:
        say(f"the checker can't go on: {failure}")
        sys.exit(2)
