#!/usr/bin/env python3
"""
test/checker/nodes.py --bindir DIR --directory DIR [--seconds N] [--seed N]
    The checker over delivery nodes: a source without the extension, nodes that follow
    it through a network that is cut, organizations that move between them, and terms of
    endpoints that are decided on one node and arrive at the others.

The world, the writers, the receivers, the merchants and the comparison are those of checker.py:
what was committed is the source's, and what was delivered is all nodes' together.  All that
is left out is what never acknowledges, because an organization leaves a node with the
last of its deliveries, and every one of those would hold a move up for minutes.

It fails when a delivery is lost, invented, out of order or under two webhook-ids;
when the terms of an endpoint were not kept by a node that has heard of them; when an event
is fetched never, twice, or ahead of older ones that no node has yet; when at the end a node
differs from its source, or has missed a heartbeat; when there are more duplicates than were
in flight; or when a server has had an accident of its own.
"""

import random
import subprocess
import sys
import threading
import time
from pathlib import Path

from checker import WRITERS, accidents_of, complain_of, parse_arguments, report, say
from comparison import Comparison
from conduct import read_log
from control import Control
from node_faults import NodeFaults
from pulls import Pulls
from relay import Relay
from server import CheckerError, Receiver, Server, adopt_orphans, wait_until
from terms import Terms
from world import FIRST_SECRETS, TABLES, NodesWorld
from writers import BACKLOG, Shared, Writer, end_prepared, pause

NODES = ["n1", "n2"]
RECEIVERS = 2
DRAIN = 300
SCRIPT = Path(__file__).resolve().parents[2] / "sources" / "kgwebhook-source.sql"

SOURCE = """
shared_preload_libraries = ''
wal_level = logical
max_wal_senders = 20
max_replication_slots = 20
wal_sender_timeout = '4s'
"""
NODE = """
wal_level = logical
wal_sender_timeout = '4s'
max_worker_processes = 20
wal_receiver_timeout = '4s'
wal_retrieve_retry_interval = '300ms'
"""


class Nodes:
    """All servers as one, for the comparison: what was committed there, what was done here."""

    def __init__(self, source, nodes):
        self.source = source
        self.nodes = nodes

    def must(self, query, seconds=60):
        """The rows of the source, or of all nodes."""
        if "kgwebhook." not in query:
            return self.source.must(query, seconds)
        return [line for node in self.nodes.values() for line in node.must(query, seconds)]


class Watcher(threading.Thread):
    """Looks whether writers have to take their time."""

    def __init__(self, shared, nodes):
        super().__init__(daemon=True)
        self.shared = shared
        self.nodes = nodes

    def run(self):
        well = " OR ".join(f"starts_with(url, '{prefix}')"
                           for prefix in self.shared.world.good_prefixes())
        while not self.shared.over.wait(0.3):
            waiting = 0
            for node in self.nodes.values():
                try:
                    lines = node.sql(f"SELECT (SELECT count(*) FROM kgwebhook.queue WHERE {well})"
                                     f" + (SELECT count(*) FROM kgwebhook.held WHERE {well})", 5)
                except subprocess.TimeoutExpired:
                    continue
                # one that is down has a backlog at its source
                waiting += int(lines[0]) if lines else BACKLOG
            if waiting >= BACKLOG:
                self.shared.busy.set()
            else:
                self.shared.busy.clear()


