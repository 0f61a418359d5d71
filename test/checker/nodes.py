#!/usr/bin/env python3
"""
test/checker/nodes.py --bindir DIR --directory DIR [--seconds N] [--seed N]
    The checker over delivery nodes: a source without the extension, nodes that follow
    it through a network that is cut, organizations that move between them.

The world, the writers, the receivers and the comparison are those of checker.py: what
was committed is the source's, and what was delivered is all nodes' together.  All that
is left out is what never acknowledges, because an organization leaves a node with the
last of its deliveries, and every one of those would hold a move up for minutes.

It fails when a delivery is lost, invented, out of order or under two webhook-ids;
when at the end a node differs from its source, or has missed a heartbeat; when
there are more duplicates than were in flight; or when a server has had an
accident of its own.
"""

import random
import subprocess
import sys
import threading
import time
from pathlib import Path

from checker import WRITERS, accidents_of, complain_of, parse_arguments, report, say
from comparison import Comparison
from faults import Faults
from relay import Relay
from server import CheckerError, Receiver, Server, adopt_orphans, wait_until
from world import FIRST_SECRETS, ORGS, TABLES, NodesWorld
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
        while not self.shared.over.wait(0.3):
            waiting = 0
            for node in self.nodes.values():
                try:
                    lines = node.sql("SELECT (SELECT count(*) FROM kgwebhook.queue)"
                                     " + (SELECT count(*) FROM kgwebhook.held)", 5)
                except subprocess.TimeoutExpired:
                    continue
                # one that is down has a backlog at its source
                waiting += int(lines[0]) if lines else BACKLOG
            if waiting >= BACKLOG:
                self.shared.busy.set()
            else:
                self.shared.busy.clear()


class NodeFaults(Faults):
    """What strikes source, nodes, and what is between them."""

    def __init__(self, source, nodes, relays, receivers, shared, writers, seed):
        super().__init__(next(iter(nodes.values())), receivers, shared, writers, seed)
        self.source = source
        self.nodes = nodes
        self.relays = relays
        self.moves = 0
        self.storm = [
            (3, self.kill_node), (2, self.stop_node), (2, self.kill_source), (1, self.stop_source),
            (2, self.terminate_apply), (2, self.terminate_follower), (2, self.terminate_worker),
            (6, self.cut), (12, self.move), (3, self.hand_over), (1, self.drain_node),
            (2, self.receiver_restarts), (2, self.receiver_hangs), (2, self.receiver_fails),
        ]
        self.calm = [(8, self.move), (2, self.hand_over), (1, self.drain_node)]

    def _choose(self):
        """A node; the faults of a single server are its then."""
        name = self.random.choice(NODES)
        self.server = self.nodes[name]
        return name

    def kill_node(self):
        self._choose()
        self.kill_postmaster()

    def stop_node(self):
        self._choose()
        self._stop(self.random.choice(["immediate", "fast"]))

    def kill_source(self):
        self.source.kill()
        self.source.start()

    def stop_source(self):
        # its walsenders wait for nodes that are cut off, up to their timeout
        self.source.stop(self.random.choice(["immediate", "fast"]))
        self.source.start()

    def terminate_apply(self):
        self._choose()
        return self._terminate_one("logical replication worker") or \
            self._terminate_one("logical replication apply worker")

    def terminate_follower(self):
        self._choose()
        return self._terminate_one("kgwebhook follower")

    def terminate_worker(self):
        self._choose()
        return super().terminate_worker()

    def cut(self):
        relay = self.relays[self.random.choice(NODES)]
        relay.set(self.random.choice(["frozen", "deaf", "mute", "refused"]))
        self._later(self.random.uniform(0.5, 9), lambda: relay.set("open"))

    # What is refused (a move that is not over) is no fault

    def _move(self, done):
        if done is None:
            return False
        self.moves += 1
        return True

    def move(self):
        org = self.random.choice([*ORGS, *ORGS, "*"])
        return self._move(self.source.sql(
            f"INSERT INTO kgsource.route (org_id, node) VALUES ('{org}', '{self.random.choice(NODES)}')"
            " ON CONFLICT (org_id) DO UPDATE SET node = excluded.node WHERE route.node <> excluded.node"))

    def hand_over(self):
        self._choose()
        return self._move(self.server.sql(
            "SET statement_timeout = '3s';"
            f" SELECT kg_hand_over('{self.random.choice(ORGS)}', '{self.random.choice(NODES)}')"))

    def drain_node(self):
        self._choose()
        return self._move(self.server.sql(
            "SET statement_timeout = '3s';"
            f" SELECT count(*) FROM kg_drain('{self.random.choice(NODES)}', timeout => '0.1 s')"))

    def heal(self, word="ok"):
        for timer in self.timers:
            timer.cancel()
            timer.join()
        for relay in self.relays.values():
            relay.set("open")
        for receiver in self.receivers:
            receiver.heal(word)


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
    relays = {}
    for name, node in servers.items():
        node.must("SET client_min_messages = warning;" + world.node_setup())
        relays[name] = Relay(source.directory / ".s.PGSQL.5432")
        follow(node, name, relays[name])
        source.must("INSERT INTO kgsource.route (org_id, node) VALUES ('*', 'n1')"
                    " ON CONFLICT DO NOTHING")
    shared = Shared(source, world)
    writers = [Writer(shared, i, arguments.seed) for i in range(WRITERS)]
    faults = NodeFaults(source, servers, relays, receivers, shared, writers, arguments.seed)
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
        for thread in [Watcher(shared, nodes), *writers]:
            thread.start()
        break_things(arguments, source, writers, faults)
        pause(shared, writers)
        shared.over.set()
        more = {}
        try:
            drain(source, nodes, faults, random.Random(arguments.seed))
            more["differences"] = differences(nodes)
        except CheckerError as error:
            more["not drained"] = [str(error)]
        for node in nodes.values():
            node.stop("fast")
            node.start("kgwebhook.enabled = off")
        comparison = Comparison(Nodes(source, nodes), receivers, shared, faults.allowed)
        found = comparison.faults() | more | {"accidents": accidents_of(*servers)}
        return 0 if report(arguments, faults, shared, comparison.lines(), found) else 1
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
