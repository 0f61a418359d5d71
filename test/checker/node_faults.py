"""
test/checker/node_faults.py
    What strikes a source, its nodes, and what is between them.

The faults of a single server are those of one node, chosen at random; what an operator or
a merchant decides is decided on the control node (control.py).
"""

from faults import Faults
from world import ORGS


class NodeFaults(Faults):
    """All that can go wrong there."""

    def __init__(self, source, nodes, relays, control, receivers, shared, writers, seed):
        super().__init__(control.server, receivers, shared, writers, seed)
        self.source = source
        self.nodes = nodes
        self.relays = relays
        self.control = control
        self.moves = 0
        self.storm = [
            (3, self.kill_node), (2, self.stop_node), (2, self.kill_source), (1, self.stop_source),
            (2, self.terminate_apply), (2, self.terminate_follower), (2, self.terminate_worker),
            (6, self.cut), (2, self.cut_control), (12, self.move), (3, self.hand_over),
            (1, self.drain_node),
            (2, self.receiver_restarts), (2, self.receiver_hangs), (2, self.receiver_fails),
            (1, self.rotate_secret), (2, self.ask_consent), (2, self.pause_subscription),
            (1, self.pause_destination), (1, self.purge),
        ]
        self.calm = [(8, self.move), (2, self.hand_over), (1, self.drain_node),
                     (2, self.rotate_secret), (2, self.ask_consent), (1, self.purge)]

    def _choose(self):
        """A node; the faults of a single server are its then."""
        self.server = self.nodes[self._one_node()]

    def _one_node(self):
        return self.random.choice(list(self.nodes))

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
        self._cut(self.relays[self._one_node()])

    def cut_control(self):
        self._cut(self.control.relay)

    def _cut(self, relay):
        relay.set(self.random.choice(["frozen", "deaf", "mute", "refused"]))
        self._later(self.random.uniform(0.5, 9), lambda: relay.set("open"))

    def purge(self):
        self._choose()
        super().purge()

    # What is refused (a move that is not over) is no fault

    def _move(self, done):
        if done is None:
            return False
        self.moves += 1
        return True

    def move(self):
        org = self.random.choice([*ORGS, *ORGS, "*"])
        node = self._one_node()
        return self._move(self.source.sql(
            f"INSERT INTO kgsource.route (org_id, node) VALUES ('{org}', '{node}')"
            " ON CONFLICT (org_id) DO UPDATE SET node = excluded.node"
            " WHERE route.node <> excluded.node"))

    def hand_over(self):
        self._choose()
        org, node = self.random.choice(ORGS), self._one_node()
        return self._move(self.server.sql(
            f"SET statement_timeout = '3s'; SELECT kg_hand_over('{org}', '{node}')"))

    def drain_node(self):
        self._choose()
        return self._move(self.server.sql(
            "SET statement_timeout = '3s';"
            f" SELECT count(*) FROM kg_drain('{self._one_node()}', timeout => '0.1 s')"))

    # What is decided on the control node

    def _decided(self):
        return self.control.decided()

    def _pause(self, stop, go_on):
        self.server = server = self.control.server
        server.sql(f"SELECT {stop}")
        self._later(self.random.uniform(0.5, 3), lambda: server.sql(f"SELECT {go_on}"))

    def rotate_secret(self):
        self.server = self.control.server
        super().rotate_secret()

    def ask_consent(self):
        self.server = self.control.server
        return super().ask_consent()

    def heal(self, word="ok"):
        for timer in self.timers:
            timer.cancel()
            timer.join()
        for relay in [*self.relays.values(), self.control.relay]:
            relay.set("open")
        for receiver in self.receivers:
            receiver.heal(word)
        for it in self.shared.world.numbers("consent").values():
            self._tell_consent(it.name, True)
        self.control.server.must("DELETE FROM kgwebhook.paused")
        self.control.server.must("SELECT kg_resume_subscription(subscription_id)"
                                 " FROM kgwebhook.subscription")