def prepare(source):
    """Runs the script of the source."""
    done = subprocess.run(
        source.psql("-v", "tables=" + ",".join(TABLES.values()), "-f", str(SCRIPT)),
        check=False, stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode != 0:
        raise CheckerError(f"the source was not prepared: {done.stderr.decode()}")


def follow(node, name, relay):
    """Has a node follow the source through its relay."""
    node.must(f"SELECT kg_follow('src', 'host=127.0.0.1 port={relay.port} user=postgres"
              f" dbname=postgres', '{TABLES['payment']}', '{name}')")
    wait_until(f"{name} to stream", lambda: node.sql(
        "SELECT state FROM kgwebhook.sources") == ["streaming"])


def set_up(arguments):
    """A source, nodes, relays between them, receivers, writers and faults."""
    directory = Path(arguments.directory)
    servers = {}
    for name, more in [("source", SOURCE), *((name, NODE) for name in NODES)]:
        (directory / name).mkdir(parents=True)
        servers[name] = Server(arguments.bindir, directory / name, more)
        servers[name].start()
    source = servers.pop("source")
    receivers = [Receiver(directory, f"receiver{i}", FIRST_SECRETS) for i in range(RECEIVERS)]
    world = NodesWorld(receivers)
    source.must("SET client_min_messages = warning;" + world.source_setup())
    prepare(source)
    for node in servers.values():
        node.must("SET client_min_messages = warning;" + world.node_setup())
    first, *others = NODES
    control = Control(servers[first], {name: servers[name] for name in others},
                      world.control_setup())
    control.start()
    relays = {}
    for name, node in servers.items():
        relays[name] = Relay(source.directory / ".s.PGSQL.5432")
        follow(node, name, relays[name])
        source.must(f"INSERT INTO kgsource.route (org_id, node) VALUES ('*', '{first}')"
                    " ON CONFLICT DO NOTHING")
    shared = Shared(source, world)
    writers = [Writer(shared, i, arguments.seed) for i in range(WRITERS)]
    faults = NodeFaults(source, servers, relays, control, receivers, shared, writers,
                        arguments.seed)
    faults.tell_secrets()
    return source, servers, receivers, shared, writers, faults


def break_things(arguments, source, writers, faults):
    """Storms and calms until the time is over."""
    rng = random.Random(f"{arguments.seed} moments")
    began = time.monotonic()
    storm = True
    while time.monotonic() - began < arguments.seconds:
        until = time.monotonic() + (15 if storm else 8)
        while time.monotonic() < until:
            time.sleep(rng.uniform(0.2, 2))
            name = faults.strike(faults.storm if storm else faults.calm)
            say(f"{time.monotonic() - began:7.1f} s  {name}")
            end_prepared(source, rng, 3)
            complain_of(writers)
        faults.heal()
        storm = not storm


def drain(source, nodes, faults, rng):
    """Nothing strikes any more: all that was committed arrives, and goes."""
    end_prepared(source, rng)
    faults.heal("well")
    for number in faults.shared.world.numbers("rated"):
        faults.control.server.must(f"SELECT kg_update_subscription({number}, rate_limit => 0)")
    faults.control.wait_until_heard()
    lsn = source.must("SELECT pg_current_wal_lsn()")[0]
    wait_until("the nodes to have all", lambda: source.sql(
        f"SELECT count(*) FROM pg_replication_slots WHERE confirmed_flush_lsn >= '{lsn}'")
        == [str(len(nodes))], DRAIN)
    wait_until("every move to end", lambda: source.sql(
        "SELECT bool_and(released) FROM kgsource.route") == ["t"], DRAIN)
    for name, node in nodes.items():
        wait_until(f"the queue of {name} to drain", lambda node=node: node.sql(
            "SELECT NOT EXISTS (SELECT FROM kgwebhook.queue)"
            " AND NOT EXISTS (SELECT FROM kgwebhook.held)") == ["t"], DRAIN)


def differences(nodes):
    """What a node has otherwise than its source, and what it knows that it missed."""
    found = []
    for name, node in nodes.items():
        wait_until(f"{name} to stream", lambda node=node: node.sql(
            "SELECT state FROM kgwebhook.sources") == ["streaming"])
        found += [f"{name}: {line}" for line in node.must("SELECT * FROM kg_compare()", 300)]
        found += [f"{name}: {line} gaps" for line in node.must(
            "SELECT gaps FROM kgwebhook.sources WHERE gaps > 0")]
    return found


def main():
    arguments = parse_arguments()
    adopt_orphans()
    if arguments.seed is None:
        arguments.seed = random.SystemRandom().randrange(1000000)
    say(f"seed {arguments.seed}, {arguments.seconds} s")
    source, nodes, receivers, shared, writers, faults = set_up(arguments)
    servers = [source, *nodes.values()]
    try:
        shared.running.set()
        pulls = Pulls(list(nodes.values()), source, shared, receivers[0], arguments.seed)
        for thread in [Watcher(shared, nodes), pulls, *writers]:
            thread.start()
        break_things(arguments, source, writers, faults)
        pause(shared, writers)
        shared.over.set()
        limited_until = time.time()
        more = {}
        try:
            drain(source, nodes, faults, random.Random(arguments.seed))
            more["differences"] = differences(nodes)
        except CheckerError as error:
            more["not drained"] = [str(error)]
        for node in nodes.values():
            node.stop("fast")
            node.start("kgwebhook.enabled = off")
        everyone = Nodes(source, nodes)
        comparison = Comparison(everyone, receivers, shared, faults.allowed)
        terms = Terms(comparison, read_log(everyone), shared.world, faults,
                      receivers[0].secrets, limited_until)
        found = comparison.faults() | terms.faults() | pulls.finish(comparison.committed) \
            | more | {"accidents": accidents_of(*servers)}
        lines = comparison.lines() + terms.lines() + pulls.lines()
        return 0 if report(arguments, faults, shared, lines, found) else 1
    finally:
        for receiver in receivers:
            receiver.kill()
        for server in servers:
            server.stop("immediate")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CheckerError as failure:
        say(f"the checker can't go on: {failure}")
        sys.exit(2)
