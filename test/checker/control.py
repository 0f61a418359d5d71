"""
test/checker/control.py
    The node on which terms are decided, and the network to those that have to hear of it.

Secrets, subscriptions, challenges and pauses are decided on one of the nodes, which serves
organizations like the others, and is killed like them; PostgreSQL's replication brings
them to the other nodes, through a relay that is cut as well.  So what was decided counts for
all only later: "heard" is when each node's subscription has confirmed the WAL that has it.
"""

import subprocess
import threading
import time

from relay import Relay
from server import wait_until

# As docs/nodes.md has it.
TABLES = ("kgwebhook.secret, kgwebhook.signing_key, kgwebhook.client_certificate,"
          " kgwebhook.http_signature, kgwebhook.request_header, kgwebhook.consent,"
          " kgwebhook.subscription, kgwebhook.paused")

# Seconds between two looks.
EVERY = 0.3


class Control(threading.Thread):
    """Knows when the others have heard."""

    def __init__(self, server, others, setup):
        super().__init__(daemon=True)
        self.server = server
        self.relay = Relay(server.directory / ".s.PGSQL.5432")
        self._lock = threading.Lock()
        self._moments = []          # WAL position, and [when decided, when heard]
        server.must(f"SET client_min_messages = warning; {setup}"
                    f" CREATE PUBLICATION config FOR TABLE {TABLES}")
        for name, node in others.items():
            node.must(f"CREATE SUBSCRIPTION config_{name} CONNECTION 'host=127.0.0.1"
                      f" port={self.relay.port} user=postgres dbname=postgres' PUBLICATION config")
            wait_until(f"the terms to be copied to {name}", lambda node=node: node.sql(
                "SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel") == ["t"])

    def decided(self):
        """Something was decided just now: that time, and when all have heard of it."""
        moment = [time.time(), float("inf")]
        lsn = self.server.must("SELECT pg_current_wal_lsn()")[0]
        with self._lock:
            self._moments.append((lsn, moment))
        return moment

    def run(self):
        while True:
            time.sleep(EVERY)
            with self._lock:
                moments = self._moments[:]
            if moments:
                self._look(moments)

    def _look(self, moments):
        """Asks for the newest of what was heard by all, which covers what is older."""
        values = ", ".join(f"('{lsn}'::pg_lsn, {n})" for n, (lsn, _) in enumerate(moments))
        try:
            lines = self.server.sql(
                f"SELECT count(*) FROM (VALUES {values}) v (lsn, n) WHERE lsn <= ALL (SELECT"
                " coalesce(confirmed_flush_lsn, '0/0') FROM pg_replication_slots"
                " WHERE slot_name ~ '^config_')", 5)
        except subprocess.TimeoutExpired:
            return
        heard = int(lines[0]) if lines else 0
        now = time.time()
        for _, moment in moments[:heard]:
            moment[1] = now
        with self._lock:
            del self._moments[:heard]

    def wait_until_heard(self):
        """Returns when the others know all."""
        self.decided()
        wait_until("all nodes to know the terms", lambda: not self._moments)
